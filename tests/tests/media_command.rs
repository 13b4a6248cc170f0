//! `rushes media` on this machine, without a farm: the real command, the real contained process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rushes_tests::program::Program;
use rushes_tests::{SOON, binaries, media};
use serde_json::Value;

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binaries::cli());
        command.env_remove("RUSHES_URL").env("XDG_STATE_HOME", self.path("state"));
        command.current_dir(self.0.path()).args(["media"]).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program starts")
    }

    /// The result as JSON of a command that has to succeed.
    fn found(&self, arguments: &[&str]) -> Value {
        let mut line = arguments.to_vec();
        line.extend(["--output", "json"]);
        let output = self.run(&line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).expect("the result is JSON")
    }

    /// Exit code and error of one that has to fail.
    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        (
            output.status.code().expect("it ends by itself"),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_file_is_probed_and_measured_without_a_farm() {
    let bench = Bench::new();
    let clip = media::big_buck_bunny();
    let facts = bench.found(&["probe", text(&clip)]);
    assert_eq!((&facts["container"], &facts["video"][0]["codec"]), (&"mp4".into(), &"h264".into()));
    let found = bench.found(&["loudness", text(&clip)]);
    let level = found["integrated_lufs"].as_f64().expect("it has sound");
    assert!((-34.2..-33.8).contains(&level), "{found}");
    let shown = bench.run(&["loudness", text(&clip)]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("integrated      -34.0 LUFS"));
    assert_eq!(fs::read_dir(bench.0.path()).expect("a directory").count(), 0, "nothing is left behind");
}

#[test]
fn a_waveform_is_made_whole_and_replaces_nothing_unasked() {
    let bench = Bench::new();
    let clip = media::big_buck_bunny();
    let line = ["waveform", text(&clip), "-o", "wave.json", "--bits", "8", "--samples-per-pixel", "480"];
    let made = bench.found(&line);
    assert_eq!(made[0]["file"], "wave.json");
    let wave: Value =
        serde_json::from_slice(&fs::read(bench.path("wave.json")).expect("made")).expect("JSON");
    assert_eq!((&wave["version"], &wave["bits"], &wave["channels"]), (&2.into(), &8.into(), &1.into()));
    let values = wave["data"].as_array().expect("values").len() as u64;
    assert_eq!(wave["length"].as_u64().map(|n| n * 2), Some(values));
    let (code, said) = bench.refused(&line);
    assert!(code == 2 && said.contains("use --force to replace it"), "{said}");
    bench.found(&["waveform", text(&clip), "-o", "wave.png", "--size", "300x100"]);
    let facts = bench.found(&["probe", "wave.png"]);
    assert_eq!((&facts["video"][0]["width"], &facts["video"][0]["height"]), (&300.into(), &100.into()));
    let (code, said) = bench.refused(&["waveform", text(&clip), "-o", "wave.gif"]);
    assert!(code == 2 && said.contains("should end in .json or .png"), "{said}");
    assert_eq!(fs::read_dir(bench.0.path()).expect("a directory").count(), 2, "nothing is left behind");
}

#[test]
fn what_is_no_media_is_told_with_what_to_do() {
    let bench = Bench::new();
    fs::write(bench.path("words.mkv"), "not a film at all, but words").expect("it can be written");
    fs::write(bench.path("empty.mp4"), "").expect("it can be written");
    let (code, said) = bench.refused(&["probe", "words.mkv"]);
    assert!(code == 1 && said.contains("check that the file is complete"), "{code}: {said}");
    let (code, said) = bench.refused(&["probe", "empty.mp4", "--output", "json"]);
    let told: Value = serde_json::from_str(&said).expect("one JSON object");
    assert_eq!((code, &told["error"]["failure"]["code"]), (1, &"input_empty".into()), "{said}");
    let (code, said) = bench.refused(&["probe", "absent.mp4"]);
    assert!(code == 6 && said.contains("cannot read absent.mp4"), "{code}: {said}");
    // One that fails does not keep the others from being told.
    let clip = media::big_buck_bunny();
    let both = bench.run(&["probe", "words.mkv", text(&clip), "--output", "json"]);
    let told: Value = serde_json::from_slice(&both.stdout).expect("JSON");
    assert_eq!((both.status.code(), told.as_array().map(Vec::len)), (Some(1), Some(1)));
}

#[test]
fn a_time_limit_ends_an_operation_and_its_process() {
    let bench = Bench::new();
    let long = bench.path("long.wav");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "anoisesrc=d=3600:r=48000:a=0.1", "-c:a", "pcm_s16le"])
        .arg(&long)
        .status();
    assert!(made.is_ok_and(|made| made.success()), "these tests need ffmpeg");
    let log = bench.path("log");
    let mut running = Program::start(bench.command(&["loudness", "long.wav", "--time-limit", "1"]), &log);
    let ended = running.ended(SOON);
    let said = running.said();
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(said.contains("was not done within 1 s") && said.contains("--time-limit"), "{said}");
}

#[test]
fn pictures_are_made_from_a_film() {
    let bench = Bench::new();
    let clip = media::big_buck_bunny();
    let clip = text(&clip);
    let size = |file: &str| {
        let facts = bench.found(&["probe", file]);
        (facts["video"][0]["width"].as_u64(), facts["video"][0]["height"].as_u64())
    };
    bench.found(&["thumbnail", clip, "-o", "poster.jpg", "--best", "--max-width", "320"]);
    assert_eq!(size("poster.jpg"), (Some(320), Some(180)));
    let made = bench.found(&["thumbnail", clip, "-o", "thumb.png", "--every", "2", "--max-height", "90"]);
    assert_eq!(made.as_array().map(Vec::len), Some(3), "{made}");
    assert_eq!(size("thumb-3.png"), (Some(160), Some(90)));
    bench.found(&["sprite", clip, "-o", "sprite.jpg", "--columns", "3", "--width", "80"]);
    assert_eq!(size("sprite.jpg"), (Some(240), Some(90)));
    let index = fs::read_to_string(bench.path("sprite.vtt")).expect("made");
    assert!(index.starts_with("WEBVTT\n") && index.contains("sprite.jpg#xywh=160,45,80,45"), "{index}");
    bench.found(&["preview", clip, "-o", "preview.gif", "--length", "1", "--max-width", "100"]);
    assert!(fs::read(bench.path("preview.gif")).expect("made").starts_with(b"GIF89a"));
    let (code, said) = bench.refused(&["thumbnail", clip, "-o", "late.jpg", "--at", "60"]);
    assert!(code == 1 && said.contains("the film ends after 5.280 s"), "{code}: {said}");
}

#[test]
fn a_film_is_compared_with_its_reference() {
    let bench = Bench::new();
    let clip = media::short();
    let worse = bench.path("worse.mp4");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&clip)
        .args(["-an", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "40"])
        .arg(&worse)
        .status();
    assert!(made.is_ok_and(|made| made.success()), "these tests need ffmpeg");
    let found = bench.found(&["compare", text(&clip), "worse.mp4"]);
    let psnr = found["psnr_db"]["all"].as_f64().expect("they differ");
    assert!((20.0..40.0).contains(&psnr) && found["frames_missing"] == 0, "{found}");
    assert!(!found["worst"].as_array().expect("a list").is_empty());
    let shown = bench.run(&["compare", text(&clip), text(&clip)]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("75 frames compared, 75 measured, 0 missing") && shown.contains("same"),
        "{shown}"
    );
    assert!(shown.contains("vmaf_v0.6.1") && shown.contains("WORST 1 %"), "{shown}");
    let sampled =
        bench.found(&["compare", text(&clip), "worse.mp4", "--every", "5", "--model", "vmaf_v0.6.1neg"]);
    let vmaf = |found: &serde_json::Value, name: &str| found["vmaf"][name].as_f64().expect("it is measured");
    assert_eq!((sampled["measured"].as_u64(), sampled["frames"].as_u64()), (Some(15), Some(75)), "{sampled}");
    assert!(vmaf(&found, "min") <= vmaf(&found, "harmonic_mean"), "{found}");
    assert!(vmaf(&found, "harmonic_mean") <= vmaf(&found, "mean"), "{found}");
    assert!(
        vmaf(&found, "mean") < 90.0 && vmaf(&sampled, "mean") < vmaf(&found, "mean") + 5.0,
        "{found} {sampled}"
    );
}

/// What each odd file gives by an operation that decodes it: a result, or an error that says what to do.
#[test]
fn odd_files_end_in_a_result_or_a_clear_error() {
    let beside = binaries::repository().join("../shared/media");
    let folder = std::env::var_os("RUSHES_MEDIA").map_or(beside, PathBuf::from).join("odd");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("skipped: no real media; set RUSHES_MEDIA");
        return;
    };
    let bench = Bench::new();
    for file in entries.map(|entry| entry.expect("the folder can be read").path()) {
        let name = text(&file);
        for line in [
            vec!["probe", name],
            vec!["loudness", name],
            vec!["thumbnail", name, "-o", "odd.jpg", "--force"],
            vec!["sprite", name, "-o", "odd.png", "--force"],
            vec!["waveform", name, "-o", "wave.png", "--force"],
            vec!["compare", name, name],
        ] {
            let output = bench.run(&line);
            let said = String::from_utf8_lossy(&output.stderr);
            match output.status.code() {
                Some(0) => {}
                Some(1) => assert!(
                    said.lines().count() >= 2
                        && !said.contains("panicked")
                        && !said.contains("process ended"),
                    "{line:?}: {said}"
                ),
                other => panic!("{line:?}: {other:?} {said}"),
            }
        }
    }
}
