//! Limits as a user writes them: what an output or a set has to keep before it is published.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::settling::ranged;
use super::{BadRequest, BitRate};
use crate::encode::{CheckLimits, EncodeSettings, PeakLimit, VmafLimits, VmafScope};
use crate::ladder::{LoudnessLimit, SetLimits};
use crate::measure::VmafModel;

/// Limits of an output's checks. One that fails is not published; the error names check, limit, value and time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// Most milliseconds by which picture and sound may be longer or shorter than the source's, 0 to 60000. Sound is
    /// always allowed what its codec and container round it to. Default: a frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 60_000)]
    pub duration_ms: Option<i64>,
    /// Most milliseconds by which sound may begin earlier or later in relation to the picture than in the source, 0 to
    /// 60000. Default: a frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 60_000)]
    pub av_sync_ms: Option<i64>,
    /// Most frames more or less than the source's, 0 to 1000000. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000, default = 0)]
    pub frames: Option<i64>,
    /// Most bits a second of the picture over any `bitrate_window_ms`. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<BitRate>,
    /// Over how long bits are counted for `max_bitrate`, in milliseconds, 100 to 60000. Default: 2000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 60_000, default = 2_000)]
    pub bitrate_window_ms: Option<i64>,
    /// How much of the picture is scored by VMAF against the source: `off`, `sampled` (every tenth frame) or `full`.
    /// Default: `sampled` where a least VMAF is given, else `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmaf: Option<VmafScope>,
    /// VMAF's model. Default: `vmaf_v0.6.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmaf_model: Option<VmafModel>,
    /// Least mean VMAF, 0 to 100. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub min_vmaf: Option<f64>,
    /// Least VMAF that one frame in a hundred may be below, 0 to 100. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub min_vmaf_worst: Option<f64>,
    /// Most loudness units (LU) by which the sound may be louder or quieter than `audio.loudness`, 0.1 to 20. Default: not
    /// measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.1, maximum = 20)]
    pub loudness_tolerance: Option<f64>,
    /// Highest true peak of the sound in dBTP, -20 to 6. Default: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -20, maximum = 6)]
    pub true_peak: Option<f64>,
    /// Most bytes of a file that is no rendition (a poster, a preview), 1 to 1 TiB. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub max_bytes: Option<i64>,
}

impl CheckRequest {
    /// The first limit that renditions alone have, where one is given.
    pub(super) fn limit_of_renditions(&self) -> Option<&'static str> {
        let given = [
            ("duration_ms", self.duration_ms.is_some()),
            ("av_sync_ms", self.av_sync_ms.is_some()),
            ("frames", self.frames.is_some()),
            ("max_bitrate", self.max_bitrate.is_some()),
            ("bitrate_window_ms", self.bitrate_window_ms.is_some()),
            ("vmaf", self.vmaf.is_some()),
            ("vmaf_model", self.vmaf_model.is_some()),
            ("min_vmaf", self.min_vmaf.is_some()),
            ("min_vmaf_worst", self.min_vmaf_worst.is_some()),
            ("loudness_tolerance", self.loudness_tolerance.is_some()),
            ("true_peak", self.true_peak.is_some()),
        ];
        given.iter().find(|(_, is_given)| *is_given).map(|(name, _)| *name)
    }
}

/// Limits of a set's checks beside those that every set is held to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamCheckRequest {
    /// How much of every rung is scored by VMAF against the source: `off`, `sampled` (every tenth frame) or `full`.
    /// Default: `sampled` where a least VMAF is given, else `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmaf: Option<VmafScope>,
    /// VMAF's model. Default: `vmaf_v0.6.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmaf_model: Option<VmafModel>,
    /// Least mean VMAF of the best rung, 0 to 100; the others' is told. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub min_vmaf: Option<f64>,
    /// Least VMAF that one frame in a hundred of the best rung may be below, 0 to 100. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub min_vmaf_worst: Option<f64>,
    /// Most milliseconds by which sound may begin earlier or later in relation to the picture than in the source, 0 to
    /// 60000. Default: 40, or a frame where that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 60_000)]
    pub av_sync_ms: Option<i64>,
    /// Longest segment in milliseconds, 1 to 600000. Default: half again as long as `segment_s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 600_000)]
    pub max_segment_ms: Option<i64>,
    /// Most bits of a rung over any `bitrate_window_ms`, in percent of the rate that it may have, 1 to 1000. Default: what the
    /// rung's buffer allows over that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000)]
    pub max_bitrate_percent: Option<i64>,
    /// Over how long a rung's bits are counted, in milliseconds, 100 to 60000. Default: a segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 60_000)]
    pub bitrate_window_ms: Option<i64>,
    /// Integrated loudness that each sound of the set has to have, in LUFS, -70 to 0. Default: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -70, maximum = 0)]
    pub loudness: Option<f64>,
    /// Most loudness units (LU) by which the sound may be louder or quieter than `loudness`, 0.1 to 20. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.1, maximum = 20, default = 1)]
    pub loudness_tolerance: Option<f64>,
    /// Highest true peak of each sound in dBTP, -20 to 6. Default: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -20, maximum = 6)]
    pub true_peak: Option<f64>,
}

/// Loudness units by which sound may be off, in tenths, where no more is said than how loud it should be.
const TOLERANCE_TENTHS: u16 = 10;

/// Over how long bits are counted, in milliseconds: a usual buffer of players.
const BITRATE_WINDOW_MS: i64 = 2_000;

/// A number between two, in tenths.
fn tenths<T: TryFrom<i64>>(field: &str, value: f64, low: i64, high: i64) -> Result<T, BadRequest> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "far too large a number is held against the bounds all the same"
    )]
    let tenths = (value * 10.0).round() as i64;
    let inside = value.is_finite() && (low..=high).contains(&tenths);
    inside.then(|| T::try_from(tenths).ok()).flatten().ok_or_else(|| {
        let text = |tenths: i64| match tenths % 10 {
            0 => format!("{}", tenths / 10),
            part => format!("{}.{}", tenths / 10, part.abs()),
        };
        BadRequest::at(field, format!("should be {} to {}, not {value}", text(low), text(high)))
    })
}

fn vmaf(path: &str, request: &StreamCheckRequest) -> Result<VmafLimits, BadRequest> {
    let field = |name: &str| format!("{path}.{name}");
    let least =
        |name: &str, value: Option<f64>| value.map(|value| tenths(&field(name), value, 0, 1_000)).transpose();
    let limits = VmafLimits {
        scope: VmafScope::Off,
        model: request.vmaf_model.unwrap_or_default(),
        mean_tenths: least("min_vmaf", request.min_vmaf)?,
        worst_tenths: least("min_vmaf_worst", request.min_vmaf_worst)?,
    };
    let asked =
        [("min_vmaf", limits.mean_tenths.is_some()), ("min_vmaf_worst", limits.worst_tenths.is_some())];
    let asked = asked.iter().find(|(_, given)| *given).map(|(name, _)| *name);
    let usual = if asked.is_some() { VmafScope::Sampled } else { VmafScope::Off };
    let scope = request.vmaf.unwrap_or(usual);
    let unused = asked.or(request.vmaf_model.map(|_| "vmaf_model")).filter(|_| scope == VmafScope::Off);
    if let Some(name) = unused {
        return Err(BadRequest::at(
            field(name),
            "no VMAF is measured; set vmaf = \"sampled\" or \"full\", or leave it out",
        ));
    }
    Ok(VmafLimits { scope, ..limits })
}

/// The limits of a set.
pub(super) fn of_stream(request: Option<&StreamCheckRequest>) -> Result<VmafLimits, BadRequest> {
    request.map_or(Ok(VmafLimits::default()), |request| vmaf("stream.check", request))
}

/// The same beside VMAF's; `has_sound` where the set has some.
pub(super) fn set_limits(
    request: Option<&StreamCheckRequest>,
    has_sound: bool,
) -> Result<SetLimits, BadRequest> {
    let Some(request) = request else { return Ok(SetLimits::default()) };
    let field = |name: &str| format!("stream.check.{name}");
    let whole = |name: &str, value: Option<i64>, low, high| {
        value.map(|value| ranged(&field(name), value, low, high)).transpose()
    };
    let of_sound = [
        ("av_sync_ms", request.av_sync_ms.is_some()),
        ("loudness", request.loudness.is_some()),
        ("loudness_tolerance", request.loudness_tolerance.is_some()),
        ("true_peak", request.true_peak.is_some()),
    ];
    if let Some((name, _)) = of_sound.iter().find(|(_, given)| *given && !has_sound) {
        return Err(BadRequest::at(field(name), "the set has no sound; leave it out"));
    }
    let tolerance = |value| tenths(&field("loudness_tolerance"), value, 1, 200);
    let tolerance_tenths = request.loudness_tolerance.map(tolerance).transpose()?;
    let loudness = match request.loudness {
        Some(lufs) => Some(LoudnessLimit {
            lufs_tenths: tenths(&field("loudness"), lufs, -700, 0)?,
            tolerance_tenths: tolerance_tenths.unwrap_or(TOLERANCE_TENTHS),
        }),
        None if tolerance_tenths.is_some() => {
            let message =
                "no loudness is asked for that the sound could be off; set stream.check.loudness as well";
            return Err(BadRequest::at(field("loudness_tolerance"), message));
        }
        None => None,
    };
    let true_peak = |peak| tenths(&field("true_peak"), peak, -200, 60);
    Ok(SetLimits {
        av_sync_ms: whole("av_sync_ms", request.av_sync_ms, 0, 60_000)?,
        segment_ms: whole("max_segment_ms", request.max_segment_ms, 1, 600_000)?,
        window_ms: whole("bitrate_window_ms", request.bitrate_window_ms, 100, 60_000)?,
        peak_percent: request
            .max_bitrate_percent
            .map(|percent| ranged(&field("max_bitrate_percent"), percent, 1, 1_000))
            .transpose()?,
        loudness,
        true_peak_tenths: request.true_peak.map(true_peak).transpose()?,
    })
}

/// The limits of an output with these settings.
pub(super) fn of_output(
    path: &str,
    request: Option<&CheckRequest>,
    settings: &EncodeSettings,
) -> Result<CheckLimits, BadRequest> {
    let Some(request) = request else { return Ok(CheckLimits::default()) };
    let path = format!("{path}.check");
    let field = |name: &str| format!("{path}.{name}");
    let ms = |name: &str, value: Option<i64>| value.map(|ms| ranged(&field(name), ms, 0, 60_000)).transpose();
    let picture = StreamCheckRequest {
        vmaf: request.vmaf,
        vmaf_model: request.vmaf_model,
        min_vmaf: request.min_vmaf,
        min_vmaf_worst: request.min_vmaf_worst,
        ..StreamCheckRequest::default()
    };
    let limits = CheckLimits {
        duration_ms: ms("duration_ms", request.duration_ms)?,
        av_sync_ms: ms("av_sync_ms", request.av_sync_ms)?,
        frames: request.frames.map(|frames| ranged(&field("frames"), frames, 0, 1_000_000)).transpose()?,
        peak: peak(&path, request)?,
        vmaf: vmaf(&path, &picture)?,
        loudness_tenths: request
            .loudness_tolerance
            .map(|tolerance| tenths(&field("loudness_tolerance"), tolerance, 1, 200))
            .transpose()?,
        true_peak_tenths: request
            .true_peak
            .map(|peak| tenths(&field("true_peak"), peak, -200, 60))
            .transpose()?,
    };
    let has = (settings.video.is_some(), settings.audio.is_some());
    let loudness = settings.audio.as_ref().is_some_and(|audio| audio.loudness.is_some());
    let vain = [
        (
            "av_sync_ms",
            limits.av_sync_ms.is_some() && has != (true, true),
            "the output does not have picture and sound",
        ),
        ("frames", limits.frames.is_some() && !has.0, "the output has no picture"),
        ("max_bitrate", limits.peak.is_some() && !has.0, "the output has no picture"),
        ("vmaf", limits.vmaf.scope != VmafScope::Off && !has.0, "the output has no picture"),
        (
            "loudness_tolerance",
            limits.loudness_tenths.is_some() && !loudness,
            "no loudness is asked for; set audio.loudness as well",
        ),
        ("true_peak", limits.true_peak_tenths.is_some() && !has.1, "the output has no sound"),
        (
            "max_bytes",
            request.max_bytes.is_some(),
            "is a limit of posters, thumbnails, sprites, previews and waveforms; of renditions set max_bitrate",
        ),
    ];
    match vain.iter().find(|(_, vain, _)| *vain) {
        Some((name, _, why)) => Err(BadRequest::at(field(name), *why)),
        None => Ok(limits),
    }
}

fn peak(path: &str, request: &CheckRequest) -> Result<Option<PeakLimit>, BadRequest> {
    let window = request.bitrate_window_ms;
    let Some(rate) = request.max_bitrate else {
        return match window {
            Some(_) => {
                let message = "bits are counted where max_bitrate is set; set it as well";
                Err(BadRequest::at(format!("{path}.bitrate_window_ms"), message))
            }
            None => Ok(None),
        };
    };
    let window = window.unwrap_or(BITRATE_WINDOW_MS);
    Ok(Some(PeakLimit {
        max_bps: ranged(&format!("{path}.max_bitrate"), rate.0, 10_000, 1_000_000_000)?,
        window_ms: ranged(&format!("{path}.bitrate_window_ms"), window, 100, 60_000)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{OutputRequest, Preset, Presets};

    fn read(check: &str) -> Result<CheckLimits, String> {
        let text = format!("[[outputs]]\n{check}");
        let preset = Preset::read("mine", &text).map_err(|bad| bad.to_string())?;
        preset.outputs[0].settings(&Presets::embedded()).map(|made| made.check).map_err(|bad| bad.to_string())
    }

    #[test]
    fn nothing_asked_for_is_the_usual_and_a_least_vmaf_has_it_measured() {
        assert!(read("").unwrap().are_usual());
        let limits = read("check = { min_vmaf = 92.5, max_bitrate = '6M', av_sync_ms = 5 }").unwrap();
        assert_eq!((limits.vmaf.scope, limits.vmaf.mean_tenths), (VmafScope::Sampled, Some(925)));
        assert_eq!(limits.peak, Some(PeakLimit { max_bps: 6_000_000, window_ms: 2_000 }));
        assert_eq!(limits.av_sync_ms, Some(5));
        let sound =
            read("audio = { loudness = -16 }\ncheck = { loudness_tolerance = 0.5, true_peak = -1 }").unwrap();
        assert_eq!((sound.loudness_tenths, sound.true_peak_tenths), (Some(5), Some(-10)));
    }

    #[test]
    fn limits_that_cannot_be_name_their_line() {
        for (check, expected) in [
            (
                "[outputs.check]\nmin_vmaf = 101",
                "line 3: outputs[0].check.min_vmaf: should be 0 to 100, not 101",
            ),
            (
                "[outputs.check]\nmin_vamf = 90",
                "line 3: outputs[0].check.min_vamf: there is no such field; did you mean 'min_vmaf'?",
            ),
            (
                "[outputs.check]\nvmaf = 'off'\nmin_vmaf = 90",
                "line 4: outputs[0].check.min_vmaf: no VMAF is measured",
            ),
            ("[outputs.check]\nvmaf = 'some'", "line 3: outputs[0].check.vmaf: "),
            ("video = false\ncheck = { vmaf = 'full' }", "the output has no picture"),
            ("check = { loudness_tolerance = 1 }", "no loudness is asked for"),
            ("check = { bitrate_window_ms = 500 }", "set it as well"),
            ("check = { duration_ms = -1 }", "should be 0 to 60000, not -1"),
            ("audio = false\ncheck = { true_peak = -1 }", "the output has no sound"),
            ("check = { true_peak = 6.5 }", "should be -20 to 6, not 6.5"),
            ("check = { min_vmaf = 1e300 }", "should be 0 to 100"),
        ] {
            let said = read(check).expect_err(check);
            assert!(said.contains(expected), "{check}\ngave: {said}\nexpected: {expected}");
        }
    }

    #[test]
    fn an_outputs_own_limits_go_before_those_of_its_preset() {
        let mut presets = Presets::embedded();
        presets
            .add(Preset::read("mine", "[[outputs]]\ncheck = { min_vmaf = 90, frames = 2 }").unwrap())
            .unwrap();
        let own: OutputRequest =
            serde_json::from_str(r#"{"preset": "mine", "check": {"min_vmaf": 80}}"#).unwrap();
        let check = own.settings(&presets).unwrap().check;
        assert_eq!((check.vmaf.mean_tenths, check.frames), (Some(800), Some(2)));
    }
}
