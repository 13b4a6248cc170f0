//! What the tasks of an output that is made in pieces work on.

use rushes_shared::encode::VmafLimits;
use rushes_shared::id::AttemptId;
use rushes_shared::ladder::{LadderSettings, Pieces, pieces, split};
use rushes_shared::task::{JoinWork, StreamStep, StreamWork, TaskWork};

use super::{Job, Step};

impl Job {
    fn pieces_of(&self, output: u32, piece_s: u32) -> Option<Pieces> {
        let (_, source) = self.probed()?;
        pieces(&self.spec.work.output(output)?.settings, source, piece_s)
    }

    /// The work of a task that encodes a piece: a chunk of a ladder with one rung.
    pub(super) fn piece_work(&self, task: u32, output: u32, piece_s: u32) -> Option<TaskWork> {
        let (input, source) = self.probed()?;
        let plan = self.pieces_of(output, piece_s)?;
        let number = task - self.first_task_of(Step::Piece { output, piece_s })?;
        let range = *split(source, &plan.grid).get(number as usize)?;
        let settings =
            LadderSettings { grid: plan.grid, vmaf: VmafLimits::default(), ..LadderSettings::default() };
        let (input, source, rungs) = (input.clone(), source.clone(), vec![plan.rung_of_each()]);
        let work = Box::new(StreamWork::Chunk { input, source, range, settings, rungs });
        Some(TaskWork::Stream { work, output: StreamStep::Chunk.output() })
    }

    /// The work of the task that joins them.
    pub(super) fn join_work(&self, output: u32, piece_s: u32) -> Option<TaskWork> {
        let (input, source) = self.probed()?;
        let plan = self.pieces_of(output, piece_s)?;
        let (mut frames, mut pieces_ms, mut pieces) = (0_u64, 0_u64, Vec::new());
        for (part, usage) in self.parts_of(Step::Piece { output, piece_s }) {
            // Workers say these numbers.
            frames = frames.saturating_add(part.frames);
            pieces_ms = pieces_ms.saturating_add(usage.run_ms);
            pieces.push(part.artifact.clone());
        }
        Some(TaskWork::Join(Box::new(JoinWork {
            input: input.clone(),
            source: source.clone(),
            settings: self.settings_of(output)?,
            rung: plan.rung_of_each(),
            frames,
            pieces,
            pieces_ms,
            output: self.spec.work.output(output)?.name.clone(),
        })))
    }

    /// Attempts whose staged pieces nobody needs any more: those of outputs that are joined.
    pub(super) fn spent_pieces(&self) -> Vec<AttemptId> {
        let of_joined = |step: Step| match step {
            Step::Piece { output, .. } if self.made(output).is_some() => Some(step),
            _ => None,
        };
        let joined = self.stages.iter().filter_map(|stage| of_joined(stage.step));
        joined.flat_map(|step| self.parts_of(step)).filter_map(|(part, _)| part.artifact.attempt).collect()
    }
}
