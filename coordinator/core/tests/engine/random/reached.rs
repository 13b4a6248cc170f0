//! What random schedules led to.

use rushes_core::event::{Decision, FarmNews, LateBy};
use rushes_core::promise::trade::What;
use rushes_shared::failure::FailureCode;

use crate::support::world::World;

/// What the schedules led to: a test that reaches none of it would prove nothing.
pub(super) type Reached = std::collections::BTreeMap<&'static str, u32>;

pub(super) fn note(world: &World, reached: &mut Reached) {
    for news in &world.news {
        let name = match &news.what {
            FarmNews::JobEnded { state, .. } => state.as_str(),
            FarmNews::TaskAdopted { .. } => "adopted",
            FarmNews::AttemptFailed { retry_ms: None, .. } => "given up",
            FarmNews::AttemptFailed { failure, .. } if failure.code == FailureCode::WorkerLost => "lost",
            FarmNews::AttemptFailed { .. } => "retried",
            FarmNews::OutputPublished { .. } => "published",
            FarmNews::WorkerGone { .. } => "gone",
            FarmNews::Decided(Decision::Traded { trade, .. }) if trade.what == What::Analysis => {
                "without analysis"
            }
            FarmNews::Decided(Decision::TradeUndone { trade }) if trade.what == What::Analysis => {
                "analysis again"
            }
            FarmNews::Decided(Decision::PromiseLate {
                because: LateBy::Limit | LateBy::TenantCap, ..
            }) => "late at a gate",
            FarmNews::Decided(decision) => decision.name(),
            _ => continue,
        };
        *reached.entry(name).or_default() += 1;
    }
    let given_up = world.trace.iter().filter(|line| line.contains("give up")).count();
    *reached.entry("told to give up").or_default() += u32::try_from(given_up).expect("a small number");
    let recalls = world.trace.iter().filter(|line| line.starts_with("recall")).count();
    *reached.entry("recalled").or_default() += u32::try_from(recalls).expect("a small number");
    *reached.entry("reigns").or_default() +=
        u32::try_from(world.engine().state().epoch.0).expect("a small number");
}

/// # Panics
/// Where no schedule led to one of the things that there are to try.
pub(super) fn assert_all(reached: &Reached) {
    let names = [
        "succeeded",
        "failed",
        "canceled",
        "adopted",
        "given up",
        "lost",
        "retried",
        "published",
        "gone",
        "told to give up",
        "recalled",
        "job_amended",
        "promise_at_risk",
        "promise_late",
        "late at a gate",
        "traded",
        "trade_undone",
        "optional_given_up",
        "task_preempted",
        "encoder_fell_back",
        "without analysis",
        "analysis again",
    ];
    for name in names {
        assert!(reached.get(name).is_some_and(|n| *n > 0), "no schedule led to '{name}': {reached:?}");
    }
}
