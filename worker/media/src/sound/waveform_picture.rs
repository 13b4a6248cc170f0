//! A waveform as a picture: a column for each point, from its lowest to its highest sample; channels below each other.

use rushes_shared::failure::Failure;
use rushes_shared::measure::Waveform;

use crate::canvas::{Canvas, PictureFormat};

const BACKGROUND: [u8; 3] = [0xff, 0xff, 0xff];
const AXIS: [u8; 3] = [0xcc, 0xd3, 0xdb];
const WAVE: [u8; 3] = [0x2f, 0x6f, 0xb3];

/// Draws a waveform as a PNG of `width` and `height` pixels. Points beyond the width are cut off; where there are
/// fewer, the rest stays empty.
///
/// # Errors
/// [`SettingsImpossible`](rushes_shared::failure::FailureCode::SettingsImpossible) for a size that is no picture's.
pub fn waveform_picture(waveform: &Waveform, size: (u32, u32)) -> Result<Vec<u8>, Failure> {
    let mut canvas = Canvas::new(size.0, size.1, BACKGROUND)?;
    let channels = u32::from(waveform.channels.max(1));
    // Full scale; a value of 8 bits is that much coarser.
    let scale = 1i64 << (waveform.bits - 1);
    for channel in 0..channels {
        let (top, below) = (size.1 * channel / channels, size.1 * (channel + 1) / channels);
        let room = i64::from((below - top).max(1));
        let row = |value: i16| {
            let from_top = (scale - i64::from(value)) * room / (2 * scale);
            top + u32::try_from(from_top.clamp(0, room - 1)).unwrap_or(0)
        };
        canvas.fill((0, row(0)), (size.0, 1), AXIS);
        let points = waveform.data.chunks_exact(2).skip(channel as usize).step_by(channels as usize);
        for (column, point) in (0..size.0).zip(points) {
            let (high, low) = (row(point[1]), row(point[0]));
            canvas.fill((column, high), (1, low - high + 1), WAVE);
        }
    }
    canvas.encode(PictureFormat::Png)
}
