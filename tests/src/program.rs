//! A program that a test starts, watches and kills.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::wait::{SOON, until};

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
    /// Where this start's part of the log begins.
    begin: usize,
}

impl Program {
    /// Starts a program whose output goes to the end of `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(mut command: Command, log: &Path) -> Self {
        let begin = fs::metadata(log).map_or(0, |m| usize::try_from(m.len()).expect("logs are small"));
        let file = OpenOptions::new().create(true).append(true).open(log).expect("the log can be written");
        let again = file.try_clone().expect("a file can be shared");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(again).spawn();
        let child = child.unwrap_or_else(|e| panic!("start {command:?}: {e}"));
        Self { child, log: log.to_owned(), begin }
    }

    /// Its process id.
    ///
    /// # Panics
    /// Never: a started process has one.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has said since this start.
    ///
    /// # Panics
    /// When the log is gone.
    #[must_use]
    pub fn said(&self) -> String {
        let all = fs::read(&self.log).expect("the log can be read");
        String::from_utf8_lossy(&all[self.begin.min(all.len())..]).into_owned()
    }

    /// Waits until it has said `text`.
    pub fn hear(&self, text: &str) {
        until(&format!("{} says '{text}'", self.log.display()), SOON, || {
            self.said().contains(text).then_some(())
        });
    }

    /// `kill -9`; it is gone when this returns.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().expect("a child can be waited for");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid(), signal);
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// Asks it to end in good order and waits for that.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended(SOON)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn ended(&mut self, limit: Duration) -> ExitStatus {
        until("the program ends", limit, || self.child.try_wait().expect("a child can be asked"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a short command to its end.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("run {command:?}: {e}"))
}

/// Runs a short command that has to succeed; its standard output.
///
/// # Panics
/// When it fails, with what it said.
#[must_use]
pub fn succeed(command: Command) -> String {
    let shown = format!("{command:?}");
    let done = run(command);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{shown} failed with {}:\n{said}", done.status);
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Runs a short command that has to fail; its exit code and what it said.
///
/// # Panics
/// When it succeeds.
#[must_use]
pub fn fail(command: Command) -> (Option<i32>, String) {
    let shown = format!("{command:?}");
    let done = run(command);
    let mut said = String::from_utf8_lossy(&done.stderr).into_owned();
    said.push_str(&String::from_utf8_lossy(&done.stdout));
    assert!(!done.status.success(), "{shown} should have failed; it said:\n{said}");
    (done.status.code(), said)
}

/// Whether a process exists that is no zombie.
#[must_use]
pub fn exists(pid: Pid) -> bool {
    let state = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let is_zombie =
        state.is_ok_and(|text| text.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")));
    test_kill_process(pid).is_ok() && !is_zombie
}
