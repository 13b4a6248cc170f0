//! What an emergency stops, as those who look at it see it: in the news, at the job that was stopped, on the command line.

use std::process::Command;

use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::view::JobView;
use rushes_tests::wait::{ENCODE, until};
use rushes_tests::{Farm, FarmPlan, binaries};
use serde_json::json;

/// What the command prints of this farm when it ends well.
fn rushes(farm: &Farm, arguments: &[&str]) -> String {
    let mut rushes = Command::new(binaries::cli());
    rushes.args(arguments).env_clear().env("HOME", farm.root());
    rushes.env("RUSHES_URL", &farm.book().api_url).env("RUSHES_TOKEN", farm.token());
    let run = rushes.output().expect("it starts");
    assert!(run.status.success(), "{arguments:?}: {run:?}");
    String::from_utf8(run.stdout).expect("text")
}

/// A job that holds all cores of a node.
fn hold(farm: &Farm, class: &str, hold_ms: u64) -> JobId {
    let stage = json!({"name": "hold", "slot": "encode", "hold_ms": hold_ms, "cpu_millicores": 1_000});
    farm.api().submit(&json!({"kind": "graph", "class": class, "stages": [stage]}))
}

#[test]
fn who_was_stopped_for_an_emergency_is_told_what_was_lost_and_for_whom() {
    let farm = FarmPlan::new(1).set_worker("slots.cpu_millicores=1000").start();
    let victim = hold(&farm, "bulk", 60_000);
    let runs = |job: &JobView| job.state == JobState::Running && job.task_counts.running == 1;
    until("the victim runs", ENCODE, || Some(farm.api().job(victim)).filter(runs));
    let emergency = hold(&farm, "emergency", 500);
    let job =
        until("it is stopped", ENCODE, || Some(farm.api().job(victim)).filter(|job| job.stopped.is_some()));
    let stopped = job.stopped.as_ref().expect("it was just seen");
    let worker = farm.api().workers().remove(0);
    assert_eq!((stopped.times, stopped.for_job, stopped.worker), (1, emergency, worker.id));
    assert_eq!(stopped.task.job, victim);
    assert_eq!(job.tasks[0].failures, 0, "it is no failure of its own");

    let shown = rushes(&farm, &["job", "show", &victim.to_string()]);
    let line = shown.lines().find(|line| line.starts_with("stopped")).unwrap_or_else(|| panic!("{shown}"));
    for words in ["once for emergencies", "of work lost", "last task 0 on", &emergency.to_string()] {
        assert!(line.contains(words), "nothing about '{words}' in {line}");
    }
    let _done = farm.api().succeeded(emergency);
    rushes(&farm, &["job", "cancel", &victim.to_string()]);
    let (log, task) = (farm.coordinator_log(), format!("{victim}.0"));
    let line = log.lines().find(|line| line.contains("task_preempted")).unwrap_or_else(|| panic!("{log}"));
    for words in [&task, &worker.id.to_string(), &emergency.to_string(), "are lost"] {
        assert!(line.contains(words), "nothing about '{words}' in {line}");
    }

    let over = rushes(&farm, &["job", "explain", &victim.to_string()]);
    for words in [format!("{victim} was canceled at 20").as_str(), "rushes job show"] {
        assert!(over.contains(words), "nothing about '{words}' in {over}");
    }
    let over = rushes(&farm, &["job", "explain", &emergency.to_string(), "--task", "0"]);
    assert!(over.contains(&format!("{emergency} succeeded at 20")), "{over}");
}
