//! A set whose segments are there: its manifests are written anew, and it is checked.
//!
//! Only the headers of segments are read, some hundred bytes for each, so that an hour in five rungs takes a second or two. Nothing in
//! the set is changed: manifests are made in a directory of their own.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::{PackageReport, PackageSettings};
use rushes_shared::task::{Phase, Progress};

use super::rate::Cost;
use super::rendition::Made;
use super::timeline::{self, ROUNDING_NS, Segment};
use super::{Item, LONGEST_OF_VARIABLE, Work, segment_name, write_playlist};
use crate::fault;
use crate::mp4::read::{self, Kind, ReadTrack};
use crate::pace::Pace;

/// Most renditions of a set.
const MOST_RENDITIONS: usize = 64;
/// Most segments of one: 18 hours in segments of a second.
const MOST_SEGMENTS: u32 = 1 << 16;
/// Most frames of a set in all.
const MOST_FRAMES: usize = 16 << 20;
/// Longest set, in seconds.
const LONGEST_S: i64 = 1 << 31;
/// Largest playlist that is looked at, in bytes.
const LARGEST_PLAYLIST: u64 = 8 << 20;
/// By how much the borders of one sound's rates may differ, in nanoseconds: a few of its packets.
const SOUND_NS: u64 = 100_000_000;
/// A hole between segments that is none, in nanoseconds: two roundings to milliseconds.
const NO_HOLE_NS: u64 = 2_000_000;

/// What to write manifests for.
#[derive(Debug, Clone, Copy)]
pub struct ManifestsJob<'a> {
    /// The set: a directory for each rendition, with `init.mp4`, `1.m4s`, `2.m4s`, …
    pub set: &'a Path,
    /// Whether every segment is decoded.
    pub decode: bool,
    /// Where manifests are made, as `NAME/media.m3u8`, `manifest.mpd` and `master.m3u8`: a directory that is there and empty.
    pub directory: &'a Path,
}

/// Writes the manifests of a set over the segments that it has. Rungs of a codec stand together, the best first; codecs and sounds are
/// in the order of the set's master playlist, where it has one. Blocks; calls `progress` at least once a second.
///
/// # Errors
/// Those of [`package`](super::package()); [`FailureCode::CheckFailed`] also for a segment that is missing and for a hole in the time.
pub fn manifests(
    job: &ManifestsJob<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<PackageReport, Failure> {
    let order = Order::of(job.set);
    let places = renditions(job.set)?;
    let all = places.iter().map(|(_, segments)| u64::from(*segments)).sum();
    let (pace, mut before) = (Pace::new(Phase::Running, 0, all), 0);
    let (mut video, mut audio) = (Vec::new(), Vec::new());
    let mut frames = 0;
    for (name, count) in places {
        let mut beat = |number| progress(pace.at(0, before + u64::from(number)));
        let item = rendition(job.set, &name, count, &mut beat)?;
        before += u64::from(count);
        frames += item.track.samples.len();
        if frames > MOST_FRAMES {
            return Err(no_set(job.set, &format!("it has more than {MOST_FRAMES} frames")));
        }
        let kind = if item.track.kind == Kind::Video { &mut video } else { &mut audio };
        kind.push(item);
    }
    let Some(first) = video.first() else { return Err(no_set(job.set, "it has no rung")) };
    let segment_ns = usual_ns(first);
    order.sort(&mut video, &mut audio);
    let is_one_sound = order.is_one_sound(&audio);
    stand_together(&video, ROUNDING_NS.unsigned_abs())?;
    if is_one_sound {
        stand_together(&audio, SOUND_NS)?;
    }
    let settings = PackageSettings {
        segment_ns,
        // Whether the film's rate varies is not told here.
        longest_permille: LONGEST_OF_VARIABLE,
        decode: job.decode,
        sounds_are_variants: is_one_sound,
        ..PackageSettings::default()
    };
    let work = Work::of(&settings, video, audio);
    let mut report = PackageReport { duration_ns: work.duration_ns(), ..PackageReport::default() };
    work.keeps_limits(&mut report.checks)?;
    report.checks.extend(work.sound_of_other_length(segment_ns));
    for item in work.items() {
        let place = job.directory.join(&item.made.about.name);
        fs::create_dir(place).map_err(|error| fault::writing(&error))?;
        write_playlist(item, work.target_s, job.directory, &mut report)?;
    }
    if job.decode {
        work.decodes(job.set, &mut report.checks, progress)?;
    }
    work.finish(&[job.directory, job.set], report)
}

/// Names of a set's renditions and how many segments each has.
fn renditions(set: &Path) -> Result<Vec<(String, u32)>, Failure> {
    let fails = |error: std::io::Error| no_set(set, &error.to_string());
    let mut found = Vec::new();
    for entry in fs::read_dir(set).map_err(fails)? {
        let entry = entry.map_err(fails)?;
        let (place, name) = (entry.path(), entry.file_name());
        if !place.is_dir() {
            continue;
        }
        let shown = name.to_string_lossy();
        let looked = |error: std::io::Error| no_set(set, &format!("{shown} cannot be looked into: {error}"));
        let segments = count(&place).map_err(looked)?;
        if segments == 0 && !place.join("init.mp4").try_exists().map_err(looked)? {
            continue;
        }
        let Some(name) = name.to_str().filter(|name| is_plain(name)) else {
            return Err(no_set(
                set,
                &format!("'{shown}' has more than letters, digits, - and _ in its name"),
            ));
        };
        if found.len() == MOST_RENDITIONS {
            return Err(no_set(set, &format!("it has more than {MOST_RENDITIONS} renditions")));
        }
        found.push((name.to_owned(), segments));
    }
    found.sort();
    if found.is_empty() {
        return Err(no_set(set, "no directory in it has an init.mp4"));
    }
    Ok(found)
}

/// The highest number of a segment in a directory.
fn count(place: &Path) -> std::io::Result<u32> {
    let mut most = 0;
    for entry in fs::read_dir(place)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".m4s")?.parse().ok());
        most = number.unwrap_or(0).max(most);
    }
    Ok(most)
}

/// Reads one rendition.
fn rendition(set: &Path, name: &str, count: u32, beat: &mut dyn FnMut(u32)) -> Result<Item, Failure> {
    let place = set.join(name);
    let init = place.join("init.mp4");
    if !init.is_file() {
        return Err(broken(format!("{name}/init.mp4 is missing")));
    }
    let mut tracks = read::read(&init).map_err(|failure| of_file(failure, name, "init.mp4"))?;
    if tracks.len() != 1 {
        return Err(no_set(set, &format!("{name}/init.mp4 describes {} tracks, not one", tracks.len())));
    }
    if count == 0 {
        return Err(broken(format!("{name}/{} is missing", segment_name(1))));
    }
    let named = named(&place.join("media.m3u8"));
    if named > count {
        let playlist = format!("{name}/media.m3u8");
        return Err(broken(format!("{name}/{} is missing, which {playlist} names", segment_name(named))));
    }
    if count > MOST_SEGMENTS {
        return Err(no_set(set, &format!("{name} has {count} segments; up to {MOST_SEGMENTS} are read")));
    }
    let (mut starts, mut sizes) = (Vec::new(), Vec::new());
    for number in 1..=count {
        let file = place.join(segment_name(number));
        if !file.is_file() {
            return Err(broken(format!("{name}/{} is missing", segment_name(number))));
        }
        let before = samples(&tracks);
        let size = read::read_segment(&file, &mut tracks);
        sizes.push(size.map_err(|failure| of_file(failure, name, &segment_name(number)))?);
        if samples(&tracks) == before {
            return Err(broken(format!("{name}/{} has no frame", segment_name(number))));
        }
        starts.push(before);
        beat(number);
    }
    let track = tracks.swap_remove(0);
    if track.media_end() / i64::from(track.timescale) > LONGEST_S {
        return Err(no_set(set, &format!("{name} is longer than {LONGEST_S} s")));
    }
    let segments = timeline::between(&track, &starts);
    follow(name, &track, &segments)?;
    let cost =
        |(segment, bytes): (&Segment, u64)| Cost { bytes, length_ns: segment.length_ns(track.timescale) };
    let costs = segments.iter().zip(sizes).map(cost).collect();
    let made = Made::of(name, &track, segments)?.over(costs);
    Ok(Item { path: PathBuf::new(), track, made })
}

fn samples(tracks: &[ReadTrack]) -> usize {
    tracks.first().map_or(0, |track| track.samples.len())
}

/// Whether each segment can be decoded by itself, and follows the one before without a hole.
fn follow(name: &str, track: &ReadTrack, segments: &[Segment]) -> Result<(), Failure> {
    let file = |at: usize| format!("{name}/{}", segment_name(u32::try_from(at + 1).unwrap_or(u32::MAX)));
    for (at, segment) in segments.iter().enumerate() {
        let samples = &track.samples[segment.samples.clone()];
        if !samples.first().is_some_and(|sample| sample.key) {
            return Err(broken(format!("{} does not begin with a key frame", file(at))));
        }
        let length: u64 = samples.iter().map(|sample| u64::from(sample.duration)).sum();
        let own_end = segment.start.saturating_add_unsigned(length);
        let off = track.ns(own_end).abs_diff(track.ns(segment.end));
        if off > NO_HOLE_NS {
            let message = format!(
                "{} ends {} ms {} {} begins",
                file(at),
                off / 1_000_000,
                if own_end < segment.end { "before" } else { "after" },
                file(at + 1)
            );
            return Err(broken(message));
        }
    }
    Ok(())
}

/// Whether renditions have the same borders, within so many nanoseconds, and the same end within a frame.
fn stand_together(items: &[Item], within_ns: u64) -> Result<(), Failure> {
    let Some((first, others)) = items.split_first() else { return Ok(()) };
    let segments = |item: &'_ Item| item.made.segments.len();
    for item in others {
        let name = &item.made.about.name;
        let (has, first_has) = (segments(item), segments(first));
        let pairs = first.made.segments.iter().zip(&item.made.segments);
        let mut borders = pairs.map(|(own, other)| (first.track.ns(own.start), item.track.ns(other.start)));
        if let Some((border, _)) = borders.find(|(border, at)| border.abs_diff(*at) > within_ns) {
            return Err(match item.track.kind {
                Kind::Video => timeline::unaligned(name, border),
                Kind::Audio => broken(format!(
                    "a segment of {name} does not begin where {}'s does",
                    first.made.about.name
                )),
            });
        }
        if has != first_has {
            let message = format!("{name} has {has} segments, {} has {first_has}", first.made.about.name);
            return Err(broken(message));
        }
        let end = |item: &Item| item.track.ns(item.track.media_end());
        let frame = first.track.samples.last().map_or(0, |sample| sample.duration);
        let frame_ns = first.track.ns(i64::from(frame)).unsigned_abs();
        let off = end(item).abs_diff(end(first));
        if off > frame_ns.saturating_add(within_ns) {
            let (first, off_ms) = (&first.made.about.name, off / 1_000_000);
            return Err(broken(format!("{name} ends {off_ms} ms before or after {first}")));
        }
    }
    Ok(())
}

/// The length that most segments of a rung have, in nanoseconds.
fn usual_ns(item: &Item) -> u64 {
    let mut lengths: Vec<u64> =
        item.made.segments.iter().map(|segment| segment.length_ns(item.track.timescale)).collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied().unwrap_or(0)
}

/// The highest number of a segment that a playlist names; 0 where there is none.
fn named(playlist: &Path) -> u32 {
    let text = text_of(playlist).unwrap_or_default();
    let numbers = text.lines().filter_map(|line| line.strip_suffix(".m4s")?.parse().ok());
    numbers.max().unwrap_or(0)
}

/// A playlist, where it is a file of usual size.
fn text_of(playlist: &Path) -> Option<String> {
    let mut text = String::new();
    // A pipe would be waited for.
    let file = playlist.is_file().then(|| fs::File::open(playlist).ok()).flatten()?;
    file.take(LARGEST_PLAYLIST).read_to_string(&mut text).ok().map(|_| text)
}

/// What a set's master playlist says of the order of its renditions.
#[derive(Debug, Default)]
struct Order {
    names: Vec<String>,
    groups_of_sound: usize,
}

impl Order {
    /// Of a set that may have none.
    fn of(set: &Path) -> Self {
        let text = text_of(&set.join("master.m3u8")).unwrap_or_default();
        let mut names = Vec::new();
        let mut groups = BTreeSet::new();
        for line in text.lines() {
            let attribute = |name: &str| line.split_once(name)?.1.split_once('"').map(|(value, _)| value);
            let place = if line.starts_with('#') { attribute("URI=\"") } else { Some(line) };
            let name = place.and_then(|place| place.strip_suffix("/media.m3u8"));
            names.extend(name.filter(|name| is_plain(name)).map(str::to_owned));
            let group = attribute("GROUP-ID=\"").filter(|_| line.contains("TYPE=AUDIO"));
            groups.extend(group.map(str::to_owned));
        }
        Self { names, groups_of_sound: groups.len() }
    }

    fn place(&self, item: &Item) -> usize {
        self.names.iter().position(|name| *name == item.made.about.name).unwrap_or(usize::MAX)
    }

    fn sort(&self, video: &mut [Item], audio: &mut [Item]) {
        let family = |item: &Item| item.made.about.codecs.split('.').next().unwrap_or_default().to_owned();
        let mut families: Vec<(usize, String)> =
            video.iter().map(|item| (self.place(item), family(item))).collect();
        families.sort();
        video.sort_by_cached_key(|item| {
            let own = family(item);
            let place = families.iter().position(|(_, other)| *other == own);
            let (width, height) = item.made.about.size;
            (place, Reverse(u64::from(width) * u64::from(height)), Reverse(item.made.about.average_bps))
        });
        audio.sort_by_cached_key(|item| (self.place(item), Reverse(item.made.about.average_bps)));
    }

    /// Whether sounds are one at several rates: they have one language, and no playlist offers them as sounds to choose from.
    fn is_one_sound(&self, audio: &[Item]) -> bool {
        let is_alike = audio.windows(2).all(|pair| pair[0].made.language == pair[1].made.language);
        audio.len() > 1 && is_alike && self.groups_of_sound != 1
    }
}

/// Letters, digits, `-` and `_`, as the name is part of paths and manifests.
fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= 64 && name.chars().all(is_plain)
}

/// A failure that names the file.
fn of_file(failure: Failure, name: &str, file: &str) -> Failure {
    let message = format!("{name}/{file}: {}", failure.message);
    Failure { message, ..failure }
}

fn broken(message: String) -> Failure {
    let advice = "make that rendition again; the manifests that are there stay as they are";
    Failure::new(FailureCode::CheckFailed, message, advice)
}

fn no_set(set: &Path, what: &str) -> Failure {
    Failure::new(
        FailureCode::InputUnreadable,
        format!("{} is no set of segments: {what}", set.display()),
        "name the directory that holds a directory for each rendition, with init.mp4, 1.m4s, 2.m4s, …",
    )
}
