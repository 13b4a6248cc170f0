//! The stages of an output that is made in pieces: these, and the join with the film's sound.

use rushes_shared::job::OutputSpec;
use rushes_shared::ladder::{pieces, split};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{Demand, SlotKind};
use rushes_shared::units::{Bytes, Millicores};

use super::{MIB, SOUND_SPEED, decoded, encode_cost, encode_demand};
use crate::job::{Prediction, Stage, Step};

/// What a piece costs beside its encode, in milliseconds of a core: the decode up to its first frame, a process, a file.
const PIECE_MS: u64 = 150;
/// Nanoseconds of one core by pixel of the check's decode.
const DECODE_NS: u64 = 4;

/// The stages of an output, of which the first is to be the stage `at`. One where it is encoded whole.
///
/// An output that may be left out or made worse for a deadline is encoded whole: what is given up is given up by the stage.
pub(super) fn stages(
    at: u32,
    (index, output): (u32, &OutputSpec),
    facts: &MediaFacts,
    (piece_s, has_floor): (u32, bool),
) -> Vec<Stage> {
    let whole = super::encode(index, output, facts);
    let plan = pieces(&output.settings, facts, piece_s).filter(|_| !output.optional && !has_floor);
    let Some(count) = plan.map(|plan| split(facts, &plan.grid).len() as u64).filter(|count| *count > 1)
    else {
        return vec![whole];
    };
    let cost = encode_cost(&output.settings, facts);
    let share = |whole_ms: u64| whole_ms / count + PIECE_MS;
    let prediction =
        Prediction { cpu_ms: share(cost.cpu_ms), wall_ms: share(cost.wall_ms), model: cost.model };
    let piece = Stage {
        step: Step::Piece { output: index, piece_s },
        slot: SlotKind::Encode,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        demand: encode_demand(&output.settings, facts),
        prediction,
        ..whole.clone()
    };
    vec![piece, join(at, (index, piece_s), &whole, facts)]
}

/// The sound's encode, a copy of all packets, and a decode of the whole.
fn join(at: u32, (output, piece_s): (u32, u32), whole: &Stage, facts: &MediaFacts) -> Stage {
    let video = facts.video.first();
    let pixels = video.map_or(0, |video| u64::from(video.width) * u64::from(video.height));
    let frames = video.map_or(0, |video| video.frames);
    let decode_ms = frames.saturating_mul(pixels.saturating_mul(DECODE_NS)) / 1_000_000;
    let sound_ms = if facts.audio.is_empty() { 0 } else { facts.duration_ns / 1_000_000 / SOUND_SPEED };
    let cpu_ms = decode_ms.saturating_add(sound_ms).max(1);
    Stage {
        step: Step::Join { output, piece_s },
        slot: SlotKind::Analyse,
        count: 1,
        after: vec![at],
        demand: Demand { cpu: Millicores(1_000), memory: Bytes((400 * MIB).saturating_add(decoded(video))) },
        prediction: Prediction { cpu_ms, wall_ms: cpu_ms, model: 0 },
        ..whole.clone()
    }
}
