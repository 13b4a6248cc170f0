//! What inputs are usually like: what a forecast assumes of one that nobody has looked into yet.

use rushes_shared::media::{MediaFacts, VideoFacts};
use rushes_shared::units::Ratio;

use crate::promise::Assumed;
use crate::promise::ledger::Load;

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
    /// The container of the latest, where its index leads to any place in it.
    indexed: Option<Box<str>>,
    /// What jobs take whose input was probed, beside the probe: the mean, the newer ones weighing more.
    cost: Option<Load>,
    /// Jobs whose input was not probed yet and that are not paused, and what the latest of them should take.
    unplanned: u64,
    foreseen: Load,
}

impl Default for Usual {
    /// Before any was seen: a minute of full HD at 30 frames a second.
    fn default() -> Self {
        let fps = Ratio { num: 30, den: 1 };
        Self {
            duration_ns: 60_000_000_000,
            size: (1920, 1080),
            fps,
            seen: false,
            indexed: None,
            cost: None,
            unplanned: 0,
            foreseen: Load::default(),
        }
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
        self.indexed = facts.seekable.then(|| facts.container.as_str().into());
    }

    /// Takes in what a job takes whose input was probed.
    pub(super) fn note_cost(&mut self, load: Load) {
        let weighed = |mean: u64, newest: u64| mean / MEMORY * (MEMORY - 1) + newest / MEMORY;
        self.cost = Some(self.cost.map_or(load, |mean| Load {
            cores_ms: weighed(mean.cores_ms, load.cores_ms),
            light_ms: weighed(mean.light_ms, load.light_ms),
        }));
    }

    /// A job waits for the probe of its input, or does no longer.
    pub(super) fn count_unplanned(&mut self, more: bool) {
        self.unplanned = if more { self.unplanned + 1 } else { self.unplanned - 1 };
    }

    /// Whether nothing is known yet of what such jobs take.
    pub(super) fn knows_no_cost(&self) -> bool {
        self.cost.is_none()
    }

    /// What such a job should take, as long as none was planned.
    pub(super) fn foresee(&mut self, load: Load) {
        self.foreseen = load;
    }

    /// How many jobs wait for the probe of their input, and what they should take together.
    pub(super) fn unplanned(&self) -> (u64, Load) {
        let each = self.cost.unwrap_or(self.foreseen);
        let of = |ms: u64| ms.saturating_mul(self.unplanned);
        (self.unplanned, Load { cores_ms: of(each.cores_ms), light_ms: of(each.light_ms) })
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
        MediaFacts {
            container: self.indexed.as_deref().unwrap_or_default().to_owned(),
            seekable: self.indexed.is_some(),
            duration_ns: self.duration_ns,
            video: vec![video],
            ..MediaFacts::default()
        }
    }

    /// The same in few words.
    pub(super) fn assumed(&self) -> Assumed {
        let (width, height) = self.size;
        Assumed { duration_ms: self.duration_ns / 1_000_000, width, height, is_seen: self.seen }
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
    fn what_films_take_follows_those_that_were_planned() {
        let load = |cores_ms| Load { cores_ms, light_ms: 0 };
        let mut usual = Usual::default();
        usual.count_unplanned(true);
        usual.count_unplanned(true);
        usual.foresee(load(500));
        assert_eq!(usual.unplanned(), (2, load(1_000)));
        usual.note_cost(load(8_000));
        assert_eq!(usual.unplanned(), (2, load(16_000)), "the first one counts whole");
        usual.note_cost(load(16_000));
        assert_eq!(usual.unplanned(), (2, load(18_000)));
        usual.count_unplanned(false);
        assert_eq!(usual.unplanned(), (1, load(9_000)));
    }

    #[test]
    fn the_first_input_counts_whole_and_later_ones_in_part() {
        let mut usual = Usual::default();
        assert_eq!(usual.input().video[0].frames, 1_800);
        usual.note(&facts(100, 1280));
        assert_eq!(
            usual.assumed(),
            Assumed { duration_ms: 100_000, width: 1280, height: 640, is_seen: true }
        );
        usual.note(&facts(900, 640));
        assert_eq!(usual.assumed(), Assumed { duration_ms: 200_000, width: 640, height: 320, is_seen: true });
        assert_eq!(usual.input().video[0].frames, 5_000);
        usual.note(&MediaFacts::default());
        assert_eq!(usual.assumed().duration_ms, 200_000, "sound alone says nothing of films");
    }
}
