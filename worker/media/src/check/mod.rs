//! The check of a finished output: read back whole, decoded whole, then compared with what went in.
//!
//! A file that a muxer closed is no proof. Every packet is read back from the disk by the demuxer that reads any other
//! file; every frame and every sample is decoded, by the decoders that read any other file; counts, lengths and start
//! times are held against the source. Pictures that a [witness](crate::witness) has decoded while they were made are not
//! decoded once more: their packets only have to be the very ones that it saw.
//!
//! ```text
//! found      what is in the file: counts, times, sizes, the most bits a second
//! expected   what has to be, and the two held against each other
//! quality    VMAF against the source, loudness: where limits ask for them
//! ```

mod expected;
mod found;
mod quality;
mod rate;

use std::path::Path;

use rushes_shared::check::{Check, CheckLimit, CheckName, CheckUnit};
use rushes_shared::encode::EncodeSettings;
use rushes_shared::failure::Failure;
use rushes_shared::media::{CheckReport, MediaFacts};
use rushes_shared::task::{Phase, Progress};

use crate::encode::Encoded;
use crate::encode::plan::Plan;
use crate::pace::Pace;
use crate::{damage, fault, probe, start};
use expected::Expected;
use found::read_back;
pub use quality::{QualityJob, check_quality};
pub(crate) use quality::{sound_checks, vmaf_checks};

/// Reads `output` back whole, decodes it and compares it with its source. Blocks; calls `progress` at least once a second.
///
/// `encoded` is what the encode said of its source: what a decoder really gave, which is truer than an index. Without
/// it, the comparison is with `source` alone.
///
/// The report's `checks` are all that was looked at: frames; lengths; streams; where sound starts in relation to the
/// picture; the size; data that its decoder cannot read; the most bits a second. Limits are those of the settings, and what
/// [`CheckLimits`](rushes_shared::encode::CheckLimits) says where they have none. `problems` are those that failed, a line
/// each. `warnings` are the encode's.
///
/// # Errors
/// Only where the check itself could not be made: settings that no encode takes, an element that is missing, a stall.
/// An output that cannot be decoded is a problem in the report.
pub fn check(
    output: &Path,
    source: &MediaFacts,
    settings: &EncodeSettings,
    encoded: Option<&Encoded>,
    progress: &mut dyn FnMut(Progress),
) -> Result<CheckReport, Failure> {
    start::init()?;
    let plan = settings.video.as_ref().map(|_| Plan::new(source, settings)).transpose()?;
    let expected = Expected::new(source, settings, encoded, plan.as_ref());
    if let Err(failure) = fault::inspect(output) {
        return Ok(expected.refused(&failure));
    }
    damage::take();
    let length = if plan.is_some() { expected.video_ns } else { expected.audio_ns.unwrap_or(0) };
    let pace = Pace::new(Phase::Checking, length, expected.frames);
    let pace = match encoded {
        Some(encoded) => pace.after_encode(encoded.encode_ms),
        None => pace,
    };
    let mut altered = false;
    let mut seen = None;
    if let Some(witnessed) = encoded.and_then(|encoded| encoded.witnessed) {
        match read_back(output, settings, true, &pace, progress)? {
            Ok(found) if found.packets == Some(witnessed.packets) => seen = Some(found.with(&witnessed)),
            Ok(_) => altered = true,
            Err(failure) => return Ok(expected.refused(&failure)),
        }
    }
    let mut found = match seen {
        Some(found) => found,
        None => match read_back(output, settings, false, &pace, progress)? {
            Ok(found) => found,
            Err(failure) => return Ok(expected.refused(&failure)),
        },
    };
    if let (Some(start), Some(length)) = (found.tally.video_start, probe::indexed_video_length(output)) {
        found.tally.ends_at(start + length);
    }
    progress(pace.at(found.tally.video_end.max(found.tally.audio_end), found.tally.frames));
    let mut report = expected.compare(&found, plan.as_ref());
    if altered {
        let foreign =
            Check::judged(CheckName::ForeignPackets, CheckUnit::Count, CheckLimit::Exactly(0.0), 1.0);
        report.checks.push(foreign.noting("the packets are not those that were encoded"));
    }
    let seen = damage::take();
    let errors = Check::judged(
        CheckName::DecodingErrors,
        CheckUnit::Count,
        CheckLimit::AtMost(0.0),
        number(seen.count),
    );
    report.checks.push(errors.noting(seen.first.first().map_or("", String::as_str)));
    report.problems = problems(&report.checks);
    Ok(report)
}

/// The limits that are broken, a line each.
fn problems(checks: &[Check]) -> Vec<String> {
    checks.iter().filter(|check| check.has_failed()).map(ToString::to_string).collect()
}

/// A count as the number of a check.
#[expect(clippy::cast_precision_loss, reason = "frames, bits and pixels of a film are far fewer than 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}
