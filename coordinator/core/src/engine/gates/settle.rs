//! Which promises are given up where not all fit through a gate: of those that are due by what is missed the one whose loss
//! costs the least value for the time that it frees, until the others fit (Moore 1968, with values).

use std::sync::Arc;

use rushes_shared::id::JobId;
use rushes_shared::job::Class;
use rushes_shared::units::{MonoMs, Now, WallMs};

use super::super::conflicts::{time, value};
use super::super::promises::MOST_TRADES;
use super::super::{Engine, Timer, Turn};
use super::work_of;
use crate::policy::Admission;
use crate::promise::gate::{Gate, Work};
use crate::promise::late::LateBy;
use crate::promise::ledger::{Due, Miss, Power};
use crate::promise::offer::{self, Cause, Giver};
use crate::promise::trade::{Sake, Trade};

/// Promises that yield to one newcomer at a gate, or are given up in one step.
const MOST_YIELDING: usize = 64;
/// Trades, and conflicts, that are settled in one turn at one gate; the next turn takes more.
const MOST_STEPS: usize = 64;
/// Promises whose trades are looked at before one is given up, the cheapest first.
const MOST_GIVERS: usize = 16;
/// Promises among which those are looked for.
const MOST_SCANNED: usize = 256;
/// The same with those of which everything runs.
const MOST_LOOKS: usize = 4_096;

/// Promises, the first that are due, that are looked at again when longer tasks than before may get in their way.
const MOST_WOKEN: usize = 64;
/// How long after that; what they give up and take back makes others look as well.
const WOKEN_AFTER_MS: u64 = 250;

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
    /// Whether others may yield to it.
    may_replace: bool,
}

/// What makes room for a promise at its gates.
#[derive(Debug, Default)]
pub(in super::super) struct AtGates {
    /// Trades of its own.
    pub(in super::super) trades: Vec<Trade>,
    /// Promises that yield to it.
    pub(in super::super) yielding: Vec<JobId>,
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
/// A promise with its price.
type Priced = (Price, Due, JobId);

impl Engine {
    /// What a job that would be planned like this gives up of its own so that its promise fits through its gates, and the
    /// promises that yield to it there. `None` where it does not fit.
    pub(in super::super) fn trades_to_pass(
        &self,
        now: Now,
        giver: &Giver<'_>,
        deadline: WallMs,
    ) -> Option<(Vec<Trade>, Vec<JobId>)> {
        let job = giver.job();
        let gates = self.gates_of(job, self.tenants.ix(&job.tenant));
        if gates.is_empty() {
            return Some((Vec::new(), Vec::new()));
        }
        let kept = giver.stages().iter().filter(|stage| !stage.dropped);
        let newcomer = Newcomer {
            id: job.id,
            class: job.spec.class,
            priority: self.policy.order.value.priority_of(&job.spec).value(),
            deadline,
            work: kept.fold(Work::default(), |sum, s| sum.plus(work_of(s).times(s.count))),
            saved: Work::default(),
            is_booked: false,
            may_replace: true,
        };
        let gates = gates.iter().map(|(gate, units)| (gate, *units));
        self.through(now, giver, |saved| self.yielding(now, gates.clone(), &Newcomer { saved, ..newcomer }))
            .ok()
    }

    /// The promises that have to yield at any of these gates so that the newcomer fits through all; an error where it has
    /// to itself.
    fn yielding<'a>(
        &self,
        now: Now,
        gates: impl Iterator<Item = (&'a Gate, u32)>,
        newcomer: &Newcomer,
    ) -> Result<Vec<JobId>, Crowded> {
        let mut yielding = Vec::new();
        for (gate, units) in gates {
            yielding.extend(self.yielding_at(now, gate, (newcomer, units))?);
        }
        Ok(yielding)
    }

    /// What makes room for a live job's promise at its gates; an error where nothing does.
    fn pass(&self, now: Now, id: JobId, newcomer: &Newcomer) -> Result<AtGates, Crowded> {
        let (job, run) = (&self.state.jobs[&id], &self.runs[&id]);
        let gates = run.rare().gated.iter().flat_map(|gated| &gated.gates);
        let gates = gates.map(|(gate, units)| (&**gate, *units));
        let giver = Giver::live(job, |at| run.stages.get(at).is_some_and(|stage| stage.is_untouched()));
        let passes = |saved| self.yielding(now, gates.clone(), &Newcomer { saved, ..*newcomer });
        let (trades, yielding) = self.through(now, &giver, passes)?;
        Ok(AtGates { trades, yielding })
    }

    /// A live job that has gates, as it stands there.
    fn newcomer(&self, id: JobId, deadline: WallMs) -> Option<Newcomer> {
        let run = &self.runs[&id];
        let booked = &run.rare().gated.as_deref()?.booked;
        Some(Newcomer {
            id,
            class: booked.class,
            priority: run.priority,
            deadline,
            work: booked.work,
            saved: Work::default(),
            is_booked: true,
            may_replace: true,
        })
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
        let Some(newcomer) = self.newcomer(id, deadline) else { return true };
        // An emergency is booked as one, late or not.
        let is_booked = newcomer.class == Class::Emergency;
        self.pass(now, id, &Newcomer { is_booked, may_replace: false, ..newcomer }).is_ok()
    }

    /// Whether the gates of a live job have room for more of its work by a deadline.
    pub(in super::super) fn pass_more(&self, now: Now, id: JobId, deadline: WallMs, work: Work) -> bool {
        let Some(newcomer) = self.newcomer(id, deadline) else { return true };
        let gates = self.runs[&id].rare().gated.iter().flat_map(|gated| &gated.gates);
        let gates = gates.map(|(gate, units)| (&**gate, *units));
        let more = Newcomer { work, is_booked: false, may_replace: false, ..newcomer };
        self.yielding(now, gates, &more).is_ok()
    }

    /// Has a job give up what it has to so that its promise, which was just given again, fits through its gates.
    pub(in super::super) fn trade_at_gates(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs) {
        let Some(newcomer) = self.newcomer(id, deadline) else { return };
        let found = self.pass(turn.now, id, &Newcomer { may_replace: false, ..newcomer });
        for trade in found.map_or_else(|_| Vec::new(), |found| found.trades) {
            self.take_trade(turn, id, trade);
        }
    }

    /// What makes room for a promise that is judged at its gates: those yield that are worth less.
    ///
    /// # Errors
    /// What it is late by where nothing does.
    pub(in super::super) fn room_at_gates(
        &self,
        now: Now,
        id: JobId,
        deadline: WallMs,
    ) -> Result<AtGates, LateBy> {
        let Some(newcomer) = self.newcomer(id, deadline) else { return Ok(AtGates::default()) };
        self.pass(now, id, &newcomer).map_err(|crowded| crowded.by)
    }

    /// Looks at gates of which less may be let through than before.
    pub(in super::super) fn settle_gates(&mut self, turn: &mut Turn) {
        for gate in std::mem::take(&mut self.gates.slower) {
            let promises = self.gates.flow(&gate).into_iter().flat_map(|flow| &flow.promises);
            let first: Vec<JobId> = promises.take(MOST_WOKEN).map(|(_, id)| *id).collect();
            first.into_iter().for_each(|id| self.wake_for_promise(turn.now, id, WOKEN_AFTER_MS));
        }
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

    /// Has the cheapest of the promises that are in the way give something up, or else gives those up whose loss is enough.
    /// Whether that was not called for any more.
    fn settle(&mut self, turn: &mut Turn, gate: &Gate) -> bool {
        let Some(power) = self.gate_power(gate, 0) else { return true };
        if let Some(id) = self.holds_too_many(gate) {
            let deadline = self.state.jobs[&id].spec.deadline.unwrap_or_default();
            self.give_up(turn, id, deadline, gate.late_by());
            return false;
        }
        let (Some(flow), running) = (self.gates.flow(gate), self.gate_running(turn.now, gate, power)) else {
            return true;
        };
        let overload = |without: &[Due], until: WallMs| {
            flow.ledger.first_overload(turn.now.wall, running, power, without, until)
        };
        let Some(missed) = overload(&[], WallMs(u64::MAX)) else { return true };
        let dues = self.priced(gate, |at| at <= missed.deadline);
        let cause = Cause { sake: Sake::Own, missing_ms: missed.by_ms, at: turn.now.wall };
        let lets_any = power != Power::default();
        let givers = dues.iter().take(MOST_GIVERS).filter(|_| lets_any);
        let trade = givers.filter_map(|(.., id)| Some((*id, self.asked(*id)?))).find_map(|(id, asked)| {
            let saves = |trade: &Trade| trade.after.wall_ms < trade.before.wall_ms;
            let options: Vec<Trade> = asked.giver.options(cause).into_iter().filter(saves).collect();
            Some((id, offer::cheapest(&options)?))
        });
        if let Some((id, trade)) = trade {
            self.take_trade(turn, id, trade);
            return false;
        }
        let fits = |given: &[Priced]| overload(&dues_of(given), missed.deadline).is_none();
        let mut given: Vec<Priced> = Vec::new();
        for next in dues.into_iter().take(MOST_YIELDING) {
            given.push(next);
            if fits(&given) {
                break;
            }
        }
        spare_idle(&mut given, fits);
        // What is left to do by then was not promised.
        let is_over = given.is_empty();
        for (_, due, id) in given {
            self.give_up(turn, id, due.deadline, gate.late_by());
        }
        is_over
    }

    /// A promise at a limit each of whose tasks holds more than there is, with something left to pass.
    fn holds_too_many(&self, gate: &Gate) -> Option<JobId> {
        let most = self.limit_of(gate)?;
        let flow = self.gates.flow(gate).filter(|flow| flow.most_units() > most)?;
        let holds = |id: &JobId| {
            let gated = self.runs.get(id).and_then(|run| run.rare().gated.as_deref());
            gated.is_some_and(|gated| {
                let units = gated.gates.iter().find(|(own, _)| **own == *gate).map_or(0, |(_, units)| *units);
                units > most && time(gate.load(units, gated.booked.work)) > 0
            })
        };
        flow.promises.iter().take(MOST_LOOKS).map(|(_, id)| *id).find(holds)
    }

    /// Looks at a live job's gates before anything else is started, where what is promised there by its deadline takes
    /// too long.
    pub(in super::super) fn note_crowded(&mut self, now: Now, id: JobId, deadline: WallMs) {
        let Some(gated) = self.runs.get(&id).and_then(|run| run.rare().gated.as_deref()) else { return };
        let is_over = |gate: &Gate| {
            let (flow, power) = (self.gates.flow(gate)?, self.gate_power(gate, 0)?);
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
    ) -> Result<Vec<JobId>, Crowded> {
        let Some(power) = self.gate_power(gate, units) else { return Ok(Vec::new()) };
        let empty = super::Flow::default();
        let ledger = self.gates.flow(gate).map_or(&empty.ledger, |flow| &flow.ledger);
        let running = self.gate_running(now, gate, power);
        let share = power.share(self.policy.promise.load_permille);
        let of = |work: Work| Due { deadline: new.deadline, load: gate.load(units, work) };
        let (booked, saved, due) = (of(new.work), of(new.saved), of(new.work.minus(new.saved)));
        let crowded = |missed: Miss| Err(Crowded { by: gate.late_by(), by_ms: missed.by_ms });
        if new.class == Class::Emergency {
            // Nodes are cleared for it; limits and caps are not.
            let is_cleared = matches!(gate, Gate::Nodes { .. });
            let more = if new.is_booked { of(Work::default()) } else { booked };
            let missed = ledger.miss_of_emergency(now.wall, more, running, share, saved.load);
            let missed = missed.filter(|_| !is_cleared);
            return missed.map_or(Ok(Vec::new()), crowded);
        }
        let misses = |without: &[Due]| match new.is_booked {
            true => ledger.miss_of(now.wall, booked, running, share, &[&[saved], without].concat()),
            false => ledger.miss_with(now.wall, due, running, share, without),
        };
        let Some(missed) = misses(&[]) else { return Ok(Vec::new()) };
        // A promise that was given where others are refused is kept.
        if !new.may_replace || self.policy.promise.admission != Admission::Advise {
            return crowded(missed);
        }
        let own = price(new.class, new.priority, due, new.id);
        let mut cheaper = self.priced(gate, |_| true);
        cheaper.retain(|(price, _, id)| *price < own && *id != new.id);
        let mut yielding: Vec<Priced> = Vec::new();
        while let Some(missed) = misses(&dues_of(&yielding)) {
            let in_the_way = |(_, due, _): &Priced| due.deadline <= missed.deadline;
            let next = cheaper.iter().position(in_the_way).filter(|_| yielding.len() < MOST_YIELDING);
            let Some(next) = next else { return crowded(missed) };
            yielding.push(cheaper.remove(next));
        }
        spare_idle(&mut yielding, |rest| misses(&dues_of(rest)).is_none());
        let same = yielding.iter().filter(|((class, ..), ..)| *class == new.class);
        let lost: u64 = same.map(|(.., id)| value(self.runs[id].priority)).sum();
        let freed: u64 = yielding.iter().map(|(_, due, _)| time(due.load)).sum();
        let worth = value(new.priority);
        let is_worth_it = lost < worth || (lost == worth && freed > time(due.load));
        if is_worth_it { Ok(yielding.into_iter().map(|(.., id)| id).collect()) } else { crowded(missed) }
    }

    /// Promises that have something to pass at a gate and are due at such times, of those that are due first: the cheapest
    /// first.
    fn priced(&self, gate: &Gate, is_due: impl Fn(WallMs) -> bool) -> Vec<Priced> {
        let promises = self.gates.flow(gate).into_iter().flat_map(|flow| &flow.promises);
        let due = promises.take_while(|(at, _)| is_due(*at)).take(MOST_LOOKS);
        let priced = due.filter_map(|(at, id)| self.price_at(gate, *id, *at)).take(MOST_SCANNED);
        let mut priced: Vec<Priced> = priced.collect();
        priced.sort_unstable_by_key(|(price, ..)| *price);
        priced
    }

    /// What a booked promise is worth at a gate, and what it takes there. `None` where that is nothing any more.
    fn price_at(&self, gate: &Gate, id: JobId, deadline: WallMs) -> Option<Priced> {
        let run = self.runs.get(&id)?;
        let gated = run.rare().gated.as_deref()?;
        let (_, units) = gated.gates.iter().find(|(own, _)| **own == *gate)?;
        let due = Due { deadline, load: gate.load(*units, gated.booked.work) };
        (time(due.load) > 0).then(|| (price(gated.booked.class, run.priority, due, id), due, id))
    }
}

fn price(class: Class, priority: u8, due: Due, id: JobId) -> Price {
    (class, (value(priority) << 32) / time(due.load).max(1), std::cmp::Reverse(id))
}

fn dues_of(priced: &[Priced]) -> Vec<Due> {
    priced.iter().map(|(_, due, _)| *due).collect()
}

/// Spares those whose loss does not help, the dearest first.
fn spare_idle(given: &mut Vec<Priced>, is_enough: impl Fn(&[Priced]) -> bool) {
    for at in (0..given.len()).rev() {
        let spared = given.remove(at);
        if !is_enough(given) {
            given.insert(at, spared);
        }
    }
}
