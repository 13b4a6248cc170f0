//! One step that is under way, as a line on the board.

use indicatif::ProgressBar;

/// A step's line; it goes when the step is over.
#[derive(Debug)]
pub(crate) struct Step(pub(super) ProgressBar);

impl Step {
    pub(crate) fn set(&self, done: u64) {
        self.0.set_position(done);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
