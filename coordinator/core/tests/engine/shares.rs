//! Fair shares: of tenants by weight, of classes by guarantee.

use proptest::prelude::*;
use rushes_core::order::fair::TenantIx;
use rushes_core::order::signature::{SigIx, Signature};
use rushes_core::order::{Order, Spot};
use rushes_shared::id::JobId;
use rushes_shared::job::{Class, Needs};
use rushes_shared::task::{Demand, SlotKind};
use rushes_shared::wire::WireVersion;

const CLASSES: [Class; 3] = [Class::Bulk, Class::Standard, Class::Premium];

fn light(order: &mut Order) -> SigIx {
    order.sigs.take(Signature::new(
        SlotKind::Light,
        "",
        Demand::default(),
        Needs::default(),
        WireVersion::OLDEST,
    ))
}

/// The class and tenant of a job in these tests.
fn who(job: JobId) -> (usize, TenantIx) {
    let number = u32::try_from(job.0).expect("a small number");
    ((number % 3) as usize, TenantIx(number / 3))
}

fn job(class: usize, tenant: u32) -> JobId {
    JobId(u128::from(tenant) * 3 + class as u128)
}

fn spot(job: JobId) -> Spot {
    let (class, tenant) = who(job);
    Spot::Fair(CLASSES[class], tenant, 0)
}

proptest! {
    /// Start-time fair queueing: between two tenants that always have work, what each got by its weight differs at most
    /// by their largest tasks (Goyal, Vin, Cheng 1996, theorem 1).
    #[test]
    fn tenants_that_always_have_work_get_what_their_weights_say(
        weights in prop::collection::vec(1_u32..1_000, 2..6),
        costs in prop::collection::vec(1_u64..5_000, 500..501),
    ) {
        let mut order = Order::new([0, 0, 0], 0);
        let sig = light(&mut order);
        for (tenant, weight) in (0_u32..).zip(&weights) {
            order.set_weight(TenantIx(tenant), *weight);
            order.insert(sig, spot(job(1, tenant)), job(1, tenant));
        }
        let mut got = vec![0_u64; weights.len()];
        let longest = costs.iter().copied().max().unwrap_or(0) as f64;
        for cost in costs {
            let pick = order.pick(|_| true).expect("everybody has work");
            let (class, tenant) = who(pick.job);
            order.charge(spot(pick.job), CLASSES[class], tenant, 50, cost);
            got[tenant.0 as usize] += cost;
            let by_weight: Vec<f64> =
                got.iter().zip(&weights).map(|(got, weight)| *got as f64 / f64::from(*weight)).collect();
            for (a, wa) in by_weight.iter().zip(&weights) {
                for (b, wb) in by_weight.iter().zip(&weights) {
                    let bound = longest / f64::from(*wa) + longest / f64::from(*wb);
                    prop_assert!(a - b <= bound + 1.0, "{a} against {b}: weights {wa} and {wb}");
                }
            }
        }
    }

    /// The bound on waiting that the settings promise: with a share of s, a class that has work waits at most for c/s +
    /// 3w of others' work between two starts of its own.
    #[test]
    fn a_class_with_work_waits_no_longer_than_its_share_promises(
        costs in prop::collection::vec(1_u64..5_000, 600..601),
        standard in 100_u32..500,
        bulk in 20_u32..200,
        comes in prop::collection::vec(any::<u8>(), 600..601),
    ) {
        let shares = [bulk, standard, 0];
        let mut order = Order::new(shares, 10_000_000);
        let sig = light(&mut order);
        let mut has_work = [true; 3];
        for class in 0..3 {
            order.insert(sig, spot(job(class, 0)), job(class, 0));
        }
        let longest = *costs.iter().max().expect("there are some");
        let (mut waited, mut last) = ([0_u64; 3], [0_u64; 3]);
        for (cost, comes) in costs.into_iter().zip(comes) {
            // Now and then one class has nothing to do.
            let class = usize::from(comes % 3);
            if comes < 30 {
                has_work[class] = !has_work[class];
                waited[class] = 0;
                last[class] = longest;
                if has_work[class] {
                    order.insert(sig, spot(job(class, 0)), job(class, 0));
                } else {
                    order.remove(sig, spot(job(class, 0)), job(class, 0));
                }
            }
            let Some(pick) = order.pick(|_| true) else { continue };
            let (class, tenant) = who(pick.job);
            order.charge(spot(pick.job), CLASSES[class], tenant, 50, cost);
            for other in (0..3).filter(|c| *c != class && has_work[*c]) {
                waited[other] += cost;
                if shares[other] > 0 {
                    let bound = (last[other] * 1_000).div_ceil(u64::from(shares[other])) + 3 * longest;
                    prop_assert!(waited[other] <= bound, "{other} waited for {}, bound {bound}", waited[other]);
                }
            }
            waited[class] = 0;
            last[class] = cost;
        }
    }
}

#[test]
fn a_backlog_of_premium_work_leaves_the_guaranteed_shares_to_the_others() {
    let mut order = Order::new([50, 300, 0], 600_000);
    let sig = light(&mut order);
    for class in 0..3 {
        order.insert(sig, spot(job(class, 0)), job(class, 0));
    }
    let mut got = [0_u64; 3];
    for n in 0..20_000_u64 {
        let cost = 500 + n * 7_919 % 9_000;
        let pick = order.pick(|_| true).expect("everybody has work");
        let (class, tenant) = who(pick.job);
        order.charge(spot(pick.job), CLASSES[class], tenant, 50, cost);
        got[class] += cost;
    }
    let all: u64 = got.iter().sum();
    let permille = got.map(|g| g * 1_000 / all);
    assert!((48..=53).contains(&permille[0]) && (297..=303).contains(&permille[1]), "{permille:?}");
}

#[test]
fn a_start_that_was_taken_back_is_not_held_against_its_class_or_tenant() {
    let farm = || {
        let mut order = Order::new([50, 300, 0], 600_000);
        let sig = light(&mut order);
        for (class, tenant) in [(0, 0), (1, 0), (1, 1), (2, 0)] {
            order.insert(sig, spot(job(class, tenant)), job(class, tenant));
        }
        order
    };
    let (mut plain, mut recalled) = (farm(), farm());
    for _ in 0..20 {
        recalled.charge(spot(job(1, 0)), Class::Standard, TenantIx(0), 50, 5_000);
        recalled.refund(Class::Standard, TenantIx(0), 50, 5_000);
    }
    for n in 0..200 {
        let picks = [&mut plain, &mut recalled].map(|order| {
            let pick = order.pick(|_| true).expect("everybody has work");
            let (class, tenant) = who(pick.job);
            order.charge(spot(pick.job), CLASSES[class], tenant, 50, 1_000);
            pick.job
        });
        assert_eq!(picks[0], picks[1], "start {n}");
    }
}

/// Whoever runs as much as they may hides nobody behind them, however many jobs they have.
#[test]
fn jobs_of_a_capped_tenant_are_not_in_the_way_of_others_in_any_lane() {
    let lanes: [fn(TenantIx, i64) -> Spot; 4] = [
        |tenant, key| Spot::Emergency(tenant, (key, 0)),
        |tenant, key| Spot::AtRisk(tenant, (key, 0)),
        |tenant, key| Spot::Fair(Class::Standard, tenant, key),
        |tenant, key| Spot::Wide(tenant, (key, 0)),
    ];
    for lane in lanes {
        let mut order = Order::new([0, 0, 0], 0);
        let sig = light(&mut order);
        (1..=200_i64).for_each(|n| order.insert(sig, lane(TenantIx(0), n), JobId(n.unsigned_abs().into())));
        order.insert(sig, lane(TenantIx(1), 1_000), JobId(1_000));
        let first = |order: &Order| order.pick(|_| true).map(|pick| pick.job);
        assert_eq!(first(&order), Some(JobId(1)));
        order.set_capped(TenantIx(0), true);
        assert_eq!(first(&order), Some(JobId(1_000)));
        order.insert(sig, lane(TenantIx(0), 0), JobId(2_000));
        order.remove(sig, lane(TenantIx(1), 1_000), JobId(1_000));
        assert_eq!(first(&order), None);
        order.set_capped(TenantIx(0), false);
        assert_eq!(first(&order), Some(JobId(2_000)));
    }
}

#[test]
fn tenants_whose_work_cannot_start_hide_no_tenant_whose_work_can() {
    let mut order = Order::new([0, 0, 0], 0);
    let closed = light(&mut order);
    let open = order.sigs.take(Signature::new(
        SlotKind::Encode,
        "",
        Demand::default(),
        Needs::default(),
        WireVersion::OLDEST,
    ));
    for tenant in 0..300 {
        order.insert(closed, Spot::Fair(Class::Standard, TenantIx(tenant), 0), JobId(u128::from(tenant) + 1));
    }
    let last = (Spot::Fair(Class::Standard, TenantIx(300), 5), JobId(900));
    order.insert(open, last.0, last.1);
    let pick = |order: &Order| order.pick(|sig| sig == open).map(|pick| pick.job);
    assert_eq!(pick(&order), Some(JobId(900)));
    order.set_capped(TenantIx(300), true);
    assert_eq!(pick(&order), None);
    order.set_capped(TenantIx(300), false);
    order.remove(open, last.0, last.1);
    assert_eq!(pick(&order), None);
}
