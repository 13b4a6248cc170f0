//! What must hold after every step, whatever happened.

use std::collections::BTreeSet;

use rushes_core::explain::Waiting;
use rushes_core::job::Job;
use rushes_core::promise::trade::{Trade, What};
use rushes_core::state::State;
use rushes_shared::id::{JobId, Seq};
use rushes_shared::job::JobState;
use rushes_shared::task::TaskValue;

use super::world::World;

/// Checks all of them.
///
/// # Panics
/// With the law that is broken.
pub(crate) fn hold(world: &World) {
    published_once(world);
    capacity_is_kept(world);
    answered_submits_exist(world);
    trades_are_justified(world);
    starts_by_one_rule(world);
    parts_are_kept(world);
    if let Some(engine) = &world.engine {
        assert_eq!(engine.state(), &world.replayed, "replay of the records is the live state");
        compact_rebuilds(engine.state());
        engine.recount().unwrap_or_else(|what| panic!("the books have drifted: {what}"));
        for doc in engine.workers() {
            if let Some(facts) = doc.facts {
                let what = format!("{} at {:?}", doc.name, world.now.mono);
                assert!(doc.cpu_used <= facts.cpu && doc.memory_used <= facts.memory, "{what} is overbooked");
            }
        }
        let state = |id: &JobId| engine.job(*id).expect("a live job").state();
        let running = engine.state().jobs.keys().filter(|id| state(id) == JobState::Running).count();
        let status = engine.status();
        assert_eq!(status.jobs_running, running as u64, "running jobs are counted");
        assert_eq!(status.jobs_running + status.jobs_queued, engine.state().jobs.len() as u64);
        assert!(engine.next_wake().is_none_or(|at| at > world.now.mono), "an alarm was not worked off");
    }
}

/// The shortest records rebuild the state; only the sequence number is kept apart.
fn compact_rebuilds(state: &State) {
    let mut rebuilt = State::default();
    for record in state.compact() {
        rebuilt.apply(&record).expect("a snapshot's record fits");
    }
    rebuilt.seq = state.seq;
    assert!(rebuilt.seq >= Seq(0));
    assert_eq!(&rebuilt, state, "a snapshot is the state");
    assert!(rebuilt.into_compact().eq(state.compact()), "given away or shown, the records are the same");
}

/// What a set is to be packaged from is in staging until its package is made.
fn parts_are_kept(world: &World) {
    for job in world.engine.iter().flat_map(|e| e.state().jobs.values()).filter(|job| job.made(0).is_none()) {
        for success in job.tasks.iter().filter_map(|task| task.success.as_ref()) {
            let is_part = matches!(success.value.as_deref(), Some(TaskValue::Part(_)));
            let is_there = world.depot.staged.contains(&success.attempt);
            assert!(!is_part || is_there, "what {} made for {} is gone", success.attempt, job.id);
        }
    }
}

/// Counted by what runs on each worker, not by the engine's own books.
fn capacity_is_kept(world: &World) {
    for worker in world.workers.values().filter(|w| w.welcomed) {
        let (mut cpu, mut memory, mut light) = (0, 0, 0);
        for order in worker.running() {
            if order.slot.is_light() {
                light += 1;
            } else {
                cpu += order.demand.cpu.0;
                memory += order.demand.memory.0;
            }
        }
        let facts = &worker.facts;
        let in_hardware = worker.running().filter(|order| order.work.hardware().is_some()).count();
        let sessions = worker.sessions.unwrap_or(0) as usize;
        assert!(in_hardware <= sessions, "{} encodes {in_hardware} tasks in hardware", facts.name);
        let fits = cpu <= facts.cpu.0 && memory <= facts.memory.0 && light <= facts.light_slots;
        assert!(fits, "{} runs {cpu} millicores, {memory} bytes, {light} light tasks", facts.name);
    }
}

/// Once all that was said has arrived, nothing waits for room on a worker that the engine counts as running there, unless
/// an order overtook it on the way and has its room.
fn starts_by_one_rule(world: &World) {
    let is_said = world.up.is_empty() && world.down.is_empty() && world.inbox.is_empty();
    let Some(engine) = world.engine.as_ref().filter(|_| is_said && world.disk.pending() == 0) else { return };
    for doc in engine.workers() {
        let Some(worker) = world.workers.get(&doc.id).filter(|w| w.welcomed) else { continue };
        let counted: BTreeSet<_> = doc.running.iter().map(|(_, attempt, _)| *attempt).collect();
        let overtook = worker.running().any(|order| !counted.contains(&order.attempt));
        let waits = worker.waiting.iter().find(|order| counted.contains(&order.attempt));
        assert!(
            overtook || waits.is_none(),
            "{waits:?} waits on {} and is counted as running: {:#?}",
            doc.name,
            world.trace
        );
    }
}

fn jobs(world: &World) -> impl Iterator<Item = &Job> {
    let live = world.engine.iter().flat_map(|e| e.state().jobs.values()).map(|job| &**job);
    live.chain(world.disk.archive().values())
}

/// Nothing is published twice, and what is said to be published is at its place, from the attempt that won.
fn published_once(world: &World) {
    for job in jobs(world) {
        let mut seen = BTreeSet::new();
        for published in &job.published {
            assert!(seen.insert(published.output), "{} published {} twice", job.id, published.output);
            let there = world.depot.published.get(&job.output_place(published.output));
            assert_eq!(there.copied(), published.artifact.attempt, "{} is at its place", job.id);
        }
    }
}

/// What a job gave up it may give up, for a deadline, and it saved something; what was given up and not taken back is
/// how the job is planned, and what was taken back is not.
fn trades_are_justified(world: &World) {
    for job in jobs(world) {
        for trade in &job.trades {
            assert!(trade.saved_ms > 0, "{} gave something up for nothing: {trade:?}", job.id);
            let floor = job.spec.floor;
            let is_allowed = match trade.what {
                What::Drop => floor.drop_optional && job.stages[trade.stage as usize].optional,
                What::Analysis => floor.drop_optional && job.stages[trade.stage as usize].is_advice(),
                What::Pass => floor.one_pass,
                What::Preset { to, .. } => floor.fastest_preset.is_some_and(|fastest| to >= fastest),
                What::Height { to, .. } => floor.min_height.is_some_and(|lowest| to >= lowest),
            };
            assert!(is_allowed, "{} gave up more than it may: {trade:?}", job.id);
            assert!(
                job.late.is_none() || trade.undone.is_some() || cannot_be_undone(world, job, trade),
                "{} is late and has not taken back {trade:?}",
                job.id
            );
            let is_last = job.trades.iter().rfind(|t| t.stage == trade.stage) == Some(trade);
            let stage = &job.stages[trade.stage as usize];
            if is_last && !trade.what.leaves_out() {
                let of_stage = || job.trades.iter().filter(|t| t.stage == trade.stage);
                let first = of_stage().next().expect("it is one of them");
                let planned = of_stage().rfind(|t| t.undone.is_none()).map_or(first.before, |t| t.after);
                assert_eq!(stage.prediction, planned, "{} is planned as it was traded", job.id);
            }
            if is_last && trade.what.leaves_out() && trade.undone.is_none() {
                assert!(stage.dropped, "{} left a stage out that it has planned", job.id);
            }
        }
    }
}

/// Whether the stage has been begun, or what went on without an analysis; or what the stage comes after was given up.
fn cannot_be_undone(world: &World, job: &Job, trade: &Trade) -> bool {
    let stage = &job.stages[trade.stage as usize];
    let is_gone = |at: &u32| job.stages[*at as usize].dropped && !job.stages[*at as usize].is_advice();
    let goes_on = |at: u32| is_begun(world, job, at) || job.stages[at as usize].dropped;
    let behind = (0..).zip(job.stages.iter()).filter(|(_, s)| s.after.contains(&trade.stage));
    stage.after.iter().any(is_gone)
        || (is_begun(world, job, trade.stage) && !stage.dropped)
        || (trade.what == What::Analysis && behind.map(|(at, _)| at).any(goes_on))
}

/// Whether a task of the stage has been tried, or is, or waits to be tried again.
fn is_begun(world: &World, job: &Job, stage: u32) -> bool {
    let first: u32 = job.stages[..stage as usize].iter().map(|s| s.count).sum();
    let own = first..first + job.stages[stage as usize].count;
    let live =
        world.engine.as_ref().and_then(|engine| engine.job(job.id)).map(|doc| doc.live).unwrap_or_default();
    let explained = world.engine.as_ref().and_then(|engine| engine.explain(world.now, job.id));
    // On a worker without having begun, given back by one that does not say why, or with one of the reign before.
    let is_out = |why: &Waiting| matches!(why, Waiting::OnWorker | Waiting::Backoff | Waiting::Reattachment);
    let tasks = &job.tasks[own.start as usize..own.end as usize];
    job.ended.is_some()
        || tasks.iter().any(|t| t.success.is_some() || t.trouble.is_some())
        || live.range(own).next().is_some()
        || explained.is_some_and(|it| it.waits.iter().any(|wait| wait.stage == stage && is_out(&wait.why)))
}

fn answered_submits_exist(world: &World) {
    for job in &world.accepted {
        assert!(world.disk.has(*job), "{job} was answered and is not there");
    }
}

/// What must hold once the world has healed and come to rest.
///
/// # Panics
/// With the law that is broken.
pub(crate) fn hold_at_rest(world: &World, staged_are_gone: bool) {
    assert!(world.engine().state().jobs.is_empty(), "jobs do not end: {:?}", world.engine().state().jobs);
    for job in &world.accepted {
        let ended = world.disk.archive().get(job).and_then(|j| j.ended.as_ref());
        let ended = ended.unwrap_or_else(|| panic!("{job} was accepted and never ended"));
        match ended.state {
            JobState::Succeeded => {}
            JobState::Failed => assert!(ended.failure.is_some(), "{job} failed without a cause"),
            JobState::Canceled => assert!(world.cancels.contains(job), "{job} was never canceled"),
            JobState::Queued | JobState::Running => panic!("{job} ended as {:?}", ended.state),
        }
    }
    for worker in world.workers.values() {
        assert!(worker.held.is_empty(), "{} still holds {:?}", worker.facts.name, worker.held.keys());
    }
    for doc in world.engine().workers() {
        assert!(doc.running.is_empty(), "{} still takes capacity for {:?}", doc.name, doc.running);
    }
    if staged_are_gone {
        assert!(world.depot.staged.is_empty(), "staged files stay: {:?}", world.depot.staged);
    }
}
