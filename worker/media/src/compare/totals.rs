//! What all frames come to.

use std::collections::BTreeMap;

use rushes_shared::measure::{Comparison, Planes, WorstMoment};

use super::metric::{Likeness, psnr};
use crate::vmaf::Scored;

/// Worst moments that are told.
const WORST: usize = 5;
const SECOND_NS: u64 = 1_000_000_000;

/// Sums over frames.
#[derive(Debug, Default)]
pub(super) struct Totals {
    measured: u64,
    squares: [u64; 3],
    samples: [u64; 3],
    ssim: [f64; 3],
    /// Whether planes are large enough for an SSIM.
    has_ssim: [bool; 3],
    ssim_all: f64,
    psnr_min: Option<f64>,
    ssim_min: Option<f64>,
    /// Frames whose VMAF is not known yet, by their time; no more than a span of them.
    waiting: BTreeMap<u64, WorstMoment>,
    /// The worst frame of each second.
    seconds: BTreeMap<u64, WorstMoment>,
    peak: u32,
}

impl Totals {
    /// Adds a frame that was measured: its time, and its planes where they were compared. Its VMAF may follow.
    pub(super) fn add(&mut self, at_ns: u64, planes: Option<&[Likeness; 3]>, peak: u32, vmaf_follows: bool) {
        self.measured += 1;
        self.peak = peak;
        let moment = match planes {
            Some(planes) => self.likeness(at_ns, planes),
            None => Some(WorstMoment { at_ns, ..WorstMoment::default() }),
        };
        match moment {
            Some(moment) if vmaf_follows => drop(self.waiting.insert(at_ns, moment)),
            Some(moment) => self.keep(moment),
            None => {}
        }
    }

    /// Adds planes; what the frame is as a moment, unless it is the same.
    fn likeness(&mut self, at_ns: u64, planes: &[Likeness; 3]) -> Option<WorstMoment> {
        for (number, plane) in planes.iter().enumerate() {
            self.squares[number] += plane.squares;
            self.samples[number] += plane.samples;
            self.ssim[number] += plane.ssim.unwrap_or(0.0);
            self.has_ssim[number] = plane.ssim.is_some();
        }
        let squares: u64 = planes.iter().map(|plane| plane.squares).sum();
        let samples = planes.iter().map(|plane| plane.samples).sum();
        let frame_psnr = psnr(squares, samples, self.peak);
        self.psnr_min = [self.psnr_min, frame_psnr].into_iter().flatten().reduce(f64::min);
        let ssim = together(planes);
        self.ssim_all += ssim.unwrap_or(0.0);
        self.ssim_min = [self.ssim_min, ssim].into_iter().flatten().reduce(f64::min);
        (squares > 0).then_some(WorstMoment { at_ns, psnr_db: frame_psnr, ssim, vmaf: None })
    }

    /// Adds scores that have become known.
    pub(super) fn score(&mut self, scored: &[Scored]) {
        for (at_ns, score) in scored {
            if let Some(moment) = self.waiting.remove(at_ns) {
                self.keep(WorstMoment { vmaf: Some(*score), ..moment });
            }
        }
    }

    fn keep(&mut self, moment: WorstMoment) {
        let Some(value) = value(&moment) else { return };
        let worst = self.seconds.entry(moment.at_ns / SECOND_NS).or_insert(moment);
        if self::value(worst).is_some_and(|worst| value < worst) {
            *worst = moment;
        }
    }

    /// What they come to; what is known of the films as a whole is left to others.
    pub(super) fn result(&self) -> Comparison {
        let plane = |number: usize| psnr(self.squares[number], self.samples[number], self.peak);
        #[expect(clippy::cast_precision_loss, reason = "frames of a film are far fewer than 2^52")]
        let frames = self.measured.max(1) as f64;
        let mean = |number: usize| self.has_ssim[number].then(|| self.ssim[number] / frames);
        let mut worst: Vec<WorstMoment> = self.seconds.values().copied().collect();
        worst.sort_by(|a, b| value(a).unwrap_or(0.0).total_cmp(&value(b).unwrap_or(0.0)));
        worst.truncate(WORST);
        Comparison {
            measured: self.measured,
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
            ..Comparison::default()
        }
    }
}

/// What moments are held against each other by.
fn value(moment: &WorstMoment) -> Option<f64> {
    moment.vmaf.or(moment.ssim)
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
