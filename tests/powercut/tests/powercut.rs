//! A power cut at any moment loses nothing that was acknowledged.
//!
//! `POWERCUT_IMAGES` sets how many cuts are tried, `POWERCUT_SEED` where the chance begins; both are printed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rushes_powercut::disk::{Disk, Mercy};
use rushes_powercut::load::{Promises, Seen, check};
use rushes_powercut::oplog::{self, Note, Op};
use rushes_powercut::random::Random;

fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    println!("{name}={value}");
    value
}

/// A directory in memory where there is one: nothing in these tests needs a disk.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(dir) = tempfile::tempdir_in(memory)
    {
        return dir;
    }
    tempfile::tempdir().expect("a directory")
}

/// Runs the child and reads its log.
fn run(root: &Path, log: &Path, seed: u64, records: u64, deaf: bool) -> Vec<Op> {
    std::fs::create_dir_all(root).expect("makes the root");
    let mut child = Command::new(env!("CARGO_BIN_EXE_powercut-child"));
    child.arg(root).arg(log).arg(seed.to_string()).arg(records.to_string());
    if deaf {
        child.arg("deaf");
    }
    let status = child.status().expect("the child starts");
    assert!(status.success(), "the child failed, seed {seed}");
    oplog::read(std::fs::File::open(log).expect("the log is there")).expect("the log is readable")
}

fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    Disk::load(root).expect("reads the directory").files()
}

/// Moments worth a cut: by chance, right after an acknowledgement, and right before a sync takes effect.
fn moments(ops: &[Op], count: usize, random: &mut Random) -> Vec<usize> {
    let of = |wanted: fn(&Op) -> bool| -> Vec<usize> {
        ops.iter().enumerate().filter(|(_, op)| wanted(op)).map(|(at, _)| at).collect()
    };
    let acks = of(|op| matches!(op, Op::Note(Note::Confirmed(_) | Note::KeySet { .. } | Note::Snapshot(_))));
    let syncs = of(|op| matches!(op, Op::SyncEnd { .. }));
    let pick = |from: &[usize], random: &mut Random| {
        let at = random.below(from.len() as u64);
        from[usize::try_from(at).expect("an index")]
    };
    let mut moments: Vec<usize> = (0..count)
        .map(|_| match random.below(3) {
            0 => usize::try_from(random.below(ops.len() as u64)).expect("an index"),
            1 => pick(&acks, random) + 1,
            _ => pick(&syncs, random),
        })
        .collect();
    moments.sort_unstable();
    moments
}

/// A cut to try.
struct Cut {
    at: usize,
    mercy: Mercy,
    seed: u64,
    left: Disk,
    promises: Promises,
}

struct Tried {
    broken: Vec<String>,
    seen: Vec<Seen>,
}

/// Plays the log, cuts the power at each moment in each way by turns, and opens the real store on what is left.
fn try_cuts(start: Disk, before: &Promises, ops: &[Op], count: usize, seed: u64) -> Tried {
    let mut random = Random::new(seed);
    let moments = moments(ops, count, &mut random);
    let (mut disk, mut promises, mut played) = (start, before.clone(), 0);
    let tried = Mutex::new(Tried { broken: Vec::new(), seen: Vec::new() });
    let number = AtomicUsize::new(0);
    let dir = scratch();
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let (cuts, waiting) = std::sync::mpsc::sync_channel::<Cut>(threads);
        let waiting = std::sync::Arc::new(Mutex::new(waiting));
        for _ in 0..threads {
            let (tried, number, dir, waiting) =
                (&tried, &number, dir.path(), std::sync::Arc::clone(&waiting));
            scope.spawn(move || {
                loop {
                    let cut = waiting.lock().expect("no panic").recv();
                    let Ok(cut) = cut else { break };
                    let image = dir.join(number.fetch_add(1, Ordering::Relaxed).to_string());
                    let result = try_cut(&cut, &image);
                    let mut tried = tried.lock().expect("no panic");
                    match result {
                        Ok(seen) => tried.seen.push(seen),
                        Err(why) => {
                            tried
                                .broken
                                .push(format!("cut at {} {:?} seed {}: {why}", cut.at, cut.mercy, cut.seed));
                            keep(&image, tried.broken.len());
                        }
                    }
                    std::fs::remove_dir_all(&image).expect("removes the image");
                }
            });
        }
        for at in moments {
            for op in &ops[played..at.max(played)] {
                disk.play(op);
                promises.note(op);
            }
            played = played.max(at);
            let seed = random.draw();
            let mut chance = Random::new(seed);
            let mercy = Mercy::ALL[usize::try_from(chance.below(5)).expect("an index")];
            let left = disk.cut(mercy, &mut chance);
            cuts.send(Cut { at, mercy, seed, left, promises: promises.clone() }).expect("somebody waits");
        }
    });
    tried.into_inner().expect("no panic")
}

fn try_cut(cut: &Cut, image: &Path) -> Result<Seen, String> {
    cut.left.store(image).expect("writes the image");
    let checked = std::panic::catch_unwind(|| check(image, &cut.promises));
    let seen = checked.unwrap_or_else(|_| Err("it panicked".to_owned()))?;
    // Opening wrote as well: a second start finds the same, and what was added.
    let again = Promises { confirmed: seen.tail + 1, ..cut.promises.clone() };
    let checked = std::panic::catch_unwind(|| check(image, &again));
    checked
        .unwrap_or_else(|_| Err("it panicked".to_owned()))
        .map_err(|why| format!("at the second start: {why}"))?;
    Ok(seen)
}

/// Keeps broken images where somebody asked for them.
fn keep(image: &Path, number: usize) {
    if let Some(to) = std::env::var_os("POWERCUT_KEEP") {
        let to = PathBuf::from(to).join(number.to_string());
        Command::new("cp").arg("-r").arg(image).arg(&to).status().expect("copies the image");
    }
}

#[test]
fn the_log_misses_no_call() {
    let dir = scratch();
    let (root, log) = (dir.path().join("root"), dir.path().join("log"));
    let ops = run(&root, &log, 1, 1500, false);
    let mut disk = Disk::new();
    ops.iter().for_each(|op| disk.play(op));
    let (expected, played) = (files(&root), disk.cut(Mercy::All, &mut Random::new(0)).files());
    assert_eq!(played.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, content) in expected {
        assert!(played[&name] == content, "{name} differs from what the log says");
    }
    for wanted in ["db/db", "confirmed", "format"] {
        assert!(played.contains_key(wanted), "{wanted} is not there");
    }
    // The load is what it should be: snapshots, removals, and syncs that another thread's writes fall into.
    assert!(ops.iter().filter(|op| matches!(op, Op::Note(Note::Snapshot(_)))).count() > 2);
    assert!(ops.iter().any(|op| matches!(op, Op::Note(Note::Retiring(_)))));
}

/// sled's recovery looks for a torn end in the last segment or two, and writes over a freed segment when the log is two
/// further. The store promises never to have that much unsynced.
#[test]
fn less_than_a_segment_is_unsynced_at_any_time() {
    const SEGMENT: usize = 2 * 1024 * 1024;
    let dir = scratch();
    let ops = run(&dir.path().join("root"), &dir.path().join("log"), 3, 4000, false);
    let log = ops.iter().find_map(|op| match op {
        Op::Define { object, path, .. } if path == "db/db" => Some(*object),
        _ => None,
    });
    let log = log.expect("sled's log is there");
    let (mut unsynced, mut most, mut since_begin, mut open) = (0, 0, 0, None);
    for op in &ops {
        match op {
            Op::Write { object, data, .. } if *object == log => {
                unsynced += data.len();
                since_begin += data.len();
                most = most.max(unsynced);
            }
            Op::SyncBegin { sync, object } if *object == log => {
                since_begin = 0;
                open = Some(*sync);
            }
            Op::SyncEnd { sync } if open == Some(*sync) => unsynced = since_begin,
            _ => {}
        }
    }
    println!("at most {most} bytes were unsynced");
    assert!(most > 0 && most < SEGMENT, "{most} bytes were unsynced at one time");
}

#[test]
fn nothing_acknowledged_is_lost_in_a_power_cut() {
    let (images, seed) = (setting("POWERCUT_IMAGES", 200), setting("POWERCUT_SEED", 7));
    let dir = scratch();
    let (root, log) = (dir.path().join("root"), dir.path().join("log"));
    let ops = run(&root, &log, seed, 2500, false);
    let tried = try_cuts(Disk::new(), &Promises::default(), &ops, images.try_into().expect("fits"), seed);
    summary(&tried);
    assert!(tried.broken.is_empty(), "{} of {images} cuts broke a promise", tried.broken.len());
}

/// A store that starts on what a power cut has left, and has its power cut again while it puts that in order.
#[test]
fn a_second_power_cut_while_it_recovers_loses_nothing_either() {
    let (images, seed) = (setting("POWERCUT_IMAGES", 200) / 4, setting("POWERCUT_SEED", 7) ^ 0x2);
    let dir = scratch();
    let mut random = Random::new(seed);
    let (root, log) = (dir.path().join("root"), dir.path().join("log"));
    let ops = run(&root, &log, seed, 1200, false);
    let mut broken = Vec::new();
    for round in 0..4_u64 {
        let at = usize::try_from(random.below(ops.len() as u64)).expect("an index");
        let (mut disk, mut promises) = (Disk::new(), Promises::default());
        for op in &ops[..at] {
            disk.play(op);
            promises.note(op);
        }
        let root = dir.path().join(format!("again{round}"));
        disk.cut(Mercy::Torn, &mut random).store(&root).expect("writes the image");
        let start = Disk::load(&root).expect("reads the image");
        let again = run(&root, &log, seed + round + 1, 200, false);
        let tried = try_cuts(start, &promises, &again, images.try_into().expect("fits"), random.draw());
        summary(&tried);
        broken.extend(tried.broken);
    }
    assert!(broken.is_empty(), "{} cuts broke a promise", broken.len());
}

/// The proof is worth something only if it fails when the store's own sync does nothing.
#[test]
fn without_the_stores_own_sync_losses_are_seen() {
    let seed = setting("POWERCUT_SEED", 7);
    let dir = scratch();
    let (root, log) = (dir.path().join("root"), dir.path().join("log"));
    let ops = run(&root, &log, seed, 800, true);
    let tried = try_cuts(Disk::new(), &Promises::default(), &ops, 40, seed);
    println!("{} of 40 cuts broke a promise, as they should", tried.broken.len());
    assert!(tried.broken.len() > 10, "the layer has missed losses");
}

fn summary(tried: &Tried) {
    for why in &tried.broken {
        println!("{why}");
    }
    let torn = tried.seen.iter().filter(|seen| seen.cut > 0).count();
    let tails = tried.seen.iter().map(|seen| seen.tail).max().unwrap_or(0);
    println!(
        "{} cuts kept every promise, {torn} of them with a torn group; up to record {tails}",
        tried.seen.len()
    );
}
