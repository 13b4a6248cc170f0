//! The chunks of a rung and the film's sound, put together without encoding again.
//!
//! ```text
//! chunk files --+
//! sound         +--> one MP4, index first
//! ```
//! Packets are copied as they are. Every chunk has to be described by the same sample entry, byte for byte: parameter sets
//! stand there once for the whole file, and a chunk that was encoded with others would decode to something else. Sound is
//! [encoded in one piece](sound()), as an encoder begins with priming that only the film's start may have.

mod sound;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{Phase, Progress};

use crate::damage::Seen;
use crate::encode::gaps::Gaps;
use crate::encode::output;
use crate::fault;
use crate::mp4::fragment;
use crate::mp4::read::{self, Kind, ReadTrack};
use crate::mp4::samples::{SampleReader, unreadable};
use crate::mp4::{CopiedTrack, Packet, TrackId, TrackKind, Writer};
use crate::pace::Pace;
pub(crate) use sound::sound_at_level;
pub use sound::{SoundEncoded, sound};

/// How many packets go by between two words about progress.
const PACKETS_TO_A_WORD: usize = 4096;

/// What to join.
#[derive(Debug, Clone, Copy)]
pub struct JoinJob<'a> {
    /// A rung's chunks, in the film's order.
    pub chunks: &'a [PathBuf],
    /// The film's sound, as [`sound()`] makes it.
    pub sound: Option<&'a Path>,
    /// How many frames there have to be; `None` where it is not known.
    pub frames: Option<u64>,
    /// The file to write; overwritten where it exists.
    pub output: &'a Path,
}

/// A file that was put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Frames.
    pub frames: u64,
    /// When the first frame is shown in the film, in nanoseconds.
    pub video_start_ns: u64,
    /// From the first frame's start to the last one's end.
    pub video_duration_ns: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// What all chunks' parameter sets and settings have in common, for comparing rungs that were made at other times.
    pub fingerprint: String,
    /// The longest time from a frame to the next, as the film's frames went into the chunks.
    pub(crate) video_gap_ns: u64,
    /// What decoders concealed of the film, as its chunks tell.
    pub(crate) damage: Seen,
}

/// Joins chunks. Blocks; calls `progress` at least once a second.
///
/// # Errors
/// [`FailureCode::SettingsImpossible`] where chunks do not belong together: other parameter sets or another picture, a
/// time that goes back. [`FailureCode::CheckFailed`] for another number of frames than there has to be. Those of reading
/// and writing files. The output is incomplete then and must be deleted.
pub fn join(job: &JoinJob<'_>, progress: &mut dyn FnMut(Progress)) -> Result<Joined, Failure> {
    join_of(job, None, progress)
}

/// The same, with what a copy keeps of what its film says of itself.
pub(crate) fn join_of(
    job: &JoinJob<'_>,
    film: Option<&MediaFacts>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Joined, Failure> {
    let (paths, blanks) = without_blanks(job.chunks)?;
    let mut chunks = Vec::with_capacity(paths.len());
    for path in &paths {
        chunks.push(only_track(path, Kind::Video)?);
    }
    let first = chunks.first().ok_or_else(nothing)?;
    let fingerprint = fingerprint(first);
    belongs_together(&paths, &chunks)?;
    if let Some((path, _)) = blanks.iter().find(|(_, recipe)| first.recipe != Some(*recipe)) {
        return Err(unlike(format!("{} was made by other settings than the other chunks", path.display())));
    }
    let frames = chunks.iter().map(|chunk| chunk.samples.len() as u64).sum::<u64>();
    if let Some(expected) = job.frames.filter(|expected| *expected != frames) {
        return Err(Failure::new(
            FailureCode::CheckFailed,
            format!("frames: must be {expected}, got {frames} in {} chunks", chunks.len()),
            "encode the chunks again",
        ));
    }
    let sound = job.sound.map(|path| only_track(path, Kind::Audio)).transpose()?;
    let (start, end) = (first.ns(first_shown(first)), first.ns(chunks[chunks.len() - 1].media_end()));
    let length = u64::try_from(end - start).unwrap_or(0);
    let pace = Pace::new(Phase::Running, length, frames);
    let mut copy = Copy::begin(job, &chunks, sound, film)?;
    let mut done = 0;
    for (path, chunk) in paths.iter().zip(&chunks) {
        let mut from = SampleReader::open(path)?;
        for sample in &chunk.samples {
            let at = chunk.ns(sample.pts);
            copy.sound_until(at)?;
            let packet = Packet { pts_ns: at, duration_ns: 0, key: sample.key, data: from.get(sample)? };
            copy.writer.push(copy.video, packet).map_err(|error| fault::writing(&error))?;
            done += 1;
            if done % PACKETS_TO_A_WORD == 0 {
                progress(pace.at(u64::try_from(at - start).unwrap_or(0), done as u64));
            }
        }
    }
    let last = chunks[chunks.len() - 1].samples.iter().map(|sample| sample.pts).max().unwrap_or(0);
    let bytes = copy.finish(u64::try_from(end - first.ns(last)).unwrap_or(0))?;
    progress(pace.at(length, frames));
    let video_start_ns = u64::try_from(start).unwrap_or(0);
    let mut gaps = Gaps::default();
    let packets = chunks.iter().flat_map(|chunk| chunk.samples.iter().map(|sample| chunk.ns(sample.pts)));
    packets.for_each(|at| gaps.picture(u64::try_from(at).unwrap_or(0)));
    let video_gap_ns = gaps.longest().ns;
    let mut damage = Seen::default();
    for (places, first) in chunks.iter().filter_map(|chunk| chunk.damage.as_ref()) {
        damage.add(*places, first);
    }
    Ok(Joined { frames, video_start_ns, video_duration_ns: length, bytes, fingerprint, video_gap_ns, damage })
}

/// Files and recipes.
type Blanks = Vec<(PathBuf, [u8; 16])>;

/// Chunks in which frames begin, and those in which none does.
fn without_blanks(chunks: &[PathBuf]) -> Result<(Vec<PathBuf>, Blanks), Failure> {
    /// Blank files are smaller.
    const HEAD: u64 = 256;
    let (mut shown, mut blanks) = (Vec::with_capacity(chunks.len()), Vec::new());
    for path in chunks {
        let mut head = Vec::new();
        let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
        read.map_err(|error| unreadable(&path.display().to_string(), &error))?;
        match fragment::recipe_of_blank(&head) {
            Some(recipe) => blanks.push((path.clone(), recipe)),
            None => shown.push(path.clone()),
        }
    }
    Ok((shown, blanks))
}

/// The output, and the sound that goes into it beside the pictures.
struct Copy {
    writer: Writer,
    video: TrackId,
    sound: Option<SoundCopy>,
}

struct SoundCopy {
    id: TrackId,
    track: ReadTrack,
    from: SampleReader,
    next: usize,
}

impl Copy {
    fn begin(
        job: &JoinJob<'_>,
        chunks: &[ReadTrack],
        sound: Option<ReadTrack>,
        film: Option<&MediaFacts>,
    ) -> Result<Self, Failure> {
        let (texts, created) = output::about(film.unwrap_or(&MediaFacts::default()));
        let frames: u64 = chunks.iter().map(|chunk| chunk.samples.len() as u64).sum();
        let packets = sound.as_ref().map_or(0, |sound| sound.samples.len() as u64);
        let changes: usize = chunks.iter().map(changes_of_duration).sum();
        let room = Writer::estimate(frames, packets, &texts) + 8 * changes as u64;
        let mut writer = Writer::create(job.output, room).map_err(|error| fault::writing(&error))?;
        if film.is_none() && sound.is_none() {
            // A rung: its sound lies in a file of its own, on the film's own time line too.
            writer.origin(0);
        }
        texts.into_iter().for_each(|(code, text)| writer.text(code, text));
        writer.created(created);
        let video = writer.add(TrackKind::Copied(copied(&chunks[0])));
        let sound = match (sound, job.sound) {
            (Some(track), Some(path)) => {
                let id = writer.add(TrackKind::Copied(copied(&track)));
                Some(SoundCopy { id, from: SampleReader::open(path)?, track, next: 0 })
            }
            _ => None,
        };
        Ok(Self { writer, video, sound })
    }

    /// Copies the sound that is heard before a time.
    fn sound_until(&mut self, until_ns: i64) -> Result<(), Failure> {
        let Some(sound) = &mut self.sound else { return Ok(()) };
        while let Some(sample) = sound.track.samples.get(sound.next) {
            let pts_ns = sound.track.ns(sample.pts);
            if pts_ns >= until_ns {
                break;
            }
            let data = sound.from.get(sample)?;
            let packet = Packet { pts_ns, duration_ns: 0, key: true, data };
            self.writer.push(sound.id, packet).map_err(|error| fault::writing(&error))?;
            sound.next += 1;
        }
        Ok(())
    }

    fn finish(mut self, last_frame_ns: u64) -> Result<u64, Failure> {
        self.sound_until(i64::MAX)?;
        self.writer.lasts(self.video, last_frame_ns);
        if let Some(sound) = &self.sound
            && let Some(last) = sound.track.samples.last()
        {
            let lasts = sound.track.ns(i64::from(last.duration));
            self.writer.lasts(sound.id, u64::try_from(lasts).unwrap_or(0));
        }
        self.writer.finish().map_err(|error| fault::writing(&error))
    }
}

/// A track as it goes into another file.
fn copied(track: &ReadTrack) -> CopiedTrack {
    let skip = i64::try_from(track.skip).unwrap_or(i64::MAX);
    let presented = track.shown_end() - first_shown(track) - skip;
    CopiedTrack {
        is_video: track.kind == Kind::Video,
        entry: track.entry.clone(),
        shown: track.shown,
        language: track.language,
        timescale: track.timescale,
        skip: track.skip,
        presented: (track.kind == Kind::Audio).then(|| u64::try_from(presented).unwrap_or(0)),
    }
}

fn first_shown(track: &ReadTrack) -> i64 {
    track.samples.iter().map(|sample| sample.pts).min().unwrap_or(0)
}

/// How often a sample lasts longer or shorter than the one before.
fn changes_of_duration(track: &ReadTrack) -> usize {
    track.samples.windows(2).filter(|pair| pair[0].duration != pair[1].duration).count()
}

/// The one track of a file, with samples.
fn only_track(path: &Path, kind: Kind) -> Result<ReadTrack, Failure> {
    let mut tracks = read::read(path)?;
    let found = tracks.iter().position(|track| track.kind == kind && !track.samples.is_empty());
    let what = if kind == Kind::Video { "pictures" } else { "sound" };
    match found {
        Some(at) if tracks.len() == 1 => Ok(tracks.swap_remove(at)),
        _ => Err(Failure::new(
            FailureCode::StreamMissing,
            format!("{} is no file of {what} alone", path.display()),
            "join files that were made for it",
        )),
    }
}

fn fingerprint(track: &ReadTrack) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&track.timescale.to_le_bytes());
    hasher.update(&track.entry);
    hasher.update(&track.recipe.unwrap_or_default());
    hasher.finalize().to_hex()[..16].to_owned()
}

fn belongs_together(paths: &[PathBuf], chunks: &[ReadTrack]) -> Result<(), Failure> {
    let wanted = fingerprint(&chunks[0]);
    for (number, (path, chunk)) in (1..).zip(paths.iter().zip(chunks)) {
        let found = fingerprint(chunk);
        if found != wanted {
            let is_described_alike = chunk.entry == chunks[0].entry && chunk.timescale == chunks[0].timescale;
            let what =
                if is_described_alike { "was made by other settings" } else { "has other parameter sets" };
            return Err(unlike(format!(
                "chunk {number} ({}) {what} than chunk 1: {found} and not {wanted}",
                path.display()
            )));
        }
        if !chunk.samples[0].key {
            return Err(unlike(format!(
                "chunk {number} ({}) does not begin with a key frame",
                path.display()
            )));
        }
    }
    for (number, pair) in (2..).zip(chunks.windows(2)) {
        let last = pair[0].samples.iter().map(|sample| sample.pts).max().unwrap_or(0);
        let next = first_shown(&pair[1]);
        if next <= last {
            let (next, last) = (seconds(pair[1].ns(next)), seconds(pair[0].ns(last)));
            return Err(unlike(format!(
                "chunk {number} begins at {next}, and the one before shows a frame at {last}"
            )));
        }
    }
    Ok(())
}

fn seconds(ns: i64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1000)
}

fn unlike(message: String) -> Failure {
    Failure::new(
        FailureCode::SettingsImpossible,
        message,
        "join the chunks of one film and one rung, all encoded with one version and one set of settings",
    )
}

fn nothing() -> Failure {
    Failure::new(FailureCode::SettingsImpossible, "there is no chunk to join", "name at least one")
}
