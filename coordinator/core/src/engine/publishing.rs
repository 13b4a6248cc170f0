//! Outputs come into their places, once each. What cannot come there now is tried again for a bounded time: work that is
//! finished waits for a disk that is full or a depot that is away, and not for ever.

use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::failure::{Failure, FailureClass};
use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::units::{MonoMs, WallMs};

use super::{Engine, Timer, Turn};
use crate::event::{Command, Decision, FarmNews};
use crate::job::Job;
use crate::record::Record;

/// How often a publish has failed.
#[derive(Debug, Default)]
pub(super) struct Tries {
    times: u32,
    /// When it did for the first time.
    since: Option<MonoMs>,
}

impl Engine {
    pub(super) fn publish(&mut self, turn: &mut Turn, id: JobId, output: u32) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        let Some(from) = staged(job, output) else { return };
        let is_left_out = job.stage_of_output(output).is_some_and(|stage| stage.dropped);
        if is_left_out || job.published.iter().any(|p| p.output == output) {
            return;
        }
        let to = job.output_place(output);
        self.runs.get_mut(&id).expect("a live job has a run").rare_mut().publishes_in_flight.insert(output);
        self.command(turn, Command::Publish { job: id, output, from, to });
    }

    pub(super) fn publish_ended(
        &mut self,
        turn: &mut Turn,
        id: JobId,
        output: u32,
        result: Result<(), Failure>,
    ) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        let Some(from) = staged(job, output) else { return };
        if job.published.iter().any(|p| p.output == output) {
            return;
        }
        match result {
            Ok(()) => {
                let (place, size) = (job.output_place(output), from.size);
                let name = job.spec.work.output(output).map(|spec| spec.name.clone());
                let artifact = Artifact { location: place.clone(), ..from };
                let at = turn.now.wall;
                self.emit(turn, Record::OutputPublished { job: id, output, artifact, at });
                let run = self.runs.get_mut(&id).expect("a live job has a run");
                let rare = run.rare_mut();
                rare.publishing.remove(&output);
                rare.publishes_in_flight.remove(&output);
                rare.held_up = None;
                self.notify(turn, Some(id), FarmNews::OutputPublished { output, name, place, size });
                self.advance(turn, id);
            }
            Err(failure) => {
                let run = self.runs.get_mut(&id).expect("a live job has a run");
                run.rare_mut().publishes_in_flight.remove(&output);
                let tries = run.rare_mut().publishing.entry(output).or_default();
                tries.times += 1;
                let held_ms = turn.now.mono.0 - tries.since.get_or_insert(turn.now.mono).0;
                let left_ms = self.policy.publish_hold_ms.saturating_sub(held_ms);
                let failure = match failure.class {
                    FailureClass::Permanent => failure,
                    _ if left_ms > 0 => return self.hold_up(turn, id, output, failure, left_ms),
                    _ => self.held_too_long(id, output, &failure),
                };
                if self.goes_on_without_output(turn, id, output, &from, &failure) {
                    return;
                }
                return self.end_job(turn, id, JobState::Failed, Some(failure));
            }
        }
        self.cancel_if_waiting(turn, id);
    }

    /// Has an output that may be put in its place later wait until it is tried again.
    fn hold_up(&mut self, turn: &mut Turn, id: JobId, output: u32, failure: Failure, left_ms: u64) {
        let name = self.output_name(id, output);
        let rare = self.runs.get_mut(&id).expect("a live job has a run").rare_mut();
        let doublings = rare.publishing.get(&output).map_or(0, |tries| tries.times.saturating_sub(1)).min(16);
        let backoff = self.policy.publish_retry_ms.saturating_mul(1 << doublings);
        // The last one comes when the time is over.
        let retry_ms = backoff.min(self.policy.retry_max_ms).min(left_ms);
        let until = WallMs(turn.now.wall.0.saturating_add(left_ms)).to_rfc3339();
        let message = format!(
            "output {name} is made and not in its place yet, and is tried again until {until}: {}",
            failure.message
        );
        rare.held_up = Some(Box::new(Failure { message, ..failure.clone() }));
        self.wake_at(turn.now.mono.plus(retry_ms), Timer::Publish(id, output));
        let failure = Box::new(failure);
        self.decided(turn, Some(id), Decision::OutputHeldUp { output, name, failure, retry_ms, left_ms });
        self.cancel_if_waiting(turn, id);
    }

    fn held_too_long(&self, id: JobId, output: u32, failure: &Failure) -> Failure {
        let message = format!(
            "output {} was made and could not be put in its place for {} s: {}",
            self.output_name(id, output),
            self.policy.publish_hold_ms / 1_000,
            failure.message
        );
        Failure::new(
            failure.code,
            message,
            "see to it that it can be written there, then use 'rushes job retry'",
        )
        .with_class(FailureClass::Permanent)
    }

    /// What people call an output; by its place where it has no name of its own.
    fn output_name(&self, id: JobId, output: u32) -> String {
        let Some(job) = self.state.jobs.get(&id) else { return output.to_string() };
        let named = job.spec.work.output(output).map(|spec| spec.name.to_string());
        named.unwrap_or_else(|| job.output_place(output).to_string())
    }
}

/// The staged file of an output.
fn staged(job: &Job, output: u32) -> Option<Artifact> {
    let artifact = job.made(output)?;
    debug_assert!(matches!(artifact.location, Location::Staged(..)));
    Some(artifact.clone())
}
