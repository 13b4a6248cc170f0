//! The sound of a file, decoded whole and heard in order: the way to every measurement of it.
//!
//! ```text
//! reader -> audioconvert ! audioresample ! capsfilter [! audiorate] -> Ear::hear(interleaved samples)
//! ```
//! Rate and channels are those of the first packet; a stream that changes them on its way is brought back to them.

mod limiter;
mod loudness;
mod true_peak;
mod waveform;
mod waveform_picture;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_audio as audio;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{Phase, Progress};

pub(crate) use limiter::{Limited, Limiter, LimiterSettings};
pub use loudness::loudness;
pub(crate) use loudness::{loudness_limited, loudness_mixed};
pub use waveform::waveform;
pub use waveform_picture::waveform_picture;

use crate::pace::Pace;
use crate::reader::{Feed, Wanted, unusable};
use crate::start::element;
use crate::{damage, walk};

const BYTES_A_SAMPLE: usize = size_of::<f32>();

/// Who listens.
trait Ear: Send {
    /// Before the first sample: what comes.
    fn begin(&mut self, shape: &audio::AudioInfo) -> Result<(), Failure>;
    /// Samples, the channels of a moment side by side, full scale at 1.
    fn hear(&mut self, samples: &[f32]) -> Result<(), Failure>;
}

/// How time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gaps {
    /// What is missing is left out.
    Closed,
    /// What is missing, from the file's start on, is silence: a sample's number tells its time.
    Silent,
}

/// What sound is brought into before it is heard, by what a decoder gives: caps of floats, and how channels are mixed
/// where GStreamer's own way is not meant.
pub(crate) type Mixing = Box<dyn Fn(&audio::AudioInfo) -> (gst::Caps, Option<gst::Array>) + Send + Sync>;

/// Has `ear` hear the first sound stream of a file to its end, and gives it back.
fn listen<E: Ear + 'static>(
    input: &Path,
    source: &MediaFacts,
    gaps: Gaps,
    ear: E,
    progress: &mut dyn FnMut(Progress),
) -> Result<E, Failure> {
    listen_to(input, source, (gaps, None), ear, progress)
}

/// The same to sound that is mixed before.
fn listen_to<E: Ear + 'static>(
    input: &Path,
    source: &MediaFacts,
    (gaps, mixing): (Gaps, Option<Mixing>),
    ear: E,
    progress: &mut dyn FnMut(Progress),
) -> Result<E, Failure> {
    let Some(stream) = source.audio.first() else { return Err(no_sound()) };
    let filter = element("capsfilter")?;
    let caps = gst::Caps::builder("audio/x-raw").field("format", "F32LE").field("layout", "interleaved");
    filter.set_property("caps", caps.build());
    let mut chain = vec![element("audioconvert")?, element("audioresample")?, filter.clone()];
    if let Some(mixing) = mixing {
        mix(&chain[0], &filter, mixing);
    }
    if gaps == Gaps::Silent {
        chain.push(element("audiorate")?);
    }
    let heard = Arc::new(Mutex::new(Heard { ear: Some(ear), moments: 0, rate: 0 }));
    let feed = Listening { heard: Arc::clone(&heard), filter, channels: 0, samples: Vec::new() };
    let wanted = Wanted { audio: Some(Box::new(feed)), audio_chain: chain, ..Wanted::default() };
    damage::take();
    let pace = Pace::new(Phase::Running, stream.duration_ns, 0);
    let reached = Arc::clone(&heard);
    let mut beat = || {
        let reached = reached.lock().unwrap_or_else(PoisonError::into_inner);
        progress(pace.at(crate::pace::scaled(reached.moments, 1_000_000_000, u64::from(reached.rate)), 0));
    };
    walk::walk(input, wanted, "the measurement of the sound", &mut beat)?;
    beat();
    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    if heard.moments == 0 {
        return Err(no_sample());
    }
    Ok(heard.ear.take().expect("nothing else takes the ear"))
}

/// Sets converter and filter as soon as it is known what comes.
fn mix(convert: &gst::Element, filter: &gst::Element, mixing: Mixing) {
    let (into, filter) = (convert.downgrade(), filter.downgrade());
    let pad = convert.static_pad("sink").expect("a converter has a sink pad");
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view()) else {
            return gst::PadProbeReturn::Ok;
        };
        if let (Ok(shape), Some(convert), Some(filter)) =
            (audio::AudioInfo::from_caps(&caps.caps_owned()), into.upgrade(), filter.upgrade())
        {
            let (caps, matrix) = mixing(&shape);
            filter.set_property("caps", caps);
            if let Some(matrix) = matrix {
                convert.set_property("mix-matrix", matrix);
            }
        }
        gst::PadProbeReturn::Remove
    });
}

struct Heard<E> {
    ear: Option<E>,
    /// Moments, each with a sample of every channel.
    moments: u64,
    rate: u32,
}

struct Listening<E> {
    heard: Arc<Mutex<Heard<E>>>,
    filter: gst::Element,
    channels: usize,
    samples: Vec<f32>,
}

impl<E: Ear> Feed for Listening<E> {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let Some(buffer) = sample.buffer() else { return Err(unusable("sound without data")) };
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let Heard { ear: Some(ear), moments, rate } = &mut *heard else { return Ok(()) };
        if self.channels == 0 {
            let caps = sample.caps_owned().ok_or_else(|| unusable("sound without a format"))?;
            let info =
                audio::AudioInfo::from_caps(&caps).map_err(|_| unusable("sound of an unknown format"))?;
            // From here on whatever comes is converted to this.
            self.filter.set_property("caps", &caps);
            self.channels = usize::try_from(info.channels().max(1)).unwrap_or(1);
            *rate = info.rate();
            ear.begin(&info)?;
        }
        let bytes = buffer.map_readable().map_err(|_| unusable("sound that cannot be read"))?;
        self.samples.clear();
        let whole = bytes.chunks_exact(BYTES_A_SAMPLE);
        // A sample that is no number would make a mean of nothing.
        self.samples.extend(whole.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).map(finite));
        let whole = self.samples.len() - self.samples.len() % self.channels;
        *moments += u64::try_from(whole / self.channels).unwrap_or(0);
        ear.hear(&self.samples[..whole])
    }

    fn end(&mut self) {}
}

fn finite(sample: f32) -> f32 {
    if sample.is_finite() { sample } else { 0.0 }
}

fn no_sound() -> Failure {
    Failure::new(FailureCode::StreamMissing, "the input has no sound", "give a file with an audio stream")
}

fn no_sample() -> Failure {
    Failure::new(
        FailureCode::InputDamaged,
        "not one sample of the input's sound could be decoded",
        "check that the file plays; get an undamaged copy",
    )
}
