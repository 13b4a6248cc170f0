//! What people and scripts read: each reason has a name of its own and says what it is about.

use std::collections::BTreeSet;

use rushes_core::event::{Decision, Event, LateBy, Refusal, ReplyTo};
use rushes_core::explain::{Because, Standing, Waiting};
use rushes_core::placement::lack::{Lack, Shut};
use rushes_core::state::TenantLimits;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::{JobId, TaskId, TenantId, WorkerId};
use rushes_shared::job::{Class, ContentValue, JobChange, JobSpec, Needs, Priority};
use rushes_shared::task::SlotKind;
use rushes_shared::units::WallMs;

use crate::support::samples::{graph, stage};
use crate::support::scene::check;

const WORKER: WorkerId = WorkerId(7);

/// All names differ, and each text has its word in it.
#[track_caller]
fn tell_apart(items: &[(&str, String, &str)]) {
    let names: BTreeSet<&str> = items.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names.len(), items.len(), "two have the same name: {names:?}");
    for (name, text, word) in items {
        assert!(text.contains(word), "{name}: '{text}' does not say '{word}'");
    }
}

#[test]
fn each_reason_to_wait_says_for_what() {
    let reasons = [
        (Waiting::Stages(vec![0, 2]), "stages 0, 2"),
        (Waiting::Reattachment, "start"),
        (Waiting::Room, "full"),
        (Waiting::Reserved(WORKER), "kept free"),
        (Waiting::NoNode(Lack::Encoder("av1")), "encoder for av1; 'rushes worker list'"),
        (Waiting::ShutNodes(Shut { drained: 2, ..Shut::default() }), "2 drained ('rushes worker resume"),
        (Waiting::Limit("dolby".into()), "'dolby'"),
        (Waiting::TenantCap, "tenant"),
        (Waiting::AnotherNode, "another"),
        (Waiting::Backoff, "tried again"),
        (Waiting::OldNodes, "version"),
        (Waiting::OnWorker, "sent ahead"),
        (Waiting::Failing, "all failed"),
        (Waiting::Pause, "paused"),
        (Waiting::Turn, "ahead"),
    ];
    let said: Vec<_> = reasons.iter().map(|(why, word)| (why.name(), why.to_string(), *word)).collect();
    tell_apart(&said);
    let standings = [
        Standing::NotQueued,
        Standing::Paused,
        Standing::HeldBack,
        Standing::Emergency,
        Standing::AtRisk,
        Standing::InClass,
        Standing::BeyondWidth,
        Standing::Plain,
    ];
    assert_eq!(standings.iter().map(|s| s.as_str()).collect::<BTreeSet<_>>().len(), standings.len());
    let places = [
        Because::Reserved,
        Because::HasInput,
        Because::HasEncoder,
        Because::FastestFreest,
        Because::Backfill,
        Because::Straggler,
        Because::Held,
        Because::OnlyOne,
        Because::SoonestRoom,
    ];
    assert_eq!(places.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len(), places.len());
}

#[test]
fn each_decision_says_what_was_decided() {
    let task = TaskId { job: JobId(1), index: 3 };
    let deadline = WallMs(1_700_000_000_000);
    let failure = Box::new(Failure::new(FailureCode::Unsupported, "no such codec", "use another"));
    let held_up = failure.clone();
    let change = Box::new(JobChange {
        class: Some(Class::Premium),
        priority: Priority::new(70),
        value: Some(ContentValue::default()),
        deadline: Some(Some(deadline)),
        labels: [("show".to_owned(), "s01".to_owned())].into(),
        paused: Some(true),
    });
    let said = [
        (Decision::JobAmended { change }, "class premium priority 70 value deadline 2023-11-14"),
        (Decision::PromiseAtRisk { deadline, spare_ms: 5 }, "5 ms to spare"),
        (Decision::PromiseLate { deadline, expected: deadline, because: LateBy::Itself }, "cannot be kept"),
        (Decision::PromiseRestored { deadline }, "after all"),
        (Decision::OptionalGivenUp { stage: 2, failure }, "stage 2: no such codec"),
        (Decision::NodeQuarantined { worker: WORKER, for_ms: 60_000 }, "60000 ms"),
        (Decision::NodeReadmitted { worker: WORKER }, "works again"),
        (Decision::TaskDoubled { task, worker: WORKER, ran_ms: 9 }, "elsewhere"),
        (Decision::TaskStalled { task, worker: WORKER, still_ms: 60_000 }, "not come further"),
        (
            Decision::OutputHeldUp {
                output: 0,
                name: "film.mp4".to_owned(),
                failure: held_up,
                retry_ms: 1_000,
                left_ms: 60_000,
            },
            "output film.mp4 is made and not in its place yet, tried again in 1000 ms, for 60 s at most: no such codec",
        ),
        (
            Decision::Preempted { task, worker: WORKER, by: JobId(9), lost_ms: 12, lost_permille: 430 },
            "the 12 ms that it had run (43 %) are lost",
        ),
        (Decision::QueueSettled, "not grow"),
        (Decision::JobHeldBack { code: FailureCode::TransferFailed, failures: 10 }, "latest 10 attempts"),
        (Decision::JobLetGo, "not held back any more"),
        (Decision::EncoderFellBack { task, worker: WORKER, element: "nvh264enc".into() }, "nvh264enc"),
        (Decision::EncoderShut { worker: WORKER, failures: 3, for_ms: 60_000 }, "3 tasks in a row"),
        (Decision::EncoderReadmitted { worker: WORKER }, "the hardware encoder"),
    ];
    let said: Vec<_> = said.iter().map(|(what, word)| (what.name(), what.to_string(), *word)).collect();
    tell_apart(&said);
    let ended = Decision::JobAmended {
        change: Box::new(JobChange { deadline: Some(None), paused: Some(false), ..JobChange::default() }),
    };
    assert!(ended.to_string().contains("no deadline resumed"), "{ended}");
}

#[test]
fn a_refusal_says_whether_it_is_worth_asking_again() {
    let tenant: TenantId = "team-7".parse().expect("a tenant");
    let priority = |n| Priority::new(n).expect("at most 100");
    let never = [
        Refusal::NoJob(JobId(1)),
        Refusal::NoWorker(WORKER),
        Refusal::KeyReused(JobId(1)),
        Refusal::ClassTooHigh { tenant: tenant.clone(), asked: Class::Premium, most: Class::Bulk },
        Refusal::PriorityTooHigh { tenant: tenant.clone(), asked: priority(90), most: priority(50) },
        Refusal::CannotKeep { deadline: WallMs(1), expected: Some(WallMs(2)), barred: None },
        Refusal::LimitTooLow { name: "dolby".into(), asked: 3, most: 2 },
    ];
    let later = [
        Refusal::FarmFull { class: Class::Bulk, limit: 5, retry_s: 3 },
        Refusal::TenantFull { tenant: tenant.clone(), limit: 5, retry_s: 3 },
        Refusal::TooManyDeadlines { tenant, limit: 5, retry_s: 3 },
        Refusal::TooManyNeeds { limit: 5, retry_s: 3 },
        Refusal::TooManySignatures { limit: 5, retry_s: 3 },
        Refusal::DiskNearlyFull,
    ];
    assert!(never.iter().all(|refusal| refusal.retry_after_s().is_none()));
    assert!(later.iter().all(|refusal| refusal.retry_after_s().is_some_and(|s| s > 0)));
    let texts: BTreeSet<String> = never.iter().chain(&later).map(ToString::to_string).collect();
    assert_eq!(texts.len(), never.len() + later.len());
}

#[test]
fn what_tenants_and_named_limits_have_and_use_is_shown() {
    let team: TenantId = "team-7".parse().expect("a tenant");
    let limits = TenantLimits { max_running: 3, ..TenantLimits::default() };
    let needs = Needs { limits: [("dolby".to_owned(), 2)].into(), ..Needs::default() };
    let holding = JobSpec {
        needs: Some(Box::new(needs)),
        ..graph(vec![stage("hold", SlotKind::Encode, 1, 1_000, &[])])
    };
    let scene = check(
        |s| {
            s.join("a");
            s.set_limit("dolby", Some(5));
            let tenant = team.clone();
            s.tell(Event::TenantSetAsked { reply: ReplyTo(9_000), tenant, limits });
        },
        |s| s.submit(holding),
        &["accepted j1", "start j1.0 #1-1 on a"],
    );
    let engine = scene.world.engine();
    let [dolby] = &engine.named_limits()[..] else { panic!("one limit was set") };
    assert_eq!((dolby.name.as_str(), dolby.most, dolby.held), ("dolby", Some(5), 2));
    let tenants = engine.tenants();
    let own = tenants.iter().find(|t| t.name == team).expect("it was set");
    assert_eq!((own.is_own, own.limits.max_running, own.jobs), (true, 3, 0));
    let other = tenants.iter().find(|t| t.name != team).expect("it has a job");
    assert_eq!((other.is_own, other.jobs, other.running), (false, 1, 1));
}
