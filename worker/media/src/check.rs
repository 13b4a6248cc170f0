//! The check of a finished output: read back whole, decoded whole, then compared with what went in.
//!
//! A file that a muxer closed is no proof. Every packet is read back from the disk by the demuxer that reads any other
//! file; every frame and every sample is decoded, by the decoders that read any other file; counts, lengths and start
//! times are held against the source. Pictures that a [witness](crate::witness) has decoded while they were made are not
//! decoded once more: their packets only have to be the very ones that it saw.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use rushes_shared::encode::{AudioCodec, Container, EncodeSettings};
use rushes_shared::failure::Failure;
use rushes_shared::media::{AudioFacts, CheckReport, MediaFacts};
use rushes_shared::task::{Phase, Progress};

use crate::encode::Encoded;
use crate::encode::plan::Plan;
use crate::encode::sound;
use crate::encode::tally::Tally;
use crate::note::{self, Branch, Interrupted, Note, Notes, Opening, Waiting};
use crate::pace::{self, Pace};
use crate::reader::{Feed, Wanted, shown_at, unusable};
use crate::witness::{PacketDigest, Packets, Witnessed};
use crate::{damage, fault, probe, reader, start};

/// Reads `output` back whole, decodes it and compares it with its source. Blocks; calls `progress` at least once a second.
///
/// `encoded` is what the encode said of its source: what a decoder really gave, which is truer than an index. Without
/// it, the comparison is with `source` alone.
///
/// The report's `problems` name every limit that was broken: a frame more or less; a length that is off by more than
/// a frame; a stream that is missing; sound that starts more than a frame earlier or later in relation to the
/// picture; a size that is not the planned one; data that its decoder cannot read. Its `warnings` are the encode's.
///
/// # Errors
/// Only where the check itself could not be made: settings that no encode takes, an element that is missing, a stall.
/// An output that cannot be decoded is a problem in the report.
pub fn check(
    output: &Path,
    source: &MediaFacts,
    settings: &EncodeSettings,
    encoded: Option<&Encoded>,
    progress: &mut dyn FnMut(Progress),
) -> Result<CheckReport, Failure> {
    start::init()?;
    let plan = settings.video.as_ref().map(|_| Plan::new(source, settings)).transpose()?;
    let expected = Expected::new(source, settings, encoded, plan.as_ref());
    if let Err(failure) = fault::inspect(output) {
        return Ok(expected.refused(&failure));
    }
    damage::take();
    let length = if plan.is_some() { expected.video_ns } else { expected.audio_ns.unwrap_or(0) };
    let pace = Pace::new(Phase::Checking, length, expected.frames);
    let mut altered = false;
    let mut seen = None;
    if let Some(witnessed) = encoded.and_then(|encoded| encoded.witnessed) {
        match read_back(output, settings, true, &pace, progress)? {
            Ok(found) if found.packets == Some(witnessed.packets) => seen = Some(found.with(&witnessed)),
            Ok(_) => altered = true,
            Err(failure) => return Ok(expected.refused(&failure)),
        }
    }
    let mut found = match seen {
        Some(found) => found,
        None => match read_back(output, settings, false, &pace, progress)? {
            Ok(found) => found,
            Err(failure) => return Ok(expected.refused(&failure)),
        },
    };
    if let (Some(start), Some(length)) = (found.tally.video_start, probe::indexed_video_length(output)) {
        found.tally.ends_at(start + length);
    }
    progress(pace.at(found.tally.video_end.max(found.tally.audio_end), found.tally.frames));
    let mut report = expected.compare(&found, plan.as_ref());
    if altered {
        report.problems.push("data: must be what was encoded, got other pictures".to_owned());
    }
    let seen = damage::take();
    if seen.count > 0 {
        report.problems.push(format!(
            "data: at most 0 decoding errors, got {}: {}",
            seen.count,
            seen.first.first().map_or("", String::as_str)
        ));
    }
    Ok(report)
}

/// What was found in the file.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    tally: Tally,
    size: (i32, i32),
    /// The video's packets, where those were read and not decoded.
    packets: Option<Packets>,
}

impl Found {
    /// The same with what a witness saw of these packets' pictures.
    fn with(mut self, witnessed: &Witnessed) -> Self {
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
fn read_back(
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
    let wanted =
        Wanted { video, audio: Some(counter(false)), threads: None, coded_video: coded, ..Wanted::default() };
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
    let found = *found.lock().unwrap_or_else(PoisonError::into_inner);
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

/// What the output has to be.
#[derive(Debug)]
struct Expected {
    frames: u64,
    video_ns: u64,
    audio_ns: Option<u64>,
    av_offset_ns: i64,
    frame_ns: u64,
    /// How much longer or shorter sound may be: what its codec and container round it to.
    slack_ns: u64,
    /// How much earlier sound may begin, where a container cannot skip an encoder's priming.
    priming_ns: u64,
    warnings: Vec<String>,
}

/// A frame where there is none to measure by: sound alone.
const NO_FRAME_NS: u64 = 1_000_000;

impl Expected {
    fn new(
        source: &MediaFacts,
        settings: &EncodeSettings,
        encoded: Option<&Encoded>,
        plan: Option<&Plan>,
    ) -> Self {
        let video = source.video.first().filter(|_| plan.is_some());
        let audio = source.audio.first().filter(|_| settings.audio.is_some());
        let (slack_ns, priming_ns) = sound_slack(settings, audio);
        let mut expected = Self {
            frames: video.map_or(0, |video| video.frames),
            video_ns: video.map_or(0, |video| video.duration_ns),
            audio_ns: audio.map(|audio| audio.duration_ns),
            av_offset_ns: audio.zip(video).map_or(0, |(a, v)| signed(a.start_ns) - signed(v.start_ns)),
            frame_ns: plan.map_or(NO_FRAME_NS, |plan| plan.frame_ns),
            slack_ns,
            priming_ns,
            warnings: Vec::new(),
        };
        if let Some(encoded) = encoded {
            expected.frames = encoded.frames;
            expected.video_ns = encoded.video_duration_ns;
            expected.audio_ns = encoded.has_audio.then_some(encoded.audio_duration_ns).or(audio.map(|_| 0));
            expected.av_offset_ns = encoded.av_start_offset_ns;
            expected.warnings.clone_from(&encoded.warnings);
        }
        expected
    }

    fn refused(&self, failure: &Failure) -> CheckReport {
        CheckReport {
            frames_expected: self.frames,
            problems: vec![format!("file: must decode, got {}", failure.message)],
            warnings: self.warnings.clone(),
            ..CheckReport::default()
        }
    }

    fn compare(&self, found: &Found, plan: Option<&Plan>) -> CheckReport {
        let tally = &found.tally;
        let mut report = CheckReport {
            frames_decoded: tally.frames,
            frames_expected: self.frames,
            video_duration_ns: tally.video_length(),
            audio_duration_ns: tally.audio_length(),
            av_start_offset_ns: tally.av_offset() - self.av_offset_ns,
            problems: Vec::new(),
            warnings: self.warnings.clone(),
        };
        let mut problem = |text: String| report.problems.push(text);
        if self.frames > 0 && tally.frames != self.frames {
            problem(format!("frames: must be {}, got {}", self.frames, tally.frames));
        }
        if let Some(plan) = plan
            && found.size != (wide(plan.width), wide(plan.height))
        {
            problem(format!(
                "size: must be {}x{}, got {}x{}",
                plan.width, plan.height, found.size.0, found.size.1
            ));
        }
        let off = tally.video_length().abs_diff(self.video_ns);
        if self.video_ns > 0 && off > self.frame_ns {
            problem(over("video length off by", self.frame_ns, off));
        }
        match self.audio_ns {
            Some(0) => {}
            Some(_) if tally.audio_start.is_none() => problem("sound: must be there, got none".into()),
            Some(length) => {
                let off = tally.audio_length().abs_diff(length);
                let limit = self.frame_ns.max(self.slack_ns) + self.priming_ns;
                if off > limit {
                    problem(over("sound length off by", limit, off));
                }
            }
            None if tally.audio_start.is_some() => problem("sound: must not be there".into()),
            None => {}
        }
        let both = tally.audio_start.is_some() && self.audio_ns.is_some_and(|length| length > 0);
        // Earlier by what decoders throw away is where it belongs.
        let early = u64::try_from(-report.av_start_offset_ns).unwrap_or(0);
        let off =
            if early > 0 && early <= self.priming_ns { 0 } else { report.av_start_offset_ns.unsigned_abs() };
        if plan.is_some() && both && off > self.frame_ns {
            report.problems.push(over("sound against picture off by", self.frame_ns, off));
        }
        report
    }
}

/// How much sound may be longer or shorter, and earlier, in an output.
fn sound_slack(settings: &EncodeSettings, source: Option<&AudioFacts>) -> (u64, u64) {
    let (Some(audio), Some(source)) = (&settings.audio, source) else { return (0, 0) };
    let rate =
        sound::samples(audio, settings.container, (source.rate_hz, u32::from(source.channels), 16)).rate;
    let counting = sound::counting(audio.codec, rate);
    let ns = |samples: u32| pace::scaled(u64::from(samples), 1_000_000_000, u64::from(counting.rate));
    let has_edit_list = settings.container.has_edit_lists();
    // The demuxer that the check reads with may keep back the last packet of a track with priming. Without an edit list
    // the last packet is as full as the encoder made it, and a decoder of layer III holds one back.
    let packets = match audio.codec {
        AudioCodec::Mp3 => 3,
        // A fragment's last packet is as full as the encoder made it, too.
        _ if has_edit_list && settings.container != Container::FragmentedMp4 => 1,
        _ => 2,
    };
    let slack = ns(counting.packet * packets + 1);
    let skips = has_edit_list || audio.codec == AudioCodec::Opus;
    (slack, if skips { 0 } else { ns(counting.priming) + MATROSKA_ROUNDING_NS })
}

/// Times of Matroska and of MPEG-TS are rounded by less than this.
const MATROSKA_ROUNDING_NS: u64 = 1_000_000;

fn over(what: &str, limit_ns: u64, value_ns: u64) -> String {
    let ms = |ns: u64| format!("{}.{} ms", ns / 1_000_000, ns / 100_000 % 10);
    format!("{what}: at most {}, got {}", ms(limit_ns), ms(value_ns))
}

fn wide(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
