//! What the worker counts, and the small HTTP endpoint where Prometheus reads it. Off unless `metrics.bind` is set;
//! counting costs nothing then.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes as Body;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use prometheus::{HistogramOpts, HistogramVec, Registry, TextEncoder};
use rushes_shared::task::{TaskKind, TaskOutcome, Usage};
use tokio::net::TcpListener;
use tracing::{debug, info, warn};

const STARTED: &str = "rushes_worker_attempts_started_total";
const ENDED: &str = "rushes_worker_attempts_ended_total";
const SECONDS: &str = "rushes_worker_attempt_seconds";
const CPU: &str = "rushes_worker_task_cpu_seconds";
const FETCHED: &str = "rushes_worker_fetched_bytes_total";
const STORED: &str = "rushes_worker_stored_bytes_total";
const KEPT: &str = "rushes_worker_inputs_kept_total";
const TAKEN: &str = "rushes_worker_results_taken_total";
const LINK: &str = "rushes_worker_link_up";
const LINKS: &str = "rushes_worker_links_total";
const BUILD: &str = "rushes_build_info";

/// Bounds of run times in seconds, from a probe to a film.
const BUCKETS: &[f64] =
    &[0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0, 30_000.0];
/// A client that sends its request slower than this is dropped.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// An endpoint that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The address is taken or not ours.
    #[error("metrics cannot be served at {0}: {1}; choose another metrics.bind or leave it empty")]
    Bind(SocketAddr, std::io::Error),
    /// A metric could not be registered.
    #[error("metrics cannot be counted: {0}")]
    Register(#[from] prometheus::Error),
    /// Another recorder is there.
    #[error("metrics cannot be counted: {0}")]
    Recorder(String),
}

/// Starts counting and serving.
///
/// # Errors
/// [`MetricsError`].
pub async fn serve(address: SocketAddr) -> Result<SocketAddr, MetricsError> {
    let registry = Registry::new();
    let process = prometheus::process_collector::ProcessCollector::for_self();
    registry.register(Box::new(process))?;
    let seconds = |name: &str, help: &str| {
        HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), &["kind"])
    };
    metrics_prometheus::Recorder::builder()
        .with_registry(&registry)
        .try_with_metric(seconds(SECONDS, "Wall time of attempts, from order to outcome.")?)?
        .try_with_metric(seconds(CPU, "CPU time of task processes.")?)?
        .try_build_and_install()
        .map_err(|e| MetricsError::Recorder(e.to_string()))?;
    describe();
    let listener = TcpListener::bind(address).await.map_err(|e| MetricsError::Bind(address, e))?;
    let bound = listener.local_addr().map_err(|e| MetricsError::Bind(address, e))?;
    info!(address = %bound, "metrics are served at /metrics");
    tokio::spawn(accept(listener, registry));
    Ok(bound)
}

fn describe() {
    describe_counter!(STARTED, "Attempts started, by kind of task.");
    describe_counter!(ENDED, "Attempts ended, by kind of task and outcome.");
    describe_histogram!(SECONDS, "Wall time of attempts, from order to outcome.");
    describe_histogram!(CPU, "CPU time of task processes.");
    describe_counter!(FETCHED, "Bytes of inputs fetched.");
    describe_counter!(STORED, "Bytes of outputs stored.");
    describe_counter!(KEPT, "Inputs that did not have to be fetched, because an earlier task had.");
    describe_counter!(
        TAKEN,
        "Results that did not have to be made, because the farm had kept those of the same work."
    );
    describe_gauge!(LINK, "Whether the link to the coordinator is up.");
    describe_counter!(LINKS, "Links to the coordinator that came about.");
    describe_gauge!(BUILD, "Always 1; its labels say what runs.");
    let build = rushes_shared::build::info();
    gauge!(BUILD, "version" => build.version, "commit" => build.commit, "wire" => build.wire).set(1.0);
    gauge!(LINK).set(0.0);
}

async fn accept(listener: TcpListener, registry: Registry) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "a metrics client could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let registry = registry.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let response = respond(&request, &registry);
                async move { Ok::<_, Infallible>(response) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), answer)
                .await;
            if let Err(error) = served {
                debug!(%error, "a metrics client was lost");
            }
        });
    }
}

fn respond<B>(request: &Request<B>, registry: &Registry) -> Response<Full<Body>> {
    let plain = |status: StatusCode, text: String| {
        let mut response = Response::new(Full::new(Body::from(text)));
        *response.status_mut() = status;
        let kind = hyper::header::HeaderValue::from_static(prometheus::TEXT_FORMAT);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    };
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => match TextEncoder::new().encode_to_string(&registry.gather()) {
            Ok(text) => plain(StatusCode::OK, text),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        (_, "/metrics") => plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned()),
        _ => plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned()),
    }
}

/// An attempt was started.
pub fn task_started(kind: TaskKind) {
    counter!(STARTED, "kind" => kind.as_str()).increment(1);
}

/// An attempt has ended.
pub fn task_ended(kind: TaskKind, outcome: &TaskOutcome) {
    let (word, usage) = match outcome {
        TaskOutcome::Succeeded { usage, .. } => ("succeeded", *usage),
        TaskOutcome::Failed { usage, .. } => ("failed", *usage),
        TaskOutcome::Cancelled => ("cancelled", Usage::default()),
    };
    counter!(ENDED, "kind" => kind.as_str(), "outcome" => word).increment(1);
    if word != "cancelled" {
        let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
        histogram!(SECONDS, "kind" => kind.as_str()).record(seconds(usage.wall_ms));
        histogram!(CPU, "kind" => kind.as_str()).record(seconds(usage.cpu_ms));
    }
}

/// Bytes of an input came.
pub fn bytes_fetched(count: u64) {
    counter!(FETCHED).increment(count);
}

/// Bytes of an output went.
pub fn bytes_stored(count: u64) {
    counter!(STORED).increment(count);
}

/// An input was at hand already.
pub fn input_kept() {
    counter!(KEPT).increment(1);
}

/// A result was taken from what the farm has kept.
pub fn result_taken() {
    counter!(TAKEN).increment(1);
}

/// The link came up or went down.
pub fn link_is_up(up: bool) {
    gauge!(LINK).set(if up { 1.0 } else { 0.0 });
    if up {
        counter!(LINKS).increment(1);
    }
}

/// What is counted of every task on the lane: looked up once, because looking one up costs more than such a task.
pub struct LaneMeters {
    started: Counter,
    succeeded: Counter,
    seconds: Histogram,
    cpu: Histogram,
}

impl std::fmt::Debug for LaneMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LaneMeters")
    }
}

impl Default for LaneMeters {
    fn default() -> Self {
        let kind = TaskKind::Noop.as_str();
        Self {
            started: counter!(STARTED, "kind" => kind),
            succeeded: counter!(ENDED, "kind" => kind, "outcome" => "succeeded"),
            seconds: histogram!(SECONDS, "kind" => kind),
            cpu: histogram!(CPU, "kind" => kind),
        }
    }
}

impl LaneMeters {
    /// A task was started.
    pub fn started(&self) {
        self.started.increment(1);
    }

    /// A task has ended.
    pub fn ended(&self, outcome: &TaskOutcome) {
        let TaskOutcome::Succeeded { usage, .. } = outcome else {
            return task_ended(TaskKind::Noop, outcome);
        };
        self.succeeded.increment(1);
        self.seconds.record(Duration::from_millis(usage.wall_ms).as_secs_f64());
        self.cpu.record(Duration::from_millis(usage.cpu_ms).as_secs_f64());
    }
}
