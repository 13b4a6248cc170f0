//! A whole ladder on one machine: what a farm does with many tasks, one after the other.
//!
//! ```text
//! sound, then chunk by chunk all rungs from one decode, then join each rung, then package
//! ```
//! Each rung of the film lies twice beside the package while it is made: as chunks until they are joined, then whole.

use std::fs;
use std::path::{Path, PathBuf};

use rushes_shared::encode::AudioSettings;
use rushes_shared::failure::Failure;
use rushes_shared::ladder::{LadderSettings, PackageReport, PackageSettings, Rung, ladder};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::Progress;

use crate::chunk::{ChunkJob, encode_chunk, split};
use crate::join::{JoinJob, join, sound};
use crate::package::{PackageJob, package};
use crate::{encode, fault};

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

/// Where steps begin and end in thousandths of the whole: sound, chunks, joins, package.
const SOUND: (u16, u16) = (0, 30);
const CHUNKS: (u16, u16) = (30, 930);
const JOINS: (u16, u16) = (930, 960);
const PACKAGE: (u16, u16) = (960, 1000);

/// Makes a ladder and its package. Blocks; calls `progress` at least once a second.
///
/// # Errors
/// Those of [`encode_chunk`](crate::encode_chunk()), [`sound`](crate::sound()), [`join`](crate::join()) and
/// [`package`](crate::package()).
pub fn make_ladder(
    job: &LadderJob<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<PackageReport, Failure> {
    let settings = job.settings;
    let rungs = rungs(job)?;
    let track = job.scratch.join("sound.m4a");
    let with_sound = settings.sound_bps.filter(|_| !job.source.audio.is_empty());
    if let Some(bitrate_bps) = with_sound {
        let audio = AudioSettings { bitrate_bps, ..AudioSettings::default() };
        let mut step = |at| progress(within(at, SOUND, 0, 1));
        sound(job.input, job.source, &audio, &track, &mut step)?;
    }
    let (chunks, frames) = encode_chunks(job, &rungs, progress)?;
    let mut whole = Vec::with_capacity(rungs.len());
    for (number, (rung, chunks)) in rungs.iter().zip(&chunks).enumerate() {
        let output = job.scratch.join(format!("{}.mp4", rung.name));
        let joining = JoinJob { chunks, sound: None, frames: Some(frames), output: &output };
        join(&joining, &mut |at| progress(within(at, JOINS, number, rungs.len())))?;
        for chunk in chunks {
            fs::remove_file(chunk).map_err(|error| fault::writing(&error))?;
        }
        whole.push(output);
    }
    let segment_ns = settings.grid.segment_ns();
    let checked = PackageSettings {
        segment_ns,
        names: rungs.iter().map(|rung| rung.name.clone()).collect(),
        max_bps: rungs.iter().map(|rung| rung.cap.map(|cap| cap.peak_bps(segment_ns))).collect(),
        window_ns: segment_ns,
        decode: settings.decode,
        ..PackageSettings::default()
    };
    let tracks = if with_sound.is_some() { vec![track] } else { Vec::new() };
    let packaging =
        PackageJob { rungs: &whole, sound: &tracks, settings: &checked, directory: job.directory };
    package(&packaging, &mut |at| progress(within(at, PACKAGE, 0, 1)))
}

/// The rungs that this source gets.
fn rungs(job: &LadderJob<'_>) -> Result<Vec<Rung>, Failure> {
    let shown = job.source.video.first().ok_or_else(|| encode::plan::no_video(job.source))?.shown_size();
    let mut rungs = ladder(shown, job.settings.crf, job.settings.preset);
    if let Some(most) = job.settings.max_height {
        let small = |rung: &Rung| rung.max_size.0.min(rung.max_size.1) <= most;
        let last = rungs.len() - 1;
        let from = rungs.iter().position(small).unwrap_or(last);
        rungs.drain(..from);
    }
    Ok(rungs)
}

/// Every chunk of every rung, by rung, and how many frames each rung has.
fn encode_chunks(
    job: &LadderJob<'_>,
    rungs: &[Rung],
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<Vec<PathBuf>>, u64), Failure> {
    let grid = &job.settings.grid;
    let ranges = split(job.source, grid);
    let bounded = |rung: &Rung| {
        let cap = rung.cap.map(|cap| if ranges.len() > 1 { cap.within_chunks(grid.chunk_ns()) } else { cap });
        Rung { cap, ..rung.clone() }
    };
    let (mut chunks, mut frames) = (vec![Vec::new(); rungs.len()], 0);
    for (number, range) in ranges.iter().enumerate() {
        let outputs: Vec<(Rung, PathBuf)> = rungs
            .iter()
            .map(|rung| (bounded(rung), job.scratch.join(format!("{}-{number}.chunk.mp4", rung.name))))
            .collect();
        let (input, source) = (job.input, job.source);
        let part = ChunkJob { input, source, range: *range, grid, rungs: &outputs, threads: None };
        frames += encode_chunk(&part, &mut |at| progress(within(at, CHUNKS, number, ranges.len())))?.frames;
        for (chunks, (_, path)) in chunks.iter_mut().zip(outputs) {
            chunks.push(path);
        }
    }
    Ok((chunks, frames))
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
            within(at(0), JOINS, 0, 5),
            within(at(1000), PACKAGE, 0, 1),
        ];
        let steps = steps.map(|step| step.permille);
        assert!(steps.is_sorted(), "{steps:?}");
        assert_eq!((steps[0], steps[3], steps[6]), (30, 330, 1000));
    }
}
