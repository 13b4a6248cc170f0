//! Outcomes of attempts. A message counts only if its attempt is in the task's live set.

use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::id::{AttemptId, TaskId, WorkerId};
use rushes_shared::task::{Progress, StreamStep, TaskKind, TaskOutcome, TaskValue, Usage};

use super::live::Shift;
use super::{Engine, Timer, Turn};
use crate::event::{Command, FarmNews};
use crate::job::{Job, LiveTask, Step, facts_file};
use crate::promise::predict;
use crate::record::{Record, Verdict};

impl Engine {
    pub(super) fn task_progressed(
        &mut self,
        turn: &mut Turn,
        worker: WorkerId,
        task: TaskId,
        attempt: AttemptId,
        progress: Progress,
    ) {
        self.promote(turn, worker, attempt);
        if self.live_mut(worker, task, attempt).is_none() {
            return;
        }
        self.note_progress(turn.now.mono, task, attempt, progress);
        let live = self.live_mut(worker, task, attempt).expect("it was just seen");
        live.started = true;
        live.progress = progress;
        // Of two attempts that one is told of which is further, or a follower would see the task go back and forth.
        let twins = self.runs[&task.job].live.get(&task.index).map_or(&[][..], Vec::as_slice);
        if twins.iter().any(|twin| twin.attempt != attempt && twin.progress.permille > progress.permille) {
            return;
        }
        let kind = self.state.jobs[&task.job].step(task.index).kind();
        self.notify(turn, Some(task.job), FarmNews::TaskProgressed { task, kind, worker, progress });
    }

    pub(super) fn task_ended(
        &mut self,
        turn: &mut Turn,
        worker: WorkerId,
        task: TaskId,
        attempt: AttemptId,
        outcome: TaskOutcome,
    ) {
        if outcome != TaskOutcome::Cancelled {
            self.ended_ahead(turn, worker, attempt);
        }
        let held = self.free(worker, attempt);
        if let Some(other) = held.as_ref().map(|h| h.task).filter(|held| *held != task) {
            return self.is_confused(turn, worker, other, attempt);
        }
        let Some((live, shift)) = self.take_out(worker, task, attempt) else {
            self.command(turn, Command::CollectOutcome { worker, attempt });
            // Even one that was stopped may have staged its file in the meantime.
            if held.is_none_or(|h| h.kind.leaves_file()) {
                self.drop_unless_winner(turn, &[(task, attempt)]);
            }
            return;
        };
        let kind = held.map_or(TaskKind::Noop, |h| h.kind);
        match outcome {
            TaskOutcome::Succeeded { value, usage } => {
                match unfit(&self.state.jobs[&task.job], task, attempt, &value) {
                    None => self.task_succeeded(turn, task, (&live, shift), value, usage),
                    Some(failure) => {
                        self.note_running(task, shift.ran, shift.runs);
                        self.attempt_failed(turn, task, &live, failure, usage);
                    }
                }
            }
            TaskOutcome::Failed { failure, usage } => {
                self.note_running(task, shift.ran, shift.runs);
                self.attempt_failed(turn, task, &live, failure, usage);
            }
            TaskOutcome::Cancelled => {
                self.note_running(task, shift.ran, shift.runs);
                // Nobody here asked for it: the worker is shutting down. The task goes elsewhere, uncounted.
                if kind.leaves_file() {
                    self.command(turn, Command::DropStaged { attempts: vec![attempt] });
                }
                // One that does not say that it leaves would get it back at once, again and again.
                if self.fleet.get(&worker).is_some_and(|n| n.leaving) {
                    self.make_ready(turn.now.mono, task);
                    self.came_back(turn, task);
                } else {
                    self.wake_at(turn.now.mono.plus(self.policy.retry_base_ms), Timer::Retry(task));
                }
            }
        }
        self.command(turn, Command::CollectOutcome { worker, attempt });
    }

    pub(super) fn task_refused(
        &mut self,
        turn: &mut Turn,
        worker: WorkerId,
        task: TaskId,
        attempt: AttemptId,
        failure: Failure,
    ) {
        let held = self.free(worker, attempt);
        if let Some(other) = held.map(|h| h.task).filter(|held| *held != task) {
            return self.is_confused(turn, worker, other, attempt);
        }
        if let Some(live) = self.take_live(worker, task, attempt) {
            self.attempt_failed(turn, task, &live, failure, Usage::default());
        }
    }

    /// A worker names another task than the one that it was given with this attempt, whose room has been freed: what it
    /// has done is not known, so the attempt has failed by the node's fault. Its connection ends, and with the next one it
    /// says anew what it holds.
    pub(super) fn is_confused(
        &mut self,
        turn: &mut Turn,
        worker: WorkerId,
        task: TaskId,
        attempt: AttemptId,
    ) {
        if let Some(live) = self.take_live(worker, task, attempt) {
            let message = format!("worker {} took {task} for another task", live.worker_name);
            let failure = Failure::new(
                FailureCode::NodeUnfit,
                message,
                "update the worker to the coordinator's version",
            );
            self.attempt_failed(turn, task, &live, failure, Usage::default());
        }
        if let Some(link) = self.fleet.get(&worker).and_then(|node| node.link) {
            self.command(turn, Command::CloseLink { worker, link });
        }
    }

    fn task_succeeded(
        &mut self,
        turn: &mut Turn,
        task: TaskId,
        (live, shift): (&LiveTask, Shift),
        value: TaskValue,
        usage: Usage,
    ) {
        let (attempt, worker, queued_ms, at) = (live.attempt, live.worker, live.queued_ms, turn.now.wall);
        let job = &self.state.jobs[&task.job];
        let has_deadline = job.spec.deadline.is_some();
        let stage = job.stage_of(task.index).1;
        let (kind, prediction) = (stage.step.kind(), stage.prediction);
        let speed_before = self.state.workers.get(&worker).map_or(1_000, |w| w.speed_permille);
        // Hardware says nothing about the node's cores, and what many files take depends on what they are.
        let teaches = kind != TaskKind::Probes && !self.may_have_used_hardware(task, live);
        let speed_permille = match teaches {
            false => speed_before,
            true => predict::learned(speed_before, prediction, usage.run_ms),
        };
        if let TaskValue::Probed { facts, .. } = &value {
            self.usual.note(facts);
        }
        let value = (!matches!(value, TaskValue::Nothing)).then(|| Box::new(value));
        let has_value = value.is_some();
        let success =
            Record::TaskSucceeded { task, attempt, worker, value, usage, queued_ms, speed_permille, at };
        self.emit(turn, success);
        if kind == TaskKind::Probe {
            self.size_stages(turn, task.job);
        }
        if matches!(kind, TaskKind::Package | TaskKind::Join) {
            self.drop_spent_parts(turn, task.job);
        }
        if speed_permille != speed_before {
            self.fleet.change(worker, |node| node.set_speed(speed_permille));
        }
        let run = self.runs.get_mut(&task.job).expect("a live job has a run");
        run.open -= 1;
        run.touched = true;
        if !kind.is_idle() {
            run.note_input_on(worker);
        }
        // What ran is off the books already, and stays so.
        run.stage_of(task.index).running -= u32::from(shift.ran);
        run.count_started(&mut self.jobs_started);
        if !shift.ran {
            self.book_task(task, false);
        }
        if shift.attempts > 0 {
            self.drop_twins(turn, task);
        }
        self.note_job_works(turn, task.job);
        self.note_outcome(turn, worker, task, None);
        if live.encoder.is_some() {
            self.encoder_worked(turn, worker);
        }
        // One that was adopted after a restart began before it was known here.
        let run_ms = at.0.saturating_sub(live.since.0).max(usage.wall_ms);
        self.notify(turn, Some(task.job), FarmNews::TaskSucceeded { task, kind, worker, run_ms });
        let stages_done = self.task_done(turn.now.mono, task);
        if stages_done || has_value {
            self.advance(turn, task.job);
        }
        if stages_done && has_deadline && self.runs.contains_key(&task.job) {
            self.look_at_promise(turn, task.job);
        }
    }

    /// Stops the other attempts at a task that is done.
    fn drop_twins(&mut self, turn: &mut Turn, task: TaskId) {
        let run = self.runs.get_mut(&task.job).expect("a live job has a run");
        let twins = run.live.remove(task.index).unwrap_or_default();
        let ahead = twins.iter().filter(|t| t.is_ahead).count();
        run.live.uncount_ahead(u32::try_from(ahead).expect("they are few"));
        run.stage_of(task.index).live -= u32::from(!twins.is_empty());
        for twin in twins {
            self.forget_stall(task, twin.attempt);
            self.stop_attempt(turn, twin.worker, twin.attempt);
            self.command(turn, Command::DropStaged { attempts: vec![twin.attempt] });
        }
    }

    /// Counts a failed attempt that was live until now, and decides what follows.
    pub(super) fn attempt_failed(
        &mut self,
        turn: &mut Turn,
        task: TaskId,
        live: &LiveTask,
        failure: Failure,
        usage: Usage,
    ) {
        let entry = &self.state.jobs[&task.job].tasks[task.index as usize];
        let kind = self.state.jobs[&task.job].step(task.index).kind();
        let failures = entry.failures() + 1;
        let died_before = entry.trouble.as_ref().map_or(0, |t| t.died_on.len());
        let died_here = entry.trouble.as_ref().is_some_and(|t| t.died_on.contains(&live.worker));
        let died_on = died_before + usize::from(!died_here);
        let is_poison =
            failure.code == FailureCode::ProcessDied && died_on >= self.policy.poison_nodes as usize;
        let is_lost = failure.code == FailureCode::WorkerLost;
        let lost = entry.lost() + u32::from(is_lost);
        let is_too_often =
            failures - lost >= self.policy.max_attempts || (is_lost && self.is_lost_for_good(task, lost));
        // A check that fails again has not failed by chance.
        let fails_again = failure.code == FailureCode::CheckFailed
            && entry.last_failure().is_some_and(|last| last.failure.code == failure.code);
        let is_encoder_fault = Self::is_encoder_fault(live, failure.code);
        let has_software_left = is_encoder_fault && self.prefers_hardware(task);
        let gives_up = failure.class == FailureClass::Permanent
            || (!has_software_left && (is_too_often || is_poison || fails_again));
        let twin_runs = self.runs.get(&task.job).is_some_and(|r| r.live.contains_key(&task.index));
        let salt = Self::retry_salt(task.index, live.attempt);
        let verdict = if gives_up && !twin_runs {
            Verdict::GiveUp
        } else {
            Verdict::Retry { delay_ms: self.policy.retry_delay_ms(failures, salt) }
        };
        let (attempt, worker, at) = (live.attempt, live.worker, turn.now.wall);
        let (cause, class, code) = (failure.clone(), failure.class, failure.code);
        self.emit(turn, Record::AttemptFailed { task, attempt, worker, failure, usage, verdict, at });
        self.runs.get_mut(&task.job).expect("a live job has a run").touched = true;
        self.count_started(task.job);
        if kind.leaves_file() {
            self.command(turn, Command::DropStaged { attempts: vec![attempt] });
        }
        let retry_ms = match verdict {
            Verdict::Retry { delay_ms } => Some(delay_ms),
            Verdict::GiveUp => None,
        };
        let news = FarmNews::AttemptFailed { task, kind, worker, failure: cause.clone(), retry_ms };
        self.notify(turn, Some(task.job), news);
        if is_encoder_fault {
            self.encoder_failed(turn, task, live);
        }
        // What its hardware alone has failed says nothing about the rest of the node.
        if code != FailureCode::EncoderFailed {
            self.note_outcome(turn, worker, task, Some(class));
        }
        self.note_failure(turn, (class, code), (worker, task.job));
        self.note_job_failed(turn, task.job, &cause);
        match retry_ms {
            Some(_) if twin_runs => {}
            Some(delay) => {
                self.wake_at(turn.now.mono.plus(delay), Timer::Retry(task));
                self.wake_for_promise(turn.now, task.job, 1);
            }
            None => self.end_given_up(turn, task.job),
        }
    }

    /// What the jitter of the delay after an attempt depends on.
    pub(super) fn retry_salt(task: u32, attempt: AttemptId) -> u64 {
        u64::from(task) ^ attempt.counter.rotate_left(32) ^ attempt.epoch.0
    }

    /// Has the depot drop what these attempts may have staged, except a file that was made for good.
    pub(super) fn drop_unless_winner(&mut self, turn: &mut Turn, attempts: &[(TaskId, AttemptId)]) {
        let may_be_staged = |task: &TaskId| {
            let job = self.state.jobs.get(&task.job);
            let known = job.filter(|j| (task.index as usize) < j.tasks.len());
            known.is_none_or(|j| j.step(task.index).kind().leaves_file())
        };
        let is_unwanted =
            |(task, attempt): &&(TaskId, AttemptId)| may_be_staged(task) && !self.is_winner(*task, *attempt);
        let unwanted: Vec<AttemptId> = attempts.iter().filter(is_unwanted).map(|(_, a)| *a).collect();
        if !unwanted.is_empty() {
            self.command(turn, Command::DropStaged { attempts: unwanted });
        }
    }

    /// Takes an attempt out of its task's live set.
    pub(super) fn take_live(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: AttemptId,
    ) -> Option<LiveTask> {
        let (taken, shift) = self.take_out(worker, task, attempt)?;
        self.note_running(task, shift.ran, shift.runs);
        Some(taken)
    }

    /// The same without a word to the books.
    fn take_out(&mut self, worker: WorkerId, task: TaskId, attempt: AttemptId) -> Option<(LiveTask, Shift)> {
        let run = self.runs.get_mut(&task.job)?;
        let (taken, shift) = run.live.take(task.index, worker, attempt)?;
        if shift.attempts == 0 {
            run.stage_of(task.index).live -= 1;
        }
        let is_held_back = run.rare().is_held_back;
        self.forget_stall(task, attempt);
        if is_held_back {
            self.refile(task.job);
        }
        Some((taken, shift))
    }

    fn is_winner(&self, task: TaskId, attempt: AttemptId) -> bool {
        let entry = self.state.jobs.get(&task.job).and_then(|j| j.tasks.get(task.index as usize));
        entry.and_then(|t| t.success.as_ref()).is_some_and(|s| s.attempt == attempt)
    }
}

/// Whether a file is what an attempt at this step leaves in staging.
fn is_left_by(attempt: AttemptId, step: StreamStep, artifact: &Artifact) -> bool {
    let place = Location::Staged(attempt, step.output());
    artifact.location == place && artifact.attempt == Some(attempt) && artifact.hash.is_some()
}

/// Why a result cannot be this task's: another kind of value, or a file that is not staged under the attempt.
fn unfit(job: &Job, task: TaskId, attempt: AttemptId, value: &TaskValue) -> Option<Failure> {
    let step = job.step(task.index);
    let fits = match (step, value) {
        (Step::Noop { .. } | Step::Trial, TaskValue::Nothing) | (Step::Probe, TaskValue::Probed { .. }) => {
            true
        }
        (
            Step::Encode { .. } | Step::EncodeInSoftware { .. } | Step::Join { .. },
            TaskValue::Encoded(encoded),
        ) => {
            let is_ours = matches!(&encoded.artifact.location, Location::Staged(by, _) if *by == attempt);
            is_ours && encoded.artifact.hash.is_some() && encoded.check.problems.is_empty()
        }
        (Step::Stream(StreamStep::Package), TaskValue::Set(set)) => {
            is_left_by(attempt, StreamStep::Package, &set.artifact)
        }
        (Step::Stream(StreamStep::Scan), TaskValue::Scanned(scan)) => scan.is_bounded(),
        (Step::Probes, TaskValue::ProbedFiles(found)) => {
            let place = Location::Staged(attempt, facts_file(task.index));
            let artifact = &found.artifact;
            artifact.location == place && artifact.attempt == Some(attempt) && artifact.hash.is_some()
        }
        (Step::Stream(step), TaskValue::Part(part)) => {
            let is_part = matches!(step, StreamStep::Sound | StreamStep::Stills | StreamStep::Chunk);
            is_part && is_left_by(attempt, step, &part.artifact)
        }
        (Step::Piece { .. }, TaskValue::Part(part)) => is_left_by(attempt, StreamStep::Chunk, &part.artifact),
        _ => false,
    };
    (!fits).then(|| {
        Failure::new(
            FailureCode::NodeUnfit,
            format!("the worker's result for {task} is not one of a {} task", step.kind().as_str()),
            "update the worker to the coordinator's version",
        )
    })
}
