//! Keeps promises: knows how much time each job with a deadline has to spare, moves those that run short ahead, trades
//! quality for time within their floor, takes that back, and says early and plainly when one cannot be kept.

use rushes_shared::id::JobId;
use rushes_shared::job::Class;
use rushes_shared::units::{Now, WallMs};

use super::gates::AtOnce;
use super::run::{JobRun, Promise};
use super::{Engine, Timer, Turn};
use crate::event::Decision;
use crate::job::{Job, LiveTask, Stage};
use crate::planner;
use crate::promise::late::{LateBy, NEVER};
use crate::promise::ledger::Power;
use crate::promise::path::{self, Left, Path};
use crate::promise::predict::Predictor;
use crate::promise::trade;
use crate::record::Record;

/// Promises are not looked at together more often than this.
const SHORTEST_LOOK_MS: u64 = 50;
/// Trades that one look at a job takes at most; the next look takes more.
pub(super) const MOST_TRADES: usize = 64;

impl Engine {
    /// What the job should still take, with the farm to itself.
    pub(super) fn path_of(&self, stages: &[Stage], run: &JobRun, now: WallMs) -> Path {
        self.path_through(stages, run, now, self.runs_at_once(run))
    }

    /// The same with so many tasks of it at once.
    fn path_through(&self, stages: &[Stage], run: &JobRun, now: WallMs, most: AtOnce) -> Path {
        let mut left = Vec::with_capacity(stages.len());
        for (stage, entered) in stages.iter().zip(&run.stages) {
            let open = if stage.dropped { 0 } else { entered.open };
            let range = entered.first..entered.first + entered.count;
            // What waits on its worker for room has done nothing yet.
            let none_waits = entered.ready == 0 && entered.live == entered.running;
            let all_run = open > 0 && none_waits && entered.is_released;
            let running = || run.live.range(range.clone()).flat_map(|(_, l)| l).filter(|l| !l.is_ahead);
            let since = || running().map(|l| l.since).max();
            let running_ms = if all_run { since().map(|s| now.0.saturating_sub(s.0)) } else { None };
            let soonest = |live: &Vec<LiveTask>| {
                let told = live.iter().filter(|l| knows_its_pace(l, stage.prediction.wall_ms, now));
                told.filter_map(|l| l.progress.eta_ms).min()
            };
            let rests = || run.live.range(range.clone()).map(|(_, live)| soonest(live));
            let rest_ms = if all_run {
                rests().collect::<Option<Vec<_>>>().and_then(|r| r.into_iter().max())
            } else {
                None
            };
            // More may run than a limit lets through that was lowered since.
            let at_once = most.tasks.max(u64::from(entered.running));
            left.push(Left { stage, open, at_once, running_ms, rest_ms });
        }
        path::remaining(&left, self.predictor(), self.fleet.counted_on(), self.fleet.usual_speed())
    }

    pub(super) fn predictor(&self) -> Predictor {
        Predictor { p90_permille: self.policy.promise.p90_permille }
    }

    /// Looks at a job's promise, moves it to where it belongs, and says when to look again.
    pub(super) fn look_at_promise(&mut self, turn: &mut Turn, id: JobId) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        let deadline = job.spec.deadline.filter(|_| job.late.is_none());
        let Some(deadline) = deadline else {
            // There is nothing any more to give quality up for.
            self.undo_all_trades(turn, id);
            self.stand(id, Promise::None);
            return self.rank(turn.now, id);
        };
        if job.spec.paused {
            self.stand(id, Promise::None);
            return self.rank(turn.now, id);
        }
        let now = turn.now.wall;
        if let Some(because) = self.barred_by(id) {
            return self.declare_late_for_now(turn, id, deadline, because);
        }
        if !planner::awaits_probe(&self.state.jobs[&id]) && self.knows_power() {
            self.take_back(turn, id, deadline);
            self.trade(turn, id, deadline);
            // Before anybody gives anything up for it: what cannot be kept even at its floor drags nobody down.
            let path = self.path_of(&self.state.jobs[&id].stages, &self.runs[&id], now);
            if let Some(in_ms) = self.is_hopeless(now, deadline, path) {
                let because = self.hopeless_by(id, now, deadline);
                return self.declare_late(turn, id, deadline, in_ms, because);
            }
            if !self.judge(turn, id, deadline) {
                return;
            }
            self.ease_if_crowded(turn, id, deadline);
            self.note_crowded(turn.now, id, deadline);
            self.advance(turn, id);
        }
        let (Some(job), Some(run)) = (self.state.jobs.get(&id), self.runs.get(&id)) else { return };
        let path = self.path_of(&job.stages, run, now);
        let spare = spare(now, deadline, path.p90_ms.max(self.gates_due_ms(turn.now, run, deadline)));
        // What was only assumed of an input makes nobody late.
        let is_known = !planner::awaits_probe(job) && self.knows_power();
        if let Some(in_ms) = self.is_hopeless(now, deadline, path) {
            if is_known {
                let because = self.hopeless_by(id, now, deadline);
                return self.declare_late(turn, id, deadline, in_ms, because);
            }
            // The probe that would have told more comes too late, or whoever could still come and do it.
            if self.knows_power() && now >= deadline {
                return self.declare_late(turn, id, deadline, in_ms, LateBy::Itself);
            }
            if !self.knows_power() && self.reattach.is_none() {
                return self.declare_late_for_now(turn, id, deadline, LateBy::Nodes);
            }
        }
        // What goes ahead too late finds its gates taken by something long.
        let margin = self.margin(path).saturating_add_unsigned(self.gates_block_ms(run));
        let was_at_risk = run.promise == Promise::AtRisk;
        // One that was saved by a hair would be moved to and fro.
        let is_at_risk = deadline < self.tight.until
            || spare < if was_at_risk { margin.saturating_mul(5) / 4 } else { margin };
        let most = self.policy.promise.look_ms.max(1);
        let wait = if is_at_risk || job.has_trades() {
            most
        } else {
            u64::try_from(spare - margin).unwrap_or(0).clamp(1, most.saturating_mul(60))
        };
        if is_at_risk && !was_at_risk {
            let spare_ms = spare.max(0).unsigned_abs();
            self.decided(turn, Some(id), Decision::PromiseAtRisk { deadline, spare_ms });
        }
        self.stand(id, if is_at_risk { Promise::AtRisk } else { Promise::Fine });
        self.wake_for_promise(turn.now, id, wait);
    }

    /// Why a promise is late that cannot be kept by what is left of its job: because of a gate, if that alone makes it so
    /// long.
    fn hopeless_by(&self, id: JobId, now: WallMs, deadline: WallMs) -> LateBy {
        let (job, run) = (&self.state.jobs[&id], &self.runs[&id]);
        let by = self.runs_at_once(run).by;
        let path = self.path_through(&job.stages, run, now, AtOnce::ANY);
        by.filter(|_| self.is_hopeless(now, deadline, path).is_none()).unwrap_or(LateBy::Itself)
    }

    /// Looks at a job's promise after so long, unless it is looked at before.
    pub(super) fn wake_for_promise(&mut self, now: Now, id: JobId, wait_ms: u64) {
        if self.state.jobs[&id].spec.deadline.is_none() {
            return;
        }
        let at = now.mono.plus(wait_ms);
        let run = self.runs.get_mut(&id).expect("a live job has a run");
        if run.rare().looks_at.is_none_or(|before| at < before || before <= now.mono) {
            run.rare_mut().looks_at = Some(at);
            self.wake_at(at, Timer::Promise(id));
        }
    }

    pub(super) fn promise_due(&mut self, turn: &mut Turn, id: JobId) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.rare().looks_at.is_some_and(|at| at <= turn.now.mono) {
            run.rare_mut().looks_at = None;
            self.look_at_promise(turn, id);
        }
    }

    /// Moves promises ahead that have no time to spare together, before anything else is started.
    pub(super) fn mind_tightness(&mut self, turn: &mut Turn) {
        self.shed(turn);
        self.settle_gates(turn);
        self.look_at_late(turn);
        if self.promises_fine.is_empty() || turn.now.mono < self.tight_holds_until {
            return;
        }
        let power = self.fleet.power();
        if power == Power::default() {
            return;
        }
        let slots = self.fleet.slots(false).max(1);
        let blocked = self.ledger.longest_ms() / slots + self.policy.promise.margin_ms;
        let running = self.fleet.running_left(turn.now.mono);
        self.tight = self.ledger.tightness(turn.now.wall, running, power, blocked);
        let holds_ms = self.tight.holds_ms.clamp(SHORTEST_LOOK_MS, self.policy.promise.look_ms.max(1_000));
        self.tight_holds_until = turn.now.mono.plus(holds_ms);
        while let Some((deadline, id)) = self.promises_fine.first().copied() {
            if deadline >= self.tight.until {
                break;
            }
            let spare_ms = deadline.0.saturating_sub(turn.now.wall.0);
            self.decided(turn, Some(id), Decision::PromiseAtRisk { deadline, spare_ms });
            self.stand(id, Promise::AtRisk);
            self.wake_for_promise(turn.now, id, self.policy.promise.look_ms.max(1));
        }
    }

    /// How much time a job has to have to spare beyond its critical path, in milliseconds.
    fn margin(&self, path: Path) -> i64 {
        let policy = &self.policy.promise;
        let share = path.p90_ms.saturating_mul(u64::from(policy.margin_permille)) / 1_000;
        i64::try_from(share.saturating_add(policy.margin_ms)).unwrap_or(i64::MAX)
    }

    pub(super) fn stand(&mut self, id: JobId, promise: Promise) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let deadline = self.state.jobs.get(&id).and_then(|j| j.spec.deadline).unwrap_or_default();
        if run.promise == promise && (promise != Promise::Fine || run.rare().fine_until == deadline) {
            return;
        }
        run.promise = promise;
        self.promises_fine.remove(&(run.rare().fine_until, id));
        run.rare_mut().fine_until = deadline;
        if promise == Promise::Fine {
            self.promises_fine.insert((deadline, id));
        }
        self.refile(id);
        self.rerank_ahead(id);
    }

    /// Declares a promise late that cannot be kept beside others; the work that is due before is done first.
    pub(super) fn give_up(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs, because: LateBy) {
        let (job, run) = (&self.state.jobs[&id], &self.runs[&id]);
        let path = self.path_of(&job.stages, run, turn.now.wall);
        let left_ms = deadline.0.saturating_sub(turn.now.wall.0);
        let running = self.fleet.running_left(turn.now.mono).within(left_ms);
        let before = match run.booked().class {
            Class::Emergency => self.ledger.emergencies(),
            _ => self.ledger.due_by(deadline),
        };
        if self.live_barred(id).is_some() {
            return self.declare_late_for_now(turn, id, deadline, because);
        }
        let ahead = self.fleet.counted_on().time_for(before.plus(running));
        let gates = self.gates_due_ms(turn.now, run, deadline);
        self.declare_late(turn, id, deadline, path.p50_ms.max(ahead.unwrap_or(0)).max(gates), because);
    }

    /// The same where it cannot be said when the job is done.
    fn declare_late_for_now(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs, because: LateBy) {
        self.declare_late(turn, id, deadline, u64::MAX, because);
    }

    fn declare_late(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs, in_ms: u64, because: LateBy) {
        let at = turn.now.wall;
        let expected = if in_ms == u64::MAX { NEVER } else { WallMs(at.0.saturating_add(in_ms)) };
        // What was given up does not help any more.
        self.undo_all_trades(turn, id);
        self.emit(
            turn,
            match because {
                LateBy::Itself => Record::PromiseLate { job: id, expected, at },
                LateBy::Other(_) | LateBy::LostNodes | LateBy::Limit | LateBy::TenantCap | LateBy::Nodes => {
                    Record::PromiseGivenUp { job: id, expected, because, at }
                }
            },
        );
        self.decided(turn, Some(id), Decision::PromiseLate { deadline, expected, because });
        self.rebook(id);
        self.stand(id, Promise::None);
        self.rank(turn.now, id);
    }

    /// Takes trades, the cheapest first, until the job can be done in time or nothing is left to give up.
    pub(super) fn trade(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs) {
        let now = turn.now.wall;
        let (Some(asked), run) = (self.asked(id), &self.runs[&id]) else { return };
        let path_of = |stages: &[Stage]| self.path_of(stages, run, now);
        let trades = self.trades_in_time(&asked.giver, path_of, now, deadline);
        for trade in trades {
            self.take_trade(turn, id, trade);
        }
    }

    /// Takes trades back, the latest first, while the job has time to spare even so.
    fn take_back(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs) {
        let now = turn.now.wall;
        for _ in 0..MOST_TRADES {
            let (job, run) = (&self.state.jobs[&id], &self.runs[&id]);
            let can_undo = |t: &&trade::Trade| t.undone.is_none() && Self::can_undo(job, run, t);
            let Some(last) = job.trades.iter().rfind(can_undo) else { return };
            let mut tried = job.stages.to_vec();
            last.change_back(&mut tried);
            let path = self.path_of(&tried, run, now);
            // Once more than what is needed, so that it is not given up again at the next look.
            let is_plenty = spare(now, deadline, path.p90_ms) >= self.margin(path).saturating_mul(3) / 2
                && self.has_room_without(turn.now, job, last);
            if !self.undo_trade(turn, id, |_| is_plenty) {
                return;
            }
        }
    }

    pub(super) fn undo_all_trades(&mut self, turn: &mut Turn, id: JobId) {
        while self.undo_trade(turn, id, |_| true) {}
    }

    /// Whether nothing has been started that a trade has changed: its stage, or what went on without an analysis.
    fn can_undo(job: &Job, run: &JobRun, trade: &trade::Trade) -> bool {
        let at = trade.stage as usize;
        let mut behind = job.stages.iter().zip(&run.stages).filter(|(s, _)| s.after.contains(&trade.stage));
        let is_waited_for = trade.what == trade::What::Analysis;
        // What it would wait for may have been given up since, and never end.
        let is_gone = |at: &u32| job.stages.get(*at as usize).is_some_and(|s| s.dropped && !s.is_advice());
        if job.stages[at].after.iter().any(is_gone) {
            return false;
        }
        (run.stages[at].is_untouched() || job.stages[at].dropped)
            && (!is_waited_for || behind.all(|(stage, entered)| entered.is_untouched() && !stage.dropped))
    }

    /// Takes the latest trade back of those of which nothing has been started, if `may` allows it. Whether it did.
    fn undo_trade(&mut self, turn: &mut Turn, id: JobId, may: impl Fn(&trade::Trade) -> bool) -> bool {
        let (job, run) = (&self.state.jobs[&id], &self.runs[&id]);
        let can_undo = |t: &trade::Trade| t.undone.is_none() && Self::can_undo(job, run, t);
        let Some((number, trade)) = job.trades.iter().enumerate().rfind(|(_, t)| can_undo(t)) else {
            return false;
        };
        let trade = *trade;
        if !may(&trade) {
            return false;
        }
        let number = u32::try_from(number).expect("trades of a job are few");
        self.emit(turn, Record::TradeUndone { job: id, number, at: turn.now.wall });
        self.decided(turn, Some(id), Decision::TradeUndone { trade: Box::new(trade) });
        self.after_trade(turn, id, trade.stage);
        true
    }

    /// Brings the queue and the books in line with a stage that was changed.
    pub(super) fn after_trade(&mut self, turn: &mut Turn, id: JobId, stage: u32) {
        self.set_dropped(turn.now.mono, id, stage as usize);
        self.size_traded(turn, id, stage);
        self.rebook(id);
    }

    /// Judges promises that could not be judged while no worker was there, the earliest deadline first.
    pub(super) fn power_is_back(&mut self, turn: &mut Turn) {
        let waits = |run: &JobRun| !run.is_judged && run.promise != Promise::None;
        let due = |id: &JobId| self.state.jobs.get(id).and_then(|job| job.spec.deadline);
        let waiting = self.runs.iter().filter(|(_, run)| waits(run));
        let mut waiting: Vec<_> = waiting.map(|(id, _)| (due(id), *id)).collect();
        waiting.sort_unstable();
        waiting.into_iter().for_each(|(_, id)| self.look_at_promise(turn, id));
    }
}

/// Time that a job has to spare before its deadline, in milliseconds; below zero where it will be late.
pub(super) fn spare(now: WallMs, deadline: WallMs, path_ms: u64) -> i64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    signed(deadline.0).saturating_sub(signed(now.0)).saturating_sub(signed(path_ms))
}

/// Whether an attempt has come so far that how long it will still take is more than a guess: a tenth of its way, or of the
/// time that it should take.
fn knows_its_pace(live: &LiveTask, wall_ms: u64, now: WallMs) -> bool {
    live.progress.permille >= 100 || now.0.saturating_sub(live.since.0) >= wall_ms / 10
}
