//! Bringing the frames of two films together.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use gstreamer as gst;
use gstreamer_video as video;
use gstreamer_video::VideoFrameExt;
use rushes_shared::failure::Failure;
use rushes_shared::measure::{CompareSettings, Comparison, VmafScores, VmafTally};

use super::metric::{Likeness, likeness};
use super::totals::Totals;
use super::{Shape, unlike};
use crate::fault;
use crate::plane::Plane;
use crate::reader::{Feed, shown_at, unusable};
use crate::vmaf::{Format, Judge, Judgement};

/// Frames of one film that may wait for the other's.
const WAITING_FRAMES: usize = 4;

/// Which film.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Reference,
    Other,
}

/// Frames that wait, and what came of those that met.
pub(crate) struct Pairs {
    shape: Shape,
    settings: CompareSettings,
    half_frame_ns: u64,
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Default)]
struct State {
    sides: [Queue; 2],
    totals: Totals,
    judge: Option<Judge>,
    /// Pairs that met, and the last one's time.
    paired: u64,
    last_ns: u64,
    /// Frames of one side alone, and the first one's time.
    alone: [u64; 2],
    first_alone_ns: Option<u64>,
    /// The reference's picture behind the last pair.
    next: Option<gst::Sample>,
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
pub(crate) struct Arriving {
    pub(crate) pairs: Arc<Pairs>,
    pub(crate) side: Side,
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

/// Closes pairs when it goes out of scope: films that are stopped must not wait for each other.
pub(crate) struct Closing(Arc<Pairs>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Pairs {
    pub(crate) fn new(shape: Shape, half_frame_ns: u64, settings: CompareSettings) -> Result<Self, Failure> {
        let Shape { width, height, bit_depth } = shape;
        let cores = || {
            std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
        };
        let threads = settings.threads.unwrap_or_else(cores);
        let wanted = settings.vmaf.map(|model| Judgement { model, every: settings.every, threads });
        let judge =
            wanted.map(|wanted| Judge::new(Format { width, height, bit_depth }, wanted)).transpose()?;
        let state = Mutex::new(State { judge: judge.flatten(), ..State::default() });
        Ok(Self { shape, settings, half_frame_ns, state, room: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pairs that met and the last one's time.
    pub(super) fn reached(&self) -> (u64, u64) {
        let state = self.state();
        (state.paired, state.last_ns)
    }

    /// Lets everybody go who waits, at the latest when what is given goes out of scope.
    pub(crate) fn closing(self: &Arc<Self>) -> Closing {
        Closing(Arc::clone(self))
    }

    /// Lets everybody go who waits.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.room.notify_all();
    }

    /// What all came to, with the sums of the scores.
    pub(crate) fn result(&self) -> Result<(Comparison, VmafTally), Failure> {
        let mut state = self.state();
        if state.paired == 0 {
            return Err(fault::damaged("the two films have no frame at the same time"));
        }
        if let Some(at_ns) = state.first_alone_ns.filter(|_| !self.settings.unpaired) {
            return Err(unlike(state.paired, state.alone, at_ns));
        }
        let next = state.next.take().map(|next| Frame::of(&next)).transpose()?;
        let next = next.as_ref().and_then(|next| next.plane(0, self.shape));
        let judged = state.judge.take().map(|judge| judge.finish(next.as_ref())).transpose()?;
        let (scored, tally) = judged.unwrap_or_default();
        state.totals.score(&scored);
        let vmaf: Option<VmafScores> = self.settings.vmaf.and_then(|model| tally.scores(model));
        let [frames_missing, frames_extra] = state.alone;
        let Shape { width, height, bit_depth } = self.shape;
        let found = state.totals.result();
        let frames = state.paired;
        let whole =
            Comparison { frames, frames_missing, frames_extra, width, height, bit_depth, vmaf, ..found };
        Ok((whole, tally))
    }

    /// Takes the reference's picture before the first pair.
    pub(crate) fn lead(&self, sample: &gst::Sample) -> Result<(), Failure> {
        let frame = Frame::of(sample)?;
        let luma =
            frame.plane(0, self.shape).ok_or_else(|| unusable("a frame that is shorter than its size"))?;
        self.state().judge.as_mut().map_or(Ok(()), |judge| judge.lead(&luma))
    }

    /// Takes the reference's picture behind the last pair.
    pub(crate) fn behind(&self, sample: &gst::Sample) {
        self.state().next = Some(sample.clone());
    }

    fn arrive(&self, side: Side, at: u64, sample: &gst::Sample) -> Result<(), Failure> {
        let mut state = self.state();
        if state.closed {
            return Ok(());
        }
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
                Some(side) => {
                    let alone = state.sides[side as usize].frames.pop_front();
                    state.alone[side as usize] += 1;
                    state.first_alone_ns = state.first_alone_ns.or(alone.map(|(at, _)| at));
                }
                None => {
                    let pair = (reference.frames.pop_front(), other.frames.pop_front());
                    let (Some((at, a)), Some((_, b))) = pair else { break };
                    self.pair(state, at, (&a, &b))?;
                }
            }
        }
        self.room.notify_all();
        Ok(())
    }

    fn peak(&self) -> u32 {
        (1 << self.shape.bit_depth) - 1
    }

    /// Measures a pair, if it is its turn.
    fn pair(&self, state: &mut State, at: u64, (a, b): (&gst::Sample, &gst::Sample)) -> Result<(), Failure> {
        let every = u64::from(self.settings.every.max(1));
        let its_turn = match &state.judge {
            Some(judge) => judge.scores_next(),
            None => state.paired.is_multiple_of(every),
        };
        state.paired += 1;
        state.last_ns = at;
        if state.judge.is_none() && !its_turn {
            return Ok(());
        }
        let (a, b) = (Frame::of(a)?, Frame::of(b)?);
        let planes = if its_turn && self.settings.likeness { Some(self.compared(&a, &b)?) } else { None };
        if its_turn {
            state.totals.add(at, planes.as_ref(), self.peak(), state.judge.is_some());
        }
        if let Some(judge) = &mut state.judge {
            let luma = a.plane(0, self.shape).zip(b.plane(0, self.shape));
            let (a, b) = luma.ok_or_else(|| unusable("a frame that is shorter than its size"))?;
            judge.push(at, &a, &b)?;
            state.totals.score(&judge.known());
        }
        Ok(())
    }

    fn compared(&self, a: &Frame, b: &Frame) -> Result<[Likeness; 3], Failure> {
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
