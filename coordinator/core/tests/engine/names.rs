//! What is shown of a decision, letter by letter: programs compare the names, and people read the words. And what was
//! given up reads back from its bytes as it was.

use rushes_core::explain::{Assumes, Because, Standing, TaskPlace, Waiting};
use rushes_core::job::{Job, Prediction, Stage, Step};
use rushes_core::placement::lack::{Lack, Shut};
use rushes_core::promise::late::{Late, LateBy};
use rushes_core::promise::trade::{self, Sake, Trade, What};
use rushes_core::record::{self, Record};
use rushes_shared::encode::SpeedPreset;
use rushes_shared::id::{JobId, TenantId, WorkerId};
use rushes_shared::task::{Demand, SlotKind};
use rushes_shared::units::WallMs;

use crate::support::samples::{NOW, encode};

const WORKER: WorkerId = WorkerId(7);
const AT: WallMs = WallMs(NOW);

#[test]
fn names_are_those_that_programs_compare() {
    let waiting = [
        (Waiting::Stages(vec![0]), "stages"),
        (Waiting::Reattachment, "reattachment"),
        (Waiting::Room, "room"),
        (Waiting::Reserved(WORKER), "reserved"),
        (Waiting::NoNode(Lack::NoWorker), "no_node"),
        (Waiting::OldNodes, "old_nodes"),
        (Waiting::ShutNodes(Shut::default()), "shut_nodes"),
        (Waiting::Limit("dolby".into()), "limit"),
        (Waiting::TenantCap, "tenant_cap"),
        (Waiting::AnotherNode, "another_node"),
        (Waiting::Backoff, "backoff"),
        (Waiting::OnWorker, "on_worker"),
        (Waiting::Failing, "failing"),
        (Waiting::Pause, "pause"),
        (Waiting::Turn, "turn"),
    ];
    for (why, name) in waiting {
        assert_eq!(why.name(), name);
    }
    let standing = [
        (Standing::NotQueued, "not_queued"),
        (Standing::Paused, "paused"),
        (Standing::HeldBack, "held_back"),
        (Standing::Emergency, "emergency"),
        (Standing::AtRisk, "at_risk"),
        (Standing::InClass, "in_class"),
        (Standing::BeyondWidth, "beyond_width"),
        (Standing::Plain, "plain"),
    ];
    for (standing, name) in standing {
        assert_eq!(standing.as_str(), name);
    }
    let places = [
        (TaskPlace::Waits(Waiting::Turn, None), "waits"),
        (TaskPlace::Runs(Vec::new()), "runs"),
        (TaskPlace::Done(WORKER, AT), "done"),
        (TaskPlace::GivenUp, "given_up"),
        (TaskPlace::LeftOut, "left_out"),
    ];
    for (place, name) in places {
        assert_eq!(place.name(), name);
    }
    let late = [
        (LateBy::Itself, "itself", None),
        (LateBy::Other(JobId(5)), "another_job", Some(JobId(5))),
        (LateBy::LostNodes, "lost_nodes", None),
        (LateBy::Limit, "limit", None),
        (LateBy::TenantCap, "tenant_cap", None),
        (LateBy::Nodes, "nodes", None),
    ];
    for (late, name, other) in late {
        assert_eq!((late.as_str(), late.other()), (name, other));
    }
    let sakes = [
        (Sake::Own, "own_deadline", None),
        (Sake::Job(JobId(5)), "another_deadline", Some(JobId(5))),
        (Sake::LostNodes, "lost_nodes", None),
    ];
    for (sake, name, other) in sakes {
        assert_eq!((sake.as_str(), sake.other()), (name, other));
    }
}

#[test]
fn words_say_why_there_and_what_a_start_takes_for_granted() {
    let because = [
        (Because::Reserved, "was kept free for it"),
        (Because::HasInput, "has the job's input"),
        (Because::HasEncoder, "has a hardware encoder free, which the job asks for"),
        (Because::OnlyOne, "the only worker that gets such tasks"),
        (Because::SoonestRoom, "has room for it soonest, of those that hold tasks ahead"),
        (Because::FastestFreest, "the fastest of the workers with room, and of those the freest"),
        (Because::Backfill, "is kept for a larger task, which this one does not delay"),
        (Because::Straggler, "a second attempt, elsewhere than the first"),
        (Because::Held, "held it when it connected"),
    ];
    for (because, words) in because {
        assert_eq!(because.to_string(), words);
    }
    let assumes = [
        (Assumes::Queue, "queue", "what stands ahead takes as long as predicted"),
        (Assumes::Worker, "worker", "runs and waits on that worker"),
        (Assumes::Stages, "stages", "the stages before"),
        (Assumes::Backoff, "backoff", "the delay after the failure"),
        (Assumes::Reattachment, "reattachment", "no worker comes back with it"),
    ];
    for (assumes, name, words) in assumes {
        assert_eq!(assumes.as_str(), name);
        assert!(assumes.to_string().contains(words), "{assumes} does not say '{words}'");
    }
    let preset = What::Preset { from: SpeedPreset::Medium, to: SpeedPreset::Veryfast };
    let given_up = [
        (preset, "preset medium -> veryfast", false),
        (What::Height { from: Some(1_080), to: 720 }, "height 1080 -> 720", false),
        (What::Height { from: None, to: 720 }, "height 720 at most", false),
        (What::Drop, "left out, being optional", true),
        (What::Analysis, "one analysis pass fewer", true),
        (What::Pass, "one pass instead of two", false),
    ];
    for (what, words, leaves_out) in given_up {
        assert_eq!((what.to_string().as_str(), what.leaves_out()), (words, leaves_out));
    }
}

fn predicted(wall_ms: u64) -> Prediction {
    Prediction { cpu_ms: wall_ms * 4, wall_ms, model: 1 }
}

fn given_up(what: What, sake: Sake, undone: Option<WallMs>) -> Trade {
    Trade {
        stage: 0,
        what,
        sake,
        missing_ms: 4_000,
        saved_ms: 30_000,
        loss: 10,
        before: predicted(60_000),
        after: predicted(30_000),
        at: AT,
        undone,
    }
}

fn job(late: Option<LateBy>, trades: Vec<Trade>) -> Job {
    let late = late.map(|because| Box::new(Late { since: WallMs(NOW + 5), because }));
    let plain =
        Job::new(JobId(1), TenantId::default_tenant(), "ci".into(), encode(2).into(), WallMs(NOW - 1));
    Job { late, trades: trades.into(), ..plain }
}

#[test]
fn what_is_late_and_what_was_given_up_reads_back_as_it_was_whyever_it_is() {
    let why = [LateBy::Itself, LateBy::Other(JobId(u128::MAX)), LateBy::LostNodes, LateBy::Limit];
    let why = why.into_iter().chain([LateBy::TenantCap, LateBy::Nodes]);
    let late: Vec<_> = std::iter::once(None).chain(why.map(Some)).collect();
    let sakes = [Sake::Own, Sake::Job(JobId(9)), Sake::LostNodes];
    let undone = [None, Some(WallMs(NOW + 7))];
    let trades = sakes.iter().flat_map(|sake| undone.map(|at| given_up(What::Drop, *sake, at)));
    let trades: Vec<Trade> = trades.collect();
    for late in late {
        let carried = Record::JobCarried(Box::new(job(late, trades.clone())));
        let bytes = record::to_bytes(&carried).expect("it fits");
        assert_eq!(record::from_bytes::<Record>(&bytes).expect("it reads back"), carried, "{late:?}");
    }
}

fn stage(output: u32) -> Stage {
    Stage {
        step: Step::Encode { output },
        slot: SlotKind::Encode,
        count: 1,
        after: Vec::new(),
        demand: Demand::default(),
        prediction: predicted(60_000),
        optional: true,
        dropped: false,
    }
}

#[test]
fn a_trade_changes_its_stage_alone_and_taking_it_back_leaves_it_as_it_was() {
    let before = vec![stage(0), stage(1)];
    for what in [What::Drop, What::Pass] {
        let trade = Trade { stage: 1, ..given_up(what, Sake::Own, None) };
        let mut stages = before.clone();
        trade.change(&mut stages);
        assert_eq!(stages[0], before[0]);
        assert_eq!((stages[1].prediction, stages[1].dropped), (predicted(30_000), what.leaves_out()));
        trade.change_back(&mut stages);
        assert_eq!(stages, before);
    }
    // One that was left out for another reason stays so.
    let mut stages = vec![Stage { dropped: true, ..stage(0) }];
    given_up(What::Pass, Sake::Own, None).change_back(&mut stages);
    assert!(stages[0].dropped);
    let beyond = Trade { stage: 9, ..given_up(What::Drop, Sake::Own, None) };
    beyond.change(&mut stages);
    beyond.change_back(&mut stages);
    assert_eq!(stages, [Stage { dropped: true, ..stage(0) }], "a plan without the stage is left alone");
}

#[test]
fn settings_are_those_that_are_left_after_what_is_given_up_now() {
    let stages = [stage(0), stage(1)];
    let lower =
        |to, stage, undone| Trade { stage, ..given_up(What::Height { from: None, to }, Sake::Own, undone) };
    let preset = What::Preset { from: SpeedPreset::Medium, to: SpeedPreset::Ultrafast };
    let trades = [
        lower(720, 0, None),
        lower(480, 0, None),
        lower(144, 0, Some(AT)),
        lower(240, 1, None),
        given_up(preset, Sake::Own, None),
        given_up(What::Drop, Sake::Own, None),
    ];
    let spec = encode(2);
    let video = |output| trade::settings(&spec, &stages, &trades, output).and_then(|it| it.video);
    let (first, second) = (video(0).expect("video"), video(1).expect("video"));
    assert_eq!((first.max_height, first.preset), (Some(480), SpeedPreset::Ultrafast), "the last one holds");
    let asked = spec.work.output(1).expect("two").settings.video.clone().expect("video");
    assert_eq!((second.max_height, second.preset), (Some(240), asked.preset));
    assert!(trade::settings(&spec, &stages, &trades, 2).is_none(), "there is no such output");
}
