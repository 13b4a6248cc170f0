//! One output of a film, made in pieces on several nodes and joined: which outputs can be, and how.
//!
//! Pieces are chunks of a ladder with one rung. A rung says size, codec, rate factor, preset and a bound on the rate, so that an
//! output which asks for more than that is encoded whole.

use super::{Grid, RateCap, Rung};
use crate::encode::{Container, EncodeSettings, RateControl, VideoCodec};
use crate::media::{Hdr, MediaFacts, VideoFacts};

/// Shortest film that is made in pieces, in nanoseconds: of a shorter one the join takes what the pieces save.
const SHORTEST_NS: u64 = 60_000_000_000;
/// Containers whose index leads to a piece's first frame. Others are read from their start, for each piece again.
const INDEXED: [&str; 4] = ["mp4", "mov", "matroska", "webm"];
/// How much longer than its frames a film may be, in nanoseconds.
const LONGEST_HELD_NS: u128 = 1_000_000_000;
/// Most frames from key frame to key frame where no distance is asked for, as in whole encodes.
const KEY_FRAMES: u128 = 250;
/// The buffer of an output's bound on its rate, as [`RateControl::CappedCrf`] says.
const BUFFER_MS: u32 = 2_000;

/// How an output is made in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pieces {
    /// Where they meet, and where their key frames are.
    pub grid: Grid,
    /// The picture, with the bound that the whole has to keep.
    pub rung: Rung,
}

/// How an output with these settings is made of a film in pieces of so many seconds; `None` where it has to be encoded
/// whole.
#[must_use]
pub fn pieces(settings: &EncodeSettings, source: &MediaFacts, piece_s: u32) -> Option<Pieces> {
    let film = source.video.first()?;
    let is_indexed = source.seekable && INDEXED.contains(&source.container.as_str());
    if piece_s == 0 || film.duration_ns < SHORTEST_NS || !is_indexed || !is_steady(film) {
        return None;
    }
    // What is said of a high dynamic range may stand at a film's beginning alone.
    let codec = settings.video.as_ref()?.codec;
    if film.hdr != Hdr::Sdr && codec != VideoCodec::H264 {
        return None;
    }
    Some(Pieces { grid: grid(settings.video.as_ref()?.keyframe_ms, film, piece_s)?, rung: rung(settings)? })
}

/// Whether every piece of the film has frames: its rate is constant, and no frame is held for long.
fn is_steady(film: &VideoFacts) -> bool {
    let Some(rate) = film.fps.filter(|rate| !film.vfr && rate.num > 0) else { return false };
    let frames_ns = u128::from(film.frames) * 1_000_000_000 * u128::from(rate.den) / u128::from(rate.num);
    u128::from(film.duration_ns).abs_diff(frames_ns) < LONGEST_HELD_NS
}

/// Where key frames and pieces lie. A distance of key frames that is asked for is one in time, and the grid's is one in frames: they are
/// the same where it is a whole number of frames.
fn grid(keyframe_ms: Option<u32>, film: &VideoFacts, piece_s: u32) -> Option<Grid> {
    let piece_ms = piece_s.saturating_mul(1_000);
    let rate = film.fps.filter(|rate| rate.den > 0)?;
    let Some(key_ms) = keyframe_ms else {
        let frames = u128::from(piece_s) * u128::from(rate.num) / u128::from(rate.den);
        let keys = u32::try_from(frames.div_ceil(KEY_FRAMES)).ok()?.max(1);
        let key_ns = u64::from(piece_s) * 1_000_000_000 / u64::from(keys);
        return Some(Grid { key_ns, keys_to_segment: 1, keys_to_chunk: keys });
    };
    let key_ns = u64::from(key_ms) * 1_000_000;
    let is_whole = (u64::from(key_ms) * u64::from(rate.num)).is_multiple_of(u64::from(rate.den) * 1_000);
    let fits = key_ms > 0 && is_whole && piece_ms.is_multiple_of(key_ms);
    fits.then(|| Grid { key_ns, keys_to_segment: 1, keys_to_chunk: piece_ms / key_ms })
}

/// The rung that an output's picture is.
fn rung(settings: &EncodeSettings) -> Option<Rung> {
    let video = settings
        .video
        .as_ref()
        .filter(|_| settings.container == Container::Mp4 && settings.extract.is_none())?;
    // VMAF would be measured by the join alone, on one node.
    let is_measured = settings.check.vmaf.scope.every().is_some();
    let is_plain = video.bit_depth.is_none() && video.chroma.is_none() && !is_measured;
    let (crf, cap) = match (video.codec, video.rate) {
        (VideoCodec::H264 | VideoCodec::Hevc | VideoCodec::Vp9 | VideoCodec::Av1, RateControl::Crf(crf)) => {
            (crf, None)
        }
        (VideoCodec::H264 | VideoCodec::Hevc, RateControl::CappedCrf { crf, peak_bps }) => {
            (crf, Some(RateCap { max_bps: peak_bps.into(), buffer_ms: BUFFER_MS }))
        }
        _ => return None,
    };
    is_plain.then(|| Rung {
        name: "piece".to_owned(),
        max_size: (video.max_width.unwrap_or(u32::MAX), video.max_height.unwrap_or(u32::MAX)),
        crf,
        preset: video.preset,
        cap,
        codec: video.codec,
    })
}

impl Pieces {
    /// The picture with the bound that each of the pieces has to keep.
    #[must_use]
    pub fn rung_of_each(&self) -> Rung {
        let within = |cap: RateCap| cap.within_chunks(self.grid.chunk_ns());
        Rung { cap: self.rung.cap.map(within), ..self.rung.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::VideoSettings;
    use crate::ladder::{LadderSettings, split};
    use crate::units::Ratio;

    fn film(seconds: u64, container: &str) -> MediaFacts {
        let (duration_ns, frames) = (seconds * 1_000_000_000, seconds * 25);
        let video = VideoFacts { duration_ns, frames, fps: Ratio::new(25, 1), ..VideoFacts::default() };
        MediaFacts {
            container: container.to_owned(),
            seekable: true,
            video: vec![video],
            ..MediaFacts::default()
        }
    }

    #[test]
    fn a_long_film_with_an_index_is_made_in_pieces() {
        let plan = pieces(&EncodeSettings::default(), &film(95, "mp4"), 10).expect("it is long enough");
        assert_eq!(split(&film(95, "mp4"), &plan.grid).len(), 10);
        assert_eq!(plan.grid.keys_to_chunk, 1, "250 frames");
        let mut fast = film(95, "mp4");
        (fast.video[0].fps, fast.video[0].frames) = (Ratio::new(60, 1), 95 * 60);
        let keys = pieces(&EncodeSettings::default(), &fast, 10).expect("it is steady");
        assert_eq!(keys.grid.keys_to_chunk, 3, "200 frames each");
        assert_eq!((plan.rung.crf, plan.rung.cap, plan.rung.max_size), (23, None, (u32::MAX, u32::MAX)));
        for (film, piece_s) in [(film(59, "mp4"), 10), (film(95, "mpegts"), 10), (film(95, "mp4"), 0)] {
            assert_eq!(pieces(&EncodeSettings::default(), &film, piece_s), None);
        }
    }

    #[test]
    fn a_film_that_may_have_no_frame_in_a_piece_is_encoded_whole() {
        let with = |change: &dyn Fn(&mut VideoFacts)| {
            let mut film = film(95, "mp4");
            change(&mut film.video[0]);
            pieces(&EncodeSettings::default(), &film, 10)
        };
        assert!(with(&|_| ()).is_some());
        assert_eq!(with(&|video| video.vfr = true), None);
        assert_eq!(with(&|video| video.fps = None), None);
        assert_eq!(with(&|video| video.duration_ns += 30_000_000_000), None, "its last frame is held");
    }

    #[test]
    fn what_a_rung_does_not_say_is_encoded_whole() {
        let with = |change: &dyn Fn(&mut EncodeSettings, &mut VideoSettings)| {
            let (mut settings, mut video) = (EncodeSettings::default(), VideoSettings::of(VideoCodec::H264));
            change(&mut settings, &mut video);
            settings.video = settings.video.map(|_| video);
            pieces(&settings, &film(95, "mp4"), 10)
        };
        assert!(
            with(&|_, video| video.max_height = Some(720)).is_some_and(|plan| plan.rung.max_size.1 == 720)
        );
        assert_eq!(with(&|_, video| video.bit_depth = Some(10)), None);
        assert_eq!(with(&|_, video| video.keyframe_ms = Some(2010)), None, "50.25 frames");
        assert_eq!(with(&|_, video| video.keyframe_ms = Some(4000)), None, "not a whole part of a piece");
        let keys = with(&|_, video| video.keyframe_ms = Some(2000)).expect("fifty frames, five to a piece");
        assert_eq!((keys.grid.key_ns, keys.grid.keys_to_chunk), (2_000_000_000, 5));
        assert_eq!(with(&|_, video| video.codec = VideoCodec::H264Hardware), None);
        assert_eq!(with(&|settings, _| settings.container = Container::Mkv), None);
        assert_eq!(with(&|settings, _| settings.video = None), None);
        let two_passes = RateControl::TwoPass { bitrate_bps: 1_000_000, peak_bps: None };
        assert_eq!(with(&|_, video| video.rate = two_passes), None);
    }

    #[test]
    fn a_bound_is_split_so_that_it_holds_where_pieces_meet() {
        let mut settings = EncodeSettings::default();
        let rate = RateControl::CappedCrf { crf: 20, peak_bps: 4_000_000 };
        settings.video = Some(VideoSettings { rate, ..VideoSettings::of(VideoCodec::H264) });
        let plan = pieces(&settings, &film(95, "mp4"), 10).expect("it is long enough");
        let (whole, each) = (plan.rung.cap.expect("a cap"), plan.rung_of_each().cap.expect("a cap"));
        assert_eq!((whole.max_bps, whole.buffer_ms), (4_000_000, 2_000));
        assert!(each.max_bps < whole.max_bps);
        let ladder = LadderSettings { grid: plan.grid, ..LadderSettings::default() };
        let again = ladder.whole_caps(&film(95, "mp4"), &[plan.rung_of_each()])[0].expect("a cap");
        assert!((3_995_000..=4_000_000).contains(&again.max_bps), "a worker finds it again: {again:?}");
        let mut source = film(95, "mp4");
        (source.video[0].width, source.video[0].height) = (854, 480);
        let chunks = split(&source, &plan.grid);
        let of_chunks = ladder.rungs_of_chunks(&source, &chunks);
        let of_film: Vec<_> = ladder.rungs(&source).into_iter().map(|rung| rung.cap).collect();
        assert_eq!(ladder.whole_caps(&source, &of_chunks), of_film, "a set's to the bit");
    }
}
