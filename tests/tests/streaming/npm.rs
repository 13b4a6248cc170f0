//! Programs of others from npm, kept in the target directory: each set of them in a place of its own, whole or not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rushes_tests::binaries;

/// The players, as `NAME@VERSION`.
const PLAYERS: [&str; 2] = ["hls.js@1.6.19", "dashjs@5.0.3"];
/// What reads manifests and segments: a strict reader of HLS playlists, one of DASH manifests, one of MP4 boxes, libxml2.
const READERS: [&str; 4] = ["hls-parser@0.16.1", "mpd-parser@1.4.0", "mp4box@2.4.1", "xmllint-wasm@5.3.0"];

/// The directory of the players' modules, and a browser beside it; or nothing, said aloud.
pub(crate) fn players() -> Option<PathBuf> {
    if !is_there("chromium") {
        eprintln!("skipped: chromium is not installed");
        return None;
    }
    modules("players", &PLAYERS)
}

/// The directory of the readers' modules; or nothing, said aloud.
pub(crate) fn readers() -> Option<PathBuf> {
    modules("readers", &READERS)
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn modules(name: &str, packages: &[&str]) -> Option<PathBuf> {
    let versions: String = packages.iter().flat_map(|package| ["-", package]).collect();
    let place = binaries::target().join(format!("{name}{versions}"));
    let found = place.join("node_modules");
    if !found.is_dir() && !install(&place, packages) {
        eprintln!("skipped: {} could not be had from npm", packages.join(", "));
        return None;
    }
    Some(found)
}

/// Tests run at the same time: each installs for itself, and the first that is ready stays.
fn install(place: &Path, packages: &[&str]) -> bool {
    let draft = tempfile::tempdir_in(binaries::target()).expect("the target directory can be written");
    let install = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(draft.path())
        .args(packages)
        .output();
    if !install.is_ok_and(|install| install.status.success()) {
        return false;
    }
    fs::rename(draft.path(), place).is_ok() || place.join("node_modules").is_dir()
}
