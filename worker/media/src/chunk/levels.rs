//! The search for the finest level of quality at which a chunk of VP9 or AV1 keeps its bound on the rate: libvpx and libaom hold a
//! mean at best.
//!
//! ```text
//! encode at the rung's level --> keeps its bound: done
//!                            --> breaks it: coarser … until one keeps it --> leaves much room: finer again …
//! ```

use rushes_shared::encode::VideoCodec;
use rushes_shared::ladder::ALL;

use super::wish::STEP;

/// Steps that about halve the bits: 11 over a film, some fewer where it has the most.
const STEPS_TO_HALF: f64 = 9.0;
/// The same as an encode may show it: noise goes all at once, near the coarse end.
const LEAST_TO_HALF: f64 = 2.0;
const MOST_TO_HALF: f64 = 16.0;
/// Encodes that break their bound after which the next has the coarsest level.
const MOST_BROKEN: u8 = 3;
/// Most encodes in search of a finer level.
const MOST: u8 = 7;
/// The share of its bits from which on a chunk leaves enough room to look for a finer level, in thousandths.
const ROOMY: u64 = ALL * 3 / 2;

/// What is known of the levels of a rung of a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Levels {
    worst: u16,
    encodes: u8,
    /// The coarsest factor that broke the bound, and the finest that kept it.
    broke: Option<Side>,
    kept: Option<Side>,
}

#[derive(Debug, Clone, Copy)]
struct Side {
    factor: u16,
    /// The share of its bits with which it would just keep the bound, in halvings: less than nothing where it is over.
    room: f64,
}

impl Levels {
    /// Of a codec; `None` where its encoder keeps bounds by itself.
    pub(super) fn of(codec: VideoCodec) -> Option<Self> {
        let is_ours = matches!(codec, VideoCodec::Vp9 | VideoCodec::Av1);
        let worst = codec.worst_crf().filter(|_| is_ours)?;
        Some(Self { worst: u16::from(worst) * STEP, encodes: 0, broke: None, kept: None })
    }

    /// The factor to try after an encode at this one, which would keep the bound with such a share of its bits, in thousandths; `None`
    /// where there is nothing more to try.
    pub(super) fn next(&mut self, factor: u16, share: u64) -> Option<u16> {
        self.encodes += 1;
        let room = (f64::from(u32::try_from(share.max(1)).unwrap_or(u32::MAX)) / 1000.0).log2();
        let side = Side { factor, room };
        let before = self.broke;
        let place = if share < ALL { &mut self.broke } else { &mut self.kept };
        *place = Some(side);
        match (self.broke, self.kept) {
            (Some(broke), Some(kept)) => {
                let is_over = (ALL..ROOMY).contains(&share) || self.encodes >= MOST;
                let least = broke.factor.saturating_add(STEP);
                (!is_over && least < kept.factor).then(|| between(broke, kept))
            }
            (Some(broke), None) => (factor < self.worst).then(|| self.coarser(broke, before)),
            (None, _) => None,
        }
    }

    /// The coarsest, where the search for bits has ended with an encode that breaks its bound.
    pub(super) fn last(&self, factor: u16, share: u64) -> Option<u16> {
        (share < ALL && factor < self.worst).then_some(self.worst)
    }

    /// Whether an encode that kept its bound waits for a finer one.
    pub(super) fn rank(&self, factor: u16, share: u64) -> Option<u64> {
        (share >= ALL && self.broke.is_some()).then_some(u64::from(factor))
    }

    /// A factor beyond one that is over its bound.
    fn coarser(&self, broke: Side, before: Option<Side>) -> u16 {
        if self.encodes >= MOST_BROKEN {
            return self.worst;
        }
        let shown = before.map(|before| {
            let steps = f64::from(broke.factor.abs_diff(before.factor)) / f64::from(STEP);
            steps / (broke.room - before.room)
        });
        let to_half = match shown {
            Some(to_half) if to_half > 0.0 => to_half.clamp(LEAST_TO_HALF, MOST_TO_HALF),
            Some(_) => MOST_TO_HALF,
            None => STEPS_TO_HALF,
        };
        // One step more from the second time on: another encode costs more than a step.
        let margin = if before.is_some() { 1.0 } else { 0.0 };
        let steps = whole((to_half * -broke.room + margin).ceil().max(2.0));
        broke.factor.saturating_add(steps.saturating_mul(STEP)).min(self.worst)
    }
}

/// The level between two at which a line, drawn over halvings, keeps the bound, or the middle: noise goes at the coarse end. Never one
/// of both.
fn between(broke: Side, kept: Side) -> u16 {
    let steps = kept.factor.abs_diff(broke.factor) / STEP;
    let part = -broke.room / (kept.room - broke.room).max(f64::MIN_POSITIVE);
    let part = whole((f64::from(steps) * part.max(0.5)).ceil()).clamp(1, steps.saturating_sub(1).max(1));
    broke.factor.saturating_add(part.saturating_mul(STEP))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float's cast ends at the bounds"
)]
pub(super) fn whole(steps: f64) -> u16 {
    steps as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The factor that a search ends with, and how many encodes it took, where a film takes so many bits at a level of those that it may
    /// have.
    fn ended(first: u16, film: &dyn Fn(u16) -> f64) -> (u16, u8) {
        let mut levels = Levels::of(VideoCodec::Vp9).unwrap();
        let (mut factor, mut nearest) = (first * STEP, None);
        loop {
            let share = (1000.0 / film(factor / STEP)).clamp(1.0, 16_000.0);
            let share = u64::from(whole(share));
            let next = levels.next(factor, share);
            if let Some(rank) = levels.rank(factor, share).filter(|rank| nearest.is_none_or(|at| *rank <= at))
            {
                nearest = Some(rank);
            }
            let Some(next) = next else {
                let last = nearest.and_then(|rank| u16::try_from(rank).ok()).unwrap_or(factor);
                return (last / STEP, levels.encodes);
            };
            factor = next;
        }
    }

    #[test]
    fn a_level_that_keeps_the_bound_is_left_alone() {
        assert_eq!(ended(32, &|_| 0.9), (32, 1));
        assert_eq!(ended(32, &|_| 0.01), (32, 1), "nothing finer than the rung's own is wanted");
    }

    #[test]
    fn a_film_of_any_slope_keeps_its_bound_and_uses_it() {
        for to_half in [6.0, 9.0, 11.0, 14.0] {
            for over in [1.1, 1.5, 2.0, 3.0, 5.0] {
                let film = |level: u16| over * 2_f64.powf(-(f64::from(level) - 32.0) / to_half);
                let (level, encodes) = ended(32, &film);
                let used = film(level);
                assert!(used <= 1.0 || level == 63, "{used} at {level}");
                assert!(
                    used > 0.55 || level == 63,
                    "{used} of the bound after {encodes} at {to_half}, {over}"
                );
                assert!(encodes <= 4, "{encodes} encodes at {to_half}, {over}");
            }
        }
    }

    #[test]
    fn noise_that_goes_all_at_once_is_found_on_its_edge() {
        // 3 s of noise in 320x180 at levels of 57 to 63, by libvpx, for 500 kb/s.
        let curve = [1_021_149, 837_877, 616_634, 348_360, 116_749, 44_842, 20_032].map(f64::from);
        let film = |level: u16| match level.checked_sub(57) {
            Some(at) => curve[usize::from(at)] / 500_000.0,
            None => 18.0 * 2_f64.powf(-(f64::from(level) - 20.0) / 11.7),
        };
        for first in [20, 36, 58] {
            let (level, encodes) = ended(first, &film);
            assert!(level == 60 && encodes <= MOST, "{level} after {encodes} from {first}");
        }
    }

    #[test]
    fn a_film_that_keeps_no_bound_ends_at_the_coarsest_level() {
        let (level, encodes) = ended(32, &|_| 50.0);
        assert!(level == 63 && encodes <= MOST_BROKEN + 1, "{level} after {encodes}");
    }
}
