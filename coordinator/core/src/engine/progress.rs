//! What a job needs next, from its durable state alone: more tasks, a publish, or its end. The same code runs after
//! each result and at a restart, so that nothing depends on having seen the event.

use rushes_shared::encode::VideoCodec;
use rushes_shared::failure::Failure;
use rushes_shared::id::{AttemptId, JobId, TaskId};
use rushes_shared::job::{JobState, Needs, Work};
use rushes_shared::task::StreamStep;
use rushes_shared::units::MonoMs;
use rushes_shared::wire::WireVersion;

use super::publishing::Tries;
use super::run::StageRun;
use super::{Engine, Turn};
use crate::event::{Command, FarmNews, Refusal, Reply};
use crate::job::{Job, Stage, Step};
use crate::order::signature::Signature;
use crate::planner;
use crate::promise::path;
use crate::record::Record;

impl Engine {
    /// Does for a live job what can be done now.
    pub(super) fn advance(&mut self, turn: &mut Turn, id: JobId) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        let has_outputs = job.spec.work.output_numbers().next().is_some();
        if let Err(failure) = planner::sized(job) {
            return self.end_job(turn, id, JobState::Failed, Some(failure));
        }
        match planner::next_stages(job, self.piece_s(), || self.usual.input()) {
            Err(failure) => return self.end_job(turn, id, JobState::Failed, Some(failure)),
            Ok(stages) if !stages.is_empty() => self.plan(turn, id, stages),
            Ok(_) => {}
        }
        let unpublished = if has_outputs { self.unpublished(id) } else { Vec::new() };
        for output in unpublished {
            let run = self.runs.get_mut(&id).expect("a live job has a run");
            if let std::collections::btree_map::Entry::Vacant(entry) = run.rare_mut().publishing.entry(output)
            {
                entry.insert(Tries::default());
                self.publish(turn, id, output);
            }
        }
        if self.is_complete(id) {
            self.end_job(turn, id, JobState::Succeeded, None);
        }
    }

    /// Takes up a job of the reign before.
    pub(super) fn adopt_job(&mut self, turn: &mut Turn, id: JobId) {
        self.enter_run(id);
        self.watch(turn.now);
        self.resume_holding_back(id);
        let count = self.state.jobs[&id].stages.len();
        self.enter_stages(id, 0);
        self.size_stages(turn, id);
        let job = &self.state.jobs[&id];
        let touched = job.tasks.iter().any(|t| t.success.is_some() || t.trouble.is_some());
        let run = self.runs.get_mut(&id).expect("it was just entered");
        run.touched = touched;
        // What was promised before stands; with the workers back it is seen whether all of it can be kept.
        run.is_judged = self.reattach.is_some() && job.late.is_none() && !planner::awaits_probe(job);
        for at in 0..count {
            let stage = &mut self.runs.get_mut(&id).expect("it was just entered").stages[at];
            if stage.waits > 0 || stage.open == 0 {
                continue;
            }
            match &mut self.reattach {
                Some(window) => {
                    stage.is_held = true;
                    window.jobs.insert(id);
                }
                None => self.release_stage(turn.now.mono, id, at),
            }
        }
        self.count_started(id);
        self.rebook(id);
        self.rank(turn.now, id);
        self.end_given_up(turn, id);
        self.drop_spent_parts(turn, id);
        self.advance(turn, id);
        if self.runs.contains_key(&id) {
            self.wake_for_promise(turn.now, id, 1);
        }
    }

    /// Releases what waited for workers to re-attach.
    pub(super) fn release_held(&mut self, now: MonoMs, id: JobId) {
        let count = self.runs.get(&id).map_or(0, |r| r.stages.len());
        for at in 0..count {
            let stage = &mut self.runs.get_mut(&id).expect("it was just seen").stages[at];
            let was_held = std::mem::take(&mut stage.is_held);
            let is_left_out = self.state.jobs[&id].stages[at].dropped;
            if was_held && !is_left_out {
                self.release_stage(now, id, at);
            }
        }
    }

    /// Enters the stages that the job has next.
    pub(super) fn plan(&mut self, turn: &mut Turn, id: JobId, stages: Vec<Stage>) {
        let first = self.state.jobs[&id].stages.len();
        if first > 0 {
            self.usual.note_cost(path::load_of_all(&stages));
        }
        self.emit(turn, Record::StagesPlanned { job: id, stages });
        self.enter_stages(id, first);
        self.rebook(id);
        for at in first..self.state.jobs[&id].stages.len() {
            if self.runs[&id].stages[at].waits == 0 {
                self.release_stage(turn.now.mono, id, at);
            }
        }
    }

    /// Enters the job's stages from `from` on into its run.
    fn enter_stages(&mut self, id: JobId, from: usize) {
        let job = &self.state.jobs[&id];
        let run = self.runs.get_mut(&id).expect("a live job has a run");
        let mut first = job.stages[..from].iter().map(|s| s.count).sum();
        for stage in &job.stages[from..] {
            let is_open = |at: &&u32| run.stages.get(**at as usize).is_some_and(|s| s.open > 0);
            let waits = u32::try_from(stage.after.iter().filter(is_open).count()).unwrap_or(u32::MAX);
            let sig = self.order.sigs.take(signature_of(job, stage));
            let entered = StageRun::new(first, stage, sig, waits, &job.tasks);
            run.open += entered.open;
            if entered.counts_wall {
                self.ledger.count_stage(u64::from(entered.wall_ms), true);
            }
            run.stages.push(entered);
            first += stage.count;
        }
    }

    /// Counts a task that has just succeeded, and releases the stages that only waited for its stage. Whether
    /// that stage is complete.
    pub(super) fn task_done(&mut self, now: MonoMs, task: TaskId) -> bool {
        let (Some(job), Some(run)) = (self.state.jobs.get(&task.job), self.runs.get_mut(&task.job)) else {
            return false;
        };
        let at = job.stage_of(task.index).0;
        run.stages[at].open -= 1;
        if run.stages[at].open > 0 {
            return false;
        }
        if std::mem::take(&mut run.stages[at].counts_wall) {
            self.ledger.count_stage(u64::from(run.stages[at].wall_ms), false);
        }
        self.release_after(now, task.job, at);
        true
    }

    /// Outputs whose file is made but not at its place.
    fn unpublished(&self, id: JobId) -> Vec<u32> {
        let Some(job) = self.state.jobs.get(&id) else { return Vec::new() };
        let is_published = |output: &u32| job.published.iter().any(|p| p.output == *output);
        let outputs = job.spec.work.output_numbers();
        let is_wanted = |output: &u32| job.stage_of_output(*output).is_none_or(|stage| !stage.dropped);
        let made = outputs.filter(|output| job.made(*output).is_some() && is_wanted(output));
        made.filter(|output| !is_published(output)).collect()
    }

    fn is_complete(&self, id: JobId) -> bool {
        if self.runs.get(&id).is_none_or(|run| run.open > 0) {
            return false;
        }
        let Some(job) = self.state.jobs.get(&id) else { return false };
        let is_wanted = |output| job.stage_of_output(output).is_none_or(|s| !s.dropped);
        let wanted = job.spec.work.output_numbers().filter(|output| is_wanted(*output)).count();
        job.published.len() == wanted
    }

    /// Has the depot drop what a set was packaged from. A crash may have lost the request, so it is repeated at a start.
    pub(super) fn drop_spent_parts(&mut self, turn: &mut Turn, id: JobId) {
        let attempts = self.state.jobs.get(&id).map_or_else(Vec::new, |job| job.spent_parts());
        if !attempts.is_empty() {
            self.command(turn, Command::DropStaged { attempts });
        }
    }

    /// Ends a job: what runs is stopped, what is staged and not published is dropped, the job leaves for the archive.
    pub(super) fn end_job(&mut self, turn: &mut Turn, id: JobId, state: JobState, failure: Option<Failure>) {
        if !self.state.jobs.contains_key(&id) {
            return;
        }
        let run = self.leave_run(id);
        self.note_room();
        let job = &self.state.jobs[&id];
        let (tenant, accepted_at) = (job.tenant.clone(), job.accepted_at);
        let mut staged: Vec<AttemptId> = Vec::new();
        if state == JobState::Succeeded {
            // Once more: what a depot that was away was asked to drop may have been forgotten since.
            staged.extend(job.spent_parts());
        } else {
            let mut first = 0;
            for stage in job.stages.iter() {
                let range = first..first + stage.count;
                first = range.end;
                if !stage.step.kind().leaves_file() {
                    continue;
                }
                let own = &job.tasks[range.start as usize..range.end as usize];
                staged.extend(own.iter().filter_map(|task| Some(task.success.as_ref()?.attempt)));
                staged.extend(run.live.range(range).flat_map(|(_, live)| live).map(|l| l.attempt));
            }
        }
        let at = turn.now.wall;
        self.emit(turn, Record::JobEnded { job: id, state, failure: failure.clone(), at });
        for (index, live) in run.live.iter().flat_map(|(i, live)| live.iter().map(move |l| (*i, l))) {
            self.forget_stall(TaskId { job: id, index }, live.attempt);
            self.stop_attempt(turn, live.worker, live.attempt);
        }
        if !staged.is_empty() {
            self.command(turn, Command::DropStaged { attempts: staged });
        }
        let total_ms = at.0.saturating_sub(accepted_at.0);
        self.notify_for(turn, Some(tenant), Some(id), FarmNews::JobEnded { state, failure, total_ms });
        for to in run.rare().cancels.iter().copied() {
            let canceled = state == JobState::Canceled;
            let reply =
                if canceled { Reply::Canceled { job: id } } else { Reply::Refused(Refusal::NoJob(id)) };
            self.command(turn, Command::Answer { to, reply });
        }
    }
}

/// What tasks of a stage need of a node.
pub(super) fn signature_of(job: &Job, stage: &Stage) -> Signature {
    let output = stage.step.output().and_then(|output| job.spec.work.output(output));
    let codec = match stage.step {
        Step::Stream(StreamStep::Chunk) => VideoCodec::H264.name(),
        Step::Piece { output, .. } => {
            job.spec.work.output(output).map_or("", |spec| spec.settings.video_codec_name())
        }
        // Its pictures are encoded; it decodes them.
        Step::Join { .. } => "",
        _ => output.map_or("", |spec| spec.settings.video_codec_name()),
    };
    let needs = job.spec.needs.as_ref().map_or_else(Needs::default, |n| (**n).clone());
    let since = match (stage.step, &job.spec.work) {
        (Step::Stream(step), Work::Stream { settings, .. }) => {
            WireVersion::needed_for_set(step, Some(&settings.ladder))
        }
        _ => WireVersion::needed_for(stage.step.kind(), output.map(|spec| &spec.settings)),
    };
    let since =
        job.spec.work.inputs().map(|input| WireVersion::needed_for_input(Some(input))).fold(since, Ord::max);
    Signature::new(stage.slot, codec, stage.demand, needs, since)
}
