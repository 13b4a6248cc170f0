//! Files that are broken on purpose or by life, through a real worker: every one is answered, none takes it down.

use std::path::{Path, PathBuf};

use crate::fake::{Farm, Link, cached, encode, media, order, probe};
use rushes_shared::encode::{EncodeSettings, SpeedPreset};
use rushes_shared::failure::FailureCode;
use rushes_shared::id::Epoch;
use rushes_shared::task::{TaskOrder, TaskOutcome, TaskValue, TaskWork, Usage};
use rushes_shared::units::Bytes;

/// Files that are mutated; RUSHES_MUTATIONS says another number.
const MUTATIONS: u64 = 30;
/// What a task process may hold in memory over these small pictures.
const MEMORY: u64 = 1 << 30;

/// `SplitMix64`, by Steele, Lea and Flood: the same files for the same seed everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).expect("it fits")).expect("it is below")
    }
}

/// One of: a few bits flipped anywhere, many flipped in the index or header, the end cut off, a piece cut out.
fn mutated(file: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = file.to_vec();
    let kind = random.below(4);
    match kind {
        0 | 1 => {
            let reach = if kind == 0 { bytes.len() } else { bytes.len().min(4096) };
            for _ in 0..=random.below(40) {
                let at = random.below(reach);
                bytes[at] ^= 1 << random.below(8);
            }
        }
        2 => bytes.truncate(random.below(file.len())),
        _ => {
            let from = random.below(file.len());
            let to = (from + 1 + random.below(2000)).min(file.len());
            drop(bytes.drain(from..to));
        }
    }
    bytes
}

struct Attempts {
    farm: Farm,
    link: Link,
    counter: u64,
}

impl Attempts {
    fn order(&mut self, work: TaskWork) -> TaskOrder {
        self.counter += 1;
        let mut order = order(Epoch(1), self.counter, work);
        order.limits.address_space = Bytes(4 << 30);
        order.limits.cpu_s = 120;
        order
    }

    /// How an order ended, where it ended as it may.
    async fn outcome(&mut self, work: TaskWork, what: &str) -> Result<TaskValue, FailureCode> {
        let order = self.order(work);
        let in_bounds = |usage: &Usage| assert!(usage.max_rss_bytes < MEMORY, "{what}: {usage:?}");
        match self.link.start(order).await.outcome().await {
            TaskOutcome::Succeeded { value, usage } => {
                in_bounds(&usage);
                Ok(value)
            }
            TaskOutcome::Failed { failure, usage } => {
                in_bounds(&usage);
                let sick = [FailureCode::ProcessDied, FailureCode::ProcessStalled, FailureCode::LimitReached];
                assert!(!sick.contains(&failure.code), "{what}: {failure} {}", failure.detail);
                Err(failure.code)
            }
            TaskOutcome::Cancelled => panic!("{what}: nobody cancelled it"),
        }
    }

    /// Probes and, where that went well, encodes; says whether an output came.
    async fn try_out(&mut self, bytes: Vec<u8>, what: &str) -> bool {
        let path = format!("/media/{}", self.counter);
        self.farm.depot.put(&path, bytes);
        let Ok(TaskValue::Probed { input, facts }) = self.outcome(probe(&path), what).await else {
            return false;
        };
        let mut settings = EncodeSettings::default();
        let video = settings.video.as_mut().expect("it has video");
        (video.preset, video.max_height) = (SpeedPreset::Ultrafast, Some(120));
        self.outcome(encode(&input, &facts, settings), what).await.is_ok()
    }

    /// The worker is the one that was there at first, and works.
    async fn worker_is_well(&mut self) {
        assert!(matches!(
            self.outcome(TaskWork::Noop { hold_ms: 0, cpu_ms: 0 }, "afterwards").await,
            Ok(TaskValue::Nothing)
        ));
        assert_eq!((self.farm.attempts_on_disk(), self.farm.task_processes().len()), (0, 0));
    }
}

#[tokio::test]
async fn mutated_files_are_answered_one_by_one() {
    let count = std::env::var("RUSHES_MUTATIONS").ok().and_then(|text| text.parse().ok());
    let farm = Farm::new();
    let _worker = farm.worker(&["pool.warm=0"]);
    let link = farm.welcome().await;
    let mut attempts = Attempts { farm, link, counter: 0 };
    let clips = media::small_clips();
    for clip in &clips {
        assert!(attempts.try_out(clip.clone(), "as it was made").await, "an unbroken file comes out");
    }
    for seed in 0..count.unwrap_or(MUTATIONS) {
        let mut random = Random(seed);
        let clip = &clips[random.below(clips.len())];
        let broken = mutated(clip, &mut random);
        // Muxers put times and random numbers into their files, so a seed alone does not bring a file back.
        let kept = cached(&format!("mutated-{seed}"));
        std::fs::write(&kept, &broken).expect("it can be written");
        attempts.try_out(broken, &format!("seed {seed}, kept as {}", kept.display())).await;
        std::fs::remove_file(&kept).expect("it is there");
    }
    attempts.worker_is_well().await;
}

#[tokio::test]
async fn odd_files_are_answered_one_by_one() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/media");
    let folder = std::env::var_os("RUSHES_MEDIA").map_or(beside, PathBuf::from).join("odd");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: no odd media in {}; set RUSHES_MEDIA", folder.display());
        return;
    };
    let farm = Farm::new();
    let _worker = farm.worker(&["pool.warm=0"]);
    let link = farm.welcome().await;
    let mut attempts = Attempts { farm, link, counter: 0 };
    for entry in entries.flatten() {
        let bytes = std::fs::read(entry.path()).expect("it can be read");
        attempts.try_out(bytes, &entry.file_name().to_string_lossy()).await;
    }
    attempts.worker_is_well().await;
}
