//! Other task queues beside the farm, where they can be had: a Python program that holds one of them and answers
//! questions, or HyperQueue's own binary.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::wait_for;
use crate::farm::owned;
use crate::program;

/// How long a peer may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where programs of the peers are, by the environment.
fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// A task queue behind a Python program; ends with its owner.
#[derive(Debug)]
pub struct PythonPeer {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl PythonPeer {
    /// Starts `tests/benches/peers/SCRIPT.py` in the virtual environment that PEERS_VENV names, and waits until it is
    /// warm. `None` where the variable is not set or the environment lacks the module.
    ///
    /// # Errors
    /// Where it is there and does not start.
    pub fn start(script: &str, module: &str) -> Result<Option<Self>> {
        let Some(venv) = named("PEERS_VENV") else { return Ok(None) };
        let python = venv.join("bin/python");
        let mut look = Command::new(&python);
        look.args(["-c", &format!("import {module}")]);
        if program::run(&mut look).is_err() {
            return Ok(None);
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers").join(format!("{script}.py"));
        let mut command = owned(&python, [path.as_os_str()])?;
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {script}"))?;
        let answers = BufReader::new(child.stdout.take().context("its output is a pipe")?);
        let questions = child.stdin.take();
        let mut peer = Self { child, questions, answers };
        let word = peer.answer()?;
        if word != "ready" {
            bail!("{script} said '{word}' instead of being ready");
        }
        Ok(Some(peer))
    }

    fn ask(&mut self, question: &str) -> Result<String> {
        let pipe = self.questions.as_mut().context("its input is a pipe")?;
        writeln!(pipe, "{question}").and_then(|()| pipe.flush()).context("ask a peer")?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line).context("read a peer's answer")? == 0 {
            bail!("a peer ended early ({:?})", self.child.try_wait());
        }
        Ok(line.trim().to_owned())
    }

    /// Tasks a second, so many submitted at once.
    ///
    /// # Errors
    /// Where it fails.
    pub fn rate(&mut self, tasks: u32) -> Result<f64> {
        self.ask(&format!("rate {tasks}"))?.parse().context("read a peer's rate")
    }

    /// Milliseconds from submit to start, of so many tasks one after the other.
    ///
    /// # Errors
    /// Where it fails.
    pub fn starts(&mut self, tasks: usize) -> Result<Vec<f64>> {
        serde_json::from_str(&self.ask(&format!("starts {tasks}"))?).context("read a peer's waits")
    }
}

impl Drop for PythonPeer {
    fn drop(&mut self) {
        // The end of its input is its end; it takes its own parts down first.
        self.questions = None;
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// HyperQueue with one worker of two CPUs; ends with its owner.
#[derive(Debug)]
pub struct HyperQueue {
    hq: PathBuf,
    dir: PathBuf,
    parts: Vec<Child>,
}

impl HyperQueue {
    /// Starts the binary that HQ names. `None` where it is not set.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start(dir: &Path) -> Result<Option<Self>> {
        let Some(hq) = named("HQ") else { return Ok(None) };
        let mut peer = Self { hq, dir: dir.to_owned(), parts: Vec::new() };
        peer.add(&["server", "start"])?;
        wait_for("HyperQueue's server", PATIENCE, Duration::from_millis(50), || {
            Ok(peer.says(&["server", "info"]))
        })?;
        peer.add(&["worker", "start", "--cpus", "2"])?;
        peer.rate(100)?;
        Ok(Some(peer))
    }

    fn add(&mut self, arguments: &[&str]) -> Result<()> {
        let words = [OsStr::new("--server-dir"), self.dir.as_os_str()];
        let mut command = owned(&self.hq, words.into_iter().chain(arguments.iter().map(OsStr::new)))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir(&self.dir);
        self.parts.push(command.spawn().context("cannot start HyperQueue")?);
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.hq);
        command.arg("--server-dir").arg(&self.dir).args(arguments).current_dir(&self.dir);
        command
    }

    fn says(&self, arguments: &[&str]) -> bool {
        program::run(&mut self.command(arguments)).is_ok()
    }

    /// Tasks a second, each a process that does nothing, as one job.
    ///
    /// # Errors
    /// Where it fails.
    pub fn rate(&self, tasks: u32) -> Result<f64> {
        let array = format!("--array=1-{tasks}");
        let quiet = ["--stdout", "none", "--stderr", "none"];
        let mut command = self.command(&["submit", &array, "--wait"]);
        let spent = program::run(command.args(quiet).args(["--", "true"]))?;
        Ok(f64::from(tasks) / spent.wall.as_secs_f64())
    }
}

impl Drop for HyperQueue {
    fn drop(&mut self) {
        let _stopped = program::run(&mut self.command(&["server", "stop"]));
        for part in &mut self.parts {
            let _gone = part.kill();
            let _reaped = part.wait();
        }
    }
}
