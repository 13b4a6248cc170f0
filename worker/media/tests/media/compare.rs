//! Comparisons, with FFmpeg's `psnr` and `ssim` filters as referee.

use std::path::Path;
use std::process::Command;

use rushes_shared::encode::RateControl;

use crate::studio::{CLIP, SOUND, encoded, make, quick, real_media, video};
use rushes_media::{compare, probe};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::measure::Comparison;

fn compared(reference: &Path, other: &Path) -> Result<Comparison, Failure> {
    let (first, second) = (probe(reference)?, probe(other)?);
    compare((reference, &first), (other, &second), &mut |_| ())
}

/// The referee's value for `key` (such as `average` of `psnr`, `All` of `ssim`).
fn referee(reference: &Path, other: &Path, filter: &str, key: &str) -> Option<f64> {
    let graph = format!("[1:v]setpts=PTS-STARTPTS[b];[0:v]setpts=PTS-STARTPTS[a];[a][b]{filter}");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-hide_banner", "-i"]).arg(other).arg("-i").arg(reference);
    let Ok(run) = ffmpeg.args(["-lavfi", &graph, "-f", "null", "-"]).output() else {
        eprintln!("skipped: ffmpeg is not installed");
        return None;
    };
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    let line =
        told.lines().rfind(|line| line.contains(&format!("{key}:"))).unwrap_or_else(|| panic!("{told}"));
    let value = line.split(&format!("{key}:")).nth(1).unwrap();
    value.split_whitespace().next().unwrap().parse().ok()
}

fn agrees(reference: &Path, other: &Path) {
    let name = reference.display();
    let ours = compared(reference, other).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    let Some(psnr) = referee(reference, other, "psnr", "average") else { return };
    let ssim = referee(reference, other, "ssim", "All").unwrap();
    let (own_psnr, own_ssim) = (ours.psnr_db.all.unwrap(), ours.ssim.all.unwrap());
    assert!((own_psnr - psnr).abs() < 0.02, "{name}: {ours:?}, ffmpeg {psnr} dB");
    assert!((own_ssim - ssim).abs() < 0.0005, "{name}: {ours:?}, ffmpeg {ssim}");
    assert_eq!((ours.frames_missing, ours.frames_extra), (0, 0), "{name}: {ours:?}");
    assert!(ours.psnr_min_db.unwrap() <= own_psnr + 1e-9 && ours.ssim_min.unwrap() <= own_ssim + 1e-9);
}

#[test]
fn psnr_and_ssim_are_those_of_ffmpeg() {
    let dir = tempfile::tempdir().unwrap();
    let (clip, out) = (dir.path().join("clip.mp4"), dir.path().join("out.mp4"));
    make(CLIP, &clip);
    let mut films =
        vec![clip, Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/bigbuckbunny.mp4")];
    if let Some(folder) = real_media() {
        films.extend(
            ["film_chaplin_360p25.mp4", "camera_cars_432p12.mp4"].map(|name| folder.join("video").join(name)),
        );
    }
    let small = dir.path().join("small.mp4");
    for film in films {
        // Small, as every sample of every frame is looked at.
        let mut settings = quick();
        (video(&mut settings).rate, video(&mut settings).max_height) = (RateControl::Crf(12), Some(180));
        settings.audio = None;
        encoded(&film, &small, &settings).unwrap();
        video(&mut settings).rate = RateControl::Crf(35);
        encoded(&small, &out, &settings).unwrap();
        agrees(&small, &out);
    }
}

#[test]
fn a_film_is_the_same_as_itself_and_a_missing_frame_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (clip, short) = (dir.path().join("clip.mp4"), dir.path().join("short.mp4"));
    make(CLIP, &clip);
    let same = compared(&clip, &clip).unwrap();
    assert_eq!((same.frames, same.psnr_db.all, same.worst.len()), (50, None, 0));
    assert!((same.ssim.all.unwrap() - 1.0).abs() < 1e-9);
    make(&CLIP.replace("num-buffers=50", "num-buffers=47"), &short);
    let found = compared(&clip, &short).unwrap();
    assert_eq!((found.frames, found.frames_missing, found.frames_extra), (47, 3, 0));
    assert_eq!(compared(&short, &clip).unwrap().frames_extra, 3);
}

#[test]
fn the_worst_moment_is_where_the_picture_breaks() {
    let dir = tempfile::tempdir().unwrap();
    let bunny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/bigbuckbunny.mp4");
    let (film, out) = (dir.path().join("film.mp4"), dir.path().join("out.mp4"));
    let mut settings = quick();
    (video(&mut settings).rate, video(&mut settings).max_height) = (RateControl::Crf(12), Some(180));
    settings.audio = None;
    encoded(&bunny, &film, &settings).unwrap();
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&film)
        .args(["-an", "-vf", "drawbox=w=60:h=60:t=fill:color=white:enable='between(t,3.2,3.4)'"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-crf", "12"])
        .arg(&out)
        .status();
    if run.is_err() {
        eprintln!("skipped: ffmpeg is not installed");
        return;
    }
    let found = compared(&film, &out).unwrap();
    let at = found.worst[0].at_ns;
    assert!((3_150_000_000..=3_450_000_000).contains(&at), "{found:?}");
    assert!(found.worst[0].ssim < found.worst[1].ssim && found.worst[0].ssim == found.ssim_min.unwrap());
}

#[test]
fn sound_alone_cannot_be_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (clip, sound) = (dir.path().join("clip.mp4"), dir.path().join("sound.mp4"));
    make(CLIP, &clip);
    make(SOUND, &sound);
    let refused = compared(&clip, &sound).unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (FailureCode::StreamMissing, "the other file has no picture")
    );
}
