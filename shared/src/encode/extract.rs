//! What an output takes from its source in place of a rendition: pictures, a sprite sheet, a moving preview, a waveform.

use serde::{Deserialize, Serialize};

use crate::measure::WaveformSettings;
use crate::still::{Moment, MovingFormat, PreviewSettings, SpriteSettings, ThumbnailSettings};

/// One file that is taken from a source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extract {
    /// What it is.
    pub what: Extracted,
    /// Most bytes that it may have to be published. Default: no limit.
    pub max_bytes: Option<u64>,
}

/// What is taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Extracted {
    /// A picture; of [`Moment::Every`] one ZIP file of all pictures, numbered from 1.
    Stills(ThumbnailSettings),
    /// A sheet of small pictures.
    Sprite(SpriteSettings),
    /// The WebVTT index of the sheet with these settings. It follows from the source's facts alone.
    SpriteIndex(SpriteSettings),
    /// A moving preview as a GIF.
    Preview(PreviewSettings),
    /// The waveform of the sound: JSON in audiowaveform's format, or a PNG.
    Waveform(WaveformSettings),
    /// A moving preview as an animated WebP of a quality of 1 to 100.
    WebpPreview(PreviewSettings, u8),
}

impl Extracted {
    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stills(ThumbnailSettings { moment: Moment::Every(_), .. }) => "thumbnails",
            Self::Stills(_) => "poster",
            Self::Sprite(_) => "sprite",
            Self::SpriteIndex(_) => "sprite index",
            Self::Preview(_) | Self::WebpPreview(..) => "preview",
            Self::Waveform(_) => "waveform",
        }
    }

    /// The ending of its file's name.
    #[must_use]
    pub fn ending(&self) -> &'static str {
        match self {
            Self::Stills(ThumbnailSettings { moment: Moment::Every(_), .. }) => "zip",
            Self::Stills(settings) => settings.format.ending(),
            Self::Sprite(settings) => settings.format.ending(),
            Self::SpriteIndex(_) => "vtt",
            Self::Preview(_) => MovingFormat::Gif.ending(),
            Self::WebpPreview(_, quality) => MovingFormat::Webp(*quality).ending(),
            Self::Waveform(settings) if settings.picture.is_some() => "png",
            Self::Waveform(_) => "json",
        }
    }

    /// Whether the source needs a picture for it; else it needs sound.
    #[must_use]
    pub fn is_of_picture(&self) -> bool {
        match self {
            Self::Stills(_)
            | Self::Sprite(_)
            | Self::SpriteIndex(_)
            | Self::Preview(_)
            | Self::WebpPreview(..) => true,
            Self::Waveform(_) => false,
        }
    }
}
