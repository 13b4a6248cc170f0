//! Image sequences: pictures made by `ffmpeg` or here, read as films; `ffmpeg`'s decode of the same pictures is the referee.

use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_media::{
    EncodeJob, LadderJob, check, compare, encode, make_ladder, probe, set_frame_rate, thumbnails,
};
use rushes_shared::encode::{Container, EncodeSettings, VideoCodec, VideoSettings};
use rushes_shared::failure::FailureCode;
use rushes_shared::ladder::LadderSettings;
use rushes_shared::measure::CompareSettings;
use rushes_shared::still::{Moment, StillFormat, ThumbnailSettings};
use rushes_shared::units::Ratio;

use crate::studio::{encoded, ffprobe, quick};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Has `ffmpeg` do something; `false`, said aloud, where it is not installed.
fn ffmpeg(arguments: &[&str]) -> bool {
    let Ok(run) = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(arguments).output() else {
        eprintln!("skipped: ffmpeg is not installed");
        return false;
    };
    assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    true
}

/// A second of moving pictures with colours all over the range, in a format.
fn made(dir: &Path, ending: &str, pixels: &str, more: &[&str]) -> Option<PathBuf> {
    let pattern = dir.join(format!("shot.%04d.{ending}"));
    let source = "testsrc2=size=322x178:rate=24:duration=0.5,gblur=sigma=3";
    let mut arguments = vec!["-f", "lavfi", "-i", source, "-pix_fmt", pixels, "-start_number", "996"];
    arguments.extend(more);
    arguments.push(pattern.to_str()?);
    ffmpeg(&arguments).then_some(pattern)
}

/// All pixels of a film or sequence as `ffmpeg` decodes them, in 16 bits.
fn pixels(input: &[&str], dir: &Path) -> Vec<u16> {
    let raw = dir.join("pixels.raw");
    let mut arguments = input.to_vec();
    arguments.extend(["-f", "rawvideo", "-sws_flags", "accurate_rnd+full_chroma_int+bitexact"]);
    arguments.extend(["-pix_fmt", "rgb48le", raw.to_str().unwrap()]);
    assert!(ffmpeg(&arguments));
    let bytes = std::fs::read(raw).unwrap();
    bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Mean and largest difference, in steps of 8 bits.
fn difference(one: &[u16], other: &[u16]) -> (f64, f64) {
    assert_eq!(one.len(), other.len());
    let apart = one.iter().zip(other).map(|(a, b)| f64::from(a.abs_diff(*b)) / 257.0);
    let (sum, most) = apart.fold((0.0, 0.0), |(sum, most): (f64, f64), by| (sum + by, most.max(by)));
    (sum / one.len() as f64, most)
}

fn lossless() -> EncodeSettings {
    EncodeSettings {
        container: Container::Mkv,
        video: Some(VideoSettings::of(VideoCodec::Ffv1)),
        ..EncodeSettings::default()
    }
}

/// Pictures of a format, and what they have to be.
struct Case {
    ending: &'static str,
    pixels: &'static str,
    /// What `ffmpeg` is told when it makes them, and when it reads them.
    making: &'static [&'static str],
    reading: &'static [&'static str],
    /// Codec, pixel format, depth.
    facts: (&'static str, &'static str, u8),
    /// Mean and largest difference, in steps of 8 bits. What comes of a wrong matrix, range or curve is several times what
    /// Y'CbCr of 8 or 10 bits makes.
    apart: (f64, f64),
}

const fn case(
    ending: &'static str,
    pixels: &'static str,
    facts: (&'static str, &'static str, u8),
    apart: (f64, f64),
) -> Case {
    Case { ending, pixels, making: &[], reading: &[], facts, apart }
}

const CASES: [Case; 8] = [
    case("png", "rgb24", ("png", "rgb24", 8), (1.5, 6.0)),
    case("png", "rgb48be", ("png", "rgb48le", 16), (0.5, 2.0)),
    case("png", "gray", ("png", "gray", 8), (1.5, 6.0)),
    case("png", "gray16be", ("png", "gray16le", 16), (0.5, 2.0)),
    case("tif", "rgb24", ("tiff", "rgb24", 8), (1.5, 6.0)),
    case("tiff", "rgb48le", ("tiff", "rgb48le", 16), (0.5, 2.0)),
    Case { making: &["-q:v", "2"], ..case("jpg", "yuvj444p", ("mjpeg", "rgb24", 8), (1.8, 9.0)) },
    Case {
        reading: &["-apply_trc", "iec61966_2_1"],
        ..case("exr", "gbrpf32le", ("exr", "gbrpf32le", 32), (0.5, 3.0))
    },
];

#[test]
fn pictures_of_every_format_come_out_as_ffmpeg_sees_them() {
    let mut wrong = Vec::new();
    for Case { ending, pixels: format, making, reading, facts, apart } in CASES {
        let dir = folder();
        let Some(pattern) = made(dir.path(), ending, format, making) else { return };
        let out = dir.path().join("out.mkv");
        let (source, done) = encoded(&pattern, &out, &lossless()).unwrap();
        let video = &source.video[0];
        assert_eq!((source.container.as_str(), source.duration_ns), ("image sequence", 500_000_000));
        assert_eq!((video.codec.as_str(), video.pixel_format.as_str(), video.bit_depth), facts);
        assert_eq!((video.width, video.height), (322, 178));
        assert_eq!((video.frames, video.fps, done.frames), (12, Ratio::new(24, 1), 12));
        let report = check(&out, &source, &lossless(), Some(&done), &mut |_| ()).unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
        let is_linear = done.warnings.iter().any(|line| line.contains("scene-linear"));
        assert_eq!(is_linear, ending == "exr", "{:?}", done.warnings);
        let mut arguments = reading.to_vec();
        arguments.extend(["-start_number", "996", "-i", pattern.to_str().unwrap()]);
        let seen = pixels(&arguments, dir.path());
        let ours = pixels(&["-i", out.to_str().unwrap()], dir.path());
        let found = difference(&seen, &ours);
        println!("{ending} {format}: mean {:.3}, largest {:.3}", found.0, found.1);
        if found.0 > apart.0 || found.1 > apart.1 {
            wrong.push(format!("{ending} {format}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Pictures of one grey each, which tells their number: 5 + 3 times it.
fn numbered(dir: &Path, numbers: std::ops::Range<u32>) -> PathBuf {
    for number in numbers {
        let grey = u8::try_from(5 + 3 * number).unwrap();
        let picture = image::RgbImage::from_pixel(64, 36, image::Rgb([grey; 3]));
        picture.save(dir.join(format!("shot.{number:04}.png"))).unwrap();
    }
    dir.join("shot.####.png")
}

/// The archive that `tar` makes of a directory's pictures, in whatever order it finds them.
fn packed(dir: &Path) -> Option<PathBuf> {
    let out = dir.join("shot.tar");
    let mut tar = Command::new("tar");
    tar.arg("cf").arg(&out).arg("-C").arg(dir).args(["--exclude=*.tar", "."]);
    tar.status().ok()?.success().then_some(out)
}

#[test]
fn an_archive_is_the_same_film_as_its_pictures() {
    let dir = folder();
    let pattern = numbered(dir.path(), 7..31);
    std::fs::write(dir.path().join("._shot.0007.png"), "what some systems leave").unwrap();
    let archive = packed(dir.path()).unwrap();
    let (one, other) = (probe(&pattern).unwrap(), probe(&archive).unwrap());
    assert_eq!(one, other);
    assert_eq!((one.video[0].frames, one.duration_ns), (24, 1_000_000_000));
    let settings = CompareSettings { vmaf: None, ..CompareSettings::default() };
    let found = compare((&pattern, &one), (&archive, &other), &settings, &mut |_| ()).unwrap();
    assert_eq!((found.frames, found.psnr_db.all), (24, None), "not one pixel differs: {found:?}");
}

#[test]
fn the_picture_of_a_time_is_the_one_that_is_shown_then_also_where_it_is_sought() {
    set_frame_rate("1".parse().unwrap());
    let dir = folder();
    let pattern = numbered(dir.path(), 0..60);
    let source = probe(&pattern).unwrap();
    assert_eq!(source.duration_ns, 60_000_000_000);
    for (moment, numbers) in [
        (Moment::At(46_999_999_999), vec![46]),
        (Moment::At(23_000_000_000), vec![23]),
        (Moment::At(1_500_000_000), vec![1]),
        (Moment::Every(14_500_000_000), vec![0, 14, 29, 43, 58]),
    ] {
        let format = StillFormat::Png;
        let settings = ThumbnailSettings { moment, max_width: None, max_height: None, format };
        let found = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = std::sync::Arc::clone(&found);
        let keep = Box::new(move |_: usize, bytes: &[u8]| {
            let picture = image::load_from_memory(bytes).unwrap().into_rgb8();
            kept.lock().unwrap().push((u32::from(picture.get_pixel(20, 20)[0]) - 5) / 3);
            Ok(())
        });
        thumbnails(&pattern, &source, &settings, keep, &mut |_| ()).unwrap();
        assert_eq!(*found.lock().unwrap(), numbers);
    }
}

#[test]
fn an_encode_of_a_sequence_is_close_to_it_and_keeps_its_rate() {
    let dir = folder();
    let Some(pattern) = made(dir.path(), "png", "rgb24", &[]) else { return };
    set_frame_rate("24000/1001".parse().unwrap());
    let out = dir.path().join("out.mp4");
    let (source, done) = encoded(&pattern, &out, &quick()).unwrap();
    assert!(done.warnings.is_empty(), "{:?}", done.warnings);
    let entries = "stream=r_frame_rate,nb_read_packets,color_space,color_transfer,color_range,width,height";
    if let Some(lines) = ffprobe(&out, entries) {
        for line in [
            "r_frame_rate=24000/1001",
            "nb_read_packets=12",
            "color_space=bt709",
            "color_transfer=bt709",
            "color_range=tv",
            "width=322",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}: {lines:?}");
        }
    }
    // It is smaller than HD, where others guess BT.601: the comparison has to know that it is not.
    let facts = probe(&out).unwrap();
    let settings = CompareSettings { vmaf: None, ..CompareSettings::default() };
    let found = compare((&pattern, &source), (&out, &facts), &settings, &mut |_| ()).unwrap();
    assert!(found.psnr_db.all.unwrap() > 38.0 && found.psnr_db.u.unwrap() > 38.0, "{found:?}");
}

#[test]
fn a_ladder_is_made_of_a_sequence() {
    let dir = folder();
    let pattern = numbered(dir.path(), 0..72);
    let source = probe(&pattern).unwrap();
    let (scratch, out) = (dir.path().join("scratch"), dir.path().join("out"));
    std::fs::create_dir(&scratch).unwrap();
    std::fs::create_dir(&out).unwrap();
    let settings = LadderSettings::default();
    let job = LadderJob {
        input: &pattern,
        source: &source,
        settings: &settings,
        scratch: &scratch,
        directory: &out,
    };
    let report = make_ladder(&job, &mut |_| ()).unwrap();
    assert_eq!(report.video.iter().map(|one| one.packets).collect::<Vec<_>>(), [72]);
}

#[test]
fn what_is_no_whole_sequence_is_an_error_that_names_the_picture() {
    let dir = folder();
    let pattern = numbered(dir.path(), 1..13);
    let at = |number: u32| dir.path().join(format!("shot.{number:04}.png"));
    let fails = |input: &Path| encoded(input, &dir.path().join("out.mp4"), &quick()).unwrap_err();

    let missing = fails(&dir.path().join("other.%04d.png"));
    assert_eq!(missing.code, FailureCode::InputNotFound, "{missing:?}");

    let whole = std::fs::read(at(8)).unwrap();
    std::fs::write(at(8), &whole[..whole.len() / 2]).unwrap();
    let torn = fails(&pattern);
    assert!(torn.code == FailureCode::InputDamaged && torn.message.contains("shot.0008.png"), "{torn:?}");
    std::fs::write(at(8), []).unwrap();
    let empty = fails(&pattern);
    assert!(empty.message.contains("shot.0008.png is empty"), "{empty:?}");

    image::RgbImage::new(66, 36).save(at(8)).unwrap();
    let other = fails(&pattern);
    assert!(other.message.contains("shot.0008.png is PNG of 66x36 pixels"), "{other:?}");

    std::fs::remove_file(at(8)).unwrap();
    std::fs::remove_file(at(4)).unwrap();
    let gaps = fails(&pattern);
    assert_eq!(gaps.code, FailureCode::InputDamaged);
    assert!(gaps.message.contains("pictures are missing (2): shot.0004.png, shot.0008.png"), "{gaps:?}");

    std::fs::write(at(4), &whole).unwrap();
    std::fs::write(at(8), &whole).unwrap();
    let archive = std::fs::read(packed(dir.path()).unwrap()).unwrap();
    let torn = dir.path().join("torn.tar");
    std::fs::write(&torn, &archive[..archive.len() / 2]).unwrap();
    let failure = fails(&torn);
    assert_eq!(failure.code, FailureCode::InputDamaged, "{failure:?}");
}

#[test]
fn too_many_or_too_large_pictures_are_refused_at_once() {
    let dir = folder();
    let many = dir.path().join("many");
    std::fs::create_dir(&many).unwrap();
    for number in 0..=100_000 {
        std::fs::File::create(many.join(format!("{number}.exr"))).unwrap();
    }
    let failure = probe(&many.join("%d.exr")).unwrap_err();
    assert!(failure.message.contains("more than 100000 pictures"), "{failure:?}");

    // An EXR header that says 60000x60000 pixels, and no pixel. Where it says how many blocks follow, that has to fit.
    let small = dir.path().join("huge.0001.exr");
    image::Rgb32FImage::new(4, 4).save(&small).unwrap();
    let mut bytes = std::fs::read(&small).unwrap();
    let value = |bytes: &[u8], name: &[u8]| {
        bytes.windows(name.len()).position(|part| part == name).map(|at| at + name.len())
    };
    for name in [&b"dataWindow\0box2i\0\x10\0\0\0"[..], b"displayWindow\0box2i\0\x10\0\0\0"] {
        let at = value(&bytes, name).unwrap();
        bytes[at..at + 16].copy_from_slice(&[0_i32, 0, 59_999, 59_999].map(i32::to_le_bytes).concat());
    }
    if let Some(at) = value(&bytes, b"tiles\0tiledesc\0\x09\0\0\0") {
        bytes[at..at + 8].copy_from_slice(&[60_000_u32, 60_000].map(u32::to_le_bytes).concat());
    }
    if let Some(at) = value(&bytes, b"chunkCount\0int\0\x04\0\0\0") {
        bytes[at..at + 4].copy_from_slice(&1_i32.to_le_bytes());
    }
    std::fs::write(&small, bytes).unwrap();
    let failure = probe(&dir.path().join("huge.%04d.exr")).unwrap_err();
    assert_eq!(failure.code, FailureCode::Unsupported, "{failure:?}");
    assert!(failure.message.contains("huge.0001.exr is too large"), "{failure:?}");
}

#[test]
fn one_picture_is_a_film_of_one_frame() {
    let dir = folder();
    let pattern = numbered(dir.path(), 5..6);
    let out = dir.path().join("out.mp4");
    let source = probe(&pattern).unwrap();
    let settings = quick();
    let job =
        EncodeJob { input: &pattern, source: &source, settings: &settings, output: &out, threads: None };
    let done = encode(&job, &mut |_| ()).unwrap();
    assert_eq!(check(&out, &source, &settings, Some(&done), &mut |_| ()).unwrap().frames_decoded, 1);
    assert!(done.warnings.iter().any(|line| line.contains("24 pictures a second")), "{:?}", done.warnings);
}
