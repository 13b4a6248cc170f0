//! How a quality floor becomes bytes: what may be given up are the bits of one byte, of which the first floors knew the
//! lowest alone, as a truth. In text it is what people write.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::QualityFloor;
use crate::encode::SpeedPreset;

const DROP_OPTIONAL: u8 = 1;
const ONE_PASS: u8 = 2;

#[derive(Serialize, Deserialize)]
struct Coded {
    fastest_preset: Option<SpeedPreset>,
    may: u8,
    min_height: Option<u32>,
}

pub(super) fn serialize<S: Serializer>(floor: &QualityFloor, s: S) -> Result<S::Ok, S::Error> {
    if s.is_human_readable() {
        return floor.serialize(s);
    }
    let bit = |may: bool, bit: u8| if may { bit } else { 0 };
    let may = bit(floor.drop_optional, DROP_OPTIONAL) | bit(floor.one_pass, ONE_PASS);
    Coded { fastest_preset: floor.fastest_preset, may, min_height: floor.min_height }.serialize(s)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<QualityFloor, D::Error> {
    if d.is_human_readable() {
        return QualityFloor::deserialize(d);
    }
    let Coded { fastest_preset, may, min_height } = Coded::deserialize(d)?;
    if may > DROP_OPTIONAL | ONE_PASS {
        let message = format!("a floor allows what no program knows of: {may}");
        return Err(serde::de::Error::custom(message));
    }
    let has = |bit: u8| may & bit != 0;
    Ok(QualityFloor {
        fastest_preset,
        drop_optional: has(DROP_OPTIONAL),
        min_height,
        one_pass: has(ONE_PASS),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{JobSpec, Work};
    use super::*;
    use crate::codec;

    #[test]
    fn a_floor_comes_back_and_an_unknown_one_is_refused() {
        for (drop_optional, one_pass) in [(false, false), (true, false), (false, true), (true, true)] {
            let fastest_preset = Some(SpeedPreset::Faster);
            let floor = QualityFloor { fastest_preset, drop_optional, min_height: Some(720), one_pass };
            let spec = JobSpec { floor, ..JobSpec::of(Work::Noop { tasks: 1 }) };
            let bytes = codec::encode(&spec).unwrap();
            assert_eq!(codec::decode::<JobSpec>(&bytes).unwrap(), spec);
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<JobSpec>(&text).unwrap(), spec, "{text}");
            let may = u8::from(drop_optional) | u8::from(one_pass) << 1;
            let at = bytes.windows(2).position(|pair| pair == [SpeedPreset::Faster as u8, may]).unwrap() + 1;
            let unknown = [&bytes[..at], &[4], &bytes[at + 1..]].concat();
            assert!(codec::decode::<JobSpec>(&unknown).is_err());
        }
    }
}
