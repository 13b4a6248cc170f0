//! The steps of a streaming set between an order's words and those of the task process.

use std::path::PathBuf;

use rushes_shared::artifact::Artifact;
use rushes_shared::task::{PartMade, SetMade, StreamWork, TaskValue};

use crate::process::stream::{LocalPart, LocalSet, LocalStream};

/// The same step on local files, which stand in the order of what the work reads.
pub(super) fn local(work: &StreamWork, files: Vec<PathBuf>, threads: Option<u32>) -> LocalStream {
    let mut files = files.into_iter();
    let mut next = || files.next().unwrap_or_default();
    match work.clone() {
        StreamWork::Sound { source, settings, .. } => LocalStream::Sound { input: next(), source, settings },
        StreamWork::Stills { source, .. } => LocalStream::Stills { input: next(), source },
        StreamWork::Chunk { source, range, settings, rungs, .. } => {
            let (input, bits, cuts) = (next(), Vec::new(), Vec::new());
            LocalStream::Chunk { input, source, range, settings, rungs, bits, cuts, threads }
        }
        StreamWork::MeanChunk { source, range, settings, rungs, bits, .. } => {
            let (input, cuts) = (next(), Vec::new());
            LocalStream::Chunk { input, source, range, settings, rungs, bits, cuts, threads }
        }
        StreamWork::CutChunk { source, range, settings, rungs, bits, cuts, .. } => {
            LocalStream::Chunk { input: next(), source, range, settings, rungs, bits, cuts, threads }
        }
        StreamWork::Scan { source, range, .. } => LocalStream::Scan { input: next(), source, range, threads },
        StreamWork::Package(work) => {
            let sound = work.sound.iter().chain(&work.more_sounds).map(|_| next()).collect();
            let stills = work.stills.as_ref().map(|_| next());
            LocalStream::Package { work, sound, stills, chunks: files.collect() }
        }
    }
}

/// What a step has made, once it is stored.
pub(super) fn part(done: LocalPart, artifact: Artifact) -> TaskValue {
    let LocalPart { frames, duration_ns, vmaf } = done;
    TaskValue::Part(PartMade { artifact, frames, duration_ns, vmaf })
}

/// The set, once it is stored.
pub(super) fn set(done: LocalSet, artifact: Artifact) -> TaskValue {
    TaskValue::Set(Box::new(SetMade {
        artifact,
        report: done.report,
        top: done.top,
        files: done.files,
        size_bytes: done.size_bytes,
        took: done.took,
        encoder: done.encoder,
    }))
}
