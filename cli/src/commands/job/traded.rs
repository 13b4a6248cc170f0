//! What was given up for a deadline, and why one is given up, in words.

use rushes_shared::id::JobId;
use rushes_shared::view::TradeView;

use crate::words;

/// A trade in one line.
pub(super) fn told(trade: &TradeView) -> String {
    let why = match (trade.reason.as_str(), trade.for_job) {
        ("another_deadline", Some(job)) => format!("to keep the promise of job {job}"),
        ("lost_nodes", _) => "as nodes were lost, to keep what was promised on them".to_owned(),
        _ => "to keep its own promise".to_owned(),
    };
    let undone = trade.undone_at.as_deref().map(|at| format!("; taken back {}", words::time(at)));
    format!(
        "traded {}: stage {}, {}, saved {}, {why}, to which {} were missing{}",
        words::time(&trade.at),
        trade.stage,
        trade.what,
        words::duration(trade.saved_ms),
        words::duration(trade.missing_ms),
        undone.unwrap_or_default()
    )
}

/// Why a deadline is given up, behind the words that say so.
pub(super) fn why_late(reason: Option<&str>, yields_to: Option<JobId>) -> String {
    match (reason, yields_to) {
        (_, Some(job)) => format!(" for that of job {job}, which loses less"),
        (Some("lost_nodes"), _) => ", as nodes were lost and not all can be kept".to_owned(),
        (Some("limit"), _) => ": the job's named limits leave no room for it".to_owned(),
        (Some("tenant_cap"), _) => ": its tenant's cap on running tasks leaves no room for it".to_owned(),
        (Some("nodes"), _) => ": the workers that can do it leave no room for it, or none can".to_owned(),
        (Some("itself"), _) => ": it cannot be kept even at the job's floor".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trade_says_what_it_saved_and_for_whose_promise() {
        let job = JobId(12);
        let trade = TradeView {
            what: "preset medium -> fast".to_owned(),
            stage: 1,
            at: "2026-12-01T12:00:00Z".to_owned(),
            reason: "another_deadline".to_owned(),
            for_job: Some(job),
            missing_ms: 12_300,
            saved_ms: 250_000,
            loss: 10,
            undone_at: None,
        };
        let text = told(&trade);
        let says = format!(
            "stage 1, preset medium -> fast, saved 4:10, to keep the promise of job {job}, to which 12.3 s were missing"
        );
        assert!(text.ends_with(&says), "{text}");
        let own = TradeView { reason: "own_deadline".to_owned(), for_job: None, ..trade };
        assert!(told(&own).contains("to keep its own promise"), "{}", told(&own));
        assert_eq!(
            why_late(Some("another_job"), Some(job)),
            format!(" for that of job {job}, which loses less")
        );
        assert!(why_late(Some("lost_nodes"), None).contains("nodes were lost"));
    }
}
