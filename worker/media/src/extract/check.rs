//! What was made is read back by other means than made it, and held against what was planned.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;
use std::time::Duration;

use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder as _, ImageDecoder as _};
use rushes_shared::check::{Check, CheckLimit, CheckName, CheckUnit};
use rushes_shared::encode::Extracted;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::measure::Waveform;
use rushes_shared::media::{MediaFacts, VideoFacts};
use rushes_shared::still::{Moment, SpriteSettings, StillFormat, ThumbnailSettings};

use super::archive;
use crate::canvas;

/// What a file is to hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Planned {
    pub(super) pictures: u64,
    /// Width and height of each in pixels.
    pub(super) size: Option<(u32, u32)>,
}

/// What a file is, and how many pictures it holds.
pub(super) fn read_back(path: &Path, what: &Extracted) -> Result<(MediaFacts, u64), Failure> {
    let size_bytes = fs::metadata(path).map_err(|e| unreadable(&e.to_string()))?.len();
    let plain =
        |container: &str| MediaFacts { container: container.to_owned(), size_bytes, ..MediaFacts::default() };
    match what {
        Extracted::Stills(ThumbnailSettings { moment: Moment::Every(_), .. }) => {
            let mut pictures = 0;
            let mut see = |name: &str, bytes: &[u8]| {
                pictures += u64::from(name != archive::INDEX && !bytes.is_empty());
            };
            archive::read(path, &mut see).map_err(|e| unreadable(&e.to_string()))?;
            Ok((plain("zip"), pictures))
        }
        Extracted::Stills(ThumbnailSettings { format, .. }) => decoded(path, plain(container(*format))),
        Extracted::Sprite(SpriteSettings { format, .. }) => decoded(path, plain(container(*format))),
        Extracted::Waveform(settings) if settings.picture.is_some() => decoded(path, plain("png")),
        Extracted::Waveform(_) => {
            let file = File::open(path).map_err(|e| unreadable(&e.to_string()))?;
            let read: Result<Waveform, _> = serde_json::from_reader(BufReader::new(file));
            let read = read.map_err(|e| unreadable(&e.to_string()))?;
            let values = read.length.saturating_mul(2 * u64::from(read.channels));
            if read.data.len() as u64 == values {
                return Ok((plain("json"), 0));
            }
            Err(unreadable("it has not as many values as it says"))
        }
        Extracted::SpriteIndex(_) => {
            let text = fs::read_to_string(path).map_err(|e| unreadable(&e.to_string()))?;
            if text.starts_with("WEBVTT\n") && text.contains("#xywh=") {
                return Ok((plain("webvtt"), 0));
            }
            Err(unreadable("it is no index of pictures"))
        }
        Extracted::Preview(_) => animated(path, plain("gif")),
        Extracted::WebpPreview(..) => animated_webp(path, plain("webp")),
    }
}

fn container(format: StillFormat) -> &'static str {
    match format {
        StillFormat::Jpeg(_) => "jpeg",
        StillFormat::Png => "png",
    }
}

/// A picture, decoded by GStreamer.
fn decoded(path: &Path, facts: MediaFacts) -> Result<(MediaFacts, u64), Failure> {
    let bytes = fs::read(path).map_err(|e| unreadable(&e.to_string()))?;
    let (codec, (width, height)) = canvas::decoded(bytes).map_err(|failure| unreadable(&failure.message))?;
    let video = VideoFacts { codec: codec.to_owned(), width, height, frames: 1, ..VideoFacts::default() };
    Ok((MediaFacts { video: vec![video], ..facts }, 1))
}

/// A GIF, every frame decoded.
fn animated(path: &Path, facts: MediaFacts) -> Result<(MediaFacts, u64), Failure> {
    let bad = |error: gif::DecodingError| unreadable(&error.to_string());
    let file = File::open(path).map_err(|e: io::Error| unreadable(&e.to_string()))?;
    let mut decoder = gif::DecodeOptions::new().read_info(BufReader::new(file)).map_err(bad)?;
    let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    let (mut frames, mut ticks) = (0_u64, 0_u64);
    while let Some(frame) = decoder.read_next_frame().map_err(bad)? {
        frames += 1;
        ticks += u64::from(frame.delay);
    }
    let duration_ns = ticks * 10_000_000;
    let video =
        VideoFacts { codec: "gif".to_owned(), width, height, frames, duration_ns, ..VideoFacts::default() };
    Ok((MediaFacts { duration_ns, video: vec![video], ..facts }, frames))
}

/// An animated WebP, every frame decoded, by another library than the one that made it.
fn animated_webp(path: &Path, facts: MediaFacts) -> Result<(MediaFacts, u64), Failure> {
    let bad = |error: image::ImageError| unreadable(&error.to_string());
    let file = File::open(path).map_err(|e: io::Error| unreadable(&e.to_string()))?;
    let decoder = WebPDecoder::new(BufReader::new(file)).map_err(bad)?;
    let (width, height) = decoder.dimensions();
    let (mut frames, mut duration) = (0_u64, Duration::ZERO);
    for frame in decoder.into_frames() {
        duration = duration.saturating_add(frame.map_err(bad)?.delay().into());
        frames += 1;
    }
    let duration_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let video =
        VideoFacts { codec: "webp".to_owned(), width, height, frames, duration_ns, ..VideoFacts::default() };
    Ok((MediaFacts { duration_ns, video: vec![video], ..facts }, frames))
}

/// The file against the plan and its limit.
pub(super) fn held(facts: &MediaFacts, found: u64, planned: Planned, max_bytes: Option<u64>) -> Vec<Check> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "figures for people, far below what a float holds exactly"
    )]
    let figure = |number: u64| number as f64;
    let just = |name, unit, planned: u64, found: u64| {
        Check::judged(name, unit, CheckLimit::Exactly(figure(planned)), figure(found))
    };
    let most = max_bytes.map(|bytes| CheckLimit::AtMost(figure(bytes)));
    let mut checks = vec![Check::held(CheckName::Size, CheckUnit::Bytes, most, figure(facts.size_bytes))];
    if planned.pictures > 0 {
        checks.push(just(CheckName::Frames, CheckUnit::Count, planned.pictures, found));
    }
    if let (Some((width, height)), Some(video)) = (planned.size, facts.video.first()) {
        checks.push(just(CheckName::Width, CheckUnit::Pixels, width.into(), video.width.into()));
        checks.push(just(CheckName::Height, CheckUnit::Pixels, height.into(), video.height.into()));
    }
    checks
}

fn unreadable(why: &str) -> Failure {
    Failure::new(
        FailureCode::CheckFailed,
        format!("the finished file cannot be read back: {why}"),
        "it was not published; it is tried again, and if it fails once more, report it with the input",
    )
}

#[cfg(test)]
mod tests {
    use rushes_shared::measure::WaveformSettings;

    use super::*;

    #[test]
    fn a_file_is_held_against_its_plan_and_its_limit() {
        let video = VideoFacts { width: 320, height: 180, ..VideoFacts::default() };
        let facts = MediaFacts { size_bytes: 5_000, video: vec![video], ..MediaFacts::default() };
        let planned = Planned { pictures: 30, size: Some((320, 180)) };
        let failed = |found, planned, limit| -> Vec<CheckName> {
            let checks = held(&facts, found, planned, limit);
            checks.into_iter().filter(Check::has_failed).map(|check| check.name).collect()
        };
        assert!(failed(30, planned, None).is_empty() && failed(30, planned, Some(5_000)).is_empty());
        assert_eq!(failed(29, planned, Some(4_999)), [CheckName::Size, CheckName::Frames]);
        let other = Planned { size: Some((640, 360)), ..planned };
        assert_eq!(failed(30, other, None), [CheckName::Width, CheckName::Height]);
        let told = &held(&facts, 30, planned, None)[0];
        assert_eq!(told.to_string(), "size: 5000 bytes");
    }

    #[test]
    fn what_is_no_index_and_no_waveform_is_not_taken_for_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a");
        fs::write(&path, "WEBVTT\n").expect("written");
        let settings = SpriteSettings {
            every_ns: None,
            width: 1,
            columns: 1,
            format: StillFormat::Png,
            name: String::new(),
        };
        assert!(read_back(&path, &Extracted::SpriteIndex(settings)).is_err(), "an index of nothing");
        assert!(read_back(&path, &Extracted::Waveform(WaveformSettings::default())).is_err(), "no JSON");
        assert!(read_back(&dir.path().join("b"), &Extracted::Waveform(WaveformSettings::default())).is_err());
    }
}
