//! The REST API as a client sees it.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::task::{Phase, TaskKind};
use rushes_shared::view::{JobList, JobView, ProblemView, SubmittedView, TaskView, WorkerList, WorkerView};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;
use ureq::http::request::Builder;

use crate::metrics::Metrics;
use crate::wait::{ENCODE, until};

const WELL_FORMED: &str = "requests of tests are well-formed";

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: String,
}

impl Answer {
    /// The body as its type.
    ///
    /// # Panics
    /// When the status is no success or the body is something else.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self) -> T {
        assert!((200..300).contains(&self.status), "status {}: {}", self.status, self.body);
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} in {}", self.body))
    }

    /// The body as a problem with this status and code.
    ///
    /// # Panics
    /// When it is another one.
    #[must_use]
    pub fn problem(&self, status: u16, code: &str) -> ProblemView {
        let problem: ProblemView = serde_json::from_str(&self.body)
            .unwrap_or_else(|e| panic!("{e} in {} {}", self.status, self.body));
        assert_eq!((self.status, problem.code.as_str()), (status, code), "{}", self.body);
        problem
    }
}

/// A client.
#[derive(Debug, Clone)]
pub struct Api {
    agent: Agent,
    base: String,
    token: Option<String>,
}

impl Api {
    /// A client of the API at `base`, with a token or without.
    #[must_use]
    pub fn new(base: &str, token: Option<&str>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .build();
        Self { agent: Agent::new_with_config(config), base: base.to_owned(), token: token.map(str::to_owned) }
    }

    /// The same API with another token.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When there is no whole answer, as when the coordinator is killed.
    pub fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, ureq::Error> {
        let mut answer = match method {
            "GET" | "HEAD" | "DELETE" => {
                self.agent.run(self.request(method, path, headers).body(()).expect(WELL_FORMED))?
            }
            _ => self.agent.run(self.request(method, path, headers).body(body).expect(WELL_FORMED))?,
        };
        let text = answer.body_mut().read_to_string()?;
        Ok(Answer { status: answer.status().as_u16(), body: text })
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Builder {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }

    /// `GET`.
    ///
    /// # Panics
    /// When nobody answers.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "").unwrap_or_else(|e| panic!("GET {path}: {e}"))
    }

    /// `POST` of JSON.
    ///
    /// # Panics
    /// When nobody answers.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.call("POST", path, &headers, &body.to_string()).unwrap_or_else(|e| panic!("POST {path}: {e}"))
    }

    /// Submits a job that has to be accepted.
    #[must_use]
    pub fn submit(&self, job: &Value) -> JobId {
        self.post("/v1/jobs", job).read::<SubmittedView>().id
    }

    /// A job.
    #[must_use]
    pub fn job(&self, id: JobId) -> JobView {
        self.get(&format!("/v1/jobs/{id}")).read()
    }

    /// Waits for a job's end.
    #[must_use]
    pub fn ended(&self, id: JobId) -> JobView {
        self.ended_within(id, ENCODE)
    }

    /// Waits for a job's end, not longer than `limit`.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn ended_within(&self, id: JobId, limit: Duration) -> JobView {
        until(&format!("{id} ends"), limit, || Some(self.job(id)).filter(|job| job.state.is_final()))
    }

    /// Waits for a job's success.
    ///
    /// # Panics
    /// When it ends otherwise.
    #[must_use]
    pub fn succeeded(&self, id: JobId) -> JobView {
        let job = self.ended(id);
        assert_eq!(job.state, JobState::Succeeded, "{:#?}", job.failure);
        job
    }

    /// Waits until an encode of this job is under way: frames come out, and it has yet a good way to go.
    #[must_use]
    pub fn encoding(&self, id: JobId) -> TaskView {
        until(&format!("{id} encodes"), ENCODE, || {
            let job = self.job(id);
            assert!(!job.state.is_final(), "{id} ended before it could be disturbed: {job:#?}");
            let under_way = |task: &TaskView| {
                let frames =
                    task.progress.as_ref().filter(|p| p.phase == Some(Phase::Running)).map(|p| p.frames);
                task.kind == TaskKind::Encode && frames.is_some_and(|n| n > 0)
            };
            job.tasks.into_iter().find(under_way)
        })
    }

    /// All jobs, page by page, newest first.
    ///
    /// # Panics
    /// When nobody answers.
    #[must_use]
    pub fn all_jobs(&self) -> Vec<JobView> {
        let mut jobs = Vec::new();
        let mut cursor = String::new();
        loop {
            let page: JobList = self.get(&format!("/v1/jobs?limit=500{cursor}")).read();
            jobs.extend(page.items);
            let Some(next) = page.next_cursor else { return jobs };
            cursor = format!("&cursor={next}");
        }
    }

    /// The workers.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerView> {
        self.get("/v1/workers").read::<WorkerList>().items
    }

    /// All figures.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics(self.get("/metrics").body)
    }

    /// Reads an event stream to its end: pairs of type and data.
    ///
    /// # Panics
    /// When nobody answers.
    #[must_use]
    pub fn events(&self, path: &str) -> Vec<(String, Value)> {
        let answer = self
            .agent
            .run(self.request("GET", path, &[]).body(()).expect(WELL_FORMED))
            .expect("the stream is answered");
        assert_eq!(answer.status().as_u16(), 200);
        let mut events = Vec::new();
        let mut kind = String::new();
        for line in BufReader::new(answer.into_body().into_reader()).lines() {
            let line = line.expect("the stream ends in good order");
            if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut kind);
            } else if let Some(text) = line.strip_prefix("data: ") {
                events.push((kind.clone(), serde_json::from_str(text).expect("data is JSON")));
            }
        }
        events
    }
}
