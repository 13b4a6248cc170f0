//! Settings of pictures that are taken from a film.

use serde::{Deserialize, Serialize};

/// How a picture is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StillFormat {
    /// JPEG with a quality from 1 to 100.
    Jpeg(u8),
    /// PNG, lossless.
    Png,
}

impl StillFormat {
    /// How its files end.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Jpeg(_) => "jpg",
            Self::Png => "png",
        }
    }
}

/// Which frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// The one that is shown at 1 s, or at the half of a film shorter than 2 s.
    Early,
    /// The one that is shown at this time, in nanoseconds from the film's start.
    At(u64),
    /// The one that shows most, of a dozen spread over the film.
    Best,
    /// One at the start and after each of these many nanoseconds.
    Every(u64),
}

/// Settings of thumbnails. Pictures are upright, with square pixels, and never larger than the film's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ThumbnailSettings {
    /// Which frames.
    pub moment: Moment,
    /// Longest width in pixels.
    pub max_width: Option<u32>,
    /// Longest height in pixels.
    pub max_height: Option<u32>,
    /// How they are stored.
    pub format: StillFormat,
}

/// Settings of a sprite sheet: a grid of small pictures for a player's time line, and the WebVTT file that says which is
/// for which time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpriteSettings {
    /// Time between pictures in nanoseconds. `None`: a hundredth of the film, whole seconds, at least one.
    pub every_ns: Option<u64>,
    /// Width of a picture in pixels.
    pub width: u32,
    /// Pictures in a row.
    pub columns: u32,
    /// How the sheet is stored.
    pub format: StillFormat,
    /// The sheet's name as the WebVTT file has it.
    pub name: String,
}

/// How a moving preview is stored. It is endless in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MovingFormat {
    /// A GIF: 256 colours a frame, known everywhere.
    Gif,
    /// An animated WebP of this quality, 1 to 100: all colours, and a fraction of the bytes.
    Webp(u8),
}

impl MovingFormat {
    /// The ending of a file's name.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Gif => "gif",
            Self::Webp(_) => "webp",
        }
    }
}

/// Settings of a moving preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PreviewSettings {
    /// Where it begins, in nanoseconds from the film's start.
    pub from_ns: u64,
    /// How long it is, in nanoseconds.
    pub length_ns: u64,
    /// Frames a second, 1 to 50.
    pub fps: u32,
    /// Longest width in pixels.
    pub max_width: u32,
}
