//! Trials on a farm of real processes: a job that shows an operator that a node's task processes work.

use rushes_tests::FarmPlan;
use serde_json::json;

#[test]
fn a_trial_runs_each_task_in_a_process_of_its_own() {
    let farm = FarmPlan::new(1).start();
    let id = farm.api().submit(&json!({ "kind": "trial", "tasks": 20 }));
    let job = farm.api().succeeded(id);
    assert_eq!(job.tasks.len(), 20);
    for task in &job.tasks {
        let usage = task.usage.as_ref().expect("it has run");
        assert!(usage.max_rss_bytes > 0, "the kernel counted a process: {usage:?}");
        assert_eq!(task.failures, 0);
    }
}
