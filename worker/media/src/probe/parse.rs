//! Streams, caps and tags from GStreamer's demuxers and parsers, and packet times where they are asked for.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::failure::Failure;

use crate::fault::{self, Side};
use crate::note::{self, Branch, Interrupted, Note, Notes, Opening, Waiting};
use crate::reader;
use crate::running::{Running, Site};
use crate::start::element;
use crate::{edit_list, source};

use super::range;

/// Longest wait for the streams to be known.
const OPENING: Duration = Duration::from_secs(10);
/// Packet times kept of one stream; above, the stream is long enough for its mean.
const TIMES_KEPT: usize = 4_000_000;

/// A stream as its parser describes it.
#[derive(Debug, Default, Clone)]
pub(super) struct Stream {
    pub(super) caps: Option<gst::Caps>,
    pub(super) tags: gst::TagList,
    pub(super) starts: Vec<u64>,
    /// End of the packet that is shown last.
    pub(super) end_ns: u64,
    pub(super) bytes: u64,
    pub(super) finished: bool,
    /// Whether its first packet says that its pictures use the full range.
    pub(super) full_range: bool,
    /// Whether a packet has passed; before it, tags may still come.
    started: bool,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
}

/// What a parse found.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) streams: Vec<Stream>,
    pub(super) duration_ns: u64,
    pub(super) seekable: bool,
    /// Whether packets were counted, to the end or to the time limit.
    pub(super) counted: bool,
    /// Whether counting stopped at the time limit.
    pub(super) cut_short: bool,
}

impl Parsed {
    /// Streams whose media type begins so, in order.
    pub(super) fn of_kind<'a>(&'a self, kinds: &'a [&str]) -> impl Iterator<Item = &'a Stream> {
        self.streams
            .iter()
            .filter(move |stream| kinds.iter().any(|kind| stream.media_type().starts_with(kind)))
    }
}

impl Stream {
    /// A stream that was not parsed but is described elsewhere.
    pub(super) fn described(caps: gst::Caps, tags: gst::TagList) -> Self {
        Self { caps: Some(caps), tags, ..Self::default() }
    }

    pub(super) fn media_type(&self) -> &str {
        self.caps.as_ref().and_then(|caps| caps.structure(0)).map_or("", |s| s.name().as_str())
    }
}

type Streams = Arc<Mutex<Vec<Arc<Mutex<Stream>>>>>;

/// Opens the file and reads what its streams are; with `count`, also every packet, for at most that long.
pub(super) fn run(path: &Path, count: Option<Duration>) -> Result<Parsed, Failure> {
    let (notes, waiting) = Notes::new();
    let pipeline = gst::Pipeline::new();
    notes.listen(&pipeline, Side::Input);
    let source = source::of(path)?;
    let parse = element("parsebin")?;
    pipeline.add_many([&source, &parse]).expect("new elements can be added");
    source.link(&parse).expect("a source links to a parser");
    source::keep_times(&parse, path);
    let streams = Streams::default();
    notes.await_streams(&parse);
    let mut running = Running::new(pipeline);
    watch(running.site(), &parse, &streams, &notes, count.is_some());
    if let Err(failure) = running.play() {
        return Err(match waiting.until(Some(Instant::now() + Duration::from_secs(1)), || (), |_| false) {
            Err(Interrupted::Failed(cause)) => cause,
            _ => failure,
        });
    }
    let mut opening = Opening::new(&running, &notes);
    let known = |note: &Note| matches!(note, Note::StreamsKnown);
    let opened = waiting.until(Some(Instant::now() + OPENING), || opening.look(), known);
    if let Err(interrupted) = opened {
        return Err(not_opened(interrupted, &mut running));
    }
    settle(&streams, &waiting);
    let duration_ns = running.pipeline.query_duration::<gst::ClockTime>().map_or(0, gst::ClockTime::nseconds);
    let mut parsed = Parsed { duration_ns, seekable: seekable(&running.pipeline), ..Parsed::default() };
    if let Some(limit) = count {
        parsed.counted = true;
        let all = || held(&streams).iter().all(|stream| held(stream).finished);
        if !all() {
            let ended = waiting.until(Some(Instant::now() + limit), || (), |_| all());
            match ended {
                // What was counted before an error still stands: the encode will say where the damage is.
                Ok(()) | Err(Interrupted::Failed(_)) => {}
                Err(Interrupted::Deadline) => parsed.cut_short = true,
                Err(Interrupted::Stalled) => {
                    running.abandon();
                    return Err(note::stalled("the probe"));
                }
            }
        }
    }
    drop(running);
    parsed.streams = held(&streams).iter().map(|stream| held(stream).clone()).collect();
    Ok(parsed)
}

/// Longest wait for every stream's first packet, once the streams are known.
const SETTLING: Duration = Duration::from_secs(2);

/// Waits for the first packet of every picture and sound stream: only then are all its tags there. Subtitles may be
/// silent for long and are not waited for.
fn settle(streams: &Streams, waiting: &Waiting) {
    let settled = || {
        held(streams).iter().all(|stream| {
            let stream = held(stream);
            // What has no type yet may still become either.
            let media =
                ["video/", "image/", "audio/"].iter().any(|kind| stream.media_type().starts_with(kind))
                    || stream.media_type().is_empty();
            stream.started || stream.finished || !media
        })
    };
    if !settled() {
        // Whatever goes wrong here goes wrong again in the work that follows.
        let _ = waiting.until(Some(Instant::now() + SETTLING), || (), |_| settled());
    }
}

fn not_opened(interrupted: Interrupted, running: &mut Running) -> Failure {
    match interrupted {
        Interrupted::Failed(failure) => failure,
        Interrupted::Stalled | Interrupted::Deadline => {
            running.abandon();
            fault::unreadable("the input's streams were not found within ten seconds")
        }
    }
}

fn seekable(pipeline: &gst::Pipeline) -> bool {
    let mut query = gst::query::Seeking::new(gst::Format::Time);
    pipeline.query(query.query_mut()) && query.result().0
}

/// Lets every pad flow into a sink of its own, and notes what passes.
fn watch(site: Site, parse: &gst::Element, streams: &Streams, notes: &Notes, count: bool) {
    let (list, told) = (Arc::clone(streams), notes.clone());
    parse.connect_pad_added(move |_, pad| {
        let parsed = match behind_parser(&site, pad) {
            Ok(parsed) => parsed,
            Err(failure) => return told.tell(Note::Failed(failure)),
        };
        let pad = parsed.as_ref().unwrap_or(pad);
        let stream = Arc::new(Mutex::new(Stream { caps: pad.current_caps(), ..Stream::default() }));
        held(&list).push(Arc::clone(&stream));
        note_sticky(pad, &stream);
        let passing = told.clone();
        let mask =
            gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(mask, move |_, info| {
            passing.moved();
            if !matches!(info.data, Some(gst::PadProbeData::Event(_))) && began(&mut held(&stream), info) {
                passing.tell(Note::Found(Branch::Other));
            }
            match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) if count => packet(&mut held(&stream), buffer),
                Some(gst::PadProbeData::BufferList(buffers)) if count => {
                    let mut stream = held(&stream);
                    buffers.iter().for_each(|buffer| packet(&mut stream, buffer));
                }
                Some(gst::PadProbeData::Event(event)) if happened(&mut held(&stream), event) => {
                    passing.tell(Note::Ended(Branch::Other));
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        if let Err(failure) = sink(&site, pad) {
            told.tell(Note::Failed(failure));
        }
    });
}

/// The pad behind the parser of JPEGs, where the stream needs one: it alone sees their tags, such as how a photo stands.
fn behind_parser(site: &Site, pad: &gst::Pad) -> Result<Option<gst::Pad>, Failure> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let Some(parser) = reader::picture_parser(&caps)? else { return Ok(None) };
    let unread = || fault::unsupported("a stream cannot be read");
    if !site.add_unless_closed(std::slice::from_ref(&parser)).map_err(|_| unread())? {
        return Ok(None);
    }
    let into = parser.static_pad("sink").ok_or_else(unread)?;
    pad.link(&into).map_err(|_| unread())?;
    parser.static_pad("src").map(Some).ok_or_else(unread)
}

fn note_sticky(pad: &gst::Pad, stream: &Arc<Mutex<Stream>>) {
    pad.sticky_events_foreach(|event| {
        happened(&mut held(stream), event);
        std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
}

fn sink(site: &Site, pad: &gst::Pad) -> Result<(), Failure> {
    let sink = element("fakesink")?;
    sink.set_property("sync", false);
    sink.set_property("async", false);
    sink.set_property("enable-last-sample", false);
    let unread = || fault::unsupported("a stream cannot be read");
    if !site.add_unless_closed(std::slice::from_ref(&sink)).map_err(|_| unread())? {
        return Ok(());
    }
    let into = sink.static_pad("sink").expect("a sink has a pad");
    pad.link(&into).map(drop).map_err(|_| unread())
}

/// Marks the first packet, and reads what it alone says.
fn began(stream: &mut Stream, info: &gst::PadProbeInfo<'_>) -> bool {
    let is_first = !std::mem::replace(&mut stream.started, true);
    if is_first {
        let listed = || info.buffer_list().and_then(|list| list.get(0));
        let first = info.buffer().map(AsRef::as_ref).or_else(listed);
        let bytes = first.and_then(|packet| packet.map_readable().ok());
        stream.full_range = bytes.is_some_and(|bytes| range::is_full(stream.media_type(), &bytes));
    }
    is_first
}

/// Takes an event in; says whether it was the stream's end.
fn happened(stream: &mut Stream, event: &gst::EventRef) -> bool {
    match event.view() {
        gst::EventView::Caps(caps) => stream.caps = Some(caps.caps_owned()),
        gst::EventView::Tag(tag) => {
            stream.tags.make_mut().insert(tag.tag(), gst::TagMergeMode::Append);
        }
        gst::EventView::Segment(segment) => {
            stream.segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
        }
        gst::EventView::Eos(_) => {
            stream.finished = true;
            return true;
        }
        _ => {}
    }
    false
}

/// Takes a packet in, if it is shown: at least a part of it lies within the segment.
fn packet(stream: &mut Stream, buffer: &gst::BufferRef) {
    stream.bytes += u64::try_from(buffer.size()).unwrap_or(0);
    let (Some(segment), Some(start)) = (&stream.segment, buffer.pts().or(buffer.dts())) else { return };
    let duration = buffer.duration().unwrap_or(gst::ClockTime::ZERO);
    let cut = segment.start().map_or(0, |begin| begin.saturating_sub(start).nseconds());
    if cut > 0 && stream.media_type().starts_with("video/") && !edit_list::is_kept(cut, duration.nseconds()) {
        return;
    }
    let Some((from, to)) = segment.clip(start, start + duration) else { return };
    let (Some(from), Some(to)) =
        (segment.to_running_time(from), to.and_then(|to| segment.to_running_time(to)))
    else {
        return;
    };
    stream.end_ns = stream.end_ns.max(to.nseconds());
    if stream.starts.len() < TIMES_KEPT && !buffer.flags().contains(gst::BufferFlags::DECODE_ONLY) {
        stream.starts.push(from.nseconds());
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
