//! The task processes of a worker, found from outside as an operator would.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::program::exists;

/// Task processes that work on an attempt now: those that have gone from the worker's
/// scratch, where they wait, into an attempt's own directory, or into a room where it has no input.
#[must_use]
pub fn at_work(state_dir: &Path) -> Vec<Pid> {
    let (scratch, rooms) = (state_dir.join("scratch"), state_dir.join("rooms"));
    let at_work = |pid: &Pid| {
        let cwd = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
        cwd.is_ok_and(|dir| (dir.starts_with(&scratch) && dir != scratch) || dir.starts_with(&rooms))
    };
    all(state_dir).into_iter().filter(at_work).collect()
}

/// Every task process, waiting ones too.
#[must_use]
pub fn all(state_dir: &Path) -> Vec<Pid> {
    let notes = fs::read_to_string(state_dir.join("processes/notes")).unwrap_or_default();
    let pids = notes.lines().filter_map(|note| Pid::from_raw(note.split(' ').next()?.parse().ok()?));
    pids.filter(|pid| exists(*pid)).collect()
}

/// Sends a signal to a process that may be gone by now.
pub fn signal(pid: Pid, signal: Signal) {
    let _ = kill_process(pid, signal);
}
