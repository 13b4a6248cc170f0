//! The search for the rate factor at which a rung of a chunk has the bits that it is to have.
//!
//! ```text
//! encode at a factor --> bits --> nearer factor --> encode … until they are near, or nothing more is to be had
//! ```
//! A mean by x264's and x265's own two passes would need a bound beside it, which x264's element keeps with a rate factor alone; and a
//! rate factor leaves no trace in the headers, so that all chunks of a film have the same.

use std::time::Duration;

use rushes_shared::encode::VideoCodec;
use rushes_shared::ladder::ALL;
use rushes_shared::task::Progress;

use super::wish::STEP;
use crate::pace;

/// Most encodes.
const MOST: u8 = 7;
/// How near the bits are to be, in thousandths: half of what the film's check lets pass.
const NEAR: u64 = 25;
/// Encodes after which a little less near is near enough on the side of too few, in thousandths.
const LOOSELY_FROM: u8 = 5;
const LOOSELY: u64 = 40;
/// The finest factor: below it x264 is lossless, which shows in its headers.
const FINEST: u16 = STEP;
/// Hundredths of a step that halve the bits, where nothing is known of the film, and of any film the fewest and the most: of H.264 and
/// HEVC, and of VP9 and AV1, whose scale is a wider one.
const TO_HALF: [f64; 3] = [600.0, 200.0, 900.0];
const LEVELS_TO_HALF: [f64; 3] = [1000.0, 200.0, 1600.0];
/// Hundredths of a step to go where the bound has had all bits so far.
const LEAP: u16 = 3 * STEP;
/// What an encode has of the progress that is left, in thousandths, where a mean is sought and where a bound is to be kept.
const SHARE_OF_MEAN: u32 = 500;
const SHARE_OF_BOUND: u32 = 900;
/// A part of a growth of bits that a finer factor should bring, in thousandths: with less, the bound leaves no room.
const NO_MORE: u64 = 10;

/// What is known of where a rung has its bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    bits: u64,
    worst: u16,
    to_half: [f64; 3],
    encodes: u8,
    /// The factor and the bits of the encode before.
    before: Option<(u16, u64)>,
    /// The coarsest factor with too many bits, and the finest with too few.
    many: Option<Side>,
    few: Option<Side>,
    /// Whether the side that was moved last is that of too many.
    moved: Option<bool>,
}

/// A factor on one side of what is looked for.
#[derive(Debug, Clone, Copy)]
struct Side {
    factor: u16,
    /// How far its bits are from those wanted, in halvings, or less where the other side has been moved again and again.
    off: f64,
}

impl Search {
    /// For so many bits.
    pub(super) fn of(bits: u64, codec: VideoCodec) -> Self {
        let worst = u16::from(codec.worst_crf().unwrap_or(51)) * STEP;
        let is_levels = matches!(codec, VideoCodec::Vp9 | VideoCodec::Av1);
        let to_half = if is_levels { LEVELS_TO_HALF } else { TO_HALF };
        Self {
            bits: bits.max(1),
            worst,
            to_half,
            encodes: 0,
            before: None,
            many: None,
            few: None,
            moved: None,
        }
    }

    /// The factor to try after an encode at this one, which had so many bits; `None` where there is nothing more to try.
    pub(super) fn next(&mut self, factor: u16, bits: u64) -> Option<u16> {
        self.encodes += 1;
        let is_loose = self.encodes >= LOOSELY_FROM && bits < self.bits;
        let near = if is_loose { LOOSELY } else { NEAR };
        let is_near = self.away(bits).saturating_mul(1000) <= self.bits.saturating_mul(near);
        if is_near || self.encodes >= MOST || self.has_no_more(factor, bits) {
            return None;
        }
        self.note(factor, bits);
        let next = match (self.many, self.few) {
            (Some(many), Some(few)) => between(many, few),
            _ if self.is_at_bound(factor, bits) => f64::from(factor.saturating_add(LEAP)),
            _ => f64::from(factor) + self.halved_in(factor, bits) * self.off(bits),
        };
        self.before = Some((factor, bits));
        let next = rounded(next).clamp(FINEST, self.worst);
        (next != factor).then_some(next)
    }

    /// Bits that stand for those of an encode that would keep its bound with such a share of them, in thousandths: one that breaks it has
    /// too many, whatever it has.
    pub(super) fn within(&self, bits: u64, share: u64) -> u64 {
        if share >= ALL {
            return bits;
        }
        let over = self.bits.saturating_mul(ALL) / share.max(1);
        bits.max(over + self.bits * 2 * NEAR / 1000)
    }

    /// How many bits so many are away from those wanted.
    pub(super) fn away(&self, bits: u64) -> u64 {
        bits.abs_diff(self.bits)
    }

    /// Halvings from so many bits to those wanted.
    fn off(&self, bits: u64) -> f64 {
        (float(bits) / float(self.bits)).log2()
    }

    /// Keeps the nearest factors on both sides. What stays while the other side moves counts for less (the Illinois rule), and what
    /// the film contradicts is forgotten: under a bound, a coarser factor can have more bits.
    fn note(&mut self, factor: u16, bits: u64) {
        let side = Side { factor, off: self.off(bits).abs() };
        let is_many = bits > self.bits;
        let (here, there) =
            if is_many { (&mut self.many, &mut self.few) } else { (&mut self.few, &mut self.many) };
        if self.moved == Some(is_many)
            && let Some(stays) = there
        {
            stays.off /= 2.0;
        }
        self.moved = Some(is_many);
        *here = Some(side);
        there.take_if(|stays| if is_many { stays.factor <= factor } else { stays.factor >= factor });
    }

    /// Whether a much finer factor than before has brought nothing: the bound takes what it would.
    fn has_no_more(&self, factor: u16, bits: u64) -> bool {
        self.before.is_some_and(|(before, had)| {
            let is_finer = factor.saturating_add(STEP) <= before;
            is_finer && bits < self.bits && bits.saturating_mul(1000) < had.saturating_mul(1000 + NO_MORE)
        })
    }

    /// Whether a coarser factor than before has hardly fewer bits: the bound has decided, and how fast they fall is not known.
    fn is_at_bound(&self, factor: u16, bits: u64) -> bool {
        self.before.is_some_and(|(before, had)| {
            factor > before
                && bits > self.bits
                && bits.saturating_mul(1000 + NO_MORE) > had.saturating_mul(1000)
        })
    }

    /// Hundredths of a step that halve the bits hereabouts.
    fn halved_in(&self, factor: u16, bits: u64) -> f64 {
        let [usual, least, most] = self.to_half;
        let Some((before, had)) = self.before.filter(|(before, had)| *before != factor && *had != bits)
        else {
            return usual;
        };
        let halvings = (float(had) / float(bits)).log2();
        let found = (f64::from(factor) - f64::from(before)) / halvings;
        // Where a finer factor has fewer bits, the bound decides.
        if found > 0.0 { found.clamp(least, most) } else { most }
    }
}

/// Where a line between the two sides, drawn over halvings, has what is wanted.
fn between(many: Side, few: Side) -> f64 {
    let (low, high) = (f64::from(many.factor), f64::from(few.factor));
    low + (high - low) * many.off / (many.off + few.off)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float's cast ends at the bounds"
)]
fn rounded(factor: f64) -> u16 {
    factor.round() as u16
}

/// Progress of an encode as that of all that may be needed: each has a share of what is left, so that it never goes back. The pace
/// is that since the first one began. Of a mean nobody knows how many are needed; a bound is mostly kept at the first try, so that
/// the time to go is that of the encode which runs.
pub(super) fn told(at: Progress, encodes: usize, since: Duration, is_mean: bool) -> Progress {
    let share = if is_mean { SHARE_OF_MEAN } else { SHARE_OF_BOUND };
    let left = (0..encodes).fold(1000, |left, _| left - left * share / 1000);
    let permille = 1000 - left + left * share / 1000 * u32::from(at.permille.min(1000)) / 1000;
    let permille = u16::try_from(permille).unwrap_or(1000);
    let eta_ms = at.eta_ms.filter(|_| !is_mean);
    Progress { permille, eta_ms, speed_permille: pace::speed_permille(at.media_ns, since), ..at }
}

fn float(bits: u64) -> f64 {
    f64::from(u32::try_from(bits / 8).unwrap_or(u32::MAX)).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The factor and the bits of a search's nearest encode, and how many it took.
    fn ended(wanted: u64, film: &dyn Fn(u16) -> u64) -> (u16, u64, u8) {
        let mut search = Search::of(wanted, VideoCodec::H264);
        let (mut factor, mut nearest) = (2300, (0, u64::MAX));
        loop {
            let bits = film(factor);
            if search.away(bits) <= search.away(nearest.1) {
                nearest = (factor, bits);
            }
            match search.next(factor, bits) {
                Some(next) => factor = next,
                None => return (nearest.0, nearest.1, search.encodes),
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bits are positive and few")]
    fn exponential(to_half: f64) -> impl Fn(u16) -> u64 {
        move |factor| (8e7 * 2_f64.powf(-f64::from(factor) / to_half)) as u64
    }

    #[test]
    fn films_of_any_slope_have_their_bits_after_few_encodes() {
        for (to_half, most) in [(400.0, 4), (600.0, 2), (900.0, 4)] {
            for wanted in [2_000_000, 4_000_000, 9_000_000] {
                let (_, bits, encodes) = ended(wanted, &exponential(to_half));
                assert!(bits.abs_diff(wanted) * 1000 <= wanted * NEAR, "{bits} for {wanted} at {to_half}");
                assert!(encodes <= most, "{encodes} encodes at {to_half}");
            }
        }
    }

    #[test]
    fn a_film_whose_slope_changes_is_found_between_what_is_too_fine_and_too_coarse() {
        let bent = |factor: u16| {
            let (steep, flat) = (exponential(250.0), exponential(1500.0));
            if factor < 2000 { steep(factor) * 30 } else { flat(factor) * steep(2000) * 30 / flat(2000) }
        };
        let wanted = bent(1900);
        let (_, bits, _) = ended(wanted, &bent);
        assert!(bits.abs_diff(wanted) * 1000 <= wanted * 3 * NEAR, "{bits} for {wanted}");
    }

    #[test]
    fn a_film_at_its_bound_is_found_at_the_edge_of_what_the_bound_lets_through() {
        for edge in [2350, 2500, 2700, 2900] {
            let plain = exponential(500.0);
            let bounded = |factor: u16| {
                if factor < edge { plain(edge) } else { plain(edge) - (plain(edge) - plain(factor)) * 2 / 3 }
            };
            let wanted = bounded(edge) * 14 / 15;
            let (_, bits, encodes) = ended(wanted, &bounded);
            assert!(bits.abs_diff(wanted) * 1000 <= wanted * LOOSELY, "{bits} for {wanted} after {encodes}");
        }
    }

    #[test]
    fn a_search_ends_where_the_bound_or_the_film_has_no_more() {
        let bounded = |factor| exponential(600.0)(factor).min(3_000_000);
        let (_, bits, encodes) = ended(9_000_000, &bounded);
        assert!(bits == 3_000_000 && encodes <= 3, "{bits} after {encodes}");
        let still = |factor| exponential(600.0)(factor) / 10_000;
        let (factor, _, _) = ended(9_000_000, &still);
        assert_eq!(factor, FINEST, "not lossless");
        let noise = |factor| exponential(600.0)(factor) * 10_000;
        assert_eq!(ended(1_000, &noise).0, 5100);
    }

    #[test]
    fn the_pace_of_many_encodes_counts_the_time_of_all() {
        let at = Progress { media_ns: 1_000_000_000, speed_permille: 4000, ..Progress::default() };
        assert_eq!(told(at, 1, Duration::from_secs(2), true).speed_permille, 500);
    }

    #[test]
    fn the_time_to_go_is_told_where_one_encode_is_mostly_enough() {
        let at = Progress { permille: 500, eta_ms: Some(7000), ..Progress::default() };
        let (bound, mean) = (told(at, 0, Duration::ZERO, false), told(at, 0, Duration::ZERO, true));
        assert_eq!((bound.permille, bound.eta_ms), (450, Some(7000)));
        assert_eq!((mean.permille, mean.eta_ms), (250, None));
    }

    #[test]
    fn progress_of_many_encodes_never_goes_back() {
        for is_mean in [true, false] {
            let at = |permille, encodes| {
                told(Progress { permille, ..Progress::default() }, encodes, Duration::ZERO, is_mean).permille
            };
            let all: Vec<u16> = (0..8).flat_map(|encodes| [at(0, encodes), at(1000, encodes)]).collect();
            assert!(all.is_sorted() && all[15] <= 1000, "{all:?}");
            assert_eq!((all[0], all[1]), (0, if is_mean { 500 } else { 900 }));
        }
    }
}
