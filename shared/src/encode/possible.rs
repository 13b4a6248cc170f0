//! Which settings go together. What does not is refused before anything is planned, with what would do.

use super::{AudioSettings, Container, EncodeSettings, RateControl, VideoSettings};

/// Bit rates of video in bits a second.
const VIDEO_BPS: (u32, u32) = (10_000, 1_000_000_000);
/// Distances of key frames in milliseconds.
const KEYFRAME_MS: (u32, u32) = (100, 60_000);

/// Settings that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Impossible {
    /// The field that is to be changed, such as `video.codec`.
    pub field: &'static str,
    /// What is wrong and what is possible.
    pub message: String,
}

fn at(field: &'static str, message: impl Into<String>) -> Impossible {
    Impossible { field, message: message.into() }
}

impl EncodeSettings {
    /// Whether such an output can be made at all.
    ///
    /// # Errors
    /// [`Impossible`]: a codec that the container does not hold, a depth or a rate that the codec does not have, and so on.
    pub fn possible(&self) -> Result<(), Impossible> {
        // What the operation itself refuses depends on the source; its numbers were ranged when they were read.
        if self.extract.is_some() {
            return Ok(());
        }
        if self.video.is_none() && self.audio.is_none() {
            return Err(at(
                "audio",
                "an output without video and without audio is empty; leave one of them in",
            ));
        }
        if let Some(video) = &self.video {
            possible_video(self.container, video)?;
        }
        self.audio.as_ref().map_or(Ok(()), |audio| possible_audio(self.container, audio))
    }
}

fn possible_video(container: Container, video: &VideoSettings) -> Result<(), Impossible> {
    let codec = video.codec;
    let held = container.video_codecs();
    if held.is_empty() {
        let message = format!(
            "{} holds sound alone; leave video out (video = false), or use mp4, fmp4, mov, mkv, webm or mpegts",
            container.name()
        );
        return Err(at("video", message));
    }
    if !held.contains(&codec.in_software()) {
        let others =
            Container::ALL.iter().filter(|other| other.video_codecs().contains(&codec.in_software()));
        let message = format!(
            "{} does not hold {}; it holds {}, and {} goes into {}",
            container.name(),
            codec.word(),
            listed(held.iter().map(|codec| codec.word())),
            codec.word(),
            listed(others.map(|other| other.name())),
        );
        return Err(at("video.codec", message));
    }
    rate(video)?;
    if let Some(ms) = video.keyframe_ms {
        if codec.is_mezzanine() {
            let message = format!("every frame of {} is a key frame; leave this out", codec.word());
            return Err(at("video.keyframe_ms", message));
        }
        within("video.keyframe_ms", u64::from(ms), (KEYFRAME_MS.0.into(), KEYFRAME_MS.1.into()))?;
    }
    if let Some(depth) = video.bit_depth.filter(|depth| !codec.depths().contains(depth)) {
        let has = listed(codec.depths().iter().map(ToString::to_string));
        return Err(at("video.bit_depth", format!("{} has {has} bits, not {depth}", codec.word())));
    }
    let depths = video.bit_depth.map_or(codec.depths().to_vec(), |depth| vec![depth]);
    if let Some(chroma) = video.chroma
        && !depths.iter().any(|depth| codec.chromas(*depth).contains(&chroma))
    {
        let has = depths.iter().flat_map(|depth| codec.chromas(*depth));
        let has = listed(has.map(|chroma| chroma.name()));
        return Err(at("video.chroma", format!("{} has {has} here, not {}", codec.word(), chroma.name())));
    }
    Ok(())
}

fn rate(video: &VideoSettings) -> Result<(), Impossible> {
    let codec = video.codec;
    let bits = |field, bps: u32| within(field, bps.into(), (VIDEO_BPS.0.into(), VIDEO_BPS.1.into()));
    let Some(worst) = codec.worst_crf() else {
        return if matches!(video.rate, RateControl::Crf(_)) {
            Ok(())
        } else {
            let message =
                format!("what {} takes follows from the picture; leave bit rates out", codec.word());
            Err(at("video.bitrate", message))
        };
    };
    if !matches!(video.rate, RateControl::Crf(_)) && codec.prefers_hardware() {
        let message = format!(
            "hardware encoders take a constant quantizer only: set crf, or use the codec {}",
            codec.in_software().word()
        );
        return Err(at("video.bitrate", message));
    }
    match video.rate {
        RateControl::Crf(crf) | RateControl::CappedCrf { crf, .. } if crf > worst => {
            Err(at("video.crf", format!("should be 0 to {worst}, not {crf}")))
        }
        RateControl::Crf(_) => Ok(()),
        RateControl::CappedCrf { peak_bps, .. } => bits("video.max_bitrate", peak_bps),
        RateControl::Cbr { bitrate_bps } => bits("video.bitrate", bitrate_bps),
        RateControl::TwoPass { bitrate_bps, peak_bps } | RateControl::OnePass { bitrate_bps, peak_bps } => {
            bits("video.bitrate", bitrate_bps)?;
            match peak_bps {
                Some(peak) if peak < bitrate_bps => {
                    Err(at("video.max_bitrate", "a peak below the mean rate cannot be kept; raise it"))
                }
                Some(peak) => bits("video.max_bitrate", peak),
                None => Ok(()),
            }
        }
    }
}

fn possible_audio(container: Container, audio: &AudioSettings) -> Result<(), Impossible> {
    let codec = audio.codec;
    let held = container.audio_codecs();
    if !held.contains(&codec) {
        let others = Container::ALL.iter().filter(|other| other.audio_codecs().contains(&codec));
        let message = format!(
            "{} does not hold {}; it holds {}, and {} goes into {}",
            container.name(),
            codec.name(),
            listed(held.iter().map(|codec| codec.name())),
            codec.name(),
            listed(others.map(|other| other.name())),
        );
        return Err(at("audio.codec", message));
    }
    match (audio.quality, codec.bitrates()) {
        (Some(quality), _) if codec != super::AudioCodec::Mp3 || quality > 9 => {
            return Err(at("audio.quality", "0 (best) to 9, of the codec mp3 alone"));
        }
        (Some(_), _) | (None, None) => {}
        (None, Some((low, high))) => {
            within("audio.bitrate", audio.bitrate_bps.into(), (low.into(), high.into()))?;
            let steps = codec.steps_kbps();
            if !steps.is_empty() && !steps.iter().any(|step| step * 1000 == audio.bitrate_bps) {
                let has = listed(steps.iter().map(|step| format!("{step}k")));
                let message = format!("{} has {has}, not {}", codec.name(), audio.bitrate_bps);
                return Err(at("audio.bitrate", message));
            }
        }
    }
    if let Some(rate) = audio.rate_hz {
        let rates = codec.rates_hz();
        if rates.is_empty() {
            within("audio.rate_hz", rate.into(), (8_000, 192_000))?;
        } else if !rates.contains(&rate) {
            let has = listed(rates.iter().map(ToString::to_string));
            return Err(at("audio.rate_hz", format!("{} has {has} Hz, not {rate}", codec.name())));
        }
    }
    if let Some(channels) = audio.channels.filter(|channels| !codec.channels().contains(channels)) {
        let has = listed(codec.channels().iter().map(ToString::to_string));
        return Err(at("audio.channels", format!("{} has {has} channels, not {channels}", codec.name())));
    }
    if let Some(bits) = audio.bits
        && (!codec.is_lossless() || !matches!(bits, 16 | 24))
    {
        return Err(at("audio.bits", "16 or 24, of the lossless codecs flac and pcm alone"));
    }
    if let Some(target) = audio.loudness {
        within_signed("audio.loudness", target.integrated, (-700, -50))?;
        within_signed("audio.true_peak", target.true_peak, (-200, 0))?;
    }
    Ok(())
}

fn within(field: &'static str, value: u64, (low, high): (u64, u64)) -> Result<(), Impossible> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(at(field, format!("should be {low} to {high}, not {value}")))
}

fn within_signed(field: &'static str, tenths: i16, (low, high): (i16, i16)) -> Result<(), Impossible> {
    if (low..=high).contains(&tenths) {
        return Ok(());
    }
    let shown = |tenths: i16| f64::from(tenths) / 10.0;
    Err(at(field, format!("should be {} to {}, not {}", shown(low), shown(high), shown(tenths))))
}

fn listed<T: ToString>(words: impl Iterator<Item = T>) -> String {
    let mut words: Vec<String> = words.map(|word| word.to_string()).collect();
    words.dedup();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{AudioCodec, Chroma, VideoCodec};

    fn film(container: Container, codec: VideoCodec) -> EncodeSettings {
        EncodeSettings {
            container,
            video: Some(VideoSettings::of(codec)),
            audio: None,
            ..EncodeSettings::default()
        }
    }

    fn sound(container: Container, codec: AudioCodec) -> EncodeSettings {
        EncodeSettings {
            container,
            video: None,
            audio: Some(AudioSettings::of(codec)),
            ..EncodeSettings::default()
        }
    }

    #[test]
    fn every_container_holds_what_it_says_and_names_it_where_it_does_not() {
        for container in Container::ALL {
            for codec in VideoCodec::ALL {
                let possible = film(container, codec).possible();
                let holds = container.video_codecs().contains(&codec.in_software());
                assert_eq!(possible.is_ok(), holds, "{possible:?}");
            }
            for codec in AudioCodec::ALL {
                let possible = sound(container, codec).possible();
                assert_eq!(possible.is_ok(), container.audio_codecs().contains(&codec), "{possible:?}");
            }
        }
        let refused = film(Container::Webm, VideoCodec::H264).possible().expect_err("WebM holds no H.264");
        assert_eq!(
            (refused.field, refused.message.as_str()),
            (
                "video.codec",
                "webm does not hold h264; it holds vp9 and av1, and h264 goes into mp4, fmp4, mov, mkv and mpegts"
            )
        );
    }

    #[test]
    fn what_a_codec_lacks_is_refused() {
        let with = |codec, change: &dyn Fn(&mut VideoSettings)| {
            let mut settings = film(Container::Mkv, codec);
            change(settings.video.as_mut().expect("it has video"));
            settings.possible().err().map(|refused| refused.field)
        };
        assert_eq!(with(VideoCodec::Vp9, &|v| v.rate = RateControl::Crf(63)), None);
        assert_eq!(with(VideoCodec::H264, &|v| v.rate = RateControl::Crf(52)), Some("video.crf"));
        let cbr = RateControl::Cbr { bitrate_bps: 2_000_000 };
        assert_eq!(with(VideoCodec::Ffv1, &|v| v.rate = cbr), Some("video.bitrate"));
        assert_eq!(with(VideoCodec::H264Hardware, &|v| v.rate = cbr), Some("video.bitrate"));
        assert_eq!(with(VideoCodec::Hevc, &|v| v.bit_depth = Some(12)), Some("video.bit_depth"));
        assert_eq!(with(VideoCodec::ProRes, &|v| v.chroma = Some(Chroma::C420)), Some("video.chroma"));
        assert_eq!(with(VideoCodec::Hevc, &|v| v.keyframe_ms = Some(10)), Some("video.keyframe_ms"));
        assert_eq!(with(VideoCodec::Ffv1, &|v| v.keyframe_ms = Some(2_000)), Some("video.keyframe_ms"));
    }

    #[test]
    fn sound_has_the_rates_and_channels_of_its_codec() {
        let with = |codec, change: &dyn Fn(&mut AudioSettings)| {
            let mut settings = sound(Container::Mkv, codec);
            change(settings.audio.as_mut().expect("it has sound"));
            settings.possible().err().map(|refused| refused.field)
        };
        assert_eq!(with(AudioCodec::Mp3, &|a| a.bitrate_bps = 130_000), Some("audio.bitrate"));
        assert_eq!(with(AudioCodec::Aac, &|a| a.bitrate_bps = 130_000), None);
        assert_eq!(with(AudioCodec::Opus, &|a| a.rate_hz = Some(44_100)), Some("audio.rate_hz"));
        assert_eq!(with(AudioCodec::Mp3, &|a| a.channels = Some(6)), Some("audio.channels"));
        assert_eq!(with(AudioCodec::Aac, &|a| a.quality = Some(2)), Some("audio.quality"));
        assert_eq!(with(AudioCodec::Flac, &|a| a.bits = Some(24)), None);
        assert_eq!(with(AudioCodec::Aac, &|a| a.bits = Some(24)), Some("audio.bits"));
        let empty = EncodeSettings { video: None, audio: None, ..EncodeSettings::default() };
        assert!(empty.possible().is_err());
    }
}
