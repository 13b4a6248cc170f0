//! Figures read from `/metrics`.

/// One reading of all figures.
#[derive(Debug, Clone)]
pub struct Metrics(pub String);

impl Metrics {
    /// Sum of a figure over all its series whose labels contain every one of `labels` (such as `kind="encode"`).
    /// 0 where there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let series = self.0.lines().filter(|line| {
            let is_it = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
            is_it && labels.iter().all(|label| line.contains(label))
        });
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_takes_its_own_series_only() {
        let metrics = Metrics("# HELP a x\na{k=\"1\"} 2\na{k=\"2\"} 3\na_total 9\nb 4\n".to_owned());
        assert_eq!(metrics.sum("a", &[]), 5.0);
        assert_eq!(metrics.sum("a", &["k=\"2\""]), 3.0);
        assert_eq!(metrics.sum("b", &[]), 4.0);
        assert_eq!(metrics.sum("c", &[]), 0.0);
    }
}
