//! An output that is encoded in pieces on several nodes: the film's frames, one after the other, whoever dies on the way.

use std::path::Path;
use std::process::Command;

use rushes_shared::id::JobId;
use rushes_shared::job::TaskState;
use rushes_shared::task::TaskKind;
use rushes_shared::view::{JobView, TaskView};
use rushes_tests::media::{self, Facts};
use rushes_tests::wait::ENCODE;
use rushes_tests::{Farm, FarmPlan, until};
use serde_json::{Value, json};

/// Frames of [`media::minute`], and its pieces of ten seconds.
const FRAMES: u64 = 1_560;
const PIECES: u32 = 6;

/// A lossless output, so that every frame can be held against the film's.
fn job(farm: &Farm, input: &Path) -> Value {
    let mut job = farm.encode(input, "whole.mp4", "superfast");
    job["outputs"][0]["video"]["crf"] = json!(0);
    job
}

/// A hash of every decoded frame, in the order of presentation.
fn frames(file: &Path) -> Vec<String> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-i"]).arg(file);
    ffmpeg.args(["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-"]);
    let run = ffmpeg.output().expect("these tests need ffmpeg");
    let complaint = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success() && complaint.is_empty(), "{}: {complaint}", file.display());
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.rsplit(',').next()?.trim().to_owned())).collect()
}

fn is_the_film(farm: &Farm, film: &Path) {
    let out = farm.out().join("whole.mp4");
    let shown = frames(&out);
    assert_eq!((shown.len() as u64, &shown), (FRAMES, &frames(film)), "every frame is the film's");
    let (made, source) = (Facts::of(&out), Facts::of(film));
    assert!((made.seconds() - source.seconds()).abs() < 0.06, "{} s of {}", made.seconds(), source.seconds());
    assert_eq!(made.of_stream("audio", "codec_name"), "aac");
    let starts = |kind| made.of_stream(kind, "start_time").parse::<f64>().expect("a number of seconds");
    assert!((starts("video") - starts("audio")).abs() <= 0.005, "sound and picture begin together");
    until("nothing is left in staging", ENCODE, || farm.staged().is_empty().then_some(()));
}

fn pieces(job: &JobView) -> Vec<&TaskView> {
    job.tasks.iter().filter(|task| task.kind == TaskKind::Chunk).collect()
}

/// Waits until so many pieces are made.
fn made(farm: &Farm, id: JobId, count: usize) -> JobView {
    until(&format!("{count} pieces of {id} are made"), ENCODE, || {
        let job = farm.api().job(id);
        assert!(!job.state.is_final(), "{id} ended before it could be disturbed: {job:#?}");
        let done = pieces(&job).iter().filter(|task| task.state == TaskState::Succeeded).count();
        (done >= count).then_some(job)
    })
}

#[test]
fn a_long_film_is_encoded_by_both_nodes_and_its_frames_are_all_there() {
    let film = media::minute();
    // With more cores one node would take them all.
    let farm = FarmPlan::new(2).set_worker("slots.cpu_millicores=2000").start();
    let id = farm.api().submit(&job(&farm, &film));
    let done = farm.api().succeeded(id);
    is_the_film(&farm, &film);
    let counts: Vec<_> = done.stages.iter().map(|stage| (stage.kind, stage.tasks, stage.succeeded)).collect();
    let expected = [(TaskKind::Probe, 1), (TaskKind::Chunk, PIECES), (TaskKind::Join, 1)];
    assert_eq!(counts, expected.map(|(kind, tasks)| (kind, tasks, tasks)));
    let mut workers: Vec<_> = pieces(&done).iter().map(|task| task.worker).collect();
    workers.sort();
    workers.dedup();
    assert_eq!(workers.len(), 2, "both nodes had a part in it");
    let check = done.outputs[0].check.as_ref().expect("a finished output was checked");
    assert_eq!((check.frames_decoded, check.frames_expected), (FRAMES, FRAMES));
}

#[test]
fn a_killed_worker_and_a_killed_coordinator_cost_no_piece_that_was_made() {
    let film = media::minute();
    let mut farm = FarmPlan::new(2).start();
    let mut slow = job(&farm, &film);
    slow["outputs"][0]["video"]["preset"] = json!("slower");
    let id = farm.api().submit(&slow);
    let before = made(&farm, id, 2);
    let running = before.tasks.iter().rfind(|task| task.state == TaskState::Running).expect("one runs");
    farm.kill_worker(farm.worker_named(&running.worker_name.clone().expect("it is known")));
    farm.kill_coordinator();
    farm.start_coordinator();
    let done = farm.api().succeeded(id);
    is_the_film(&farm, &film);
    for (was, is) in pieces(&before).iter().zip(pieces(&done)) {
        if was.state == TaskState::Succeeded {
            assert_eq!(was.attempt, is.attempt, "{} was not made twice", is.id);
        }
    }
}

#[test]
fn one_node_encodes_a_film_whole_and_so_does_a_farm_that_is_told_to() {
    let film = media::minute();
    let one = FarmPlan::new(1).start();
    let two = FarmPlan::new(2).set("engine.piece_s=0").start();
    for farm in [one, two] {
        let id = farm.api().submit(&job(&farm, &film));
        let done = farm.api().succeeded(id);
        let kinds: Vec<_> = done.tasks.iter().map(|task| task.kind).collect();
        assert_eq!(kinds, [TaskKind::Probe, TaskKind::Encode]);
    }
}

/// A task that holds more memory than it may is ended, and says so.
#[test]
fn a_task_that_holds_more_memory_than_it_may_is_ended() {
    let limits = ["sandbox.memory_percent=1", "sandbox.memory_least_mib=8"];
    let farm = limits.iter().fold(FarmPlan::new(1), |plan, limit| plan.set_worker(limit)).start();
    let mut long = farm.encode(&media::minute(), "never.mp4", "veryslow");
    long["outputs"][0]["video"]["crf"] = json!(1);
    let id = farm.api().submit(&long);
    let ended = farm.api().ended(id);
    let failure = ended.failure.expect("it failed");
    assert!(failure.message.contains("of memory"), "{failure:?}");
    assert!(farm.delivered().is_empty());
}
