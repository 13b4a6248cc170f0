//! Chunks that begin at the film's cuts.
//!
//! A cut costs nearly a key frame wherever it lies, as nothing before it is of use. A chunk that begins there has its key
//! frame for that price, and the one in the middle of a scene is saved. So has a group of pictures within a chunk.
//!
//! ```text
//! grid    |---------------|---------------|---------------|
//! cuts         x    x          x  x              x  x
//! chunks  |-------------------|------------------|--------|       as many as cells, a border a quarter of one off at most
//! groups  |----|----|----|----|--|---|---|---|---|--|--|--|       at cuts, and equal parts between them where those are far
//! ```

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::split::Cells;
use super::{ChunkRange, Grid, Keys};
use crate::media::MediaFacts;

/// Most cuts that a scan of a cell tells of: those nearest to the cell's ends.
pub const MAX_CUTS: usize = 128;
/// The same before key frames within chunks lay at cuts.
const FEWER_CUTS: usize = 32;
/// Equal parts of a cell whose costs a scan tells.
pub const COSTS: usize = 16;

/// Cuts that are tried for a border, the nearest first.
const TRIED: usize = 8;
/// What a key frame counts, and what a border as far off as it may be: less, so that a border moves for a key frame, and of
/// two moves that save as much the shorter one is made.
const KEY: i64 = 1_000;
const FAR: i64 = 500;
/// What a key frame at a cut counts: a detector may be wrong.
const KEY_AT_CUT: i64 = 200;
/// From how many cuts a group of pictures that ends at another one may begin, and the chunk's start: the last ones.
const BEGUN: usize = 16;

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

    /// Leaves the first and the last cuts, as many as every coordinator takes.
    pub fn keep_fewer_cuts(&mut self) {
        let over = self.cuts.len().saturating_sub(FEWER_CUTS);
        let from = FEWER_CUTS.min(self.cuts.len()) / 2;
        self.cuts.drain(from..from + over);
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
        let next = onto(&cells, &cuts, &best, &places(&cells, number, &cuts));
        steps.push(std::mem::replace(&mut best, next));
    }
    let Some(mut at) = cheapest(&cells, &cuts, &best) else { return vec![ChunkRange::WHOLE] };
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
    let behind = &cuts[cuts.partition_point(|cut| *cut < first)..];
    let mut near = behind[..behind.partition_point(|cut| *cut <= last)].to_vec();
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

/// The cheapest ways onto places.
fn onto(cells: &Cells, cuts: &[u64], ways: &[Way], places: &[Place]) -> Vec<Way> {
    let last = places.iter().map(|place| place.at).max().unwrap_or(0);
    let groups: Vec<Groups> = ways.iter().map(|way| Groups::of(&cells.keys, cuts, way.at, last)).collect();
    let onto = |place: &Place| {
        let price = |(way, groups): (&Way, &Groups)| {
            way.price.saturating_add(groups.price(&cells.keys, place.at)).saturating_add(place.price)
        };
        let best = ways.iter().zip(&groups).map(price).enumerate().min_by_key(|(_, price)| *price);
        let (from, price) = best.unwrap_or((0, 0));
        Way { at: place.at, price, from }
    };
    places.iter().map(onto).collect()
}

/// Which of the last border's places the cheapest way to the film's end goes by.
fn cheapest(cells: &Cells, cuts: &[u64], ways: &[Way]) -> Option<usize> {
    let price = |way: &Way| {
        let groups = Groups::of(&cells.keys, cuts, way.at, cells.end_ns);
        way.price.saturating_add(groups.price(&cells.keys, cells.end_ns))
    };
    ways.iter().enumerate().min_by_key(|(_, way)| (price(way), Reverse(way.at))).map(|(at, _)| at)
}

/// The cuts of a chunk at which groups of pictures begin, in order, beside the one where it begins: where that saves key frames
/// elsewhere. One at a cut counts little, as a cut costs nearly as much without. [`KeyTimes`] has those between them. `cuts` are
/// in any order, and may be those of the whole film.
#[must_use]
pub fn keys_at_cuts(source: &MediaFacts, grid: &Grid, range: &ChunkRange, cuts: &[u64]) -> Vec<u64> {
    let Some((start_ns, end_ns)) = shown(source, grid, range) else { return Vec::new() };
    let mut cuts = cuts.to_vec();
    cuts.sort_unstable();
    cuts.dedup();
    let keys = Keys::of(source, grid);
    Groups::of(&keys, &cuts, start_ns, end_ns).way(&keys, end_ns)
}

/// When the first frame of a chunk is shown, and the first one behind it.
fn shown(source: &MediaFacts, grid: &Grid, range: &ChunkRange) -> Option<(u64, u64)> {
    let video = source.video.first()?;
    let slack_ns = Keys::of(source, grid).slack_ns;
    let start_ns = if range.start_ns == 0 { video.start_ns } else { range.start_ns.saturating_add(slack_ns) };
    let film_end = video.start_ns.saturating_add(video.duration_ns);
    Some((start_ns, range.end_ns.map_or(film_end, |border| border.saturating_add(slack_ns))))
}

/// Which frames of a chunk are key frames: the first of those at or behind some cuts, and between those so many that groups are equal
/// and at most a quarter longer than the grid's.
#[derive(Debug, Clone)]
pub struct KeyTimes {
    keys: Keys,
    /// Where the groups since the last cut began, and how many more of them have begun.
    from_ns: u64,
    number: u64,
    /// What comes next, the last one first.
    to: Vec<Until>,
    /// The last key frame, or the first frame.
    last_ns: Option<u64>,
}

/// The end of groups that are equal.
#[derive(Debug, Clone, Copy)]
struct Until {
    at: u64,
    is_cut: bool,
}

impl KeyTimes {
    /// Those of a chunk with key frames at these cuts, which are in order.
    #[must_use]
    pub fn of(source: &MediaFacts, grid: &Grid, range: &ChunkRange, at_cuts: &[u64]) -> Self {
        let keys = Keys::of(source, grid);
        let (from_ns, end_ns) = shown(source, grid, range).unwrap_or_default();
        // A film may go on where nobody expects it.
        let mut to = vec![Until { at: u64::MAX, is_cut: false }];
        if range.end_ns.is_some() || end_ns > from_ns {
            to.push(Until { at: end_ns, is_cut: false });
        }
        let within = at_cuts.iter().rev().copied().filter(|cut| *cut > from_ns && *cut < end_ns);
        to.extend(within.map(|at| Until { at, is_cut: true }));
        Self { keys, from_ns, number: 0, to, last_ns: None }
    }

    /// Whether the frame at this time, in nanoseconds of the film, is to be one, beside the first frame, which is one without being asked
    /// for. Asked of every frame in order. Behind a gap one is enough for all that were due in it.
    pub fn is_due(&mut self, at: u64) -> bool {
        // Times of frames are rounded.
        let at = at.saturating_add(self.keys.slack_ns);
        let mut is_due = false;
        while let Some(next) = self.to.last().copied().filter(|next| next.at <= at && self.to.len() > 1) {
            self.to.pop();
            // Behind the film's end groups go on as before.
            let from_ns = if next.is_cut { Some(next.at) } else { self.last_ns };
            (self.from_ns, self.number) = (from_ns.unwrap_or(next.at), 0);
            is_due |= next.is_cut;
        }
        let length = self.to.last().map_or(u64::MAX, |next| next.at).saturating_sub(self.from_ns).max(1);
        let parts = self.keys.groups(length);
        let begun = u128::from(at.saturating_sub(self.from_ns)) * u128::from(parts) / u128::from(length);
        let number = u64::try_from(begun).unwrap_or(u64::MAX).min(parts - 1);
        is_due |= number > self.number;
        self.number = self.number.max(number);
        let least = self.keys.time(1) / 4;
        let last_ns = *self.last_ns.get_or_insert(at);
        let is_due = is_due && at.saturating_sub(last_ns) >= least;
        if is_due {
            self.last_ns = Some(at);
        }
        is_due
    }
}

/// The cheapest groups of pictures from a chunk's start on.
#[derive(Debug)]
struct Groups {
    /// Where groups may begin, in order: the start, and cuts behind it.
    begun: Vec<Way>,
}

impl Groups {
    fn of(keys: &Keys, cuts: &[u64], start_ns: u64, last_ns: u64) -> Self {
        let mut groups = Self { begun: vec![Way { at: start_ns, price: 0, from: 0 }] };
        let behind = cuts.partition_point(|cut| *cut <= start_ns);
        for cut in cuts[behind..].iter().copied().take_while(|cut| *cut < last_ns) {
            if let Some((from, price)) = groups.cheapest(keys, cut, false) {
                groups.begun.push(Way { at: cut, price: price.saturating_add(KEY_AT_CUT), from });
            }
        }
        groups
    }

    /// From which beginning the groups up to a time are the cheapest, and what they count: no group is shorter than half the distance of
    /// key frames, but for one that is all of a chunk.
    fn cheapest(&self, keys: &Keys, to: u64, is_end: bool) -> Option<(usize, i64)> {
        let before = self.begun.partition_point(|begun| begun.at < to);
        let near = before.saturating_sub(BEGUN).max(1)..before;
        let least = keys.time(1) / 2;
        let fits =
            |number: &usize| to.saturating_sub(self.begun[*number].at) >= least || (*number == 0 && is_end);
        let counted = |number: usize| {
            let begun = &self.begun[number];
            let parts = i64::try_from(keys.groups(to.saturating_sub(begun.at))).unwrap_or(i64::MAX);
            (number, begun.price.saturating_add((parts - 1).saturating_mul(KEY)))
        };
        std::iter::once(0).chain(near).filter(fits).map(counted).min_by_key(|(_, price)| *price)
    }

    /// What the groups of a chunk count that ends there, its first key frame included.
    fn price(&self, keys: &Keys, end_ns: u64) -> i64 {
        self.cheapest(keys, end_ns, true).map_or(0, |(_, price)| price).saturating_add(KEY)
    }

    /// The cuts at which groups of that chunk begin, in order.
    fn way(&self, keys: &Keys, end_ns: u64) -> Vec<u64> {
        let mut cuts = Vec::new();
        let mut at = self.cheapest(keys, end_ns, true).map_or(0, |(from, _)| from);
        while at > 0 {
            cuts.push(self.begun[at].at);
            at = self.begun[at].from;
        }
        cuts.reverse();
        cuts
    }
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
        let (first, second, third) = (9 * S + S * 4 / 5, 20 * S + S / 2, 29 * S + S * 3 / 5);
        assert_eq!(starts(&[first, third, second, 4 * S]), [first, second, third], "each to its own");
        let inner = [8 * S, 22 * S, 28 * S, 4 * S];
        assert_eq!(starts(&inner), [10 * S, 20 * S, 30 * S], "groups within the chunks begin there as well");
    }

    #[test]
    fn groups_of_chunks_of_any_length_are_about_as_long_as_those_of_the_grid() {
        let (fps, grid) = ((24_000, 1001), Grid::of(6, 10));
        let film = film(fps, 24 * 60);
        for seconds in 5..16 {
            let range = ChunkRange { start_ns: 7 * S, end_ns: Some((7 + seconds) * S) };
            let distances = distances(&film, &grid, &range, &[]);
            assert!(distances.iter().all(|d| (39..=60).contains(d)), "{distances:?} frames at {seconds} s");
        }
        let range = split(&film, &grid)[1];
        assert_eq!(distances(&film, &grid, &range, &[]), [48; 5], "a cell has the grid's own");
    }

    /// Frames of the groups of a chunk, whose frames are those of a constant rate.
    fn distances(film: &MediaFacts, grid: &Grid, range: &ChunkRange, at_cuts: &[u64]) -> Vec<usize> {
        let (video, fps) = (&film.video[0], film.video[0].fps.expect("a rate"));
        let frames = (0..video.frames).map(|frame| shown((fps.num, fps.den), frame));
        let mut begins = KeyTimes::of(film, grid, range, at_cuts);
        let mut groups = vec![0];
        for (n, at) in frames.filter(|at| range.holds(*at)).enumerate() {
            if begins.is_due(at) && n > 0 {
                groups.push(0);
            }
            *groups.last_mut().expect("one at least") += 1;
        }
        groups
    }

    #[test]
    fn groups_begin_at_cuts_where_that_saves_key_frames() {
        let (film, grid) = (film((25, 1), 25 * 40), Grid::of(6, 10));
        let range = split(&film, &grid)[1];
        let of = |cuts: &[u64]| {
            let at_cuts = keys_at_cuts(&film, &grid, &range, cuts);
            let distances = distances(&film, &grid, &range, &at_cuts);
            (at_cuts, distances)
        };
        assert_eq!(of(&[]), (vec![], vec![50; 5]));
        let cut = 13 * S + 200_000_000;
        assert_eq!(of(&[cut]), (vec![cut], vec![40, 40, 57, 56, 57]), "in the place of another one");
        assert_eq!(of(&[10 * S + 400_000_000]).0, [0_u64; 0], "too near to the first one to save any");
        assert_eq!(of(&[5 * S, 10 * S, 20 * S, 25 * S]).0, [0_u64; 0], "of other chunks");
        let (near, far) = (14 * S, 14 * S + 440_000_000);
        assert_eq!(of(&[near, far]).0, [near], "one key frame for two cuts");
        let scenes = [11 * S + S / 2, 13 * S, 14 * S + S / 2, 16 * S, 17 * S + S / 2, 19 * S];
        assert_eq!(of(&scenes).0, scenes, "each scene is a group");
        let flicker: Vec<u64> = (0..40).map(|n| 10 * S + n * S / 4).collect();
        let (at_cuts, groups) = of(&flicker);
        assert!(at_cuts.len() <= 5 && groups.iter().all(|frames| (25..=63).contains(frames)), "{groups:?}");
    }

    /// When key frames are asked for among frames at these times.
    fn asked(film: &MediaFacts, grid: &Grid, frames: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut times = KeyTimes::of(film, grid, &ChunkRange::WHOLE, &[]);
        frames.filter(|at| times.is_due(*at)).collect()
    }

    #[test]
    fn a_film_longer_than_is_known_has_key_frames_to_its_end() {
        let grid = Grid::of(6, 10);
        for known in [0, 25 * 3] {
            let film = film((25, 1), known);
            let keys = asked(&film, &grid, (0..25 * 600).map(|frame| shown((25, 1), frame)));
            assert!((290..=300).contains(&keys.len()), "{} key frames in ten minutes", keys.len());
            let near = |pair: &[u64]| pair[1] - pair[0] <= 5 * S / 2;
            assert!(keys.windows(2).all(near) && keys[0] <= 5 * S / 2, "{:?}", &keys[..3]);
        }
    }

    #[test]
    fn one_key_frame_follows_a_gap_however_long_it_is() {
        let grid = Grid::of(6, 10);
        for (known, gap) in [(25 * 40, 6 * S), (25 * 40, 1_000 * S), (0, u64::MAX / 2)] {
            let film = film((25, 1), known);
            let frames = (0..200).map(|frame| frame * S / 25);
            let keys = asked(&film, &grid, frames.map(|at| if at < 4 * S { at } else { at + gap }));
            let later: Vec<u64> = keys.iter().copied().filter(|at| *at > 4 * S).collect();
            assert_eq!(later.first(), Some(&(4 * S + gap)), "{keys:?}");
            assert!(later.windows(2).all(|pair| pair[1] - pair[0] >= S / 2), "{later:?}");
        }
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
            let most = usize::try_from(Keys::of(&film, &grid).frames_to_key(&film, &grid)).expect("few") * 5 / 4;
            for range in &moved {
                let at_cuts = keys_at_cuts(&film, &grid, range, &times);
                let groups = distances(&film, &grid, range, &at_cuts);
                prop_assert!(groups.iter().all(|frames| *frames <= most + 1), "{:?} of {}", groups, most);
                let short = groups.iter().filter(|frames| **frames * 5 < most * 2 - 5).count();
                prop_assert!(short == 0 || groups.len() == 1, "{:?} of {}", groups, most);
            }
            let again: Vec<u64> = times.iter().rev().copied().collect();
            prop_assert_eq!(moved, split_at_cuts(&film, &grid, &again), "whatever the order of the cuts");
        }
    }
}
