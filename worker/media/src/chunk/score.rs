//! What a chunk's rungs look like against the film: VMAF, while the film is at hand.
//!
//! ```text
//! film, the chunk's range --> upright, progressive --> in the size of the film --+--> pairs --> VMAF of a rung
//! a rung's file -----------------------------> decoded, in the size of the film -+
//! ```
//! The film's range is decoded once more, for all rungs together. A frame's score needs the film's pictures before and after
//! it, also at the borders: the pictures beside the range are read as well and not scored. Where none was decoded before
//! the range, as it begins at a key frame, its first frame is scored as if the film began there.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use rushes_shared::encode::VmafLimits;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::Keys;
use rushes_shared::measure::{CompareSettings, VmafTally};
use rushes_shared::media::VideoFacts;
use rushes_shared::task::Progress;

use super::{ChunkJob, Taken, Taker, Work, no_rung, settings_of};
use crate::compare::{Arriving, Closing, Pairs, Shape, Side, half_a_frame};
use crate::damage::Seen;
use crate::encode::plan::Plan;
use crate::fault;
use crate::note::{Branch, Notes};
use crate::reader::{self, Feed, Wanted};
use crate::running::{Running, Site};
use crate::start;

/// Frames that may wait between the decoder and those who look at them.
const WAITING_FRAMES: u64 = 6;
/// No frame has this number.
const NONE: u64 = u64::MAX;

/// Scores of the rungs of a chunk that has been encoded, in their order and in times of the film; none where VMAF is not
/// asked for. Blocks; calls `progress` at least once a second.
///
/// # Errors
/// Those of [`encode_chunk`](crate::encode_chunk()) and [`compare`](crate::compare()).
pub fn score_chunk(
    job: &ChunkJob<'_>,
    limits: &VmafLimits,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<VmafTally>, Failure> {
    let Some(every) = limits.scope.every() else { return Ok(Vec::new()) };
    for (rung, _) in job.rungs {
        // The models know no difference between a picture that is tone-mapped well and one that is wrong.
        if super::plan_of(job.source, rung)?.tone_mapped.is_some() {
            return Ok(Vec::new());
        }
    }
    start::init()?;
    let (notes, waiting) = Notes::new();
    let (first, _) = job.rungs.first().ok_or_else(no_rung)?;
    let plan = Plan::new(job.source, &settings_of(first))?;
    let film = &job.source.video[0];
    let rung = VideoFacts { bit_depth: 8, ..VideoFacts::default() };
    let shape = Shape::of(film, &rung)?;
    let threads = job.threads;
    let settings =
        CompareSettings { every, vmaf: Some(limits.model), likeness: false, unpaired: false, threads };
    let mut pairs = Vec::with_capacity(job.rungs.len());
    for _ in job.rungs {
        pairs.push(Arc::new(Pairs::new(shape, half_a_frame(film), settings)?));
    }
    let open = Arc::new(AtomicUsize::new(pairs.len() + 1));
    let mut rungs = Vec::with_capacity(pairs.len());
    let _closing: Vec<Closing> = pairs.iter().map(Pairs::closing).collect();
    for ((_, file), pairs) in job.rungs.iter().zip(&pairs) {
        let feed = Arriving { pairs: Arc::clone(pairs), side: Side::Other };
        let feed = Counted { feed, open: Arc::clone(&open) };
        let video_chain = shape.elements(&rung)?.to_vec();
        let wanted = Wanted { video: Some(Box::new(feed)), threads, video_chain, ..Wanted::default() };
        let reader = reader::open(file, wanted, &notes)?;
        reader.play()?;
        rungs.push(reader);
    }
    let mut way = Running::heard(&notes, fault::Side::Output);
    let scorer = Scorer::new(way.site(), (film, shape), &pairs, open, &notes);
    way.play()?;
    let close = || pairs.iter().for_each(|pairs| pairs.close());
    let keys = Keys::of(job.source, job.grid);
    let rungs_lock = Arc::new(Mutex::new(vec![scorer]));
    let done = Work { job, plan, keys, rungs: rungs_lock, notes, waiting, let_go: &close }.run(progress);
    close();
    if done.as_ref().is_err_and(|failure| failure.code == FailureCode::ProcessStalled) {
        way.abandon();
        rungs.iter_mut().for_each(Running::abandon);
    }
    let (made, _) = done?;
    drop((way, rungs));
    let later_ns = made.start_ns.saturating_sub(film.start_ns);
    pairs.iter().map(|pairs| pairs.result().map(|(_, tally)| tally.later(later_ns))).collect()
}

/// Counts the ends of feeds down.
struct Counted<F> {
    feed: F,
    open: Arc<AtomicUsize>,
}

impl<F: Feed> Feed for Counted<F> {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        self.feed.take(sample)
    }

    fn end(&mut self) {
        self.feed.end();
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Brings the film's frames to those who compare them.
struct Scorer {
    site: Site,
    film: VideoFacts,
    shape: Shape,
    notes: Notes,
    entrance: Option<app::AppSrc>,
    /// The last frame before the chunk.
    before: Option<(gst::Caps, gst::Buffer)>,
    taken: u64,
    /// Feeds that have not ended.
    open: Arc<AtomicUsize>,
    exit: Option<Exit>,
    numbers: Arc<Numbers>,
}

/// Which of the frames that come by are beside the chunk, counted from 0.
#[derive(Debug)]
struct Numbers {
    before: AtomicU64,
    behind: AtomicU64,
}

/// Where the film's frames come out in the size in which they are compared.
struct Exit {
    all: Vec<Arriving>,
    numbers: Arc<Numbers>,
    seen: u64,
    open: Arc<AtomicUsize>,
}

impl Feed for Exit {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let number = self.seen;
        self.seen += 1;
        for one in &mut self.all {
            if number == self.numbers.before.load(Ordering::Acquire) {
                one.pairs.lead(sample)?;
            } else if number == self.numbers.behind.load(Ordering::Acquire) {
                one.pairs.behind(sample);
            } else {
                one.take(sample)?;
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        self.all.iter_mut().for_each(Feed::end);
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Scorer {
    fn new(
        site: Site,
        (film, shape): (&VideoFacts, Shape),
        pairs: &[Arc<Pairs>],
        open: Arc<AtomicUsize>,
        notes: &Notes,
    ) -> Self {
        let numbers = Arc::new(Numbers { before: AtomicU64::new(NONE), behind: AtomicU64::new(NONE) });
        let arriving = |pairs: &Arc<Pairs>| Arriving { pairs: Arc::clone(pairs), side: Side::Reference };
        let all = pairs.iter().map(arriving).collect();
        let exit = Exit { all, numbers: Arc::clone(&numbers), seen: 0, open: Arc::clone(&open) };
        Self {
            site,
            film: film.clone(),
            shape,
            notes: notes.clone(),
            entrance: None,
            before: None,
            taken: 0,
            open,
            exit: Some(exit),
            numbers,
        }
    }

    fn push(&mut self, caps: &gst::CapsRef, frame: gst::Buffer) -> Result<(), Failure> {
        let entrance = match &self.entrance {
            Some(entrance) => entrance,
            None => {
                let built = self.build(caps)?;
                self.entrance.insert(built)
            }
        };
        self.taken += 1;
        entrance.push_buffer(frame).map(drop).map_err(|_| stopped())
    }

    fn build(&mut self, caps: &gst::CapsRef) -> Result<app::AppSrc, Failure> {
        let source = app::AppSrc::builder()
            .caps(&caps.to_owned())
            .format(gst::Format::Time)
            .block(true)
            .max_buffers(WAITING_FRAMES)
            .max_bytes(0)
            .build();
        let exit = self.exit.take().ok_or_else(stopped)?;
        let mut chain: Vec<gst::Element> = vec![source.clone().upcast()];
        chain.extend(self.shape.elements(&self.film)?);
        chain.push(reader::appsink(Branch::Other, Box::new(exit), &self.notes).upcast());
        self.site.add(&chain).map_err(|_| stopped())?;
        Ok(source)
    }
}

impl Taker for Scorer {
    fn take(&mut self, caps: &gst::CapsRef, frame: gst::Buffer) -> Result<(), Failure> {
        if let Some((caps, mut before)) = self.before.take() {
            let stamped = before.make_mut();
            stamped.set_pts(frame.pts());
            stamped.set_dts(gst::ClockTime::NONE);
            self.numbers.before.store(0, Ordering::Release);
            self.push(&caps, before)?;
        }
        self.push(caps, frame)
    }

    fn beside(&mut self, caps: &gst::CapsRef, mut frame: gst::Buffer) -> Result<(), Failure> {
        if self.taken == 0 {
            self.before = Some((caps.to_owned(), frame));
            return Ok(());
        }
        frame.make_mut().set_dts(gst::ClockTime::NONE);
        self.numbers.behind.store(self.taken, Ordering::Release);
        self.push(caps, frame)
    }

    fn end(&mut self) {
        match &self.entrance {
            Some(entrance) => drop(entrance.end_of_stream()),
            None => drop(self.open.fetch_sub(1, Ordering::AcqRel)),
        }
    }

    fn has_ended(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    fn finish(&mut self, _last_ns: u64, _damage: &Seen) -> Result<Taken, Failure> {
        Ok(Taken::default())
    }
}

fn stopped() -> Failure {
    Failure::new(FailureCode::PipelineFailed, "the comparison of a chunk stopped", "try again")
}
