//! Decoded frames in, packets of a codec into the file.
//!
//! ```text
//! Feed::take -> appsrc ! deinterlace ! videoflip ! videocrop ! videoconvertscale ! encoder ! appsink -> Output, Witness
//! ```
//! Built at the first frame, when format and size are known; what the frames do not need is left out.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use gstreamer_video as video;
use rushes_shared::encode::{VideoCodec, VideoSettings};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::{Colour, Orientation};

use super::bitstream;
use super::encoder::{self, Encoder, Order, Pass, vp9};
use super::hardware;
use super::mastering::Mastering;
use super::output::{Output, StreamId};
use super::plan::Plan;
use super::tally::Tally;
use crate::colour;
use crate::mp4::Packet;
use crate::note::{Branch, Note, Notes};
use crate::reader::{Feed, shown_at, unusable};
use crate::start::element;
use crate::witness::Witness;

/// Frames that may wait between decoder and encoder.
const WAITING_FRAMES: u64 = 6;
/// Sends frames to the encoder.
pub(crate) struct VideoFeed {
    pub(crate) pipeline: gst::Pipeline,
    pub(crate) plan: Plan,
    pub(crate) settings: VideoSettings,
    /// The hardware encoder's element; `None` for software.
    pub(crate) hardware: Option<String>,
    pub(crate) pass: Pass,
    pub(crate) threads: Option<u32>,
    pub(crate) tally: Arc<Mutex<Tally>>,
    pub(crate) output: Arc<Output>,
    /// Decodes what is made; `None` where the check does that for itself.
    pub(crate) witness: Option<Arc<Mutex<Witness>>>,
    pub(crate) notes: Notes,
    pub(crate) entrance: Option<Entrance>,
    /// The largest packet so far, in bytes.
    pub(crate) largest: Arc<AtomicU64>,
    /// The last frame's time, once it is known that more are encoded behind it.
    pub(crate) end_ns: Arc<AtomicU64>,
}

/// The encoder branch's beginning, once built.
pub(crate) struct Entrance {
    source: app::AppSrc,
    caps: gst::Caps,
    last_ns: Option<u64>,
    /// The last frame and how long it lasts, for encoders that have to be pushed.
    last: Option<(gst::Buffer, u64)>,
    /// Times of the frames inside a deinterlacer, which gives its own; empty otherwise.
    times: Option<Times>,
}

type Times = Arc<Mutex<VecDeque<(u64, u64)>>>;

impl Feed for VideoFeed {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let (Some(mut buffer), Some(caps)) = (sample.buffer_owned(), sample.caps_owned()) else {
            return Err(unusable("a frame without data or format"));
        };
        let Some(shown_ns) = shown_at(sample, &buffer) else { return Ok(()) };
        if self.entrance.is_none() {
            self.entrance = Some(self.build(&caps)?);
        }
        let entrance = self.entrance.as_mut().expect("it was built just now");
        if caps != entrance.caps {
            entrance.source.set_caps(Some(&described(&caps, &self.plan, self.settings.codec)?));
            entrance.caps = caps;
        }
        // Two frames at one time, or one that goes back, cannot be encoded; both are kept, a millisecond apart.
        let at = entrance.last_ns.map_or(shown_ns, |last| shown_ns.max(last + 1_000_000));
        entrance.last_ns = Some(at);
        let duration_ns = buffer.duration().map(gst::ClockTime::nseconds).filter(|d| *d > 0);
        let duration_ns = duration_ns.unwrap_or(self.plan.frame_ns);
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).frame(at, duration_ns);
        if let Some(times) = &entrance.times {
            times.lock().unwrap_or_else(PoisonError::into_inner).push_back((at, duration_ns));
        }
        let stamped = buffer.make_mut();
        stamped.set_pts(gst::ClockTime::from_nseconds(at));
        stamped.set_dts(gst::ClockTime::NONE);
        stamped.set_duration(gst::ClockTime::from_nseconds(duration_ns));
        if self.settings.codec == VideoCodec::Vp9 {
            entrance.last = Some((buffer.clone(), duration_ns));
        }
        entrance.source.push_buffer(buffer).map(drop).map_err(|_| encoder_stopped())
    }

    fn end(&mut self) {
        match &self.entrance {
            Some(entrance) => {
                self.push_out(entrance);
                // Where it is stopping already, whoever stops it says why.
                let _ended = entrance.source.end_of_stream();
            }
            None => self.notes.tell(Note::Failed(no_frame())),
        }
    }
}

impl VideoFeed {
    /// Pushes the last frames out of an encoder that may lose them: libvpx, asked for what it still holds, gives no more at
    /// once than a frame takes uncompressed, and its element asks once. Frames that follow move them out; their packets
    /// are not kept.
    fn push_out(&self, entrance: &Entrance) {
        let (Some((frame, duration_ns)), Some(last_ns)) = (&entrance.last, entrance.last_ns) else { return };
        let raw = u64::from(self.plan.width) * u64::from(self.plan.height);
        let largest = self.largest.load(Ordering::Relaxed);
        if largest > 0 && largest * u64::from(vp9::HELD_FRAMES) < raw {
            return;
        }
        self.end_ns.store(last_ns, Ordering::Release);
        for number in 1..=u64::from(vp9::HELD_FRAMES) + 1 {
            let mut frame = frame.clone();
            let at = last_ns + number * duration_ns;
            frame.make_mut().set_pts(gst::ClockTime::from_nseconds(at));
            if let Some(times) = &entrance.times {
                times.lock().unwrap_or_else(PoisonError::into_inner).push_back((at, *duration_ns));
            }
            if entrance.source.push_buffer(frame).is_err() {
                return;
            }
        }
    }

    fn build(&self, caps: &gst::Caps) -> Result<Entrance, Failure> {
        let described = described(caps, &self.plan, self.settings.codec)?;
        let source = app::AppSrc::builder()
            .caps(&described)
            .format(gst::Format::Time)
            .block(true)
            .max_buffers(WAITING_FRAMES)
            .max_bytes(0)
            .build();
        let mut chain: Vec<gst::Element> = vec![source.clone().upcast()];
        let mastering = Mastering::of(&described);
        let order = Order {
            settings: &self.settings,
            plan: &self.plan,
            threads: self.threads,
            pass: &self.pass,
            hardware: self.hardware.as_deref(),
            mastering: mastering.as_ref(),
        };
        let Encoder { element: encoder, parsers, leaves } = encoder::encoder(&order)?;
        chain.extend(self.picture(&described, &encoder)?);
        let times = frame_info(&described)?
            .interlace_mode()
            .ne(&video::VideoInterlaceMode::Progressive)
            .then(|| keep_times(&encoder));
        if let Some(ms) = self.settings.keyframe_ms {
            encoder::force_keys(&encoder, u64::from(ms) * 1_000_000);
        }
        chain.push(encoder);
        chain.extend(parsers);
        chain.push(self.exit(&leaves).upcast());
        self.pipeline.add_many(&chain).expect("new elements can be added");
        gst::Element::link_many(&chain)
            .map_err(|_| encoder_unfit("the picture's format does not fit the encoder"))?;
        for element in chain.iter().rev() {
            element.sync_state_with_parent().map_err(|_| encoder_unfit("the encoder does not start"))?;
        }
        Ok(Entrance { source, caps: caps.clone(), last_ns: None, last: None, times })
    }

    /// Elements between the decoder's frames and the encoder's.
    fn picture(&self, caps: &gst::Caps, encoder: &gst::Element) -> Result<Vec<gst::Element>, Failure> {
        let info = frame_info(caps)?;
        let mut chain = Vec::new();
        let deinterlace = element("deinterlace")?;
        deinterlace.set_property_from_str("mode", "auto");
        deinterlace.set_property_from_str("fields", "top");
        deinterlace.set_property_from_str("method", "yadif");
        chain.push(deinterlace);
        if !self.plan.orientation.is_upright() {
            let flip = element("videoflip")?;
            flip.set_property_from_str("video-direction", direction(self.plan.orientation));
            chain.push(flip);
        }
        let shown = if self.plan.orientation.swaps_sides() {
            (info.height(), info.width())
        } else {
            (info.width(), info.height())
        };
        if !self.plan.scaled && shown != (self.plan.width, self.plan.height) {
            let crop = element("videocrop")?;
            crop.set_property(
                "right",
                i32::try_from(shown.0.saturating_sub(self.plan.width)).unwrap_or(0).min(1),
            );
            crop.set_property(
                "bottom",
                i32::try_from(shown.1.saturating_sub(self.plan.height)).unwrap_or(0).min(1),
            );
            chain.push(crop);
        }
        let convert = element("videoconvertscale")?;
        convert.set_property_from_str("method", "lanczos");
        convert.set_property("n-threads", self.threads.unwrap_or(0));
        chain.push(convert);
        let filter = element("capsfilter")?;
        filter.set_property("caps", self.encoded_caps(&info, encoder));
        chain.push(filter);
        Ok(chain)
    }

    /// What the encoder is to get. A frame that is right already passes untouched.
    fn encoded_caps(&self, info: &video::VideoInfo, encoder: &gst::Element) -> gst::Caps {
        let format = match info.format() {
            decoded if self.hardware.is_some() => hardware::format(encoder, decoded),
            video::VideoFormat::Nv12
                if self.plan.format == video::VideoFormat::I420
                    && self.settings.codec == VideoCodec::H264 =>
            {
                "NV12"
            }
            _ => self.plan.format.to_str().as_str(),
        };
        let sar = gst::Fraction::new(signed(self.plan.sar.num), signed(self.plan.sar.den));
        let mut wanted = gst::Caps::builder("video/x-raw")
            .field("format", format)
            .field("width", signed(self.plan.width))
            .field("height", signed(self.plan.height))
            .field("pixel-aspect-ratio", sar);
        if let Some(colour) = colour::to_caps(&self.plan.colour) {
            wanted = wanted.field("colorimetry", colour);
        }
        wanted.build()
    }

    /// The branch's end: packets into the file, and to the witness.
    fn exit(&self, leaves: &gst::Caps) -> app::AppSink {
        let sink =
            app::AppSink::builder().caps(leaves).sync(false).async_(false).enable_last_sample(false).build();
        let (output, notes, plan) = (Arc::clone(&self.output), self.notes.clone(), self.plan.clone());
        let (witness, end_witness, end_output) =
            (self.witness.clone(), self.witness.clone(), Arc::clone(&self.output));
        let end_notes = self.notes.clone();
        let codec = self.settings.codec;
        describe_colour(&sink, codec, &self.plan.colour);
        let (largest, end_ns) = (Arc::clone(&self.largest), Arc::clone(&self.end_ns));
        let mut track = None;
        sink.set_callbacks(
            app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    notes.moved();
                    largest.fetch_max(size(&sample), Ordering::Relaxed);
                    if shown_at_all(&sample).is_some_and(|at| at > end_ns.load(Ordering::Acquire)) {
                        return Ok(gst::FlowSuccess::Ok);
                    }
                    let took = (|| {
                        let id = match track {
                            Some(id) => id,
                            None => *track.insert(output.add_video(&sample, codec, &plan)?),
                        };
                        write_frame(&output, id, &sample)?;
                        match &witness {
                            Some(witness) => {
                                witness.lock().unwrap_or_else(PoisonError::into_inner).take(&sample)
                            }
                            None => Ok(()),
                        }
                    })();
                    took.map(|()| gst::FlowSuccess::Ok).map_err(|failure| {
                        notes.tell(Note::Failed(failure));
                        gst::FlowError::Error
                    })
                })
                .eos(move |_| {
                    match &end_witness {
                        Some(witness) => witness.lock().unwrap_or_else(PoisonError::into_inner).end(),
                        None => end_output.video_ended(),
                    }
                    end_notes.tell(Note::Ended(Branch::Video));
                })
                .build(),
        );
        sink
    }
}

/// Gives every frame before the encoder the time that it had before the deinterlacer, which makes one frame of each
/// but loses count of the last ones' times.
fn keep_times(encoder: &gst::Element) -> Times {
    let times = Times::default();
    let waiting = Arc::clone(&times);
    let pad = encoder.static_pad("sink").expect("an encoder has a sink pad");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if let (Some((at, duration)), Some(buffer)) = (next, info.buffer_mut()) {
            let buffer = buffer.make_mut();
            buffer.set_pts(gst::ClockTime::from_nseconds(at));
            buffer.set_duration(gst::ClockTime::from_nseconds(duration));
        }
        gst::PadProbeReturn::Ok
    });
    times
}

/// Writes the colour into packets of codecs whose encoders leave it out, before anything is made of them.
fn describe_colour(sink: &app::AppSink, codec: VideoCodec, described: &Colour) {
    let described = described.clone();
    let pad = sink.static_pad("sink").expect("a sink has a pad");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(packet) = info.buffer_mut() else { return gst::PadProbeReturn::Ok };
        if packet.flags().contains(gst::BufferFlags::DELTA_UNIT) {
            return gst::PadProbeReturn::Ok;
        }
        let changed = packet.map_readable().ok().and_then(|bytes| {
            match bitstream::coloured(codec, &described, &bytes) {
                std::borrow::Cow::Owned(changed) => Some(changed),
                std::borrow::Cow::Borrowed(_) => None,
            }
        });
        if let Some(bytes) = changed {
            let mut fresh = gst::Buffer::from_mut_slice(bytes);
            let into = fresh.get_mut().expect("a new buffer has one owner");
            if packet
                .copy_into(into, gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::FLAGS, ..)
                .is_ok()
            {
                *packet = fresh;
            }
        }
        gst::PadProbeReturn::Ok
    });
}

fn size(sample: &gst::Sample) -> u64 {
    sample.buffer().map_or(0, |packet| u64::try_from(packet.size()).unwrap_or(u64::MAX))
}

fn shown_at_all(sample: &gst::Sample) -> Option<u64> {
    shown_at(sample, sample.buffer()?)
}

fn write_frame(output: &Output, id: StreamId, sample: &gst::Sample) -> Result<(), Failure> {
    let buffer = sample.buffer().ok_or_else(encoder_stopped)?;
    let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
    let at = segment.and_then(|s| s.to_running_time(buffer.pts()?)).ok_or_else(encoder_stopped)?;
    let data = buffer.map_readable().map_err(|_| encoder_stopped())?;
    output.push(
        id,
        Packet {
            pts_ns: i64::try_from(at.nseconds()).unwrap_or(i64::MAX),
            duration_ns: buffer.duration().map_or(0, gst::ClockTime::nseconds),
            key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            data: &data,
        },
    )
}

/// The decoder's caps with what the source's facts know better: the rate and the colour.
fn described(caps: &gst::Caps, plan: &Plan, codec: VideoCodec) -> Result<gst::Caps, Failure> {
    let info = frame_info(caps)?;
    let mut caps = caps.clone();
    let fields = caps.make_mut().structure_mut(0).expect("fixed caps have one structure");
    // x265 does not begin without a rate; frames keep their own times all the same.
    let mean = || {
        let millihertz = crate::pace::scaled(1_000_000_000, 1_000, plan.frame_ns.max(1));
        gst::Fraction::new(i32::try_from(millihertz).unwrap_or(i32::MAX).max(1), 1_000)
    };
    let rate = match plan.fps {
        Some(fps) => gst::Fraction::new(signed(fps.num), signed(fps.den)),
        None if codec == VideoCodec::Hevc => mean(),
        None => gst::Fraction::new(0, 1),
    };
    fields.set("framerate", rate);
    // Without a description the decoder's guess stays, on both sides of the converter, and is not written anywhere.
    if info.format_info().is_yuv()
        && let Some(colour) = colour::to_caps(&plan.colour)
    {
        fields.set("colorimetry", colour);
    }
    // In the decoder's orientation; turning the picture turns it back.
    let (num, den) = (signed(plan.sar.num), signed(plan.sar.den));
    let sar = if plan.orientation.swaps_sides() { (den, num) } else { (num, den) };
    fields.set("pixel-aspect-ratio", gst::Fraction::new(sar.0, sar.1));
    Ok(caps)
}

fn frame_info(caps: &gst::Caps) -> Result<video::VideoInfo, Failure> {
    video::VideoInfo::from_caps(caps).map_err(|_| unusable("frames of an unknown format"))
}

/// `videoflip`'s name for a way to turn. It is a mirroring left to right first, then a turn clockwise.
pub(crate) fn direction(orientation: Orientation) -> &'static str {
    match (orientation.mirrored, orientation.clockwise_degrees % 360) {
        (false, 90) => "90r",
        (false, 180) => "180",
        (false, 270) => "90l",
        (false, _) => "identity",
        (true, 90) => "ur-ll",
        (true, 180) => "vert",
        (true, 270) => "ul-lr",
        (true, _) => "horiz",
    }
}

fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn no_frame() -> Failure {
    Failure::new(
        FailureCode::InputDamaged,
        "not one frame of the input's video could be decoded",
        "check that the file plays; get an undamaged copy",
    )
}

fn encoder_stopped() -> Failure {
    Failure::new(FailureCode::PipelineFailed, "the video encoder stopped", "try again")
}

fn encoder_unfit(text: &str) -> Failure {
    Failure::new(FailureCode::PipelineFailed, text, "try again")
}
