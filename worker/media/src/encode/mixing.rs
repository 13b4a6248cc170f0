//! Fewer channels from many, by the coefficients of ITU-R BS.775-3, annex 4: centre and surrounds at 0.7071 into the
//! front, no low-frequency channel, and all of it brought down so that no sum passes full scale.

use std::f32::consts::FRAC_1_SQRT_2;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_audio::{AudioChannelPosition as Position, AudioInfo};

/// How each of `channels` outputs, one or two, is mixed of inputs that stand at `from`; `None` where GStreamer's own way
/// is as good: for two inputs or fewer, for more than two outputs, for positions that are not known.
pub(super) fn matrix(from: &[Position], channels: u32) -> Option<Vec<Vec<f32>>> {
    if from.len() <= 2 || channels > 2 || from.iter().any(|position| share(*position).is_none()) {
        return None;
    }
    let pairs: Vec<(f32, f32)> = from.iter().filter_map(|position| share(*position)).collect();
    let mut rows: Vec<Vec<f32>> = if channels == 2 {
        vec![pairs.iter().map(|pair| pair.0).collect(), pairs.iter().map(|pair| pair.1).collect()]
    } else {
        vec![pairs.iter().map(|pair| (pair.0 + pair.1) / 2.0).collect()]
    };
    let largest = rows.iter().map(|row| row.iter().sum::<f32>()).fold(1.0, f32::max);
    rows.iter_mut().flatten().for_each(|share| *share /= largest);
    Some(rows)
}

/// The same for one or two inputs as well.
fn whole_matrix(from: &[Position], channels: u32) -> Option<Vec<Vec<f32>>> {
    matrix(from, channels).or_else(|| match (from.len(), channels) {
        (1, 1 | 2) => Some(vec![vec![1.0]; usize::try_from(channels).unwrap_or(1)]),
        (2, 1) => Some(vec![vec![0.5, 0.5]]),
        (2, 2) => Some(vec![vec![1.0, 0.0], vec![0.0, 1.0]]),
        _ => None,
    })
}

/// Has a converter mix as many channels as come into so many, also where a broadcast changes between surround sound and stereo.
pub(crate) fn follow(convert: &gst::Element, channels: u32) {
    let into = convert.downgrade();
    let is_set = AtomicBool::new(false);
    let pad = convert.static_pad("sink").expect("a converter has a sink pad");
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view())
            && let Ok(shape) = AudioInfo::from_caps(&caps.caps_owned())
            && let Some(convert) = into.upgrade()
        {
            let from = shape.positions().unwrap_or_default();
            // A matrix cannot be taken back, but for another one.
            let rows =
                if is_set.load(Relaxed) { whole_matrix(from, channels) } else { matrix(from, channels) };
            if let Some(rows) = rows {
                convert.set_property("mix-matrix", property(&rows));
                is_set.store(true, Relaxed);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// What of a channel goes to the left and to the right.
fn share(position: Position) -> Option<(f32, f32)> {
    Some(match position {
        Position::FrontLeft => (1.0, 0.0),
        Position::FrontRight => (0.0, 1.0),
        Position::FrontCenter => (FRAC_1_SQRT_2, FRAC_1_SQRT_2),
        Position::Lfe1 | Position::Lfe2 => (0.0, 0.0),
        Position::RearLeft | Position::SideLeft | Position::FrontLeftOfCenter => (FRAC_1_SQRT_2, 0.0),
        Position::RearRight | Position::SideRight | Position::FrontRightOfCenter => (0.0, FRAC_1_SQRT_2),
        Position::RearCenter => (0.5, 0.5),
        _ => return None,
    })
}

/// The matrix as `audioconvert` takes it.
pub(super) fn property(rows: &[Vec<f32>]) -> gst::Array {
    gst::Array::new(rows.iter().map(|row| gst::Array::new(row.iter().copied())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_channels_and_a_low_one_become_two_that_cannot_clip() {
        use Position::{FrontCenter, FrontLeft, FrontRight, Lfe1, RearLeft, RearRight};
        let five_one = [FrontLeft, FrontRight, FrontCenter, Lfe1, RearLeft, RearRight];
        let rows = matrix(&five_one, 2).unwrap();
        let all = 1.0 + 2.0 * FRAC_1_SQRT_2;
        let expected = [1.0, 0.0, FRAC_1_SQRT_2, 0.0, FRAC_1_SQRT_2, 0.0].map(|share| share / all);
        assert!(rows[0].iter().zip(expected).all(|(is, wanted)| (is - wanted).abs() < 1e-6), "{rows:?}");
        assert!((rows[1].iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(matrix(&five_one, 1).unwrap().len(), 1);
        assert_eq!(matrix(&five_one, 6), None);
        assert_eq!(matrix(&[FrontLeft, FrontRight], 1), None);
    }
}
