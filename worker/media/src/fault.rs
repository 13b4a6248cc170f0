//! From GStreamer's errors to failures that a user can act on.

use std::io::Read;
use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::failure::{Failure, FailureCode};

use crate::sequence::Sequence;

/// Which side of an operation a pipeline is on: an error while reading is the input's, one while writing is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Input,
    Output,
}

/// Advice for a file that no demuxer knows.
const UNREADABLE: &str = "check that the file is complete and is audio or video, for example by playing it; a recording that was cut off before its index was written must be repaired first";

/// The failure behind an error message on a bus.
pub(crate) fn from_bus(side: Side, message: &gst::message::Error) -> Failure {
    let error = message.error();
    let place = message.src().map(|source| source.name().to_string()).unwrap_or_default();
    let detail = format!("{place}: {error}; {}", message.debug().unwrap_or_default());
    let text = first_line(error.message());
    if side == Side::Output {
        return if error.matches(gst::ResourceError::NoSpaceLeft) {
            Failure::new(FailureCode::NodeUnfit, "no space left on the node", "free disk space on the worker")
        } else {
            Failure::new(FailureCode::PipelineFailed, format!("the encoder stopped: {text}"), "try again")
        }
        .with_detail(&detail);
    }
    let failure = if let Some(kind) = error.kind::<gst::ResourceError>() {
        match kind {
            gst::ResourceError::NotFound => not_found(),
            gst::ResourceError::OpenRead | gst::ResourceError::NotAuthorized => Failure::new(
                FailureCode::InputForbidden,
                format!("the input cannot be opened: {text}"),
                "check the file's permissions",
            ),
            _ => Failure::new(
                FailureCode::InputDamaged,
                format!("the input cannot be read: {text}"),
                "copy the file again",
            ),
        }
    } else if let Some(kind) = error.kind::<gst::StreamError>() {
        from_stream_error(kind, &text)
    } else if error.matches(gst::CoreError::MissingPlugin) {
        unsupported(&text)
    } else {
        Failure::new(FailureCode::PipelineFailed, format!("reading the input failed: {text}"), "try again")
    };
    failure.with_detail(&detail)
}

fn from_stream_error(kind: gst::StreamError, text: &str) -> Failure {
    match kind {
        gst::StreamError::CodecNotFound => unsupported(text),
        gst::StreamError::Decrypt | gst::StreamError::DecryptNokey => Failure::new(
            FailureCode::Unsupported,
            "the input is encrypted",
            "remove its protection first; the farm holds no keys",
        ),
        gst::StreamError::Decode => damaged(text),
        _ => unreadable(&format!("the input is not media that can be read: {text}")),
    }
}

/// The failure for data that no decoder gets through.
pub(crate) fn damaged(text: &str) -> Failure {
    Failure::new(
        FailureCode::InputDamaged,
        format!("the input is damaged: {text}"),
        "get an undamaged copy of the file",
    )
}

/// The failure for a file that is no known media.
pub(crate) fn unreadable(text: &str) -> Failure {
    Failure::new(FailureCode::InputUnreadable, text, UNREADABLE)
}

/// The failure for a codec without a decoder.
pub(crate) fn unsupported(text: &str) -> Failure {
    Failure::new(
        FailureCode::Unsupported,
        format!("the input's format cannot be decoded: {text}"),
        "convert the file to a common codec, or install the missing GStreamer plugin on the workers",
    )
}

/// A failure of writing the output.
pub(crate) fn writing(error: &std::io::Error) -> Failure {
    let failure = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Failure::new(
            FailureCode::NodeUnfit,
            "no space left for the output on the node",
            "free disk space on the worker",
        ),
        std::io::ErrorKind::FileTooLarge => Failure::new(
            FailureCode::LimitReached,
            "the output grew past its size limit",
            "raise the task's file size limit, or encode with a higher CRF",
        ),
        _ => Failure::new(
            FailureCode::NodeUnfit,
            "the output cannot be written on the node",
            "check the worker's scratch directory",
        ),
    };
    failure.with_detail(&error.to_string())
}

/// What can be said of a file before it is parsed.
pub(crate) fn inspect(path: &Path) -> Result<u64, Failure> {
    if let (false, Some(sequence)) = (path.exists(), Sequence::at(path)?) {
        return Ok(sequence.size());
    }
    let facts = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => not_found(),
        _ => forbidden(&error),
    })?;
    if !facts.is_file() {
        let what = if facts.is_dir() { "a directory" } else { "not a regular file" };
        return Err(Failure::new(
            FailureCode::InputNotAFile,
            format!("the input is {what}"),
            "give one media file",
        ));
    }
    if facts.len() == 0 {
        return Err(Failure::new(
            FailureCode::InputEmpty,
            "the input has no bytes",
            "the copy or recording of this file was not finished; make it again",
        ));
    }
    let file = std::fs::File::open(path).map_err(|error| forbidden(&error))?;
    if let Some(list) = list_of_others(file) {
        return Err(Failure::new(
            FailureCode::Unsupported,
            format!("the input is {list}: a text that names other files"),
            "give the film that it was made of, or join its segments into one file first",
        ));
    }
    Ok(facts.len())
}

/// Bytes of a file in which a playlist or manifest says what it is.
const HEAD: u64 = 1024;

/// What a text is called that has no media but the names of files that have.
fn list_of_others(file: std::fs::File) -> Option<&'static str> {
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head).ok()?;
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&head).trim_ascii_start();
    let has = |word: &[u8]| text.windows(word.len()).any(|at| at == word);
    match text {
        _ if text.starts_with(b"#EXTM3U") => Some("a playlist"),
        _ if text.starts_with(b"v=0") && has(b"\nm=") => Some("a description of a session (SDP)"),
        _ if text.first() != Some(&b'<') => None,
        _ if has(b"<MPD") => Some("a DASH manifest"),
        _ if has(b"<SmoothStreamingMedia") => Some("a Smooth Streaming manifest"),
        _ => None,
    }
}

/// Of a picture that the decoders know and GStreamer has no colours for.
pub(crate) fn in_cmyk() -> Failure {
    Failure::new(
        FailureCode::Unsupported,
        "the input is a picture in CMYK, the colours of print",
        "convert it to RGB by its colour profile first",
    )
}

fn not_found() -> Failure {
    Failure::new(FailureCode::InputNotFound, "the input does not exist", "check the path")
}

fn forbidden(error: &std::io::Error) -> Failure {
    Failure::new(FailureCode::InputForbidden, "the input may not be read", "check the file's permissions")
        .with_detail(&error.to_string())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end_matches('.').to_lowercase()
}
