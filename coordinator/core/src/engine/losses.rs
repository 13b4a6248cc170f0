//! Attempts that were lost with their nodes.
//!
//! Nodes come and go, those that are rented by the hour most of all, and what ran on them is at no fault. So such an attempt
//! counts against its task's attempts never, and against the task in two ways only: after very many of them it is given up, as
//! something has to end it; and sooner where all speaks for it that the task itself brings its nodes down. It does where it was alone on each of
//! them, on twice as many as it takes processes, and where no other node was lost in the meantime.
//! What speaks for that is of the reign: after a start it is gathered anew.

use std::collections::BTreeSet;

use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::id::{TaskId, WorkerId};
use rushes_shared::task::Usage;

use super::{Engine, Turn};
use crate::job::{LiveTask, Trouble};

/// Nodes that were lost while a task was all that ran there.
#[derive(Debug, Default)]
pub(super) struct LostAlone {
    /// Nodes that had been lost before the first of these.
    before: u64,
    on: BTreeSet<WorkerId>,
    /// How often.
    times: u64,
}

impl Engine {
    /// An attempt is lost with its node.
    pub(super) fn lose(&mut self, turn: &mut Turn, task: TaskId, live: &LiveTask, what: &str) {
        let failure = Failure::new(
            FailureCode::WorkerLost,
            format!("worker {} was lost: {what}", live.worker_name),
            "look at the worker's log; the task runs elsewhere",
        );
        self.attempt_failed(turn, task, live, failure, Usage::default());
    }

    /// A node is lost that ran these tasks.
    pub(super) fn note_lost_with(&mut self, worker: WorkerId, tasks: &[TaskId]) {
        if let [task] = tasks
            && let Some(run) = self.runs.get_mut(&task.job)
        {
            let before = self.nodes_lost;
            let alone = run.rare_mut().lost_alone.entry(task.index);
            let alone = alone.or_insert_with(|| LostAlone { before, ..LostAlone::default() });
            alone.on.insert(worker);
            alone.times += 1;
        }
        self.nodes_lost += 1;
    }

    /// Whether a task that has been lost with its node so many times is not tried again.
    pub(super) fn is_lost_for_good(&self, task: TaskId, times: u32) -> bool {
        times >= self.policy.max_lost || self.brings_down_nodes(task)
    }

    fn brings_down_nodes(&self, task: TaskId) -> bool {
        let Some(alone) = self.runs.get(&task.job).and_then(|run| run.rare().lost_alone.get(&task.index))
        else {
            return false;
        };
        let enough = self.policy.poison_nodes.saturating_mul(2) as usize;
        alone.on.len() >= enough && self.nodes_lost - alone.before == alone.times
    }

    /// Why a task was given up whose last attempt was lost with its node.
    pub(super) fn lost_too_often(&self, task: TaskId, trouble: &Trouble) -> Failure {
        let cause = &trouble.last.failure;
        let (message, advice) = if self.brings_down_nodes(task) {
            (
                format!(
                    "{} workers were lost while this task was all that they ran, and no others: {}",
                    trouble.lost, cause.message
                ),
                "look at the workers' logs and their kernels' for what ended them, such as memory that ran out; where nodes come and go \
                 by themselves, raise engine.poison_nodes and use 'rushes job retry'",
            )
        } else {
            (
                format!(
                    "given up as {} attempts were lost with their workers: {}",
                    trouble.lost, cause.message
                ),
                "look at the workers' logs for what ended them; where nodes come and go by themselves, make the tasks shorter or raise \
                 engine.max_lost, and use 'rushes job retry'",
            )
        };
        Failure::new(cause.code, message, advice).with_class(FailureClass::Permanent)
    }
}
