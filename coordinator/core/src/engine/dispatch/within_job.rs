//! Which task of a job goes first, once it is the job's turn: finishing steps, then what more people watch, by what the job
//! says of its outputs and among equals by what is usual, then the longest, then in the order of the plan.

use std::cmp::Reverse;

use rushes_shared::job::Work;
use rushes_shared::media::MediaFacts;
use rushes_shared::task::SlotKind;

use crate::engine::Engine;
use crate::job::{Job, Stage};
use crate::order::Pick;
use crate::order::signature::SigIx;
use crate::planner;

/// Higher is sooner.
type Turn = (SlotKind, u8, u8, u64, Reverse<usize>);

fn turn_of(job: &Job, facts: Option<&MediaFacts>, at: usize, stage: &Stage) -> Turn {
    let output = stage.step.serves().and_then(|output| job.spec.work.output(output));
    let audience = output.map_or(0, |output| output.audience);
    let usual = output.zip(facts).map_or(0, |(output, facts)| planner::usual_turn(output, facts));
    (stage.slot, audience, usual, stage.prediction.wall_ms, Reverse(at))
}

/// What the outputs of a job are made from, where those compete with each other. The stages of a graph go in its own order,
/// and the chunks of a set make all of its rungs at once.
fn facts_of(job: &Job) -> Option<&MediaFacts> {
    matches!(job.spec.work, Work::Encode { .. }).then(|| job.probed().map(|(_, facts)| facts)).flatten()
}

impl Engine {
    /// The next job among signatures that `open` lets through, and of its signatures the one whose task goes first.
    pub(in crate::engine) fn pick(&self, open: impl Fn(&Self, SigIx) -> bool) -> Option<Pick> {
        let pick = self.order.pick(|sig| open(self, sig))?;
        let (Some(job), Some(run)) = (self.state.jobs.get(&pick.job), self.runs.get(&pick.job)) else {
            return Some(pick);
        };
        let Some(facts) = facts_of(job) else { return Some(pick) };
        let ready = run.stages.iter().zip(job.stages.iter()).enumerate();
        let ready = ready.filter(|(_, (run, _))| run.ready > 0 && open(self, run.sig));
        let first = ready.max_by_key(|(at, (_, stage))| turn_of(job, Some(facts), *at, stage));
        Some(first.map_or(pick, |(_, (run, _))| Pick { sig: run.sig, ..pick }))
    }

    /// The task of a job that is next for a signature.
    pub(in crate::engine) fn peek(&mut self, pick: Pick) -> Option<u32> {
        let job = self.state.jobs.get(&pick.job)?;
        let run = self.runs.get_mut(&pick.job)?;
        let facts = facts_of(job);
        let ready = run.stages.iter().zip(job.stages.iter()).enumerate();
        let ready = ready.filter(|(_, (run, _))| run.sig == pick.sig && run.ready > 0);
        let (at, _) = ready.max_by_key(|(at, (_, stage))| turn_of(job, facts, *at, stage))?;
        run.stages[at].peek(&job.tasks)
    }
}
