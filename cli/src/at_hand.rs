//! Media operations on this machine: each in a process of its own, `rushes-worker at-hand`, which closes itself in before
//! it opens a file. It ends with this process, as its standard input does.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rushes_shared::at_hand::{LINE_LIMIT, Order, Outcome, Reply, Work};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::sequence::FrameRate;
use rushes_shared::task::{ALLOCATOR, Progress, TaskLimits};
use rushes_shared::units::Bytes;

use crate::fault::Fault;
use crate::interrupt::Interrupt;
use crate::own_farm;
use crate::sequence;
use crate::transfer;

/// How often the interrupt and the time limit are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time without anything moving, in milliseconds.
const STALL_MS: u64 = 30_000;
/// Largest file that an operation makes.
const FILE_SIZE: Bytes = Bytes(16 << 30);
/// How much of what a process says on standard error is kept.
const TAIL: usize = 4096;

/// Does operations.
#[derive(Debug)]
pub(crate) struct Hands<'a> {
    program: PathBuf,
    time_limit: Duration,
    address_space: Bytes,
    frame_rate: Option<FrameRate>,
    interrupt: &'a Interrupt,
}

impl<'a> Hands<'a> {
    /// Finds the program that does them.
    pub(crate) fn new(
        time_limit_s: u64,
        memory_limit_mib: u64,
        frame_rate: Option<FrameRate>,
        interrupt: &'a Interrupt,
    ) -> Result<Self, Fault> {
        Ok(Self {
            program: own_farm::find("rushes-worker")?,
            time_limit: Duration::from_secs(time_limit_s),
            address_space: Bytes(memory_limit_mib << 20),
            frame_rate,
            interrupt,
        })
    }

    /// Does one operation on one file; the files that it makes are in `directory`.
    pub(crate) fn perform(
        &self,
        input: &Path,
        work: Work,
        directory: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, Fault> {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let limits = TaskLimits {
            wall_ms: u64::try_from(self.time_limit.as_millis()).unwrap_or(u64::MAX),
            cpu_s: self.time_limit.as_secs().saturating_mul(cores),
            address_space: self.address_space,
            file_size: FILE_SIZE,
            stall_ms: STALL_MS,
        };
        let (input, directory) = (absolute(input)?, absolute(directory)?);
        let order = Order { input, frame_rate: self.frame_rate, work, directory, limits };
        let mut process = Process::start(&self.program, &order)?;
        let deadline = Instant::now() + self.time_limit;
        loop {
            self.interrupt.check()?;
            if Instant::now() >= deadline {
                return Err(Fault::Media(Failure::new(
                    FailureCode::LimitReached,
                    format!("the operation was not done within {} s", self.time_limit.as_secs()),
                    "raise --time-limit",
                )));
            }
            match process.replies.recv_timeout(LOOK) {
                Ok(Reply::Progress(at)) => progress(at),
                Ok(Reply::Done(outcome)) => return Ok(outcome),
                Ok(Reply::Failed(failure)) => return Err(Fault::Media(failure)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Fault::Media(process.death())),
            }
        }
    }
}

/// A file that is named on the command line, as the process sees it; or the pattern of an image sequence.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Fault> {
    sequence::absolute(path)
}

/// A running operation; it is ended when this is dropped.
struct Process {
    child: Child,
    replies: Receiver<Reply>,
    last_words: Receiver<String>,
}

impl Process {
    fn start(program: &Path, order: &Order) -> Result<Self, Fault> {
        let fails = |e| Fault::local(format!("cannot run {}", program.display()), e);
        let mut child = Command::new(program)
            .arg("at-hand")
            .envs(ALLOCATOR)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(fails)?;
        let mut line = serde_json::to_vec(order).expect("an order consists of plain values");
        line.push(b'\n');
        let stdin = child.stdin.as_mut().expect("it was asked for");
        stdin.write_all(&line).map_err(fails)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (send, replies) = channel();
        std::thread::spawn(move || {
            let mut from = BufReader::new(stdout.expect("it was asked for"));
            let mut line = Vec::new();
            while (&mut from).take(LINE_LIMIT).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let Ok(reply) = serde_json::from_slice(&line) else { break };
                if send.send(reply).is_err() {
                    break;
                }
                line.clear();
            }
        });
        let (say, last_words) = channel();
        std::thread::spawn(move || {
            let mut from = stderr.expect("it was asked for");
            let (mut tail, mut piece) = (Vec::new(), [0; 1024]);
            while let Ok(count @ 1..) = from.read(&mut piece) {
                tail.extend_from_slice(&piece[..count]);
                let over = tail.len().saturating_sub(TAIL);
                tail.drain(..over);
            }
            drop(say.send(String::from_utf8_lossy(&tail).into_owned()));
        });
        Ok(Self { child, replies, last_words })
    }

    /// What became of a process that answered nothing.
    fn death(&mut self) -> Failure {
        let status = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        let said = self.last_words.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        let last = said.trim().lines().last().unwrap_or_default().to_owned();
        let message = match last.as_str() {
            "" => format!("the operation's process ended early ({status})"),
            last => format!("the operation's process ended early ({status}): {last}"),
        };
        let advice = "the file may need more memory or time than the limits leave, or it crashes a decoder: see --memory-limit, --time-limit";
        Failure::new(FailureCode::ProcessDied, message, advice).with_detail(&said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An empty directory beside a file that is to be made, which goes with what is left in it. It is locked for as long as somebody works
/// in it, so that the next one removes what a killed one has left.
#[derive(Debug)]
pub(crate) struct Workbench {
    path: PathBuf,
    _lock: Option<fs::File>,
}

/// How long nothing may have been written in an unlocked directory before it is a stray: one that was just made is not locked yet, and
/// not every file system shows another host's locks.
const STRAY_AFTER: Duration = Duration::from_hours(24);

impl Workbench {
    /// In the directory of `target`, so that results only have to be renamed.
    pub(crate) fn beside(target: &Path) -> Result<Self, Fault> {
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let name = format!(".rushes-{}.part", transfer::random_text()?);
        let parent = parent.unwrap_or(Path::new("."));
        sweep(parent);
        let path = parent.join(name);
        fs::create_dir(&path).map_err(|e| Fault::local(format!("cannot make {}", path.display()), e))?;
        // Where a file system has no locks, nobody removes it.
        let lock = fs::File::open(&path).ok().filter(|dir| dir.try_lock().is_ok());
        Ok(Self { path, _lock: lock })
    }

    /// For operations that make nothing.
    pub(crate) fn aside() -> Result<Self, Fault> {
        Self::beside(&std::env::temp_dir().join("x"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves a file that was made to its place.
    pub(crate) fn place(&self, name: &str, target: &Path, force: bool) -> Result<(), Fault> {
        // What a process answers is no path.
        let plain = Path::new(name).file_name() == Some(OsStr::new(name));
        let made = self.path.join(name);
        if !plain || !fs::symlink_metadata(&made).is_ok_and(|made| made.is_file()) {
            return Err(Fault::Local(format!("the operation names a file that it has not made: '{name}'")));
        }
        transfer::place(&made, target, force)
    }
}

impl Drop for Workbench {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).ok();
    }
}

/// Removes directories of those who were killed.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| {
            let random = name.strip_prefix(".rushes-").and_then(|name| name.strip_suffix(".part"));
            random.is_some_and(|text| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        });
        if is_ours
            && is_left(&entry.path())
            && let Ok(dir) = fs::File::open(entry.path())
            && dir.try_lock().is_ok()
        {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Whether a directory and all that is in it is old.
fn is_left(path: &Path) -> bool {
    let Ok(known) = fs::symlink_metadata(path) else { return false };
    let is_old = known.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age >= STRAY_AFTER);
    if !known.is_dir() || !is_old {
        return is_old;
    }
    fs::read_dir(path)
        .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| is_left(&entry.path()))))
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_a_killed_one_has_left_goes_with_the_next_and_what_is_worked_in_stays() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let aged = |path: &Path, by: Duration| {
            let times = FileTimes::new().set_modified(SystemTime::now() - by);
            fs::File::open(path).unwrap().set_times(times).unwrap();
        };
        let days = Duration::from_hours(48);
        let works = Workbench::beside(&target).unwrap();
        aged(works.path(), days);
        let named = |name: &str| dir.path().join(name);
        let killed = named(".rushes-00112233445566778899aabbccddeeff.part");
        let fresh = named(".rushes-ff112233445566778899aabbccddeeff.part");
        let foreign = named(".rushes-mine.part");
        for (path, age) in [(&killed, days), (&fresh, Duration::ZERO), (&foreign, days)] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("film.mp4"), "half").unwrap();
            aged(&path.join("film.mp4"), age);
            aged(path, days);
        }
        let next = Workbench::beside(&target).unwrap();
        assert!(!killed.exists());
        assert!(works.path().exists() && next.path().exists() && fresh.exists() && foreign.exists());
        drop((works, next));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
