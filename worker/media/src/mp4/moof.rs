//! Samples out of a `moof` box (ISO/IEC 14496-12, 8.8).

use super::parse::{be32, be64, child, children};
use super::read::{MOST_SAMPLES, ReadTrack, Sample, Usual, Wrong};

/// Adds a fragment's samples, the box standing at `at`, to their tracks.
pub(super) fn samples(moof: &[u8], at: u64, tracks: &mut [ReadTrack]) -> Result<(), Wrong> {
    for (_, traf) in children(moof).filter(|(code, _)| code == b"traf") {
        run(traf, at, tracks).ok_or(Wrong::Damaged("a fragment is damaged"))?;
    }
    Ok(())
}

/// The latest time of a sample, in seconds and in units of any track: what comes of it by adding and subtracting has room.
const LATEST_S: u64 = 1 << 31;
const LATEST: u64 = 1 << 53;

/// Set in a sample's flags where decoding cannot start.
const NOT_SYNC: u32 = 0x1_0000;

fn run(traf: &[u8], moof_at: u64, tracks: &mut [ReadTrack]) -> Option<()> {
    let header = child(traf, b"tfhd")?;
    let flags = be32(header, 0)? & 0xff_ffff;
    let id = be32(header, 4)?;
    let mut field = 8;
    let mut next = |present: bool, size: usize| {
        let at = field;
        field += if present { size } else { 0 };
        present.then_some(at)
    };
    let base = next(flags & 1 != 0, 8);
    next(flags & 2 != 0, 4);
    let (duration, size, sample_flags) =
        (next(flags & 8 != 0, 4), next(flags & 0x10 != 0, 4), next(flags & 0x20 != 0, 4));
    let number = |at: Option<usize>| at.and_then(|at| be32(header, at));
    let own = Usual { duration: number(duration), size: number(size), flags: number(sample_flags) };
    let base = match base {
        Some(at) => be64(header, at)?,
        None => moof_at,
    };
    let Some(track) = tracks.iter_mut().find(|track| track.id == id) else { return Some(()) };
    let of_track = track.usual;
    let defaults = Usual {
        duration: own.duration.or(of_track.duration),
        size: own.size.or(of_track.size),
        flags: own.flags.or(of_track.flags),
    };
    let time = child(traf, b"tfdt")?;
    let mut dts = if time.first()? == &1 { be64(time, 4)? } else { u64::from(be32(time, 4)?) };
    let mut place = base;
    for (_, trun) in children(traf).filter(|(code, _)| code == b"trun") {
        place = one_run(trun, base, place, &mut dts, &defaults, track)?;
    }
    Some(())
}

fn one_run(
    trun: &[u8],
    base: u64,
    place: u64,
    dts: &mut u64,
    defaults: &Usual,
    track: &mut ReadTrack,
) -> Option<u64> {
    let flags = be32(trun, 0)? & 0xff_ffff;
    let count = usize::try_from(be32(trun, 4)?).ok()?;
    if track.samples.len().checked_add(count)? > MOST_SAMPLES {
        return None;
    }
    let mut at = 8;
    let mut take = |present: bool| {
        let value = if present { Some(be32(trun, at)?) } else { None };
        at += if present { 4 } else { 0 };
        Some(value)
    };
    let mut place = match take(flags & 1 != 0)? {
        Some(offset) => base.checked_add_signed(i64::from(offset.cast_signed()))?,
        None => place,
    };
    let mut first_flags = take(flags & 4 != 0)?;
    for _ in 0..count {
        let duration = take(flags & 0x100 != 0)?.or(defaults.duration)?;
        let size = take(flags & 0x200 != 0)?.or(defaults.size)?;
        let own = take(flags & 0x400 != 0)?;
        let sample_flags = first_flags.take().or(own).or(defaults.flags).unwrap_or(0);
        let offset = take(flags & 0x800 != 0)?.map_or(0, |offset| i64::from(offset.cast_signed()));
        let pts = i64::try_from(*dts).ok()?.checked_add(offset)?.checked_add(track.shift)?;
        let latest = LATEST.min(LATEST_S.saturating_mul(u64::from(track.timescale)));
        if *dts > latest || pts.unsigned_abs() > latest {
            return None;
        }
        let key = sample_flags & NOT_SYNC == 0;
        track.samples.push(Sample { offset: place, size, pts, delay: offset, duration, key });
        *dts = dts.checked_add(u64::from(duration))?;
        place = place.checked_add(u64::from(size))?;
    }
    Some(place)
}
