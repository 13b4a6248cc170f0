//! Comparisons, with FFmpeg's `psnr`, `ssim` and `libvmaf` filters as referees.

use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_shared::encode::{Container, RateControl, SpeedPreset, VideoCodec, VideoSettings};

use crate::studio::{CLIP, SOUND, encoded, make, quick, real_media, video};
use rushes_media::{compare, probe};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::measure::{CompareSettings, Comparison, VmafModel};

fn compared_as(reference: &Path, other: &Path, settings: &CompareSettings) -> Result<Comparison, Failure> {
    let (first, second) = (probe(reference)?, probe(other)?);
    compare((reference, &first), (other, &second), settings, &mut |_| ())
}

fn compared(reference: &Path, other: &Path) -> Result<Comparison, Failure> {
    compared_as(reference, other, &CompareSettings::default())
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
    assert!(same.vmaf.unwrap().min > 95.0 && !same.scaled, "{same:?}");
    make(&CLIP.replace("num-buffers=50", "num-buffers=47"), &short);
    let refused = compared(&clip, &short).unwrap_err();
    assert_eq!(refused.code, FailureCode::SettingsImpossible);
    assert_eq!(
        refused.message,
        "the reference has 50 frames, the other film 47: 3 are missing, 0 are there in addition, the first at 1.880 s"
    );
    let unpaired = CompareSettings { unpaired: true, ..CompareSettings::default() };
    let found = compared_as(&clip, &short, &unpaired).unwrap();
    assert_eq!((found.frames, found.frames_missing, found.frames_extra), (47, 3, 0));
    assert_eq!(compared_as(&short, &clip, &unpaired).unwrap().frames_extra, 3);
    let fast = dir.path().join("fast.mp4");
    make(&CLIP.replace("framerate=25/1", "framerate=30/1"), &fast);
    let refused = compared(&clip, &fast).unwrap_err();
    assert_eq!(refused.message, "the reference has 25.000 frames a second, the other film 30.000");
    assert!(refused.advice.contains("--unpaired"), "{refused:?}");
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
    assert!(found.worst[0].vmaf < found.worst[1].vmaf, "{found:?}");
    assert!(found.worst[0].ssim.unwrap() < found.ssim_min.unwrap() + 0.001, "{found:?}");
    let vmaf = found.vmaf.unwrap();
    assert!(found.worst[0].vmaf == Some(vmaf.min) && at == vmaf.min_at_ns, "{found:?}");
    // The box is there for a twentieth of the film: the mean hides what the worst hundredth shows.
    assert!(vmaf.worst_percent < vmaf.mean - 10.0 && vmaf.min <= vmaf.worst_percent + 0.1, "{vmaf:?}");
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

/// A program with FFmpeg's `libvmaf` filter: named by RUSHES_VMAF_FFMPEG, the system's, or the Python package
/// imageio-ffmpeg's. Nothing, said aloud, where there is none.
fn vmaf_referee() -> Option<PathBuf> {
    let named = std::env::var_os("RUSHES_VMAF_FFMPEG").map(PathBuf::from);
    let has = |program: &PathBuf| {
        let run = Command::new(program).args(["-hide_banner", "-filters"]).output();
        run.is_ok_and(|run| String::from_utf8_lossy(&run.stdout).contains("libvmaf"))
    };
    let packaged = || {
        let find = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())";
        let run = Command::new("python3").args(["-c", find]).output().ok()?;
        Some(PathBuf::from(String::from_utf8_lossy(&run.stdout).trim()))
    };
    let found = named.or_else(|| Some("ffmpeg".into()).filter(has)).or_else(packaged).filter(has);
    if found.is_none() {
        eprintln!(
            "skipped: no ffmpeg with libvmaf; set RUSHES_VMAF_FFMPEG, or install Python's imageio-ffmpeg"
        );
    }
    found
}

/// Mean, harmonic mean and lowest score by the referee.
fn refereed(
    program: &Path,
    (reference, other): (&Path, &Path),
    ours: &Comparison,
    options: &str,
) -> [f64; 3] {
    let log = other.with_extension("json");
    let format = if ours.bit_depth > 8 { "yuv420p10le" } else { "yuv420p" };
    // Frames are paired by number, as the two have the same; without tags nothing converts colours.
    let same = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709";
    let paired = format!("format={format},settb=1/1000,setpts=N*40");
    let size = format!("scale={}:{}:flags=bicubic", ours.width, ours.height);
    let model = ours.vmaf.unwrap().model.as_str();
    let graph = format!(
        "[0:v]{same},{size},{paired}[a];[1:v]{same},{paired}[b];\
         [a][b]libvmaf=model=version={model}:log_fmt=json:log_path={}{options}",
        log.display()
    );
    let run = Command::new(program)
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(other)
        .arg("-i")
        .arg(reference)
        .args(["-lavfi", &graph, "-fps_mode", "passthrough", "-f", "null", "-"])
        .output()
        .unwrap();
    let text = std::fs::read_to_string(&log);
    let text = text.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&run.stderr)));
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let vmaf = &told["pooled_metrics"]["vmaf"];
    ["mean", "harmonic_mean", "min"].map(|name| vmaf[name].as_f64().unwrap())
}

fn vmaf_agrees(program: &Path, reference: &Path, other: &Path, settings: &CompareSettings, options: &str) {
    let name = other.display();
    let ours = compared_as(reference, other, settings).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    let vmaf = ours.vmaf.unwrap();
    let [mean, harmonic, min] = refereed(program, (reference, other), &ours, options);
    let told = format!("{name}: {vmaf:?}; the referee says {mean}, {harmonic}, {min}");
    eprintln!("{told}");
    assert!((vmaf.mean - mean).abs() < 0.1, "{told}");
    assert!((vmaf.harmonic_mean - harmonic).abs() < 0.1, "{told}");
    assert!((vmaf.min - min).abs() < 0.5, "{told}");
}

#[test]
fn vmaf_is_that_of_ffmpegs_libvmaf() {
    let Some(program) = vmaf_referee() else { return };
    let dir = tempfile::tempdir().unwrap();
    let generated = dir.path().join("generated.mp4");
    make(CLIP, &generated);
    let bunny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/bigbuckbunny.mp4");
    let mut films = vec![generated, bunny];
    if let Some(folder) = real_media() {
        let names =
            ["video/film_chaplin_360p25.mp4", "video/camera_cars_432p12.mp4", "odd/hevc_main10_540p.mp4"];
        films.extend(names.map(|name| folder.join(name)));
    }
    let out = dir.path().join("out.mkv");
    for film in films {
        let mut settings = quick();
        settings.container = Container::Mkv;
        settings.audio = None;
        let deep = probe(&film).unwrap().video[0].bit_depth > 8;
        let codec = if deep { VideoCodec::Hevc } else { VideoCodec::H264 };
        settings.video = Some(VideoSettings {
            rate: RateControl::Crf(33),
            preset: SpeedPreset::Ultrafast,
            ..VideoSettings::of(codec)
        });
        encoded(&film, &out, &settings).unwrap();
        let settings = CompareSettings { likeness: false, ..CompareSettings::default() };
        vmaf_agrees(&program, &film, &out, &settings, "");
    }
}

#[test]
fn vmaf_of_a_smaller_film_another_model_and_samples_agree_too() {
    let Some(program) = vmaf_referee() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (film, small) = (dir.path().join("film.mp4"), dir.path().join("small.mp4"));
    let bunny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/bigbuckbunny.mp4");
    let mut settings = quick();
    (video(&mut settings).rate, video(&mut settings).max_height) = (RateControl::Crf(12), Some(360));
    settings.audio = None;
    encoded(&bunny, &film, &settings).unwrap();
    (video(&mut settings).rate, video(&mut settings).max_height) = (RateControl::Crf(26), Some(180));
    encoded(&film, &small, &settings).unwrap();
    let whole = CompareSettings { likeness: false, ..CompareSettings::default() };
    vmaf_agrees(&program, &film, &small, &whole, "");
    vmaf_agrees(&program, &film, &small, &CompareSettings { vmaf: Some(VmafModel::HdNeg), ..whole }, "");
    let sampled = CompareSettings { every: 5, ..whole };
    vmaf_agrees(&program, &film, &small, &sampled, ":n_subsample=5");
    let found = compared_as(&film, &small, &sampled).unwrap();
    assert_eq!(
        (found.measured, found.vmaf.unwrap().frames),
        (found.frames.div_ceil(5), found.frames.div_ceil(5))
    );
}
