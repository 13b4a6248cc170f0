//! What task processes write on their standard error, kept for people who ask why: `rushes job logs`.
//!
//! A file for each attempt, `logs/JOB/INDEX-ATTEMPT.log`, every piece behind the time at which it came. A thread of its own
//! writes them, as no stream shall wait for a disk; what it cannot take is counted and said in the file. Logs are no
//! state: they are not synced, they are left out of backups, and the oldest jobs' go first when there is too much.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rushes_shared::id::{AttemptId, JobId, TaskId};
use rushes_shared::units::WallMs;

use crate::settings::TaskLogSettings;

/// Pause between two looks for room; each reads the sizes of all logs.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Share of the limit that is left when old logs are removed, in percent.
const AFTER_SWEEP: u64 = 90;

/// What the smallest file, or a directory, takes of a disk.
const BLOCK: u64 = 4096;

/// What a log of so many bytes takes of the disk, with its share of a directory. Most logs are a few lines, so that their
/// bytes alone would say next to nothing.
fn taken(bytes: u64) -> u64 {
    if bytes == 0 { 0 } else { bytes.next_multiple_of(BLOCK) + BLOCK }
}

/// The logs of one attempt, as far as they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptLog {
    /// The task's index.
    pub task: u32,
    /// The try.
    pub attempt: String,
    /// Bytes in all.
    pub bytes: u64,
    /// Their end.
    pub text: String,
}

/// Takes logs in. Copies share the writer.
#[derive(Debug, Clone)]
pub struct TaskLogs {
    dir: PathBuf,
    /// `None` where none are kept.
    queue: Option<SyncSender<Piece>>,
    /// Attempts in an answer, at most.
    answer_attempts: usize,
    /// Bytes of an answer, at most.
    answer_bytes: u64,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Piece {
    task: TaskId,
    attempt: AttemptId,
    at: WallMs,
    text: String,
}

impl TaskLogs {
    /// Starts to write below `dir`, which is made when it is needed.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(dir: &Path, settings: &TaskLogSettings) -> io::Result<Self> {
        let lost = Arc::new(AtomicU64::new(0));
        let mut logs = Self::unwritten(dir, settings, Arc::clone(&lost));
        if settings.keep_bytes > 0 {
            let (queue, pieces) = sync_channel(settings.queue);
            let writer =
                Writer { dir: dir.to_owned(), settings: settings.clone(), kept: 0, swept_at: None, lost };
            std::thread::Builder::new().name("task-logs".to_owned()).spawn(move || writer.run(&pieces))?;
            logs.queue = Some(queue);
        }
        Ok(logs)
    }

    fn unwritten(dir: &Path, settings: &TaskLogSettings, lost: Arc<AtomicU64>) -> Self {
        let (answer_attempts, answer_bytes) = (settings.answer_attempts, settings.answer_bytes);
        Self { dir: dir.to_owned(), queue: None, answer_attempts, answer_bytes, lost }
    }

    /// Keeps a piece of an attempt's log. Never waits.
    pub fn keep(&self, task: TaskId, attempt: AttemptId, at: WallMs, text: String) {
        let Some(queue) = &self.queue else { return };
        if queue.try_send(Piece { task, attempt, at, text }).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The logs of a job's newest attempts, of each the last `tail` bytes, in the order of tasks and attempts; as many as
    /// an answer holds. Blocks for a disk.
    ///
    /// # Errors
    /// Where they cannot be read; a job without logs has none.
    pub fn read(&self, job: JobId, task: Option<u32>, tail: u64) -> io::Result<Vec<AttemptLog>> {
        let dir = self.dir.join(job.to_string());
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut newest = BTreeSet::new();
        for entry in entries {
            let name = entry?.file_name();
            let Some(key) = Key::of(&name.to_string_lossy()) else { continue };
            if task.is_none_or(|wanted| wanted == key.task) {
                newest.insert(key);
                if newest.len() > self.answer_attempts {
                    newest.pop_first();
                }
            }
        }
        let mut logs = Vec::new();
        let mut left = self.answer_bytes;
        for key in newest.into_iter().rev() {
            let (bytes, text) = last_bytes(&dir.join(key.file_name()), tail.min(left))?;
            logs.push((key.task, key, AttemptLog { task: key.task, attempt: key.attempt(), bytes, text }));
            left = left.saturating_sub(bytes.min(tail));
            if left == 0 {
                break;
            }
        }
        logs.sort_unstable_by_key(|(task, key, _)| (*task, *key));
        Ok(logs.into_iter().map(|(.., log)| log).collect())
    }
}

/// What a file's name says. A later attempt is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    epoch: u64,
    counter: u64,
    task: u32,
}

impl Key {
    fn of(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".log")?.split('-');
        let (task, epoch, counter) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { task: task.parse().ok()?, epoch: epoch.parse().ok()?, counter: counter.parse().ok()? })
    }

    fn attempt(self) -> String {
        format!("{}-{}", self.epoch, self.counter)
    }

    fn file_name(self) -> String {
        format!("{}-{}.log", self.task, self.attempt())
    }
}

fn last_bytes(path: &Path, tail: u64) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(tail)))?;
    let mut end = Vec::new();
    file.take(tail).read_to_end(&mut end)?;
    Ok((bytes, String::from_utf8_lossy(&end).into_owned()))
}

struct Writer {
    dir: PathBuf,
    settings: TaskLogSettings,
    /// What the logs of all jobs take of the disk.
    kept: u64,
    swept_at: Option<Instant>,
    lost: Arc<AtomicU64>,
}

impl Writer {
    fn run(mut self, pieces: &Receiver<Piece>) {
        self.kept = sizes(&self.dir).iter().map(|(_, bytes)| bytes).sum();
        let mut failing = false;
        while let Ok(piece) = pieces.recv() {
            match self.write(&piece) {
                Ok(()) => failing = false,
                // Said once: a full disk would fill the log as well.
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, dir = %self.dir.display(), "logs of tasks cannot be kept; work goes on");
                }
                Err(_) => {}
            }
        }
    }

    fn write(&mut self, piece: &Piece) -> io::Result<()> {
        let dir = self.dir.join(piece.task.job.to_string());
        let path = dir.join(format!("{}-{}.log", piece.task.index, piece.attempt));
        let before = fs::metadata(&path).map_or(0, |facts| facts.len());
        if before >= self.settings.attempt_bytes {
            return Ok(());
        }
        let mut text = String::new();
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            text.push_str(&format!("({lost} pieces of tasks' logs came too fast and are missing)\n"));
        }
        for line in piece.text.lines() {
            text.push_str(&format!("{} {line}\n", piece.at.to_rfc3339()));
        }
        if before + text.len() as u64 >= self.settings.attempt_bytes {
            text.push_str("(task_logs.attempt_bytes is reached; what follows is left out)\n");
        }
        let size = taken(before + text.len() as u64) - taken(before);
        if self.kept + size > self.settings.keep_bytes
            && self.swept_at.is_none_or(|at| at.elapsed() > SWEEP_EVERY)
        {
            self.swept_at = Some(Instant::now());
            self.sweep(size);
        }
        if self.kept + size > self.settings.keep_bytes {
            return Ok(());
        }
        fs::create_dir_all(&dir)?;
        OpenOptions::new().create(true).append(true).open(&path)?.write_all(text.as_bytes())?;
        self.kept += size;
        Ok(())
    }

    /// Removes the oldest jobs' logs, so that there is room for `size` and some more. Where that makes no room, nothing more is kept until a later look does.
    fn sweep(&mut self, size: u64) {
        let sizes = sizes(&self.dir);
        self.kept = sizes.iter().map(|(_, bytes)| bytes).sum();
        let most = self.settings.keep_bytes;
        let enough = (most / 100 * AFTER_SWEEP).min(most.saturating_sub(size));
        for (dir, bytes) in sizes {
            if self.kept <= enough {
                break;
            }
            // One that cannot be removed must not keep the others.
            match fs::remove_dir_all(&dir) {
                Ok(()) => self.kept -= bytes,
                Err(error) => tracing::warn!(%error, dir = %dir.display(), "old logs of a job stay"),
            }
        }
    }
}

/// Every job's directory and what it takes of the disk, oldest job first: a job's id begins with its time.
fn sizes(dir: &Path) -> Vec<(PathBuf, u64)> {
    let inside = |path: &Path| {
        let files = fs::read_dir(path).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|facts| taken(facts.len())).sum()
    };
    let mut jobs: Vec<(PathBuf, u64)> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().parse::<JobId>().is_ok())
        .map(|entry| (entry.path(), inside(&entry.path())))
        .collect();
    jobs.sort();
    jobs
}

#[cfg(test)]
mod tests {
    use rushes_shared::id::Epoch;

    use super::*;

    fn settings(keep_bytes: u64, attempt_bytes: u64) -> TaskLogSettings {
        TaskLogSettings { keep_bytes, attempt_bytes, queue: 64, answer_attempts: 3, answer_bytes: 1 << 20 }
    }

    fn task(job: u128, index: u32) -> TaskId {
        TaskId { job: JobId(job), index }
    }

    fn attempt(counter: u64) -> AttemptId {
        AttemptId { epoch: Epoch(3), counter }
    }

    /// A writer that has written these pieces.
    fn written(dir: &Path, settings: TaskLogSettings, pieces: Vec<(TaskId, u64, &str)>) -> TaskLogs {
        let logs = TaskLogs::unwritten(dir, &settings, Arc::default());
        let mut writer =
            Writer { dir: dir.to_owned(), settings, kept: 0, swept_at: None, lost: Arc::default() };
        for (task, counter, text) in pieces {
            let piece = Piece { task, attempt: attempt(counter), at: WallMs(0), text: text.to_owned() };
            writer.write(&piece).expect("a temporary directory can be written");
        }
        logs
    }

    #[test]
    fn attempts_are_read_in_their_order_and_a_tail_is_the_end() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let pieces = vec![
            (task(1, 10), 12, "later"),
            (task(1, 2), 9, "first try\nof two lines"),
            (task(1, 2), 11, "second try"),
            (task(2, 0), 1, "of another job"),
        ];
        let logs = written(dir.path(), settings(1 << 20, 1 << 20), pieces);
        let read = logs.read(JobId(1), None, 1 << 20).expect("readable");
        let order: Vec<_> = read.iter().map(|log| (log.task, log.attempt.as_str())).collect();
        assert_eq!(order, [(2, "3-9"), (2, "3-11"), (10, "3-12")]);
        assert_eq!(
            read[0].text,
            "1970-01-01T00:00:00.000Z first try\n1970-01-01T00:00:00.000Z of two lines\n"
        );
        let tail = logs.read(JobId(1), Some(10), 6).expect("readable");
        assert_eq!((tail.len(), tail[0].text.as_str(), tail[0].bytes), (1, "later\n", 31));
        assert_eq!(logs.read(JobId(7), None, 9).expect("none is no error"), Vec::new());
    }

    #[test]
    fn the_newest_attempts_are_read_whatever_their_tasks_number() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let pieces =
            vec![(task(1, 7), 1, "a"), (task(1, 8), 2, "b"), (task(1, 9), 3, "c"), (task(1, 0), 4, "d")];
        let mut logs = written(dir.path(), settings(1 << 20, 1 << 20), pieces);
        let tasks = |logs: &TaskLogs| {
            let read = logs.read(JobId(1), None, 1 << 10).expect("readable");
            read.iter().map(|log| log.task).collect::<Vec<_>>()
        };
        assert_eq!(tasks(&logs), [0, 8, 9]);
        logs.answer_bytes = 30;
        assert_eq!(tasks(&logs), [0, 9], "27 bytes each");
    }

    #[test]
    fn a_talkative_attempt_is_cut_and_the_oldest_job_makes_room() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let line = "x".repeat(100);
        let mut pieces = vec![(task(1, 0), 1, line.as_str()); 20];
        pieces.extend(vec![(task(2, 0), 2, line.as_str()); 20]);
        let logs = written(dir.path(), settings(3 * BLOCK, 600), pieces);
        assert_eq!(logs.read(JobId(1), None, 9).expect("readable"), Vec::new());
        let kept = &logs.read(JobId(2), None, 1 << 20).expect("readable")[0];
        assert!(kept.bytes < 800 && kept.text.ends_with("what follows is left out)\n"), "{kept:?}");
    }

    #[test]
    fn what_comes_too_fast_is_counted_and_said() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let logs = TaskLogs::start(dir.path(), &settings(1 << 20, 1 << 20)).expect("a thread");
        logs.lost.store(5, Ordering::Relaxed);
        logs.keep(task(1, 0), attempt(1), WallMs(0), "here".to_owned());
        let read = loop {
            let read = logs.read(JobId(1), None, 1 << 10).expect("readable");
            if read.first().is_some_and(|log| log.text.ends_with("here\n")) {
                break read;
            }
            std::thread::yield_now();
        };
        assert!(read[0].text.starts_with("(5 pieces"), "{read:?}");
    }
}
