//! The death of the process at any moment loses nothing that was acknowledged. `KILLS` sets how often it dies.

use std::io::Read;
use std::process::{Command, Stdio};

use rushes_powercut::load::{Promises, check};
use rushes_powercut::oplog;
use rushes_powercut::random::Random;

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let kills: u64 = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("store");
    let mut promises = Promises::default();
    let mut random = Random::new(kills);
    for round in 0..kills {
        let mut child = Command::new(env!("CARGO_BIN_EXE_store-child"))
            .args(["drive", root.to_str().expect("a text"), &round.to_string(), "1000000"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let mut out = child.stdout.take().expect("piped");
        let mut told = vec![0; usize::try_from(random.below(6000)).expect("small")];
        // Some rounds end before the store is open.
        if random.one_in(8) {
            told.clear();
        }
        out.read_exact(&mut told).expect("the child goes on until it is killed");
        child.kill().expect("kills");
        child.wait().expect("ends");
        out.read_to_end(&mut told).expect("reads what was said before");
        oplog::read(told.as_slice()).expect("readable").iter().for_each(|op| promises.note(op));
        let seen = check(&root, &promises).unwrap_or_else(|why| panic!("after kill {round}: {why}"));
        // The check itself has added a record and its document.
        promises.confirmed = seen.tail + 1;
    }
    println!("{kills} kills, {} records", promises.confirmed);
    assert!(promises.confirmed > kills);
}
