//! Notes the commit and compiler for `--version`. Works without git and outside a checkout.

use std::path::Path;
use std::process::Command;

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let out = Command::new(program).args(arguments).output().ok().filter(|o| o.status.success())?;
    String::from_utf8(out.stdout).ok().map(|t| t.trim().to_owned())
}

fn commit() -> String {
    // A packager who builds from an archive says which commit it is.
    if let Ok(given) = std::env::var("RUSHES_COMMIT") {
        return given;
    }
    let Some(mut commit) = output("git", &["rev-parse", "--short=12", "HEAD"]).filter(|c| !c.is_empty())
    else {
        return "unknown".to_owned();
    };
    if output("git", &["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| !s.is_empty()) {
        commit.push_str("-dirty");
    }
    commit
}

fn main() {
    let env = |name: &str| std::env::var(name).unwrap_or_else(|_| "unknown".to_owned());
    let rustc = output(&env("RUSTC"), &["--version"]).unwrap_or_else(|| "rustc unknown".to_owned());
    let rustc = rustc.split(" (").next().unwrap_or_default();
    println!("cargo::rustc-env=RUSHES_BUILD_COMMIT={}", commit());
    println!("cargo::rustc-env=RUSHES_BUILD_RUSTC={rustc}");
    println!("cargo::rustc-env=RUSHES_BUILD_PROFILE={}", env("PROFILE"));
    println!("cargo::rustc-env=RUSHES_BUILD_TARGET={}", env("TARGET"));
    println!("cargo::rerun-if-env-changed=RUSHES_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    // A debug build is made often and its commit matters to nobody; it is not rebuilt for each commit.
    if env("PROFILE") == "release" {
        for path in ["HEAD", "logs/HEAD"] {
            if let Some(file) =
                output("git", &["rev-parse", "--git-path", path]).filter(|p| Path::new(p).exists())
            {
                println!("cargo::rerun-if-changed={file}");
            }
        }
    }
}
