//! A job's own graph with real encodes among its stages.

use rushes_shared::job::{JobState, TaskState};
use rushes_shared::task::TaskKind;
use rushes_shared::view::OutputState;
use rushes_tests::FarmPlan;
use rushes_tests::media::{self, Facts};
use serde_json::json;

#[test]
fn a_graph_probes_waits_encodes_twice_and_publishes_what_it_made() {
    let farm = FarmPlan::new(1).start();
    let input = media::short();
    let film = |name: &str, width: u32| {
        let video = json!({"preset": "ultrafast", "max_width": width});
        json!({"name": name, "destination": farm.out().join(name), "video": video})
    };
    let job = json!({"kind": "graph", "stages": [
        {"name": "look", "input": input},
        {"name": "analyse", "slot": "analyse", "hold_ms": 200, "after": ["look"]},
        {"name": "large", "input": input, "after": ["look", "analyse"], "output": film("large.mp4", 320)},
        {"name": "small", "input": input, "after": ["look", "large"], "output": film("small.mp4", 160)},
        {"name": "end", "slot": "finish", "after": ["large", "small"]},
    ]});
    let job = farm.api().succeeded(farm.api().submit(&job));
    let kinds: Vec<TaskKind> = job.tasks.iter().map(|task| task.kind).collect();
    let (probe, noop, encode) = (TaskKind::Probe, TaskKind::Noop, TaskKind::Encode);
    assert_eq!(kinds, [probe, noop, encode, encode, noop]);
    assert!(job.tasks.iter().all(|task| task.state == TaskState::Succeeded && task.attempts == 1));
    let outputs: Vec<_> = job.outputs.iter().map(|o| (o.name.as_str(), o.state)).collect();
    assert_eq!(outputs, [("large.mp4", OutputState::Published), ("small.mp4", OutputState::Published)]);
    for (name, size) in [("large.mp4", (320, 180)), ("small.mp4", (160, 90))] {
        let facts = Facts::of(&farm.out().join(name));
        assert_eq!((facts.frames(), facts.size()), (75, size), "{name}");
    }
    assert!(job.outputs.iter().all(|o| o.check.is_some() && o.encoder.is_some()), "each was checked");
}

#[test]
fn a_graph_whose_encode_knows_no_input_is_refused_with_the_place() {
    let farm = FarmPlan::new(0).start();
    let stage = json!({"name": "film", "input": media::short(), "output": {"name": "film.mp4"}});
    let refused =
        farm.api().post("/v1/jobs", &json!({"kind": "graph", "stages": [stage]})).problem(422, "invalid_job");
    assert!(refused.detail.contains("stages[0].after: name a stage here that probes"), "{refused:?}");
    assert!(farm.api().all_jobs().iter().all(|job| job.state != JobState::Running));
}
