//! A disk that fills up stops the store with a clear error; what was confirmed is there when there is room again.

use std::process::Command;
use std::time::{Duration, Instant};

/// Runs in a mount namespace of its own, which needs no privilege where user namespaces are allowed.
const SCRIPT: &str = r#"
set -u
mount -t tmpfs -o size=8m none "$ROOT" || exit 77
"$CHILD" drive "$ROOT" 5 1000000 >"$NOTES" 2>"$ERRORS" && exit 3
mount -o remount,size=256m "$ROOT" || exit 77
"$CHILD" check "$ROOT" "$NOTES" || exit 4
"$CHILD" drive "$ROOT" 6 300 >>"$NOTES" || exit 5
"$CHILD" check "$ROOT" "$NOTES" || exit 6
"#;

#[test]
fn a_full_disk_stops_the_store_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (root, notes, errors) =
        (dir.path().join("root"), dir.path().join("notes"), dir.path().join("errors"));
    std::fs::create_dir(&root).expect("makes the root");
    let started = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT])
        .env("ROOT", &root)
        .env("NOTES", &notes)
        .env("ERRORS", &errors)
        .env("CHILD", env!("CARGO_BIN_EXE_store-child"))
        .spawn();
    let Ok(mut child) = started else {
        println!("skipped: there is no 'unshare' here");
        return;
    };
    let deadline = Instant::now() + Duration::from_secs(120);
    let status = loop {
        if let Some(status) = child.try_wait().expect("waits") {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().expect("kills");
            panic!("the store hangs on a full disk");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = std::fs::read_to_string(&errors).unwrap_or_default();
    if status.code() == Some(77) || (status.code() == Some(1) && said.is_empty()) {
        println!("skipped: mounting a tmpfs in a user namespace is not permitted here");
        return;
    }
    assert!(status.success(), "{status}: {said}");
    let fatal: Vec<&str> = said.lines().filter(|line| line.starts_with("fatal:")).collect();
    assert_eq!(fatal.len(), 1, "{said}");
    assert!(fatal[0].contains("is full: free some space and start again"), "{said}");
}
