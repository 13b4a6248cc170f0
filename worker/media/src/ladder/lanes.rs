//! The chunks of a film on one machine. H.264 and HEVC use all cores for one chunk after the other. libvpx and libaom lose time
//! where threads share a picture, so that of these as many chunks are encoded at once as there are cores for.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rushes_shared::encode::VideoCodec;
use rushes_shared::failure::Failure;
use rushes_shared::ladder::{ChunkRange, Rung, Scan};
use rushes_shared::measure::VmafTally;
use rushes_shared::media::MediaFacts;
use rushes_shared::task::Progress;

use super::{CHUNKS, CHUNKS_AFTER_SCANS, LadderJob, SCANS, within};
use crate::chunk::{ChunkJob, ScanJob, encode_chunk, scan, score_chunk};

/// Pixels of all rungs together that one core more is worth a thread for.
const PIXELS_A_THREAD: u64 = 1_000_000;
/// Words of lanes that wait to be heard; further ones wait.
const WORDS: usize = 64;

/// Encoded chunks.
pub(super) struct Chunks {
    /// Every chunk of every rung, by rung.
    pub(super) files: Vec<Vec<PathBuf>>,
    /// How many frames each rung has.
    pub(super) frames: u64,
    /// Scores of the rungs; none where VMAF is not measured.
    pub(super) vmaf: Vec<VmafTally>,
}

/// What is to be encoded, and how.
struct Plan<'a> {
    job: &'a LadderJob<'a>,
    ranges: Vec<ChunkRange>,
    scans: Vec<Scan>,
    /// The rungs, with the bounds that each chunk has to keep.
    rungs: Vec<Rung>,
    /// Threads of each encoder.
    threads: Option<u32>,
    /// Where all chunks begin and end in thousandths of the ladder.
    step: (u16, u16),
}

/// What a lane says.
enum Word {
    At(usize, Progress),
    Done(usize, Box<Made>),
    Failed(Failure),
}

/// A chunk.
#[derive(Clone, Default)]
struct Made {
    files: Vec<PathBuf>,
    frames: u64,
    scored: Vec<VmafTally>,
}

/// Encodes all chunks. Calls `progress` at least once a second.
pub(super) fn encode_chunks(
    job: &LadderJob<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Chunks, Failure> {
    let cells = job.settings.scans(job.source);
    let step = if cells.is_empty() { CHUNKS } else { CHUNKS_AFTER_SCANS };
    let scans = scans(job, &cells, progress)?;
    let cuts: Vec<u64> = scans.iter().flat_map(|scan| scan.cuts.iter().copied()).collect();
    let ranges = job.settings.chunks(job.source, &cuts);
    let rungs = job.settings.rungs_of_chunks(job.source, &ranges);
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let lanes = lanes(&rungs, job.source, cores).min(ranges.len()).max(1);
    let threads = (lanes > 1).then(|| u32::try_from(cores / lanes).unwrap_or(1));
    let plan = Plan { job, ranges, scans, rungs, threads, step };
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (tell, hear) = sync_channel(WORDS);
    thread::scope(|scope| {
        for _ in 0..lanes {
            let (tell, plan, next, stop) = (tell.clone(), &plan, &next, &stop);
            scope.spawn(move || plan.lane(next, stop, &tell));
        }
        drop(tell);
        let made = plan.follow(&hear, progress);
        stop.store(true, Ordering::Relaxed);
        // A lane that waits to be heard goes on, and ends with its chunk; whoever waits hears that it does.
        for word in hear {
            if let Word::At(_, at) = word {
                progress(Progress { permille: plan.step.0, eta_ms: None, ..at });
            }
        }
        made
    })
}

/// How many chunks of these rungs are worth being encoded at once.
fn lanes(rungs: &[Rung], source: &MediaFacts, cores: usize) -> usize {
    let alone = |codec| !matches!(codec, VideoCodec::Vp9 | VideoCodec::Av1);
    if rungs.iter().any(|rung| alone(rung.codec)) {
        return 1;
    }
    let shown = source.video.first().map_or((0, 0), |video| video.shown_size());
    let size =
        |rung: &Rung| u64::from(rung.max_size.0.min(shown.0)) * u64::from(rung.max_size.1.min(shown.1));
    let pixels: u64 = rungs.iter().map(size).sum();
    let threads = usize::try_from(pixels.div_ceil(PIXELS_A_THREAD)).unwrap_or(cores).max(1);
    (cores / threads).max(1)
}

impl Plan<'_> {
    /// Takes one chunk after the other until there is none, or one has failed.
    fn lane(&self, next: &AtomicUsize, stop: &AtomicBool, tell: &SyncSender<Word>) {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(range) = self.ranges.get(number) else { return };
            // Nobody hears what is said once another lane has failed.
            let mut at = |at| _ = tell.send(Word::At(number, at));
            let word = match self.chunk(number, *range, &mut at) {
                Ok(made) => Word::Done(number, Box::new(made)),
                Err(failure) => Word::Failed(failure),
            };
            if tell.send(word).is_err() {
                return;
            }
        }
    }

    fn chunk(&self, number: usize, range: ChunkRange, at: &mut dyn FnMut(Progress)) -> Result<Made, Failure> {
        let LadderJob { input, source, settings, scratch, .. } = *self.job;
        let named = |rung: &Rung| scratch.join(format!("{}-{number}.chunk.mp4", rung.name));
        let outputs: Vec<(Rung, PathBuf)> =
            self.rungs.iter().map(|rung| (rung.clone(), named(rung))).collect();
        let (grid, threads) = (&settings.grid, self.threads);
        let found: Vec<u64> = self.scans.iter().flat_map(|scan| scan.cuts.iter().copied()).collect();
        let cuts = settings.keys_at_cuts(source, &range, &found);
        let caps = settings.whole_caps(source, &self.rungs);
        let bits = settings.budget(source, &self.scans, &self.ranges, number);
        let (rungs, caps, bits, cuts) = (&outputs[..], &caps[..], &bits[..], cuts.as_deref());
        let part = ChunkJob { input, source, range, grid, cuts, rungs, caps, bits, threads };
        let frames = encode_chunk(&part, at)?.frames;
        let scored = score_chunk(&part, &settings.vmaf, at)?;
        Ok(Made { files: outputs.into_iter().map(|(_, path)| path).collect(), frames, scored })
    }

    /// Hears the lanes out, up to the first failure.
    fn follow(&self, hear: &Receiver<Word>, progress: &mut dyn FnMut(Progress)) -> Result<Chunks, Failure> {
        let mut made = vec![Made::default(); self.ranges.len()];
        let mut shares = vec![0_u64; self.ranges.len()];
        // Every lane says the end of each chunk that it takes, or its failure.
        for word in hear {
            match word {
                Word::At(number, at) => {
                    shares[number] = shares[number].max(u64::from(at.permille));
                    progress(Progress { permille: placed(&shares, self.step), eta_ms: None, ..at });
                }
                Word::Done(number, chunk) => {
                    shares[number] = 1000;
                    made[number] = *chunk;
                }
                Word::Failed(failure) => return Err(failure),
            }
        }
        let mut all = Chunks { files: vec![Vec::new(); self.rungs.len()], frames: 0, vmaf: Vec::new() };
        for chunk in made {
            all.frames += chunk.frames;
            all.vmaf.resize(all.vmaf.len().max(chunk.scored.len()), VmafTally::default());
            all.vmaf.iter_mut().zip(&chunk.scored).for_each(|(whole, part)| whole.merge(part));
            all.files.iter_mut().zip(chunk.files).for_each(|(files, file)| files.push(file));
        }
        Ok(all)
    }
}

/// The chunks' shares as one of the whole, in thousandths.
fn placed(shares: &[u64], (from, to): (u16, u16)) -> u16 {
    let span = u64::from(to - from);
    let done = shares.iter().sum::<u64>() * span / (shares.len().max(1) as u64 * 1000);
    from + u16::try_from(done).unwrap_or(0).min(to - from)
}

/// What a look at each cell of the chunks' grid finds.
fn scans(
    job: &LadderJob<'_>,
    cells: &[ChunkRange],
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Scan>, Failure> {
    let mut scans = Vec::with_capacity(cells.len());
    for (number, range) in cells.iter().enumerate() {
        let cell = ScanJob { input: job.input, source: job.source, range: *range, threads: None };
        scans.push(scan(&cell, &mut |at| progress(within(at, SCANS, number, cells.len())))?);
    }
    Ok(scans)
}

#[cfg(test)]
mod tests {
    use rushes_shared::encode::SpeedPreset;
    use rushes_shared::ladder::ladder;
    use rushes_shared::media::VideoFacts;

    use super::*;

    #[test]
    fn small_rungs_of_slow_codecs_are_encoded_side_by_side_and_all_else_one_by_one() {
        let of = |size: (u32, u32), codec| {
            let video = VideoFacts { width: size.0, height: size.1, ..VideoFacts::default() };
            let source = MediaFacts { video: vec![video], ..MediaFacts::default() };
            lanes(&ladder(size, codec, 30, SpeedPreset::Medium), &source, 16)
        };
        assert_eq!(of((854, 480), VideoCodec::Vp9), 16, "0.6 million pixels");
        assert_eq!(of((1920, 1080), VideoCodec::Av1), 4, "3.6 million: four threads each");
        assert_eq!(of((3840, 2160), VideoCodec::Av1), 1);
        assert_eq!((of((854, 480), VideoCodec::H264), of((854, 480), VideoCodec::Hevc)), (1, 1));
    }

    #[test]
    fn chunks_fill_their_part_of_the_scale() {
        let at = |shares: &[u64]| placed(shares, CHUNKS);
        assert_eq!((at(&[0, 0]), at(&[1000, 0]), at(&[1000, 1000])), (30, 480, 930));
        assert_eq!(at(&[]), CHUNKS.0);
    }
}
