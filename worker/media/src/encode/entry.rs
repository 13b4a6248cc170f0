//! How an MP4 or QuickTime file describes packets of each codec: the sample entries beside H.264's and AAC's.
//!
//! Sources: HEVC ISO/IEC 14496-15, 8.4; AV1 "AV1 Codec ISO Media File Format Binding" 1.2, 2; VP9 "VP Codec ISO Media File
//! Format Binding" 1.0; ProRes and DNxHD Apple's QuickTime File Format; Opus "Encapsulation of Opus in ISOBMFF" 0.6.8, 4.3;
//! FLAC "Encapsulation of FLAC in ISOBMFF" 0.0.4; AC-3 ETSI TS 102 366, F.4; MP3 ISO/IEC 14496-1 with object type 0x6b.

use gstreamer as gst;
use rushes_shared::encode::{AudioCodec, VideoCodec};
use rushes_shared::media::Colour;

use super::bitstream::{Bits, sequence_header};
use super::mastering::Mastering;
use super::plan::Plan;
use super::sound;
use crate::colour;
use crate::mp4::atom::Atom;

/// The entry of a video track; `None` for H.264, which the writer knows, and for what cannot be described.
pub(super) fn of_video(codec: VideoCodec, plan: &Plan, sample: &gst::Sample) -> Option<Vec<u8>> {
    let config = || codec_data(sample);
    let (code, boxes) = match codec.in_software() {
        VideoCodec::Hevc => (*b"hvc1", Some(Atom::new(b"hvcC").bytes(&config()?))),
        VideoCodec::Vp9 => (*b"vp09", Some(vp9(plan))),
        VideoCodec::Av1 => (*b"av01", Some(Atom::new(b"av1C").bytes(&av1(sample)?))),
        VideoCodec::ProRes => (prores(sample)?, None),
        // DNxHR's own is AVdh, which GStreamer 1.22 does not read.
        VideoCodec::DnxHd => (*b"AVdn", None),
        _ => return None,
    };
    let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
    let mut entry = Atom::new(&code)
        .zeros(6)
        .u16(1)
        .zeros(16)
        .u16(side(plan.width))
        .u16(side(plan.height))
        .u32(0x48_0000)
        .u32(0x48_0000)
        .u32(0)
        .u16(1)
        .zeros(32)
        .u16(24)
        .u16(0xffff);
    if let Some(boxes) = boxes {
        entry = entry.with(boxes);
    }
    let (points, full) = colour::code_points(&plan.colour);
    if points != [2, 2, 2] || full {
        // QuickTime's own form has no range.
        let is_quicktime = matches!(codec, VideoCodec::ProRes | VideoCodec::DnxHd);
        let mut colr = Atom::new(b"colr").bytes(if is_quicktime { b"nclc" } else { b"nclx" });
        for point in points {
            colr = colr.u16(point);
        }
        entry = entry.with(if is_quicktime { colr } else { colr.u8(if full { 0x80 } else { 0 }) });
    }
    Some(entry.with(Atom::new(b"pasp").u32(plan.sar.num).u32(plan.sar.den)).done())
}

/// An entry that says of the display and the light of its film what packets of its codec do not: chunks leave that out, as each would
/// say what its own frames do.
pub(super) fn with_light(mut entry: Vec<u8>, codec: VideoCodec, sample: &gst::Sample) -> Vec<u8> {
    let Some(mastering) = sample.caps().and_then(Mastering::of) else { return entry };
    let boxes = match codec.in_software() {
        VideoCodec::Vp9 => [
            mastering.to_mdcv().map(|display| Atom::full(b"SmDm", 0, 0).bytes(&display)),
            mastering.to_cll().map(|light| Atom::full(b"CoLL", 0, 0).bytes(&light)),
        ],
        VideoCodec::ProRes => [
            mastering.to_file().map(|display| Atom::new(b"mdcv").bytes(&display)),
            mastering.to_cll().map(|light| Atom::new(b"clli").bytes(&light)),
        ],
        _ => [None, None],
    };
    for part in boxes.into_iter().flatten() {
        entry.extend_from_slice(&part.done());
    }
    let size = u32::try_from(entry.len()).unwrap_or(u32::MAX);
    entry[..4].copy_from_slice(&size.to_be_bytes());
    entry
}

pub(super) fn codec_data(sample: &gst::Sample) -> Option<Vec<u8>> {
    let config = sample.caps()?.structure(0)?.get::<gst::Buffer>("codec_data").ok()?;
    config.map_readable().ok().map(|bytes| bytes.to_vec())
}

fn vp9(plan: &Plan) -> Atom {
    use gstreamer_video::VideoFormat;
    let (depth, chroma) = match plan.format {
        VideoFormat::I42010le => (10, 1),
        VideoFormat::I42210le => (10, 2),
        VideoFormat::Y44410le => (10, 3),
        VideoFormat::Y444 => (8, 3),
        _ => (8, 1),
    };
    let profile = match (depth, chroma) {
        (8, 1) => 0,
        (8, _) => 1,
        (_, 1) => 2,
        _ => 3,
    };
    let (points, full) = colour::code_points(&plan.colour);
    let point = |point: u16| u8::try_from(point).unwrap_or(2);
    Atom::full(b"vpcC", 1, 0)
        .u8(profile)
        .u8(vp9_level(plan))
        .u8(depth << 4 | chroma << 1 | u8::from(full))
        .u8(point(points[0]))
        .u8(point(points[1]))
        .u8(point(points[2]))
        .u16(0)
}

/// The lowest level that such pictures at such a rate fit into (VP9 bitstream overview, levels): largest picture in
/// luma samples, most samples a second, ten times the level.
fn vp9_level(plan: &Plan) -> u8 {
    const LEVELS: &[(u64, u64, u8)] = &[
        (36_864, 829_440, 10),
        (73_728, 2_764_800, 11),
        (122_880, 4_608_000, 20),
        (245_760, 9_216_000, 21),
        (552_960, 20_736_000, 30),
        (983_040, 36_864_000, 31),
        (2_228_224, 83_558_400, 40),
        (2_228_224, 160_432_128, 41),
        (8_912_896, 311_951_360, 50),
        (8_912_896, 588_251_136, 51),
        (8_912_896, 1_176_502_272, 52),
        (35_651_584, 1_176_502_272, 60),
        (35_651_584, 2_353_004_544, 61),
    ];
    let picture = u64::from(plan.width) * u64::from(plan.height);
    let rate = picture * 1_000_000_000 / plan.frame_ns.max(1);
    let fits = LEVELS.iter().find(|(largest, most, _)| picture <= *largest && rate <= *most);
    fits.map_or(62, |(_, _, level)| *level)
}

/// The AV1CodecConfigurationRecord of a stream whose first packet is `sample`: four bytes of the sequence header's
/// facts, and the sequence header.
fn av1(sample: &gst::Sample) -> Option<Vec<u8>> {
    if let Some(config) = codec_data(sample) {
        return Some(config);
    }
    let packet = sample.buffer()?.map_readable().ok()?;
    let (_, header, payload, _) = sequence_header(&packet)?;
    let size = u8::try_from(payload.len()).ok().filter(|size| *size < 0x80)?;
    let mut bits = Bits { bytes: payload, at: 0 };
    let profile = bits.take(3)?;
    let _still = bits.take(1)?;
    // The element writes neither the reduced form nor timing; what has them is described by the lowest common level.
    let (reduced, timed) = (bits.take(1)?, bits.take(1)?);
    let (mut level, mut tier) = (8, 0);
    if reduced == 0 && timed == 0 {
        let _delay = bits.take(1)?;
        let _points = bits.take(5)?;
        let _point = bits.take(12)?;
        level = bits.take(5)?;
        tier = if level > 7 { bits.take(1)? } else { 0 };
    }
    let fields = sample.caps()?.structure(0)?;
    let depth: u32 = fields.get("bit-depth-luma").unwrap_or(8);
    let (x, y) = match fields.get::<&str>("chroma-format").unwrap_or("4:2:0") {
        "4:4:4" => (0, 0),
        "4:2:2" => (1, 0),
        _ => (1, 1),
    };
    let facts = tier << 7 | u32::from(depth > 8) << 6 | x << 3 | y << 2;
    let mut record = vec![0x81, u8::try_from(profile << 5 | level).ok()?, u8::try_from(facts).ok()?, 0];
    record.extend_from_slice(header);
    record.push(size);
    record.extend_from_slice(payload);
    Some(record)
}

fn prores(sample: &gst::Sample) -> Option<[u8; 4]> {
    let variant = sample.caps()?.structure(0)?.get::<&str>("variant").ok()?;
    Some(match variant {
        "proxy" => *b"apco",
        "lt" => *b"apcs",
        "standard" => *b"apcn",
        "4444" => *b"ap4h",
        "4444xq" => *b"ap4x",
        _ => *b"apch",
    })
}

/// What is known of a sound track when its first packet comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) rate: u32,
    pub(super) channels: u16,
    /// Bits a sample of uncompressed sound.
    pub(super) bits: u16,
    pub(super) bitrate_bps: u32,
}

/// The entry of a sound track; `None` for AAC, which the writer knows, and for what cannot be described.
pub(super) fn of_audio(codec: AudioCodec, shape: Shape, sample: &gst::Sample) -> Option<Vec<u8>> {
    let base = |code: &[u8; 4], bits: u16| {
        Atom::new(code)
            .zeros(6)
            .u16(1)
            .zeros(8)
            .u16(shape.channels)
            .u16(bits)
            .zeros(4)
            .u32(if shape.rate > 0xffff { 0 } else { shape.rate << 16 })
    };
    let entry = match codec {
        AudioCodec::Aac | AudioCodec::Vorbis => return None,
        AudioCodec::Opus => base(b"Opus", 16).with(opus(sample)?),
        AudioCodec::Flac => {
            let info = stream_info(sample)?;
            base(b"fLaC", shape.bits).with(Atom::full(b"dfLa", 0, 0).bytes(&[0x80, 0, 0, 34]).bytes(&info))
        }
        AudioCodec::Mp3 => {
            let mut decoder = vec![0x6b, 0x15, 0, 0, 0];
            decoder.extend_from_slice(&shape.bitrate_bps.to_be_bytes());
            decoder.extend_from_slice(&shape.bitrate_bps.to_be_bytes());
            let mut stream = vec![0, 0, 0];
            stream.extend_from_slice(&crate::mp4::descriptor(4, &decoder));
            stream.extend_from_slice(&crate::mp4::descriptor(6, &[2]));
            base(b"mp4a", 16).with(Atom::full(b"esds", 0, 0).bytes(&crate::mp4::descriptor(3, &stream)))
        }
        AudioCodec::Ac3 => base(b"ac-3", 16).with(Atom::new(b"dac3").bytes(&ac3(sample)?)),
        AudioCodec::Pcm if shape.rate > 0xffff => quick_pcm(shape),
        AudioCodec::Pcm if shape.bits == 16 => base(b"sowt", 16),
        AudioCodec::Pcm => quicktime_pcm(shape),
    };
    let entry = match sound::mask(shape.channels) {
        Some(mask) if codec == AudioCodec::Pcm => entry.with(channel_layout(mask)),
        _ => entry,
    };
    Some(entry.done())
}

/// Where channels stand, which uncompressed sound says nowhere else (QuickTime File Format, audio channel layout atom). Core
/// Audio's bits are those of a WAVE file's mask, in which those at the side have the places before GStreamer's.
fn channel_layout(mask: u64) -> Atom {
    const BY_BITS: u32 = 1 << 16;
    const SIDE: u64 = 0xc00;
    let mask = mask & !SIDE | (mask & SIDE) >> 1;
    Atom::full(b"chan", 0, 0).u32(BY_BITS).u32(u32::try_from(mask).unwrap_or(0)).u32(0)
}

/// 24-bit samples, most significant byte first, in the second version of QuickTime's sound description.
fn quicktime_pcm(shape: Shape) -> Atom {
    let bytes = u32::from(shape.bits / 8);
    Atom::new(b"in24")
        .zeros(6)
        .u16(1)
        .u16(1)
        .zeros(6)
        .u16(shape.channels)
        .u16(16)
        .u16(0)
        .u16(0)
        .u32(if shape.rate > 0xffff { 0 } else { shape.rate << 16 })
        .u32(1)
        .u32(bytes)
        .u32(bytes * u32::from(shape.channels))
        .u32(bytes)
}

/// Samples at rates that do not fit the first forms of QuickTime's sound description: its version 2.
fn quick_pcm(shape: Shape) -> Atom {
    const SIGNED: u32 = 4;
    const PACKED: u32 = 8;
    const BIG_ENDIAN: u32 = 2;
    let flags = SIGNED | PACKED | if shape.bits == 16 { 0 } else { BIG_ENDIAN };
    Atom::new(b"lpcm")
        .zeros(6)
        .u16(1)
        .u16(2)
        .zeros(6)
        .u16(3)
        .u16(16)
        .u16(0xfffe)
        .u16(0)
        .u32(0x1_0000)
        .u32(72)
        .u64(f64::from(shape.rate).to_bits())
        .u32(u32::from(shape.channels))
        .u32(0x7f00_0000)
        .u32(u32::from(shape.bits))
        .u32(flags)
        .u32(u32::from(shape.bits / 8) * u32::from(shape.channels))
        .u32(1)
}

/// The headers that an encoder's caps carry, each as its bytes.
pub(super) fn stream_headers(sample: &gst::Sample) -> Option<Vec<Vec<u8>>> {
    let headers = sample.caps()?.structure(0)?.get::<gst::Array>("streamheader").ok()?;
    let buffers = headers.iter().filter_map(|value| value.get::<gst::Buffer>().ok());
    buffers.map(|buffer| buffer.map_readable().ok().map(|bytes| bytes.to_vec())).collect()
}

/// The pre-skip of an Opus stream in samples at 48 kHz (RFC 7845, 5.1).
pub(super) fn opus_preskip(sample: &gst::Sample) -> Option<u32> {
    let head = stream_headers(sample)?.into_iter().next()?;
    Some(u32::from(u16::from_le_bytes([*head.get(10)?, *head.get(11)?])))
}

fn opus(sample: &gst::Sample) -> Option<Atom> {
    let head = stream_headers(sample)?.into_iter().next()?;
    let le16 = |at: usize| Some(u16::from_le_bytes([*head.get(at)?, *head.get(at + 1)?]));
    let rate = u32::from_le_bytes(head.get(12..16)?.try_into().ok()?);
    let atom = Atom::new(b"dOps").u8(0).u8(*head.get(9)?).u16(le16(10)?).u32(rate).u16(le16(16)?);
    let family = *head.get(18)?;
    Some(atom.u8(family).bytes(if family > 0 { head.get(19..)? } else { &[] }))
}

/// FLAC's STREAMINFO, behind the 13 bytes of its mapping into Ogg and the block's own header.
fn stream_info(sample: &gst::Sample) -> Option<Vec<u8>> {
    let first = stream_headers(sample)?.into_iter().next()?;
    first.get(17..17 + 34).map(<[u8]>::to_vec)
}

/// What a frame of AC-3 says of its stream.
fn ac3(sample: &gst::Sample) -> Option<[u8; 3]> {
    let frame = sample.buffer()?.map_readable().ok()?;
    let mut bits = Bits { bytes: frame.get(4..)?, at: 0 };
    let (rate, size) = (bits.take(2)?, bits.take(6)?);
    let (id, mode, layout) = (bits.take(5)?, bits.take(3)?, bits.take(3)?);
    if layout & 1 != 0 && layout != 1 {
        bits.take(2)?;
    }
    if layout & 4 != 0 {
        bits.take(2)?;
    }
    if layout == 2 {
        bits.take(2)?;
    }
    let low = bits.take(1)?;
    let word = rate << 22 | id << 17 | mode << 14 | layout << 11 | low << 10 | (size / 2) << 5;
    let [_, a, b, c] = word.to_be_bytes();
    Some([a, b, c])
}

/// Which way a description of colour is told where the container cannot: as caps' field.
pub(super) fn colorimetry(described: &Colour) -> Option<String> {
    colour::to_caps(described)
}
