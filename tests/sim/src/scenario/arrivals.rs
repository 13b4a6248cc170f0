//! When uploads come: a Poisson process whose rate may follow the day and jump in flash crowds, or moments from a trace.

use serde::Deserialize;

use super::ScenarioError;
use super::bounds::{MAX_HOURS, MAX_S, MAX_UPLOADS, positive, share, within};
use crate::agenda::At;
use crate::chance::Chance;

/// Heaviest load, as a multiple of what the farm's cores can do.
const MAX_LOAD: f64 = 1_000.0;
/// Largest crowd, as a multiple of the mean rate.
const MAX_TIMES: f64 = 10_000.0;

/// When uploads come.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrivals {
    /// Uploads an hour on average, before flash crowds.
    pub per_hour: Option<f64>,
    /// Instead of `per_hour`: the work that arrives, as a share of what the farm's cores can do.
    pub load: Option<f64>,
    /// How far the rate swings around its mean over the day: 0 not at all, 1 from nothing to twice the mean.
    #[serde(default)]
    pub swing: f64,
    /// The hour of the day with the highest rate.
    #[serde(default = "evening")]
    pub peak_hour: f64,
    /// Crowds on top of it.
    #[serde(default)]
    pub flash: Vec<Flash>,
    /// Uploads that come together at the very start.
    #[serde(default)]
    pub at_once: u32,
    /// Moments in seconds, instead of a rate.
    #[serde(default)]
    pub at_s: Vec<f64>,
    /// A file with such moments, one a line, in any order; empty lines and what follows a `#` do not count.
    pub trace: Option<String>,
}

fn evening() -> f64 {
    20.0
}

/// A crowd that comes at once and goes again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flash {
    /// When it comes, in hours from the start.
    pub at_hour: f64,
    /// How long it stays, in hours.
    pub hours: f64,
    /// The rate meanwhile, as a multiple of the mean.
    pub times: f64,
}

impl Arrivals {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        let ways = [self.per_hour.is_some(), self.load.is_some(), !self.at_s.is_empty(), self.at_once > 0];
        if !ways.contains(&true) {
            let reason = "say per_hour, load, at_once, at_s or trace: without one of them nothing arrives";
            return Err(ScenarioError::field("arrivals", reason));
        }
        if self.per_hour.is_some() && self.load.is_some() {
            return Err(ScenarioError::field("arrivals", "say per_hour or load, not both"));
        }
        self.per_hour
            .map_or(Ok(()), |rate| within("arrivals.per_hour", rate, 0.0..=f64::from(MAX_UPLOADS)))?;
        self.load.map_or(Ok(()), |load| positive("arrivals.load", load, MAX_LOAD))?;
        share("arrivals.swing", self.swing)?;
        within("arrivals.peak_hour", self.peak_hour, 0.0..=24.0)?;
        within("arrivals.at_once", self.at_once, 0..=MAX_UPLOADS)?;
        for flash in &self.flash {
            within("arrivals.flash.at_hour", flash.at_hour, 0.0..=MAX_HOURS)?;
            positive("arrivals.flash.hours", flash.hours, MAX_HOURS)?;
            positive("arrivals.flash.times", flash.times, MAX_TIMES)?;
        }
        within("the number of moments of arrivals.at_s", self.at_s.len(), 0..=MAX_UPLOADS as usize)?;
        self.at_s.iter().try_for_each(|s| within("arrivals.at_s", *s, 0.0..=MAX_S))
    }

    /// The rate at an hour, as a multiple of the mean.
    fn factor(&self, hour: f64) -> f64 {
        let angle = (hour - self.peak_hour) / 24.0 * 2.0 * std::f64::consts::PI;
        let crowds = self.flash.iter().filter(|f| (f.at_hour..f.at_hour + f.hours).contains(&hour));
        let crowd = crowds.map(|f| f.times - 1.0).sum::<f64>();
        (1.0 + self.swing * libm::cos(angle) + crowd).max(0.0)
    }

    pub(super) fn highest_factor(&self) -> f64 {
        1.0 + self.swing + self.flash.iter().map(|f| (f.times - 1.0).max(0.0)).sum::<f64>()
    }
}

/// The moments, one after another.
#[derive(Debug)]
pub(crate) struct Moments {
    arrivals: Arrivals,
    per_hour: f64,
    end_s: f64,
    clock_s: f64,
    at_once: u32,
    trace: std::vec::IntoIter<f64>,
    chance: Chance,
}

impl Moments {
    pub(crate) fn new(arrivals: &Arrivals, per_hour: f64, hours: f64, chance: Chance) -> Self {
        let mut trace = arrivals.at_s.clone();
        trace.retain(|at| *at <= hours * 3600.0);
        trace.sort_by(f64::total_cmp);
        let per_hour = if trace.is_empty() { per_hour } else { 0.0 };
        Self {
            at_once: arrivals.at_once,
            arrivals: arrivals.clone(),
            per_hour,
            end_s: hours * 3600.0,
            clock_s: 0.0,
            trace: trace.into_iter(),
            chance,
        }
    }

    /// The next one; thinning of the highest rate (Lewis and Shedler 1979).
    pub(crate) fn next(&mut self) -> Option<At> {
        if self.at_once > 0 {
            self.at_once -= 1;
            return Some(At(0));
        }
        if let Some(at) = self.trace.next() {
            return Some(At::from_s(at));
        }
        let highest = self.arrivals.highest_factor();
        if self.per_hour <= 0.0 {
            return None;
        }
        loop {
            self.clock_s += self.chance.wait(3600.0 / (self.per_hour * highest));
            if self.clock_s >= self.end_s {
                return None;
            }
            let factor = self.arrivals.factor(self.clock_s / 3600.0 % 24.0_f64.max(self.end_s / 3600.0));
            if self.chance.share() * highest < factor {
                return Some(At::from_s(self.clock_s));
            }
        }
    }
}

pub(super) fn read_trace(text: &str) -> Result<Vec<f64>, ScenarioError> {
    let lines = text.lines().zip(1..).map(|(line, n)| (line.split('#').next().unwrap_or("").trim(), n));
    let moments = lines.filter(|(line, _)| !line.is_empty()).map(|(line, n): (&str, u32)| {
        line.parse().map_err(|_| {
            ScenarioError::field("arrivals.trace", format!("line {n}: '{line}' is not a number of seconds"))
        })
    });
    moments.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(arrivals: &Arrivals, hours: f64, from: f64, to: f64) -> usize {
        let mut moments = Moments::new(arrivals, 100.0, hours, Chance::new(3, "arrivals"));
        std::iter::from_fn(|| moments.next()).filter(|at| (from..to).contains(&(at.s() / 3600.0))).count()
    }

    #[test]
    fn the_rate_follows_the_day_and_the_crowd() {
        let flat = Arrivals { per_hour: Some(100.0), ..Arrivals::default() };
        assert!((9_500..10_500).contains(&count(&flat, 100.0, 0.0, 100.0)));
        let day = Arrivals { swing: 0.8, peak_hour: 20.0, ..flat.clone() };
        assert!(count(&day, 24.0, 18.0, 22.0) > 4 * count(&day, 24.0, 6.0, 10.0));
        let crowd = Flash { at_hour: 2.0, hours: 1.0, times: 10.0 };
        let flash = Arrivals { flash: vec![crowd], ..flat };
        assert!(count(&flash, 4.0, 2.0, 3.0) > 6 * count(&flash, 4.0, 0.0, 1.0));
    }

    #[test]
    fn a_trace_is_read_and_what_is_wrong_is_named() {
        assert_eq!(read_trace("1.5 # first\n\n3\n").expect("it is right"), [1.5, 3.0]);
        let error = read_trace("1\nsoon\n").expect_err("it is wrong");
        assert!(error.to_string().contains("line 2: 'soon'"), "{error}");
    }
}
