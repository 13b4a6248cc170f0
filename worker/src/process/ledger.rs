//! Ids of running task processes on disk, so that a worker can end what a killed predecessor left over.
//!
//! Task processes end by themselves with their worker; this is for one that cannot, because it is stopped or hangs in
//! the kernel. A process is named by id, start time and boot, so that a reused id is never mistaken for it. A note that is
//! done with is kept for the next process, as making and removing a file costs more than a small task process does.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::usage;

/// Most notes that are kept for later processes.
const MOST_SPARE: usize = 64;

/// The directory of notes.
#[derive(Debug, Clone)]
pub struct Ledger {
    dir: PathBuf,
    boot: String,
    spare: Spare,
}

/// Notes about processes that are gone, for those to come.
#[derive(Debug, Clone, Default)]
struct Spare(Arc<Mutex<Vec<PathBuf>>>);

impl Spare {
    fn lock(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A note about one running process; void when dropped.
#[derive(Debug)]
pub struct Entry {
    path: PathBuf,
    spare: Spare,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut spare = self.spare.lock();
        if spare.len() < MOST_SPARE {
            spare.push(std::mem::take(&mut self.path));
        } else {
            drop(spare);
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Ledger {
    /// Opens the ledger and ends what a predecessor left running. Returns it and how many processes were ended.
    ///
    /// # Errors
    /// Where the directory cannot be made or read.
    pub fn open(dir: &Path) -> io::Result<(Self, usize)> {
        std::fs::create_dir_all(dir)?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let ledger = Self { dir: dir.to_owned(), boot: boot.trim().to_owned(), spare: Spare::default() };
        let mut ended = 0;
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if let Some(pid) = ledger.alive(&path) {
                // Its group first: it leads one of its own. Both fail harmlessly when it is gone by now.
                let _ = kill_process_group(pid, Signal::KILL);
                let _ = kill_process(pid, Signal::KILL);
                ended += 1;
            }
            std::fs::remove_file(&path)?;
        }
        Ok((ledger, ended))
    }

    /// Notes a process that has just been started.
    ///
    /// # Errors
    /// Where the note cannot be written.
    pub fn note(&self, pid: Pid) -> io::Result<Entry> {
        let path = self.dir.join(pid.as_raw_nonzero().to_string());
        let spare = self.spare.lock().pop();
        if let Some(spare) = spare {
            // Where it is gone, a new one is made.
            let _ = std::fs::rename(spare, &path);
        }
        std::fs::write(&path, self.mark(pid).unwrap_or_default())?;
        Ok(Entry { path, spare: self.spare.clone() })
    }

    fn mark(&self, pid: Pid) -> Option<String> {
        Some(format!("{} {}", usage::start_time(pid)?, self.boot))
    }

    /// The process that a note names, if that very process still lives.
    fn alive(&self, note: &Path) -> Option<Pid> {
        let pid = Pid::from_raw(note.file_name()?.to_str()?.parse().ok()?)?;
        let noted = std::fs::read_to_string(note).ok()?;
        (self.mark(pid)? == noted).then_some(pid)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    fn sleeper() -> (std::process::Child, Pid) {
        let child = Command::new("sleep").arg("1000").process_group(0).spawn().expect("sleep is there");
        let pid = Pid::from_child(&child);
        (child, pid)
    }

    #[test]
    fn notes_about_processes_that_are_gone_serve_those_that_come() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (ledger, _) = Ledger::open(dir.path()).expect("it opens");
        let pid = |n: usize| Pid::from_raw(i32::try_from(n).expect("it is small")).expect("it is positive");
        let notes = || std::fs::read_dir(dir.path()).expect("it is there").count();
        drop((1..=MOST_SPARE + 9).map(|n| ledger.note(pid(n)).expect("it is noted")).collect::<Vec<_>>());
        assert_eq!(notes(), MOST_SPARE, "the others are removed");
        let own = rustix::process::getpid();
        let entry = ledger.note(own).expect("it is noted");
        assert_eq!(notes(), MOST_SPARE);
        let note = dir.path().join(own.as_raw_nonzero().to_string());
        assert_eq!(std::fs::read_to_string(note).ok(), ledger.mark(own), "it names this process");
        drop(entry);
    }

    #[test]
    fn a_successor_ends_what_is_left_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (ledger, ended) = Ledger::open(dir.path()).expect("it opens");
        assert_eq!(ended, 0);
        let (mut left_over, pid) = sleeper();
        let (mut innocent, other) = sleeper();
        std::mem::forget(ledger.note(pid).expect("it is noted"));
        // The same id, but another start: as if the id had been reused.
        std::fs::write(dir.path().join(other.as_raw_nonzero().to_string()), "1 x").expect("it is written");

        let (_, ended) = Ledger::open(dir.path()).expect("it opens");
        assert_eq!(ended, 1);
        assert!(!left_over.wait().expect("it can be waited for").success());
        assert!(innocent.try_wait().expect("it can be asked").is_none(), "a reused id is left alone");
        innocent.kill().expect("it can be killed");
        innocent.wait().expect("it can be waited for");
    }
}
