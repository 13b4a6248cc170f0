//! Where jobs stand, as JSON.

use rushes_core::anomaly::Anomaly;
use rushes_core::explain::{
    Bottleneck, Explanation, Running, Sent, StageWait, Start, TaskExplanation, TaskPlace,
};
use rushes_core::promise::Forecast;
use rushes_core::promise::trade::Trade;
use rushes_shared::units::WallMs;
use rushes_shared::view::{
    AnomalyView, AssumedView, BarredView, BottleneckView, ExplainView, FailureView, ForecastView, PlacedView,
    SentAheadView, StartView, TaskExplainView, TradeView, WaitView,
};

pub(in crate::api) fn forecast(forecast: Forecast) -> ForecastView {
    ForecastView {
        expected_finish: forecast.expected_finish.map(WallMs::to_rfc3339),
        can_keep: forecast.can_keep,
        assumes: forecast.assumes.map(|input| AssumedView {
            duration_ms: input.duration_ms,
            width: input.width,
            height: input.height,
            seen: input.is_seen,
        }),
        barred: forecast
            .barred
            .map(|barred| BarredView { reason: barred.name().to_owned(), detail: barred.to_string() }),
        unset_limits: forecast.unset_limits,
    }
}

pub(super) fn trade(trade: &Trade) -> TradeView {
    TradeView {
        what: trade.what.to_string(),
        stage: trade.stage,
        at: trade.at.to_rfc3339(),
        reason: trade.sake.as_str().to_owned(),
        for_job: trade.sake.other(),
        missing_ms: trade.missing_ms,
        saved_ms: trade.saved_ms,
        loss: trade.loss,
        undone_at: trade.undone.map(WallMs::to_rfc3339),
    }
}

pub(super) fn bottleneck(found: &Bottleneck) -> BottleneckView {
    BottleneckView {
        slot: found.slot,
        jobs: found.jobs,
        reason: found.why.name().to_owned(),
        detail: found.why.to_string(),
    }
}

pub(super) fn anomaly(found: &Anomaly) -> AnomalyView {
    AnomalyView { name: found.name().to_owned(), detail: found.to_string() }
}

pub(in crate::api) fn explanation(it: &Explanation) -> ExplainView {
    ExplainView {
        id: it.job,
        state: it.state,
        class: it.class,
        priority: it.priority,
        standing: it.standing.as_str().to_owned(),
        ahead: it.ahead,
        ahead_ms: it.ahead_ms,
        start: it.start.map(start),
        forecast: forecast(it.forecast.clone()),
        late_since: it.late.map(|late| late.since.to_rfc3339()),
        late_reason: it.late.map(|late| late.because.as_str().to_owned()),
        yields_to: it.late.and_then(|late| late.because.other()),
        waits: it.waits.iter().map(wait).collect(),
        sent_ahead: it.sent.iter().map(sent_ahead).collect(),
        running: it.running.iter().map(placed).collect(),
        trades: it.trades.iter().map(trade).collect(),
        fell_back: it.fell_back.clone(),
        held_up: it.held_up.as_deref().map(FailureView::from),
    }
}

fn wait(wait: &StageWait) -> WaitView {
    WaitView {
        stage: wait.stage,
        name: wait.name.clone(),
        slot: wait.slot,
        tasks: wait.tasks,
        reason: wait.why.name().to_owned(),
        detail: wait.why.to_string(),
        start: wait.start.map(start),
    }
}

fn start(start: Start) -> StartView {
    StartView {
        at: start.at.to_rfc3339(),
        assumes: start.assumes.as_str().to_owned(),
        detail: start.assumes.to_string(),
    }
}

fn sent_ahead(sent: &Sent) -> SentAheadView {
    SentAheadView {
        task: sent.task,
        attempt: sent.attempt.to_string(),
        worker: sent.worker,
        because: sent.because.to_string(),
        before: sent.before,
        recalled: sent.is_recalled,
        start: sent.start.map(start),
    }
}

pub(in crate::api) fn task_explanation(it: &TaskExplanation) -> TaskExplainView {
    let mut view = TaskExplainView {
        id: it.task,
        kind: it.kind,
        slot: it.slot,
        stage: it.stage,
        name: it.name.clone(),
        place: it.place.name().to_owned(),
        reason: None,
        detail: None,
        start: None,
        standing: it.standing.as_str().to_owned(),
        ahead: it.ahead,
        before: it.before,
        sent_ahead: None,
        running: Vec::new(),
        done_on: None,
        done_at: None,
        failures: it.failures,
        last_failure: it.last_failure.as_deref().map(FailureView::from),
        avoids: it.avoids.clone(),
        trades: it.trades.iter().map(trade).collect(),
    };
    match &it.place {
        TaskPlace::Waits(why, at) => {
            (view.reason, view.detail) = (Some(why.name().to_owned()), Some(why.to_string()));
            view.start = at.map(start);
        }
        TaskPlace::Sent(sent) => {
            view.start = sent.start.map(start);
            view.sent_ahead = Some(sent_ahead(sent));
        }
        TaskPlace::Runs(running) => view.running = running.iter().map(placed).collect(),
        TaskPlace::Done(worker, at) => {
            (view.done_on, view.done_at) = (Some(*worker), Some(at.to_rfc3339()));
        }
        TaskPlace::GivenUp | TaskPlace::LeftOut => {}
    }
    view
}

fn placed(running: &Running) -> PlacedView {
    PlacedView {
        task: running.task,
        attempt: running.attempt.to_string(),
        worker: running.worker,
        because: running.because.to_string(),
        hardware: running.encoder.as_deref().map(ToOwned::to_owned),
        expected_end: running.expected_end.map(WallMs::to_rfc3339),
    }
}
