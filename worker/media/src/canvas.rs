//! A picture in memory, and its way into a file.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use rushes_shared::failure::{Failure, FailureCode};

use crate::note;
use crate::start::element;

/// The longest side of a picture, which JPEG sets, and the most pixels of one.
const SIDE_MAX: u32 = 65_500;
const PIXELS_MAX: u64 = 1 << 28;
/// Longest wait for an encoder of pictures.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// How a picture is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PictureFormat {
    /// Lossless.
    Png,
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
                format!("give sides of 1 to {SIDE_MAX} pixels, and at most 268 million pixels in all"),
            ));
        }
        Ok(Self { width, height, rgb: colour.repeat(usize::try_from(pixels).unwrap_or(0)) })
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
        let source = app::AppSrc::builder().caps(&caps).format(gst::Format::Time).build();
        let encoder = match format {
            PictureFormat::Png => element("pngenc")?,
        };
        let sink = app::AppSink::builder().sync(false).async_(false).build();
        let chain = [source.clone().upcast(), encoder, sink.clone().upcast()];
        let running = note::Running::new(gst::Pipeline::new());
        running.pipeline.add_many(&chain).expect("new elements can be added");
        gst::Element::link_many(&chain).map_err(|_| cannot_be_made())?;
        running.play()?;
        let mut buffer = gst::Buffer::from_slice(self.with_stride());
        buffer.get_mut().expect("it is new").set_pts(gst::ClockTime::ZERO);
        source.push_buffer(buffer).map_err(|_| cannot_be_made())?;
        source.end_of_stream().map_err(|_| cannot_be_made())?;
        let sample = sink.try_pull_sample(PATIENCE).ok_or_else(cannot_be_made)?;
        let made = sample.buffer().ok_or_else(cannot_be_made)?;
        let bytes = made.map_readable().map_err(|_| cannot_be_made())?;
        Ok(bytes.to_vec())
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

fn cannot_be_made() -> Failure {
    Failure::new(
        FailureCode::PipelineFailed,
        "the picture's encoder stopped",
        "try again, with a smaller picture where it is large",
    )
}
