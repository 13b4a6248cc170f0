//! Chunks that begin at the film's cuts.
//!
//! A cut costs nearly a key frame wherever it lies, as nothing before it is of use. A chunk that begins there has its key
//! frame for that price, and the one in the middle of a scene is saved.
//!
//! ```text
//! grid    |---------------|---------------|---------------|
//! cuts         x    x          x  x              x  x
//! chunks  |-------------------|------------------|--------|       as many as cells, a border a quarter of one off at most
//! ```

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::split::Cells;
use super::{ChunkRange, Grid};
use crate::media::MediaFacts;

/// Most cuts that a scan of a cell tells of: those nearest to the cell's ends.
pub const MAX_CUTS: usize = 32;
/// Equal parts of a cell whose costs a scan tells.
pub const COSTS: usize = 16;

/// Cuts that are tried for a border, the nearest first.
const TRIED: usize = 8;
/// What a key frame counts, and what a border as far off as it may be: less, so that a border moves for a key frame, and of
/// two moves that save as much the shorter one is made.
const KEY: i64 = 1_000;
const FAR: i64 = 500;

/// What a look at a cell of the grid has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// Frames of the cell.
    pub frames: u64,
    /// When first frames of scenes are shown in the film, in nanoseconds and in order; [`MAX_CUTS`] at most.
    pub cuts: Vec<u64>,
    /// How hard equal parts of the cell are to encode: what is left of its frames after they are predicted from those
    /// before, in no unit. There are [`COSTS`].
    pub costs: Vec<u64>,
}

impl Scan {
    /// Whether it is one that a scan can give. Workers say what is in it.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.cuts.len() <= MAX_CUTS && self.costs.len() <= COSTS
    }
}

/// Divides a film at its cuts. There are as many chunks as [`split`](super::split()) makes, and a border is off that grid by a
/// quarter of a chunk at most, at a cut where that saves key frames. `cuts` are times of first frames of scenes, in any
/// order.
#[must_use]
pub fn split_at_cuts(source: &MediaFacts, grid: &Grid, cuts: &[u64]) -> Vec<ChunkRange> {
    let Some(cells) = Cells::of(source, grid) else { return vec![ChunkRange::WHOLE] };
    let mut cuts = cuts.to_vec();
    cuts.sort_unstable();
    cuts.dedup();
    let mut best = vec![Way { at: cells.start_ns, price: 0, from: 0 }];
    let mut steps = Vec::new();
    for number in 1..cells.count {
        let next: Vec<Way> =
            places(&cells, number, &cuts).iter().map(|place| onto(&cells, &best, place)).collect();
        steps.push(std::mem::replace(&mut best, next));
    }
    let Some(mut at) = cheapest(&cells, &best) else { return vec![ChunkRange::WHOLE] };
    // The way back from the film's end.
    let mut starts = Vec::new();
    for before in steps.iter().rev() {
        let Some(way) = best.get(at) else { break };
        starts.push(way.at);
        at = way.from;
        best.clone_from(before);
    }
    starts.reverse();
    cells.ranges(&starts)
}

/// A place for a border, and the cheapest way to it from the film's start.
#[derive(Debug, Clone)]
struct Way {
    at: u64,
    price: i64,
    /// Which place of the border before.
    from: usize,
}

/// Where a border may be, and what that counts beside the key frames.
#[derive(Debug)]
struct Place {
    at: u64,
    price: i64,
}

/// The line of the grid, and cuts near it.
fn places(cells: &Cells, number: u64, cuts: &[u64]) -> Vec<Place> {
    let line = cells.start(number);
    let quarter = cells.length_ns / 4;
    // The last chunk may be short as it is.
    let later = quarter.min(cells.end_ns.saturating_sub(line) / 2);
    let (first, last) = (line.saturating_sub(quarter), line.saturating_add(later));
    let near = cuts.iter().copied().skip_while(|cut| *cut < first).take_while(|cut| *cut <= last);
    let mut near: Vec<u64> = near.collect();
    near.sort_unstable_by_key(|cut| (cut.abs_diff(line), *cut));
    near.truncate(TRIED);
    let far = |cut: u64| {
        let share =
            u128::from(cut.abs_diff(line)) * u128::from(FAR.unsigned_abs()) / u128::from(quarter.max(1));
        i64::try_from(share).unwrap_or(FAR)
    };
    let moved = near.into_iter().map(|cut| Place { at: cut, price: far(cut) - KEY });
    std::iter::once(Place { at: line, price: 0 }).chain(moved).collect()
}

fn keys(cells: &Cells, from: u64, to: u64) -> i64 {
    let groups = i64::try_from(cells.keys.groups(to.saturating_sub(from))).unwrap_or(i64::MAX);
    groups.saturating_mul(KEY)
}

/// The cheapest way onto a place.
fn onto(cells: &Cells, ways: &[Way], place: &Place) -> Way {
    let price =
        |way: &Way| way.price.saturating_add(keys(cells, way.at, place.at)).saturating_add(place.price);
    let best = ways.iter().enumerate().min_by_key(|(_, way)| price(way));
    let (from, price) = best.map_or((0, 0), |(from, way)| (from, price(way)));
    Way { at: place.at, price, from }
}

/// Which of the last border's places the cheapest way to the film's end goes by.
fn cheapest(cells: &Cells, ways: &[Way]) -> Option<usize> {
    let price = |way: &Way| way.price.saturating_add(keys(cells, way.at, cells.end_ns));
    ways.iter().enumerate().min_by_key(|(_, way)| (price(way), Reverse(way.at))).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::super::{Keys, split};
    use super::*;
    use crate::media::VideoFacts;
    use crate::units::Ratio;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn film(fps: (u32, u32), frames: u64) -> MediaFacts {
        let duration_ns = frames * S * u64::from(fps.1) / u64::from(fps.0);
        let video =
            VideoFacts { fps: Ratio::new(fps.0, fps.1), frames, duration_ns, ..VideoFacts::default() };
        MediaFacts { video: vec![video], ..MediaFacts::default() }
    }

    fn shown(fps: (u32, u32), frame: u64) -> u64 {
        frame * S * u64::from(fps.1) / u64::from(fps.0)
    }

    #[test]
    fn a_border_moves_to_a_cut_near_its_line_and_to_no_other() {
        let (fps, grid) = ((25, 1), Grid::of(6, 10));
        let film = film(fps, 25 * 40);
        let starts = |cuts: &[u64]| -> Vec<u64> {
            let slack = Keys::of(&film, &grid).slack_ns;
            split_at_cuts(&film, &grid, cuts)[1..].iter().map(|chunk| chunk.start_ns + slack).collect()
        };
        assert_eq!(starts(&[]), [10 * S, 20 * S, 30 * S], "the grid");
        let near = 10 * S + 640_000_000;
        assert_eq!(starts(&[near]), [near, 20 * S, 30 * S]);
        assert_eq!(starts(&[11 * S]), [10 * S, 20 * S, 30 * S], "it would take another key frame");
        assert_eq!(starts(&[13 * S, 16 * S]), [10 * S, 20 * S, 30 * S], "more than a quarter off");
        assert_eq!(starts(&[21 * S, 19 * S + S / 2]), [10 * S, 19 * S + S / 2, 30 * S], "the nearer of two");
        let all = [8 * S, 22 * S, 28 * S, 4 * S];
        assert_eq!(starts(&all), [8 * S, 22 * S, 28 * S], "each to its own");
    }

    #[test]
    fn groups_of_chunks_of_any_length_are_about_as_long_as_those_of_the_grid() {
        let (fps, grid) = ((24_000, 1001), Grid::of(6, 10));
        let film = film(fps, 24 * 60);
        let keys = Keys::of(&film, &grid);
        for seconds in 5..16 {
            let range = ChunkRange { start_ns: 7 * S, end_ns: Some((7 + seconds) * S) };
            let distance = keys.frames_to_key_in(&film, &grid, &range);
            assert!((40..=60).contains(&distance), "{distance} frames at {seconds} s");
        }
        let range = split(&film, &grid)[1];
        assert_eq!(keys.frames_to_key_in(&film, &grid, &range), 48, "a cell has the grid's own");
    }

    proptest! {
        #[test]
        fn every_frame_is_in_one_chunk_and_no_border_goes_far(
            fps in prop::sample::select(vec![(24_000, 1001), (25, 1), (30_000, 1001), (60, 1), (12, 1)]),
            frames in 1_u64..5_000,
            chunk_s in 1_u32..20,
            cuts in prop::collection::vec(0_u64..5_000, 0..200),
        ) {
            let (film, grid) = (film(fps, frames), Grid::of(4, chunk_s));
            let times: Vec<u64> = cuts.iter().map(|frame| shown(fps, *frame)).collect();
            let (fixed, moved) = (split(&film, &grid), split_at_cuts(&film, &grid, &times));
            prop_assert_eq!(fixed.len(), moved.len());
            prop_assert_eq!((moved[0].start_ns, moved[moved.len() - 1].end_ns), (0, None));
            for pair in moved.windows(2) {
                prop_assert_eq!(pair[0].end_ns, Some(pair[1].start_ns));
                prop_assert!(pair[0].start_ns < pair[1].start_ns);
            }
            let quarter = Cells::of(&film, &grid).expect("it has a picture").length_ns / 4;
            for (fixed, moved) in fixed.iter().zip(&moved) {
                prop_assert!(fixed.start_ns.abs_diff(moved.start_ns) <= quarter);
            }
            let mut held = vec![0_u64; moved.len()];
            for frame in 0..frames {
                let at = shown(fps, frame);
                let holders: Vec<usize> = (0..moved.len()).filter(|n| moved[*n].holds(at)).collect();
                prop_assert_eq!(holders.len(), 1, "frame {}", frame);
                held[holders[0]] += 1;
            }
            prop_assert!(held.iter().all(|count| *count > 0), "no chunk is empty: {:?}", held);
            let again: Vec<u64> = times.iter().rev().copied().collect();
            prop_assert_eq!(moved, split_at_cuts(&film, &grid, &again), "whatever the order of the cuts");
        }
    }
}
