//! Chunks that begin where scenes do: cuts are found to the frame, and the chunks are still the film.

use std::path::{Path, PathBuf};

use rushes_media::{
    ChunkJob, JoinJob, LadderJob, ScanJob, encode_chunk, join, make_ladder, probe, scan, score_chunk,
};
use rushes_shared::encode::{SpeedPreset, VideoCodec, VmafLimits, VmafScope};
use rushes_shared::ladder::{Borders, COSTS, ChunkRange, Grid, LadderSettings, Rung, Scan, split};
use rushes_shared::media::MediaFacts;

use crate::chunk::{GRID, changing, clip, frames, keys, rung};

/// Frames of the scenes of [`film`].
const SCENES: [u64; 5] = [31, 52, 24, 40, 33];

/// A film of 180 frames whose scenes begin at frames 31, 83, 107 and 147; one of them moves fast, one hardly.
fn film(path: &Path, rate: &str, encoder: &str) {
    let pictures = ["testsrc2", "mandelbrot", "smptehdbars", "testsrc", "rgbtestsrc"];
    let mut graph = String::new();
    for (n, (picture, frames)) in pictures.iter().zip(SCENES).enumerate() {
        graph += &format!(
            "{picture}=s=320x180:r={rate},trim=end_frame={frames},setpts=PTS-STARTPTS,format=yuv420p,setsar=1[v{n}];"
        );
    }
    graph += &format!("[v0][v1][v2][v3][v4]concat=n={}:v=1", pictures.len());
    clip(path, &format!("-filter_complex {graph} {encoder}"));
}

/// When its scenes begin, in nanoseconds.
fn cuts((num, den): (u64, u64)) -> Vec<u64> {
    let mut frame = 0;
    let starts = SCENES[..SCENES.len() - 1].iter().map(|length| {
        frame += length;
        frame * 1_000_000_000 * den / num
    });
    starts.collect()
}

fn scanned(film: &Path, source: &MediaFacts, range: ChunkRange) -> Scan {
    scan(&ScanJob { input: film, source, range, threads: Some(1) }, &mut |_| ()).unwrap()
}

#[test]
fn cuts_are_found_to_the_frame_whatever_the_cells() {
    let dir = tempfile::tempdir().unwrap();
    let plain = "-c:v libx264 -preset veryfast -bf 2";
    for (name, rate, ratio, encoder) in [
        ("plain.mp4", "25", (25, 1), plain.to_owned()),
        ("ntsc.mkv", "30000/1001", (30_000, 1001), plain.to_owned()),
        ("deep.mp4", "25", (25, 1), format!("{plain} -pix_fmt yuv422p10le")),
        ("large.mp4", "25", (25, 1), format!("-s 1280x720 {plain}")),
    ] {
        let path = dir.path().join(name);
        film(&path, rate, &encoder);
        let source = probe(&path).unwrap();
        let cells = split(&source, &GRID);
        assert!(cells.len() >= 5);
        let found: Vec<Scan> = cells.iter().map(|cell| scanned(&path, &source, *cell)).collect();
        let times: Vec<u64> = found.iter().flat_map(|scan| scan.cuts.clone()).collect();
        let wanted = cuts(ratio);
        assert_eq!(times.len(), wanted.len(), "{name}: {times:?}, not {wanted:?}");
        for (at, wanted) in times.iter().zip(&wanted) {
            assert!(at.abs_diff(*wanted) < 2_000_000, "{name}: {at}, not {wanted}");
        }
        assert_eq!(found.iter().map(|scan| scan.frames).sum::<u64>(), 180, "{name}: each frame in one cell");
        let whole = scanned(&path, &source, ChunkRange::WHOLE);
        assert_eq!(
            (&whole.cuts, whole.frames, whole.costs.len()),
            (&times, 180, COSTS),
            "{name}: as one cell"
        );
    }
}

#[test]
fn the_smallest_films_are_looked_at_as_well() {
    let dir = tempfile::tempdir().unwrap();
    for (name, arguments, frames) in [
        ("small.mp4", "-f lavfi -i testsrc2=s=32x18:r=25:d=1", 25),
        ("narrow.mp4", "-f lavfi -i testsrc2=s=16x640:r=25:d=1", 25),
        ("short.mp4", "-f lavfi -i testsrc2=s=64x64:r=25:d=0.12", 3),
        ("one.mp4", "-f lavfi -i testsrc2=s=64x64:r=25:d=0.04", 1),
    ] {
        let path = dir.path().join(name);
        clip(&path, &format!("{arguments} -c:v libx264 -preset ultrafast -pix_fmt yuv420p"));
        let source = probe(&path).unwrap();
        let found = scanned(&path, &source, ChunkRange::WHOLE);
        assert_eq!((found.frames, found.cuts.len()), (frames, 0), "{name}");
    }
}

#[test]
fn what_moves_more_costs_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    clip(
        &path,
        "-f lavfi -i color=gray:s=320x180:r=25:d=2 -f lavfi -i testsrc2=s=320x180:r=25:d=2 -filter_complex [1:v]noise=alls=30:allf=t[b];[0:v]format=yuv420p,setsar=1[a];[a][b]concat=n=2:v=1 -c:v libx264 -preset ultrafast -crf 10",
    );
    let source = probe(&path).unwrap();
    let found = scanned(&path, &source, ChunkRange::WHOLE);
    let (still, moving) = found.costs.split_at(COSTS / 2);
    let sum = |costs: &[u64]| costs.iter().sum::<u64>();
    assert!(sum(moving) > 10 * sum(still).max(1), "{:?}", found.costs);
}

/// Encodes a film in chunks that begin at cuts, without loss, and joins them.
fn in_scenes(film: &Path, dir: &Path) -> (PathBuf, Vec<ChunkRange>) {
    let source = probe(film).unwrap();
    let settings = LadderSettings { grid: GRID, borders: Borders::Scenes, ..LadderSettings::default() };
    let cells = split(&source, &GRID);
    let cuts: Vec<u64> = cells.iter().flat_map(|cell| scanned(film, &source, *cell).cuts).collect();
    let ranges = settings.chunks(&source, &cuts);
    assert_eq!(ranges.len(), cells.len());
    let (mut chunks, mut frames) = (Vec::new(), 0);
    for (number, range) in ranges.iter().enumerate() {
        let path = dir.join(format!("{number}.mp4"));
        let rungs = [(rung("lossless", 1080, 0), path.clone())];
        let cuts = settings.keys_at_cuts(&source, range, &cuts);
        let (input, source, range, grid) = (film, &source, *range, &GRID);
        let job = ChunkJob {
            input,
            source,
            range,
            grid,
            cuts: cuts.as_deref(),
            rungs: &rungs,
            caps: &[],
            bits: &[],
            threads: None,
        };
        frames += encode_chunk(&job, &mut |_| ()).unwrap().frames;
        chunks.push(path);
    }
    let output = dir.join("joined.mp4");
    let job = JoinJob { chunks: &chunks, sound: None, frames: Some(frames), output: &output };
    join(&job, &mut |_| ()).unwrap();
    (output, ranges)
}

#[test]
fn a_lossless_encode_in_scenes_is_the_source_frame_by_frame() {
    let reordered =
        "-c:v libx264 -preset veryfast -bf 5 -b_strategy 0 -refs 4 -x264-params b-pyramid=normal:keyint=37";
    for (name, rate, encoder) in [
        ("25.mp4", "25", reordered.to_owned()),
        ("23.976.mp4", "24000/1001", reordered.to_owned()),
        ("open.mkv", "30000/1001", format!("{reordered}:open-gop=1:scenecut=0")),
        ("variable.mp4", "30", format!("-vf select='mod(n\\,7)' -fps_mode passthrough {reordered}")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        if name.starts_with("variable") {
            let (constant, filter) = (dir.path().join("constant.mkv"), encoder);
            film(&constant, rate, "-c:v ffv1");
            clip(&path, &format!("-i {} {filter}", constant.display()));
        } else {
            film(&path, rate, &encoder);
        }
        let (joined, ranges) = in_scenes(&path, dir.path());
        let (expected, found) = (frames(&path, "null"), frames(&joined, "null"));
        assert_eq!(expected.len(), found.len(), "{name}");
        for (n, (wanted, got)) in expected.iter().zip(&found).enumerate() {
            assert_eq!(wanted.1, got.1, "{name}: frame {n}");
            let off = (wanted.0 - expected[0].0) - (got.0 - found[0].0);
            assert!(off.abs() < 0.1, "{name}: frame {n} is {off} ms off");
        }
        let source = probe(&path).unwrap();
        let moved = ranges.iter().zip(split(&source, &GRID)).filter(|(range, cell)| **range != *cell).count();
        assert!(moved > 0, "{name}: no chunk begins at a cut: {ranges:?}");
        // A film whose first frame is late begins at once when it is joined.
        let keys = keys(&joined);
        let late_ms = source.video[0].start_ns as f64 / 1e6 - keys[0] as f64;
        for range in &ranges[1..] {
            let at_ms = range.start_ns as f64 / 1e6 - late_ms;
            assert!(
                keys.iter().any(|key| (-5.0..70.0).contains(&(*key as f64 - at_ms))),
                "{name}: no key frame at {}: {keys:?}",
                range.start_ns
            );
        }
    }
}

#[test]
fn groups_begin_at_cuts_in_every_codec_alike() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    film(&path, "25", "-c:v libx264 -preset veryfast");
    let source = probe(&path).unwrap();
    // Scenes of 1.24, 2.08, 0.96, 1.6 and 1.32 s in groups of about a second. The last two have three groups, with the cut as well as without.
    let grid = Grid { key_ns: 1_000_000_000, keys_to_segment: 1, keys_to_chunk: 10 };
    let settings = LadderSettings { grid, borders: Borders::Scenes, ..LadderSettings::default() };
    let cells = settings.scans(&source);
    assert_eq!(cells, [ChunkRange::WHOLE], "also a film of one chunk");
    let cuts = scanned(&path, &source, cells[0]).cuts;
    let cuts = settings.keys_at_cuts(&source, &ChunkRange::WHOLE, &cuts).unwrap();
    let rungs = [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Vp9, VideoCodec::Av1].map(|codec| {
        let rung = Rung { codec, ..rung(codec.name(), 1080, 30) };
        let path = dir.path().join(format!("{}.mp4", codec.name()));
        (rung, path)
    });
    let (input, source, range, grid) = (&path, &source, ChunkRange::WHOLE, &grid);
    let (cuts, caps, bits, threads) = (Some(&cuts[..]), &[][..], &[][..], None);
    let job = ChunkJob { input, source, range, grid, cuts, rungs: &rungs, caps, bits, threads };
    assert_eq!(encode_chunk(&job, &mut |_| ()).unwrap().frames, 180);
    for (rung, path) in &rungs {
        // A chunk of reordered pictures begins late; a join says so.
        let keys = keys(path);
        let keys: Vec<i64> = keys.iter().map(|at| at - keys[0]).collect();
        assert_eq!(keys, [0, 1240, 2280, 3320, 4280, 5240, 6240], "{}", rung.name);
        assert_eq!(frames(path, "null").len(), 180, "{}", rung.name);
    }
}

#[test]
fn rungs_are_measured_whose_groups_are_reordered_by_different_times() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    clip(&path, &format!("-filter_complex {} -c:v libx264 -preset veryfast -crf 18", changing()));
    let source = probe(&path).unwrap();
    let grid = Grid { key_ns: 1_000_000_000, keys_to_segment: 1, keys_to_chunk: 10 };
    let output = dir.path().join("rung.mp4");
    let rungs = [(Rung { preset: SpeedPreset::Veryfast, ..rung("180p", 180, 23) }, output)];
    let job = ChunkJob {
        input: &path,
        source: &source,
        range: ChunkRange::WHOLE,
        grid: &grid,
        cuts: None,
        rungs: &rungs,
        caps: &[],
        bits: &[],
        threads: None,
    };
    encode_chunk(&job, &mut |_| ()).unwrap();
    let limits = VmafLimits { scope: VmafScope::Full, ..VmafLimits::default() };
    let scored = score_chunk(&job, &limits, &mut |_| ()).unwrap();
    assert_eq!(scored[0].frames, 226);
    let mean = scored[0].sum / scored[0].frames as f64;
    assert!(mean > 85.0, "{mean}");
}

#[test]
fn the_shortest_chunks_have_their_place_in_every_codec() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slides.mp4");
    clip(&path, "-f lavfi -i testsrc2=s=160x90:r=1:d=6 -pix_fmt yuv420p -c:v libx264 -preset ultrafast");
    let source = probe(&path).unwrap();
    let grid = Grid { key_ns: 1_000_000_000, keys_to_segment: 1, keys_to_chunk: 1 };
    for codec in [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Vp9, VideoCodec::Av1] {
        for (length, cuts) in [(1, None), (1, Some(&[][..])), (2, None), (2, Some(&[][..]))] {
            for start in 1..5 {
                let second = |at: u64| at * 1_000_000_000 - 1_000_000;
                let range = ChunkRange { start_ns: second(start), end_ns: Some(second(start + length)) };
                let output = dir.path().join("chunk.mp4");
                let rungs = [(Rung { codec, ..rung("90p", 90, 30) }, output.clone())];
                let (input, source, grid, rungs) = (&path, &source, &grid, &rungs[..]);
                let (caps, bits, threads) = (&[][..], &[][..], None);
                let job = ChunkJob { input, source, range, grid, cuts, rungs, caps, bits, threads };
                let made = encode_chunk(&job, &mut |_| ()).unwrap();
                assert_eq!(made.frames, length, "{codec:?} at {start} s");
                let begins = keys(&output)[0];
                let expected = i64::try_from(start).unwrap() * 1000;
                // FFmpeg shows reordered pictures by their delay late.
                assert!((0..=4000).contains(&(begins - expected)), "{codec:?}: {begins}, not {expected}");
            }
        }
    }
}

#[test]
fn a_ladder_of_scenes_is_packaged_with_segments_of_about_their_length() {
    let dir = tempfile::tempdir().unwrap();
    let (path, scratch, out) =
        (dir.path().join("film.mp4"), dir.path().join("scratch"), dir.path().join("out"));
    std::fs::create_dir(&scratch).unwrap();
    std::fs::create_dir(&out).unwrap();
    film(&path, "25", "-s 640x360 -c:v libx264 -preset veryfast");
    let source = probe(&path).unwrap();
    let settings =
        LadderSettings { grid: GRID, borders: Borders::Scenes, sound_bps: None, ..LadderSettings::default() };
    let job =
        LadderJob { input: &path, source: &source, settings: &settings, scratch: &scratch, directory: &out };
    let mut last = 0;
    let report = make_ladder(&job, &mut |at| {
        assert!(at.permille >= last, "no step back");
        last = at.permille;
    });
    let report = report.unwrap();
    assert_eq!(report.video.iter().map(|rung| rung.packets).collect::<Vec<_>>(), [180]);
    let playlist = std::fs::read_to_string(out.join("360p/media.m3u8")).unwrap();
    let lengths = playlist
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(',')?.parse::<f64>().ok());
    let lengths: Vec<f64> = lengths.collect();
    assert!((lengths.iter().sum::<f64>() - 7.2).abs() < 0.01, "{lengths:?}");
    assert!(lengths.iter().all(|length| *length <= 1.5), "{lengths:?}");
    assert!(lengths.iter().any(|length| (length - 1.0).abs() > 0.05), "some end at a cut: {lengths:?}");
}
