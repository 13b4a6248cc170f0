//! Decoded sound in, AAC into the file.
//!
//! ```text
//! Feed::take -> appsrc ! audioconvert ! audioresample ! audiorate ! avenc_aac ! appsink -> mp4::Writer
//! ```
//! Gaps in the source are filled with silence, so that sound stays with the picture. The encoder puts 1024 samples of
//! priming before the first real one; the file's edit list skips them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use gstreamer_audio as audio;
use rushes_shared::encode::AudioSettings;
use rushes_shared::failure::{Failure, FailureCode};

use super::output::Output;
use super::tally::Tally;
use crate::mp4::{AudioTrack, Packet, TrackId, TrackKind};
use crate::note::{Branch, Note, Notes};
use crate::reader::{Feed, shown_at, unusable};
use crate::start::element;

/// Samples in an AAC packet, and before the first real one.
const PACKET_SAMPLES: u32 = 1024;
/// Rates that AAC knows and players expect; a higher one is brought down to 48 kHz.
const RATES: &[u32] = &[8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];
/// Sound that may wait between decoder and encoder.
const WAITING: gst::ClockTime = gst::ClockTime::from_seconds(1);
const BYTES_A_SAMPLE: u64 = 4;

/// Sends sound to the encoder.
pub(crate) struct AudioFeed {
    pub(crate) pipeline: gst::Pipeline,
    pub(crate) settings: AudioSettings,
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
        let Some(at) = shown_at(sample, &buffer) else { return Ok(()) };
        if self.entrance.is_none() {
            self.entrance = Some((self.build(&caps)?, caps.clone()));
        }
        let (source, known) = self.entrance.as_mut().expect("it was built just now");
        if caps != *known {
            source.set_caps(Some(&caps));
            *known = caps;
        }
        let duration = buffer.duration().unwrap_or(gst::ClockTime::ZERO);
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).sound(at, duration.nseconds());
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
    fn build(&self, caps: &gst::Caps) -> Result<app::AppSrc, Failure> {
        let info = audio::AudioInfo::from_caps(caps).map_err(|_| unusable("sound of an unknown format"))?;
        let source = app::AppSrc::builder()
            .caps(caps)
            .format(gst::Format::Time)
            .block(true)
            .max_bytes(0)
            .max_time(Some(WAITING))
            .build();
        let (rate, channels) = (rate(info.rate()), channels(info.channels()));
        let filter = element("capsfilter")?;
        filter.set_property("caps", encoded_caps(rate, channels));
        let regular = element("audiorate")?;
        regular.set_property("skip-to-first", true);
        let encoder = element("avenc_aac")?;
        encoder.set_property("bitrate", i32::try_from(self.settings.bitrate_bps).unwrap_or(i32::MAX));
        let samples = Arc::new(AtomicU64::new(0));
        count_samples(&encoder, &samples, u64::from(channels));
        let chain = [
            source.clone().upcast(),
            element("audioconvert")?,
            element("audioresample")?,
            filter,
            regular,
            encoder,
            self.exit(rate, channels, samples).upcast(),
        ];
        self.pipeline.add_many(&chain).expect("new elements can be added");
        gst::Element::link_many(&chain).map_err(|_| encoder_stopped())?;
        for element in chain.iter().rev() {
            element.sync_state_with_parent().map_err(|_| encoder_stopped())?;
        }
        Ok(source)
    }

    fn exit(&self, rate: u32, channels: u16, samples: Arc<AtomicU64>) -> app::AppSink {
        let sink = app::AppSink::builder().sync(false).async_(false).enable_last_sample(false).build();
        let (output, notes) = (Arc::clone(&self.output), self.notes.clone());
        let (end_output, end_notes) = (Arc::clone(&self.output), self.notes.clone());
        let track = Arc::new(Mutex::new(None::<TrackId>));
        let end_track = Arc::clone(&track);
        let (bitrate_bps, language) = (self.settings.bitrate_bps, self.language.clone());
        sink.set_callbacks(
            app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    notes.moved();
                    let mut track = track.lock().unwrap_or_else(PoisonError::into_inner);
                    let wrote = (|| {
                        let id = match *track {
                            Some(id) => id,
                            None => *track.insert(output.add(TrackKind::Audio(AudioTrack {
                                rate,
                                channels,
                                packet_samples: PACKET_SAMPLES,
                                priming: PACKET_SAMPLES,
                                config: configuration(&sample)?,
                                bitrate_bps,
                                language: language.clone(),
                            }))),
                        };
                        write_packet(&output, id, &sample)
                    })();
                    wrote.map(|()| gst::FlowSuccess::Ok).map_err(|failure| {
                        notes.tell(Note::Failed(failure));
                        gst::FlowError::Error
                    })
                })
                .eos(move |_| {
                    if let Some(id) = *end_track.lock().unwrap_or_else(PoisonError::into_inner) {
                        end_output.presents(id, samples.load(Ordering::Relaxed));
                    }
                    end_output.audio_ended();
                    end_notes.tell(Note::Ended(Branch::Audio));
                })
                .build(),
        );
        sink
    }
}

fn count_samples(encoder: &gst::Element, samples: &Arc<AtomicU64>, channels: u64) {
    let samples = Arc::clone(samples);
    let pad = encoder.static_pad("sink").expect("an encoder has a sink pad");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer() {
            let bytes = u64::try_from(buffer.size()).unwrap_or(0);
            samples.fetch_add(bytes / (BYTES_A_SAMPLE * channels.max(1)), Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}

fn encoded_caps(rate: u32, channels: u16) -> gst::Caps {
    let mut caps = gst::Caps::builder("audio/x-raw")
        .field("format", "F32LE")
        .field("layout", "interleaved")
        .field("rate", i32::try_from(rate).unwrap_or(48_000))
        .field("channels", i32::from(channels));
    if channels > 2 {
        // Front left, right, centre, low frequency, back left, right.
        caps = caps.field("channel-mask", gst::Bitmask::new(0x3f));
    }
    caps.build()
}

/// The source's rate where AAC has it, else 48 kHz, or the next one above for low rates.
fn rate(source: u32) -> u32 {
    RATES.iter().copied().find(|rate| *rate >= source).unwrap_or(48_000)
}

/// Layouts that play everywhere: mono, stereo, 5.1. Others are mixed into the nearest of them.
fn channels(source: u32) -> u16 {
    match source {
        0 | 1 => 1,
        2..=4 => 2,
        _ => 6,
    }
}

fn configuration(sample: &gst::Sample) -> Result<Vec<u8>, Failure> {
    let config = sample
        .caps()
        .and_then(|caps| caps.structure(0)?.get::<gst::Buffer>("codec_data").ok())
        .ok_or_else(encoder_stopped)?;
    config.map_readable().map(|bytes| bytes.to_vec()).map_err(|_| encoder_stopped())
}

fn write_packet(output: &Output, id: TrackId, sample: &gst::Sample) -> Result<(), Failure> {
    let buffer = sample.buffer().ok_or_else(encoder_stopped)?;
    let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
    let at = segment.and_then(|s| s.to_running_time(buffer.pts()?)).unwrap_or_default();
    let data = buffer.map_readable().map_err(|_| encoder_stopped())?;
    let pts_ns = i64::try_from(at.nseconds()).unwrap_or(i64::MAX);
    output.push(id, Packet { pts_ns, duration_ns: 0, key: true, data: &data })
}

fn encoder_stopped() -> Failure {
    Failure::new(FailureCode::PipelineFailed, "the audio encoder stopped", "try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_layouts_are_those_that_play_everywhere() {
        assert_eq!([8000, 22_050, 44_100, 47_999, 96_000].map(rate), [8000, 22_050, 44_100, 48_000, 48_000]);
        assert_eq!([1, 2, 3, 4, 5, 6, 8].map(channels), [1, 2, 2, 2, 6, 6, 6]);
    }
}
