//! One job with outputs of every kind: each is what it should be, what most players take comes first and is there while
//! the job goes on, and one that fails leaves the others.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rushes_shared::check::{CheckName, CheckResult};
use rushes_shared::failure::FailureCode;
use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::view::{JobView, OutputState, OutputView};
use rushes_tests::media::{self, Facts};
use rushes_tests::wait::ENCODE;
use rushes_tests::{Farm, FarmPlan, binaries, until};
use serde_json::{Value, json};

/// Everything that a job can make of a film, and a poster that cannot keep its limit. The film is of 100 frames.
fn job(input: &Path) -> Value {
    let video = |height: u32| json!({"preset": "ultrafast", "crf": 30, "max_height": height});
    let rendition =
        |height: u32| json!({"suffix": format!("-{height}p"), "preset": "web", "video": video(height)});
    let sound = |variant: &str, container: &str| {
        let suffix = format!("-{variant}");
        json!({"suffix": suffix, "container": container, "audio": {"variant": variant}})
    };
    let mut large = rendition(1080);
    large["check"] = json!({"min_vmaf": 10});
    json!({"kind": "encode", "input": input, "paused": true, "outputs": [
        rendition(360), large, rendition(720),
        sound("high", "mp3"), sound("medium", "mp3"), sound("low", "m4a"), sound("mobile", "m4a"),
        {"suffix": "-poster", "poster": {"at": 1, "max_width": 640}, "check": {"max_bytes": 1_000_000}},
        {"suffix": "-thumbs", "thumbnails": {"every": 0.5, "max_width": 160, "format": "png"}},
        {"suffix": "-sprite", "sprite": {"every": 0.5, "width": 96, "columns": 3}},
        {"suffix": "-preview", "preview": {"from": 1, "length": 1.5, "fps": 8, "max_width": 200}},
        {"suffix": "-wave", "waveform": {}},
        {"suffix": "-wave", "waveform": {"width": 400, "height": 100}},
        {"suffix": "-tiny", "poster": {}, "check": {"max_bytes": 10}, "optional": true},
    ]})
}

/// The command line on a farm.
fn rushes(farm: &Farm, dir: &Path, arguments: &[&str]) -> Command {
    let mut rushes = Command::new(binaries::cli());
    rushes.env("RUSHES_URL", &farm.book().api_url).env("RUSHES_TOKEN", farm.token());
    rushes.env("XDG_STATE_HOME", dir.join("state")).current_dir(dir).args(arguments);
    rushes
}

fn output<'a>(job: &'a JobView, name: &str) -> &'a OutputView {
    job.outputs
        .iter()
        .find(|output| output.name == name)
        .unwrap_or_else(|| panic!("{name}: {:#?}", job.outputs))
}

fn is_ready(job: &JobView, name: &str) -> bool {
    output(job, name).state == OutputState::Published
}

/// What people see of a job that they wait for: every line up to the end.
struct Told {
    lines: std::sync::mpsc::Receiver<String>,
    child: std::process::Child,
}

impl Told {
    /// Follows a job; it is being watched when this returns.
    fn of(farm: &Farm, dir: &Path, id: JobId) -> Self {
        let mut rushes = rushes(farm, dir, &["job", "wait", &id.to_string()]);
        let mut child =
            rushes.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program starts");
        let told = BufReader::new(child.stderr.take().expect("it is piped"));
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || told.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        let first = lines.recv_timeout(ENCODE).expect("it tells of the job");
        assert!(first.contains(&id.to_string()), "{first}");
        Self { lines, child }
    }

    fn all(mut self) -> Vec<String> {
        assert!(self.child.wait().expect("it ends").success());
        self.lines.iter().collect()
    }
}

#[test]
fn one_job_makes_all_deliverables_720p_first_and_what_is_ready_is_there_while_it_goes_on() {
    let film = media::broad();
    let farm = FarmPlan::new(1).set_worker("slots.cpu_millicores=2000").start();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let id = farm.api().submit(&job(&film));
    let told = Told::of(&farm, dir.path(), id);
    assert_eq!(farm.api().post(&format!("/v1/jobs/{id}/resume"), &json!({})).status, 200);
    let early = until("720p is published", ENCODE, || {
        let job = farm.api().job(id);
        is_ready(&job, "broad-720p.mp4").then_some(job)
    });
    // Nothing more of it is started, so that it cannot end before what is ready was fetched.
    assert_eq!(farm.api().post(&format!("/v1/jobs/{id}/pause"), &json!({})).status, 200);
    assert!(!early.state.is_final(), "it was announced before the end");
    let first = output(&early, "broad-720p.mp4");
    assert!(
        first.published_at.is_some() && first.size_bytes.is_some() && first.download.is_some(),
        "{first:?}"
    );
    let pending = early.outputs.iter().filter(|output| output.state == OutputState::Pending).count();
    assert!(pending >= 8, "most are still to come: {:#?}", early.outputs);
    fetch_early(&farm, dir.path());
    assert_eq!(farm.api().post(&format!("/v1/jobs/{id}/resume"), &json!({})).status, 200);

    let done = farm.api().succeeded(id);
    let at = |output: &OutputView| output.published_at.clone().expect("it is published");
    let others = done.outputs.iter().filter(|output| output.state == OutputState::Published);
    for other in others.filter(|output| output.name != "broad-720p.mp4") {
        assert!(at(output(&done, "broad-720p.mp4")) <= at(other), "720p is first, before {}", other.name);
    }
    is_told(&told.all(), &done);
    fails_alone(&farm, dir.path(), &done);
    let run = rushes(&farm, dir.path(), &["job", "fetch", "last", "-o", "out"]).output().expect("it starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    are_what_they_should_be(&dir.path().join("out"), &done);
    until("nothing is left in staging", ENCODE, || farm.staged().is_empty().then_some(()));
}

/// What is ready is fetched while the job goes on.
fn fetch_early(farm: &Farm, dir: &Path) {
    let run = rushes(farm, dir, &["job", "fetch", "last", "-o", "out"]).output().expect("it starts");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(said.contains("still to come: ") && said.contains("broad-sprite.vtt"), "{said}");
    assert_eq!(Facts::of(&dir.join("out/broad-720p.mp4")).size(), (1280, 720));
    let run = rushes(farm, dir, &["job", "show", "last"]).output().expect("it starts");
    let shown = String::from_utf8_lossy(&run.stdout).into_owned();
    let line = |name: &str| shown.lines().find(|line| line.contains(&format!("/{name}"))).unwrap_or_default();
    assert!(line("broad-720p.mp4").starts_with("ready "), "{shown}");
    assert!(line("broad-wave.json").starts_with("to come"), "{shown}");
}

/// Each output was told of once, the most wanted first, and so was the failure.
fn is_told(lines: &[String], done: &JobView) {
    let ready: Vec<&str> =
        lines.iter().filter_map(|line| line.split_once(" is ready, ")?.0.rsplit(' ').next()).collect();
    let made = done.outputs.iter().filter(|output| output.state == OutputState::Published);
    let mut told = ready.clone();
    told.sort_unstable();
    let mut expected: Vec<&str> = made.map(|output| output.name.as_str()).collect();
    expected.sort_unstable();
    assert_eq!(told, expected, "{lines:#?}");
    assert_eq!(ready[..2], ["broad-720p.mp4", "broad-1080p.mp4"], "{lines:#?}");
    let failed = |line: &&String| {
        line.contains("encode of broad-tiny.jpg failed") && line.contains("at most 10 bytes")
    };
    assert!(lines.iter().any(|line| failed(&line)), "{lines:#?}");
}

/// The one output that broke its limit is named, with the limit.
fn fails_alone(farm: &Farm, dir: &Path, done: &JobView) {
    let tiny = output(done, "broad-tiny.jpg");
    let why = tiny.failure.as_ref().expect("it says why");
    assert_eq!((tiny.state, why.code), (OutputState::Missing, FailureCode::CheckFailed));
    assert!(why.message.contains("size: at most 10 bytes, got "), "{why:?}");
    let others = done.outputs.iter().filter(|output| output.name != tiny.name);
    assert!(others.clone().all(|output| output.state == OutputState::Published && output.failure.is_none()));
    assert_eq!(others.count(), 14, "an index beside the sprite sheet");
    let run = rushes(farm, dir, &["job", "show", "last"]).output().expect("it starts");
    let shown = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(shown.contains("missing broad-tiny.jpg: the finished file did not pass its check"), "{shown}");
}

fn are_what_they_should_be(out: &Path, done: &JobView) {
    let file = |name: &str| out.join(format!("broad-{name}"));
    for (name, size) in [("720p.mp4", (1280, 720)), ("1080p.mp4", (1920, 1080)), ("360p.mp4", (640, 360))] {
        let facts = Facts::of(&file(name));
        assert_eq!((facts.frames(), facts.size()), (100, size), "{name}");
    }
    let checks = &output(done, "broad-1080p.mp4").check.as_ref().expect("checked").checks;
    assert!(checks.iter().any(|check| check.name == CheckName::Vmaf && check.result == CheckResult::Passed));
    let sounds = [
        ("high.mp3", "mp3", 320),
        ("medium.mp3", "mp3", 192),
        ("low.m4a", "aac", 128),
        ("mobile.m4a", "aac", 96),
    ];
    for (name, codec, kbps) in sounds {
        let facts = Facts::of(&file(name));
        assert_eq!((facts.of_stream("audio", "codec_name").as_str(), facts.frames()), (codec, 0), "{name}");
        let bps: u32 = facts.of_stream("audio", "bit_rate").parse().expect("a bit rate");
        assert!(bps.abs_diff(kbps * 1000) < kbps * 120, "{name}: {bps}");
    }
    assert_eq!(Facts::of(&file("poster.jpg")).size(), (640, 360));
    thumbnails(&file("thumbs.zip"));
    // Eight pictures of half a second each, three in a row.
    assert_eq!(Facts::of(&file("sprite.jpg")).size(), (3 * 96, 3 * 54));
    let index = fs::read_to_string(file("sprite.vtt")).expect("readable");
    let cues: Vec<&str> = index.lines().filter(|line| line.starts_with("broad-sprite.jpg#xywh=")).collect();
    assert_eq!((cues.len(), cues[7]), (8, "broad-sprite.jpg#xywh=96,108,96,54"), "{index}");
    let preview = Facts::of(&file("preview.gif"));
    assert_eq!((preview.frames(), preview.size()), (12, (200, 113)));
    let wave: Value = serde_json::from_slice(&fs::read(file("wave.json")).expect("readable")).expect("JSON");
    assert_eq!((wave["version"].as_u64(), wave["channels"].as_u64()), (Some(2), Some(1)));
    let values = wave["data"].as_array().map(|data| data.len() as u64);
    assert_eq!(values, wave["length"].as_u64().map(|points| 2 * points));
    assert_eq!(Facts::of(&file("wave.png")).size(), (400, 100));
    let poster = output(done, "broad-poster.jpg");
    let named: Vec<CheckName> = poster.check.iter().flat_map(|c| &c.checks).map(|check| check.name).collect();
    assert_eq!(named, [CheckName::Size, CheckName::Frames, CheckName::Width, CheckName::Height]);
    assert_eq!(poster.media.as_ref().expect("probed").video[0].width, 640);
}

/// Eight pictures and their index, as another program unpacks them.
fn thumbnails(archive: &Path) {
    let into = archive.with_extension("");
    fs::create_dir(&into).expect("made");
    let unpack = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])";
    let run = Command::new("python3").args(["-c", unpack]).args([archive, into.as_path()]).output();
    let run = run.expect("these tests need python3");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let mut files: Vec<PathBuf> =
        fs::read_dir(&into).expect("readable").map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    let index = files.pop().expect("an index");
    assert_eq!((files.len(), index.file_name()), (8, Some("index.vtt".as_ref())), "{files:?}");
    assert!(files.iter().all(|file| Facts::of(file).size() == (160, 90)), "{files:?}");
    let index = fs::read_to_string(index).expect("readable");
    assert!(index.ends_with("00:00:03.500 --> 00:00:04.000\n00008.png\n"), "{index}");
}

#[test]
fn an_output_that_must_be_there_ends_the_job_and_what_is_published_stays() {
    let farm = FarmPlan::new(1).set_worker("slots.cpu_millicores=1000").start();
    let film = json!({"name": "film.mp4", "destination": farm.out().join("film.mp4"), "audience": 50,
                      "video": {"preset": "ultrafast"}});
    let tiny = json!({"name": "tiny.jpg", "destination": farm.out().join("tiny.jpg"), "poster": {"at": 1},
                      "check": {"max_bytes": 10}});
    let job = json!({"input": media::short(), "outputs": [tiny, film]});
    let failed = farm.api().ended(farm.api().submit(&job));
    assert_eq!(failed.state, JobState::Failed);
    let why = failed.failure.as_ref().expect("it says why");
    assert!(why.code == FailureCode::CheckFailed && why.message.contains("at most 10 bytes"), "{why:?}");
    assert_eq!(output(&failed, "tiny.jpg").failure.as_ref().map(|f| f.code), Some(FailureCode::CheckFailed));
    assert!(is_ready(&failed, "film.mp4"), "{:#?}", failed.outputs);
    assert_eq!(Facts::of(&farm.out().join("film.mp4")).frames(), 75);
    assert_eq!(media::files_in(&farm.out()), ["film.mp4"], "nothing of what failed is there");
}

#[test]
fn a_silent_film_goes_without_its_optional_sound() {
    let farm = FarmPlan::new(1).start();
    let job = json!({"input": media::silent(), "outputs": [
        {"suffix": "-poster", "poster": {}},
        {"container": "mp3", "audio": {"variant": "low"}, "optional": true},
        {"waveform": {}, "optional": true},
    ]});
    let done = farm.api().succeeded(farm.api().submit(&job));
    assert!(is_ready(&done, "silent-poster.jpg"), "{:#?}", done.outputs);
    for name in ["silent.mp3", "silent.json"] {
        let output = output(&done, name);
        let code = output.failure.as_ref().map(|failure| failure.code);
        assert_eq!((output.state, code), (OutputState::Missing, Some(FailureCode::StreamMissing)), "{name}");
    }
}

/// The example is a job that a farm takes as it stands, on a film of its own.
#[test]
fn the_example_of_all_deliverables_is_a_job() {
    let farm = FarmPlan::new(0).inputs(&media::folder()).start();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let example = binaries::repository().join("configs/jobs/deliverables.toml");
    let input = format!("input={}", media::broad().display());
    let example = example.to_str().expect("a path of words");
    let run = rushes(&farm, dir.path(), &["job", "submit", example, "--set", &input]).output();
    let run = run.expect("the program starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let jobs = farm.api().all_jobs();
    let names: Vec<&str> = jobs[0].outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names.len(), 15, "{names:?}");
    assert!(names.contains(&"broad-1080p.mp4") && names.contains(&"broad-sprite.vtt"), "{names:?}");
}
