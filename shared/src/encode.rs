//! Settings of an encode, after validation: what a recipe or a user decided.
//!
//! ```text
//! EncodeSettings = container + VideoSettings? + AudioSettings? + CheckLimits, or an Extract
//! limits      what a file has to keep before it is published
//! extract     what is taken from the source in place of a rendition
//! container   which codecs a file format holds, and which it has by default
//! possible    which settings go together; the text that names what would
//! coded       their bytes, those of the first form for ever
//! ```

mod audio;
mod coded;
mod container;
mod extract;
mod limits;
mod possible;
mod video;

pub use audio::{AudioCodec, AudioSettings, LoudnessTarget};
pub use container::Container;
pub use extract::{Extract, Extracted};
pub use limits::{CheckLimits, PeakLimit, VmafLimits, VmafScope};
pub use possible::Impossible;
pub use video::{Chroma, MezzanineProfile, RateControl, SpeedPreset, VideoCodec, VideoSettings};

/// Settings of one output file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EncodeSettings {
    /// File format.
    pub container: Container,
    /// Video settings; `None` leaves video out.
    pub video: Option<VideoSettings>,
    /// Audio settings; `None` leaves audio out.
    pub audio: Option<AudioSettings>,
    /// What the file has to keep before it is published.
    pub check: CheckLimits,
    /// What is taken from the source in place of a rendition; video and audio are left out then, and neither container nor
    /// check says anything.
    pub extract: Option<Box<Extract>>,
}

impl EncodeSettings {
    /// Those of a file that is taken from the source.
    #[must_use]
    pub fn of_extract(extract: Extract) -> Self {
        Self { video: None, audio: None, extract: Some(Box::new(extract)), ..Self::default() }
    }

    /// The ending of the file's name.
    #[must_use]
    pub fn ending(&self) -> &'static str {
        match &self.extract {
            Some(extract) => extract.what.ending(),
            None => self.container.ending(self.audio.as_ref().map(|audio| audio.codec)),
        }
    }

    /// Whether the source needs a picture for it; else it needs sound.
    #[must_use]
    pub fn is_of_picture(&self) -> bool {
        self.video.is_some() || self.extract.as_ref().is_some_and(|extract| extract.what.is_of_picture())
    }

    /// The short name of the video codec, as nodes tell of encoders for it; empty for sound alone.
    #[must_use]
    pub fn video_codec_name(&self) -> &'static str {
        self.video.as_ref().map_or("", |video| video.codec.name())
    }

    /// Whether a hardware encoder is to make the video where there is one.
    #[must_use]
    pub fn prefer_hardware(&self) -> bool {
        self.video.as_ref().is_some_and(|video| video.codec.prefers_hardware())
    }
}

impl Default for EncodeSettings {
    fn default() -> Self {
        Self {
            container: Container::Mp4,
            video: Some(VideoSettings::default()),
            audio: Some(AudioSettings::default()),
            check: CheckLimits::default(),
            extract: None,
        }
    }
}
