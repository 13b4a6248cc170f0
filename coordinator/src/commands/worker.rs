//! `worker`: removes workers, by the running coordinator, or by the store itself while none runs.

use anyhow::bail;
use clap::Subcommand;
use hyper::Method;
use rushes_shared::id::WorkerId;
use rushes_shared::view::RemovedWorkerView;

use super::desk::{Desk, now};
use crate::layout::Layout;
use crate::pki::enrolment;
use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum WorkerCommand {
    /// Removes a worker for good: its certificate is refused from now on, and what runs there goes to others.
    #[command(after_help = "Example:\n  rushes-coordinator worker remove ID")]
    Remove {
        /// Its id, as 'rushes worker list' shows it.
        id: String,
    },
}

pub(super) fn run(command: WorkerCommand, settings: &Settings, layout: &Layout) -> anyhow::Result<()> {
    let WorkerCommand::Remove { id } = command;
    let id: WorkerId = id.parse().map_err(|e| anyhow::anyhow!("{e}; 'rushes worker list' shows the ids"))?;
    let desk = Desk::open(settings, layout)?;
    let name = if desk.is_online() {
        desk.call::<RemovedWorkerView>(Method::DELETE, &format!("/v1/workers/{id}"), None)?.name
    } else {
        match desk.offline(|_, vault| enrolment::remove(vault, id, now()))? {
            Some(enrolment) => enrolment.name,
            None => bail!("there is no worker {id}; 'rushes worker list' shows those that are"),
        }
    };
    say!("{name} is removed and refused from now on")
}
