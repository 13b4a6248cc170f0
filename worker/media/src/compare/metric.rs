//! PSNR and SSIM of two planes.
//!
//! SSIM is Wang, Bovik, Sheikh and Simoncelli's index (IEEE Transactions on Image Processing 13(4), 2004) over windows of
//! 8x8 samples that overlap by half, unweighted, with sample variances. K1 and K2 are 0.01 and 0.03; the first constant is
//! a 64th of the paper's, as in x264 and FFmpeg, so that values can be held against theirs.

use crate::plane::Plane;

/// A row's samples, if the plane has them.
fn samples(plane: &Plane<'_>, line: usize, into: &mut Vec<u32>) -> Option<()> {
    into.clear();
    let row = plane.row(line)?;
    match plane.bytes {
        1 => into.extend(row.iter().map(|sample| u32::from(*sample))),
        _ => into.extend(row.chunks_exact(2).map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]])))),
    }
    Some(())
}

/// What two planes are to each other.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Likeness {
    /// Sum of squared differences.
    pub(super) squares: u64,
    /// Samples.
    pub(super) samples: u64,
    /// Mean SSIM; `None` below 8x8 samples.
    pub(super) ssim: Option<f64>,
}

/// Sums over a block of 4x4 samples: of each plane, of all squares, of products.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    a: u32,
    b: u32,
    squares: u64,
    products: u64,
}

const BLOCK: usize = 4;

/// Compares two planes of one size, with samples up to `peak`. `None` where a plane is shorter than it says.
pub(super) fn likeness(a: &Plane<'_>, b: &Plane<'_>, peak: u32) -> Option<Likeness> {
    let (mut row_a, mut row_b) = (Vec::with_capacity(a.width), Vec::with_capacity(a.width));
    let blocks = a.width / BLOCK;
    let (mut above, mut open) = (Vec::<Block>::new(), vec![Block::default(); blocks]);
    let (mut squares, mut ssim, mut windows) = (0u64, 0.0, 0u32);
    for line in 0..a.height {
        samples(a, line, &mut row_a)?;
        samples(b, line, &mut row_b)?;
        squares += row_a.iter().zip(&row_b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum::<u64>();
        for (block, (a, b)) in open.iter_mut().zip(row_a.chunks_exact(BLOCK).zip(row_b.chunks_exact(BLOCK))) {
            for (a, b) in a.iter().zip(b) {
                block.a += a;
                block.b += b;
                block.squares += u64::from(a * a) + u64::from(b * b);
                block.products += u64::from(a * b);
            }
        }
        if line % BLOCK == BLOCK - 1 {
            for (upper, lower) in above.windows(2).zip(open.windows(2)) {
                ssim += window([upper[0], upper[1], lower[0], lower[1]], peak);
                windows += 1;
            }
            above = std::mem::replace(&mut open, vec![Block::default(); blocks]);
        }
    }
    let samples = u64::try_from(a.width * a.height).unwrap_or(u64::MAX);
    let ssim = (windows > 0).then(|| ssim / f64::from(windows));
    Some(Likeness { squares, samples, ssim })
}

/// SSIM of a window of 64 samples, from its four blocks.
#[expect(clippy::cast_precision_loss, reason = "sums of 64 samples of 16 bits are exact")]
fn window(blocks: [Block; 4], peak: u32) -> f64 {
    const SAMPLES: f64 = 64.0;
    let sum = |of: &dyn Fn(&Block) -> u64| blocks.iter().map(of).sum::<u64>() as f64;
    let (a, b) = (sum(&|block| u64::from(block.a)) / SAMPLES, sum(&|block| u64::from(block.b)) / SAMPLES);
    let spread = (sum(&|block| block.squares) - SAMPLES * (a * a + b * b)) / (SAMPLES - 1.0);
    let shared = (sum(&|block| block.products) - SAMPLES * a * b) / (SAMPLES - 1.0);
    let peak = f64::from(peak);
    let (c1, c2) = ((0.01 * peak).powi(2) / SAMPLES, (0.03 * peak).powi(2));
    ((2.0 * a * b + c1) * (2.0 * shared + c2)) / ((a * a + b * b + c1) * (spread + c2))
}

/// PSNR in dB of so many squared differences; `None` where there are none.
pub(super) fn psnr(squares: u64, samples: u64, peak: u32) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a logarithm of it is taken")]
    let mean = squares as f64 / samples.max(1) as f64;
    (squares > 0).then(|| 10.0 * (f64::from(peak).powi(2) / mean).log10())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(data: &[u8]) -> Plane<'_> {
        Plane { data, stride: 16, width: 16, height: data.len() / 16, bytes: 1 }
    }

    #[test]
    fn the_same_is_1_and_a_constant_difference_has_its_own_psnr() {
        let first: Vec<u8> = (0..=255).collect();
        let same = likeness(&plane(&first), &plane(&first), 255).unwrap();
        assert_eq!((same.squares, same.samples, psnr(same.squares, same.samples, 255)), (0, 256, None));
        assert!((same.ssim.unwrap() - 1.0).abs() < 1e-9);
        let second: Vec<u8> = first.iter().map(|v| v ^ 1).collect();
        let other = likeness(&plane(&first), &plane(&second), 255).unwrap();
        // A mean square of 1 is 48.13 dB on 8 bits.
        assert!((psnr(other.squares, other.samples, 255).unwrap() - 48.1308).abs() < 1e-3);
        assert!(other.ssim.unwrap() < 1.0);
    }

    #[test]
    fn ten_bits_are_read_in_pairs_and_a_short_plane_is_refused() {
        let wide: Vec<u8> = (0..64u16).flat_map(|v| (v * 16).to_le_bytes()).collect();
        let plane = Plane { data: &wide, stride: 16, width: 8, height: 8, bytes: 2 };
        let found = likeness(&plane, &plane, 1023).unwrap();
        assert_eq!((found.squares, found.samples), (0, 64));
        let short = Plane { height: 9, ..plane };
        assert_eq!(likeness(&short, &plane, 1023), None);
        let small = Plane { width: 4, ..plane };
        assert_eq!(likeness(&small, &small, 1023).unwrap().ssim, None);
    }
}
