//! `rushes worker …`.

use std::collections::BTreeSet;

use rushes_shared::view::WorkerView;

use super::{client, print};
use crate::args::{FarmArgs, WorkerCommand};
use crate::client::Client;
use crate::fault::{Ending, Fault};
use crate::table::{Cell, Tone, colours, table};
use crate::words;

pub(super) fn run(farm: &FarmArgs, command: &WorkerCommand) -> Result<Ending, Fault> {
    let client = client(farm)?;
    match command {
        WorkerCommand::List(wanted) => {
            let query = wanted.query();
            let list = client.workers(&query)?;
            print(farm, &list, || {
                if list.items.is_empty() && !query.is_empty() {
                    "no worker is like that; 'rushes worker list' shows all\n".to_owned()
                } else {
                    listed(&list.items)
                }
            });
        }
        WorkerCommand::Drain { worker } => set_draining(farm, &client, worker, true)?,
        WorkerCommand::Resume { worker } => set_draining(farm, &client, worker, false)?,
        WorkerCommand::Remove { worker } => remove(farm, &client, worker)?,
    }
    Ok(Ending::Ok)
}

fn set_draining(farm: &FarmArgs, client: &Client, selector: &str, draining: bool) -> Result<(), Fault> {
    let worker = find(client, selector)?;
    let worker = client.set_draining(&worker, draining)?;
    print(farm, &worker, || {
        if draining {
            let running = match worker.running.len() as u64 {
                0 => "nothing runs there".to_owned(),
                n => format!("{} still to end there", words::count(n, "task")),
            };
            format!("{} gets no new tasks; {running}\n", worker.name)
        } else {
            format!("{} gets tasks again\n", worker.name)
        }
    });
    Ok(())
}

fn remove(farm: &FarmArgs, client: &Client, selector: &str) -> Result<(), Fault> {
    let removed = client.remove_worker(&find(client, selector)?)?;
    print(farm, &removed, || {
        let moved = match removed.tasks_moved {
            0 => String::new(),
            1 => "; the task that ran there goes to another worker".to_owned(),
            n => format!("; the {n} tasks that ran there go to other workers"),
        };
        format!("{} is removed and refused from now on{moved}\n", removed.name)
    });
    Ok(())
}

/// A worker's id, from its id or its name.
fn find(client: &Client, selector: &str) -> Result<String, Fault> {
    if selector.starts_with("wrk_") {
        return Ok(selector.to_owned());
    }
    let workers = client.workers(&[])?.items;
    let named: Vec<&WorkerView> = workers.iter().filter(|worker| worker.name == selector).collect();
    match named.as_slice() {
        [worker] => Ok(worker.id.to_string()),
        [] => Err(Fault::Usage(format!(
            "no worker has the name or id '{selector}'; 'rushes worker list' shows them"
        ))),
        several => {
            let ids: Vec<String> = several.iter().map(|worker| worker.id.to_string()).collect();
            Err(Fault::Usage(format!(
                "several workers have the name '{selector}'; use an id: {}",
                ids.join(", ")
            )))
        }
    }
}

fn listed(workers: &[WorkerView]) -> String {
    if workers.is_empty() {
        return "there is no worker; 'rushes-coordinator token join' makes a token for 'rushes-worker join'.\nA worker that starts tries its encoders before it connects: some ten seconds, at most two minutes unless its\nmedia.discover_timeout_ms says otherwise\n".to_owned();
    }
    let rows: Vec<Vec<Cell>> = workers
        .iter()
        .map(|w| {
            let (state, tone) = match (w.presence.as_str(), w.draining) {
                ("connected", false) => ("connected".to_owned(), Tone::Good),
                ("connected", true) => ("draining".to_owned(), Tone::Busy),
                ("silent", _) => ("not answering".to_owned(), Tone::Bad),
                (other, _) => (other.to_owned(), Tone::Faint),
            };
            let cores = |millicores: u32| format!("{:.1}", f64::from(millicores) / 1000.0);
            // Nothing is known of a node before it connects to this coordinator.
            let known = |text: String| if w.cpu_millicores == 0 { "-".to_owned() } else { text };
            let working = w.encoders.iter().filter(|e| e.works);
            let codecs: BTreeSet<&str> = working.map(|e| e.codec.as_str()).collect();
            let codecs: Vec<&str> = codecs.into_iter().collect();
            vec![
                w.id.to_string().into(),
                w.name.as_str().into(),
                Cell(state, tone),
                w.running.len().to_string().into(),
                known(format!("{} of {}", cores(w.cpu_used_millicores), cores(w.cpu_millicores))).into(),
                known(format!("{} of {}", words::size(w.memory_used_bytes), words::size(w.memory_bytes)))
                    .into(),
                words::time(&w.since).into(),
                known(codecs.join(" ")).into(),
            ]
        })
        .collect();
    let head = ["ID", "NAME", "STATE", "TASKS", "CORES", "MEMORY", "SINCE (UTC)", "ENCODES"];
    table(&head, &rows, colours())
}
