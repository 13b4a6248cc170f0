//! How settings of a ladder become bytes.
//!
//! The first ladders ended with their VMAF limits, and what they say is still written so. What came later stands behind a
//! number that the scope of those limits, the first of them, never had. In text everything has its name.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Borders, CodecLadder, Grid, LadderRate, LadderSettings, SetLimits};
use crate::encode::{SpeedPreset, VideoCodec, VmafLimits, VmafScope};
use crate::measure::VmafModel;

#[derive(Serialize, Deserialize)]
struct Coded {
    grid: Grid,
    crf: u8,
    preset: SpeedPreset,
    max_height: Option<u32>,
    sound_bps: Option<u32>,
    decode: bool,
    codec: VideoCodec,
    more: Vec<CodecLadder>,
    more_sounds: Vec<u32>,
    end: End,
}

/// In bytes, the variant's number is where the first form had that of its scope.
#[derive(Serialize, Deserialize)]
enum End {
    Off(Limits),
    Sampled(Limits),
    Full(Limits),
    /// Chunks that begin elsewhere than on the grid.
    Placed(VmafLimits, Borders),
    /// Limits of the set beside VMAF's.
    Limited(VmafLimits, Borders, SetLimits),
    /// Another rate than a factor.
    Rated(VmafLimits, Borders, SetLimits, LadderRate),
}

/// The limits behind their scope.
#[derive(Serialize, Deserialize)]
struct Limits {
    model: VmafModel,
    mean_tenths: Option<u16>,
    worst_tenths: Option<u16>,
}

#[derive(Serialize, Deserialize)]
struct Text {
    grid: Grid,
    crf: u8,
    preset: SpeedPreset,
    max_height: Option<u32>,
    sound_bps: Option<u32>,
    decode: bool,
    codec: VideoCodec,
    more: Vec<CodecLadder>,
    more_sounds: Vec<u32>,
    vmaf: VmafLimits,
    #[serde(default, skip_serializing_if = "is_grid")]
    borders: Borders,
    #[serde(default, skip_serializing_if = "SetLimits::are_usual")]
    limits: SetLimits,
    #[serde(default, skip_serializing_if = "is_factor")]
    rate: LadderRate,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_grid(borders: &Borders) -> bool {
    *borders == Borders::Grid
}

fn is_factor(rate: &LadderRate) -> bool {
    *rate == LadderRate::Factor
}

impl End {
    fn of(vmaf: VmafLimits, borders: Borders, set: SetLimits, rate: LadderRate) -> Self {
        if rate != LadderRate::Factor {
            return Self::Rated(vmaf, borders, set, rate);
        }
        if !set.are_usual() {
            return Self::Limited(vmaf, borders, set);
        }
        let VmafLimits { scope, model, mean_tenths, worst_tenths } = vmaf;
        let limits = Limits { model, mean_tenths, worst_tenths };
        match (borders, scope) {
            (Borders::Scenes, _) => Self::Placed(vmaf, borders),
            (Borders::Grid, VmafScope::Off) => Self::Off(limits),
            (Borders::Grid, VmafScope::Sampled) => Self::Sampled(limits),
            (Borders::Grid, VmafScope::Full) => Self::Full(limits),
        }
    }

    fn read(self) -> (VmafLimits, Borders, SetLimits, LadderRate) {
        let rate = LadderRate::Factor;
        let (scope, limits) = match self {
            Self::Off(limits) => (VmafScope::Off, limits),
            Self::Sampled(limits) => (VmafScope::Sampled, limits),
            Self::Full(limits) => (VmafScope::Full, limits),
            Self::Placed(vmaf, borders) => return (vmaf, borders, SetLimits::default(), rate),
            Self::Limited(vmaf, borders, set) => return (vmaf, borders, set, rate),
            Self::Rated(vmaf, borders, set, rate) => return (vmaf, borders, set, rate),
        };
        let Limits { model, mean_tenths, worst_tenths } = limits;
        (VmafLimits { scope, model, mean_tenths, worst_tenths }, Borders::Grid, SetLimits::default(), rate)
    }
}

impl LadderSettings {
    /// Whether programs that know the first form of these settings only understand them.
    #[must_use]
    pub fn have_first_form(&self) -> bool {
        self.borders == Borders::Grid && self.limits.are_usual() && self.rate == LadderRate::Factor
    }
}

impl Serialize for LadderSettings {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Self {
            grid,
            crf,
            preset,
            max_height,
            sound_bps,
            decode,
            codec,
            more,
            more_sounds,
            vmaf,
            borders,
            limits,
            rate,
        } = self.clone();
        if s.is_human_readable() {
            let text = Text {
                grid,
                crf,
                preset,
                max_height,
                sound_bps,
                decode,
                codec,
                more,
                more_sounds,
                vmaf,
                borders,
                limits,
                rate,
            };
            return text.serialize(s);
        }
        let end = End::of(vmaf, borders, limits, rate);
        Coded { grid, crf, preset, max_height, sound_bps, decode, codec, more, more_sounds, end }.serialize(s)
    }
}

impl<'de> Deserialize<'de> for LadderSettings {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let Text {
                grid,
                crf,
                preset,
                max_height,
                sound_bps,
                decode,
                codec,
                more,
                more_sounds,
                vmaf,
                borders,
                limits,
                rate,
            } = Text::deserialize(d)?;
            return Ok(Self {
                grid,
                crf,
                preset,
                max_height,
                sound_bps,
                decode,
                codec,
                more,
                more_sounds,
                vmaf,
                borders,
                limits,
                rate,
            });
        }
        let Coded { grid, crf, preset, max_height, sound_bps, decode, codec, more, more_sounds, end } =
            Coded::deserialize(d)?;
        let (vmaf, borders, limits, rate) = end.read();
        Ok(Self {
            grid,
            crf,
            preset,
            max_height,
            sound_bps,
            decode,
            codec,
            more,
            more_sounds,
            vmaf,
            borders,
            limits,
            rate,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn settings_come_back_and_those_of_the_first_form_are_told_from_later_ones() {
        for scope in [VmafScope::Off, VmafScope::Sampled, VmafScope::Full] {
            for borders in [Borders::Grid, Borders::Scenes] {
                let vmaf = VmafLimits { scope, mean_tenths: Some(900), ..VmafLimits::default() };
                let settings = LadderSettings { vmaf, borders, ..LadderSettings::default() };
                let bytes = codec::encode(&settings).unwrap();
                assert_eq!(codec::decode::<LadderSettings>(&bytes).unwrap(), settings);
                let of_vmaf = codec::encode(&vmaf).unwrap();
                assert_eq!(bytes.ends_with(&of_vmaf), settings.have_first_form());
                let text = serde_json::to_string(&settings).unwrap();
                assert_eq!(serde_json::from_str::<LadderSettings>(&text).unwrap(), settings, "{text}");
                assert_eq!(text.contains("borders"), !settings.have_first_form());
                let limits = SetLimits { segment_ms: Some(7_000), ..SetLimits::default() };
                let limited = LadderSettings { limits, ..settings.clone() };
                assert!(!limited.have_first_form());
                let bytes = codec::encode(&limited).unwrap();
                assert_eq!(codec::decode::<LadderSettings>(&bytes).unwrap(), limited);
                let text = serde_json::to_string(&limited).unwrap();
                assert_eq!(serde_json::from_str::<LadderSettings>(&text).unwrap(), limited, "{text}");
                let rate = LadderRate::Mean { top_bps: Some(4_000_000) };
                for rated in [LadderSettings { rate, ..limited }, LadderSettings { rate, ..settings.clone() }]
                {
                    assert!(!rated.have_first_form());
                    let bytes = codec::encode(&rated).unwrap();
                    assert_eq!(codec::decode::<LadderSettings>(&bytes).unwrap(), rated);
                    let text = serde_json::to_string(&rated).unwrap();
                    assert_eq!(serde_json::from_str::<LadderSettings>(&text).unwrap(), rated, "{text}");
                }
            }
        }
    }
}
