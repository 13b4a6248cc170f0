//! Codec configurations of pictures as caps: the fields that GStreamer's parsers fill in, from the same parameter sets.
//!
//! Sources: ISO/IEC 14496-15, 5.3.3 (`avcC`) and 8.3.3 (`hvcC`); "AV1 Codec ISO Media File Format Binding", 2.3; Annexes A
//! and E of ITU-T H.264 and H.265; AV1 specification, 5.5.

use std::io::Cursor;

use gstreamer as gst;
use gstreamer_video as video;
use h264_reader::avcc::AvcDecoderConfigurationRecord;
use h264_reader::nal::sps::{ChromaFormat, FrameMbsFlags, Profile, SeqParameterSet};
use h264_reader::nal::{Nal, RefNal};
use scuffle_av1::ObuHeader;
use scuffle_av1::seq::SequenceHeaderObu;

use super::first::{LARGEST, Packet, Units, sequence_header};
use super::hevc::Sequence;
use crate::encode::bitstream;
use crate::probe::source::Source;

/// What the sample entry says beside the configuration.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Pixel aspect ratio by `pasp` or by the track's size, as it is given.
    pub(super) aspect: Option<gst::Fraction>,
    /// Frames a second by the sample table, where they come to a common number.
    pub(super) rate: Option<gst::Fraction>,
    /// Primaries, transfer, matrix and full range by `colr`.
    pub(super) colour: Option<([u16; 3], bool)>,
}

/// What a stream's parameter sets say.
struct Described {
    media_type: &'static str,
    profile: String,
    level: Option<String>,
    width: u32,
    height: u32,
    chroma: &'static str,
    depth: u32,
    /// Primaries, transfer, matrix; and full range.
    colour: ([u16; 3], bool),
}

/// Code point of "not specified" (ITU-T H.273).
const UNSPECIFIED: u16 = 2;

/// Type of HEVC's units that hold a sequence parameter set (ITU-T H.265, table 7-1).
const HEVC_SEQUENCE: u8 = 33;

impl Described {
    fn caps(self, entry: &Entry) -> Option<gst::Caps> {
        // Parsers believe the container; where the two differ, one of them is wrong.
        if (self.width, self.height) != (entry.width, entry.height) {
            return None;
        }
        let mut caps = gst::Caps::builder(self.media_type)
            .field("width", i32::try_from(self.width).ok()?)
            .field("height", i32::try_from(self.height).ok()?)
            .field("profile", self.profile)
            .field("chroma-format", self.chroma)
            .field("bit-depth-luma", self.depth)
            .field_if_some("level", self.level)
            .field_if_some("pixel-aspect-ratio", entry.aspect)
            .field_if_some("framerate", entry.rate);
        match (entry.colour, self.colour) {
            // Where the container and the media differ on the range, and in which words, is for one path to say.
            (Some((_, true)), _) | (_, (_, true)) => return None,
            // The light of deep pictures may be described in the media.
            (None, ([UNSPECIFIED, UNSPECIFIED, UNSPECIFIED], _)) if self.depth > 8 => return None,
            (None, ([UNSPECIFIED, UNSPECIFIED, UNSPECIFIED], _)) => {}
            (None, own) => caps = caps.field("colorimetry", colorimetry(own)?),
            (Some(told), ([UNSPECIFIED, UNSPECIFIED, UNSPECIFIED], _)) if self.depth == 8 => {
                caps = caps.field("colorimetry", colorimetry(told)?);
            }
            (Some(told), own) if told == own => caps = caps.field("colorimetry", colorimetry(own)?),
            (Some(_), _) => return None,
        }
        Some(caps.build())
    }
}

/// GStreamer's text for code points that it knows all of.
fn colorimetry(([primaries, transfer, matrix], full): ([u16; 3], bool)) -> Option<String> {
    let range = if full { video::VideoColorRange::Range0_255 } else { video::VideoColorRange::Range16_235 };
    let matrix = video::VideoColorMatrix::from_iso(matrix.into());
    let transfer = video::VideoTransferFunction::from_iso(transfer.into());
    let primaries = video::VideoColorPrimaries::from_iso(primaries.into());
    let known = matrix != video::VideoColorMatrix::Unknown
        && transfer != video::VideoTransferFunction::Unknown
        && primaries != video::VideoColorPrimaries::Unknown;
    known.then(|| video::VideoColorimetry::new(range, matrix, transfer, primaries).to_string())
}

/// Whether the parameter sets in caps say that the stream uses the full range. Parsers believe the container instead, and
/// demuxers overhear that in its description; a player believes the stream.
pub(in crate::probe) fn uses_full_range(fields: &gst::StructureRef) -> bool {
    let Ok(data) = fields.get::<gst::Buffer>("codec_data") else { return false };
    let Ok(config) = data.map_readable() else { return false };
    if config.len() > LARGEST {
        return false;
    }
    let full = match fields.name().as_str() {
        "video/x-h264" => h264_sequence(&config).map(|sps| h264_colour(&sps).1),
        "video/x-h265" => {
            only_unit(&config, HEVC_SEQUENCE).and_then(Sequence::of).map(|sequence| sequence.colour.1)
        }
        _ => None,
    };
    full.unwrap_or(false)
}

/// The one sequence parameter set of an `avcC`.
fn h264_sequence(config: &[u8]) -> Option<SeqParameterSet> {
    let record = AvcDecoderConfigurationRecord::try_from(config).ok()?;
    let mut sets = record.sequence_parameter_sets();
    let (Some(Ok(set)), None) = (sets.next(), sets.next()) else { return None };
    if set.len() < 2 {
        return None;
    }
    SeqParameterSet::from_bits(RefNal::new(set, &[], true).rbsp_bits()).ok()
}

/// Code points of primaries, transfer and matrix; and whether the full range is used.
fn h264_colour(sps: &SeqParameterSet) -> ([u16; 3], bool) {
    let signal = sps.vui_parameters.as_ref().and_then(|vui| vui.video_signal_type.as_ref());
    let described = signal.and_then(|signal| signal.colour_description.as_ref());
    let points = described.map_or([UNSPECIFIED; 3], |described| {
        [described.colour_primaries, described.transfer_characteristics, described.matrix_coefficients]
            .map(u16::from)
    });
    (points, signal.is_some_and(|signal| signal.video_full_range_flag))
}

/// H.264 by its `avcC`.
pub(super) fn h264(config: &[u8], entry: &Entry, file: &Source, first: Packet) -> Option<gst::Caps> {
    let record = AvcDecoderConfigurationRecord::try_from(config).ok()?;
    let mut sets = record.sequence_parameter_sets();
    let (Some(Ok(set)), None) = (sets.next(), sets.next()) else { return None };
    if !(2..=LARGEST).contains(&set.len()) {
        return None;
    }
    let units = Units {
        length: usize::from(record.length_size_minus_one()) + 1,
        kind: |byte| byte & 0x1f,
        sequence: 7,
        pictures: 1..=5,
    };
    if units.repeat(file, first, set) != Some(true) {
        return None;
    }
    let sps = SeqParameterSet::from_bits(RefNal::new(set, &[], true).rbsp_bits()).ok()?;
    // Whether pictures are really two fields is told slice by slice.
    if sps.frame_mbs_flags != FrameMbsFlags::Frames {
        return None;
    }
    let (width, height) = sps.pixel_dimensions().ok()?;
    let described = Described {
        media_type: "video/x-h264",
        profile: h264_profile(&sps)?.to_owned(),
        level: Some(h264_level(&sps)?),
        width,
        height,
        chroma: match sps.chroma_info.chroma_format {
            ChromaFormat::YUV420 => "4:2:0",
            ChromaFormat::YUV422 => "4:2:2",
            ChromaFormat::YUV444 => "4:4:4",
            ChromaFormat::Monochrome | ChromaFormat::Invalid(_) => return None,
        },
        depth: u32::from(sps.chroma_info.bit_depth_luma_minus8) + 8,
        colour: h264_colour(&sps),
    };
    described.caps(entry)
}

fn h264_profile(sps: &SeqParameterSet) -> Option<&'static str> {
    Some(match sps.profile() {
        Profile::ConstrainedBaseline => "constrained-baseline",
        Profile::Baseline => "baseline",
        Profile::Main => "main",
        Profile::High => "high",
        Profile::ProgressiveHigh => "progressive-high",
        Profile::ConstrainedHigh => "constrained-high",
        Profile::High10 if !sps.constraint_flags.flag4() => "high-10",
        Profile::High422 => "high-4:2:2",
        Profile::High444 => "high-4:4:4",
        _ => return None,
    })
}

/// ITU-T H.264, A.3: ten times the number, but for level 1b.
fn h264_level(sps: &SeqParameterSet) -> Option<String> {
    let level = sps.level_idc;
    if !(10..=62).contains(&level) || level % 10 > 3 || (level == 11 && sps.constraint_flags.flag3()) {
        return None;
    }
    Some(if level.is_multiple_of(10) {
        format!("{}", level / 10)
    } else {
        format!("{}.{}", level / 10, level % 10)
    })
}

/// HEVC by its `hvcC`.
pub(super) fn hevc(config: &[u8], entry: &Entry, file: &Source, first: Packet) -> Option<gst::Caps> {
    let set = only_unit(config, HEVC_SEQUENCE).filter(|set| set.len() <= LARGEST)?;
    let length = usize::from(config.get(21)? & 3) + 1;
    let units = Units { length, kind: |byte| byte >> 1 & 0x3f, sequence: HEVC_SEQUENCE, pictures: 0..=31 };
    if units.repeat(file, first, set) != Some(true) {
        return None;
    }
    let sequence = Sequence::of(set)?;
    let profile = match sequence.profile {
        1 => "main",
        2 => "main-10",
        _ => return None,
    };
    let (points, full) = sequence.colour;
    let described = Described {
        media_type: "video/x-h265",
        profile: profile.to_owned(),
        level: Some(hevc_level(sequence.level)?),
        width: sequence.width,
        height: sequence.height,
        chroma: "4:2:0",
        depth: sequence.depth,
        colour: (points.map_or([UNSPECIFIED; 3], |points| points.map(u16::from)), full),
    };
    described.caps(entry)
}

/// ITU-T H.265, A.4.1: thirty times the number.
fn hevc_level(level: u8) -> Option<String> {
    if !(30..=186).contains(&level) || !level.is_multiple_of(3) || level % 30 > 6 {
        return None;
    }
    let (whole, part) = (level / 30, level % 30 / 3);
    Some(if part == 0 { format!("{whole}") } else { format!("{whole}.{part}") })
}

/// The one unit of a type in an `hvcC`; nothing where there are several.
fn only_unit(config: &[u8], wanted: u8) -> Option<&[u8]> {
    let be16 = |at: usize| {
        config.get(at..at.checked_add(2)?).map(|bytes| usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    };
    let mut found = None;
    let mut at = 23;
    for _ in 0..*config.get(22)? {
        let kind = config.get(at)? & 0x3f;
        let units = be16(at + 1)?;
        at += 3;
        for _ in 0..units {
            let size = be16(at)?;
            let unit = config.get(at + 2..at + 2 + size)?;
            at += 2 + size;
            if kind == wanted && found.replace(unit).is_some() {
                return None;
            }
        }
    }
    found
}

/// AV1 by its `av1C`.
pub(super) fn av1(config: &[u8], entry: &Entry, file: &Source, first: Packet) -> Option<gst::Caps> {
    let told = config.get(4..).filter(|objects| objects.len() <= LARGEST)?;
    // The configuration may leave it to the media; where both have it, they must be the same.
    let unit = sequence_header(file, first)?;
    if !told.is_empty() && bitstream::sequence_header(told)?.2 != bitstream::sequence_header(&unit)?.2 {
        return None;
    }
    let mut reader = Cursor::new(unit);
    let header = ObuHeader::parse(&mut reader).ok()?;
    let sequence = SequenceHeaderObu::parse(header, &mut reader).ok()?;
    let colour = sequence.color_config;
    // The main profile has 4:2:0 and pictures of light alone.
    if sequence.seq_profile != 0 || colour.mono_chrome || sequence.reduced_still_picture_header {
        return None;
    }
    let points =
        [colour.color_primaries, colour.transfer_characteristics, colour.matrix_coefficients].map(u16::from);
    let described = Described {
        media_type: "video/x-av1",
        profile: "main".to_owned(),
        level: None,
        width: u32::try_from(sequence.max_frame_width).ok()?,
        height: u32::try_from(sequence.max_frame_height).ok()?,
        chroma: "4:2:0",
        depth: u32::try_from(colour.bit_depth).ok()?,
        colour: (points, colour.full_color_range),
    };
    described.caps(entry)
}
