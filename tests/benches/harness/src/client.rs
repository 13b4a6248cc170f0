//! What a benchmark says to a farm, over the same REST as everyone.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rushes_shared::id::JobId;
use rushes_shared::view::{EventView, JobList, JobView, StatusView, SubmittedView, WorkerList};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;

/// A connection of its own to a farm.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    url: String,
    bearer: String,
}

impl Client {
    /// A client of the farm at a URL.
    #[must_use]
    pub fn new(url: &str, token: &str) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).max_redirects(0).build();
        Self { agent: Agent::new_with_config(config), url: url.to_owned(), bearer: format!("Bearer {token}") }
    }

    /// Submits a job. A farm that is too busy is asked again.
    ///
    /// # Errors
    /// What the farm refuses.
    pub fn submit(&self, job: &Value) -> Result<JobId> {
        let body = job.to_string();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let request = self.agent.post(format!("{}/v1/jobs", self.url));
            let request =
                request.header("authorization", &self.bearer).header("content-type", "application/json");
            let mut response = request.send(&body).context("submit a job")?;
            let status = response.status().as_u16();
            if status == 503 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let text = response.body_mut().read_to_string().context("read the answer to a submit")?;
            if status != 201 {
                bail!("a submit was answered {status}: {text}");
            }
            let submitted: SubmittedView =
                serde_json::from_str(&text).context("read the answer to a submit")?;
            return Ok(submitted.id);
        }
    }

    /// A job as it is.
    ///
    /// # Errors
    /// What the farm refuses.
    pub fn job(&self, id: JobId) -> Result<JobView> {
        self.get(&format!("/v1/jobs/{id}"))
    }

    /// The newest job as it is.
    ///
    /// # Errors
    /// What the farm refuses, and where there is none.
    pub fn newest_job(&self) -> Result<JobView> {
        let list: JobList = self.get("/v1/jobs?limit=1")?;
        self.job(list.items.first().context("the farm has no job")?.id)
    }

    /// The farm at a glance.
    ///
    /// # Errors
    /// What the farm refuses.
    pub fn status(&self) -> Result<StatusView> {
        self.get("/v1/status")
    }

    /// Workers that are connected.
    ///
    /// # Errors
    /// What the farm refuses.
    pub fn connected_workers(&self) -> Result<usize> {
        let list: WorkerList = self.get("/v1/workers")?;
        Ok(list.items.iter().filter(|worker| worker.presence == "connected").count())
    }

    /// Whether jobs can be submitted.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.agent
            .get(format!("{}/health/ready", self.url))
            .call()
            .is_ok_and(|response| response.status().is_success())
    }

    /// Waits until no job is left that has not ended.
    ///
    /// # Errors
    /// When it takes longer than `patience`.
    pub fn drain(&self, patience: Duration) -> Result<()> {
        wait_for("the farm's jobs to end", patience, Duration::from_millis(5), || {
            let status = self.status()?;
            Ok(status.jobs_queued + status.jobs_running == 0)
        })
    }

    /// News as it comes, from now on.
    ///
    /// # Errors
    /// What the farm refuses.
    pub fn news(&self) -> Result<News> {
        let request = self.agent.get(format!("{}/v1/events", self.url));
        let request = request.header("authorization", &self.bearer).header("accept", "text/event-stream");
        let response = request.call().context("follow the farm's news")?;
        if !response.status().is_success() {
            bail!("the farm's news were refused: {}", response.status());
        }
        Ok(News(Box::new(BufReader::new(response.into_body().into_reader()))))
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let request = self.agent.get(format!("{}{path}", self.url)).header("authorization", &self.bearer);
        let mut response = request.call().with_context(|| format!("ask for {path}"))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(256 << 20).read_to_vec()?;
        if !status.is_success() {
            bail!("{path} was answered {status}: {}", String::from_utf8_lossy(&body));
        }
        serde_json::from_slice(&body).with_context(|| format!("read the answer to {path}"))
    }
}

/// News of a farm, each with the moment at which it arrived here.
pub struct News(Box<dyn BufRead + Send>);

impl std::fmt::Debug for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("News")
    }
}

impl Iterator for News {
    type Item = (Instant, EventView);

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let came = Instant::now();
            if let Some(data) = line.strip_prefix("data:")
                && let Ok(event) = serde_json::from_str(data.trim())
            {
                return Some((came, event));
            }
        }
    }
}

/// Asks again and again until it is so.
///
/// # Errors
/// What asking fails with, and when it takes longer than `patience`.
pub fn wait_for(
    what: &str,
    patience: Duration,
    pause: Duration,
    mut is_so: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !is_so()? {
        if Instant::now() > deadline {
            bail!("waited {} s for {what}", patience.as_secs());
        }
        std::thread::sleep(pause);
    }
    Ok(())
}
