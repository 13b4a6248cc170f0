//! The steps of a streaming set within a task process: files in, one file out at most.
//!
//! ```text
//! sound    film -> sound.m4a
//! stills   film -> poster.jpg, sprite.jpg, sprite.vtt           in a bundle
//! scan     film -> where scenes of a part of it begin           no file
//! chunk    film -> a part of it in every rung, RUNG.mp4         in a bundle
//! package  all of these -> segments, manifests, report.json     in a bundle
//! ```
//! Everything is made in the current directory, which is the attempt's own. While a set is packaged, its media lies there
//! up to three times: as it was fetched, as whole rungs, and as the package or its bundle.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rushes_media as media;
use rushes_shared::artifact::{ContentHash, FilePath};
use rushes_shared::encode::AudioSettings;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::{Borders, ChunkRange, LadderSettings, PackageReport, Rung};
use rushes_shared::measure::VmafTally;
use rushes_shared::media::MediaFacts;
use rushes_shared::still::{Moment, SpriteSettings, StillFormat, ThumbnailSettings};
use rushes_shared::task::{PackageWork, Phase, Progress, REPORT, STILLS, SetFile, SetReport, Took};
use serde::{Deserialize, Serialize};

use super::protocol::LocalResult;
use crate::bundle;

/// A step of a streaming set, all paths local.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "made once per task")]
pub enum LocalStream {
    /// The film's sound.
    Sound {
        /// The film.
        input: PathBuf,
        /// Its facts.
        source: MediaFacts,
        /// How to encode.
        settings: AudioSettings,
    },
    /// Poster and sprite sheet.
    Stills {
        /// The film.
        input: PathBuf,
        /// Its facts.
        source: MediaFacts,
    },
    /// A part of the film in every rung.
    Chunk {
        /// The film.
        input: PathBuf,
        /// Its facts.
        source: MediaFacts,
        /// Which part.
        range: ChunkRange,
        /// Where key frames lie.
        settings: LadderSettings,
        /// The rungs.
        rungs: Vec<Rung>,
        /// The bits that each is to have; none where their rate factors decide.
        bits: Vec<u64>,
        /// Cuts at which groups of pictures begin, where chunks begin at cuts.
        cuts: Vec<u64>,
        /// Threads that it may keep busy; `None` for every core.
        threads: Option<u32>,
    },
    /// The package.
    Package {
        /// What it is made of; the files are these.
        work: PackageWork,
        /// The sound, the best rate first.
        sound: Vec<PathBuf>,
        /// The stills' bundle.
        stills: Option<PathBuf>,
        /// The chunks' bundles, in the film's order.
        chunks: Vec<PathBuf>,
    },
    /// A look at a part of the film.
    Scan {
        /// The film.
        input: PathBuf,
        /// Its facts.
        source: MediaFacts,
        /// Which part.
        range: ChunkRange,
        /// Threads that it may keep busy; `None` for every core.
        threads: Option<u32>,
    },
}

/// What a step but the package has made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocalPart {
    /// Frames of a chunk in every rung.
    pub frames: u64,
    /// How long a chunk or the sound is, in nanoseconds.
    pub duration_ns: u64,
    /// Scores of a chunk's rungs; none where VMAF is not measured.
    pub vmaf: Vec<VmafTally>,
}

/// A finished set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocalSet {
    /// Renditions, checks, manifests.
    pub report: PackageReport,
    /// Files beside the renditions' directories.
    pub top: Vec<SetFile>,
    /// Files in all.
    pub files: u32,
    /// Their bytes together.
    pub size_bytes: u64,
    /// What the steps took.
    pub took: Took,
    /// The encoder of the pictures, with its library's version where known.
    pub encoder: String,
}

/// Where the bytes of a set begin to be gathered, in thousandths of its package.
/// After so many bytes of a chunk that is put together its worker hears that it goes on.
const TOLD_BYTES: u64 = 64 << 20;
const GATHER: u16 = 850;
/// The poster's width in pixels, and the width of the sprite sheet's pictures and how many are in a row.
const POSTER_WIDTH: u32 = 1280;
const TILE_WIDTH: u32 = 160;
const TILE_COLUMNS: u32 = 10;

/// Does a step; its one file is `output`.
pub(super) fn perform(
    work: &LocalStream,
    output: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<LocalResult, Failure> {
    if let LocalStream::Sound { input, source, .. }
    | LocalStream::Chunk { input, source, .. }
    | LocalStream::Scan { input, source, .. } = work
    {
        media::promise_kept(input, source)?;
    }
    match work {
        LocalStream::Sound { input, source, settings } => {
            let made = media::sound(input, source, settings, output, progress)?;
            Ok(LocalResult::Part(LocalPart { frames: 0, duration_ns: made.duration_ns, vmaf: Vec::new() }))
        }
        LocalStream::Stills { input, source } => stills(input, source, output, progress),
        LocalStream::Chunk { input, source, range, settings, rungs, bits, cuts, threads } => {
            let files = directory("chunk")?;
            let named = |rung: &Rung| files.join(chunk_name(rung));
            let caps = settings.whole_caps(source, rungs);
            let rungs: Vec<(Rung, PathBuf)> = rungs.iter().map(|rung| (rung.clone(), named(rung))).collect();
            let (range, grid, threads) = (*range, &settings.grid, *threads);
            let cuts = (settings.borders == Borders::Scenes).then_some(&cuts[..]);
            let (rungs, caps) = (&rungs[..], &caps[..]);
            let job = media::ChunkJob { input, source, range, grid, cuts, rungs, caps, bits, threads };
            let made = media::encode_chunk(&job, progress)?;
            let vmaf = media::score_chunk(&job, &settings.vmaf, progress)?;
            // Bytes count as media time, so that nobody takes a slow disk for a stall.
            let mut written = 0_u64;
            bundle::make(&files, output, &mut |bytes| {
                let before = written / TOLD_BYTES;
                written += bytes;
                if written / TOLD_BYTES == before {
                    return;
                }
                let media_ns = made.end_ns.saturating_add(written);
                progress(Progress { phase: Phase::Running, permille: 999, media_ns, ..Progress::default() });
            })?;
            let duration_ns = made.end_ns.saturating_sub(made.start_ns);
            Ok(LocalResult::Part(LocalPart { frames: made.frames, duration_ns, vmaf }))
        }
        LocalStream::Scan { input, source, range, threads } => {
            let (range, threads) = (*range, *threads);
            let job = media::ScanJob { input, source, range, threads };
            Ok(LocalResult::Scanned(media::scan(&job, progress)?))
        }
        LocalStream::Package { work, sound, stills, chunks } => {
            let parts = Parts { sound, stills: stills.as_deref(), chunks };
            let made = package(work, &parts, output, progress)?;
            Ok(LocalResult::Set(Box::new(made)))
        }
    }
}

fn stills(
    input: &Path,
    source: &MediaFacts,
    output: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<LocalResult, Failure> {
    let files = directory("stills")?;
    let [poster, sheet, index] = STILLS.map(|name| files.join(name));
    let half = |at: Progress, second: bool| {
        let permille = at.permille.min(1000) / 2 + if second { 500 } else { 0 };
        Progress { permille, eta_ms: None, ..at }
    };
    let settings = ThumbnailSettings {
        moment: Moment::Best,
        max_width: Some(POSTER_WIDTH),
        max_height: None,
        format: StillFormat::Jpeg(85),
    };
    let keep = Box::new(move |_, bytes: &[u8]| fs::write(&poster, bytes).map_err(|e| unwritable(&e)));
    media::thumbnails(input, source, &settings, keep, &mut |at| progress(half(at, false)))?;
    let settings = SpriteSettings {
        every_ns: None,
        width: TILE_WIDTH,
        columns: TILE_COLUMNS,
        format: StillFormat::Jpeg(80),
        name: STILLS[1].to_owned(),
    };
    let sprite = media::sprite(input, source, &settings, &mut |at| progress(half(at, true)))?;
    fs::write(sheet, sprite.sheet).map_err(|error| unwritable(&error))?;
    fs::write(index, sprite.index).map_err(|error| unwritable(&error))?;
    bundle::make(&files, output, &mut |_| {})?;
    Ok(LocalResult::Part(LocalPart { frames: sprite.pictures as u64, duration_ns: 0, vmaf: Vec::new() }))
}

struct Parts<'a> {
    sound: &'a [PathBuf],
    stills: Option<&'a Path>,
    chunks: &'a [PathBuf],
}

fn package(
    work: &PackageWork,
    parts: &Parts<'_>,
    output: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<LocalSet, Failure> {
    let since = Instant::now();
    let (scratch, set) = (directory("scratch")?, directory("set")?);
    let teller = RefCell::new(Teller { progress, last: Progress::default(), steps: 0 });
    let job = media::FinishJob {
        source: &work.source,
        rungs: &work.rungs,
        frames: Some(work.frames),
        sound: parts.sound,
        vmaf: &work.vmaf,
        settings: &work.settings,
        scratch: &scratch,
        directory: &set,
    };
    let mut chunks_of = |number: usize| {
        let name = chunk_name(&work.rungs[number]);
        let mut chunks = Vec::with_capacity(parts.chunks.len());
        for (at, part) in parts.chunks.iter().enumerate() {
            let chunk = scratch.join(format!("{at}-{name}"));
            bundle::take(part, 1, &mut |path| (path.as_str() == name).then(|| chunk.clone()))?;
            chunks.push(chunk);
            teller.borrow_mut().moves();
        }
        Ok(chunks)
    };
    let mut tell = |at: Progress| teller.borrow_mut().tell(at, (0, GATHER));
    let report = media::finish_ladder(&job, &mut chunks_of, &mut tell)?;
    // The whole rungs are in their segments now.
    fs::remove_dir_all(&scratch).map_err(|error| unwritable(&error))?;
    if let Some(stills) = parts.stills {
        let mut place = |path: &FilePath| STILLS.contains(&path.as_str()).then(|| set.join(path.as_str()));
        bundle::take(stills, STILLS.len(), &mut place)?;
    }
    let size: u64 = bundle::list(&set)?.iter().map(|entry| entry.size).sum();
    let mut done = 0;
    let mut passed = |bytes: u64| {
        done += bytes;
        let share = u128::from(done) * 1000 / u128::from(2 * size.max(1));
        let media_ns = u128::from(report.duration_ns) * share / 1000;
        let at = Progress {
            phase: Phase::Running,
            permille: u16::try_from(share.min(1000)).unwrap_or(1000),
            media_ns: u64::try_from(media_ns).unwrap_or(u64::MAX),
            media_total_ns: report.duration_ns,
            ..Progress::default()
        };
        teller.borrow_mut().tell(at, (GATHER, 1000));
    };
    let mut files = bundle::hash(&set, &mut passed)?;
    let package_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    let took = Took { package_ms, ..work.took };
    let encoder = media::chunk_encoder(&work.rungs);
    files.push(write_report(&set, work, &report, took, &encoder, files.clone())?);
    bundle::make(&set, output, &mut passed)?;
    let is_top = |file: &&SetFile| file.path.parts().0.is_empty();
    Ok(LocalSet {
        top: files.iter().filter(is_top).cloned().collect(),
        files: u32::try_from(files.len()).unwrap_or(u32::MAX),
        size_bytes: files.iter().map(|file| file.size_bytes).sum(),
        report: PackageReport {
            files: report.files.into_iter().filter(|file| !is_media(file)).collect(),
            ..report
        },
        took,
        encoder,
    })
}

/// Writes the set's report, and says what it is as a file.
fn write_report(
    set: &Path,
    work: &PackageWork,
    report: &PackageReport,
    took: Took,
    encoder: &str,
    files: Vec<SetFile>,
) -> Result<SetFile, Failure> {
    let report = SetReport {
        package: report.clone(),
        source: work.source.clone(),
        settings: work.settings.clone(),
        took,
        encoder: encoder.to_owned(),
        made_by: format!("Rushes {}", rushes_shared::build::info().version),
        files,
    };
    let mut bytes = serde_json::to_vec_pretty(&report).map_err(|error| unwritable(&error.into()))?;
    bytes.push(b'\n');
    fs::write(set.join(REPORT), &bytes).map_err(|error| unwritable(&error))?;
    Ok(SetFile {
        path: REPORT.parse().expect("it is a path"),
        size_bytes: bytes.len() as u64,
        hash: ContentHash(*blake3::hash(&bytes).as_bytes()),
    })
}

/// Whether a file of a package is a segment or a part of one, and no manifest.
fn is_media(file: &str) -> bool {
    file.ends_with(".m4s") || file.ends_with(".mp4")
}

/// Tells of progress that never goes back.
struct Teller<'a> {
    progress: &'a mut dyn FnMut(Progress),
    last: Progress,
    steps: u64,
}

impl Teller<'_> {
    fn tell(&mut self, at: Progress, (from, to): (u16, u16)) {
        let part = u32::from(to - from) * u32::from(at.permille.min(1000)) / 1000;
        let permille = from + u16::try_from(part).unwrap_or(0);
        self.last = Progress { permille: permille.max(self.last.permille), eta_ms: None, ..at };
        (self.progress)(self.last);
    }

    /// Something has moved that is not counted.
    fn moves(&mut self) {
        self.steps += 1;
        (self.progress)(Progress { media_ns: self.last.media_ns + self.steps, ..self.last });
    }
}

pub(super) fn chunk_name(rung: &Rung) -> String {
    format!("{}.mp4", rung.name)
}

pub(super) fn directory(name: &str) -> Result<PathBuf, Failure> {
    fs::create_dir(name).map_err(|error| unwritable(&error))?;
    Ok(PathBuf::from(name))
}

pub(super) fn unwritable(error: &io::Error) -> Failure {
    Failure::new(
        FailureCode::NodeUnfit,
        "a file of the set cannot be written on the node",
        "look at the worker's disk; the task is tried elsewhere",
    )
    .with_detail(&error.to_string())
}
