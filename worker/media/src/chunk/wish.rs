//! How finely a rung of a chunk is encoded, and what is tried next where it has not kept its bound on the rate, or has other bits
//! than it is to have.

use std::path::Path;

use rushes_shared::ladder::{ALL, ChunkBound, ChunkRange, Rung};

use super::levels::{Levels, whole};
use super::search::Search;
use super::{ChunkJob, Taken};

/// Steps of a rate factor that more than halve the bits.
const STEPS_TO_HALF: f64 = 9.0;
/// A step of a rate factor, in hundredths.
pub(super) const STEP: u16 = 100;

/// A rung that is to be encoded, and how finely.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) rung: &'a Rung,
    pub(super) output: &'a Path,
    /// The rate factor in hundredths of a step.
    pub(super) factor: u16,
    /// What of a bound on the rate it has to keep.
    pub(super) bound: Option<ChunkBound>,
    /// The level that the encoder chose before, of an encode that has the rung's own bound in place of the film's.
    pub(super) tight: Option<u8>,
    /// The bits that it is to have, and what is known of where it has them.
    search: Option<Search>,
    /// The levels within its bound, where its encoder keeps none.
    levels: Option<Levels>,
}

impl<'a> Wish<'a> {
    pub(super) fn of(job: &ChunkJob<'a>, number: usize) -> Option<Self> {
        let (rung, output) = job.rungs.get(number)?;
        // A rung's own bound is for any chunk: there is nothing that another one could leave to it.
        let alone = rung.cap.map(|cap| ChunkBound::of(cap, &ChunkRange::WHOLE));
        let of_film = job.caps.get(number).copied().flatten();
        let bound = of_film.map(|cap| ChunkBound::of(cap, &job.range)).or(alone);
        let search = job.bits.get(number).map(|bits| Search::of(*bits, rung.codec));
        let own = u16::from(rung.crf) * STEP;
        // A rate factor of 0 is lossless and has the bits that it needs.
        let factor = if search.is_some() { own.max(STEP) } else { own };
        let levels = bound.and_then(|_| Levels::of(rung.codec));
        Some(Self { rung, output, factor, bound, tight: None, search, levels })
    }

    /// What to try next; `None` where the rung is as it is to be, or where there is no more to try. The bound goes first: bits that
    /// are sought with the rung's own bound keep the film's as well.
    pub(super) fn next(&mut self, taken: &Taken) -> Option<Self> {
        if let Some(levels) = &mut self.levels {
            let next = match &mut self.search {
                Some(search) => {
                    let next = search.next(self.factor, search.within(taken.bits, taken.share));
                    next.or_else(|| levels.last(self.factor, taken.share))
                }
                None => levels.next(self.factor, taken.share),
            };
            return next.map(|factor| Self { factor, ..*self });
        }
        self.within_bound(taken).or_else(|| {
            let mut search = self.search?;
            let factor = search.next(self.factor, taken.bits)?;
            Some(Self { factor, search: Some(search), ..*self })
        })
    }

    /// How far an encode is from the one wanted; `None` where there is no better or worse one, or its bound is broken.
    pub(super) fn off(&self, taken: &Taken) -> Option<u64> {
        match (&self.levels, &self.search) {
            (_, Some(search)) => (taken.share >= ALL).then(|| search.away(taken.bits)),
            (levels, None) => levels.as_ref()?.rank(self.factor, taken.share),
        }
    }

    /// Whether it may take more than one encode.
    pub(super) fn is_sought(&self) -> bool {
        self.search.is_some() || self.levels.is_some()
    }

    /// What to try of a rung that has not kept its bound. x264 and x265
    /// keep a bound by themselves, and are given the rung's own, within which borders need no luck, with the level that
    /// other chunks have in their headers.
    fn within_bound(&self, taken: &Taken) -> Option<Self> {
        let is_own = self.tight.is_some() || self.bound.map(|bound| bound.cap) == self.rung.cap;
        if taken.share >= ALL || is_own {
            return None;
        }
        // A tier of HEVC that its rate decides: no level is known that would be the same.
        let coarser = || self.coarser(taken.share).map(|factor| Self { factor, search: None, ..*self });
        taken.level.map_or_else(coarser, |level| Some(Self { tight: Some(level), ..*self }))
    }

    /// A rate factor at which there are so many thousandths of the bits.
    fn coarser(&self, share: u64) -> Option<u16> {
        let worst = u16::from(self.rung.codec.worst_crf()?) * STEP;
        let over = 1000.0 / f64::from(u32::try_from(share.max(1)).unwrap_or(u32::MAX));
        let steps = whole((STEPS_TO_HALF * over.log2()).ceil().max(2.0));
        (self.factor < worst).then(|| self.factor.saturating_add(steps.saturating_mul(STEP)).min(worst))
    }
}
