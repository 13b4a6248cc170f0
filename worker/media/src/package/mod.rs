//! Finished rungs and sound as a package for streaming: CMAF segments with HLS and DASH manifests over the same files.
//!
//! ```text
//! rung.mp4, … --index--> borders (key frames that all rungs have) --> segments --+--> NAME/init.mp4, NAME/1.m4s, …
//! sound.m4a   --index--------------------------------------------------> segments --+--> NAME/media.m3u8
//!                                                                                     manifest.mpd, then master.m3u8
//! ```
//! Packets are copied and not looked at; what describes them is copied byte for byte, so that a package has whatever codecs
//! its files have. Memory is that of the indexes, some 32 bytes a frame. The manifests come last, the top ones last of all,
//! and only after the check, so that what can be found is whole.

mod check;
mod codecs;
mod dash;
mod hls;
mod rate;
mod rendition;
mod standing;
mod timeline;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rushes_shared::check::{Check, CheckLimit, CheckName, CheckUnit};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::{PackageReport, PackageSettings};
use rushes_shared::task::{Phase, Progress};

use crate::fault;
use crate::mp4::read::{self, Kind, ReadTrack};
use crate::pace::Pace;
pub(crate) use check::keep;
use rendition::Made;
pub use standing::{ManifestsJob, manifests};
use timeline::Segment;

/// The share of its mean by which a rung may be over it, as a divisor.
const OVER_MEAN: u64 = 20;
/// The longest packet of sound in nanoseconds: AAC at 8 kHz.
const ONE_PACKET_NS: u64 = 128_000_000;
/// Names of the top manifests, in the order in which they are written.
const MANIFESTS: [&str; 2] = ["manifest.mpd", "master.m3u8"];

/// What to package.
#[derive(Debug, Clone, Copy)]
pub struct PackageJob<'a> {
    /// The rungs: files with one picture each, the best first. Sound in the first of them is taken where `sound` is empty.
    pub rungs: &'a [PathBuf],
    /// Files with sound.
    pub sound: &'a [PathBuf],
    /// How.
    pub settings: &'a PackageSettings,
    /// Where files are made: a directory that is there and has none of them.
    pub directory: &'a Path,
}

/// Makes a package. Blocks; calls `progress` at least once a second.
///
/// # Errors
/// [`FailureCode::CheckFailed`] where a limit is not kept, with check, limit, value and time: key frames that rungs do
/// not have in common, a segment that is too long, a bit rate that is too high, a segment that does not decode. Those of
/// reading the rungs and of writing. What was made is incomplete then, has no top manifest, and must be deleted.
pub fn package(job: &PackageJob<'_>, progress: &mut dyn FnMut(Progress)) -> Result<PackageReport, Failure> {
    let work = Work::open(job)?;
    let mut report = PackageReport { duration_ns: work.duration_ns(), ..PackageReport::default() };
    work.keeps_limits(&mut report.checks)?;
    report.checks.extend(work.sound_of_other_length(job.settings.segment_ns));
    let pace = Pace::new(Phase::Running, work.bytes(), 0);
    let mut written = 0;
    for item in work.items() {
        let mut done = |bytes: u64| {
            written += bytes;
            progress(pace.at(written, 0));
        };
        report.files.extend(item.made.write(&item.track, &item.path, job.directory, &mut done)?);
        write_playlist(item, work.target_s, job.directory, &mut report)?;
    }
    if job.settings.decode {
        work.decodes(job.directory, &mut report.checks, progress)?;
    }
    work.finish(&[job.directory], report)
}

/// Writes a rendition's playlist.
fn write_playlist(
    item: &Item,
    target_s: u64,
    directory: &Path,
    report: &mut PackageReport,
) -> Result<(), Failure> {
    let playlist = format!("{}/media.m3u8", item.made.about.name);
    write(directory, &playlist, &hls::media(&item.made, target_s))?;
    report.files.push(playlist);
    Ok(())
}

/// A rendition and where it comes from.
struct Item {
    path: PathBuf,
    track: ReadTrack,
    made: Made,
}

impl Item {
    /// When what is presented of it ends.
    fn end_ns(&self) -> u64 {
        u64::try_from(self.track.ns(self.track.shown_end())).unwrap_or(0)
    }
}

struct Work<'a> {
    settings: &'a PackageSettings,
    video: Vec<Item>,
    audio: Vec<Item>,
    /// The target duration of every playlist, in seconds.
    target_s: u64,
}

/// Longest segment of a film of variable rate, in thousandths of its length as asked for: encoders count the frames from key
/// frame to key frame, so that a part with fewer frames than the mean has longer segments.
pub(crate) const LONGEST_OF_VARIABLE: u32 = 5_000;

/// How long a segment may be at most.
fn longest_ns(settings: &PackageSettings) -> u64 {
    let usual = settings.segment_ns / 1000 * u64::from(settings.longest_permille);
    settings.longest_ms.map_or(usual, |ms| u64::from(ms) * 1_000_000)
}

impl Work<'_> {
    /// Sounds that are shorter or longer than the picture by more than a segment. A film may have such; else segments are lost that
    /// nothing names, or the sound is that of another film.
    fn sound_of_other_length(&self, segment_ns: u64) -> Vec<Check> {
        let end = |item: &Item| item.track.ns(item.track.media_end());
        let Some(picture) = self.video.first().map(end) else { return Vec::new() };
        let told = |item: &Item| {
            let off_ns = end(item).saturating_sub(picture);
            let side = if off_ns < 0 { "before" } else { "after" };
            let off_ms = off_ns.unsigned_abs() / 1_000_000;
            let why = format!("it ends {off_ms} ms {side} the picture does");
            let told = || {
                Check::not_judged(CheckName::AudioLength, CheckUnit::Ms, None, why).of(&item.made.about.name)
            };
            (off_ns.unsigned_abs() > segment_ns).then(told)
        };
        self.audio.iter().filter_map(told).collect()
    }
}

impl<'a> Work<'a> {
    fn open(job: &PackageJob<'a>) -> Result<Self, Failure> {
        let settings = job.settings;
        let mut names = BTreeSet::new();
        let (mut video, mut tracks) = (Vec::new(), Vec::new());
        let mut borders = Vec::new();
        for (number, path) in job.rungs.iter().enumerate() {
            let name = name_of(settings.names.get(number), path, &mut names);
            let mut read = read::read(path)?;
            let at = read.iter().position(|track| track.kind == Kind::Video && !track.samples.is_empty());
            let track = read.swap_remove(at.ok_or_else(|| nothing(path, "pictures"))?);
            starts_whole(&name, &track)?;
            if number == 0 {
                let by = if settings.nearest { timeline::nearest_borders } else { timeline::borders };
                borders = by(&track, settings.segment_ns);
                timeline::join_short_end(&mut borders, &track, longest_ns(settings));
                let sound = read.into_iter().filter(|track| track.kind == Kind::Audio);
                tracks.extend(sound.filter(|_| job.sound.is_empty()).map(|track| (path.clone(), track)));
            }
            video.push(Self::item(&name, path, track, &borders)?);
        }
        for path in job.sound {
            let read = read::read(path)?.into_iter().filter(|track| track.kind == Kind::Audio);
            let before = tracks.len();
            tracks.extend(read.map(|track| (path.clone(), track)));
            if tracks.len() == before {
                return Err(nothing(path, "sound"));
            }
        }
        if video.is_empty() {
            let what = "a package needs at least one rung";
            return Err(Failure::new(FailureCode::SettingsImpossible, what, "name a file with pictures"));
        }
        let mut audio = Vec::new();
        let heard = tracks.into_iter().filter(|(_, track)| !track.samples.is_empty());
        for (number, (path, track)) in heard.enumerate() {
            let plain = "sound".to_owned();
            let name = settings.sound_names.get(number).unwrap_or(&plain);
            let name = name_of(Some(name), &path, &mut names);
            audio.push(Self::item(&name, &path, track, &borders)?);
        }
        Ok(Self::of(settings, video, audio))
    }

    fn of(settings: &'a PackageSettings, mut video: Vec<Item>, mut audio: Vec<Item>) -> Self {
        let target_s = hls::target_s(video.iter().chain(&audio).map(|item| &item.made));
        for item in video.iter_mut().chain(&mut audio) {
            item.made.find_peak(target_s.saturating_mul(1_000_000_000));
        }
        Self { settings, video, audio, target_s }
    }

    fn item(name: &str, path: &Path, track: ReadTrack, borders: &[i64]) -> Result<Item, Failure> {
        let segments = timeline::segments(name, &track, borders)?;
        let made = Made::of(name, &track, segments)?;
        Ok(Item { path: path.to_owned(), track, made })
    }

    fn items(&self) -> impl Iterator<Item = &Item> {
        self.video.iter().chain(&self.audio)
    }

    fn bytes(&self) -> u64 {
        self.items().flat_map(|item| &item.made.segments).map(|segment| segment.bytes).sum()
    }

    fn duration_ns(&self) -> u64 {
        self.items().map(Item::end_ns).max().unwrap_or(0)
    }

    /// The length that the DASH manifest tells. A sound's last packet often ends some milliseconds behind the last picture. A player
    /// that has no picture left for them may wait there for ever, so that they are not told of.
    fn presented_ns(&self) -> u64 {
        let longest = self.duration_ns();
        let pictures = self.video.iter().map(Item::end_ns).max().unwrap_or(longest);
        if longest.saturating_sub(pictures) <= ONE_PACKET_NS { pictures } else { longest }
    }

    /// How long this segment may be. Nobody can cut a picture that stays for longer than a segment: where nothing else is asked for, a
    /// segment may be longer by that.
    fn most_ns(&self, item: &Item, segment: &Segment) -> u64 {
        let longest = longest_ns(self.settings);
        if self.settings.longest_ms.is_some() || segment.length_ns(item.track.timescale) <= longest {
            return longest;
        }
        let picture = item.track.ns(segment.longest_picture(&item.track)).unsigned_abs();
        let segment_ns = self.settings.segment_ns;
        if picture > segment_ns { longest.max(picture.saturating_add(segment_ns)) } else { longest }
    }

    /// What can be known without reading the media.
    fn keeps_limits(&self, checks: &mut Vec<Check>) -> Result<(), Failure> {
        // Segments are cut at borders that all rungs have; where one has none, there is no package.
        let borders = self.video.first().map_or(0, |item| item.made.segments.len());
        let common = Check::judged(CheckName::KeyFrames, CheckUnit::Count, CheckLimit::Exactly(0.0), 0.0);
        checks.push(common.noting(format!("{} rungs have {borders} borders in common", self.video.len())));
        for item in &self.video {
            let length = |segment: &Segment| segment.length_ns(item.track.timescale);
            let over = |segment: &Segment| {
                let length = length(segment);
                (length.saturating_sub(self.most_ns(item, segment)), length)
            };
            let Some(segment) = item.made.segments.iter().rev().max_by_key(|segment| over(segment)) else {
                continue;
            };
            let at_ns = u64::try_from(item.track.ns(segment.start)).unwrap_or(0);
            let limit = CheckLimit::AtMost(in_ms(self.most_ns(item, segment)));
            let check = Check::judged(CheckName::SegmentLength, CheckUnit::Ms, limit, in_ms(length(segment)));
            keep(check.of(&item.made.about.name).at(at_ns), checks)?;
        }
        for check in self.sound_in_place() {
            keep(check, checks)?;
        }
        for (item, limit) in self.video.iter().zip(&self.settings.max_bps) {
            let Some(limit) = limit else { continue };
            let (found, at_ns) = rate::window(&item.track, self.settings.window_ns);
            let limit = CheckLimit::AtMost(number(*limit));
            let check = Check::judged(CheckName::PeakBitrate, CheckUnit::Bps, limit, number(found));
            let over = format!("over {} s", seconds(self.settings.window_ns));
            keep(check.of(&item.made.about.name).at(at_ns).noting(over), checks)?;
        }
        for (item, mean_bps) in self.video.iter().zip(&self.settings.mean_bps) {
            keep(has_mean(item, *mean_bps), checks)?;
        }
        Ok(())
    }

    /// Decodes every segment, which lie in this directory.
    fn decodes(
        &self,
        directory: &Path,
        checks: &mut Vec<Check>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Failure> {
        let frames = self.items().map(|item| item.made.about.packets).sum();
        let (pace, mut before) = (Pace::new(Phase::Checking, 0, frames), 0);
        for item in self.items() {
            let mut beat = |count| progress(pace.at(0, before + count));
            check::decodes(directory, (&item.made, &item.track), checks, &mut beat)?;
            before += item.made.about.packets;
        }
        let errors = Check::judged(CheckName::DecodingErrors, CheckUnit::Count, CheckLimit::AtMost(0.0), 0.0);
        checks.push(errors.noting(format!("every segment of {} renditions", self.items().count())));
        Ok(())
    }

    /// Writes the top manifests into the first directory, once all that they name is in one of them.
    fn finish(self, directories: &[&Path], mut report: PackageReport) -> Result<PackageReport, Failure> {
        let is_one_sound = self.settings.sounds_are_variants;
        let directory = directories.first().copied().unwrap_or(Path::new("."));
        let presented_ns = self.presented_ns();
        let (video, audio) = self.into_made();
        let manifest = dash::manifest(&video, &audio, is_one_sound, presented_ns);
        // Written under other names until what they name is known to be there.
        let drafts = [manifest, hls::master(&video, &audio, is_one_sound)];
        for (name, text) in MANIFESTS.iter().zip(&drafts) {
            write(directory, &format!("{name}.part"), text)?;
        }
        let mut seen = BTreeSet::new();
        check::references(directories, "master.m3u8.part", &mut seen)?;
        let missing = Check::judged(CheckName::References, CheckUnit::Count, CheckLimit::Exactly(0.0), 0.0);
        report.checks.push(missing.noting(format!("{} files, all there", seen.len())));
        for name in MANIFESTS {
            let draft = directory.join(format!("{name}.part"));
            fs::rename(draft, directory.join(name)).map_err(|error| fault::writing(&error))?;
            report.files.push(name.to_owned());
        }
        report.video = video.into_iter().map(|made| made.about).collect();
        report.audio = audio.into_iter().map(|made| made.about).collect();
        Ok(report)
    }

    /// Where each sound begins in relation to the picture.
    fn sound_in_place(&self) -> Vec<Check> {
        let (Some(sync), Some(picture)) = (self.settings.sync, self.video.first()) else { return Vec::new() };
        let begin = |item: &Item| {
            let track = &item.track;
            let first = track.samples.iter().map(|sample| sample.pts).min().unwrap_or(0);
            // What an encoder puts before the sound is not heard.
            track.ns(first.saturating_add(i64::try_from(track.skip).unwrap_or(0)))
        };
        let judged = |item: &Item| {
            let at_ns = begin(item);
            let off = at_ns.saturating_sub(begin(picture)).abs_diff(sync.offset_ns);
            let limit = CheckLimit::AtMost(in_ms(sync.limit_ns));
            let check = Check::judged(CheckName::AvSync, CheckUnit::Ms, limit, in_ms(off));
            check.of(&item.made.about.name).at(u64::try_from(at_ns).unwrap_or(0))
        };
        self.audio.iter().map(judged).collect()
    }

    fn into_made(self) -> (Vec<Made>, Vec<Made>) {
        let made = |items: Vec<Item>| items.into_iter().map(|item| item.made).collect();
        (made(self.video), made(self.audio))
    }
}

/// Whether a rung has no more bytes than its mean rate gives it. Fewer are no fault: a film may be too easy to need them.
fn has_mean(item: &Item, mean_bps: u64) -> Check {
    let length: u64 = item.made.segments.iter().map(|segment| segment.length_ns(item.track.timescale)).sum();
    let most_bps = mean_bps.saturating_add(mean_bps / OVER_MEAN);
    let most = crate::pace::scaled(most_bps, length, 8_000_000_000);
    let found: u64 = item.made.segments.iter().map(|segment| segment.bytes).sum();
    let limit = CheckLimit::AtMost(number(most));
    let check = Check::judged(CheckName::Size, CheckUnit::Bytes, limit, number(found));
    let mean = rate::rate(found, length);
    check.of(&item.made.about.name).noting(format!("{mean} b/s on the mean, {mean_bps} asked for"))
}

/// Pictures before the film's start cannot be left out without encoding again.
fn starts_whole(name: &str, track: &ReadTrack) -> Result<(), Failure> {
    let cut = track.samples.iter().any(|sample| sample.pts < 0);
    if cut {
        return Err(Failure::new(
            FailureCode::Unsupported,
            format!("{name} begins with pictures that its edit list cuts off"),
            "encode it first",
        ));
    }
    Ok(())
}

/// A name that no other rendition has: letters, digits, `-` and `_`, as it is part of paths and manifests.
fn name_of(given: Option<&String>, path: &Path, taken: &mut BTreeSet<String>) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let text = given.unwrap_or(&stem);
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let mut name: String = text.chars().take(64).map(plain).collect();
    if name.is_empty() {
        "rung".clone_into(&mut name);
    }
    let base = name.clone();
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{base}-{number}");
        number += 1;
    }
    name
}

/// Rungs that stand beside each other and have the same codec: those that a player changes between.
fn by_codec(video: &[Made]) -> Vec<&[Made]> {
    let family = |made: &Made| made.about.codecs.split('.').next().unwrap_or_default().to_owned();
    video.chunk_by(|a, b| family(a) == family(b)).collect()
}

/// A segment's file, by its number from 1.
fn segment_name(number: u32) -> String {
    format!("{number}.m4s")
}

#[expect(clippy::cast_precision_loss, reason = "bits and milliseconds of a film are far fewer than 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}

fn in_ms(ns: u64) -> f64 {
    number(ns) / 1e6
}

/// Seconds with six digits, without zeros at the end.
fn seconds(ns: u64) -> String {
    let text = format!("{}.{:06}", ns / 1_000_000_000, ns / 1000 % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn write(directory: &Path, name: &str, text: &str) -> Result<(), Failure> {
    fs::write(directory.join(name), text).map_err(|error| fault::writing(&error))
}

fn nothing(path: &Path, what: &str) -> Failure {
    Failure::new(
        FailureCode::StreamMissing,
        format!("{} has no {what}", path.display()),
        "name files that have pictures as rungs, and files that have sound as sound",
    )
}
