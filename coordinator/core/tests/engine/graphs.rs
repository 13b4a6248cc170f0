//! Encodes in a job's own graph: planned for what inputs usually are, sized when theirs was probed, published like an
//! encode job's.

use rushes_core::engine::Engine;
use rushes_core::event::{Event, LinkId};
use rushes_core::job::Job;
use rushes_core::planner;
use rushes_core::policy::Policy;
use rushes_core::promise::trade::{Sake, Trade, What};
use rushes_core::record::Record;
use rushes_core::state::{Misfit, State};
use rushes_shared::failure::FailureCode;
use rushes_shared::id::{Epoch, JobId, TenantId};
use rushes_shared::job::{QualityFloor, Work};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::SlotKind;
use rushes_shared::units::{MonoMs, Now, WallMs};

use crate::support::samples::{NOW, audio_only, facts, film_graph, in_hardware, node, stage, with_deadline};
use crate::support::scene::{Scene, check};
use crate::support::tell;

fn with_source(source: MediaFacts) -> impl FnOnce(&mut Scene) {
    |s| {
        s.source = source;
        s.join("a");
        s.submit(film_graph());
    }
}

#[test]
fn an_encode_follows_its_probe_is_published_and_lets_go_what_comes_after() {
    let scene = check(
        |s| s.join("a"),
        |s| {
            s.submit(film_graph());
            s.done('a', "1.0");
            s.done('a', "1.1");
            s.done('a', "1.2");
        },
        &[
            "accepted j1",
            "start j1.0 #1-1 on a",
            "collect #1-1 on a",
            "start j1.1 #1-2 on a",
            "publish j1/1 from #1-2",
            "collect #1-2 on a",
            "start j1.2 #1-3 on a",
            "j1 succeeded",
            "collect #1-3 on a",
        ],
    );
    let job = &scene.world.disk.archive()[&JobId(1)];
    assert_eq!(job.published.iter().map(|p| p.output).collect::<Vec<_>>(), [1], "its stage's number");
}

#[test]
fn what_an_encode_takes_is_known_once_its_input_was_probed() {
    let demand = |s: &Scene| {
        let stage = &s.world.engine().state().jobs[&JobId(1)].stages[1];
        (stage.demand.cpu.0, stage.prediction.wall_ms)
    };
    let scene = check(
        with_source(facts(640, 360)),
        |s| {
            let before = demand(s);
            s.done('a', "1.0");
            assert_ne!(before, demand(s), "a minute of full HD was assumed");
        },
        &["collect #1-1 on a", "start j1.1 #1-2 on a"],
    );
    let order = scene.world.workers.values().next().expect("there is one").running().next().expect("it runs");
    assert_eq!((demand(&scene).0, order.demand.cpu.0), (1_000, 1_000), "360 lines keep one core busy");
}

#[test]
fn a_crash_after_the_probe_sizes_and_starts_the_encode_all_the_same() {
    for written in 0..4 {
        let mut scene = check(with_source(facts(640, 360)), |_| {}, &[]);
        let worker = crate::support::tell::worker('a');
        let attempt = scene.attempt('a', "1.0");
        let order = scene.world.workers[&worker].held[&attempt].order.clone();
        let value = crate::support::samples::value_of(&order, &scene.source);
        let usage = rushes_shared::task::Usage::default();
        let outcome = rushes_shared::task::TaskOutcome::Succeeded { value, usage };
        scene.world.end(worker, attempt, outcome, false);
        scene.world.deliver_up(0);
        scene.world.crash(written, true);
        scene.world.start();
        scene.connect('a');
        scene.wait(40_000);
        assert!(scene.runs('a', "1.1"), "{written} records were written");
        assert_eq!(scene.world.engine().state().jobs[&JobId(1)].stages[1].demand.cpu.0, 1_000);
    }
}

#[test]
fn an_input_without_video_fails_the_job_with_that_reason() {
    check(
        with_source(audio_only()),
        |s| s.done('a', "1.0"),
        &["j1 failed: stream_missing", "collect #1-1 on a"],
    );
}

#[test]
fn an_encode_of_a_graph_gives_quality_up_and_falls_back_from_hardware_like_any() {
    let mut spec = with_deadline(film_graph(), NOW + 6_000);
    spec.floor = QualityFloor {
        fastest_preset: Some(rushes_shared::encode::SpeedPreset::Ultrafast),
        ..QualityFloor::default()
    };
    let scene = check(
        |s| {
            s.join("a");
            s.submit(spec);
        },
        |s| s.done('a', "1.0"),
        &["collect #1-1 on a", "start j1.1 #1-2 on a"],
    );
    assert!(scene.world.engine().state().jobs[&JobId(1)].has_trades(), "the deadline is near");
    let scene = check(
        |s| {
            s.join_with_hardware('a', 1);
            s.submit(in_hardware(film_graph()));
            s.done('a', "1.0");
            assert_eq!(s.hardware('a', "1.1"), Some("nvh264enc"));
            s.fail('a', "1.1", FailureCode::EncoderFailed);
        },
        |s| s.wait(5_000),
        &["start j1.1 #1-3 on a"],
    );
    assert_eq!(scene.hardware('a', "1.1"), None);
}

#[test]
fn what_a_graph_that_makes_a_file_should_take_is_forecast_and_judged_when_it_is_known() {
    let mut spec = film_graph();
    let Work::Graph { stages } = &mut spec.work else { unreachable!("it is a graph") };
    stages.push(stage("more", SlotKind::Encode, 1, 1_000, &[]));
    let scene = check(
        |s| s.join("a"),
        |s| s.submit(with_deadline(spec, NOW + 1_000_000)),
        &["accepted j1", "start j1.0 #1-1 on a", "start j1.3 #1-2 on a"],
    );
    let told = scene.world.engine().explain(scene.world.now, JobId(1)).expect("a live job");
    assert!(told.forecast.assumes.is_some() && told.forecast.can_keep == Some(true), "{told:?}");
}

#[test]
fn an_encode_does_not_go_on_without_the_probe_of_its_input_however_that_is_marked() {
    let mut spec = film_graph();
    let Work::Graph { stages } = &mut spec.work else { unreachable!("it is a graph") };
    (stages[0].slot, stages[0].optional) = (SlotKind::Analyse, true);
    check(
        |s| {
            s.join("a");
            s.submit(spec);
        },
        |s| s.fail('a', "1.0", FailureCode::InputNotFound),
        &["j1.0 failed on a: input_not_found, given up", "j1 failed: input_not_found", "collect #1-1 on a"],
    );
}

/// Whatever a journal holds: a task of which nobody knows what it works on fails its job, and nothing else.
#[test]
fn a_task_whose_input_is_unknown_fails_its_job() {
    let (job, tenant, at) = (JobId(1), TenantId::default_tenant(), WallMs(NOW));
    let spec = std::sync::Arc::new(film_graph());
    let plan = Job::new(job, tenant.clone(), "someone".into(), spec.clone(), at);
    let stages = planner::next_stages(&plan, 0, || facts(1920, 1080)).expect("it can be planned");
    let mut state = State::default();
    for record in [
        Record::EpochBegan { epoch: Epoch(1), at },
        Record::JobAccepted { job, tenant, submitter: "someone".into(), spec, key: None, at },
        Record::StagesPlanned { job, stages },
        Record::StageDropped { job, stage: 0, at },
    ] {
        state.apply(&record).expect("it fits");
    }
    let now = Now { mono: MonoMs(0), wall: at };
    let (mut engine, _) = Engine::recover(state, Policy::default(), Epoch(2), now);
    let (worker, link, facts) = (tell::worker('a'), LinkId(1), Box::new(node("a")));
    let effects =
        engine.handle(now, Event::WorkerJoined { worker, link, instance: 1, facts, held: Vec::new() });
    let why = effects.records.iter().find_map(|record| match record {
        Record::JobEnded { failure, .. } => failure.as_ref().map(|f| f.code),
        _ => None,
    });
    assert_eq!(why, Some(FailureCode::InputUnreadable), "{:#?}", effects.records);
    assert_eq!(engine.workers()[0].running, [], "and takes no room");
}

#[test]
fn a_record_of_a_trade_of_a_stage_that_is_not_there_is_told_and_no_panic() {
    let (job, tenant, at) = (JobId(1), TenantId::default_tenant(), WallMs(NOW));
    let spec = std::sync::Arc::new(film_graph());
    let mut state = State::default();
    let accepted = Record::JobAccepted { job, tenant, submitter: "someone".into(), spec, key: None, at };
    state.apply(&accepted).expect("it fits");
    let (before, after) = (Default::default(), Default::default());
    let trade = Trade {
        stage: 7,
        what: What::Drop,
        sake: Sake::Own,
        missing_ms: 1,
        saved_ms: 1,
        loss: 1,
        before,
        after,
        at,
        undone: None,
    };
    let told = state.apply(&Record::Traded { job, trade }).expect_err("there is no such stage");
    assert!(matches!(told, Misfit::NoStage(_, JobId(1), 7)), "{told}");
}
