//! What a probe says of a sequence: from the names, the sizes and the first picture's header.

use image::{ColorType, ImageFormat};
use rushes_shared::failure::Failure;
use rushes_shared::media::{Colour, MediaFacts, VideoFacts};
use rushes_shared::sequence::CONTAINER;

use super::Sequence;
use super::picture::Kind;
use crate::pace;

/// The facts of a sequence.
pub(crate) fn read(sequence: &Sequence) -> Result<MediaFacts, Failure> {
    let kind = Kind::of(sequence.name(0), &sequence.bytes(0)?)?;
    let duration_ns = sequence.starts_at(sequence.frames());
    let size_bytes = sequence.size();
    let bitrate_bps = pace::scaled(size_bytes, 8_000_000_000, duration_ns);
    let (pixel_format, bit_depth) = pixels(kind.colour);
    let video = VideoFacts {
        codec: codec(kind.format).to_owned(),
        width: kind.width,
        height: kind.height,
        fps: Some(sequence.rate()),
        frames: sequence.frames(),
        duration_ns,
        pixel_format: pixel_format.to_owned(),
        bit_depth,
        colour: colour(kind.format),
        bitrate_bps,
        ..VideoFacts::default()
    };
    Ok(MediaFacts {
        container: CONTAINER.to_owned(),
        size_bytes,
        duration_ns,
        bitrate_bps,
        seekable: true,
        video: vec![video],
        ..MediaFacts::default()
    })
}

fn codec(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "png",
        ImageFormat::Jpeg => "mjpeg",
        ImageFormat::Tiff => "tiff",
        _ => "exr",
    }
}

/// What the decoder gives: FFmpeg's name, and bits of a component.
fn pixels(colour: ColorType) -> (&'static str, u8) {
    match colour {
        ColorType::L8 => ("gray", 8),
        ColorType::La8 => ("ya8", 8),
        ColorType::Rgba8 => ("rgba", 8),
        ColorType::L16 => ("gray16le", 16),
        ColorType::La16 => ("ya16le", 16),
        ColorType::Rgb16 => ("rgb48le", 16),
        ColorType::Rgba16 => ("rgba64le", 16),
        ColorType::Rgb32F => ("gbrpf32le", 32),
        ColorType::Rgba32F => ("gbrapf32le", 32),
        _ => ("rgb24", 8),
    }
}

/// Whether such pixels say how transparent they are.
pub(super) fn has_alpha(pixel_format: &str) -> bool {
    ["ya8", "rgba", "ya16le", "rgba64le", "gbrapf32le"].contains(&pixel_format)
}

/// Pictures without a profile are sRGB; EXR is light as it is.
fn colour(format: ImageFormat) -> Colour {
    let transfer = if format == ImageFormat::OpenExr { "linear" } else { "iec61966-2-1" };
    Colour {
        matrix: "gbr".to_owned(),
        transfer: transfer.to_owned(),
        primaries: "bt709".to_owned(),
        range: "pc".to_owned(),
    }
}
