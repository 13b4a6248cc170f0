//! What a job should still take if it had the farm to itself: the longest way through its stages that are not complete.

use super::ledger::{Load, Power};
use rushes_shared::task::{Demand, SlotKind};

use super::predict::Predictor;
use crate::job::{Prediction, Stage};

/// What is left of a stage.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a> {
    /// Its plan.
    pub stage: &'a Stage,
    /// Tasks that have not succeeded.
    pub open: u32,
    /// How many of them run at once at most, whatever room there is.
    pub at_once: u64,
    /// Where all of them run: how long the latest of them has run, in milliseconds.
    pub running_ms: Option<u64>,
    /// Where all of them run and say how long they will still take: the longest of these, in milliseconds.
    pub rest_ms: Option<u64>,
}

/// The critical path, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Path {
    /// If every task takes its median.
    pub p50_ms: u64,
    /// If every task takes its ninth decile.
    pub p90_ms: u64,
}

/// The critical path over what is left, with all of the farm's `power` at hand, on nodes of the usual speed.
#[must_use]
pub fn remaining(left: &[Left<'_>], predictor: Predictor, power: Power, speed_permille: u32) -> Path {
    let mut ends: Vec<Path> = Vec::with_capacity(left.len());
    let mut last = Path::default();
    for item in left {
        let before = item.stage.after.iter().filter_map(|at| ends.get(*at as usize));
        let begin = before.fold(Path::default(), |a, b| Path {
            p50_ms: a.p50_ms.max(b.p50_ms),
            p90_ms: a.p90_ms.max(b.p90_ms),
        });
        let end = if item.open == 0 {
            begin
        } else {
            let rest_ms = item.rest_ms.map(|rest_ms| (rest_ms, rest_ms.saturating_add(rest_ms / 10)));
            let one = predictor.expect(item.stage.prediction, speed_permille);
            let rounds = u64::from(item.open)
                .div_ceil(rooms_for(item.stage, power, speed_permille).min(item.at_once).max(1));
            let since = item.running_ms.unwrap_or(0);
            // One that has run for longer than expected is expected to take a tenth more.
            let rest = |ms: u64| {
                let all = ms.saturating_mul(rounds);
                if since <= all { all - since } else { ms / 10 }
            };
            // What a task says of itself is nearer to the truth than what was expected of it.
            let (p50_ms, p90_ms) = rest_ms.unwrap_or_else(|| (rest(one.p50_ms), rest(one.p90_ms)));
            Path { p50_ms: begin.p50_ms.saturating_add(p50_ms), p90_ms: begin.p90_ms.saturating_add(p90_ms) }
        };
        ends.push(end);
        last = Path { p50_ms: last.p50_ms.max(end.p50_ms), p90_ms: last.p90_ms.max(end.p90_ms) };
    }
    last
}

/// Tasks of a stage for which the farm has room at once, at least 1.
fn rooms_for(stage: &Stage, power: Power, speed_permille: u32) -> u64 {
    let speed = u64::from(speed_permille.max(1));
    let slots = if stage.slot.is_light() {
        power.light / speed
    } else {
        power.cores.saturating_mul(1_000) / speed / u64::from(stage.demand.cpu.0.max(1))
    };
    slots.max(1)
}

/// What one task of a stage takes of the farm.
#[must_use]
pub fn load_of(stage: &Stage) -> Load {
    load_with(stage.slot, stage.demand, stage.prediction)
}

/// What stages take of the farm of which nothing has begun.
#[must_use]
pub fn load_of_all(stages: &[Stage]) -> Load {
    let kept = stages.iter().filter(|stage| !stage.dropped);
    kept.fold(Load::default(), |sum, stage| sum.plus(load_of(stage).times(stage.count)))
}

/// What a task of this demand and prediction takes of the farm.
#[must_use]
pub fn load_with(slot: SlotKind, demand: Demand, prediction: Prediction) -> Load {
    let wall = prediction.wall_ms;
    if slot.is_light() {
        Load { cores_ms: 0, light_ms: wall }
    } else {
        Load { cores_ms: wall.saturating_mul(u64::from(demand.cpu.0)) / 1_000, light_ms: 0 }
    }
}

#[cfg(test)]
mod tests {
    use rushes_shared::units::{Bytes, Millicores};

    use super::*;
    use crate::job::Step;

    fn stage(wall_ms: u64, after: Vec<u32>) -> Stage {
        Stage {
            step: Step::Noop { hold_ms: 1, cpu_ms: 1 },
            slot: SlotKind::Encode,
            count: 10,
            after,
            demand: Demand { cpu: Millicores(1_000), memory: Bytes(0) },
            prediction: Prediction { cpu_ms: wall_ms, wall_ms, model: 0 },
            optional: false,
            dropped: false,
        }
    }

    #[test]
    fn the_longest_way_counts_in_rounds_of_what_the_farm_runs_at_once() {
        let (a, b, c) = (stage(1_000, vec![]), stage(3_000, vec![]), stage(500, vec![0]));
        let open = |stage| Left { stage, open: 10, at_once: u64::MAX, running_ms: None, rest_ms: None };
        let left = [open(&a), open(&b), open(&c)];
        let predictor = Predictor { p90_permille: 2_000 };
        let path = |cores: u64, speed| {
            remaining(&left, predictor, Power { cores: cores * u64::from(speed), light: 0 }, speed)
        };
        assert_eq!(path(100, 1_000), Path { p50_ms: 3_000, p90_ms: 6_000 });
        assert_eq!(path(5, 1_000).p50_ms, 6_000, "two rounds of the longest");
        assert_eq!(path(100, 500).p50_ms, 6_000, "nodes of half the speed");
        let held = [Left { at_once: 4, ..open(&b) }];
        let power = Power { cores: 100_000, light: 0 };
        assert_eq!(remaining(&held, predictor, power, 1_000).p50_ms, 9_000, "no more than four at once");
        let done = [Left { stage: &b, open: 1, at_once: u64::MAX, running_ms: Some(2_900), rest_ms: None }];
        assert_eq!(remaining(&done, predictor, Power { cores: 1_000, light: 0 }, 1_000).p50_ms, 100);
        let told =
            [Left { stage: &b, open: 1, at_once: u64::MAX, running_ms: Some(100), rest_ms: Some(9_000) }];
        let path = remaining(&told, predictor, Power { cores: 1_000, light: 0 }, 1_000);
        assert_eq!((path.p50_ms, path.p90_ms), (9_000, 9_900), "by its own word");
        let over = [Left { stage: &b, open: 1, at_once: u64::MAX, running_ms: Some(3_100), rest_ms: None }];
        assert_eq!(remaining(&over, predictor, Power { cores: 1_000, light: 0 }, 1_000).p50_ms, 300);
    }
}
