//! Probe, encode and check of clips that are made on the spot, read back by other programs where they are installed.

use std::path::Path;
use std::process::Command;

use crate::studio::{CLIP, SOUND, WEBM, encoded, ffprobe, make, quick, sound, video};
use rushes_media::{EncodeJob, Encoded, QualityJob, check, check_quality, encode, probe};
use rushes_shared::check::{Check, CheckLimit, CheckName, CheckResult};
use rushes_shared::encode::{
    CheckLimits, EncodeSettings, LoudnessTarget, PeakLimit, RateControl, SpeedPreset, VmafLimits, VmafScope,
};
use rushes_shared::failure::FailureCode;
use rushes_shared::media::MediaFacts;
use rushes_shared::task::Phase;
use rushes_shared::units::Ratio;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_probe_tells_what_a_clip_is_made_of() {
    let dir = folder();
    let clip = dir.path().join("clip.bin");
    make(CLIP, &clip);
    let facts = probe(&clip).unwrap();
    assert_eq!(facts.container, "mp4");
    let video = &facts.video[0];
    assert_eq!((video.codec.as_str(), video.width, video.height, video.frames), ("h264", 320, 240, 50));
    assert_eq!((video.fps, video.vfr, video.sar), (Ratio::new(25, 1), false, Ratio::new(64, 45)));
    assert_eq!((video.pixel_format.as_str(), video.bit_depth), ("yuv420p", 8));
    assert_eq!((video.colour.matrix.as_str(), video.colour.range.as_str()), ("bt709", "tv"));
    assert_eq!(video.duration_ns, 2_000_000_000);
    let audio = &facts.audio[0];
    assert_eq!(
        (audio.codec.as_str(), audio.rate_hz, audio.channels, audio.layout.as_str()),
        ("aac", 48_000, 2, "stereo")
    );

    let webm = dir.path().join("clip.webm");
    make(WEBM, &webm);
    let facts = probe(&webm).unwrap();
    assert_eq!(facts.container, "webm");
    let video = &facts.video[0];
    assert_eq!((video.codec.as_str(), video.frames, video.vfr), ("vp8", 30, false));
    assert_eq!((video.fps, video.pixel_format.as_str()), (Ratio::new(30_000, 1001), "yuv420p"));
}

#[test]
fn an_encode_keeps_every_frame_and_its_check_agrees() {
    let dir = folder();
    let (clip, out) = (dir.path().join("clip.mp4"), dir.path().join("out.mp4"));
    make(CLIP, &clip);
    let source = probe(&clip).unwrap();
    let settings = quick();
    let job = EncodeJob { input: &clip, source: &source, settings: &settings, output: &out, threads: None };
    let mut steps = Vec::new();
    let encoded = encode(&job, &mut |progress| steps.push(progress)).unwrap();
    let report =
        check(&out, &source, &settings, Some(&encoded), &mut |progress| steps.push(progress)).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!((encoded.frames, report.frames_decoded), (50, 50));
    assert_eq!(report.video_duration_ns, 2_000_000_000);
    assert!(encoded.warnings.is_empty() && encoded.encoder.contains("x264enc"), "{encoded:?}");
    assert!(steps.windows(2).all(|pair| pair[0].permille <= pair[1].permille), "{steps:?}");
    assert!(steps.iter().any(|step| step.phase == Phase::Running) && steps.last().unwrap().frames == 50);
    let bytes = std::fs::read(&out).unwrap();
    let place = |code: &[u8]| bytes.windows(4).position(|word| word == code).unwrap();
    assert!(place(b"moov") < place(b"mdat"), "the index comes first");

    let Some(lines) = ffprobe(
        &out,
        "stream=codec_name,profile,pix_fmt,nb_read_packets,sample_aspect_ratio,color_space,start_time",
    ) else {
        return;
    };
    for line in [
        "codec_name=h264",
        "pix_fmt=yuv420p",
        "nb_read_packets=50",
        "sample_aspect_ratio=64:45",
        "color_space=bt709",
        "codec_name=aac",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:?}");
    }
    assert!(
        lines.iter().filter(|line| line.starts_with("start_time=")).all(|line| line == "start_time=0.000000")
    );
}

#[test]
fn sound_stays_where_it_was() {
    let dir = folder();
    let (clip, out) = (dir.path().join("clip.mp4"), dir.path().join("out.mp4"));
    make(CLIP, &clip);
    encoded(&clip, &out, &quick()).unwrap();
    let (Some(before), Some(after)) = (sound(&clip), sound(&out)) else { return };
    let first = |samples: &[f32]| samples.iter().skip(9600).position(|sample| sample.abs() > 0.2).unwrap();
    // The source's own file says nothing of its encoder's 1024 samples of priming; its decoders give them as sound.
    let (was, is) = (first(&before), first(&after));
    assert!(was.abs_diff(is) <= 96, "a tick moved by {} samples", was.abs_diff(is));
}

#[test]
fn a_picture_shrinks_into_its_limits_and_the_check_holds_it_to_that() {
    let dir = folder();
    let (clip, out) = (dir.path().join("clip.webm"), dir.path().join("out.mp4"));
    make(WEBM, &clip);
    let mut settings = quick();
    video(&mut settings).max_height = Some(72);
    let (source, encoded) = encoded(&clip, &out, &settings).unwrap();
    let facts = probe(&out).unwrap();
    assert_eq!((facts.video[0].width, facts.video[0].height), (88, 72));
    assert!(check(&out, &source, &settings, Some(&encoded), &mut |_| ()).unwrap().problems.is_empty());
    let other = check(&out, &source, &quick(), Some(&encoded), &mut |_| ()).unwrap();
    assert!(
        other.problems.iter().any(|problem| problem == "width: must be 176 pixels, got 88"),
        "{:?}",
        other.problems
    );
}

#[test]
fn a_check_finds_what_is_missing() {
    let dir = folder();
    let (clip, out) = (dir.path().join("clip.mp4"), dir.path().join("out.mp4"));
    make(CLIP, &clip);
    let settings = quick();
    let (source, encoded) = encoded(&clip, &out, &settings).unwrap();
    let problems = |file: &Path, encoded: &rushes_media::Encoded| {
        check(file, &source, &settings, Some(encoded), &mut |_| ()).unwrap().problems
    };
    let mut more = encoded.clone();
    more.frames += 1;
    assert_eq!(problems(&out, &more), ["frames: must be 51, got 50"]);
    let mut longer = encoded.clone();
    longer.video_duration_ns += 50_000_000;
    assert!(problems(&out, &longer)[0].starts_with("video_length: at most 41 ms, got"));
    let mut shifted = encoded.clone();
    shifted.av_start_offset_ns += 50_000_000;
    assert!(problems(&out, &shifted)[0].starts_with("av_sync: at most 40 ms, got 5"));

    // A picture, and then a packet of sound, are missing in the middle.
    let holed = dir.path().join("holed.mp4");
    for (stream, gap) in [("v", "video_gap: at most 61 ms, got 80"), ("a", "audio_gap: at most 10 ms, got 2")]
    {
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-nostdin", "-i"])
            .arg(&out)
            .args(["-c", "copy", &format!("-bsf:{stream}"), "noise=amount=0:drop='eq(n,31)'"])
            .arg(&holed)
            .status();
        assert!(made.is_ok_and(|made| made.success()), "these tests need ffmpeg");
        let found = problems(&holed, &encoded);
        assert!(found.iter().any(|problem| problem.starts_with(gap)), "{found:?}");
    }

    let bytes = std::fs::read(&out).unwrap();
    let cut = dir.path().join("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).unwrap();
    assert!(!problems(&cut, &encoded).is_empty(), "a file that was cut off must not pass");
    std::fs::write(&cut, &bytes[..100]).unwrap();
    assert!(problems(&cut, &encoded)[0].starts_with("decode: must be 0, got 1 ("));
    let mut flipped = bytes;
    let middle = flipped.len() * 3 / 4;
    flipped[middle..middle + 400].fill(0xff);
    std::fs::write(&cut, &flipped).unwrap();
    assert!(!problems(&cut, &encoded).is_empty(), "damaged data must not pass");
}

#[test]
fn a_check_notices_a_single_bit_of_a_picture() {
    let dir = folder();
    let (clip, out) = (dir.path().join("clip.mp4"), dir.path().join("out.mp4"));
    make(CLIP, &clip);
    let settings = quick();
    let (source, encoded) = encoded(&clip, &out, &settings).unwrap();
    let mut bytes = std::fs::read(&out).unwrap();
    // The encoder's own description of itself, which no decoder looks at: only the bytes can tell.
    let place = bytes.windows(4).position(|word| word == b"x264").unwrap();
    bytes[place] ^= 1;
    std::fs::write(&out, bytes).unwrap();
    let report = check(&out, &source, &settings, Some(&encoded), &mut |_| ()).unwrap();
    assert_eq!(
        report.problems,
        ["foreign_packets: must be 0, got 1 (the packets are not those that were encoded)"]
    );
    let alone = check(&out, &source, &settings, None, &mut |_| ()).unwrap();
    assert_eq!(
        (alone.problems.len(), alone.frames_decoded),
        (0, 50),
        "every frame can be decoded all the same"
    );
}

#[test]
fn concealed_damage_and_streams_left_out_are_warnings_of_the_check() {
    let dir = folder();
    let (clip, out) = (dir.path().join("clip.mp4"), dir.path().join("out.mp4"));
    make(&CLIP.replace("pattern=ball", "pattern=zone-plate kx2=20 ky2=20"), &clip);
    let mut bytes = std::fs::read(&clip).unwrap();
    let media = bytes.windows(4).position(|word| word == b"mdat").unwrap();
    // Within the first frame's slice.
    bytes[media + 3000..media + 3020].fill(0x55);
    std::fs::write(&clip, bytes).unwrap();
    let settings = quick();
    let (mut source, _) = encoded(&clip, &out, &settings).unwrap();
    source.audio.push(source.audio[0].clone());
    let job = EncodeJob { input: &clip, source: &source, settings: &settings, output: &out, threads: None };
    let encoded = encode(&job, &mut |_| ()).unwrap();
    let report = check(&out, &source, &settings, Some(&encoded), &mut |_| ()).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.warnings[0], "streams left out, as one video and one audio are kept: 1 audio");
    assert!(report.warnings[1].starts_with("the source is damaged in "), "{:?}", report.warnings);
}

#[test]
fn the_worst_quality_is_worse_than_the_second_worst() {
    let dir = folder();
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/bigbuckbunny.mp4");
    let out = dir.path().join("out.mp4");
    let size = |crf| {
        let mut settings = EncodeSettings { audio: None, ..EncodeSettings::default() };
        let video = video(&mut settings);
        video.rate = RateControl::Crf(crf);
        (video.preset, video.max_height) = (SpeedPreset::Veryfast, Some(360));
        encoded(&clip, &out, &settings).unwrap();
        std::fs::metadata(&out).unwrap().len()
    };
    let [better, middle, worse] = [49, 50, 51].map(size);
    assert!(better > middle && middle > worse, "{better} {middle} {worse} bytes");
}

#[test]
fn title_and_date_come_along_and_a_place_does_not() {
    let dir = folder();
    let (clip, out) = (dir.path().join("clip.mp4"), dir.path().join("out.mp4"));
    make(CLIP, &clip);
    let mut source = probe(&clip).unwrap();
    let title = "Eine Höhle 名前 ".repeat(40);
    for (name, value) in
        [("title", title.as_str()), ("datetime", "2015-08-07T09:13:02Z"), ("geo-location-name", "Berlin")]
    {
        source.tags.insert(name.into(), value.into());
    }
    let settings = quick();
    let job = EncodeJob { input: &clip, source: &source, settings: &settings, output: &out, threads: None };
    encode(&job, &mut |_| ()).unwrap();
    let tags = probe(&out).unwrap().tags;
    assert_eq!(tags.get("title").map(String::as_str), Some(title.trim_end()), "{tags:?}");
    assert!(tags.get("datetime").is_some_and(|date| date.starts_with("2015-08-07T09:13:02")), "{tags:?}");
    assert!(!tags.contains_key("geo-location-name"), "{tags:?}");
    let bytes = std::fs::read(&out).unwrap();
    let place = |code: &[u8]| bytes.windows(4).position(|word| word == code).unwrap();
    assert!(place(b"moov") < place(b"free") && place(b"free") < place(b"mdat"), "the index fitted its place");
}

#[test]
fn bad_input_is_refused_with_its_reason_and_advice() {
    let dir = folder();
    let path = |name: &str| dir.path().join(name);
    make(CLIP, &path("clip.mp4"));
    make(SOUND, &path("sound.mp4"));
    let clip = std::fs::read(path("clip.mp4")).unwrap();
    let tail = clip.windows(4).position(|word| word == b"mdat").unwrap();
    std::fs::write(path("empty.mp4"), b"").unwrap();
    std::fs::write(path("text.mp4"), "just words, no pictures\n".repeat(50)).unwrap();
    std::fs::write(path("list.m3u8"), "\u{feff}#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nclip.mp4\n")
        .unwrap();
    std::fs::write(
        path("manifest.mpd"),
        "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"/>",
    )
    .unwrap();
    // One that does not say so at once is followed nowhere either.
    let late = format!("{}<MPD><Period><BaseURL>clip.mp4</BaseURL></Period></MPD>", "<!-- -->".repeat(200));
    std::fs::write(path("late.mpd"), late).unwrap();
    std::fs::write(path("no_index.mp4"), [&clip[..32], &clip[tail - 4..]].concat()).unwrap();
    std::fs::write(path("half.mp4"), &clip[..tail + (clip.len() - tail) / 2]).unwrap();
    let cases = [
        ("missing.mp4", FailureCode::InputNotFound),
        (".", FailureCode::InputNotAFile),
        ("empty.mp4", FailureCode::InputEmpty),
        ("text.mp4", FailureCode::InputUnreadable),
        ("list.m3u8", FailureCode::Unsupported),
        ("manifest.mpd", FailureCode::Unsupported),
        ("late.mpd", FailureCode::InputUnreadable),
        ("no_index.mp4", FailureCode::InputUnreadable),
        ("half.mp4", FailureCode::InputDamaged),
        ("sound.mp4", FailureCode::StreamMissing),
    ];
    for (name, code) in cases {
        let failure = encoded(&path(name), &path("out.mp4"), &quick()).unwrap_err();
        assert_eq!(failure.code, code, "{name}: {failure}");
        assert!(!failure.advice.is_empty(), "{name}: {failure}");
    }
}

#[test]
fn starting_leaves_no_thread_behind() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    rushes_media::init().unwrap();
    rushes_media::preload();
    assert_eq!(threads(), before);
}

#[test]
fn limits_of_ones_own_are_held_and_a_broken_one_names_check_limit_value_and_time() {
    let dir = folder();
    let (clip, out) = (dir.path().join("clip.mp4"), dir.path().join("out.mp4"));
    make(CLIP, &clip);
    let mut settings = quick();
    video(&mut settings).rate = RateControl::Crf(30);
    let (source, encoded) = encoded(&clip, &out, &settings).unwrap();
    let checked = |check: CheckLimits| {
        let settings = EncodeSettings { check, ..settings.clone() };
        check_of(&out, &source, &settings, &encoded)
    };
    let usual = checked(CheckLimits::default());
    assert!(usual.iter().all(|check| check.result == CheckResult::Passed), "{usual:?}");
    let names: Vec<&str> = usual.iter().map(|check| check.name.as_str()).collect();
    let all = [
        "frames",
        "width",
        "height",
        "video_length",
        "video_gap",
        "sound",
        "audio_length",
        "audio_gap",
        "av_sync",
        "decoding_errors",
    ];
    assert_eq!(names, all);

    let peak = Some(PeakLimit { max_bps: 10_000, window_ms: 500 });
    let found = checked(CheckLimits { peak, ..CheckLimits::default() });
    let rate = found.iter().find(|check| check.name == CheckName::PeakBitrate).unwrap();
    assert!(rate.has_failed() && rate.at_ns.is_some() && rate.value.unwrap() > 10_000.0, "{rate:?}");
    assert!(rate.to_string().starts_with("peak_bitrate: at most 10000 b/s, got "), "{rate}");
    let roomy = Some(PeakLimit { max_bps: 100_000_000, window_ms: 500 });
    let found = checked(CheckLimits { peak: roomy, ..CheckLimits::default() });
    assert!(!found.iter().any(Check::has_failed), "{found:?}");

    let mut more = encoded.clone();
    more.frames += 2;
    let settings = |frames| {
        let check = CheckLimits { frames, ..CheckLimits::default() };
        EncodeSettings { check, ..settings.clone() }
    };
    let lenient = check_of(&out, &source, &settings(Some(2)), &more);
    assert!(!lenient.iter().any(Check::has_failed), "{lenient:?}");
    let strict = check_of(&out, &source, &settings(Some(1)), &more);
    let frames = strict.iter().find(|check| check.has_failed()).unwrap();
    assert_eq!(frames.to_string(), "frames: 51 to 53, got 50");
}

fn check_of(out: &Path, source: &MediaFacts, settings: &EncodeSettings, encoded: &Encoded) -> Vec<Check> {
    check(out, source, settings, Some(encoded), &mut |_| ()).unwrap().checks
}

#[test]
fn what_an_output_looks_and_sounds_like_is_held_against_its_limits() {
    let dir = folder();
    let (clip, out) = (dir.path().join("clip.mp4"), dir.path().join("out.mp4"));
    make(CLIP, &clip);
    let mut settings = quick();
    video(&mut settings).rate = RateControl::Crf(45);
    let (source, _) = encoded(&clip, &out, &settings).unwrap();
    let quality = |check: CheckLimits, settings: &EncodeSettings| {
        let settings = EncodeSettings { check, ..settings.clone() };
        let job =
            QualityJob { input: &clip, source: &source, output: &out, settings: &settings, threads: Some(1) };
        check_quality(&job, &mut |_| ()).unwrap()
    };
    assert_eq!(quality(CheckLimits::default(), &settings), [], "nothing is measured that nobody asked for");
    let vmaf = VmafLimits { scope: VmafScope::Full, mean_tenths: Some(990), ..VmafLimits::default() };
    let limits = CheckLimits { vmaf, true_peak_tenths: Some(10), ..CheckLimits::default() };
    let found = quality(limits, &settings);
    let [mean, worst, peak] = &found[..] else { panic!("{found:?}") };
    assert!(mean.has_failed() && mean.to_string().starts_with("vmaf: at least 99, got "), "{mean}");
    assert!(
        worst.result == CheckResult::NotJudged && worst.value < mean.value && worst.at_ns.is_some(),
        "{worst:?}"
    );
    assert!(peak.result == CheckResult::Passed && peak.value.unwrap() < 1.0, "{peak:?}");

    // Another loudness than the one that was asked for.
    let target = LoudnessTarget { integrated: -230, true_peak: -10 };
    settings.audio.as_mut().unwrap().loudness = Some(target);
    let limits = CheckLimits { loudness_tenths: Some(1), ..CheckLimits::default() };
    let found = quality(limits, &settings);
    assert!(found[0].has_failed() && found[0].limit == Some(CheckLimit::Between(-23.1, -22.9)), "{found:?}");
}
