//! What came out of the decoders: the truth about the source, against which the output is checked.

use super::gaps::Gaps;

/// Counts and times of what was decoded and shown, in nanoseconds on the source's time line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Frames.
    pub(crate) frames: u64,
    /// First frame's time.
    pub(crate) video_start: Option<u64>,
    /// Last frame's time.
    pub(crate) video_last: u64,
    /// Last frame's end.
    pub(crate) video_end: u64,
    /// First sound's time.
    pub(crate) audio_start: Option<u64>,
    /// Last sound's end.
    pub(crate) audio_end: u64,
    /// Times in which no picture and no sound begins anew.
    pub(crate) video_gaps: Gaps,
    pub(crate) audio_gaps: Gaps,
}

impl Tally {
    pub(crate) fn frame(&mut self, at: u64, duration: u64) {
        self.frames += 1;
        self.video_gaps.picture(at);
        self.video_start = Some(self.video_start.map_or(at, |start| start.min(at)));
        self.video_last = self.video_last.max(at);
        self.video_end = self.video_end.max(at + duration);
    }

    /// Corrects the last frame's end: packets' durations are in decoding order, so that of the last frame shown is
    /// another frame's where the rate varies. The container's own length knows better.
    pub(crate) fn ends_at(&mut self, end: u64) {
        self.video_end = end.max(self.video_last + 1);
    }

    pub(crate) fn sound(&mut self, at: u64, duration: u64) {
        if self.audio_start.is_some() {
            self.audio_gaps.nothing(self.audio_end, at);
        }
        self.audio_start = Some(self.audio_start.map_or(at, |start| start.min(at)));
        self.audio_end = self.audio_end.max(at + duration);
    }

    /// From the first frame's start to the last one's end.
    pub(crate) fn video_length(&self) -> u64 {
        self.video_end.saturating_sub(self.video_start.unwrap_or(0))
    }

    pub(crate) fn audio_length(&self) -> u64 {
        self.audio_end.saturating_sub(self.audio_start.unwrap_or(0))
    }

    /// First sound's time minus first frame's; 0 where there is only one of them.
    pub(crate) fn av_offset(&self) -> i64 {
        match (self.video_start, self.audio_start) {
            (Some(video), Some(audio)) => {
                i64::try_from(audio).unwrap_or(0) - i64::try_from(video).unwrap_or(0)
            }
            _ => 0,
        }
    }
}
