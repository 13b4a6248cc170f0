//! Every codec in every container that holds it, read back by FFmpeg.

use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_media::{EncodeJob, check, encode, loudness, probe};
use rushes_shared::encode::{
    AudioCodec, AudioSettings, Chroma, Container, EncodeSettings, LoudnessTarget, RateControl, SpeedPreset,
    VideoCodec, VideoSettings,
};
use rushes_shared::failure::Failure;
use rushes_shared::media::CheckReport;

use crate::studio::ffprobe;

/// Makes a clip with FFmpeg; nothing, said aloud, where it is not installed.
pub(crate) fn made(arguments: &[&str], file: &Path) -> Option<()> {
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
pub(crate) fn clip(dir: &Path) -> Option<PathBuf> {
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

pub(crate) fn settings(
    container: Container,
    video: Option<VideoCodec>,
    audio: Option<AudioCodec>,
) -> EncodeSettings {
    let video =
        video.map(|codec| VideoSettings { preset: SpeedPreset::Ultrafast, ..VideoSettings::of(codec) });
    EncodeSettings { container, video, audio: audio.map(AudioSettings::of), ..EncodeSettings::default() }
}

/// Encodes and checks.
pub(crate) fn done(input: &Path, output: &Path, settings: &EncodeSettings) -> Result<CheckReport, Failure> {
    let source = probe(input)?;
    let job = EncodeJob { input, source: &source, settings, output, threads: Some(2) };
    let encoded = encode(&job, &mut |_| ())?;
    check(output, &source, settings, Some(&encoded), &mut |_| ())
}

/// Encodes; the check must have nothing to say, and FFmpeg neither.
pub(crate) fn good(input: &Path, output: &Path, settings: &EncodeSettings) -> CheckReport {
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
pub(crate) fn told(file: &Path, stream: &str, entries: &str) -> Vec<String> {
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
    for container in Container::ALL {
        // What hardware is to make is made in software where there is none.
        let is_held = |codec: &VideoCodec| container.video_codecs().contains(&codec.in_software());
        for codec in VideoCodec::ALL.into_iter().filter(is_held) {
            if codec == VideoCodec::DnxHd {
                continue;
            }
            let settings = settings(container, Some(codec), Some(container.usual_audio(Some(codec))));
            let output = dir.path().join(format!("{}.{}", codec.word(), container.ending(None)));
            let report = good(&clip, &output, &settings);
            assert_eq!(report.frames_decoded, 12, "{settings:?}");
            let entries = "codec_name,width,height,nb_read_frames,color_space,color_transfer,color_primaries";
            let found = told(&output, "v:0", entries);
            let colour = ["bt709"; 3].map(str::to_owned).to_vec();
            let expected = [codec.name(), "160", "96", "12"].map(str::to_owned).to_vec();
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
