//! Planar 4:2:0 pictures of 8 bits to another size, by Lanczos over three lobes (a windowed sinc, as wide as the step from
//! sample to sample of the smaller picture), with the processor's vector instructions.
//!
//! The planes are scaled each on its own, centre on centre, as GStreamer's and ffmpeg's scalers do by default. Other formats
//! are left to GStreamer's converter, which takes some three times as long.

use std::f64::consts::PI;
use std::sync::LazyLock;

use fast_image_resize::images::{TypedCroppedImageMut, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{Filter, FilterType, ResizeAlg, ResizeOptions, Resizer};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as video;
use gstreamer_video::prelude::*;
use rushes_shared::failure::Failure;

use crate::reader::unusable;

/// Scales frames of one format and size to another size.
pub(crate) struct Scaler {
    resizer: Resizer,
    from: video::VideoInfo,
    to: video::VideoInfo,
    pool: video::VideoBufferPool,
}

impl Scaler {
    /// For progressive frames of `caps`, in their place frames of `size`. `None` for what it does not scale.
    pub(crate) fn of(caps: &gst::Caps, size: (u32, u32)) -> Option<Self> {
        let from = video::VideoInfo::from_caps(caps).ok()?;
        let is_progressive = from.interlace_mode() == video::VideoInterlaceMode::Progressive;
        if from.format() != video::VideoFormat::I420 || !is_progressive || size.0 < 2 || size.1 < 2 {
            return None;
        }
        let to = video::VideoInfo::builder(from.format(), size.0, size.1).build().ok()?;
        let pool = video::VideoBufferPool::new();
        let mut config = pool.config();
        config.set_params(to.to_caps().ok().as_ref(), u32::try_from(to.size()).ok()?, 0, 0);
        pool.set_config(config).ok()?;
        pool.set_active(true).ok()?;
        Some(Self { resizer: Resizer::new(), from, to, pool })
    }

    /// A frame in the other size, with its times and flags.
    pub(crate) fn scale(&mut self, frame: &gst::BufferRef) -> Result<gst::Buffer, Failure> {
        let broken = || unusable("a frame that is no picture of its size");
        let source =
            video::VideoFrameRef::from_buffer_ref_readable(frame, &self.from).map_err(|_| broken())?;
        let mut scaled = self.pool.acquire_buffer(None).map_err(|_| broken())?;
        {
            let target = scaled.get_mut().expect("a new buffer is nobody else's");
            let kept = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS;
            frame.copy_into(target, kept, ..).map_err(|_| broken())?;
            let mut target =
                video::VideoFrameRef::from_buffer_ref_writable(target, &self.to).map_err(|_| broken())?;
            for plane in 0..source.n_planes() {
                scale_plane(&mut self.resizer, &source, &mut target, plane).ok_or_else(broken)?;
            }
        }
        Ok(scaled)
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        // Frames that are on their way keep the memory that they have.
        let _stopped = self.pool.set_active(false);
    }
}

/// The filter's lobes on each side.
const LOBES: f64 = 3.0;
/// Values of the filter that are kept for each sample's width. Between two it is straight, which is off by less than a
/// hundredth of the smallest weight that the resizer knows.
const STEPS: f64 = 4096.0;

/// The Lanczos filter, looked up: the resizer asks for the weights of every column and row anew for each picture, and two sines
/// for each weight cost a twentieth of the scaling.
fn lanczos(x: f64) -> f64 {
    static VALUES: LazyLock<Vec<f64>> = LazyLock::new(|| {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
        let value = |x: f64| if x < LOBES { sinc(x) * sinc(x / LOBES) } else { 0.0 };
        (0..=12_289_u32).map(|step| value(f64::from(step) / STEPS)).collect()
    });
    let place = x.abs() * STEPS;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is far away has no value"
    )]
    let step = place as usize;
    match VALUES.get(step..=step.saturating_add(1)) {
        Some(&[here, next]) => (next - here).mul_add(place.fract(), here),
        _ => 0.0,
    }
}

/// `None` where a plane has not the bytes that its size asks for.
fn scale_plane(
    resizer: &mut Resizer,
    source: &video::VideoFrameRef<&gst::BufferRef>,
    target: &mut video::VideoFrameRef<&mut gst::BufferRef>,
    plane: u32,
) -> Option<()> {
    let at = usize::try_from(plane).ok()?;
    let (width, height) = (source.comp_width(plane), source.comp_height(plane));
    let stride = u32::try_from(*source.plane_stride().get(at)?).ok()?;
    let from = TypedImageRef::<U8>::from_buffer(
        stride,
        height,
        rows(source.plane_data(plane).ok()?, stride, height)?,
    )
    .ok()?;
    let (to_width, to_height) = (target.comp_width(plane), target.comp_height(plane));
    let to_stride = u32::try_from(*target.plane_stride().get(at)?).ok()?;
    let data = target.plane_data_mut(plane).ok()?;
    let length = usize::try_from(u64::from(to_stride) * u64::from(to_height)).ok()?;
    let mut to = TypedImage::<U8>::from_buffer(to_stride, to_height, data.get_mut(..length)?).ok()?;
    let mut to = TypedCroppedImageMut::from_ref(&mut to, 0, 0, to_width, to_height).ok()?;
    // A row's padding is no part of the picture.
    let filter = FilterType::Custom(Filter::new("Lanczos3", lanczos, LOBES).ok()?);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).crop(
        0.0,
        0.0,
        f64::from(width),
        f64::from(height),
    );
    resizer.resize_typed(&from, &mut to, &options).ok()
}

/// The bytes of so many rows.
fn rows(data: &[u8], stride: u32, height: u32) -> Option<&[u8]> {
    data.get(..usize::try_from(u64::from(stride) * u64::from(height)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(width: i32, height: i32) -> gst::Caps {
        crate::init().expect("GStreamer starts");
        let caps = gst::Caps::builder("video/x-raw").field("format", "I420");
        caps.field("width", width)
            .field("height", height)
            .field("framerate", gst::Fraction::new(25, 1))
            .build()
    }

    /// A frame whose samples are what a function says of their plane and place.
    fn frame(caps: &gst::Caps, of: impl Fn(u32, usize, usize) -> u8) -> gst::Buffer {
        let info = video::VideoInfo::from_caps(caps).expect("fixed caps");
        let mut buffer = gst::Buffer::with_size(info.size()).expect("memory");
        let target = buffer.get_mut().expect("ours alone");
        target.set_pts(gst::ClockTime::from_mseconds(40));
        let mut frame = video::VideoFrameRef::from_buffer_ref_writable(target, &info).expect("mapped");
        for plane in 0..3 {
            let stride = usize::try_from(info.stride()[plane as usize]).expect("positive");
            for (at, sample) in frame.plane_data_mut(plane).expect("a plane").iter_mut().enumerate() {
                *sample = of(plane, at % stride, at / stride);
            }
        }
        drop(frame);
        buffer
    }

    fn samples(buffer: &gst::BufferRef, info: &video::VideoInfo, plane: u32) -> Vec<Vec<u8>> {
        let frame = video::VideoFrameRef::from_buffer_ref_readable(buffer, info).expect("mapped");
        let (width, height) = (frame.comp_width(plane) as usize, frame.comp_height(plane) as usize);
        let stride = usize::try_from(frame.plane_stride()[plane as usize]).expect("positive");
        let data = frame.plane_data(plane).expect("a plane");
        (0..height).map(|row| data[row * stride..row * stride + width].to_vec()).collect()
    }

    #[test]
    fn a_slope_stays_a_slope_and_nothing_of_a_rows_padding_comes_into_the_picture() {
        // 426 is padded to 428 bytes a row; what lies there is white.
        let caps = caps(426, 240);
        let picture =
            frame(
                &caps,
                |plane, x, _| {
                    if plane == 0 && x >= 426 { 255 } else { u8::try_from(x / 4 + 16).expect("small") }
                },
            );
        let mut scaler = Scaler::of(&caps, (214, 120)).expect("a format that it knows");
        let scaled = scaler.scale(&picture).expect("scaled");
        assert_eq!(scaled.pts(), Some(gst::ClockTime::from_mseconds(40)));
        for (plane, factor) in [(0, 426.0 / 214.0), (1, 213.0 / 107.0)] {
            for row in samples(&scaled, &scaler.to, plane) {
                // At the edges a slope ends.
                for (x, sample) in row.iter().enumerate().skip(3).take(row.len() - 6) {
                    // The middle of a sample lies over the middle of as many of the source's.
                    let wanted = ((x as f64 + 0.5) * factor - 0.5) / 4.0 + 16.0;
                    assert!(
                        (f64::from(*sample) - wanted).abs() <= 1.5,
                        "{plane} {x}: {sample}, not {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_filter_is_the_windowed_sinc() {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
        for step in 0..40_000 {
            let x = f64::from(step) / 5_003.0 - 4.0;
            let exact = if x.abs() < LOBES { sinc(x) * sinc(x / LOBES) } else { 0.0 };
            assert!((lanczos(x) - exact).abs() < 1e-6, "{x}");
        }
        assert_eq!((lanczos(0.0), lanczos(3.0), lanczos(f64::INFINITY)), (1.0, 0.0, 0.0));
    }

    #[test]
    fn what_is_alike_on_both_sides_stays_so() {
        let caps = caps(640, 360);
        let picture = frame(&caps, |_, x, y| if (x / 40 + y / 40) % 2 == 0 { 235 } else { 16 });
        let mut scaler = Scaler::of(&caps, (320, 180)).expect("a format that it knows");
        let scaled = scaler.scale(&picture).expect("scaled");
        for row in samples(&scaled, &scaler.to, 0) {
            let turned: Vec<u8> = row.iter().rev().map(|sample| 251 - sample.min(&251)).collect();
            let worst = row.iter().zip(&turned).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(20), "{row:?}");
        }
    }

    #[test]
    fn what_it_does_not_scale_is_left_to_others() {
        let other = |format| {
            let caps = gst::Caps::builder("video/x-raw").field("format", format);
            caps.field("width", 64).field("height", 64).field("framerate", gst::Fraction::new(25, 1)).build()
        };
        crate::init().expect("GStreamer starts");
        for format in ["I420_10LE", "NV12", "Y42B", "RGB"] {
            assert!(Scaler::of(&other(format), (32, 32)).is_none(), "{format}");
        }
        let fields = other("I420");
        let mut fields = fields.copy();
        fields.make_mut().set("interlace-mode", "interleaved");
        assert!(Scaler::of(&fields, (32, 32)).is_none());
    }
}
