//! What an encode will do to the picture, decided from the source's facts before anything is decoded.
//!
//! Decisions, and why:
//! - Rotation is applied to the pixels: not every player, browser or later stage reads a matrix.
//! - The pixel aspect is kept and written into stream and file: every player reads it, and squaring the pixels would
//!   scale, and blur, what need not be scaled.
//! - Unless asked otherwise, the output is 4:2:0, and of 8 bits in H.264, the only form of it that plays everywhere. Other
//!   codecs keep 10 bits of a source that has more than 8. Odd sizes lose their last column or row.
//! - Frames of a variable rate stay where they are; none is added or dropped. Interlaced frames become one progressive
//!   frame each.
//! - Colour is carried as the source describes it. Where it describes nothing and the picture shrinks from HD to SD
//!   size, BT.709 is written, because players guess by size and would guess differently for the output.
//! - HDR stays HDR: with 10 bits in codecs that are played so, or kept in mezzanines. For anything else it is tone-mapped to
//!   BT.709, as it would look washed out otherwise.

use gstreamer_video::VideoFormat;
use rushes_shared::encode::{Chroma, EncodeSettings, VideoCodec, VideoSettings};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::{Colour, Hdr, MediaFacts, Orientation, VideoFacts};
use rushes_shared::units::Ratio;

use crate::tone;

/// The picture's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How to turn it.
    pub(crate) orientation: Orientation,
    /// Size of the output.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Whether the output's size differs by more than a cut row or column.
    pub(crate) scaled: bool,
    /// Pixel aspect of the output.
    pub(crate) sar: Ratio,
    /// Depth and chroma of the output, as frames have it.
    pub(crate) format: VideoFormat,
    /// Colour description of the output.
    pub(crate) colour: Colour,
    /// Frame rate, where it is constant.
    pub(crate) fps: Option<Ratio>,
    /// Time units a second of the output's video track.
    pub(crate) timescale: u32,
    /// How long a frame lasts where nothing else is known, in nanoseconds.
    pub(crate) frame_ns: u64,
    /// The high dynamic range that is brought into BT.709; `None` where the picture keeps its own.
    pub(crate) tone_mapped: Option<Hdr>,
    /// What frames of two fields become before these are put together, which knows eight bits alone; `None` where they have no more.
    pub(crate) fields: Option<VideoFormat>,
}

/// Pictures, not films.
const STILL: &[&str] = &["png", "mjpeg-still", "jpeg", "webp", "gif-still", "bmp", "tiff", "heif", "avif"];

impl Plan {
    /// The plan for the source's first video stream.
    pub(crate) fn new(source: &MediaFacts, settings: &EncodeSettings) -> Result<Self, Failure> {
        let wanted = settings.video.as_ref().ok_or_else(|| {
            let message = "the output is to have no video";
            Failure::new(FailureCode::SettingsImpossible, message, "set what its video is to be")
        })?;
        let video = source.video.first().ok_or_else(|| no_video(source))?;
        let is_sequence = source.container == rushes_shared::sequence::CONTAINER;
        if STILL.contains(&video.codec.as_str()) && video.frames <= 1 && !is_sequence {
            return Err(Failure::new(
                FailureCode::StreamMissing,
                format!("the input is a still picture ({}), not a video", video.codec),
                "give a video file",
            ));
        }
        let (format, tone_mapped) = format(wanted, video)?;
        let (width, height) = video.shown_size();
        if width < 2 || height < 2 {
            return Err(Failure::new(
                FailureCode::SettingsImpossible,
                format!("a picture of {width}x{height} pixels cannot be encoded"),
                "give a video of at least 2x2 pixels",
            ));
        }
        let (out_width, out_height) = wanted.fitted((width, height)).ok_or_else(|| {
            Failure::new(
                FailureCode::SettingsImpossible,
                "a maximum width or height below 2 pixels leaves no picture",
                "set it to 2 or more",
            )
        })?;
        if out_width > u32::from(u16::MAX) || out_height > u32::from(u16::MAX) {
            return Err(Failure::new(
                FailureCode::SettingsImpossible,
                format!("a picture of {width}x{height} pixels is too large"),
                "set a maximum width or height",
            ));
        }
        let fps = video.fps.filter(|rate| rate.num > 0 && rate.den > 0);
        let constant = fps.filter(|rate| !video.vfr && rate.num <= MOST_UNITS);
        Ok(Self {
            orientation: video.orientation,
            width: out_width,
            height: out_height,
            scaled: (out_width, out_height) != (width & !1, height & !1),
            sar: shown_sar(video),
            format,
            colour: match tone_mapped {
                Some(_) => tone::described(),
                None => described(video, (video.width, video.height), (out_width, out_height)),
            },
            tone_mapped,
            fields: fields(video),
            fps: constant,
            timescale: constant.map_or(VARIABLE_TIMESCALE, timescale),
            frame_ns: fps.map_or(40_000_000, |rate| {
                crate::pace::scaled(1_000_000_000, u64::from(rate.den), u64::from(rate.num))
            }),
        })
    }
}

/// Most time units a second: a rate that asks for more is no rate of a film.
const MOST_UNITS: u32 = 1_000_000;
/// For variable rates: divides by the ticks of MPEG-TS, and finer than Matroska's milliseconds.
const VARIABLE_TIMESCALE: u32 = 90_000;

/// Units in which every frame of a constant rate begins exactly, at least ten thousand a second so that a small
/// irregularity is kept as well.
fn timescale(rate: Ratio) -> u32 {
    let mut scale = rate.num;
    while scale < 10_000 {
        scale *= 2;
    }
    scale
}

pub(crate) fn no_video(source: &MediaFacts) -> Failure {
    let what = if source.audio.is_empty() { "neither video nor sound" } else { "sound only, no video" };
    Failure::new(
        FailureCode::StreamMissing,
        format!("the input has {what}"),
        "give a file with a video stream; this job makes video",
    )
}

/// Depth and chroma of the output, and the dynamic range that it cannot carry.
fn format(wanted: &VideoSettings, video: &VideoFacts) -> Result<(VideoFormat, Option<Hdr>), Failure> {
    let codec = wanted.codec;
    let kept = if video.bit_depth > 8 { 10 } else { 8 };
    let depth = wanted.bit_depth.unwrap_or(match codec {
        VideoCodec::H264 => 8,
        VideoCodec::ProRes => 10,
        hardware if hardware.prefers_hardware() => 8,
        _ => kept,
    });
    let is_h264 = codec.in_software() == VideoCodec::H264;
    let lost = Some(video.hdr).filter(|hdr| *hdr != Hdr::Sdr && (depth < 10 || is_h264));
    let chroma = wanted.chroma.unwrap_or(match codec {
        VideoCodec::ProRes | VideoCodec::DnxHd => Chroma::C422,
        VideoCodec::Ffv1 => chroma_of(video),
        _ => Chroma::C420,
    });
    if !codec.chromas(depth).contains(&chroma) {
        return Err(Failure::new(
            FailureCode::SettingsImpossible,
            format!("{} has no {} with {depth} bits", codec.word(), chroma.name()),
            "set another chroma or bit_depth",
        ));
    }
    let format = match (depth, chroma) {
        (8, Chroma::C420) => VideoFormat::I420,
        (8, Chroma::C422) => VideoFormat::Y42b,
        (8, Chroma::C444) => VideoFormat::Y444,
        (_, Chroma::C420) => VideoFormat::I42010le,
        (_, Chroma::C422) => VideoFormat::I42210le,
        (_, Chroma::C444) => VideoFormat::Y44410le,
    };
    Ok((format, lost))
}

/// What frames of two fields become before these are put together.
pub(super) fn fields(video: &VideoFacts) -> Option<VideoFormat> {
    (video.bit_depth > 8).then(|| match chroma_of(video) {
        Chroma::C420 => VideoFormat::I420,
        Chroma::C422 => VideoFormat::Y42b,
        Chroma::C444 => VideoFormat::Y444,
    })
}

/// The source's chroma; RGB has all of it.
fn chroma_of(video: &VideoFacts) -> Chroma {
    let is = |names: &[&str]| names.iter().any(|name| video.pixel_format.contains(name));
    if is(&["444", "rgb", "gbr", "bgr", "ayuv", "y410", "y412", "v308"]) {
        Chroma::C444
    } else if is(&[
        "422", "411", "yuy2", "uyv", "yvyu", "vyuy", "v210", "v216", "y210", "y212", "y41b", "y42b", "nv16",
    ]) {
        Chroma::C422
    } else {
        Chroma::C420
    }
}

impl Plan {
    /// What of the source's picture is lost in it, in words; `is_narrowed` where its [fields](Self::fields) became one.
    pub(crate) fn told(&self, video: &VideoFacts, is_narrowed: bool) -> Vec<String> {
        let mut told: Vec<String> = self.tone_mapped.map(tone::told).into_iter().collect();
        if is_narrowed {
            told.push(format!(
                "the fields of the picture are put together at 8 bits, of {} that it has",
                video.bit_depth
            ));
        } else if video.bit_depth > 10 {
            told.push(format!("the picture has 10 bits a sample at most here, of {}", video.bit_depth));
        }
        let is_transparent = |name: &&str| video.pixel_format.contains(*name);
        if ["argb", "rgba", "abgr", "bgra", "ayuv", "yuva", "gbra", "a420", "a422", "a444"]
            .iter()
            .any(is_transparent)
        {
            told.push("the picture's transparency (alpha) is left out".to_owned());
        }
        told
    }
}

/// Pixel aspect after rotation.
fn shown_sar(video: &VideoFacts) -> Ratio {
    match video.sar {
        Some(sar) if sar.num > 0 && sar.den > 0 => {
            if video.orientation.swaps_sides() {
                Ratio { num: sar.den, den: sar.num }
            } else {
                sar
            }
        }
        _ => Ratio::ONE,
    }
}

fn described(video: &VideoFacts, source: (u32, u32), output: (u32, u32)) -> Colour {
    let colour = video.colour.clone();
    let silent = colour.matrix.is_empty() && colour.transfer.is_empty() && colour.primaries.is_empty();
    let is = |name: &str| video.pixel_format.contains(name);
    let rgb = colour.matrix == "gbr" || is("rgb") || is("gbr") || is("bgr");
    if silent && !rgb && is_hd(source) && !is_hd(output) {
        return Colour { range: colour.range, ..bt709() };
    }
    if rgb {
        // RGB must be given a matrix, and a range that players expect.
        return Colour { range: "tv".into(), ..bt709() };
    }
    colour
}

fn bt709() -> Colour {
    Colour { matrix: "bt709".into(), transfer: "bt709".into(), primaries: "bt709".into(), range: "tv".into() }
}

/// The border at which players guess BT.709 instead of BT.601.
fn is_hd((width, height): (u32, u32)) -> bool {
    width >= 1280 || height > 576
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(video: VideoFacts) -> MediaFacts {
        MediaFacts { video: vec![video], ..MediaFacts::default() }
    }

    #[test]
    fn a_turned_picture_turns_its_size_and_pixel_aspect() {
        let video = VideoFacts {
            width: 720,
            height: 576,
            sar: Ratio::new(64, 45),
            orientation: Orientation { clockwise_degrees: 90, mirrored: false },
            ..VideoFacts::default()
        };
        let plan = Plan::new(&facts(video), &EncodeSettings::default()).unwrap();
        assert_eq!((plan.width, plan.height, plan.sar), (576, 720, Ratio { num: 45, den: 64 }));
    }

    #[test]
    fn hdr_is_kept_or_tone_mapped_and_sound_alone_is_refused() {
        crate::start::init().unwrap();
        let hdr = VideoFacts { width: 64, height: 64, hdr: Hdr::Pq, ..VideoFacts::default() };
        let plan = Plan::new(&facts(hdr), &EncodeSettings::default()).unwrap();
        assert_eq!((plan.tone_mapped, plan.colour), (Some(Hdr::Pq), bt709()));
        let hdr = VideoFacts { width: 64, height: 64, hdr: Hdr::Hlg, bit_depth: 10, ..VideoFacts::default() };
        let with = |codec, depth| {
            let video = VideoSettings { bit_depth: depth, ..VideoSettings::of(codec) };
            let settings = EncodeSettings { video: Some(video), ..EncodeSettings::default() };
            Plan::new(&facts(hdr.clone()), &settings).map(|plan| (plan.format, plan.tone_mapped)).unwrap()
        };
        assert_eq!(with(VideoCodec::Hevc, None), (VideoFormat::I42010le, None), "HDR stays what it is");
        assert_eq!(with(VideoCodec::ProRes, None), (VideoFormat::I42210le, None));
        assert_eq!(with(VideoCodec::Vp9, Some(8)), (VideoFormat::I420, Some(Hdr::Hlg)));
        assert_eq!(with(VideoCodec::Av1, None), (VideoFormat::I42010le, None));
        assert_eq!(with(VideoCodec::H264, Some(10)), (VideoFormat::I42010le, Some(Hdr::Hlg)));
        let missing = Plan::new(&MediaFacts::default(), &EncodeSettings::default()).unwrap_err();
        assert_eq!(missing.code, FailureCode::StreamMissing);
    }

    #[test]
    fn an_undescribed_hd_picture_is_described_when_it_becomes_sd() {
        let video = VideoFacts { width: 1920, height: 1080, ..VideoFacts::default() };
        let mut settings = EncodeSettings::default();
        assert_eq!(Plan::new(&facts(video.clone()), &settings).unwrap().colour, Colour::default());
        settings.video.as_mut().unwrap().max_height = Some(480);
        assert_eq!(Plan::new(&facts(video), &settings).unwrap().colour.matrix, "bt709");
    }
}
