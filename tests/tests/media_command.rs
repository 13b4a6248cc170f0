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
    bench.found(&line);
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
