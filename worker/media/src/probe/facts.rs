//! From streams, tags and times to facts.

use gstreamer as gst;
use rushes_shared::media::{AudioFacts, Colour, MediaFacts, Orientation, SubtitleFacts, VideoFacts};
use rushes_shared::units::Ratio;

use super::headers::uses_full_range;
use super::name;
use super::parse::{Parsed, Stream};
use super::timing::Timing;
use crate::{colour, pace};

/// Longest tag value kept, in bytes, and how many tags.
const TAG_BYTES: usize = 1024;
const TAGS: usize = 100;

/// Tags that parsers work out of the packets that happen to have passed, another value each time: rates are told by each
/// stream's own facts, from all of its packets.
const MEASURED: &[&str] = &["bitrate", "minimum-bitrate", "maximum-bitrate"];

/// Streams of a file at most, so that its facts stay small enough to be told and kept.
pub(super) const STREAMS: usize = 256;

/// Times of every stream by kind, in the container's order, as its index has them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Index {
    pub(super) video: Vec<Timing>,
    pub(super) audio: Vec<Timing>,
    /// Languages of the subtitle streams.
    pub(super) subtitles: Vec<String>,
}

impl Index {
    /// Whether the index speaks of the same streams as the parsers.
    pub(super) fn fits(&self, parsed: &Parsed) -> bool {
        parsed.of_kind(VIDEO).count() == self.video.len() && parsed.of_kind(AUDIO).count() == self.audio.len()
    }
}

const VIDEO: &[&str] = &["video/", "image/"];
const AUDIO: &[&str] = &["audio/"];

/// Puts everything together.
pub(super) fn gather(container: &str, size_bytes: u64, parsed: &Parsed, index: Option<&Index>) -> MediaFacts {
    let step_ns = if matches!(container, "matroska" | "webm" | "flv" | "asf") { 1_000_000 } else { 120_000 };
    let timing = |stream: &Stream, known: Option<&Timing>| {
        known.cloned().unwrap_or_else(|| counted(stream, parsed, step_ns))
    };
    let mut facts = MediaFacts { container: container.to_owned(), size_bytes, ..MediaFacts::default() };
    for (number, stream) in parsed.of_kind(VIDEO).enumerate() {
        let timing = timing(stream, index.and_then(|index| index.video.get(number)));
        facts.video.push(video(stream, &timing));
    }
    for (number, stream) in parsed.of_kind(AUDIO).enumerate() {
        let timing = timing(stream, index.and_then(|index| index.audio.get(number)));
        facts.audio.push(audio(stream, &timing));
    }
    facts.subtitles = subtitles(container, parsed, index);
    if matches!(container, "matroska" | "webm") {
        begin_at_zero(&mut facts);
    }
    let ends = facts.video.iter().map(|v| v.start_ns + v.duration_ns);
    let longest = ends.chain(facts.audio.iter().map(|a| a.start_ns + a.duration_ns)).max().unwrap_or(0);
    let still = facts.audio.is_empty() && facts.video.iter().all(|v| v.frames <= 1 && v.fps.is_none());
    facts.duration_ns = match (still, longest) {
        (true, _) => 0,
        (false, 0) => parsed.duration_ns,
        (false, longest) => longest,
    };
    facts.bitrate_bps = match facts.duration_ns {
        0 => 0,
        length => pace::scaled(size_bytes, 8_000_000_000, length),
    };
    facts.seekable = parsed.seekable;
    collect_tags(&mut facts, parsed);
    if facts.container.is_empty() {
        facts.container = facts.audio.first().map(|a| a.codec.clone()).unwrap_or_default();
    }
    facts
}

/// Counts times from the first picture or sound, as they are read: a recording may have begun its times anywhere.
fn begin_at_zero(facts: &mut MediaFacts) {
    let starts = facts.video.iter().map(|v| v.start_ns).chain(facts.audio.iter().map(|a| a.start_ns));
    let Some(first) = starts.min() else { return };
    facts.video.iter_mut().for_each(|video| video.start_ns -= first);
    facts.audio.iter_mut().for_each(|audio| audio.start_ns -= first);
}

/// Times from the packets that were counted. Where time ran out, the rest is taken to go on in the same way.
fn counted(stream: &Stream, parsed: &Parsed, step_ns: u64) -> Timing {
    let last = stream.starts.iter().max().copied().unwrap_or(0);
    let mut timing =
        Timing::of(stream.starts.clone(), stream.end_ns.saturating_sub(last), stream.bytes, step_ns);
    // A parser gives every packet its full length; where the last one is cut short, the container's length says so.
    let only = parsed.streams.len() == 1 && stream.media_type().starts_with("audio/");
    let end = timing.start_ns + timing.duration_ns;
    if only && stream.finished && parsed.duration_ns > last && parsed.duration_ns < end {
        timing.duration_ns = parsed.duration_ns - timing.start_ns;
    }
    if !stream.finished
        && parsed.cut_short
        && timing.duration_ns > 0
        && parsed.duration_ns > timing.duration_ns
    {
        let (part, whole) = (timing.duration_ns, parsed.duration_ns);
        timing.bytes = pace::scaled(timing.bytes, whole, part);
        // A number that was not counted is not known.
        timing.packets = 0;
        timing.duration_ns = whole;
    }
    timing
}

fn video(stream: &Stream, timing: &Timing) -> VideoFacts {
    let Some(fields) = stream.caps.as_ref().and_then(|caps| caps.structure(0)) else {
        return VideoFacts::default();
    };
    let text = |field| fields.get::<String>(field).unwrap_or_default();
    let side = |field| fields.get::<i32>(field).ok().and_then(|side| u32::try_from(side).ok()).unwrap_or(0);
    let mut colour = described(fields);
    if stream.full_range {
        "pc".clone_into(&mut colour.range);
    }
    let codec = name::codec(fields);
    let (pixel_format, bit_depth) = pixels(fields, &codec);
    let declared = fields.get::<gst::Fraction>("framerate").ok().and_then(ratio).filter(|rate| rate.num > 0);
    VideoFacts {
        profile: text("profile"),
        level: text("level"),
        width: side("width"),
        height: side("height"),
        sar: fields.get::<gst::Fraction>("pixel-aspect-ratio").ok().and_then(ratio),
        fps: timing.rate(declared),
        vfr: timing.vfr,
        frames: timing.packets,
        duration_ns: timing.duration_ns,
        start_ns: timing.start_ns,
        pixel_format,
        bit_depth,
        hdr: colour::hdr(&colour),
        colour,
        orientation: orientation(stream),
        interlaced: is_interlaced(fields),
        bitrate_bps: timing.bitrate_bps(),
        codec,
    }
}

/// The colour description of caps. A stream that describes its colours and does not say that it uses the full range
/// does not use it: so say the syntaxes of MPEG's codecs.
pub(super) fn described(fields: &gst::StructureRef) -> Colour {
    let text = fields.get::<String>("colorimetry").unwrap_or_default();
    let mut colour = colour::from_caps(&text);
    let silent = colour.matrix.is_empty() && colour.transfer.is_empty() && colour.primaries.is_empty();
    if colour.transfer.is_empty() && fields.has_field("mastering-display-info") {
        // A container that tells of the range alone hides what the stream says. Light is described so in HDR10 only.
        let named = |name: &str, otherwise: &str| if name.is_empty() { otherwise } else { name }.to_owned();
        colour.matrix = named(&colour.matrix, "bt2020nc");
        colour.primaries = named(&colour.primaries, "bt2020");
        "smpte2084".clone_into(&mut colour.transfer);
    }
    if colour.range != "pc" && uses_full_range(fields) {
        "pc".clone_into(&mut colour.range);
    } else if colour.range.is_empty() && !silent {
        "tv".clone_into(&mut colour.range);
    }
    colour
}

/// Whether raw or parsed caps speak of two fields a frame.
pub(super) fn is_interlaced(fields: &gst::StructureRef) -> bool {
    fields.get::<String>("interlace-mode").is_ok_and(|mode| mode != "progressive")
}

/// The pixel format where the stream's parser knows it, else an empty name.
fn pixels(fields: &gst::StructureRef, codec: &str) -> (String, u8) {
    if codec == "rawvideo" {
        return name::raw_video(&fields.get::<String>("format").unwrap_or_default());
    }
    let depth = fields.get::<u32>("bit-depth-luma").ok();
    let chroma = fields.get::<String>("chroma-format").ok();
    let always_420 =
        matches!(codec, "vp8" | "theora" | "h263" | "mpeg1video" | "mpeg4" | "flv1" | "wmv3" | "vc1");
    let main_mpeg2 = codec == "mpeg2video" && fields.get::<String>("profile").is_ok_and(|p| p != "4:2:2");
    match (chroma, depth) {
        (Some(chroma), depth) => {
            let depth = depth.unwrap_or(8);
            (name::yuv(&chroma, depth), u8::try_from(depth).unwrap_or(8))
        }
        (None, _) if always_420 || main_mpeg2 => ("yuv420p".to_owned(), 8),
        (None, _) => (String::new(), 0),
    }
}

fn audio(stream: &Stream, timing: &Timing) -> AudioFacts {
    let Some(fields) = stream.caps.as_ref().and_then(|caps| caps.structure(0)) else {
        return AudioFacts::default();
    };
    let number = |field| fields.get::<i32>(field).unwrap_or(0);
    let channels = u16::try_from(number("channels")).unwrap_or(0);
    let mask = fields.get::<gst::Bitmask>("channel-mask").map_or(0, |mask| mask.0);
    let codec = name::codec(fields);
    let opus = codec == "opus";
    AudioFacts {
        profile: fields.get::<String>("profile").unwrap_or_default(),
        // Opus is always 48 kHz; its header only tells what the source once had.
        rate_hz: if opus { 48_000 } else { u32::try_from(number("rate")).unwrap_or(0) },
        channels,
        layout: name::layout(channels, mask).to_owned(),
        duration_ns: timing.duration_ns,
        start_ns: timing.start_ns,
        bitrate_bps: timing.bitrate_bps(),
        language: if timing.language.is_empty() { language(stream) } else { timing.language.clone() },
        codec,
    }
}

fn subtitles(container: &str, parsed: &Parsed, index: Option<&Index>) -> Vec<SubtitleFacts> {
    let streams = || parsed.streams.iter().filter(|stream| name::is_subtitle(stream.media_type()));
    let known = index.map(|index| &index.subtitles).filter(|known| known.len() == streams().count());
    let fact = |(number, stream): (usize, &Stream)| {
        let fields = stream.caps.as_ref().and_then(|caps| caps.structure(0))?;
        let language = known.map_or_else(|| language(stream), |known| known[number].clone());
        Some(SubtitleFacts { codec: name::subtitle(fields, container), language })
    };
    streams().enumerate().filter_map(fact).collect()
}

fn ratio(fraction: gst::Fraction) -> Option<Ratio> {
    Ratio::new(u32::try_from(fraction.numer()).ok()?, u32::try_from(fraction.denom()).ok()?)
}

fn language(stream: &Stream) -> String {
    let code =
        stream.tags.get::<gst::tags::LanguageCode>().map(|tag| tag.get().to_owned()).unwrap_or_default();
    if code == "und" { String::new() } else { code }
}

/// GStreamer's tag says `rotate-90` or `flip-rotate-90`: mirrored left to right first, then turned clockwise.
fn orientation(stream: &Stream) -> Orientation {
    let Some(tag) = stream.tags.get::<gst::tags::ImageOrientation>() else { return Orientation::default() };
    let text = tag.get();
    let (mirrored, turn) = match text.strip_prefix("flip-") {
        Some(turn) => (true, turn),
        None => (false, text),
    };
    let degrees = turn.strip_prefix("rotate-").and_then(|degrees| degrees.parse().ok()).unwrap_or(0);
    Orientation { clockwise_degrees: degrees, mirrored }
}

fn collect_tags(facts: &mut MediaFacts, parsed: &Parsed) {
    let mut pictures = Vec::new();
    for stream in &parsed.streams {
        for (name, value) in stream
            .tags
            .iter_generic()
            .filter(|(name, _)| !MEASURED.contains(&name.as_str()))
            .flat_map(|(name, values)| values.map(move |value| (name, value)))
        {
            if let Ok(sample) = value.get::<gst::Sample>() {
                // Every stream repeats the file's pictures.
                let size = sample.buffer().map_or(0, gst::BufferRef::size);
                if !pictures.contains(&size) {
                    pictures.push(size);
                }
            } else if facts.tags.len() < TAGS
                && let Some(text) = tag_text(value)
            {
                facts.tags.entry(name.to_string()).or_insert(text);
            }
        }
    }
    facts.pictures = u32::try_from(pictures.len()).unwrap_or(u32::MAX);
}

fn tag_text(value: &gst::glib::SendValue) -> Option<String> {
    let mut text = if let Ok(text) = value.get::<String>() {
        text
    } else if let Ok(number) = value.get::<u32>() {
        number.to_string()
    } else if let Ok(number) = value.get::<f64>() {
        number.to_string()
    } else if let Ok(time) = value.get::<gst::DateTime>() {
        time.to_iso8601_string().ok()?.to_string()
    } else {
        return None;
    };
    if text.len() > TAG_BYTES {
        let mut end = TAG_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    Some(text)
}
