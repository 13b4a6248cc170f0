//! A whole ladder on one machine: what a farm does with many tasks.
//!
//! ```text
//! sound, then a look at each cell where chunks begin at cuts or share a mean rate, then chunk by chunk all rungs from one decode (lanes: several at
//! once), then join each rung, then package
//! ```
//! Each rung of the film lies twice beside the package while it is made: as chunks until they are joined, then whole.

mod lanes;

use std::fs;
use std::path::{Path, PathBuf};

use rushes_shared::check::{Check, CheckName, CheckUnit};
use rushes_shared::encode::VmafLimits;
use rushes_shared::failure::Failure;
use rushes_shared::ladder::{LadderSettings, PackageReport, Rung, SoundSync};
use rushes_shared::measure::VmafTally;
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{Phase, Progress};

use crate::chunk;
use crate::encode::tally::Tally;
use crate::encode::whole::complete;
use crate::join::{JoinJob, Joined, join, sound};
use crate::package::{self, PackageJob, package};
use crate::{check, encode, fault, pace, tone};
use lanes::{Chunks, encode_chunks};

/// What to make a ladder of.
#[derive(Debug, Clone, Copy)]
pub struct LadderJob<'a> {
    /// The source, a local file.
    pub input: &'a Path,
    /// What [`probe`](crate::probe()) found of it.
    pub source: &'a MediaFacts,
    /// How.
    pub settings: &'a LadderSettings,
    /// A directory for what is made on the way; there, and empty.
    pub scratch: &'a Path,
    /// The package's directory; there, and empty.
    pub directory: &'a Path,
}

/// Chunks and sound of a film that are to become its package.
#[derive(Debug, Clone, Copy)]
pub struct FinishJob<'a> {
    /// What the probe found of the film.
    pub source: &'a MediaFacts,
    /// The rungs, the best first.
    pub rungs: &'a [Rung],
    /// How many frames each has to have; `None` where that is not known.
    pub frames: Option<u64>,
    /// The film's sound, the best rate first.
    pub sound: &'a [PathBuf],
    /// Scores of the rungs, in their order; none where VMAF was not measured.
    pub vmaf: &'a [VmafTally],
    /// How the ladder is made.
    pub settings: &'a LadderSettings,
    /// A directory for what is made on the way.
    pub scratch: &'a Path,
    /// The package's directory; there, and empty.
    pub directory: &'a Path,
}

/// Where steps begin and end in thousandths of the whole: sound, scans where there are some, chunks, and what is made of them.
const SOUND: (u16, u16) = (0, 30);
const SCANS: (u16, u16) = (30, 100);
const CHUNKS: (u16, u16) = (30, 930);
const CHUNKS_AFTER_SCANS: (u16, u16) = (100, 930);
const FINISH: (u16, u16) = (930, 1000);
/// The same of the finish: joins, package.
const JOINS: (u16, u16) = (0, 430);
const PACKAGE: (u16, u16) = (430, 1000);

/// Makes a ladder and its package. Blocks; calls `progress` at least once a second.
///
/// # Errors
/// Those of [`encode_chunk`](crate::encode_chunk()), [`sound`](crate::sound()) and [`finish_ladder`].
pub fn make_ladder(
    job: &LadderJob<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<PackageReport, Failure> {
    let settings = job.settings;
    let rungs = settings.rungs(job.source);
    if rungs.is_empty() {
        return Err(encode::plan::no_video(job.source));
    }
    crate::promise_kept(job.input, job.source)?;
    let rates = settings.sounds(job.source);
    let mut tracks = Vec::with_capacity(rates.len());
    for (number, bitrate_bps) in rates.iter().copied().enumerate() {
        let track = job.scratch.join(format!("sound-{number}.m4a"));
        let audio = settings.sound_of(job.source, bitrate_bps);
        let mut step = |at| progress(within(at, SOUND, number, rates.len()));
        sound(job.input, job.source, &audio, &track, &mut step)?;
        tracks.push(track);
    }
    let Chunks { files: mut chunks, frames, vmaf } = encode_chunks(job, progress)?;
    let finish = FinishJob {
        source: job.source,
        rungs: &rungs,
        frames: Some(frames),
        sound: &tracks,
        vmaf: &vmaf,
        settings,
        scratch: job.scratch,
        directory: job.directory,
    };
    let mut chunks_of = |rung: usize| Ok(std::mem::take(&mut chunks[rung]));
    finish_ladder(&finish, &mut chunks_of, &mut |at| progress(within(at, FINISH, 0, 1)))
}

/// Joins the chunks of each rung and makes the package. `chunks_of` is asked for the chunks of one rung after the other,
/// in the film's order; they are removed once they are joined. Blocks; calls `progress` at least once a second.
///
/// # Errors
/// Those of [`join`](crate::join()) and [`package`](crate::package()), and what `chunks_of` says.
pub fn finish_ladder(
    job: &FinishJob<'_>,
    chunks_of: &mut dyn FnMut(usize) -> Result<Vec<PathBuf>, Failure>,
    progress: &mut dyn FnMut(Progress),
) -> Result<PackageReport, Failure> {
    // Before anything is copied: a set whose pictures are not good enough is not made.
    let vmaf = vmaf_checks(job)?;
    let sound = sound_checks(job, progress)?;
    let mut whole = Vec::with_capacity(job.rungs.len());
    let (mut frames, mut damage) = (job.frames, None);
    for (number, rung) in job.rungs.iter().enumerate() {
        let chunks = chunks_of(number)?;
        let output = job.scratch.join(format!("{}.mp4", rung.name));
        let joining = JoinJob { chunks: &chunks, sound: None, frames, output: &output };
        let joined = join(&joining, &mut |at| progress(within(at, JOINS, number, job.rungs.len())))?;
        if number == 0 {
            whole_film(job, rung, &joined)?;
            damage = damaged(&joined);
        }
        // Every rung has the frames of the first.
        frames = Some(joined.frames);
        for chunk in &chunks {
            fs::remove_file(chunk).map_err(|error| fault::writing(&error))?;
        }
        whole.push(output);
    }
    let mut checked = job.settings.package(job.rungs);
    if job.source.video.first().is_some_and(|video| video.vfr) {
        checked.longest_permille = package::LONGEST_OF_VARIABLE;
    }
    checked.sync = sync_of(job);
    checked.mean_bps = job.settings.mean_rates(job.source);
    let packaging =
        PackageJob { rungs: &whole, sound: job.sound, settings: &checked, directory: job.directory };
    let mut report = package(&packaging, &mut |at| progress(within(at, PACKAGE, 0, 1)))?;
    report.checks.extend(tone_mapped(job.source, job.rungs)?);
    report.checks.extend(damage);
    report.checks.extend(sound);
    report.checks.extend(vmaf);
    Ok(report)
}

/// Whether the chunks together are what the film's index promises.
fn whole_film(job: &FinishJob<'_>, rung: &Rung, joined: &Joined) -> Result<(), Failure> {
    let tally = Tally {
        frames: joined.frames,
        video_start: Some(joined.video_start_ns),
        video_end: joined.video_start_ns.saturating_add(joined.video_duration_ns),
        ..Tally::default()
    };
    complete(job.source, chunk::plan_of(job.source, rung)?.frame_ns, &tally)
}

/// What was concealed of the film, which every rung shows.
fn damaged(joined: &Joined) -> Option<Check> {
    let told = joined.damage.told();
    (!told.is_empty())
        .then(|| Check::not_judged(CheckName::DecodingErrors, CheckUnit::Count, None, told.join("; ")))
}

/// The rungs that do not carry the film's high dynamic range.
fn tone_mapped(source: &MediaFacts, rungs: &[Rung]) -> Result<Vec<Check>, Failure> {
    let mut mapped = Vec::new();
    for rung in rungs {
        if let Some(hdr) = chunk::plan_of(source, rung)?.tone_mapped {
            let told = Check::not_judged(CheckName::Colour, CheckUnit::Count, None, tone::told(hdr));
            mapped.push(told.of(&rung.name));
        }
    }
    Ok(mapped)
}

/// Where the film's sound begins, and by how much the set's may be off.
fn sync_of(job: &FinishJob<'_>) -> Option<SoundSync> {
    let (video, audio) = (job.source.video.first()?, job.source.audio.first()?);
    let signed = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
    let frame_ns =
        video.fps.map_or(0, |fps| pace::scaled(1_000_000_000, u64::from(fps.den), u64::from(fps.num.max(1))));
    let offset_ns = signed(audio.start_ns).saturating_sub(signed(video.start_ns));
    Some(SoundSync { offset_ns, limit_ns: job.settings.limits.av_sync_ns(frame_ns) })
}

/// How loud the sounds are, where that is asked for.
fn sound_checks(job: &FinishJob<'_>, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Check>, Failure> {
    let mut checks = Vec::new();
    let limits = &job.settings.limits;
    if !limits.of_sound() {
        return Ok(checks);
    }
    let names = job.settings.package(job.rungs).sound_names;
    for (number, file) in job.sound.iter().enumerate() {
        let facts = crate::probe(file)?;
        let mut step = |at: Progress| {
            progress(Progress { phase: Phase::Checking, permille: FINISH.0, eta_ms: None, ..at })
        };
        let found = crate::loudness(file, &facts, &mut step)?;
        let name = names.get(number).map_or("sound", String::as_str);
        for check in check::sound_checks(limits, &found) {
            package::keep(check.of(name), &mut checks)?;
        }
    }
    Ok(checks)
}

/// What the scores of the rungs come to. Limits are those of the best rung: the others are scaled down on purpose.
fn vmaf_checks(job: &FinishJob<'_>) -> Result<Vec<Check>, Failure> {
    let mut checks = Vec::new();
    let limits = &job.settings.vmaf;
    if limits.scope.every().is_none() {
        return Ok(checks);
    }
    for (number, rung) in job.rungs.iter().enumerate() {
        let told = VmafLimits { mean_tenths: None, worst_tenths: None, ..*limits };
        let limits = if number == 0 { limits } else { &told };
        let scores = job.vmaf.get(number).and_then(|tally| tally.scores(limits.model));
        for check in check::vmaf_checks(limits, scores.as_ref().ok_or("no frame was scored")) {
            package::keep(check.of(&rung.name), &mut checks)?;
        }
    }
    Ok(checks)
}

/// Progress of one of several equal parts of a step as progress of the whole.
fn within(at: Progress, step: (u16, u16), number: usize, count: usize) -> Progress {
    let span = u64::from(step.1 - step.0);
    let done = (number as u64 * 1000 + u64::from(at.permille)) * span / (count.max(1) as u64 * 1000);
    let permille = step.0 + u16::try_from(done).unwrap_or(0).min(step.1 - step.0);
    Progress { permille, eta_ms: None, ..at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_each_other_without_a_step_back() {
        let at = |permille| Progress { permille, ..Progress::default() };
        let steps = [
            within(at(1000), SOUND, 0, 1),
            within(at(0), CHUNKS, 0, 3),
            within(at(1000), CHUNKS, 0, 3),
            within(at(0), CHUNKS, 1, 3),
            within(at(1000), CHUNKS, 2, 3),
            within(within(at(0), JOINS, 0, 5), FINISH, 0, 1),
            within(within(at(1000), PACKAGE, 0, 1), FINISH, 0, 1),
        ];
        let steps = steps.map(|step| step.permille);
        assert!(steps.is_sorted(), "{steps:?}");
        assert_eq!((steps[0], steps[3], steps[6]), (30, 330, 1000));
    }
}
