//! A picture in memory, and its way into a file.

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::failure::{Failure, FailureCode};

use crate::once;
use crate::reader::unusable;
use crate::start::element;

/// The longest side of a picture, which JPEG sets, and the most pixels of one.
const SIDE_MAX: u32 = 65_500;
const PIXELS_MAX: u64 = 1 << 26;

/// How a picture is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PictureFormat {
    /// Lossless.
    Png,
    /// With a quality from 1 to 100.
    Jpeg(u8),
}

/// Decodes a picture's file, JPEG or PNG, and gives its name among codecs and its size in pixels.
pub(crate) fn decoded(bytes: Vec<u8>) -> Result<(&'static str, (u32, u32)), Failure> {
    let (kind, codec, decoder) = match bytes.starts_with(b"\x89PNG") {
        true => ("image/png", "png", element("pngdec")?),
        false => ("image/jpeg", "mjpeg", element("jpegdec")?),
    };
    let caps = gst::Caps::builder(kind).field("framerate", gst::Fraction::new(0, 1)).build();
    let sample =
        once::through(&caps, gst::Buffer::from_slice(bytes), vec![decoder], "a decode of the picture")?;
    let side = |name| {
        let side = sample.caps()?.structure(0)?.get::<i32>(name).ok()?;
        u32::try_from(side).ok()
    };
    side("width")
        .zip(side("height"))
        .map(|size| (codec, size))
        .ok_or_else(|| unusable("a picture without a size"))
}

/// Pixels in red, green and blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Canvas {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Canvas {
    /// A picture of one colour.
    pub(crate) fn new(width: u32, height: u32, colour: [u8; 3]) -> Result<Self, Failure> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 || width.max(height) > SIDE_MAX || pixels > PIXELS_MAX {
            return Err(Failure::new(
                FailureCode::SettingsImpossible,
                format!("a picture of {width}x{height} pixels cannot be made"),
                format!("give sides of 1 to {SIDE_MAX} pixels, and at most 67 million pixels in all"),
            ));
        }
        Ok(Self { width, height, rgb: colour.repeat(usize::try_from(pixels).unwrap_or(0)) })
    }

    /// A picture from rows of pixels, `stride` bytes apart.
    pub(crate) fn from_rows(width: u32, height: u32, stride: usize, bytes: &[u8]) -> Option<Self> {
        let row = usize::try_from(width).ok()? * 3;
        let mut rgb = Vec::with_capacity(row * usize::try_from(height).ok()?);
        for line in 0..usize::try_from(height).ok()? {
            rgb.extend_from_slice(bytes.get(line * stride..line * stride + row)?);
        }
        Some(Self { width, height, rgb })
    }

    /// Width and height in pixels.
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Every pixel, row by row.
    pub(crate) fn pixels(&self) -> &[u8] {
        &self.rgb
    }

    /// Fills a rectangle; what lies outside is left out.
    pub(crate) fn fill(&mut self, at: (u32, u32), size: (u32, u32), colour: [u8; 3]) {
        let right = at.0.saturating_add(size.0).min(self.width);
        for y in at.1..at.1.saturating_add(size.1).min(self.height) {
            for x in at.0..right {
                let place = self.place(x, y);
                self.rgb[place..place + 3].copy_from_slice(&colour);
            }
        }
    }

    /// Puts another picture onto this one; what lies outside is left out.
    pub(crate) fn paste(&mut self, at: (u32, u32), other: &Self) {
        let columns = other.width.min(self.width.saturating_sub(at.0));
        let bytes = columns as usize * 3;
        for y in 0..other.height.min(self.height.saturating_sub(at.1)) {
            let (from, to) = (other.place(0, y), self.place(at.0, at.1 + y));
            if bytes > 0 {
                self.rgb[to..to + bytes].copy_from_slice(&other.rgb[from..from + bytes]);
            }
        }
    }

    fn place(&self, x: u32, y: u32) -> usize {
        (y as usize * self.width as usize + x as usize) * 3
    }

    /// The picture as a file's bytes.
    pub(crate) fn encode(&self, format: PictureFormat) -> Result<Vec<u8>, Failure> {
        let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "RGB")
            .field("width", side(self.width))
            .field("height", side(self.height))
            .field("framerate", gst::Fraction::new(0, 1))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .field("colorimetry", "sRGB")
            .build();
        let encoder = match format {
            PictureFormat::Png => vec![element("pngenc")?],
            PictureFormat::Jpeg(quality) => {
                let encoder = element("jpegenc")?;
                encoder.set_property("quality", i32::from(quality.clamp(1, 100)));
                vec![element("videoconvert")?, jfif()?, encoder]
            }
        };
        let buffer = gst::Buffer::from_slice(self.with_stride());
        let sample = once::through(&caps, buffer, encoder, "the picture's file")?;
        let bytes = sample.buffer().and_then(|made| made.map_readable().ok());
        bytes.map(|bytes| bytes.to_vec()).ok_or_else(|| unusable("a picture without data"))
    }

    /// Rows as GStreamer has them: each begins at a multiple of four bytes.
    fn with_stride(&self) -> Vec<u8> {
        let row = self.width as usize * 3;
        let stride = row.next_multiple_of(4);
        if row == stride {
            return self.rgb.clone();
        }
        let mut rows = Vec::with_capacity(stride * self.height as usize);
        for line in self.rgb.chunks_exact(row) {
            rows.extend_from_slice(line);
            rows.resize(rows.len() + stride - row, 0);
        }
        rows
    }
}

/// What JFIF says of colours: YCbCr of BT.601 in the full range, here with a quarter of the chroma, as photographs have it. Given RGB, the
/// encoder would store that: twice the bytes.
fn jfif() -> Result<gst::Element, Failure> {
    let caps =
        gst::Caps::builder("video/x-raw").field("format", "I420").field("colorimetry", "1:4:7:1").build();
    let filter = element("capsfilter")?;
    filter.set_property("caps", &caps);
    Ok(filter)
}
