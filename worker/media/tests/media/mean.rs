//! Mean rates of a ladder: kept over the film, spent where they are seen, under a bound that holds where chunks meet.

use std::fs;
use std::path::{Path, PathBuf};

use rushes_media::{
    ChunkJob, JoinJob, LadderJob, ScanJob, encode_chunk, join, make_ladder, probe, scan, score_chunk,
};
use rushes_shared::check::CheckName;
use rushes_shared::encode::{SpeedPreset, VideoCodec, VmafLimits, VmafScope};
use rushes_shared::ladder::{Grid, LadderRate, LadderSettings, Scan};
use rushes_shared::measure::VmafModel;
use rushes_shared::media::MediaFacts;

use crate::bound::{bits, fullest};
use crate::chunk::clip;

/// What the largest rung is asked to have.
const MEAN_BPS: u64 = 400_000;
/// Sixteen seconds, of which the second half is much harder than the first.
const FILM: &str = "-f lavfi -i testsrc2=s=320x180:r=25:d=8 -f lavfi -i mandelbrot=s=320x180:r=25:end_pts=60 \
    -filter_complex [1:v]trim=duration=8,noise=alls=12:allf=t,format=yuv420p,setsar=1[b];[0:v]format=yuv420p,setsar=1[a];[a][b]concat=n=2:v=1 \
    -c:v libx264 -preset veryfast -crf 8";

fn settings(codec: VideoCodec) -> LadderSettings {
    let rate = LadderRate::Mean { top_bps: Some(MEAN_BPS) };
    let preset = match codec {
        VideoCodec::Vp9 | VideoCodec::Av1 => SpeedPreset::Superfast,
        _ => SpeedPreset::Fast,
    };
    let grid = Grid::of(2, 4);
    LadderSettings { grid, rate, codec, preset, sound_bps: None, ..LadderSettings::default() }
}

fn scans(film: &Path, source: &MediaFacts, settings: &LadderSettings) -> Vec<Scan> {
    let look = |range| {
        let job = ScanJob { input: film, source, range, threads: None };
        scan(&job, &mut |_| ()).unwrap()
    };
    settings.scans(source).into_iter().map(look).collect()
}

/// The film in chunks that have these bits, joined; VMAF of each chunk.
fn encoded(film: &Path, settings: &LadderSettings, budget: &[u64], name: &str) -> (PathBuf, Vec<f64>) {
    let source = probe(film).unwrap();
    let ranges = settings.chunks(&source, &[]);
    let bounded = settings.rungs_of_chunks(&source, &ranges);
    let caps = settings.whole_caps(&source, &bounded);
    let limits = VmafLimits { scope: VmafScope::Sampled, ..VmafLimits::default() };
    let (mut chunks, mut scores) = (Vec::new(), Vec::new());
    for (number, range) in ranges.iter().enumerate() {
        let rungs = [(bounded[0].clone(), film.with_file_name(format!("{name}-{number}.mp4")))];
        let job = ChunkJob {
            input: film,
            source: &source,
            range: *range,
            grid: &settings.grid,
            cuts: None,
            rungs: &rungs,
            caps: &caps,
            bits: &budget[number..=number],
            threads: None,
        };
        encode_chunk(&job, &mut |_| ()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let tally = score_chunk(&job, &limits, &mut |_| ()).unwrap();
        scores.push(tally[0].scores(VmafModel::default()).unwrap().mean);
        chunks.extend(rungs.into_iter().map(|(_, path)| path));
    }
    let output = film.with_file_name(format!("{name}.mp4"));
    // Chunks whose headers differ are refused.
    let job = JoinJob { chunks: &chunks, sound: None, frames: None, output: &output };
    join(&job, &mut |_| ()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    (output, scores)
}

#[test]
fn chunks_have_their_shares_and_keep_the_films_bound_where_they_meet() {
    let dir = tempfile::tempdir().unwrap();
    // The slower ones have a smaller picture.
    let small = FILM.replace("320x180", "192x108");
    for (codec, film) in [
        (VideoCodec::H264, FILM),
        (VideoCodec::Hevc, FILM),
        (VideoCodec::Vp9, small.as_str()),
        (VideoCodec::Av1, small.as_str()),
    ] {
        let (made, film) = (film, dir.path().join(format!("{}-film.mp4", codec.word())));
        clip(&film, made);
        let source = probe(&film).unwrap();
        let settings = settings(codec);
        let (ranges, scans) = (settings.chunks(&source, &[]), scans(&film, &source, &settings));
        let of_chunk = |number| settings.budget(&source, &scans, &ranges, number)[0];
        let budget: Vec<u64> = (0..ranges.len()).map(of_chunk).collect();
        assert_eq!((budget.len(), budget.iter().sum::<u64>()), (4, MEAN_BPS * 16));
        assert!(budget[3] > budget[0] * 5 / 4, "the second half is harder: {budget:?}");
        let (joined, _) = encoded(&film, &settings, &budget, codec.word());
        let (packets, cap) = (bits(&joined), settings.rungs(&source)[0].cap.unwrap());
        assert_eq!(cap.max_bps, MEAN_BPS * 3 / 2);
        // A tenth of a percent for the container's rounding.
        assert!(fullest(&packets, cap) <= 1.001, "{codec:?}: {}", fullest(&packets, cap));
        for (part, budget) in packets.chunks(100).zip(&budget) {
            let off = part.iter().sum::<f64>() / *budget as f64;
            assert!((0.95..=1.05).contains(&off), "{codec:?}: {off} of a chunk's share");
        }
    }
}

#[test]
fn bits_by_difficulty_are_better_spent_than_equal_ones() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    clip(&film, FILM);
    let (source, settings) = (probe(&film).unwrap(), settings(VideoCodec::H264));
    let (ranges, scans) = (settings.chunks(&source, &[]), scans(&film, &source, &settings));
    let of_chunk = |number| settings.budget(&source, &scans, &ranges, number)[0];
    let budget: Vec<u64> = (0..ranges.len()).map(of_chunk).collect();
    let worst = |(_, scores): (PathBuf, Vec<f64>)| scores.into_iter().fold(100.0, f64::min);
    let shared = worst(encoded(&film, &settings, &budget, "shared"));
    let equal = worst(encoded(&film, &settings, &[MEAN_BPS * 4; 4], "equal"));
    assert!(shared > equal + 0.5, "VMAF of the worst chunk: {shared} by difficulty, {equal} in equal shares");
}

#[test]
fn a_ladder_of_a_mean_rate_has_it_in_every_rung_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    clip(
        &film,
        &FILM.replace("320x180", "854x480").replace("d=8", "d=4").replace("duration=8", "duration=4"),
    );
    let (scratch, out) = (dir.path().join("scratch"), dir.path().join("out"));
    fs::create_dir(&scratch).unwrap();
    fs::create_dir(&out).unwrap();
    let (source, preset) = (probe(&film).unwrap(), SpeedPreset::Superfast);
    let rate = LadderRate::Mean { top_bps: Some(1_500_000) };
    let settings = LadderSettings { rate, preset, ..settings(VideoCodec::H264) };
    let job =
        LadderJob { input: &film, source: &source, settings: &settings, scratch: &scratch, directory: &out };
    let report = make_ladder(&job, &mut |_| ()).unwrap_or_else(|failure| panic!("{failure}"));
    let asked = [1_500_000, 900_000];
    assert_eq!(report.video.len(), asked.len());
    for (rung, asked) in report.video.iter().zip(asked) {
        let mean = rung.average_bps;
        assert!(mean.abs_diff(asked) * 100 <= asked * 5, "{}: {mean} b/s for {asked}", rung.name);
        let told = format!("{asked} asked for");
        let says = |check: &&rushes_shared::check::Check| {
            check.name == CheckName::Size && check.to_string().contains(&told)
        };
        assert!(report.checks.iter().any(|check| says(&check)), "{:?}", report.checks);
    }
}
