//! A farm in its ordinary days: jobs of every kind, from submit to output.

use std::fs;
use std::time::{Duration, Instant};

use rushes_shared::failure::FailureCode;
use rushes_shared::id::JobId;
use rushes_shared::job::{JobState, TaskState};
use rushes_shared::task::TaskKind;
use rushes_shared::view::{JobList, JobView, OutputState, SubmittedView};
use rushes_tests::media::{self, Facts};
use rushes_tests::program::exists;
use rushes_tests::{Farm, FarmPlan, SOON, until};
use serde_json::{Value, json};

fn a_file_is_encoded_and_told_about(farm: &Farm) {
    let source = Facts::of(&media::big_buck_bunny());
    let id = farm.api().submit(&farm.encode(&media::big_buck_bunny(), "bunny.mp4", "ultrafast"));
    let job = farm.api().succeeded(id);

    let path = farm.out().join("bunny.mp4");
    let facts = Facts::of(&path);
    assert_eq!(facts.frames(), source.frames(), "no frame is lost and none is there twice");
    assert!(
        (facts.seconds() - source.seconds()).abs() < 0.05,
        "{} s of {}",
        facts.seconds(),
        source.seconds()
    );
    assert_eq!(facts.size(), source.size());
    assert_eq!(facts.of_stream("video", "codec_name"), "h264");
    assert_eq!(facts.of_stream("audio", "codec_name"), "aac");
    assert_eq!(facts.of_stream("video", "pix_fmt"), "yuv420p");
    let boxes = media::boxes(&path);
    let place = |kind: &str| boxes.iter().position(|b| b == kind);
    assert!(place("moov") < place("mdat"), "the index comes first: {boxes:?}");

    assert_eq!((job.state, job.progress.permille), (JobState::Succeeded, 1000));
    assert!(job.started_at.is_some() && job.ended_at.is_some() && job.run_ms > 0);
    assert_eq!(job.task_counts.succeeded as usize, job.tasks.len());
    assert!(job.tasks.iter().all(|t| t.state == TaskState::Succeeded && t.attempts == 1), "{:#?}", job.tasks);
    assert_eq!(job.media.expect("it was probed").video.len(), 1);
    let output = &job.outputs[0];
    assert_eq!((output.name.as_str(), output.state), ("bunny.mp4", OutputState::Published));
    assert_eq!(output.url, format!("file://{}", path.display()));
    assert_eq!(output.frames, Some(source.frames()));
    let bytes = fs::read(&path).expect("it is there");
    assert_eq!(output.size_bytes, Some(bytes.len() as u64));
    assert!(output.encode_speed.is_some_and(|s| s > 0.0) && output.encoder.is_some());
    let check = output.check.as_ref().expect("the output was checked");
    assert_eq!((check.frames_decoded, check.frames_expected), (source.frames(), source.frames()));
    assert_eq!((&check.problems, &check.warnings), (&Vec::<String>::new(), &Vec::<String>::new()));
}

fn outputs_are_scaled_and_several(farm: &Farm) {
    let dir = format!("{}/", farm.out().display());
    let job = json!({"input": media::short(), "outputs": [
        {"name": "small.mp4", "destination": dir, "video": {"preset": "ultrafast", "max_width": 160}},
        {"name": "silent.mp4", "destination": dir, "video": {"preset": "ultrafast"}, "audio": false},
    ]});
    let job = farm.api().succeeded(farm.api().submit(&job));
    assert_eq!(job.outputs.len(), 2);
    let small = Facts::of(&farm.out().join("small.mp4"));
    assert_eq!((small.size(), small.frames()), ((160, 90), 75));
    let silent = Facts::of(&farm.out().join("silent.mp4"));
    assert_eq!((silent.size(), silent.of_stream("audio", "codec_name").as_str()), ((320, 180), ""));
}

fn a_file_that_is_there_is_never_overwritten(farm: &Farm) {
    let path = farm.out().join("taken.mp4");
    fs::write(&path, "somebody's own").expect("written");
    let job = farm.encode(&media::short(), "taken.mp4", "ultrafast");
    let refused = farm.api().post("/v1/jobs", &job).problem(409, "output_exists");
    assert!(refused.detail.contains("taken.mp4") && refused.advice.is_some(), "{refused:?}");
    // It may also come in between, and is then found when the output is published.
    fs::remove_file(&path).expect("removed");
    let id = farm.api().submit(&job);
    fs::write(&path, "somebody's own").expect("written");
    let job = farm.api().ended(id);
    assert_eq!(job.state, JobState::Failed);
    let failure = job.failure.expect("a failed job has a cause");
    assert_eq!(failure.code, FailureCode::OutputExists);
    assert!(failure.message.contains("taken.mp4") && !failure.advice.is_empty(), "{failure:?}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "somebody's own");
    until("nothing is staged any more", SOON, || farm.staged().is_empty().then_some(()));
    fs::remove_file(path).expect("removed");
}

fn the_depot_keeps_what_goes_nowhere_else(farm: &Farm) {
    let job =
        json!({"input": media::short(), "outputs": [{"name": "kept.mp4", "video": {"preset": "ultrafast"}}]});
    let job = farm.api().succeeded(farm.api().submit(&job));
    let hash = job.outputs[0].hash.clone().expect("it is known");
    let path = job.outputs[0].download.clone().expect("it can be fetched");
    let path = path.trim_start_matches(&farm.book().api_url).to_owned();
    let answer = farm.api().call("GET", &path, &[], "").expect("answered");
    assert_eq!(answer.status, 307, "{answer:?}");
    assert_eq!(hash.len(), 64);
}

fn probes_and_noops(farm: &Farm) {
    let probe = farm.api().succeeded(farm.api().submit(&json!({"kind": "probe", "input": media::short()})));
    let media = probe.media.expect("that is what it is for");
    assert_eq!((media.video[0].width, media.video[0].height), (320, 180));
    assert!(probe.outputs.is_empty());
    let noop = farm.api().succeeded(farm.api().submit(&json!({"kind": "noop", "tasks": 25})));
    assert_eq!(noop.task_counts.succeeded, 25);
}

#[test]
fn a_farm_does_its_jobs() {
    let farm = FarmPlan::new(2).start();
    a_file_is_encoded_and_told_about(&farm);
    outputs_are_scaled_and_several(&farm);
    a_file_that_is_there_is_never_overwritten(&farm);
    the_depot_keeps_what_goes_nowhere_else(&farm);
    probes_and_noops(&farm);
    let metrics = farm.api().metrics();
    assert_eq!(metrics.sum("rushes_jobs_ended_total", &["succeeded"]), 5.0);
    assert_eq!(metrics.sum("rushes_jobs_ended_total", &["failed"]), 1.0);
    assert_eq!(metrics.sum("rushes_outputs_published_total", &[]), 4.0);
}

#[test]
fn a_repeated_submit_makes_one_job() {
    let mut farm = FarmPlan::new(0).start();
    let submit = |farm: &Farm, body: &Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "k-1")];
        farm.api().call("POST", "/v1/jobs", &headers, &body.to_string()).expect("answered")
    };
    let body = json!({"kind": "noop", "name": "once"});
    let first = submit(&farm, &body);
    assert_eq!(first.status, 201);
    let again = submit(&farm, &body);
    assert_eq!(again.status, 200);
    assert_eq!(again.read::<SubmittedView>().id, first.read::<SubmittedView>().id);
    let _other =
        submit(&farm, &json!({"kind": "noop", "name": "other"})).problem(409, "idempotency_key_reused");
    farm.kill_coordinator();
    farm.start_coordinator();
    let after = submit(&farm, &body);
    assert_eq!(after.read::<SubmittedView>().id, first.read::<SubmittedView>().id, "also after a crash");
    assert_eq!(farm.api().all_jobs().len(), 1);
}

#[test]
fn lists_go_on_where_a_page_ended() {
    let mut farm = FarmPlan::new(1).start();
    let mut ids: Vec<JobId> = (0..7).map(|_| farm.api().submit(&json!({"kind": "noop"}))).collect();
    for id in &ids {
        let _job = farm.api().succeeded(*id);
    }
    // Ended jobs and live ones in one list.
    farm.kill_worker(0);
    ids.extend((0..3).map(|n| farm.api().submit(&json!({"kind": "noop", "labels": {"n": n.to_string()}}))));
    ids.reverse();
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: JobList = farm.api().get(&format!("/v1/jobs?limit=4{cursor}")).read();
        assert!(page.items.len() <= 4);
        seen.extend(page.items.iter().map(|job| job.id));
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ids, "newest first, each once");
    let labelled: JobList = farm.api().get("/v1/jobs?label=n:1").read();
    assert_eq!(labelled.items.iter().map(|job| job.id).collect::<Vec<_>>(), [ids[1]]);
}

#[test]
fn a_jobs_events_lead_to_its_end() {
    let farm = FarmPlan::new(1).start();
    let id = farm.api().submit(&farm.encode(&media::short(), "film.mp4", "medium"));
    let events = farm.api().events(&format!("/v1/jobs/{id}/events"));
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"job"), Some(&"job")), "{kinds:?}");
    for kind in ["task_progressed", "task_succeeded", "output_published", "job_ended"] {
        assert!(kinds.contains(&kind), "no {kind} in {kinds:?}");
    }
    let last: JobView =
        serde_json::from_value(events.last().expect("there are some").1.clone()).expect("a job");
    assert_eq!((last.id, last.state), (id, JobState::Succeeded));
    assert!(
        events[..events.len() - 1].iter().all(|(kind, data)| kind == "job" || data["job"] == id.to_string())
    );
}

#[test]
fn a_canceled_encode_stops_within_two_seconds() {
    let clip = media::long();
    let farm = FarmPlan::new(1).start();
    let id = farm.api().submit(&farm.encode(&clip, "film.mp4", "slower"));
    let _running = farm.api().encoding(id);
    let process = farm.task_process(0);
    let canceled = Instant::now();
    let job: JobView = farm.api().post(&format!("/v1/jobs/{id}/cancel"), &json!({})).read();
    assert_eq!(job.state, JobState::Canceled);
    until("the task process is gone", SOON, || (!exists(process)).then_some(()));
    let took = canceled.elapsed();
    assert!(took < Duration::from_secs(2), "the task process lived on for {took:?}");
    let again: JobView = farm.api().post(&format!("/v1/jobs/{id}/cancel"), &json!({})).read();
    assert_eq!(again.state, JobState::Canceled, "canceling twice is no error");
    let next = farm.api().submit(&farm.encode(&media::short(), "next.mp4", "ultrafast"));
    let _job = farm.api().succeeded(next);
    assert_eq!(farm.delivered(), ["next.mp4"], "nothing of the canceled job was published");
    assert_eq!(farm.staged(), Vec::<String>::new());
    let scratch = farm.worker(0).dir.join("scratch");
    until("its scratch is gone", SOON, || media::files_in(&scratch).is_empty().then_some(()));
    let _ended =
        farm.api().post(&format!("/v1/jobs/{next}/cancel"), &json!({})).problem(409, "job_has_ended");
}

#[test]
fn a_drained_worker_ends_its_work_and_gets_no_more() {
    let clip = media::long();
    let mut farm = FarmPlan::new(1).start();
    let worker = farm.connected(1)[0].id;
    let running = farm.api().submit(&farm.encode(&clip, "film.mp4", "fast"));
    let _encoding = farm.api().encoding(running);
    assert_eq!(farm.api().post(&format!("/v1/workers/{worker}/drain"), &json!({})).status, 200);
    let waiting = farm.api().submit(&json!({"kind": "noop"}));
    let job = farm.api().succeeded(running);
    assert!(job.tasks.iter().filter(|t| t.kind == TaskKind::Encode).all(|t| t.attempts == 1));
    assert_eq!(farm.api().job(waiting).state, JobState::Queued);
    farm.kill_coordinator();
    farm.start_coordinator();
    let drained = farm.connected(1);
    assert!(drained[0].draining, "a drain outlives the coordinator");
    assert_eq!(farm.api().job(waiting).state, JobState::Queued);
    assert_eq!(farm.api().post(&format!("/v1/workers/{worker}/resume"), &json!({})).status, 200);
    let _job = farm.api().succeeded(waiting);
}

#[test]
fn an_encode_outlives_its_depot() {
    let clip = media::long();
    let farm = FarmPlan::new(1).start();
    let id = farm.api().submit(&farm.encode(&clip, "film.mp4", "fast"));
    let _encoding = farm.api().encoding(id);
    let known: Value =
        serde_json::from_slice(&fs::read(farm.state_dir().join("depot.json")).expect("it is there"))
            .expect("it is JSON");
    let pid = i32::try_from(known["pid"].as_i64().expect("it has a process")).expect("a process id");
    rushes_tests::tasks::signal(
        rustix::process::Pid::from_raw(pid).expect("a process id"),
        rustix::process::Signal::KILL,
    );
    let job = farm.api().succeeded(id);
    assert!(job.tasks.iter().all(|t| t.attempts == 1), "{:#?}", job.tasks);
    assert_eq!(Facts::of(&farm.out().join("film.mp4")).frames(), 200);
    assert_eq!(farm.api().metrics().sum("rushes_depot_restarts_total", &[]), 1.0);
}
