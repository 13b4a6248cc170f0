//! Rungs in every codec: exact to the frame, key frames of all at the same frames, parts of other settings refused.

use std::path::{Path, PathBuf};

use rushes_media::{ChunkJob, EncodeJob, JoinJob, PackageJob, encode, encode_chunk, join, package, probe};
use rushes_shared::encode::{EncodeSettings, SpeedPreset, VideoCodec, VideoSettings};
use rushes_shared::failure::FailureCode;
use rushes_shared::ladder::{CODECS, ChunkRange, PackageSettings, RateCap, Rung};

use crate::chunk::{GRID, chunked, clip, frames, keys, rung};

fn of(codec: VideoCodec, name: &str, height: u32, crf: u8) -> Rung {
    Rung { codec, ..rung(name, height, crf) }
}

const CONSTANT: &str = "-f lavfi -i testsrc2=s=192x108:d=3.3:r=25 -c:v libx264 -preset veryfast -bf 3 -g 40";
const VARIABLE: &str = "-f lavfi -i testsrc2=s=192x108:d=3.3:r=30 -vf select='mod(n\\,7)*mod(n\\,11)',settb=1/90000 \
                        -fps_mode passthrough -c:v libx264 -preset veryfast -g 40";

#[test]
fn a_lossless_rung_of_any_codec_is_the_source_frame_by_frame_and_at_its_times() {
    for (source, arguments) in [("constant", CONSTANT), ("variable", VARIABLE)] {
        let dir = tempfile::tempdir().unwrap();
        let film = dir.path().join(format!("{source}.mp4"));
        clip(&film, arguments);
        let rungs = CODECS.map(|codec| of(codec, codec.word(), 1080, 0));
        let out = chunked(&film, &GRID, &rungs, dir.path()).unwrap_or_else(|failure| panic!("{failure}"));
        let expected = frames(&film, "null");
        for (file, _) in &out {
            let found = frames(file, "null");
            assert_eq!(expected.len(), found.len(), "{file:?}");
            for (n, (wanted, got)) in expected.iter().zip(&found).enumerate() {
                assert_eq!(wanted.1, got.1, "{file:?}: frame {n}");
                let off = (wanted.0 - expected[0].0) - (got.0 - found[0].0);
                assert!(off.abs() < 0.1, "{file:?}: frame {n} is {off} ms off");
            }
        }
    }
}

/// Pictures that change at once, as cuts do: encoders by themselves would set key frames there.
const CUTS: &str =
    "-f lavfi -i testsrc2=s=320x180:d=3.2:r=25 -vf hue=H='2*PI*floor(t/0.7)' -c:v libx264 -g 77";

#[test]
fn key_frames_of_all_codecs_are_at_the_same_frames_and_a_set_has_each_in_variants_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    clip(&film, &format!("{CUTS} -preset ultrafast"));
    let rungs: Vec<Rung> = CODECS
        .iter()
        .flat_map(|codec| {
            [of(*codec, &format!("high-{}", codec.word()), 180, 30), of(*codec, codec.word(), 90, 40)]
        })
        .collect();
    let out = chunked(&film, &GRID, &rungs, dir.path()).unwrap_or_else(|failure| panic!("{failure}"));
    let wanted: Vec<i64> = vec![0, 520, 1040, 1560, 2080, 2600, 3120];
    for (file, joined) in &out {
        let found = keys(file);
        assert_eq!(joined.frames, 80, "{file:?}");
        let off = found.iter().zip(&wanted).any(|(found, wanted)| found.abs_diff(*wanted) > 1);
        assert!(found.len() == wanted.len() && !off, "{file:?}: {found:?}");
    }
    let files: Vec<PathBuf> = out.into_iter().map(|(file, _)| file).collect();
    let settings = PackageSettings { segment_ns: 1_000_000_000, ..PackageSettings::default() };
    let set = dir.path().join("set");
    std::fs::create_dir(&set).unwrap();
    let job = PackageJob { rungs: &files, sound: &[], settings: &settings, directory: &set };
    let report = package(&job, &mut |_| ()).unwrap_or_else(|failure| panic!("{failure}"));
    let families: Vec<&str> = report.video.iter().filter_map(|made| made.codecs.split('.').next()).collect();
    assert_eq!(families, ["avc1", "avc1", "hvc1", "hvc1", "vp09", "vp09", "av01", "av01"]);
    let read = |name: &str| std::fs::read_to_string(set.join(name)).unwrap();
    assert_eq!(read("manifest.mpd").matches("<AdaptationSet").count(), 4);
    assert_eq!(read("master.m3u8").matches("#EXT-X-STREAM-INF").count(), 8);
    // Other programs decode each without a word.
    for made in &report.video {
        let found = frames(&set.join(&made.name).join("media.m3u8"), "null");
        assert_eq!(found.len(), 80, "{}", made.name);
    }
}

/// The first second and what follows, each by its own settings.
fn two_parts(film: &Path, rungs: [Rung; 2], dir: &Path) -> [PathBuf; 2] {
    let source = probe(film).unwrap();
    let ranges = [(0, Some(1_020_000_000)), (1_020_000_000, None)];
    let mut parts = rungs.into_iter().zip(ranges).enumerate().map(|(number, (rung, (start_ns, end_ns)))| {
        let path = dir.join(format!("{number}.mp4"));
        let rungs = [(rung, path.clone())];
        let range = ChunkRange { start_ns, end_ns };
        let job = ChunkJob {
            input: film,
            source: &source,
            range,
            grid: &GRID,
            cuts: None,
            rungs: &rungs,
            caps: &[],
            bits: &[],
            threads: None,
        };
        encode_chunk(&job, &mut |_| ()).unwrap_or_else(|failure| panic!("{failure}"));
        path
    });
    [parts.next().unwrap(), parts.next().unwrap()]
}

#[test]
fn parts_of_another_quality_are_no_parts_of_one_film_though_their_headers_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    clip(&film, CONSTANT);
    for codec in CODECS {
        let parts = two_parts(&film, [of(codec, "a", 1080, 30), of(codec, "a", 1080, 31)], dir.path());
        let output = dir.path().join("out.mp4");
        let job = JoinJob { chunks: &parts, sound: None, frames: None, output: &output };
        let failure = join(&job, &mut |_| ()).unwrap_err();
        assert_eq!(failure.code, FailureCode::SettingsImpossible, "{failure}");
        assert!(failure.message.contains("chunk 2"), "{failure}");
        let parts = two_parts(&film, [of(codec, "a", 1080, 30), of(codec, "a", 1080, 30)], dir.path());
        let job = JoinJob { chunks: &parts, ..job };
        join(&job, &mut |_| ()).unwrap_or_else(|failure| panic!("{codec:?}: {failure}"));
    }
}

#[test]
fn a_bound_on_the_rate_holds_in_codecs_whose_encoders_do_not_hold_it() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    // Noise takes many times the bits that it is given here.
    clip(
        &film,
        "-f lavfi -i testsrc2=s=320x180:d=3:r=25 -vf noise=alls=60:allf=t -c:v libx264 -preset ultrafast -crf 10",
    );
    let cap = RateCap { max_bps: 500_000, buffer_ms: 1000 };
    let bounded = |codec: VideoCodec| Rung { cap: Some(cap), ..of(codec, codec.word(), 180, 20) };
    let rungs = [VideoCodec::Hevc, VideoCodec::Vp9, VideoCodec::Av1].map(bounded);
    let whole =
        chunked(&film, &rushes_shared::ladder::Grid { keys_to_chunk: 200, ..GRID }, &rungs, dir.path());
    let files: Vec<PathBuf> = whole.unwrap().into_iter().map(|(file, _)| file).collect();
    let settings = PackageSettings {
        segment_ns: 1_000_000_000,
        window_ns: 1_000_000_000,
        max_bps: vec![Some(cap.peak_bps(1_000_000_000)); 3],
        ..PackageSettings::default()
    };
    let set = dir.path().join("set");
    std::fs::create_dir(&set).unwrap();
    let job = PackageJob { rungs: &files, sound: &[], settings: &settings, directory: &set };
    let report = package(&job, &mut |_| ()).unwrap_or_else(|failure| panic!("{failure}"));
    for made in &report.video {
        assert!(
            made.average_bps > 150_000,
            "{} is coarser than it has to be: {}",
            made.name,
            made.average_bps
        );
    }
}

#[test]
fn an_interlaced_source_becomes_progressive_in_every_codec() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.ts");
    let fields = "-vf tinterlace=interleave_top,setfield=tff -flags +ilme+ildct -c:v mpeg2video -q:v 3";
    clip(&film, &format!("-f lavfi -i testsrc2=s=192x108:d=1.2:r=50 {fields}"));
    let source = probe(&film).unwrap();
    assert!(source.video[0].interlaced);
    for codec in CODECS {
        let video = VideoSettings { preset: SpeedPreset::Ultrafast, ..VideoSettings::of(codec) };
        let settings = EncodeSettings { video: Some(video), ..EncodeSettings::default() };
        let output = dir.path().join("out.mp4");
        let job =
            EncodeJob { input: &film, source: &source, settings: &settings, output: &output, threads: None };
        let done = encode(&job, &mut |_| ());
        done.unwrap_or_else(|failure| panic!("{codec:?}: {failure} {}", failure.detail));
        assert_eq!(frames(&output, "null").len(), 30, "{codec:?}");
        assert!(!probe(&output).unwrap().video[0].interlaced, "{codec:?}");
    }
}
