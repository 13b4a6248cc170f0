//! Decoded frames in, packets of a codec into the file.
//!
//! ```text
//! Feed::take -> appsrc ! deinterlace ! videoflip ! videocrop ! videoconvertscale ! encoder ! appsink -> Output, Witness
//! ```
//! Built at the first frame, when format and size are known; what the frames do not need is left out.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use rushes_shared::encode::VideoSettings;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::VideoFacts;

use super::bitstream;
use super::encoder::{self, Encoder, Order, Pass};
use super::hardware;
use super::mastering::Mastering;
use super::output::{Output, StreamId};
use super::picture;
use super::plan::Plan;
use super::tally::Tally;
use crate::mp4::Packet;
use crate::note::{Branch, Note, Notes};
use crate::reader::{Feed, shown_at, unusable};
use crate::running::{Refused, Site};
use crate::tone::{self, ToneMapper};
use crate::witness::Witness;

/// Frames that may wait between decoder and encoder.
const WAITING_FRAMES: u64 = 6;
/// Sends frames to the encoder.
pub(crate) struct VideoFeed {
    /// Where the encoder is put up.
    pub(crate) site: Site,
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
    /// The film whose high dynamic range the output does not carry.
    pub(crate) tone_mapped: Option<VideoFacts>,
    pub(crate) mapper: Option<ToneMapper>,
    /// Whether frames of two fields were brought to eight bits.
    pub(crate) is_narrowed: Arc<AtomicBool>,
}

/// The encoder branch's beginning, once built.
pub(crate) struct Entrance {
    source: app::AppSrc,
    caps: gst::Caps,
    last_ns: Option<u64>,
}

impl Feed for VideoFeed {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let (Some(mut buffer), Some(mut caps)) = (sample.buffer_owned(), sample.caps_owned()) else {
            return Err(unusable("a frame without data or format"));
        };
        let Some(shown_ns) = shown_at(sample, &buffer) else { return Ok(()) };
        if let Some(film) = &self.tone_mapped {
            (caps, buffer) = tone::mapped(&mut self.mapper, (&caps, &buffer), film, self.threads)?;
        }
        if self.entrance.is_none() {
            self.entrance = Some(self.build(&caps)?);
        }
        let entrance = self.entrance.as_mut().expect("it was built just now");
        if caps != entrance.caps {
            entrance.source.set_caps(Some(&picture::described(
                &caps,
                &self.plan,
                self.settings.codec,
                false,
            )?));
            entrance.caps = caps;
        }
        // Two frames at one time, or one that goes back, cannot be encoded; both are kept, a millisecond apart.
        let at = entrance.last_ns.map_or(shown_ns, |last| shown_ns.max(last + 1_000_000));
        entrance.last_ns = Some(at);
        let duration_ns = buffer.duration().map(gst::ClockTime::nseconds).filter(|d| *d > 0);
        let duration_ns = duration_ns.unwrap_or(self.plan.frame_ns);
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).frame(at, duration_ns);
        let stamped = buffer.make_mut();
        stamped.set_pts(gst::ClockTime::from_nseconds(at));
        stamped.set_dts(gst::ClockTime::NONE);
        stamped.set_duration(gst::ClockTime::from_nseconds(duration_ns));
        entrance.source.push_buffer(buffer).map(drop).map_err(|_| encoder_stopped())
    }

    fn end(&mut self) {
        match &self.entrance {
            Some(entrance) => {
                // Where it is stopping already, whoever stops it says why.
                let _ended = entrance.source.end_of_stream();
            }
            None => self.notes.tell(Note::Failed(no_frame())),
        }
    }
}

impl VideoFeed {
    fn build(&self, caps: &gst::Caps) -> Result<Entrance, Failure> {
        let described = picture::described(caps, &self.plan, self.settings.codec, false)?;
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
            closed: None,
        };
        let Encoder { element: encoder, parsers, leaves } = encoder::encoder(&order)?;
        chain.extend(self.picture(&described, &encoder)?);
        if let Some(ms) = self.settings.keyframe_ms {
            encoder::force_keys(&encoder, u64::from(ms) * 1_000_000);
        }
        chain.push(encoder);
        chain.extend(parsers);
        chain.push(self.exit(&leaves).upcast());
        self.site.add(&chain).map_err(|refused| match refused {
            Refused::Closed => encoder_stopped(),
            Refused::Unlinked => encoder_unfit("the picture's format does not fit the encoder"),
            Refused::Unstarted => encoder_unfit("the encoder does not start"),
        })?;
        Ok(Entrance { source, caps: caps.clone(), last_ns: None })
    }

    /// Elements between the decoder's frames and the encoder's.
    fn picture(&self, caps: &gst::Caps, encoder: &gst::Element) -> Result<Vec<gst::Element>, Failure> {
        let info = picture::frame_info(caps)?;
        let is_progressive = self.tone_mapped.is_some();
        let mut chain =
            if is_progressive { Vec::new() } else { picture::progressive(&self.plan, &self.is_narrowed)? };
        chain.extend(picture::turn(self.plan.orientation)?);
        let shown = if self.plan.orientation.swaps_sides() {
            (info.height(), info.width())
        } else {
            (info.width(), info.height())
        };
        let format = match info.format() {
            decoded if self.hardware.is_some() => hardware::format(encoder, decoded),
            decoded => picture::format_for(&self.plan, self.settings.codec, decoded),
        };
        chain.extend(picture::shaped(&self.plan, shown, format, self.threads.unwrap_or(0))?);
        Ok(chain)
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
        bitstream::describe_colour(&sink, codec, &self.plan.colour);
        let mut track = None;
        sink.set_callbacks(
            app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    notes.moved();
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
