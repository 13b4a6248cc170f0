//! Every codec in every container that holds it, read back by FFmpeg.

use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_media::{EncodeJob, check, encode, loudness, probe};
use rushes_shared::encode::{
    AudioCodec, AudioSettings, Chroma, Container, EncodeSettings, LoudnessTarget, RateControl, SpeedPreset,
    VideoCodec, VideoSettings,
};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::CheckReport;

use crate::studio::ffprobe;

/// Makes a clip with FFmpeg; nothing, said aloud, where it is not installed.
fn made(arguments: &[&str], file: &Path) -> Option<()> {
    let run = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(arguments).arg(file).status();
    match run {
        Ok(status) => {
            assert!(status.success(), "{arguments:?}");
            Some(())
        }
        Err(_) => {
            eprintln!("skipped: ffmpeg is not installed");
            None
        }
    }
}

/// Twelve frames of moving colours with stereo sound.
fn clip(dir: &Path) -> Option<PathBuf> {
    let file = dir.join("clip.mkv");
    let picture = "testsrc2=size=160x96:rate=24000/1001:duration=0.5";
    let tone = "sine=frequency=440:duration=0.5:sample_rate=48000,pan=stereo|c0=c0|c1=c0";
    let tags =
        ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"];
    let mut arguments = vec!["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone];
    arguments.extend(["-pix_fmt", "yuv420p", "-c:v", "libx264", "-qp", "0", "-c:a", "pcm_s16le"]);
    arguments.extend(tags);
    made(&arguments, &file).map(|()| file)
}

fn settings(container: Container, video: Option<VideoCodec>, audio: Option<AudioCodec>) -> EncodeSettings {
    let video =
        video.map(|codec| VideoSettings { preset: SpeedPreset::Ultrafast, ..VideoSettings::of(codec) });
    EncodeSettings { container, video, audio: audio.map(AudioSettings::of), ..EncodeSettings::default() }
}

/// Encodes and checks.
fn done(input: &Path, output: &Path, settings: &EncodeSettings) -> Result<CheckReport, Failure> {
    let source = probe(input)?;
    let job = EncodeJob { input, source: &source, settings, output, threads: Some(2) };
    let encoded = encode(&job, &mut |_| ())?;
    check(output, &source, settings, Some(&encoded), &mut |_| ())
}

/// Encodes; the check must have nothing to say, and FFmpeg neither.
fn good(input: &Path, output: &Path, settings: &EncodeSettings) -> CheckReport {
    let report = done(input, output, settings).unwrap_or_else(|failure| panic!("{settings:?}: {failure:?}"));
    assert_eq!(report.problems, Vec::<String>::new(), "{settings:?}");
    let run =
        Command::new("ffmpeg").args(["-v", "warning", "-i"]).arg(output).args(["-f", "null", "-"]).output();
    let said = String::from_utf8_lossy(&run.unwrap().stderr).into_owned();
    // Files of plain samples name no layout where it is the usual one.
    let said: String = said.lines().filter(|line| !line.starts_with("Guessed Channel Layout")).collect();
    assert_eq!(said, "", "{settings:?}");
    report
}

/// What FFmpeg says of a stream: values in the order of the entries.
fn told(file: &Path, stream: &str, entries: &str) -> Vec<String> {
    let wanted = format!("stream={entries}");
    let run = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-select_streams", stream, "-show_entries", &wanted])
        .args(["-of", "default=noprint_wrappers=1"])
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    entries
        .split(',')
        .map(|entry| {
            let found = text.lines().find_map(|line| line.strip_prefix(&format!("{entry}=")));
            found.unwrap_or("missing").to_owned()
        })
        .collect()
}

/// Values of light of the first frame, as they are stored.
fn luma(file: &Path) -> Vec<u8> {
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-frames:v", "1", "-vf", "extractplanes=y", "-f", "rawvideo", "-"])
        .output()
        .expect("it made the clip");
    run.stdout
}

/// The film's copy says that it uses the full range, and has the film's light.
fn stays_full(file: &Path, what: &str) {
    let facts = probe(file).unwrap();
    assert_eq!(facts.video[0].colour.range, "pc", "{what}");
    let output = file.with_extension("out.mp4");
    good(file, &output, &settings(Container::Mp4, Some(VideoCodec::H264), None));
    assert_eq!(told(&output, "v:0", "color_range"), ["pc"], "{what}");
    let (before, after) = (luma(file), luma(&output));
    let apart = before.iter().zip(&after).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
    assert!(before.len() == after.len() && apart / before.len() as f64 <= 2.0, "{what}: {apart}");
}

const DESCRIBED: [&str; 6] = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"];
const BARS: [&str; 4] = ["-f", "lavfi", "-i", "smptehdbars=size=160x96:rate=25:duration=0.2"];

#[test]
fn the_full_range_is_kept_whatever_the_container_says_of_it() {
    let dir = tempfile::tempdir().unwrap();
    for (codec, tags) in
        [("libx264", &DESCRIBED[..]), ("libx264", &[]), ("libx265", &DESCRIBED), ("libx265", &[])]
    {
        let file = dir.path().join(format!("{codec}-{}.mp4", tags.len()));
        let how = ["-vf", "scale=out_range=pc,format=yuvj420p", "-c:v", codec];
        if made(&[&BARS[..], &how, tags].concat(), &file).is_none() {
            return;
        }
        stays_full(&file, &format!("{codec} {tags:?}"));
    }
}

#[test]
fn the_full_range_of_vp9_and_av1_is_kept_also_where_nothing_else_is_said_of_the_colours() {
    let dir = tempfile::tempdir().unwrap();
    for codec in ["libvpx-vp9", "libaom-av1"] {
        for ending in ["mp4", "webm"] {
            for tags in [&DESCRIBED[..], &[]] {
                let file = dir.path().join(format!("{codec}-{}.{ending}", tags.len()));
                let range = ["-vf", "scale=out_range=pc,format=yuv420p", "-color_range", "pc"];
                let how = ["-c:v", codec, "-cpu-used", "8"];
                if made(&[&BARS[..], &range, &how, tags].concat(), &file).is_none() {
                    return;
                }
                stays_full(&file, &format!("{codec} {ending} {tags:?}"));
            }
        }
    }
}

#[test]
fn every_video_codec_in_every_container_is_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let Some(clip) = clip(dir.path()) else { return };
    let names = |codec| match codec {
        VideoCodec::H264 | VideoCodec::H264Hardware => "h264",
        other => other.name(),
    };
    for container in Container::ALL {
        for codec in container.video_codecs().iter().copied() {
            if matches!(codec, VideoCodec::H264Hardware | VideoCodec::DnxHd) {
                continue;
            }
            let settings = settings(container, Some(codec), Some(container.usual_audio(Some(codec))));
            let output = dir.path().join(format!("{}.{}", codec.name(), container.ending(None)));
            let report = good(&clip, &output, &settings);
            assert_eq!(report.frames_decoded, 12, "{settings:?}");
            let entries = "codec_name,width,height,nb_read_frames,color_space,color_transfer,color_primaries";
            let found = told(&output, "v:0", entries);
            let colour = ["bt709"; 3].map(str::to_owned).to_vec();
            let expected = [names(codec), "160", "96", "12"].map(str::to_owned).to_vec();
            assert_eq!(found, [expected, colour].concat(), "{settings:?}");
            let start = |stream| told(&output, stream, "start_time")[0].parse::<f64>().unwrap();
            let apart = (start("v:0") - start("a:0")).abs();
            assert!(apart < 0.06, "{settings:?}: picture and sound begin {apart} s apart");
        }
    }
}

#[test]
fn every_audio_codec_in_every_container_is_as_long_as_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let Some(clip) = clip(dir.path()) else { return };
    for container in Container::ALL {
        for codec in container.audio_codecs().iter().copied() {
            let settings = settings(container, None, Some(codec));
            let output = dir.path().join(format!("{}.{}", codec.name(), container.ending(Some(codec))));
            let report = good(&clip, &output, &settings);
            assert_eq!(report.frames_decoded, 0, "there is no picture");
            let found = told(&output, "a:0", "codec_name,channels,sample_rate");
            let name = if codec == AudioCodec::Pcm { "pcm_s16le" } else { codec.name() };
            assert_eq!(found, [name, "2", "48000"], "{settings:?}");
            let run = Command::new("ffmpeg")
                .args(["-v", "error", "-i"])
                .arg(&output)
                .args(["-ac", "1", "-f", "f32le", "-"])
                .output();
            let samples = run.unwrap().stdout.len() / 4;
            let off = i64::try_from(samples).unwrap() - 24_000;
            let most = if codec.is_lossless() { 0 } else { 3 * 1152 };
            assert!((0..=most).contains(&off), "{settings:?}: {off} samples more than the source has");
        }
    }
}

#[test]
fn samples_at_rates_above_those_of_quicktimes_first_form_are_what_they_were() {
    let dir = tempfile::tempdir().unwrap();
    for (rate, bits, format) in
        [("88200", 16, "pcm_s16le"), ("96000", 24, "pcm_s24le"), ("192000", 24, "pcm_s24le")]
    {
        let (source, output) = (dir.path().join("source.wav"), dir.path().join("out.mov"));
        let noise = format!("anoisesrc=d=0.4:r={rate}:a=0.3,pan=stereo|c0=c0|c1=-1*c0");
        let Some(()) = made(&["-f", "lavfi", "-i", &noise, "-c:a", format], &source) else { return };
        let mut settings = settings(Container::Mov, None, Some(AudioCodec::Pcm));
        settings.audio.as_mut().unwrap().bits = Some(bits);
        good(&source, &output, &settings);
        assert_eq!(told(&output, "a:0", "sample_rate,channels"), [rate, "2"]);
        let samples = |file: &Path| {
            let mut ffmpeg = Command::new("ffmpeg");
            ffmpeg.args(["-v", "error", "-i"]).arg(file).args(["-f", "s32le", "-"]).output().unwrap().stdout
        };
        assert!(samples(&source) == samples(&output), "{rate} Hz, {bits} bits");
    }
}

#[test]
fn ten_bits_chroma_and_hdr_are_kept_where_they_can_be() {
    let dir = tempfile::tempdir().unwrap();
    let hdr = dir.path().join("hdr.mkv");
    let hdr_tags = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1:master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50):max-cll=1000,400:log-level=none";
    let picture = "testsrc2=size=128x96:rate=25:duration=0.24";
    let arguments = [
        "-f",
        "lavfi",
        "-i",
        picture,
        "-pix_fmt",
        "yuv420p10le",
        "-c:v",
        "libx265",
        "-x265-params",
        hdr_tags,
    ];
    let Some(()) = made(&arguments, &hdr) else { return };
    let standard = dir.path().join("standard.mp4");
    good(&hdr, &standard, &settings(Container::Mp4, Some(VideoCodec::H264), None));
    let found = told(&standard, "v:0", "pix_fmt,color_transfer,color_primaries,color_space");
    assert_eq!(
        found,
        ["yuv420p", "bt709", "bt709", "bt709"],
        "tone-mapped, as H.264 of 8 bits carries no HDR"
    );
    for (container, codec, format) in [
        (Container::Mp4, VideoCodec::Hevc, "yuv420p10le"),
        (Container::Mkv, VideoCodec::Hevc, "yuv420p10le"),
        (Container::Webm, VideoCodec::Vp9, "yuv420p10le"),
        (Container::Mp4, VideoCodec::Vp9, "yuv420p10le"),
        (Container::Mov, VideoCodec::ProRes, "yuv422p10le"),
        (Container::Mkv, VideoCodec::Ffv1, "yuv420p10le"),
    ] {
        let output = dir.path().join(format!("hdr-{}.{}", codec.name(), container.ending(None)));
        let settings = settings(container, Some(codec), None);
        good(&hdr, &output, &settings);
        let found = told(&output, "v:0", "pix_fmt,color_transfer,color_primaries,color_space");
        assert_eq!(found, [format, "smpte2084", "bt2020", "bt2020nc"], "{settings:?}");
    }
    for container in [Container::Mp4, Container::Webm] {
        let output = dir.path().join(format!("hdr-av1.{}", container.ending(None)));
        let mut settings = settings(container, Some(VideoCodec::Av1), None);
        settings.video.as_mut().unwrap().bit_depth = Some(10);
        settings.video.as_mut().unwrap().rate = RateControl::Crf(20);
        good(&hdr, &output, &settings);
        let found = told(&output, "v:0", "pix_fmt,color_transfer,color_primaries,color_space");
        assert_eq!(found, ["yuv420p10le", "smpte2084", "bt2020", "bt2020nc"], "AV1 of ten bits");
    }
    // AV1 counts in other parts: the light in 1/256 cd/m2, the places in 1/65536.
    for (name, light, red) in [
        ("hdr-hevc.mp4", "max_luminance=10000000/10000", "red_x=35400/50000"),
        ("hdr-av1.mp4", "max_luminance=256000/256", "red_x=46399/65536"),
        ("hdr-av1.webm", "max_luminance=256000/256", "red_x=46399/65536"),
    ] {
        let run = Command::new("ffprobe")
            .args(["-v", "error", "-show_frames", "-read_intervals", "%+#1"])
            .arg(dir.path().join(name))
            .output();
        let frame = String::from_utf8_lossy(&run.unwrap().stdout).into_owned();
        for said in ["max_content=1000", "max_average=400", light, red] {
            assert!(frame.contains(said), "{name}: {said} in {frame}");
        }
    }

    let Some(clip) = clip(dir.path()) else { return };
    for (codec, depth, chroma, format) in [
        (VideoCodec::H264, 10, Chroma::C420, "yuv420p10le"),
        (VideoCodec::H264, 8, Chroma::C422, "yuv422p"),
        (VideoCodec::Hevc, 10, Chroma::C422, "yuv422p10le"),
        (VideoCodec::Vp9, 8, Chroma::C444, "yuv444p"),
        (VideoCodec::Av1, 8, Chroma::C444, "yuv444p"),
        (VideoCodec::ProRes, 10, Chroma::C444, "yuv444p10le"),
    ] {
        let output = dir.path().join(format!("{}-{depth}.mkv", codec.name()));
        let mut settings = settings(Container::Mkv, Some(codec), None);
        let video = settings.video.as_mut().unwrap();
        (video.bit_depth, video.chroma) = (Some(depth), Some(chroma));
        good(&clip, &output, &settings);
        assert!(
            told(&output, "v:0", "pix_fmt")[0].starts_with(&format[..format.len().min(7)]),
            "{settings:?}"
        );
        if codec != VideoCodec::ProRes {
            assert_eq!(told(&output, "v:0", "pix_fmt"), [format], "{settings:?}");
        }
    }
}

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
    let select = "testsrc2=s=192x108:r=25:d=6,select='not(between(n,40,95))'";
    for (name, sound) in [("whole", Some("sine=440:d=6")), ("short", Some("sine=440:d=1")), ("silent", None)]
    {
        let film = dir.path().join(format!("{name}.mkv"));
        let mut arguments = vec!["-f", "lavfi", "-i", select];
        if let Some(sound) = sound {
            arguments.extend(["-f", "lavfi", "-i", sound]);
        }
        arguments.extend(["-fps_mode", "passthrough", "-c:v", "libx264", "-c:a", "aac"]);
        let Some(()) = made(&arguments, &film) else { return };
        let output = dir.path().join("gap.ts");
        let mut settings =
            settings(Container::MpegTs, Some(VideoCodec::H264), sound.map(|_| AudioCodec::Aac));
        settings.video.as_mut().unwrap().preset = SpeedPreset::Medium;
        let report = done(&film, &output, &settings);
        if name == "whole" {
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

#[test]
fn av1_shares_a_mean_out_over_the_film_also_where_key_frames_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mkv");
    let easy = "color=gray:s=192x108:r=30000/1001:d=3[a];testsrc2=s=192x108:r=30000/1001:d=3,noise=alls=6:allf=t[b];[a][b]concat";
    let arguments = ["-f", "lavfi", "-i", easy, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-qp", "0"];
    let Some(()) = made(&arguments, &film) else { return };
    let output = dir.path().join("out.mp4");
    let mut settings = settings(Container::Mp4, Some(VideoCodec::Av1), None);
    let video = settings.video.as_mut().unwrap();
    video.rate = RateControl::TwoPass { bitrate_bps: 300_000, peak_bps: None };
    video.keyframe_ms = Some(500);
    good(&film, &output, &settings);
    let bits = std::fs::metadata(&output).unwrap().len() * 8;
    // The film's grey half needs next to nothing.
    assert!((1_350_000..2_300_000).contains(&bits), "{bits} bits of 1,800,000");
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
fn bit_rates_are_held() {
    let dir = tempfile::tempdir().unwrap();
    let noise = dir.path().join("noise.mkv");
    let picture = "testsrc2=size=192x108:rate=25:duration=3,noise=alls=40:allf=t";
    let arguments = [
        "-f",
        "lavfi",
        "-i",
        picture,
        "-pix_fmt",
        "yuv420p",
        "-c:v",
        "libx264",
        "-qp",
        "5",
        "-preset",
        "ultrafast",
    ];
    let Some(()) = made(&arguments, &noise) else { return };
    let rate_of = |codec, rate| {
        let output = dir.path().join("rate.mkv");
        let mut settings = settings(Container::Mkv, Some(codec), None);
        let video = settings.video.as_mut().unwrap();
        (video.rate, video.preset) = (rate, SpeedPreset::Superfast);
        good(&noise, &output, &settings);
        std::fs::metadata(&output).unwrap().len() * 8 / 3
    };
    let target = 200_000;
    for codec in [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Vp9, VideoCodec::Av1] {
        let free = rate_of(codec, RateControl::Crf(20));
        assert!(free > 2 * u64::from(target), "{codec:?}: {free} bit/s at a rate factor alone");
        for rate in [
            RateControl::CappedCrf { crf: 20, peak_bps: target },
            RateControl::Cbr { bitrate_bps: target },
            RateControl::TwoPass { bitrate_bps: target, peak_bps: None },
            RateControl::OnePass { bitrate_bps: target, peak_bps: None },
            RateControl::OnePass { bitrate_bps: target, peak_bps: Some(2 * target) },
        ] {
            let held = rate_of(codec, rate);
            // Three seconds, of which the buffer's two may be spent at once. One pass finds its rate only as it goes.
            let most = if matches!(rate, RateControl::OnePass { .. }) { 25 } else { 17 };
            assert!(held < u64::from(target) * most / 10, "{codec:?} {rate:?}: {held} bit/s");
            assert!(held > u64::from(target) * 5 / 10, "{codec:?} {rate:?}: {held} bit/s");
        }
    }
}

#[test]
fn two_passes_of_vp9_and_av1_hold_a_mean_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mkv");
    // One second that is easy, one that is hard, one that is easy.
    let picture = "testsrc2=size=320x180:rate=25:duration=3,noise=alls=60:allf=t:enable='between(t,1,2)'";
    let how = ["-f", "lavfi", "-i", picture, "-c:v", "libx264", "-qp", "5", "-preset", "ultrafast"];
    let Some(()) = made(&how, &film) else { return };
    let target = 300_000;
    for (codec, container) in [(VideoCodec::Vp9, Container::Webm), (VideoCodec::Av1, Container::Mp4)] {
        let own = dir.path().join(codec.name());
        std::fs::create_dir(&own).unwrap();
        let output = own.join("film");
        let mut settings = settings(container, Some(codec), None);
        let video = settings.video.as_mut().unwrap();
        video.rate = RateControl::TwoPass { bitrate_bps: target, peak_bps: None };
        video.preset = SpeedPreset::Medium;
        good(&film, &output, &settings);
        let held = std::fs::metadata(&output).unwrap().len() * 8 / 3;
        let (least, most) = (u64::from(target) * 6 / 10, u64::from(target) * 14 / 10);
        assert!((least..most).contains(&held), "{codec:?}: {held} bit/s");
        let left: Vec<_> = std::fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["film"], "{codec:?}");
    }
}

#[test]
fn av1_of_a_variable_rate_has_the_bit_rate_that_it_is_to_have() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mkv");
    // Some ten frames a second, at odd times.
    let picture = "testsrc2=size=320x180:rate=30:duration=6,noise=alls=40:allf=t,select='not(mod(n,3))+eq(mod(n,40),1)'";
    let how = ["-f", "lavfi", "-i", picture, "-vsync", "vfr", "-c:v", "libx264", "-crf", "10"];
    let Some(()) = made(&how, &film) else { return };
    let wanted = 400_000;
    let output = dir.path().join("out.mp4");
    let mut settings = settings(Container::Mp4, Some(VideoCodec::Av1), None);
    let video = settings.video.as_mut().unwrap();
    (video.rate, video.preset) = (RateControl::Cbr { bitrate_bps: wanted }, SpeedPreset::Ultrafast);
    good(&film, &output, &settings);
    let found = std::fs::metadata(&output).unwrap().len() * 8 / 6;
    assert!((wanted * 7 / 10..wanted * 14 / 10).contains(&u32::try_from(found).unwrap()), "{found} b/s");
}

#[test]
fn what_a_film_does_not_say_of_its_colours_av1_does_not_say_either() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mkv");
    let how = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25:duration=0.2", "-c:v", "libx264"];
    let Some(()) = made(&how, &film) else { return };
    let mut settings = settings(Container::Mkv, Some(VideoCodec::Av1), None);
    settings.video.as_mut().unwrap().preset = SpeedPreset::Ultrafast;
    let output = dir.path().join("out.mkv");
    good(&film, &output, &settings);
    let colours = "color_transfer,color_primaries,color_space";
    assert_eq!(told(&film, "v:0", colours), told(&output, "v:0", colours));
}

#[test]
fn odd_sizes_variable_rates_rotation_fields_and_surround_pass_through_other_codecs() {
    let dir = tempfile::tempdir().unwrap();
    let (upright, odd) = (dir.path().join("upright.mov"), dir.path().join("odd.mov"));
    let picture = "testsrc2=size=163x97:rate=25:duration=0.6,select='not(eq(mod(n,5),3))'";
    let sound = "anoisesrc=d=0.6:r=48000:a=0.1,pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0";
    let mut arguments = vec!["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound];
    arguments.extend(["-vsync", "vfr", "-pix_fmt", "yuv444p", "-c:v", "libx264", "-c:a", "aac"]);
    let Some(()) = made(&arguments, &upright) else { return };
    let turned = ["-i", upright.to_str().unwrap(), "-c", "copy", "-metadata:s:v:0", "rotate=90"];
    let Some(()) = made(&turned, &odd) else { return };
    assert!(probe(&odd).unwrap().video[0].orientation.swaps_sides());
    let frames = probe(&odd).unwrap().video[0].frames;
    for (container, video, audio, channels) in [
        (Container::Webm, VideoCodec::Vp9, AudioCodec::Opus, "6"),
        (Container::Mkv, VideoCodec::Av1, AudioCodec::Vorbis, "6"),
        (Container::MpegTs, VideoCodec::H264, AudioCodec::Ac3, "6"),
        (Container::Mov, VideoCodec::ProRes, AudioCodec::Pcm, "6"),
        (Container::Mkv, VideoCodec::Ffv1, AudioCodec::Flac, "6"),
        (Container::FragmentedMp4, VideoCodec::H264, AudioCodec::Mp3, "2"),
    ] {
        let output = dir.path().join(format!("odd-{}.{}", video.name(), container.ending(None)));
        let settings = settings(container, Some(video), Some(audio));
        let report = good(&odd, &output, &settings);
        assert_eq!(report.frames_decoded, frames);
        let found = told(&output, "v:0", "width,height,nb_read_frames");
        assert_eq!(found, ["96", "162", &frames.to_string()], "{settings:?}");
        assert_eq!(told(&output, "a:0", "channels"), [channels], "{settings:?}");
        if audio == AudioCodec::Pcm {
            assert_eq!(told(&output, "a:0", "channel_layout"), ["5.1"], "{settings:?}");
        }
    }
    let fields = dir.path().join("fields.ts");
    let picture = "testsrc2=size=160x96:rate=50:duration=0.8,interlace";
    let arguments = [
        "-f",
        "lavfi",
        "-i",
        picture,
        "-pix_fmt",
        "yuv420p",
        "-c:v",
        "mpeg2video",
        "-flags",
        "+ilme+ildct",
        "-qscale",
        "2",
    ];
    let Some(()) = made(&arguments, &fields) else { return };
    for codec in [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Vp9, VideoCodec::Av1] {
        let output = dir.path().join(format!("fields-{}.mkv", codec.name()));
        let report = good(&fields, &output, &settings(Container::Mkv, Some(codec), None));
        assert_eq!(report.frames_decoded, 20);
        assert_eq!(told(&output, "v:0", "field_order"), ["progressive"]);
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

#[test]
fn dnxhr_takes_the_sizes_of_television_and_names_them_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mkv");
    let picture = "testsrc2=size=1280x720:rate=25:duration=0.12";
    let arguments =
        ["-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast"];
    let Some(()) = made(&arguments, &film) else { return };
    let output = dir.path().join("film.mov");
    let mut settings = settings(Container::Mov, Some(VideoCodec::DnxHd), None);
    good(&film, &output, &settings);
    assert_eq!(
        told(&output, "v:0", "codec_name,profile,pix_fmt,nb_read_frames"),
        ["dnxhd", "DNXHR HQ", "yuv422p", "3"]
    );
    settings.video.as_mut().unwrap().max_height = Some(480);
    let refused = done(&film, &output, &settings).unwrap_err();
    assert!(refused.message.contains("1920x1080 or 1280x720"), "{refused:?}");
}

#[test]
fn sound_is_brought_to_its_loudness_and_its_peak_stays_under_the_ceiling() {
    let dir = tempfile::tempdir().unwrap();
    let quiet = dir.path().join("quiet.wav");
    // Surround, so that what is measured must be the mix.
    let tone = "sine=frequency=1000:duration=4:sample_rate=48000,volume=-20dB,pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=0.5*c0|c5=0.5*c0";
    let Some(()) = made(&["-f", "lavfi", "-i", tone, "-c:a", "pcm_s24le"], &quiet) else { return };
    let measured = |file: &Path| loudness(file, &probe(file).unwrap(), &mut |_| ()).unwrap();
    let mut settings = settings(Container::Wav, None, Some(AudioCodec::Pcm));
    let audio = settings.audio.as_mut().unwrap();
    (audio.channels, audio.loudness) = (Some(2), Some(LoudnessTarget { integrated: -230, true_peak: -10 }));
    let output = dir.path().join("loud.wav");
    let report = good(&quiet, &output, &settings);
    assert_eq!(report.warnings, Vec::<String>::new());
    let found = measured(&output);
    assert!((found.integrated_lufs.unwrap() + 23.0).abs() < 0.1, "{found:?}");
    settings.audio.as_mut().unwrap().loudness = Some(LoudnessTarget { integrated: -60, true_peak: -90 });
    let report = good(&quiet, &output, &settings);
    assert!(report.warnings[0].starts_with("loudness:"), "{:?}", report.warnings);
    let found = measured(&output);
    assert!((found.true_peak_dbtp.unwrap() + 9.0).abs() < 0.1, "{found:?}");
}

#[test]
fn lossless_sound_is_the_very_same() {
    let dir = tempfile::tempdir().unwrap();
    for (bits, depth) in [("pcm_s16le", "s16le"), ("pcm_s24le", "s24le")] {
        let noise = dir.path().join(format!("{depth}.wav"));
        let arguments =
            ["-f", "lavfi", "-i", "anoisesrc=d=0.7:r=44100:a=0.5,pan=stereo|c0=c0|c1=-0.5*c0", "-c:a", bits];
        let Some(()) = made(&arguments, &noise) else { return };
        let samples = |file: &Path| {
            Command::new("ffmpeg")
                .args(["-v", "error", "-i"])
                .arg(file)
                .args(["-f", depth, "-"])
                .output()
                .unwrap()
                .stdout
        };
        let before = samples(&noise);
        for (container, codec) in [
            (Container::Flac, AudioCodec::Flac),
            (Container::Ogg, AudioCodec::Flac),
            (Container::Mp4, AudioCodec::Flac),
            (Container::Mkv, AudioCodec::Flac),
            (Container::Mkv, AudioCodec::Pcm),
            (Container::Mov, AudioCodec::Pcm),
            (Container::Wav, AudioCodec::Pcm),
        ] {
            let output = dir.path().join(format!("same.{}", container.ending(Some(codec))));
            good(&noise, &output, &settings(container, None, Some(codec)));
            assert!(samples(&output) == before, "{container:?} {codec:?} {depth}");
        }
    }
    assert!(ffprobe(Path::new("/dev/null"), "format=size").is_some());
}
