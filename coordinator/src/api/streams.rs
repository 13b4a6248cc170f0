//! Event streams (server-sent events, as the HTML standard has them).
//!
//! A job's stream begins with the job's present state, goes on with its news, and ends after the job's final state. The
//! farm's stream goes on for ever; a client that returns with `Last-Event-ID` gets what it missed, or an event `resync`
//! where that is not kept any more.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use rushes_core::event::{FarmEvent, FarmNews};
use rushes_shared::id::JobId;
use rushes_shared::principal::{Principal, Role};
use rushes_shared::view::{EventView, ProblemView};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Interval, MissedTickBehavior};

use super::auth::Caller;
use super::filter::Filter;
use super::jobs::{READERS, job_id};
use super::news::{Since, Told};
use super::problem::Problem;
use super::{Api, views};

/// Events under way to one client. A slower one misses news and is told so.
const BUFFER: usize = 64;
/// A client that missed news of a job gets the job as it is after this pause: what made it miss them goes on for a while.
const AFTER_GAP: Duration = Duration::from_millis(500);

/// News of the tenant's jobs (for operators: of all jobs and workers) as server-sent events, each with an id, a type and
/// an `EventView` as JSON.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The last id that was seen; what came after it is sent first"),
        ("type" = Option<Vec<String>>, Query, description = "Only events of this type, such as `job_ended`; may be repeated for several. `resync` always comes")),
    responses((status = 200, content_type = "text/event-stream", body = EventView), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn farm(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    caller.needs(READERS)?;
    let asked = Filter::read(request.query_string(), &["type"])?;
    let types = asked.all("type").map(str::to_owned).collect();
    let (since, permit) = listen(&api, last_id(&request).as_deref())?;
    let (sender, body) = channel();
    let stream = Stream::new(&api, caller.0, sender, permit);
    actix_web::rt::spawn(Stream { types, ..stream }.follow_farm(since));
    Ok(body)
}

/// News of one job as server-sent events. The first event is `job` with the whole job (`JobView`); after the job's end
/// comes `job` with its final state, and the stream ends.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "events", params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, content_type = "text/event-stream", body = EventView), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn job(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    caller.needs(READERS)?;
    let id = job_id(&id)?;
    // Listening begins before the job is read, so that nothing falls between the two.
    let (since, permit) = listen(&api, None)?;
    api.parts.farm.job(&caller.0, id).await?;
    let (sender, body) = channel();
    let stream = Stream::new(&api, caller.0, sender, permit);
    actix_web::rt::spawn(stream.follow_job(id, since));
    Ok(body)
}

fn listen(api: &Api, last: Option<&str>) -> Result<(Since, OwnedSemaphorePermit), Problem> {
    let permit = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| {
        let limit = api.parts.settings.max_event_streams;
        Problem::unavailable(
            "too_many_streams",
            format!("{limit} event streams are open, the limit (api.max_event_streams)"),
            5,
        )
    })?;
    let stopping = || Problem::unavailable("stopping", "the coordinator is stopping", 5);
    Ok((api.news.listen(last).ok_or_else(stopping)?, permit))
}

fn last_id(request: &HttpRequest) -> Option<String> {
    request.headers().get("last-event-id").and_then(|v| v.to_str().ok()).map(str::to_owned)
}

fn channel() -> (mpsc::Sender<web::Bytes>, HttpResponse) {
    let (sender, receiver) = mpsc::channel(BUFFER);
    let body = stream::unfold(receiver, |mut receiver: mpsc::Receiver<web::Bytes>| async {
        receiver.recv().await.map(|bytes| (Ok::<_, Infallible>(bytes), receiver))
    });
    let response = HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(body);
    (sender, response)
}

/// The client is gone, or the job cannot be read any more.
struct Over;

struct Stream {
    api: Arc<Api>,
    by: Arc<Principal>,
    client: mpsc::Sender<web::Bytes>,
    pulse: Interval,
    /// Types of events that were asked for; empty: all.
    types: Vec<String>,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    fn new(
        api: &Arc<Api>,
        by: Arc<Principal>,
        client: mpsc::Sender<web::Bytes>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let mut pulse = tokio::time::interval(Duration::from_secs(api.parts.settings.heartbeat_s));
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { api: Arc::clone(api), by, client, pulse, types: Vec::new(), _permit: permit }
    }

    async fn follow_farm(mut self, mut since: Since) {
        if since.gap && self.resync().await.is_err() {
            return;
        }
        for piece in since.missed.drain(..) {
            if self.farm_event(piece.0, &piece.1).await.is_err() {
                return;
            }
        }
        while let Some(told) = self.next(&mut since).await {
            let sent = match told {
                Told::News(piece) => self.farm_event(piece.0, &piece.1).await,
                Told::Gap => self.resync().await,
            };
            if sent.is_err() {
                return;
            }
        }
    }

    async fn follow_job(mut self, id: JobId, mut since: Since) {
        if !matches!(self.job_state(id).await, Ok(false)) {
            return;
        }
        while let Some(told) = self.next(&mut since).await {
            let over = match told {
                Told::Gap => {
                    tokio::time::sleep(AFTER_GAP).await;
                    self.job_state(id).await
                }
                Told::News(piece) if piece.1.job == Some(id) => {
                    let sent = self.event(Some(piece.0), &views::event(&piece.1)).await;
                    match (sent, &piece.1.what) {
                        (Ok(()), FarmNews::JobEnded { .. }) => self.job_state(id).await,
                        (sent, _) => sent.map(|()| false),
                    }
                }
                Told::News(_) => Ok(false),
            };
            if !matches!(over, Ok(false)) {
                return;
            }
        }
    }

    /// The next piece of news; shows meanwhile that the stream lives. `None` when the farm stops or the client is gone.
    async fn next(&mut self, since: &mut Since) -> Option<Told> {
        loop {
            tokio::select! {
                told = since.next.recv() => return match told {
                    Ok(told) => Some(told),
                    Err(RecvError::Lagged(_)) => Some(Told::Gap),
                    Err(RecvError::Closed) => None,
                },
                _ = self.pulse.tick() => self.send(": here\n\n".to_owned()).await.ok()?,
                () = self.client.closed() => return None,
            }
        }
    }

    async fn farm_event(&self, number: u64, event: &FarmEvent) -> Result<(), Over> {
        let visible = match &event.tenant {
            Some(tenant) => self.by.sees(tenant),
            None => self.by.may(Role::Operator),
        };
        if !visible {
            return Ok(());
        }
        let view = views::event(event);
        if !self.types.is_empty() && !self.types.contains(&view.r#type) {
            return Ok(());
        }
        self.event(Some(number), &view).await
    }

    async fn resync(&self) -> Result<(), Over> {
        let at = self.api.now().to_rfc3339();
        self.event(None, &EventView { r#type: "resync".to_owned(), at, ..EventView::default() }).await
    }

    /// Sends the job as it is; whether that is its end.
    async fn job_state(&self, id: JobId) -> Result<bool, Over> {
        let doc = self.api.parts.farm.job(&self.by, id).await.map_err(|error| {
            tracing::debug!(job = %id, %error, "a job's event stream ends early");
            Over
        })?;
        let view = views::job(&doc, self.api.now(), self.api.parts.settings.max_tasks_shown);
        self.send(format!("event: job\ndata: {}\n\n", json(&view))).await?;
        Ok(doc.state().is_final())
    }

    async fn event(&self, number: Option<u64>, view: &EventView) -> Result<(), Over> {
        let id = number.map(|n| format!("id: {}\n", self.api.news.id(n))).unwrap_or_default();
        self.send(format!("{id}event: {}\ndata: {}\n\n", view.r#type, json(view))).await
    }

    async fn send(&self, text: String) -> Result<(), Over> {
        self.client.send(web::Bytes::from(text)).await.map_err(|_| Over)
    }
}

fn json<T: Serialize>(view: &T) -> String {
    serde_json::to_string(view).expect("views consist of plain values")
}
