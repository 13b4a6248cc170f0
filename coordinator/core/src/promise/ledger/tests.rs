//! The books against a look at every deadline.

use super::*;
use crate::splitmix::splitmix;

/// What a promise gives up is as good as work that it never had: a smaller promise fits exactly where the larger one
/// without its own trade does.
#[test]
fn a_trade_of_its_own_makes_a_promise_smaller() {
    let power = Power { cores: 2_000, light: 1_000 };
    let mut told = [0, 0];
    for seed in 0..2_000_u64 {
        let chance = |n: u64, below: u64| splitmix(seed << 8 | n) % below;
        let few = chance(99, 2) == 0;
        let due = |n: u64| Due {
            deadline: WallMs(10_000 + chance(n, 200_000)),
            load: Load { cores_ms: 1 + chance(n + 100, if few { 60_000 } else { 4_000 }), light_ms: 0 },
        };
        let others: Vec<Due> = (0..if few { 4 } else { 90 }).map(due).collect();
        let whole = Due { load: Load { cores_ms: 40_000 + chance(200, 60_000), light_ms: 0 }, ..due(201) };
        let trade = Due { load: Load { cores_ms: 1 + chance(202, 40_000), light_ms: 0 }, ..whole };
        let smaller = Due { load: whole.load.minus(trade.load), ..whole };
        let keeps = |own: Due, without: &[Due]| {
            let mut ledger = Ledger::default();
            for due in others.iter().chain([&own]) {
                ledger.book(&Booking {
                    class: Class::Standard,
                    deadline: Some(due.deadline),
                    load: due.load,
                });
            }
            ledger.miss_of(WallMs(0), own, Running::default(), power, without).is_none()
        };
        let is_kept = keeps(smaller, &[]);
        assert_eq!(keeps(whole, &[trade]), is_kept, "seed {seed}");
        told[usize::from(is_kept)] += 1;
    }
    assert!(told.iter().all(|n| *n > 100), "{told:?}");
}

/// Over many random books: what spans and windows say is what a look at every deadline says, rounded to windows.
#[test]
fn summed_up_it_says_what_every_deadline_says() {
    let power = Power { cores: 4_000, light: 1_000 };
    for seed in 0..40_u64 {
        let chance = |n: u64, below: u64| splitmix(seed << 32 | n) % below;
        let mut ledger = Ledger::default();
        let mut dues: Vec<Due> = (0..300)
            .map(|n| Due {
                deadline: WallMs(1_000 + chance(n, 20_000_000)),
                load: Load { cores_ms: chance(n + 1_000, 400_000), light_ms: 0 },
            })
            .collect();
        let booking =
            |due: &Due| Booking { class: Class::Standard, deadline: Some(due.deadline), load: due.load };
        dues.iter().for_each(|due| ledger.book(&booking(due)));
        dues.drain(..50).for_each(|due| ledger.unbook(&booking(&due)));
        for n in 0..60 {
            let own = Due {
                deadline: WallMs(1_000 + chance(n + 5_000, 20_000_000)),
                load: Load { cores_ms: chance(n + 6_000, 900_000), light_ms: 0 },
            };
            let by = |end: u64| {
                let due = dues.iter().filter(|d| d.deadline.0 <= end);
                due.fold(Load::default(), |sum, d| sum.plus(d.load))
            };
            assert_eq!(ledger.due_by(own.deadline), by(own.deadline.0));
            let fits = |load: Load, end: u64| power.time_for(load).is_some_and(|ms| ms <= end);
            let end_of = |d: &Due| (d.deadline.0 / WINDOW_MS + 1) * WINDOW_MS;
            let later = dues
                .iter()
                .map(end_of)
                .filter(|end| *end > own.deadline.0 / WINDOW_MS * WINDOW_MS + WINDOW_MS);
            let naive = fits(by(own.deadline.0).plus(own.load), own.deadline.0)
                && later.into_iter().all(|end| {
                    let sum = by(end - 1);
                    fits(sum.plus(own.load), end) || !fits(sum, end)
                });
            assert_eq!(
                ledger.miss_with(WallMs(0), own, Running::default(), power, &[]).is_none(),
                naive,
                "seed {seed}"
            );
        }
        let tight = ledger.tightness(WallMs(0), Running::default(), power, 0);
        let until = dues.iter().map(|d| d.deadline.0 / WINDOW_MS).filter(|window| {
            let due = dues.iter().filter(|d| d.deadline.0 / WINDOW_MS <= *window);
            let sum = due.fold(Load::default(), |sum, d| sum.plus(d.load));
            power.time_for(sum).is_none_or(|ms| ms > window * WINDOW_MS)
        });
        assert_eq!(tight.until.0, until.max().map_or(0, |window| (window + 1) * WINDOW_MS), "seed {seed}");
    }
}
