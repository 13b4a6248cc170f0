//! A farm of real processes: one coordinator with its depot, some workers, nothing in common but loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_shared::view::{AddressBook, WorkerView};
use rustix::process::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Program, succeed};
use crate::wait::{SOON, until};
use crate::{Api, binaries, media, tasks};

/// What a farm shall be like.
#[derive(Debug, Clone)]
pub struct FarmPlan {
    workers: usize,
    coordinator: Vec<String>,
    worker: Vec<String>,
    inputs: Vec<PathBuf>,
    state: Option<PathBuf>,
    around: Vec<String>,
}

impl FarmPlan {
    /// A farm with this many workers, and times short enough for tests.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let coordinator = ["engine.retry_base_ms=100", "engine.heartbeat_ms=500", "engine.lease_ms=3000"];
        let worker = ["link.reconnect_max_ms=500", "pool.warm=1"];
        Self {
            workers,
            coordinator: coordinator.map(str::to_owned).to_vec(),
            worker: worker.map(str::to_owned).to_vec(),
            inputs: Vec::new(),
            state: None,
            around: Vec::new(),
        }
    }

    /// Sets a setting of the coordinator.
    #[must_use]
    pub fn set(mut self, assignment: &str) -> Self {
        self.coordinator.push(assignment.to_owned());
        self
    }

    /// Sets a setting of every worker.
    #[must_use]
    pub fn set_worker(mut self, assignment: &str) -> Self {
        self.worker.push(assignment.to_owned());
        self
    }

    /// Lets jobs read files of one more folder.
    #[must_use]
    pub fn inputs(mut self, dir: &Path) -> Self {
        self.inputs.push(dir.to_owned());
        self
    }

    /// Puts the coordinator's state directory elsewhere.
    #[must_use]
    pub fn state(mut self, dir: &Path) -> Self {
        self.state = Some(dir.to_owned());
        self
    }

    /// Starts the coordinator through another command that ends up as it, such as `setpriv`.
    #[must_use]
    pub fn through(mut self, command: &[&str]) -> Self {
        self.around = command.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Makes the farm and starts it; every worker is connected when this returns.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(self) -> Farm {
        let root = tempfile::Builder::new().prefix("rushes-").tempdir().expect("a temporary directory");
        for dir in ["in", "out"] {
            fs::create_dir(root.path().join(dir)).expect("it can be written");
        }
        let mut farm = Farm { plan: self, root, book: None, coordinator: None, workers: Vec::new() };
        let _told = succeed(farm.coordinator_command(&["init"]));
        farm.start_coordinator();
        for _ in 0..farm.plan.workers {
            farm.add_worker();
        }
        farm.connected(farm.plan.workers);
        farm
    }
}

/// A worker of a farm.
#[derive(Debug)]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// Its state directory.
    pub dir: PathBuf,
    /// Its process, unless it was killed.
    pub program: Option<Program>,
}

/// A running farm. Dropping it kills it, and prints what its programs said if the test failed.
#[derive(Debug)]
pub struct Farm {
    plan: FarmPlan,
    root: TempDir,
    book: Option<AddressBook>,
    coordinator: Option<Program>,
    workers: Vec<Worker>,
}

impl Farm {
    /// The directory that everything lies in.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The coordinator's state directory.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.plan.state.clone().unwrap_or_else(|| self.root().join("c"))
    }

    /// A folder that jobs may read from.
    #[must_use]
    pub fn input(&self, name: &str) -> PathBuf {
        self.root().join("in").join(name)
    }

    /// The folder that jobs may deliver to.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.root().join("out")
    }

    /// Names of delivered files.
    #[must_use]
    pub fn delivered(&self) -> Vec<String> {
        media::files_in(&self.out())
    }

    /// Names of files that wait to be published.
    #[must_use]
    pub fn staged(&self) -> Vec<String> {
        media::files_in(&self.state_dir().join("depot/staging"))
    }

    /// A job that encodes `input` to `name` in [`Self::out`] with one of x264's presets.
    #[must_use]
    pub fn encode(&self, input: &Path, name: &str, preset: &str) -> Value {
        let output = json!({"name": name, "destination": self.out().join(name), "video": {"preset": preset}});
        json!({"input": input, "outputs": [output]})
    }

    /// Where the running, or the last, coordinator listens.
    ///
    /// # Panics
    /// When none was started yet.
    #[must_use]
    pub fn book(&self) -> &AddressBook {
        self.book.as_ref().expect("the farm was started")
    }

    /// The administrator's token.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn token(&self) -> String {
        let path = self.state_dir().join("admin.token");
        fs::read_to_string(path).expect("init wrote the token").trim().to_owned()
    }

    /// The API, with the administrator's token.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::new(&self.book().api_url, Some(&self.token()))
    }

    /// A command of `rushes-coordinator` for this farm, with its settings.
    #[must_use]
    pub fn coordinator_command(&self, arguments: &[&str]) -> Command {
        let mut words = self.plan.around.iter();
        let mut command = match words.next() {
            Some(first) => Command::new(first),
            None => Command::new(binaries::coordinator()),
        };
        if !self.plan.around.is_empty() {
            command.args(words).arg(binaries::coordinator());
        }
        command.arg("--state-dir").arg(self.state_dir()).args(arguments);
        let mut roots = self.plan.inputs.clone();
        roots.extend([self.root().join("in"), media::folder(), binaries::repository().join("tests/media")]);
        command.arg("--set").arg(format!("depot.input_roots={}", json!(roots)));
        command.arg("--set").arg(format!("depot.output_roots={}", json!([self.out()])));
        for (key, address) in self.addresses() {
            command.arg("--set").arg(format!("{key}={address}"));
        }
        for assignment in &self.plan.coordinator {
            command.arg("--set").arg(assignment);
        }
        command
    }

    /// Free ports at first; after a restart the same again, as workers and clients know them.
    fn addresses(&self) -> [(&'static str, String); 4] {
        let known = |of: fn(&AddressBook) -> &str| {
            let text = self.book.as_ref().map_or("127.0.0.1:0", of);
            text.trim_start_matches("http://").to_owned()
        };
        [
            ("api.bind", known(|b| &b.api_url)),
            ("link.bind", known(|b| &b.link_addr)),
            ("depot.bind", known(|b| &b.depot_addr)),
            ("depot.http_bind", known(|b| &b.depot_url)),
        ]
    }

    /// Starts the coordinator and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    pub fn start_coordinator(&mut self) {
        let mut program =
            Program::start(self.coordinator_command(&["run"]), &self.root().join("coordinator.log"));
        let path = self.state_dir().join("run.json");
        let pid = program.pid().as_raw_nonzero().get().unsigned_abs();
        let book = until("the coordinator is ready", SOON, || {
            assert!(program.is_running(), "the coordinator ended at once:\n{}", program.said());
            let book: AddressBook = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            (book.pid == pid).then_some(book)
        });
        self.book = Some(book);
        self.coordinator = Some(program);
    }

    /// The running coordinator.
    ///
    /// # Panics
    /// When none runs.
    pub fn coordinator(&mut self) -> &mut Program {
        self.coordinator.as_mut().expect("the coordinator runs")
    }

    /// `kill -9` of the coordinator.
    pub fn kill_coordinator(&mut self) {
        self.coordinator = None;
    }

    /// Ends the coordinator in good order.
    ///
    /// # Panics
    /// When it does not end with success.
    pub fn stop_coordinator(&mut self) {
        let status = self.coordinator().stop();
        assert!(status.success(), "{status}: {}", self.coordinator().said());
        self.coordinator = None;
    }

    /// Goes on with another state directory of the coordinator, which does not run now.
    pub fn move_to(&mut self, dir: &Path) {
        self.plan.state = Some(dir.to_owned());
    }

    /// Has a new worker join and starts it; its number.
    pub fn add_worker(&mut self) -> usize {
        let number = self.workers.len();
        let name = format!("w{number}");
        let dir = self.root().join(&name);
        let token = succeed(self.coordinator_command(&["token", "join", "--quiet"]));
        self.workers.push(Worker { name: name.clone(), dir, program: None });
        let link = self.book().link_addr.clone();
        let _joined = succeed(self.worker_command(number, &["join", &link, token.trim(), "--name", &name]));
        self.start_worker(number);
        number
    }

    /// A command of `rushes-worker` for a worker, with its settings.
    #[must_use]
    pub fn worker_command(&self, number: usize, arguments: &[&str]) -> Command {
        let mut command = Command::new(binaries::worker());
        command.arg("--state-dir").arg(&self.workers[number].dir).args(arguments);
        for assignment in &self.plan.worker {
            command.arg("--set").arg(assignment);
        }
        command
    }

    /// Starts a worker that has joined.
    pub fn start_worker(&mut self, number: usize) {
        let log = self.root().join(format!("{}.log", self.workers[number].name));
        let program = Program::start(self.worker_command(number, &["run"]), &log);
        self.workers[number].program = Some(program);
    }

    /// A worker.
    #[must_use]
    pub fn worker(&self, number: usize) -> &Worker {
        &self.workers[number]
    }

    /// A worker's running process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn worker_program(&mut self, number: usize) -> &mut Program {
        self.workers[number].program.as_mut().expect("the worker runs")
    }

    /// `kill -9` of a worker.
    pub fn kill_worker(&mut self, number: usize) {
        self.workers[number].program = None;
    }

    /// The number of the worker with a name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn worker_named(&self, name: &str) -> usize {
        self.workers.iter().position(|w| w.name == name).expect("the worker is one of this farm's")
    }

    /// All that a worker has ever said.
    #[must_use]
    pub fn worker_log(&self, number: usize) -> String {
        fs::read_to_string(self.root().join(format!("{}.log", self.workers[number].name))).unwrap_or_default()
    }

    /// All that the coordinators of this farm have said.
    #[must_use]
    pub fn coordinator_log(&self) -> String {
        fs::read_to_string(self.root().join("coordinator.log")).unwrap_or_default()
    }

    /// Waits until this many workers are connected.
    pub fn connected(&self, count: usize) -> Vec<WorkerView> {
        let api = self.api();
        until(&format!("{count} workers are connected"), SOON * 3, || {
            let workers = api.workers();
            (workers.iter().filter(|w| w.presence == "connected").count() == count).then_some(workers)
        })
    }

    /// Waits until a worker's task process works on an attempt.
    #[must_use]
    pub fn task_process(&self, number: usize) -> Pid {
        let dir = &self.workers[number].dir;
        until("a task process is at work", SOON, || tasks::at_work(dir).first().copied())
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        // Workers first, so that their logs do not fill with a lost coordinator.
        for worker in &mut self.workers {
            worker.program = None;
        }
        self.coordinator = None;
        if std::thread::panicking() {
            println!("---- coordinator\n{}", self.coordinator_log());
            for number in 0..self.workers.len() {
                println!("---- {}\n{}", self.workers[number].name, self.worker_log(number));
            }
        }
    }
}
