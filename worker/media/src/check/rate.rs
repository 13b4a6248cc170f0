//! The most bits a second of a stream of packets over a window.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::pace;

/// Counts the packets of a window that ends with the last one.
#[derive(Debug, Default)]
pub(super) struct Rate {
    window_ns: u64,
    /// When each packet is decoded, and its bytes.
    packets: VecDeque<(u64, u64)>,
    bytes: u64,
    most_bytes: u64,
    /// Where the window with the most bytes begins.
    at_ns: u64,
}

impl Rate {
    /// Over windows of this length.
    pub(super) fn over(window_ns: u64) -> Self {
        Self { window_ns, ..Self::default() }
    }

    fn packet(&mut self, at_ns: u64, bytes: u64) {
        let at_ns = self.packets.back().map_or(at_ns, |(last, _)| at_ns.max(*last));
        self.packets.push_back((at_ns, bytes));
        self.bytes += bytes;
        while let Some((first, bytes)) =
            self.packets.front().copied().filter(|(first, _)| at_ns - first >= self.window_ns)
        {
            debug_assert!(first <= at_ns, "times are in order");
            self.bytes -= bytes;
            self.packets.pop_front();
        }
        if self.bytes > self.most_bytes {
            self.most_bytes = self.bytes;
            self.at_ns = self.packets.front().map_or(at_ns, |(first, _)| *first);
        }
    }

    /// The most bits a second, and where that window begins. What is shorter than the window counts as if it were as long.
    pub(super) fn most(&self) -> (u64, u64) {
        (pace::scaled(self.most_bytes.saturating_mul(8), 1_000_000_000, self.window_ns), self.at_ns)
    }
}

/// Counts what passes a pad.
pub(super) fn watch(pad: &gst::Pad, rate: &Arc<Mutex<Rate>>) {
    let rate = Arc::clone(rate);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(packet) = info.buffer() {
            let at = packet.dts().or(packet.pts()).map_or(0, gst::ClockTime::nseconds);
            let bytes = u64::try_from(packet.size()).unwrap_or(u64::MAX);
            rate.lock().unwrap_or_else(PoisonError::into_inner).packet(at, bytes);
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_is_where_the_bits_are_and_a_time_that_goes_back_counts_as_the_last() {
        let mut rate = Rate::over(1_000_000_000);
        for n in 0..100 {
            rate.packet(n * 40_000_000, if (50..75).contains(&n) { 500 } else { 100 });
        }
        assert_eq!(rate.most(), (100_000, 2_000_000_000));
        rate.packet(0, 100_000);
        assert_eq!(rate.most().0, (25 * 100 + 100_000) * 8);
        assert_eq!(Rate::over(1_000).most(), (0, 0));
    }
}
