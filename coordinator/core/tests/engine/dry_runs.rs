//! A dry run says what a submit then does: over small farms with all sorts of promises on them.

use proptest::prelude::*;
use rushes_core::event::{Decision, Event, FarmNews, ReplyTo};
use rushes_core::policy::{Admission, Policy, PromisePolicy};
use rushes_core::state::TenantLimits;
use rushes_shared::encode::SpeedPreset;
use rushes_shared::id::{JobId, TenantId};
use rushes_shared::job::{Class, JobSpec, Needs, QualityFloor};
use rushes_shared::task::SlotKind;

use crate::support::samples::{
    NOW, encode, facts, graph, in_class, node, stage, with_deadline, with_preset, with_priority,
};
use crate::support::scene::{Scene, check, check_with};

const CLASSES: [Class; 4] = [Class::Bulk, Class::Standard, Class::Premium, Class::Emergency];

/// Tasks of a main stage and seconds of each, seconds of optional extras, priority, class, seconds to the deadline,
/// whether it may give the extras up, what it holds of a limit and whether it needs a tag.
type Asked = (u32, u32, Vec<u32>, u8, usize, Option<u64>, bool, (u32, bool));

fn asked(classes: usize) -> impl Strategy<Value = Asked> {
    (
        1_u32..5,
        1_u32..40,
        prop::collection::vec(1_u32..40, 0..4),
        0_u8..=100,
        0_usize..classes,
        prop::option::weighted(0.85, 2_u64..150),
        any::<bool>(),
        (prop::sample::select(vec![0, 0, 0, 1, 2]), prop::bool::weighted(0.2)),
    )
}

fn spec((count, seconds, extras, priority, class, due, may, (units, tagged)): &Asked) -> JobSpec {
    let mut stages = vec![stage("main", SlotKind::Encode, *count, seconds * 1_000, &[])];
    for (at, extra) in (0_u32..).zip(extras) {
        let after: &[u32] = if at % 2 == 1 { &[at] } else { &[] };
        let mut extra = stage("extra", SlotKind::Encode, 1, extra * 1_000, after);
        extra.optional = true;
        stages.push(extra);
    }
    let floor = QualityFloor { drop_optional: *may && due.is_some(), ..QualityFloor::default() };
    let limits = (*units > 0).then(|| ("dolby".to_owned(), *units));
    let tags = tagged.then(|| "gpu".to_owned());
    let needs =
        Needs { limits: limits.into_iter().collect(), tags: tags.into_iter().collect(), ..Needs::default() };
    let spec = with_priority(in_class(graph(stages), CLASSES[*class]), *priority);
    let spec = JobSpec { needs: (needs != Needs::default()).then(|| Box::new(needs)), ..spec };
    match due {
        Some(due) => JobSpec { floor, ..with_deadline(spec, NOW + due * 1_000) },
        None => spec,
    }
}

fn policy(admission: Admission, is_exact: bool) -> Policy {
    let exact = PromisePolicy { load_permille: 1_000, p90_permille: 1_000, ..PromisePolicy::default() };
    let promise = if is_exact { exact } else { PromisePolicy::default() };
    Policy { promise: PromisePolicy { admission, ..promise }, ..Policy::default() }
}

/// Whether the latest news of a job is that its deadline is given up.
fn was_declared_late(scene: &Scene, job: JobId) -> bool {
    let late = |what: &FarmNews| matches!(what, FarmNews::Decided(Decision::PromiseLate { .. }));
    scene.world.news.iter().any(|news| news.job == Some(job) && late(&news.what))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn a_dry_run_answers_what_a_submit_then_does(
        nodes in prop::collection::vec(1_u32..5, 1..4),
        before in prop::collection::vec(asked(3), 0..7),
        waits_ms in 0_u64..20_000,
        candidate in asked(4),
        (refuses, is_exact) in any::<(bool, bool)>(),
        (most, capped, gpus) in (2_u32..4, prop::option::weighted(0.3, 1_u32..4), 0_usize..3),
    ) {
        let admission = if refuses { Admission::Refuse } else { Admission::Advise };
        let scene = check_with(
            policy(admission, is_exact),
            |s| {
                for (at, (name, cores)) in ('a'..).zip(&nodes).enumerate() {
                    let mut facts = node(&name.to_string());
                    facts.cpu.0 = cores * 1_000;
                    facts.tags.extend((at < gpus).then(|| "gpu".to_owned()));
                    s.join_as(name, facts);
                }
                s.set_limit("dolby", Some(most));
                if let Some(max_running) = capped {
                    let limits = TenantLimits { max_running, ..TenantLimits::default() };
                    let tenant = TenantId::default_tenant();
                    s.tell(Event::TenantSetAsked { reply: ReplyTo(9_000), tenant, limits });
                }
                before.iter().for_each(|job| s.submit(spec(job)));
                s.wait(waits_ms);
                s.dry_run(spec(&candidate));
                let answer = match s.world.trace.last().expect("an answer").as_str() {
                    "refused CannotKeep" => "cannot be kept".to_owned(),
                    other => other.to_owned(),
                };
                s.submit(spec(&candidate));
                let refused = s.world.trace.iter().any(|line| line == "refused CannotKeep");
                let job = s.world.engine().state().jobs.keys().next_back().copied();
                let is_ours = |job: &JobId| job.0 == u128::try_from(before.len()).expect("few") + 1;
                let late = job.filter(is_ours).is_some_and(|job| was_declared_late(s, job));
                let told = match (candidate.5, job.filter(is_ours), late) {
                    (None, ..) => "nothing promised",
                    (Some(_), None, _) | (Some(_), _, true) => "cannot be kept",
                    (Some(_), Some(_), false) => "can be kept",
                };
                assert_eq!(answer, told, "refused: {refused}; {:#?}", s.world.trace);
            },
            |_| {},
            &[],
        );
        drop(scene);
    }
}

/// Half a minute of tasks for four cores, presets and heights left to give up: a dry run assumes the input that comes.
#[test]
fn a_dry_run_counts_what_the_new_job_itself_would_give_up() {
    let floor = QualityFloor { fastest_preset: Some(SpeedPreset::Veryfast), ..QualityFloor::default() };
    let film = |seconds: u64, floor| JobSpec {
        floor,
        ..with_deadline(with_preset(encode(1), SpeedPreset::Slower), NOW + seconds * 1_000)
    };
    let play = |seconds, floor| {
        let scene = check(
            |s| {
                s.source = facts(1920, 1080);
                s.join("a");
                // The inputs of before are what the next one is taken for.
                s.submit(encode(1));
                s.done('a', "1.0");
                s.done('a', "1.1");
                s.dry_run(film(seconds, floor));
                let answer = s.world.trace.last().expect("an answer").clone();
                s.submit(film(seconds, floor));
                s.done('a', "2.0");
                let is_late = s.world.engine().state().jobs[&JobId(2)].late.is_some();
                assert_eq!(answer, if is_late { "cannot be kept" } else { "can be kept" });
            },
            |_| {},
            &[],
        );
        let job = &scene.world.engine().state().jobs[&JobId(2)];
        (job.late.is_some(), job.has_trades())
    };
    assert_eq!(play(60, QualityFloor::default()), (false, false));
    assert_eq!(play(8, QualityFloor::default()), (true, false));
    assert_eq!(play(8, floor), (false, true));
    assert_eq!(play(1, floor), (true, false));
}
