//! Submits, their keys and limits; cancels.

use rushes_core::event::{Event, ReplyTo};
use rushes_core::policy::Policy;
use rushes_core::state::TenantLimits;
use rushes_shared::id::{JobId, TenantId};
use rushes_shared::job::{Class, ContentValue, JobChange, JobSpec, JobState};

use crate::support::samples::{encode, key, noop, written_to};
use crate::support::scene::{Scene, check, check_with};
use crate::support::world::Ask;

fn keyed(text: &str, body: u8) -> Ask {
    Ask { key: Some(key(text, body)), ..Ask::of(noop(1)) }
}

fn of_tenant(tenant: &str) -> Ask {
    Ask { tenant: tenant.parse().expect("a tenant"), ..Ask::of(noop(1)) }
}

#[test]
fn the_same_submit_twice_is_one_job() {
    check(|s| s.ask(keyed("k", 1)), |s| s.ask(keyed("k", 1)), &["accepted before as j1"]);
}

#[test]
fn a_key_with_another_body_is_refused() {
    check(|s| s.ask(keyed("k", 1)), |s| s.ask(keyed("k", 2)), &["refused KeyReused"]);
}

#[test]
fn tenants_do_not_share_keys() {
    let other = || Ask { tenant: "other".parse().expect("a tenant"), ..keyed("k", 2) };
    check(|s| s.ask(keyed("k", 1)), |s| s.ask(other()), &["accepted j2"]);
}

#[test]
fn a_key_is_known_after_a_crash_and_after_the_job_has_ended() {
    let given = |s: &mut Scene| {
        s.join("a");
        s.ask(keyed("k", 1));
        s.done('a', "1.0");
        s.crash();
        s.start();
    };
    check(given, |s| s.ask(keyed("k", 1)), &["accepted before as j1"]);
    check(given, |s| s.ask(keyed("k", 2)), &["refused KeyReused"]);
}

#[test]
fn a_key_is_forgotten_after_its_time() {
    let hour = 3_600_000;
    check(
        |s| {
            s.ask(keyed("k", 1));
            (0..26).for_each(|_| s.world.pass(hour));
            s.rest();
        },
        |s| s.ask(keyed("k", 2)),
        &["accepted j2"],
    );
}

#[test]
fn keys_that_are_kept_for_no_time_at_all_do_no_harm() {
    let policy = Policy { idempotency_ms: 0, ..Policy::default() };
    check_with(
        policy,
        |s| {
            s.ask(keyed("k", 1));
            s.wait(3_000);
        },
        |s| s.ask(keyed("k", 2)),
        &["accepted j2"],
    );
}

#[test]
fn an_answer_waits_for_the_disk() {
    let scene = check(
        |s| {
            s.world.submit(Ask::of(noop(1)));
            s.world.crash(0, false);
            s.start();
        },
        |s| s.submit(noop(1)),
        &["accepted j2"],
    );
    assert!(!scene.world.disk.has(JobId(1)), "nobody was told of the first one");
}

#[test]
fn a_full_farm_refuses_and_takes_jobs_again_when_some_have_ended() {
    let policy = Policy { max_jobs: 1, ..Policy::default() };
    let given = |s: &mut Scene| s.submit(noop(1));
    check_with(policy.clone(), given, |s| s.submit(noop(1)), &["refused FarmFull"]);
    check_with(
        policy,
        |s| {
            given(s);
            s.cancel(1);
        },
        |s| s.submit(noop(1)),
        &["accepted j2"],
    );
}

#[test]
fn a_tenant_at_its_limit_does_not_stop_others() {
    let tenant = TenantLimits { max_jobs: 1, ..TenantLimits::default() };
    let policy = Policy { tenant, ..Policy::default() };
    let given = |s: &mut Scene| s.ask(of_tenant("one"));
    check_with(policy.clone(), given, |s| s.ask(of_tenant("one")), &["refused TenantFull"]);
    check_with(policy.clone(), given, |s| s.ask(of_tenant("two")), &["accepted j2"]);
    let crashed = |s: &mut Scene| {
        given(s);
        s.crash();
        s.start();
    };
    check_with(policy, crashed, |s| s.ask(of_tenant("one")), &["refused TenantFull"]);
}

#[test]
fn a_full_disk_refuses_new_jobs_but_knows_old_ones() {
    let full = |ask: Ask| Ask { space_left: false, ..ask };
    check(|_| {}, |s| s.ask(full(keyed("k", 1))), &["refused DiskNearlyFull"]);
    check(|s| s.ask(keyed("k", 1)), |s| s.ask(full(keyed("k", 1))), &["accepted before as j1"]);
}

#[test]
fn a_queued_job_is_canceled_and_never_starts() {
    check(|s| s.submit(noop(2)), |s| s.cancel(1), &["j1 canceled", "canceled j1"]);
    check(
        |s| {
            s.submit(noop(2));
            s.cancel(1);
        },
        |s| s.join("a"),
        &["welcome a"],
    );
}

#[test]
fn a_running_job_is_stopped_and_what_it_staged_is_dropped() {
    let scene = check(
        |s| {
            s.join("a");
            s.submit(encode(1));
            s.done('a', "1.0");
        },
        |s| s.cancel(1),
        &["cancel #1-2 on a", "drop #1-2", "j1 canceled", "canceled j1", "collect #1-2 on a", "drop #1-2"],
    );
    let ended = scene.world.disk.archive()[&JobId(1)].ended.clone().expect("it ended");
    assert_eq!(ended.state, JobState::Canceled);
}

#[test]
fn what_does_not_exist_or_has_ended_cannot_be_canceled() {
    check(|_| {}, |s| s.cancel(7), &["refused NoJob"]);
    check(
        |s| {
            s.submit(noop(1));
            s.cancel(1);
        },
        |s| s.cancel(1),
        &["refused NoJob"],
    );
}

/// A class can make a value count for more: the ceiling is on what comes of it.
#[test]
fn a_change_of_class_does_not_lift_a_value_over_the_tenants_ceiling() {
    let tenant = TenantId::default_tenant();
    let value = Some(Box::new(ContentValue { creator_tier: 5, ..ContentValue::default() }));
    let spec = JobSpec { value, ..noop(1) };
    let weights = Policy::default().order.value;
    let now = weights.priority_of(&spec);
    let max_priority = now;
    check(
        |s| {
            let limits = TenantLimits { max_priority, ..TenantLimits::default() };
            s.tell(Event::TenantSetAsked { reply: ReplyTo(9_000), tenant, limits });
            s.submit(spec);
        },
        |s| {
            let into = |class| JobChange { class: Some(class), ..JobChange::default() };
            s.amend(1, into(Class::Premium));
            s.amend(1, into(Class::Bulk));
        },
        &["refused PriorityTooHigh", "amended j1"],
    );
}

#[test]
fn a_place_is_one_jobs_until_it_has_ended_also_after_a_crash() {
    let given = |s: &mut Scene| {
        s.join("a");
        s.submit(written_to(encode(1), "/out/film.mp4"));
        s.crash();
        s.start();
    };
    let again = |s: &mut Scene| s.submit(written_to(encode(1), "/out/film.mp4"));
    check(given, again, &["refused DestinationTaken"]);
    check(given, |s| s.submit(written_to(encode(1), "/out/other.mp4")), &["accepted j2"]);
    let canceled = |s: &mut Scene| {
        given(s);
        s.cancel(1);
        s.rest();
    };
    check(canceled, again, &["accepted j2"]);
}
