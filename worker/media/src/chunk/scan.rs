//! Where a film's scenes begin, and how hard it is to encode: a look at a cell of the chunks' grid.
//!
//! ```text
//! film, the cell and what is beside it --> upright, progressive --> small, luma alone --> av-scenechange --> Scan
//! ```
//! The detector is rav1e's: a frame is a cut where it costs as much with the help of the frame before as without any, and
//! more than the frames around it, so that no flash is one. It needs some frames before and behind, which are read beside the
//! cell; what it says of them belongs to the cells next to it. The costs that it compares also say how hard the film is.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use av_scenechange::av_decoders::v_frame::chroma::ChromaSubsampling;
use av_scenechange::av_decoders::v_frame::frame::{Frame, FrameBuilder};
use av_scenechange::{Rational32, SceneChangeDetector, SceneDetectionSpeed, ScenecutResult};
use gstreamer as gst;
use gstreamer_video as video;
use gstreamer_video::prelude::*;
use rushes_shared::failure::Failure;
use rushes_shared::ladder::{COSTS, ChunkRange, Grid, Keys, MAX_CUTS, Scan};
use rushes_shared::media::{MediaFacts, VideoFacts};
use rushes_shared::task::Progress;

use super::{ChunkJob, Taken, Taker, Work, settings_of_source};
use crate::damage::Seen;
use crate::encode::plan::Plan;
use crate::fault;
use crate::note::{Branch, Note, Notes};
use crate::reader::unusable;
use crate::start::{self, element};

/// Longest short side of what is looked at, in pixels: cuts are seen in a small picture as well.
const SHORT_SIDE: u32 = 270;
/// Smallest side that the detector takes.
const SMALLEST: u32 = 16;
/// Frames that the detector looks ahead at; of the last of a film it says nothing.
const AHEAD: usize = 5;
/// What is read before and behind the cell, in nanoseconds, and in frames where those are slow.
const BESIDE_NS: u64 = 500_000_000;
const BESIDE_FRAMES: u64 = 8;
/// The plane's border in pixels: motion reaches over the picture's edges by a block and the taps of a filter.
const PADDING: usize = 88;
/// The share of a frame's own cost that the detector gives as its threshold.
const THRESHOLD: f64 = 0.3;

/// What to look at.
#[derive(Debug, Clone, Copy)]
pub struct ScanJob<'a> {
    /// The film, a local file.
    pub input: &'a Path,
    /// What [`probe`](crate::probe()) found of it.
    pub source: &'a MediaFacts,
    /// Which cell.
    pub range: ChunkRange,
    /// Threads of the decoder; `None` lets it use every core.
    pub threads: Option<u32>,
}

/// Looks for cuts in a part of a film. Blocks; calls `progress` at least once a second.
///
/// # Errors
/// Those of [`encode_chunk`](crate::encode_chunk()).
pub fn scan(job: &ScanJob<'_>, progress: &mut dyn FnMut(Progress)) -> Result<Scan, Failure> {
    start::init()?;
    fault::inspect(job.input)?;
    let plan = Plan::new(job.source, &settings_of_source())?;
    let film = &job.source.video[0];
    let (notes, waiting) = Notes::new();
    let scanner = Scanner::new(job.range, film, &plan, &notes);
    let beside_ns = BESIDE_NS.max(plan.frame_ns.saturating_mul(BESIDE_FRAMES));
    let range = ChunkRange {
        start_ns: job.range.start_ns.saturating_sub(beside_ns),
        end_ns: job.range.end_ns.map(|end| end.saturating_add(beside_ns)),
    };
    let grid = Grid::default();
    let wider = ChunkJob {
        input: job.input,
        source: job.source,
        range,
        grid: &grid,
        cuts: None,
        rungs: &[],
        caps: &[],
        bits: &[],
        threads: job.threads,
    };
    let takers = Arc::new(Mutex::new(vec![scanner]));
    let keys = Keys::of(job.source, &grid);
    let work = Work { job: &wider, plan, keys, rungs: Arc::clone(&takers), notes, waiting, let_go: &|| () };
    work.run(progress)?;
    let scanner = takers.lock().unwrap_or_else(PoisonError::into_inner).pop();
    Ok(scanner.map(|scanner| scanner.found).unwrap_or_default())
}

/// Looks at frames as they come.
struct Scanner {
    cell: ChunkRange,
    /// When the cell ends, also that of the film's end.
    cell_end_ns: u64,
    /// Width and height of what is looked at.
    size: (u32, u32),
    rate: Rational32,
    notes: Notes,
    detector: Option<SceneChangeDetector<u8>>,
    info: Option<video::VideoInfo>,
    /// The frame before the one that is judged next, that one and those behind it, with their times.
    frames: VecDeque<(u64, Arc<Frame<u8>>)>,
    /// Frames that were judged, and which of them was the last cut.
    judged: usize,
    last_cut: usize,
    found: Scan,
    ended: bool,
}

impl Scanner {
    fn new(cell: ChunkRange, film: &VideoFacts, plan: &Plan, notes: &Notes) -> Self {
        let rate = film.fps.filter(|fps| fps.num > 0 && fps.den > 0);
        let part = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let rate =
            rate.map_or(Rational32::new_raw(25, 1), |fps| Rational32::new_raw(part(fps.num), part(fps.den)));
        Self {
            cell,
            cell_end_ns: cell.end_ns.unwrap_or(film.start_ns.saturating_add(film.duration_ns)),
            size: small((plan.width, plan.height)),
            rate,
            notes: notes.clone(),
            detector: None,
            info: None,
            frames: VecDeque::new(),
            judged: 0,
            last_cut: 0,
            found: Scan { costs: vec![0; COSTS], ..Scan::default() },
            ended: false,
        }
    }

    /// Judges the frame behind the first that is kept.
    fn judge(&mut self) {
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        let detector = self.detector.get_or_insert_with(|| {
            SceneChangeDetector::new(
                (width, height),
                8,
                self.rate,
                ChromaSubsampling::Monochrome,
                AHEAD,
                SceneDetectionSpeed::Standard,
                0,
                usize::MAX,
            )
        });
        self.judged += 1;
        let set: Vec<&Arc<Frame<u8>>> = self.frames.iter().map(|(_, frame)| frame).collect();
        let (is_cut, costs) = detector.analyze_next_frame(&set, self.judged, self.last_cut);
        if is_cut {
            self.last_cut = self.judged;
        }
        if let Some((at, _)) = self.frames.get(1).filter(|(at, _)| self.cell.holds(*at)) {
            let part = part_of(*at, self.cell.start_ns, self.cell_end_ns);
            if is_cut {
                self.found.cuts.push(*at);
            }
            if let Some(cost) = self.found.costs.get_mut(part) {
                *cost = cost.saturating_add(costs.map_or(0, |costs| cost_of(&costs)));
            }
        }
        self.frames.pop_front();
    }

    fn picture(&mut self, caps: &gst::CapsRef, buffer: &gst::BufferRef) -> Result<Frame<u8>, Failure> {
        let broken = || unusable("a frame that is no picture of its size");
        let info = match &self.info {
            Some(info) => info,
            None => {
                let info = video::VideoInfo::from_caps(caps).map_err(|_| broken())?;
                self.info.insert(info)
            }
        };
        let shown = video::VideoFrameRef::from_buffer_ref_readable(buffer, info).map_err(|_| broken())?;
        let (width, height) = (shown.width() as usize, shown.height() as usize);
        let mut frame: Frame<u8> = FrameBuilder::new(width, height, ChromaSubsampling::Monochrome, 8)
            .luma_padding_left(PADDING)
            .luma_padding_right(PADDING)
            .luma_padding_top(PADDING)
            .luma_padding_bottom(PADDING)
            .build()
            .map_err(|_| broken())?;
        let stride = usize::try_from(shown.plane_stride().first().copied().unwrap_or(0)).unwrap_or(0);
        let data = shown.plane_data(0).map_err(|_| broken())?;
        for (to, from) in frame.y_plane.rows_mut().zip(data.chunks(stride.max(1))) {
            to.copy_from_slice(from.get(..width).ok_or_else(broken)?);
        }
        Ok(frame)
    }
}

impl Taker for Scanner {
    fn chain(&self) -> Result<Vec<gst::Element>, Failure> {
        let side = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "GRAY8")
            .field("width", side(self.size.0))
            .field("height", side(self.size.1))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .build();
        let scaler = element("videoconvertscale")?;
        scaler.set_property("add-borders", false);
        let filter = element("capsfilter")?;
        filter.set_property("caps", &caps);
        Ok(vec![scaler, filter])
    }

    fn take(&mut self, caps: &gst::CapsRef, frame: gst::Buffer) -> Result<(), Failure> {
        self.notes.moved();
        let at = frame.pts().map_or(0, gst::ClockTime::nseconds);
        let picture = self.picture(caps, &frame)?;
        self.found.frames += u64::from(self.cell.holds(at));
        self.frames.push_back((at, Arc::new(picture)));
        // The one before, the one that is judged, and those behind it.
        if self.frames.len() == AHEAD + 2 {
            self.judge();
        }
        Ok(())
    }

    fn end(&mut self) {
        while self.frames.len() > 1 {
            self.judge();
        }
        self.found.cuts = nearest(std::mem::take(&mut self.found.cuts), self.cell.start_ns, self.cell_end_ns);
        self.ended = true;
        self.notes.tell(Note::Ended(Branch::Other));
    }

    fn has_ended(&self) -> bool {
        self.ended
    }

    fn finish(&mut self, _last_ns: u64, _damage: &Seen) -> Result<Taken, Failure> {
        Ok(Taken::default())
    }
}

/// What is left of a frame once it is predicted, from the one before or from itself, on the mean of its blocks.
fn cost_of(costs: &ScenecutResult) -> u64 {
    let alone = costs.threshold / THRESHOLD;
    let least = if costs.inter_cost < alone { costs.inter_cost } else { alone };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float's cast ends at the bounds"
    )]
    let cost = least.round() as u64;
    cost.min(u64::from(u32::MAX))
}

/// Which of the equal parts of a cell a time is in.
fn part_of(at: u64, start_ns: u64, end_ns: u64) -> usize {
    let (since, length) = (at.saturating_sub(start_ns), end_ns.saturating_sub(start_ns).max(1));
    let part = u128::from(since) * COSTS as u128 / u128::from(length);
    usize::try_from(part).unwrap_or(COSTS).min(COSTS - 1)
}

/// Those of a cell's cuts that are nearest to its ends, in order.
fn nearest(mut cuts: Vec<u64>, start_ns: u64, end_ns: u64) -> Vec<u64> {
    cuts.sort_by_key(|cut| cut.abs_diff(start_ns).min(cut.abs_diff(end_ns)));
    cuts.truncate(MAX_CUTS);
    cuts.sort_unstable();
    cuts
}

/// The size in which a picture is looked at: its aspect, and sides of whole blocks.
fn small((width, height): (u32, u32)) -> (u32, u32) {
    let short = u64::from(width.min(height).max(1));
    let scaled = |side: u32| {
        let fitted = u64::from(side) * u64::from(SHORT_SIDE) / short.max(u64::from(SHORT_SIDE));
        (u32::try_from(fitted).unwrap_or(u32::MAX) / 8 * 8).clamp(SMALLEST, 8192)
    };
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_is_small_and_never_larger_than_the_film() {
        assert_eq!(small((1920, 1080)), (480, 264));
        assert_eq!(small((1080, 1920)), (264, 480));
        assert_eq!(small((160, 120)), (160, 120));
        assert_eq!(small((1, 1)), (16, 16));
        assert_eq!(small((16_384, 16)), (8192, 16));
    }

    #[test]
    fn cuts_near_the_ends_of_a_cell_are_kept_where_there_are_too_many() {
        let cuts: Vec<u64> = (0..1000).collect();
        let kept = nearest(cuts, 0, 1000);
        assert_eq!((kept.len(), kept[0], kept[MAX_CUTS - 1]), (MAX_CUTS, 0, 999));
        assert!(kept.is_sorted() && !kept.contains(&500));
    }

    #[test]
    fn parts_of_a_cell_are_equal_and_nothing_lies_beside_them() {
        assert_eq!([0, 99, 1599, 5000].map(|at| part_of(at, 0, 1600)), [0, 0, COSTS - 1, COSTS - 1]);
        assert_eq!(part_of(0, 0, 0), 0);
    }
}
