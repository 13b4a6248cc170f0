//! A job that probes many files on a farm of real processes: what is found is told file by file, and a file that breaks its
//! process is found and blamed without the others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_shared::failure::FailureCode;
use rushes_shared::job::JobState;
use rushes_shared::view::{FileFacts, JobView, OutputState};
use rushes_tests::{Farm, FarmPlan, binaries, media};
use serde_json::json;

/// All that a job has found, by the command that people use.
fn facts(farm: &Farm, job: &JobView) -> Vec<FileFacts> {
    let output = rushes(farm).args(["job", "facts", &job.id.to_string()]).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("it is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is an object")).collect()
}

fn rushes(farm: &Farm) -> Command {
    let mut command = Command::new(binaries::cli());
    command.env("RUSHES_URL", &farm.book().api_url).env("RUSHES_TOKEN", farm.token());
    command.args(["--output", "json", "--quiet"]);
    command
}

/// An MP4 of a few kilobytes whose index says that each of its many tracks has sixteen million frames: to go through them
/// takes far longer than a probe may stand still.
fn endless(path: &Path) {
    fn boxed(code: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len() + 8).expect("it is small");
        [&size.to_be_bytes()[..], code, body].concat()
    }
    let numbers = |all: &[u32]| all.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>();
    let frames = 16 << 20;
    let table = [
        boxed(b"stsz", &numbers(&[0, 1, frames])),
        boxed(b"stts", &numbers(&[0, 1, frames, 1])),
        boxed(b"stsd", &numbers(&[0, 0])),
    ]
    .concat();
    let media = [
        boxed(b"mdhd", &numbers(&[0, 0, 0, 1000, frames, 0])),
        boxed(b"hdlr", &[&numbers(&[0, 0])[..], b"vide", &[0; 13]].concat()),
        boxed(b"minf", &boxed(b"stbl", &table)),
    ]
    .concat();
    let track = boxed(b"trak", &[boxed(b"tkhd", &[0; 84]), boxed(b"mdia", &media)].concat());
    let movie = [boxed(b"mvhd", &numbers(&[0, 0, 0, 1000, frames, 0])), track.repeat(400)].concat();
    let file = [boxed(b"ftyp", b"isom\0\0\0\0isom"), boxed(b"moov", &movie)].concat();
    fs::write(path, file).expect("written");
}

#[test]
fn many_files_are_told_of_one_by_one() {
    let farm = FarmPlan::new(1).set("engine.probe.stall_ms=2000").start();
    let good: Vec<PathBuf> = (0..70).map(|n| farm.input(&format!("good {n:02}.mp4"))).collect();
    for file in &good {
        fs::copy(media::short(), file).expect("copied");
    }
    let (empty, text, bomb) = (farm.input("empty.mp4"), farm.input("text.mp4"), farm.input("endless.mp4"));
    fs::write(&empty, "").expect("written");
    fs::write(&text, "This is no film.\n".repeat(100)).expect("written");
    endless(&bomb);
    let (missing, outside) = (farm.input("missing.mp4"), PathBuf::from("/etc/passwd"));
    // The bad ones stand among the good ones of the first task.
    let mut inputs = good.clone();
    for (at, bad) in [(3, &empty), (10, &text), (20, &bomb), (30, &missing), (40, &outside)] {
        inputs.insert(at, bad.clone());
    }

    let id = farm.api().submit(&json!({ "kind": "probe", "inputs": inputs }));
    let job = farm.api().ended(id);
    assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    let files = job.files.expect("it probes many files");
    assert_eq!((files.all, files.read, files.failed), (75, 70, 5));
    assert_eq!((job.tasks.len(), job.task_counts.succeeded), (2, 2));
    assert!(job.tasks.iter().all(|task| task.attempts == 1), "{:#?}", job.tasks);
    assert!(job.outputs.iter().all(|output| output.state == OutputState::Published));

    let found = facts(&farm, &job);
    assert_eq!(found.len(), inputs.len());
    let one = farm.api().succeeded(farm.api().submit(&json!({ "kind": "probe", "input": good[0] })));
    for (line, input) in found.iter().zip(&inputs) {
        let named: String = line.input.replace("%20", " ");
        assert_eq!(named, format!("file://{}", input.display()), "in the order of the inputs");
        assert!(line.facts.is_some() != line.failure.is_some(), "{line:?}");
        if good.contains(input) {
            assert_eq!(line.facts, one.media, "as a probe of this file alone says");
            assert_eq!(line.size_bytes, one.media.as_ref().map(|facts| facts.size_bytes));
            assert_eq!(line.hash, None, "its headers were enough");
        }
    }
    let code = |file: &Path| {
        let at = inputs.iter().position(|input| input == file).expect("it was named");
        let failure = found[at].failure.as_ref().unwrap_or_else(|| panic!("{} is bad", file.display()));
        assert!(!failure.message.is_empty() && !failure.advice.is_empty(), "{failure:?}");
        failure.code
    };
    assert_eq!(code(&empty), FailureCode::InputEmpty);
    assert_eq!(code(&text), FailureCode::InputUnreadable);
    assert_eq!(code(&missing), FailureCode::InputNotFound);
    assert_eq!(code(&outside), FailureCode::OutsideRoots);
    assert_eq!(code(&bomb), FailureCode::ProcessStalled);
}

#[test]
fn one_command_probes_what_a_list_names() {
    let farm = FarmPlan::new(1).start();
    let (good, bad) = (farm.input("good.mp4"), farm.input("bad.mp4"));
    fs::copy(media::short(), &good).expect("copied");
    fs::write(&bad, "nothing").expect("written");
    let list = farm.root().join("list");
    fs::write(&list, format!("{}\n", bad.display())).expect("written");
    let told = rushes(&farm).arg("probe").arg(&good).arg("--from").arg(&list).output().expect("it runs");
    assert_eq!(told.status.code(), Some(1), "one could not be read: {told:?}");
    let text = String::from_utf8(told.stdout).expect("it is UTF-8");
    let lines: Vec<FileFacts> =
        text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0].facts.as_ref().map(|facts| facts.container.as_str()), Some("mp4"));
    assert_eq!(lines[1].failure.as_ref().map(|why| why.code), Some(FailureCode::InputUnreadable));
}
