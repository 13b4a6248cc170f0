//! VMAF of a film against its reference, by libvmaf.
//!
//! ```text
//! pairs of luma --> Judge: spans of pairs --> context (libvmaf) --> scores --> VmafTally
//! ```
//! libvmaf keeps what it knows of every frame until the end. So that memory does not grow with the film, frames are
//! scored in spans. The only thing that a frame's score takes from its neighbours is the reference's motion; a span's
//! first and last frame get it as each span also reads the reference's picture before and after it, which is not scored.

mod context;

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::measure::{VmafModel, VmafTally};

use crate::plane::Plane;
use crate::reader::unusable;
use context::{Context, Refused};

pub(crate) use context::Format;

/// Pairs to a span: less than a megabyte of what libvmaf keeps.
const SPAN: usize = 3_000;
/// Shortest side of a picture that is scored, in pixels: the coarsest of the four scales needs some to work on.
pub(crate) const SMALLEST: u32 = 64;

/// What scores are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) model: VmafModel,
    /// Every so many-th frame.
    pub(crate) every: u32,
    /// Threads of libvmaf.
    pub(crate) threads: u32,
}

/// A score and when its frame is shown, in nanoseconds.
pub(crate) type Scored = (u64, f64);

/// Scores a film.
#[derive(Debug)]
pub(crate) struct Judge {
    format: Format,
    wanted: Judgement,
    context: Context,
    /// When each pair of the span is shown; `None` for one that is not scored.
    times: Vec<Option<u64>>,
    /// The reference's last picture of a span that is full.
    last: Option<Vec<u8>>,
    tally: VmafTally,
    scored: Vec<Scored>,
}

impl Judge {
    /// A judge of pictures of this format; `None` where they are too small to be scored.
    pub(crate) fn new(format: Format, wanted: Judgement) -> Result<Option<Self>, Failure> {
        if format.width.min(format.height) < SMALLEST {
            return Ok(None);
        }
        let wanted = Judgement { every: wanted.every.max(1), ..wanted };
        Ok(Some(Self {
            format,
            wanted,
            context: begun(format, wanted)?,
            times: Vec::new(),
            last: None,
            tally: VmafTally::default(),
            scored: Vec::new(),
        }))
    }

    /// Takes the reference's picture before the first pair, if there is one.
    pub(crate) fn lead(&mut self, reference: &Plane<'_>) -> Result<(), Failure> {
        self.read(None, reference, reference)
    }

    /// Whether the next pair is scored.
    pub(crate) fn scores_next(&self) -> bool {
        let next = if self.times.len() < SPAN { self.context.read() } else { 1 };
        next.is_multiple_of(self.wanted.every)
    }

    /// Takes the next pair, which is shown at a time.
    pub(crate) fn push(
        &mut self,
        at_ns: u64,
        reference: &Plane<'_>,
        other: &Plane<'_>,
    ) -> Result<(), Failure> {
        if self.times.len() >= SPAN {
            self.turn(reference)?;
        }
        self.read(Some(at_ns), reference, other)?;
        if self.times.len() == SPAN {
            self.last = Some(
                (0..reference.height).filter_map(|line| reference.row(line)).flatten().copied().collect(),
            );
        }
        Ok(())
    }

    /// Ends a span and begins the next one with this picture.
    fn turn(&mut self, next: &Plane<'_>) -> Result<(), Failure> {
        self.read(None, next, next)?;
        let ended = std::mem::replace(&mut self.context, begun(self.format, self.wanted)?);
        let times = std::mem::take(&mut self.times);
        settle(ended, times, &mut self.tally, &mut self.scored)?;
        if let Some(last) = self.last.take() {
            let plane = Plane { data: &last, stride: next.width * next.bytes, ..*next };
            self.read(None, &plane, &plane)?;
        }
        Ok(())
    }

    fn read(&mut self, at_ns: Option<u64>, reference: &Plane<'_>, other: &Plane<'_>) -> Result<(), Failure> {
        let read = self.context.push(reference, other);
        read.ok_or_else(|| unusable("a frame that is shorter than its size"))?.map_err(refused)?;
        self.times.push(at_ns);
        Ok(())
    }

    /// The scores that have become known since this was last asked.
    pub(crate) fn known(&mut self) -> Vec<Scored> {
        std::mem::take(&mut self.scored)
    }

    /// Ends the film, before the reference's picture that would come next, if there is one: the scores that were not
    /// known yet, and the sums of all.
    pub(crate) fn finish(mut self, next: Option<&Plane<'_>>) -> Result<(Vec<Scored>, VmafTally), Failure> {
        if let Some(next) = next.filter(|_| !self.times.is_empty()) {
            self.read(None, next, next)?;
        }
        settle(self.context, self.times, &mut self.tally, &mut self.scored)?;
        Ok((self.scored, self.tally))
    }
}

/// Asks a span that has ended for its scores.
fn settle(
    ended: Context,
    times: Vec<Option<u64>>,
    tally: &mut VmafTally,
    scored: &mut Vec<Scored>,
) -> Result<(), Failure> {
    let mut scores = ended.finish().map_err(refused)?;
    for (number, at_ns) in (0..).zip(times) {
        if let Some(at_ns) = at_ns
            && let Some(score) = scores.score(number)
        {
            let score = score.map_err(refused)?;
            tally.add(score, at_ns);
            scored.push((at_ns, score));
        }
    }
    Ok(())
}

fn begun(format: Format, wanted: Judgement) -> Result<Context, Failure> {
    Context::new(format, wanted.model, wanted.every, wanted.threads).map_err(refused)
}

fn refused(refused: Refused) -> Failure {
    Failure::new(FailureCode::PipelineFailed, refused.to_string(), "try again; if it stays, leave VMAF out")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format { width: 96, height: 64, bit_depth: 8 };

    /// A picture of a pattern that moves; the other one has lost detail.
    fn pictures(number: usize) -> (Vec<u8>, Vec<u8>) {
        let at = |x: usize, y: usize| {
            let wave = (x * 7 + number * 5) % 64 + (y * 11 + number * 3) % 96 + (x * y) % 32;
            u8::try_from(wave + 16).unwrap()
        };
        let reference: Vec<u8> = (0..64).flat_map(|y| (0..96).map(move |x| at(x, y))).collect();
        let other = reference.iter().map(|value| (value >> 4) << 4).collect();
        (reference, other)
    }

    fn plane(data: &[u8]) -> Plane<'_> {
        Plane { data, stride: 96, width: 96, height: 64, bytes: 1 }
    }

    fn judge(every: u32, threads: u32) -> Judge {
        let wanted = Judgement { model: VmafModel::Hd, every, threads };
        Judge::new(FORMAT, wanted).unwrap().unwrap()
    }

    fn judged(
        frames: std::ops::Range<usize>,
        lead: bool,
        every: u32,
        threads: u32,
    ) -> (Vec<Scored>, VmafTally) {
        let mut judge = judge(every, threads);
        if lead {
            judge.lead(&plane(&pictures(frames.start - 1).0)).unwrap();
        }
        for number in frames.clone() {
            let (reference, other) = pictures(number);
            judge.push(number as u64, &plane(&reference), &plane(&other)).unwrap();
        }
        let next = pictures(frames.end).0;
        judge.finish(lead.then_some(plane(&next)).as_ref()).unwrap()
    }

    #[test]
    fn a_part_has_the_scores_that_it_has_in_the_whole() {
        let (whole, _) = judged(0..40, false, 1, 1);
        let (part, tally) = judged(10..20, true, 1, 1);
        assert_eq!((part.len(), tally.frames), (10, 10));
        for (a, b) in part.iter().zip(&whole[10..20]) {
            assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-9, "{a:?} {b:?}");
        }
        assert!(tally.min < 99.0, "the pictures differ: {tally:?}");
    }

    #[test]
    fn threads_change_nothing_and_samples_are_some_of_all() {
        let (one, _) = judged(0..30, false, 1, 1);
        let (two, _) = judged(0..30, false, 1, 2);
        assert_eq!(one, two);
        let (some, tally) = judged(0..30, false, 10, 2);
        assert_eq!(tally.frames, 3);
        assert_eq!(some, [one[0], one[10], one[20]]);
    }

    #[test]
    fn a_film_of_several_spans_is_scored_whole() {
        let mut judge = judge(1, 2);
        let (reference, other) = pictures(0);
        let still: Vec<u64> = (0..SPAN as u64 + 5).collect();
        for at in &still {
            judge.push(*at, &plane(&reference), &plane(&other)).unwrap();
        }
        assert_eq!(judge.known().len(), SPAN);
        let (rest, tally) = judge.finish(None).unwrap();
        assert_eq!((rest.len(), tally.frames), (5, still.len() as u64));
        let scores = tally.scores(VmafModel::Hd).unwrap();
        assert!((scores.mean - scores.min).abs() < 1e-6, "nothing moves: {scores:?}");
    }

    #[test]
    fn every_model_is_built_in_and_what_does_not_fit_is_refused() {
        for model in VmafModel::ALL {
            let wanted = Judgement { model, every: 1, threads: 1 };
            assert!(Judge::new(FORMAT, wanted).unwrap().is_some(), "{model:?}");
        }
        let small = Format { width: SMALLEST - 1, ..FORMAT };
        let wanted = Judgement { model: VmafModel::Hd, every: 1, threads: 1 };
        assert!(Judge::new(small, wanted).unwrap().is_none());
        let (reference, _) = pictures(0);
        let short = Plane { data: &reference[..96 * 63], ..plane(&reference) };
        assert!(judge(1, 1).push(0, &plane(&reference), &short).is_err());
        let (rest, tally) = judge(1, 2).finish(None).unwrap();
        assert_eq!((rest.len(), tally.scores(VmafModel::Hd)), (0, None));
    }
}
