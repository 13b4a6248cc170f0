//! The bits of a mean rate, shared out to the chunks of a film by how hard each is.
//!
//! ```text
//! scans -> cost of a second of each chunk -> bits ~ seconds * cost^0.6, none over its bound, together those of the film
//! ```
//! The exponent is x264's `qcomp`: equal bits would make hard parts ugly, and bits in proportion would spend on them what
//! nobody sees. Whole numbers only, so that the same scans give the same shares on every machine.

use super::split::Cells;
use super::{ChunkRange, LadderSettings, RateCap, Scan};
use crate::media::MediaFacts;

/// Share of its bound that a chunk's mean stays below, in percent: the bound leaves room for the parts of it that are harder.
const MOST_OF_BOUND: u128 = 95;
/// Share of the film's mean that the easiest chunk has at least, in percent.
const LEAST_OF_MEAN: u128 = 10;
/// The largest cost of a second, in bits, once all are made as large as they can be.
const COST_BITS: u32 = 40;
/// Bits a second of a rung that nobody asks for, as a power of two.
const MOST_BITS: u32 = 40;
/// A number below which shares are factors, as a power of two, and halvings in search of one.
const FACTOR_BITS: u32 = 64;

impl LadderSettings {
    /// Bits of each rung in one of the film's chunks; none where a rate factor decides. `scans` are those of the grid's cells, in
    /// order. All chunks of a rung together have the bits of its mean over the film, or what their bounds let them have.
    #[must_use]
    pub fn budget(
        &self,
        source: &MediaFacts,
        scans: &[Scan],
        chunks: &[ChunkRange],
        number: usize,
    ) -> Vec<u64> {
        let (means, Some(cells)) = (self.mean_rates(source), Cells::of(source, &self.grid)) else {
            return Vec::new();
        };
        let parts = parts(&cells, scans, chunks);
        let rungs = self.rungs(source);
        let of_rung = |(mean_bps, cap): (&u64, Option<RateCap>)| {
            let shares = shares(&parts, *mean_bps, cap.map_or(u64::MAX, |cap| cap.max_bps));
            shares.get(number).copied().unwrap_or(0)
        };
        means.iter().zip(rungs.iter().map(|rung| rung.cap)).map(of_rung).collect()
    }
}

/// A chunk: how long it is in nanoseconds, and how many bits a second of it is worth against other ones.
#[derive(Debug, Clone, Copy)]
struct Part {
    length_ns: u64,
    weight: u64,
}

/// The film's chunks; what was not looked at is as hard as a still picture.
fn parts(cells: &Cells, scans: &[Scan], chunks: &[ChunkRange]) -> Vec<Part> {
    let within = |chunk: &ChunkRange| {
        let start_ns = chunk.start_ns.max(cells.start_ns);
        (start_ns, chunk.end_ns.unwrap_or(cells.end_ns).max(start_ns))
    };
    let costs = chunks.iter().map(|chunk| cost(cells, scans, within(chunk)).clamp(1, 1 << COST_BITS));
    let costs: Vec<u64> = costs.collect();
    let shift = costs.iter().max().map_or(0, |most| most.leading_zeros().saturating_sub(63 - COST_BITS));
    let part = |(chunk, cost): (&ChunkRange, u64)| {
        let (start_ns, end_ns) = within(chunk);
        Part { length_ns: (end_ns - start_ns).max(1), weight: damped(cost << shift) }
    };
    chunks.iter().zip(costs).map(part).collect()
}

/// What a second costs in a part of the film, on the mean.
fn cost(cells: &Cells, scans: &[Scan], (start_ns, end_ns): (u64, u64)) -> u64 {
    let mut sum = 0_u128;
    // Borders are rounded, so that a cell more on either side is looked at.
    let cell = |at: u64| at.saturating_sub(cells.start_ns) / cells.length_ns;
    let (first, last) = (cell(start_ns).saturating_sub(1), cell(end_ns).saturating_add(1));
    let looked_at = (0..cells.count).zip(scans).skip(usize::try_from(first).unwrap_or(usize::MAX));
    for (number, scan) in looked_at.take_while(|(number, _)| *number <= last) {
        let from = cells.start(number);
        let to = if number + 1 < cells.count { cells.start(number + 1) } else { cells.end_ns };
        let (length, count) = (to.saturating_sub(from), u64::try_from(scan.costs.len()).unwrap_or(1).max(1));
        let line = |at: u64| {
            from.saturating_add(
                u64::try_from(u128::from(length) * u128::from(at) / u128::from(count)).unwrap_or(0),
            )
        };
        for (at, cost) in (0..count).zip(&scan.costs) {
            let common = end_ns.min(line(at + 1)).saturating_sub(start_ns.max(line(at)));
            // Workers say what things cost.
            let cost = u128::from(*cost).min(1 << COST_BITS);
            sum += cost * u128::from(common) / u128::from(line(at + 1) - line(at)).max(1);
        }
    }
    let a_second = sum * 1_000_000_000 / u128::from(end_ns - start_ns).max(1);
    u64::try_from(a_second).unwrap_or(u64::MAX)
}

/// A cost to the power of 0.6.
fn damped(cost: u64) -> u64 {
    let cube = u128::from(cost).pow(3);
    let (mut low, mut high) = (0_u64, 1 << (3 * COST_BITS / 5 + 1));
    while low + 1 < high {
        let middle = u64::midpoint(low, high);
        if u128::from(middle).pow(5) <= cube { low = middle } else { high = middle }
    }
    low.max(1)
}

/// Bits of all parts.
fn shares(parts: &[Part], mean_bps: u64, bound_bps: u64) -> Vec<u64> {
    let bits = |bps: u128, part: &Part| bps * u128::from(part.length_ns) / 1_000_000_000;
    let mean = u128::from(mean_bps).min(1 << MOST_BITS);
    let least_bps = mean * LEAST_OF_MEAN / 100;
    let most_bps = (u128::from(bound_bps).min(2 << MOST_BITS) * MOST_OF_BOUND / 100).max(least_bps);
    let film_ns: u128 = parts.iter().map(|part| u128::from(part.length_ns)).sum();
    let wanted = mean * film_ns / 1_000_000_000;
    let heaviest = u128::from(parts.iter().map(|part| part.weight).max().unwrap_or(1)).max(1);
    // The rate of each where the heaviest has the most that it can have.
    let rates: Vec<u128> = parts.iter().map(|part| most_bps * u128::from(part.weight) / heaviest).collect();
    let of_factor = |factor: u128| {
        let bps =
            rates.iter().map(move |bps| ((bps * factor) >> (FACTOR_BITS / 2)).clamp(least_bps, most_bps));
        bps.zip(parts).map(|(bps, part)| bits(bps, part))
    };
    let (mut low, mut high) = (0_u128, 1 << FACTOR_BITS);
    for _ in 0..FACTOR_BITS {
        let middle = u128::midpoint(low, high);
        if of_factor(middle).sum::<u128>() <= wanted { low = middle } else { high = middle }
    }
    let mut shares: Vec<u128> = of_factor(low).collect();
    // What rounding has left goes to the first ones that have room.
    let mut left = wanted.saturating_sub(shares.iter().sum());
    for (share, part) in shares.iter_mut().zip(parts) {
        let more = left.min(bits(most_bps, part).saturating_sub(*share));
        *share += more;
        left -= more;
    }
    shares.into_iter().map(|bits| u64::try_from(bits).unwrap_or(u64::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Borders, COSTS, Grid, LadderRate};
    use super::*;
    use crate::media::VideoFacts;
    use crate::units::Ratio;

    const S: u64 = 1_000_000_000;

    fn film(seconds: u64) -> MediaFacts {
        let (fps, frames, duration_ns) = (Ratio::new(25, 1), seconds * 25, seconds * S);
        let video =
            VideoFacts { fps, frames, duration_ns, width: 1280, height: 720, ..VideoFacts::default() };
        MediaFacts { video: vec![video], ..MediaFacts::default() }
    }

    fn settings(top_bps: u64, borders: Borders) -> LadderSettings {
        let rate = LadderRate::Mean { top_bps: Some(top_bps) };
        LadderSettings { grid: Grid::of(6, 10), rate, borders, ..LadderSettings::default() }
    }

    fn scans(costs: &[u64]) -> Vec<Scan> {
        let scan = |cost: &u64| Scan { frames: 250, cuts: Vec::new(), costs: vec![*cost; COSTS] };
        costs.iter().map(scan).collect()
    }

    /// Bits of a rung in each chunk.
    fn bits(settings: &LadderSettings, film: &MediaFacts, costs: &[u64], rung: usize) -> Vec<u64> {
        let (chunks, scans) = (settings.chunks(film, &[]), scans(costs));
        (0..chunks.len()).map(|number| settings.budget(film, &scans, &chunks, number)[rung]).collect()
    }

    #[test]
    fn hard_chunks_get_more_and_together_they_have_the_films_bits() {
        let (settings, film) = (settings(2_000_000, Borders::Grid), film(40));
        let found = bits(&settings, &film, &[1_000, 1_000, 2_000, 1_000], 0);
        assert_eq!(found.iter().sum::<u64>(), 80_000_000);
        // Borders are half a frame before the grid's lines, so that the first chunk is a little shorter.
        let ratio = found[2] * 1000 / found[1];
        assert!((1510..=1520).contains(&ratio), "2^0.6 is 1.516: {found:?}");
        let bounded = bits(&settings, &film, &[1_000, 1_000, 90_000, 1_000], 0);
        assert_eq!(bounded.iter().sum::<u64>(), 80_000_000);
        assert_eq!(bounded[2], 28_500_000, "95 % of half above the mean: {bounded:?}");
        let equal = bits(&settings, &film, &[700; 4], 1);
        assert!(equal.iter().all(|bits| bits.abs_diff(8_000_000) < 20_000), "480p has two fifths: {equal:?}");
        let unseen = bits(&settings, &film, &[], 0);
        assert!(unseen.iter().all(|bits| bits.abs_diff(20_000_000) < 50_000), "{unseen:?}");
    }

    #[test]
    fn a_chunk_over_two_cells_is_as_hard_as_they_are_and_a_rate_factor_shares_nothing() {
        let (settings, film) = (settings(2_000_000, Borders::Scenes), film(20));
        let chunks = settings.chunks(&film, &[10_900_000_000]);
        assert!(chunks[1].start_ns > 10 * S + S / 2, "{chunks:?}");
        let scans = scans(&[1_000, 2_000]);
        let [first, second] = [0, 1].map(|number| settings.budget(&film, &scans, &chunks, number)[0]);
        assert_eq!(first + second, 40_000_000);
        // 10.88 s at a mean cost of 1081 against 9.12 s at 2000.
        let ratio = first * 1000 / second;
        assert!((818..=832).contains(&ratio), "{first} {second}");
        let by_factor = LadderSettings { rate: LadderRate::Factor, ..settings };
        assert!(by_factor.budget(&film, &scans, &chunks, 0).is_empty());
    }

    #[test]
    fn nonsense_from_the_wire_is_bounded() {
        let costs = [u64::MAX, 0, u64::MAX, 1];
        for top_bps in [0, 1, u64::MAX] {
            let found = bits(&settings(top_bps, Borders::Grid), &film(40), &costs, 0);
            assert_eq!(found.len(), 4);
        }
        let endless = MediaFacts {
            video: vec![VideoFacts { duration_ns: u64::MAX, start_ns: u64::MAX, ..film(1).video[0].clone() }],
            ..MediaFacts::default()
        };
        let settings = settings(u64::MAX, Borders::Grid);
        let chunks = settings.chunks(&endless, &[]);
        assert!(!settings.budget(&endless, &scans(&costs), &chunks, 0).is_empty());
    }

    proptest! {
        #[test]
        fn shares_are_the_films_bits_within_their_bounds_and_in_the_order_of_the_costs(
            costs in prop::collection::vec(0_u64..1_000_000_000, 1..40),
            top_bps in 10_000_u64..100_000_000,
        ) {
            let seconds = costs.len() as u64 * 10;
            let (settings, film) = (settings(top_bps, Borders::Grid), film(seconds));
            let found = bits(&settings, &film, &costs, 0);
            prop_assert_eq!(found.len(), costs.len());
            prop_assert_eq!(found.iter().sum::<u64>(), top_bps * seconds);
            let chunks = settings.chunks(&film, &[]);
            for (chunk, bits) in chunks.iter().zip(&found) {
                let length = u128::from(chunk.end_ns.unwrap_or(seconds * S) - chunk.start_ns);
                prop_assert!(u128::from(*bits) <= length * u128::from(top_bps) * 3 / 2 / u128::from(S));
                // A bit a second is lost to rounding.
                prop_assert!(u128::from(*bits + 20) >= length * u128::from(top_bps) / 10 / u128::from(S));
            }
            prop_assert_eq!(&found, &bits(&settings, &film, &costs, 0), "the same again");
        }
    }
}
