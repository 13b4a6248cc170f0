//! The engine: a synchronous, infallible, deterministic state machine. `handle(now, event)` decides, emits records
//! (which [`State::apply`] alone turns into state) and commands for the shell.
//!
//! ```text
//! handle ─┬─ intake     submits, cancels
//!         ├─ room       up to how many jobs each class is taken, and when there is more
//!         ├─ places     where outputs of live jobs are to go
//!         ├─ filing     where jobs stand in the queue; changes of live jobs
//!         ├─ tenants    what tenants have and may have
//!         ├─ progress   advance(job): plan, publish, end
//!         ├─ sizing     what encodes of a graph take, once it is known
//!         ├─ booking    the books of the farm
//!         ├─ promises   deadlines: risk, trades, lateness
//!         ├─ beside     whether promises fit beside each other
//!         ├─ conflicts  which promise yields where not all can be kept
//!         ├─ ladder     which jobs give quality up for others
//!         ├─ shedding   which promises are given up when nodes are lost
//!         ├─ gates      the books of limits, capped tenants, nodes with tags
//!         ├─ forecast   what is expected of a job
//!         ├─ forgetting  keys and workers that nobody needs
//!         ├─ attempts   outcomes of attempts, retries
//!         ├─ giving_up  what follows when a task is given up
//!         ├─ anomalies  what is out of the ordinary
//!         ├─ health     quarantine, stragglers
//!         ├─ holding_back  jobs whose attempts all fail
//!         ├─ preemption what is stopped for emergencies
//!         ├─ hardware   hardware encoders, and software where they fail
//!         ├─ workers    joins, leases, losses
//!         ├─ reattach   what waits after a start for workers of the reign before
//!         ├─ capacity   what attempts take and give back
//!         ├─ aside      tasks that wait for a node on which they have not failed
//!         ├─ dispatch   which ready task goes where
//!         ├─ prefetch   what workers hold before there is room for it
//!         └─ recount    whether sums that are kept are what they are sums of
//! ```
//!
//! **Invariant:** durable state changes only in [`State::apply`]; everything else here is rebuilt after a restart.
//! **Invariant:** a command leaves only after the records that it follows from are on disk ([`Gated`]).

mod anomalies;
mod aside;
mod attempts;
mod beside;
mod booking;
mod capacity;
mod conflicts;
mod dispatch;
mod explain;
mod filing;
mod forecast;
mod forgetting;
mod gates;
mod giving_up;
mod hardware;
mod health;
mod holding_back;
mod intake;
mod ladder;
mod limits;
mod live;
mod losses;
mod places;
mod preemption;
mod prefetch;
mod progress;
mod promises;
mod publishing;
mod query;
mod reattach;
mod recount;
mod room;
mod run;
mod shedding;
mod sizing;
mod strays;
mod tenants;
mod timer;
mod usual;
mod workers;

use std::collections::{BTreeMap, BTreeSet};

use rushes_shared::id::{AttemptId, Epoch, JobId, Seq, TaskId, TenantId, WorkerId};
use rushes_shared::job::Needs;
use rushes_shared::units::{MonoMs, Now, WallMs};

use crate::event::{Command, Decision, Effects, Event, FarmEvent, FarmNews, Gated};
use crate::id_map::JobMap;
use crate::job::LiveTask;
use crate::order::Order;
use crate::placement::ahead::Ahead;
use crate::placement::fleet::Fleet;
use crate::policy::Policy;
use crate::promise::ledger::{Ledger, Tightness};
use crate::record::Record;
use crate::state::State;
use anomalies::Anomalies;
use aside::Aside;
use conflicts::Conflicts;
use gates::Gates;
use places::Places;
use preemption::Rooms;
use reattach::Reattach;
use run::{JobRun, ReadyCounts};
use tenants::Tenants;
use timer::Timer;
use usual::Usual;

/// Timers that are worked off in one turn; the others are due at once, behind what has come in meanwhile.
const TIMERS_A_TURN: usize = 256;

/// The scheduling state machine.
#[derive(Debug)]
pub struct Engine {
    policy: Policy,
    state: State,
    runs: JobMap<Box<JobRun>>,
    tenants: Tenants,
    fleet: Fleet,
    /// What workers hold before there is room for it.
    ahead: Ahead,
    /// Workers that hold something ahead and on which room became free in this turn.
    freed: BTreeSet<WorkerId>,
    order: Order,
    /// The work that is booked.
    ledger: Ledger,
    /// What some jobs have to pass beside the farm as a whole.
    gates: Gates,
    /// Promises that have time to spare, by deadline.
    promises_fine: BTreeSet<(WallMs, JobId)>,
    /// Which promises yield to others.
    conflicts: Conflicts,
    anomalies: Anomalies,
    /// What forecasts assume of inputs that were not probed yet.
    usual: Usual,
    /// How much time they have together, and until when that holds.
    tight: Tightness,
    tight_holds_until: MonoMs,
    /// Ready tasks by kind.
    ready: ReadyCounts,
    /// Ready tasks that wait for a node on which they have not failed.
    aside: Aside,
    /// What is being made free for emergencies.
    rooms: Rooms,
    /// How much of each named limit attempts hold.
    limits_held: BTreeMap<String, u32>,
    /// Combinations of needs that live jobs have, and how many have each.
    needs: BTreeMap<Needs, u32>,
    /// Where live jobs write.
    places: Places,
    timers: BTreeSet<(MonoMs, Timer)>,
    /// Nodes that were lost in this reign.
    nodes_lost: u64,
    attempts: u64,
    /// When keys are looked at that may be forgotten.
    forgets_keys_at: Option<MonoMs>,
    /// Whether a look at workers that are gone is due.
    forgets_workers: bool,
    /// Whether a tenant has reached its cap since reservations were looked at.
    caps_reached: bool,
    /// Jobs of which a task has been started; kept, because gauges ask often and there may be a million jobs.
    jobs_started: u64,
    /// Tasks of the reign before that wait for their workers, and those workers; `None` once the window is closed.
    reattach: Option<Reattach>,
    /// Attempts of earlier reigns whose staged files were dropped, as nobody had told of them.
    strays: BTreeSet<AttemptId>,
}

/// One call of `handle`: its time and what it led to so far.
struct Turn {
    now: Now,
    fx: Effects,
}

impl Engine {
    /// Begins a reign on a state that was just rebuilt from the journal.
    ///
    /// # Panics
    /// When `epoch` is not higher than the state's; the store hands out a higher one at each start.
    #[must_use]
    pub fn recover(state: State, policy: Policy, epoch: Epoch, now: Now) -> (Self, Effects) {
        let shares = [policy.order.bulk_share_permille, policy.order.standard_share_permille, 0];
        let mut engine = Self {
            order: Order::new(shares, policy.order.class_credit_ms),
            policy,
            state,
            runs: JobMap::default(),
            tenants: Tenants::default(),
            fleet: Fleet::default(),
            ahead: Ahead::default(),
            freed: BTreeSet::new(),
            ledger: Ledger::default(),
            gates: Gates::default(),
            promises_fine: BTreeSet::new(),
            conflicts: Conflicts::default(),
            anomalies: Anomalies::default(),
            usual: Usual::default(),
            tight: Tightness::default(),
            tight_holds_until: MonoMs(0),
            ready: ReadyCounts::default(),
            aside: Aside::default(),
            rooms: Rooms::default(),
            limits_held: BTreeMap::new(),
            needs: BTreeMap::new(),
            places: Places::default(),
            timers: BTreeSet::new(),
            nodes_lost: 0,
            attempts: 0,
            forgets_keys_at: None,
            forgets_workers: false,
            caps_reached: false,
            jobs_started: 0,
            reattach: None,
            strays: BTreeSet::new(),
        };
        engine.order.sigs.bound(engine.policy.order.max_signatures);
        let mut turn = Turn { now, fx: Effects::default() };
        engine.emit(&mut turn, Record::EpochBegan { epoch, at: now.wall });
        engine.open_reattach_window(now);
        for job in engine.state.jobs.keys().copied().collect::<Vec<_>>() {
            engine.adopt_job(&mut turn, job);
        }
        if engine.reattach.is_none() {
            engine.look_for_strays(&mut turn, None);
        }
        if !engine.state.keys.is_empty() {
            engine.wake_to_forget_keys(now);
        }
        if !engine.state.workers.is_empty() {
            engine.wake_to_forget_workers(now);
        }
        (engine, turn.fx)
    }

    /// Takes in what happened and says what is to be done.
    pub fn handle(&mut self, now: Now, event: Event) -> Effects {
        let mut turn = Turn { now, fx: Effects::default() };
        self.react(&mut turn, event);
        self.dispatch(&mut turn);
        turn.fx
    }

    /// When the engine wants [`Event::TimeCame`], by the monotonic clock. `None`: when something else happens.
    #[must_use]
    pub fn next_wake(&self) -> Option<MonoMs> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// How many timers are due. More than one turn works off stay so until the next.
    #[must_use]
    pub fn timers_due(&self, now: MonoMs) -> usize {
        self.timers.iter().take_while(|(at, _)| *at <= now).count()
    }

    /// The durable state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The settings that it runs with.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    fn react(&mut self, turn: &mut Turn, event: Event) {
        match event {
            Event::JobSubmitted { reply, job, tenant, submitter, spec, key, space_left } => {
                let spec = spec.into();
                let submit = intake::Submit { reply, job, tenant, submitter, spec, key, space_left };
                self.submitted(turn, submit);
            }
            Event::DryRunAsked { reply, tenant, spec } => {
                let (job, submitter, key, space_left) = (JobId(0), "".into(), None, true);
                let spec = spec.into();
                let submit = intake::Submit { reply, job, tenant, submitter, spec, key, space_left };
                self.dry_run_asked(turn, &submit);
            }
            Event::CancelAsked { reply, job } => self.cancel_asked(turn, reply, job),
            Event::AmendAsked { reply, job, change } => self.amend_asked(turn, reply, job, *change),
            Event::TenantSetAsked { reply, tenant, limits } => {
                self.tenant_set_asked(turn, reply, tenant, limits);
            }
            Event::LimitSetAsked { reply, name, most } => self.limit_set_asked(turn, reply, name, most),
            Event::DrainAsked { reply, worker, draining } => self.drain_asked(turn, reply, worker, draining),
            Event::WorkerJoined { worker, link, instance, facts, held } => {
                self.worker_joined(turn, worker, link, workers::Hello { instance, facts: *facts, held });
            }
            Event::HeartbeatCame { worker, link } => self.renew_lease(turn.now, worker, link),
            Event::FactsChanged { worker, link, facts } => {
                self.renew_lease(turn.now, worker, link);
                if self.fleet.get(&worker).is_some_and(|n| n.link == Some(link)) {
                    self.fleet.change(worker, |node| node.set_facts(*facts));
                    self.node_changed(worker);
                    self.look_at_gates_of_nodes();
                }
            }
            Event::WorkerLeaving { worker, link } => self.worker_leaving(turn, worker, link),
            Event::LinkLost { worker, link } => self.link_lost(turn, worker, link),
            Event::AheadOffered { worker, link, offer } => self.ahead_offered(turn, worker, link, offer),
            Event::HardwareOffered { worker, link, sessions } => {
                self.hardware_offered(turn, worker, link, sessions);
            }
            Event::TaskRecalled { worker, task, attempt } => {
                self.task_recalled(turn, worker, task, attempt);
            }
            Event::TaskStarted { worker, task, attempt } => {
                self.promote(turn, worker, attempt);
                if let Some(live) = self.live_mut(worker, task, attempt) {
                    live.started = true;
                }
            }
            Event::TaskProgressed { worker, task, attempt, progress } => {
                self.task_progressed(turn, worker, task, attempt, progress);
            }
            Event::TaskEnded { worker, task, attempt, outcome } => {
                self.task_ended(turn, worker, task, attempt, *outcome);
            }
            Event::TaskRefused { worker, task, attempt, failure } => {
                self.task_refused(turn, worker, task, attempt, failure);
            }
            Event::PublishEnded { job, output, result } => self.publish_ended(turn, job, output, result),
            Event::StagedFound { attempts } => self.staged_found(turn, &attempts),
            Event::TimeCame => self.time_came(turn),
        }
    }

    fn time_came(&mut self, turn: &mut Turn) {
        for _ in 0..TIMERS_A_TURN {
            let Some((at, timer)) = self.timers.first().copied().filter(|(at, _)| *at <= turn.now.mono)
            else {
                return;
            };
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Lease(worker) => self.lease_due(turn, worker),
                Timer::Retry(task) => self.retry_due(turn, task),
                Timer::Publish(job, output) => self.publish(turn, job, output),
                Timer::Probation(worker) => self.probation_due(worker),
                Timer::EncoderProbe(worker) => self.encoder_probe_due(worker),
                Timer::Straggler(task, attempt) => self.straggler_due(turn, task, attempt),
                Timer::Stall(task, attempt) => self.stall_due(turn, task, attempt),
                Timer::Watch => self.watch_due(turn),
                Timer::Promise(job) => self.promise_due(turn, job),
                Timer::Late => self.note_room(),
                Timer::Reattach => self.close_reattach_window(turn),
                Timer::ForgetKeys => self.forget_keys(turn),
                Timer::ForgetWorkers => self.forget_workers(turn),
                Timer::Rest => {}
            }
        }
    }

    fn wake_at(&mut self, at: MonoMs, timer: Timer) {
        self.timers.insert((at, timer));
    }

    /// Records an outcome: the only way in which durable state changes.
    fn emit(&mut self, turn: &mut Turn, record: Record) {
        let ended = self.state.apply(&record).expect("the engine emits only records that fit its own state");
        turn.fx.archive.extend(ended);
        if turn.fx.records.capacity() == 0 {
            // Hardly an event leads to more; a vector's own first step is large enough to be slow to get.
            turn.fx.records.reserve_exact(2);
        }
        turn.fx.records.push(record);
    }

    /// Wants something done once all that has been decided so far is on disk.
    fn command(&self, turn: &mut Turn, command: Command) {
        turn.fx.commands.push(Gated { after: self.state.seq, command });
    }

    /// Tells those who watch, once all that has been decided so far is on disk.
    fn notify(&self, turn: &mut Turn, job: Option<JobId>, what: FarmNews) {
        let tenant = job.and_then(|id| self.state.jobs.get(&id)).map(|j| j.tenant.clone());
        self.notify_for(turn, tenant, job, what);
    }

    /// Tells of a decision of the scheduler.
    fn decided(&self, turn: &mut Turn, job: Option<JobId>, decision: Decision) {
        self.notify(turn, job, FarmNews::Decided(decision));
    }

    fn notify_for(&self, turn: &mut Turn, tenant: Option<TenantId>, job: Option<JobId>, what: FarmNews) {
        let event = FarmEvent { at: turn.now.wall, tenant, job, what };
        let after =
            if matches!(event.what, FarmNews::TaskProgressed { .. }) { Seq(0) } else { self.state.seq };
        turn.fx.commands.push(Gated { after, command: Command::Notify(event) });
    }

    fn live_mut(&mut self, worker: WorkerId, task: TaskId, attempt: AttemptId) -> Option<&mut LiveTask> {
        let live = self.runs.get_mut(&task.job)?.live.get_mut(task.index)?;
        live.iter_mut().find(|l| l.attempt == attempt && l.worker == worker)
    }
}
