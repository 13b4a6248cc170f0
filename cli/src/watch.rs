//! Follows jobs to their ends over their event streams, across lost connections and restarts of the coordinator.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rushes_shared::id::{JobId, TaskId};
use rushes_shared::view::{EventView, JobView};

use crate::board::Board;
use crate::client::Client;
use crate::events;
use crate::fault::Fault;
use crate::interrupt::Interrupt;

/// How long a farm may be away before its jobs are given up on.
const PATIENCE: Duration = Duration::from_secs(120);
/// First and longest pause before the next try to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// How often Ctrl-C is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// How often it is asked why a job waits.
const ASK: Duration = Duration::from_secs(5);
/// Most jobs that this is asked of at once: a thousand films would keep the farm busy with answers.
const ASKED: usize = 4;
/// Reasons to wait that do not pass by themselves.
const STANDS_STILL: [&str; 3] = ["no_node", "old_nodes", "shut_nodes"];

/// What a job's stream says.
#[derive(Debug)]
pub(crate) enum Update {
    /// The job as it is.
    Job(Box<JobView>),
    /// Something happened to it.
    News(Box<EventView>),
    /// The connection was lost and is being made again.
    Lost(String),
    /// It cannot be followed any more.
    Over(Fault),
}

/// Jobs that are being followed.
#[derive(Debug)]
pub(crate) struct Watch {
    client: Client,
    sender: Sender<(usize, Update)>,
    updates: Receiver<(usize, Update)>,
    jobs: Vec<Followed>,
    /// When it was last asked why they wait.
    asked: Instant,
}

#[derive(Debug)]
struct Followed {
    id: JobId,
    last: Option<JobView>,
    fault: Option<Fault>,
    /// What was last said of why it stands still.
    stands: String,
}

impl Followed {
    fn is_over(&self) -> bool {
        self.fault.is_some() || self.last.as_ref().is_some_and(|job| job.state.is_final())
    }

    /// Whether nothing of it was running when it was last seen.
    fn is_idle(&self) -> bool {
        !self.is_over() && self.last.as_ref().is_some_and(|job| job.task_counts.running == 0)
    }
}

impl Watch {
    pub(crate) fn new(client: &Client) -> Self {
        let (sender, updates) = channel();
        Self { client: client.clone(), sender, updates, jobs: Vec::new(), asked: Instant::now() }
    }

    /// Follows one more job.
    pub(crate) fn add(&mut self, id: JobId) {
        let (client, sender, index) = (self.client.clone(), self.sender.clone(), self.jobs.len());
        self.jobs.push(Followed { id, last: None, fault: None, stands: String::new() });
        thread::spawn(move || {
            let tell = |update| sender.send((index, update)).is_ok();
            follow(&client, id, &tell);
        });
    }

    /// Jobs that have not ended, as far as is known.
    pub(crate) fn open(&self) -> Vec<JobId> {
        self.jobs.iter().filter(|job| !job.is_over()).map(|job| job.id).collect()
    }

    /// Shows what has come in meanwhile, without waiting.
    pub(crate) fn look(&mut self, board: &mut Board) {
        while let Ok((index, update)) = self.updates.try_recv() {
            self.take(index, update, board);
        }
        board.tick();
    }

    /// Waits until all jobs have ended; their final states, in the order in which they were added. `check` is asked now
    /// and then whether waiting still makes sense.
    pub(crate) fn finish(
        &mut self,
        board: &mut Board,
        interrupt: &Interrupt,
        deadline: Option<Instant>,
        check: &mut dyn FnMut() -> Result<(), Fault>,
    ) -> Result<Vec<JobView>, Fault> {
        while self.jobs.iter().any(|job| !job.is_over()) {
            if interrupt.is_asked() || deadline.is_some_and(|at| Instant::now() >= at) {
                return Err(Fault::Interrupted);
            }
            check()?;
            match self.updates.recv_timeout(LOOK) {
                Ok((index, update)) => self.take(index, update, board),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            board.tick();
            self.tell_what_stands_still(board);
        }
        match self.jobs.iter_mut().find_map(|job| job.fault.take()) {
            Some(fault) => Err(fault),
            None => Ok(self.jobs.iter_mut().filter_map(|job| job.last.take()).collect()),
        }
    }

    /// Says of jobs that no node of the farm can go on with what they wait for: without somebody's help they would do so for ever.
    fn tell_what_stands_still(&mut self, board: &Board) {
        if self.asked.elapsed() < ASK {
            return;
        }
        self.asked = Instant::now();
        for job in self.jobs.iter_mut().filter(|job| job.is_idle()).take(ASKED) {
            // Where the farm is away, the stream says so.
            let Ok(why) = self.client.explain(job.id) else { continue };
            let still = why.waits.iter().filter(|wait| STANDS_STILL.contains(&wait.reason.as_str()));
            let still: Vec<String> =
                still.map(|wait| format!("{} waits: {}", wait.name, wait.detail)).collect();
            let text = still.join("; ");
            if !text.is_empty() && text != job.stands {
                board.say(&text);
            }
            job.stands = text;
        }
    }

    fn take(&mut self, index: usize, update: Update, board: &mut Board) {
        board.show(self.jobs[index].id, &update);
        match update {
            Update::Job(job) => self.jobs[index].last = Some(*job),
            Update::Over(fault) => self.jobs[index].fault = Some(fault),
            Update::News(_) | Update::Lost(_) => {}
        }
    }
}

/// Runs on a thread of its own until the job has ended or nobody listens.
fn follow(client: &Client, id: JobId, tell: &dyn Fn(Update) -> bool) {
    let mut since = Instant::now();
    let mut pause = PAUSES.0;
    let mut is_lost = false;
    loop {
        let began = Instant::now();
        let fault = match read_stream(client, id, tell) {
            Ok(true) => return,
            Ok(false) => None,
            Err(fault) if fault.may_pass() => Some(fault),
            Err(fault) => {
                tell(Update::Over(fault));
                return;
            }
        };
        if fault.is_none() {
            // There was a stream, so the farm is there; a stream that ends at once must not make a busy loop.
            since = Instant::now();
            is_lost = false;
            if began.elapsed() > PAUSES.1 {
                pause = PAUSES.0;
            }
        }
        if let Some(fault) = fault {
            if since.elapsed() > PATIENCE {
                tell(Update::Over(fault));
                return;
            }
            if !is_lost {
                is_lost = true;
                if !tell(Update::Lost(fault.to_string())) {
                    return;
                }
            }
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Reads one stream to its end. `true`: the job has ended, or nobody listens.
fn read_stream(client: &Client, id: JobId, tell: &dyn Fn(Update) -> bool) -> Result<bool, Fault> {
    let mut stream = client.stream(&format!("/v1/jobs/{id}/events"), None)?;
    let mut known: BTreeSet<TaskId> = BTreeSet::new();
    // A job of very many tasks is shown with the first of them only.
    let mut is_cut = false;
    // A broken stream is one that ends: the caller connects again.
    while let Ok(Some(event)) = events::next(&mut stream) {
        if event.name == "job" {
            let Ok(job) = serde_json::from_str::<JobView>(&event.data) else { continue };
            known.extend(job.tasks.iter().map(|task| task.id));
            let is_final = job.state.is_final();
            if !tell(Update::Job(Box::new(job))) || is_final {
                return Ok(true);
            }
            continue;
        }
        let Ok(news) = serde_json::from_str::<EventView>(&event.data) else { continue };
        // A task that was planned since the job was last seen: what it makes is in the job.
        if let Some(task) = news.task.filter(|task| !is_cut && !known.contains(task)) {
            let job = client.job(id)?;
            known.extend(job.tasks.iter().map(|task| task.id));
            is_cut = !known.contains(&task);
            if !job.state.is_final() && !tell(Update::Job(Box::new(job))) {
                return Ok(true);
            }
        }
        if !tell(Update::News(Box::new(news))) {
            return Ok(true);
        }
    }
    Ok(false)
}
