//! A job, its stages and its tasks as the state keeps them.

mod doc;
mod pieces;
mod probes;
mod stream;
mod task;

use std::sync::Arc;

use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::encode::EncodeSettings;
use rushes_shared::failure::Failure;
use rushes_shared::id::{JobId, TaskId, TenantId};
use rushes_shared::job::{Destination, JobSpec, JobState, StageWork, Work};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{Demand, SlotKind, StreamStep, TaskKind, TaskValue, TaskWork};
use rushes_shared::units::WallMs;
use serde::{Deserialize, Serialize};

pub use doc::{JobDoc, LiveTask, Stopped};
pub use probes::facts_file;
pub use task::{Failed, Success, Task, Trouble};

use crate::list::{Few, Row};
use crate::promise::late::{self, Late};
use crate::promise::trade::{self, Trade};

/// What the tasks of a stage do: small, because there may be a million of them; the order is assembled at dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Step {
    /// Nothing but hold a slot.
    Noop {
        /// How long, in milliseconds.
        hold_ms: u32,
        /// CPU time that it stands for, in milliseconds.
        cpu_ms: u32,
    },
    /// Probe the job's input, or that of its graph's stage.
    Probe,
    /// Make the output with this index in the job's spec.
    Encode {
        /// Index into the outputs.
        output: u32,
    },
    /// The same in software, because a hardware encoder has failed at it.
    EncodeInSoftware {
        /// Index into the outputs.
        output: u32,
    },
    /// Nothing, in a task process.
    Trial,
    /// A step of the job's streaming set.
    Stream(StreamStep),
    /// Encode a piece of the film for the output with this index; the tasks of the stage are all pieces, in order.
    Piece {
        /// Index into the outputs.
        output: u32,
        /// Length of a piece in seconds.
        piece_s: u32,
    },
    /// Join the pieces of the output with this index, and check the file.
    Join {
        /// Index into the outputs.
        output: u32,
        /// Length of a piece in seconds.
        piece_s: u32,
    },
    /// Probe a batch of the job's files.
    Probes,
}

impl Step {
    /// The kind of task that it is.
    #[must_use]
    pub fn kind(self) -> TaskKind {
        match self {
            Self::Noop { .. } => TaskKind::Noop,
            Self::Probe => TaskKind::Probe,
            Self::Encode { .. } | Self::EncodeInSoftware { .. } => TaskKind::Encode,
            Self::Trial => TaskKind::Trial,
            Self::Stream(step) => step.kind(),
            Self::Piece { .. } => TaskKind::Chunk,
            Self::Join { .. } => TaskKind::Join,
            Self::Probes => TaskKind::Probes,
        }
    }

    /// The output that it makes; the set of a streaming job is its output 0. Each task that probes a batch makes one of its own,
    /// see [`Job::task_of_output`].
    #[must_use]
    pub fn output(self) -> Option<u32> {
        match self {
            Self::Stream(StreamStep::Package) => Some(0),
            Self::Encode { output } | Self::EncodeInSoftware { output } | Self::Join { output, .. } => {
                Some(output)
            }
            Self::Noop { .. } | Self::Probe | Self::Trial => None,
            Self::Stream(_) | Self::Piece { .. } | Self::Probes => None,
        }
    }

    /// The output that it makes, or a piece of.
    #[must_use]
    pub fn serves(self) -> Option<u32> {
        match self {
            Self::Piece { output, .. } => Some(output),
            other => other.output(),
        }
    }

    /// Whether it was to be done in hardware, which failed.
    #[must_use]
    pub fn fell_back(self) -> bool {
        matches!(self, Self::EncodeInSoftware { .. })
    }

    /// The same in software.
    #[must_use]
    pub fn in_software(self) -> Self {
        match self {
            Self::Encode { output } => Self::EncodeInSoftware { output },
            other => other,
        }
    }
}

/// What a task was expected to cost when it was planned, on a node of speed 1, and by which model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// CPU time over all threads in milliseconds.
    pub cpu_ms: u64,
    /// Wall time in milliseconds, with all the CPU that it can use.
    pub wall_ms: u64,
    /// Version of the model; 0 is the physical estimate.
    pub model: u32,
}

/// Equal tasks of a job, as the planner made them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// What each does.
    pub step: Step,
    /// The slots that each takes.
    pub slot: SlotKind,
    /// Number of tasks, at least 1.
    pub count: u32,
    /// Stages of the same job, by index, that must be complete before.
    pub after: Vec<u32>,
    /// What each needs of a node.
    pub demand: Demand,
    /// What each should cost.
    pub prediction: Prediction,
    /// Whether the job succeeds without it.
    pub optional: bool,
    /// Whether it is left out.
    pub dropped: bool,
}

impl Stage {
    /// Whether it is an analysis that what comes after it can do without. What a probe finds nothing can do without.
    #[must_use]
    pub fn is_advice(&self) -> bool {
        self.optional && self.slot == SlotKind::Analyse && matches!(self.step, Step::Noop { .. })
    }
}

/// An output at its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Index of the output in the job's spec.
    pub output: u32,
    /// The file.
    pub artifact: Artifact,
    /// When.
    pub at: WallMs,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// `succeeded`, `failed` or `canceled`.
    pub state: JobState,
    /// The first cause, for `failed`.
    pub failure: Option<Failure>,
    /// When.
    pub at: WallMs,
}

/// A job's durable part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The principal who submitted it.
    pub submitter: Arc<str>,
    /// What it asks for; jobs that ask for the same share it.
    pub spec: Arc<JobSpec>,
    /// When it was accepted.
    pub accepted_at: WallMs,
    /// Its stages, in the order of planning; jobs with the same plan share it.
    pub stages: Arc<Vec<Stage>>,
    /// Its tasks, stage by stage.
    pub tasks: Row<Task>,
    /// Outputs at their places.
    pub published: Few<Published>,
    /// What was given up for its deadline, in order; those that were taken back as well.
    pub trades: Few<Trade>,
    /// Since when its deadline is given up, and why.
    #[serde(with = "late")]
    pub late: Option<Box<Late>>,
    /// Set once it ended.
    pub ended: Option<Box<Ended>>,
}

impl Job {
    /// A job that was just accepted.
    #[must_use]
    pub fn new(
        id: JobId,
        tenant: TenantId,
        submitter: Arc<str>,
        spec: Arc<JobSpec>,
        accepted_at: WallMs,
    ) -> Self {
        Self {
            id,
            tenant,
            submitter,
            spec,
            accepted_at,
            stages: Arc::default(),
            tasks: Row::default(),
            published: Few::default(),
            trades: Few::default(),
            late: None,
            ended: None,
        }
    }

    /// Its stages, to change them: from then on it has a plan of its own.
    pub fn stages_mut(&mut self) -> &mut Vec<Stage> {
        Arc::make_mut(&mut self.stages)
    }

    /// Whether something is given up now.
    #[must_use]
    pub fn has_trades(&self) -> bool {
        self.trades.iter().any(|t| t.undone.is_none())
    }

    /// The settings of an output, with what was given up.
    #[must_use]
    pub fn settings_of(&self, output: u32) -> Option<EncodeSettings> {
        trade::settings(&self.spec, &self.stages, &self.trades, output)
    }

    /// The stage that makes an output, once it is planned.
    #[must_use]
    pub fn stage_of_output(&self, output: u32) -> Option<&Stage> {
        if let Work::Probes { .. } = self.spec.work {
            return self.stages.first();
        }
        self.stages.iter().find(|s| s.step.output() == Some(output))
    }

    /// A stage in a word or two: its name in the job's graph, or else what it does and which output it makes.
    #[must_use]
    pub fn stage_name(&self, at: usize) -> String {
        if let Work::Graph { stages } = &self.spec.work
            && let Some(stage) = stages.get(at)
        {
            return stage.name.clone();
        }
        let Some(stage) = self.stages.get(at) else { return String::new() };
        let kind = stage.step.kind().as_str();
        match stage.step.serves().and_then(|output| self.spec.work.output(output)) {
            Some(output) => format!("{kind} {}", output.name),
            None => kind.to_owned(),
        }
    }

    /// The stage of a task and the stage's index.
    ///
    /// # Panics
    /// When the job has no such task; indices come from the job's own plan.
    #[must_use]
    pub fn stage_of(&self, task: u32) -> (usize, &Stage) {
        let mut end = 0;
        for (at, stage) in self.stages.iter().enumerate() {
            end += stage.count;
            if task < end {
                return (at, stage);
            }
        }
        panic!("{} has {end} tasks, yet task {task} was asked for", self.id)
    }

    /// What a task does.
    ///
    /// # Panics
    /// When the job has no such task.
    #[must_use]
    pub fn step(&self, task: u32) -> Step {
        self.stage_of(task).1.step
    }

    /// The first task that makes this output.
    #[must_use]
    pub fn task_of_output(&self, output: u32) -> Option<u32> {
        if let Work::Probes { .. } = self.spec.work {
            // Its one stage has a task for each.
            return self.stages.first().filter(|stage| output < stage.count).map(|_| output);
        }
        let mut first = 0;
        for stage in self.stages.iter() {
            if stage.step.output() == Some(output) {
                return Some(first);
            }
            first += stage.count;
        }
        None
    }

    /// What the probe found, once it did.
    #[must_use]
    pub fn probed(&self) -> Option<(&Artifact, &MediaFacts)> {
        // The probe is planned first.
        match &**self.tasks.first()?.success.as_ref()?.value.as_ref()? {
            TaskValue::Probed { input, facts } => Some((input, facts)),
            _ => None,
        }
    }

    /// What an output is made from, once that was probed: the file and its facts.
    #[must_use]
    pub fn source_of(&self, output: u32) -> Option<(&Artifact, &MediaFacts)> {
        let Work::Graph { stages } = &self.spec.work else { return self.probed() };
        let stage = stages.get(output as usize)?;
        let input = stage.work.input()?;
        let probes = |at: &&u32| matches!(&stages[**at as usize].work, StageWork::Probe { input: probed } if probed == input);
        let probe = stage.after.iter().find(|at| probes(at))?;
        let first: u32 = self.stages.get(..*probe as usize)?.iter().map(|s| s.count).sum();
        match &**self.tasks.get(first as usize)?.success.as_ref()?.value.as_ref()? {
            TaskValue::Probed { input, facts } => Some((input, facts)),
            _ => None,
        }
    }

    /// Its input, as far as it is known.
    #[must_use]
    pub fn input(&self) -> Option<Artifact> {
        match &self.spec.work {
            Work::Noop { .. } | Work::Graph { .. } | Work::Trial { .. } | Work::Probes { .. } => None,
            Work::Probe { input } | Work::Encode { input, .. } | Work::Stream { input, .. } => Some(
                self.probed()
                    .map_or_else(|| Artifact::unseen(input.clone()), |(artifact, _)| artifact.clone()),
            ),
        }
    }

    /// The place of an output.
    ///
    /// # Panics
    /// When the job has no such output; indices come from the job's own plan.
    #[must_use]
    pub fn output_place(&self, output: u32) -> Location {
        if let Work::Stream { destination, .. } = &self.spec.work {
            return match destination {
                Destination::Depot => Location::Set(self.tenant.clone(), self.id),
                Destination::Place(place) => place.clone(),
            };
        }
        if let Work::Probes { .. } = self.spec.work {
            return Location::Output(self.tenant.clone(), self.id, probes::facts_file(output).into());
        }
        let Some(spec) = self.spec.work.output(output) else {
            panic!("{} has no output {output}, yet it was asked for", self.id)
        };
        match &spec.destination {
            Destination::Depot => Location::Output(self.tenant.clone(), self.id, spec.name.clone().into()),
            Destination::Place(place) => place.clone(),
        }
    }

    /// The work of a task, complete. `None` where what it depends on is not known yet.
    #[must_use]
    pub fn work_of(&self, task: u32) -> Option<TaskWork> {
        let (at, stage) = self.stage_of(task);
        match (stage.step, &self.spec.work) {
            (Step::Noop { hold_ms, cpu_ms }, _) => Some(TaskWork::Noop { hold_ms, cpu_ms }),
            (Step::Trial, _) => Some(TaskWork::Trial),
            (Step::Stream(step), _) => self.stream_work(task, step),
            (Step::Piece { output, piece_s }, _) => self.piece_work(task, output, piece_s),
            (Step::Join { output, piece_s }, _) => self.join_work(output, piece_s),
            (Step::Probes, _) => self.probes_work(task),
            (Step::Probe, Work::Graph { stages }) => match &stages.get(at)?.work {
                StageWork::Probe { input } => {
                    Some(TaskWork::Probe { input: Artifact::unseen(input.clone()) })
                }
                StageWork::Noop { .. } | StageWork::Encode { .. } => None,
            },
            (Step::Probe, _) => Some(TaskWork::Probe { input: self.input()? }),
            (Step::Encode { output } | Step::EncodeInSoftware { output }, _) => {
                let (input, source) = self.source_of(output)?;
                let mut settings = self.settings_of(output)?;
                // Which encoder it is depends on the node; workers of every version know this name.
                if let Some(video) = &mut settings.video {
                    video.codec = video.codec.in_software();
                }
                Some(TaskWork::Encode {
                    input: input.clone(),
                    source: source.clone(),
                    settings,
                    output: self.spec.work.output(output)?.name.clone(),
                })
            }
        }
    }

    /// The same job without the long texts of its tasks' failures.
    #[must_use]
    pub fn without_details(&self) -> Self {
        let mut slim = self.clone();
        for failed in slim.tasks.iter_mut().filter_map(|t| Some(&mut t.trouble.as_mut()?.last)) {
            failed.failure.detail.clear();
            failed.failure.advice.clear();
            failed.failure.message = failed.failure.message.chars().take(80).collect();
        }
        slim
    }

    /// The identity of a task.
    #[must_use]
    pub fn task_id(&self, index: u32) -> TaskId {
        TaskId { job: self.id, index }
    }
}
