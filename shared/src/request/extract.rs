//! Files that are taken from a source beside its renditions, as a user writes them: posters, thumbnails, sprite sheets,
//! previews, waveforms.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::settling::ranged;
use super::{BadRequest, OutputRequest};
use crate::encode::{Extract, Extracted};
use crate::measure::WaveformSettings;
use crate::still::{Moment, PreviewSettings, SpriteSettings, StillFormat, ThumbnailSettings};

/// How a picture is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PictureFormat {
    /// JPEG.
    #[default]
    Jpeg,
    /// PNG, lossless.
    Png,
}

/// One picture of a film.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PosterRequest {
    /// The time of the picture in seconds, 0 to 604800. Default: the picture that shows most, of a dozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 604_800)]
    pub at: Option<f64>,
    /// The picture fits this width in pixels, 1 to 16384; never enlarged. Default: the film's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16_384)]
    pub max_width: Option<i64>,
    /// The same for the height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16_384)]
    pub max_height: Option<i64>,
    /// `jpeg` or `png`. Default: `jpeg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<PictureFormat>,
    /// Quality of JPEG, 1 to 100. Default: 85.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100, default = 85)]
    pub quality: Option<i64>,
}

/// A picture every so often, all of them in one ZIP file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ThumbnailsRequest {
    /// Seconds from one picture to the next, 0.1 to 86400. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.1, maximum = 86_400, default = 10)]
    pub every: Option<f64>,
    /// The pictures fit this width in pixels, 1 to 16384; never enlarged. Default: 320.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16_384, default = 320)]
    pub max_width: Option<i64>,
    /// The same for the height. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16_384)]
    pub max_height: Option<i64>,
    /// `jpeg` or `png`. Default: `jpeg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<PictureFormat>,
    /// Quality of JPEG, 1 to 100. Default: 85.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100, default = 85)]
    pub quality: Option<i64>,
}

/// A sheet of small pictures for a player's time line. Its WebVTT index is an output of its own beside it, with the same
/// name and the ending `.vtt`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpriteRequest {
    /// Seconds from one picture to the next, 0.1 to 86400. Default: a hundredth of the film, whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.1, maximum = 86_400)]
    pub every: Option<f64>,
    /// Width of a picture in pixels, 1 to 4096. Default: 160.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4_096, default = 160)]
    pub width: Option<i64>,
    /// Pictures in a row, 1 to 1000. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000, default = 10)]
    pub columns: Option<i64>,
    /// `jpeg` or `png`. Default: `jpeg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<PictureFormat>,
    /// Quality of JPEG, 1 to 100. Default: 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100, default = 80)]
    pub quality: Option<i64>,
}

/// A few seconds of a film as an endless GIF or animated WebP.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    /// Where it begins, in seconds from the film's start, 0 to 604800. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 604_800, default = 0)]
    pub from: Option<f64>,
    /// How long it is, in seconds, 0.1 to 100. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.1, maximum = 100, default = 3)]
    pub length: Option<f64>,
    /// Frames a second, 1 to 50; at most 1,000 frames in all. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 50, default = 10)]
    pub fps: Option<i64>,
    /// It fits this width in pixels, 1 to 4096; never enlarged. Default: 320.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4_096, default = 320)]
    pub max_width: Option<i64>,
    /// `gif` or `webp`, which has all colours in fewer bytes. Default: `gif`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<PreviewFormat>,
    /// Quality of WebP, 1 to 100. Default: 75.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100, default = 75)]
    pub quality: Option<i64>,
}

/// How a moving preview is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PreviewFormat {
    /// GIF.
    #[default]
    Gif,
    /// Animated WebP.
    Webp,
}

/// The waveform of the sound: JSON in audiowaveform's format, or a PNG where a width or a height is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaveformRequest {
    /// Width of the PNG in pixels, 1 to 16384. Default: 800 where a height is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16_384)]
    pub width: Option<i64>,
    /// Height of the PNG in pixels, 1 to 4096. Default: 250 where a width is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4_096)]
    pub height: Option<i64>,
    /// Samples that one point stands for, 2 to 1000000. Default: 256 in JSON; in a PNG so many that the whole file fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 2, maximum = 1_000_000)]
    pub samples_per_pixel: Option<i64>,
    /// Bits of a value, 8 or 16. Default: 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 8, maximum = 16, default = 16)]
    pub bits: Option<i64>,
    /// A waveform for each channel instead of one for their mean. Default: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_channels: Option<bool>,
}

const SECOND_NS: f64 = 1e9;
/// The longest time that may be named, in seconds: a week.
const LATEST_S: f64 = 604_800.0;
/// Seconds between two pictures.
const EVERY_S: (f64, f64) = (0.1, 86_400.0);
/// Most frames of a preview, as the media library makes them.
const PREVIEW_FRAMES: f64 = 1_000.0;
/// Largest limit of a file's size: 1 TiB.
const MAX_BYTES: i64 = 1 << 40;

/// What is taken from the source, where the output is no rendition.
pub(super) fn settle(path: &str, request: &OutputRequest) -> Result<Option<Extract>, BadRequest> {
    let field = |name: &str| format!("{path}.{name}");
    let kinds = [
        ("poster", request.poster.is_some()),
        ("thumbnails", request.thumbnails.is_some()),
        ("sprite", request.sprite.is_some()),
        ("preview", request.preview.is_some()),
        ("waveform", request.waveform.is_some()),
    ];
    let mut named = kinds.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name);
    let Some(kind) = named.next() else { return Ok(None) };
    if let Some(other) = named.next() {
        let message =
            format!("one output is one file, and this one is a {kind} already; make another output");
        return Err(BadRequest::at(field(other), message));
    }
    let foreign = [
        ("container", request.container.is_some()),
        ("video", request.video.is_some()),
        ("audio", request.audio.is_some()),
    ];
    if let Some((name, _)) = foreign.iter().find(|(_, is_there)| *is_there) {
        let message = format!("a {kind} has no such settings; leave it out, or make another output of it");
        return Err(BadRequest::at(field(name), message));
    }
    let at = field(kind);
    let what = if let Some(poster) = &request.poster {
        self::poster(&at, poster)?
    } else if let Some(thumbnails) = &request.thumbnails {
        self::thumbnails(&at, thumbnails)?
    } else if let Some(sprite) = &request.sprite {
        self::sprite(&at, sprite)?
    } else if let Some(preview) = &request.preview {
        self::preview(&at, preview)?
    } else {
        waveform(&at, request.waveform.as_ref().unwrap_or(&WaveformRequest::default()))?
    };
    Ok(Some(Extract { what, max_bytes: max_bytes(path, kind, request)? }))
}

/// Of the limits of an output, a file that is no rendition has its size alone.
fn max_bytes(path: &str, kind: &str, request: &OutputRequest) -> Result<Option<u64>, BadRequest> {
    let Some(check) = &request.check else { return Ok(None) };
    if let Some(field) = check.limit_of_renditions() {
        let message = format!("is a limit of renditions; of a {kind} set max_bytes, or leave it out");
        return Err(BadRequest::at(format!("{path}.check.{field}"), message));
    }
    let bytes = check.max_bytes.map(|bytes| ranged(&format!("{path}.check.max_bytes"), bytes, 1, MAX_BYTES));
    bytes.transpose()
}

fn poster(path: &str, request: &PosterRequest) -> Result<Extracted, BadRequest> {
    let at = request.at.map(|at| nanoseconds(path, "at", at, (0.0, LATEST_S))).transpose()?;
    Ok(Extracted::Stills(ThumbnailSettings {
        moment: at.map_or(Moment::Best, Moment::At),
        max_width: side(path, "max_width", request.max_width)?,
        max_height: side(path, "max_height", request.max_height)?,
        format: format(path, request.format, request.quality, 85)?,
    }))
}

fn thumbnails(path: &str, request: &ThumbnailsRequest) -> Result<Extracted, BadRequest> {
    Ok(Extracted::Stills(ThumbnailSettings {
        moment: Moment::Every(nanoseconds(path, "every", request.every.unwrap_or(10.0), EVERY_S)?),
        max_width: side(path, "max_width", request.max_width.or(Some(320)))?,
        max_height: side(path, "max_height", request.max_height)?,
        format: format(path, request.format, request.quality, 85)?,
    }))
}

fn sprite(path: &str, request: &SpriteRequest) -> Result<Extracted, BadRequest> {
    Ok(Extracted::Sprite(SpriteSettings {
        every_ns: request.every.map(|every| nanoseconds(path, "every", every, EVERY_S)).transpose()?,
        width: ranged(&format!("{path}.width"), request.width.unwrap_or(160), 1, 4_096)?,
        columns: ranged(&format!("{path}.columns"), request.columns.unwrap_or(10), 1, 1_000)?,
        format: format(path, request.format, request.quality, 80)?,
        // The sheet's own, once that is known.
        name: String::new(),
    }))
}

fn preview(path: &str, request: &PreviewRequest) -> Result<Extracted, BadRequest> {
    let length = request.length.unwrap_or(3.0);
    let length_ns = nanoseconds(path, "length", length, (0.1, 100.0))?;
    let fps: u32 = ranged(&format!("{path}.fps"), request.fps.unwrap_or(10), 1, 50)?;
    if length * f64::from(fps) > PREVIEW_FRAMES {
        let message =
            format!("{length} s at {fps} frames a second are more than 1000 frames; make it shorter");
        return Err(BadRequest::at(format!("{path}.length"), message));
    }
    let settings = PreviewSettings {
        from_ns: nanoseconds(path, "from", request.from.unwrap_or(0.0), (0.0, LATEST_S))?,
        length_ns,
        fps,
        max_width: ranged(&format!("{path}.max_width"), request.max_width.unwrap_or(320), 1, 4_096)?,
    };
    let field = format!("{path}.quality");
    match request.format.unwrap_or_default() {
        PreviewFormat::Gif if request.quality.is_some() => {
            Err(BadRequest::at(field, "a GIF has no quality; leave it out, or set format = \"webp\""))
        }
        PreviewFormat::Gif => Ok(Extracted::Preview(settings)),
        PreviewFormat::Webp => {
            Ok(Extracted::WebpPreview(settings, ranged(&field, request.quality.unwrap_or(75), 1, 100)?))
        }
    }
}

fn waveform(path: &str, request: &WaveformRequest) -> Result<Extracted, BadRequest> {
    let field = |name: &str| format!("{path}.{name}");
    let bits: u8 = ranged(&field("bits"), request.bits.unwrap_or(16), 8, 16)?;
    if !matches!(bits, 8 | 16) {
        return Err(BadRequest::at(field("bits"), format!("should be 8 or 16, not {bits}")));
    }
    let width: u32 = ranged(&field("width"), request.width.unwrap_or(800), 1, super::MAX_SIDE)?;
    let height: u32 = ranged(&field("height"), request.height.unwrap_or(250), 1, 4_096)?;
    let samples = request
        .samples_per_pixel
        .map(|n| ranged(&field("samples_per_pixel"), n, 2, 1_000_000))
        .transpose()?;
    Ok(Extracted::Waveform(WaveformSettings {
        samples_per_pixel: samples,
        bits,
        split_channels: request.split_channels.unwrap_or_default(),
        picture: (request.width.is_some() || request.height.is_some()).then_some((width, height)),
    }))
}

fn side(path: &str, name: &str, pixels: Option<i64>) -> Result<Option<u32>, BadRequest> {
    pixels.map(|pixels| ranged(&format!("{path}.{name}"), pixels, 1, super::MAX_SIDE)).transpose()
}

fn format(
    path: &str,
    format: Option<PictureFormat>,
    quality: Option<i64>,
    usual: i64,
) -> Result<StillFormat, BadRequest> {
    let field = format!("{path}.quality");
    match format.unwrap_or_default() {
        PictureFormat::Png if quality.is_some() => {
            Err(BadRequest::at(field, "png is lossless and has none; leave it out"))
        }
        PictureFormat::Png => Ok(StillFormat::Png),
        PictureFormat::Jpeg => Ok(StillFormat::Jpeg(ranged(&field, quality.unwrap_or(usual), 1, 100)?)),
    }
}

fn nanoseconds(path: &str, name: &str, seconds: f64, (low, high): (f64, f64)) -> Result<u64, BadRequest> {
    if !(seconds >= low && seconds <= high) {
        let message = format!("should be {low} to {high} seconds, not {seconds}");
        return Err(BadRequest::at(format!("{path}.{name}"), message));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to a week")]
    let nanoseconds = (seconds * SECOND_NS).round() as u64;
    Ok(nanoseconds)
}

#[cfg(test)]
mod tests;
