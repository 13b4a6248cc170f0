//! The decoding half of an encode or a check: a file in, decoded frames and sound out.
//!
//! ```text
//! filesrc ! parsebin --first video--> queue ! decoder ! appsink -> Feed::take
//!                    --first audio--> queue ! decoder ! appsink -> Feed::take
//!                    --the rest-----> fakesink
//! ```
//! Image sequences come from a source of decoded frames instead (see [`crate::sequence`]).
//!
//! Software decoders only, chosen here by codec: no autoplugging, so that the same file takes the same way on every
//! node. Each branch drains on its own, so a badly interleaved file cannot lock up.

mod matroska;
mod places;
mod sample;

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use gstreamer_video as video;
use rushes_shared::failure::Failure;

use crate::edit_list;
use crate::fault::{self, Side};
use crate::note::{Branch, Note, Notes};
use crate::probe::{self, sniff};
use crate::running::{Running, Site};
use crate::sequence::{self, Sequence};
use crate::source;
use crate::start::element;
pub(crate) use sample::{heard_for, picture_size, shown_at, unusable};

/// Takes the decoded samples of one stream, on that stream's thread.
pub(crate) trait Feed: Send {
    /// One decoded buffer, in order.
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure>;
    /// No more will come.
    fn end(&mut self);
}

/// Who takes what. A stream that nobody wants is read over.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) video: Option<Box<dyn Feed>>,
    pub(crate) audio: Option<Box<dyn Feed>>,
    /// Decoder threads; `None` leaves it to the decoder.
    pub(crate) threads: Option<u32>,
    /// The video's feed takes packets instead of frames, byte for byte as the file holds them; only of MP4 files.
    pub(crate) coded_video: bool,
    /// Is shown the pad on which the video's packets leave their parser, before the first of them passes.
    pub(crate) video_packets: Option<PadWatch>,
    /// What pictures pass between their decoder and their feed.
    pub(crate) video_chain: Vec<gst::Element>,
    /// What sound passes between its decoder and its feed.
    pub(crate) audio_chain: Vec<gst::Element>,
}

/// Is shown a pad once.
pub(crate) type PadWatch = Box<dyn FnOnce(&gst::Pad) + Send>;

/// Compressed data that may wait before a decoder.
const QUEUE_BYTES: u32 = 16 << 20;
const QUEUE_TIME: gst::ClockTime = gst::ClockTime::from_seconds(3);

/// Decoders that are taken before GStreamer's own ranking: the fastest software decoder that is known to be right.
const PREFERRED: &[(&str, &[&str])] = &[
    ("video/x-h264", &["avdec_h264"]),
    ("video/x-h265", &["avdec_h265"]),
    ("video/x-vp8", &["avdec_vp8", "vp8dec"]),
    ("video/x-vp9", &["avdec_vp9", "vp9dec"]),
    ("video/x-av1", &["dav1ddec", "av1dec"]),
    ("video/mpeg", &["avdec_mpeg2video"]),
    // The others give integers, and cut off what is above full scale.
    ("audio/mpeg", &["avdec_mp3float"]),
];

/// A reader that stands still; [`Running::play`] starts it.
pub(crate) fn open(path: &Path, wanted: Wanted, notes: &Notes) -> Result<Running, Failure> {
    if let Some(sequence) = Sequence::at(path)? {
        return open_sequence(sequence, wanted, notes);
    }
    if File::open(path).is_ok_and(|mut file| sniff::is_cmyk(&mut file)) {
        return Err(fault::in_cmyk());
    }
    let source = source::of(path)?;
    let begins_ns = probe::begins_at(path);
    opened(&source, Some(path), begins_ns, wanted, notes)
}

/// The same for pictures that are decoded already.
fn open_sequence(sequence: Sequence, wanted: Wanted, notes: &Notes) -> Result<Running, Failure> {
    let source = sequence::source(sequence, wanted.threads, notes)?;
    let pipeline = gst::Pipeline::new();
    notes.listen(&pipeline, Side::Input);
    pipeline.add(&source).expect("a new element can be added");
    let running = Running::new(pipeline);
    let pad = source.static_pad("src").expect("a source has a pad");
    notes.await_data(&pad);
    // A pad that nothing has started yet answers no question about its caps.
    let hands = Mutex::new(Hands { wanted, found_video: false, found_audio: false });
    attach(&running.site(), &pad, "video/x-raw", &hands, notes)?;
    Ok(running)
}

/// The same for what comes out of an element.
pub(crate) fn open_from(source: &gst::Element, wanted: Wanted, notes: &Notes) -> Result<Running, Failure> {
    opened(source, None, None, wanted, notes)
}

/// The same of a file, where it is one; of a Matroska file, whose first picture or sound begins at a time of the file's own.
fn opened(
    source: &gst::Element,
    path: Option<&Path>,
    begins_ns: Option<u64>,
    wanted: Wanted,
    notes: &Notes,
) -> Result<Running, Failure> {
    let pipeline = gst::Pipeline::new();
    notes.listen(&pipeline, Side::Input);
    // A parser is for its decoder: it puts parameter sets into packets that lack them.
    let parse = element(if wanted.coded_video { "qtdemux" } else { "parsebin" })?;
    pipeline.add_many([source, &parse]).expect("new elements can be added");
    source.link(&parse).expect("a source links to a parser");
    if let (Some(begins_ns), Some(bin)) = (begins_ns, parse.downcast_ref::<gst::Bin>()) {
        matroska::begin_all_at(bin, begins_ns);
    }
    if let Some(path) = path {
        source::keep_times(&parse, path);
    }

    let hands = Arc::new(Mutex::new(Hands { wanted, found_video: false, found_audio: false }));
    let running = Running::new(pipeline);
    let on_pad = (running.site(), notes.clone(), hands);
    notes.await_streams(&parse);
    parse.connect_pad_added(move |_, pad| {
        let (site, notes, hands) = &on_pad;
        if let Err(failure) = attach(site, pad, &caps_name(&caps_of(pad)), hands, notes) {
            notes.tell(Note::Failed(failure));
        }
    });
    Ok(running)
}

/// What a pad gives: settled, or else what its element can give, or else what the stream was said to be. That comes last,
/// as a `parsebin` may say of a stream what was found before a demuxer was put up: of MP3 that its tag is an ID3 tag.
fn caps_of(pad: &gst::Pad) -> gst::Caps {
    let can = || Some(pad.query_caps(None)).filter(|caps| !caps.is_any() && !caps.is_empty());
    let said = || pad.stream().and_then(|stream| stream.caps());
    pad.current_caps().or_else(can).or_else(said).unwrap_or_else(gst::Caps::new_any)
}

struct Hands {
    wanted: Wanted,
    found_video: bool,
    found_audio: bool,
}

/// Leads what a pad gives, a stream of the media type `name`, to who wants it.
fn attach(
    site: &Site,
    pad: &gst::Pad,
    name: &str,
    hands: &Mutex<Hands>,
    notes: &Notes,
) -> Result<(), Failure> {
    let mut held = hands.lock().unwrap_or_else(PoisonError::into_inner);
    let threads = held.wanted.threads;
    let coded_video = held.wanted.coded_video;
    let is_video = name.starts_with("video/") || name.starts_with("image/");
    let (branch, feed, chain) = if is_video && !held.found_video {
        held.found_video = true;
        (Branch::Video, held.wanted.video.take(), std::mem::take(&mut held.wanted.video_chain))
    } else if name.starts_with("audio/") && !held.found_audio {
        held.found_audio = true;
        (Branch::Audio, held.wanted.audio.take(), std::mem::take(&mut held.wanted.audio_chain))
    } else {
        (Branch::Other, None, Vec::new())
    };
    let watch = held.wanted.video_packets.take_if(|_| branch == Branch::Video);
    drop(held);
    if let Some(watch) = watch {
        watch(pad);
    }
    notes.tell(Note::Found(branch));
    match feed {
        Some(feed) => {
            let (site, notes) = (site.clone(), notes.clone());
            let coded = coded_video && branch == Branch::Video;
            Branching { site, branch, feed, chain, threads, coded, notes }.build_at_first_packet(pad);
            Ok(())
        }
        None => read_over(site, pad),
    }
}

/// A branch that is built when its stream's caps are complete.
struct Branching {
    site: Site,
    branch: Branch,
    feed: Box<dyn Feed>,
    chain: Vec<gst::Element>,
    threads: Option<u32>,
    /// Nothing is decoded.
    coded: bool,
    notes: Notes,
}

impl Branching {
    fn build(self, pad: &gst::Pad, caps: &gst::Caps) -> Result<(), Failure> {
        let decoder = if self.coded { None } else { decoder(caps, self.branch, self.threads)? };
        let frames = decoder.as_ref().and_then(|decoder| decoder.static_pad("src"));
        if let Some(frames) = frames.filter(|_| self.branch == Branch::Video) {
            edit_list::drop_cut_frame(pad, &frames);
        }
        let sink = appsink(self.branch, self.feed, &self.notes);
        let notes = self.notes;
        let parser = if self.coded { None } else { picture_parser(caps)?.or(sound_parser(caps)?) };
        let decoded = self.chain.first().unwrap_or(sink.upcast_ref()).static_pad("sink");
        if let Some(decoded) = decoded.filter(|_| self.branch == Branch::Audio) {
            places::settle(&decoded);
        }
        let mut chain: Vec<gst::Element> = parser.into_iter().chain(decoder).chain(self.chain).collect();
        chain.push(sink.upcast());
        branch_off(&self.site, pad, chain, notes).map_err(|()| fault::unsupported(&caps_name(caps)))
    }

    /// Some parsers are shown before they have seen a packet, with caps that still leave out what a decoder is chosen
    /// by. The first packet comes after everything that is known of it.
    fn build_at_first_packet(self, pad: &gst::Pad) {
        let waiting = Mutex::new(Some(self));
        let mask =
            gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(mask, move |pad, info| {
            if info.event().is_some_and(|event| event.type_() != gst::EventType::Eos) {
                return gst::PadProbeReturn::Ok;
            }
            if let Some(branching) = waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let notes = branching.notes.clone();
                let caps = caps_of(pad);
                if let Err(failure) = branching.build(pad, &caps) {
                    notes.tell(Note::Failed(failure));
                }
            }
            gst::PadProbeReturn::Remove
        });
    }
}

/// Cuts a stream of JPEGs into pictures where its demuxer, or a photo alone, does not say that it is: its decoder wants whole ones, and
/// `parsebin` has no parser of its own for it.
pub(crate) fn picture_parser(caps: &gst::Caps) -> Result<Option<gst::Element>, Failure> {
    if is_unparsed_jpeg(caps) { element("jpegparse").map(Some) } else { Ok(None) }
}

/// Says what layer a demuxer's MPEG-1 audio is of: a demuxer alone does not, and the decoder asks.
fn sound_parser(caps: &gst::Caps) -> Result<Option<gst::Element>, Failure> {
    let is_unparsed = caps.structure(0).is_some_and(|fields| {
        fields.name() == "audio/mpeg"
            && fields.get::<i32>("mpegversion") == Ok(1)
            && !fields.get::<bool>("parsed").unwrap_or(false)
    });
    if is_unparsed { element("mpegaudioparse").map(Some) } else { Ok(None) }
}

fn is_unparsed_jpeg(caps: &gst::Caps) -> bool {
    let jpeg = caps.structure(0).filter(|fields| fields.name() == "image/jpeg");
    jpeg.is_some_and(|fields| !fields.get::<bool>("parsed").unwrap_or(false))
}

fn read_over(site: &Site, pad: &gst::Pad) -> Result<(), Failure> {
    let sink = element("fakesink")?;
    sink.set_property("sync", false);
    sink.set_property("async", false);
    sink.set_property("enable-last-sample", false);
    let unread = || fault::unsupported("a stream cannot be read over");
    if !site.add_unless_closed(std::slice::from_ref(&sink)).map_err(|_| unread())? {
        return Ok(());
    }
    let into = sink.static_pad("sink").expect("a sink has a pad");
    pad.link(&into).map(drop).map_err(|_| unread())
}

fn branch_off(site: &Site, pad: &gst::Pad, mut chain: Vec<gst::Element>, notes: Notes) -> Result<(), ()> {
    let queue = element("queue").map_err(drop)?;
    queue.set_property("max-size-buffers", 0u32);
    queue.set_property("max-size-bytes", QUEUE_BYTES);
    queue.set_property("max-size-time", QUEUE_TIME);
    chain.insert(0, queue.clone());
    if !site.add_unless_closed(&chain).map_err(drop)? {
        return Ok(());
    }
    let into = queue.static_pad("sink").expect("a queue has a pad");
    into.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        notes.moved();
        gst::PadProbeReturn::Ok
    });
    pad.link(&into).map(drop).map_err(drop)
}

/// A decoder for a stream; none where it is raw already.
pub(crate) fn decoder(
    caps: &gst::Caps,
    branch: Branch,
    threads: Option<u32>,
) -> Result<Option<gst::Element>, Failure> {
    let name = caps_name(caps);
    if name.ends_with("/x-raw") {
        return Ok(None);
    }
    if is_unparsed_jpeg(caps) {
        // Anything may lie in a photo, and libav's decoder falls over colours that GStreamer has no name for, such as CMYK.
        return element("jpegdec").map(Some);
    }
    let preferred =
        PREFERRED.iter().find(|(codec, _)| *codec == name).map_or(&[][..], |(_, decoders)| decoders);
    let found = preferred
        .iter()
        .filter_map(|decoder| gst::ElementFactory::find(decoder))
        .filter(|factory| factory.can_sink_any_caps(caps))
        .find_map(|factory| factory.create().build().ok());
    let Some(decoder) = found.or_else(|| ranked(caps, branch)) else {
        return Err(fault::unsupported(&format!("no decoder for {name}")));
    };
    for property in ["max-threads", "threads", "n-threads"] {
        if let (Some(threads), Some(spec)) = (threads, decoder.find_property(property)) {
            if spec.value_type() == i32::static_type() {
                decoder.set_property(property, i32::try_from(threads).unwrap_or(0));
            } else if spec.value_type() == u32::static_type() {
                decoder.set_property(property, threads);
            }
        }
    }
    Ok(Some(decoder))
}

fn ranked(caps: &gst::Caps, branch: Branch) -> Option<gst::Element> {
    let kind = if branch == Branch::Video {
        gst::ElementFactoryType::MEDIA_VIDEO
    } else {
        gst::ElementFactoryType::MEDIA_AUDIO
    };
    gst::ElementFactory::factories_with_type(gst::ElementFactoryType::DECODER | kind, gst::Rank::MARGINAL)
        .into_iter()
        .filter(|factory| factory.can_sink_any_caps(caps))
        .filter(|factory| !factory.metadata("klass").is_some_and(|klass| klass.contains("Hardware")))
        .find_map(|factory| factory.create().build().ok())
}

/// The end of a branch: hands every sample to its feed.
pub(crate) fn appsink(branch: Branch, mut feed: Box<dyn Feed>, notes: &Notes) -> app::AppSink {
    let sink = app::AppSink::builder()
        .sync(false)
        .async_(false)
        .enable_last_sample(false)
        .max_buffers(2)
        .wait_on_eos(false)
        .qos(false)
        .build();
    let pad = sink.static_pad("sink").expect("a sink has a pad");
    if branch == Branch::Video {
        offer_video_meta(&pad);
    }
    let moved = notes.clone();
    let shared = Arc::new(Mutex::new(move |step: Option<&gst::Sample>| match step {
        Some(sample) => {
            moved.moved();
            feed.take(sample).map_err(|failure| {
                moved.tell(Note::Failed(failure));
                gst::FlowError::Error
            })
        }
        None => {
            feed.end();
            moved.tell(Note::Ended(branch));
            Ok(())
        }
    }));
    let at_end = Arc::clone(&shared);
    sink.set_callbacks(
        app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let mut step = shared.lock().unwrap_or_else(PoisonError::into_inner);
                step(Some(&sample)).map(|()| gst::FlowSuccess::Ok)
            })
            .eos(move |_| {
                let mut step = at_end.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = step(None);
            })
            .build(),
    );
    sink
}

/// Says that frames with strides and offsets of their own are welcome, and offers the pool to put them into. Without
/// both, libav's decoders copy every frame.
fn offer_video_meta(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
        let Some(query) = info.query_mut() else { return gst::PadProbeReturn::Ok };
        if let gst::QueryViewMut::Allocation(allocation) = query.view_mut() {
            let size = allocation.get_owned().0.and_then(|caps| video::VideoInfo::from_caps(&caps).ok());
            if let Some(size) = size.and_then(|info| u32::try_from(info.size()).ok()) {
                allocation.add_allocation_pool(Some(&video::VideoBufferPool::new()), size, 0, 0);
            }
            allocation.add_allocation_meta::<video::VideoMeta>(None);
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}

/// The caps' media type, for messages.
pub(crate) fn caps_name(caps: &gst::Caps) -> String {
    caps.structure(0).map(|s| s.name().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_element_gives_is_truer_than_what_its_stream_was_taken_for() {
        crate::start::init().unwrap();
        let pad = |template: &gst::Caps| {
            let template =
                gst::PadTemplate::new("src", gst::PadDirection::Src, gst::PadPresence::Always, template)
                    .unwrap();
            let pad = gst::Pad::from_template(&template);
            pad.set_active(true).unwrap();
            let tag = gst::Caps::builder("application/x-id3").build();
            let stream =
                gst::Stream::new(None, Some(&tag), gst::StreamType::AUDIO, gst::StreamFlags::empty());
            let start = gst::event::StreamStart::builder("a").stream(stream).build();
            pad.store_sticky_event(&start).unwrap();
            pad
        };
        let sound = gst::Caps::builder("audio/mpeg").field("mpegversion", 1).build();
        assert_eq!(caps_name(&caps_of(&pad(&sound))), "audio/mpeg");
        assert_eq!(caps_name(&caps_of(&pad(&gst::Caps::new_any()))), "application/x-id3");
    }
}
