//! Metrics and logs. Metrics are derived from the engine's news and never read back.

use anyhow::Context;
use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use prometheus::Registry;
use rushes_core::anomaly::Anomaly;
use rushes_core::event::{FarmEvent, FarmNews};
use rushes_core::summary::FarmDoc;
use rushes_shared::id::TenantId;
use rushes_shared::task::TaskKind;

/// Bucket bounds for times from a dispatch to a film, in seconds.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
    7_200.0, 43_200.0,
];

/// Starts logs on standard error, for people or as one JSON object a line.
///
/// # Errors
/// For a level that is none, or when logs were started before.
pub fn start_logs(json: bool, level: &str) -> anyhow::Result<()> {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(quiet_about_strangers(level))
        .with_context(|| format!("log.level '{level}' cannot be used"))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json {
        logs.json().flatten_event(true).with_current_span(true).try_init()
    } else {
        logs.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    started.map_err(|e| anyhow::anyhow!("start logs: {e}"))
}

/// The HTTP library logs as an error whatever a stranger sends that is no HTTP, and at its start how many threads it
/// has, which it calls workers. That is told only to those who debug.
fn quiet_about_strangers(level: &str) -> String {
    let is_debug =
        |word: &str| ["debug", "trace"].iter().any(|known| known.eq_ignore_ascii_case(word.trim()));
    if level.split(',').any(is_debug) {
        level.to_owned()
    } else {
        format!("actix_http=off,actix_server=warn,{level}")
    }
}

/// Installs the process' metrics recorder on a fresh registry, with facts of the build and of the process.
///
/// # Errors
/// When another recorder is installed already, or a metric's name is invalid.
pub fn install() -> anyhow::Result<Registry> {
    let registry = Registry::new();
    let mut recorder = metrics_prometheus::Recorder::builder().with_registry(registry.clone());
    // With buckets of our own; the recorder would otherwise take its default ones.
    for (name, help, label) in [
        ("rushes_queue_wait_seconds", "Time from a task's readiness to its dispatch.", "kind"),
        ("rushes_task_run_seconds", "Time from a task's dispatch to its outcome.", "kind"),
        ("rushes_job_seconds", "Time from a job's acceptance to its end.", "state"),
    ] {
        let options = prometheus::HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        recorder = recorder.try_with_metric(prometheus::HistogramVec::new(options, &[label])?)?;
    }
    // A metric that does not fit must not stop the farm.
    recorder.with_failure_strategy(metrics_prometheus::failure::strategy::NoOp).try_build_and_install()?;
    describe();
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    let facts = rushes_shared::build::info();
    gauge!("rushes_build_info", "version" => facts.version, "commit" => facts.commit).set(1.0);
    Ok(registry)
}

fn describe() {
    describe_counter!("rushes_jobs_accepted_total", "Jobs accepted.");
    describe_counter!("rushes_jobs_ended_total", "Jobs that ended, by state.");
    describe_counter!("rushes_attempts_total", "Attempts that ended, by kind of task and result.");
    describe_counter!(
        "rushes_attempts_adopted_total",
        "Running attempts taken over after a restart or reconnect."
    );
    describe_counter!(
        "rushes_decisions_total",
        "What the scheduler decided about jobs and nodes, by decision."
    );
    describe_counter!("rushes_outputs_published_total", "Outputs that reached their place.");
    describe_counter!("rushes_workers_lost_total", "Workers whose lease ran out while they held work.");
    describe_gauge!("rushes_jobs", "Jobs that have not ended, by state.");
    describe_gauge!("rushes_tasks_ready", "Tasks that wait for a slot, by kind.");
    describe_gauge!("rushes_tasks_running", "Tasks that run, by kind.");
    describe_gauge!("rushes_workers", "Workers, by presence.");
    describe_gauge!("rushes_anomalies", "What is out of the ordinary now, by kind.");
    describe_gauge!("rushes_build_info", "Always 1; the labels say which build runs.");
    describe_histogram!("rushes_queue_wait_seconds", "Time from a task's readiness to its dispatch.");
    describe_histogram!("rushes_task_run_seconds", "Time from a task's dispatch to its outcome.");
    describe_histogram!("rushes_job_seconds", "Time from a job's acceptance to its end.");
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a task fit a double exactly")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

/// Logs a piece of news: what an operator reads to follow a job.
pub fn log(event: &FarmEvent) {
    let job = event.job.map(tracing::field::display);
    match &event.what {
        FarmNews::JobAccepted => {
            let tenant = event.tenant.as_ref().map(TenantId::as_str);
            tracing::info!(job, tenant, "job accepted");
        }
        FarmNews::JobEnded { state, failure: None, total_ms } => {
            tracing::info!(job, state = state.as_str(), total_ms, "job ended");
        }
        FarmNews::JobEnded { state, failure: Some(failure), total_ms } => {
            let code = failure.code.as_str();
            tracing::warn!(job, state = state.as_str(), total_ms, code, %failure, "job ended");
        }
        FarmNews::Decided(decision) => tracing::info!(job, decision = decision.name(), "{decision}"),
        // They come by the thousand a second and do nothing.
        FarmNews::TaskDispatched { task, kind, attempt, worker, queued_ms } if kind.is_idle() => {
            tracing::debug!(job, %task, %attempt, %worker, kind = kind.as_str(), queued_ms, "task dispatched");
        }
        FarmNews::TaskSucceeded { task, kind, worker, run_ms } if kind.is_idle() => {
            tracing::debug!(job, %task, %worker, kind = kind.as_str(), run_ms, "task succeeded");
        }
        FarmNews::TaskDispatched { task, kind, attempt, worker, queued_ms } => {
            tracing::info!(job, %task, %attempt, %worker, kind = kind.as_str(), queued_ms, "task dispatched");
        }
        FarmNews::TaskAdopted { task, kind, attempt, worker } => {
            tracing::info!(job, %task, %attempt, %worker, kind = kind.as_str(), "running attempt taken up again");
        }
        FarmNews::TaskSucceeded { task, kind, worker, run_ms } => {
            tracing::info!(job, %task, %worker, kind = kind.as_str(), run_ms, "task succeeded");
        }
        FarmNews::AttemptFailed { task, kind, worker, failure, retry_ms } => {
            let code = failure.code.as_str();
            tracing::warn!(job, %task, %worker, kind = kind.as_str(), code, %failure, retry_ms, "attempt failed");
        }
        FarmNews::OutputPublished { output, place, .. } => {
            tracing::info!(job, output, %place, "output published")
        }
        FarmNews::WorkerJoined { worker, name } => tracing::info!(%worker, name, "worker connected"),
        FarmNews::WorkerSilent { worker } => tracing::warn!(%worker, "worker silent; its lease runs"),
        FarmNews::WorkerGone { worker, lost: true } => {
            tracing::warn!(%worker, "worker lost with work; its tasks go elsewhere");
        }
        FarmNews::WorkerGone { worker, lost: false } => tracing::info!(%worker, "worker gone"),
        FarmNews::WorkerDrained { worker, draining } => {
            tracing::info!(%worker, draining, "worker drained or resumed")
        }
        FarmNews::TaskProgressed { .. } => {}
    }
}

/// Counters of what happens to every task: looked up once, because looking one up costs more than a task may.
pub struct Meters {
    accepted: Counter,
    kinds: [KindMeters; TaskKind::ALL.len()],
}

struct KindMeters {
    queue_wait: Histogram,
    run: Histogram,
    succeeded: Counter,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meters")
    }
}

impl Default for Meters {
    fn default() -> Self {
        let kinds = TaskKind::ALL.map(|kind| KindMeters {
            queue_wait: histogram!("rushes_queue_wait_seconds", "kind" => kind.as_str()),
            run: histogram!("rushes_task_run_seconds", "kind" => kind.as_str()),
            succeeded: counter!("rushes_attempts_total", "kind" => kind.as_str(), "result" => "succeeded"),
        });
        Self { accepted: counter!("rushes_jobs_accepted_total"), kinds }
    }
}

impl Meters {
    fn of(&self, kind: TaskKind) -> &KindMeters {
        let at = TaskKind::ALL.iter().position(|k| *k == kind);
        &self.kinds[at.expect("every kind is in the list of all kinds")]
    }

    /// Counts a piece of news.
    pub fn count(&self, event: &FarmEvent) {
        match &event.what {
            FarmNews::JobAccepted => self.accepted.increment(1),
            FarmNews::JobEnded { state, total_ms, .. } => {
                counter!("rushes_jobs_ended_total", "state" => state.as_str()).increment(1);
                histogram!("rushes_job_seconds", "state" => state.as_str()).record(seconds(*total_ms));
            }
            FarmNews::TaskDispatched { kind, queued_ms, .. } => {
                self.of(*kind).queue_wait.record(seconds(*queued_ms));
            }
            FarmNews::TaskAdopted { kind, .. } => {
                counter!("rushes_attempts_adopted_total", "kind" => kind.as_str()).increment(1);
            }
            FarmNews::TaskSucceeded { kind, run_ms, .. } => {
                let meters = self.of(*kind);
                meters.succeeded.increment(1);
                meters.run.record(seconds(*run_ms));
            }
            FarmNews::AttemptFailed { kind, failure, .. } => {
                let result = failure.code.as_str();
                counter!("rushes_attempts_total", "kind" => kind.as_str(), "result" => result).increment(1);
            }
            FarmNews::OutputPublished { .. } => counter!("rushes_outputs_published_total").increment(1),
            FarmNews::WorkerGone { lost: true, .. } => counter!("rushes_workers_lost_total").increment(1),
            FarmNews::Decided(decision) => {
                counter!("rushes_decisions_total", "decision" => decision.name()).increment(1);
            }
            FarmNews::TaskProgressed { .. }
            | FarmNews::WorkerJoined { .. }
            | FarmNews::WorkerSilent { .. }
            | FarmNews::WorkerGone { .. }
            | FarmNews::WorkerDrained { .. } => {}
        }
    }
}

/// Sets the gauges from a look at the farm; called at each scrape.
#[expect(clippy::cast_precision_loss, reason = "counts of jobs and tasks fit a double exactly")]
pub fn set_gauges(farm: &FarmDoc) {
    gauge!("rushes_jobs", "state" => "queued").set(farm.jobs_queued as f64);
    gauge!("rushes_jobs", "state" => "running").set(farm.jobs_running as f64);
    for (kind, count) in &farm.tasks_ready {
        gauge!("rushes_tasks_ready", "kind" => kind.as_str()).set(*count as f64);
    }
    for (kind, count) in &farm.tasks_running {
        gauge!("rushes_tasks_running", "kind" => kind.as_str()).set(*count as f64);
    }
    for name in Anomaly::NAMES {
        let count = farm.anomalies.iter().filter(|a| a.name() == name).count();
        gauge!("rushes_anomalies", "kind" => name).set(count as f64);
    }
    gauge!("rushes_workers", "presence" => "connected").set(farm.workers_connected as f64);
    gauge!("rushes_workers", "presence" => "silent").set(farm.workers_silent as f64);
}
