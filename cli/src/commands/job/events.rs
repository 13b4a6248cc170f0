//! `rushes job events`: news as it happens.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use rushes_shared::id::{JobId, TaskId};
use rushes_shared::view::{EventView, JobView};

use crate::args::{FarmArgs, Output};
use crate::client::{Client, asking};
use crate::events;
use crate::fault::{Ending, Fault};
use crate::words;

pub(super) fn follow(
    farm: &FarmArgs,
    client: &Client,
    job: Option<JobId>,
    types: &[String],
) -> Result<Ending, Fault> {
    let types: Vec<_> = types.iter().map(|name| ("type", name.clone())).collect();
    let path = job.map_or_else(|| asking("/v1/events", &types), |id| format!("/v1/jobs/{id}/events"));
    let mut last: Option<String> = None;
    let mut progress = Steps::default();
    let mut pause = Duration::from_millis(200);
    let mut tries = 0;
    loop {
        let mut stream = match client.stream(&path, last.as_deref()) {
            Ok(stream) => stream,
            Err(fault) if fault.may_pass() && last.is_some() && tries < 20 => {
                tries += 1;
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_secs(5));
                continue;
            }
            Err(fault) => return Err(fault),
        };
        (tries, pause) = (0, Duration::from_millis(200));
        while let Ok(Some(event)) = events::next(&mut stream) {
            last = event.id.clone().or(last);
            let text = match (farm.output, event.name.as_str()) {
                (Output::Json, _) => format!("{}\n", event.data),
                (Output::Text, "job") => serde_json::from_str(&event.data).map_or_else(
                    |_| String::new(),
                    |j: JobView| {
                        let at = j.ended_at.as_ref().or(j.started_at.as_ref()).unwrap_or(&j.submitted_at);
                        format!("{}  {:<16}  {}  {}\n", words::time(at), "job", j.id, j.state.as_str())
                    },
                ),
                (Output::Text, _) => match serde_json::from_str(&event.data) {
                    Ok(news) if progress.is_worth_a_line(&news) => event_line(&news),
                    Ok(_) | Err(_) => String::new(),
                },
            };
            if std::io::stdout().write_all(text.as_bytes()).is_err() {
                return Ok(Ending::Ok);
            }
            let is_final = event.name == "job"
                && serde_json::from_str::<JobView>(&event.data).is_ok_and(|job| job.state.is_final());
            if is_final {
                return Ok(Ending::Ok);
            }
        }
        std::thread::sleep(pause);
    }
}

/// How far tasks were when they were last told of. Scripts get every piece of news, people a line for each step.
#[derive(Debug, Default)]
struct Steps(BTreeMap<TaskId, u32>);

/// One step, in thousandths.
const STEP: u32 = 50;

impl Steps {
    fn is_worth_a_line(&mut self, event: &EventView) -> bool {
        let Some(task) = event.task else { return true };
        let Some(progress) = &event.progress else {
            self.0.remove(&task);
            return true;
        };
        let step = u32::from(progress.permille) / STEP;
        self.0.insert(task, step) != Some(step)
    }
}

fn event_line(event: &EventView) -> String {
    let what = event.r#type.replace('_', " ");
    let mut parts = vec![words::time(&event.at), format!("{what:<16}")];
    if let Some(message) = &event.message {
        // A decision's own words name what it is about, mostly; the job stands before those that do not.
        let job = event.job.map(|job| job.to_string()).filter(|job| !message.contains(job));
        parts.extend(job);
        parts.push(message.clone());
        return parts.join("  ") + "\n";
    }
    parts.extend(event.task.map(|t| t.to_string()).or_else(|| event.job.map(|j| j.to_string())));
    parts.extend(event.kind.map(|k| k.as_str().to_owned()));
    parts.extend(event.worker.map(|w| w.to_string()));
    parts.extend(event.worker_name.clone());
    parts.extend(event.state.map(|s| s.as_str().to_owned()));
    if let Some(p) = &event.progress {
        parts.push(format!("{} %", p.permille / 10));
    }
    parts.extend(event.queue_ms.map(|ms| format!("queued {}", words::duration(ms))));
    parts.extend(event.run_ms.map(|ms| format!("ran {}", words::duration(ms))));
    parts.extend(event.failure.as_ref().map(|f| f.message.clone()));
    parts.extend(event.retry_ms.map(|ms| format!("again in {}", words::duration(ms))));
    parts.extend(event.url.clone());
    parts.join("  ") + "\n"
}

#[cfg(test)]
mod tests {
    use rushes_shared::view::ProgressView;

    use super::*;

    #[test]
    fn people_see_steps_and_not_every_frame() {
        let task = Some("job_01jv2c8k3q5w7x9z0a2b4c6d8e.0".parse().expect("an id"));
        let mut steps = Steps::default();
        let told = (0..=1000).filter(|permille| {
            let progress = Some(ProgressView { permille: *permille, ..ProgressView::default() });
            steps.is_worth_a_line(&EventView { task, progress, ..EventView::default() })
        });
        assert_eq!(told.count(), 21);
        assert!(steps.is_worth_a_line(&EventView { task, ..EventView::default() }), "all other news is told");
    }

    #[test]
    fn a_decision_is_told_in_its_own_words() {
        let job = "job_01jv2c8k3q5w7x9z0a2b4c6d8e".parse().expect("an id");
        let told = |r#type: &str, message: &str| {
            let (at, message) = ("2026-11-22T12:00:00.000Z".to_owned(), Some(message.to_owned()));
            event_line(&EventView {
                r#type: r#type.to_owned(),
                at,
                job: Some(job),
                message,
                ..EventView::default()
            })
        };
        let stopped = "job_01jv2c8k3q5w7x9z0a2b4c6d8e.3 was stopped on worker wrk_1 for the emergency job_2";
        let line = told("task_preempted", stopped);
        assert!(line.ends_with(&format!("task preempted    {stopped}\n")), "{line}");
        let line = told("job_amended", "changed: priority 80");
        assert!(line.ends_with("job_01jv2c8k3q5w7x9z0a2b4c6d8e  changed: priority 80\n"), "{line}");
    }
}
