//! The probe by headers alone against the one by GStreamer's parsers, and against `ffprobe`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_media::{PartsFound, probe_by_headers, probe_by_parsers, probe_parts};
use rushes_shared::media::MediaFacts;

use crate::studio::{ffprobe, real_media};

/// Clips made by `ffmpeg`: a name, its arguments, and whether headers alone tell all of it. Rates that no camera has are
/// told by the stream, and `ffmpeg` switches a second track of sound off.
const CLIPS: &[(&str, &str, bool)] = &[
    ("h264.mp4", "-c:v libx264 -pix_fmt yuv420p -c:a aac", true),
    ("h264.mov", "-c:v libx264 -pix_fmt yuv420p -c:a aac", true),
    ("baseline.mp4", "-c:v libx264 -profile:v baseline -pix_fmt yuv420p -an", true),
    ("main.mp4", "-c:v libx264 -profile:v main -pix_fmt yuv420p -level 4.2 -an -movflags +faststart", true),
    (
        "high10.mp4",
        "-c:v libx264 -pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -an",
        true,
    ),
    ("high10_untold.mp4", "-c:v libx264 -pix_fmt yuv420p10le -an", false),
    ("high422.mp4", "-c:v libx264 -pix_fmt yuv422p -an", true),
    ("high444.mp4", "-c:v libx264 -pix_fmt yuv444p -an", true),
    (
        "bt709.mp4",
        "-c:v libx264 -pix_fmt yuv420p -color_primaries bt709 -color_trc bt709 -colorspace bt709 -an",
        true,
    ),
    (
        "bt709.mov",
        "-c:v libx264 -pix_fmt yuv420p -color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range tv -an",
        true,
    ),
    (
        "full.mp4",
        "-c:v libx264 -pix_fmt yuvj420p -color_primaries bt709 -color_trc bt709 -colorspace bt709 -an",
        false,
    ),
    ("full_untold.mp4", "-c:v libx264 -pix_fmt yuvj420p -an", false),
    ("matrix_alone.mp4", "-c:v libx264 -pix_fmt yuv420p -colorspace smpte170m -an", false),
    ("interlaced.mp4", "-c:v libx264 -pix_fmt yuv420p -flags +ildct+ilme -x264opts tff=1 -an", false),
    ("anamorphic.mp4", "-c:v libx264 -pix_fmt yuv420p -vf setsar=64/45 -an", true),
    ("cropped.mp4", "-c:v libx264 -pix_fmt yuv420p -vf scale=318:182 -an", true),
    ("ntsc.mp4", "-c:v libx264 -pix_fmt yuv420p -vf fps=30000/1001 -an", true),
    ("film.mp4", "-c:v libx264 -pix_fmt yuv420p -vf fps=24000/1001 -video_track_timescale 90000 -an", true),
    ("odd_rate.mp4", "-c:v libx264 -pix_fmt yuv420p -vf fps=17.3 -an", false),
    ("vfr.mp4", "-c:v libx264 -pix_fmt yuv420p -vf select='not(eq(mod(n\\,7)\\,3))' -fps_mode vfr -an", true),
    ("short.mp4", "-c:v libx264 -pix_fmt yuv420p -frames:v 2 -an", true),
    ("one.mp4", "-c:v libx264 -pix_fmt yuv420p -frames:v 1 -an", false),
    ("hevc.mp4", "-c:v libx265 -pix_fmt yuv420p -x265-params log-level=0 -c:a aac", true),
    ("hvc1.mp4", "-c:v libx265 -pix_fmt yuv420p -tag:v hvc1 -x265-params log-level=0 -an", true),
    (
        "hevc_cropped.mp4",
        "-c:v libx265 -pix_fmt yuv420p -vf scale=318:182 -x265-params log-level=0 -an",
        true,
    ),
    (
        "hlg.mp4",
        "-c:v libx265 -pix_fmt yuv420p10le -color_primaries bt2020 -color_trc arib-std-b67 -colorspace bt2020nc -x265-params log-level=0 -an",
        true,
    ),
    ("hevc422.mp4", "-c:v libx265 -pix_fmt yuv422p10le -x265-params log-level=0 -an", false),
    ("av1.mp4", "-c:v libaom-av1 -cpu-used 8 -usage realtime -pix_fmt yuv420p -frames:v 20 -an", true),
    (
        "av1_10.mp4",
        "-c:v libaom-av1 -cpu-used 8 -usage realtime -pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -frames:v 20 -an",
        true,
    ),
    ("vp9.mp4", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -frames:v 20 -an", false),
    ("prores.mov", "-c:v prores_ks -profile:v 0 -frames:v 10 -c:a pcm_s16le", false),
    ("surround.mp4", "-c:v libx264 -pix_fmt yuv420p -c:a aac -ac 6", true),
    ("mono.m4a", "-vn -c:a aac -ac 1 -ar 22050", true),
    (
        "tracks.mp4",
        "-map 0:v -map 1:a -map 1:a -c:v libx264 -pix_fmt yuv420p -c:a aac -metadata:s:a:0 language=deu -metadata:s:a:1 language=fra -metadata:s:v:0 language=eng",
        false,
    ),
    ("rare_language.mp4", "-c:v libx264 -pix_fmt yuv420p -c:a aac -metadata:s:a:0 language=sux", false),
    (
        "tags.mp4",
        "-c:v libx264 -pix_fmt yuv420p -an -metadata title=Ein\\ Film -metadata artist=Wer -metadata comment=Naja -metadata creation_time=2020-02-29T12:00:00Z",
        true,
    ),
    ("track_number.mp4", "-c:v libx264 -pix_fmt yuv420p -an -metadata track=3", false),
    ("fragmented.mp4", "-c:v libx264 -pix_fmt yuv420p -c:a aac -movflags +frag_keyframe+empty_moov", false),
    (
        "late_sound.mp4",
        "-c:v libx264 -pix_fmt yuv420p -c:a aac -af adelay=delays=500:all=1,aresample=async=0",
        true,
    ),
    ("matroska.mkv", "-c:v libx264 -pix_fmt yuv420p -c:a aac", false),
    ("mono.wav", "-vn -c:a pcm_s16le", true),
    ("odd_length.wav", "-vn -c:a pcm_s16le -ar 44100 -t 1.2345", true),
    ("deep.wav", "-vn -c:a pcm_s24le -ac 2 -ar 96000", true),
    ("shallow.wav", "-vn -c:a pcm_u8 -ar 11025 -t 1.7", true),
    ("shallow_stereo.wav", "-vn -c:a pcm_u8 -ac 2 -ar 22050 -t 1.7", true),
    ("deepest.wav", "-vn -c:a pcm_s32le -ac 2", true),
    ("float.wav", "-vn -c:a pcm_f32le", false),
    ("surround.wav", "-vn -c:a pcm_s16le -ac 6", false),
    ("alaw.wav", "-vn -c:a pcm_alaw -ar 8000", false),
    ("titled.wav", "-vn -c:a pcm_s16le -metadata title=Etwas", false),
    ("mono.flac", "-vn -c:a flac", true),
    ("odd_length.flac", "-vn -c:a flac -ac 2 -ar 44100 -t 1.2345", true),
    ("deep.flac", "-vn -c:a flac -sample_fmt s32 -ar 96000", true),
    (
        "titled.flac",
        "-vn -c:a flac -metadata title=Ein\\ Lied -metadata artist=Wer -metadata album=Nichts",
        true,
    ),
    ("dated.flac", "-vn -c:a flac -metadata date=1999", false),
    ("surround.flac", "-vn -c:a flac -ac 6", false),
    ("layer_3.mp4", "-c:v libx264 -pix_fmt yuv420p -c:a libmp3lame -b:a 128k", true),
    ("layer_3_alone.mp4", "-vn -c:a libmp3lame -b:a 160k -ar 32000 -ac 1", true),
    ("layer_3_variable.mp4", "-vn -c:a libmp3lame -q:a 4", false),
    ("constant.mp3", "-vn -c:a libmp3lame -b:a 128k", true),
    ("joint.mp3", "-vn -c:a libmp3lame -b:a 192k -ac 2 -ar 44100 -t 1.2345", true),
    ("variable.mp3", "-vn -c:a libmp3lame -q:a 2 -ac 2", true),
    ("low_rate.mp3", "-vn -c:a libmp3lame -b:a 64k -ar 22050", true),
    ("bare.mp3", "-vn -c:a libmp3lame -b:a 128k -id3v2_version 0 -write_xing 0", true),
    ("titled.mp3", "-vn -c:a libmp3lame -metadata title=Etwas", false),
];

/// Makes one; nothing where there is no `ffmpeg`.
fn clip(dir: &Path, name: &str, arguments: &str) -> Option<PathBuf> {
    let file = dir.join(name);
    // A blank that belongs to a value is written with a backslash.
    let arguments: Vec<String> =
        arguments.replace("\\ ", "\0").split(' ').map(|part| part.replace('\0', " ")).collect();
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2"])
        .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=2"])
        .args(arguments)
        .arg(&file)
        .status();
    match made {
        Ok(status) => {
            assert!(status.success(), "ffmpeg cannot make {name}");
            Some(file)
        }
        Err(_) => {
            eprintln!("skipped: ffmpeg is not installed");
            None
        }
    }
}

/// Both probes' facts, which must be the same, where headers alone gave them; else what differs.
fn agree(file: &Path) -> Result<Option<MediaFacts>, String> {
    let Ok(Some(facts)) = probe_by_headers(file) else { return Ok(None) };
    let parsed = probe_by_parsers(file);
    if parsed.as_ref() == Ok(&facts) {
        held_against_ffprobe(file, &facts);
        by_parts_as_well(file, &facts);
        return Ok(Some(facts));
    }
    Err(format!("{}: by headers {facts:?}, by parsers {parsed:?}", file.display()))
}

#[test]
fn headers_tell_of_generated_clips_what_parsers_tell() {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (name, arguments, by_headers) in CLIPS {
        let Some(file) = clip(dir.path(), name, arguments) else { return };
        match agree(&file) {
            Ok(facts) if facts.is_some() == *by_headers => {}
            Ok(facts) => wrong.push(format!("{name}: told by headers: {}", facts.is_some())),
            Err(difference) => wrong.push(difference),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn headers_tell_of_real_media_what_parsers_tell() {
    let Some(folder) = real_media() else { return };
    let mut told = Vec::new();
    for kind in ["video", "audio", "odd"] {
        for entry in std::fs::read_dir(folder.join(kind)).unwrap() {
            let file = entry.unwrap().path();
            if agree(&file).unwrap_or_else(|difference| panic!("{difference}")).is_some() {
                told.push(file.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
    eprintln!("by headers: {} files, {told:?}", told.len());
    for name in [
        "game_arena_720p60.mp4",
        "hdr10_pq_roof_720x1280_av1.mp4",
        "hevc_main10_540p.mp4",
        "vfr_gaps_360p.mp4",
    ] {
        assert!(told.iter().any(|file| file == name), "{name} is plain");
    }
    for name in ["truncated_halfway.mp4", "fragmented.mp4", "one_frame.mp4"] {
        assert!(!told.iter().any(|file| file == name), "{name} is not plain");
    }
}

/// The same facts by parts of the file, brought as they are wanted.
fn by_parts_as_well(file: &Path, facts: &MediaFacts) {
    const ROUNDS: usize = 6;
    let whole = std::fs::read(file).unwrap();
    let size = u64::try_from(whole.len()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().join("parts");
    let parts = File::create(&here).unwrap();
    let (mut held, mut wanted) = (Vec::new(), Vec::from([std::ops::Range { start: 0, end: size.min(4096) }]));
    for _ in 0..ROUNDS {
        for part in wanted.drain(..) {
            let range = usize::try_from(part.start).unwrap()..usize::try_from(part.end).unwrap();
            parts.write_all_at(&whole[range], part.start).unwrap();
            held.push(part);
        }
        match probe_parts(&here, size, held.clone()).unwrap() {
            PartsFound::Told(found) => {
                assert_eq!(*found, *facts, "{}", file.display());
                return;
            }
            PartsFound::Wants(more) => wanted = more,
            PartsFound::NeedsAll => break,
        }
    }
    panic!("{}: not told by {held:?} of {size} bytes", file.display());
}

/// What both name in the same way.
fn held_against_ffprobe(file: &Path, facts: &MediaFacts) {
    let entries = "stream=codec_type,codec_name,width,height,pix_fmt,sample_aspect_ratio,sample_rate,channels,nb_read_packets,\
                   color_space,color_transfer,color_primaries,color_range:format=duration";
    let Some(lines) = ffprobe(file, entries) else { return };
    let all = |key: &str| -> Vec<&str> {
        lines.iter().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
    };
    let codecs = facts.video.iter().map(|v| &v.codec).chain(facts.audio.iter().map(|a| &a.codec));
    let mut ours: Vec<&str> = codecs.map(String::as_str).collect();
    let mut theirs = all("codec_name");
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs, "{}", file.display());
    let Some(video) = facts.video.first() else {
        let length: f64 = all("duration")[0].parse().unwrap();
        let ours = std::time::Duration::from_nanos(facts.duration_ns).as_secs_f64();
        // A packet's length: what encoders put before the sound counts here and there in other ways.
        assert!((ours - length).abs() < 0.06, "{}: {ours} s and {length} s", file.display());
        return;
    };
    let name = file.display();
    assert_eq!(
        [video.width.to_string(), video.height.to_string()],
        [all("width")[0], all("height")[0]],
        "{name}"
    );
    // The full range is in FFmpeg's pixel format, and in a description of its own in ours.
    assert_eq!(video.pixel_format, all("pix_fmt")[0].replace("yuvj", "yuv"), "{name}");
    let sar = video.sar.map_or("N/A".to_owned(), |sar| format!("{}:{}", sar.num, sar.den));
    let shown = all("sample_aspect_ratio")[0];
    assert!(sar == shown || shown == "N/A", "{name}: {sar}, {shown}");
    for (ours, key) in [
        (&video.colour.matrix, "color_space"),
        (&video.colour.transfer, "color_transfer"),
        (&video.colour.primaries, "color_primaries"),
    ] {
        let theirs = all(key).first().copied().unwrap_or("unknown");
        assert_eq!(ours, theirs.trim_start_matches("unknown"), "{name}: {key}");
    }
    if video.pixel_format.starts_with("yuv") {
        let theirs = all("color_range").first().copied().unwrap_or("unknown");
        assert_eq!(video.colour.range == "pc", theirs == "pc", "{name}: color_range {theirs}");
    }
}

/// Numbers that look random and are the same each time (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

#[test]
fn damaged_headers_are_read_to_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(0x5eed);
    for name in ["h264.mp4", "hevc.mp4", "av1.mp4", "tags.mp4"] {
        let (_, arguments, _) = CLIPS.iter().find(|clip| clip.0 == name).unwrap();
        let Some(file) = clip(dir.path(), name, arguments) else { return };
        let whole = std::fs::read(&file).unwrap();
        let index = whole.windows(4).position(|code| code == b"moov").unwrap() - 4;
        let damaged = dir.path().join("damaged.mp4");
        for round in 0..4000 {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(4) {
                // Mostly the index, where the headers are.
                let from = if random.below(8) == 0 { 0 } else { index };
                let at = from + random.below(bytes.len() - from);
                bytes[at] = match random.below(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => bytes[at] ^ 1 << random.below(8),
                    _ => u8::try_from(random.below(256)).unwrap(),
                };
            }
            if round % 5 == 0 {
                let left = index + random.below(bytes.len() - index);
                bytes.truncate(left);
            }
            std::fs::write(&damaged, &bytes).unwrap();
            // Whatever they say, they say it without a panic, and in bounds.
            if let Ok(Some(facts)) = probe_by_headers(&damaged) {
                assert!(facts.video.len() + facts.audio.len() > 0, "{name}, round {round}");
            }
        }
    }
}

/// A file that is cut or changed says nothing, or what its parsers say.
#[test]
fn damaged_sound_is_told_as_parsers_tell_it_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(0x50_0d);
    let mut wrong = Vec::new();
    for name in ["mono.wav", "odd_length.wav", "constant.mp3", "joint.mp3"] {
        let (_, arguments, _) = CLIPS.iter().find(|clip| clip.0 == name).unwrap();
        let Some(file) = clip(dir.path(), name, arguments) else { return };
        let whole = std::fs::read(&file).unwrap();
        let damaged = dir.path().join("damaged");
        let mut told = 0;
        for round in 0..3000 {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(3) {
                // Mostly the beginning, where the headers are.
                let end = if random.below(4) == 0 { bytes.len() } else { 300 };
                let at = random.below(end);
                bytes[at] = match random.below(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => bytes[at] ^ 1 << random.below(8),
                    _ => u8::try_from(random.below(256)).unwrap(),
                };
            }
            if round % 5 == 0 {
                let left = random.below(bytes.len());
                bytes.truncate(left);
            }
            std::fs::write(&damaged, &bytes).unwrap();
            let Ok(Some(facts)) = probe_by_headers(&damaged) else { continue };
            assert_eq!(facts.audio.len(), 1, "{name}, round {round}");
            // To ask the parsers takes far longer.
            if told % 20 == 0 && probe_by_parsers(&damaged).as_ref() != Ok(&facts) {
                wrong.push(format!("{name}, round {round}: {facts:?}, {:?}", probe_by_parsers(&damaged)));
            }
            told += 1;
        }
        assert!(told > 20, "{name}: {told}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_flac_file_without_its_own_last_frame_is_left_to_parsers() {
    let dir = tempfile::tempdir().unwrap();
    let Some(file) = clip(dir.path(), "whole.flac", "-vn -c:a flac") else { return };
    let whole = std::fs::read(&file).unwrap();
    assert!(probe_by_headers(&file).unwrap().is_some());
    let other = dir.path().join("other.flac");
    let mut random = Random(0xf1ac);
    for _ in 0..200 {
        let left = 1 + random.below(whole.len() - 1);
        std::fs::write(&other, &whole[..left]).unwrap();
        assert_eq!(probe_by_headers(&other).unwrap(), None, "{left} of {} bytes", whole.len());
        let mut changed = whole.clone();
        let at = whole.len() - 1 - random.below(500);
        changed[at] ^= 1;
        std::fs::write(&other, &changed).unwrap();
        assert_eq!(probe_by_headers(&other).unwrap(), None, "changed at {at}");
    }
}
