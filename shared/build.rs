//! Notes the compiler and its target for `--version`. The commit is told by the programs themselves: noted here it would
//! have every crate built anew for each commit.

use std::process::Command;

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let out = Command::new(program).args(arguments).output().ok().filter(|o| o.status.success())?;
    String::from_utf8(out.stdout).ok().map(|t| t.trim().to_owned())
}

fn main() {
    let env = |name: &str| std::env::var(name).unwrap_or_else(|_| "unknown".to_owned());
    let rustc = output(&env("RUSTC"), &["--version"]).unwrap_or_else(|| "rustc unknown".to_owned());
    let rustc = rustc.split(" (").next().unwrap_or_default();
    println!("cargo::rustc-env=RUSHES_BUILD_RUSTC={rustc}");
    println!("cargo::rustc-env=RUSHES_BUILD_PROFILE={}", env("PROFILE"));
    println!("cargo::rustc-env=RUSHES_BUILD_TARGET={}", env("TARGET"));
    println!("cargo::rerun-if-changed=build.rs");
}
