//! Bringing the frames of two films together.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use gstreamer as gst;
use gstreamer_video as video;
use gstreamer_video::VideoFrameExt;
use rushes_shared::failure::Failure;
use rushes_shared::measure::Comparison;

use super::Shape;
use super::metric::{Likeness, Plane, likeness};
use super::totals::Totals;
use crate::fault;
use crate::reader::{Feed, shown_at, unusable};

/// Frames of one film that may wait for the other's.
const WAITING_FRAMES: usize = 4;

/// Which film.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Reference,
    Other,
}

/// Frames that wait, and what came of those that met.
pub(super) struct Pairs {
    shape: Shape,
    half_frame_ns: u64,
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Default)]
struct State {
    sides: [Queue; 2],
    totals: Totals,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    /// Time from the first frame on, and the frame.
    frames: VecDeque<(u64, gst::Sample)>,
    first: Option<u64>,
    ended: bool,
}

/// A film's end of it.
pub(super) struct Arriving {
    pub(super) pairs: Arc<Pairs>,
    pub(super) side: Side,
}

impl Feed for Arriving {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let buffer = sample.buffer().ok_or_else(|| unusable("a frame without data"))?;
        match shown_at(sample, buffer) {
            Some(at) => self.pairs.arrive(self.side, at, sample),
            None => Ok(()),
        }
    }

    fn end(&mut self) {
        self.pairs.end(self.side);
    }
}

impl Pairs {
    pub(super) fn new(shape: Shape, half_frame_ns: u64) -> Self {
        Self { shape, half_frame_ns, state: Mutex::default(), room: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frames compared and the last one's time.
    pub(super) fn reached(&self) -> (u64, u64) {
        let state = self.state();
        (state.totals.frames(), state.totals.last_ns())
    }

    /// Lets everybody go who waits.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.room.notify_all();
    }

    pub(super) fn result(&self) -> Result<Comparison, Failure> {
        let state = self.state();
        if state.totals.frames() == 0 {
            return Err(fault::damaged("the two films have no frame at the same time"));
        }
        Ok(state.totals.result(self.shape.width, self.shape.height, self.shape.bit_depth))
    }

    fn arrive(&self, side: Side, at: u64, sample: &gst::Sample) -> Result<(), Failure> {
        let mut state = self.state();
        let queue = &mut state.sides[side as usize];
        let from_first = at.saturating_sub(*queue.first.get_or_insert(at));
        queue.frames.push_back((from_first, sample.clone()));
        self.meet(&mut state)?;
        while state.sides[side as usize].frames.len() >= WAITING_FRAMES && !state.closed {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    fn end(&self, side: Side) {
        let mut state = self.state();
        state.sides[side as usize].ended = true;
        // No pair can come of it: only what waits for the side that ended is let go.
        drop(self.meet(&mut state));
    }

    /// Compares what has met, and lets go what cannot.
    fn meet(&self, state: &mut State) -> Result<(), Failure> {
        loop {
            let [reference, other] = &mut state.sides;
            let early = match (reference.frames.front(), other.frames.front()) {
                (Some((a, _)), Some((b, _))) if a.abs_diff(*b) <= self.half_frame_ns => None,
                (Some((a, _)), Some((b, _))) => Some(if a < b { Side::Reference } else { Side::Other }),
                (Some(_), None) if other.ended => Some(Side::Reference),
                (None, Some(_)) if reference.ended => Some(Side::Other),
                _ => break,
            };
            match early {
                Some(Side::Reference) => {
                    reference.frames.pop_front();
                    state.totals.missing += 1;
                }
                Some(Side::Other) => {
                    other.frames.pop_front();
                    state.totals.extra += 1;
                }
                None => {
                    let pair = (reference.frames.pop_front(), other.frames.pop_front());
                    let (Some((at, a)), Some((_, b))) = pair else { break };
                    let found = self.compared(&a, &b)?;
                    state.totals.add(at, &found, self.peak());
                }
            }
        }
        self.room.notify_all();
        Ok(())
    }

    fn peak(&self) -> u32 {
        (1 << self.shape.bit_depth) - 1
    }

    fn compared(&self, a: &gst::Sample, b: &gst::Sample) -> Result<[Likeness; 3], Failure> {
        let (a, b) = (Frame::of(a)?, Frame::of(b)?);
        let mut found = [Likeness::default(); 3];
        for (plane, found) in (0u32..).zip(&mut found) {
            let both = a.plane(plane, self.shape).zip(b.plane(plane, self.shape));
            *found = both
                .and_then(|(a, b)| likeness(&a, &b, self.peak()))
                .ok_or_else(|| unusable("a frame that is shorter than its size"))?;
        }
        Ok(found)
    }
}

/// A frame's bytes, readable.
struct Frame(video::VideoFrame<video::video_frame::Readable>);

impl Frame {
    fn of(sample: &gst::Sample) -> Result<Self, Failure> {
        let (Some(caps), Some(buffer)) = (sample.caps(), sample.buffer_owned()) else {
            return Err(unusable("a frame without data or format"));
        };
        let info = video::VideoInfo::from_caps(caps).map_err(|_| unusable("frames of an unknown format"))?;
        let frame = video::VideoFrame::from_buffer_readable(buffer, &info);
        frame.map(Self).map_err(|_| unusable("a frame that cannot be read"))
    }

    fn plane(&self, number: u32, shape: Shape) -> Option<Plane<'_>> {
        let halved = |side: u32| if number == 0 { side } else { side.div_ceil(2) };
        Some(Plane {
            data: self.0.plane_data(number).ok()?,
            stride: usize::try_from(*self.0.plane_stride().get(number as usize)?).ok()?,
            width: halved(shape.width) as usize,
            height: halved(shape.height) as usize,
            bytes: usize::from(shape.bit_depth.div_ceil(8)),
        })
    }
}
