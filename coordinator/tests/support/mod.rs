//! A coordinator process with a fresh state directory, and a small HTTP client.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::http::{HeaderMap, Request};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, BodyReader};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rushes-coordinator");
/// Its standard error, in its own state directory.
const LOG: &str = "said.log";
/// Far more than a start takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running coordinator; it ends with this value.
pub(crate) struct Coordinator {
    child: Child,
    caller: Caller,
    dir: TempDir,
}

impl std::ops::Deref for Coordinator {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Coordinator {
    /// Makes a farm and runs it with these settings on free ports.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let dir = made();
        let log = std::fs::File::create(dir.path().join(LOG)).expect("a file");
        let child = run(dir.path(), settings).stderr(log).spawn().expect("the program starts");
        let mut this =
            Self { child, caller: Caller { agent: agent(), url: String::new(), token: None }, dir };
        let book = this.dir.path().join("run.json");
        let deadline = Instant::now() + PATIENCE;
        while !book.exists() {
            assert!(this.child.try_wait().expect("a child").is_none(), "the coordinator ended at its start");
            assert!(Instant::now() < deadline, "the coordinator is not ready in time");
            std::thread::sleep(Duration::from_millis(5));
        }
        let text = std::fs::read_to_string(&book).expect("the address book");
        let book: Value = serde_json::from_str(&text).expect("JSON");
        book["api_url"].as_str().expect("a URL").clone_into(&mut this.caller.url);
        let token = std::fs::read_to_string(this.dir.path().join("admin.token")).expect("a token");
        this.caller.token = Some(token.trim().to_owned());
        this
    }

    /// What it says on standard error when it refuses to run with these settings.
    pub(crate) fn fails(settings: &[&str]) -> String {
        let dir = made();
        let output = run(dir.path(), settings).stderr(Stdio::piped()).output().expect("the program starts");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// The body of an answer over the administrator's socket.
    pub(crate) fn over_socket(&self, path: &str) -> String {
        let mut stream = UnixStream::connect(self.dir.path().join("admin.sock")).expect("the socket");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .expect("it takes a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        text
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join(LOG)).expect("its log")
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn made() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut init = Command::new(PROGRAM);
    let status = init.arg("--state-dir").arg(dir.path()).arg("init").stdout(Stdio::null()).status();
    assert!(status.expect("the program starts").success());
    dir
}

fn run(dir: &Path, settings: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("--state-dir").arg(dir);
    let ports =
        ["api.bind", "link.bind", "depot.bind", "depot.http_bind"].map(|key| format!("{key}=127.0.0.1:0"));
    for setting in ports.iter().map(String::as_str).chain(settings.iter().copied()) {
        command.args(["--set", setting]);
    }
    command.arg("run").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_per_read(Some(PATIENCE))
        .allow_non_standard_methods(true)
        .build()
        .into()
}

/// A principal at a farm.
pub(crate) struct Caller {
    agent: Agent,
    url: String,
    token: Option<String>,
}

impl Caller {
    /// The same farm with another token, or none.
    pub(crate) fn as_token(&self, token: Option<&str>) -> Self {
        Self { agent: self.agent.clone(), url: self.url.clone(), token: token.map(str::to_owned) }
    }

    /// The farm's address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The same farm, seen by a client that trusts this certificate alone.
    pub(crate) fn trusting(&self, certificate: &Path) -> Self {
        let pem = std::fs::read(certificate).expect("a file");
        let root = Certificate::from_pem(&pem).expect("a certificate");
        let roots = RootCerts::Specific(Arc::new(vec![root]));
        let tls = TlsConfig::builder().root_certs(roots).build();
        let agent = Agent::config_builder().http_status_as_error(false).tls_config(tls).build().into();
        Self { agent, url: self.url.clone(), token: self.token.clone() }
    }

    /// Whether no request comes through.
    pub(crate) fn refuses(&self) -> bool {
        self.agent.get(format!("{}/health/live", self.url)).call().is_err()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body)
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut response = self.call(method, path, headers, body);
        let body = response.body_mut().read_to_vec().expect("a body");
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }

    /// A body that goes on.
    pub(crate) fn open(&self, path: &str, headers: &[(&str, &str)]) -> BodyReader<'static> {
        let response = self.call("GET", path, headers, "");
        assert_eq!(response.status(), 200);
        response.into_body().into_reader()
    }

    fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> ureq::http::Response<Body> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let result = if ["POST", "PUT", "PATCH"].contains(&method) {
            self.agent.run(request.body(body).expect("a request"))
        } else {
            self.agent.run(request.body(()).expect("a request"))
        };
        result.expect("an answer")
    }
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.text())
    }
}

impl Answer {
    /// It is a problem of this status and code, with words.
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type").as_deref(), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)));
        assert!(problem["detail"].as_str().is_some_and(|text| text.len() > 10), "{problem}");
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
    }
}
