//! When what waits should start: from the books, what runs and what the nodes get done. The same figures that forecasts and
//! placement are made of; what they take for granted is said with each.

use std::collections::BTreeMap;

use rushes_shared::id::{AttemptId, TaskId, WorkerId};
use rushes_shared::job::Class;
use rushes_shared::units::{MonoMs, Now, WallMs};

use super::super::Engine;
use super::super::run::{JobRun, StageRun};
use crate::explain::{Assumes, Sent, Start, Waiting};
use crate::job::{Job, LiveTask, Stage};
use crate::order::signature::SigIx;
use crate::order::{AheadOf, Spot};
use crate::promise::Barred;
use crate::promise::ledger::Load;
use crate::promise::path::{self, Left};

/// Nodes among which one is looked for on which room is made first.
const MOST_LOOKS: usize = 32;
/// Running attempts of a stage among which the last to end is looked for.
const MOST_ENDS: usize = 1_000;

/// What is known of when a job's stages begin and end. Each is worked out once, and room once for all stages that need the
/// same, so that a job of hundreds of stages costs no more than a look at each.
pub(super) struct Outlook<'a> {
    engine: &'a Engine,
    now: Now,
    job: &'a Job,
    run: &'a JobRun,
    /// How long the farm needs for what stands before the job, in milliseconds.
    before_ms: Option<u64>,
    rooms: BTreeMap<SigIx, Option<MonoMs>>,
    /// When each stage should be complete, as far as was asked.
    ends: Vec<Option<MonoMs>>,
    /// Whether no task of it can start, whatever room there is.
    is_barred: bool,
    /// How often nodes and stages were looked at.
    looks: u64,
}

impl<'a> Outlook<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        now: Now,
        (job, run): (&'a Job, &'a JobRun),
        before_ms: Option<u64>,
    ) -> Self {
        let barred = engine.live_barred(job.id);
        let is_barred = matches!(barred, Some(Barred::Limit { .. } | Barred::TenantCap));
        Self {
            engine,
            now,
            job,
            run,
            before_ms,
            is_barred,
            rooms: BTreeMap::new(),
            ends: Vec::new(),
            looks: 0,
        }
    }

    /// When the first of the tasks should start that wait in a stage for this.
    pub(super) fn start_of_wait(&mut self, at: usize, why: &Waiting) -> Option<Start> {
        let (now, stage) = (self.now, &self.run.stages[at]);
        match why {
            // Room is not all that it lacks.
            Waiting::Turn | Waiting::Room | Waiting::Reserved(_) if self.is_barred => None,
            Waiting::Turn | Waiting::Room | Waiting::Reserved(_) => {
                let room = self.room_at(stage.sig)?;
                Some(start(now, room.plus(self.before_ms?), Assumes::Queue))
            }
            Waiting::Stages(_) => Some(start(now, self.stages_end(at)?, Assumes::Stages)),
            Waiting::Reattachment => {
                let until = self.engine.reattach.as_ref()?.until;
                Some(start(now, until, Assumes::Reattachment))
            }
            Waiting::Backoff => {
                let tasks = (stage.first..stage.first + stage.count).take(MOST_ENDS);
                let waiting = tasks.filter_map(|index| self.engine.retried_at(self.job, self.run, index));
                let at = waiting.min()?.max(now.wall);
                Some(Start { at, assumes: Assumes::Backoff })
            }
            Waiting::Limit(name) => {
                let in_ms = self.engine.limit_opens_ms(now, self.job.id, name)?;
                Some(start(now, now.mono.plus(in_ms), Assumes::Queue))
            }
            Waiting::TenantCap => {
                let in_ms = self.engine.cap_opens_ms(now, self.job.id)?;
                Some(start(now, now.mono.plus(in_ms), Assumes::Queue))
            }
            Waiting::NoNode(_)
            | Waiting::OldNodes
            | Waiting::ShutNodes(_)
            | Waiting::AnotherNode
            | Waiting::OnWorker
            | Waiting::Failing
            | Waiting::Pause => None,
        }
    }

    fn room_at(&mut self, sig: SigIx) -> Option<MonoMs> {
        if let Some(known) = self.rooms.get(&sig) {
            return *known;
        }
        self.looks += 1;
        let room = self.engine.room_at(self.now.mono, sig);
        self.rooms.insert(sig, room);
        room
    }

    /// When the stages should be complete that a stage comes after.
    fn stages_end(&mut self, at: usize) -> Option<MonoMs> {
        let begin = self.now.mono.plus(self.before_ms?);
        while self.ends.len() < at {
            let end = self.stage_end(self.ends.len(), begin);
            self.ends.push(end);
        }
        self.last_before(at)
    }

    /// When the last of those is; stages come after earlier ones only.
    fn last_before(&self, at: usize) -> Option<MonoMs> {
        let before = self.job.stages[at].after.iter().filter_map(|before| self.ends.get(*before as usize));
        before.copied().try_fold(self.now.mono, |last, end| Some(last.max(end?)))
    }

    fn stage_end(&mut self, at: usize, begin: MonoMs) -> Option<MonoMs> {
        self.looks += 1;
        let (stage, entered) = (&self.job.stages[at], &self.run.stages[at]);
        let from = self.last_before(at)?;
        if entered.open == 0 {
            return Some(from);
        }
        let room = if entered.waits == 0 { self.room_at(entered.sig)? } else { begin };
        Some(self.engine.stage_end(self.now, self.run, (stage, entered), from.max(begin).max(room)))
    }
}

impl Engine {
    /// The work that stands before a job, of the kind of room that it wants.
    pub(super) fn load_ahead(
        &self,
        job: &Job,
        run: &JobRun,
        spot: Spot,
        ahead: AheadOf,
        light: bool,
    ) -> Load {
        let own = run.booked();
        let of = |class: Class| self.ledger.ahead_of(class);
        let higher = |class: Class| match class {
            Class::Bulk => of(Class::Standard),
            Class::Standard => of(Class::Premium),
            Class::Premium => of(Class::Emergency),
            Class::Emergency => Load::default(),
        };
        let within = |class: Class| {
            let lane = of(class).minus(higher(class)).minus(own.load);
            share(lane, ahead.within, ahead.lane.saturating_sub(1))
        };
        let all = match spot {
            Spot::Emergency(..) => within(Class::Emergency),
            Spot::AtRisk(..) => {
                let due = job.spec.deadline.map_or_else(Load::default, |at| self.ledger.due_by(at));
                of(Class::Emergency).plus(due).minus(own.load)
            }
            Spot::Fair(class, ..) => higher(class).plus(within(class)),
            Spot::Plain(..) => {
                share(self.ledger.all().minus(own.load), ahead.within, ahead.lane.saturating_sub(1))
            }
            Spot::Wide(..) => self.ledger.all().minus(own.load),
        };
        if light { Load { cores_ms: 0, ..all } } else { Load { light_ms: 0, ..all } }
    }

    /// When a task that failed and waits is tried again, as was decided when it failed.
    pub(super) fn retried_at(&self, job: &Job, run: &JobRun, index: u32) -> Option<WallMs> {
        let entry = job.tasks.get(index as usize).filter(|task| !task.is_over())?;
        let last = entry.last_failure().filter(|_| !run.live.contains_key(&index))?;
        let delay_ms = self.policy.retry_delay_ms(entry.failures(), Self::retry_salt(index, last.attempt));
        Some(WallMs(last.at.0.saturating_add(delay_ms)))
    }

    /// When room should be made for a task of this signature, of some of the nodes that get such tasks.
    fn room_at(&self, now: MonoMs, sig: SigIx) -> Option<MonoMs> {
        let signature = self.order.sigs.get(sig);
        let reserved = self.fleet.reserved_for(sig).and_then(|id| self.fleet.get(&id)?.reserved);
        if let Some((_, from)) = reserved {
            return Some(from.max(now));
        }
        let able = self.fleet.able(signature, MOST_LOOKS);
        let nodes = able.iter().filter_map(|id| self.fleet.get(id));
        let room = nodes.filter_map(|node| {
            if !signature.slot.is_light() {
                return Some(node.fits_at(signature.demand(), now));
            }
            let ends = node.holdings.values().filter(|h| h.slot.is_light()).map(|h| h.until.max(now));
            if node.light_free() > 0 { Some(now) } else { ends.min() }
        });
        room.min()
    }

    /// When a stage should be complete of which what waits starts at `from`.
    fn stage_end(
        &self,
        now: Now,
        run: &JobRun,
        (stage, entered): (&Stage, &StageRun),
        from: MonoMs,
    ) -> MonoMs {
        let live = run.live.range(entered.first..entered.first + entered.count).take(MOST_ENDS);
        let running =
            live.flat_map(|(_, live)| live.iter()).filter_map(|live| self.expected_end(now.mono, live));
        let running = running.max().unwrap_or(now.mono);
        let waiting = entered.open.saturating_sub(entered.live);
        if waiting == 0 { running } else { running.max(from.plus(self.takes_ms(stage, waiting))) }
    }

    /// How long so many tasks of a stage take if they have all that the farm has.
    pub(super) fn takes_ms(&self, stage: &Stage, tasks: u32) -> u64 {
        let left = [Left { stage, open: tasks, at_once: u64::MAX, running_ms: None, rest_ms: None }];
        path::remaining(&left, self.predictor(), self.fleet.counted_on(), self.fleet.usual_speed()).p50_ms
    }

    /// When an attempt that runs should end: by its own word, or as predicted.
    pub(super) fn expected_end(&self, now: MonoMs, live: &LiveTask) -> Option<MonoMs> {
        let holding = self.fleet.get(&live.worker).and_then(|node| node.holdings.get(&live.attempt));
        let by_itself = live.progress.eta_ms.map(|rest_ms| now.plus(rest_ms));
        by_itself.or_else(|| holding.map(|h| h.until.max(now)))
    }

    /// What is known of an attempt that its worker holds ahead.
    pub(super) fn sent(&self, now: Now, task: TaskId, live: &LiveTask) -> Sent {
        let (worker, attempt) = (live.worker, live.attempt);
        let place = self.sent_place(now.mono, worker, attempt);
        let (before, at) = place.map_or((0, None), |(before, at)| (before, Some(at)));
        Sent {
            task,
            attempt,
            worker,
            because: live.because,
            before,
            is_recalled: self.ahead.find(worker, attempt).is_some_and(|entry| entry.is_recalled),
            start: at.map(|at| start(now, at, Assumes::Worker)),
        }
    }

    fn sent_place(&self, now: MonoMs, worker: WorkerId, attempt: AttemptId) -> Option<(u32, MonoMs)> {
        let node = self.fleet.get(&worker)?;
        self.ahead.start_of((worker, node), attempt, now, |entry| {
            let task = entry.holding.task;
            let job = self.state.jobs.get(&task.job);
            job.map_or(0, |job| node.expected_ms(job.stage_of(task.index).1.prediction.wall_ms))
        })
    }
}

/// A part of some work.
fn share(load: Load, part: u64, all: u64) -> Load {
    let of = |ms: u64| {
        let of = u128::from(ms) * u128::from(part.min(all)) / u128::from(all.max(1));
        u64::try_from(of).unwrap_or(u64::MAX)
    };
    Load { cores_ms: of(load.cores_ms), light_ms: of(load.light_ms) }
}

fn start(now: Now, at: MonoMs, assumes: Assumes) -> Start {
    Start { at: WallMs(now.wall.0.saturating_add(at.since(now.mono))), assumes }
}

#[cfg(test)]
mod tests {
    use rushes_shared::id::{Epoch, JobId, TenantId};
    use rushes_shared::job::{GraphStage, JobSpec, StageWork, Work};
    use rushes_shared::node::NodeFacts;
    use rushes_shared::task::{Demand, SlotKind};
    use rushes_shared::units::{Bytes, Millicores};

    use super::*;
    use crate::event::{Event, LinkId, ReplyTo};
    use crate::policy::Policy;
    use crate::state::State;

    const NOW: Now = Now { mono: MonoMs(1_000), wall: WallMs(1_000_000) };

    /// A farm of one core with a job of so many stages, each of which comes after all before it.
    fn with_stages(count: u32) -> Engine {
        let stage = |at: u32| GraphStage {
            name: format!("s{at}"),
            slot: SlotKind::Encode,
            after: (0..at).collect(),
            count: 2,
            work: StageWork::Noop { hold_ms: 1_000, cpu_ms: 1_000 },
            demand: Demand { cpu: Millicores(1_000), memory: Bytes(1 << 20) },
            optional: false,
        };
        let (mut engine, _) = Engine::recover(State::default(), Policy::default(), Epoch(1), NOW);
        let facts = NodeFacts {
            name: "a".into(),
            cpu: Millicores(1_000),
            memory: Bytes(1 << 30),
            light_slots: 1,
            ..NodeFacts::default()
        };
        let (worker, link) = (WorkerId(1), LinkId(1));
        engine.handle(
            NOW,
            Event::WorkerJoined { worker, link, instance: 1, facts: Box::new(facts), held: Vec::new() },
        );
        let spec = JobSpec::of(Work::Graph { stages: (0..count).map(stage).collect() });
        engine.handle(
            NOW,
            Event::JobSubmitted {
                reply: ReplyTo(1),
                job: JobId(1),
                tenant: TenantId::default_tenant(),
                submitter: "me".into(),
                spec: Box::new(spec),
                key: None,
                space_left: true,
            },
        );
        engine
    }

    #[test]
    fn each_stage_of_a_large_graph_is_looked_at_once_and_room_once_for_all_of_them() {
        let count = 300;
        let engine = with_stages(count);
        let of = (&*engine.state.jobs[&JobId(1)], &*engine.runs[&JobId(1)]);
        let mut outlook = Outlook::new(&engine, NOW, of, Some(0));
        let starts: Vec<u64> = (1..count as usize)
            .map(|at| outlook.start_of_wait(at, &Waiting::Stages(vec![0])).expect("it can be said").at.0)
            .collect();
        let in_order: Vec<u64> = (1..u64::from(count)).map(|at| NOW.wall.0 + at * 2_000).collect();
        assert_eq!(starts, in_order, "two seconds of one core each, one after the other");
        assert!(outlook.looks <= u64::from(count) + 1, "{} looks", outlook.looks);
        let before = outlook.looks;
        assert!((0..count as usize).all(|at| outlook.start_of_wait(at, &Waiting::Room).is_some()));
        assert_eq!(outlook.looks, before, "all need the same, for which room was looked for already");
    }
}
