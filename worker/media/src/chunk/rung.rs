//! One rung of a chunk: decoded frames in, closed groups of H.264 into the chunk's file.
//!
//! ```text
//! Branch::take -> appsrc ! videocrop ! videoconvertscale ! x264enc ! appsink -> ChunkFile
//! ```
//! x264 sets a key frame every so many frames and nowhere else, so that all rungs of a film, whose frames are the same,
//! have theirs at the same frames. What it writes into its parameter sets follows from the rung's settings alone.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use gstreamer_video as video;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::Rung;

use super::Taker;
use super::file::ChunkFile;
use crate::colour;
use crate::encode::plan::Plan;
use crate::mp4::{Packet, TrackKind, VideoTrack};
use crate::note::{Branch as Kind, Note, Notes};
use crate::reader::unusable;
use crate::start::element;

/// The element that encodes every rung.
pub(super) const ENCODER: &str = "x264enc";
/// Frames that may wait between decoder and encoder.
const WAITING_FRAMES: u64 = 6;
/// The element's quantizer ends one short of x264's scale; see [`crate::encode`].
const QUANTIZER_MAX: u8 = 50;
const ONE_STEP_COARSER: &str = ":zones=0,2147483647,b=0.890898718";

/// A rung's encoder, built at its first frame.
pub(super) struct Branch {
    pub(super) pipeline: gst::Pipeline,
    pub(super) plan: Plan,
    pub(super) rung: Rung,
    /// Frames from key frame to key frame.
    pub(super) key_frames: u32,
    pub(super) threads: Option<u32>,
    pub(super) notes: Notes,
    file: Arc<Mutex<Option<ChunkFile>>>,
    ended: Arc<AtomicBool>,
    entrance: Option<app::AppSrc>,
}

impl Branch {
    pub(super) fn new(
        pipeline: gst::Pipeline,
        (plan, rung): (Plan, Rung),
        output: &Path,
        (key_frames, threads): (u32, Option<u32>),
        notes: Notes,
    ) -> Result<Self, Failure> {
        let file = Arc::new(Mutex::new(Some(ChunkFile::create(output)?)));
        let ended = Arc::new(AtomicBool::new(false));
        Ok(Self { pipeline, plan, rung, key_frames, threads, notes, file, ended, entrance: None })
    }

    fn build(&self, caps: &gst::CapsRef) -> Result<app::AppSrc, Failure> {
        let caps = described(caps, &self.plan)?;
        let info = video::VideoInfo::from_caps(&caps).map_err(|_| unusable("frames of an unknown format"))?;
        let source = app::AppSrc::builder()
            .caps(&caps)
            .format(gst::Format::Time)
            .block(true)
            .max_buffers(WAITING_FRAMES)
            .max_bytes(0)
            .build();
        let encoder = self.encoder()?;
        let mut chain: Vec<gst::Element> = vec![source.clone().upcast()];
        chain.extend(self.picture(&info)?);
        chain.extend([encoder, self.exit().upcast()]);
        self.pipeline.add_many(&chain).expect("new elements can be added");
        gst::Element::link_many(&chain).map_err(|_| stopped())?;
        for element in chain.iter().rev() {
            element.sync_state_with_parent().map_err(|_| stopped())?;
        }
        Ok(source)
    }

    /// Elements between frames and encoder. They are upright and progressive.
    fn picture(&self, info: &video::VideoInfo) -> Result<Vec<gst::Element>, Failure> {
        let mut chain = Vec::new();
        let (width, height) = (info.width(), info.height());
        if !self.plan.scaled && (width, height) != (self.plan.width, self.plan.height) {
            let crop = element("videocrop")?;
            crop.set_property("right", signed(width.saturating_sub(self.plan.width)).min(1));
            crop.set_property("bottom", signed(height.saturating_sub(self.plan.height)).min(1));
            chain.push(crop);
        }
        let convert = element("videoconvertscale")?;
        convert.set_property_from_str("method", "lanczos");
        convert.set_property("n-threads", self.threads.unwrap_or(1));
        let filter = element("capsfilter")?;
        let format = if info.format() == video::VideoFormat::Nv12 { "NV12" } else { "I420" };
        let mut wanted = gst::Caps::builder("video/x-raw")
            .field("format", format)
            .field("width", signed(self.plan.width))
            .field("height", signed(self.plan.height))
            .field(
                "pixel-aspect-ratio",
                gst::Fraction::new(signed(self.plan.sar.num), signed(self.plan.sar.den)),
            );
        if let Some(colour) = colour::to_caps(&self.plan.colour) {
            wanted = wanted.field("colorimetry", colour);
        }
        filter.set_property("caps", wanted.build());
        chain.extend([convert, filter]);
        Ok(chain)
    }

    fn encoder(&self) -> Result<gst::Element, Failure> {
        let encoder = element(ENCODER)?;
        encoder.set_property_from_str("pass", "qual");
        encoder.set_property("quantizer", u32::from(self.rung.crf.min(QUANTIZER_MAX)));
        // With `pass=qual` these two are the VBV; a buffer of no length is none.
        match &self.rung.cap {
            Some(cap) if self.rung.crf > 0 => {
                encoder.set_property("bitrate", u32::try_from(cap.max_bps / 1000).unwrap_or(u32::MAX).max(1));
                encoder.set_property("vbv-buf-capacity", cap.buffer_ms.clamp(1, 10_000));
            }
            _ => encoder.set_property("vbv-buf-capacity", 0u32),
        }
        encoder.set_property("key-int-max", self.key_frames);
        encoder.set_property_from_str("speed-preset", self.rung.preset.as_str());
        encoder.set_property("aud", false);
        encoder.set_property("insert-vui", false);
        let mut options = colour::to_x264(&self.plan.colour);
        options.push_str(":scenecut=0:open-gop=0:stitchable=1");
        if self.rung.crf > QUANTIZER_MAX {
            options.push_str(ONE_STEP_COARSER);
        }
        encoder.set_property("option-string", options);
        encoder.set_property("threads", self.threads.unwrap_or(0));
        Ok(encoder)
    }

    fn exit(&self) -> app::AppSink {
        let wanted =
            gst::Caps::builder("video/x-h264").field("stream-format", "avc").field("alignment", "au").build();
        let sink =
            app::AppSink::builder().caps(&wanted).sync(false).async_(false).enable_last_sample(false).build();
        let (file, plan, notes) = (Arc::clone(&self.file), self.plan.clone(), self.notes.clone());
        let (at_end, ended) = (self.notes.clone(), Arc::clone(&self.ended));
        sink.set_callbacks(
            app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    notes.moved();
                    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                    let Some(file) = file.as_mut() else { return Err(gst::FlowError::Eos) };
                    keep(file, &sample, &plan).map(|()| gst::FlowSuccess::Ok).map_err(|failure| {
                        notes.tell(Note::Failed(failure));
                        gst::FlowError::Error
                    })
                })
                .eos(move |_| has_ended(&ended, &at_end))
                .build(),
        );
        sink
    }
}

impl Taker for Branch {
    fn take(&mut self, caps: &gst::CapsRef, buffer: gst::Buffer) -> Result<(), Failure> {
        let source = match &self.entrance {
            Some(entrance) => entrance,
            None => {
                let built = self.build(caps)?;
                self.entrance.insert(built)
            }
        };
        source.push_buffer(buffer).map(drop).map_err(|_| stopped())
    }

    fn end(&mut self) {
        match &self.entrance {
            Some(source) => drop(source.end_of_stream()),
            None => has_ended(&self.ended, &self.notes),
        }
    }

    /// Whether the last packet is in the file.
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Finishes the file; after the encoder has ended.
    fn finish(&mut self, last_ns: u64) -> Result<(), Failure> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        file.map_or(Ok(()), |file| file.finish(last_ns))
    }
}

fn has_ended(ended: &AtomicBool, notes: &Notes) {
    ended.store(true, Ordering::Release);
    notes.tell(Note::Ended(Kind::Other));
}

fn keep(file: &mut ChunkFile, sample: &gst::Sample, plan: &Plan) -> Result<(), Failure> {
    let buffer = sample.buffer().ok_or_else(stopped)?;
    if !file.is_described() {
        let config = sample.caps().and_then(|caps| caps.structure(0)?.get::<gst::Buffer>("codec_data").ok());
        let config = config.ok_or_else(stopped)?;
        let side = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
        file.describe(&TrackKind::Video(VideoTrack {
            width: side(plan.width),
            height: side(plan.height),
            sar: plan.sar,
            colour: plan.colour.clone(),
            config: config.map_readable().map_err(|_| stopped())?.to_vec(),
            timescale: plan.timescale,
        }))?;
    }
    let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
    let at = segment.and_then(|s| s.to_running_time(buffer.pts()?)).ok_or_else(stopped)?;
    let data = buffer.map_readable().map_err(|_| stopped())?;
    file.push(Packet {
        pts_ns: i64::try_from(at.nseconds()).unwrap_or(i64::MAX),
        duration_ns: buffer.duration().map_or(0, gst::ClockTime::nseconds),
        key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        data: &data,
    })
}

/// The frames' caps with what the source's facts know better.
fn described(caps: &gst::CapsRef, plan: &Plan) -> Result<gst::Caps, Failure> {
    let mut caps = caps.to_owned();
    let info = video::VideoInfo::from_caps(&caps).map_err(|_| unusable("frames of an unknown format"))?;
    let fields = caps.make_mut().structure_mut(0).expect("fixed caps have one structure");
    let rate =
        plan.fps.map_or(gst::Fraction::new(0, 1), |fps| gst::Fraction::new(signed(fps.num), signed(fps.den)));
    fields.set("framerate", rate);
    if info.format_info().is_yuv()
        && let Some(colour) = colour::to_caps(&plan.colour)
    {
        fields.set("colorimetry", colour);
    }
    let sar = gst::Fraction::new(signed(plan.sar.num), signed(plan.sar.den));
    fields.set("pixel-aspect-ratio", sar);
    Ok(caps)
}

fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn stopped() -> Failure {
    Failure::new(FailureCode::PipelineFailed, "a rung's encoder stopped", "try again")
}
