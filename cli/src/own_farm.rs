//! A farm of its own for `rushes encode`: a coordinator and a worker as child processes on loopback.
//!
//! ```text
//! $XDG_STATE_HOME/rushes/own/0.lock         held while the instance is in use; the next one takes 1, 2, …
//!                           /0/coordinator  state, coordinator.log beside it
//!                           /0/worker       state, worker.log beside it
//! ```
//!
//! The children end with this process, however it ends: they are started through [`child`], which ties them to it. The
//! state stays, so that the next start needs no new certificates and finds the encoders that were tried.

mod child;
mod instance;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rushes_shared::view::AddressBook;

use crate::board::Board;
use crate::client::Client;
use crate::connection::Connection;
use crate::fault::Fault;
use crate::interrupt::Interrupt;
use child::Child;
use instance::Instance;

pub(crate) use child::become_child;

/// How long the coordinator and the worker may take to be ready, each.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often readiness is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// A running farm.
#[derive(Debug)]
pub(crate) struct OwnFarm {
    client: Client,
    // Dropped in this order: the worker first, the lock last.
    worker: Child,
    coordinator: Child,
    instance: Instance,
}

impl OwnFarm {
    /// Starts a farm that may read the input directories and write the output directory. Call it on the main thread:
    /// the children are tied to the thread that starts them.
    pub(crate) fn start(
        inputs: &BTreeSet<&Path>,
        output: &Path,
        board: &Board,
        interrupt: &Interrupt,
    ) -> Result<Self, Fault> {
        let programs = Programs::find()?;
        let instance = Instance::take()?;
        let step = board.step("starting a farm of its own: coordinator");
        if instance.is_new() {
            instance.reset()?;
            init(&programs, &instance)?;
        }
        let coordinator = start_coordinator(&programs, &instance, inputs, output)?;
        let (mut coordinator, book, client) = await_coordinator(coordinator, &instance, interrupt)?;
        drop(step);
        let step = board.step("starting a farm of its own: worker");
        abandon_old_jobs(&client)?;
        if !instance.has_joined() {
            join(&programs, &instance, &client, &book)?;
        }
        let mut worker = start_worker(&programs, &instance, &book)?;
        await_worker(&client, &mut coordinator, &mut worker, interrupt)?;
        drop(step);
        Ok(Self { client, worker, coordinator, instance })
    }

    /// Speaks to it.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether both of its programs still run; where one does not, what became of it.
    pub(crate) fn check(&mut self) -> Result<(), Fault> {
        self.coordinator.check()?;
        self.worker.check()
    }

    /// Stops everything in good order.
    pub(crate) fn stop(mut self) {
        self.worker.stop();
        self.coordinator.stop();
        self.instance.forget_files();
    }
}

/// The farm's programs, beside this one or in the path.
#[derive(Debug)]
struct Programs {
    coordinator: PathBuf,
    worker: PathBuf,
}

impl Programs {
    fn find() -> Result<Self, Fault> {
        Ok(Self { coordinator: find("rushes-coordinator")?, worker: find("rushes-worker")? })
    }
}

/// A program of the farm, beside this one or in the path.
pub(crate) fn find(name: &str) -> Result<PathBuf, Fault> {
    let beside = std::env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = beside
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join(name))
        .find(|p| p.is_file());
    found.ok_or_else(|| {
        Fault::Local(format!(
            "cannot find {name} beside this program or in PATH; install it, or set RUSHES_URL to use a farm that runs elsewhere"
        ))
    })
}

fn init(programs: &Programs, instance: &Instance) -> Result<(), Fault> {
    let output = std::process::Command::new(&programs.coordinator)
        .arg("--state-dir")
        .arg(instance.coordinator())
        .arg("init")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Fault::local(format!("cannot run {}", programs.coordinator.display()), e))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Fault::Local(format!(
        "the farm could not be made: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

fn start_coordinator(
    programs: &Programs,
    instance: &Instance,
    inputs: &BTreeSet<&Path>,
    output: &Path,
) -> Result<Child, Fault> {
    let roots = |dirs: &mut dyn Iterator<Item = &Path>| {
        let dirs = dirs.map(|dir| toml::Value::String(dir.display().to_string()));
        toml::Value::Array(dirs.collect()).to_string()
    };
    let settings = [
        "api.bind=127.0.0.1:0".to_owned(),
        "link.bind=127.0.0.1:0".to_owned(),
        "depot.bind=127.0.0.1:0".to_owned(),
        "depot.http_bind=127.0.0.1:0".to_owned(),
        format!("depot.input_roots={}", roots(&mut inputs.iter().copied())),
        format!("depot.output_roots={}", roots(&mut std::iter::once(output))),
        // Work that a killed run left behind is canceled, so that there is nothing to wait for.
        "engine.reattach_ms=1000".to_owned(),
    ];
    instance.remove_address_book()?;
    let mut arguments = vec!["--state-dir".into(), instance.coordinator().into_os_string()];
    for setting in settings {
        arguments.extend(["--set".into(), setting.into()]);
    }
    arguments.push("run".into());
    Child::start("coordinator", &programs.coordinator, &arguments, "term", &instance.log("coordinator"))
}

fn await_coordinator(
    mut coordinator: Child,
    instance: &Instance,
    interrupt: &Interrupt,
) -> Result<(Child, AddressBook, Client), Fault> {
    let mut found = None;
    poll("the coordinator", interrupt, || {
        coordinator.check()?;
        found = instance.address_book();
        Ok(found.is_some())
    })?;
    let book = found.expect("the poll ends with an address book");
    let connection = Connection { url: book.api_url.clone(), token: Some(instance.token()?), ca_file: None };
    let client = Client::new(&connection)?;
    poll("the coordinator", interrupt, || {
        coordinator.check()?;
        match client.get::<serde_json::Value>("/health/ready") {
            Ok(_) => Ok(true),
            Err(fault) if fault.may_pass() => Ok(false),
            Err(fault) => Err(fault),
        }
    })?;
    Ok((coordinator, book, client))
}

/// Cancels what a run that was killed left behind: nobody waits for it.
fn abandon_old_jobs(client: &Client) -> Result<(), Fault> {
    for state in ["queued", "running"] {
        for job in client.jobs(&[("state", state.to_owned()), ("limit", "500".to_owned())])?.items {
            client.cancel(job.id).ok();
        }
    }
    Ok(())
}

fn join(programs: &Programs, instance: &Instance, client: &Client, book: &AddressBook) -> Result<(), Fault> {
    use std::io::Write;
    let token = client.join_token()?;
    let fails = |e| Fault::local(format!("cannot run {}", programs.worker.display()), e);
    let mut joining = std::process::Command::new(&programs.worker)
        .arg("--state-dir")
        .arg(instance.worker())
        .args(["join", &book.link_addr, "-", "--name", "own"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(fails)?;
    if let Some(mut stdin) = joining.stdin.take() {
        stdin.write_all(token.as_bytes()).map_err(fails)?;
    }
    let output = joining.wait_with_output().map_err(fails)?;
    if !output.status.success() {
        return Err(Fault::Local(format!(
            "the worker could not join: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )));
    }
    instance.set_joined()
}

fn start_worker(programs: &Programs, instance: &Instance, book: &AddressBook) -> Result<Child, Fault> {
    let arguments = [
        "--state-dir".into(),
        instance.worker().into_os_string(),
        "--set".into(),
        format!("link.coordinator={}", book.link_addr).into(),
        "run".into(),
    ];
    Child::start("worker", &programs.worker, &arguments, "kill", &instance.log("worker"))
}

fn await_worker(
    client: &Client,
    coordinator: &mut Child,
    worker: &mut Child,
    interrupt: &Interrupt,
) -> Result<(), Fault> {
    poll("the worker", interrupt, || {
        coordinator.check()?;
        worker.check()?;
        Ok(client.workers(&[])?.items.iter().any(|worker| worker.presence == "connected"))
    })
}

fn poll(
    what: &str,
    interrupt: &Interrupt,
    mut is_ready: impl FnMut() -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let deadline = Instant::now() + START_TIMEOUT;
    while !is_ready()? {
        interrupt.check()?;
        if Instant::now() > deadline {
            let message = format!(
                "{what} was not ready within {} s; see its log in {}",
                START_TIMEOUT.as_secs(),
                instance::base()?.display()
            );
            return Err(Fault::Local(message));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Removes a file; that it is not there is no error.
fn remove(path: &Path) -> Result<(), Fault> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Fault::local(format!("cannot remove {}", path.display()), e))
        }
        _ => Ok(()),
    }
}
