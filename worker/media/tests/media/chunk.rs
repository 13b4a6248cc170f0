//! A film in chunks is the film: every frame, at its time, whatever the source is like.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_media::{ChunkJob, JoinJob, Joined, compare, encode_chunk, join, probe, score_chunk, sound};
use rushes_shared::encode::{AudioSettings, SpeedPreset, VideoCodec, VmafLimits, VmafScope};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::{ChunkRange, Grid, Rung, split};
use rushes_shared::measure::{CompareSettings, VmafModel, VmafTally};

use crate::studio::sound as heard;

/// A second to a chunk, half a second to a key frame.
pub(crate) const GRID: Grid = Grid { key_ns: 500_000_000, keys_to_segment: 2, keys_to_chunk: 2 };

pub(crate) fn rung(name: &str, height: u32, crf: u8) -> Rung {
    Rung {
        name: name.to_owned(),
        max_size: (1920, height),
        crf,
        preset: SpeedPreset::Ultrafast,
        cap: None,
        codec: VideoCodec::H264,
    }
}

/// Makes a clip with ffmpeg.
pub(crate) fn clip(path: &Path, arguments: &str) {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-y"]).args(arguments.split_whitespace()).arg(path);
    let run = ffmpeg.output().expect("these tests need ffmpeg");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// Encodes a film in chunks, all rungs of a chunk from one decode, and joins them.
pub(crate) fn chunked(
    film: &Path,
    grid: &Grid,
    rungs: &[Rung],
    dir: &Path,
) -> Result<Vec<(PathBuf, Joined)>, Failure> {
    let source = probe(film)?;
    let ranges = split(&source, grid);
    let with_sound = !source.audio.is_empty();
    let track = dir.join("sound.m4a");
    if with_sound {
        sound(film, &source, &AudioSettings::default(), &track, &mut |_| ())?;
    }
    let (mut parts, mut frames) = (vec![Vec::new(); rungs.len()], 0);
    for (number, range) in ranges.iter().enumerate() {
        let outputs: Vec<(Rung, PathBuf)> = rungs
            .iter()
            .map(|rung| (rung.clone(), dir.join(format!("{}-{number}.mp4", rung.name))))
            .collect();
        let job = ChunkJob {
            input: film,
            source: &source,
            range: *range,
            grid,
            cuts: None,
            rungs: &outputs,
            caps: &[],
            bits: &[],
            threads: None,
        };
        frames += encode_chunk(&job, &mut |_| ())?.frames;
        for (parts, (_, path)) in parts.iter_mut().zip(outputs) {
            parts.push(path);
        }
    }
    let join_one = |(rung, parts): (&Rung, &Vec<PathBuf>)| {
        let output = dir.join(format!("{}.mp4", rung.name));
        let sound = with_sound.then_some(track.as_path());
        let job = JoinJob { chunks: parts, sound, frames: Some(frames), output: &output };
        Ok((output.clone(), join(&job, &mut |_| ())?))
    };
    rungs.iter().zip(&parts).map(join_one).collect()
}

/// Digest and time in milliseconds of each frame, as ffmpeg decodes and passes it.
pub(crate) fn frames(file: &Path, filter: &str) -> Vec<(f64, String)> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-i"]).arg(file);
    ffmpeg.args(["-map", "0:v:0", "-vf", filter, "-fps_mode", "passthrough", "-enc_time_base", "1:1000000"]);
    let run = ffmpeg.args(["-f", "framemd5", "-"]).output().expect("these tests need ffmpeg");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(run.stderr.is_empty(), "{file:?}: {}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &str| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        (fields[2].parse::<f64>().unwrap() / 1000.0, fields[5].to_owned())
    };
    lines.map(read).collect()
}

/// Times of the key frames, in milliseconds.
pub(crate) fn keys(file: &Path) -> Vec<i64> {
    let run = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0"])
        .args(["-show_entries", "packet=pts_time,flags", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .expect("these tests need ffprobe");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let keys = text.lines().filter_map(|line| line.split_once(",K"));
    // Microseconds are printed; whole milliseconds are what these films have.
    let times = keys.map(|(time, _)| time.replace('.', "").parse::<i64>().unwrap() / 1000);
    times.collect()
}

const PICTURES: &str = "-f lavfi -i testsrc2=s=192x108:d=4.3:r=";

/// A graph of 226 frames whose groups of pictures are reordered by different times.
pub(crate) fn changing() -> String {
    let pictures = [("testsrc2", 70), ("mandelbrot", 61), ("smptehdbars", 40), ("life", 55)];
    let cut = |(n, (picture, frames)): (usize, (&str, u32))| {
        format!(
            "{picture}=s=320x180:r=25,trim=end_frame={frames},setpts=PTS-STARTPTS,format=yuv420p,setsar=1[v{n}];"
        )
    };
    let parts: String = pictures.into_iter().enumerate().map(cut).collect();
    parts + "[v0][v1][v2][v3]concat=n=4:v=1"
}

/// Sources, each with one thing about it that chunks could get wrong.
fn sources(dir: &Path) -> BTreeMap<&'static str, PathBuf> {
    let mut made = BTreeMap::new();
    let mut add = |name: &'static str, ending: &str, arguments: &str| {
        let path = dir.join(format!("{}.{ending}", name.replace([' ', '.'], "-")));
        clip(&path, arguments);
        made.insert(name, path);
    };
    for (name, rate) in [("23.976", "24000/1001"), ("29.97", "30000/1001"), ("59.94", "60000/1001")] {
        add(name, "mp4", &format!("{PICTURES}{rate} -c:v libx264 -preset ultrafast -g 33"));
    }
    let reordered = "-c:v libx264 -preset veryfast -bf 5 -b_strategy 0 -refs 4 -x264-params b-pyramid=normal";
    add("B-frames", "mp4", &format!("{PICTURES}25 {reordered}:keyint=37:scenecut=0"));
    add("open GOP", "mp4", &format!("{PICTURES}25 {reordered}:keyint=25:open-gop=1:scenecut=0"));
    add("open GOP in Matroska", "mkv", &format!("{PICTURES}25 {reordered}:keyint=25:open-gop=1:scenecut=0"));
    add("one key frame", "mp4", &format!("{PICTURES}25 -c:v libx264 -preset ultrafast -g 999"));
    add(
        "variable rate",
        "mp4",
        &format!(
            "{PICTURES}30 -vf select='mod(n\\,7)*mod(n\\,11)',settb=1/90000 -fps_mode passthrough {reordered}:keyint=40"
        ),
    );
    // Chunks in which no frame begins.
    let slides = "-vf setpts=N+75*gte(N\\,30) -fps_mode passthrough -c:v libx264 -preset ultrafast";
    add("slides", "mp4", &format!("{PICTURES}25 {slides}"));
    add("slides in Matroska", "mkv", &format!("{PICTURES}25 {slides}"));
    add(
        "variable rate in Matroska",
        "mkv",
        &format!("{PICTURES}30 -vf select='mod(n\\,5)' -fps_mode passthrough {reordered}"),
    );
    add("MPEG-TS", "ts", &format!("{PICTURES}25 {reordered}:keyint=30"));
    // A stream without a container, whose packets have no time at which they are shown; below it begins with a remark.
    add("bare stream", "h264", &format!("{PICTURES}25 -c:v libx264 -preset ultrafast -bf 0 -g 30"));
    add("VP9", "webm", &format!("{PICTURES}25 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 30"));
    // Groups of pictures that are reordered by different times.
    add(
        "offsets below zero",
        "mp4",
        &format!(
            "-filter_complex {} -c:v libx264 -preset veryfast -g 25 -movflags +cmaf+frag_keyframe",
            changing()
        ),
    );
    add(
        "start offset",
        "mp4",
        &format!(
            "{PICTURES}25 -itsoffset 0.7 -f lavfi -i sine=d=5 -map 1:v? -map 0:v -map 1:a -c:a aac {reordered}"
        ),
    );
    let bare = &made["bare stream"];
    let remark = [&[0, 0, 0, 1, 6, 5, 17], b"sixteen numbers!*".as_slice(), &[0x80]].concat();
    let stream = std::fs::read(bare).unwrap();
    std::fs::write(bare, [remark, stream].concat()).unwrap();
    made
}

#[test]
fn a_lossless_chunked_encode_is_the_source_frame_by_frame() {
    let dir = tempfile::tempdir().unwrap();
    for (name, film) in sources(dir.path()) {
        let out = chunked(&film, &GRID, &[rung("lossless", 1080, 0)], dir.path());
        let out = out.unwrap_or_else(|failure| panic!("{name}: {failure} {}", failure.detail));
        let (expected, found) = (frames(&film, "null"), frames(&out[0].0, "null"));
        assert!(expected.len() > 80, "{name}: {}", expected.len());
        same(name, &expected, &found);
    }
}

/// Whether two films have the same frames at the same times from their first on.
fn same(name: &str, expected: &[(f64, String)], found: &[(f64, String)]) {
    assert_eq!(expected.len(), found.len(), "{name}: frames");
    for (n, (wanted, got)) in expected.iter().zip(found).enumerate() {
        assert_eq!(wanted.1, got.1, "{name}: frame {n} of {}", expected.len());
        let off = (wanted.0 - expected[0].0) - (got.0 - found[0].0);
        assert!(off.abs() < 0.1, "{name}: frame {n} is {off} ms off");
    }
}

#[test]
fn pictures_of_a_program_stream_are_evenly_apart_where_several_begin_in_one_packet() {
    let dir = tempfile::tempdir().unwrap();
    for (n, codec) in ["mpeg2video", "mpeg1video", "mpeg2video -g 4 -sc_threshold 0"].into_iter().enumerate()
    {
        let film = dir.path().join(format!("{n}.mpg"));
        clip(&film, &format!("-f lavfi -i testsrc2=s=64x64:d=4.3:r=25 -q:v 8 -bf 2 -g 15 -c:v {codec}"));
        let out = chunked(&film, &GRID, &[rung("lossless", 1080, 0)], dir.path()).unwrap();
        let (expected, mut found) = (frames(&film, "null"), frames(&out[0].0, "null"));
        assert!(expected.len() > 100, "{codec}: {}", expected.len());
        // FFmpeg gives some of its pictures the times of others: they are held against a clock.
        let even = (0_u32..).map(|n| f64::from(n) * 40.0);
        let expected: Vec<_> = even.zip(expected).map(|(ms, (_, hash))| (ms, hash)).collect();
        for frame in &mut found {
            frame.0 = frame.0.round();
        }
        same(codec, &expected, &found);
    }
}

#[test]
fn an_edit_list_that_cuts_off_a_head_keeps_it_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (film, part) = (dir.path().join("film.mp4"), dir.path().join("part.mp4"));
    clip(&film, &format!("{PICTURES}25 -c:v libx264 -preset veryfast -bf 3 -g 25"));
    clip(&part, &format!("-ss 0.6 -i {} -c copy", film.display()));
    let out = chunked(&part, &GRID, &[rung("lossless", 1080, 0)], dir.path()).unwrap();
    same("edit list", &frames(&part, "null"), &frames(&out[0].0, "null"));
}

#[test]
fn interlaced_pictures_are_made_progressive_as_in_one_piece() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    let filter = "-vf tinterlace=interleave_top,setfield=tff -flags +ilme+ildct";
    clip(
        &film,
        &format!("{PICTURES}50 {filter} -c:v libx264 -preset ultrafast -x264-params tff=1:keyint=20"),
    );
    let whole = Grid { keys_to_chunk: 200, ..GRID };
    let lossless = [rung("lossless", 1080, 0)];
    let one = tempfile::tempdir().unwrap();
    let one_piece = chunked(&film, &whole, &lossless, one.path()).unwrap();
    let parts = chunked(&film, &GRID, &lossless, dir.path()).unwrap();
    same("interlaced", &frames(&one_piece[0].0, "null"), &frames(&parts[0].0, "null"));
}

#[test]
fn rungs_of_one_decode_have_the_same_key_frames_in_closed_groups() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    // Noise that changes at once, as a cut does: an encoder by itself would set key frames there.
    clip(
        &film,
        "-f lavfi -i testsrc2=s=320x180:d=3.2:r=25 -vf hue=H='2*PI*floor(t/0.7)' -c:v libx264 -g 77 -preset ultrafast",
    );
    let rungs = [rung("high", 180, 20), Rung { preset: SpeedPreset::Medium, ..rung("low", 90, 35) }];
    let out = chunked(&film, &GRID, &rungs, dir.path()).unwrap();
    let wanted: Vec<i64> = vec![0, 520, 1040, 1560, 2080, 2600, 3120];
    for (file, joined) in &out {
        assert_eq!(keys(file), wanted, "{file:?}");
        assert_eq!((joined.frames, joined.video_duration_ns), (80, 3_200_000_000));
    }
    assert_eq!(frames(&out[1].0, "null").len(), 80);
}

#[test]
fn chunks_of_other_settings_or_in_another_order_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    clip(&film, &format!("{PICTURES}25 -c:v libx264 -preset ultrafast"));
    let source = probe(&film).unwrap();
    let ranges = split(&source, &GRID);
    let made = |name: &str, range: ChunkRange, preset: SpeedPreset| {
        let path = dir.path().join(name);
        let rungs = [(Rung { preset, ..rung(name, 1080, 23) }, path.clone())];
        let job = ChunkJob {
            input: &film,
            source: &source,
            range,
            grid: &GRID,
            cuts: None,
            rungs: &rungs,
            caps: &[],
            bits: &[],
            threads: None,
        };
        encode_chunk(&job, &mut |_| ()).unwrap();
        path
    };
    let (quick, other) = (SpeedPreset::Ultrafast, SpeedPreset::Medium);
    let parts = [made("a", ranges[0], quick), made("b", ranges[1], quick), made("c", ranges[1], other)];
    let output = dir.path().join("out.mp4");
    let refused = |chunks: &[&PathBuf], frames| {
        let chunks: Vec<PathBuf> = chunks.iter().map(|path| (*path).clone()).collect();
        let job = JoinJob { chunks: &chunks, sound: None, frames, output: &output };
        join(&job, &mut |_| ()).unwrap_err()
    };
    let failure = refused(&[&parts[0], &parts[2]], None);
    assert!(
        failure.message.contains("chunk 2") && failure.message.contains("other parameter sets"),
        "{failure}"
    );
    let failure = refused(&[&parts[1], &parts[0]], None);
    assert!(failure.message.contains("chunk 2 begins at 0.000 s"), "{failure}");
    let failure = refused(&[&parts[0], &parts[1]], Some(60));
    assert_eq!(
        (failure.code, failure.message.contains("must be 60, got 52")),
        (FailureCode::CheckFailed, true)
    );
    std::fs::write(&output, b"no film").unwrap();
    assert_eq!(refused(&[&output], None).code, FailureCode::InputUnreadable);
}

#[test]
fn sound_stays_with_the_picture_from_start_to_end() {
    let dir = tempfile::tempdir().unwrap();
    for (name, offset, ending) in [("plain", "0", "mp4"), ("late", "0.36", "mp4"), ("stream", "0", "ts")] {
        let film = dir.path().join(format!("{name}.{ending}"));
        // White for a frame and a beep of as long, each second, from half a second on.
        let flash = "color=s=64x64:r=50:d=6,geq=lum='if(lt(mod(T-0.5\\,1)\\,0.02)*gte(T\\,0.5)\\,235\\,16)':cb=128:cr=128";
        let beep = "aevalsrc='0.8*sin(2000*PI*t)*lt(mod(t-0.5\\,1)\\,0.02)*gte(t\\,0.5)':s=48000:d=6";
        clip(
            &film,
            &format!(
                "-itsoffset {offset} -f lavfi -i {flash} -itsoffset {offset} -f lavfi -i {beep} -c:v libx264 -preset ultrafast -g 60 -c:a aac"
            ),
        );
        let out = chunked(&film, &GRID, &[rung("film", 1080, 20)], dir.path()).unwrap();
        let (flashes, beeps) = (flashes(&out[0].0), beeps(&out[0].0));
        assert_eq!((flashes.len(), beeps.len()), (6, 6), "{name}: {flashes:?} {beeps:?}");
        for (flash, beep) in flashes.iter().zip(&beeps) {
            assert!((flash - beep).abs() <= 5.0, "{name}: a flash at {flash} ms, its beep at {beep} ms");
        }
    }
}

/// When the picture becomes white, in milliseconds.
pub(crate) fn flashes(file: &Path) -> Vec<f64> {
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-copyts", "-i"])
        .arg(file)
        .args(["-map", "0:v:0", "-vf", "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-"])
        .args(["-f", "null", "-"])
        .output()
        .expect("these tests need ffmpeg");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let (mut at, mut found) = (0.0, Vec::new());
    for line in text.lines() {
        if let Some((_, time)) = line.split_once("pts_time:") {
            at = time.trim().parse::<f64>().unwrap() * 1000.0;
        } else if line
            .rsplit('=')
            .next()
            .and_then(|level| level.parse::<f64>().ok())
            .is_some_and(|l| l > 120.0)
        {
            found.push(at);
        }
    }
    found
}

/// When a beep begins, in milliseconds; sound that starts late is waited for with silence.
pub(crate) fn beeps(file: &Path) -> Vec<f64> {
    let samples = heard(file).unwrap();
    let start = start_ms(file);
    let (mut found, mut quiet) = (Vec::new(), usize::MAX / 2);
    for (n, sample) in samples.iter().enumerate() {
        if sample.abs() > 0.2 {
            if quiet > 4800 {
                found.push(n as f64 / 48.0 + start);
            }
            quiet = 0;
        } else {
            quiet += 1;
        }
    }
    found
}

/// When the first sound comes, in milliseconds: below zero where players are given priming that they do not play.
fn start_ms(file: &Path) -> f64 {
    let run = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "a:0",
            "-show_entries",
            "stream=start_time",
            "-of",
            "csv=p=0",
        ])
        .arg(file)
        .output()
        .expect("these tests need ffprobe");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    text.lines()
        .next()
        .and_then(|line| line.trim_end_matches(',').parse::<f64>().ok())
        .map_or(0.0, |s| s * 1000.0)
}

#[test]
fn scores_of_chunks_together_are_those_of_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    // Key frames of the film lie where no chunk begins, and B-frames before them.
    clip(
        &film,
        "-f lavfi -i testsrc2=s=320x180:d=3.4:r=25 -c:v libx264 -preset veryfast -g 17 -bf 2 -crf 12",
    );
    let source = probe(&film).unwrap();
    let rungs = [rung("same", 180, 34), rung("small", 90, 30)];
    let (ranges, mut whole) = (split(&source, &GRID), vec![VmafTally::default(); 2]);
    assert!(ranges.len() >= 3);
    let (mut parts, mut frames) = (vec![Vec::new(); 2], 0);
    let limits = VmafLimits { scope: VmafScope::Full, ..VmafLimits::default() };
    for (number, range) in ranges.iter().enumerate() {
        let named = |rung: &Rung| (rung.clone(), dir.path().join(format!("{}-{number}.mp4", rung.name)));
        let outputs: Vec<(Rung, PathBuf)> = rungs.iter().map(named).collect();
        let job = ChunkJob {
            input: &film,
            source: &source,
            range: *range,
            grid: &GRID,
            cuts: None,
            rungs: &outputs,
            caps: &[],
            bits: &[],
            threads: Some(1),
        };
        let made = encode_chunk(&job, &mut |_| ()).unwrap();
        let off = VmafLimits::default();
        assert!(score_chunk(&job, &off, &mut |_| ()).unwrap().is_empty(), "nobody asked for it");
        let scored = score_chunk(&job, &limits, &mut |_| ()).unwrap();
        assert_eq!(scored.iter().map(|tally| tally.frames).collect::<Vec<_>>(), [made.frames; 2]);
        whole.iter_mut().zip(&scored).for_each(|(whole, part)| whole.merge(part));
        frames += made.frames;
        parts.iter_mut().zip(outputs).for_each(|(parts, (_, path))| parts.push(path));
    }
    for ((rung, parts), tally) in rungs.iter().zip(&parts).zip(&whole) {
        let output = dir.path().join(format!("{}.mp4", rung.name));
        join(&JoinJob { chunks: parts, sound: None, frames: Some(frames), output: &output }, &mut |_| ())
            .unwrap();
        let facts = probe(&output).unwrap();
        let settings = CompareSettings { likeness: false, ..CompareSettings::default() };
        let found = compare((&film, &source), (&output, &facts), &settings, &mut |_| ()).unwrap();
        let (of_chunks, of_whole) = (tally.scores(VmafModel::Hd).unwrap(), found.vmaf.unwrap());
        let told = format!("{}: {of_chunks:?} {of_whole:?}", rung.name);
        assert_eq!(
            (of_chunks.frames, of_chunks.min_at_ns / 1_000_000),
            (85, of_whole.min_at_ns / 1_000_000),
            "{told}"
        );
        assert!((of_chunks.mean - of_whole.mean).abs() < 1e-6, "{told}");
        assert!((of_chunks.harmonic_mean - of_whole.harmonic_mean).abs() < 1e-6, "{told}");
        assert!((of_chunks.worst_percent - of_whole.worst_percent).abs() < 1e-6, "{told}");
    }
}
