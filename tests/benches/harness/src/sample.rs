//! Medians, spreads, percentiles, and runs in pairs.

use anyhow::Result;

/// The same thing done by us and by the peer, one right after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair<T> {
    /// Ours.
    pub ours: T,
    /// The peer's.
    pub peer: T,
}

impl<T> Pair<T> {
    /// One figure of both.
    pub fn map(&self, figure: impl Fn(&T) -> f64) -> Pair<f64> {
        Pair { ours: figure(&self.ours), peer: figure(&self.peer) }
    }
}

/// One figure of every pair.
pub fn each<T>(pairs: &[Pair<T>], figure: impl Fn(&T) -> f64) -> Vec<Pair<f64>> {
    pairs.iter().map(|pair| pair.map(&figure)).collect()
}

/// Runs both in turn and changes who goes first with every pair, so that what drifts (heat, caches, neighbours) falls on
/// both alike. The closures get the pair's number.
///
/// # Errors
/// The first of either.
pub fn pairs<T>(
    count: usize,
    mut ours: impl FnMut(usize) -> Result<T>,
    mut peer: impl FnMut(usize) -> Result<T>,
) -> Result<Vec<Pair<T>>> {
    let mut done = Vec::with_capacity(count);
    for number in 0..count {
        let pair = if number % 2 == 0 {
            let ours = ours(number)?;
            Pair { ours, peer: peer(number)? }
        } else {
            let peer = peer(number)?;
            Pair { ours: ours(number)?, peer }
        };
        done.push(pair);
    }
    Ok(done)
}

/// The middle value; of an even number the mean of the middle two; of none, none (NaN).
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// Largest minus smallest over the median; 0 for fewer than two values.
#[must_use]
pub fn spread(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    match (sorted.first(), sorted.last()) {
        (Some(low), Some(high)) if sorted.len() > 1 => (high - low) / median(values),
        _ => 0.0,
    }
}

/// The value that `permille` thousandths of all do not exceed (nearest rank).
#[must_use]
pub fn percentile(values: &[f64], permille: usize) -> f64 {
    let sorted = sorted(values);
    let rank = (sorted.len() * permille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middles_and_ranks() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(spread(&[1.0, 2.0, 3.0]), 1.0);
        assert_eq!(spread(&[5.0]), 0.0);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 500), 50.0);
        assert_eq!(percentile(&hundred, 990), 99.0);
        assert_eq!(percentile(&[7.0], 990), 7.0);
    }

    #[test]
    fn who_goes_first_changes_with_every_pair() {
        let order = std::cell::RefCell::new(Vec::new());
        let note = |who: &'static str| {
            order.borrow_mut().push(who);
            Ok(0)
        };
        let done = pairs(3, |_| note("we"), |_| note("they")).expect("nothing fails");
        assert_eq!(done.len(), 3);
        assert_eq!(*order.borrow(), ["we", "they", "they", "we", "we", "they"]);
    }
}
