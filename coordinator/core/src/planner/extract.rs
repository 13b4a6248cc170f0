//! What it takes to make an output that is no rendition: the decodes behind its pictures, or the film's sound.

use rushes_shared::encode::Extracted;
use rushes_shared::media::MediaFacts;
use rushes_shared::still::Moment;
use rushes_shared::task::Demand;
use rushes_shared::units::{Bytes, Millicores};

use super::{LIGHT_MS, MIB, SOUND_SPEED};
use crate::job::Prediction;

/// One decode, and the largest sheet that can be made.
pub(super) fn demand(facts: &MediaFacts) -> Demand {
    let memory = Bytes((600 * MIB).saturating_add(super::decoded(facts.video.first())));
    Demand { cpu: Millicores(1_000), memory }
}

/// Nanoseconds of one core by pixel of a decode.
const DECODE_NS: u64 = 4;
/// Frames that are decoded for a picture that is sought: those from the key frame before it on.
const SOUGHT_FRAMES: u64 = 60;
/// Pictures that are looked at for a film's best, and those of a sheet where nothing else is asked for.
const CANDIDATES: u64 = 12;
const TILES: u64 = 100;

/// The physical estimate.
pub(super) fn cost(what: &Extracted, facts: &MediaFacts) -> Prediction {
    let cpu_ms = match what {
        Extracted::SpriteIndex(_) => LIGHT_MS,
        Extracted::Waveform(_) => facts.duration_ns / 1_000_000 / SOUND_SPEED,
        Extracted::Stills(settings) => match settings.moment {
            Moment::Early | Moment::At(_) => decodes(facts, 1),
            Moment::Best => decodes(facts, CANDIDATES),
            Moment::Every(every_ns) => decodes(facts, spaced(facts, every_ns)),
        },
        Extracted::Sprite(settings) => {
            decodes(facts, settings.every_ns.map_or(TILES, |every_ns| spaced(facts, every_ns)))
        }
        Extracted::Preview(settings) | Extracted::WebpPreview(settings, _) => {
            decodes(facts, settings.length_ns.saturating_mul(u64::from(settings.fps)) / 1_000_000_000)
        }
    };
    let cpu_ms = cpu_ms.max(LIGHT_MS);
    Prediction { cpu_ms, wall_ms: cpu_ms, model: 0 }
}

/// Pictures that lie so far apart.
fn spaced(facts: &MediaFacts, every_ns: u64) -> u64 {
    (facts.duration_ns / every_ns.max(1)).saturating_add(1)
}

/// Milliseconds of one core for so many pictures: each is sought, or the whole film is read where that is less.
fn decodes(facts: &MediaFacts, pictures: u64) -> u64 {
    let Some(video) = facts.video.first() else { return 0 };
    let frames = if video.frames > 0 { video.frames } else { facts.duration_ns / 33_000_000 };
    let frames = frames.min(pictures.saturating_mul(SOUGHT_FRAMES));
    let pixels = u64::from(video.width) * u64::from(video.height);
    frames.saturating_mul(pixels).saturating_mul(DECODE_NS) / 1_000_000
}

#[cfg(test)]
mod tests {
    use rushes_shared::media::VideoFacts;
    use rushes_shared::still::{StillFormat, ThumbnailSettings};

    use super::*;

    fn stills(moment: Moment) -> Extracted {
        let format = StillFormat::Jpeg(85);
        Extracted::Stills(ThumbnailSettings { moment, max_width: None, max_height: None, format })
    }

    #[test]
    fn more_pictures_cost_more_and_never_more_than_the_film() {
        let video = VideoFacts { width: 1920, height: 1080, frames: 90_000, ..VideoFacts::default() };
        let facts =
            MediaFacts { duration_ns: 3_600_000_000_000, video: vec![video], ..MediaFacts::default() };
        let [one, best, every, each] =
            [Moment::At(0), Moment::Best, Moment::Every(10_000_000_000), Moment::Every(1)]
                .map(|moment| cost(&stills(moment), &facts).cpu_ms);
        assert!(one < best && best < every && every < each, "{one} {best} {every} {each}");
        assert_eq!(each, 90_000 * 1920 * 1080 * DECODE_NS / 1_000_000);
        let hostile =
            VideoFacts { width: u32::MAX, height: u32::MAX, frames: u64::MAX, ..VideoFacts::default() };
        let facts = MediaFacts { duration_ns: u64::MAX, video: vec![hostile], ..MediaFacts::default() };
        assert!(cost(&stills(Moment::Every(0)), &facts).cpu_ms > 1 << 40);
    }
}
