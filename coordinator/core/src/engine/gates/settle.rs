//! Which promises are given up where not all fit through a gate: of those that are due by what is missed the one whose loss
//! costs the least value for the time that it frees, until the others fit (Moore 1968, with values).

use std::sync::Arc;

use rushes_shared::id::JobId;
use rushes_shared::job::Class;
use rushes_shared::units::{MonoMs, Now, WallMs};

use super::super::conflicts::{time, value};
use super::super::promises::MOST_TRADES;
use super::super::{Engine, Timer, Turn};
use super::{Gated, work_of};
use crate::policy::Admission;
use crate::promise::gate::{Gate, Work};
use crate::promise::late::LateBy;
use crate::promise::ledger::{Due, Miss, Power};
use crate::promise::offer::{self, Cause, Giver};
use crate::promise::trade::{Sake, Trade};

/// Promises that yield to one newcomer at a gate.
const MOST_YIELDING: usize = 64;
/// Promises that are given up, and trades that are taken, in one turn at one gate; the next turn takes more.
const MOST_STEPS: usize = 64;
/// Promises whose trades are looked at before one is given up, the cheapest first.
const MOST_GIVERS: usize = 16;
/// Promises among which those are looked for.
const MOST_SCANNED: usize = 256;

/// A promise that is to be given.
#[derive(Debug, Clone, Copy)]
struct Newcomer {
    id: JobId,
    class: Class,
    priority: u8,
    deadline: WallMs,
    work: Work,
    /// What of that it would give up.
    saved: Work,
    /// Whether its work is in the books.
    is_booked: bool,
}

/// A gate through which a promise does not fit.
#[derive(Debug, Clone, Copy)]
struct Crowded {
    by: LateBy,
    /// How much later it would be done, in milliseconds.
    by_ms: u64,
}

/// What one is worth at a gate: the lowest yields first.
type Price = (Class, u64, std::cmp::Reverse<JobId>);

impl Engine {
    /// What a job that would be planned like this gives up of its own so that its promise fits through its gates, if need
    /// be in place of some that are worth less. `None` where it does not fit.
    pub(in super::super) fn trades_to_pass(
        &self,
        now: Now,
        giver: &Giver<'_>,
        deadline: WallMs,
    ) -> Option<Vec<Trade>> {
        let job = giver.job();
        let gates = self.gates_of(job, self.tenants.ix(&job.tenant));
        if gates.is_empty() || job.spec.class == Class::Emergency {
            return Some(Vec::new());
        }
        let kept = giver.stages().iter().filter(|stage| !stage.dropped);
        let work = kept.fold(Work::default(), |sum, s| sum.plus(work_of(s).times(s.count)));
        let priority = self.policy.order.value.priority_of(&job.spec).value();
        let (id, class) = (job.id, job.spec.class);
        let newcomer =
            Newcomer { id, class, priority, deadline, work, saved: Work::default(), is_booked: false };
        self.through(now, giver, |saved| {
            let newcomer = Newcomer { saved, ..newcomer };
            let of = |(gate, units): &(Gate, u32)| self.yielding_at(now, gate, (&newcomer, *units));
            gates.iter().try_for_each(|gate| of(gate).map(|_| ()))
        })
        .map(|(trades, ())| trades)
        .ok()
    }

    /// The fewest of the cheapest trades of the job's own with which `passes` finds something, and that; or else what is
    /// missed with all of them.
    fn through<T>(
        &self,
        now: Now,
        giver: &Giver<'_>,
        passes: impl Fn(Work) -> Result<T, Crowded>,
    ) -> Result<(Vec<Trade>, T), Crowded> {
        let (mut trades, mut saved) = (Vec::new(), Work::default());
        let mut crowded = match passes(saved) {
            Ok(found) => return Ok((trades, found)),
            Err(crowded) => crowded,
        };
        let mut giver = giver.clone();
        while trades.len() < MOST_TRADES {
            let cause = Cause { sake: Sake::Own, missing_ms: crowded.by_ms, at: now.wall };
            let Some(trade) = offer::cheapest(&giver.options(cause)) else { break };
            let of = |giver: &Giver<'_>| {
                let stage = &giver.stages()[trade.stage as usize];
                if stage.dropped { Work::default() } else { work_of(stage).times(stage.count) }
            };
            let before = of(&giver);
            giver.take(&trade);
            saved = saved.plus(before.minus(of(&giver)));
            trades.push(trade);
            match passes(saved) {
                Ok(found) => return Ok((trades, found)),
                Err(still) => crowded = still,
            }
        }
        Err(crowded)
    }

    /// Whether a late job's promise fits through its gates again, with nobody yielding.
    pub(in super::super) fn passes_again(&self, now: Now, id: JobId, deadline: WallMs) -> bool {
        let Some(gated) = self.runs[&id].rare().gated.as_deref() else { return true };
        gated.gates.iter().all(|(gate, units)| {
            let (Some(flow), Some(power)) = (self.gates.flow(gate), self.gate_power(gate)) else {
                return true;
            };
            let due = Due { deadline, load: gate.load(*units, gated.booked.work) };
            let running = self.gate_running(now, gate, power);
            let share = power.share(self.policy.promise.load_permille);
            flow.ledger.miss_with(now.wall, due, running, share, &[]).is_none()
        })
    }

    /// Judges a promise at its gates: those yield that are worth less, or else it is given up itself. Whether it stands.
    pub(in super::super) fn judge_at_gates(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs) -> bool {
        let run = &self.runs[&id];
        let Some(Gated { gates, booked }) = run.rare().gated.as_deref() else { return true };
        if booked.class == Class::Emergency {
            return true;
        }
        let (class, work, priority) = (booked.class, booked.work, run.priority);
        let newcomer =
            Newcomer { id, class, priority, deadline, work, saved: Work::default(), is_booked: true };
        let job = &self.state.jobs[&id];
        let giver = Giver::live(job, |at| run.stages.get(at).is_some_and(|stage| stage.is_untouched()));
        let found = self.through(turn.now, &giver, |saved| {
            let newcomer = Newcomer { saved, ..newcomer };
            let mut yielding = Vec::new();
            for (gate, units) in gates {
                yielding.extend(self.yielding_at(turn.now, gate, (&newcomer, *units))?);
            }
            Ok(yielding)
        });
        let (trades, yielding) = match found {
            Ok(found) => found,
            Err(Crowded { by, .. }) => {
                self.give_up(turn, id, deadline, by);
                return false;
            }
        };
        for trade in trades {
            self.take_trade(turn, id, trade);
        }
        for (due, other) in yielding {
            if self.state.jobs.get(&other).is_some_and(|job| job.late.is_none()) {
                self.give_up(turn, other, due, LateBy::Other(id));
            }
        }
        true
    }

    /// Looks at gates of which less may be let through than before.
    pub(in super::super) fn settle_gates(&mut self, turn: &mut Turn) {
        // Workers of the reign before may still come back, or none is there yet.
        if self.gates.crowded.is_empty() || !self.knows_power() {
            return;
        }
        for gate in std::mem::take(&mut self.gates.crowded) {
            if !(0..MOST_STEPS).any(|_| self.settle(turn, &gate)) {
                self.gates.crowded.insert(gate);
                self.wake_at(MonoMs(turn.now.mono.0 + 1), Timer::Rest);
            }
        }
    }

    /// Has the cheapest of the promises that are in the way give something up, or else gives the cheapest up. Whether
    /// that was not called for any more.
    fn settle(&mut self, turn: &mut Turn, gate: &Gate) -> bool {
        let (Some(flow), Some(power)) = (self.gates.flow(gate), self.gate_power(gate)) else { return true };
        let running = self.gate_running(turn.now, gate, power);
        let missed = flow.ledger.first_overload(turn.now.wall, running, power, &[], WallMs(u64::MAX));
        let Some(missed) = missed else { return true };
        let due = flow.promises.range(..=(missed.deadline, JobId(u128::MAX))).take(MOST_SCANNED);
        let mut dues: Vec<_> = due.filter_map(|(at, id)| self.price_at(gate, *id, *at)).collect();
        dues.sort_unstable_by_key(|(price, ..)| *price);
        let cause = Cause { sake: Sake::Own, missing_ms: missed.by_ms, at: turn.now.wall };
        let lets_any = power != Power::default();
        let givers = dues.iter().take(MOST_GIVERS).filter(|_| lets_any);
        let trade = givers.filter_map(|(.., id)| Some((*id, self.asked(*id)?))).find_map(|(id, asked)| {
            let saves = |trade: &Trade| trade.after.wall_ms < trade.before.wall_ms;
            let options: Vec<Trade> = asked.giver.options(cause).into_iter().filter(saves).collect();
            Some((id, offer::cheapest(&options)?))
        });
        match (trade, dues.first()) {
            (Some((id, trade)), _) => self.take_trade(turn, id, trade),
            (None, Some((_, due, id))) => self.give_up(turn, *id, due.deadline, gate.late_by()),
            // What is left to do by then was not promised.
            (None, None) => return true,
        }
        false
    }

    /// Looks at a live job's gates before anything else is started, where what is promised there by its deadline takes
    /// too long.
    pub(in super::super) fn note_crowded(&mut self, now: Now, id: JobId, deadline: WallMs) {
        let Some(gated) = self.runs.get(&id).and_then(|run| run.rare().gated.as_deref()) else { return };
        let is_over = |gate: &Gate| {
            let (flow, power) = (self.gates.flow(gate)?, self.gate_power(gate)?);
            let running = self.gate_running(now, gate, power);
            flow.ledger.first_overload(now.wall, running, power, &[], deadline)
        };
        let over: Vec<_> = gated.gates.iter().filter(|(gate, _)| is_over(gate).is_some()).collect();
        self.gates.crowded.extend(over.into_iter().map(|(gate, _)| Arc::clone(gate)));
    }

    /// The promises that have to yield so that the others fit through a gate; an error where the newcomer has to.
    fn yielding_at(
        &self,
        now: Now,
        gate: &Gate,
        (new, units): (&Newcomer, u32),
    ) -> Result<Vec<(WallMs, JobId)>, Crowded> {
        let Some(power) = self.gate_power(gate) else { return Ok(Vec::new()) };
        let empty = super::Flow::default();
        let flow = self.gates.flow(gate).unwrap_or(&empty);
        let running = self.gate_running(now, gate, power);
        let share = power.share(self.policy.promise.load_permille);
        let of = |work: Work| Due { deadline: new.deadline, load: gate.load(units, work) };
        let (booked, saved, due) = (of(new.work), of(new.saved), of(new.work.minus(new.saved)));
        let own = price(new.class, new.priority, due, new.id);
        let misses = |without: &[Due]| match new.is_booked {
            true => flow.ledger.miss_of(now.wall, booked, running, share, &[&[saved], without].concat()),
            false => flow.ledger.miss_with(now.wall, due, running, share, without),
        };
        let crowded = |missed: Miss| Err(Crowded { by: gate.late_by(), by_ms: missed.by_ms });
        let (mut yielding, mut gone, mut lost, mut freed): (Vec<(WallMs, JobId)>, Vec<Due>, u64, u64) =
            (Vec::new(), Vec::new(), 0, 0);
        while let Some(missed) = misses(&gone).filter(|_| yielding.len() < MOST_YIELDING) {
            let until = (missed.deadline, JobId(u128::MAX));
            let others = flow.promises.range(..=until).take(MOST_SCANNED + yielding.len());
            let others = others.filter(|entry| !yielding.contains(entry) && entry.1 != new.id);
            let priced = others.filter_map(|(deadline, id)| self.price_at(gate, *id, *deadline));
            let cheapest = priced.min_by_key(|(price, ..)| *price).filter(|(price, ..)| *price < own);
            let Some((price, due, id)) = cheapest else { return crowded(missed) };
            lost += if new.class == price.0 { value(self.runs[&id].priority) } else { 0 };
            freed += time(due.load);
            yielding.push((due.deadline, id));
            gone.push(due);
        }
        let Some(missed) = misses(&[]) else { return Ok(yielding) };
        // A promise that was given where others are refused is kept.
        let may_yield = self.policy.promise.admission == Admission::Advise;
        let worth = value(new.priority);
        let is_worth_it = lost < worth || (lost == worth && freed > time(due.load));
        if may_yield && is_worth_it && misses(&gone).is_none() { Ok(yielding) } else { crowded(missed) }
    }

    /// What a booked promise is worth at a gate, and what it takes there.
    fn price_at(&self, gate: &Gate, id: JobId, deadline: WallMs) -> Option<(Price, Due, JobId)> {
        let run = self.runs.get(&id)?;
        let gated = run.rare().gated.as_deref()?;
        let (_, units) = gated.gates.iter().find(|(own, _)| **own == *gate)?;
        let due = Due { deadline, load: gate.load(*units, gated.booked.work) };
        Some((price(gated.booked.class, run.priority, due, id), due, id))
    }
}

fn price(class: Class, priority: u8, due: Due, id: JobId) -> Price {
    (class, (value(priority) << 32) / time(due.load).max(1), std::cmp::Reverse(id))
}
