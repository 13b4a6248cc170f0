//! The journal's last bytes torn off or flipped while the coordinator is down: the start says what it cut off and that
//! confirmed records are missing; everything before is there, and the farm works on.

use std::fs;
use std::path::{Path, PathBuf};

use rushes_shared::job::JobState;
use rushes_tests::{Farm, FarmPlan};
use serde_json::json;

/// Jobs that stay, and the name of the one whose record is damaged.
const BEFORE: usize = 20;
const LAST: &str = "the-very-last-job-of-this-journal";

#[test]
fn flipped_bytes_are_cut_off_and_reported() {
    survives(|path, at| {
        let mut bytes = fs::read(path).expect("the journal can be read");
        bytes[at] ^= 0x40;
        fs::write(path, bytes).expect("the journal can be written");
    });
}

#[test]
fn a_torn_end_is_cut_off_and_reported() {
    survives(|path, at| {
        let file = fs::OpenOptions::new().write(true).open(path).expect("the journal can be opened");
        let len = file.metadata().expect("it has a size").len();
        // The file keeps its size, as after a power cut: what was not written reads as zeros.
        file.set_len(at as u64).expect("it can be cut");
        file.set_len(len).expect("it can grow");
    });
}

fn survives(damage: impl Fn(&Path, usize)) {
    let mut farm = FarmPlan::new(0).start();
    let kept: Vec<_> = (0..BEFORE)
        .map(|n| farm.api().submit(&json!({"kind": "noop", "name": format!("job {n}")})))
        .collect();
    let lost = farm.api().submit(&json!({"kind": "noop", "name": LAST}));
    farm.kill_coordinator();
    let (path, at) = place_of_last(&farm);
    damage(&path, at);

    farm.start_coordinator();
    let said = farm.coordinator().said();
    assert!(said.contains("CONFIRMED RECORDS"), "the loss of a confirmed record is named:\n{said}");
    assert!(said.contains("restore a backup"), "it says what to do:\n{said}");
    for id in &kept {
        assert_eq!(farm.api().job(*id).state, JobState::Queued);
    }
    let _gone = farm.api().get(&format!("/v1/jobs/{lost}")).problem(404, "no_such_job");
    assert_eq!(farm.api().all_jobs().len(), BEFORE);

    // It works on, and the next start has nothing to complain about.
    let _worker = farm.add_worker();
    for id in kept {
        let _job = farm.api().succeeded(id);
    }
    let new = farm.api().submit(&json!({"kind": "noop"}));
    let _job = farm.api().succeeded(new);
    farm.stop_coordinator();
    farm.start_coordinator();
    let said = farm.coordinator().said();
    assert!(said.contains("nothing that was confirmed is missing"), "{said}");
    assert_eq!(farm.api().all_jobs().len(), BEFORE + 1);
}

/// The file and the offset of the last job's name in it.
fn place_of_last(farm: &Farm) -> (PathBuf, usize) {
    let mut open = vec![farm.state_dir().join("store")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("the store can be listed").flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
                continue;
            }
            let bytes = fs::read(entry.path()).expect("the store can be read");
            if let Some(at) = bytes.windows(LAST.len()).rposition(|w| w == LAST.as_bytes()) {
                return (entry.path(), at);
            }
        }
    }
    panic!("the last job is nowhere in the store")
}
