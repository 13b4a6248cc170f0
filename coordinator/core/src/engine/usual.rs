//! What inputs are usually like: what a forecast assumes of one that nobody has looked into yet.

use rushes_shared::media::{MediaFacts, VideoFacts};
use rushes_shared::units::Ratio;

use crate::promise::Assumed;

/// Weight of the newest length in the mean, one part of so many.
const MEMORY: u64 = 8;

/// The inputs of this reign, as far as they were probed.
#[derive(Debug)]
pub(super) struct Usual {
    /// Their mean length, the newer ones weighing more, in nanoseconds.
    duration_ns: u64,
    /// Width and height of the last one, in pixels.
    size: (u32, u32),
    fps: Ratio,
    seen: bool,
}

impl Default for Usual {
    /// Before any was seen: a minute of full HD at 30 frames a second.
    fn default() -> Self {
        let fps = Ratio { num: 30, den: 1 };
        Self { duration_ns: 60_000_000_000, size: (1920, 1080), fps, seen: false }
    }
}

impl Usual {
    /// Takes in what a probe found.
    pub(super) fn note(&mut self, facts: &MediaFacts) {
        let Some(video) = facts.video.first().filter(|video| video.width > 0 && facts.duration_ns > 0) else {
            return;
        };
        let weighed = self.duration_ns / MEMORY * (MEMORY - 1) + facts.duration_ns / MEMORY;
        self.duration_ns = if self.seen { weighed } else { facts.duration_ns };
        self.size = (video.width, video.height);
        self.fps = video.fps.unwrap_or(self.fps);
        self.seen = true;
    }

    /// An input like them.
    pub(super) fn input(&self) -> MediaFacts {
        let (width, height) = self.size;
        let frame_ns = 1_000_000_000 * u64::from(self.fps.den.max(1));
        let frames = self.duration_ns.saturating_mul(u64::from(self.fps.num)) / frame_ns;
        let video = VideoFacts {
            width,
            height,
            fps: Some(self.fps),
            frames,
            duration_ns: self.duration_ns,
            ..VideoFacts::default()
        };
        MediaFacts { duration_ns: self.duration_ns, video: vec![video], ..MediaFacts::default() }
    }

    /// The same in few words.
    pub(super) fn assumed(&self) -> Assumed {
        Assumed { duration_ms: self.duration_ns / 1_000_000, width: self.size.0, height: self.size.1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(seconds: u64, width: u32) -> MediaFacts {
        let fps = Ratio::new(25, 1);
        let video = VideoFacts { width, height: width / 2, fps, ..VideoFacts::default() };
        MediaFacts { duration_ns: seconds * 1_000_000_000, video: vec![video], ..MediaFacts::default() }
    }

    #[test]
    fn the_first_input_counts_whole_and_later_ones_in_part() {
        let mut usual = Usual::default();
        assert_eq!(usual.input().video[0].frames, 1_800);
        usual.note(&facts(100, 1280));
        assert_eq!(usual.assumed(), Assumed { duration_ms: 100_000, width: 1280, height: 640 });
        usual.note(&facts(900, 640));
        assert_eq!(usual.assumed(), Assumed { duration_ms: 200_000, width: 640, height: 320 });
        assert_eq!(usual.input().video[0].frames, 5_000);
        usual.note(&MediaFacts::default());
        assert_eq!(usual.assumed().duration_ms, 200_000, "sound alone says nothing of films");
    }
}
