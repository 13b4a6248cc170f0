//! From a decoded frame to a picture: deinterlaced, upright, with square pixels, in red, green and blue.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as video;
use rushes_shared::failure::Failure;
use rushes_shared::media::VideoFacts;

use crate::canvas::Canvas;
use crate::reader::unusable;
use crate::start::element;
use crate::{colour, encode, once};

/// The size of a film's pictures with square pixels, fitted into limits; never enlarged but for the pixels' own aspect.
pub(super) fn fitted(film: &VideoFacts, max_width: Option<u32>, max_height: Option<u32>) -> (u32, u32) {
    let (mut width, mut height) = film.shown_size();
    if let Some(sar) = film.sar.filter(|sar| sar.num > 0 && sar.den > 0) {
        let (num, den) = if film.orientation.swaps_sides() { (sar.den, sar.num) } else { (sar.num, sar.den) };
        // The side that is too short grows, so that nothing is lost.
        if num > den {
            width = scaled(width, num, den);
        } else {
            height = scaled(height, den, num);
        }
    }
    let (width, height) = (width.max(1), height.max(1));
    let limit = (max_width.unwrap_or(width).min(width), max_height.unwrap_or(height).min(height));
    if u64::from(width) * u64::from(limit.1) > u64::from(height) * u64::from(limit.0) {
        (limit.0.max(1), scaled(height, limit.0, width).max(1))
    } else {
        (scaled(width, limit.1, height).max(1), limit.1.max(1))
    }
}

fn scaled(side: u32, num: u32, den: u32) -> u32 {
    let (side, num, den) = (u64::from(side), u64::from(num), u64::from(den.max(1)));
    u32::try_from((side * num + den / 2) / den).unwrap_or(u32::MAX)
}

/// Draws a frame in a size.
pub(super) fn render(frame: &gst::Sample, film: &VideoFacts, size: (u32, u32)) -> Result<Canvas, Failure> {
    let (Some(buffer), Some(caps)) = (frame.buffer_owned(), frame.caps_owned()) else {
        return Err(unusable("a frame without data or format"));
    };
    let deinterlace = element("deinterlace")?;
    deinterlace.set_property_from_str("mode", "auto");
    deinterlace.set_property_from_str("fields", "top");
    // The only method that needs no other frame.
    deinterlace.set_property_from_str("method", "linear");
    let flip = element("videoflip")?;
    flip.set_property_from_str("video-direction", encode::picture::direction(film.orientation));
    let convert = element("videoconvertscale")?;
    convert.set_property_from_str("method", "lanczos");
    convert.set_property("add-borders", false);
    let filter = element("capsfilter")?;
    let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
    let wanted = gst::Caps::builder("video/x-raw")
        .field("format", "RGB")
        .field("width", side(size.0))
        .field("height", side(size.1))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1));
    filter.set_property("caps", wanted.build());
    let elements = vec![deinterlace, flip, convert, filter];
    let drawn = once::through(&described(&caps, film)?, buffer, elements, "a picture of a frame")?;
    let (Some(bytes), Some(caps)) = (drawn.buffer(), drawn.caps()) else {
        return Err(unusable("a picture without data"));
    };
    let info = video::VideoInfo::from_caps(caps).map_err(|_| unusable("a picture of an unknown format"))?;
    let stride = usize::try_from(info.stride()[0]).unwrap_or(0);
    let bytes = bytes.map_readable().map_err(|_| unusable("a picture that cannot be read"))?;
    Canvas::from_rows(info.width(), info.height(), stride, &bytes).ok_or_else(|| unusable("half a picture"))
}

/// The decoder's caps with the colours that the film says it has, and without what does not concern one frame.
fn described(caps: &gst::Caps, film: &VideoFacts) -> Result<gst::Caps, Failure> {
    let info = video::VideoInfo::from_caps(caps).map_err(|_| unusable("frames of an unknown format"))?;
    let mut caps = caps.clone();
    let fields = caps.make_mut().structure_mut(0).expect("fixed caps have one structure");
    fields.set("framerate", gst::Fraction::new(0, 1));
    fields.set("pixel-aspect-ratio", gst::Fraction::new(1, 1));
    if info.format_info().is_yuv()
        && let Some(colour) = colour::to_caps(&film.colour)
    {
        fields.set("colorimetry", colour);
    }
    Ok(caps)
}

#[cfg(test)]
mod tests {
    use rushes_shared::media::Orientation;
    use rushes_shared::units::Ratio;

    use super::*;

    #[test]
    fn pixels_become_square_and_sides_fit() {
        let mut film =
            VideoFacts { width: 720, height: 576, sar: Ratio::new(64, 45), ..VideoFacts::default() };
        assert_eq!(fitted(&film, None, None), (1024, 576));
        assert_eq!(fitted(&film, Some(512), None), (512, 288));
        film.orientation = Orientation { clockwise_degrees: 90, mirrored: false };
        assert_eq!(fitted(&film, None, Some(512)), (288, 512));
        let film = VideoFacts { width: 4000, height: 2, ..VideoFacts::default() };
        assert_eq!(fitted(&film, Some(100), None), (100, 1));
        assert_eq!(fitted(&film, Some(9000), Some(9000)), (4000, 2));
    }
}
