//! What is in a finished file: read back whole, decoded whole but for pictures that a witness has decoded.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use rushes_shared::encode::EncodeSettings;
use rushes_shared::failure::Failure;
use rushes_shared::task::Progress;

use super::rate::{self, Rate};
use crate::encode::tally::Tally;
use crate::note::{self, Branch, Interrupted, Note, Notes, Opening, Waiting};
use crate::pace::Pace;
use crate::reader::{self, Feed, PadWatch, Wanted, shown_at, unusable};
use crate::witness::{PacketDigest, Packets, Witnessed};

/// What was found in the file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    pub(super) tally: Tally,
    pub(super) size: (i32, i32),
    /// The video's packets, where those were read and not decoded.
    pub(super) packets: Option<Packets>,
    /// The most bits a second of the picture, and where, where that was asked for.
    pub(super) peak: Option<(u64, u64)>,
}

impl Found {
    /// The same with what a witness saw of these packets' pictures.
    pub(super) fn with(mut self, witnessed: &Witnessed) -> Self {
        self.size = witnessed.size;
        if witnessed.frames != witnessed.packets.count {
            self.tally.frames = witnessed.frames;
        }
        self
    }
}

/// Counts frames or sound.
struct Counter {
    found: Arc<Mutex<Found>>,
    is_video: bool,
}

impl Feed for Counter {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let Some(buffer) = sample.buffer() else { return Ok(()) };
        let Some(at) = shown_at(sample, buffer) else { return Ok(()) };
        let duration = buffer.duration().map_or(0, gst::ClockTime::nseconds);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_video {
            if found.tally.frames == 0 {
                found.size = reader::picture_size(sample);
            }
            found.tally.frame(at, duration);
        } else {
            found.tally.sound(at, reader::heard_for(sample, buffer));
        }
        Ok(())
    }

    fn end(&mut self) {}
}

/// Counts frames by their packets, and remembers which packets those were.
struct PacketCounter {
    found: Arc<Mutex<Found>>,
    digest: PacketDigest,
}

impl Feed for PacketCounter {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let read =
            sample.buffer().and_then(|packet| self.digest.take(sample.caps(), packet).map(|()| packet));
        let packet = read.ok_or_else(|| unusable("a packet that cannot be read"))?;
        let Some(at) = shown_at(sample, packet) else { return Ok(()) };
        let duration = packet.duration().map_or(0, gst::ClockTime::nseconds);
        self.found.lock().unwrap_or_else(PoisonError::into_inner).tally.frame(at, duration);
        Ok(())
    }

    fn end(&mut self) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).packets = Some(self.digest.packets());
    }
}

/// Reads the file whole and decodes it, but for its video where that is to stay `coded`. The inner failure is the file's.
pub(super) fn read_back(
    output: &Path,
    settings: &EncodeSettings,
    coded: bool,
    pace: &Pace,
    progress: &mut dyn FnMut(Progress),
) -> Result<Result<Found, Failure>, Failure> {
    let (notes, waiting) = Notes::new();
    let found = Arc::new(Mutex::new(Found::default()));
    let counter = |is_video| Box::new(Counter { found: Arc::clone(&found), is_video });
    let video = settings.video.as_ref().map(|_| -> Box<dyn Feed> {
        if coded {
            Box::new(PacketCounter { found: Arc::clone(&found), digest: PacketDigest::default() })
        } else {
            counter(true)
        }
    });
    let rate = settings
        .check
        .peak
        .map(|peak| Arc::new(Mutex::new(Rate::over(u64::from(peak.window_ms) * 1_000_000))));
    let watch = rate.clone().map(|rate| -> PadWatch { Box::new(move |pad| rate::watch(pad, &rate)) });
    let wanted = Wanted {
        video,
        audio: Some(counter(false)),
        threads: None,
        coded_video: coded,
        video_packets: watch,
        ..Wanted::default()
    };
    let mut reader = reader::open(output, wanted, &notes)?;
    reader.play()?;
    let mut opening = Opening::new(&reader, &notes);
    let mut beat = || {
        opening.look();
        let tally = found.lock().unwrap_or_else(PoisonError::into_inner).tally;
        let reached = if settings.video.is_some() { tally.video_end } else { tally.audio_end };
        progress(pace.at(reached, tally.frames));
    };
    beat();
    match wait(&waiting, settings.video.is_some(), &mut beat) {
        Ok(()) => {}
        Err(Interrupted::Failed(failure)) => return Ok(Err(failure)),
        Err(Interrupted::Stalled | Interrupted::Deadline) => {
            reader.abandon();
            return Err(note::stalled("the check"));
        }
    }
    drop(reader);
    let mut found = *found.lock().unwrap_or_else(PoisonError::into_inner);
    found.peak = rate.map(|rate| rate.lock().unwrap_or_else(PoisonError::into_inner).most());
    Ok(Ok(found))
}

fn wait(waiting: &Waiting, wants_video: bool, beat: &mut dyn FnMut()) -> Result<(), Interrupted> {
    let (mut open, mut all_known) = (0, false);
    waiting.until(None, beat, |note| {
        match note {
            Note::Found(Branch::Video) => open += i32::from(wants_video),
            Note::Found(Branch::Audio) => open += 1,
            Note::Ended(_) => open -= 1,
            Note::StreamsKnown => all_known = true,
            Note::Found(Branch::Other) | Note::Begun | Note::Failed(_) => {}
        }
        all_known && open == 0
    })
}
