//! One rendition of a package: its init segment and its segments, as files, and what manifests say of it.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::Rendition;
use rushes_shared::units::Ratio;

use super::rate::{self, Cost};
use super::timeline::Segment;
use super::{codecs, segment_name};
use crate::fault;
use crate::language::two_letters;
use crate::mp4::fragment::{self, Description, Piece};
use crate::mp4::parse::{be32, child};
use crate::mp4::read::{Kind, ReadTrack, Sample};
use crate::mp4::samples::SampleReader;

/// What manifests say of a rendition, and where its segments lie.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) about: Rendition,
    pub(super) timescale: u32,
    pub(super) segments: Vec<Segment>,
    /// What each segment costs, in their order.
    costs: Vec<Cost>,
    description: Description,
    pub(super) frame_rate: Ratio,
    pub(super) sar: Ratio,
    pub(super) sample_rate: u32,
    pub(super) channels: u32,
    /// As RFC 5646 has it; nothing where it is undetermined.
    pub(super) language: Option<String>,
    /// Of pictures whose dynamic range is high, what HLS calls it.
    pub(super) video_range: Option<&'static str>,
    /// And the code points of their primaries, transfer and matrix (ITU-T H.273).
    pub(super) hdr_points: Option<[u16; 3]>,
}

impl Made {
    pub(super) fn of(name: &str, track: &ReadTrack, segments: Vec<Segment>) -> Result<Self, Failure> {
        let codecs = codecs::parameter(&track.entry).ok_or_else(|| {
            let code = String::from_utf8_lossy(&track.code()).into_owned();
            Failure::new(
                FailureCode::Unsupported,
                format!("{name} has a codec that manifests cannot name: {code}"),
                "encode it to H.264, HEVC, VP9 or AV1, with AAC, Opus or AC-3",
            )
        })?;
        let is_video = track.kind == Kind::Video;
        let size = codecs::size(&track.entry).filter(|_| is_video).unwrap_or((0, 0));
        let (channels, sample_rate) = codecs::sound(&track.entry).filter(|_| !is_video).unwrap_or((0, 0));
        let description = Description {
            is_video,
            entry: track.entry.clone(),
            shown: track.shown,
            language: track.language,
            timescale: track.timescale,
            skip: track.skip,
            late: fragment::reordered(segments.iter().map(|segment| &track.samples[segment.samples.clone()])),
        };
        let costs = costs(&description, track, &segments);
        let about = Rendition {
            name: name.to_owned(),
            codecs,
            size,
            packets: track.samples.len() as u64,
            segments: u32::try_from(segments.len()).unwrap_or(u32::MAX),
            average_bps: rate::average(&costs),
            // Known once the target duration of the whole set is.
            peak_bps: 0,
        };
        let hdr = hdr(&track.entry).filter(|_| is_video);
        Ok(Self {
            about,
            timescale: track.timescale,
            frame_rate: frame_rate(track),
            sar: pixel_aspect(&track.entry),
            segments,
            costs,
            description,
            // A rate above 65,535 Hz does not fit the entry; the time scale of sound is its rate then.
            sample_rate: if sample_rate == 0 { track.timescale } else { sample_rate },
            channels,
            language: language(track.language),
            video_range: hdr.map(|(range, _)| range),
            hdr_points: hdr.map(|(_, points)| points),
        })
    }

    /// The same over files that are there already, by what they cost.
    pub(super) fn over(self, costs: Vec<Cost>) -> Self {
        let about = Rendition { average_bps: rate::average(&costs), ..self.about };
        Self { about, costs, ..self }
    }

    /// How long its longest segment is shown, in nanoseconds.
    pub(super) fn longest_ns(&self) -> u64 {
        self.costs.iter().map(|cost| cost.length_ns).max().unwrap_or(0)
    }

    /// Finds the peak rate, for the target duration that all playlists of the set have.
    pub(super) fn find_peak(&mut self, target_ns: u64) {
        self.about.peak_bps = rate::peak(&self.costs, target_ns);
    }

    /// Writes the init segment and the segments into a new directory; gives their names back. `done` is told how many
    /// bytes of samples were written.
    pub(super) fn write(
        &self,
        track: &ReadTrack,
        from: &Path,
        directory: &Path,
        done: &mut dyn FnMut(u64),
    ) -> Result<Vec<String>, Failure> {
        let fails = |error: std::io::Error| fault::writing(&error);
        let name = &self.about.name;
        let place = directory.join(name);
        fs::create_dir(&place).map_err(fails)?;
        fs::write(place.join("init.mp4"), fragment::init(&self.description)).map_err(fails)?;
        let mut files = vec![format!("{name}/init.mp4")];
        let mut source = SampleReader::open(from)?;
        for (number, segment) in (1u32..).zip(&self.segments) {
            let samples = &track.samples[segment.samples.clone()];
            if segment.bytes > fragment::LARGEST {
                return Err(too_large(name, number));
            }
            let pieces = pieces(samples);
            let file = segment_name(number);
            let mut to = BufWriter::with_capacity(1 << 18, File::create(place.join(&file)).map_err(fails)?);
            to.write_all(&fragment::segment_type()).map_err(fails)?;
            to.write_all(&fragment::head(&self.description, number, &pieces, segment.end)).map_err(fails)?;
            for sample in samples {
                to.write_all(source.get(sample)?).map_err(fails)?;
            }
            to.flush().map_err(fails)?;
            files.push(format!("{name}/{file}"));
            done(segment.bytes);
        }
        Ok(files)
    }
}

fn pieces(samples: &[Sample]) -> Vec<Piece> {
    samples.iter().map(|sample| Piece { size: sample.size, pts: sample.pts, key: sample.key }).collect()
}

/// What each segment's file costs.
fn costs(description: &Description, track: &ReadTrack, segments: &[Segment]) -> Vec<Cost> {
    let before = fragment::segment_type().len() as u64;
    let cost = |segment: &Segment| {
        let pieces = pieces(&track.samples[segment.samples.clone()]);
        Cost {
            bytes: before + fragment::head_length(description, &pieces) + segment.bytes,
            length_ns: segment.length_ns(track.timescale),
        }
    };
    segments.iter().map(cost).collect()
}

/// The rate of frames that last about as long as most do: a pause does not make a film slower, and neither does a first frame that
/// waits.
fn frame_rate(track: &ReadTrack) -> Ratio {
    let mut lasting: Vec<u32> = track.samples.iter().map(|sample| sample.duration.max(1)).collect();
    lasting.sort_unstable();
    let usual = lasting.get(lasting.len() / 2).copied().unwrap_or(1);
    let equal = lasting.iter().filter(|lasts| **lasts == usual).count();
    let is_fine = track.timescale >= EXACT_FROM;
    if is_fine && equal * 10 >= lasting.len() * 9 {
        return reduced(u64::from(track.timescale), u64::from(usual));
    }
    let alike = lasting.iter().filter(|lasts| lasts.abs_diff(usual) <= (usual / 10).max(1));
    let (count, units) =
        alike.fold((0_u64, 0_u64), |(count, units), lasts| (count + 1, units + u64::from(*lasts)));
    let thousandths = crate::pace::scaled(count * 1000, u64::from(track.timescale), units.max(1));
    reduced(thousandths, 1000)
}

/// Time units a second from which on a frame's length says its rate.
const EXACT_FROM: u32 = 10_000;

fn reduced(num: u64, den: u64) -> Ratio {
    let (mut a, mut b) = (num, den);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let part = |value: u64| u32::try_from(value / a.max(1)).unwrap_or(u32::MAX);
    Ratio { num: part(num), den: part(den).max(1) }
}

/// From the `pasp` box of a sample entry.
fn pixel_aspect(entry: &[u8]) -> Ratio {
    let found = entry.get(86..).and_then(|boxes| child(boxes, b"pasp"));
    found.and_then(|aspect| Ratio::new(be32(aspect, 0)?, be32(aspect, 4)?)).unwrap_or(Ratio::ONE)
}

/// The dynamic range by the `colr` box of a sample entry, where it is a high one.
fn hdr(entry: &[u8]) -> Option<(&'static str, [u16; 3])> {
    let colour = child(entry.get(86..)?, b"colr")?.strip_prefix(b"nclx")?;
    let point = |at: usize| Some(u16::from_be_bytes([*colour.get(at)?, *colour.get(at + 1)?]));
    let points = [point(0)?, point(2)?, point(4)?];
    match points[1] {
        16 => Some(("PQ", points)),
        18 => Some(("HLG", points)),
        _ => None,
    }
}

/// As RFC 5646 has it: by two letters where there are two.
fn language(packed: u16) -> Option<String> {
    let letters = [10, 5, 0].map(|shift| u8::try_from(packed >> shift & 0x1f).unwrap_or(0) + 0x60);
    let code = std::str::from_utf8(&letters).ok().filter(|_| letters.iter().all(u8::is_ascii_lowercase));
    let code = code.filter(|code| *code != "und")?;
    Some(two_letters(code).unwrap_or(code).to_owned())
}

fn too_large(name: &str, number: u32) -> Failure {
    Failure::new(
        FailureCode::LimitReached,
        format!("segment {number} of {name} is larger than 4 GiB"),
        "make segments shorter",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(timescale: u32, lasting: &[u32]) -> f64 {
        let sample = |duration| Sample { offset: 0, size: 1, pts: 0, delay: 0, duration, key: true };
        let track =
            ReadTrack::for_tests(Kind::Video, timescale, lasting.iter().copied().map(sample).collect());
        let rate = frame_rate(&track);
        f64::from(rate.num) / f64::from(rate.den)
    }

    #[test]
    fn a_pause_does_not_change_the_frame_rate() {
        let film = [3003; 90];
        let ntsc = 30_000.0 / 1001.0;
        assert!((rate(90_000, &film) - ntsc).abs() < 1e-6);
        let mut paused = film.to_vec();
        (paused[0], paused[40]) = (90_000, 900_000);
        assert!((rate(90_000, &paused) - ntsc).abs() < 1e-6);
        let rounded: Vec<u32> = (0..3000).map(|frame| (frame + 1) * 1001 / 30 - frame * 1001 / 30).collect();
        assert!((rate(1000, &rounded) - ntsc).abs() < 0.01, "{}", rate(1000, &rounded));
    }
}
