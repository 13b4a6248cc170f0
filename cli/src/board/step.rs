//! One step that is under way, as a line on the board.

use std::cell::Cell;
use std::time::Instant;

use indicatif::ProgressBar;

use super::stages::left;
use super::{LINES_EVERY, words};

/// A step's line; it goes when the step is over.
#[derive(Debug)]
pub(crate) struct Step {
    bar: ProgressBar,
    lines: Option<Lines>,
}

/// The same where nobody sees a bar: lines now and then.
#[derive(Debug)]
struct Lines {
    name: String,
    began: Instant,
    last: Cell<Instant>,
}

impl Step {
    pub(super) fn new(bar: ProgressBar) -> Self {
        Self { bar, lines: None }
    }

    /// A step counted in thousandths that tells of itself in lines. Most steps are over before the first.
    pub(super) fn in_lines(bar: ProgressBar, name: String) -> Self {
        let now = Instant::now();
        Self { bar, lines: Some(Lines { name, began: now, last: Cell::new(now) }) }
    }

    pub(crate) fn set(&self, done: u64) {
        self.bar.set_position(done);
        if let Some(lines) = self.lines.as_ref().filter(|lines| lines.last.get().elapsed() >= LINES_EVERY) {
            lines.last.set(Instant::now());
            let eta = left(lines.began.elapsed(), done).map(words::eta);
            let eta = eta.map(|eta| format!("  ETA {eta}")).unwrap_or_default();
            say!("{}: {} %{eta}", lines.name, done / 10);
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
