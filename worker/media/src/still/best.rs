//! Which of several frames shows most.
//!
//! The measure is the entropy of the picture's luma in bits: black, white and blank frames have next to none, a dark or
//! blurred one little, a picture full of detail and contrast up to 8. To it comes its sharpness, the mean difference of
//! neighbouring pixels, so that of two equally rich pictures the one that does not move wins.

use crate::canvas::Canvas;

/// What a picture shows, the more the better.
pub(super) fn score(picture: &Canvas) -> f64 {
    let (width, _) = picture.size();
    let luma: Vec<u8> = picture.pixels().chunks_exact(3).map(|p| luma(p[0], p[1], p[2])).collect();
    let mut histogram = [0u32; 256];
    for value in &luma {
        histogram[usize::from(*value)] += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "a picture has far fewer pixels than 2^52")]
    let pixels = luma.len().max(1) as f64;
    let shares = histogram.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / pixels);
    let entropy: f64 = shares.map(|share| -share * share.log2()).sum();
    let steps = luma.chunks_exact(width.max(1) as usize).flat_map(|row| row.windows(2));
    let sharpness: f64 = steps.map(|pair| f64::from(pair[0].abs_diff(pair[1]))).sum::<f64>() / pixels;
    // A step of 16 between all neighbours is as sharp as a picture gets; noise beyond that is none.
    entropy + (sharpness / 16.0).min(1.0)
}

/// ITU-R BT.709's weights, in 256ths.
fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let sum = 54 * u32::from(red) + 183 * u32::from(green) + 19 * u32::from(blue);
    u8::try_from(sum / 256).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_something_beats_a_blank_one() {
        let blank = Canvas::new(64, 36, [16, 16, 16]).unwrap();
        let mut drawn = blank.clone();
        for step in 0..8u8 {
            drawn.fill((u32::from(step) * 8, 0), (8, 36), [step * 30, 200, 255 - step * 30]);
        }
        assert!(score(&blank) < 0.01 && score(&drawn) > 2.0, "{} {}", score(&blank), score(&drawn));
    }
}
