//! A streaming set made by a farm: chunks on several nodes, a package that appears whole, whoever dies on the way.

use std::fs;
use std::path::Path;
use std::process::Command;

use rushes_shared::check::{CheckName, CheckResult};
use rushes_shared::failure::FailureCode;
use rushes_shared::id::JobId;
use rushes_shared::job::{JobState, TaskState};
use rushes_shared::task::TaskKind;
use rushes_shared::view::{JobView, OutputState};
use rushes_tests::media::{self, Facts};
use rushes_tests::wait::ENCODE;
use rushes_tests::{Farm, FarmPlan, until};
use serde_json::{Value, json};

/// Frames of [`media::film`].
const FRAMES: u64 = 325;

/// Of AAC at 48 kHz, in seconds: one packet.
const PRIMING: f64 = 1024.0 / 48_000.0;

/// A lossless set, so that every frame can be held against the film's.
fn job(farm: &Farm, input: &Path, preset: &str, chunk_s: u32) -> Value {
    let stream = json!({"destination": farm.out().join("film"), "segment_s": 2, "chunk_s": chunk_s, "crf": 0, "preset": preset});
    json!({"kind": "stream", "input": input, "stream": stream})
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

/// When the streams of a playlist begin, in seconds.
fn starts(file: &Path) -> f64 {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-show_entries", "format=start_time", "-of", "csv=p=0"]).arg(file);
    let run = ffprobe.output().expect("these tests need ffprobe");
    String::from_utf8_lossy(&run.stdout).trim().parse().expect("a number of seconds")
}

/// The set is there, whole and the film; nothing else is.
fn is_the_film(farm: &Farm, film: &Path, job: &JobView) {
    let out = farm.out().join("film");
    let shown = frames(&out.join("480p/media.m3u8"));
    assert_eq!((shown.len() as u64, &shown), (FRAMES, &frames(film)), "every frame is the film's");
    let (picture, sound) = (starts(&out.join("480p/media.m3u8")), starts(&out.join("sound/media.m3u8")));
    // What the encoder needs before the first sample lies before the film, and players pass over it.
    let heard = sound + PRIMING;
    assert!((picture - heard).abs() <= 0.005, "the picture begins at {picture}, the sound at {heard}");
    let set = job.set.as_ref().expect("a finished job has its set");
    assert_eq!(set.state, OutputState::Published);
    let names: Vec<&str> = set.renditions.iter().map(|rendition| rendition.name.as_str()).collect();
    assert_eq!(names, ["480p", "360p", "sound"]);
    assert_eq!(set.renditions[0].packets, FRAMES);
    assert!(
        set.checks
            .iter()
            .any(|check| check.name == CheckName::DecodingErrors && check.result == CheckResult::Passed),
        "{:?}",
        set.checks
    );
    let report: Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).expect("there")).expect("JSON");
    let listed = report["files"].as_array().expect("files");
    for file in listed {
        let path = out.join(file["path"].as_str().expect("a path"));
        assert_eq!(
            fs::metadata(&path).expect("it is there").len(),
            file["size_bytes"].as_u64().expect("a size")
        );
        let hash = blake3::hash(&fs::read(&path).expect("readable")).to_hex().to_string();
        assert_eq!(file["hash"].as_str(), Some(hash.as_str()), "{}", path.display());
    }
    assert_eq!(listed.len() + 1, set.files as usize);
    assert_eq!(count_files(&out), set.files as usize, "nothing else is there");
    assert_eq!(fs::read_dir(farm.out()).expect("readable").count(), 1, "nothing is left beside it");
    until("nothing is left in staging", ENCODE, || farm.staged().is_empty().then_some(()));
}

fn count_files(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).expect("readable").map(|entry| entry.expect("readable").path());
    entries.map(|path| if path.is_dir() { count_files(&path) } else { 1 }).sum()
}

fn chunks(job: &JobView) -> Vec<&rushes_shared::view::TaskView> {
    job.tasks.iter().filter(|task| task.kind == TaskKind::Chunk).collect()
}

/// Waits until chunks are under way on so many workers.
fn chunks_run(farm: &Farm, id: JobId, count: usize) -> JobView {
    until(&format!("{count} chunks of {id} run"), ENCODE, || {
        let job = farm.api().job(id);
        assert!(!job.state.is_final(), "{id} ended before it could be disturbed: {job:#?}");
        let runs = |task: &&&rushes_shared::view::TaskView| {
            task.state == TaskState::Running && task.progress.as_ref().is_some_and(|p| p.frames > 0)
        };
        (chunks(&job).iter().filter(runs).count() >= count).then_some(job)
    })
}

#[test]
fn a_film_becomes_a_set_on_two_nodes_and_every_frame_is_in_it() {
    let film = media::film();
    let farm = FarmPlan::new(2).start();
    let id = farm.api().submit(&job(&farm, &film, "superfast", 2));
    let done = farm.api().succeeded(id);
    is_the_film(&farm, &film, &done);
    let mut workers: Vec<_> = chunks(&done).iter().map(|task| task.worker).collect();
    assert_eq!(workers.len(), 7, "13 seconds in chunks of two, the last one shorter");
    workers.sort();
    workers.dedup();
    assert_eq!(workers.len(), 2, "both nodes had a part in it");
    let counts: Vec<_> = done.stages.iter().map(|s| (s.kind, s.tasks, s.succeeded)).collect();
    let stage = |kind, tasks| (kind, tasks, tasks);
    let expected = [
        (TaskKind::Probe, 1),
        (TaskKind::Sound, 1),
        (TaskKind::Stills, 1),
        (TaskKind::Chunk, 7),
        (TaskKind::Package, 1),
    ];
    assert_eq!(counts, expected.map(|(kind, tasks)| stage(kind, tasks)));
    let names: Vec<&str> = done.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(
        names,
        ["manifest.mpd", "master.m3u8", "poster.jpg", "sprite.jpg", "sprite.vtt", "report.json"]
    );
    let poster = Facts::of(&farm.out().join("film/poster.jpg"));
    assert_eq!(poster.size(), (854, 480));
}

#[test]
fn a_worker_that_is_killed_in_the_middle_costs_its_chunk_alone() {
    let film = media::film();
    let mut farm = FarmPlan::new(2).start();
    let id = farm.api().submit(&job(&farm, &film, "slower", 2));
    let running = chunks_run(&farm, id, 2);
    let victim = running.tasks.iter().rfind(|task| task.state == TaskState::Running).expect("one runs");
    let name = victim.worker_name.clone().expect("it is known");
    farm.kill_worker(farm.worker_named(&name));
    let done = farm.api().succeeded(id);
    is_the_film(&farm, &film, &done);
    assert!(chunks(&done).iter().map(|task| task.attempts).sum::<u32>() > 7, "what it had was tried again");
}

#[test]
fn chunks_that_begin_at_cuts_are_the_film_though_a_worker_dies() {
    let film = media::film();
    let mut farm = FarmPlan::new(2).start();
    let mut document = job(&farm, &film, "slower", 2);
    document["stream"]["chunks"] = json!("scenes");
    let id = farm.api().submit(&document);
    let running = chunks_run(&farm, id, 2);
    let scans = |job: &JobView| {
        let scans = job.tasks.iter().filter(|task| task.kind == TaskKind::Scan);
        scans.map(|task| (task.state, task.attempts)).collect::<Vec<_>>()
    };
    let before = scans(&running);
    assert_eq!(before.len(), 7, "a cell for each chunk: {before:?}");
    assert!(
        before.iter().all(|(state, _)| *state == TaskState::Succeeded),
        "chunks wait for all: {before:?}"
    );
    let victim = running.tasks.iter().rfind(|task| task.state == TaskState::Running).expect("one runs");
    let name = victim.worker_name.clone().expect("it is known");
    farm.kill_worker(farm.worker_named(&name));
    let done = farm.api().succeeded(id);
    is_the_film(&farm, &film, &done);
    assert!(chunks(&done).iter().map(|task| task.attempts).sum::<u32>() > 7, "what it had was tried again");
    assert_eq!(scans(&done), before, "nothing was looked at twice");
}

/// Rungs in chunks that were made on both nodes have the mean rates that were asked for.
#[test]
fn a_set_of_mean_rates_has_them_though_its_chunks_are_made_on_two_nodes() {
    let film = media::film();
    let farm = FarmPlan::new(2).start();
    let stream = json!({
        "destination": farm.out().join("film"), "segment_s": 2, "chunk_s": 2, "preset": "superfast",
        "rate": "vbr", "bitrate": "800k",
    });
    let id = farm.api().submit(&json!({"kind": "stream", "input": film, "stream": stream}));
    let done = farm.api().succeeded(id);
    let scans = done.tasks.iter().filter(|task| task.kind == TaskKind::Scan).count();
    assert_eq!((scans, chunks(&done).len()), (7, 7), "a look at every cell");
    let mut workers: Vec<_> = chunks(&done).iter().map(|task| task.worker).collect();
    workers.sort();
    workers.dedup();
    assert_eq!(workers.len(), 2);
    let set = done.set.as_ref().expect("a finished job has its set");
    for (name, asked) in [("480p", 800_000_u64), ("360p", 480_000)] {
        let rendition = set.renditions.iter().find(|one| one.name == name).expect("a rung");
        assert_eq!(rendition.packets, FRAMES);
        let mean = rendition.average_bps;
        assert!(mean.abs_diff(asked) * 20 <= asked, "{name}: {mean} b/s, {asked} asked for");
    }
    let size = |check: &&rushes_shared::check::Check| check.name == CheckName::Size;
    assert_eq!(set.checks.iter().filter(size).count(), 2, "{:?}", set.checks);
}

#[test]
fn a_coordinator_that_is_killed_between_chunks_and_package_loses_no_chunk() {
    let film = media::film();
    let mut farm = FarmPlan::new(2).start();
    // Two chunks, one for each node; slow enough for the second to be at work for some seconds after it has begun.
    let id = farm.api().submit(&job(&farm, &film, "slow", 7));
    until("both chunks have begun", ENCODE, || {
        let job = farm.api().job(id);
        assert!(!job.state.is_final(), "{id} ended before it could be disturbed: {job:#?}");
        let begun = |task: &&rushes_shared::view::TaskView| {
            matches!(task.state, TaskState::Running | TaskState::Succeeded)
        };
        (chunks(&job).into_iter().filter(|task| begun(task)).count() == 2).then_some(())
    });
    assert_eq!(farm.api().post(&format!("/v1/jobs/{id}/pause"), &json!({})).status, 200);
    let all_made = || {
        let job = farm.api().job(id);
        let made = |task: &&rushes_shared::view::TaskView| task.state == TaskState::Succeeded;
        (job.task_counts.running == 0 && chunks(&job).into_iter().filter(|t| made(t)).count() == 2)
            .then_some(job)
    };
    let before = until("the chunks are made and nothing runs", ENCODE, all_made);
    farm.kill_coordinator();
    assert!(!farm.staged().is_empty(), "the chunks wait in staging");
    farm.start_coordinator();
    assert_eq!(farm.api().post(&format!("/v1/jobs/{id}/resume"), &json!({})).status, 200);
    let done = farm.api().succeeded(id);
    is_the_film(&farm, &film, &done);
    let attempts = |job: &JobView| chunks(job).iter().map(|task| task.attempt.clone()).collect::<Vec<_>>();
    assert_eq!(attempts(&done), attempts(&before), "no chunk was made twice");
}

#[test]
fn a_destination_with_something_in_it_is_refused_and_a_broken_film_leaves_nothing() {
    let farm = FarmPlan::new(1).start();
    let place = farm.out().join("film");
    fs::create_dir(&place).expect("made");
    fs::write(place.join("mine.txt"), "mine").expect("written");
    let refused = farm.api().post("/v1/jobs", &job(&farm, &media::film(), "medium", 2));
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body.contains("not empty"), "{}", refused.body);
    fs::remove_file(place.join("mine.txt")).expect("removed");

    let whole = fs::read(media::film()).expect("readable");
    let broken = farm.input("broken.mp4");
    fs::write(&broken, &whole[..whole.len() / 3]).expect("written");
    let failed = farm.api().ended(farm.api().submit(&job(&farm, &broken, "ultrafast", 2)));
    assert_eq!(failed.state, JobState::Failed);
    let why = failed.failure.expect("a failed job says why");
    let codes = [FailureCode::InputDamaged, FailureCode::InputUnreadable];
    assert!(codes.contains(&why.code) && !why.advice.is_empty(), "{why:?}");
    assert_eq!(fs::read_dir(&place).expect("it was there").count(), 0, "nothing was put there");

    let mute = farm.api().submit(&job(&farm, &media::sound(), "ultrafast", 2));
    let failed = farm.api().ended(mute).failure.expect("it fails");
    assert_eq!(failed.code, FailureCode::StreamMissing);
    until("nothing is left in staging", ENCODE, || farm.staged().is_empty().then_some(()));
}

#[test]
fn a_canceled_job_leaves_nothing() {
    let film = media::film();
    let farm = FarmPlan::new(1).start();
    let id = farm.api().submit(&job(&farm, &film, "slower", 2));
    let _running = chunks_run(&farm, id, 1);
    assert_eq!(farm.api().post(&format!("/v1/jobs/{id}/cancel"), &json!({})).status, 200);
    assert_eq!(farm.api().ended(id).state, JobState::Canceled);
    until("nothing is left in staging", ENCODE, || farm.staged().is_empty().then_some(()));
    assert!(!farm.out().join("film").exists());
}

#[test]
fn a_set_that_the_farm_keeps_is_fetched_whole_by_the_command_line() {
    let film = media::film();
    let farm = FarmPlan::new(1).start();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rushes = |arguments: &[&str]| {
        let mut rushes = Command::new(rushes_tests::binaries::cli());
        rushes.env("RUSHES_URL", &farm.book().api_url).env("RUSHES_TOKEN", farm.token());
        rushes.env("XDG_STATE_HOME", dir.path().join("state")).current_dir(dir.path());
        let run = rushes.args(arguments).output().expect("the program starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (run.status.code(), text(&run.stdout), text(&run.stderr))
    };
    let document = format!(
        "kind = 'stream'\ninput = '{}'\n[stream]\nsegment_s = 2\nchunk_s = 4\npreset = 'ultrafast'\nmax_height = 360\n",
        film.display()
    );
    fs::write(dir.path().join("job.toml"), document).expect("written");
    let (code, said, told) = rushes(&["job", "submit", "job.toml", "--wait"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("chunk done") && told.contains("package done"), "a word for each stage: {told}");
    assert!(
        said.contains("360p") && said.contains("passed: decoding_errors") && said.contains("master.m3u8"),
        "{said}"
    );
    let (code, shown, _) = rushes(&["job", "show", "last"]);
    assert!(code == Some(0) && shown.contains("x264enc") && shown.contains("poster.jpg"), "{shown}");

    let (code, _, told) = rushes(&["job", "fetch", "last", "-o", "out"]);
    assert_eq!(code, Some(0), "{told}");
    let out = dir.path().join("out");
    assert_eq!(Facts::of(&out.join("master.m3u8")).frames(), FRAMES);
    let report: Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).expect("there")).expect("JSON");
    assert_eq!(count_files(&out), report["files"].as_array().expect("files").len() + 1);
    let (code, _, told) = rushes(&["job", "fetch", "last", "-o", "out"]);
    assert!(code == Some(2) && told.contains("not empty"), "{code:?}: {told}");
    assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 2, "job.toml, out and nothing else");
}

/// What was made of the same film with the same settings is taken, not made again; a change of settings makes all anew.
#[test]
fn the_same_chunks_are_not_encoded_twice() {
    let film = media::film();
    let farm = FarmPlan::new(1).start();
    let first = farm.api().succeeded(farm.api().submit(&job(&farm, &film, "ultrafast", 4)));
    is_the_film(&farm, &film, &first);
    fs::remove_dir_all(farm.out().join("film")).expect("it was published");
    // The same film under another name.
    let copy = farm.input("copy.mp4");
    fs::copy(&film, &copy).expect("copied");
    let second = farm.api().succeeded(farm.api().submit(&job(&farm, &copy, "ultrafast", 4)));
    is_the_film(&farm, &copy, &second);
    let parts = [TaskKind::Sound, TaskKind::Stills, TaskKind::Chunk];
    let worked = |job: &JobView| {
        let of_parts = job.tasks.iter().filter(|task| parts.contains(&task.kind));
        of_parts.map(|task| task.usage.expect("it ended").run_ms > 0).collect::<Vec<_>>()
    };
    assert_eq!(worked(&first), [true; 6], "{:#?}", first.tasks);
    assert_eq!(worked(&second), [false; 6], "nothing of it was made again: {:#?}", second.tasks);
    fs::remove_dir_all(farm.out().join("film")).expect("it was published");
    let other = farm.api().succeeded(farm.api().submit(&job(&farm, &film, "superfast", 4)));
    let chunks = other.tasks.iter().filter(|task| task.kind == TaskKind::Chunk);
    assert!(chunks.clone().count() == 4 && chunks.into_iter().all(|t| t.usage.expect("it ended").run_ms > 0));
}

#[test]
fn a_set_that_breaks_a_limit_of_its_own_is_not_published_and_the_job_says_which() {
    let farm = FarmPlan::new(1).start();
    let mut order = job(&farm, &media::short(), "ultrafast", 10);
    order["stream"]["check"] = json!({ "max_segment_ms": 400, "loudness": -20, "loudness_tolerance": 20 });
    let ended = farm.api().ended(farm.api().submit(&order));
    assert_eq!(ended.state, JobState::Failed, "{ended:#?}");
    let failure = ended.failure.as_ref().expect("it says why");
    assert_eq!(failure.code, FailureCode::CheckFailed);
    assert!(failure.message.contains("segment_length 360p: at most 400 ms, got "), "{failure:?}");
    assert!(failure.message.contains(" s"), "with its time: {failure:?}");
    assert!(!farm.out().join("film").exists(), "nothing is published");
    let mut show = Command::new(rushes_tests::binaries::cli());
    show.env("RUSHES_URL", &farm.book().api_url).env("RUSHES_TOKEN", farm.token());
    let told = show.args(["job", "show", &ended.id.to_string()]).output().expect("it runs");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("segment_length 360p: at most 400 ms"), "{told}");
}
