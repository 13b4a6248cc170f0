//! Packages for streaming, as other programs see them.

use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_media::{PackageJob, package};
use rushes_shared::check::CheckName;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::{Grid, PackageReport, PackageSettings, Rung};

use crate::chunk::{GRID, beeps, chunked, clip, flashes, frames, rung};

/// A second and a half to a segment.
fn settings() -> PackageSettings {
    PackageSettings { segment_ns: 1_500_000_000, ..PackageSettings::default() }
}

fn packaged(rungs: &[PathBuf], settings: &PackageSettings, to: &Path) -> Result<PackageReport, Failure> {
    std::fs::create_dir(to).unwrap();
    package(&PackageJob { rungs, sound: &[], settings, directory: to }, &mut |_| ())
}

/// What a program says on standard output; it has to end well and may not complain.
fn said(program: &str, arguments: &[&str], file: &Path) -> String {
    let run = Command::new(program).args(arguments).arg(file).output().expect("these tests need ffmpeg");
    let complaint = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success() && complaint.is_empty(), "{program} {}: {complaint}", file.display());
    String::from_utf8_lossy(&run.stdout).into_owned()
}

/// A clip with a flash and a beep each second, in two rungs.
fn two_rungs(dir: &Path) -> Vec<PathBuf> {
    let film = dir.join("film.mp4");
    let flash = "color=s=192x108:r=30000/1001:d=5.2,geq=lum='if(lt(mod(T-0.5\\,1)\\,0.03)*gte(T\\,0.5)\\,235\\,16+mod(X+Y+N\\,40))':cb=128:cr=128";
    let beep = "aevalsrc='0.8*sin(2000*PI*t)*lt(mod(t-0.5\\,1)\\,0.03)*gte(t\\,0.5)':s=48000:d=5.2";
    clip(
        &film,
        &format!(
            "-f lavfi -i {flash} -f lavfi -i {beep} -c:v libx264 -preset ultrafast -bf 2 -g 50 -c:a aac"
        ),
    );
    let rungs = [rung("high", 108, 20), rung("low", 54, 30)];
    chunked(&film, &GRID, &rungs, dir).unwrap().into_iter().map(|(path, _)| path).collect()
}

#[test]
fn ffmpeg_plays_both_manifests_with_every_frame_and_sound_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let rungs = two_rungs(dir.path());
    let out = dir.path().join("out");
    let report = packaged(&rungs, &settings(), &out).unwrap();
    assert_eq!((report.video.len(), report.audio.len(), report.video[0].packets), (2, 1, 156));
    assert_eq!(report.files.last().map(String::as_str), Some("master.m3u8"));
    assert!(
        report.video[0].codecs.starts_with("avc1.") && report.audio[0].codecs == "mp4a.40.2",
        "{report:?}"
    );
    let expected = frames(&rungs[0], "null");
    // The rung itself, and both manifests, show the same pictures, and ffmpeg has nothing to complain of.
    for playlist in ["high/media.m3u8", "master.m3u8", "manifest.mpd"] {
        let found = frames(&out.join(playlist), "null");
        let (a, b): (Vec<_>, Vec<_>) =
            (expected.iter().map(|f| &f.1).collect(), found.iter().map(|f| &f.1).collect());
        assert_eq!(a, b, "{playlist}");
    }
    for manifest in ["master.m3u8", "manifest.mpd"] {
        let streams = said(
            "ffprobe",
            &[
                "-v",
                "warning",
                "-count_packets",
                "-show_entries",
                "stream=codec_type,width,nb_read_packets",
                "-of",
                "csv=p=0",
            ],
            &out.join(manifest),
        );
        let pictures =
            streams.lines().filter(|line| line.starts_with("video") && line.ends_with(",156")).count();
        assert!(pictures >= 2 && streams.contains("audio"), "{manifest}: {streams}");
        let (flashes, beeps) = (flashes(&out.join(manifest)), beeps(&out.join(manifest)));
        assert_eq!((flashes.len(), beeps.len()), (5, 5), "{manifest}: {flashes:?} {beeps:?}");
        for (flash, beep) in flashes.iter().zip(&beeps) {
            assert!((flash - beep).abs() <= 5.0, "{manifest}: a flash at {flash} ms, its beep at {beep} ms");
        }
    }
}

#[test]
fn manifests_tell_what_is_in_the_segments() {
    let dir = tempfile::tempdir().unwrap();
    let rungs = two_rungs(dir.path());
    let out = dir.path().join("out");
    packaged(&rungs, &settings(), &out).unwrap();
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let (master, media, mpd) = (read("master.m3u8"), read("high/media.m3u8"), read("manifest.mpd"));
    for line in [
        "RESOLUTION=192x108,FRAME-RATE=29.970,AUDIO=\"sound\"",
        "RESOLUTION=96x54",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        "avc1.",
        ",mp4a.40.2\"",
    ] {
        assert!(master.contains(line), "{line} is not in {master}");
    }
    // 15 frames of 1001/30000 s to a key frame, three of those to a segment.
    let lengths: Vec<&str> = media.lines().filter_map(|line| line.strip_prefix("#EXTINF:")).collect();
    assert_eq!(lengths, ["1.5015,", "1.5015,", "1.5015,", "0.7007,"], "{media}");
    assert!(
        media.contains("#EXT-X-TARGETDURATION:2\n") && media.contains("#EXT-X-MAP:URI=\"init.mp4\""),
        "{media}"
    );
    assert!(
        mpd.contains("<S t=\"0\" d=\"45045\" r=\"2\"/>") && mpd.contains("frameRate=\"30000/1001\""),
        "{mpd}"
    );
}

#[test]
fn rungs_whose_key_frames_differ_or_whose_rate_is_too_high_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let rungs = two_rungs(dir.path());
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let wide = Grid { key_ns: 700_000_000, ..GRID };
    let unlike = chunked(&dir.path().join("film.mp4"), &wide, &[rung("unlike", 54, 30)], &other).unwrap();
    let both = [rungs[0].clone(), unlike[0].0.clone()];
    let failure = packaged(&both, &settings(), &dir.path().join("a")).unwrap_err();
    assert_eq!(failure.code, FailureCode::CheckFailed);
    assert!(failure.message.contains("unlike must have one at 1.501 s"), "{failure}");
    assert!(!dir.path().join("a/master.m3u8").exists());
    let capped = PackageSettings { max_bps: vec![Some(1000)], ..settings() };
    let failure = packaged(&rungs, &capped, &dir.path().join("b")).unwrap_err();
    assert!(failure.message.contains("peak_bitrate high: at most 1000 b/s, got"), "{failure}");
    let short = PackageSettings { longest_permille: 900, ..settings() };
    let failure = packaged(&rungs, &short, &dir.path().join("c")).unwrap_err();
    assert!(
        failure.message.contains("segment_length high: at most 1350 ms, got 1501.5 at 0.000 s"),
        "{failure}"
    );
}

#[test]
fn a_picture_that_stays_for_longer_than_segments_may_be_is_in_one() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    clip(
        &film,
        "-f lavfi -i testsrc2=s=96x54:r=25:d=6 -vf setpts=N+225*gte(N\\,75) -fps_mode passthrough -c:v libx264 -preset ultrafast",
    );
    let rungs = chunked(&film, &GRID, &[rung("only", 54, 30)], dir.path()).unwrap();
    let rungs = [rungs[0].0.clone()];
    let plain = packaged(&rungs, &settings(), &dir.path().join("a")).unwrap();
    let check = plain.checks.iter().find(|check| check.name == CheckName::SegmentLength).unwrap();
    assert!(check.value.is_some_and(|ms| ms > 9000.0), "{check:?}");
    let asked = PackageSettings { longest_ms: Some(5_000), ..settings() };
    let failure = packaged(&rungs, &asked, &dir.path().join("b")).unwrap_err();
    assert!(failure.message.contains("segment_length only: at most 5000 ms"), "{failure}");
}

#[test]
fn a_segment_that_is_damaged_or_gone_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let rungs = two_rungs(dir.path());
    // The packets of the finished rung are damaged; its index is as it was.
    let mut bytes = std::fs::read(&rungs[1]).unwrap();
    let media = bytes.windows(4).position(|word| word == b"mdat").unwrap();
    let end = bytes.len();
    for byte in bytes[media + 2000..end - 500].iter_mut().step_by(97) {
        *byte ^= 0x55;
    }
    let damaged = dir.path().join("damaged.mp4");
    std::fs::write(&damaged, bytes).unwrap();
    let both = [rungs[0].clone(), damaged];
    let failure = packaged(&both, &settings(), &dir.path().join("a")).unwrap_err();
    assert!(failure.code == FailureCode::CheckFailed && failure.message.contains("damaged"), "{failure}");
}

#[test]
fn a_bound_on_the_rate_holds_where_chunks_meet() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    clip(
        &film,
        "-f lavfi -i testsrc2=s=320x180:d=6:r=25,noise=alls=60:allf=t -c:v libx264 -preset ultrafast -crf 12",
    );
    let cap = rushes_shared::ladder::RateCap { max_bps: 400_000, buffer_ms: 1000 };
    let within = cap.within_chunks(GRID.chunk_ns());
    let bounded = Rung { cap: Some(within), ..rung("bounded", 180, 18) };
    let free = rung("free", 180, 18);
    let made = chunked(&film, &GRID, &[bounded, free], dir.path()).unwrap();
    let held = |path: &Path, to: &str| {
        let limit = cap.peak_bps(2_000_000_000);
        let settings = PackageSettings { max_bps: vec![Some(limit)], window_ns: 2_000_000_000, ..settings() };
        packaged(&[path.to_owned()], &settings, &dir.path().join(to))
    };
    held(&made[0].0, "a").unwrap();
    assert!(held(&made[1].0, "b").is_err(), "without a bound it is above");
}

#[test]
fn open_groups_of_pictures_are_no_segments() {
    let dir = tempfile::tempdir().unwrap();
    let (open, out) = (dir.path().join("open.mp4"), dir.path().join("out"));
    let film = "-f lavfi -i testsrc2=s=192x108:r=25:d=6 -c:v libx264 -bf 2 -g 50 -sc_threshold 0";
    clip(&open, &format!("{film} -x264-params open-gop=1"));
    let failure = packaged(std::slice::from_ref(&open), &settings(), &out).unwrap_err();
    assert!(failure.message.contains("open group of pictures at "), "{failure}");
    clip(&open, film);
    packaged(&[open], &settings(), &dir.path().join("closed")).unwrap();
}

#[test]
fn sound_of_another_length_than_the_picture_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let rung = dir.path().join("rung.mp4");
    clip(&rung, "-f lavfi -i testsrc2=s=192x108:r=25:d=6 -c:v libx264 -preset ultrafast -g 50");
    for (seconds, says) in [(3, Some("before")), (6, None), (9, Some("after"))] {
        let sound = dir.path().join(format!("{seconds}.m4a"));
        clip(&sound, &format!("-f lavfi -i sine=d={seconds} -c:a aac"));
        let out = dir.path().join(format!("out{seconds}"));
        std::fs::create_dir(&out).unwrap();
        let (rungs, sound, settings) = (std::slice::from_ref(&rung), &[sound], &settings());
        let job = PackageJob { rungs, sound, settings, directory: &out };
        let report = package(&job, &mut |_| ()).unwrap();
        let told = report.checks.iter().find(|check| check.name == CheckName::AudioLength);
        let note = told.map(|check| format!("{check:?}"));
        assert_eq!(note.is_some(), says.is_some(), "{seconds} s: {note:?}");
        assert!(says.is_none_or(|side| note.unwrap().contains(side)), "{seconds} s");
    }
}
