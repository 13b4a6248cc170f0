//! What the scheduler promises of itself, over random days of a small farm of films and graphs with deadlines: replay
//! equals live, and every trade is undone or justified. (The queue against a naive sort is in `queue`, fair shares by
//! weight in `shares`, deadlines on one machine in `deadlines`, dry runs against submits in `dry_runs`.)

use proptest::prelude::*;
use rushes_core::event::{Decision, FarmNews};
use rushes_core::job::Job;
use rushes_core::promise::trade::{Sake, Trade, What};
use rushes_shared::encode::{RateControl, SpeedPreset};
use rushes_shared::id::{AttemptId, JobId, WorkerId};
use rushes_shared::job::{Class, JobChange, JobSpec, QualityFloor, Work};
use rushes_shared::task::{SlotKind, TaskOutcome, TaskValue, Usage};
use rushes_shared::units::WallMs;

use crate::support::samples::{
    encode, facts, graph, in_class, stage, value_of, with_deadline, with_preset, with_priority,
};
use crate::support::scene::{Scene, check};
use crate::support::tell;

#[derive(Debug, Clone)]
enum Step {
    /// A film in so many outputs, or a graph of stages, due after so many seconds.
    Film {
        outputs: u32,
        due: u64,
        priority: u8,
        two_passes: bool,
    },
    Graph {
        seconds: u32,
        extras: u32,
        due: u64,
        priority: u8,
        class: usize,
    },
    /// One of the running tasks ends, as it should.
    Done(usize),
    Wait(u64),
    Cancel(usize),
    Due(usize, u64),
    /// The second node goes, or comes back.
    Node,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u32..4, 3_u64..60, 0_u8..=100, any::<bool>())
            .prop_map(|(outputs, due, priority, two_passes)| Step::Film { outputs, due, priority, two_passes }),
        4 => (1_u32..30, 0_u32..4, 3_u64..120, 0_u8..=100, 0_usize..3)
            .prop_map(|(seconds, extras, due, priority, class)| Step::Graph { seconds, extras, due, priority, class }),
        6 => any::<usize>().prop_map(Step::Done),
        3 => (1_u64..8_000).prop_map(Step::Wait),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => (any::<usize>(), 1_u64..300).prop_map(|(n, due)| Step::Due(n, due)),
        1 => Just(Step::Node),
    ]
}

fn film(outputs: u32, two_passes: bool) -> JobSpec {
    let floor = QualityFloor {
        fastest_preset: Some(SpeedPreset::Superfast),
        min_height: Some(360),
        one_pass: true,
        ..QualityFloor::default()
    };
    let mut spec = JobSpec { floor, ..with_preset(encode(outputs), SpeedPreset::Slower) };
    if let (Work::Encode { outputs, .. }, true) = (&mut spec.work, two_passes) {
        let rate = RateControl::TwoPass { bitrate_bps: 3_000_000, peak_bps: None };
        outputs.iter_mut().for_each(|o| o.settings.video.as_mut().expect("it has video").rate = rate);
    }
    spec
}

fn stages(seconds: u32, extras: u32) -> JobSpec {
    let mut stages = vec![
        stage("look", SlotKind::Analyse, 1, 2_000, &[]),
        stage("main", SlotKind::Encode, 2, seconds * 1_000, &[0]),
    ];
    stages[0].optional = true;
    for extra in 0..extras {
        let mut extra = stage("extra", SlotKind::Encode, 1, (extra + 1) * 5_000, &[]);
        extra.optional = true;
        stages.push(extra);
    }
    let floor = QualityFloor { drop_optional: true, ..QualityFloor::default() };
    JobSpec { floor, ..graph(stages) }
}

fn pick(scene: &Scene, n: usize) -> Option<JobId> {
    let jobs: Vec<JobId> = scene.world.engine().state().jobs.keys().copied().collect();
    jobs.get(n.checked_rem(jobs.len())?).copied()
}

fn running(scene: &Scene) -> Vec<(WorkerId, AttemptId)> {
    let of = |(id, worker): (&WorkerId, &crate::support::worker::Worker)| {
        worker.running().map(|order| (*id, order.attempt)).collect::<Vec<_>>()
    };
    scene.world.workers.iter().flat_map(of).collect()
}

fn ends(s: &mut Scene, n: usize) {
    let all = running(s);
    let Some((worker, attempt)) = all.get(n.checked_rem(all.len()).unwrap_or(0)).copied() else { return };
    let order = s.world.workers[&worker].held[&attempt].order.clone();
    let value = value_of(&order, &facts(1920, 1080));
    let stages = matches!(value, TaskValue::Encoded(_));
    s.world.end(worker, attempt, TaskOutcome::Succeeded { value, usage: Usage::default() }, stages);
    s.rest();
}

/// The laws hold after each step, see [`crate::support::laws::hold`].
fn take(s: &mut Scene, step: &Step) {
    let now = s.world.now.wall.0;
    let due = |seconds: u64| now + seconds * 1_000;
    match *step {
        Step::Film { outputs, due: seconds, priority, two_passes } => {
            s.submit(with_priority(with_deadline(film(outputs, two_passes), due(seconds)), priority));
        }
        Step::Graph { seconds, extras, due: left, priority, class } => {
            let class = [Class::Bulk, Class::Standard, Class::Premium][class];
            let spec = in_class(with_deadline(stages(seconds, extras), due(left)), class);
            s.submit(with_priority(spec, priority));
        }
        Step::Done(n) => ends(s, n),
        Step::Wait(ms) => s.wait(ms),
        Step::Cancel(n) => {
            if let Some(job) = pick(s, n) {
                s.cancel(job.0);
            }
        }
        Step::Due(n, seconds) => {
            if let Some(job) = pick(s, n) {
                let deadline = Some(Some(WallMs(due(seconds))));
                s.amend(job.0, JobChange { deadline, ..JobChange::default() });
            }
        }
        Step::Node if s.world.workers[&tell::worker('b')].alive => s.kill('b'),
        Step::Node => {
            s.world.revive(tell::worker('b'));
            s.connect('b');
        }
    }
}

fn lived_through(steps: &[Step]) -> Scene {
    check(
        |s| {
            s.join("ab");
            steps.iter().for_each(|step| take(s, step));
        },
        |_| {},
        &[],
    )
}

/// Trades as they were told when they were made: whose, and what.
fn told(scene: &Scene) -> Vec<(JobId, Trade)> {
    let told = scene.world.news.iter().filter_map(|news| match &news.what {
        FarmNews::Decided(Decision::Traded { trade }) => Some((news.job?, **trade)),
        _ => None,
    });
    told.collect()
}

/// Something was missing, to a promise that somebody has, and the trade saved something of it, within the floor.
fn is_justified(job: &Job, trade: &Trade, promised: &[JobId]) -> bool {
    let floor = job.spec.floor;
    let is_allowed = match trade.what {
        What::Preset { to, .. } => floor.fastest_preset.is_some_and(|fastest| to >= fastest),
        What::Height { to, .. } => floor.min_height.is_some_and(|lowest| to >= lowest),
        What::Pass => floor.one_pass,
        What::Drop | What::Analysis => floor.drop_optional,
    };
    let has_promise = match trade.sake {
        Sake::Own | Sake::LostNodes => promised.contains(&job.id),
        Sake::Job(other) => other != job.id && promised.contains(&other),
    };
    is_allowed && has_promise && trade.missing_ms > 0 && trade.saved_ms > 0 && trade.loss > 0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Each trade was justified when it was made. When all the others are gone and there is an hour, nothing is given up
    /// any more but what has been begun.
    #[test]
    fn every_trade_is_undone_or_justified(steps in prop::collection::vec(step(), 1..40)) {
        let mut scene = lived_through(&steps);
        let told = told(&scene);
        let state = scene.world.engine().state().clone();
        let job_of = |id: JobId| state.jobs.get(&id).map(|job| &**job).or(scene.world.disk.archive().get(&id));
        let promised: Vec<JobId> = (1..=scene.world.accepted.len() as u128).map(JobId).collect();
        for (id, trade) in &told {
            let job = job_of(*id).expect("it was accepted");
            prop_assert!(is_justified(job, trade, &promised), "{id}: {trade:?}");
            let kept = job.trades.iter().any(|kept| Trade { undone: None, ..*kept } == *trade);
            prop_assert!(kept, "{id} was told to give something up that is not in its record: {trade:?}");
        }
        let Some(last) = pick(&scene, 0) else { return Ok(()) };
        for other in state.jobs.keys().filter(|id| **id != last) {
            scene.cancel(other.0);
        }
        let deadline = Some(Some(WallMs(scene.world.now.wall.0 + 3_600_000)));
        scene.amend(last.0, JobChange { deadline, ..JobChange::default() });
        scene.wait(1_000);
        let Some(job) = scene.world.engine().state().jobs.get(&last) else { return Ok(()) };
        let live = scene.world.engine().job(last).expect("it is live").live;
        for trade in job.trades.iter().filter(|trade| trade.undone.is_none()) {
            let first: u32 = job.stages[..trade.stage as usize].iter().map(|s| s.count).sum();
            let begun = |at: u32, count: u32| (at..at + count).any(|task| {
                let task_state = &job.tasks[task as usize];
                task_state.success.is_some() || task_state.trouble.is_some() || live.contains_key(&task)
            });
            let followers_begun = || {
                let mut at = 0;
                job.stages.iter().any(|stage| {
                    let from = at;
                    at += stage.count;
                    stage.after.contains(&trade.stage) && begun(from, stage.count)
                })
            };
            let is_begun = begun(first, job.stages[trade.stage as usize].count)
                || (trade.what == What::Analysis && followers_begun());
            prop_assert!(is_begun, "there is time, and nothing has been begun: {trade:?}");
        }
    }

    /// The records alone give the state that was lived through, and the books of whoever starts from it.
    #[test]
    fn replay_equals_live(steps in prop::collection::vec(step(), 1..40)) {
        let mut scene = lived_through(&steps);
        let live = scene.world.engine().state().clone();
        scene.crash();
        scene.start();
        let replayed = scene.world.engine().state();
        for (id, job) in live.jobs.iter() {
            let again = replayed.jobs.get(id).map(|job| (&job.spec, &job.tasks, &job.published));
            prop_assert_eq!(again, Some((&job.spec, &job.tasks, &job.published)), "{}", id);
        }
        prop_assert_eq!(live.jobs.len(), replayed.jobs.len());
        prop_assert_eq!(scene.world.engine().recount(), Ok(()));
    }
}
