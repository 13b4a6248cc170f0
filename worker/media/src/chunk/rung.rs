//! One rung of a chunk: decoded frames in, closed groups of pictures into the chunk's file.
//!
//! ```text
//! Branch::take -> Halfway -> Scaler -> appsrc ! videocrop ! videoconvertscale ! encoder ! appsink -> ChunkFile
//! ```
//! Small rungs are scaled from one that is between them and the film, which is scaled once for all of them.
//! Encoders set a key frame every so many frames and nowhere else, or where they are told to, so that all rungs of a film, whose frames
//! are the same, have theirs at the same frames. What they write into their headers follows from the rung's settings alone; what does not show
//! there, such as the rate factor, is in the [recipe].

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use gstreamer_video as video;
use rushes_shared::encode::{RateControl, VideoSettings};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::{ALL, ChunkBound, KeyTimes, Rung};

use super::file::ChunkFile;
use super::wish::STEP;
use super::{Taken, Taker};
use crate::damage::Seen;
use crate::encode::bitstream;
use crate::encode::encoder::{self, Closed, Encoder, Order, Pass};
use crate::encode::mastering::Mastering;
use crate::encode::output;
use crate::encode::picture;
use crate::encode::plan::Plan;
use crate::lent::Frames;
use crate::mp4::Packet;
use crate::note::{Branch as Kind, Note, Notes};
use crate::running::Site;
use crate::scale::{self, Halfway, Scaler};

/// Frames that may wait between decoder and encoder.
const WAITING_FRAMES: u64 = 6;

/// A rung's encoder, built at its first frame.
pub(super) struct Branch {
    /// Where the encoder is put up.
    site: Site,
    pub(super) plan: Plan,
    pub(super) rung: Rung,
    /// Frames from key frame to key frame.
    key_frames: u32,
    /// Where key frames are instead, beside the first one.
    pub(super) placed: Option<KeyTimes>,
    pub(super) threads: Option<u32>,
    pub(super) notes: Notes,
    /// What the encoder is asked for, in hundredths of a step. The recipe says the rung's own: one chunk may be coarser than
    /// another, for its bound or its mean.
    pub(super) factor: u16,
    /// What of the film's bound the chunk has to keep.
    pub(super) bound: Option<ChunkBound>,
    /// The level of an attempt before. Then the encoder has the rung's bound, which keeps the film's for certain; else it has
    /// the film's own.
    pub(super) tight: Option<u8>,
    file: Arc<Mutex<Option<ChunkFile>>>,
    /// When the first frame is shown, in nanoseconds.
    first_ns: Arc<OnceLock<u64>>,
    ended: Arc<AtomicBool>,
    entrance: Option<app::AppSrc>,
    /// The format of the frames so far: a film may change it.
    shown: Option<gst::Caps>,
    /// The size through which it is reached, which other rungs share.
    pub(super) halfway: Option<Arc<Mutex<Halfway>>>,
    /// The same, as frames are laid out in memory.
    entering: Option<video::VideoInfo>,
    /// What scales frames before they enter; where it is none, the pipeline does.
    scaler: Option<Scaler>,
    /// Where frames are made that enter.
    frames: Frames,
}

impl Branch {
    pub(super) fn new(
        site: Site,
        (plan, rung, factor): (Plan, Rung, u16),
        output: &Path,
        (key_frames, threads): (u32, Option<u32>),
        notes: Notes,
    ) -> Result<Self, Failure> {
        let recipe = recipe(&rung, &plan, key_frames);
        let file = Arc::new(Mutex::new(Some(ChunkFile::create(output, recipe)?)));
        let ended = Arc::new(AtomicBool::new(false));
        Ok(Self {
            site,
            plan,
            rung,
            key_frames,
            placed: None,
            threads,
            notes,
            factor,
            bound: None,
            tight: None,
            file,
            first_ns: Arc::default(),
            ended,
            entrance: None,
            shown: None,
            entering: None,
            halfway: None,
            scaler: None,
            frames: Frames::Kept(None),
        })
    }

    /// What frames of this format enter the pipeline as; they are scaled before where that can be.
    fn enters(&mut self, shown: &gst::CapsRef) -> Result<gst::Caps, Failure> {
        let mut caps = picture::described(shown, &self.plan, self.rung.codec, true)?;
        self.shown = Some(shown.to_owned());
        self.scaler = None;
        let size = (self.plan.width, self.plan.height);
        let info = picture::frame_info(&caps)?;
        if self.plan.scaled
            && (info.width(), info.height()) != size
            && let Some(scaler) = Scaler::of(&caps, size)
        {
            self.scaler = Some(scaler);
            caps = scale::resized(&caps, size);
        }
        self.entering = Some(info);
        Ok(caps)
    }

    fn build(&mut self, caps: &gst::CapsRef) -> Result<app::AppSrc, Failure> {
        let caps = self.enters(caps)?;
        let info = picture::frame_info(&caps)?;
        let source = app::AppSrc::builder()
            .caps(&caps)
            .format(gst::Format::Time)
            .block(true)
            .max_buffers(WAITING_FRAMES)
            .max_bytes(0)
            .build();
        let mastering = Mastering::of(&caps);
        let crf = u8::try_from(self.factor / STEP).unwrap_or(u8::MAX);
        let settings = VideoSettings {
            rate: RateControl::Crf(crf),
            preset: self.rung.preset,
            ..VideoSettings::of(self.rung.codec)
        };
        let order = Order {
            settings: &settings,
            plan: &self.plan,
            threads: self.threads,
            pass: &Pass::Single,
            hardware: None,
            mastering: mastering.as_ref(),
            closed: Some(self.closed()),
        };
        let Encoder { element, parsers, leaves } = encoder::encoder(&order)?;
        if let Some(times) = self.placed.clone() {
            encoder::force_keys_at(&element, times);
        }
        self.frames = Frames::of(&element, &source.static_pad("src").expect("a source has a pad"));
        let format = picture::format_for(&self.plan, self.rung.codec, info.format());
        let mut chain: Vec<gst::Element> = vec![source.clone().upcast()];
        let shown = (info.width(), info.height());
        chain.extend(picture::shaped(&self.plan, shown, format, self.threads.unwrap_or(1))?);
        chain.push(element);
        chain.extend(parsers);
        chain.push(self.exit(&leaves).upcast());
        self.site.add(&chain).map_err(|_| stopped())?;
        Ok(source)
    }

    fn closed(&self) -> Closed {
        let (frames, level) = (self.key_frames, self.tight);
        let hundredths = u8::try_from(self.factor % STEP).unwrap_or(0);
        let asked = self.placed.is_some();
        let own = Closed { frames, asked, cap: self.rung.cap, level, hundredths, ..Closed::default() };
        match self.bound.filter(|_| level.is_none()) {
            Some(bound) => Closed { cap: Some(bound.cap), half_full: bound.follows, ..own },
            None => own,
        }
    }

    fn exit(&self, leaves: &gst::Caps) -> app::AppSink {
        let sink =
            app::AppSink::builder().caps(leaves).sync(false).async_(false).enable_last_sample(false).build();
        bitstream::describe_colour(&sink, self.rung.codec, &self.plan.colour);
        let (file, plan, notes) = (Arc::clone(&self.file), self.plan.clone(), self.notes.clone());
        let (at_end, ended) = (self.notes.clone(), Arc::clone(&self.ended));
        let codec = self.rung.codec;
        let mut clock = Clock { first_ns: Arc::clone(&self.first_ns), first_packet: None };
        sink.set_callbacks(
            app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    notes.moved();
                    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                    let Some(file) = file.as_mut() else { return Err(gst::FlowError::Eos) };
                    let kept = if file.is_described() {
                        keep(file, &mut clock, &sample)
                    } else {
                        output::video_track(&sample, codec, &plan)
                            .and_then(|(kind, entry)| file.describe(&kind, entry))
                            .and_then(|()| keep(file, &mut clock, &sample))
                    };
                    kept.map(|()| gst::FlowSuccess::Ok).map_err(|failure| {
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
    fn is_standard_range(&self) -> bool {
        self.plan.tone_mapped.is_some()
    }

    fn take(&mut self, caps: &gst::CapsRef, buffer: gst::Buffer) -> Result<(), Failure> {
        let (caps, buffer) = match &self.halfway {
            Some(halfway) => halfway.lock().unwrap_or_else(PoisonError::into_inner).scaled(caps, buffer)?,
            None => (caps.to_owned(), buffer),
        };
        if let Some(at) = buffer.pts() {
            self.first_ns.get_or_init(|| at.nseconds());
        }
        let is_new = self.shown.as_ref() != Some(&caps);
        let source = match self.entrance.clone() {
            Some(entrance) => {
                if is_new {
                    let caps = self.enters(&caps)?;
                    entrance.set_caps(Some(&caps));
                }
                entrance
            }
            None => {
                let built = self.build(&caps)?;
                self.entrance.insert(built).clone()
            }
        };
        let is_shared = self.halfway.is_some() || self.frames.are_lent();
        let buffer = match (&mut self.scaler, &self.entering) {
            (Some(scaler), _) => scaler.scale(&buffer, &mut self.frames)?,
            (None, Some(info)) if is_shared => scale::copied(&buffer, info, &mut self.frames)?,
            _ => buffer,
        };
        source.push_buffer(buffer).map(drop).map_err(|_| stopped())
    }

    fn end(&mut self) {
        match &self.entrance {
            Some(source) => {
                let _ended = source.end_of_stream();
            }
            None => has_ended(&self.ended, &self.notes),
        }
    }

    /// Whether the last packet is in the file.
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Finishes the file, whose last frame lasts `last_ns`; after the encoder has ended.
    fn finish(&mut self, last_ns: u64, damage: &Seen) -> Result<Taken, Failure> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(file) = file else { return Ok(Taken::default()) };
        let share = self.bound.map_or(ALL, |bound| file.share_within(&bound, last_ns));
        let taken = Taken { share, level: file.level(), bits: file.bits() };
        file.finish(last_ns, damage).map(|()| taken)
    }
}

fn has_ended(ended: &AtomicBool, notes: &Notes) {
    ended.store(true, Ordering::Release);
    notes.tell(Note::Ended(Kind::Other));
}

/// Times of packets. The first packet is the first frame: what lies between their times is the encoder's own matter, and where a stream
/// is shorter than its delay x265's is any number.
struct Clock {
    first_ns: Arc<OnceLock<u64>>,
    first_packet: Option<u64>,
}

impl Clock {
    /// When the frame of a packet is shown in the film, in nanoseconds.
    fn shown(&mut self, packet: &gst::BufferRef) -> Option<u64> {
        let at = match (packet.pts(), self.first_packet) {
            (Some(at), _) => at.nseconds(),
            (None, None) => 0,
            (None, Some(_)) => return None,
        };
        let first = *self.first_packet.get_or_insert(at);
        Some(self.first_ns.get()?.wrapping_add(at.wrapping_sub(first)))
    }
}

fn keep(file: &mut ChunkFile, clock: &mut Clock, sample: &gst::Sample) -> Result<(), Failure> {
    let buffer = sample.buffer().ok_or_else(stopped)?;
    let at = clock.shown(buffer).ok_or_else(stopped)?;
    let data = buffer.map_readable().map_err(|_| stopped())?;
    file.push(Packet {
        pts_ns: i64::try_from(at).unwrap_or(i64::MAX),
        duration_ns: buffer.duration().map_or(0, gst::ClockTime::nseconds),
        key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        data: &data,
    })
}

/// What a chunk is made by: chunks of other recipes are no parts of one film, even where their headers are the same.
fn recipe(rung: &Rung, plan: &Plan, key_frames: u32) -> [u8; 16] {
    let encoder = crate::encode::versioned(encoder::element_name(rung.codec, RateControl::Crf(rung.crf)));
    let rung = Rung { name: String::new(), ..rung.clone() };
    let text = format!("{encoder} {rung:?} {plan:?} {key_frames}");
    let mut recipe = [0; 16];
    recipe.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    recipe
}

fn stopped() -> Failure {
    Failure::new(FailureCode::PipelineFailed, "a rung's encoder stopped", "try again")
}
