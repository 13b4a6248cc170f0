//! `rushes encode` with a farm of its own, when a part of that farm dies.

use std::fs;
use std::process::Command;

use rushes_shared::view::AddressBook;
use rushes_tests::program::{Program, succeed};
use rushes_tests::wait::ENCODE;
use rushes_tests::{SOON, binaries, media, tasks, until};
use rustix::process::{Pid, Signal};

#[test]
fn a_farm_of_ones_own_that_loses_its_coordinator_says_so() {
    let clip = media::long();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let command = |arguments: &[&str]| {
        let mut command = Command::new(binaries::cli());
        command.env_remove("RUSHES_URL").env("XDG_STATE_HOME", dir.path().join("state"));
        command.env("XDG_CONFIG_HOME", dir.path()).arg("encode").args(arguments);
        command.arg("-o").arg(dir.path().join("out"));
        command
    };
    let clip_name = clip.to_str().expect("UTF-8");
    let mut encoding =
        Program::start(command(&[clip_name, "--encoder-preset", "slower"]), &dir.path().join("encode.log"));
    let book = dir.path().join("state/rushes/own/0/coordinator/run.json");
    let book: AddressBook =
        until("the farm listens", ENCODE, || serde_json::from_slice(&fs::read(&book).ok()?).ok());
    until("the job is submitted", ENCODE, || encoding.said().contains("job_").then_some(()));
    let pid = i32::try_from(book.pid).ok().and_then(Pid::from_raw).expect("a process");
    tasks::signal(pid, Signal::KILL);
    let ended = encoding.ended(SOON);
    let said = encoding.said();
    assert_eq!(ended.code(), Some(6), "{said}");
    assert!(said.contains("the coordinator that this command started has ended (signal: 9"), "{said}");
    assert!(said.contains("run the command again") && !said.contains("--url"), "{said}");

    // As it says: the same command again, which is not in the way of what the first left behind.
    let short = media::short();
    let said =
        succeed(command(&[short.to_str().expect("UTF-8"), "--encoder-preset", "ultrafast", "--quiet"]));
    assert!(said.contains(".mp4"), "{said}");
}

#[test]
fn a_preset_of_ones_own_makes_a_set_that_only_force_replaces() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let presets = dir.path().join("config/rushes/presets");
    fs::create_dir_all(&presets).expect("a directory");
    let text = "description = 'small and fast'\nstream = { preset = 'ultrafast', crf = 30, segment_s = 2, chunk_s = 2 }\n";
    fs::write(presets.join("ours.toml"), text).expect("a preset");
    let out = dir.path().join("out");
    let command = |arguments: &[&str]| {
        let mut command = Command::new(binaries::cli());
        command.env_remove("RUSHES_URL").env("XDG_STATE_HOME", dir.path().join("state"));
        command.env("XDG_CONFIG_HOME", dir.path().join("config")).args(arguments);
        command
    };
    let clip = media::short();
    let (clip, place) = (clip.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    let encode = ["encode", clip, "-o", place, "--preset", "ours", "--max-height", "480", "--quiet"];
    assert!(succeed(command(&["preset", "list"])).contains("small and fast"));
    let said = succeed(command(&encode));
    assert!(said.contains("master.m3u8") && !said.contains("720p"), "{said}");
    let first = fs::metadata(out.join("report.json")).expect("a report").modified().expect("a time");
    for file in ["manifest.mpd", "poster.jpg", "sprite.jpg", "sprite.vtt"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let again = command(&encode).output().expect("it runs");
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.code() == Some(2) && said.contains("holds a set already; use --force"), "{said}");
    assert!(succeed(command(&[&encode[..], &["--force"]].concat())).contains("manifest.mpd"));
    assert!(fs::metadata(out.join("report.json")).expect("a report").modified().expect("a time") > first);
    let left: Vec<_> =
        fs::read_dir(dir.path()).expect("it is there").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 3, "config, state, out: {left:?}");
}
