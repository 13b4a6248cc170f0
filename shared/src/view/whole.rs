//! Whole numbers of request bodies: one that does not fit is told with its range, not with a type of this program.

use serde::{Deserialize, Deserializer, de};

/// Reads a whole number from `LEAST` to `MOST`, or nothing.
///
/// # Errors
/// The deserializer's own; its range for a number out of it or with a fraction.
pub(super) fn within<'de, D, T, const LEAST: u32, const MOST: u32>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u32>,
{
    // Every u32 is exact in an f64, and what is too large for any whole number is still a number there.
    let Some(number) = Option::<f64>::deserialize(from)? else { return Ok(None) };
    let fits = number.fract() == 0.0 && (f64::from(LEAST)..=f64::from(MOST)).contains(&number);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a whole number within u32"
    )]
    let whole = fits.then(|| T::try_from(number as u32).ok()).flatten();
    match whole {
        Some(whole) => Ok(Some(whole)),
        None if number.abs() < 1e15 => Err(de::Error::custom(format_args!(
            "should be a whole number from {LEAST} to {MOST}, not {number}"
        ))),
        None => Err(de::Error::custom(format_args!(
            "should be a whole number from {LEAST} to {MOST}, not {number:?}"
        ))),
    }
}
