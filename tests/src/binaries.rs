//! The programs under test.

use std::path::{Path, PathBuf};

/// `rushes-coordinator`.
#[must_use]
pub fn coordinator() -> PathBuf {
    find("rushes-coordinator")
}

/// `rushes-worker`.
#[must_use]
pub fn worker() -> PathBuf {
    find("rushes-worker")
}

/// `rushes`.
#[must_use]
pub fn cli() -> PathBuf {
    find("rushes")
}

/// The target directory that this test was built in.
///
/// # Panics
/// When the test was moved out of it.
#[must_use]
pub fn target() -> PathBuf {
    profile().parent().expect("a profile's directory lies in the target directory").to_owned()
}

/// The repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

/// `target/debug` or its like: the test itself is in its `deps`.
fn profile() -> PathBuf {
    let own = std::env::current_exe().expect("a process has a program");
    let deps = own.parent().expect("a program lies in a directory");
    deps.parent().expect("tests lie in target/PROFILE/deps").to_owned()
}

fn find(name: &str) -> PathBuf {
    let path = profile().join(name);
    assert!(
        path.is_file(),
        "{} is not there; these tests run the built programs: use `make test`, or first `cargo build --bins`",
        path.display()
    );
    path
}
