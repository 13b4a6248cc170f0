//! Audio encoders: from settings to an element, the samples that it takes and how its packets count.

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::encode::{AudioCodec, AudioSettings, Container};
use rushes_shared::failure::Failure;

use crate::start::element;

/// Samples in a packet of AAC, and before its first real one.
const AAC_PACKET: u32 = 1024;
/// Of Opus: 20 ms at 48 kHz, which is what it counts in at every rate.
const OPUS_PACKET: u32 = 960;
const OPUS_RATE: u32 = 48_000;
/// Of AC-3, and its encoder's delay.
const AC3_PACKET: u32 = 1536;
const AC3_PRIMING: u32 = 256;
/// Of layer III at MPEG-1's rates; half of it at lower ones.
const MP3_PACKET: u32 = 1152;
/// What LAME's encoder and any decoder delay the sound by, together: 576 + 528 + 1.
const MP3_PRIMING: u32 = 1105;
const FLAC_PACKET: u32 = 4096;

/// What an encoder is given and what it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Samples {
    pub(crate) rate: u32,
    pub(crate) channels: u16,
    /// GStreamer's name of their format.
    pub(crate) format: &'static str,
    /// Bytes of one of them.
    pub(crate) bytes: u32,
    /// Of uncompressed and lossless sound.
    pub(crate) bits: u16,
}

/// The samples that a codec is given of a source.
pub(crate) fn samples(
    settings: &AudioSettings,
    container: Container,
    (rate, channels, bits): (u32, u32, u32),
) -> Samples {
    let codec = settings.codec;
    let wide = codec.is_lossless() && settings.bits.map_or(bits > 16, |bits| bits > 16);
    let (format, bytes) = match codec {
        AudioCodec::Aac | AudioCodec::Vorbis | AudioCodec::Ac3 => ("F32LE", 4),
        AudioCodec::Opus | AudioCodec::Mp3 => ("S16LE", 2),
        AudioCodec::Flac | AudioCodec::Pcm if !wide => ("S16LE", 2),
        AudioCodec::Flac => ("S24LE", 3),
        AudioCodec::Pcm if container == Container::Mov => ("S24BE", 3),
        AudioCodec::Pcm => ("S24LE", 3),
    };
    let bits = if bytes == 3 { 24 } else { 16 };
    Samples {
        rate: settings.rate_hz.unwrap_or_else(|| nearest_rate(codec, rate)),
        channels: settings.channels.map_or_else(|| nearest_channels(codec, channels), u16::from),
        format,
        bytes,
        bits,
    }
}

/// The source's rate where the codec has it, else the next one above, or its highest; at most 48 kHz where it is lossy.
fn nearest_rate(codec: AudioCodec, source: u32) -> u32 {
    let rates = codec.rates_hz();
    if codec == AudioCodec::Opus {
        // Its lower rates are for speech; any other is brought to the one that it counts in.
        return OPUS_RATE;
    }
    let highest = if codec.is_lossless() { 192_000 } else { 48_000 };
    if rates.is_empty() {
        return source.clamp(8_000, highest);
    }
    rates.iter().copied().find(|rate| *rate >= source).unwrap_or(48_000)
}

/// Layouts that play everywhere: mono, stereo, 5.1, 7.1. Others are mixed into the nearest that the codec has.
fn nearest_channels(codec: AudioCodec, source: u32) -> u16 {
    let wanted = match source {
        0 | 1 => 1,
        2..=4 => 2,
        5 | 6 => 6,
        _ => 8,
    };
    let has = codec.channels().iter().copied().filter(|channels| *channels <= wanted);
    u16::from(has.max().unwrap_or(2))
}

impl Samples {
    /// As caps, in this format or another one.
    pub(super) fn caps(&self, format: &str) -> gst::Caps {
        let mut caps = gst::Caps::builder("audio/x-raw")
            .field("format", format)
            .field("layout", "interleaved")
            .field("rate", i32::try_from(self.rate).unwrap_or(48_000))
            .field("channels", i32::from(self.channels));
        if let Some(mask) = mask(self.channels) {
            caps = caps.field("channel-mask", gst::Bitmask::new(mask));
        }
        caps.build()
    }

    /// Bytes of one moment, a sample of each channel.
    pub(super) fn moment_bytes(&self) -> u64 {
        u64::from(self.bytes) * u64::from(self.channels.max(1))
    }
}

/// Where channels stand: front left, right, centre, low frequency, back left, right, side left, right.
pub(crate) fn mask(channels: u16) -> Option<u64> {
    match channels {
        6 => Some(0x3f),
        8 => Some(0xc3f),
        _ => None,
    }
}

/// How packets of a codec count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counting {
    /// Time units a second.
    pub(crate) rate: u32,
    /// Units in a packet.
    pub(crate) packet: u32,
    /// Units before the first real one.
    pub(crate) priming: u32,
}

/// How packets of a codec count at a sample rate.
pub(crate) fn counting(codec: AudioCodec, rate: u32) -> Counting {
    let (packet, priming) = match codec {
        AudioCodec::Aac => (AAC_PACKET, AAC_PACKET),
        AudioCodec::Opus => return Counting { rate: OPUS_RATE, packet: OPUS_PACKET, priming: 312 },
        AudioCodec::Mp3 if rate < 32_000 => (MP3_PACKET / 2, MP3_PRIMING),
        AudioCodec::Mp3 => (MP3_PACKET, MP3_PRIMING),
        AudioCodec::Ac3 => (AC3_PACKET, AC3_PRIMING),
        AudioCodec::Flac => (FLAC_PACKET, 0),
        // The block of Vorbis is up to 2048; its packets carry their own times.
        AudioCodec::Vorbis => (2048, 0),
        AudioCodec::Pcm => (1, 0),
    };
    Counting { rate, packet, priming }
}

/// The encoder, set up.
pub(super) fn encoder(settings: &AudioSettings) -> Result<gst::Element, Failure> {
    let bitrate = i32::try_from(settings.bitrate_bps).unwrap_or(i32::MAX);
    Ok(match settings.codec {
        AudioCodec::Aac | AudioCodec::Ac3 => {
            let encoder = element(element_name(settings.codec))?;
            encoder.set_property("bitrate", bitrate);
            encoder
        }
        AudioCodec::Opus => {
            let encoder = element("opusenc")?;
            encoder.set_property("bitrate", bitrate);
            encoder.set_property_from_str("bitrate-type", "vbr");
            encoder.set_property_from_str("audio-type", "generic");
            encoder
        }
        AudioCodec::Mp3 => {
            let encoder = element("lamemp3enc")?;
            if let Some(quality) = settings.quality {
                encoder.set_property_from_str("target", "quality");
                encoder.set_property("quality", f32::from(quality));
            } else {
                encoder.set_property_from_str("target", "bitrate");
                encoder.set_property("bitrate", bitrate / 1000);
                encoder.set_property("cbr", true);
            }
            encoder
        }
        AudioCodec::Vorbis => {
            let encoder = element("vorbisenc")?;
            encoder.set_property("bitrate", bitrate);
            encoder
        }
        AudioCodec::Flac => {
            let encoder = element("flacenc")?;
            encoder.set_property("blocksize", FLAC_PACKET);
            encoder
        }
        AudioCodec::Pcm => element("identity")?,
    })
}

/// What an encoder takes off the level of its sound, in dB: LAME makes sound of lower constant rates quieter (`presets.c` of
/// 3.100, the scale of `abr_switch_map`).
pub(super) fn lost_db(settings: &AudioSettings) -> f64 {
    if settings.codec != AudioCodec::Mp3 || settings.quality.is_some() {
        return 0.0;
    }
    let scale: f64 = match settings.bitrate_bps {
        ..=160_000 => 0.95,
        160_001..=192_000 => 0.97,
        192_001..=224_000 => 0.98,
        _ => 1.0,
    };
    -20.0 * scale.log10()
}

/// The name of the element that makes a codec.
pub(super) fn element_name(codec: AudioCodec) -> &'static str {
    match codec {
        AudioCodec::Aac => "avenc_aac",
        AudioCodec::Opus => "opusenc",
        AudioCodec::Mp3 => "lamemp3enc",
        AudioCodec::Vorbis => "vorbisenc",
        AudioCodec::Flac => "flacenc",
        AudioCodec::Pcm => "identity",
        AudioCodec::Ac3 => "avenc_ac3",
    }
}

/// The element that brings packets into the form that containers hold; nothing where they have it.
pub(super) fn parser(codec: AudioCodec) -> Option<&'static str> {
    (codec == AudioCodec::Flac).then_some("flacparse")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_layouts_are_those_that_play_everywhere() {
        let aac = |rate| nearest_rate(AudioCodec::Aac, rate);
        assert_eq!([8000, 22_050, 44_100, 47_999, 96_000].map(aac), [8000, 22_050, 44_100, 48_000, 48_000]);
        assert_eq!([44_100, 96_000].map(|rate| nearest_rate(AudioCodec::Flac, rate)), [44_100, 96_000]);
        assert_eq!([44_100, 96_000].map(|rate| nearest_rate(AudioCodec::Opus, rate)), [48_000, 48_000]);
        assert_eq!([8_000, 44_100].map(|rate| nearest_rate(AudioCodec::Ac3, rate)), [32_000, 44_100]);
        let of = |codec| [1, 2, 3, 4, 5, 6, 8].map(|source| nearest_channels(codec, source));
        assert_eq!(of(AudioCodec::Aac), [1, 2, 2, 2, 6, 6, 6]);
        assert_eq!(of(AudioCodec::Flac), [1, 2, 2, 2, 6, 6, 8]);
        assert_eq!(of(AudioCodec::Mp3), [1, 2, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn lossless_sound_keeps_the_depth_of_its_source() {
        let of =
            |codec, container, bits| samples(&AudioSettings::of(codec), container, (48_000, 2, bits)).format;
        assert_eq!(of(AudioCodec::Flac, Container::Flac, 16), "S16LE");
        assert_eq!(of(AudioCodec::Flac, Container::Flac, 24), "S24LE");
        assert_eq!(of(AudioCodec::Pcm, Container::Mov, 24), "S24BE");
        assert_eq!(of(AudioCodec::Aac, Container::Mp4, 24), "F32LE");
    }
}
