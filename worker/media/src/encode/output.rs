//! The file that both encoder branches write into, and how far they are.
//!
//! MP4 and its relatives are written as packets come, by the writer of this crate. For every other container packets are
//! kept beside the output until all have come, and go through GStreamer's muxer then: it would wait for a packet of
//! every stream at each step, which locks up on badly interleaved input.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use gstreamer as gst;
use rushes_shared::encode::{Container, EncodeSettings, VideoCodec};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::MediaFacts;

use super::entry;
use super::mux;
use super::plan::Plan;
use super::spool::Spool;
use super::tags;
use crate::mp4::{AudioTrack, Brand, Packet, Text, TrackId, TrackKind, VideoTrack, Writer};
use crate::{fault, pace};

/// Shared by the encoders' threads.
#[derive(Debug)]
pub(crate) struct Output {
    target: Mutex<Option<Target>>,
    frames: AtomicU64,
    media_ns: AtomicU64,
    has_video: bool,
    video_done: AtomicBool,
    audio_done: AtomicBool,
    video: OnceLock<StreamId>,
    sums: OnceLock<Sums>,
}

#[derive(Debug)]
enum Target {
    Written(Writer),
    Kept {
        spool: Spool,
        place: PathBuf,
        container: Container,
        tags: Vec<(&'static str, String)>,
    },
    Fragmented {
        spool: Spool,
        place: PathBuf,
        tracks: Vec<(TrackKind, Option<Vec<u8>>)>,
        texts: Vec<Text>,
        created: u64,
    },
    /// Of the first of two passes, whose packets nobody needs.
    Dropped,
}

/// A stream's place in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamId {
    Track(TrackId),
    Spooled(usize),
    Nowhere,
}

/// What a file of lossless sound says of all of it: how many samples of each channel, and their sum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    pub(super) samples: u64,
    pub(super) md5: [u8; 16],
}

/// Samples at a packet's begin and end that are not to be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clip {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// A sound stream as its encoder gives it.
#[derive(Debug)]
pub(super) struct Sound<'a> {
    pub(super) codec: rushes_shared::encode::AudioCodec,
    pub(super) shape: entry::Shape,
    pub(super) packet_samples: u32,
    pub(super) priming: u32,
    pub(super) language: &'a str,
}

impl Output {
    /// A new file for `source`'s copy, with its tags and, where its index comes first, with room for it.
    pub(crate) fn create(
        path: &Path,
        source: &MediaFacts,
        settings: &EncodeSettings,
    ) -> Result<Self, Failure> {
        let brand = match settings.container {
            Container::Mp4 => Some(Brand::Mp4),
            Container::M4a => Some(Brand::M4a),
            Container::Mov => Some(Brand::QuickTime),
            _ => None,
        };
        let spool = || Spool::create(path).map_err(|error| fault::writing(&error));
        let target = match brand {
            Some(brand) => Target::Written(writer(brand, path, source)?),
            None if settings.container == Container::FragmentedMp4 => Target::Fragmented {
                spool: spool()?,
                place: path.to_owned(),
                tracks: Vec::new(),
                texts: texts(source),
                created: tags::created(&source.tags),
            },
            None => Target::Kept {
                spool: spool()?,
                place: path.to_owned(),
                container: settings.container,
                tags: tags::kept(&source.tags),
            },
        };
        Ok(Self::of(target, settings))
    }

    /// A file of which nothing is kept.
    pub(crate) fn nowhere(settings: &EncodeSettings) -> Self {
        Self::of(Target::Dropped, settings)
    }

    fn of(target: Target, settings: &EncodeSettings) -> Self {
        Self {
            target: Mutex::new(Some(target)),
            frames: AtomicU64::new(0),
            media_ns: AtomicU64::new(0),
            has_video: settings.video.is_some(),
            video_done: AtomicBool::new(false),
            audio_done: AtomicBool::new(false),
            video: OnceLock::new(),
            sums: OnceLock::new(),
        }
    }

    /// Adds the video stream, of which `sample` is the first packet.
    pub(crate) fn add_video(
        &self,
        sample: &gst::Sample,
        codec: VideoCodec,
        plan: &Plan,
    ) -> Result<StreamId, Failure> {
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let id = match target.as_mut().ok_or_else(ended)? {
            Target::Written(writer) => {
                let (kind, entry) = video_track(sample, codec, plan)?;
                let entry = entry.map(|entry| entry::with_light(entry, codec, sample));
                let id = writer.add(kind);
                if let Some(entry) = entry {
                    writer.describe(id, entry);
                }
                StreamId::Track(id)
            }
            Target::Fragmented { spool, tracks, .. } => {
                let (kind, entry) = video_track(sample, codec, plan)?;
                tracks.push((kind, entry.map(|entry| entry::with_light(entry, codec, sample))));
                StreamId::Spooled(spool.add_video(sample.caps_owned().ok_or_else(undescribed)?))
            }
            Target::Kept { spool, .. } => {
                let mut caps = sample.caps_owned().ok_or_else(undescribed)?;
                if codec == VideoCodec::Ffv1 {
                    // What its muxer asks for, by the name that it has there.
                    caps.make_mut().set("ffversion", 1i32);
                }
                match entry::colorimetry(&plan.colour) {
                    Some(colour) => caps.make_mut().set("colorimetry", colour),
                    // A guess of GStreamer's.
                    None => caps.make_mut().iter_mut().for_each(|fields| fields.remove_field("colorimetry")),
                }
                StreamId::Spooled(spool.add_video(caps))
            }
            Target::Dropped => StreamId::Nowhere,
        };
        self.video.get_or_init(|| id);
        Ok(id)
    }

    /// Adds the sound stream, of which `sample` is the first packet.
    pub(super) fn add_audio(&self, sample: &gst::Sample, sound: &Sound<'_>) -> Result<StreamId, Failure> {
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match target.as_mut().ok_or_else(ended)? {
            Target::Written(writer) => {
                let (kind, entry) = audio_track(sample, sound)?;
                let id = writer.add(kind);
                if let Some(entry) = entry {
                    writer.describe(id, entry);
                }
                if sound.codec == rushes_shared::encode::AudioCodec::Pcm {
                    let moment = u32::from(sound.shape.channels) * u32::from(sound.shape.bits / 8);
                    writer.uncompressed(id, moment);
                }
                StreamId::Track(id)
            }
            Target::Fragmented { spool, tracks, .. } => {
                tracks.push(audio_track(sample, sound)?);
                StreamId::Spooled(
                    spool.add_audio(sample.caps_owned().ok_or_else(undescribed)?, sound.language),
                )
            }
            Target::Kept { spool, .. } => StreamId::Spooled(
                spool.add_audio(sample.caps_owned().ok_or_else(undescribed)?, sound.language),
            ),
            Target::Dropped => StreamId::Nowhere,
        })
    }

    /// Keeps the distance from the film's start to the file's first packet, instead of starting with that.
    pub(crate) fn begins_with_the_film(&self) {
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Target::Written(writer)) = target.as_mut() {
            writer.origin(0);
        }
    }

    /// Writes a packet; those of the picture count as progress, or those of sound where it is alone.
    pub(crate) fn push(&self, id: StreamId, packet: Packet<'_>) -> Result<(), Failure> {
        self.push_clipped(id, packet, None)
    }

    /// The same of a packet of which a part is not to be heard.
    pub(super) fn push_clipped(
        &self,
        id: StreamId,
        packet: Packet<'_>,
        clip: Option<Clip>,
    ) -> Result<(), Failure> {
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let wrote = match (target.as_mut().ok_or_else(ended)?, id) {
            (Target::Written(writer), StreamId::Track(id)) => writer.push(id, packet),
            (Target::Kept { spool, .. } | Target::Fragmented { spool, .. }, StreamId::Spooled(id)) => {
                spool.push(id, packet, clip)
            }
            _ => Ok(()),
        };
        wrote.map_err(|error| fault::writing(&error))?;
        if self.video.get() == Some(&id) {
            self.frames.fetch_add(1, Ordering::Relaxed);
        } else if self.has_video {
            return Ok(());
        }
        self.media_ns.fetch_max(u64::try_from(packet.pts_ns).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn presents(&self, id: StreamId, samples: u64) {
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(Target::Written(writer)), StreamId::Track(id)) = (target.as_mut(), id) {
            writer.presents(id, samples);
        }
    }

    /// Says what a file of lossless sound holds.
    pub(super) fn sums(&self, sums: Sums) {
        let _once = self.sums.set(sums);
    }

    pub(crate) fn video_ended(&self) {
        self.video_done.store(true, Ordering::Release);
    }

    pub(crate) fn audio_ended(&self) {
        self.audio_done.store(true, Ordering::Release);
    }

    /// Which encoder branches have ended.
    pub(crate) fn ended(&self) -> (bool, bool) {
        (self.video_done.load(Ordering::Acquire), self.audio_done.load(Ordering::Acquire))
    }

    /// Frames written and the newest packet's time.
    pub(crate) fn reached(&self) -> (u64, u64) {
        (self.frames.load(Ordering::Relaxed), self.media_ns.load(Ordering::Relaxed))
    }

    /// Finishes the file, with the time that the last frame stays; nothing may follow. Calls `beat` four times a second.
    pub(crate) fn finish(&self, last_frame_ns: u64, beat: &mut dyn FnMut()) -> Result<(), Failure> {
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner).take();
        match target {
            Some(Target::Written(mut writer)) => {
                if let Some(StreamId::Track(video)) = self.video.get() {
                    writer.lasts(*video, last_frame_ns);
                }
                writer.finish().map(drop).map_err(|error| fault::writing(&error))
            }
            Some(Target::Kept { spool, place, container, tags }) => {
                mux::mux(spool, container, &place, &tags, last_frame_ns, beat)?;
                match self.sums.get().filter(|_| container == Container::Flac) {
                    Some(sums) => mux::sum_up(&place, sums).map_err(|error| fault::writing(&error)),
                    None => Ok(()),
                }
            }
            Some(Target::Fragmented { spool, place, tracks, texts, created }) => {
                mux::fragments(spool, tracks, &place, (&texts, created), last_frame_ns)
            }
            Some(Target::Dropped) | None => Ok(()),
        }
    }
}

/// How the video stream is described whose first packet is `sample`; the sample entry where the kind of track does not say
/// it.
pub(crate) fn video_track(
    sample: &gst::Sample,
    codec: VideoCodec,
    plan: &Plan,
) -> Result<(TrackKind, Option<Vec<u8>>), Failure> {
    let entry = entry::of_video(codec, plan, sample);
    let config = entry::codec_data(sample);
    if entry.is_none() && config.is_none() {
        return Err(undescribed());
    }
    let side = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    let track = VideoTrack {
        width: side(plan.width),
        height: side(plan.height),
        sar: plan.sar,
        colour: plan.colour.clone(),
        config: config.unwrap_or_default(),
        timescale: plan.timescale,
    };
    Ok((TrackKind::Video(track), entry))
}

/// The same of the sound stream.
fn audio_track(sample: &gst::Sample, sound: &Sound<'_>) -> Result<(TrackKind, Option<Vec<u8>>), Failure> {
    let entry = entry::of_audio(sound.codec, sound.shape, sample);
    let config = entry::codec_data(sample);
    if entry.is_none() && config.is_none() {
        return Err(undescribed());
    }
    let track = AudioTrack {
        rate: sound.shape.rate,
        channels: sound.shape.channels,
        packet_samples: sound.packet_samples,
        priming: sound.priming,
        config: config.unwrap_or_default(),
        bitrate_bps: sound.shape.bitrate_bps,
        language: sound.language.to_owned(),
    };
    Ok((TrackKind::Audio(track), entry))
}

fn writer(brand: Brand, path: &Path, source: &MediaFacts) -> Result<Writer, Failure> {
    let texts = texts(source);
    let room = Writer::estimate(frames_guess(source), packets_guess(source), &texts);
    let mut writer = Writer::create_as(brand, path, room).map_err(|error| fault::writing(&error))?;
    for (code, text) in texts {
        writer.text(code, text);
    }
    writer.created(tags::created(&source.tags));
    Ok(writer)
}

/// What a copy of this film says of itself: its texts, and when it was made, in seconds since 1904.
pub(crate) fn about(source: &MediaFacts) -> (Vec<Text>, u64) {
    (texts(source), tags::created(&source.tags))
}

fn texts(source: &MediaFacts) -> Vec<Text> {
    let mut texts = tags::texts(&source.tags);
    texts.push((*b"\xa9too", concat!("Rushes ", env!("CARGO_PKG_VERSION")).to_owned()));
    texts
}

fn ended() -> Failure {
    Failure::new(FailureCode::PipelineFailed, "the encoder went on after its end", "try again")
}

fn undescribed() -> Failure {
    Failure::new(FailureCode::PipelineFailed, "the encoder does not describe its packets", "try again")
}

/// Frames to expect, for the index's room.
fn frames_guess(source: &MediaFacts) -> u64 {
    source
        .video
        .first()
        .map_or(0, |video| if video.frames > 0 { video.frames } else { video.duration_ns / 16_000_000 })
}

fn packets_guess(source: &MediaFacts) -> u64 {
    source.audio.first().map_or(0, |audio| pace::scaled(audio.duration_ns, 48_000, 1024 * 1_000_000_000) + 4)
}
