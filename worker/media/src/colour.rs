//! Colour descriptions between GStreamer's numbers and the names of ITU-T H.273 that facts carry.
//!
//! GStreamer guesses a description for video that has none; the farm never writes a guess into an output. Facts take
//! only what the stream itself says, and encodes are tagged from the facts.

use gstreamer_video as video;
use rushes_shared::media::{Colour, Hdr};
use video::{VideoColorMatrix as Matrix, VideoColorPrimaries as Primaries, VideoColorRange as Range};
use video::{VideoColorimetry, VideoTransferFunction as Transfer};

/// Matrix coefficients: GStreamer's value, FFmpeg's name, H.273 code point.
const MATRICES: &[(Matrix, &str, u16)] = &[
    (Matrix::Rgb, "gbr", 0),
    (Matrix::Bt709, "bt709", 1),
    (Matrix::Fcc, "fcc", 4),
    (Matrix::Bt601, "smpte170m", 6),
    (Matrix::Bt601, "bt470bg", 5),
    (Matrix::Smpte240m, "smpte240m", 7),
    (Matrix::Bt2020, "bt2020nc", 9),
];

/// Transfer characteristics, the same way.
const TRANSFERS: &[(Transfer, &str, u16)] = &[
    (Transfer::Bt709, "bt709", 1),
    (Transfer::Gamma22, "bt470m", 4),
    (Transfer::Gamma28, "bt470bg", 5),
    (Transfer::Bt601, "smpte170m", 6),
    (Transfer::Smpte240m, "smpte240m", 7),
    (Transfer::Gamma10, "linear", 8),
    (Transfer::Log100, "log100", 9),
    (Transfer::Log316, "log316", 10),
    (Transfer::Srgb, "iec61966-2-1", 13),
    (Transfer::Bt202010, "bt2020-10", 14),
    (Transfer::Bt202012, "bt2020-12", 15),
    (Transfer::Smpte2084, "smpte2084", 16),
    (Transfer::AribStdB67, "arib-std-b67", 18),
];

/// Primaries, the same way.
const PRIMARIES: &[(Primaries, &str, u16)] = &[
    (Primaries::Bt709, "bt709", 1),
    (Primaries::Bt470m, "bt470m", 4),
    (Primaries::Bt470bg, "bt470bg", 5),
    (Primaries::Smpte170m, "smpte170m", 6),
    (Primaries::Smpte240m, "smpte240m", 7),
    (Primaries::Film, "film", 8),
    (Primaries::Bt2020, "bt2020", 9),
    (Primaries::Smptest428, "smpte428", 10),
    (Primaries::Smpterp431, "smpte431", 11),
    (Primaries::Smpteeg432, "smpte432", 12),
];

/// H.273's code point for "not specified".
const UNSPECIFIED: u16 = 2;

/// The facts behind caps' `colorimetry` field.
pub(crate) fn from_caps(text: &str) -> Colour {
    let Ok(info) = text.parse::<VideoColorimetry>() else { return Colour::default() };
    Colour {
        matrix: name(MATRICES, info.matrix()),
        transfer: name(TRANSFERS, info.transfer()),
        primaries: name(PRIMARIES, info.primaries()),
        range: match info.range() {
            Range::Range0_255 => "pc",
            Range::Range16_235 => "tv",
            _ => "",
        }
        .to_owned(),
    }
}

/// The dynamic range that a transfer stands for.
pub(crate) fn hdr(colour: &Colour) -> Hdr {
    match colour.transfer.as_str() {
        "smpte2084" => Hdr::Pq,
        "arib-std-b67" => Hdr::Hlg,
        _ => Hdr::Sdr,
    }
}

/// The caps' `colorimetry` field for a description, or nothing where it has no matrix: GStreamer refuses YUV without
/// one and guesses instead.
pub(crate) fn to_caps(colour: &Colour) -> Option<String> {
    let matrix = value(MATRICES, &colour.matrix)?;
    let range = if colour.range == "pc" { Range::Range0_255 } else { Range::Range16_235 };
    let transfer = value(TRANSFERS, &colour.transfer).unwrap_or(Transfer::Unknown);
    let primaries = value(PRIMARIES, &colour.primaries).unwrap_or(Primaries::Unknown);
    Some(VideoColorimetry::new(range, matrix, transfer, primaries).to_string())
}

/// The description as x264's options, unspecified parts included.
pub(crate) fn to_x264(colour: &Colour) -> String {
    let known = |found: bool, name: &str| if found { name.to_owned() } else { "undef".to_owned() };
    format!(
        "colormatrix={}:transfer={}:colorprim={}:fullrange={}",
        known(value(MATRICES, &colour.matrix).is_some(), &colour.matrix),
        known(value(TRANSFERS, &colour.transfer).is_some(), &colour.transfer),
        known(value(PRIMARIES, &colour.primaries).is_some(), &colour.primaries),
        if colour.range == "pc" { "on" } else { "off" },
    )
}

/// The same as x265's options; what is not known is left out.
pub(crate) fn to_x265(colour: &Colour) -> String {
    let mut options = vec![format!("range={}", if colour.range == "pc" { "full" } else { "limited" })];
    let parts = [
        ("colorprim", value(PRIMARIES, &colour.primaries).is_some(), &colour.primaries),
        ("transfer", value(TRANSFERS, &colour.transfer).is_some(), &colour.transfer),
        ("colormatrix", value(MATRICES, &colour.matrix).is_some(), &colour.matrix),
    ];
    options.extend(
        parts.iter().filter(|(_, known, _)| *known).map(|(option, _, name)| format!("{option}={name}")),
    );
    options.join(":")
}

/// The code points of primaries, transfer and matrix, and the full-range flag, as an `nclx` box holds them.
pub(crate) fn code_points(colour: &Colour) -> ([u16; 3], bool) {
    let points = [
        point(PRIMARIES, &colour.primaries),
        point(TRANSFERS, &colour.transfer),
        point(MATRICES, &colour.matrix),
    ];
    (points, colour.range == "pc")
}

fn name<T: PartialEq + Copy>(table: &[(T, &str, u16)], value: T) -> String {
    table.iter().find(|row| row.0 == value).map_or_else(String::new, |row| row.1.to_owned())
}

fn value<T: Copy>(table: &[(T, &str, u16)], name: &str) -> Option<T> {
    table.iter().find(|row| row.1 == name).map(|row| row.0)
}

fn point<T: Copy>(table: &[(T, &str, u16)], name: &str) -> u16 {
    table.iter().find(|row| row.1 == name).map_or(UNSPECIFIED, |row| row.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_survives_the_way_through_caps() {
        gstreamer::init().unwrap();
        for (transfer, matrix, primaries) in [
            ("bt709", "bt709", "bt709"),
            ("smpte2084", "bt2020nc", "bt2020"),
            ("smpte170m", "smpte170m", "smpte170m"),
            ("", "bt709", ""),
        ] {
            for range in ["tv", "pc"] {
                let colour = Colour {
                    matrix: matrix.into(),
                    transfer: transfer.into(),
                    primaries: primaries.into(),
                    range: range.into(),
                };
                assert_eq!(from_caps(&to_caps(&colour).unwrap()), colour);
            }
        }
    }

    #[test]
    fn what_is_not_specified_stays_so() {
        assert_eq!(to_caps(&Colour::default()), None);
        assert_eq!(code_points(&Colour::default()), ([2, 2, 2], false));
        let options = to_x264(&Colour { matrix: "bt709".into(), ..Colour::default() });
        assert_eq!(options, "colormatrix=bt709:transfer=undef:colorprim=undef:fullrange=off");
    }
}
