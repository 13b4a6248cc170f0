//! Staged files of earlier reigns that nobody tells of: their worker staged them and died, and the coordinator died before it
//! knew. They are looked for once the workers of the reign before are back, or are not waited for.

use std::collections::BTreeSet;

use rushes_shared::id::AttemptId;

use super::{Engine, Turn};
use crate::event::Command;

/// Most that are dropped in one reign; they are remembered, so that none is taken back. What is more goes in the next one, or by
/// its age.
const MOST_STRAYS: usize = 65_536;

impl Engine {
    /// Asks the depot what earlier reigns have left, from behind an attempt on.
    pub(super) fn look_for_strays(&mut self, turn: &mut Turn, after: Option<AttemptId>) {
        let before = self.state.epoch;
        self.command(turn, Command::FindStaged { before, after });
    }

    /// Drops what no task has, then asks for more.
    pub(super) fn staged_found(&mut self, turn: &mut Turn, attempts: &[AttemptId]) {
        let Some(last) = attempts.last() else { return };
        let mut strays: BTreeSet<AttemptId> =
            attempts.iter().copied().filter(|a| a.epoch < self.state.epoch).collect();
        for job in self.state.jobs.values() {
            for made in job.tasks.iter().filter_map(|task| task.success.as_ref()) {
                strays.remove(&made.attempt);
            }
        }
        for live in self.runs.values().flat_map(|run| run.live.iter()).flat_map(|(_, live)| live) {
            strays.remove(&live.attempt);
        }
        if !strays.is_empty() {
            self.strays.extend(&strays);
            self.command(turn, Command::DropStaged { attempts: strays.into_iter().collect() });
        }
        if self.strays.len() < MOST_STRAYS {
            self.look_for_strays(turn, Some(*last));
        }
    }
}
