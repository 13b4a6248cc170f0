//! A file's facts, without decoding it.
//!
//! ```text
//! source     the file, or parts of it
//! sniff      first bytes -> container
//! headers    MP4, QuickTime, WAV, FLAC, MP3: codec configurations -> streams, where headers alone say all of it; else:
//! parse      filesrc ! parsebin: streams, codecs, caps, tags from the parsers; stops at once where an index has the rest
//! mp4, mkv   the container's own index -> frames, times, sizes, without touching the media
//! timing     else: every packet's time from the parsers, for as long as the time limit allows
//! picture    the first frame, decoded, only where no parser knows the pixel format
//! promise    what a file's head says of its end, held against what is there
//! ```
//! Image sequences are read by [`crate::sequence`].
//! Times are on the line that players use: after edit lists, zero at the container's start.

mod facts;
mod headers;
mod mkv;
mod mp4;
mod name;
mod parse;
mod picture;
mod promise;
mod range;
pub(crate) mod sniff;
mod source;
mod timing;

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::MediaFacts;

pub(crate) use mkv::begins_at;

use crate::sequence::{self, Sequence};
use crate::{fault, start};
pub(crate) use mp4::harmless_duration;
use parse::Parsed;
pub use promise::promise_kept;
pub(crate) use promise::reached;
use source::Source;

/// Longest time spent on counting packets where no index has their number. What was counted by then is scaled up.
const COUNTING: Duration = Duration::from_secs(3);

/// Reads a file's facts.
///
/// # Errors
/// `InputNotFound`, `InputForbidden`, `InputNotAFile`, `InputEmpty` before anything is parsed; `InputUnreadable` for
/// what is no media or lacks its index; `InputDamaged` and `Unsupported` where a demuxer says so.
pub fn probe(path: &Path) -> Result<MediaFacts, Failure> {
    if let Some(sequence) = Sequence::at(path)? {
        return sequence::facts(&sequence);
    }
    match probe_by_headers(path)? {
        Some(facts) => Ok(facts),
        None => probe_by_parsers(path),
    }
}

/// The same facts by headers alone, a fraction of a millisecond's work; `None` where they do not say all for sure.
///
/// # Errors
/// `InputNotFound`, `InputForbidden`, `InputNotAFile`, `InputEmpty`.
pub fn probe_by_headers(path: &Path) -> Result<Option<MediaFacts>, Failure> {
    start::init()?;
    fault::inspect(path)?;
    Ok(Source::whole(path).ok().and_then(|file| told_by_headers(&file)))
}

/// What a look at the parts of a file that are here says.
#[derive(Debug, Clone, PartialEq)]
pub enum PartsFound {
    /// All of its facts.
    Told(Box<MediaFacts>),
    /// These parts are wanted as well.
    Wants(Vec<Range<u64>>),
    /// Its headers do not say all for sure: the whole of it is needed.
    NeedsAll,
}

/// A file's facts by headers alone, out of the parts of it that `held` says lie in `path` at their places; `size_bytes` is what the
/// whole file has.
///
/// # Errors
/// Where GStreamer cannot be started.
pub fn probe_parts(path: &Path, size_bytes: u64, held: Vec<Range<u64>>) -> Result<PartsFound, Failure> {
    start::init()?;
    let Ok(file) = Source::parts(path, size_bytes, held) else { return Ok(PartsFound::NeedsAll) };
    let told = told_by_headers(&file);
    let wanted = file.wanted();
    Ok(match told {
        _ if !wanted.is_empty() => PartsFound::Wants(wanted),
        Some(facts) => PartsFound::Told(Box::new(facts)),
        None => PartsFound::NeedsAll,
    })
}

fn told_by_headers(file: &Source) -> Option<MediaFacts> {
    let container = sniff::of_source(file)?;
    let sound = match container {
        "mp4" | "mov" => return movie_by_headers(file, container),
        "wav" => headers::read_wave(file),
        "flac" => headers::read_flac(file),
        "mp3" => headers::read_mpeg(file),
        _ => None,
    }?;
    Some(facts::gather(container, file.length(), &sound.parsed, Some(&sound.index)))
}

fn movie_by_headers(file: &Source, container: &str) -> Option<MediaFacts> {
    let movie = mp4::movie(file)?;
    let index = mp4::movie_index(&movie)?;
    let parsed = headers::read_mp4(file, &movie, &index)?;
    let plain = index.fits(&parsed) && parsed.streams.len() <= facts::STREAMS;
    let facts = plain.then(|| facts::gather(container, file.length(), &parsed, Some(&index)))?;
    (facts.duration_ns > 0).then_some(facts)
}

/// The same facts by GStreamer's demuxers and parsers, which read any file.
///
/// # Errors
/// Those of [`probe`].
pub fn probe_by_parsers(path: &Path) -> Result<MediaFacts, Failure> {
    start::init()?;
    let size_bytes = fault::inspect(path)?;
    let container = sniff::container(path);
    let mut index = match container {
        "mp4" | "mov" => mp4::read(path),
        "matroska" | "webm" => mkv::read(path, COUNTING),
        _ => None,
    };
    let mut parsed = parse::run(path, index.is_none().then_some(COUNTING))?;
    if parsed.streams.len() > facts::STREAMS {
        return Err(too_many_streams(&parsed));
    }
    if container == "wav" && parsed.duration_ns == 0 {
        // GStreamer's reader gives up on an odd number of bytes with a pad byte behind.
        index = Source::whole(path).ok().and_then(|file| headers::read_wave(&file)).map(|sound| sound.index);
        parsed.seekable |= index.is_some();
    }
    let fits = |parsed: &Parsed| index.as_ref().is_some_and(|index: &facts::Index| index.fits(parsed));
    if !fits(&parsed) && !parsed.counted {
        parsed = parse::run(path, Some(COUNTING))?;
    }
    let index = index.as_ref().filter(|index| index.fits(&parsed));
    let mut facts = facts::gather(container, size_bytes, &parsed, index);
    if facts.video.is_empty() && facts.audio.is_empty() {
        return Err(nothing_inside(&parsed));
    }
    for (number, video) in facts.video.iter_mut().enumerate() {
        // No parser reads the colours of MPEG-2.
        let unseen = video.pixel_format.is_empty() || video.codec == "mpeg2video";
        if unseen && number == 0 {
            picture::complete(path, video);
        }
    }
    Ok(facts)
}

/// Length of the first video stream as an MP4 file's index has it, in nanoseconds.
pub(crate) fn indexed_video_length(path: &Path) -> Option<u64> {
    mp4::read(path)?.video.first().map(|timing| timing.duration_ns)
}

fn too_many_streams(parsed: &Parsed) -> Failure {
    let message =
        format!("the file has {} streams, at most {} are read", parsed.streams.len(), facts::STREAMS);
    Failure::new(
        FailureCode::Unsupported,
        message,
        "remove the streams that are not needed, and submit it again",
    )
}

fn nothing_inside(parsed: &Parsed) -> Failure {
    let text = match parsed.streams.first() {
        None => "the input holds no stream that could be read",
        Some(_) => "the input holds neither video nor sound",
    };
    fault::unreadable(text)
}
