//! Finished packets into a container, by GStreamer's muxers.
//!
//! ```text
//! spool -> appsrc [! parser] --+
//! spool -> appsrc [! parser] --+--> muxer [! Ogg or MP3 parts] ! filesink
//! ```
//! Each source asks for its next packet by itself, so that the muxer may wait for whichever stream it likes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use gstreamer_audio as audio;
use rushes_shared::encode::Container;
use rushes_shared::failure::{Failure, FailureCode};

use super::mastering::Mastering;
use super::matroska;
use super::output::Sums;
use super::spool::{Entry, Packets, Spool, Stream};
use super::tags;
use crate::fault::{self, Side};
use crate::mp4::{FragmentTrack, Text, TrackKind, write_fragmented};
use crate::note::{self, Branch, Interrupted, Note, Notes};
use crate::running::Running;
use crate::start::element;

/// Shortest length of a fragment in nanoseconds: it ends at the next key frame.
const FRAGMENT_NS: u64 = 2_000_000_000;
/// Bytes that may wait for the muxer, of each stream.
const WAITING_BYTES: u64 = 4 << 20;
/// How long the clock of a transport stream may be silent. ISO/IEC 13818-1 asks for a tenth of a second; GStreamer's and others'
/// demuxers take a second for the beginning of another clock.
const CLOCK_NS: u64 = 800_000_000;
/// How much earlier than all else the first packet with the clock is, where that is sound's.
const FIRST_NS: i64 = 1_000_000;
/// Time units of Matroska in nanoseconds: a tenth of a millisecond, so that no common frame rate is bent by more.
const MATROSKA_UNIT_NS: i64 = 100_000;

/// Writes the packets of `spool` into a file of `container` at `place`. The last frame stays for `last_frame_ns`.
pub(super) fn mux(
    spool: Spool,
    container: Container,
    place: &Path,
    tags: &[(&'static str, String)],
    last_frame_ns: u64,
    beat: &mut dyn FnMut(),
) -> Result<(), Failure> {
    let (streams, packets) = spool.read().map_err(|error| fault::writing(&error))?;
    let luminances = streams.iter().find_map(|stream| Mastering::of(&stream.caps)?.luminances());
    let packets = Arc::new(packets);
    let pipeline = gst::Pipeline::new();
    let (notes, waiting) = Notes::new();
    let end = build(&pipeline, container, place)?;
    set_tags(&pipeline, tags);
    let uses_decoding_times = container == Container::MpegTs;
    let mut timed: Vec<Timed> =
        streams.into_iter().map(|stream| Timed::of(stream, uses_decoding_times, last_frame_ns)).collect();
    timed.sort_by_key(|timed| !timed.stream.is_video);
    let mut origin =
        timed.iter().filter_map(|stream| stream.earliest(uses_decoding_times)).min().unwrap_or(0);
    let clock = if container == Container::MpegTs { clock_of(&timed)? } else { 0 };
    if let Some(sound) = timed.get_mut(clock).filter(|_| clock > 0) {
        // Tables and clock have to come before all else.
        origin -= FIRST_NS;
        sound.decoded_ns = sound.stream.entries.iter().map(|entry| entry.pts_ns).collect();
        if let Some(first) = sound.decoded_ns.first_mut() {
            *first = origin;
        }
    }
    for stream in timed {
        feed(&pipeline, &end, stream, origin, &packets, &notes, container)?;
    }
    if container == Container::MpegTs {
        lead(&end, clock);
    }
    let ended = notes;
    let bus = pipeline.bus().expect("a pipeline has a bus");
    bus.set_sync_handler(move |_, message| {
        match message.view() {
            gst::MessageView::Error(error) => ended.tell(Note::Failed(fault::from_bus(Side::Output, error))),
            gst::MessageView::Eos(_) => ended.tell(Note::Ended(Branch::Other)),
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
    let mut running = Running::new(pipeline);
    running.play()?;
    match waiting.until(None, beat, |note| matches!(note, Note::Ended(_))) {
        Ok(()) => {}
        Err(Interrupted::Failed(failure)) => return Err(failure),
        Err(Interrupted::Stalled | Interrupted::Deadline) => {
            running.abandon();
            return Err(note::stalled("writing the file"));
        }
    }
    drop(running);
    if !matches!(container, Container::Mkv | Container::Webm) {
        return Ok(());
    }
    matroska::set_texts(place, tags)
        .and_then(|()| luminances.map_or(Ok(()), |light| matroska::set_light(place, light)))
        .map_err(|error| fault::writing(&error))
}

/// Writes how many samples a FLAC file has, and their sum, which its encoder knew at its end only (RFC 9639, 8.2).
pub(super) fn sum_up(place: &Path, sums: &Sums) -> io::Result<()> {
    // Behind the file's mark, the block's head, sizes of blocks and frames, rate, channels and depth; the number has 36 bits.
    const START: &[u8] = b"fLaC";
    const SAMPLES: usize = 4 + 4 + 13;
    const MOST: u64 = (1 << 36) - 1;
    let mut file = File::options().read(true).write(true).open(place)?;
    let mut head = [0; SAMPLES + 1];
    file.read_exact(&mut head)?;
    // The first block of every such file is this one; its number is 0.
    if !head.starts_with(START) || head[4] & 0x7f != 0 {
        return Ok(());
    }
    let samples = if sums.samples > MOST { 0 } else { sums.samples };
    let mut bytes = samples.to_be_bytes()[3..].to_vec();
    bytes[0] |= head[SAMPLES] & 0xf0;
    bytes.extend_from_slice(&sums.md5);
    file.seek(SeekFrom::Start(SAMPLES as u64))?;
    file.write_all(&bytes)
}

/// Writes the packets of `spool` into a fragmented MP4 file.
pub(super) fn fragments(
    spool: Spool,
    tracks: Vec<(TrackKind, Option<Vec<u8>>)>,
    place: &Path,
    about: (&[Text], u64),
    last_frame_ns: u64,
) -> Result<(), Failure> {
    let (streams, packets) = spool.read().map_err(|error| fault::writing(&error))?;
    let streams: Vec<Stream> =
        streams.into_iter().map(|stream| Timed::of(stream, false, last_frame_ns).stream).collect();
    let tracks = tracks.into_iter().zip(&streams).map(|((kind, entry), stream)| FragmentTrack {
        kind,
        entry,
        packets: stream.entries.iter().map(Entry::fragmented).collect(),
    });
    write_fragmented(place, tracks.collect(), about, FRAGMENT_NS, |track, packet| {
        packets.bytes(&streams[track].entries[packet])
    })
    .map_err(|error| fault::writing(&error))
}

/// Puts up what follows the sources; gives the element that they link to.
fn build(pipeline: &gst::Pipeline, container: Container, place: &Path) -> Result<gst::Element, Failure> {
    let sink = element("filesink")?;
    sink.set_property("location", place);
    let mut chain = Vec::new();
    match container {
        Container::Mkv | Container::Webm => {
            let muxer = element(if container == Container::Webm { "webmmux" } else { "matroskamux" })?;
            muxer.set_property("timecodescale", MATROSKA_UNIT_NS);
            muxer.set_property("offset-to-zero", false);
            muxer.set_property_from_str("writing-app", concat!("Rushes ", env!("CARGO_PKG_VERSION")));
            chain.push(muxer);
        }
        Container::MpegTs => chain.push(element("mpegtsmux")?),
        Container::Ogg => chain.push(element("oggmux")?),
        Container::Wav => chain.push(element("wavenc")?),
        Container::Mp3 => {
            chain.extend([element("mpegaudioparse")?, element("xingmux")?, element("id3v2mux")?]);
        }
        Container::Flac => chain.extend([element("flacparse")?, element("flactag")?]),
        Container::Mp4 | Container::FragmentedMp4 | Container::Mov | Container::M4a => {
            return Err(stopped("has a writer of its own"));
        }
    }
    chain.push(sink);
    pipeline.add_many(&chain).expect("new elements can be added");
    gst::Element::link_many(&chain).map_err(|_| stopped("cannot be put together"))?;
    Ok(chain.swap_remove(0))
}

/// Decoding times: those of presentation in order, of so many frames before as the deepest reordering needs. `order` has the frames in
/// order of presentation, `shown` when they are. A picture that stays for long moves no other frame's time.
fn decoding_times(order: &[usize], shown: &[i64], frame_ns: u64) -> Vec<i64> {
    let deepest =
        order.iter().enumerate().map(|(rank, &frame)| frame.saturating_sub(rank)).max().unwrap_or(0);
    let steps = shown.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0);
    let step = steps.min().unwrap_or_else(|| i64::try_from(frame_ns).unwrap_or(0)).max(1);
    let first = shown.first().copied().unwrap_or(0);
    let before = (1..=deepest).rev().map(|frames| first - step * i64::try_from(frames).unwrap_or(0));
    before.chain(shown.iter().copied()).take(shown.len()).collect()
}

/// The stream that carries the clock of a transport stream: the picture, or sound where that comes more steadily. Receivers take a clock
/// that is silent for a second for one that begins anew.
fn clock_of(streams: &[Timed]) -> Result<usize, Failure> {
    let times: Vec<Vec<i64>> = streams.iter().map(Timed::decoding).collect();
    let whole = times.iter().flatten().copied();
    let (first, last) = (whole.clone().min().unwrap_or(0), whole.max().unwrap_or(0));
    let waits: Vec<u64> = times.iter().map(|times| longest_wait(times, first, last)).collect();
    let steadiest = (0..waits.len()).min_by_key(|stream| waits[*stream]).unwrap_or(0);
    let is_steady = |stream: usize| waits.get(stream).is_none_or(|wait| *wait < CLOCK_NS);
    // What comes before the clock has no tables yet, and nobody finds it.
    let leads = |stream: &usize| times[*stream].first().is_none_or(|at| *at <= first);
    let leader = (0..times.len()).find(|stream| leads(stream) && is_steady(*stream));
    let clock = leader.unwrap_or(if is_steady(0) { 0 } else { steadiest });
    if is_steady(clock) {
        return Ok(clock);
    }
    Err(Failure::new(
        FailureCode::SettingsImpossible,
        format!(
            "MPEG-TS carries no film of which nothing comes for {} ms: receivers lose its clock",
            waits[clock] / 1_000_000
        ),
        "set the container mp4, mkv or webm",
    ))
}

/// The longest time in which none of a stream's packets comes, from the first packet of all streams to the last.
fn longest_wait(times: &[i64], first: i64, last: i64) -> u64 {
    let all: Vec<i64> = [first].into_iter().chain(times.iter().copied()).chain([last]).collect();
    all.windows(2).map(|pair| u64::try_from(pair[1] - pair[0]).unwrap_or(0)).max().unwrap_or(0)
}

/// Has a stream carry the clock of a transport stream. The muxer would take the one that is ready first, and writes its tables before
/// packets of that one alone: others could come before them, where no player finds them.
fn lead(muxer: &gst::Element, clock: usize) {
    let pads = muxer.sink_pads();
    let Some(first) = pads.get(clock) else { return };
    let mut map = gst::Structure::builder("program_map").field("PCR_1", first.name().as_str());
    for pad in &pads {
        map = map.field(pad.name().as_str(), 1i32);
    }
    muxer.set_property("prog-map", map.build());
}

/// A stream with the times at which its packets are decoded.
#[derive(Debug)]
struct Timed {
    stream: Stream,
    /// As many as packets; empty where they are the times of presentation.
    decoded_ns: Vec<i64>,
}

impl Timed {
    fn of(mut stream: Stream, wanted: bool, last_frame_ns: u64) -> Self {
        let entries = &mut stream.entries;
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by_key(|&i| entries[i].pts_ns);
        if stream.is_video {
            // A frame lasts until the next one.
            for pair in order.windows(2) {
                let lasts = entries[pair[1]].pts_ns - entries[pair[0]].pts_ns;
                entries[pair[0]].duration_ns = u64::try_from(lasts).unwrap_or(0);
            }
            if let Some(last) = order.last() {
                entries[*last].duration_ns = last_frame_ns;
            }
        }
        let decoded_ns = if wanted && stream.is_video {
            let shown: Vec<i64> = order.iter().map(|&i| entries[i].pts_ns).collect();
            decoding_times(&order, &shown, last_frame_ns)
        } else {
            Vec::new()
        };
        Self { stream, decoded_ns }
    }

    /// When its packets are decoded, in order.
    fn decoding(&self) -> Vec<i64> {
        match self.decoded_ns.as_slice() {
            [] => self.stream.entries.iter().map(|entry| entry.pts_ns).collect(),
            times => times.to_vec(),
        }
    }

    fn earliest(&self, by_decoding: bool) -> Option<i64> {
        let shown = self.stream.entries.iter().map(|entry| entry.pts_ns).min();
        if by_decoding { self.decoded_ns.first().copied().or(shown) } else { shown }
    }
}

/// Links a source with the stream's packets to the muxer.
fn feed(
    pipeline: &gst::Pipeline,
    muxer: &gst::Element,
    timed: Timed,
    origin: i64,
    packets: &Arc<Packets>,
    notes: &Notes,
    container: Container,
) -> Result<(), Failure> {
    let source = app::AppSrc::builder()
        .caps(&timed.stream.caps)
        .format(gst::Format::Time)
        .max_bytes(WAITING_BYTES)
        .build();
    if let Some(language) = &timed.stream.language {
        let mut tags = gst::TagList::new();
        let fresh = tags.get_mut().expect("a new list has one owner");
        fresh.add::<gst::tags::LanguageCode>(&language.as_str(), gst::TagMergeMode::Replace);
        source.send_event(gst::event::Tag::new(tags));
    }
    let mut chain: Vec<gst::Element> = vec![source.clone().upcast()];
    let name = timed.stream.caps.structure(0).map(|fields| fields.name().to_string()).unwrap_or_default();
    let version = timed.stream.caps.structure(0).and_then(|fields| fields.get::<i32>("mpegversion").ok());
    if let Some(parser) = parser(&name, version == Some(4), container) {
        let parser = element(parser)?;
        if container == Container::MpegTs && parser.has_property("config-interval") {
            // Parameter sets before each key frame: a receiver begins where it comes in.
            parser.set_property("config-interval", -1i32);
        }
        chain.push(parser);
    }
    let (packets, notes, is_video) = (Arc::clone(packets), notes.clone(), timed.stream.is_video);
    let next = AtomicU64::new(0);
    source.set_callbacks(
        app::AppSrcCallbacks::builder()
            .need_data(move |source, _| {
                let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
                let Some(entry) = timed.stream.entries.get(at) else {
                    let _ = source.end_of_stream();
                    return;
                };
                notes.moved();
                let bytes = match packets.bytes(entry) {
                    Ok(bytes) => bytes,
                    Err(error) => return notes.tell(Note::Failed(fault::writing(&error))),
                };
                let mut buffer = gst::Buffer::from_mut_slice(bytes);
                let fresh = buffer.get_mut().expect("a new buffer has one owner");
                let time = |ns: i64| gst::ClockTime::from_nseconds(u64::try_from(ns - origin).unwrap_or(0));
                fresh.set_pts(time(entry.pts_ns));
                let decoded = timed.decoded_ns.get(at).copied();
                fresh.set_dts(decoded.map(time));
                if entry.duration_ns > 0 {
                    fresh.set_duration(gst::ClockTime::from_nseconds(entry.duration_ns));
                }
                if let Some(clip) = entry.clip {
                    audio::AudioClippingMeta::add(
                        fresh,
                        gst::format::Default::from_u64(clip.start),
                        gst::format::Default::from_u64(clip.end),
                    );
                }
                if !entry.key {
                    fresh.set_flags(gst::BufferFlags::DELTA_UNIT);
                }
                let _ = source.push_buffer(buffer);
            })
            .build(),
    );
    pipeline.add_many(&chain).expect("new elements can be added");
    gst::Element::link_many(&chain).map_err(|_| stopped("does not take the packets"))?;
    let last = chain.last().expect("it begins with the source");
    // A muxer with places of either kind would give whichever comes first, as nothing of the packets is known to it yet.
    let place = if is_video { "video_%u" } else { "audio_%u" };
    let linked = match container {
        Container::Mkv | Container::Webm | Container::Ogg => last.link_pads(None, muxer, Some(place)),
        _ => last.link(muxer),
    };
    linked.map_err(|_| stopped("does not take the packets"))
}

/// What brings packets into the muxer's form.
fn parser(name: &str, is_aac: bool, container: Container) -> Option<&'static str> {
    match (name, container) {
        ("video/x-h264", _) => Some("h264parse"),
        ("video/x-h265", _) => Some("h265parse"),
        ("video/x-av1", _) => Some("av1parse"),
        ("audio/mpeg", Container::MpegTs) if is_aac => Some("aacparse"),
        ("audio/mpeg", Container::MpegTs) => Some("mpegaudioparse"),
        ("audio/x-opus", _) => Some("opusparse"),
        ("audio/x-ac3", _) => Some("ac3parse"),
        ("audio/x-flac", Container::Ogg | Container::Mkv) => Some("flacparse"),
        _ => None,
    }
}

fn set_tags(pipeline: &gst::Pipeline, tags: &[(&'static str, String)]) {
    let mut elements = pipeline.iterate_all_by_interface(gst::TagSetter::static_type());
    while let Ok(Some(element)) = elements.next() {
        let Some(setter) = element.dynamic_cast_ref::<gst::TagSetter>() else { continue };
        let mut list = gst::TagList::new();
        let fresh = list.get_mut().expect("a new list has one owner");
        for (name, value) in tags {
            if *name == tags::DATE {
                if let Ok(moment) = gst::DateTime::from_iso8601_string(value) {
                    let _ = fresh.add_generic(*name, moment, gst::TagMergeMode::Replace);
                }
            } else {
                let _ = fresh.add_generic(*name, value, gst::TagMergeMode::Replace);
            }
        }
        setter.merge_tags(&list, gst::TagMergeMode::Replace);
    }
}

fn stopped(what: &str) -> Failure {
    Failure::new(FailureCode::PipelineFailed, format!("the output's container {what}"), "try again")
}
