//! A farm of this build's own programs, in directories of its own, on loopback.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rushes_shared::view::AddressBook;

use crate::client::{Client, wait_for};
use crate::program;
use crate::suite::programs_dir;

/// How long a part of a farm may take to be ready.
const START: Duration = Duration::from_secs(120);
/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(15);

/// Where a program of this build lies.
///
/// # Errors
/// Where it was not built.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = programs_dir()?.join(name);
    if !path.is_file() {
        bail!(
            "{} is missing; build it first: cargo build --release --bins, or use make bench",
            path.display()
        );
    }
    Ok(path)
}

/// A program to be started through `rushes own-child`, so that it ends with this process however that ends. To be started
/// on the main thread: the kernel ties a process to the thread that started it.
///
/// # Errors
/// Where this build's own programs are missing.
pub fn owned<S: AsRef<OsStr>>(
    program_path: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Result<Command> {
    let mut command = Command::new(program("rushes")?);
    command.args(["own-child", &std::process::id().to_string(), "kill"]).arg(program_path).args(arguments);
    Ok(command)
}

/// A process of a farm; ends with its owner.
#[derive(Debug)]
struct Part {
    child: Child,
    log: PathBuf,
}

impl Part {
    /// Starts a program of this build.
    fn start(name: &str, arguments: &[OsString], log: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("make {}", log.display()))?;
        let child = owned(&program(name)?, arguments)?
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("share a log file")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait().context("look after a process")? else { return Ok(()) };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        bail!("a process of the farm ended ({status}): {}", lines[lines.len().saturating_sub(8)..].join("\n"))
    }

    fn terminate(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It may have ended by itself; then there is nothing to tell.
            let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    fn kill(&mut self) {
        // Either fails only for a process that has ended.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A running farm. Dropping it stops it.
#[derive(Debug)]
pub struct Farm {
    // Workers first: they say goodbye to a coordinator that is there.
    workers: Vec<Part>,
    coordinator: Part,
    dir: PathBuf,
    book: AddressBook,
    token: String,
}

impl Farm {
    /// Makes a farm in an empty directory, without starting it.
    ///
    /// # Errors
    /// Where the coordinator refuses.
    pub fn init(dir: &Path) -> Result<()> {
        program::run(
            Command::new(program("rushes-coordinator")?).arg("--state-dir").arg(dir.join("c")).arg("init"),
        )?;
        Ok(())
    }

    /// Starts the coordinator of a farm that was made in `dir` and waits until it is ready.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start(dir: &Path, settings: &[String]) -> Result<Self> {
        Ok(Self::start_timed(dir, settings)?.0)
    }

    /// The same, with the time from the process's start to its first answer that it is ready.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start_timed(dir: &Path, settings: &[String]) -> Result<(Self, Duration)> {
        let state = dir.join("c");
        let book_path = state.join("run.json");
        if book_path.exists() {
            fs::remove_file(&book_path).context("remove an old address book")?;
        }
        let mut arguments: Vec<OsString> = vec!["--state-dir".into(), state.clone().into()];
        let free = ["api.bind", "link.bind", "depot.bind", "depot.http_bind"];
        for setting in free.iter().map(|key| format!("{key}=127.0.0.1:0")).chain(settings.iter().cloned()) {
            arguments.extend(["--set".into(), setting.into()]);
        }
        arguments.push("run".into());
        let began = Instant::now();
        let mut coordinator = Part::start("rushes-coordinator", &arguments, &dir.join("coordinator.log"))?;
        let (mut book, look) = (None, Duration::from_millis(1));
        wait_for("the coordinator's address", START, look, || {
            coordinator.check()?;
            book =
                fs::read(&book_path).ok().and_then(|text| serde_json::from_slice::<AddressBook>(&text).ok());
            Ok(book.is_some())
        })?;
        let book = book.context("an address book was found")?;
        let token =
            fs::read_to_string(state.join("admin.token")).context("read the admin token")?.trim().to_owned();
        let client = Client::new(&book.api_url, &token);
        wait_for("the coordinator", START, look, || Ok(client.is_ready()))?;
        let took = began.elapsed();
        Ok((Self { workers: Vec::new(), coordinator, dir: dir.to_owned(), book, token }, took))
    }

    /// Joins one more worker and waits until it is connected.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn add_worker(&mut self) -> Result<()> {
        self.add_worker_with(&[])
    }

    /// The same with settings of its own.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn add_worker_with(&mut self, settings: &[&str]) -> Result<()> {
        let number = self.workers.len() + 1;
        let (state, name) = (self.dir.join(format!("w{number}")), format!("bench-{number}"));
        let coordinator = program("rushes-coordinator")?;
        let mut ask = Command::new(coordinator);
        ask.arg("--state-dir").arg(self.dir.join("c")).args(["token", "join", "--quiet"]);
        let token = program::answer(&mut ask)?;
        let mut join = Command::new(program("rushes-worker")?);
        join.arg("--state-dir").arg(&state).args(["join", &self.book.link_addr, &token, "--name", &name]);
        program::run(&mut join)?;
        let log = self.dir.join(format!("worker-{number}.log"));
        let mut arguments: Vec<OsString> = vec!["--state-dir".into(), state.into(), "run".into()];
        arguments.extend(settings.iter().flat_map(|setting| ["--set".into(), (*setting).into()]));
        let mut running = Part::start("rushes-worker", &arguments, &log)?;
        let client = self.client();
        wait_for("the worker to connect", START, Duration::from_millis(10), || {
            running.check()?;
            Ok(client.connected_workers()? >= number)
        })?;
        self.workers.push(running);
        Ok(())
    }

    /// A new client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.book.api_url, &self.token)
    }

    /// The coordinator's process.
    #[must_use]
    pub fn coordinator_pid(&self) -> u32 {
        self.coordinator.child.id()
    }

    /// The coordinator's log so far.
    #[must_use]
    pub fn coordinator_log(&self) -> String {
        fs::read_to_string(&self.coordinator.log).unwrap_or_default()
    }

    /// The `rushes` command, told of this farm.
    ///
    /// # Errors
    /// Where it was not built.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(program("rushes")?);
        command.env("RUSHES_URL", &self.book.api_url).env("RUSHES_TOKEN", &self.token);
        Ok(command)
    }

    /// Kills the coordinator, without a word, and everything else with it.
    pub fn kill(mut self) {
        self.coordinator.kill();
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.workers.iter_mut().for_each(Part::terminate);
        self.coordinator.terminate();
    }
}

/// A list of directories as a setting's value.
#[must_use]
pub fn roots(key: &str, dirs: &[&Path]) -> String {
    let list: Vec<String> = dirs.iter().map(|dir| format!("{:?}", dir.display().to_string())).collect();
    format!("{key}=[{}]", list.join(","))
}
