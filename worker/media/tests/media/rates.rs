//! Bit rates of whole encodes.

use rushes_shared::encode::{Container, RateControl, SpeedPreset, VideoCodec};

use crate::formats::{good, made, settings};

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
