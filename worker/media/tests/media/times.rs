//! Times of pictures and of what is written beside them: key frames, clocks, gaps, frames of two fields.

use std::path::Path;
use std::process::Command;

use rushes_media::{EncodeJob, encode, probe};
use rushes_shared::encode::{AudioCodec, Container, RateControl, SpeedPreset, VideoCodec};
use rushes_shared::failure::FailureCode;

use crate::formats::{done, good, made, settings};

#[test]
fn key_frames_stand_every_half_second_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let cuts = dir.path().join("cuts.mkv");
    // A cut every 14 frames, where an encoder of its own would set key frames.
    let picture = "testsrc2=size=96x64:rate=30000/1001:duration=3,hue=h='if(mod(floor(n/14),2),180,0)',negate=enable='mod(floor(n/14),2)'";
    let arguments = ["-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-qp", "0"];
    let Some(()) = made(&arguments, &cuts) else { return };
    let means = [
        RateControl::TwoPass { bitrate_bps: 200_000, peak_bps: None },
        RateControl::Cbr { bitrate_bps: 200_000 },
        RateControl::CappedCrf { crf: 30, peak_bps: 200_000 },
    ];
    let mut cases: Vec<(VideoCodec, u8, Option<RateControl>, bool)> = Vec::new();
    for codec in [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Vp9, VideoCodec::Av1] {
        let distances: &[bool] = if codec == VideoCodec::Av1 { &[false, true] } else { &[false] };
        for &is_whole in distances {
            cases.push((codec, 8, None, is_whole));
            cases.extend(means.map(|rate| (codec, 8, Some(rate), is_whole)));
        }
    }
    cases.push((VideoCodec::Av1, 10, None, false));
    for (codec, depth, rate, is_whole) in cases {
        let container = if codec == VideoCodec::Vp9 { Container::Webm } else { Container::Mp4 };
        let output = dir.path().join(format!("keys-{}.{}", codec.name(), container.ending(None)));
        let mut settings = settings(container, Some(codec), None);
        let video = settings.video.as_mut().unwrap();
        // Half a second is no whole number of frames.
        (video.keyframe_ms, video.bit_depth) = (Some(if is_whole { 1001 } else { 500 }), Some(depth));
        video.preset = SpeedPreset::Medium;
        if let Some(rate) = rate {
            video.rate = rate;
        }
        good(&cuts, &output, &settings);
        let run = Command::new("ffprobe")
            .args([
                "-v",
                "error",
                "-select_streams",
                "v:0",
                "-show_entries",
                "packet=pts_time,flags",
                "-of",
                "csv=p=0",
            ])
            .arg(&output)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        let keys: Vec<String> = text
            .lines()
            .filter(|line| line.contains(",K"))
            .map(|line| {
                format!("{:.0}", line.split(',').next().unwrap().parse::<f64>().unwrap() * 30_000.0 / 1001.0)
            })
            .collect();
        let every = if is_whole { 30 } else { 15 };
        let wanted: Vec<String> = (0..90).step_by(every).map(|frame| frame.to_string()).collect();
        assert_eq!(keys, wanted, "{settings:?}");
    }
}

/// Numbers of the streams that the packets of an MPEG-TS file belong to.
fn transport_streams(file: &Path) -> Vec<u16> {
    let bytes = std::fs::read(file).unwrap();
    bytes.chunks(188).map(|packet| u16::from_be_bytes([packet[1] & 0x1F, packet[2]])).collect()
}

#[test]
fn a_transport_stream_begins_with_its_tables_whatever_is_decoded_first() {
    let dir = tempfile::tempdir().unwrap();
    for (name, sound) in [("silent", ""), ("early", "sine=440:d=6"), ("late", "sine=440:d=5,adelay=400")] {
        let film = dir.path().join(format!("{name}.mp4"));
        let mut arguments = vec!["-f", "lavfi", "-i", "testsrc2=s=320x180:r=24:d=6"];
        if !sound.is_empty() {
            arguments.extend(["-f", "lavfi", "-i", sound]);
        }
        arguments.extend(["-c:v", "libx264", "-c:a", "aac"]);
        let Some(()) = made(&arguments, &film) else { return };
        let audio = (!sound.is_empty()).then_some(AudioCodec::Aac);
        let mut settings = settings(Container::MpegTs, Some(VideoCodec::H264), audio);
        // With frames that are decoded long before they are shown.
        settings.video.as_mut().unwrap().preset = SpeedPreset::Medium;
        let output = dir.path().join("out.ts");
        let report = done(&film, &output, &settings);
        let streams = transport_streams(&output);
        assert_eq!(streams[0], 0, "{name}: {:?}", &streams[..8]);
        assert_eq!(streams[1], 32, "{name}: {:?}", &streams[..8]);
        assert_eq!(report.unwrap().problems, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_transport_stream_has_a_clock_also_where_no_picture_comes() {
    let dir = tempfile::tempdir().unwrap();
    let gap = "testsrc2=s=192x108:r=25:d=6,select='not(between(n,40,95))'";
    // Three frames a second, of which the last is decoded long before it is shown.
    let slow = "testsrc2=s=192x108:r=3:d=8";
    for (name, picture, sound, is_good) in [
        ("whole", gap, Some("sine=440:d=6"), true),
        ("short", gap, Some("sine=440:d=1"), false),
        ("late", gap, Some("sine=440:d=4"), false),
        ("silent", gap, None, false),
        ("slow", slow, None, true),
    ] {
        let film = dir.path().join(format!("{name}.mkv"));
        let mut arguments = vec!["-f", "lavfi", "-i", picture];
        if let Some(sound) = sound {
            let begins = if name == "late" { "2" } else { "0" };
            arguments.extend(["-itsoffset", begins, "-f", "lavfi", "-i", sound]);
        }
        arguments.extend(["-fps_mode", "passthrough", "-c:v", "libx264", "-c:a", "aac"]);
        let Some(()) = made(&arguments, &film) else { return };
        let output = dir.path().join("gap.ts");
        let mut settings =
            settings(Container::MpegTs, Some(VideoCodec::H264), sound.map(|_| AudioCodec::Aac));
        settings.video.as_mut().unwrap().preset = SpeedPreset::Medium;
        let report = done(&film, &output, &settings);
        if is_good {
            assert_eq!(report.unwrap().problems, Vec::<String>::new(), "{name}");
            assert_eq!(transport_streams(&output)[..2], [0, 32], "{name}");
        } else {
            let failure = report.expect_err(name);
            assert_eq!(failure.code, FailureCode::SettingsImpossible, "{name}: {failure}");
            assert!(
                failure.message.contains("MPEG-TS carries no film of which nothing comes"),
                "{name}: {failure}"
            );
        }
    }
}

/// Small pictures of a film in grey, one for each frame.
fn pictures(film: &Path, filter: &str) -> Vec<Vec<u8>> {
    let shape = format!("{filter}scale=80:60,format=gray");
    let mut run = Command::new("ffmpeg");
    run.args(["-v", "quiet", "-i"]).arg(film).args([
        "-vf",
        &shape,
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-",
    ]);
    run.output().unwrap().stdout.chunks_exact(80 * 60).map(<[u8]>::to_vec).collect()
}

#[test]
fn a_film_whose_frames_have_two_fields_now_and_then_keeps_its_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let fields = dir.path().join("fields.m2v");
    let picture = "testsrc2=size=352x288:rate=25:duration=4";
    let how = [
        "-f",
        "lavfi",
        "-i",
        picture,
        "-c:v",
        "mpeg2video",
        "-flags",
        "+ilme+ildct",
        "-bf",
        "0",
        "-g",
        "12",
        "-q:v",
        "3",
    ];
    let Some(()) = made(&how, &fields) else { return };
    let bytes = std::fs::read(&fields).unwrap();
    // Every third run of so many frames has two fields; the extension of each picture says so (ISO/IEC 13818-2, 6.3.10).
    for run in [10, 3] {
        let (mut mixed, mut frame) = (bytes.clone(), 0);
        for at in 0..bytes.len().saturating_sub(9) {
            if bytes[at..].starts_with(&[0, 0, 1, 0xB5]) && bytes[at + 4] >> 4 == 8 {
                let has_fields = frame / run % 3 == 1;
                mixed[at + 7] |= 0x80;
                mixed[at + 8] = (mixed[at + 8] & 0x7F) | if has_fields { 0 } else { 0x80 };
                frame += 1;
            }
        }
        assert_eq!(frame, 100);
        let (raw, film) = (dir.path().join("mixed.m2v"), dir.path().join("mixed.ts"));
        std::fs::write(&raw, mixed).unwrap();
        let wrapped = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-fflags", "+genpts", "-r", "25", "-i"])
            .arg(&raw)
            .args(["-c", "copy"])
            .arg(&film)
            .status();
        assert!(wrapped.unwrap().success());
        let output = dir.path().join("out.mkv");
        let mut settings = settings(Container::Mkv, Some(VideoCodec::H264), None);
        settings.video.as_mut().unwrap().rate = RateControl::Crf(12);
        good(&film, &output, &settings);
        let (ours, theirs) = (pictures(&output, ""), pictures(&film, "yadif=0:-1:1,"));
        assert_eq!((ours.len(), theirs.len()), (100, 100));
        let off =
            |a: &[u8], b: &[u8]| -> u64 { a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum() };
        for (number, ours) in ours.iter().enumerate() {
            let near = (number.saturating_sub(3)..(number + 4).min(100))
                .min_by_key(|other| off(ours, &theirs[*other]));
            assert_eq!(near, Some(number), "in runs of {run}");
        }
    }
}

/// When the packets of a stream are shown, in order, in milliseconds.
fn times(file: &Path, stream: &str) -> Vec<f64> {
    let mut run = Command::new("ffprobe");
    run.args([
        "-v",
        "error",
        "-select_streams",
        stream,
        "-show_entries",
        "packet=pts_time",
        "-of",
        "csv=p=0",
    ]);
    let text = String::from_utf8_lossy(&run.arg(file).output().unwrap().stdout).into_owned();
    let mut times: Vec<f64> = text
        .lines()
        .filter_map(|line| line.trim_end_matches(',').parse::<f64>().ok())
        .map(|s| s * 1000.0)
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

#[test]
fn a_matroska_film_whose_sound_begins_a_little_earlier_keeps_all_of_its_times() {
    let dir = tempfile::tempdir().unwrap();
    for offset in ["0", "7.3"] {
        let film = dir.path().join(format!("film-{offset}.mkv"));
        let picture =
            ["-f", "lavfi", "-i", "testsrc2=s=192x108:r=24000/1001:d=4", "-f", "lavfi", "-i", "sine=440:d=4"];
        let how = ["-c:v", "libx264", "-c:a", "aac", "-output_ts_offset", offset];
        let Some(()) = made(&[&picture[..], &how[..]].concat(), &film) else { return };
        let wanted = times(&film, "v:0");
        assert!(times(&film, "a:0")[0] + 10.0 < wanted[0], "the sound begins earlier");
        let facts = probe(&film).unwrap();
        assert_eq!(facts.audio[0].start_ns, 0);
        assert!(facts.duration_ns < 4_200_000_000, "{}", facts.duration_ns);
        for container in [Container::Mkv, Container::Mp4] {
            let output = dir.path().join(format!("out.{}", container.ending(None)));
            let mut settings = settings(container, Some(VideoCodec::H264), Some(AudioCodec::Aac));
            settings.video.as_mut().unwrap().keyframe_ms = Some(1000);
            good(&film, &output, &settings);
            let found = times(&output, "v:0");
            assert_eq!(found.len(), wanted.len());
            for (number, (found_at, wanted_at)) in found.iter().zip(&wanted).enumerate() {
                let off = (found_at - found[0]) - (wanted_at - wanted[0]);
                assert!(off.abs() < 1.1, "{container:?} {offset}: frame {number} is {off} ms off");
            }
        }
    }
}

#[test]
fn a_damaged_film_of_bottom_fields_keeps_its_frames_at_their_times() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, torn) = (dir.path().join("whole.ts"), dir.path().join("torn.ts"));
    let picture = "testsrc2=size=352x288:rate=50:duration=4,interlace=scan=bff";
    let how = [
        "-f",
        "lavfi",
        "-i",
        picture,
        "-c:v",
        "mpeg2video",
        "-flags",
        "+ilme+ildct",
        "-qscale",
        "3",
        "-g",
        "12",
    ];
    let Some(()) = made(&how, &whole) else { return };
    let mut bytes = std::fs::read(&whole).unwrap();
    let packets = bytes.len() / 188;
    // The payload of packets at two places; their headers stay.
    for place in [packets * 3 / 10, packets * 6 / 10] {
        for packet in place..place + 8 {
            bytes[packet * 188 + 20..(packet + 1) * 188].fill(0xa5);
        }
    }
    std::fs::write(&torn, bytes).unwrap();
    for codec in [VideoCodec::H264, VideoCodec::Vp9] {
        let output = dir.path().join(format!("{}.mkv", codec.name()));
        let mut settings = settings(Container::Mkv, Some(codec), None);
        settings.video.as_mut().unwrap().rate = RateControl::Crf(12);
        let source = probe(&torn).unwrap();
        let job = EncodeJob {
            input: &torn,
            source: &source,
            settings: &settings,
            output: &output,
            threads: Some(2),
        };
        let encoded = encode(&job, &mut |_| ()).unwrap();
        // What is last in the film is last in the output, and not what stands two frames before.
        let last = |path: &Path| {
            let mut run = Command::new("ffmpeg");
            run.args(["-v", "quiet", "-i"]).arg(path);
            let shape = ["-vf", "yadif=0:1,scale=88:72,format=gray", "-f", "rawvideo", "-"];
            run.args(shape).output().unwrap().stdout.chunks_exact(88 * 72).next_back().unwrap().to_vec()
        };
        let (ours, theirs) = (last(&output), last(&torn));
        let off: u64 = ours.iter().zip(&theirs).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(off < 88 * 72 * 6, "{codec:?}: {} a pixel off, {} frames", off / (88 * 72), encoded.frames);
    }
}
