//! One figure of a benchmark.

use serde::Serialize;

use crate::sample::{Pair, median, spread};

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// A row of a suite's table and of its JSON file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// The median over the runs.
    pub value: f64,
    /// Of `value` and `peer_value`.
    pub unit: &'static str,
    /// The bound that holds, if one is set: on `ratio` if `target_is_ratio`, else on `value`.
    pub target: Option<f64>,
    /// Which way is better.
    pub better: Better,
    /// The program that the same was measured with.
    pub peer: Option<String>,
    /// The peer's median.
    pub peer_value: Option<f64>,
    /// The median of the paired runs' ratios, ours to the peer's.
    pub ratio: Option<f64>,
    /// What `target` bounds.
    pub target_is_ratio: bool,
    /// How many runs, or pairs of runs.
    pub runs: usize,
    /// Largest minus smallest over the median: of the ratios where there are any, else of the values.
    pub spread: f64,
}

impl Row {
    /// A figure of our own, one value a run.
    #[must_use]
    pub fn of(name: impl Into<String>, unit: &'static str, better: Better, values: &[f64]) -> Self {
        Self {
            name: name.into(),
            value: median(values),
            unit,
            target: None,
            better,
            peer: None,
            peer_value: None,
            ratio: None,
            target_is_ratio: false,
            runs: values.len(),
            spread: spread(values),
        }
    }

    /// A figure beside a peer's, by paired runs.
    #[must_use]
    pub fn beside(
        name: impl Into<String>,
        unit: &'static str,
        better: Better,
        peer: &str,
        pairs: &[Pair<f64>],
    ) -> Self {
        let ours: Vec<f64> = pairs.iter().map(|pair| pair.ours).collect();
        let theirs: Vec<f64> = pairs.iter().map(|pair| pair.peer).collect();
        let ratios: Vec<f64> = pairs.iter().map(|pair| pair.ours / pair.peer).collect();
        Self {
            peer: Some(peer.to_owned()),
            peer_value: Some(median(&theirs)),
            ratio: Some(median(&ratios)),
            spread: spread(&ratios),
            ..Self::of(name, unit, better, &ours)
        }
    }

    /// Bounds the value.
    #[must_use]
    pub fn target(self, bound: f64) -> Self {
        Self { target: Some(bound), ..self }
    }

    /// Bounds the ratio to the peer.
    #[must_use]
    pub fn target_ratio(self, bound: f64) -> Self {
        Self { target: Some(bound), target_is_ratio: true, ..self }
    }

    /// Whether the target is met; `None` without one. What could not be measured meets nothing.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        let bound = self.target?;
        let reached = if self.target_is_ratio { self.ratio.unwrap_or(f64::NAN) } else { self.value };
        Some(match self.better {
            Better::Higher => reached >= bound,
            Better::Lower => reached <= bound,
        })
    }

    /// The cells of the table, in the order of [`HEADS`].
    #[must_use]
    pub fn cells(&self) -> [String; 7] {
        let sign = if self.better == Better::Higher { "≥" } else { "≤" };
        let peer = self.peer.as_ref().zip(self.peer_value);
        let what = if self.target_is_ratio { "ratio " } else { "" };
        let verdict = match self.is_met() {
            None => "",
            Some(true) => ", met",
            Some(false) => ", MISSED",
        };
        [
            self.name.clone(),
            format!("{} {}", figure(self.value), self.unit),
            peer.map(|(peer, value)| format!("{peer} {}", figure(value))).unwrap_or_default(),
            self.ratio.map(|ratio| format!("{ratio:.3}")).unwrap_or_default(),
            self.target.map(|bound| format!("{what}{sign} {}{verdict}", figure(bound))).unwrap_or_default(),
            self.runs.to_string(),
            format!("{:.1} %", self.spread * 100.0),
        ]
    }
}

/// What stands above the cells.
pub const HEADS: [&str; 7] = ["", "value", "peer", "ratio", "target", "runs", "spread"];

/// Four figures at most, none of them lost before the point.
fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_bounds_the_value_or_the_ratio_on_the_better_side() {
        let pairs = [
            Pair { ours: 10.2, peer: 10.0 },
            Pair { ours: 9.0, peer: 10.0 },
            Pair { ours: 11.0, peer: 10.0 },
        ];
        let row = Row::beside("wall", "s", Better::Lower, "other", &pairs);
        assert_eq!((row.value, row.peer_value, row.ratio), (10.2, Some(10.0), Some(1.02)));
        assert_eq!(row.is_met(), None);
        assert_eq!(row.clone().target_ratio(1.03).is_met(), Some(true));
        assert_eq!(row.clone().target_ratio(1.01).is_met(), Some(false));
        assert!(row.target_ratio(1.01).cells()[4].ends_with("MISSED"));
        let rate = Row::of("rate", "tasks/s", Better::Higher, &[900.0, 1100.0, 1000.0]);
        assert_eq!(rate.clone().target(1000.0).is_met(), Some(true));
        assert_eq!(rate.target(1001.0).is_met(), Some(false));
        assert_eq!(Row::of("alone", "s", Better::Lower, &[1.0]).target_ratio(1.0).is_met(), Some(false));
    }

    #[test]
    fn a_row_has_the_agreed_fields() {
        let row = Row::of("x", "s", Better::Lower, &[1.0, 3.0]).target(2.0);
        let json = serde_json::to_value(&row).expect("a row serializes");
        let expected = serde_json::json!({
            "name": "x", "value": 2.0, "unit": "s", "target": 2.0, "better": "lower", "peer": null,
            "peer_value": null, "ratio": null, "target_is_ratio": false, "runs": 2, "spread": 1.0,
        });
        assert_eq!(json, expected);
    }
}
