//! The cheapest set of running attempts whose end frees what is missing: a covering problem in two resources.

use std::cmp::Reverse;

use rushes_shared::id::{AttemptId, TaskId};
use rushes_shared::task::Demand;

/// Up to so many attempts every set is looked at; of more, those that lose the least for what they free are taken.
const FEW: usize = 8;

/// An attempt that can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stoppable {
    /// What is lost with it, in milliseconds times millicores.
    pub lost: u64,
    /// What its end frees.
    pub frees: Demand,
    /// Which.
    pub what: (AttemptId, TaskId),
}

/// The set that loses the least of those that free what is `missing`, and what that is; of equal ones the latest attempts.
/// Where there are many, a good one of which none could go on. `None` where all of them are not enough.
#[must_use]
pub fn set(mut all: Vec<Stoppable>, missing: Demand) -> Option<(u64, Vec<(AttemptId, TaskId)>)> {
    all.retain(|one| {
        (one.frees.cpu.0 > 0 && missing.cpu.0 > 0) || (one.frees.memory.0 > 0 && missing.memory.0 > 0)
    });
    if !is_enough(&all, missing) {
        return None;
    }
    all.sort_by_key(|one| (one.lost, Reverse(one.what.0)));
    let chosen = if all.len() <= FEW { exact(&all, missing) } else { greedy(&all, missing) };
    let lost = chosen.iter().fold(0_u64, |sum, one| sum.saturating_add(one.lost));
    Some((lost, chosen.into_iter().map(|one| one.what).collect()))
}

fn is_enough(some: &[Stoppable], missing: Demand) -> bool {
    let cpu: u64 = some.iter().map(|one| u64::from(one.frees.cpu.0)).sum();
    let memory = some.iter().fold(0_u64, |sum, one| sum.saturating_add(one.frees.memory.0));
    cpu >= u64::from(missing.cpu.0) && memory >= missing.memory.0
}

/// Every set, the cheapest first by its bits.
fn exact(all: &[Stoppable], missing: Demand) -> Vec<Stoppable> {
    let of =
        |bits: u32| all.iter().enumerate().filter(move |(at, _)| bits >> at & 1 == 1).map(|(_, one)| one);
    let is_enough = |bits: u32| {
        let (mut cpu, mut memory) = (0_u64, 0_u64);
        for one in of(bits) {
            cpu += u64::from(one.frees.cpu.0);
            memory = memory.saturating_add(one.frees.memory.0);
        }
        cpu >= u64::from(missing.cpu.0) && memory >= missing.memory.0
    };
    let lost = |bits: u32| of(bits).fold(0_u64, |sum, one| sum.saturating_add(one.lost));
    let sets = (0..1_u32 << all.len()).filter(|bits| is_enough(*bits));
    let least = sets.min_by_key(|bits| (lost(*bits), bits.count_ones()));
    least.map(|bits| of(bits).copied().collect()).unwrap_or_default()
}

/// One that is enough by itself, or those that lose the least for their share of what is missing, without any that is not
/// needed.
fn greedy(all: &[Stoppable], missing: Demand) -> Vec<Stoppable> {
    let share = |one: &Stoppable| {
        let of = |part: u64, whole: u64| (part.min(whole) * 1_000).checked_div(whole).unwrap_or(0);
        of(one.frees.cpu.0.into(), missing.cpu.0.into())
            + of(one.frees.memory.0 >> 20, missing.memory.0 >> 20)
    };
    let mut by_price = all.to_vec();
    by_price.sort_by_key(|one| one.lost.saturating_mul(1_000) / share(one).max(1));
    let mut chosen: Vec<Stoppable> = Vec::new();
    for one in by_price {
        if is_enough(&chosen, missing) {
            break;
        }
        chosen.push(one);
    }
    chosen.sort_by_key(|one| one.lost);
    for at in (0..chosen.len()).rev() {
        let spared = chosen.remove(at);
        if !is_enough(&chosen, missing) {
            chosen.insert(at, spared);
        }
    }
    let sum = chosen.iter().fold(0_u64, |sum, one| sum.saturating_add(one.lost));
    let single = all.iter().find(|one| is_enough(&[**one], missing));
    single.filter(|one| one.lost <= sum).map_or(chosen, |one| vec![*one])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rushes_shared::id::{Epoch, JobId};
    use rushes_shared::units::{Bytes, Millicores};

    use super::*;

    fn one(number: u64, lost: u64, cpu: u32, memory: u64) -> Stoppable {
        let attempt = AttemptId { epoch: Epoch(1), counter: number };
        let task = TaskId { job: JobId(number.into()), index: 0 };
        Stoppable { lost, frees: demand(cpu, memory), what: (attempt, task) }
    }

    fn demand(cpu: u32, gib: u64) -> Demand {
        Demand { cpu: Millicores(cpu), memory: Bytes(gib << 30) }
    }

    #[test]
    fn several_small_ones_go_where_they_lose_less_than_a_large_one() {
        let all = vec![one(1, 100, 4_000, 4), one(2, 10, 2_000, 1), one(3, 20, 2_000, 1), one(4, 5, 500, 1)];
        let which = |missing| {
            set(all.clone(), missing)
                .map(|(lost, set)| (lost, set.iter().map(|(attempt, _)| attempt.counter).collect::<Vec<_>>()))
        };
        assert_eq!(which(demand(4_000, 2)), Some((30, vec![2, 3])));
        assert_eq!(which(demand(4_000, 4)), Some((100, vec![1])), "it is memory that is missing");
        assert_eq!(which(demand(400, 0)), Some((5, vec![4])));
        assert_eq!(which(demand(9_000, 0)), None, "all of them are not enough");
        assert_eq!(which(demand(0, 0)), Some((0, vec![])), "there is room");
    }

    proptest! {
        #[test]
        fn of_few_the_cheapest_go_and_of_many_none_without_need(
            all in prop::collection::vec((0_u64..1_000, 1_u32..8_000, 0_u64..8), 1..14),
            cpu in 1_u32..16_000, memory in 0_u64..16,
        ) {
            let all: Vec<Stoppable> =
                (1..).zip(&all).map(|(n, (lost, cpu, memory))| one(n, *lost, *cpu, *memory)).collect();
            let missing = demand(cpu, memory);
            let found = set(all.clone(), missing);
            prop_assert_eq!(found.is_some(), is_enough(&all, missing));
            let Some((lost, attempts)) = found else { return Ok(()) };
            let is_in = |one: &&Stoppable| attempts.contains(&one.what);
            let chosen: Vec<Stoppable> = all.iter().filter(is_in).copied().collect();
            prop_assert!(is_enough(&chosen, missing));
            let mut least = u64::MAX;
            for bits in 0..1_u32 << all.len() {
                let some: Vec<Stoppable> =
                    all.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, one)| *one).collect();
                if is_enough(&some, missing) {
                    least = least.min(some.iter().map(|one| one.lost).sum());
                }
            }
            if all.len() <= FEW {
                prop_assert_eq!(lost, least);
            }
            for one in &chosen {
                let rest: Vec<Stoppable> = chosen.iter().filter(|other| *other != one).copied().collect();
                prop_assert!(!is_enough(&rest, missing) || one.lost == 0, "{one:?} could go on");
            }
        }
    }
}
