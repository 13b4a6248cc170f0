//! How settings become bytes.
//!
//! The first settings were of one container, H.264 and AAC, and knew no more than a rate factor, a preset and limits of
//! the size. Bytes of them stay what they were: what those settings can say is written in their form, so that programs of
//! that time read it, and anything else stands behind numbers that their containers ended before.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    AudioCodec, AudioSettings, CheckLimits, Container, EncodeSettings, Extract, RateControl, SpeedPreset,
    VideoCodec, VideoSettings,
};

/// In bytes, the variant's number is where the first form had that of its container.
#[derive(Serialize, Deserialize)]
enum Coded {
    First(First),
    Whole(Whole),
    /// With limits of one's own.
    Checked(Whole, CheckLimits),
    /// Of no rendition at all.
    Extract(Box<Extract>),
}

/// Settings as they were first written, behind the container.
#[derive(Serialize, Deserialize)]
struct First {
    video: FirstVideo,
    audio: Option<FirstAudio>,
}

#[derive(Serialize, Deserialize)]
struct FirstVideo {
    codec: VideoCodec,
    crf: u8,
    preset: SpeedPreset,
    max_width: Option<u32>,
    max_height: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct FirstAudio {
    codec: AudioCodec,
    bitrate_bps: u32,
}

/// All of them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    container: Container,
    video: Option<VideoSettings>,
    audio: Option<AudioSettings>,
}

/// In text, such as an exported journal, all have names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Whole(WholeText),
    First(First),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeText {
    container: Container,
    video: Option<VideoSettings>,
    audio: Option<AudioSettings>,
    #[serde(default, skip_serializing_if = "CheckLimits::are_usual")]
    check: CheckLimits,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extract: Option<Box<Extract>>,
}

impl First {
    /// The first form of settings, where that says all of them.
    fn of(settings: &EncodeSettings) -> Option<Self> {
        let video = settings.video.as_ref().filter(|_| settings.container == Container::Mp4)?;
        let RateControl::Crf(crf) = video.rate else { return None };
        let first = Self {
            video: FirstVideo {
                codec: video.codec,
                crf,
                preset: video.preset,
                max_width: video.max_width,
                max_height: video.max_height,
            },
            audio: settings
                .audio
                .as_ref()
                .map(|audio| FirstAudio { codec: audio.codec, bitrate_bps: audio.bitrate_bps }),
        };
        let known = matches!(video.codec, VideoCodec::H264 | VideoCodec::H264Hardware)
            && first.audio.as_ref().is_none_or(|audio| audio.codec == AudioCodec::Aac);
        (known && first.settings() == *settings).then_some(first)
    }

    fn settings(&self) -> EncodeSettings {
        let video = VideoSettings {
            rate: RateControl::Crf(self.video.crf),
            preset: self.video.preset,
            max_width: self.video.max_width,
            max_height: self.video.max_height,
            ..VideoSettings::of(self.video.codec)
        };
        let audio = self
            .audio
            .as_ref()
            .map(|audio| AudioSettings { bitrate_bps: audio.bitrate_bps, ..AudioSettings::of(audio.codec) });
        EncodeSettings { video: Some(video), audio, ..EncodeSettings::default() }
    }
}

impl EncodeSettings {
    /// Whether programs that know the first form of settings only understand these: MP4 with H.264 by rate factor and AAC,
    /// nothing else asked for.
    #[must_use]
    pub fn have_first_form(&self) -> bool {
        First::of(self).is_some()
    }
}

impl Serialize for EncodeSettings {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Self { container, video, audio, check, extract } = self.clone();
        if s.is_human_readable() {
            return WholeText { container, video, audio, check, extract }.serialize(s);
        }
        let coded = match (First::of(self), extract) {
            (_, Some(extract)) => Coded::Extract(extract),
            (Some(first), None) => Coded::First(first),
            (None, None) if check.are_usual() => Coded::Whole(Whole { container, video, audio }),
            (None, None) => Coded::Checked(Whole { container, video, audio }, check),
        };
        coded.serialize(s)
    }
}

impl<'de> Deserialize<'de> for EncodeSettings {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let all = |whole: Whole, check| {
            let Whole { container, video, audio } = whole;
            Self { container, video, audio, check, extract: None }
        };
        if d.is_human_readable() {
            return Ok(match Text::deserialize(d)? {
                Text::Whole(WholeText { container, video, audio, check, extract }) => {
                    Self { container, video, audio, check, extract }
                }
                Text::First(first) => first.settings(),
            });
        }
        Ok(match Coded::deserialize(d)? {
            Coded::Whole(whole) => all(whole, CheckLimits::default()),
            Coded::Checked(whole, check) => all(whole, check),
            Coded::First(first) => first.settings(),
            Coded::Extract(extract) => Self::of_extract(*extract),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::encode::{Chroma, Extracted, VmafLimits, VmafScope};
    use crate::measure::WaveformSettings;

    /// MP4, H.264 at 21, slow, 720 high, AAC at 160 kbit/s, as the first program wrote it.
    const FIRST: &[u8] = &[0, 0, 21, 6, 0, 1, 251, 208, 2, 1, 0, 252, 0, 113, 2, 0];

    #[test]
    fn what_the_first_form_says_is_written_in_it() {
        let settings: EncodeSettings = codec::decode(FIRST).expect("it decodes");
        let video = settings.video.as_ref().expect("it has video");
        assert_eq!((video.rate, video.preset), (RateControl::Crf(21), SpeedPreset::Slow));
        assert_eq!((video.max_width, video.max_height), (None, Some(720)));
        assert_eq!(settings.audio.as_ref().map(|a| a.bitrate_bps), Some(160_000));
        assert_eq!(codec::encode(&settings).expect("it encodes"), FIRST);
        let text = r#"{"container":"mp4","video":{"codec":"h264","crf":21,"preset":"slow","max_width":null,
            "max_height":720},"audio":{"codec":"aac","bitrate_bps":160000}}"#;
        assert_eq!(serde_json::from_str::<EncodeSettings>(text).expect("it parses"), settings);
    }

    #[test]
    fn all_else_survives_as_bytes_and_as_text() {
        let sound = EncodeSettings {
            container: Container::Ogg,
            video: None,
            audio: Some(AudioSettings::of(AudioCodec::Opus)),
            ..EncodeSettings::default()
        };
        let peak_bps = 5_000_000;
        let video = VideoSettings {
            rate: RateControl::CappedCrf { crf: 30, peak_bps },
            chroma: Some(Chroma::C422),
            ..VideoSettings::of(VideoCodec::Hevc)
        };
        let film = EncodeSettings { video: Some(video), ..EncodeSettings::default() };
        let mut keys = EncodeSettings::default();
        keys.video.as_mut().expect("it has video").keyframe_ms = Some(2_000);
        for settings in [sound, film, keys] {
            assert!(!settings.have_first_form());
            let bytes = codec::encode(&settings).expect("it encodes");
            assert_eq!(bytes[0], 1, "a number that no container of the first form has");
            assert_eq!(codec::decode::<EncodeSettings>(&bytes).expect("it decodes"), settings);
            let text = serde_json::to_string(&settings).expect("it has a text");
            assert_eq!(serde_json::from_str::<EncodeSettings>(&text).expect("it parses"), settings);
        }
        assert!(EncodeSettings::default().have_first_form());
        let vmaf = VmafLimits { scope: VmafScope::Full, mean_tenths: Some(900), ..VmafLimits::default() };
        let check = CheckLimits { vmaf, true_peak_tenths: Some(-10), ..CheckLimits::default() };
        let limited = EncodeSettings { check, ..EncodeSettings::default() };
        assert!(!limited.have_first_form());
        let bytes = codec::encode(&limited).expect("it encodes");
        assert_eq!(bytes[0], 2, "behind the numbers of the other forms");
        assert_eq!(codec::decode::<EncodeSettings>(&bytes).expect("it decodes"), limited);
        let text = serde_json::to_string(&limited).expect("it has a text");
        assert_eq!(serde_json::from_str::<EncodeSettings>(&text).expect("it parses"), limited);
        let what = Extracted::Waveform(WaveformSettings::default());
        let wave = EncodeSettings::of_extract(Extract { what, max_bytes: Some(9_000) });
        assert!(!wave.have_first_form());
        let bytes = codec::encode(&wave).expect("it encodes");
        assert_eq!(bytes[0], 3, "behind the numbers of all renditions");
        assert_eq!(codec::decode::<EncodeSettings>(&bytes).expect("it decodes"), wave);
        let text = serde_json::to_string(&wave).expect("it has a text");
        assert_eq!(serde_json::from_str::<EncodeSettings>(&text).expect("it parses"), wave);
    }
}
