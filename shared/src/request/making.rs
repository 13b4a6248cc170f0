//! How an output is made: from what a user wrote to [`EncodeSettings`], with the defaults of container and codec.

use super::settling::ranged;
use super::{AudioRequest, BadRequest, BitRate, Choice, MAX_SIDE, OutputRequest, RateMode, VideoRequest};
use super::{check, extract};
use crate::encode::{
    AudioSettings, CheckLimits, Container, EncodeSettings, LoudnessTarget, RateControl, VideoCodec,
    VideoSettings,
};

/// True peak in tenths of a dBTP where only a loudness is asked for (EBU R 128, recommendation k).
const TRUE_PEAK: i16 = -10;

pub(super) fn settings(path: &str, request: &OutputRequest) -> Result<EncodeSettings, BadRequest> {
    if let Some(extract) = extract::settle(path, request)? {
        return Ok(EncodeSettings::of_extract(extract));
    }
    let container = container(path, request)?;
    let video = match (&request.video, container.usual_video()) {
        (Some(Choice::Off), _) | (None, None) => None,
        (None, Some(usual)) => Some(video(&format!("{path}.video"), &VideoRequest::default(), usual)?),
        (Some(Choice::On(wanted)), usual) => {
            Some(video(&format!("{path}.video"), wanted, usual.unwrap_or_default())?)
        }
    };
    let usual = AudioRequest::default();
    let audio = match &request.audio {
        Some(Choice::Off) => None,
        wanted => {
            let wanted = match wanted {
                Some(Choice::On(wanted)) => wanted,
                _ => &usual,
            };
            let beside = video.as_ref().map(|video| video.codec);
            Some(audio(&format!("{path}.audio"), wanted, container, beside)?)
        }
    };
    let settings = EncodeSettings { container, video, audio, check: CheckLimits::default(), extract: None };
    let refused = settings.possible();
    refused.map_err(|bad| BadRequest::at(format!("{path}.{}", bad.field), bad.message))?;
    let check = check::of_output(path, request.check.as_ref(), &settings)?;
    Ok(EncodeSettings { check, ..settings })
}

/// The container that is asked for, or else that of the name's ending.
fn container(path: &str, request: &OutputRequest) -> Result<Container, BadRequest> {
    let said = request.name.as_deref().or(request.destination.as_deref());
    let file = said.and_then(|text| text.rsplit('/').next());
    let ending = file.and_then(|file| file.rsplit_once('.')).map(|(_, ending)| ending);
    let named = ending.and_then(Container::of_ending);
    match (request.container, named, ending) {
        (Some(asked), Some(named), Some(ending)) if !asked.may_be_called(named) => {
            let message = format!(
                "is {}, and the name's ending '.{ending}' stands for {}; change one of them, or leave the container out",
                asked.name(),
                named.name()
            );
            Err(BadRequest::at(format!("{path}.container"), message))
        }
        (asked, named, _) => Ok(asked.or(named).unwrap_or_default()),
    }
}

fn video(path: &str, request: &VideoRequest, usual: VideoCodec) -> Result<VideoSettings, BadRequest> {
    let codec = request.codec.unwrap_or(usual);
    let field = |name: &str| format!("{path}.{name}");
    let side = |name: &str, value: Option<i64>| {
        value.map(|pixels| ranged(&field(name), pixels, 16, MAX_SIDE)).transpose()
    };
    if request.profile.is_some() && !matches!(codec, VideoCodec::ProRes | VideoCodec::DnxHd) {
        return Err(BadRequest::at(
            field("profile"),
            "the codecs prores and dnxhd alone have one; leave it out",
        ));
    }
    Ok(VideoSettings {
        codec,
        rate: rate(path, request, codec)?,
        preset: request.preset.unwrap_or_default(),
        max_width: side("max_width", request.max_width)?,
        max_height: side("max_height", request.max_height)?,
        bit_depth: request.bit_depth.map(|bits| ranged(&field("bit_depth"), bits, 8, 10)).transpose()?,
        chroma: request.chroma,
        keyframe_ms: request
            .keyframe_ms
            .map(|ms| ranged(&field("keyframe_ms"), ms, 100, 60_000))
            .transpose()?,
        profile: request.profile.unwrap_or_default(),
    })
}

fn rate(path: &str, request: &VideoRequest, codec: VideoCodec) -> Result<RateControl, BadRequest> {
    let bad = |name: &str, message: &str| Err(BadRequest::at(format!("{path}.{name}"), message));
    let bits = |name: &str, rate: BitRate| -> Result<u32, BadRequest> {
        ranged(&format!("{path}.{name}"), rate.0, 10_000, 1_000_000_000)
    };
    let mode = match (request.rate, request.bitrate) {
        (Some(mode), _) => mode,
        (None, Some(_)) => RateMode::Vbr,
        (None, None) => RateMode::Crf,
    };
    let peak_bps = request.max_bitrate.map(|rate| bits("max_bitrate", rate)).transpose()?;
    match (mode, request.bitrate) {
        (RateMode::Crf, Some(_)) => {
            bad("bitrate", "a rate factor decides the bits; use max_bitrate, or rate = \"vbr\"")
        }
        (RateMode::Crf, None) => {
            let worst = codec.worst_crf();
            if worst.is_none() && request.crf.is_some() {
                let message = "what this codec keeps does not depend on a rate factor; leave it out";
                return bad("crf", message);
            }
            let crf = request.crf.unwrap_or(i64::from(codec.usual_crf()));
            let crf = ranged(&format!("{path}.crf"), crf, 0, i64::from(worst.unwrap_or(u8::MAX)))?;
            Ok(peak_bps.map_or(RateControl::Crf(crf), |peak_bps| RateControl::CappedCrf { crf, peak_bps }))
        }
        (_, None) => bad("bitrate", "is needed: a number in bits a second, or a text such as \"5M\""),
        (_, Some(_)) if request.crf.is_some() => {
            bad("crf", "a bit rate decides the bits; leave one of the two out")
        }
        (RateMode::Cbr, Some(_)) if peak_bps.is_some() => {
            bad("max_bitrate", "a constant bit rate is its own peak; leave it out")
        }
        (RateMode::Cbr, Some(rate)) => Ok(RateControl::Cbr { bitrate_bps: bits("bitrate", rate)? }),
        (RateMode::Vbr, Some(rate)) => {
            Ok(RateControl::TwoPass { bitrate_bps: bits("bitrate", rate)?, peak_bps })
        }
    }
}

fn audio(
    path: &str,
    request: &AudioRequest,
    container: Container,
    beside: Option<VideoCodec>,
) -> Result<AudioSettings, BadRequest> {
    let field = |name: &str| format!("{path}.{name}");
    let codec = request.codec.unwrap_or_else(|| container.usual_audio(beside));
    let channels = request.channels.map(|n| ranged(&field("channels"), n, 1, 8)).transpose()?;
    let quality = request.quality.map(|n| ranged(&field("quality"), n, 0, 9)).transpose()?;
    let ways = [request.bitrate.is_some(), request.variant.is_some(), quality.is_some()];
    if ways.iter().filter(|given| **given).count() > 1 {
        let message = "bitrate, variant and quality each decide the bits; give one of them";
        return Err(BadRequest::at(field("bitrate"), message));
    }
    let bitrate_bps = match (request.bitrate, request.variant, codec.bitrates()) {
        (Some(_), ..) | (_, Some(_), _) if codec.is_lossless() => {
            let message = format!("{} is lossless and takes no bit rate; leave it out", codec.name());
            return Err(BadRequest::at(field("bitrate"), message));
        }
        (Some(rate), _, Some((low, high))) => {
            ranged(&field("bitrate"), rate.0, i64::from(low), i64::from(high))?
        }
        (_, Some(variant), _) => variant.bitrate_bps(),
        _ if quality.is_some() => 0,
        _ => codec.usual_bitrate_bps(channels),
    };
    Ok(AudioSettings {
        codec,
        bitrate_bps,
        quality,
        rate_hz: request.rate_hz.map(|hz| ranged(&field("rate_hz"), hz, 8_000, 192_000)).transpose()?,
        channels,
        bits: request.bits.map(|bits| ranged(&field("bits"), bits, 16, 24)).transpose()?,
        loudness: loudness(path, request)?,
    })
}

fn loudness(path: &str, request: &AudioRequest) -> Result<Option<LoudnessTarget>, BadRequest> {
    let tenths = |name: &str, value: f64, low: i16, high: i16| {
        // A value between the bounds is far inside of what sixteen bits hold.
        #[expect(clippy::cast_possible_truncation, reason = "it is between the bounds, which are")]
        let tenths = (value * 10.0).round() as i16;
        if value.is_finite() && value >= f64::from(low) / 10.0 && value <= f64::from(high) / 10.0 {
            return Ok(tenths);
        }
        let message = format!("should be {} to {}, not {value}", low / 10, high / 10);
        Err(BadRequest::at(format!("{path}.{name}"), message))
    };
    let Some(integrated) = request.loudness else {
        return match request.true_peak {
            Some(_) => {
                let message = "a true peak is held where a loudness is asked for; set loudness as well";
                Err(BadRequest::at(format!("{path}.true_peak"), message))
            }
            None => Ok(None),
        };
    };
    let true_peak =
        request.true_peak.map(|peak| tenths("true_peak", peak, -200, 0)).transpose()?.unwrap_or(TRUE_PEAK);
    Ok(Some(LoudnessTarget { integrated: tenths("loudness", integrated, -700, -50)?, true_peak }))
}
