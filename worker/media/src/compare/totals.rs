//! What all frames come to.

use std::collections::BTreeMap;

use rushes_shared::measure::{Comparison, Planes, WorstMoment};

use super::metric::{Likeness, psnr};

/// Worst moments that are told.
const WORST: usize = 5;
const SECOND_NS: u64 = 1_000_000_000;

/// Sums over frames.
#[derive(Debug, Default)]
pub(super) struct Totals {
    frames: u64,
    last_ns: u64,
    squares: [u64; 3],
    samples: [u64; 3],
    ssim: [f64; 3],
    /// Whether planes are large enough for an SSIM.
    has_ssim: [bool; 3],
    ssim_all: f64,
    psnr_min: Option<f64>,
    ssim_min: Option<f64>,
    /// The worst frame of each second.
    seconds: BTreeMap<u64, WorstMoment>,
    peak: u32,
    pub(super) missing: u64,
    pub(super) extra: u64,
}

impl Totals {
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    pub(super) fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Adds a frame: its time and its planes.
    pub(super) fn add(&mut self, at_ns: u64, planes: &[Likeness; 3], peak: u32) {
        self.frames += 1;
        self.last_ns = at_ns;
        self.peak = peak;
        for (number, plane) in planes.iter().enumerate() {
            self.squares[number] += plane.squares;
            self.samples[number] += plane.samples;
            self.ssim[number] += plane.ssim.unwrap_or(0.0);
            self.has_ssim[number] = plane.ssim.is_some();
        }
        let squares: u64 = planes.iter().map(|plane| plane.squares).sum();
        let samples = planes.iter().map(|plane| plane.samples).sum();
        let frame_psnr = psnr(squares, samples, peak);
        self.psnr_min = [self.psnr_min, frame_psnr].into_iter().flatten().reduce(f64::min);
        let Some(ssim) = together(planes) else { return };
        self.ssim_all += ssim;
        self.ssim_min = Some(self.ssim_min.map_or(ssim, |least| least.min(ssim)));
        if squares > 0 {
            let moment = WorstMoment { at_ns, psnr_db: frame_psnr, ssim };
            let worst = self.seconds.entry(at_ns / SECOND_NS).or_insert(moment);
            if ssim < worst.ssim {
                *worst = moment;
            }
        }
    }

    pub(super) fn result(&self, width: u32, height: u32, bit_depth: u8) -> Comparison {
        let plane = |number: usize| psnr(self.squares[number], self.samples[number], self.peak);
        #[expect(clippy::cast_precision_loss, reason = "frames of a film are far fewer than 2^52")]
        let frames = self.frames.max(1) as f64;
        let mean = |number: usize| self.has_ssim[number].then(|| self.ssim[number] / frames);
        let mut worst: Vec<WorstMoment> = self.seconds.values().copied().collect();
        worst.sort_by(|a, b| a.ssim.total_cmp(&b.ssim));
        worst.truncate(WORST);
        Comparison {
            frames: self.frames,
            frames_missing: self.missing,
            frames_extra: self.extra,
            width,
            height,
            bit_depth,
            psnr_db: Planes {
                y: plane(0),
                u: plane(1),
                v: plane(2),
                all: psnr(self.squares.iter().sum(), self.samples.iter().sum(), self.peak),
            },
            ssim: Planes {
                y: mean(0),
                u: mean(1),
                v: mean(2),
                all: self.ssim_min.map(|_| self.ssim_all / frames),
            },
            psnr_min_db: self.psnr_min,
            ssim_min: self.ssim_min,
            worst,
        }
    }
}

/// SSIM of all planes that have one, weighted by their samples.
fn together(planes: &[Likeness; 3]) -> Option<f64> {
    let measured = || planes.iter().filter_map(|plane| Some((plane.ssim?, plane.samples)));
    #[expect(clippy::cast_precision_loss, reason = "a plane has far fewer samples than 2^52")]
    let sums = measured().fold((0.0, 0.0), |(sum, weight), (ssim, samples)| {
        (sum + ssim * samples as f64, weight + samples as f64)
    });
    (sums.1 > 0.0).then(|| sums.0 / sums.1)
}
