//! One picture of a sequence: its bytes to pixels in red, green and blue.
//!
//! Pictures of up to 8 bits become 8 bits (`RGB`), deeper ones 12 (`GBR_12LE`), which is more than any output keeps. What
//! is transparent lies over black. Turned pictures are made upright. Names and sizes are checked before anything is decoded.

use std::io::Cursor;

use gstreamer as gst;
use gstreamer_video as video;
use image::error::{ImageError, LimitErrorKind};
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use rushes_shared::failure::{Failure, FailureCode};

use super::pixels::drawn;

/// Longest side, in pixels.
const MAX_SIDE: u32 = 16_384;
/// Most bytes that a decoder may ask for.
const MAX_ALLOC: u64 = 1 << 30;

/// What all pictures of a sequence have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) format: ImageFormat,
    /// As shown: upright.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) colour: ColorType,
}

impl Kind {
    /// Reads a picture's header.
    pub(super) fn of(name: &str, bytes: &[u8]) -> Result<Self, Failure> {
        opened(name, bytes).map(|(kind, ..)| kind)
    }

    /// Whether its pixels have more than 8 bits.
    pub(super) fn is_deep(self) -> bool {
        !matches!(self.colour, ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8)
    }

    /// How frames of it lie in memory.
    pub(super) fn layout(self) -> Result<video::VideoInfo, Failure> {
        let format = if self.is_deep() { video::VideoFormat::Gbr12le } else { video::VideoFormat::Rgb };
        let info = video::VideoInfo::builder(format, self.width, self.height).build();
        info.map_err(|_| crate::reader::unusable("pictures of an impossible size"))
    }

    /// Bytes that a decode of one takes at most, about.
    pub(super) fn weight(self) -> u64 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        pixels * (u64::from(self.colour.bytes_per_pixel()) + if self.is_deep() { 6 } else { 3 })
    }

    fn told(self) -> String {
        let format = self.format.extensions_str().first().copied().unwrap_or_default().to_uppercase();
        format!("{format} of {}x{} pixels ({:?})", self.width, self.height, self.colour)
    }
}

/// Decodes a picture, which has to be of a kind.
pub(super) fn decoded(name: &str, bytes: &[u8], kind: Kind) -> Result<gst::Buffer, Failure> {
    let (found, orientation, decoder) = opened(name, bytes)?;
    if found != kind {
        let message = format!("{name} is {}, the first picture is {}", found.told(), kind.told());
        let advice = "pictures of a sequence have one format, size and depth; render it again";
        return Err(Failure::new(FailureCode::InputDamaged, message, advice));
    }
    if kind.format == ImageFormat::Jpeg && !is_whole_jpeg(bytes) {
        return Err(damaged(name, "it ends early"));
    }
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| failed(name, &error))?;
    image.apply_orientation(orientation);
    drawn(&image, &kind.layout()?).ok_or_else(|| damaged(name, "its pixels are not as its header says"))
}

fn opened<'a>(
    name: &str,
    bytes: &'a [u8],
) -> Result<(Kind, image::metadata::Orientation, impl ImageDecoder + 'a), Failure> {
    let format = image::guess_format(bytes).ok();
    let known = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff, ImageFormat::OpenExr];
    let Some(format) = format.filter(|format| known.contains(format)) else {
        let what = if bytes.is_empty() { "is empty" } else { "is no PNG, JPEG, TIFF or EXR picture" };
        let advice = "write the pictures again; what counts is their content, not their names";
        return Err(Failure::new(FailureCode::InputDamaged, format!("{name} {what}"), advice));
    };
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOC);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| failed(name, &error))?;
    let (width, height) = decoder.dimensions();
    let colour = decoder.color_type();
    if width.max(height) > MAX_SIDE || decoder.total_bytes() > MAX_ALLOC {
        return Err(too_large(name));
    }
    if format == ImageFormat::Tiff && matches!(colour, ColorType::Rgb32F | ColorType::Rgba32F) {
        let message = format!("{name} is a TIFF of floating point numbers, which are not read");
        return Err(Failure::new(FailureCode::Unsupported, message, "write EXR, or TIFF of 16 bits"));
    }
    let orientation = decoder.orientation().map_err(|error| failed(name, &error))?;
    use image::metadata::Orientation as Turn;
    let swaps =
        matches!(orientation, Turn::Rotate90 | Turn::Rotate270 | Turn::Rotate90FlipH | Turn::Rotate270FlipH);
    let (width, height) = if swaps { (height, width) } else { (width, height) };
    Ok((Kind { format, width, height, colour }, orientation, decoder))
}

fn failed(name: &str, error: &ImageError) -> Failure {
    match error {
        ImageError::Limits(limit) if !matches!(limit.kind(), LimitErrorKind::Unsupported { .. }) => {
            too_large(name)
        }
        ImageError::Unsupported(_) => Failure::new(
            FailureCode::Unsupported,
            format!("{name} has a form of its format that is not read"),
            "write it in a common form: RGB or grey, PNG, JPEG, TIFF, or EXR without DWA compression",
        ),
        _ => damaged(name, "it cannot be decoded"),
    }
    .with_detail(&error.to_string())
}

fn too_large(name: &str) -> Failure {
    let message =
        format!("{name} is too large: at most {MAX_SIDE} pixels a side and 1 GiB in memory are read");
    Failure::new(FailureCode::Unsupported, message, "scale the pictures down first")
}

fn damaged(name: &str, what: &str) -> Failure {
    let advice = "render or copy this picture again";
    Failure::new(FailureCode::InputDamaged, format!("{name} is damaged: {what}"), advice)
}

/// Whether a JPEG has its end mark behind its first scan. Decoders fill up with grey what is missing and do not say so.
/// What a camera puts before the scan may hold whole pictures of its own.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xff, mark, high, low]) = bytes.get(at..at + 4) {
        if mark == 0xff {
            at += 1;
            continue;
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
        if mark == 0xda {
            // Within a scan the byte after 0xff is 0 or a restart's number.
            return bytes.get(at..).is_some_and(|scan| scan.windows(2).any(|pair| *pair == [0xff, 0xd9]));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn transparency_lies_over_black_and_deep_pictures_keep_their_depth() {
        crate::start::init().unwrap();
        let half = image::RgbaImage::from_pixel(3, 2, image::Rgba([255, 100, 0, 128]));
        let bytes = written(&half.into(), ImageFormat::Png);
        let kind = Kind::of("a", &bytes).unwrap();
        let frame = decoded("a", &bytes, kind).unwrap();
        assert_eq!(frame.map_readable().unwrap()[..3], [128, 50, 0]);
        let deep = image::ImageBuffer::from_pixel(3, 2, image::Rgb([65535_u16, 32768, 16]));
        let bytes = written(&DynamicImage::ImageRgb16(deep), ImageFormat::Png);
        let kind = Kind::of("a", &bytes).unwrap();
        assert!(kind.is_deep());
        let frame = decoded("a", &bytes, kind).unwrap();
        let frame = frame.map_readable().unwrap();
        let layout = kind.layout().unwrap();
        let sample = |plane: usize| {
            let at = layout.offset()[plane];
            u16::from_le_bytes([frame[at], frame[at + 1]])
        };
        assert_eq!([sample(0), sample(1), sample(2)], [2048, 1, 4095], "green, blue, red");
    }

    #[test]
    fn what_is_cut_off_or_of_another_kind_is_an_error_that_names_the_file() {
        crate::start::init().unwrap();
        let image = DynamicImage::ImageRgb8(image::RgbImage::from_fn(64, 48, |x, y| {
            image::Rgb([u8::try_from(x * 3).unwrap(), u8::try_from(y * 5).unwrap(), 77])
        }));
        let float = DynamicImage::ImageRgb32F(image.to_rgb32f());
        for (format, image) in [
            (ImageFormat::Png, &image),
            (ImageFormat::Jpeg, &image),
            (ImageFormat::Tiff, &image),
            (ImageFormat::OpenExr, &float),
        ] {
            let whole = written(image, format);
            let kind = Kind::of("whole", &whole).unwrap();
            decoded("whole", &whole, kind).unwrap();
            for part in [whole.len() / 2, whole.len() * 9 / 10, 40, 0] {
                let failure = decoded("shot.0007", &whole[..part], kind).unwrap_err();
                let text = format!("{format:?} cut off after {part}: {failure:?}");
                assert_eq!(failure.code, FailureCode::InputDamaged, "{text}");
                assert!(failure.message.contains("shot.0007"), "{text}");
            }
            let other = Kind { width: 65, ..kind };
            let failure = decoded("shot.0008", &whole, other).unwrap_err();
            assert!(failure.message.contains("shot.0008 is ") && failure.message.contains("65x48"));
        }
    }

    #[test]
    fn a_picture_that_is_too_large_is_refused_by_its_header() {
        let mut header = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        header.extend(60_000_u32.to_be_bytes());
        header.extend(60_000_u32.to_be_bytes());
        header.extend([8, 2, 0, 0, 0]);
        // The checksum of these bytes.
        let mut crc = u32::MAX;
        for byte in &header[12..] {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        header.extend((!crc).to_be_bytes());
        header.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
        let failure = Kind::of("huge.png", &header).unwrap_err();
        assert!(failure.message.contains("huge.png is too large"), "{failure:?}");
    }
}
