//! Segments of a track: which samples each has, and when it is shown.

use rushes_shared::failure::{Failure, FailureCode};

use crate::mp4::read::{Kind, ReadTrack};
use crate::pace;

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Numbers of its samples in the track, in decoding order.
    pub(super) samples: std::ops::Range<usize>,
    /// When it begins, in units of the track from the film's start; below zero for sound's priming.
    pub(super) start: i64,
    /// When it ends.
    pub(super) end: i64,
    /// Its samples' bytes.
    pub(super) bytes: u64,
}

impl Segment {
    /// How long the picture stays that stays longest, in units.
    pub(super) fn longest_picture(&self, track: &ReadTrack) -> i64 {
        let mut shown: Vec<i64> =
            track.samples[self.samples.clone()].iter().map(|sample| sample.pts).collect();
        shown.push(self.end);
        shown.sort_unstable();
        shown.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(0)
    }

    /// When its first packet is shown, in units from the film's start. Priming before that is not shown.
    pub(super) fn shown(&self) -> i64 {
        self.start.max(0)
    }

    /// How long it is shown, in units; at least one, as no manifest has room for nothing.
    pub(super) fn length(&self) -> u64 {
        u64::try_from(self.end - self.shown()).unwrap_or(0).max(1)
    }

    /// The same in nanoseconds.
    pub(super) fn length_ns(&self, timescale: u32) -> u64 {
        pace::scaled(self.length(), 1_000_000_000, u64::from(timescale))
    }
}

/// When segments begin, in nanoseconds, of a track whose key frames are on no grid: at the key frame that is nearest to a
/// segment's length after the one before; of two that are as near, the later. The track's end is as good as one.
pub(super) fn nearest_borders(track: &ReadTrack, segment_ns: u64) -> Vec<i64> {
    let segment_ns = i64::try_from(segment_ns).unwrap_or(i64::MAX);
    let end = track.ns(track.media_end());
    let keys = track.samples.iter().filter(|sample| sample.key).map(|sample| track.ns(sample.pts));
    let mut places = keys.filter(|at| *at < end).chain([end]).peekable();
    let mut borders: Vec<i64> = places.next().into_iter().collect();
    while let (Some(at), Some(last), Some(later)) = (places.next(), borders.last(), places.peek()) {
        let target = last.saturating_add(segment_ns);
        if at.abs_diff(target) <= later.abs_diff(target) {
            borders.push(at);
        }
    }
    borders
}

/// When segments begin, in nanoseconds: at the first key frame of a track that is a segment's length after the one before.
/// Half a frame too early is early enough.
pub(super) fn borders(track: &ReadTrack, segment_ns: u64) -> Vec<i64> {
    let keys = track.samples.iter().filter(|sample| sample.key);
    let mut borders: Vec<i64> = Vec::new();
    for sample in keys {
        let at = track.ns(sample.pts);
        let slack = track.ns(i64::from(sample.duration)) / 2;
        let next = borders.last().map(|last| last + i64::try_from(segment_ns).unwrap_or(i64::MAX) - slack);
        if next.is_none_or(|next| at >= next) {
            borders.push(at);
        }
    }
    borders
}

/// A rest that is shorter than this at a film's end is no segment of its own, in nanoseconds: it would cost a request, and players
/// begin to buffer anew at such ends.
const SHORT_END_NS: i64 = 500_000_000;

/// Leaves out the last border where what follows it is short, and the segment before it has room for that.
pub(super) fn join_short_end(borders: &mut Vec<i64>, track: &ReadTrack, longest_ns: u64) {
    let end = track.ns(track.media_end());
    if let [.., before, last] = borders[..] {
        let whole = u64::try_from(end.saturating_sub(before)).unwrap_or(u64::MAX);
        if end.saturating_sub(last) < SHORT_END_NS && whole <= longest_ns {
            borders.pop();
        }
    }
}

/// Divides a track at borders. Pictures have to have a key frame at each; sound goes with the packet that begins nearest
/// after it.
pub(super) fn segments(name: &str, track: &ReadTrack, borders: &[i64]) -> Result<Vec<Segment>, Failure> {
    let starts = match track.kind {
        Kind::Video => {
            let starts = picture_starts(name, track, borders)?;
            closed(name, track, &starts)?;
            starts
        }
        Kind::Audio => sound_starts(track, borders),
    };
    Ok(between(track, &starts))
}

/// Segments that begin at these samples.
pub(super) fn between(track: &ReadTrack, starts: &[usize]) -> Vec<Segment> {
    let ends = starts.iter().skip(1).copied().chain([track.samples.len()]);
    let mut found: Vec<Segment> = starts
        .iter()
        .zip(ends)
        .filter(|(start, end)| *start < end)
        .map(|(start, end)| {
            let samples = &track.samples[*start..end];
            let first = samples.iter().map(|sample| sample.pts).min().unwrap_or(0);
            let bytes = samples.iter().map(|sample| u64::from(sample.size)).sum();
            Segment { samples: *start..end, start: first, end: first, bytes }
        })
        .collect();
    let last = track.media_end();
    let nexts: Vec<i64> = found.iter().skip(1).map(|segment| segment.start).chain([last]).collect();
    for (segment, next) in found.iter_mut().zip(nexts) {
        segment.end = next.max(segment.start + 1);
    }
    found
}

/// How far a rung's key frame may be from the border, in nanoseconds: what rounding to milliseconds gives.
pub(super) const ROUNDING_NS: i64 = 1_000_000;

fn picture_starts(name: &str, track: &ReadTrack, borders: &[i64]) -> Result<Vec<usize>, Failure> {
    let mut keys = (0..track.samples.len()).filter(|n| track.samples[*n].key).peekable();
    let mut starts = Vec::with_capacity(borders.len());
    for border in borders {
        let at = |n: usize| track.ns(track.samples[n].pts);
        while keys.next_if(|n| at(*n) < border - ROUNDING_NS).is_some() {}
        match keys.next_if(|n| at(*n) <= border + ROUNDING_NS) {
            Some(n) => starts.push(n),
            None => return Err(unaligned(name, *border)),
        }
    }
    if starts.first().is_some_and(|first| *first > 0) {
        return Err(unaligned(name, borders[0]));
    }
    Ok(starts)
}

/// Refuses segments whose first pictures are shown before their key frame: they need pictures of the segment before, which a player
/// that begins here, or comes from another rung, does not have.
fn closed(name: &str, track: &ReadTrack, starts: &[usize]) -> Result<(), Failure> {
    let is_open = |start: &&usize| {
        let Some((key, rest)) = track.samples.get(**start..).and_then(|samples| samples.split_first()) else {
            return false;
        };
        rest.iter().take_while(|sample| !sample.key).any(|sample| sample.pts < key.pts)
    };
    let Some(open) = starts.iter().find(is_open) else { return Ok(()) };
    let at = track.ns(track.samples[*open].pts);
    Err(Failure::new(
        FailureCode::CheckFailed,
        format!(
            "key frames: {name} has an open group of pictures at {}.{:03} s: some are shown before its key frame and need those \
             of the segment before",
            at / 1_000_000_000,
            at / 1_000_000 % 1000
        ),
        "encode the rung again with closed groups of pictures",
    ))
}

fn sound_starts(track: &ReadTrack, borders: &[i64]) -> Vec<usize> {
    let mut next = 0;
    let mut starts = vec![0];
    for border in borders.iter().skip(1) {
        while track.samples.get(next).is_some_and(|sample| track.ns(sample.pts) < *border) {
            next += 1;
        }
        starts.push(next);
    }
    starts
}

pub(super) fn unaligned(name: &str, border: i64) -> Failure {
    Failure::new(
        FailureCode::CheckFailed,
        format!(
            "key frames: {name} must have one at {}.{:03} s, where the first rung has one",
            border / 1_000_000_000,
            border / 1_000_000 % 1000
        ),
        "encode all rungs with the same distance of key frames and without others, such as by rushes media ladder",
    )
}

#[cfg(test)]
mod tests {
    use crate::mp4::read::Sample;

    use super::*;

    fn track(kind: Kind, timescale: u32, duration: u32, count: usize, group: usize) -> ReadTrack {
        let sample = |n: usize| Sample {
            offset: 0,
            size: 10,
            pts: i64::try_from(n).unwrap() * i64::from(duration),
            delay: 0,
            duration,
            key: n.is_multiple_of(group),
        };
        ReadTrack::for_tests(kind, timescale, (0..count).map(sample).collect())
    }

    #[test]
    fn segments_begin_at_key_frames_and_sound_follows_them() {
        let film = track(Kind::Video, 24_000, 1001, 240, 24);
        let borders = borders(&film, 4_000_000_000);
        assert_eq!(borders, [0, 4_004_000_000, 8_008_000_000]);
        let parts = segments("film", &film, &borders).unwrap();
        let lengths: Vec<usize> = parts.iter().map(|part| part.samples.len()).collect();
        assert_eq!((lengths, parts[2].end, parts[1].bytes), (vec![96, 96, 48], 240 * 1001, 960));
        let sound = track(Kind::Audio, 48_000, 1024, 469, 1);
        let parts = segments("sound", &sound, &borders).unwrap();
        assert_eq!(parts[1].samples.start, 188, "4.010667 s is the first packet after 4.004 s");
        assert_eq!(parts.iter().map(|part| part.samples.len()).sum::<usize>(), 469);
    }

    #[test]
    fn a_short_rest_goes_with_the_segment_before_it_where_that_has_room() {
        let at = |frames: usize, longest_ms: u64| {
            let film = track(Kind::Video, 25, 1, frames, 50);
            let mut borders = borders(&film, 4_000_000_000);
            join_short_end(&mut borders, &film, longest_ms * 1_000_000);
            borders.len()
        };
        assert_eq!((at(212, 6_000), at(213, 6_000)), (2, 3), "0.48 s and 0.52 s behind the last border");
        assert_eq!((at(212, 4_400), at(12, 6_000), at(100, 6_000)), (3, 1, 1));
    }

    #[test]
    fn segments_of_a_film_without_a_grid_are_as_near_to_their_length_as_key_frames_let_them() {
        let at = |keys: &[usize], frames: usize| {
            let mut film = track(Kind::Video, 25, 1, frames, 1);
            film.samples.iter_mut().enumerate().for_each(|(n, sample)| sample.key = keys.contains(&n));
            nearest_borders(&film, 6_000_000_000).into_iter().map(|at| at / 40_000_000).collect::<Vec<_>>()
        };
        assert_eq!(at(&[0, 50, 100, 150, 200, 250, 300], 350), [0, 150, 300], "the grid's own");
        assert_eq!(at(&[0, 55, 110, 165, 220, 275], 330), [0, 165], "6.6 s, not 4.4 s");
        assert_eq!(at(&[0, 45, 90, 140, 165, 215], 250), [0, 140], "5.6 s, not 6.6 s; the rest has 4.4 s");
        assert_eq!(at(&[0, 50, 100], 147), [0], "the end is nearer than any");
        assert_eq!(at(&[0], 1000), [0]);
    }

    #[test]
    fn a_rung_without_a_key_frame_at_a_border_is_named_with_the_time() {
        let (film, other) = (track(Kind::Video, 25, 1, 100, 25), track(Kind::Video, 25, 1, 100, 30));
        let borders = borders(&film, 1_000_000_000);
        let failure = segments("720p", &other, &borders).unwrap_err();
        assert!(failure.message.contains("720p must have one at 1.000 s"), "{failure}");
    }
}
