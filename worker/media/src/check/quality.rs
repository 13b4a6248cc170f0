//! What an output looks and sounds like, against its source and what was asked for: VMAF, loudness, true peak. Only where
//! its limits ask for it, as each reads the file once more.
//!
//! VMAF is measured when the file is finished, by a decode of it and of the source side by side. Both are on the node
//! then. Frames could be taken from the encode instead, which would save the source's decode, a small part of what
//! VMAF takes, and would have the encoder wait for VMAF and keep its frames for as long.

use std::path::Path;

use rushes_shared::check::{Check, CheckLimit, CheckName, CheckUnit};
use rushes_shared::encode::{CheckLimits, EncodeSettings, VmafLimits};
use rushes_shared::failure::Failure;
use rushes_shared::ladder::{LoudnessLimit, SetLimits};
use rushes_shared::measure::{CompareSettings, Loudness, VmafScores};
use rushes_shared::media::{MediaFacts, VideoFacts};
use rushes_shared::task::{Phase, Progress};

use crate::{compare, probe, sound};

/// A finished output and what it was made from.
#[derive(Debug, Clone, Copy)]
pub struct QualityJob<'a> {
    /// The source, a local file.
    pub input: &'a Path,
    /// What [`probe`](crate::probe()) found of it.
    pub source: &'a MediaFacts,
    /// The output.
    pub output: &'a Path,
    /// How it was made, with its limits.
    pub settings: &'a EncodeSettings,
    /// Threads that VMAF may keep busy; `None` for one a core.
    pub threads: Option<u32>,
}

/// Measures what the limits ask for. Blocks; calls `progress` at least once a second. What cannot be compared, such as
/// pictures whose brightness means something else, is said and not judged.
///
/// # Errors
/// Those of [`probe`](crate::probe()), [`compare`](crate::compare()) and [`loudness`](crate::loudness()).
pub fn check_quality(
    job: &QualityJob<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Check>, Failure> {
    let limits = &job.settings.check;
    let mut checks = Vec::new();
    let vmaf = limits.vmaf.scope.every().filter(|_| job.settings.video.is_some());
    let loudness = limits.loudness_tenths.is_some() || limits.true_peak_tenths.is_some();
    if vmaf.is_none() && !loudness {
        return Ok(checks);
    }
    let made = probe(job.output)?;
    if let Some(every) = vmaf {
        checks.extend(picture(job, &made, every, progress)?);
    }
    if loudness && !made.audio.is_empty() {
        checks.extend(heard(job, &made, limits, progress)?);
    }
    Ok(checks)
}

fn picture(
    job: &QualityJob<'_>,
    made: &MediaFacts,
    every: u32,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Check>, Failure> {
    let limits = &job.settings.check.vmaf;
    let why_not = |why: &str| Ok(vmaf_checks(limits, Err(why)));
    let (Some(source), Some(film)) = (job.source.video.first(), made.video.first()) else {
        return why_not("there is no picture");
    };
    if is_hdr(source) != is_hdr(film) {
        return why_not("the source is HDR and the output is not: the two are not alike in brightness");
    }
    let settings = CompareSettings {
        every,
        vmaf: Some(limits.model),
        likeness: false,
        // Frames have a check of their own.
        unpaired: true,
        threads: job.threads,
    };
    let films = ((job.input, job.source), (job.output, made));
    let found = compare::compare_in(Phase::Checking, films, &settings, progress)?;
    match &found.vmaf {
        Some(scores) => Ok(vmaf_checks(limits, Ok(scores))),
        None => why_not("the picture is too small"),
    }
}

fn is_hdr(film: &VideoFacts) -> bool {
    matches!(film.colour.transfer.as_str(), "smpte2084" | "arib-std-b67")
}

/// What is said of scores, or of why there are none.
pub(crate) fn vmaf_checks(limits: &VmafLimits, scores: Result<&VmafScores, &str>) -> Vec<Check> {
    let least = |tenths: Option<u16>| tenths.map(|tenths| CheckLimit::AtLeast(f64::from(tenths) / 10.0));
    let (mean, worst) = (least(limits.mean_tenths), least(limits.worst_tenths));
    let unit = CheckUnit::Vmaf;
    match scores {
        Ok(scores) => {
            let note = format!(
                "{}, {} frames, harmonic mean {:.2}, lowest {:.2}",
                scores.model.as_str(),
                scores.frames,
                scores.harmonic_mean,
                scores.min
            );
            vec![
                Check::held(CheckName::Vmaf, unit, mean, scores.mean).noting(note),
                Check::held(CheckName::VmafWorst, unit, worst, scores.worst_percent).at(scores.min_at_ns),
            ]
        }
        Err(why) => vec![
            Check::not_judged(CheckName::Vmaf, unit, mean, why),
            Check::not_judged(CheckName::VmafWorst, unit, worst, why),
        ],
    }
}

fn heard(
    job: &QualityJob<'_>,
    made: &MediaFacts,
    limits: &CheckLimits,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Check>, Failure> {
    let mut step = |at: Progress| progress(Progress { phase: Phase::Checking, ..at });
    let found = sound::loudness(job.output, made, &mut step)?;
    let target = job.settings.audio.as_ref().and_then(|audio| audio.loudness);
    let loudness = limits
        .loudness_tenths
        .zip(target)
        .map(|(tolerance_tenths, target)| LoudnessLimit { lufs_tenths: target.integrated, tolerance_tenths });
    let asked = SetLimits { loudness, true_peak_tenths: limits.true_peak_tenths, ..SetLimits::default() };
    Ok(sound_checks(&asked, &found))
}

/// Loudness and true peak against what is asked of them.
pub(crate) fn sound_checks(limits: &SetLimits, found: &Loudness) -> Vec<Check> {
    let silent = "the sound is silent";
    let mut checks = Vec::new();
    if let Some(LoudnessLimit { lufs_tenths, tolerance_tenths }) = limits.loudness {
        let (target, tolerance) = (f64::from(lufs_tenths) / 10.0, f64::from(tolerance_tenths) / 10.0);
        let limit = CheckLimit::Between(target - tolerance, target + tolerance);
        let (name, unit) = (CheckName::Loudness, CheckUnit::Lufs);
        checks.push(match found.integrated_lufs {
            Some(value) => Check::judged(name, unit, limit, value),
            None => Check::not_judged(name, unit, Some(limit), silent),
        });
    }
    if let Some(peak) = limits.true_peak_tenths {
        let limit = CheckLimit::AtMost(f64::from(peak) / 10.0);
        let (name, unit) = (CheckName::TruePeak, CheckUnit::Dbtp);
        checks.push(match found.true_peak_dbtp {
            Some(value) => Check::judged(name, unit, limit, value),
            None => Check::not_judged(name, unit, Some(limit), silent),
        });
    }
    checks
}
