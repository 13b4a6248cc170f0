//! Checks of what was made, before it is delivered: each with what was allowed, what was found, and where in the media.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was looked at.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// Whether the file can be read and decoded: failures of that.
    #[default]
    Decode,
    /// Frames, against those of the source.
    Frames,
    /// Width of the picture, against the planned one.
    Width,
    /// Height of the picture, against the planned one.
    Height,
    /// By how much the picture is longer or shorter than the source's.
    VideoLength,
    /// Streams of sound, against what was asked for.
    Sound,
    /// By how much the sound is longer or shorter than the source's.
    AudioLength,
    /// By how much sound begins earlier or later in relation to the picture than in the source.
    AvSync,
    /// Places where a decoder complained.
    DecodingErrors,
    /// Packets in the file that are not those that the encoder gave.
    ForeignPackets,
    /// The most bits a second over a window.
    PeakBitrate,
    /// Borders of segments that not all rungs have in common.
    KeyFrames,
    /// The longest segment.
    SegmentLength,
    /// Files that manifests name and that are not there.
    References,
    /// Mean VMAF against the source.
    Vmaf,
    /// The VMAF that one frame in a hundred is below.
    VmafWorst,
    /// Integrated loudness (EBU R 128).
    Loudness,
    /// Highest true peak (ITU-R BS.1770).
    TruePeak,
    /// Whether colours and dynamic range are the source's: what an output cannot carry is tone-mapped.
    Colour,
    /// Bytes of the file.
    Size,
    /// The longest time from one picture to the next, against the source's.
    VideoGap,
    /// The longest time without sound between two packets.
    AudioGap,
}

impl CheckName {
    /// Its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Frames => "frames",
            Self::Width => "width",
            Self::Height => "height",
            Self::VideoLength => "video_length",
            Self::Sound => "sound",
            Self::AudioLength => "audio_length",
            Self::AvSync => "av_sync",
            Self::DecodingErrors => "decoding_errors",
            Self::ForeignPackets => "foreign_packets",
            Self::PeakBitrate => "peak_bitrate",
            Self::KeyFrames => "key_frames",
            Self::SegmentLength => "segment_length",
            Self::References => "references",
            Self::Vmaf => "vmaf",
            Self::VmafWorst => "vmaf_worst",
            Self::Loudness => "loudness",
            Self::TruePeak => "true_peak",
            Self::Colour => "colour",
            Self::Size => "size",
            Self::VideoGap => "video_gap",
            Self::AudioGap => "audio_gap",
        }
    }
}

/// What a value counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckUnit {
    /// Things.
    #[default]
    Count,
    /// Pixels.
    Pixels,
    /// Milliseconds.
    Ms,
    /// Bits a second.
    Bps,
    /// Points of VMAF, 0 to 100.
    Vmaf,
    /// Loudness units below full scale.
    Lufs,
    /// Decibels of true peak below full scale.
    Dbtp,
    /// Bytes.
    Bytes,
}

impl CheckUnit {
    fn sign(self) -> &'static str {
        match self {
            Self::Count | Self::Vmaf => "",
            Self::Pixels => " pixels",
            Self::Ms => " ms",
            Self::Bps => " b/s",
            Self::Lufs => " LUFS",
            Self::Dbtp => " dBTP",
            Self::Bytes => " bytes",
        }
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckLimit {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Just this.
    Exactly(f64),
    /// No less than the first and no more than the second.
    Between(f64, f64),
}

impl CheckLimit {
    /// Whether a value keeps it. What is no number keeps none.
    #[must_use]
    pub fn holds(self, value: f64) -> bool {
        // Values were computed, limits were written in tenths.
        const DUST: f64 = 1e-6;
        match self {
            Self::AtMost(most) => value <= most + DUST,
            Self::AtLeast(least) => value >= least - DUST,
            Self::Exactly(just) => (value - just).abs() <= DUST,
            Self::Between(least, most) => value >= least - DUST && value <= most + DUST,
        }
    }
}

impl fmt::Display for CheckLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "at most {}", Figure(*most)),
            Self::AtLeast(least) => write!(f, "at least {}", Figure(*least)),
            Self::Exactly(just) => write!(f, "must be {}", Figure(*just)),
            Self::Between(least, most) => write!(f, "{} to {}", Figure(*least), Figure(*most)),
        }
    }
}

/// A number as people write it: at most two digits behind the point, and none that says nothing.
struct Figure(f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.2}", self.0);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        f.write_str(if text == "-0" { "0" } else { text })
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// The limit is kept.
    Passed,
    /// It is not.
    Failed,
    /// There is no limit, or nothing that it could be held against.
    #[default]
    NotJudged,
}

/// One check of one output, or of one rendition of a set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What was looked at.
    pub name: CheckName,
    /// Which rendition of a set; empty for the whole.
    pub of: String,
    /// What the value may be; `None` where nothing was asked for.
    pub limit: Option<CheckLimit>,
    /// What was found; `None` where it could not be.
    pub value: Option<f64>,
    /// What both count.
    pub unit: CheckUnit,
    /// Where in the media, in nanoseconds from its start; `None` where the value is of the whole.
    pub at_ns: Option<u64>,
    /// How it ended.
    pub result: CheckResult,
    /// What else is to be known, such as a decoder's words; may be empty.
    pub note: String,
}

impl Check {
    /// A check of a value against a limit.
    #[must_use]
    pub fn judged(name: CheckName, unit: CheckUnit, limit: CheckLimit, value: f64) -> Self {
        let result = if limit.holds(value) { CheckResult::Passed } else { CheckResult::Failed };
        Self { name, unit, limit: Some(limit), value: Some(value), result, ..Self::default() }
    }

    /// The same where a limit may not have been asked for.
    #[must_use]
    pub fn held(name: CheckName, unit: CheckUnit, limit: Option<CheckLimit>, value: f64) -> Self {
        limit.map_or(Self { name, unit, value: Some(value), ..Self::default() }, |limit| {
            Self::judged(name, unit, limit, value)
        })
    }

    /// A check that could not be made, and why.
    #[must_use]
    pub fn not_judged(
        name: CheckName,
        unit: CheckUnit,
        limit: Option<CheckLimit>,
        why: impl Into<String>,
    ) -> Self {
        Self { name, unit, limit, note: why.into(), ..Self::default() }
    }

    /// The same of a rendition.
    #[must_use]
    pub fn of(self, rendition: &str) -> Self {
        Self { of: rendition.to_owned(), ..self }
    }

    /// The same with its place in the media.
    #[must_use]
    pub fn at(self, at_ns: u64) -> Self {
        Self { at_ns: Some(at_ns), ..self }
    }

    /// The same with something to be known.
    #[must_use]
    pub fn noting(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Whether its limit is broken.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.result == CheckResult::Failed
    }
}

impl fmt::Display for Check {
    /// In a line: `peak_bitrate 720p: at most 2916666 b/s, got 1709832 at 0 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_str())?;
        if !self.of.is_empty() {
            write!(f, " {}", self.of)?;
        }
        f.write_str(": ")?;
        match (self.limit, self.value) {
            (Some(limit), Some(value)) => {
                write!(f, "{limit}{}, got {}", self.unit.sign(), Figure(value))?;
            }
            (Some(limit), None) => write!(f, "{limit}{}, not measured", self.unit.sign())?,
            (None, Some(value)) => write!(f, "{}{}", Figure(value), self.unit.sign())?,
            (None, None) => f.write_str("not measured")?,
        }
        if let Some(at_ns) = self.at_ns {
            write!(f, " at {}.{:03} s", at_ns / 1_000_000_000, at_ns / 1_000_000 % 1000)?;
        }
        if !self.note.is_empty() {
            write!(f, " ({})", self.note)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_check_limit_value_and_time() {
        let limit = CheckLimit::AtMost(2_916_666.0);
        let rate = Check::judged(CheckName::PeakBitrate, CheckUnit::Bps, limit, 3_000_000.4)
            .of("720p")
            .at(1_500_000_000);
        assert!(rate.has_failed());
        assert_eq!(rate.to_string(), "peak_bitrate 720p: at most 2916666 b/s, got 3000000.4 at 1.500 s");
        let loud =
            Check::judged(CheckName::Loudness, CheckUnit::Lufs, CheckLimit::Between(-23.5, -22.5), -22.5);
        assert_eq!(
            (loud.result, loud.to_string().as_str()),
            (CheckResult::Passed, "loudness: -23.5 to -22.5 LUFS, got -22.5")
        );
        let free = Check::held(CheckName::Vmaf, CheckUnit::Vmaf, None, 93.0);
        assert_eq!((free.result, free.to_string().as_str()), (CheckResult::NotJudged, "vmaf: 93"));
        let none = Check::not_judged(
            CheckName::Vmaf,
            CheckUnit::Vmaf,
            Some(CheckLimit::AtLeast(80.0)),
            "no picture",
        );
        assert!(!none.has_failed());
        assert_eq!(none.to_string(), "vmaf: at least 80, not measured (no picture)");
    }

    #[test]
    fn what_is_no_number_keeps_no_limit() {
        for limit in [
            CheckLimit::AtMost(1.0),
            CheckLimit::AtLeast(1.0),
            CheckLimit::Exactly(1.0),
            CheckLimit::Between(0.0, 1.0),
        ] {
            assert!(!limit.holds(f64::NAN), "{limit:?}");
            assert!(limit.holds(1.0), "{limit:?}");
        }
        assert!(!CheckLimit::Exactly(50.0).holds(49.0) && !CheckLimit::Between(0.0, 1.0).holds(1.01));
    }

    #[test]
    fn names_in_words_are_those_in_json() {
        for name in [
            CheckName::Decode,
            CheckName::AvSync,
            CheckName::VmafWorst,
            CheckName::KeyFrames,
            CheckName::TruePeak,
            CheckName::Colour,
            CheckName::Size,
        ] {
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        }
    }
}
