//! Ids of running task processes on disk, so that a worker can end what a killed predecessor left over.
//!
//! Task processes end by themselves with their worker; this is for one that cannot, because it is stopped or hangs in
//! the kernel. A process is named by its id, the boot, and the time within which it was born, so that a reused id is never
//! mistaken for it. All notes are lines of one length in one file, written over in place: making, cutting and removing files
//! costs more than a small task process does, and so does asking the kernel for the very moment of a birth.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::usage;

/// The file in the ledger's directory.
const NAME: &str = "notes";
/// Bytes of a note: an id, two times, a boot's id, spaces, and the end of the line.
const NOTE: usize = 96;

/// The notes.
#[derive(Debug, Clone)]
pub struct Ledger {
    boot: String,
    lines: Arc<Lines>,
}

#[derive(Debug)]
struct Lines {
    file: File,
    free: Mutex<Free>,
}

/// Lines without a note: those behind the last that ever had one, and some before it.
#[derive(Debug, Default)]
struct Free {
    behind: u64,
    before: Vec<u64>,
}

impl Lines {
    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, line: u64, note: &str) -> io::Result<()> {
        let mut bytes = [b' '; NOTE];
        bytes[NOTE - 1] = b'\n';
        let room = bytes.get_mut(..note.len()).filter(|room| room.len() < NOTE);
        room.ok_or_else(|| io::Error::other("a note is longer than its line"))?
            .copy_from_slice(note.as_bytes());
        self.file.write_all_at(&bytes, line * NOTE as u64)
    }
}

/// A note about one running process; void when dropped.
#[derive(Debug)]
pub struct Entry {
    line: u64,
    lines: Arc<Lines>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        // One that stays names a process that is gone.
        let _ = self.lines.write(self.line, "");
        self.lines.free().before.push(self.line);
    }
}

impl Ledger {
    /// Opens the ledger and ends what a predecessor left running. Returns it and how many processes were ended.
    ///
    /// # Errors
    /// Where the directory cannot be made, or the notes cannot be read or removed.
    pub fn open(dir: &Path) -> io::Result<(Self, usize)> {
        std::fs::create_dir_all(dir)?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = boot.trim().to_owned();
        let path = dir.join(NAME);
        let notes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            notes => notes?,
        };
        let mut ended = 0;
        for pid in String::from_utf8_lossy(&notes).lines().filter_map(|note| alive(note, &boot)) {
            // Its group first: it leads one of its own. Both fail harmlessly when it is gone by now.
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = kill_process(pid, Signal::KILL);
            ended += 1;
        }
        let lines = Lines { file: File::create(&path)?, free: Mutex::default() };
        Ok((Self { boot, lines: Arc::new(lines) }, ended))
    }

    /// Notes a process that was started just now, not before `since` (in [`usage::now`]'s ticks).
    ///
    /// # Errors
    /// Where the note cannot be written.
    pub fn note(&self, pid: Pid, since: u64) -> io::Result<Entry> {
        let line = {
            let mut free = self.lines.free();
            free.before.pop().unwrap_or_else(|| {
                free.behind += 1;
                free.behind - 1
            })
        };
        let entry = Entry { line, lines: Arc::clone(&self.lines) };
        let note = format!("{} {since} {} {}", pid.as_raw_nonzero(), usage::now(), self.boot);
        self.lines.write(line, &note)?;
        Ok(entry)
    }
}

/// The process that a note names, if that very process still lives.
fn alive(note: &str, boot: &str) -> Option<Pid> {
    let mut words = note.split_ascii_whitespace();
    let pid = Pid::from_raw(words.next()?.parse().ok()?)?;
    let (since, until): (u64, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let born = usage::start_time(pid)?;
    (words.next().unwrap_or_default() == boot && (since..=until).contains(&born)).then_some(pid)
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
    fn lines_of_processes_that_are_gone_serve_those_that_come() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (ledger, _) = Ledger::open(dir.path()).expect("it opens");
        let pid = |n: i32| Pid::from_raw(n).expect("it is positive");
        let notes = || std::fs::read_to_string(dir.path().join(NAME)).expect("it is there");
        let ids = || -> Vec<String> {
            notes().lines().filter_map(|note| note.split(' ').next().map(ToOwned::to_owned)).collect()
        };
        let mut entries: Vec<_> = (1..=3).map(|n| ledger.note(pid(n), 0).expect("it is noted")).collect();
        assert_eq!(ids(), ["1", "2", "3"]);
        drop(entries.remove(1));
        assert_eq!(ids(), ["1", "", "3"]);
        let entry = ledger.note(pid(1_234_567), u64::MAX).expect("the longest that there may be is noted");
        assert_eq!(ids(), ["1", "1234567", "3"]);
        assert_eq!(notes().len(), 3 * NOTE);
        drop((entry, entries));
        assert_eq!(notes().trim(), "");
    }

    #[test]
    fn a_successor_ends_what_is_left_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (ledger, ended) = Ledger::open(dir.path()).expect("it opens");
        assert_eq!(ended, 0);
        let since = usage::now();
        let (mut left_over, pid) = sleeper();
        let (mut innocent, other) = sleeper();
        std::mem::forget(ledger.note(pid, since).expect("it is noted"));
        // The same id, but another start: as if the id had been reused.
        std::mem::forget(ledger.note(other, usage::now() + 1).expect("it is noted"));

        let (_, ended) = Ledger::open(dir.path()).expect("it opens");
        assert_eq!(ended, 1);
        assert!(!left_over.wait().expect("it can be waited for").success());
        assert!(innocent.try_wait().expect("it can be asked").is_none(), "a reused id is left alone");
        let (_, ended) = Ledger::open(dir.path()).expect("it opens");
        assert_eq!(ended, 0, "its note went with the first look");
        innocent.kill().expect("it can be killed");
        innocent.wait().expect("it can be waited for");
    }
}
