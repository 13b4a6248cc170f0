//! Thumbnails, sprite sheets and previews, read back by FFmpeg.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::studio::{CLIP, SOUND, make, real_media};
use rushes_media::{ExtractJob, extract, preview, probe, sprite, thumbnails};
use rushes_shared::check::CheckResult;
use rushes_shared::encode::{Extract, Extracted};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::still::{
    Moment, MovingFormat, PreviewSettings, SpriteSettings, StillFormat, ThumbnailSettings,
};

const SECOND: u64 = 1_000_000_000;

fn asked(moment: Moment) -> ThumbnailSettings {
    ThumbnailSettings { moment, max_width: None, max_height: None, format: StillFormat::Png }
}

fn taken(film: &Path, settings: &ThumbnailSettings) -> Result<Vec<Vec<u8>>, Failure> {
    let source = probe(film)?;
    let pictures = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&pictures);
    let keep = move |number: usize, bytes: &[u8]| {
        let mut pictures = keep.lock().unwrap();
        assert_eq!(pictures.len(), number, "they come in order");
        pictures.push(bytes.to_vec());
        Ok(())
    };
    let count = thumbnails(film, &source, settings, Box::new(keep), &mut |_| ())?;
    let pictures = pictures.lock().unwrap().clone();
    assert_eq!(pictures.len(), count);
    Ok(pictures)
}

/// Grey samples of a picture, or of the film's frame at a time, scaled to 32x18.
fn grey(file: &Path, at: Option<f64>) -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error"]);
    if let Some(at) = at {
        ffmpeg.args(["-ss", &at.to_string()]);
    }
    ffmpeg.arg("-i").arg(file);
    let run = ffmpeg.args([
        "-frames:v",
        "1",
        "-vf",
        "scale=32:18:flags=area",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-",
    ]);
    run.output().map(|run| run.stdout).unwrap_or_default()
}

/// How alike two pictures are, colours apart: the correlation of their grey samples.
fn alike(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!((a.len(), b.len()), (32 * 18, 32 * 18));
    let mean = |of: &[u8]| of.iter().map(|v| f64::from(*v)).sum::<f64>() / 576.0;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut own_a, mut own_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a) - mean_a, f64::from(*b) - mean_b);
        both += a * b;
        own_a += a * a;
        own_b += b * b;
    }
    both / (own_a * own_b).sqrt()
}

#[test]
fn a_poster_is_the_frame_of_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let (film, picture) = (dir.path().join("film.mp4"), dir.path().join("poster.png"));
    // Every frame has one of ten greys, in turn.
    let greys = "color=gray:s=64x64:r=25:d=60,geq=lum='16+mod(N,10)*20':cb=128:cr=128";
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", greys])
        .args(["-c:v", "libx264", "-g", "50", "-bf", "3", "-pix_fmt", "yuv420p"])
        .arg(&film)
        .status();
    if made.is_err() {
        eprintln!("skipped: ffmpeg is not installed");
        return;
    }
    // In milliseconds; the last three are sought.
    for at in [0u64, 2000, 2039, 2040, 9990, 33_490, 40_000, 59_999] {
        let pictures = taken(&film, &asked(Moment::At(at * 1_000_000))).unwrap();
        std::fs::write(&picture, &pictures[0]).unwrap();
        let frame = u32::try_from(at * 25 / 1000).unwrap();
        let expected = f64::from(frame % 10 * 20) * 255.0 / 219.0;
        let found = f64::from(grey(&picture, None)[0]);
        assert!((found - expected).abs() < 8.0, "at {at} ms: {found}, not {expected}");
    }
}

#[test]
fn posters_of_real_films_stand_upright() {
    let dir = tempfile::tempdir().unwrap();
    let picture = dir.path().join("poster.png");
    let mut films =
        vec![(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/bigbuckbunny.mp4"), 4.0)];
    if let Some(folder) = real_media() {
        films.push((folder.join("video/long_static_1080p30_6min.mp4"), 200.0));
        films.push((folder.join("video/film_chaplin_360p25.mp4"), 5.5));
        films.push((folder.join("odd/rotated90_matrix.mp4"), 1.0));
    }
    for (film, at) in films {
        let time = std::time::Duration::from_secs_f64(at).as_nanos().try_into().unwrap();
        std::fs::write(&picture, &taken(&film, &asked(Moment::At(time))).unwrap()[0]).unwrap();
        let frame = grey(&film, Some(at));
        if frame.is_empty() {
            eprintln!("skipped: ffmpeg is not installed");
            return;
        }
        let alike = alike(&grey(&picture, None), &frame);
        assert!(alike > 0.98, "{} at {at} s: {alike}", film.display());
    }
}

/// A JPEG with a word on how it was held: the camera's right side up (Exif 2.3, tag 0x0112).
fn held_sideways(jpeg: &[u8]) -> Vec<u8> {
    let tiff = [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"[..], &[0; 4]].concat();
    let size = u16::try_from(2 + 6 + tiff.len()).unwrap().to_be_bytes();
    [&jpeg[..2], b"\xff\xe1", &size, b"Exif\0\0", &tiff, &jpeg[2..]].concat()
}

#[test]
fn a_photo_is_a_film_of_one_picture() {
    let dir = tempfile::tempdir().unwrap();
    let (photo, picture) = (dir.path().join("photo.jpg"), dir.path().join("poster.png"));
    let scene = "-f lavfi -i testsrc2=s=320x180:r=25:d=1";
    crate::chunk::clip(&photo, &format!("{scene} -frames:v 1 -q:v 2"));
    let film = dir.path().join("film.mkv");
    crate::chunk::clip(&film, &format!("{scene} -c:v mjpeg -q:v 2"));
    for (file, moment) in [
        (&photo, Moment::Best),
        (&photo, Moment::Early),
        (&photo, Moment::At(SECOND)),
        (&film, Moment::At(0)),
    ] {
        std::fs::write(&picture, &taken(file, &asked(moment)).unwrap()[0]).unwrap();
        let alike = alike(&grey(&picture, None), &grey(&photo, None));
        assert!(alike > 0.98, "{moment:?} of {}: {alike}", file.display());
    }
    if let Some(folder) = real_media() {
        let failure = taken(&folder.join("image/photo_cmyk.jpg"), &asked(Moment::Best)).unwrap_err();
        assert!(failure.message.contains("CMYK"), "{failure}");
    }
    let sideways = dir.path().join("sideways.jpg");
    std::fs::write(&sideways, held_sideways(&std::fs::read(&photo).unwrap())).unwrap();
    std::fs::write(&picture, &taken(&sideways, &asked(Moment::Best)).unwrap()[0]).unwrap();
    let facts = probe(&picture).unwrap();
    assert_eq!((facts.video[0].width, facts.video[0].height), (180, 320));
}

#[test]
fn pictures_have_square_pixels_and_keep_their_limits() {
    let dir = tempfile::tempdir().unwrap();
    let (clip, picture) = (dir.path().join("clip.mp4"), dir.path().join("poster.jpg"));
    make(CLIP, &clip);
    for (max_width, max_height, size) in
        [(None, None, (455, 240)), (Some(91), None, (91, 48)), (None, Some(24), (46, 24))]
    {
        let settings = ThumbnailSettings {
            max_width,
            max_height,
            format: StillFormat::Jpeg(85),
            ..asked(Moment::At(SECOND))
        };
        std::fs::write(&picture, &taken(&clip, &settings).unwrap()[0]).unwrap();
        let facts = probe(&picture).unwrap();
        assert_eq!((facts.video[0].width, facts.video[0].height), size);
    }
    assert_eq!(taken(&clip, &asked(Moment::Every(SECOND / 2))).unwrap().len(), 4);
    let late = taken(&clip, &asked(Moment::At(9 * SECOND))).unwrap_err();
    assert!(
        late.code == FailureCode::SettingsImpossible && late.message.contains("ends after 2.000 s"),
        "{late}"
    );
    let sound = dir.path().join("sound.mp4");
    make(SOUND, &sound);
    assert_eq!(taken(&sound, &asked(Moment::Best)).unwrap_err().code, FailureCode::StreamMissing);
}

#[test]
fn the_best_frame_is_not_the_black_one() {
    let dir = tempfile::tempdir().unwrap();
    let (film, picture) = (dir.path().join("film.mp4"), dir.path().join("poster.png"));
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "color=black:s=160x90:r=25:d=4", "-f", "lavfi"])
        .args(["-i", "testsrc=s=160x90:r=25:d=1,format=yuv420p,setsar=1", "-filter_complex"])
        .args(["[0:v]format=yuv420p,setsar=1[a];[a][1:v]concat", "-c:v", "libx264"])
        .arg(&film)
        .status();
    if made.is_err() {
        eprintln!("skipped: ffmpeg is not installed");
        return;
    }
    std::fs::write(&picture, &taken(&film, &asked(Moment::Best)).unwrap()[0]).unwrap();
    let grey = grey(&picture, None);
    assert!(grey.iter().max() > Some(&150), "{grey:?}");
}

#[test]
fn a_sprite_sheet_has_a_picture_for_every_cue() {
    let dir = tempfile::tempdir().unwrap();
    let film = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/bigbuckbunny.mp4");
    let source = probe(&film).unwrap();
    let settings = SpriteSettings {
        every_ns: None,
        width: 96,
        columns: 4,
        format: StillFormat::Png,
        name: "sheet.png".into(),
    };
    let made = sprite(&film, &source, &settings, &mut |_| ()).unwrap();
    assert_eq!((made.pictures, made.index.matches("-->").count()), (6, 6));
    assert!(
        made.index.contains("00:00:05.000 --> 00:00:05.")
            && made.index.contains("sheet.png#xywh=96,54,96,54")
    );
    let (sheet, tile) = (dir.path().join("sheet.png"), dir.path().join("tile.png"));
    std::fs::write(&sheet, &made.sheet).unwrap();
    let facts = probe(&sheet).unwrap();
    assert_eq!((facts.video[0].width, facts.video[0].height), (4 * 96, 2 * 54));
    // The sixth picture is the film's at 5 s.
    let cut = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(&sheet)
        .args(["-vf", "crop=96:54:96:54"])
        .arg(&tile)
        .status();
    if cut.is_ok() {
        let alike = alike(&grey(&tile, None), &grey(&film, Some(5.0)));
        assert!(alike > 0.98, "{alike}");
    }
}

#[test]
fn a_preview_moves_for_as_long_as_it_was_asked_to() {
    let dir = tempfile::tempdir().unwrap();
    let film = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/bigbuckbunny.mp4");
    let gif = dir.path().join("preview.gif");
    let source = probe(&film).unwrap();
    let settings = PreviewSettings { from_ns: SECOND, length_ns: 2 * SECOND, fps: 10, max_width: 120 };
    let make = |settings: &PreviewSettings, format, file| {
        preview(&film, &source, settings, format, file, &mut |_| ())
    };
    let file = Box::new(std::fs::File::create(&gif).unwrap());
    assert_eq!(make(&settings, MovingFormat::Gif, file).unwrap(), 20);
    let taken = Extract { what: Extracted::WebpPreview(settings, 75), max_bytes: None };
    let webp = dir.path().join("preview.webp");
    let job = ExtractJob { input: &film, source: &source, extract: &taken, output: &webp };
    let webp = extract(&job, &mut |_| ()).unwrap();
    let pictures = &webp.facts.video[0];
    assert_eq!((webp.found, pictures.width, pictures.duration_ns), (20, 120, 2 * SECOND));
    assert!(webp.checks.iter().all(|check| check.result != CheckResult::Failed), "{:?}", webp.checks);
    let bytes = |name| std::fs::metadata(dir.path().join(name)).unwrap().len();
    assert!(bytes("preview.webp") * 2 < bytes("preview.gif"), "WebP takes fewer bytes");
    let Some(lines) = crate::studio::ffprobe(&gif, "stream=codec_name,width,nb_read_packets,r_frame_rate")
    else {
        return;
    };
    for line in ["codec_name=gif", "width=120", "nb_read_packets=20", "r_frame_rate=10/1"] {
        assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:?}");
    }
    let beyond = PreviewSettings { from_ns: 60 * SECOND, ..settings };
    for format in [MovingFormat::Gif, MovingFormat::Webp(75)] {
        let refused = make(&beyond, format, Box::new(std::io::sink())).unwrap_err();
        assert_eq!(refused.code, FailureCode::SettingsImpossible);
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let failed = make(&settings, format, Box::new(full)).unwrap_err();
        assert_eq!(failed.code, FailureCode::NodeUnfit, "{failed:?}");
    }
}
