//! A probe of several files: the facts of each on its own, written down as a line of JSON.
//!
//! ```text
//! files -> parts of their headers, of all at once -> one task process looks at them -> lines -> staged
//!   |         (more of them, a few times) <------------------+                           ^
//!   +-> else: fetched a few at a time -> a wave of them lies here -> one task process reads it
//!                                            (removed again) <--------------+
//! ```
//! See [`heads`](super::heads) for the former. The rest is fetched whole.
//! A wave ends at so many bytes, so that large files do not fill the node's disk. A process that dies or stands still has
//! not told of the file that it was at: that one is tried once more alone, and blamed where its process does not survive it
//! again; those behind it are read by another process.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rushes_shared::artifact::Artifact;
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{Phase, ProbedFiles, Progress, TaskValue, Usage};
use rushes_shared::view::{FailureView, FileFacts};
use tokio::time::Instant;

use super::heads::Heads;
use super::transfer::local_name;
use super::{Attempt, Room, Stop, Told, not_done, scratch};
use crate::metrics;
use crate::process::protocol::{LocalResult, LocalWork};

/// Files that are fetched at once.
const FETCHES: usize = 16;
/// No more files are begun to be fetched for a wave once so many bytes of it lie here or are on their way.
const WAVE_BYTES: u64 = 256 << 20;
/// Files of unknown size that are fetched at once: each may be as large as an input can be.
const UNSIZED: usize = 4;

/// A file that lies here.
pub(super) struct Local {
    /// Its place among the order's files.
    pub(super) at: usize,
    pub(super) path: PathBuf,
    pub(super) artifact: Artifact,
}

/// What is known of the order's files.
pub(super) struct Findings<'a> {
    pub(super) inputs: &'a [Artifact],
    lines: Vec<Option<FileFacts>>,
}

impl Findings<'_> {
    pub(super) fn note(&mut self, at: usize, seen: Option<&Artifact>, found: Result<MediaFacts, Failure>) {
        let (Some(line), Some(input)) = (self.lines.get_mut(at), self.inputs.get(at)) else { return };
        let (facts, failure) = match found {
            Ok(facts) => (Some(facts), None),
            Err(mut failure) => {
                // A task process may say what it likes, and many of these stand in one file.
                failure.clip();
                failure.detail.clear();
                (None, Some(FailureView::from(&failure)))
            }
        };
        *line = Some(FileFacts {
            input: input.location.to_string(),
            size_bytes: seen.and_then(|seen| seen.size).map(|size| size.0),
            hash: seen.and_then(|seen| seen.hash).map(|hash| hash.to_string()),
            facts,
            failure,
        });
    }

    fn done(&self) -> usize {
        self.lines.iter().flatten().count()
    }
}

impl Attempt<'_> {
    /// All of it.
    pub(super) async fn probes(
        &mut self,
        inputs: &[Artifact],
        dir: &Path,
        usage: &mut Usage,
        (room, started): (&mut Option<Room>, &mut Instant),
    ) -> Result<TaskValue, Stop> {
        let (in_dir, work_dir) = scratch::rooms(dir)?;
        let mut findings = Findings { inputs, lines: inputs.iter().map(|_| None).collect() };
        let mut heads = Heads::of(inputs, &in_dir);
        let mut rest = heads.others();
        // One that waits for room fetches meanwhile.
        let first = async {
            self.bring_parts(&mut heads, usage).await?;
            if heads.are_none() { self.wave(&mut rest, &in_dir, &mut findings).await } else { Ok(Vec::new()) }
        };
        let (mut wave, since) = tokio::try_join!(first, self.admitted(room))?;
        self.begins(since, started);
        if wave.is_empty() {
            self.look_at_heads(&mut heads, (&in_dir, &work_dir), usage, &mut findings).await?;
            rest.extend(heads.need_all());
            rest.make_contiguous().sort_unstable();
            wave = self.wave(&mut rest, &in_dir, &mut findings).await?;
        }
        loop {
            usage.bytes_in +=
                wave.iter().filter_map(|file| file.artifact.size).map(|size| size.0).sum::<u64>();
            self.read(wave, &in_dir, &work_dir, usage, &mut findings).await?;
            if rest.is_empty() {
                break;
            }
            wave = self.wave(&mut rest, &in_dir, &mut findings).await?;
        }
        let found = dir.join("facts.ndjson");
        let lines = findings.lines.into_iter().flatten().collect::<Vec<_>>();
        let failed = lines.iter().filter(|line| line.failure.is_some()).count();
        let artifact = self.store(&written(&found, &lines)?, usage).await?;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(TaskValue::ProbedFiles(ProbedFiles {
            artifact,
            read: number(lines.len() - failed),
            failed: number(failed),
        }))
    }

    /// Fetches the next files, in the order of their places. Those that nobody can fetch are told of and left out.
    async fn wave(
        &self,
        rest: &mut VecDeque<usize>,
        in_dir: &Path,
        findings: &mut Findings<'_>,
    ) -> Result<Vec<Local>, Stop> {
        let (bytes, unsized_) = (&AtomicU64::new(0), &AtomicUsize::new(0));
        let inputs = findings.inputs;
        let mut under_way = FuturesUnordered::new();
        let mut here = Vec::new();
        loop {
            while under_way.len() < FETCHES
                && bytes.load(Ordering::Relaxed) < WAVE_BYTES
                && unsized_.load(Ordering::Relaxed) < UNSIZED
                && let Some(at) = rest.pop_front()
            {
                unsized_.fetch_add(1, Ordering::Relaxed);
                under_way.push(self.bring_one(inputs, at, in_dir, (bytes, unsized_)));
            }
            let Some((at, brought)) = under_way.next().await else { break };
            match brought {
                Ok(local) => here.push(local),
                Err(Stop::Failed(failure)) if is_of_file(&failure) => findings.note(at, None, Err(failure)),
                Err(stop) => return Err(stop),
            }
        }
        here.sort_by_key(|local| local.at);
        Ok(here)
    }

    async fn bring_one(
        &self,
        inputs: &[Artifact],
        at: usize,
        in_dir: &Path,
        (bytes, unsized_): (&AtomicU64, &AtomicUsize),
    ) -> (usize, Result<Local, Stop>) {
        let input = &inputs[at];
        let path = in_dir.join(format!("{at}-{}", local_name(&input.location)));
        let (came, is_sized) = (AtomicU64::new(0), AtomicBool::new(false));
        let sized = |size: u64| {
            if !is_sized.swap(true, Ordering::Relaxed) {
                bytes.fetch_add(size, Ordering::Relaxed);
                unsized_.fetch_sub(1, Ordering::Relaxed);
            }
        };
        let progress = |now: u64, all: u64| {
            came.store(now, Ordering::Relaxed);
            sized(all.max(now));
        };
        let brought = self.bring(input, &path, &progress).await;
        sized(came.load(Ordering::Relaxed));
        metrics::bytes_fetched(came.into_inner());
        (at, brought.map(|artifact| Local { at, path, artifact }))
    }

    /// Has the files of a wave read, and removes them.
    async fn read(
        &self,
        wave: Vec<Local>,
        in_dir: &Path,
        work_dir: &Path,
        usage: &mut Usage,
        findings: &mut Findings<'_>,
    ) -> Result<(), Stop> {
        let mut left: VecDeque<Local> = wave.into();
        let mut is_alone = false;
        while !left.is_empty() {
            let count = if is_alone { 1 } else { left.len() };
            let inputs = left.iter().take(count).map(|local| local.path.clone()).collect();
            let before = left.len();
            let on_file = &mut |told| {
                // Whoever takes a process over may tell of more files than there are, or of something else.
                if let Told::File(found) = told
                    && left.len() + count > before
                    && let Some(local) = left.pop_front()
                {
                    findings.note(local.at, Some(&local.artifact), found);
                    self.report_files(findings);
                }
            };
            let (here, room) = (Some(in_dir.to_owned()), work_dir.to_owned());
            let ended =
                self.process_to_its_end(LocalWork::Probes { inputs }, here, room, usage, on_file).await?;
            let has_told = before - left.len();
            let cause = match ended {
                Ok(LocalResult::ProbedFiles) if has_told > 0 => None,
                Err(failure) => Some(*failure),
                // It cannot work here at all, or does not do what it was asked.
                Ok(other) => return Err(not_done(other).into()),
            };
            is_alone = match cause {
                None => false,
                Some(failure) if is_alone && has_told == 0 => {
                    if let Some(local) = left.pop_front() {
                        findings.note(local.at, Some(&local.artifact), Err(blamed(&failure)));
                    }
                    false
                }
                // Where all were told of, it died afterwards, which is nobody's fault.
                Some(_) => true,
            };
        }
        for entry in std::fs::read_dir(in_dir).into_iter().flatten().flatten() {
            // What cannot be removed goes with the attempt's directory.
            let _ = std::fs::remove_file(entry.path());
        }
        Ok(())
    }

    pub(super) fn report_files(&self, findings: &Findings<'_>) {
        let (done, all) = (findings.done() as u64, findings.inputs.len().max(1) as u64);
        let progress = Progress {
            phase: Phase::Running,
            frames: done,
            frames_total: all,
            permille: u16::try_from(done * 1000 / all).unwrap_or(1000),
            ..Progress::default()
        };
        self.report(self.meter.work(progress));
    }
}

/// Whether a file could not be fetched for a reason of its own, which another try would meet again.
fn is_of_file(failure: &Failure) -> bool {
    failure.class == FailureClass::Permanent
        || matches!(
            failure.code,
            FailureCode::InputNotFound
                | FailureCode::InputForbidden
                | FailureCode::OutsideRoots
                | FailureCode::InputNotAFile
                | FailureCode::InputEmpty
                | FailureCode::LimitReached
        )
}

/// What is told of a file that its process did not survive twice, the second time alone.
fn blamed(failure: &Failure) -> Failure {
    let message = format!("reading it ended its process twice, the second time alone: {}", failure.message);
    let advice = "the file breaks a decoder or parser; look at where it came from, and please report it";
    Failure::new(failure.code, message, advice).with_class(FailureClass::Permanent)
}

/// Writes the lines to a file that the task process cannot reach, and opens it.
fn written(path: &Path, lines: &[FileFacts]) -> Result<File, Failure> {
    let write = || -> std::io::Result<File> {
        let mut bytes = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
        }
        let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.write_all(&bytes)?;
        Ok(file)
    };
    write().map_err(|error| {
        let message = format!("what was found cannot be written down: {error}");
        Failure::new(
            FailureCode::NodeUnfit,
            message,
            "look at the worker's disk; the task is tried elsewhere",
        )
    })
}
