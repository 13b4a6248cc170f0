//! What happened, as a number that two equal runs share and as the last lines before an invariant breaks.

use std::collections::VecDeque;

use rushes_core::event::{Command, Event};
use rushes_shared::id::{AttemptId, TaskId, WorkerId};

use crate::agenda::At;

/// Lines that are kept for a violation.
const KEPT: usize = 60;

/// One thing that happened, as numbers: cheap to keep, put into words only when somebody asks.
#[derive(Debug, Clone, Copy)]
struct Line {
    at: At,
    what: &'static str,
    node: u64,
    task: Option<TaskId>,
    attempt: Option<AttemptId>,
}

/// A hash over everything that the engine was told and wanted done.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    recent: VecDeque<Line>,
}

impl Trace {
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines, oldest first.
    pub(crate) fn recent(&self) -> Vec<String> {
        let line = |l: &Line| {
            let task = l.task.map(|t| format!(" upload {}.{}", crate::upload::number(t.job), t.index));
            let attempt = l.attempt.map(|a| format!(" #{}-{}", a.epoch.0, a.counter));
            let node = if l.node == 0 { String::new() } else { format!(" node {}", l.node) };
            format!(
                "{:>14.6} {}{}{}{}",
                l.at.s(),
                l.what,
                task.unwrap_or_default(),
                attempt.unwrap_or_default(),
                node
            )
        };
        self.recent.iter().map(line).collect()
    }

    fn word(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn note(&mut self, line: Line) {
        self.word(line.at.0);
        // The first bytes of a name tell the kinds apart.
        let name = line.what.bytes().fold(0_u64, |h, b| h.wrapping_mul(131).wrapping_add(u64::from(b)));
        self.word(name ^ line.node.rotate_left(40));
        if let Some(task) = line.task {
            self.word(u64::from(crate::upload::number(task.job)) << 32 | u64::from(task.index));
        }
        if let Some(attempt) = line.attempt {
            self.word(attempt.epoch.0 << 48 ^ attempt.counter);
        }
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(line);
    }

    /// Something of the world: a crash, a partition.
    pub(crate) fn world(&mut self, at: At, what: &'static str, node: u64) {
        self.note(Line { at, what, node, task: None, attempt: None });
    }

    pub(crate) fn event(&mut self, at: At, event: &Event) {
        let of = |w: &WorkerId| u64::try_from(w.0).unwrap_or(u64::MAX);
        let mut line = Line { at, what: "", node: 0, task: None, attempt: None };
        line.what = match event {
            Event::JobSubmitted { job, .. } => {
                line.task = Some(TaskId { job: *job, index: 0 });
                "submitted"
            }
            Event::CancelAsked { job, .. } => {
                line.task = Some(TaskId { job: *job, index: 0 });
                "cancel asked"
            }
            Event::WorkerJoined { worker, .. } => {
                line.node = of(worker);
                "joined"
            }
            Event::HeartbeatCame { worker, .. } => {
                // Too many to be worth a line; their effects show.
                self.word(at.0 ^ of(worker));
                return;
            }
            Event::LinkLost { worker, .. } => {
                line.node = of(worker);
                "link lost"
            }
            Event::TaskStarted { worker, task, attempt } => {
                (line.node, line.task, line.attempt) = (of(worker), Some(*task), Some(*attempt));
                "started"
            }
            Event::TaskProgressed { worker, task, attempt, .. } => {
                (line.node, line.task, line.attempt) = (of(worker), Some(*task), Some(*attempt));
                "progressed"
            }
            Event::TaskEnded { worker, task, attempt, .. } => {
                (line.node, line.task, line.attempt) = (of(worker), Some(*task), Some(*attempt));
                "ended"
            }
            Event::TaskRefused { worker, task, attempt, .. } => {
                (line.node, line.task, line.attempt) = (of(worker), Some(*task), Some(*attempt));
                "refused"
            }
            Event::TaskRecalled { worker, task, attempt } => {
                (line.node, line.task, line.attempt) = (of(worker), Some(*task), Some(*attempt));
                "recalled"
            }
            Event::PublishEnded { job, output, .. } => {
                line.task = Some(TaskId { job: *job, index: *output });
                "publish ended"
            }
            Event::TimeCame => "time came",
            _ => "other event",
        };
        self.note(line);
    }

    pub(crate) fn command(&mut self, at: At, command: &Command) {
        let of = |w: &WorkerId| u64::try_from(w.0).unwrap_or(u64::MAX);
        let mut line = Line { at, what: "", node: 0, task: None, attempt: None };
        line.what = match command {
            Command::Notify(_) => return,
            Command::Answer { .. } => "-> answer",
            Command::Welcome { worker, .. } => {
                line.node = of(worker);
                "-> welcome"
            }
            Command::StartTask { worker, order, .. } => {
                (line.node, line.task, line.attempt) = (of(worker), Some(order.task), Some(order.attempt));
                "-> start"
            }
            Command::AttachTask { worker, task, attempt, .. } => {
                (line.node, line.task, line.attempt) = (of(worker), Some(*task), Some(*attempt));
                "-> attach"
            }
            Command::CancelTask { worker, attempt } => {
                (line.node, line.attempt) = (of(worker), Some(*attempt));
                "-> cancel"
            }
            Command::RecallTask { worker, attempt } => {
                (line.node, line.attempt) = (of(worker), Some(*attempt));
                "-> recall"
            }
            Command::CollectOutcome { worker, attempt } => {
                (line.node, line.attempt) = (of(worker), Some(*attempt));
                "-> collect"
            }
            Command::CloseLink { worker, .. } => {
                line.node = of(worker);
                "-> close"
            }
            Command::Publish { job, output, .. } => {
                line.task = Some(TaskId { job: *job, index: *output });
                "-> publish"
            }
            Command::DropStaged { .. } => "-> drop staged",
            _ => "-> other command",
        };
        self.note(line);
    }
}
