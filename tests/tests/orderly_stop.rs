//! A coordinator that is stopped in good order, and what outlives that.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rushes_shared::job::JobState;
use rushes_shared::view::UploadView;
use rushes_tests::{Api, FarmPlan, SOON, until};
use serde_json::json;

#[test]
fn workers_are_told_that_the_coordinator_stops_and_come_back() {
    let mut farm = FarmPlan::new(2).start();
    let _both = farm.connected(2);
    farm.stop_coordinator();
    for number in 0..2 {
        farm.worker_program(number).hear("the coordinator stops; running tasks go on");
    }
    farm.start_coordinator();
    let _back = farm.connected(2);
    let id = farm.api().submit(&json!({"kind": "noop", "tasks": 4}));
    let _job = farm.api().succeeded(id);
}

#[test]
fn an_upload_that_a_waiting_job_needs_does_not_grow_old() {
    let mut farm = FarmPlan::new(0).start();
    let (content, hash) = ("abc", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
    let permit: UploadView =
        farm.api().post("/v1/uploads", &json!({"hash": hash, "size_bytes": content.len()})).read();
    let sent = Api::new("", None).call("PUT", &permit.upload_url, &[], content).expect("answered");
    assert_eq!(sent.status, 201, "{sent:?}");
    let id = farm.api().submit(&json!({"kind": "probe", "input": permit.location}));
    let uploads = farm.state_dir().join("depot/uploads/default");
    let (needed, forgotten) = (uploads.join(hash), uploads.join("0".repeat(64)));
    fs::write(&forgotten, "of a job that was never submitted").expect("written");
    farm.stop_coordinator();
    let long_ago = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
    for path in [&needed, &forgotten] {
        File::open(path).expect("it is there").set_modified(long_ago).expect("it is ours");
    }
    farm.start_coordinator();
    let age = |path: &Path| SystemTime::now().duration_since(fs::metadata(path).ok()?.modified().ok()?).ok();
    until("the needed upload is as good as new", SOON, || {
        age(&needed).filter(|age| *age < Duration::from_secs(3600))
    });
    assert!(
        age(&forgotten).is_some_and(|age| age > Duration::from_secs(24 * 3600)),
        "nobody needs the other"
    );
    assert_eq!(farm.api().job(id).state, JobState::Queued);
}
