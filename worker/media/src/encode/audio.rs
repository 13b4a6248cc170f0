//! Decoded sound in, packets of a codec into the file.
//!
//! ```text
//! Feed::take -> appsrc ! audioconvert ! audioresample ! audiorate [! gain ! audioconvert] ! encoder ! appsink -> Output
//! ```
//! Gaps in the source are filled with silence, so that sound stays with the picture. Encoders put priming before the first
//! real sample: an edit list skips it where the container has one; elsewhere packets begin that much earlier.

use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use gstreamer_audio as audio;
use md5::{Digest, Md5};
use rushes_shared::encode::{AudioCodec, AudioSettings, Container};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::MediaFacts;

use super::entry::{self, Shape};
use super::level::Gain;
use super::output::{Clip, Output, Sound, StreamId, Sums};
use super::sound::{self, Counting, Samples};
use super::tally::Tally;
use super::{limiting, mixing};
use crate::damage;
use crate::mp4::Packet;
use crate::note::{Branch, Note, Notes};
use crate::reader::{Feed, heard_for, shown_at, unusable};
use crate::running::Site;
use crate::sound::Limiter;
use crate::start::element;

/// A gap in the sound that reaches so far past the picture's end, in nanoseconds, is a broken time: FFmpeg, too, believes no
/// jump beyond this.
const LONGEST_JUMP_NS: u64 = 10_000_000_000;

/// How far sound may be from the time that it says, in nanoseconds, before silence or a cut sets it right: more than containers round
/// by, and less than a lost packet of AAC takes away.
const TOLERANCE_NS: u64 = 15_000_000;

/// Sound that may wait between decoder and encoder.
const WAITING: gst::ClockTime = gst::ClockTime::from_seconds(1);

/// Sends sound to the encoder.
pub(crate) struct AudioFeed {
    /// Where the encoder is put up.
    pub(crate) site: Site,
    pub(crate) settings: AudioSettings,
    pub(crate) container: Container,
    /// What brings samples to the loudness that was asked for.
    pub(crate) gain: Option<Gain>,
    /// When the film's picture ends, in nanoseconds; `None` where there is none or nobody knows.
    pub(crate) picture_end_ns: Option<u64>,
    pub(crate) language: String,
    pub(crate) tally: Arc<Mutex<Tally>>,
    pub(crate) output: Arc<Output>,
    pub(crate) notes: Notes,
    pub(crate) entrance: Option<(app::AppSrc, gst::Caps)>,
}

impl Feed for AudioFeed {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let (Some(mut buffer), Some(caps)) = (sample.buffer_owned(), sample.caps_owned()) else {
            return Err(unusable("sound without data or format"));
        };
        let Some(at) = shown_at(sample, &buffer).map(|at| self.placed(at)) else { return Ok(()) };
        if self.entrance.is_none() {
            self.entrance = Some((self.build(&caps)?, caps.clone()));
        }
        let (source, known) = self.entrance.as_mut().expect("it was built just now");
        if caps != *known {
            source.set_caps(Some(&caps));
            *known = caps;
        }
        let lasts = heard_for(sample, &buffer);
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).sound(at, lasts);
        let stamped = buffer.make_mut();
        stamped.set_pts(gst::ClockTime::from_nseconds(at));
        stamped.set_dts(gst::ClockTime::NONE);
        source.push_buffer(buffer).map(drop).map_err(|_| encoder_stopped())
    }

    fn end(&mut self) {
        match &self.entrance {
            Some((source, _)) => drop(source.end_of_stream()),
            // Sound that holds nothing leaves an output without sound, which the check will report.
            None => {
                self.output.audio_ended();
                self.notes.tell(Note::Ended(Branch::Audio));
            }
        }
    }
}

impl AudioFeed {
    /// When sound is heard that says it is heard `at`. Gaps are filled with silence, and one broken time would bring hours of
    /// it; such sound follows on what was before it.
    fn placed(&self, at: u64) -> u64 {
        let Some(picture_end) = self.picture_end_ns else { return at };
        let tally = *self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let furthest = tally.audio_end.max(picture_end).saturating_add(LONGEST_JUMP_NS);
        if tally.audio_start.is_none() || at <= furthest {
            return at;
        }
        let far = at / 1_000_000_000;
        damage::note(&format!(
            "sound with a time of {far} s, far past the picture's end, follows on that before"
        ));
        tally.audio_end
    }

    fn build(&self, caps: &gst::Caps) -> Result<app::AppSrc, Failure> {
        let info = audio::AudioInfo::from_caps(caps).map_err(|_| unusable("sound of an unknown format"))?;
        if info.flags().contains(audio::AudioFlags::UNPOSITIONED) && info.channels() > 2 {
            return Err(Failure::new(
                FailureCode::Unsupported,
                format!("the sound has {} channels and does not say where they stand", info.channels()),
                "split it into tracks of up to eight channels first",
            ));
        }
        let source = app::AppSrc::builder()
            .caps(caps)
            .format(gst::Format::Time)
            .block(true)
            .max_bytes(0)
            .max_time(Some(WAITING))
            .build();
        // Decoders of lossy codecs give floats, whose width says nothing of the sound's.
        let bits = if info.format_info().is_integer() { info.depth() } else { 16 };
        let samples = sound::samples(&self.settings, self.container, (info.rate(), info.channels(), bits));
        let encoder = sound::encoder(&self.settings)?;
        let is_summed = self.container == Container::Flac;
        let heard = Arc::new(Mutex::new(Heard { moments: 0, sum: is_summed.then(Md5::new) }));
        count_samples(&encoder, &heard, samples.moment_bytes());
        let mut chain: Vec<gst::Element> = vec![source.clone().upcast(), convert(samples)?];
        chain.extend([
            element("audioresample")?,
            filter(&samples, self.gain.map_or(samples.format, |_| "F32LE"))?,
        ]);
        let regular = element("audiorate")?;
        regular.set_property("skip-to-first", true);
        regular.set_property("tolerance", TOLERANCE_NS);
        chain.push(regular);
        if let Some(gain) = self.gain {
            chain.extend(level(gain, samples)?);
        }
        chain.push(encoder);
        if let Some(parser) = sound::parser(self.settings.codec) {
            chain.push(element(parser)?);
        }
        chain.push(self.exit(samples, heard).upcast());
        self.site.add(&chain).map_err(|_| encoder_stopped())?;
        Ok(source)
    }

    fn exit(&self, samples: Samples, heard: Arc<Mutex<Heard>>) -> app::AppSink {
        let sink = app::AppSink::builder().sync(false).async_(false).enable_last_sample(false).build();
        let (notes, end_output, end_notes) =
            (self.notes.clone(), Arc::clone(&self.output), self.notes.clone());
        let counting = sound::counting(self.settings.codec, samples.rate);
        let packets = Arc::new(Mutex::new(Packets {
            output: Arc::clone(&self.output),
            codec: self.settings.codec,
            shape: Shape {
                rate: counting.rate,
                channels: samples.channels,
                bits: samples.bits,
                bitrate_bps: self.settings.bitrate_bps,
            },
            counting,
            language: self.language.clone(),
            has_edit_list: self.container.has_edit_lists(),
            stream: None,
        }));
        let ended = Arc::clone(&packets);
        let scale = u64::from(counting.rate);
        sink.set_callbacks(
            app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    notes.moved();
                    let took = packets.lock().unwrap_or_else(PoisonError::into_inner).take(&sample);
                    took.map(|()| gst::FlowSuccess::Ok).map_err(|failure| {
                        notes.tell(Note::Failed(failure));
                        gst::FlowError::Error
                    })
                })
                .eos(move |_| {
                    if let Some(id) = ended.lock().unwrap_or_else(PoisonError::into_inner).stream {
                        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                        let units = crate::pace::scaled(heard.moments, scale, u64::from(samples.rate));
                        end_output.presents(id, units);
                        if let Some(sum) = heard.sum.take() {
                            end_output.sums(Sums { samples: heard.moments, md5: sum.finalize().into() });
                        }
                    }
                    end_output.audio_ended();
                    end_notes.tell(Note::Ended(Branch::Audio));
                })
                .build(),
        );
        sink
    }
}

/// When a film's picture ends, in nanoseconds.
pub(crate) fn picture_end(source: &MediaFacts) -> Option<u64> {
    let picture = source.video.first().filter(|video| video.duration_ns > 0)?;
    Some(picture.start_ns.saturating_add(picture.duration_ns))
}

/// The encoder's packets on their way into the file.
struct Packets {
    output: Arc<Output>,
    codec: AudioCodec,
    shape: Shape,
    counting: Counting,
    language: String,
    has_edit_list: bool,
    stream: Option<StreamId>,
}

impl Packets {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let buffer = sample.buffer().ok_or_else(encoder_stopped)?;
        if buffer.flags().contains(gst::BufferFlags::HEADER) || buffer.size() == 0 {
            // Caps hold the same.
            return Ok(());
        }
        let id = match self.stream {
            Some(id) => id,
            None => {
                if self.codec == AudioCodec::Opus {
                    self.counting.priming = entry::opus_preskip(sample).unwrap_or(self.counting.priming);
                }
                let sound = Sound {
                    codec: self.codec,
                    shape: self.shape,
                    packet_samples: self.counting.packet,
                    priming: self.counting.priming,
                    language: &self.language,
                };
                *self.stream.insert(self.output.add_audio(sample, &sound)?)
            }
        };
        let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
        let at = segment.and_then(|s| s.to_running_time(buffer.pts()?)).unwrap_or_default();
        let mut pts_ns = i64::try_from(at.nseconds()).unwrap_or(i64::MAX);
        // Opus says in its header what is to be skipped.
        if !self.has_edit_list && self.codec != AudioCodec::Opus {
            let early = crate::pace::scaled(
                u64::from(self.counting.priming),
                1_000_000_000,
                u64::from(self.counting.rate),
            );
            pts_ns -= i64::try_from(early).unwrap_or(0);
        }
        let clip = buffer
            .meta::<audio::AudioClippingMeta>()
            .map(|meta| Clip { start: number(meta.start()), end: number(meta.end()) });
        let duration_ns = buffer.duration().map_or(0, gst::ClockTime::nseconds);
        let data = buffer.map_readable().map_err(|_| encoder_stopped())?;
        self.output.push_clipped(id, Packet { pts_ns, duration_ns, key: true, data: &data }, clip)
    }
}

/// Samples of a clipping, which is always counted so.
fn number(value: gst::GenericFormattedValue) -> u64 {
    u64::try_from(value.value()).unwrap_or(0)
}

/// What went into the encoder.
#[derive(Debug, Default)]
struct Heard {
    /// Moments, each with a sample of every channel.
    moments: u64,
    /// Of all samples, for a file that says so.
    sum: Option<Md5>,
}

fn count_samples(encoder: &gst::Element, heard: &Arc<Mutex<Heard>>, moment_bytes: u64) {
    let heard = Arc::clone(heard);
    let pad = encoder.static_pad("sink").expect("an encoder has a sink pad");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer() {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.moments += u64::try_from(buffer.size()).unwrap_or(0) / moment_bytes.max(1);
            if let (Some(sum), Ok(bytes)) = (&mut heard.sum, buffer.map_readable()) {
                sum.update(&bytes);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// Brings the decoder's samples into another number of channels.
fn convert(samples: Samples) -> Result<gst::Element, Failure> {
    let convert = element("audioconvert")?;
    mixing::follow(&convert, u32::from(samples.channels));
    Ok(convert)
}

/// Brings floats to their level, and into the encoder's format.
fn level(gain: Gain, samples: Samples) -> Result<Vec<gst::Element>, Failure> {
    let mut elements = vec![element("audioconvert")?, filter(&samples, samples.format)?];
    match gain {
        Gain::Factor(factor) => {
            let amplify = element("audioamplify")?;
            amplify.set_property("amplification", factor);
            amplify.set_property_from_str("clipping-method", "none");
            elements.insert(0, amplify);
        }
        Gain::Limited(settings) => {
            let limiter = Limiter::new(settings, usize::from(samples.channels), samples.rate);
            let pad = elements[0].static_pad("sink").expect("a converter has a sink pad");
            limiting::limit(&pad, limiter, samples);
        }
    }
    Ok(elements)
}

fn filter(samples: &Samples, format: &str) -> Result<gst::Element, Failure> {
    let filter = element("capsfilter")?;
    filter.set_property("caps", samples.caps(format));
    Ok(filter)
}

fn encoder_stopped() -> Failure {
    Failure::new(FailureCode::PipelineFailed, "the audio encoder stopped", "try again")
}
