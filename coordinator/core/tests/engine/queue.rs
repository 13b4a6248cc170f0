//! The queue against a naive sort, while jobs come, go and move.

use proptest::prelude::*;
use rushes_core::order::fair::TenantIx;
use rushes_core::order::signature::{Closed, SigIx, Signature};
use rushes_core::order::{Order, Spot};
use rushes_shared::id::JobId;
use rushes_shared::job::{Class, Needs};
use rushes_shared::task::{Demand, SlotKind};
use rushes_shared::wire::WireVersion;

/// A job as a naive list keeps it: its lane, its key, its id, what it needs.
type Line = (u8, (i64, i64), JobId, SigIx);

#[derive(Debug, Clone)]
enum Step {
    Insert { lane: u8, key: i64, sig: bool },
    Remove(usize),
    Move { at: usize, lane: u8, key: i64 },
    Close(bool),
    Open(bool),
    Take,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..6, -3_i64..3, any::<bool>()).prop_map(|(lane, key, sig)| Step::Insert { lane, key, sig }),
        1 => any::<usize>().prop_map(Step::Remove),
        2 => (any::<usize>(), 0_u8..6, -3_i64..3).prop_map(|(at, lane, key)| Step::Move { at, lane, key }),
        1 => any::<bool>().prop_map(Step::Close),
        1 => any::<bool>().prop_map(Step::Open),
        4 => Just(Step::Take),
    ]
}

/// Lanes from first to last; one tenant, so that nothing but keys decides within a class.
fn spot(lane: u8, key: i64) -> Spot {
    let tenant = TenantIx(0);
    match lane {
        0 => Spot::Emergency(tenant, (key, 0)),
        1 => Spot::AtRisk(tenant, (key, 0)),
        2 => Spot::Fair(Class::Premium, tenant, key),
        3 => Spot::Fair(Class::Standard, tenant, key),
        4 => Spot::Fair(Class::Bulk, tenant, key),
        _ => Spot::Wide(tenant, (key, 0)),
    }
}

proptest! {
    #[test]
    fn the_order_is_that_of_a_naive_sort(steps in prop::collection::vec(step(), 1..200)) {
        let mut order = Order::new([0, 0, 0], 0);
        let of_slot = |slot| Signature::new(slot, "", Demand::default(), Needs::default(), WireVersion::OLDEST);
        let sigs = [order.sigs.take(of_slot(SlotKind::Light)), order.sigs.take(of_slot(SlotKind::Encode))];
        let mut naive: Vec<Line> = Vec::new();
        let mut open = [true; 2];
        let mut ids = 0;
        for step in steps {
            match step {
                Step::Insert { lane, key, sig } => {
                    ids += 1;
                    let (job, sig) = (JobId(ids), sigs[usize::from(sig)]);
                    order.insert(sig, spot(lane, key), job);
                    naive.push((lane, (key, 0), job, sig));
                }
                Step::Remove(at) if !naive.is_empty() => {
                    let (lane, key, job, sig) = naive.swap_remove(at % naive.len());
                    order.remove(sig, spot(lane, key.0), job);
                }
                Step::Move { at, lane, key } if !naive.is_empty() => {
                    let at = at % naive.len();
                    let (before, old, job, sig) = naive[at];
                    order.remove(sig, spot(before, old.0), job);
                    order.insert(sig, spot(lane, key), job);
                    naive[at] = (lane, (key, 0), job, sig);
                }
                Step::Close(which) => {
                    order.sigs.close(sigs[usize::from(which)], Closed::Full);
                    open[usize::from(which)] = false;
                }
                Step::Open(which) => {
                    order.sigs.open(sigs[usize::from(which)]);
                    open[usize::from(which)] = true;
                }
                Step::Take | Step::Remove(_) | Step::Move { .. } => {}
            }
            naive.sort();
            let is_open = |sig: SigIx| open[usize::from(sig == sigs[1])];
            let first = naive.iter().find(|line| is_open(line.3)).copied();
            let picked = order.pick(|sig| order.sigs.is_open(sig));
            prop_assert_eq!(picked.map(|p| (p.job, p.sig)), first.map(|line| (line.2, line.3)));
            prop_assert_eq!(order.sigs.any_ready(), first.is_some());
            if let (Step::Take, Some(line)) = (step, first) {
                order.remove(line.3, spot(line.0, line.1.0), line.2);
                naive.retain(|l| l.2 != line.2);
            }
        }
    }
}
