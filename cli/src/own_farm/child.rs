//! Child processes that end with this one.
//!
//! A child is started through `rushes own-child`, which asks the kernel for a signal at its parent's end and then becomes
//! the program itself. So the tie holds also when this process is killed, and the programs need not know of it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};

use crate::fault::Fault;

/// How long a child may take to end in good order.
const GRACE: Duration = Duration::from_secs(15);
/// Lines of a child's log that are shown when it fails.
const TAIL: usize = 8;

/// A running child.
#[derive(Debug)]
pub(super) struct Child {
    what: &'static str,
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts a program whose output goes to a log. `signal` (`term` or `kill`) is what it gets when this process ends.
    pub(super) fn start(
        what: &'static str,
        program: &Path,
        arguments: &[OsString],
        signal: &str,
        log: &Path,
    ) -> Result<Self, Fault> {
        let fails = |e| Fault::local(format!("cannot start {}", program.display()), e);
        let own = std::env::current_exe().map_err(fails)?;
        let out = File::options().create(true).append(true).open(log).map_err(fails)?;
        let process = Command::new(own)
            .args(["own-child", &std::process::id().to_string(), signal])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(fails)?)
            .stderr(out)
            // Ctrl-C at the terminal is for this process alone, which then stops its children in order.
            .process_group(0)
            .spawn()
            .map_err(fails)?;
        Ok(Self { what, process, log: log.to_owned() })
    }

    /// Goes on while it runs; otherwise tells how it ended, with the end of its log.
    pub(super) fn check(&mut self) -> Result<(), Fault> {
        let status = match self.process.try_wait() {
            Ok(None) => return Ok(()),
            Ok(Some(status)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n  ");
        Err(Fault::Local(format!(
            "the {} that this command started has ended ({status}), so nothing more comes of it; run the command again, or see the end of {}:\n  {tail}",
            self.what,
            self.log.display()
        )))
    }

    /// Asks it to end and waits; kills it when it takes too long.
    pub(super) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while let Ok(None) = self.process.try_wait() {
            if Instant::now() > deadline {
                self.process.kill().ok();
                self.process.wait().ok();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, signal).ok();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            self.stop();
        }
    }
}

/// Becomes a program that gets a signal when `parent` ends. Returns only when that fails.
pub(crate) fn become_child(parent: i32, signal: &str, program: &[OsString]) -> Fault {
    let signal = if signal == "kill" { Signal::KILL } else { Signal::TERM };
    if let Err(error) = set_parent_process_death_signal(Some(signal)) {
        return Fault::local("cannot tie a child to its parent", error);
    }
    // The parent may have ended before the kernel was asked.
    if getppid() != Pid::from_raw(parent) {
        return Fault::Local("the parent is gone".to_owned());
    }
    let Some((name, arguments)) = program.split_first() else {
        return Fault::Usage("no program is named".to_owned());
    };
    Fault::local(
        format!("cannot run {}", Path::new(name).display()),
        Command::new(name).args(arguments).exec(),
    )
}
