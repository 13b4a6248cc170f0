//! Mutated media through a real farm: bits flipped, ends cut off, boxes and blocks swapped, lengths overwritten. Whatever
//! comes of it, each job ends inside its limits with an output or a clear failure, and the worker lives on.
//!
//! 50 files as a test; `make fuzz-media` takes 2,000 (`RUSHES_FUZZ=N`). The seed is printed and makes the same files again
//! (`RUSHES_SEED`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_shared::failure::FailureCode;
use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::task::TaskKind;
use rushes_shared::view::JobView;
use rushes_tests::chance::Chance;
use rushes_tests::{Farm, FarmPlan, binaries, media, program, tasks};
use serde_json::{Value, json};

/// Files as a test of its own.
const FILES: usize = 50;
/// Jobs that are under way at once.
const TOGETHER: usize = 8;
/// What a task may take: wall time in milliseconds, and address space.
const WALL_MS: u64 = 60_000;
const STALL_MS: u64 = 20_000;
const SPACE: u64 = 6 << 30;
/// Attempts of a task.
const ATTEMPTS: u64 = 2;
/// The most that the worker itself may hold.
const WORKER_RSS: u64 = 256 << 20;
/// Largest file of the media collection that is taken as it is.
const LARGEST: u64 = 1 << 20;

const PICTURE: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=1"];
const SOUND: [&str; 4] = ["-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000:duration=1"];

/// Media of each container, by file name and what ffmpeg makes it with.
const SEEDS: [(&str, &str); 17] = [
    ("h264.mp4", "-c:v libx264 -pix_fmt yuv420p -bf 2 -c:a aac -movflags +faststart"),
    ("fragments.mp4", "-c:v libx264 -pix_fmt yuv420p -c:a aac -movflags +frag_keyframe+empty_moov"),
    ("hevc10.mp4", "-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le -c:a aac"),
    ("prores.mov", "-c:v prores_ks -c:a pcm_s16le"),
    ("mjpeg.mov", "-c:v mjpeg -pix_fmt yuvj420p -c:a pcm_s16be"),
    ("vp9.webm", "-c:v libvpx-vp9 -deadline realtime -c:a libopus"),
    ("vp8.webm", "-c:v libvpx -deadline realtime -c:a libvorbis"),
    ("h264.mkv", "-c:v libx264 -pix_fmt yuv420p -c:a flac"),
    ("mpeg2.ts", "-c:v mpeg2video -c:a mp2"),
    ("h264.ts", "-c:v libx264 -pix_fmt yuv420p -c:a aac"),
    ("mpeg2.mpg", "-c:v mpeg2video -c:a mp2"),
    ("mpeg2.mxf", "-c:v mpeg2video -c:a pcm_s16le"),
    ("mpeg4.avi", "-c:v mpeg4 -c:a libmp3lame"),
    ("h264.flv", "-c:v libx264 -pix_fmt yuv420p -c:a aac"),
    ("sound.mp3", "-vn -c:a libmp3lame"),
    ("sound.flac", "-vn -c:a flac"),
    ("sound.wav", "-vn -c:a pcm_s24le"),
];

#[test]
fn mutated_media_take_no_worker_down() {
    let count = std::env::var("RUSHES_FUZZ").map_or(FILES, |n| n.parse().expect("RUSHES_FUZZ is a number"));
    let mut chance = Chance::seeded();
    let seeds = seeds();
    let mut plan = FarmPlan::new(1).set(&format!("engine.max_attempts={ATTEMPTS}"));
    for step in ["probe", "encode"] {
        let limits = [("wall_ms", WALL_MS), ("stall_ms", STALL_MS), ("address_space_bytes", SPACE)];
        for (limit, value) in limits {
            plan = plan.set(&format!("engine.{step}.{limit}={value}"));
        }
    }
    let mut farm = plan.start();
    let worker = farm.worker_program(0).pid();
    let mut tally = Tally::default();
    let mut under_way: Vec<(String, JobId)> = Vec::new();
    for number in 0..count {
        let (name, content) = &seeds[usize::try_from(chance.below(seeds.len() as u64)).expect("an index")];
        let (how, bytes) = mutated(&mut chance, content);
        let name = format!("{number:05}-{how}-{name}");
        let input = farm.input(&name);
        fs::write(&input, bytes).expect("written");
        let id = farm.api().submit(&job(&farm, &input, &name, chance.below(4)));
        under_way.push((name, id));
        if under_way.len() >= TOGETHER {
            let (name, id) = under_way.remove(0);
            ends_well_or_clearly(&farm, &name, id, &mut tally);
        }
    }
    for (name, id) in under_way {
        ends_well_or_clearly(&farm, &name, id, &mut tally);
    }
    println!("{count} files: {tally:#?}");
    assert_eq!(farm.worker_program(0).pid(), worker, "it is the same process");
    assert!(farm.worker_program(0).is_running(), "the worker runs");
    assert_eq!(farm.api().metrics().sum("rushes_workers_lost_total", &[]), 0.0);
    let held = peak_memory(worker.as_raw_nonzero().get());
    assert!(held < WORKER_RSS, "the worker itself held {held} bytes");
    let id = farm.api().submit(&farm.encode(&media::short(), "good.mp4", "ultrafast"));
    let _job = farm.api().succeeded(id);
    assert!(tasks::at_work(&farm.worker(0).dir).is_empty(), "no task process goes on");
    assert!(tally.succeeded > 0, "a file with a few flipped bits is still a film");
    assert!(tally.failures.values().sum::<usize>() > 0, "half a file is none");
}

/// What became of the files.
#[derive(Debug, Default)]
struct Tally {
    succeeded: usize,
    failures: BTreeMap<&'static str, usize>,
    slowest_ms: u64,
    largest_bytes: u64,
}

fn ends_well_or_clearly(farm: &Farm, name: &str, id: JobId, tally: &mut Tally) {
    let job = farm.api().ended(id);
    for usage in job.tasks.iter().filter_map(|task| task.usage) {
        // A process is ended by its worker, which looks now and then; the rest is for a busy machine.
        assert!(usage.wall_ms <= WALL_MS + 30_000, "{name}: {usage:?}");
        assert!(usage.max_rss_bytes <= SPACE, "{name}: {usage:?}");
        tally.slowest_ms = tally.slowest_ms.max(usage.wall_ms);
        tally.largest_bytes = tally.largest_bytes.max(usage.max_rss_bytes);
    }
    if job.state == JobState::Succeeded {
        tally.succeeded += 1;
        decodes(farm, name, &job);
        return;
    }
    assert_eq!(job.state, JobState::Failed, "{name}: {job:#?}");
    let failure = job.failure.as_ref().unwrap_or_else(|| panic!("{name}: a failed job has a cause"));
    assert!(!failure.message.is_empty() && !failure.advice.is_empty(), "{name}: {failure:#?}");
    let blames_farm = [FailureCode::WorkerLost, FailureCode::TransferFailed, FailureCode::NodeUnfit];
    assert!(!blames_farm.contains(&failure.code), "{name}: the file is at fault, not {failure:#?}");
    let contained = [FailureCode::ProcessDied, FailureCode::ProcessStalled, FailureCode::LimitReached];
    if contained.contains(&failure.code) {
        println!("{name}: {}: {}", failure.code.as_str(), failure.message);
    }
    *tally.failures.entry(failure.code.as_str()).or_default() += 1;
}

/// What was delivered can be played: ffmpeg reads every packet of it.
fn decodes(farm: &Farm, name: &str, job: &JobView) {
    if job.tasks.iter().all(|task| task.kind != TaskKind::Encode) {
        return;
    }
    let made = farm.out().join(format!("{name}.out.mp4"));
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-i"]).arg(&made).args(["-f", "null", "-"]);
    let _silent = program::succeed(ffmpeg);
    fs::remove_file(made).expect("it was delivered");
}

/// A job of one of the kinds that read a film.
fn job(farm: &Farm, input: &Path, name: &str, kind: u64) -> Value {
    if kind == 0 {
        return json!({"kind": "probe", "input": input});
    }
    farm.encode(input, &format!("{name}.out.mp4"), "ultrafast")
}

/// Small media of every container, and the odd ones of the collection where that is there.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let dir = media::folder();
    let mut seeds: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, codecs) in SEEDS {
        let path = dir.join(format!("fuzz-{name}"));
        if !path.exists() {
            let draft = dir.join(format!("draft-{}-{name}", std::process::id()));
            let mut ffmpeg = Command::new("ffmpeg");
            ffmpeg.args(["-v", "error", "-nostdin", "-y"]).args(PICTURE).args(SOUND);
            ffmpeg.args(codecs.split(' ')).arg(&draft);
            let _silent = program::succeed(ffmpeg);
            fs::rename(&draft, &path).expect("the clip can be put into its place");
        }
        seeds.push((name.to_owned(), fs::read(&path).expect("it was made")));
    }
    let Some(collection) = collection() else {
        println!("without RUSHES_MEDIA: made media alone");
        return seeds;
    };
    for entry in fs::read_dir(collection.join("odd")).into_iter().flatten().flatten() {
        if entry.metadata().is_ok_and(|m| m.is_file() && (1..=LARGEST).contains(&m.len())) {
            let name = entry.file_name().to_string_lossy().into_owned();
            seeds.push((name, fs::read(entry.path()).expect("readable")));
        }
    }
    seeds.sort();
    seeds
}

fn collection() -> Option<PathBuf> {
    let named = std::env::var_os("RUSHES_MEDIA").map(PathBuf::from);
    named.or_else(|| binaries::repository().parent().map(|p| p.join("shared/media"))).filter(|p| p.is_dir())
}

/// A copy with damage of some kind, and the kind's name.
fn mutated(chance: &mut Chance, content: &[u8]) -> (&'static str, Vec<u8>) {
    let mut bytes = content.to_vec();
    match chance.below(6) {
        0 => (flip(chance, &mut bytes), bytes),
        1 => {
            bytes.truncate(below(chance, content.len()));
            ("cut", bytes)
        }
        2 => (swap_boxes(chance, &mut bytes), bytes),
        3 => (swap_blocks(chance, &mut bytes), bytes),
        4 => (lie(chance, &mut bytes), bytes),
        _ => {
            let from = below(chance, bytes.len());
            let length = below(chance, (bytes.len() - from).min(8192) + 1);
            bytes[from..from + length].fill(0);
            ("zeros", bytes)
        }
    }
}

fn below(chance: &mut Chance, end: usize) -> usize {
    usize::try_from(chance.below(end.max(1) as u64)).expect("it is below a length")
}

/// Up to 64 bits, half of the time near the beginning, where headers are.
fn flip(chance: &mut Chance, bytes: &mut [u8]) -> &'static str {
    let end = if chance.below(2) == 0 { bytes.len().min(4096) } else { bytes.len() };
    for _ in 0..=chance.below(64) {
        let at = below(chance, end);
        bytes[at] ^= 1 << chance.below(8);
    }
    "flips"
}

/// Two neighbouring boxes of an MP4 file change places, at the top or within the index; blocks elsewhere.
fn swap_boxes(chance: &mut Chance, bytes: &mut [u8]) -> &'static str {
    let mut level = boxes(bytes, 0, bytes.len());
    while chance.below(3) > 0 {
        let inner = level.iter().find(|(from, _)| {
            bytes.get(from + 4..from + 8).is_some_and(|t| {
                matches!(t, b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" | b"moof" | b"traf")
            })
        });
        let Some(&(from, to)) = inner else { break };
        level = boxes(bytes, from + 8, to);
    }
    if level.len() < 2 {
        return swap_blocks(chance, bytes);
    }
    let first = below(chance, level.len() - 1);
    let (from, to) = (level[first].0, level[first + 1].1);
    bytes[from..to].rotate_left(level[first].1 - from);
    "boxes"
}

/// Where the boxes between two places begin and end; none where there are no boxes.
fn boxes(bytes: &[u8], mut at: usize, end: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    while at + 8 <= end {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        let is_type = bytes[at + 4..at + 8].iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        if size < 8 || size > end - at || !is_type {
            return found;
        }
        found.push((at, at + size));
        at += size;
    }
    found
}

fn swap_blocks(chance: &mut Chance, bytes: &mut [u8]) -> &'static str {
    let length = below(chance, (bytes.len() / 2).min(4096)) + 1;
    if bytes.len() < 2 * length {
        return "blocks";
    }
    let first = below(chance, bytes.len() - 2 * length + 1);
    let second = first + length + below(chance, bytes.len() - first - 2 * length + 1);
    let (front, back) = bytes.split_at_mut(second);
    front[first..first + length].swap_with_slice(&mut back[..length]);
    "blocks"
}

/// Numbers that a length or a count should not be.
fn lie(chance: &mut Chance, bytes: &mut [u8]) -> &'static str {
    const NUMBERS: [[u8; 4]; 6] =
        [[0; 4], [0xff; 4], [0x7f, 0xff, 0xff, 0xff], [0x80, 0, 0, 0], [0, 0, 0, 1], [0, 0xff, 0xff, 0xff]];
    let end = if chance.below(2) == 0 { bytes.len().min(2048) } else { bytes.len() };
    for _ in 0..=chance.below(4) {
        let at = below(chance, end.saturating_sub(4));
        let number = NUMBERS[below(chance, NUMBERS.len())];
        if let Some(place) = bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&number);
        }
    }
    "lies"
}

/// Peak resident memory of a process, in bytes.
fn peak_memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells it");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}
