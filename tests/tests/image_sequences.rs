//! Image sequences on a farm: uploaded by the command, packed by `tar` and sent over REST, or read from the coordinator's host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_shared::failure::FailureCode;
use rushes_shared::job::JobState;
use rushes_shared::view::{JobView, UploadView};
use rushes_tests::media::Facts;
use rushes_tests::program::{fail, succeed};
use rushes_tests::{Farm, FarmPlan, binaries};
use serde_json::{Value, json};

const FRAMES: u64 = 60;

/// Numbered pictures of a moving pattern, and the pattern of their names.
fn pictures(dir: &Path) -> PathBuf {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=854x480:rate=24", "-frames:v"]);
    ffmpeg.arg(FRAMES.to_string()).args(["-start_number", "1001"]).arg(dir.join("shot.%04d.png"));
    run(ffmpeg);
    dir.join("shot.####.png")
}

fn run(command: Command) {
    let _said = succeed(command);
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn rushes(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binaries::cli());
    command.env_remove("RUSHES_URL").env("XDG_STATE_HOME", dir.join("state"));
    command.env("XDG_CONFIG_HOME", dir.join("config")).args(arguments);
    command
}

/// Has a file's bytes sent, and gives the place to name as input.
fn uploaded(farm: &Farm, file: &Path) -> String {
    let content = fs::read(file).expect("it is there");
    let hash = blake3::hash(&content).to_hex().to_string();
    let asked = json!({"hash": hash, "size_bytes": content.len()});
    let permit: UploadView = farm.api().post("/v1/uploads", &asked).read();
    let sent = ureq::put(&permit.upload_url).send(&content[..]).expect("answered");
    assert_eq!(sent.status().as_u16(), 201);
    permit.location
}

fn succeeded(farm: &Farm, job: &Value) -> JobView {
    let id = farm.api().submit(job);
    farm.api().succeeded(id)
}

#[test]
fn a_sequence_on_the_host_becomes_a_film_and_a_set() {
    let dir = folder();
    let pattern = pictures(dir.path());
    let farm = FarmPlan::new(2).inputs(dir.path()).start();
    let film = farm.out().join("shot.mp4");
    let outputs = json!([{"name": "shot.mp4", "destination": film, "video": {"preset": "ultrafast"}}]);
    let job = json!({"kind": "encode", "input": pattern, "frame_rate": "24000/1001", "outputs": outputs});
    let done = succeeded(&farm, &job);
    let facts = Facts::of(&film);
    assert_eq!((facts.frames(), facts.size()), (FRAMES, (854, 480)), "{done:#?}");
    assert_eq!(facts.of_stream("video", "r_frame_rate"), "24000/1001");

    let stream =
        json!({"destination": farm.out().join("set"), "segment_s": 2, "chunk_s": 2, "preset": "ultrafast"});
    let set =
        succeeded(&farm, &json!({"kind": "stream", "input": pattern, "frame_rate": 24, "stream": stream}));
    let set = set.set.expect("a finished job has its set");
    assert_eq!(set.renditions[0].packets, FRAMES, "{set:#?}");
    for file in ["master.m3u8", "poster.jpg", "sprite.jpg"] {
        assert!(farm.out().join("set").join(file).is_file(), "{file}");
    }
}

#[test]
fn an_archive_made_by_tar_is_an_input_like_any_other() {
    let dir = folder();
    let pattern = pictures(dir.path());
    let archive = dir.path().join("shot.tar");
    let mut tar = Command::new("tar");
    tar.arg("cf").arg(&archive).arg("-C").arg(dir.path()).args(["--exclude=*.tar", "."]);
    run(tar);
    let farm = FarmPlan::new(1).start();
    let input = uploaded(&farm, &archive);
    let probe = succeeded(&farm, &json!({"kind": "probe", "input": input, "frame_rate": 25}));
    let facts = probe.media.expect("a probe finds facts");
    assert_eq!((facts.container.as_str(), facts.video[0].frames), ("image sequence", FRAMES));
    assert_eq!(facts.video[0].fps.map(|rate| (rate.num, rate.den)), Some((25, 1)));

    // The command packs by itself, and what it makes is named by what the pictures have in common.
    let pattern = pattern.to_str().expect("UTF-8");
    let out = dir.path().join("out");
    let place = out.to_str().expect("UTF-8");
    let line =
        ["encode", pattern, "-o", place, "--frame-rate", "30", "--encoder-preset", "ultrafast", "--quiet"];
    let mut command = rushes(dir.path(), &line);
    command.env("RUSHES_URL", &farm.book().api_url).env("RUSHES_TOKEN", farm.token());
    run(command);
    let facts = Facts::of(&out.join("shot.mp4"));
    assert_eq!((facts.frames(), facts.of_stream("video", "r_frame_rate").as_str()), (FRAMES, "30/1"));
}

#[test]
fn what_is_missing_is_said_before_work_and_what_is_damaged_by_its_name() {
    let dir = folder();
    let pattern = pictures(dir.path());
    fs::remove_file(dir.path().join("shot.1007.png")).expect("it was there");
    let farm = FarmPlan::new(1).inputs(dir.path()).start();
    let job = json!({"kind": "encode", "input": pattern, "outputs": [{"name": "a.mp4"}]});
    let refused = farm.api().post("/v1/jobs", &job).problem(422, "input_damaged");
    assert!(format!("{refused:?}").contains("shot.1007.png"), "{refused:?}");
    let (code, said) =
        fail(rushes(dir.path(), &["encode", pattern.to_str().expect("UTF-8"), "-o", "/tmp/none-of-it"]));
    assert!(code == Some(2) && said.contains("shot.1007.png"), "{code:?}: {said}");

    let whole = fs::read(dir.path().join("shot.1006.png")).expect("it is there");
    fs::write(dir.path().join("shot.1007.png"), &whole[..whole.len() / 2]).expect("written");
    let id = farm.api().submit(&job);
    let ended = farm.api().ended(id);
    let why = ended.failure.expect("it has a reason");
    assert_eq!((ended.state, why.code), (JobState::Failed, FailureCode::InputDamaged));
    assert!(why.message.contains("shot.1007.png is damaged"), "{why:?}");
}

#[test]
fn a_sequence_is_looked_at_and_encoded_without_a_farm() {
    let dir = folder();
    let pattern = pictures(dir.path());
    let pattern = pattern.to_str().expect("UTF-8");
    let probe =
        succeed(rushes(dir.path(), &["media", "probe", pattern, "--frame-rate", "12.5", "--output", "json"]));
    let facts: Value = serde_json::from_str(&probe).expect("JSON");
    assert_eq!(facts["video"][0]["fps"], json!({"num": 25, "den": 2}), "{facts}");
    let (poster, sprite) = (dir.path().join("poster.jpg"), dir.path().join("sprite.jpg"));
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    run(rushes(dir.path(), &["media", "thumbnail", pattern, "-o", &text(&poster)]));
    run(rushes(dir.path(), &["media", "sprite", pattern, "-o", &text(&sprite), "--every", "0.5"]));
    assert_eq!(Facts::of(&poster).size(), (854, 480));
    let out = dir.path().join("out");
    let line = ["encode", pattern, "-o", &text(&out), "--encoder-preset", "ultrafast", "--quiet"];
    run(rushes(dir.path(), &line));
    assert_eq!(Facts::of(&out.join("shot.mp4")).frames(), FRAMES);
    let film = text(&out.join("shot.mp4"));
    let line = ["media", "compare", pattern, &film, "--no-vmaf", "--output", "json"];
    let found: Value = serde_json::from_str(&succeed(rushes(dir.path(), &line))).expect("JSON");
    assert!(found["psnr_db"]["all"].as_f64().is_some_and(|psnr| psnr > 30.0), "{found}");
}
