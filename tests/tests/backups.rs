//! Copies of a farm that are made while it runs, and farms made of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_tests::program::{fail, succeed};
use rushes_tests::{Api, Farm, FarmPlan, binaries};
use serde_json::json;

fn at(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binaries::coordinator());
    command.arg("--state-dir").arg(dir).args(arguments);
    command
}

/// How each job ended; that one is running is not kept, only that it has not ended.
fn states(api: &Api) -> BTreeMap<JobId, Option<JobState>> {
    let end = |state: JobState| state.is_final().then_some(state);
    api.all_jobs().into_iter().map(|job| (job.id, end(job.state))).collect()
}

/// A farm with ended jobs, a canceled one and some that wait.
fn with_history() -> Farm {
    let mut farm = FarmPlan::new(1).start();
    for n in 0..5 {
        let id = farm.api().submit(&json!({"kind": "noop", "name": format!("done {n}")}));
        let _job = farm.api().succeeded(id);
    }
    farm.kill_worker(0);
    for n in 0..3 {
        let _waiting = farm.api().submit(&json!({"kind": "noop", "name": format!("waits {n}")}));
    }
    let id = farm.api().submit(&json!({"kind": "noop", "name": "unwanted"}));
    assert_eq!(farm.api().post(&format!("/v1/jobs/{id}/cancel"), &json!({})).status, 200);
    farm
}

#[test]
fn a_backup_becomes_the_same_farm_elsewhere() {
    let mut farm = with_history();
    let token = succeed(farm.coordinator_command(&["token", "api", "ann", "--role", "submitter", "--quiet"]));
    let copy = farm.root().join("backup");
    let copy_text = copy.to_str().expect("a plain path").to_owned();
    let _made = succeed(farm.coordinator_command(&["backup", &copy_text]));
    let before = states(&farm.api());
    assert_eq!(before.len(), 9);
    farm.stop_coordinator();

    let new = farm.root().join("c2");
    let _imported = succeed(at(&new, &["import", &copy_text]));
    farm.move_to(&new);
    farm.start_coordinator();
    assert_eq!(states(&farm.api()), before);
    let ann = farm.api().with_token(Some(token.trim()));
    assert_eq!(ann.get("/v1/jobs").status, 200, "old tokens work");
    // The worker knows the farm by its CA and address.
    farm.start_worker(0);
    for (id, state) in before {
        let job = farm.api().ended(id);
        assert_eq!(job.state, state.unwrap_or(JobState::Succeeded));
    }
    let (_, said) = fail(at(&new, &["import", &copy_text]));
    assert!(said.contains("another --state-dir"), "{said}");
}

#[test]
fn a_damaged_export_is_refused_with_its_line() {
    let farm = with_history();
    let path = farm.root().join("ledger.jsonl");
    let _made = succeed(farm.coordinator_command(&["export", path.to_str().expect("a plain path")]));
    let whole = fs::read_to_string(&path).expect("it was written");
    let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    let victim = lines.iter().position(|line| line.contains("waits 1")).expect("the job is in it");
    lines[victim] = lines[victim].replace("waits 1", "waits 7");
    fs::write(&path, lines.join("\n") + "\n").expect("it can be written");
    let (_, said) = fail(at(&farm.root().join("x"), &["import", path.to_str().expect("a plain path")]));
    assert!(said.contains(&format!("line {}", victim + 1)), "line {}: {said}", victim + 1);
    assert!(said.contains("nothing was changed"), "{said}");

    // Cut short, as by a full disk.
    fs::write(&path, &whole[..whole.len() / 2]).expect("it can be written");
    let (_, said) = fail(at(&farm.root().join("y"), &["import", path.to_str().expect("a plain path")]));
    assert!(said.contains("line "), "{said}");

    fs::write(&path, &whole).expect("it can be written");
    let _imported = succeed(at(&farm.root().join("z"), &["import", path.to_str().expect("a plain path")]));
}
