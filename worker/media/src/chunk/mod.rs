//! A part of a film, encoded on its own into one or several rungs, so that the parts together are the film.
//!
//! ```text
//! scan           a cell of the grid -> where its scenes begin, where chunks are to begin with them
//! ladder::split  facts -> ranges of frames
//! encode_chunk   reader (from the key frame before the range) --frames in [start, end)--+--> rung --> chunk file
//!                                                                                       +--> rung --> chunk file
//! ```
//! One decode feeds all rungs. A rung's file begins with an IDR frame and needs nothing of the one before; frames carry
//! their times in the whole film. [`join`](crate::join()) puts them together.
//!
//! Frames are those of a decode from the film's start: the reader is trusted only where the first packet that it
//! starts with is a key frame at or before the range's first frame, else it starts earlier. Interlaced pictures are made
//! progressive before the range is cut out, with pictures from outside of it as context.

mod file;
mod levels;
mod nearest;
mod passage;
mod rung;
mod scan;
mod score;
mod search;
mod wish;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::encode::{EncodeSettings, RateControl, VideoCodec, VideoSettings};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::{ALL, ChunkRange, Grid, KeyTimes, Keys, RateCap, Rung};
use rushes_shared::media::MediaFacts;
use rushes_shared::sequence::CONTAINER;
use rushes_shared::task::{Phase, Progress};

use crate::damage::{self, Seen};
use crate::encode::encoder;
use crate::encode::picture;
use crate::encode::plan::Plan;
use crate::fault::{self, Side};
use crate::note::{self, Interrupted, Notes, Opening, Waiting};
use crate::pace::Pace;
use crate::reader::{self, Wanted};
use crate::running::Running;
use crate::scale::{self, Halfway};
use crate::start;
use nearest::Nearest;
use passage::{Passage, Passed, Shared};
use rung::Branch;
pub use scan::{ScanJob, scan};
pub use score::score_chunk;
use wish::Wish;

/// Containers whose index says where key frames are, so that a seek lands on one and every time after it is the same as
/// without. Others are read from their start.
const SEEKABLE: &[&str] = &["mp4", "mov", "matroska", "webm", CONTAINER];
/// How far before the range decoding starts, tried in order, in nanoseconds; then at the film's start.
const EARLIER_NS: &[u64] = &[0, 2_000_000_000, 10_000_000_000];
/// Pictures before the range that a deinterlacer sees: it looks at its neighbours, and finds out about a film's fields
/// from a few.
const CONTEXT_NS: u64 = 1_000_000_000;

/// What to encode.
#[derive(Debug, Clone, Copy)]
pub struct ChunkJob<'a> {
    /// The source, a local file.
    pub input: &'a Path,
    /// What [`probe`](crate::probe()) found of it.
    pub source: &'a MediaFacts,
    /// Which part.
    pub range: ChunkRange,
    /// Where key frames are.
    pub grid: &'a Grid,
    /// Cuts at which groups of pictures begin, in order and in nanoseconds of the film: those between them are equal, and about as long
    /// as the grid's. `None` for groups of as many frames as the grid has.
    pub cuts: Option<&'a [u64]>,
    /// The rungs, each with the file to write; overwritten where it exists. A bound on the rate is for this chunk alone; see
    /// [`within_chunks`](rushes_shared::ladder::RateCap::within_chunks).
    pub rungs: &'a [(Rung, PathBuf)],
    /// Bounds of the whole film, in the rungs' order. The chunk keeps what it has to of them, and has the rung's own only where it
    /// cannot otherwise. None where its own are all that counts.
    pub caps: &'a [Option<RateCap>],
    /// How many bits the rungs are to have, in their order: their rate factors are where they have them. None where the rungs'
    /// own rate factors decide.
    pub bits: &'a [u64],
    /// Threads of the decoder and of each encoder; `None` lets them use every core.
    pub threads: Option<u32>,
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChunkEncoded {
    /// Frames in every rung.
    pub frames: u64,
    /// When the first one is shown in the film, in nanoseconds.
    pub start_ns: u64,
    /// When the last one ends.
    pub end_ns: u64,
}

/// Encodes a part of a film. Blocks; calls `progress` at least once a second, in times of the part.
///
/// # Errors
/// Those of [`encode`](crate::encode()), and [`FailureCode::InputDamaged`] where the range of a film of a constant rate has no
/// frame. The outputs are incomplete then and must be deleted.
pub fn encode_chunk(job: &ChunkJob<'_>, progress: &mut dyn FnMut(Progress)) -> Result<ChunkEncoded, Failure> {
    start::init()?;
    fault::inspect(job.input)?;
    let mut wishes: Vec<Wish<'_>> = (0..job.rungs.len()).filter_map(|number| Wish::of(job, number)).collect();
    let (is_sought, is_mean) = (wishes.iter().any(Wish::is_sought), !job.bits.is_empty());
    let (mut done, mut nearest, begun) = (ChunkEncoded::default(), Nearest::default(), Instant::now());
    for attempt in 0..MOST_ATTEMPTS {
        let mut told = |at| {
            progress(if is_sought { search::told(at, attempt, begun.elapsed(), is_mean) } else { at });
        };
        let (encoded, taken) = encode_once(job, &wishes, &mut told)?;
        done = encoded;
        let is_last = attempt + 1 == MOST_ATTEMPTS;
        let mut left = Vec::new();
        for (wish, taken) in wishes.iter_mut().zip(&taken) {
            let next = wish.next(taken).filter(|_| !is_last);
            nearest.judge(wish.output, wish.off(taken), next.is_some())?;
            left.extend(next);
        }
        wishes = left;
        if wishes.is_empty() {
            break;
        }
    }
    Ok(done)
}

/// Most encodes of a rung in search of a quality that keeps its bound and its mean. Where none does, the check of the package says
/// so.
const MOST_ATTEMPTS: usize = 8;

/// Encodes rungs.
fn encode_once(
    job: &ChunkJob<'_>,
    wishes: &[Wish<'_>],
    progress: &mut dyn FnMut(Progress),
) -> Result<(ChunkEncoded, Vec<Taken>), Failure> {
    let (notes, waiting) = Notes::new();
    let mut encoder = Running::heard(&notes, Side::Output);
    let keys = Keys::of(job.source, job.grid);
    let mut branches = Vec::new();
    for Wish { rung, output, factor, bound, tight, .. } in wishes {
        let plan = plan_of(job.source, rung)?;
        let parts = (plan, (*rung).clone(), *factor);
        let pace = (keys.frames_to_key(job.source, job.grid), job.threads);
        let mut branch = Branch::new(encoder.site(), parts, output, pace, notes.clone())?;
        branch.placed = job.cuts.map(|cuts| KeyTimes::of(job.source, job.grid, &job.range, cuts));
        (branch.bound, branch.tight) = (*bound, *tight);
        branches.push(branch);
    }
    lead_through(&mut branches, job)?;
    let first = branches.first().ok_or_else(no_rung)?;
    let work = Work {
        job,
        plan: first.plan.clone(),
        keys,
        rungs: Arc::new(Mutex::new(branches)),
        notes,
        waiting,
        let_go: &|| (),
    };
    encoder.play()?;
    let done = work.run(progress);
    if done.as_ref().is_err_and(|failure| failure.code == FailureCode::ProcessStalled) {
        encoder.abandon();
    }
    drop(encoder);
    done
}

/// Has small rungs scaled from larger ones. The ways are those of all rungs of the chunk, also where some are encoded again: the
/// pixels of a rung are the same each time.
fn lead_through(branches: &mut [Branch], job: &ChunkJob<'_>) -> Result<(), Failure> {
    let Some(video) = job.source.video.first() else { return Ok(()) };
    let plans: Result<Vec<Plan>, Failure> =
        job.rungs.iter().map(|(rung, _)| plan_of(job.source, rung)).collect();
    let sizes: Vec<(u32, u32)> =
        plans?.iter().filter(|plan| plan.scaled).map(|plan| (plan.width, plan.height)).collect();
    let ways: BTreeMap<_, _> = sizes.iter().copied().zip(scale::ways(video.shown_size(), &sizes)).collect();
    // Rungs of a high dynamic range and of the standard one have other pictures.
    let mut shared: BTreeMap<_, Arc<Mutex<Halfway>>> = BTreeMap::new();
    for branch in branches.iter_mut().filter(|branch| branch.plan.scaled) {
        let way = ways.get(&(branch.plan.width, branch.plan.height)).copied().flatten();
        let is_standard = branch.is_standard_range();
        branch.halfway = way.map(|size| {
            let halfway = || Arc::new(Mutex::new(Halfway::new(size)));
            Arc::clone(shared.entry((size, is_standard)).or_insert_with(halfway))
        });
    }
    Ok(())
}

/// The encoders of rungs, with their libraries' versions where known.
#[must_use]
pub fn chunk_encoder(rungs: &[Rung]) -> String {
    let mut names: Vec<String> = Vec::new();
    for rung in rungs {
        let name = crate::encode::versioned(encoder::element_name(rung.codec, RateControl::Crf(rung.crf)));
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" + ")
}

/// What happens to the picture of a rung.
pub(crate) fn plan_of(source: &MediaFacts, rung: &Rung) -> Result<Plan, Failure> {
    Plan::new(source, &settings_of(rung))
}

/// A rung as settings of an encode, which decide what happens to the picture.
fn settings_of(rung: &Rung) -> EncodeSettings {
    let (max_width, max_height) = (Some(rung.max_size.0), Some(rung.max_size.1));
    let video = VideoSettings { max_width, max_height, ..VideoSettings::of(rung.codec) };
    EncodeSettings { video: Some(video), ..EncodeSettings::default() }
}

/// Settings of an encode in the size of the source.
fn settings_of_source() -> EncodeSettings {
    EncodeSettings { video: Some(VideoSettings::of(VideoCodec::H264)), ..EncodeSettings::default() }
}

/// What became of the frames that were taken.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// The share of the bits with which a bound on the rate would just be kept, in thousandths; of a rung without a bound, all.
    share: u64,
    /// The level in the encoder's headers, where there is one.
    level: Option<u8>,
    /// Bits of all packets.
    bits: u64,
}

impl Default for Taken {
    fn default() -> Self {
        Self { share: ALL, level: None, bits: 0 }
    }
}

/// Who takes the frames of a chunk: an encoder, or who looks at what one has made of them.
trait Taker: Send + 'static {
    /// Whether it is to be given frames of a high dynamic range as they would look in the standard one.
    fn is_standard_range(&self) -> bool {
        false
    }
    /// What is done to all pictures before they come, once they are upright and progressive.
    fn chain(&self) -> Result<Vec<gst::Element>, Failure> {
        Ok(Vec::new())
    }
    /// A frame of the chunk, in order.
    fn take(&mut self, caps: &gst::CapsRef, frame: gst::Buffer) -> Result<(), Failure>;
    /// A frame beside the chunk: the last one before it, where it was decoded, or the first one behind.
    fn beside(&mut self, _caps: &gst::CapsRef, _frame: gst::Buffer) -> Result<(), Failure> {
        Ok(())
    }
    /// No more frames will come.
    fn end(&mut self);
    /// Whether it is done with them.
    fn has_ended(&self) -> bool;
    /// Finishes what it makes; the last frame lasts `last_ns`, and this was concealed.
    fn finish(&mut self, last_ns: u64, damage: &Seen) -> Result<Taken, Failure>;
}

struct Work<'a, T> {
    job: &'a ChunkJob<'a>,
    plan: Plan,
    keys: Keys,
    rungs: Arc<Mutex<Vec<T>>>,
    notes: Notes,
    waiting: Waiting,
    /// Lets the decode's thread go where it waits for somebody who will not come any more.
    let_go: &'a dyn Fn(),
}

impl<T: Taker> Work<'_, T> {
    fn run(&self, progress: &mut dyn FnMut(Progress)) -> Result<(ChunkEncoded, Vec<Taken>), Failure> {
        let job = self.job;
        let video = &job.source.video[0];
        let film_end = video.start_ns + video.duration_ns;
        let end = job.range.end_ns.unwrap_or(film_end).max(job.range.start_ns);
        let length = end - job.range.start_ns;
        let frames = if video.duration_ns == 0 {
            0
        } else {
            crate::pace::scaled(video.frames, length.min(video.duration_ns), video.duration_ns)
        };
        let pace = Pace::new(Phase::Running, length, frames);
        for before_ns in self.places() {
            if let Some(passed) = self.pass(before_ns, &pace, progress)? {
                return self.finish(&passed, &pace, progress);
            }
        }
        Err(no_frame(&self.job.range))
    }

    /// How far before the range decoding may start, in nanoseconds, the latest place first; the last one, which is the
    /// film's start, is always good.
    fn places(&self) -> Vec<Option<u64>> {
        let (start_ns, source) = (self.job.range.start_ns, self.job.source);
        let can_seek = source.seekable && SEEKABLE.contains(&source.container.as_str());
        let before = EARLIER_NS.iter().filter(|before| can_seek && start_ns > **before + CONTEXT_NS);
        before.map(|before| Some(*before)).chain([None]).collect()
    }

    /// Reads from a place on; nothing where that place turned out to be of no use.
    fn pass(
        &self,
        before_ns: Option<u64>,
        pace: &Pace,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<Passed>, Failure> {
        let passed = Shared::default();
        lock(&passed).landed = before_ns.is_none();
        let mut reader = self.open(&passed)?;
        let start_ns = self.job.range.start_ns;
        let mut opening = Opening::new(&reader, &self.notes);
        let mut beat = || {
            opening.look();
            let now = lock(&passed);
            progress(pace.at(now.last_ns.saturating_sub(start_ns), now.frames));
        };
        beat();
        let mut read = || -> Result<(), Interrupted> {
            reader.play().map_err(Interrupted::Failed).or_else(|failed| self.first_cause(failed))?;
            if let Some(before) = before_ns {
                self.waiting.until(None, &mut beat, |_| lock(&passed).begun)?;
                let context = if lock(&passed).interlaced { CONTEXT_NS } else { 0 };
                let at = start_ns - before - context;
                let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_BEFORE;
                if reader.pipeline.seek_simple(flags, gst::ClockTime::from_nseconds(at)).is_err() {
                    lock(&passed).missed = true;
                    return Ok(());
                }
            }
            self.waiting.until(None, &mut beat, |_| {
                let now = lock(&passed);
                now.done || now.missed
            })
        };
        match read() {
            Ok(()) => {}
            Err(Interrupted::Failed(failure)) => {
                (self.let_go)();
                return Err(failure);
            }
            Err(Interrupted::Stalled | Interrupted::Deadline) => {
                reader.abandon();
                return Err(note::stalled("the chunk's decode"));
            }
        }
        // What would be decoded after the range takes time from the encoders.
        reader.stop();
        let passed = std::mem::take(&mut *lock(&passed));
        Ok((!passed.missed).then_some(passed))
    }

    /// A pipeline that does not start has put its cause on the bus.
    fn first_cause(&self, otherwise: Interrupted) -> Result<(), Interrupted> {
        match self.waiting.until(Some(Instant::now() + Duration::from_secs(1)), || (), |_| false) {
            Err(Interrupted::Failed(cause)) => Err(Interrupted::Failed(cause)),
            _ => Err(otherwise),
        }
    }

    fn open(&self, passed: &Shared) -> Result<Running, Failure> {
        let passage = Passage {
            range: self.job.range,
            keys: self.keys,
            frame_ns: self.plan.frame_ns,
            rungs: Arc::clone(&self.rungs),
            passed: Arc::clone(passed),
            notes: self.notes.clone(),
            film: self.job.source.video[0].clone(),
            threads: self.job.threads,
            mapper: None,
        };
        let packets = Arc::clone(passed);
        let wanted = Wanted {
            video: Some(Box::new(passage)),
            threads: self.job.threads,
            video_chain: self.chain(passed)?,
            video_packets: Some(Box::new(move |pad| passage::watch_packets(pad, &packets))),
            ..Wanted::default()
        };
        reader::open(self.job.input, wanted, &self.notes)
    }

    /// What is done to the picture once for all rungs: one progressive frame of two fields, and the right way up.
    fn chain(&self, passed: &Shared) -> Result<Vec<gst::Element>, Failure> {
        let mut chain = picture::progressive(&self.plan, &Arc::default())?;
        passage::watch_fields(&chain[0], passed);
        chain.extend(picture::turn(self.plan.orientation)?);
        for taker in self.rungs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            chain.extend(taker.chain()?);
        }
        Ok(chain)
    }

    /// Waits for the encoders and closes the files.
    fn finish(
        &self,
        passed: &Passed,
        pace: &Pace,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(ChunkEncoded, Vec<Taken>), Failure> {
        let Some(start_ns) = passed.first_ns else { return self.finish_blank() };
        let mut beat =
            || progress(pace.at(passed.last_ns.saturating_sub(self.job.range.start_ns), passed.frames));
        let all_ended = || {
            let rungs = self.rungs.lock().unwrap_or_else(PoisonError::into_inner);
            rungs.iter().all(T::has_ended)
        };
        // Words about the ends may have come while the range was still read.
        let ended = if all_ended() { Ok(()) } else { self.waiting.until(None, &mut beat, |_| all_ended()) };
        match ended {
            Ok(()) => {}
            Err(Interrupted::Failed(failure)) => return Err(failure),
            Err(Interrupted::Stalled | Interrupted::Deadline) => {
                return Err(note::stalled("a rung's encode"));
            }
        }
        let video = &self.job.source.video[0];
        let film_end = (video.start_ns + video.duration_ns).saturating_sub(passed.last_ns);
        // What a packet says of its length is in decoding order; the film's own end is truer where it is near.
        let is_last =
            self.job.range.end_ns.is_none() && film_end > 0 && film_end < 10 * passed.last_duration_ns;
        let last_ns = if is_last { film_end } else { passed.last_duration_ns };
        let mut rungs = self.rungs.lock().unwrap_or_else(PoisonError::into_inner);
        let damage = damage::take();
        let taken: Result<Vec<Taken>, Failure> =
            rungs.iter_mut().map(|rung| rung.finish(last_ns, &damage)).collect();
        beat();
        let end_ns = passed.last_ns + last_ns;
        Ok((ChunkEncoded { frames: passed.frames, start_ns, end_ns }, taken?))
    }
}

impl<T: Taker> Work<'_, T> {
    /// In a film of a variable rate one frame may be shown for longer than a chunk; it belongs to the chunk that it begins in.
    /// Frames that are missing are found by their number once the chunks are joined.
    fn finish_blank(&self) -> Result<(ChunkEncoded, Vec<Taken>), Failure> {
        if !self.job.source.video.first().is_some_and(|video| video.vfr) {
            return Err(no_frame(&self.job.range));
        }
        let mut rungs = self.rungs.lock().unwrap_or_else(PoisonError::into_inner);
        let damage = damage::take();
        let taken: Result<Vec<Taken>, Failure> =
            rungs.iter_mut().map(|rung| rung.finish(0, &damage)).collect();
        let at = self.job.range.start_ns;
        Ok((ChunkEncoded { frames: 0, start_ns: at, end_ns: at }, taken?))
    }
}

fn lock(passed: &Shared) -> std::sync::MutexGuard<'_, Passed> {
    passed.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_rung() -> Failure {
    Failure::new(FailureCode::SettingsImpossible, "a chunk needs at least one rung", "name a rung")
}

fn no_frame(range: &ChunkRange) -> Failure {
    let from = format!("{}.{} s", range.start_ns / 1_000_000_000, range.start_ns / 100_000_000 % 10);
    Failure::new(
        FailureCode::InputDamaged,
        format!("the input is damaged: from {from} on no frame could be decoded for a whole chunk"),
        "check that the file plays to its end; get an undamaged copy",
    )
}
