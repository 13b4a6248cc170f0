//! Decoded frames in, H.264 into the file.
//!
//! ```text
//! Feed::take -> appsrc ! deinterlace ! videoflip ! videocrop ! videoconvertscale ! x264enc ! appsink -> mp4::Writer, Witness
//! ```
//! Built at the first frame, when format and size are known; what the frames do not need is left out. x264 gets
//! exactly what `ffmpeg -c:v libx264 -preset P -crf N` gives it, so that speed, size and quality can be compared.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use gstreamer_video as video;
use rushes_shared::encode::VideoSettings;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::Orientation;

use super::hardware;
use super::output::Output;
use super::plan::Plan;
use super::tally::Tally;
use crate::colour;
use crate::mp4::{Packet, TrackKind, VideoTrack};
use crate::note::{Branch, Note, Notes};
use crate::reader::{Feed, shown_at, unusable};
use crate::start::element;
use crate::witness::Witness;

/// Frames that may wait between decoder and encoder.
const WAITING_FRAMES: u64 = 6;
/// x264's own default, which its GStreamer element replaces by ten seconds.
pub(super) const KEY_FRAME_DISTANCE: u32 = 250;
/// The element's quantizer ends one short of x264's scale.
const QUANTIZER_MAX: u8 = 50;
/// The step that is missing then: x264's quantizer doubles every six steps, and a zone's bit rate factor divides it, so
/// a zone over the whole stream with a factor of 2^(-1/6) is a rate factor of one more.
const ONE_STEP_COARSER: &str = ":zones=0,2147483647,b=0.890898718";

/// Sends frames to the encoder.
pub(crate) struct VideoFeed {
    pub(crate) pipeline: gst::Pipeline,
    pub(crate) plan: Plan,
    pub(crate) settings: VideoSettings,
    /// The hardware encoder's element; `None` for x264.
    pub(crate) hardware: Option<String>,
    pub(crate) threads: Option<u32>,
    pub(crate) tally: Arc<Mutex<Tally>>,
    pub(crate) output: Arc<Output>,
    pub(crate) witness: Arc<Mutex<Witness>>,
    pub(crate) notes: Notes,
    pub(crate) entrance: Option<Entrance>,
}

/// The encoder branch's beginning, once built.
pub(crate) struct Entrance {
    source: app::AppSrc,
    caps: gst::Caps,
    last_ns: Option<u64>,
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
            entrance.source.set_caps(Some(&described(&caps, &self.plan)?));
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
        entrance.source.push_buffer(buffer).map(drop).map_err(|_| encoder_stopped())
    }

    fn end(&mut self) {
        match &self.entrance {
            Some(entrance) => drop(entrance.source.end_of_stream()),
            None => self.notes.tell(Note::Failed(no_frame())),
        }
    }
}

impl VideoFeed {
    fn build(&self, caps: &gst::Caps) -> Result<Entrance, Failure> {
        let described = described(caps, &self.plan)?;
        let source = app::AppSrc::builder()
            .caps(&described)
            .format(gst::Format::Time)
            .block(true)
            .max_buffers(WAITING_FRAMES)
            .max_bytes(0)
            .build();
        let mut chain: Vec<gst::Element> = vec![source.clone().upcast()];
        let encoder = self.encoder()?;
        chain.extend(self.picture(&described, &encoder)?);
        let times = frame_info(&described)?
            .interlace_mode()
            .ne(&video::VideoInterlaceMode::Progressive)
            .then(|| keep_times(&encoder));
        chain.push(encoder);
        if self.hardware.is_some() {
            // They give byte streams; a file has the parameter sets apart.
            chain.push(element("h264parse")?);
        }
        chain.push(self.exit().upcast());
        self.pipeline.add_many(&chain).expect("new elements can be added");
        gst::Element::link_many(&chain)
            .map_err(|_| encoder_unfit("the picture's format does not fit the encoder"))?;
        for element in chain.iter().rev() {
            element.sync_state_with_parent().map_err(|_| encoder_unfit("the encoder does not start"))?;
        }
        Ok(Entrance { source, caps: caps.clone(), last_ns: None, times })
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
            video::VideoFormat::Nv12 => "NV12",
            _ => "I420",
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

    fn encoder(&self) -> Result<gst::Element, Failure> {
        if let Some(name) = &self.hardware {
            return hardware::encoder(name, &self.settings);
        }
        let encoder = element("x264enc")?;
        // `pass=qual` is CRF, but its VBV would cap the rate at 2 Mbit/s; a buffer of no length turns the VBV off.
        encoder.set_property_from_str("pass", "qual");
        encoder.set_property("quantizer", u32::from(self.settings.crf.min(QUANTIZER_MAX)));
        encoder.set_property("vbv-buf-capacity", 0u32);
        encoder.set_property("key-int-max", KEY_FRAME_DISTANCE);
        encoder.set_property_from_str("speed-preset", self.settings.preset.as_str());
        encoder.set_property("aud", false);
        // The element would write its own guess where the source says nothing; the options say exactly what is known.
        encoder.set_property("insert-vui", false);
        let mut options = colour::to_x264(&self.plan.colour);
        if self.settings.crf > QUANTIZER_MAX {
            options.push_str(ONE_STEP_COARSER);
        }
        encoder.set_property("option-string", options);
        encoder.set_property("threads", self.threads.unwrap_or(0));
        Ok(encoder)
    }

    /// The branch's end: packets into the file, and to the witness.
    fn exit(&self) -> app::AppSink {
        let wanted =
            gst::Caps::builder("video/x-h264").field("stream-format", "avc").field("alignment", "au").build();
        let sink =
            app::AppSink::builder().caps(&wanted).sync(false).async_(false).enable_last_sample(false).build();
        let (output, notes, plan) = (Arc::clone(&self.output), self.notes.clone(), self.plan.clone());
        let (witness, end_witness) = (Arc::clone(&self.witness), Arc::clone(&self.witness));
        let end_notes = self.notes.clone();
        let mut track = None;
        sink.set_callbacks(
            app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    notes.moved();
                    let took = (|| {
                        let id = match track {
                            Some(id) => id,
                            None => {
                                *track.insert(output.add(TrackKind::Video(described_track(&sample, &plan)?)))
                            }
                        };
                        write_frame(&output, id, &sample)?;
                        witness.lock().unwrap_or_else(PoisonError::into_inner).take(&sample)
                    })();
                    took.map(|()| gst::FlowSuccess::Ok).map_err(|failure| {
                        notes.tell(Note::Failed(failure));
                        gst::FlowError::Error
                    })
                })
                .eos(move |_| {
                    end_witness.lock().unwrap_or_else(PoisonError::into_inner).end();
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

fn write_frame(output: &Output, id: crate::mp4::TrackId, sample: &gst::Sample) -> Result<(), Failure> {
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

fn described_track(sample: &gst::Sample, plan: &Plan) -> Result<VideoTrack, Failure> {
    let config = sample
        .caps()
        .and_then(|caps| caps.structure(0)?.get::<gst::Buffer>("codec_data").ok())
        .ok_or_else(encoder_stopped)?;
    let config = config.map_readable().map_err(|_| encoder_stopped())?.to_vec();
    let side = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    Ok(VideoTrack {
        width: side(plan.width),
        height: side(plan.height),
        sar: plan.sar,
        colour: plan.colour.clone(),
        config,
        timescale: plan.timescale,
    })
}

/// The decoder's caps with what the source's facts know better: the rate and the colour.
fn described(caps: &gst::Caps, plan: &Plan) -> Result<gst::Caps, Failure> {
    let info = frame_info(caps)?;
    let mut caps = caps.clone();
    let fields = caps.make_mut().structure_mut(0).expect("fixed caps have one structure");
    let rate =
        plan.fps.map_or(gst::Fraction::new(0, 1), |fps| gst::Fraction::new(signed(fps.num), signed(fps.den)));
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
