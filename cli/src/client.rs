//! The coordinator's REST API from the client's side.

use std::fs;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rushes_shared::id::JobId;
use rushes_shared::request::AmendRequest;
use rushes_shared::view::{
    ExplainView, ForecastView, JobList, JobView, LimitList, LogsView, NamedLimitView, PresetList,
    ProblemView, RemovedWorkerView, StatusView, SubmittedView, TaskExplainView, TenantLimitsView, TenantList,
    UploadRequest, UploadView, WorkerList, WorkerView,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, BodyReader};

use crate::connection::Connection;
use crate::fault::Fault;
use crate::unix_socket::UnixConnector;

/// Longest silence of an event stream; the coordinator says something at least each 15 s.
const STREAM_SILENCE: Duration = Duration::from_secs(60);
/// Longest answer that is read into memory.
const MAX_ANSWER: u64 = 256 << 20;

/// A farm.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    api: Agent,
    /// For the depot, which wants no token.
    files: Agent,
    base: String,
    /// For messages.
    url: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(connection: &Connection) -> Result<Self, Fault> {
        let config = || -> Result<_, Fault> {
            let builder = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .user_agent(concat!("rushes/", env!("CARGO_PKG_VERSION")))
                .timeout_connect(Some(Duration::from_secs(10)))
                .timeout_recv_response(Some(Duration::from_secs(60)))
                .timeout_per_read(Some(STREAM_SILENCE))
                .timeout_per_write(Some(STREAM_SILENCE));
            Ok(match &connection.ca_file {
                Some(path) => builder.tls_config(trusting(path)?),
                None => builder,
            }
            .build())
        };
        let files = Agent::new_with_config(config()?);
        let (api, base) = match connection.url.strip_prefix("unix:") {
            Some(path) => {
                let connector = UnixConnector(PathBuf::from(path));
                let agent = Agent::with_parts(config()?, connector, DefaultResolver::default());
                (agent, "http://localhost".to_owned())
            }
            None => (files.clone(), connection.url.clone()),
        };
        Ok(Self { api, files, base, url: connection.url.clone(), token: connection.token.clone() })
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        self.answer(self.call("GET", path, &[], &[])?)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Fault> {
        self.send("POST", path, body)
    }

    fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Fault> {
        self.send("PUT", path, body)
    }

    fn send<T: DeserializeOwned>(&self, verb: &str, path: &str, body: &impl Serialize) -> Result<T, Fault> {
        let bytes = serde_json::to_vec(body).map_err(|e| Fault::local("cannot write the request", e))?;
        self.answer(self.call(verb, path, &[("content-type", "application/json")], &bytes)?)
    }

    /// Submits a job document. The key makes a repetition harmless, so that a lost answer is asked for again.
    pub(crate) fn submit(
        &self,
        content_type: &str,
        document: &str,
        key: &str,
    ) -> Result<SubmittedView, Fault> {
        let headers = [("content-type", content_type), ("idempotency-key", key)];
        let mut pause = Duration::from_millis(200);
        for attempt in 0.. {
            let result = self
                .call("POST", "/v1/jobs", &headers, document.as_bytes())
                .and_then(|response| self.answer(response));
            match result {
                Err(fault) if fault.may_pass() && attempt < 5 => {
                    std::thread::sleep(pause);
                    pause *= 2;
                }
                other => return other,
            }
        }
        unreachable!("the loop returns in its last round")
    }

    pub(crate) fn job(&self, id: JobId) -> Result<JobView, Fault> {
        self.get(&format!("/v1/jobs/{id}"))
    }

    pub(crate) fn jobs(&self, query: &[(&str, String)]) -> Result<JobList, Fault> {
        self.get(&asking("/v1/jobs", query))
    }

    pub(crate) fn cancel(&self, id: JobId) -> Result<JobView, Fault> {
        self.post(&format!("/v1/jobs/{id}/cancel"), &serde_json::json!({}))
    }

    /// What would come of a submit.
    pub(crate) fn dry_run(&self, content_type: &str, document: &str) -> Result<ForecastView, Fault> {
        let headers = [("content-type", content_type)];
        self.answer(self.call("POST", "/v1/jobs?dry_run=true", &headers, document.as_bytes())?)
    }

    pub(crate) fn amend(&self, id: JobId, request: &AmendRequest) -> Result<JobView, Fault> {
        self.send("PATCH", &format!("/v1/jobs/{id}"), request)
    }

    pub(crate) fn set_paused(&self, id: JobId, paused: bool) -> Result<JobView, Fault> {
        let verb = if paused { "pause" } else { "resume" };
        self.post(&format!("/v1/jobs/{id}/{verb}"), &serde_json::json!({}))
    }

    pub(crate) fn retry(&self, id: JobId) -> Result<SubmittedView, Fault> {
        self.post(&format!("/v1/jobs/{id}/retry"), &serde_json::json!({}))
    }

    pub(crate) fn explain(&self, id: JobId) -> Result<ExplainView, Fault> {
        self.get(&format!("/v1/jobs/{id}/explain"))
    }

    pub(crate) fn explain_task(&self, id: JobId, task: u32) -> Result<TaskExplainView, Fault> {
        self.get(&format!("/v1/jobs/{id}/tasks/{task}/explain"))
    }

    pub(crate) fn logs(&self, id: JobId, query: &str) -> Result<LogsView, Fault> {
        self.get(&format!("/v1/jobs/{id}/logs?{query}"))
    }

    pub(crate) fn tenants(&self, names: &[String]) -> Result<TenantList, Fault> {
        self.get(&asking("/v1/tenants", &named(names)))
    }

    pub(crate) fn set_tenant(
        &self,
        tenant: &str,
        limits: &TenantLimitsView,
    ) -> Result<TenantLimitsView, Fault> {
        self.put(&format!("/v1/tenants/{}/limits", escaped(tenant)), limits)
    }

    pub(crate) fn limits(&self, names: &[String]) -> Result<LimitList, Fault> {
        self.get(&asking("/v1/limits", &named(names)))
    }

    pub(crate) fn set_limit(&self, name: &str, most: Option<u32>) -> Result<NamedLimitView, Fault> {
        self.put(&format!("/v1/limits/{}", escaped(name)), &NamedLimitView { most })
    }

    pub(crate) fn workers(&self, query: &[(&str, String)]) -> Result<WorkerList, Fault> {
        self.get(&asking("/v1/workers", query))
    }

    pub(crate) fn set_draining(&self, worker: &str, draining: bool) -> Result<WorkerView, Fault> {
        let verb = if draining { "drain" } else { "resume" };
        self.post(&format!("/v1/workers/{}/{verb}", escaped(worker)), &serde_json::json!({}))
    }

    pub(crate) fn remove_worker(&self, worker: &str) -> Result<RemovedWorkerView, Fault> {
        self.answer(self.call("DELETE", &format!("/v1/workers/{}", escaped(worker)), &[], &[])?)
    }

    pub(crate) fn status(&self) -> Result<StatusView, Fault> {
        self.get("/v1/status")
    }

    pub(crate) fn presets(&self) -> Result<PresetList, Fault> {
        self.get("/v1/presets")
    }

    pub(crate) fn permit_upload(&self, request: &UploadRequest) -> Result<UploadView, Fault> {
        self.post("/v1/uploads", request)
    }

    /// A join token for one worker.
    pub(crate) fn join_token(&self) -> Result<String, Fault> {
        let request = serde_json::json!({ "label": "own farm", "uses": 1, "lifetime_s": 600 });
        let made: rushes_shared::view::CreatedJoinTokenView = self.post("/v1/join-tokens", &request)?;
        Ok(made.secret)
    }

    /// Where an output's bytes are.
    pub(crate) fn output_url(&self, path: &str) -> Result<String, Fault> {
        let response = self.call("GET", path, &[], &[])?;
        if response.status().as_u16() != 307 {
            return Err(self.refusal(response));
        }
        let place = response.headers().get("location").and_then(|v| v.to_str().ok()).map(str::to_owned);
        place.ok_or_else(|| self.unreachable(&"it did not say where the output is"))
    }

    /// The bytes of an output.
    pub(crate) fn file(&self, path: &str) -> Result<BodyReader<'static>, Fault> {
        let url = self.output_url(path)?;
        let mut response = self.files.get(&url).call().map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            let status = response.status();
            let other = || self.unreachable(&format!("its depot answers {status}"));
            return Err(refusal(&mut response).unwrap_or_else(other));
        }
        Ok(response.into_body().into_reader())
    }

    /// An event stream.
    pub(crate) fn stream(
        &self,
        path: &str,
        last: Option<&str>,
    ) -> Result<BufReader<BodyReader<'static>>, Fault> {
        let mut headers = vec![("accept", "text/event-stream")];
        if let Some(last) = last {
            headers.push(("last-event-id", last));
        }
        let response = self.call("GET", path, &headers, &[])?;
        if !response.status().is_success() {
            return Err(self.refusal(response));
        }
        Ok(BufReader::new(response.into_body().into_reader()))
    }

    /// The agent for the depot.
    pub(crate) fn files(&self) -> &Agent {
        &self.files
    }

    fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response<Body>, Fault> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let bad = |e: &dyn std::fmt::Display| Fault::Usage(format!("cannot ask {}: {e}", self.url));
        let result = if matches!(method, "POST" | "PATCH" | "PUT") {
            self.api.run(request.body(body).map_err(|e| bad(&e))?)
        } else {
            self.api.run(request.body(()).map_err(|e| bad(&e))?)
        };
        result.map_err(|e| self.unreachable(&e))
    }

    fn answer<T: DeserializeOwned>(&self, mut response: Response<Body>) -> Result<T, Fault> {
        if !response.status().is_success() {
            return Err(self.refusal(response));
        }
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .map_err(|e| self.unreachable(&e))?;
        serde_json::from_slice(&text).map_err(|e| {
            self.unreachable(&format!(
                "its answer is not understood ({e}); is it a Rushes coordinator of this version?"
            ))
        })
    }

    fn refusal(&self, mut response: Response<Body>) -> Fault {
        refusal(&mut response).unwrap_or_else(|| {
            self.unreachable(&format!("it answers {}; is it a Rushes coordinator?", response.status()))
        })
    }

    fn unreachable(&self, reason: &dyn std::fmt::Display) -> Fault {
        Fault::Unreachable { url: self.url.clone(), reason: reason.to_string() }
    }
}

/// The problem in an error's body.
pub(crate) fn refusal(response: &mut Response<Body>) -> Option<Fault> {
    let bytes = response.body_mut().with_config().limit(1 << 20).read_to_vec().ok()?;
    serde_json::from_slice::<ProblemView>(&bytes).ok().map(|problem| Fault::Refused(Box::new(problem)))
}

fn trusting(path: &PathBuf) -> Result<TlsConfig, Fault> {
    let pem = fs::read(path).map_err(|e| Fault::local(format!("cannot read {}", path.display()), e))?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(Fault::Usage(format!("{} holds no certificate in PEM form", path.display())));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(certificates))).build())
}

/// A path with a query.
pub(crate) fn asking(path: &str, query: &[(&str, String)]) -> String {
    let pairs: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", escaped(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

fn named(names: &[String]) -> Vec<(&'static str, String)> {
    names.iter().map(|name| ("name", name.clone())).collect()
}

/// Text as one component of a URL (RFC 3986: all but unreserved characters are escaped).
pub(crate) fn escaped(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}
