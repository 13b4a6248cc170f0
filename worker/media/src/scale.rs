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
use gstreamer_video as video;
use gstreamer_video::prelude::*;
use rushes_shared::failure::Failure;

use crate::lent::Frames;
use crate::reader::unusable;

/// Scales frames of one format and size to another size.
pub(crate) struct Scaler {
    resizer: Resizer,
    from: video::VideoInfo,
    to: video::VideoInfo,
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
        Some(Self { resizer: Resizer::new(), from, to })
    }

    /// A frame in the other size, with its times and flags, made among `frames`.
    pub(crate) fn scale(
        &mut self,
        frame: &gst::BufferRef,
        frames: &mut Frames,
    ) -> Result<gst::Buffer, Failure> {
        let mut scaled = frames.make(&self.to).ok_or_else(broken)?;
        self.scale_into(frame, scaled.get_mut().ok_or_else(broken)?)?;
        Ok(scaled)
    }

    /// The same into a frame of the other size.
    pub(crate) fn scale_into(
        &mut self,
        frame: &gst::BufferRef,
        target: &mut gst::BufferRef,
    ) -> Result<(), Failure> {
        let source =
            video::VideoFrameRef::from_buffer_ref_readable(frame, &self.from).map_err(|_| broken())?;
        frame.copy_into(target, KEPT, ..).map_err(|_| broken())?;
        let mut target =
            video::VideoFrameRef::from_buffer_ref_writable(target, &self.to).map_err(|_| broken())?;
        for plane in 0..source.n_planes() {
            scale_plane(&mut self.resizer, &source, &mut target, plane).ok_or_else(broken)?;
        }
        Ok(())
    }
}

/// What of a frame another one of the same picture has.
const KEPT: gst::BufferCopyFlags = gst::BufferCopyFlags::FLAGS.union(gst::BufferCopyFlags::TIMESTAMPS);

fn broken() -> Failure {
    unusable("a frame that is no picture of its size")
}

/// A copy of a frame of `info`, with its times, flags and captions, made among `frames`.
pub(crate) fn copied(
    frame: &gst::BufferRef,
    info: &video::VideoInfo,
    frames: &mut Frames,
) -> Result<gst::Buffer, Failure> {
    let mut copy = frames.make(info).ok_or_else(broken)?;
    let target = copy.get_mut().ok_or_else(broken)?;
    frame.copy_into(target, KEPT, ..).map_err(|_| broken())?;
    for captions in frame.iter_meta::<video::VideoCaptionMeta>() {
        video::VideoCaptionMeta::add(target, captions.caption_type(), captions.data());
    }
    let source = video::VideoFrameRef::from_buffer_ref_readable(frame, info).map_err(|_| broken())?;
    let mut target = video::VideoFrameRef::from_buffer_ref_writable(target, info).map_err(|_| broken())?;
    source.copy(&mut target).map_err(|_| broken())?;
    drop(target);
    Ok(copy)
}

/// A size on the way from the film's to smaller ones: what is much smaller is scaled from there, which is less to read.
pub(crate) struct Halfway {
    size: (u32, u32),
    /// The film's format, what scales it, and the format that comes out; no scaler where it is not scaled here.
    from: Option<(gst::Caps, Option<(Scaler, gst::Caps)>)>,
    /// The last frame, and when it is shown.
    made: Option<(Option<gst::ClockTime>, gst::Buffer)>,
}

impl Halfway {
    /// Of this size.
    pub(crate) fn new(size: (u32, u32)) -> Self {
        Self { size, from: None, made: None }
    }

    /// The frame in this size, and its format; the frame as it is where that cannot be had.
    pub(crate) fn scaled(
        &mut self,
        caps: &gst::CapsRef,
        frame: gst::Buffer,
    ) -> Result<(gst::Caps, gst::Buffer), Failure> {
        if self.from.as_ref().is_none_or(|(from, _)| &**from != caps) {
            let scaler = Scaler::of(&caps.to_owned(), self.size);
            self.from = Some((caps.to_owned(), scaler.map(|scaler| (scaler, resized(caps, self.size)))));
            self.made = None;
        }
        let Some((_, Some((scaler, scaled)))) = &mut self.from else { return Ok((caps.to_owned(), frame)) };
        if let Some((at, made)) = &self.made
            && *at == frame.pts()
        {
            return Ok((scaled.clone(), made.clone()));
        }
        // Those who had the last one have scaled it further, and are done with it.
        let last = self.made.take().map(|(_, made)| made).filter(|made| made.is_writable());
        let mut made = last.unwrap_or_else(|| gst::Buffer::from_mut_slice(vec![0; scaler.to.size()]));
        scaler.scale_into(&frame, made.get_mut().ok_or_else(broken)?)?;
        self.made = Some((frame.pts(), made.clone()));
        Ok((scaled.clone(), made))
    }
}

/// The format of frames of another size.
pub(crate) fn resized(caps: &gst::CapsRef, (width, height): (u32, u32)) -> gst::Caps {
    let mut caps = caps.to_owned();
    if let Some(fields) = caps.make_mut().structure_mut(0) {
        fields.set("width", i32::try_from(width).unwrap_or(i32::MAX));
        fields.set("height", i32::try_from(height).unwrap_or(i32::MAX));
    }
    caps
}

/// What an even width may be off by, three times.
const ROUNDING: u64 = 3;

/// Through which of `sizes` each of them is reached: itself where others are, none where the way is straight. Only what is
/// scaled down to two thirds or less goes through another, so that nothing that it shows is lost on the way.
pub(crate) fn ways(film: (u32, u32), sizes: &[(u32, u32)]) -> Vec<Option<(u32, u32)>> {
    let is_far = |from: (u32, u32), to: (u32, u32)| {
        let is_so = |from: u32, to: u32| u64::from(from) * 2 + ROUNDING >= u64::from(to) * 3;
        is_so(from.0, to.0) && is_so(from.1, to.1)
    };
    let straight =
        |size: &(u32, u32)| !sizes.iter().any(|other| is_far(film, *other) && is_far(*other, *size));
    // From the film's own size there is nothing to gain.
    let through = |size: &(u32, u32)| {
        let between =
            sizes.iter().filter(|other| straight(other) && is_far(film, **other) && is_far(**other, *size));
        between.copied().min()
    };
    let ways: Vec<_> = sizes.iter().map(through).collect();
    let itself = |size: &(u32, u32)| ways.contains(&Some(*size)).then_some(*size);
    sizes.iter().zip(&ways).map(|(size, way)| way.or_else(|| itself(size))).collect()
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
        let scaled = scaler.scale(&picture, &mut Frames::Kept(None)).expect("scaled");
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
        let scaled = scaler.scale(&picture, &mut Frames::Kept(None)).expect("scaled");
        for row in samples(&scaled, &scaler.to, 0) {
            let turned: Vec<u8> = row.iter().rev().map(|sample| 251 - sample.min(&251)).collect();
            let worst = row.iter().zip(&turned).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(20), "{row:?}");
        }
    }

    #[test]
    fn small_sizes_are_reached_through_one_between() {
        let sizes = [(3840, 2160), (1920, 1080), (1280, 720), (854, 480), (640, 360)];
        let full = Some((1920, 1080));
        assert_eq!(ways(sizes[0], &sizes[1..]), [full, full, full, full]);
        let hd = Some((1280, 720));
        assert_eq!(ways(sizes[1], &sizes[2..]), [hd, hd, hd]);
        assert_eq!(ways(sizes[2], &sizes[3..]), [None, None], "480 and 360 are too near each other");
        assert_eq!(ways(sizes[1], &sizes[2..3]), [None], "nobody else would go there");
        let upright = [(1080, 1920), (720, 1280), (360, 640)];
        assert_eq!(ways(upright[0], &upright[1..]), [Some((720, 1280)); 2]);
    }

    #[test]
    fn what_goes_through_another_size_looks_as_if_it_had_not() {
        let caps = caps(960, 540);
        let wave =
            |x: usize, y: usize| 126.0 + 60.0 * ((x as f64 / 37.0).sin() + (y as f64 / 23.0).cos()) / 2.0;
        let picture = frame(&caps, |_, x, y| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "66 to 186")]
            let sample = wave(x, y).round() as u8;
            sample
        });
        let mut scaler = Scaler::of(&caps, (320, 180)).expect("a format that it knows");
        let straight = scaler.scale(&picture, &mut Frames::Kept(None)).expect("scaled");
        let mut halfway = Halfway::new((480, 270));
        let (between, first) = halfway.scaled(&caps, picture.clone()).expect("scaled");
        let (_, again) = halfway.scaled(&caps, picture).expect("scaled");
        let address = |frame: &gst::Buffer| frame.map_readable().expect("mapped").as_ptr();
        assert_eq!(address(&first), address(&again), "once for all");
        let mut further = Scaler::of(&between, (320, 180)).expect("a format that it knows");
        let through = further.scale(&first, &mut Frames::Kept(None)).expect("scaled");
        assert_eq!(through.pts(), straight.pts());
        for plane in 0..3 {
            let rows = samples(&straight, &scaler.to, plane);
            for (a, b) in rows.iter().zip(samples(&through, &scaler.to, plane)) {
                let worst = a.iter().zip(&b).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(worst <= Some(2), "{worst:?}");
            }
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
