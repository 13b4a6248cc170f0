//! `rushes status`.

use rushes_shared::view::StatusView;

use super::{client, print};
use crate::args::FarmArgs;
use crate::fault::{Ending, Fault};
use crate::table::{Cell, Tone, colours, table};
use crate::words;

/// What is out of the ordinary that is told line by line.
const MOST_ANOMALIES: usize = 10;

pub(super) fn run(farm: &FarmArgs) -> Result<Ending, Fault> {
    let status = client(farm)?.status()?;
    print(farm, &status, || {
        let mut text = format!(
            "coordinator  {}, up for {}\nworkers      {}\njobs         {}\n",
            status.version,
            words::span(status.uptime_s),
            status_of_workers(&status),
            status_of_jobs(&status),
        );
        for limit in status.bottlenecks.iter().take(3) {
            let want = if limit.jobs == 1 { "wants" } else { "want" };
            text.push_str(&format!(
                "held up      {} {want} {} slots: {}\n",
                words::count(limit.jobs.into(), "job"),
                limit.slot.as_str(),
                limit.detail
            ));
        }
        for anomaly in status.anomalies.iter().take(MOST_ANOMALIES) {
            text.push_str(&format!("unusual      {}\n", anomaly.detail));
        }
        if let Some(more) = status.anomalies.len().checked_sub(MOST_ANOMALIES).filter(|n| *n > 0) {
            text.push_str(&format!("unusual      and {more} more; '--output json' shows all\n"));
        }
        if !status.tasks.is_empty() {
            let rows: Vec<Vec<Cell>> = status
                .tasks
                .iter()
                .map(|t| {
                    let running =
                        Cell(t.running.to_string(), if t.running > 0 { Tone::Busy } else { Tone::Plain });
                    vec![t.kind.as_str().into(), running, t.ready.to_string().into()]
                })
                .collect();
            text.push_str(&format!("\n{}", table(&["TASKS", "RUNNING", "WAITING"], &rows, colours())));
        }
        text
    });
    Ok(Ending::Ok)
}

fn status_of_workers(status: &StatusView) -> String {
    let mut parts = Vec::new();
    if status.workers_connected > 0 {
        let drained = match (status.workers_draining, status.workers_connected) {
            (0, _) => String::new(),
            (1, 1) => ", drained".to_owned(),
            (all, connected) if all == connected => ", all of them drained".to_owned(),
            (some, _) => format!(", {some} of them drained"),
        };
        parts.push(format!("{} connected{drained}", status.workers_connected));
    }
    if status.workers_silent > 0 {
        parts.push(format!("{} not answering", status.workers_silent));
    }
    if status.workers_quarantined > 0 {
        parts.push(format!("{} in quarantine", status.workers_quarantined));
    }
    if parts.is_empty() {
        parts
            .push("none connected; 'rushes worker list' shows all, 'rushes-worker join' adds one (which tries its encoders first)".to_owned());
    }
    if status.reattaching {
        parts.push("waiting for those from before the restart".to_owned());
    }
    parts.join(", ")
}

fn status_of_jobs(status: &StatusView) -> String {
    match (status.jobs_running, status.jobs_queued) {
        (0, 0) => "none to do; 'rushes job list' shows those that ended".to_owned(),
        (running, queued) => format!("{running} running, {queued} waiting"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn drained_workers_are_told_from_those_that_get_tasks() {
        let told = |connected: u64, draining: u64| {
            let view = json!({"version": "1", "jobs_queued": 0, "jobs_running": 0, "tasks": [], "workers_silent": 0,
                "workers_connected": connected, "workers_draining": draining, "reattaching": false, "uptime_s": 1});
            status_of_workers(&serde_json::from_value(view).expect("a status"))
        };
        assert_eq!(told(2, 0), "2 connected");
        assert_eq!(told(2, 1), "2 connected, 1 of them drained");
        assert_eq!(told(2, 2), "2 connected, all of them drained");
        assert_eq!(told(1, 1), "1 connected, drained");
    }
}
