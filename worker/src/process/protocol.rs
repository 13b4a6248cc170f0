//! What worker and task process say to each other over the process's standard input and output.
//!
//! ```text
//! worker                         task process
//! Job                   ->
//!                       <-       Contained        limits are in force; from here on media may be parsed
//!                       <-       Progress … ; a File for each of several
//!                       <-       Done
//! (end of file)         ->       (killed by itself, at any point)
//! ```
//! Both ends are the same program, so there is one version. A reply is bounded like a message from outside: whoever
//! takes a task process over can write here.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::PathBuf;

use rushes_shared::encode::EncodeSettings;
use rushes_shared::failure::Failure;
use rushes_shared::frame::{self, FrameError, HEADER_LEN, Header, Message};
use rushes_shared::ladder::Scan;
use rushes_shared::media::{CheckReport, MediaFacts};
use rushes_shared::node::EncoderFact;
use rushes_shared::sequence::FrameRate;
use rushes_shared::task::{JoinWork, Progress, TaskLimits};
use serde::{Deserialize, Serialize};

use super::stream::{LocalPart, LocalSet, LocalStream};

/// Walls around one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Walls {
    /// Refuse to work without Landlock.
    pub require_landlock: bool,
    /// May be read: system files and the job's own input.
    pub read: Vec<PathBuf>,
    /// May be read and written beside `work_dir`.
    pub write: Vec<PathBuf>,
    /// The job's own directory: current, readable, writable.
    pub work_dir: PathBuf,
    /// Bounds that the kernel enforces; the wall limits are the worker's.
    pub limits: TaskLimits,
}

/// What a task process does, all paths local.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "made once per task")]
pub enum LocalWork {
    /// Nothing: shows that the walls stand.
    Nothing,
    /// Tries every known encoder.
    Discover {
        /// Elements that are used as hardware encoders, the best first.
        hardware: Vec<String>,
    },
    /// Reads a file's facts.
    Probe {
        /// The file.
        input: PathBuf,
    },
    /// Encodes a file and checks the result.
    Encode {
        /// The source.
        input: PathBuf,
        /// Its facts.
        source: MediaFacts,
        /// How.
        settings: EncodeSettings,
        /// The file to make.
        output: PathBuf,
        /// Threads that it may keep busy; `None` for every core.
        threads: Option<u32>,
        /// The hardware encoder's element; `None` for software.
        hardware: Option<String>,
    },
    /// Joins an output that was encoded in pieces, and checks it.
    Join {
        /// What it is made of; the files are these.
        work: Box<JoinWork>,
        /// The film.
        input: PathBuf,
        /// The pieces' bundles, in the film's order.
        pieces: Vec<PathBuf>,
        /// The file to make.
        output: PathBuf,
        /// Threads that it may keep busy; `None` for every core.
        threads: Option<u32>,
    },
    /// Does a step of a streaming set.
    Stream {
        /// Which.
        work: LocalStream,
        /// The file to make.
        output: PathBuf,
    },
    /// Reads the facts of several files, one after another, and tells of each as soon as it is known.
    Probes {
        /// The files.
        inputs: Vec<PathBuf>,
    },
    /// Looks at the headers of several files of which parts lie here, and tells of each as soon as it is known.
    Heads {
        /// The files.
        files: Vec<LocalParts>,
    },
}

/// A file of which parts lie here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalParts {
    /// Where they lie, at their places.
    pub path: PathBuf,
    /// Size of the whole file, in bytes.
    pub size: u64,
    /// Which parts those are.
    pub held: Vec<Range<u64>>,
}

/// What a look at a file's headers says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum HeadFound {
    /// All of its facts.
    Told(Box<MediaFacts>),
    /// These parts are wanted as well.
    Wants(Vec<Range<u64>>),
    /// The whole file is needed.
    NeedsAll,
}

/// Worker to task process: the one job of its life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskProcessJob {
    /// What to put up first.
    pub walls: Walls,
    /// Pictures a second, where the input is an image sequence of which that was said.
    pub frame_rate: Option<FrameRate>,
    /// What to do then.
    pub work: LocalWork,
}

/// What an encode left behind, before it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocalEncoded {
    /// What a probe of the output says.
    pub facts: MediaFacts,
    /// What its check found.
    pub check: CheckReport,
    /// Wall time of the encode alone, in milliseconds.
    pub encode_ms: u64,
    /// Media time per wall time of the encode alone, in thousandths.
    pub speed_permille: u32,
    /// The encoder, with its library's version where known.
    pub encoder: String,
}

/// How a job ended in its process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum LocalResult {
    /// Of [`LocalWork::Nothing`].
    Nothing,
    /// Of a discovery.
    Discovered(Vec<EncoderFact>),
    /// Of a probe.
    Probed(MediaFacts),
    /// Of an encode.
    Encoded(LocalEncoded),
    /// Of a step of a streaming set but the package.
    Part(LocalPart),
    /// Of the package of a streaming set.
    Set(Box<LocalSet>),
    /// Of a scan.
    Scanned(Scan),
    /// Of anything that failed in an ordinary way.
    Failed(Failure),
    /// Of a probe of several files: what was found was said before, file by file.
    ProbedFiles,
}

/// Task process to worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum TaskProcessReply {
    /// The walls stand; what they are made of, such as `landlock-v7 seccomp rlimits`.
    Contained(String),
    /// How far the work has come; phase, media time, frames, speed are filled in.
    Progress(Progress),
    /// What was found in the next of several files.
    File(Result<MediaFacts, Failure>),
    /// What the headers of the next of several files say.
    Head(HeadFound),
    /// The end. The process waits for end of file after it, so that its use of memory and CPU can be read.
    Done(LocalResult),
}

impl Message for TaskProcessJob {
    const KIND: u16 = 16;
    const VERSION: u16 = 1;
    const LIMIT: u32 = 1 << 20;
}

impl Message for TaskProcessReply {
    const KIND: u16 = 17;
    const VERSION: u16 = 1;
    const LIMIT: u32 = 1 << 20;
}

/// A message that could not be passed over a pipe.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    /// The pipe failed.
    #[error("the pipe between worker and task process failed: {0}")]
    Io(#[from] io::Error),
    /// The bytes are no message.
    #[error("worker and task process do not understand each other: {0}")]
    Frame(#[from] FrameError),
}

/// Reads one message; `None` at a clean end of file.
///
/// # Errors
/// [`PipeError`].
pub fn read<M: Message>(from: &mut impl Read) -> Result<Option<M>, PipeError> {
    let mut header = [0; HEADER_LEN];
    match from.read(&mut header[..1])? {
        0 => return Ok(None),
        _ => from.read_exact(&mut header[1..])?,
    }
    let header = Header::from_bytes(header);
    header.expect::<M>()?;
    let mut payload = vec![0; header.length as usize];
    from.read_exact(&mut payload)?;
    Ok(Some(frame::decode(&payload)?))
}

/// Writes one message.
///
/// # Errors
/// [`PipeError`].
pub fn write<M: Message>(into: &mut impl Write, message: &M) -> Result<(), PipeError> {
    into.write_all(&frame::encode(message)?)?;
    Ok(into.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_pass_and_a_torn_one_is_an_error() {
        let reply = TaskProcessReply::Contained("landlock-v7".into());
        let mut pipe = Vec::new();
        write(&mut pipe, &reply).expect("memory does not fail");
        let mut from = pipe.as_slice();
        assert_eq!(read(&mut from).expect("it is whole"), Some(reply));
        assert_eq!(read::<TaskProcessReply>(&mut from).expect("a clean end"), None);
        assert!(read::<TaskProcessReply>(&mut &pipe[..pipe.len() - 1]).is_err());
        assert!(read::<TaskProcessJob>(&mut pipe.as_slice()).is_err(), "another kind");
    }
}
