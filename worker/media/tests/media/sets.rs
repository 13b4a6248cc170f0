//! Limits of a streaming set: what keeps them is told with its values, what does not is no set.

use std::path::{Path, PathBuf};

use rushes_media::{ChunkJob, FinishJob, encode_chunk, finish_ladder, probe, sound};
use rushes_shared::check::{Check, CheckName};
use rushes_shared::encode::{AudioSettings, SpeedPreset};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::{Grid, LadderSettings, LoudnessLimit, PackageReport, Rung, SetLimits, split};
use rushes_shared::media::MediaFacts;

use crate::chunk::clip;

/// A film's parts, ready to be packaged.
struct Parts {
    dir: tempfile::TempDir,
    source: MediaFacts,
    rungs: Vec<Rung>,
    chunks: Vec<PathBuf>,
    sound: PathBuf,
    /// The same sound, nearly a fifth of a second late.
    late: PathBuf,
}

fn settings(limits: SetLimits) -> LadderSettings {
    LadderSettings {
        grid: Grid::of(2, 10),
        preset: SpeedPreset::Ultrafast,
        limits,
        ..LadderSettings::default()
    }
}

fn parts() -> Parts {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let film = |name: &str, offset: &str| {
        let of = format!(
            "-f lavfi -i testsrc2=s=192x108:r=25:d=4 {offset} -f lavfi -i sine=frequency=1000:sample_rate=48000:duration=4 \
             -c:v libx264 -preset ultrafast -c:a aac"
        );
        clip(&at(name), &of);
        probe(&at(name)).unwrap()
    };
    let (source, late_source) = (film("film.mp4", ""), film("late.mp4", "-itsoffset 0.2"));
    let settings = settings(SetLimits::default());
    let rungs = settings.rungs(&source);
    let named = |rung: &Rung| at(&format!("chunk-{}.mp4", rung.name));
    let files: Vec<(Rung, PathBuf)> = rungs.iter().map(|rung| (rung.clone(), named(rung))).collect();
    let range = split(&source, &settings.grid)[0];
    let (input, grid) = (&at("film.mp4"), &settings.grid);
    let job = ChunkJob {
        input,
        source: &source,
        range,
        grid,
        cuts: None,
        rungs: &files,
        caps: &[],
        bits: &[],
        threads: None,
    };
    encode_chunk(&job, &mut |_| ()).unwrap();
    let heard = |film: &str, source: &MediaFacts, name: &str| {
        sound(&at(film), source, &AudioSettings::default(), &at(name), &mut |_| ()).unwrap();
        at(name)
    };
    let (own, late) = (heard("film.mp4", &source, "own.m4a"), heard("late.mp4", &late_source, "late.m4a"));
    Parts { source, rungs, chunks: files.into_iter().map(|(_, path)| path).collect(), sound: own, late, dir }
}

impl Parts {
    fn package(&self, name: &str, limits: SetLimits, sound: &Path) -> Result<PackageReport, Failure> {
        let room = self.dir.path().join(name);
        let (scratch, directory) = (room.join("scratch"), room.join("set"));
        std::fs::create_dir_all(&scratch).unwrap();
        std::fs::create_dir(&directory).unwrap();
        let settings = settings(limits);
        let job = FinishJob {
            source: &self.source,
            rungs: &self.rungs,
            frames: None,
            sound: &[sound.to_owned()],
            vmaf: &[],
            settings: &settings,
            scratch: &scratch,
            directory: &directory,
        };
        let mut chunks_of = |rung: usize| {
            // They are removed as they are joined.
            let copy = scratch.join(format!("copy-{rung}.mp4"));
            std::fs::copy(&self.chunks[rung], &copy).unwrap();
            Ok(vec![copy])
        };
        let made = finish_ladder(&job, &mut chunks_of, &mut |_| ());
        assert_eq!(
            directory.join("master.m3u8").exists(),
            made.is_ok(),
            "{name}: what fails can be found nowhere"
        );
        made
    }

    fn broken(&self, name: &str, limits: SetLimits, sound: &Path) -> String {
        let failure = self.package(name, limits, sound).expect_err(name);
        assert_eq!(failure.code, FailureCode::CheckFailed, "{failure}");
        failure.message
    }
}

fn found(report: &PackageReport, name: CheckName) -> &Check {
    report
        .checks
        .iter()
        .find(|check| check.name == name)
        .unwrap_or_else(|| panic!("no {name:?}: {report:#?}"))
}

#[test]
fn each_limit_of_a_set_is_held_and_a_broken_one_says_which_how_much_and_when() {
    let parts = parts();
    let (own, late) = (&parts.sound, &parts.late);
    let usual = SetLimits::default();
    let loudness = |lufs_tenths| Some(LoudnessLimit { lufs_tenths, tolerance_tenths: 10 });

    // A sine of 1 kHz at an eighth of full scale.
    let kept = SetLimits {
        av_sync_ms: Some(1),
        segment_ms: Some(2_000),
        window_ms: Some(1_000),
        peak_percent: Some(1_000),
        loudness: loudness(-211),
        true_peak_tenths: Some(-170),
    };
    let report = parts.package("kept", kept, own).unwrap();
    let (sync, segment) = (found(&report, CheckName::AvSync), found(&report, CheckName::SegmentLength));
    assert_eq!((sync.of.as_str(), sync.value, sync.at_ns), ("sound", Some(0.0), Some(0)));
    assert_eq!(segment.value, Some(2_000.0));
    assert!(
        found(&report, CheckName::Loudness).value.is_some_and(|lufs| (lufs + 21.1).abs() < 1.0),
        "{report:?}"
    );
    assert!(
        found(&report, CheckName::TruePeak).value.is_some_and(|peak| (peak + 18.0).abs() < 1.0),
        "{report:?}"
    );
    assert!(found(&report, CheckName::PeakBitrate).note.contains("over 1 s"), "{report:?}");

    let said = parts.broken("late", usual, late);
    assert!(said.starts_with("av_sync sound: at most 40 ms, got 178 at 0.178 s"), "{said}");
    parts.package("late but allowed", SetLimits { av_sync_ms: Some(201), ..usual }, late).unwrap();
    let said = parts.broken("long", SetLimits { segment_ms: Some(1_999), ..usual }, own);
    assert!(said.contains("segment_length 360p: at most 1999 ms, got 2000 at 0.000 s"), "{said}");
    let window = SetLimits { window_ms: Some(500), peak_percent: Some(1), ..usual };
    let said = parts.broken("much", window, own);
    assert!(said.contains("peak_bitrate 360p: at most ") && said.contains(" s (over 0.5 s)"), "{said}");
    let said = parts.broken("quiet", SetLimits { loudness: loudness(-140), ..usual }, own);
    assert!(said.contains("loudness sound: -15 to -13 LUFS, got -2"), "{said}");
    let said = parts.broken("high", SetLimits { true_peak_tenths: Some(-190), ..usual }, own);
    assert!(said.contains("true_peak sound: at most -19 dBTP, got -1"), "{said}");
}
