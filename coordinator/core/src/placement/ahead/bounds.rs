//! How many workers each look takes in: what is on the last of them is found, and what is on the next one is not.

use rushes_shared::id::{AttemptId, Epoch, JobId, TaskId, WorkerId};
use rushes_shared::job::Needs;
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{Demand, SlotKind, TaskKind};
use rushes_shared::units::{Bytes, Millicores, MonoMs};
use rushes_shared::wire::{AheadOffer, WireVersion};

use super::{Ahead, Entry, Found, Want};
use crate::event::LinkId;
use crate::order::fair::TenantIx;
use crate::order::signature::{SigIx, Signature};
use crate::placement::fleet::Fleet;
use crate::placement::node::{Holding, Node};

const NOW: MonoMs = MonoMs(1);
const CORE: Demand = Demand { cpu: Millicores(1_000), memory: Bytes(1) };
const OFFER: AheadOffer = AheadOffer { process: 1, lane: 1, round_trip_ms: 10 };

/// A farm of nodes of one core, and what waits there.
#[derive(Default)]
struct Farm {
    fleet: Fleet,
    ahead: Ahead,
    attempts: u64,
}

fn worker(n: u32) -> WorkerId {
    WorkerId(n.into())
}

fn holding(until: u64) -> Holding {
    Holding {
        task: TaskId { job: JobId(1), index: 0 },
        kind: TaskKind::Encode,
        slot: SlotKind::Encode,
        demand: CORE,
        since: MonoMs(0),
        until: MonoMs(until),
        tenant: TenantIx(0),
        hardware: false,
        is_emergency: false,
        is_ending: false,
        limits: None,
    }
}

impl Farm {
    fn attempt(&mut self) -> AttemptId {
        self.attempts += 1;
        AttemptId { epoch: Epoch(1), counter: self.attempts }
    }

    /// A node that is busy until then.
    fn join(&mut self, n: u32, until: u64) {
        let facts = NodeFacts { cpu: CORE.cpu, memory: Bytes(1 << 30), ..NodeFacts::default() };
        let attempt = self.attempt();
        self.fleet.insert(worker(n), Node::new(LinkId(n.into()), n.into(), facts, MonoMs(u64::MAX)));
        self.fleet.hold(worker(n), attempt, holding(until));
    }

    /// Something of this rank waits there.
    fn waits(&mut self, n: u32, rank: u8) -> AttemptId {
        let attempt = self.attempt();
        let (sig, since, holding) = (SigIx(0), MonoMs(0), holding(0));
        self.ahead.enter(worker(n), Entry { attempt, sig, rank, since, holding, is_recalled: false });
        attempt
    }

    fn with_want<T>(&mut self, look: impl FnOnce(&mut Ahead, &Fleet, &Want<'_>) -> T) -> T {
        let signature = Signature::new(SlotKind::Encode, "", CORE, Needs::default(), WireVersion::OLDEST);
        let want = Want { signature: &signature, kind: TaskKind::Encode, demand: CORE, wall_ms: 60_000 };
        look(&mut self.ahead, &self.fleet, &want)
    }

    /// The worker with something less urgent than this.
    fn less_urgent(&mut self, rank: u8) -> Option<WorkerId> {
        self.with_want(|ahead, fleet, want| ahead.less_urgent(fleet, NOW, want, rank)).map(|(id, _)| id)
    }

    fn worker_for(&mut self) -> Found {
        self.with_want(|ahead, fleet, want| ahead.worker_for(fleet, NOW, want, |_, _| true))
    }
}

#[test]
fn of_very_many_the_least_urgent_is_looked_for_first() {
    let mut farm = Farm::default();
    for n in 0..200 {
        farm.join(n, 1_000);
        farm.waits(n, if n == 199 { 5 } else { 3 });
    }
    assert_eq!(farm.less_urgent(2), Some(worker(199)));
}

#[test]
fn a_hundred_and_twenty_eight_are_tried_to_find_one_that_could() {
    let found = |missing: u32| {
        let mut farm = Farm::default();
        for n in 0..=missing {
            farm.waits(n, 4);
        }
        farm.join(missing, 1_000);
        farm.less_urgent(2)
    };
    assert_eq!(found(127), Some(worker(127)));
    assert_eq!(found(128), None);
}

#[test]
fn of_those_that_could_thirty_two_are_looked_at() {
    let found = |recalled: u32| {
        let mut farm = Farm::default();
        for n in 0..40 {
            farm.join(n, 1_000);
            let attempt = farm.waits(n, 4);
            if n == recalled {
                farm.ahead.offer(worker(n), OFFER);
                assert!(farm.ahead.recall(worker(n), attempt));
            }
        }
        farm.less_urgent(2)
    };
    assert_eq!(found(31), None, "one is on its way back");
    assert_eq!(found(32), Some(worker(31)));
}

#[test]
fn of_thirty_two_workers_the_one_with_most_of_a_kind_gives_half_of_it_back() {
    let found = |with_most: u32| {
        let mut farm = Farm::default();
        for n in 0..40 {
            for _ in 0..if n == with_most { 3 } else { 1 } {
                farm.waits(n, 3);
            }
        }
        let found = farm.ahead.latest(SigIx(0), false, 10);
        (found[0].0, found.len())
    };
    assert_eq!(found(31), (worker(31), 2));
    assert_eq!(found(32), (worker(0), 1));
}

#[test]
fn room_that_opens_sooner_is_noticed_on_thirty_two_nodes() {
    let found = |sooner: u32| {
        let mut farm = Farm::default();
        (0..40).for_each(|n| farm.join(n, if n == sooner { 500_000 } else { 1_000_000 }));
        farm.ahead.offer(worker(0), OFFER);
        farm.worker_for()
    };
    assert_eq!(found(31), Found::Sooner);
    assert_eq!(found(32), Found::On(worker(0)));
}

#[test]
fn of_thirty_two_workers_with_a_place_the_one_takes_it_that_has_room_first() {
    let found = |first: u32| {
        let mut farm = Farm::default();
        for n in 0..40 {
            farm.join(n, if n == first { 500_000 } else { 1_000_000 });
            farm.ahead.offer(worker(n), OFFER);
        }
        farm.worker_for()
    };
    assert_eq!(found(31), Found::On(worker(31)));
    assert_eq!(found(32), Found::On(worker(0)));
}
