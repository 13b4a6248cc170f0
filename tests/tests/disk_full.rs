//! A full disk at the coordinator: what is new is refused clearly, nothing accepted is lost, it goes on with space.
//! The disk is a small tmpfs; where none may be mounted the tests say so and skip.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::view::SubmittedView;
use rushes_tests::program::{run, succeed};
use rushes_tests::{FarmPlan, SOON, until};
use serde_json::json;
use tempfile::TempDir;

/// A small disk; unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(mebibytes: u32) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("rushes-disk-").tempdir().expect("a temporary directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]).arg(dir.path());
        let done = run(mount);
        if done.status.success() {
            return Some(Self(dir));
        }
        println!("SKIP: no tmpfs can be mounted here: {}", String::from_utf8_lossy(&done.stderr).trim());
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.path()).expect("a mounted disk");
        stat.f_bavail * stat.f_frsize
    }

    /// Fills the disk until `left` bytes are free; removing the file makes room again.
    fn fill(&self, left: u64) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = fs::File::create(&path).expect("the disk can be written");
        while self.free() > left {
            let chunk = usize::try_from((self.free() - left).min(1 << 20)).expect("at most a mebibyte");
            if file.write_all(&vec![7; chunk]).is_err() {
                break;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        unmount.arg("--lazy").arg(self.path());
        let _ = run(unmount);
    }
}

#[test]
fn submits_are_refused_below_the_watermark_and_accepted_again_above_it() {
    let Some(disk) = SmallDisk::mount(160) else { return };
    let plan = FarmPlan::new(1).state(&disk.path().join("c"));
    let farm = plan.set("store.min_free_bytes=33554432").set("depot.min_free_bytes=0").start();
    let before = farm.api().submit(&json!({"kind": "noop", "name": "before"}));
    let ballast = disk.fill(20 << 20);
    let answer = until("submits are refused", SOON, || {
        let answer = farm.api().post("/v1/jobs", &json!({"kind": "noop"}));
        (answer.status >= 400).then_some(answer)
    });
    let problem = answer.problem(507, "disk_nearly_full");
    let text = format!("{} {}", problem.detail, problem.advice.unwrap_or_default());
    assert!(
        text.contains("free") && problem.retry_after.is_some(),
        "what to do, and when to come again: {text}"
    );
    let _not_ready = farm.api().get("/health/ready").problem(503, "store_not_ready");
    let accepted = farm.api().all_jobs();
    for job in &accepted {
        let _done = farm.api().succeeded(job.id);
    }
    assert!(accepted.iter().any(|job| job.id == before));

    fs::remove_file(ballast).expect("removed");
    let after = until("submits are accepted again", SOON, || {
        let answer = farm.api().post("/v1/jobs", &json!({"kind": "noop", "name": "after"}));
        (answer.status == 201).then(|| answer.read::<SubmittedView>().id)
    });
    let _job = farm.api().succeeded(after);
    assert_eq!(farm.api().all_jobs().len(), accepted.len() + 1);
    assert_eq!(farm.api().get("/health/ready").status, 200);
}

#[test]
fn a_disk_that_is_really_full_stops_the_coordinator_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount(160) else { return };
    let plan = FarmPlan::new(0).state(&disk.path().join("c"));
    let mut farm = plan.set("store.min_free_bytes=0").set("depot.min_free_bytes=0").start();
    let api = farm.api();
    let mut answered: Vec<JobId> = Vec::new();
    // Names of 200 characters, so that the disk fills soon.
    let job = json!({"kind": "noop", "name": "n".repeat(200)}).to_string();
    let submit = |answered: &mut Vec<JobId>| {
        let answer = api.call("POST", "/v1/jobs", &[("content-type", "application/json")], &job).ok()?;
        (answer.status == 201).then(|| answered.push(answer.read::<SubmittedView>().id))
    };
    for _ in 0..50 {
        submit(&mut answered).expect("there is space yet");
    }
    let ballast = disk.fill(0);
    until("the coordinator gives up", SOON * 3, || {
        for _ in 0..50 {
            let _refused = submit(&mut answered);
        }
        (!farm.coordinator().is_running()).then_some(())
    });
    let status = farm.coordinator().ended(SOON);
    let said = farm.coordinator().said();
    assert_eq!(status.code(), Some(74), "{said}");
    assert!(said.contains("is full: free some space and start again"), "{said}");

    fs::remove_file(ballast).expect("removed");
    farm.start_coordinator();
    let jobs = farm.api().all_jobs();
    for id in &answered {
        assert!(jobs.iter().any(|job| job.id == *id), "{id} was answered and is gone");
    }
    println!("{} jobs were answered, {} are there", answered.len(), jobs.len());
    let _worker = farm.add_worker();
    for job in jobs {
        let ended = farm.api().ended(job.id);
        assert_eq!(ended.state, JobState::Succeeded);
    }
    let _shown = succeed(farm.coordinator_command(&["config", "check"]));
}
