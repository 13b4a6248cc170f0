//! Tracks and their samples out of a `moov` box (ISO/IEC 14496-12, 8).

use super::parse::{be32, be64, child, children};
use super::read::{Kind, MOST_SAMPLES, ReadTrack, Sample, Usual, Wrong, count_of, need};

/// Most lines of an edit list.
const MOST_EDITS: u32 = 1000;

pub(super) fn tracks(movie: &[u8]) -> Result<Vec<ReadTrack>, Wrong> {
    let header = need(movie, b"mvhd", "it has no movie header")?;
    let scale = be32(header, if header.first() == Some(&1) { 20 } else { 12 });
    let scale = scale.filter(|scale| *scale > 0).ok_or(Wrong::Damaged("its movie header is damaged"))?;
    let mut tracks = Vec::new();
    for (_, body) in children(movie).filter(|(code, _)| code == b"trak") {
        tracks.extend(track(body, scale)?);
    }
    let extends = child(movie, b"mvex").unwrap_or_default();
    for (_, body) in children(extends).filter(|(code, _)| code == b"trex") {
        let id = be32(body, 4);
        for track in tracks.iter_mut().filter(|track| Some(track.id) == id) {
            track.usual = Usual { duration: be32(body, 12), size: be32(body, 16), flags: be32(body, 20) };
        }
    }
    Ok(tracks)
}

fn track(body: &[u8], movie_scale: u32) -> Result<Option<ReadTrack>, Wrong> {
    let damaged = || Wrong::Damaged("a track's description is damaged");
    let media = need(body, b"mdia", "a track has no media")?;
    let kind = match child(media, b"hdlr").and_then(|handler| handler.get(8..12)) {
        Some(b"vide") => Kind::Video,
        Some(b"soun") => Kind::Audio,
        _ => return Ok(None),
    };
    let header = need(media, b"mdhd", "a track has no media header")?;
    let wide = header.first() == Some(&1);
    let timescale =
        be32(header, if wide { 20 } else { 12 }).filter(|scale| *scale > 0).ok_or_else(damaged)?;
    let language = header
        .get(if wide { 32..34 } else { 20..22 })
        .map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let shape = need(body, b"tkhd", "a track has no header")?;
    let wide = shape.first() == Some(&1);
    let id = be32(shape, if wide { 20 } else { 12 }).ok_or_else(damaged)?;
    let sides = if wide { (88, 92) } else { (76, 80) };
    let shown = (be32(shape, sides.0).ok_or_else(damaged)?, be32(shape, sides.1).ok_or_else(damaged)?);
    let table = child(media, b"minf").and_then(|info| child(info, b"stbl"));
    let table = table.ok_or(Wrong::Damaged("a track has no table of samples"))?;
    let edit = Edit::of(body)?;
    let wait = scaled(edit.wait, timescale, movie_scale);
    let shift = i64::try_from(wait).unwrap_or(i64::MAX).saturating_sub(edit.from);
    let shown_for = (edit.length > 0).then(|| scaled(edit.length, timescale, movie_scale));
    Ok(Some(ReadTrack {
        recipe: None,
        damage: None,
        kind,
        id,
        timescale,
        entry: sample_entry(need(table, b"stsd", "a track has no sample entry")?)?,
        shown,
        language,
        samples: samples(table, shift)?,
        // A shift of pictures only takes back what reordering put on; of sound it is the encoder's priming.
        skip: if kind == Kind::Audio { u64::try_from(edit.from).unwrap_or(0) } else { 0 },
        shift,
        usual: Usual::default(),
        end: shown_for.map(|length| i64::try_from(wait.saturating_add(length)).unwrap_or(i64::MAX)),
    }))
}

fn scaled(value: u64, to: u32, from: u32) -> u64 {
    let rounded = (u128::from(value) * u128::from(to) + u128::from(from) / 2) / u128::from(from);
    u64::try_from(rounded).unwrap_or(u64::MAX)
}

/// The only sample entry, whole.
fn sample_entry(table: &[u8]) -> Result<Vec<u8>, Wrong> {
    if be32(table, 4) != Some(1) {
        return Err(Wrong::Unsupported("a track changes its codec or its size on the way"));
    }
    let rest = table.get(8..).unwrap_or_default();
    let size = be32(rest, 0).and_then(|size| usize::try_from(size).ok());
    let entry = size.filter(|size| *size >= 16).and_then(|size| rest.get(..size));
    entry.map(<[u8]>::to_vec).ok_or(Wrong::Damaged("a sample entry is damaged"))
}

/// The one edit of a track: an optional wait, then the media from some time on.
#[derive(Debug, Default)]
struct Edit {
    wait: u64,
    from: i64,
    length: u64,
}

impl Edit {
    fn of(track: &[u8]) -> Result<Self, Wrong> {
        let mut edit = Self::default();
        let Some(list) = child(track, b"edts").and_then(|edits| child(edits, b"elst")) else {
            return Ok(edit);
        };
        let damaged = || Wrong::Damaged("an edit list is damaged");
        let wide = list.first() == Some(&1);
        let count = be32(list, 4).filter(|count| *count <= MOST_EDITS).ok_or_else(damaged)?;
        let mut found = false;
        for n in 0..usize::try_from(count).unwrap_or(0) {
            let at = 8 + n * if wide { 20 } else { 12 };
            let line = if wide {
                be64(list, at).zip(be64(list, at + 8).map(u64::cast_signed))
            } else {
                let from = be32(list, at + 4).map(|from| i64::from(from.cast_signed()));
                be32(list, at).map(u64::from).zip(from)
            };
            match (line.ok_or_else(damaged)?, found) {
                ((length, -1), false) => edit.wait = edit.wait.saturating_add(length),
                ((length, from), false) if from >= 0 => {
                    (edit.length, edit.from, found) = (length, from, true);
                }
                _ => return Err(Wrong::Unsupported("a track has several edits")),
            }
        }
        Ok(edit)
    }
}

fn samples(table: &[u8], shift: i64) -> Result<Vec<Sample>, Wrong> {
    let damaged = || Wrong::Damaged("a table of samples is damaged");
    let sizes =
        sizes(need(table, b"stsz", "a track does not say how large its samples are")?).ok_or_else(damaged)?;
    if sizes.is_empty() {
        return Ok(Vec::new());
    }
    let durations =
        runs(need(table, b"stts", "a track does not say when its samples are")?).ok_or_else(damaged)?;
    let offsets = match child(table, b"ctts") {
        Some(offsets) => runs(offsets).ok_or_else(damaged)?,
        None => Vec::new(),
    };
    let keys = child(table, b"stss").map(|keys| numbers(keys).ok_or_else(damaged)).transpose()?;
    let places = places(table, &sizes).ok_or_else(damaged)?;
    if durations.len() < sizes.len() || count_of(table, b"stsz") != 1 {
        return Err(damaged());
    }
    let mut samples = Vec::with_capacity(sizes.len());
    let (mut at, mut next_key) = (0i64, 0);
    for (n, size) in sizes.iter().enumerate() {
        let offset = offsets.get(n).map_or(0, |offset| i64::from(offset.cast_signed()));
        let key = match &keys {
            None => true,
            Some(keys) => {
                let is_key = keys.get(next_key).is_some_and(|key| usize::try_from(*key).ok() == Some(n + 1));
                next_key += usize::from(is_key);
                is_key
            }
        };
        let pts = at.saturating_add(offset).saturating_add(shift);
        samples.push(Sample {
            offset: places[n],
            size: *size,
            pts,
            delay: offset,
            duration: durations[n],
            key,
        });
        at += i64::from(durations[n]);
    }
    Ok(samples)
}

/// Where each sample lies.
fn places(table: &[u8], sizes: &[u32]) -> Option<Vec<u64>> {
    let map = child(table, b"stsc")?;
    let (chunks, wide) = match child(table, b"co64") {
        Some(chunks) => (chunks, true),
        None => (child(table, b"stco")?, false),
    };
    let chunk_count = be32(chunks, 4)?;
    let rows = be32(map, 4)?;
    let mut places = Vec::with_capacity(sizes.len());
    for row in 0..usize::try_from(rows).ok()? {
        let (first, per_chunk) = (be32(map, 8 + row * 12)?, be32(map, 12 + row * 12)?);
        let next = if row + 1 < usize::try_from(rows).ok()? {
            be32(map, 8 + (row + 1) * 12)?
        } else {
            chunk_count.checked_add(1)?
        };
        if first == 0 || next < first || next > chunk_count.checked_add(1)? {
            return None;
        }
        for chunk in first..next {
            let at = 8 + usize::try_from(chunk - 1).ok()? * if wide { 8 } else { 4 };
            let mut offset = if wide { be64(chunks, at)? } else { u64::from(be32(chunks, at)?) };
            for _ in 0..per_chunk {
                let Some(size) = sizes.get(places.len()) else { return Some(places) };
                places.push(offset);
                offset = offset.checked_add(u64::from(*size))?;
            }
        }
    }
    (places.len() == sizes.len()).then_some(places)
}

fn sizes(table: &[u8]) -> Option<Vec<u32>> {
    let (same, count) = (be32(table, 4)?, usize::try_from(be32(table, 8)?).ok()?);
    if count > MOST_SAMPLES {
        return None;
    }
    if same != 0 {
        return Some(vec![same; count]);
    }
    (0..count).map(|n| be32(table, 12 + n * 4)).collect()
}

fn numbers(table: &[u8]) -> Option<Vec<u32>> {
    let count = usize::try_from(be32(table, 4)?).ok().filter(|count| *count <= MOST_SAMPLES)?;
    (0..count).map(|n| be32(table, 8 + n * 4)).collect()
}

/// A table of (count, value), spread out.
fn runs(table: &[u8]) -> Option<Vec<u32>> {
    let count = usize::try_from(be32(table, 4)?).ok()?;
    let mut values = Vec::new();
    for n in 0..count {
        let times = usize::try_from(be32(table, 8 + n * 8)?).ok()?;
        if values.len().checked_add(times)? > MOST_SAMPLES {
            return None;
        }
        values.resize(values.len() + times, be32(table, 12 + n * 8)?);
    }
    Some(values)
}
