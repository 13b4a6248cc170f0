//! What of a source is missing in its output: what its index promised and it did not give, and streams without a place.

use rushes_shared::encode::EncodeSettings;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::MediaFacts;

use super::tally::Tally;

/// Frames that a source may lose at its start without being damaged: a recording that began between two key frames
/// has a few that nothing can decode.
const LOST_HEAD_NS: u64 = 1_500_000_000;

/// Whether the source gave what its index promised. A decoder that conceals damage still gives every frame; one that
/// gives less has met an end or a hole.
pub(crate) fn complete(source: &MediaFacts, frame_ns: u64, tally: &Tally) -> Result<(), Failure> {
    let promised = &source.video[0];
    if promised.frames == 0 || tally.frames >= promised.frames {
        return Ok(());
    }
    let missing = promised.frames - tally.frames;
    let frame = frame_ns.max(1);
    let length = tally.video_length();
    let late_start = promised.duration_ns.saturating_sub(length);
    let reaches_its_end = tally.video_end + 2 * frame >= promised.start_ns + promised.duration_ns;
    let head_ok = missing * frame <= LOST_HEAD_NS
        && late_start <= LOST_HEAD_NS + frame
        && tally.video_start.is_some_and(|start| start > promised.start_ns.saturating_add(frame / 2))
        && reaches_its_end;
    if head_ok {
        return Ok(());
    }
    let could = format!("{} of {} frames could be decoded", tally.frames, promised.frames);
    let (message, advice) = if reaches_its_end {
        // A hole: where it is has not been looked at.
        (format!("the input is damaged: {could}"), "get a complete copy".to_owned())
    } else {
        let at = seconds(tally.video_end);
        let advice = format!("get a complete copy; what is before {at} can be cut out and encoded");
        (format!("the input is damaged after {at}: {could}"), advice)
    };
    Err(Failure::new(FailureCode::InputDamaged, message, advice))
}

/// Sound that a source may lack against its index before it counts as damaged, in nanoseconds.
const LOST_SOUND_NS: u64 = 1_500_000_000;

/// The same of sound alone.
pub(super) fn heard_whole(source: &MediaFacts, tally: &Tally) -> Result<(), Failure> {
    let promised = source.audio.first().map_or(0, |audio| audio.duration_ns);
    let heard = tally.audio_length();
    if tally.audio_start.is_some() && heard + LOST_SOUND_NS >= promised {
        return Ok(());
    }
    Err(Failure::new(
        FailureCode::InputDamaged,
        format!(
            "the input is damaged: {} of {} of its sound could be decoded",
            seconds(heard),
            seconds(promised)
        ),
        "get a complete copy",
    ))
}

fn seconds(ns: u64) -> String {
    format!("{}.{} s", ns / 1_000_000_000, ns / 100_000_000 % 10)
}

/// Names the streams that the output has no place for.
pub(super) fn left_out(source: &MediaFacts, settings: &EncodeSettings) -> Option<String> {
    let beyond = |streams: usize, kept: bool| streams.saturating_sub(usize::from(kept));
    // Sound alone, or pictures alone, is what was asked for.
    let counts = [
        (beyond(source.video.len(), true), "video"),
        (beyond(source.audio.len(), true), "audio"),
        (if settings.video.is_some() { source.subtitles.len() } else { 0 }, "subtitle"),
    ];
    let named = counts.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}"));
    let named: Vec<String> = named.collect();
    (!named.is_empty())
        .then(|| format!("streams left out, as one video and one audio are kept: {}", named.join(", ")))
}

pub(super) fn no_sound() -> Failure {
    Failure::new(
        FailureCode::StreamMissing,
        "the input has no sound",
        "give a file with an audio stream; this output is of sound alone",
    )
}
