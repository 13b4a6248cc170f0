//! The limiter on the way of sound to its encoder: samples that come to a pad give way to limited ones.
//!
//! Buffers come without a gap. What the limiter holds back at first comes out before the end, so that as many samples leave as
//! came, each at its time.

use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::sound::Samples;
use crate::pace;
use crate::sound::Limiter;

const BYTES_A_SAMPLE: usize = size_of::<f32>();

/// Limits what comes to a sink pad: interleaved floats of the machine's order, of the rate and the channels of `samples`.
pub(super) fn limit(pad: &gst::Pad, limiter: Limiter, samples: Samples) {
    let stage = Stage {
        limiter,
        channels: usize::from(samples.channels.max(1)),
        rate_hz: u64::from(samples.rate),
        began: None,
        given: 0,
        ended: false,
        heard: Vec::new(),
        limited: Vec::new(),
    };
    let stage = Arc::new(Mutex::new(stage));
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(mask, move |pad, info| {
        let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut info.data {
            // What was held back passes here as well.
            Some(gst::PadProbeData::Buffer(_)) if stage.ended => {}
            Some(gst::PadProbeData::Buffer(buffer)) => match stage.pass(buffer) {
                Some(limited) => *buffer = limited,
                None => return gst::PadProbeReturn::Drop,
            },
            Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::Eos => {
                let rest = stage.end();
                drop(stage);
                // The pad is not at its end until this event has passed. What is not taken then has been refused by an
                // element that told why.
                if rest.is_some_and(|rest| pad.chain(rest).is_err()) {
                    return gst::PadProbeReturn::Ok;
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

struct Stage {
    limiter: Limiter,
    channels: usize,
    rate_hz: u64,
    /// When the first sample is heard.
    began: Option<gst::ClockTime>,
    /// Moments that have left.
    given: u64,
    ended: bool,
    heard: Vec<f32>,
    limited: Vec<f32>,
}

impl Stage {
    fn pass(&mut self, buffer: &gst::Buffer) -> Option<gst::Buffer> {
        self.began = self.began.or(buffer.pts());
        self.heard.clear();
        if let Ok(bytes) = buffer.map_readable() {
            let samples = bytes.chunks_exact(BYTES_A_SAMPLE);
            self.heard.extend(samples.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        }
        self.limited.clear();
        self.limiter.push(&self.heard, &mut self.limited);
        self.ready()
    }

    fn end(&mut self) -> Option<gst::Buffer> {
        if self.ended {
            return None;
        }
        self.ended = true;
        self.limited.clear();
        self.limiter.finish(&mut self.limited);
        self.ready()
    }

    /// What came out, at its time.
    fn ready(&mut self) -> Option<gst::Buffer> {
        let moments = u64::try_from(self.limited.len() / self.channels).unwrap_or(0);
        let began = self.began.filter(|_| moments > 0)?;
        let after = |moments| {
            began + gst::ClockTime::from_nseconds(pace::scaled(moments, 1_000_000_000, self.rate_hz))
        };
        let (from, to) = (after(self.given), after(self.given + moments));
        self.given += moments;
        let bytes: Vec<u8> = self.limited.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let stamped = buffer.make_mut();
        stamped.set_pts(from);
        stamped.set_duration(to - from);
        Some(buffer)
    }
}
