//! From decoded pixels to the memory of a frame: transparency over black, light through its curve, 16 bits to 12.

use gstreamer as gst;
use gstreamer_video as video;
use image::{DynamicImage, Pixel};

use super::curve::{Curve, WHITE};

/// Pixels in the memory of a frame.
pub(super) fn drawn(image: &DynamicImage, layout: &video::VideoInfo) -> Option<gst::Buffer> {
    let mut bytes = vec![0; layout.size()];
    match image {
        DynamicImage::ImageLuma8(image) => rows(image, &mut bytes, layout, |[l]| [l, l, l])?,
        DynamicImage::ImageLumaA8(image) => {
            rows(image, &mut bytes, layout, |[l, a]| [over_black(l, a); 3])?;
        }
        DynamicImage::ImageRgb8(image) => rows(image, &mut bytes, layout, |rgb| rgb)?,
        DynamicImage::ImageRgba8(image) => {
            rows(image, &mut bytes, layout, |[r, g, b, a]| [r, g, b].map(|c| over_black(c, a)))?;
        }
        DynamicImage::ImageLuma16(image) => {
            planes(image, &mut bytes, layout, |[l]| [deep(l, u16::MAX); 3])?;
        }
        DynamicImage::ImageLumaA16(image) => planes(image, &mut bytes, layout, |[l, a]| [deep(l, a); 3])?,
        DynamicImage::ImageRgb16(image) => {
            planes(image, &mut bytes, layout, |rgb| rgb.map(|c| deep(c, u16::MAX)))?;
        }
        DynamicImage::ImageRgba16(image) => {
            planes(image, &mut bytes, layout, |[r, g, b, a]| [r, g, b].map(|c| deep(c, a)))?;
        }
        DynamicImage::ImageRgb32F(image) => {
            let curve = Curve::new();
            planes(image, &mut bytes, layout, |rgb| rgb.map(|c| curve.code(c)))?;
        }
        // Light of an EXR is multiplied by its coverage already, so it lies over black as it is.
        DynamicImage::ImageRgba32F(image) => {
            let curve = Curve::new();
            planes(image, &mut bytes, layout, |[r, g, b, _]: [f32; 4]| [r, g, b].map(|c| curve.code(c)))?;
        }
        _ => return None,
    }
    Some(gst::Buffer::from_mut_slice(bytes))
}

fn over_black(value: u8, alpha: u8) -> u8 {
    let product = u16::from(value) * u16::from(alpha) + 127;
    u8::try_from(product / 255).unwrap_or(u8::MAX)
}

/// A value of 16 bits over black, in 12 bits.
fn deep(value: u16, alpha: u16) -> u16 {
    const FULL: u64 = u16::MAX as u64;
    let scaled = u64::from(value) * u64::from(alpha) * u64::from(WHITE);
    u16::try_from((scaled + FULL * FULL / 2) / (FULL * FULL)).unwrap_or(WHITE)
}

type Raw<P> = image::ImageBuffer<P, Vec<<P as Pixel>::Subpixel>>;

/// Fills a picture of 8 bits, red, green and blue beside each other.
fn rows<P: Pixel, const N: usize>(
    image: &Raw<P>,
    bytes: &mut [u8],
    layout: &video::VideoInfo,
    pixel: impl Fn([P::Subpixel; N]) -> [u8; 3],
) -> Option<()> {
    let stride = usize::try_from(*layout.stride().first()?).ok()?;
    let width = usize::try_from(layout.width()).ok()?;
    if image.dimensions() != (layout.width(), layout.height()) {
        return None;
    }
    for (row, line) in image.as_raw().chunks_exact(width * N).zip(bytes.chunks_exact_mut(stride)) {
        for (from, to) in row.chunks_exact(N).zip(line.chunks_exact_mut(3)) {
            to.copy_from_slice(&pixel(from.try_into().ok()?));
        }
    }
    Some(())
}

/// Fills a picture of 12 bits: a plane each of green, blue and red.
fn planes<P: Pixel, const N: usize>(
    image: &Raw<P>,
    bytes: &mut [u8],
    layout: &video::VideoInfo,
    pixel: impl Fn([P::Subpixel; N]) -> [u16; 3],
) -> Option<()> {
    let width = usize::try_from(layout.width()).ok()?;
    if image.dimensions() != (layout.width(), layout.height()) {
        return None;
    }
    let (&[_, blue, red, ..], &[stride, blue_stride, red_stride, ..]) = (layout.offset(), layout.stride())
    else {
        return None;
    };
    let (green, rest) = bytes.split_at_mut_checked(blue)?;
    let (blue, red) = rest.split_at_mut_checked(red.checked_sub(blue)?)?;
    let step = |stride: i32| usize::try_from(stride).ok().filter(|stride| *stride > 0);
    let lines = green.chunks_exact_mut(step(stride)?).zip(blue.chunks_exact_mut(step(blue_stride)?));
    let lines = lines.zip(red.chunks_exact_mut(step(red_stride)?));
    for (row, ((green, blue), red)) in image.as_raw().chunks_exact(width * N).zip(lines) {
        let places = green.chunks_exact_mut(2).zip(blue.chunks_exact_mut(2)).zip(red.chunks_exact_mut(2));
        for (from, ((green, blue), red)) in row.chunks_exact(N).zip(places) {
            let [r, g, b] = pixel(from.try_into().ok()?);
            green.copy_from_slice(&g.to_le_bytes());
            blue.copy_from_slice(&b.to_le_bytes());
            red.copy_from_slice(&r.to_le_bytes());
        }
    }
    Some(())
}
