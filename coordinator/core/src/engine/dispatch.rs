//! Which ready task goes to which worker: in queue order, to the node that has the input, else to the freest one.

use std::collections::BTreeSet;

use rushes_shared::id::{AttemptId, WorkerId};
use rushes_shared::task::{Delivery, Progress, TaskKind, TaskOrder};
use rushes_shared::units::Now;

use super::{Engine, Turn};
use crate::event::{Command, FarmNews, LinkId};
use crate::fleet::Node;
use crate::job::LiveTask;
use crate::queue::{OrderKey, Waiting, is_light};

/// How many tasks that cannot start now are looked past before the rest of the queue waits for the next turn.
const LOOK_PAST: usize = 64;

/// Where a task can go now.
enum Place {
    /// There.
    On(WorkerId, LinkId),
    /// Every node that could do it is full: nothing behind it may overtake. The kinds of one side of the queue run on
    /// the same nodes, so nothing behind it could start elsewhere either.
    Full,
    /// It avoids nodes on which it failed and waits for one of these. They are kept for it; others may use the rest.
    Awaits(Vec<WorkerId>),
    /// No connected node can do it: others may pass.
    Nowhere,
}

impl Engine {
    pub(super) fn dispatch(&mut self, turn: &mut Turn) {
        for light in [true, false] {
            self.dispatch_side(turn, light);
        }
    }

    fn dispatch_side(&mut self, turn: &mut Turn, light: bool) {
        let mut passed: Option<OrderKey> = None;
        let mut kept: BTreeSet<WorkerId> = BTreeSet::new();
        let mut looked_past = 0;
        while let Some((key, waiting)) = self.queue.next(light, passed) {
            match self.place(turn.now, key, waiting, &kept) {
                Place::On(worker, link) => {
                    self.start(turn, key, waiting, worker, link);
                    continue;
                }
                Place::Full => return,
                Place::Awaits(nodes) => kept.extend(nodes),
                Place::Nowhere => {}
            }
            passed = Some(key);
            looked_past += 1;
            if looked_past > LOOK_PAST {
                return;
            }
        }
    }

    fn place(&self, now: Now, key: OrderKey, waiting: Waiting, kept: &BTreeSet<WorkerId>) -> Place {
        let task = key.task();
        let entry = &self.state.jobs[&task.job].tasks[task.index as usize];
        let run = &self.runs[&task.job];
        let able = || self.fleet.iter().filter(|(id, node)| self.takes(now, **id, node, waiting.kind));
        // A node that failed this task is used again only where no other node could do it.
        let avoids = !entry.bad_on.is_empty() && {
            let is_bad = |id: &WorkerId| entry.bad_on.contains(id);
            able().any(|(id, _)| is_bad(id)) && able().any(|(id, _)| !is_bad(id))
        };
        let mut found_able = false;
        let mut best: Option<((bool, u32), WorkerId, LinkId)> = None;
        for (id, node) in able().filter(|(id, _)| !avoids || !entry.bad_on.contains(*id)) {
            found_able = true;
            let fits = !kept.contains(id) && node.fits(waiting.kind, entry.plan.demand);
            let Some(link) = node.link.filter(|_| fits) else { continue };
            let free = if is_light(waiting.kind) { node.light_free() } else { node.cpu_free() };
            let rank = (run.input_on.contains(id), free);
            if best.as_ref().is_none_or(|(b, ..)| rank > *b) {
                best = Some((rank, *id, link));
            }
        }
        match best {
            Some((_, worker, link)) => Place::On(worker, link),
            None if avoids => {
                let good = able().filter(|(id, _)| !entry.bad_on.contains(*id));
                Place::Awaits(good.map(|(id, _)| *id).collect())
            }
            None if found_able => Place::Full,
            None => Place::Nowhere,
        }
    }

    /// Whether a node gets new tasks of a kind. One whose lease has run out may be hung: it has to show itself first.
    fn takes(&self, now: Now, id: WorkerId, node: &Node, kind: TaskKind) -> bool {
        let draining = self.state.workers.get(&id).is_some_and(|k| k.draining);
        node.link.is_some() && node.lease_until > now.mono && !node.leaving && !draining && node.can_do(kind)
    }

    fn start(&mut self, turn: &mut Turn, key: OrderKey, waiting: Waiting, worker: WorkerId, link: LinkId) {
        let task = key.task();
        self.queue.remove(key, waiting.kind);
        let job = &self.state.jobs[&task.job];
        let plan = &job.tasks[task.index as usize].plan;
        let work = job.work_of(task.index).expect("a ready task's work is known");
        self.attempts += 1;
        let attempt = AttemptId { epoch: self.state.epoch, counter: self.attempts };
        let node = self.fleet.get_mut(&worker).expect("the task was placed on a known worker");
        node.hold(attempt, task, waiting.kind, plan.demand);
        let order = TaskOrder {
            task,
            attempt,
            delivery: Delivery::Durable,
            demand: node.clamped(plan.demand),
            limits: self.policy.limits_of(waiting.kind),
            work,
        };
        let live = fresh(turn.now, attempt, worker, node, waiting);
        let queued_ms = live.queued_ms;
        let run = self.runs.get_mut(&task.job).expect("a live job has a run");
        run.live.entry(task.index).or_default().push(live);
        self.count_started(task.job);
        self.command(turn, Command::StartTask { worker, link, order: Box::new(order) });
        let news = FarmNews::TaskDispatched { task, kind: waiting.kind, attempt, worker, queued_ms };
        self.notify(turn, Some(task.job), news);
    }
}

fn fresh(now: Now, attempt: AttemptId, worker: WorkerId, node: &Node, waiting: Waiting) -> LiveTask {
    LiveTask {
        attempt,
        worker,
        worker_name: node.name.clone(),
        since: now.wall,
        queued_ms: now.mono.since(waiting.since),
        started: false,
        progress: Progress::default(),
    }
}
