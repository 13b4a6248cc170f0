//! The file that both encoder branches write into, and how far they are.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::MediaFacts;

use super::tags;
use crate::mp4::{Packet, TrackId, TrackKind, Writer};
use crate::{fault, pace};

/// Shared by the encoders' threads.
#[derive(Debug)]
pub(crate) struct Output {
    writer: Mutex<Option<Writer>>,
    frames: AtomicU64,
    media_ns: AtomicU64,
    video_done: AtomicBool,
    audio_done: AtomicBool,
    video: OnceLock<TrackId>,
}

impl Output {
    /// A new file with room for the index of `source`'s copy, and with its tags.
    pub(crate) fn create(path: &Path, source: &MediaFacts) -> Result<Self, Failure> {
        let mut texts = tags::texts(&source.tags);
        texts.push((*b"\xa9too", concat!("Rushes ", env!("CARGO_PKG_VERSION")).to_owned()));
        let room = Writer::estimate(frames_guess(source), packets_guess(source), &texts);
        let mut writer = Writer::create(path, room).map_err(|error| fault::writing(&error))?;
        for (code, text) in texts {
            writer.text(code, text);
        }
        writer.created(tags::created(&source.tags));
        Ok(Self {
            writer: Mutex::new(Some(writer)),
            frames: AtomicU64::new(0),
            media_ns: AtomicU64::new(0),
            video_done: AtomicBool::new(false),
            audio_done: AtomicBool::new(false),
            video: OnceLock::new(),
        })
    }

    /// Keeps the distance from the film's start to the file's first packet, instead of starting with that.
    pub(crate) fn begins_with_the_film(&self) {
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            writer.origin(0);
        }
    }

    pub(crate) fn add(&self, kind: TrackKind) -> TrackId {
        let is_video = matches!(kind, TrackKind::Video(_));
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let id = writer.as_mut().expect("tracks are added before the file is finished").add(kind);
        if is_video {
            self.video.get_or_init(|| id);
        }
        id
    }

    /// Writes a packet; those of video count as progress.
    pub(crate) fn push(&self, id: TrackId, packet: Packet<'_>) -> Result<(), Failure> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = writer.as_mut().ok_or_else(|| {
            Failure::new(FailureCode::PipelineFailed, "the encoder went on after its end", "try again")
        })?;
        writer.push(id, packet).map_err(|error| fault::writing(&error))?;
        if packet.duration_ns > 0 {
            self.frames.fetch_add(1, Ordering::Relaxed);
            self.media_ns.fetch_max(u64::try_from(packet.pts_ns).unwrap_or(0), Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn presents(&self, id: TrackId, samples: u64) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = writer.as_mut() {
            writer.presents(id, samples);
        }
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

    /// Frames written and the newest one's time.
    pub(crate) fn reached(&self) -> (u64, u64) {
        (self.frames.load(Ordering::Relaxed), self.media_ns.load(Ordering::Relaxed))
    }

    /// Writes the index, with the time that the last frame stays; nothing may follow.
    pub(crate) fn finish(&self, last_frame_ns: u64) -> Result<(), Failure> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(writer), Some(video)) = (&mut writer, self.video.get()) {
            writer.lasts(*video, last_frame_ns);
        }
        match writer {
            Some(writer) => writer.finish().map(drop).map_err(|error| fault::writing(&error)),
            None => Ok(()),
        }
    }
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
