//! The task process itself, made by a nursery, with what that has loaded.
//!
//! It waits for its one job, puts up its walls and only then works. Whatever happens to its worker, end of file on
//! standard input ends it at once.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use rushes_media as media;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::frame;
use rushes_shared::media::CheckReport;
use rushes_shared::task::{JoinWork, Phase, Progress};
use rustix::process::{Signal, getpid, kill_process};

use super::nursery::leave;
use super::protocol::{
    self, HeadFound, LocalEncoded, LocalParts, LocalResult, LocalWork, TaskProcessJob, TaskProcessReply,
};
use super::stream;
use crate::{bundle, sandbox};

/// Runs a task process with the media library.
///
/// # Errors
/// What went wrong before a job could be answered; the worker finds it at the end of standard error.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut replies = Replies(File::from(own_stdout()?));
    let mut control = File::from(rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?);
    let Some(job) = protocol::read::<TaskProcessJob>(&mut control)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let entered = sandbox::enter(&job.walls);
    // Half contained it says why, and waits for the end without a further step.
    watch(control);
    let result = match entered {
        Ok(walls) => {
            media::set_stall(Duration::from_millis(job.walls.limits.stall_ms));
            if let Some(rate) = job.frame_rate {
                media::set_frame_rate(rate);
            }
            replies.send(&TaskProcessReply::Contained(walls))?;
            perform(job.work, &mut replies)
        }
        Err(error) => LocalResult::Failed(error.failure()),
    };
    replies.send(&TaskProcessReply::Done(result))?;
    // The worker reads this process's use of CPU and memory, then closes the pipe.
    let (_never, wait) = mpsc::channel::<()>();
    let _ = wait.recv();
    Ok(ExitCode::SUCCESS)
}

/// Runs a task process whose nursery has let the media library go: it puts up its walls and ends.
pub(super) fn run_plain() -> ! {
    let code = match serve_plain() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    };
    leave(code)
}

fn serve_plain() -> anyhow::Result<()> {
    let mut replies = Replies(File::from(own_stdout()?));
    let mut control = File::from(rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?);
    let Some(job) = protocol::read::<TaskProcessJob>(&mut control)? else { return Ok(()) };
    anyhow::ensure!(job.work == LocalWork::Nothing, "this process has not loaded the media library");
    // Said in one breath, so that the worker is woken once.
    let said = match sandbox::enter_alone(&job.walls) {
        Ok(walls) => {
            let mut said = frame::encode(&TaskProcessReply::Contained(walls))?;
            said.extend(frame::encode(&TaskProcessReply::Done(LocalResult::Nothing))?);
            said
        }
        Err(error) => frame::encode(&TaskProcessReply::Done(LocalResult::Failed(error.failure())))?,
    };
    replies.0.write_all(&said)?;
    // Nothing goes on beside it that would need another thread to end it.
    let _end = protocol::read::<TaskProcessJob>(&mut control);
    Ok(())
}

/// Ends this process as soon as whoever gave it its job closes its end of the pipe, or dies.
pub(crate) fn watch(mut control: File) {
    let watcher = std::thread::Builder::new().name("control-pipe".to_owned()).spawn(move || {
        // Nothing is said after the job; whatever comes is the end.
        let _ = control.read(&mut [0]);
        let _ = kill_process(getpid(), Signal::KILL);
    });
    if watcher.is_err() {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

/// Closes what the worker's own parent may have left open; the worker's own files close by themselves.
pub(crate) fn close_inherited() -> io::Result<()> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in open {
        // The listing's own descriptor is among them and closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// Keeps standard output for replies and gives libraries that print there standard error instead.
pub(crate) fn own_stdout() -> io::Result<OwnedFd> {
    let own = rustix::io::fcntl_dupfd_cloexec(io::stdout().as_fd(), 3)?;
    rustix::stdio::dup2_stdout(io::stderr().as_fd())?;
    Ok(own)
}

/// How the line on standard error begins that names the encoder which is tried next.
pub(crate) const TRYING: &str = "trying the encoder ";

struct Replies(File);

impl Replies {
    fn send(&mut self, reply: &TaskProcessReply) -> Result<(), protocol::PipeError> {
        protocol::write(&mut self.0, reply)
    }

    fn progress(&mut self, progress: Progress) {
        if self.send(&TaskProcessReply::Progress(progress)).is_err() {
            // Nobody listens any more; the watcher ends this process.
            let _ = io::stderr().flush();
        }
    }
}

fn perform(work: LocalWork, replies: &mut Replies) -> LocalResult {
    let result = match work {
        LocalWork::Nothing => Ok(LocalResult::Nothing),
        LocalWork::Discover { hardware } => {
            let tell = &mut |element: &str| eprintln!("{TRYING}{element}");
            Ok(LocalResult::Discovered(media::discover_encoders(&hardware, tell)))
        }
        LocalWork::Probe { input } => media::probe(&input).map(LocalResult::Probed),
        LocalWork::Probes { inputs } => probes(&inputs, replies),
        LocalWork::Heads { files } => heads(files, replies),
        LocalWork::Encode { input, source, settings, output, threads, hardware } => {
            if let Some(extract) = &settings.extract {
                let job = media::ExtractJob { input: &input, source: &source, extract, output: &output };
                return take(&job, replies).map_or_else(LocalResult::Failed, LocalResult::Encoded);
            }
            let job = media::EncodeJob {
                input: &input,
                source: &source,
                settings: &settings,
                output: &output,
                threads,
            };
            encode_and_check(&job, hardware.as_deref(), replies).map(LocalResult::Encoded)
        }
        LocalWork::Join { work, input, pieces, output, threads } => {
            join_and_check(&work, &input, (&pieces, threads), &output, replies).map(LocalResult::Encoded)
        }
        LocalWork::Stream { work, output } => {
            stream::perform(&work, &output, &mut |progress| replies.progress(progress))
        }
    };
    result.unwrap_or_else(LocalResult::Failed)
}

/// Reads one file after another. What stands still after a file may still be there with all that it holds, so the rest is
/// left to another process.
fn probes(inputs: &[PathBuf], replies: &mut Replies) -> Result<LocalResult, Failure> {
    for input in inputs {
        let found = media::probe(input);
        let is_stuck = found.as_ref().is_err_and(|failure| failure.code == FailureCode::ProcessStalled);
        if replies.send(&TaskProcessReply::File(found)).is_err() || is_stuck {
            break;
        }
    }
    Ok(LocalResult::ProbedFiles)
}

/// Looks at the headers of one file after another.
fn heads(files: Vec<LocalParts>, replies: &mut Replies) -> Result<LocalResult, Failure> {
    for LocalParts { path, size, held } in files {
        let found = match media::probe_parts(&path, size, held)? {
            media::PartsFound::Told(facts) => HeadFound::Told(facts),
            media::PartsFound::Wants(parts) => HeadFound::Wants(parts),
            media::PartsFound::NeedsAll => HeadFound::NeedsAll,
        };
        if replies.send(&TaskProcessReply::Head(found)).is_err() {
            break;
        }
    }
    Ok(LocalResult::ProbedFiles)
}

/// Makes an output that is no rendition.
fn take(job: &media::ExtractJob<'_>, replies: &mut Replies) -> Result<LocalEncoded, Failure> {
    let made = media::extract(job, &mut |progress| replies.progress(progress))?;
    let failed = made.checks.iter().filter(|check| check.has_failed());
    let problems: Vec<String> = failed.map(ToString::to_string).collect();
    if !problems.is_empty() {
        return Err(not_passed(&problems));
    }
    let media_ms = job.source.duration_ns / 1_000_000;
    let speed = media_ms.saturating_mul(1_000) / made.took_ms.max(1);
    Ok(LocalEncoded {
        check: CheckReport {
            frames_decoded: made.found,
            frames_expected: made.planned,
            checks: made.checks,
            ..CheckReport::default()
        },
        facts: made.facts,
        encode_ms: made.took_ms,
        speed_permille: u32::try_from(speed).unwrap_or(u32::MAX),
        encoder: made.by.to_owned(),
    })
}

fn not_passed(problems: &[String]) -> Failure {
    Failure::new(
        FailureCode::CheckFailed,
        format!("the finished file did not pass its check: {}", problems.join("; ")),
        "it was not published; change the settings or their limits ([outputs.check]), or get an undamaged input",
    )
}

/// How far an encode is while its quality is measured, in thousandths.
const QUALITY_PERMILLE: u16 = 990;

fn encode_and_check(
    job: &media::EncodeJob<'_>,
    hardware: Option<&str>,
    replies: &mut Replies,
) -> Result<LocalEncoded, Failure> {
    let progress = &mut |progress| replies.progress(progress);
    let encoded = match hardware {
        Some(element) => media::encode_in_hardware(job, element, progress)?,
        None => media::encode(job, progress)?,
    };
    checked(job, encoded, replies)
}

/// Joins an output's pieces, in the current directory, and checks what came of it.
fn join_and_check(
    work: &JoinWork,
    input: &Path,
    (pieces, threads): (&[PathBuf], Option<u32>),
    output: &Path,
    replies: &mut Replies,
) -> Result<LocalEncoded, Failure> {
    let scratch = stream::directory("pieces")?;
    let name = stream::chunk_name(&work.rung);
    let mut files = Vec::with_capacity(pieces.len());
    for (at, piece) in pieces.iter().enumerate() {
        let file = scratch.join(format!("{at}-{name}"));
        bundle::take(piece, 1, &mut |path| (path.as_str() == name).then(|| file.clone()))?;
        files.push(file);
        // Where each of many pieces takes a while, that moves as well.
        let (media_ns, permille) = (at as u64, 0);
        replies.progress(Progress { phase: Phase::Running, media_ns, permille, ..Progress::default() });
    }
    let job = media::PiecedJob {
        input,
        source: &work.source,
        settings: &work.settings,
        pieces: &files,
        frames: work.frames,
        pieces_ms: work.pieces_ms,
        scratch: &scratch,
        output,
    };
    let encoded = media::join_output(&job, &mut |progress| replies.progress(progress))?;
    fs::remove_dir_all(&scratch).map_err(|error| stream::unwritable(&error))?;
    let (source, settings) = (&work.source, &work.settings);
    checked(&media::EncodeJob { input, source, settings, output, threads }, encoded, replies)
}

/// Checks what an encode has made.
fn checked(
    job: &media::EncodeJob<'_>,
    encoded: media::Encoded,
    replies: &mut Replies,
) -> Result<LocalEncoded, Failure> {
    for warning in &encoded.warnings {
        eprintln!("{warning}");
    }
    let seconds = encoded.encode_ms / 1000;
    let tenth = encoded.encode_ms / 100 % 10;
    eprintln!("{} frames encoded in {seconds}.{tenth} s by {}", encoded.frames, encoded.encoder);
    let progress = &mut |progress| replies.progress(progress);
    let mut check = media::check(job.output, job.source, job.settings, Some(&encoded), progress)?;
    if check.problems.is_empty() {
        let &media::EncodeJob { input, source, settings, output, threads } = job;
        let quality = media::QualityJob { input, source, output, settings, threads };
        // The check's share is over; what is compared now is told as its end.
        let mut step = |at: Progress| progress(Progress { permille: QUALITY_PERMILLE, eta_ms: None, ..at });
        let found = media::check_quality(&quality, &mut step)?;
        check.problems.extend(found.iter().filter(|check| check.has_failed()).map(ToString::to_string));
        check.checks.extend(found);
    }
    if !check.problems.is_empty() {
        return Err(not_passed(&check.problems));
    }
    eprintln!("checked: {} of {} frames decoded", check.frames_decoded, check.frames_expected);
    let facts = media::probe(job.output)?;
    Ok(LocalEncoded {
        facts,
        check,
        encode_ms: encoded.encode_ms,
        speed_permille: encoded.speed_permille,
        encoder: encoded.encoder,
    })
}
