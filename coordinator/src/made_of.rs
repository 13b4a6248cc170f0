//! What decides the result of a task, as a hash: whoever does the same again is given what was kept of it.

use rushes_shared::artifact::{Artifact, ContentHash, Location};
use rushes_shared::codec;
use rushes_shared::ladder::SetLimits;
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{StreamWork, TaskWork};

/// Of the parts of a streaming set, whose input is known by its content. Where the input lies, and for which attempt, is
/// no part of it; what makes it is told by the worker.
#[must_use]
pub(crate) fn made_of(work: &TaskWork) -> Option<ContentHash> {
    let TaskWork::Stream { work, .. } = work else { return None };
    let mut work = StreamWork::clone(work);
    // What the set has to keep decides whether it is published, not what its parts are.
    if let StreamWork::Chunk { settings, .. }
    | StreamWork::MeanChunk { settings, .. }
    | StreamWork::CutChunk { settings, .. } = &mut work
    {
        settings.limits = SetLimits::default();
    }
    let (StreamWork::Sound { input, source, .. }
    | StreamWork::Stills { input, source, .. }
    | StreamWork::Chunk { input, source, .. }
    | StreamWork::MeanChunk { input, source, .. }
    | StreamWork::CutChunk { input, source, .. }) = &mut work
    else {
        return None;
    };
    // What a probe finds follows from the content, but for tags that it meets early in one run and too late in another.
    *source = MediaFacts::default();
    let (size, hash) = (Some(input.size?), Some(input.hash?));
    let nowhere = Location::File("/".to_owned());
    // The rate of an image sequence is not in its content.
    let place = match input.location.frame_rate() {
        Some(rate) => Location::Sequence(Box::new(nowhere), rate),
        None => nowhere,
    };
    *input = Artifact { size, hash, ..Artifact::unseen(place) };
    let bytes = codec::encode(&work).ok()?;
    Some(ContentHash(*blake3::hash(&bytes).as_bytes()))
}

#[cfg(test)]
mod tests {
    use rushes_shared::encode::AudioSettings;
    use rushes_shared::units::Bytes;

    use super::*;

    fn sound(path: &str, hash: Option<u8>, bitrate_bps: u32) -> TaskWork {
        let hash = hash.map(|byte| ContentHash([byte; 32]));
        let location = path.parse().expect("a place");
        let input = Artifact { size: Some(Bytes(5)), hash, ..Artifact::unseen(location) };
        let settings = AudioSettings { bitrate_bps, ..AudioSettings::default() };
        let work = Box::new(StreamWork::Sound { input, source: MediaFacts::default(), settings });
        TaskWork::Stream { work, output: "sound.m4a".parse().expect("a name") }
    }

    #[test]
    fn the_same_work_on_the_same_content_is_the_same_wherever_it_lies() {
        let first = made_of(&sound("/a.mov", Some(1), 128_000));
        assert!(first.is_some());
        assert_eq!(first, made_of(&sound("/elsewhere/b.mov", Some(1), 128_000)));
        assert_ne!(first, made_of(&sound("/a.mov", Some(2), 128_000)), "another film");
        assert_ne!(first, made_of(&sound("/a.mov", Some(1), 96_000)), "other settings");
        let slow = made_of(&sound("file:///a.tar#frame_rate=24", Some(1), 128_000));
        let fast = made_of(&sound("file:///a.tar#frame_rate=25", Some(1), 128_000));
        assert!(slow != fast && slow != first, "the same pictures at another rate");
        assert_eq!(made_of(&sound("/a.mov", None, 128_000)), None, "content that nobody knows");
        assert_eq!(made_of(&TaskWork::Trial), None);
    }
}
