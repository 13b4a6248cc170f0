//! The check of a package: what is on the disk is what the manifests say, and it can be decoded.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use rushes_shared::check::{Check, CheckLimit, CheckName, CheckUnit};
use rushes_shared::failure::{Failure, FailureCode};

use super::rendition::Made;
use super::{number, segment_name};
use crate::encode::gaps::{Gaps, ROUNDED_NS};
use crate::mp4::read::{Kind, ReadTrack};
use crate::note::{self, Branch, Interrupted, Note, Notes, Opening};
use crate::reader::{self, Feed, Wanted};
use crate::{damage, start};

/// Segments that may wait before the demuxer, in bytes.
const WAITING_BYTES: u64 = 8 << 20;

/// Whether each file that a playlist names is there; names are relative to the directories, of which the first that has a file counts.
pub(super) fn references(
    directories: &[&Path],
    playlist: &str,
    seen: &mut BTreeSet<String>,
) -> Result<(), Failure> {
    let place = |name: &str| directories.iter().map(|dir| dir.join(name)).find(|path| path.is_file());
    let path = place(playlist).ok_or_else(|| missing(playlist, playlist))?;
    let text = fs::read_to_string(&path).map_err(|_| missing(playlist, playlist))?;
    let folder = Path::new(playlist).parent().unwrap_or(Path::new(""));
    let quoted =
        text.lines().filter_map(|line| line.split_once("URI=\"")?.1.split_once('"').map(|(uri, _)| uri));
    let plain = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for uri in quoted.chain(plain) {
        let name = folder.join(uri).to_string_lossy().into_owned();
        if place(&name).is_none() {
            return Err(missing(playlist, &name));
        }
        if name.ends_with(".m3u8") {
            references(directories, &name, seen)?;
        }
        seen.insert(name);
    }
    Ok(())
}

fn missing(manifest: &str, name: &str) -> Failure {
    let lost = Check::judged(CheckName::References, CheckUnit::Count, CheckLimit::Exactly(0.0), 1.0);
    failed(lost.noting(format!("{manifest} names {name}, which is not there")).to_string())
}

/// Decodes every segment of a rendition as a player would, one after the other, and counts its frames.
pub(super) fn decodes(
    directory: &Path,
    (made, track): (&Made, &ReadTrack),
    checks: &mut Vec<Check>,
    beat: &mut dyn FnMut(u64),
) -> Result<(), Failure> {
    start::init()?;
    damage::take();
    let is_video = track.kind == Kind::Video;
    let (notes, waiting) = Notes::new();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let counter = Box::new(Counter { seen: Arc::clone(&seen), size: made.about.size, is_video });
    let wanted = if is_video {
        Wanted { video: Some(counter), ..Wanted::default() }
    } else {
        Wanted { audio: Some(counter), ..Wanted::default() }
    };
    let source = app::AppSrc::builder()
        .format(gst::Format::Bytes)
        .stream_type(app::AppStreamType::Stream)
        .block(true)
        .max_bytes(WAITING_BYTES)
        .build();
    let mut running = reader::open_from(source.upcast_ref(), wanted, &notes)?;
    let folder = directory.join(&made.about.name);
    let names: Vec<String> =
        std::iter::once("init.mp4".to_owned()).chain((1..=made.about.segments).map(segment_name)).collect();
    running.play()?;
    let pushing = std::thread::spawn(move || -> Result<(), String> {
        let push = || {
            for name in &names {
                let bytes = fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
                if source.push_buffer(gst::Buffer::from_mut_slice(bytes)).is_err() {
                    // Who reads has failed, and says so.
                    break;
                }
            }
            Ok(())
        };
        let pushed = push();
        let _ended = source.end_of_stream();
        pushed
    });
    let mut opening = Opening::new(&running, &notes);
    let branch = if is_video { Branch::Video } else { Branch::Audio };
    let mut look = || {
        opening.look();
        beat(seen.lock().unwrap_or_else(PoisonError::into_inner).count);
    };
    let ended = waiting.until(None, &mut look, |note| matches!(note, Note::Ended(ended) if *ended == branch));
    match ended {
        Ok(()) => {}
        Err(Interrupted::Failed(failure)) => {
            let undecoded = Check::judged(CheckName::Decode, CheckUnit::Count, CheckLimit::Exactly(0.0), 1.0);
            return keep(undecoded.of(&made.about.name).noting(failure.message), checks);
        }
        Err(Interrupted::Stalled | Interrupted::Deadline) => {
            running.abandon();
            return Err(note::stalled("the package's check"));
        }
    }
    drop(running);
    if let Ok(Err(unread)) = pushing.join() {
        return Err(failed(format!("{}/{unread}", made.about.name)));
    }
    let seen = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    let name = &made.about.name;
    let count = |name, limit, value| Check::judged(name, CheckUnit::Count, limit, value);
    if let Some(((width, height), at_ns)) = seen.other {
        // Of segments or an init.mp4 of another rung.
        for (check, found, told) in
            [(CheckName::Width, width, made.about.size.0), (CheckName::Height, height, made.about.size.1)]
        {
            let limit = CheckLimit::Exactly(told.into());
            let size = Check::judged(check, CheckUnit::Pixels, limit, found.into()).of(name).at(at_ns);
            keep(
                size.noting(format!("{name}/init.mp4 says {} x {}", made.about.size.0, made.about.size.1)),
                checks,
            )?;
        }
    }
    if is_video {
        let limit = CheckLimit::Exactly(number(made.about.packets));
        let frames = count(CheckName::Frames, limit, number(seen.count)).of(name);
        keep(if frames.has_failed() { frames.at(seen.last_ns) } else { frames }, checks)?;
    }
    // A picture may stay for as long as the packets say.
    let (check, limit_ns) = if is_video {
        let mut told = Gaps::default();
        for sample in &track.samples {
            told.picture(u64::try_from(track.ns(sample.pts)).unwrap_or(0));
        }
        (CheckName::VideoGap, told.longest().ns.saturating_add(ROUNDED_NS))
    } else {
        (CheckName::AudioGap, ROUNDED_NS)
    };
    let (gap, limit) = (seen.gaps.longest(), CheckLimit::AtMost(super::in_ms(limit_ns)));
    keep(Check::judged(check, CheckUnit::Ms, limit, super::in_ms(gap.ns)).of(name).at(gap.at), checks)?;
    let damage = damage::take();
    if damage.count > 0 {
        let first = damage.first.first().map_or("", String::as_str);
        let errors = count(CheckName::DecodingErrors, CheckLimit::AtMost(0.0), number(damage.count));
        keep(errors.of(name).noting(first), checks)?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    count: u64,
    last_ns: u64,
    /// Where the last sound ended.
    end_ns: Option<u64>,
    gaps: Gaps,
    /// The first frame whose size is not the one of the headers, and when it is shown.
    other: Option<((u32, u32), u64)>,
}

struct Counter {
    seen: Arc<Mutex<Seen>>,
    size: (u32, u32),
    is_video: bool,
}

impl Feed for Counter {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.count += 1;
        let at = sample.buffer().and_then(|buffer| reader::shown_at(sample, buffer));
        seen.last_ns = at.unwrap_or(seen.last_ns);
        match (at, sample.buffer()) {
            (Some(at), _) if self.is_video => seen.gaps.picture(at),
            (Some(at), Some(buffer)) => {
                if let Some(end) = seen.end_ns {
                    seen.gaps.nothing(end, at);
                }
                seen.end_ns = Some(at.saturating_add(reader::heard_for(sample, buffer)));
            }
            _ => {}
        }
        let side = |name| sample.caps()?.structure(0)?.get::<i32>(name).ok()?.try_into().ok();
        if let (Some(width), Some(height)) = (side("width"), side("height"))
            && (width, height) != self.size
            && seen.other.is_none()
        {
            seen.other = Some(((width, height), seen.last_ns));
        }
        Ok(())
    }

    fn end(&mut self) {}
}

/// Keeps a check that has not failed; one that has is the end.
pub(crate) fn keep(check: Check, checks: &mut Vec<Check>) -> Result<(), Failure> {
    if check.has_failed() {
        return Err(Failure { advice: advice(check.name).to_owned(), ..failed(check.to_string()) });
    }
    checks.push(check);
    Ok(())
}

/// What to do about a set that breaks this limit.
fn advice(check: CheckName) -> &'static str {
    match check {
        CheckName::Vmaf | CheckName::VmafWorst => {
            "the set was not published; encode with a lower rate factor or more bits, or change the limit"
        }
        CheckName::Loudness | CheckName::TruePeak => {
            "the set was not published; have the sound brought to a loudness, or change the limit"
        }
        CheckName::PeakBitrate | CheckName::Size => {
            "the set was not published; encode with fewer bits, or change the limit"
        }
        _ => "nothing was published; encode the rung again",
    }
}

/// A limit that is not kept.
pub(super) fn failed(message: String) -> Failure {
    Failure::new(FailureCode::CheckFailed, message, "nothing was published; encode the rung again")
}
