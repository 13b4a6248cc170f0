//! Scene-linear light to the code values of screens: the curve of sRGB (IEC 61966-2-1), in 12 bits.
//!
//! A table over the upper bits of the number's own form: each step is a 4096th of the value, finer than a code.

use std::sync::OnceLock;

/// White.
pub(super) const WHITE: u16 = 4095;

/// Bits of a number that are not looked at.
const BELOW: u32 = 11;

static TABLE: OnceLock<Vec<u16>> = OnceLock::new();

/// The curve, ready for use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Curve(&'static [u16]);

impl Curve {
    pub(super) fn new() -> Self {
        Self(TABLE.get_or_init(|| {
            let steps = 0..=1.0_f32.to_bits() >> BELOW;
            steps.map(|step| coded(f32::from_bits(step << BELOW | 1 << (BELOW - 1)))).collect()
        }))
    }

    /// The code of a light. What is below black, or no number, is black; what is above 1 is white.
    pub(super) fn code(self, light: f32) -> u16 {
        if light >= 1.0 {
            return WHITE;
        }
        if light > 0.0 {
            let step = usize::try_from(light.to_bits() >> BELOW).unwrap_or(0);
            return self.0.get(step).copied().unwrap_or(WHITE);
        }
        0
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the code is clamped to 0 to 4095"
)]
fn coded(light: f32) -> u16 {
    let code = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
    (code.clamp(0.0, 1.0) * f32::from(WHITE) + 0.5) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_that_of_srgb_and_never_leaves_its_range() {
        let curve = Curve::new();
        assert_eq!((curve.code(0.0), curve.code(1.0), curve.code(7.5)), (0, WHITE, WHITE));
        assert_eq!((curve.code(-1.0), curve.code(f32::NAN), curve.code(f32::INFINITY)), (0, 0, WHITE));
        // Middle grey: 0.18 is 0.4614 of the range.
        assert_eq!(curve.code(0.18), 1889);
        let mut light = 1e-6_f32;
        while light < 1.0 {
            assert!(curve.code(light).abs_diff(coded(light)) <= 1, "{light}");
            light *= 1.001;
        }
    }
}
