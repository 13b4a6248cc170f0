//! Hardware encoders: who gets one, and what follows when one fails.
//!
//! A stage whose output asks for hardware is encoded by what the node has proven, as long as a session is free there, and
//! in software otherwise. Where the hardware fails, what is left of the stage is encoded in software: a rung is not made
//! by two encoders. A node whose encoder fails one task after the other gets no more such work for a while.
//!
//! **Invariant:** a failure of a hardware encoder is the last that its task may have of that kind, and never the one for
//! which the task is given up.

use std::sync::Arc;

use rushes_shared::failure::FailureCode;
use rushes_shared::id::{JobId, TaskId, WorkerId};
use rushes_shared::units::{Now, WallMs};

use super::{Engine, Timer, Turn};
use crate::event::{Decision, LinkId};
use crate::explain::Because;
use crate::health::Health;
use crate::job::{Job, LiveTask, Step};
use crate::placement::hardware::proven;
use crate::record::Record;
use crate::state::Quarantine;

impl Engine {
    /// A worker says how many tasks it encodes in hardware at once.
    pub(super) fn hardware_offered(&mut self, turn: &Turn, worker: WorkerId, link: LinkId, sessions: u32) {
        self.renew_lease(turn.now, worker, link);
        if self.fleet.get(&worker).is_some_and(|n| n.link == Some(link)) {
            self.fleet.change(worker, |node| node.hardware.sessions = sessions);
        }
    }

    /// Whether a task is to be encoded in hardware where that can be had.
    pub(super) fn prefers_hardware(&self, task: TaskId) -> bool {
        self.state.jobs.get(&task.job).is_some_and(|job| prefers_hardware(job, task.index))
    }

    /// The hardware encoder that a task gets on a node, if it wants one and one is free there.
    pub(super) fn encoder_for(&self, worker: WorkerId, task: TaskId) -> Option<Arc<str>> {
        let job = self.state.jobs.get(&task.job).filter(|job| prefers_hardware(job, task.index))?;
        let node = self.fleet.get(&worker).filter(|node| node.hardware.has_room())?;
        let output = job.step(task.index).output()?;
        proven(&node.facts, job.spec.work.output(output)?.settings.video_codec_name())
    }

    /// Whether the hardware encoder may be what made this attempt fail. Of an attempt of the reign before only its own
    /// word is known.
    pub(super) fn is_encoder_fault(live: &LiveTask, code: FailureCode) -> bool {
        let may_be =
            matches!(code, FailureCode::CheckFailed | FailureCode::ProcessDied | FailureCode::ProcessStalled);
        code == FailureCode::EncoderFailed || (live.encoder.is_some() && may_be)
    }

    /// Whether what an attempt took says nothing about its node's cores.
    pub(super) fn may_have_used_hardware(&self, task: TaskId, live: &LiveTask) -> bool {
        live.encoder.is_some() || (live.because == Because::Held && self.prefers_hardware(task))
    }

    /// A hardware encoder has failed a task: the rest of its stage is done in software.
    pub(super) fn encoder_failed(&mut self, turn: &mut Turn, task: TaskId, live: &LiveTask) {
        if self.prefers_hardware(task) {
            let stage = self.state.jobs[&task.job].stage_of(task.index).0;
            let stage = u32::try_from(stage).expect("a job has far fewer than 2^32 stages");
            let element = live.encoder.as_deref().unwrap_or_default().to_owned();
            let (worker, at) = (live.worker, turn.now.wall);
            let record =
                Record::EncoderFellBack { job: task.job, stage, worker, element: element.clone(), at };
            self.emit(turn, record);
            self.decided(turn, Some(task.job), Decision::EncoderFellBack { task, worker, element });
        }
        self.strike(turn, live.worker);
    }

    /// A hardware encoder has done a task.
    pub(super) fn encoder_worked(&mut self, turn: &mut Turn, worker: WorkerId) {
        let was_shut = self.fleet.change(worker, |node| {
            let hardware = &mut node.hardware;
            (hardware.failed_in_row, hardware.shut_times) = (0, 0);
            std::mem::take(&mut hardware.health) != Health::Good
        });
        if was_shut == Some(true) {
            self.emit(turn, Record::EncoderReadmitted { worker });
            self.decided(turn, None, Decision::EncoderReadmitted { worker });
        }
    }

    fn strike(&mut self, turn: &mut Turn, worker: WorkerId) {
        let limit = self.policy.health.encoder_failures;
        let (base, most) = (self.policy.health.quarantine_ms, self.policy.health.max_quarantine_ms);
        let shut = self.fleet.change(worker, |node| {
            let hardware = &mut node.hardware;
            hardware.failed_in_row += 1;
            let is_shut = match hardware.health {
                Health::Good => hardware.failed_in_row >= limit,
                Health::Probed => true,
                Health::Quarantined => false,
            };
            is_shut.then(|| {
                hardware.health = Health::Quarantined;
                hardware.shut_times += 1;
                hardware.shut_times
            })
        });
        let Some(times) = shut.flatten() else { return };
        let for_ms = base.saturating_mul(1 << (times - 1).min(20)).min(most);
        let until = WallMs(turn.now.wall.0.saturating_add(for_ms));
        self.emit(turn, Record::EncoderShut { worker, quarantine: Quarantine { until, times } });
        self.decided(turn, None, Decision::EncoderShut { worker, failures: limit, for_ms });
        self.wake_at(turn.now.mono.plus(for_ms), Timer::EncoderProbe(worker));
    }

    /// The encoder of a node that is new to this reign is where it was: shut for the rest of its time.
    pub(super) fn resume_encoder(&mut self, now: Now, worker: WorkerId) {
        let Some(Quarantine { until, times }) = self.state.encoders_shut.get(&worker).copied() else {
            return;
        };
        self.fleet.change(worker, |node| {
            (node.hardware.health, node.hardware.shut_times) = (Health::Quarantined, times);
        });
        let left_ms = until.0.saturating_sub(now.wall.0).min(self.policy.health.max_quarantine_ms);
        self.wake_at(now.mono.plus(left_ms), Timer::EncoderProbe(worker));
    }

    /// An encoder that was shut gets one task to show itself.
    pub(super) fn encoder_probe_due(&mut self, worker: WorkerId) {
        self.fleet.change(worker, |node| {
            if node.hardware.health == Health::Quarantined {
                node.hardware.health = Health::Probed;
            }
        });
    }

    /// Stages of a job that were to be encoded in hardware, which failed.
    pub(super) fn fallen_back(&self, id: JobId) -> Vec<u32> {
        let stages = self.state.jobs.get(&id).map_or(&[][..], |job| job.stages.as_slice());
        let fell = |(at, stage): (u32, &crate::job::Stage)| stage.step.fell_back().then_some(at);
        (0..).zip(stages).filter_map(fell).collect()
    }
}

/// Whether a task of a job is to be encoded in hardware where that can be had.
pub(super) fn prefers_hardware(job: &Job, task: u32) -> bool {
    let Step::Encode { output } = job.step(task) else { return false };
    job.spec.work.output(output).is_some_and(|spec| spec.settings.prefer_hardware())
}
