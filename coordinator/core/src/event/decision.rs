//! What the scheduler decides about jobs and nodes, and why, in words for people.

use std::fmt;

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::{JobId, TaskId, WorkerId};
use rushes_shared::job::JobChange;
use rushes_shared::units::WallMs;

use crate::anomaly::Source;
use crate::promise::late::{LateBy, NEVER};
use crate::promise::trade::{Sake, Trade};

/// What the scheduler decided about a job or a node, and why. The text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A job was changed.
    JobAmended {
        /// What of it.
        change: Box<JobChange>,
    },
    /// A job has little time to spare: it goes ahead.
    PromiseAtRisk {
        /// When it should be done.
        deadline: WallMs,
        /// What it has to spare beyond what it should still take, in milliseconds.
        spare_ms: u64,
    },
    /// A job's deadline cannot be kept even at its floor: it goes back to its class.
    PromiseLate {
        /// When it should be done.
        deadline: WallMs,
        /// When it should be done instead.
        expected: WallMs,
        /// Why.
        because: LateBy,
    },
    /// There is room for a late job's deadline after all.
    PromiseRestored {
        /// When it should be done.
        deadline: WallMs,
    },
    /// A job gave something up for a deadline.
    Traded {
        /// What.
        trade: Box<Trade>,
    },
    /// An optional stage of a job failed for good; the job goes on without it.
    OptionalGivenUp {
        /// The stage's index.
        stage: u32,
        /// Why.
        failure: Box<Failure>,
    },
    /// A node fails what others can do: it gets nothing for a while.
    NodeQuarantined {
        /// Which.
        worker: WorkerId,
        /// How long, in milliseconds.
        for_ms: u64,
    },
    /// A node that was quarantined has shown that it works.
    NodeReadmitted {
        /// Which.
        worker: WorkerId,
    },
    /// A task takes much longer than expected: it is tried elsewhere as well.
    TaskDoubled {
        /// Which.
        task: TaskId,
        /// Where it has run so far.
        worker: WorkerId,
        /// For how long, in milliseconds.
        ran_ms: u64,
    },
    /// A running task has stopped coming further: it is tried elsewhere as well.
    TaskStalled {
        /// Which.
        task: TaskId,
        /// Where it runs.
        worker: WorkerId,
        /// For how long it has stood still, in milliseconds.
        still_ms: u64,
    },
    /// An output is made and could not be put in its place; it is tried again.
    OutputHeldUp {
        /// The output's number in its job.
        output: u32,
        /// What people call it.
        name: String,
        /// Why.
        failure: Box<Failure>,
        /// When it is tried again, in milliseconds.
        retry_ms: u64,
        /// For how long it is, in milliseconds.
        left_ms: u64,
    },
    /// Failures of one kind pile up.
    ErrorBurst {
        /// Which kind.
        code: FailureCode,
        /// How many.
        failures: u32,
        /// Within how long, in milliseconds.
        over_ms: u64,
        /// Where most of them come from.
        source: Source,
    },
    /// The latest attempts of a job have all failed: one task of it is tried at a time until one succeeds.
    JobHeldBack {
        /// Why the latest of them failed.
        code: FailureCode,
        /// How many.
        failures: u32,
    },
    /// A task of a job that was held back has succeeded.
    JobLetGo,
    /// A node is much slower than its peers: it is not chosen for having an input.
    NodeSlow {
        /// Which.
        worker: WorkerId,
        /// What is known of its speed, in thousandths.
        speed_permille: u32,
        /// The median over the connected nodes, in thousandths.
        median_permille: u32,
    },
    /// A node that was slow keeps up with its peers again.
    NodeKeepsUp {
        /// Which.
        worker: WorkerId,
        /// What is known of its speed, in thousandths.
        speed_permille: u32,
    },
    /// More work comes than the farm gets done.
    QueueGrowing {
        /// By how much, in thousandths of what it gets done.
        permille: u32,
        /// Over how long, in milliseconds.
        over_ms: u64,
    },
    /// The queue does not grow any more.
    QueueSettled,
    /// A task was stopped for an emergency and is queued again.
    Preempted {
        /// Which.
        task: TaskId,
        /// Where it ran.
        worker: WorkerId,
        /// The emergency.
        by: JobId,
        /// How long it had run, in milliseconds.
        lost_ms: u64,
        /// How far it had come, in thousandths.
        lost_permille: u16,
    },
    /// A hardware encoder failed a task: what is left of its stage is encoded in software.
    EncoderFellBack {
        /// Which.
        task: TaskId,
        /// Where.
        worker: WorkerId,
        /// The encoder's element; empty where it is not known, after a restart.
        element: String,
    },
    /// A node's hardware encoder fails one task after the other: it gets none for a while.
    EncoderShut {
        /// Whose.
        worker: WorkerId,
        /// So many in a row.
        failures: u32,
        /// How long, in milliseconds.
        for_ms: u64,
    },
    /// A hardware encoder that was shut works again.
    EncoderReadmitted {
        /// Whose.
        worker: WorkerId,
    },
    /// A trade was taken back: there is time after all.
    TradeUndone {
        /// What.
        trade: Box<Trade>,
    },
}

impl Decision {
    /// What kind of decision it is, for scripts.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::JobAmended { .. } => "job_amended",
            Self::PromiseAtRisk { .. } => "promise_at_risk",
            Self::PromiseLate { .. } => "promise_late",
            Self::PromiseRestored { .. } => "promise_restored",
            Self::Traded { .. } => "traded",
            Self::TradeUndone { .. } => "trade_undone",
            Self::OptionalGivenUp { .. } => "optional_given_up",
            Self::NodeQuarantined { .. } => "node_quarantined",
            Self::NodeReadmitted { .. } => "node_readmitted",
            Self::TaskDoubled { .. } => "task_doubled",
            Self::Preempted { .. } => "task_preempted",
            Self::TaskStalled { .. } => "task_stalled",
            Self::OutputHeldUp { .. } => "output_held_up",
            Self::ErrorBurst { .. } => "error_burst",
            Self::JobHeldBack { .. } => "job_held_back",
            Self::JobLetGo => "job_let_go",
            Self::NodeSlow { .. } => "node_slow",
            Self::NodeKeepsUp { .. } => "node_keeps_up",
            Self::QueueGrowing { .. } => "queue_growing",
            Self::QueueSettled => "queue_settled",
            Self::EncoderFellBack { .. } => "encoder_fell_back",
            Self::EncoderShut { .. } => "encoder_shut",
            Self::EncoderReadmitted { .. } => "encoder_readmitted",
        }
    }
}

impl Decision {
    /// The task that it is about.
    #[must_use]
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::TaskDoubled { task, .. }
            | Self::Preempted { task, .. }
            | Self::TaskStalled { task, .. }
            | Self::EncoderFellBack { task, .. } => Some(*task),
            _ => None,
        }
    }

    /// The worker that it is about.
    #[must_use]
    pub fn worker(&self) -> Option<WorkerId> {
        match self {
            Self::NodeQuarantined { worker, .. }
            | Self::NodeReadmitted { worker }
            | Self::TaskDoubled { worker, .. }
            | Self::Preempted { worker, .. }
            | Self::TaskStalled { worker, .. }
            | Self::NodeSlow { worker, .. }
            | Self::NodeKeepsUp { worker, .. }
            | Self::EncoderFellBack { worker, .. }
            | Self::EncoderShut { worker, .. }
            | Self::EncoderReadmitted { worker } => Some(*worker),
            _ => None,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JobAmended { change } => amended(change, f),
            Self::PromiseAtRisk { deadline, spare_ms } => {
                let deadline = deadline.to_rfc3339();
                write!(f, "{spare_ms} ms to spare before the deadline {deadline}: goes ahead of others")
            }
            Self::PromiseLate { deadline, expected, because } => {
                let expected = Some(*expected).filter(|at| *at != NEVER).map(WallMs::to_rfc3339);
                let deadline = deadline.to_rfc3339();
                match because {
                    LateBy::Itself => write!(f, "the deadline {deadline} cannot be kept even at the floor")?,
                    LateBy::Other(job) => {
                        write!(f, "the deadline {deadline} is given up for that of {job}, which loses less")?;
                    }
                    LateBy::LostNodes => write!(
                        f,
                        "the deadline {deadline} is given up, which loses the least: nodes were lost, and not all can be kept"
                    )?,
                    LateBy::Limit => {
                        write!(
                            f,
                            "the deadline {deadline} cannot be kept: the job's named limits leave no room for it"
                        )?;
                    }
                    LateBy::TenantCap => write!(
                        f,
                        "the deadline {deadline} cannot be kept: its tenant's cap on running tasks leaves no room for it"
                    )?,
                    LateBy::Nodes => write!(
                        f,
                        "the deadline {deadline} cannot be kept: the workers that can do it leave no room for it, or none can"
                    )?,
                }
                match expected {
                    Some(expected) => write!(f, "; expected by {expected}"),
                    None => f.write_str("; nothing of it can start, so no end is expected"),
                }
            }
            Self::PromiseRestored { deadline } => {
                write!(f, "there is room: the deadline {} is kept after all", deadline.to_rfc3339())
            }
            Self::Traded { trade } => {
                let Trade { saved_ms, missing_ms, what, sake, .. } = **trade;
                match sake {
                    Sake::Own => write!(f, "{what}: {missing_ms} ms were missing to the deadline")?,
                    Sake::Job(job) => {
                        write!(
                            f,
                            "{what}: for the deadline of {job}, to which {missing_ms} ms were missing"
                        )?;
                    }
                    Sake::LostNodes => write!(
                        f,
                        "{what}: nodes were lost, and {missing_ms} ms were missing to what was promised"
                    )?,
                }
                write!(f, "; {saved_ms} ms saved")
            }
            Self::OptionalGivenUp { stage, failure } => {
                write!(f, "goes on without its optional stage {stage}: {}", failure.message)
            }
            Self::NodeQuarantined { worker, for_ms } => {
                write!(f, "worker {worker} fails what others can do: nothing new for {for_ms} ms")
            }
            Self::NodeReadmitted { worker } => write!(f, "worker {worker} works again"),
            Self::TaskDoubled { task, worker, ran_ms } => {
                write!(f, "{task} has run for {ran_ms} ms on {worker}: tried elsewhere as well")
            }
            Self::Preempted { task, worker, by, lost_ms, lost_permille } => write!(
                f,
                "{task} was stopped on worker {worker} for the emergency {by}: the {lost_ms} ms that it had run ({} %) are lost, and it is queued again",
                lost_permille / 10
            ),
            Self::TaskStalled { task, worker, still_ms } => {
                write!(f, "{task} has not come further on {worker} for {still_ms} ms")
            }
            Self::OutputHeldUp { output: _, name, failure, retry_ms, left_ms } => {
                let Failure { message, advice, .. } = &**failure;
                let left_s = left_ms / 1_000;
                write!(
                    f,
                    "output {name} is made and not in its place yet, tried again in {retry_ms} ms, for {left_s} s at most: {message}; {advice}"
                )
            }
            Self::ErrorBurst { code, failures, over_ms, source } => {
                write!(f, "{failures} failures '{}' within {over_ms} ms{source}", code.as_str())
            }
            Self::JobHeldBack { code, failures } => write!(
                f,
                "its latest {failures} attempts have all failed, at last with '{}': one task is tried at a time until one succeeds",
                code.as_str()
            ),
            Self::JobLetGo => f.write_str("a task has succeeded: the job is not held back any more"),
            Self::NodeSlow { worker, speed_permille, median_permille } => {
                let speeds = format!("{speed_permille} against a median of {median_permille}");
                write!(f, "worker {worker} is much slower than its peers: {speeds} thousandths")
            }
            Self::NodeKeepsUp { worker, .. } => write!(f, "worker {worker} keeps up with its peers again"),
            Self::QueueGrowing { permille, over_ms } => write!(
                f,
                "more work comes than the farm gets done: {} % more over {over_ms} ms",
                permille.div_ceil(10)
            ),
            Self::QueueSettled => f.write_str("the queue does not grow any more"),
            Self::EncoderFellBack { task, worker, element } => {
                let element = if element.is_empty() { "a hardware encoder" } else { element };
                write!(f, "{element} of worker {worker} failed {task}: encoded in software from now on")
            }
            Self::EncoderShut { worker, failures, for_ms } => write!(
                f,
                "the hardware encoder of worker {worker} failed {failures} tasks in a row: software there for {for_ms} ms"
            ),
            Self::EncoderReadmitted { worker } => {
                write!(f, "the hardware encoder of worker {worker} works again")
            }
            Self::TradeUndone { trade } => write!(f, "taken back, there is time: {}", trade.what),
        }
    }
}

fn amended(change: &JobChange, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("changed:")?;
    if let Some(class) = change.class {
        write!(f, " class {}", class.as_str())?;
    }
    if let Some(priority) = change.priority {
        write!(f, " priority {}", priority.value())?;
    }
    if change.value.is_some() {
        f.write_str(" value")?;
    }
    match change.deadline {
        Some(Some(at)) => write!(f, " deadline {}", at.to_rfc3339())?,
        Some(None) => f.write_str(" no deadline")?,
        None => {}
    }
    if !change.labels.is_empty() {
        f.write_str(" labels")?;
    }
    match change.paused {
        Some(true) => f.write_str(" paused"),
        Some(false) => f.write_str(" resumed"),
        None => Ok(()),
    }
}
