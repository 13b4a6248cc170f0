//! The engine and its shell on virtual time: what is in flight, on which stream, and what a crash does to it.
//!
//! Messages of one stream stay in order, streams overtake one another, and a link that breaks takes all of its orders
//! with it. Commands leave only when the store has confirmed the record that they wait for.

mod delivery;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rushes_core::engine::Engine;
use rushes_core::event::{Command, Effects, Event, FarmEvent, Gated, LinkId, Reply, ReplyTo};
use rushes_core::policy::Policy;
use rushes_core::record::{self, IdempotencyKey, Record};
use rushes_core::state::State;
use rushes_shared::id::{AttemptId, JobId, TaskId, TenantId, WorkerId};
use rushes_shared::job::{JobChange, JobSpec};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{Progress, TaskOutcome};
use rushes_shared::units::{MonoMs, Now, WallMs};

use super::depot::{Asked, Depot};
use super::disk::Disk;
use super::samples::NOW;
use super::tell;
use super::worker::{Order, Said, Worker};

/// On its way from a worker to the engine. `stream` is `None` for the control stream.
#[derive(Debug, Clone)]
pub(crate) struct Up {
    pub(crate) link: LinkId,
    pub(crate) stream: Option<AttemptId>,
    pub(crate) event: Event,
}

/// On its way to a worker.
#[derive(Debug, Clone)]
pub(crate) struct Down {
    pub(crate) worker: WorkerId,
    pub(crate) link: LinkId,
    pub(crate) stream: Option<AttemptId>,
    pub(crate) order: Order,
}

/// A request to do a job.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) tenant: TenantId,
    pub(crate) spec: JobSpec,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) space_left: bool,
}

impl Ask {
    pub(crate) fn of(spec: JobSpec) -> Self {
        Self { tenant: TenantId::default_tenant(), spec, key: None, space_left: true }
    }
}

pub(crate) struct World {
    pub(crate) policy: Policy,
    pub(crate) now: Now,
    /// `None` while the coordinator is down.
    pub(crate) engine: Option<Engine>,
    /// The state as replay of the encoded records builds it.
    pub(crate) replayed: State,
    pub(crate) disk: Disk,
    pub(crate) depot: Depot,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) up: Vec<Up>,
    pub(crate) down: Vec<Down>,
    pub(crate) asked: Vec<Asked>,
    /// Events that the shell makes itself.
    pub(crate) inbox: VecDeque<Event>,
    gated: VecDeque<Gated>,
    /// The shell's newest connection of each worker, and the task streams that it opened there.
    links: BTreeMap<WorkerId, LinkId>,
    streams: BTreeSet<(LinkId, AttemptId)>,
    numbers: u64,
    jobs: u128,
    pub(crate) replies: BTreeMap<ReplyTo, Reply>,
    /// Jobs whose acceptance was answered.
    pub(crate) accepted: BTreeSet<JobId>,
    pub(crate) cancels: BTreeSet<JobId>,
    pub(crate) started: BTreeSet<AttemptId>,
    /// The most attempts that one turn of the engine had stopped, and the most that one had started.
    pub(crate) most_stops: usize,
    pub(crate) most_starts: usize,
    pub(crate) news: Vec<FarmEvent>,
    /// What a user, a worker or the depot could see, in short words.
    pub(crate) trace: Vec<String>,
}

impl World {
    /// A farm that starts for the first time.
    pub(crate) fn new(policy: Policy) -> Self {
        let mut world = Self {
            policy,
            now: Now { mono: MonoMs(1_000), wall: WallMs(NOW) },
            engine: None,
            replayed: State::default(),
            disk: Disk::default(),
            depot: Depot::default(),
            workers: BTreeMap::new(),
            up: Vec::new(),
            down: Vec::new(),
            asked: Vec::new(),
            inbox: VecDeque::new(),
            gated: VecDeque::new(),
            links: BTreeMap::new(),
            streams: BTreeSet::new(),
            numbers: 0,
            jobs: 0,
            replies: BTreeMap::new(),
            accepted: BTreeSet::new(),
            cancels: BTreeSet::new(),
            started: BTreeSet::new(),
            most_stops: 0,
            most_starts: 0,
            news: Vec::new(),
            trace: Vec::new(),
        };
        world.start();
        world
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the coordinator runs")
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    // The coordinator.

    /// Starts the coordinator on what the disk has.
    pub(crate) fn start(&mut self) {
        let (epoch, state) = self.disk.open();
        self.replayed = state.clone();
        let (engine, effects) = Engine::recover(state, self.policy.clone(), epoch, self.now);
        self.engine = Some(engine);
        self.absorb(effects);
    }

    /// Kills the coordinator: nothing that waited for the disk leaves any more, `written` of the records that were not
    /// confirmed are on the disk, every link breaks, and requests on their way to the depot arrive or not.
    pub(crate) fn crash(&mut self, written: usize, requests_arrive: bool) {
        self.engine = None;
        self.disk.crash(written);
        self.gated.clear();
        self.up.clear();
        self.down.clear();
        self.links.clear();
        self.streams.clear();
        for asked in std::mem::take(&mut self.asked) {
            if requests_arrive {
                self.serve(asked);
            }
        }
        self.inbox.clear();
        for worker in self.workers.values_mut() {
            worker.unlink();
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        let Some(engine) = &mut self.engine else { return };
        let effects = engine.handle(self.now, event);
        self.absorb(effects);
    }

    fn absorb(&mut self, effects: Effects) {
        for record in &effects.records {
            let bytes = record::to_bytes(record).expect("a record fits its limit");
            let read: Record = record::from_bytes(&bytes).expect("a record reads back");
            self.replayed.apply(&read).expect("the engine's records fit");
        }
        for gated in &effects.commands {
            assert!(gated.after <= self.replayed.seq, "a command waits for a record that was never made");
            if let Command::StartTask { order, .. } = &gated.command {
                assert!(self.started.insert(order.attempt), "{} was used twice", order.attempt);
            }
        }
        let is_stop = |gated: &&Gated| matches!(gated.command, Command::CancelTask { .. });
        self.most_stops = self.most_stops.max(effects.commands.iter().filter(is_stop).count());
        let is_start = |gated: &&Gated| matches!(gated.command, Command::StartTask { .. });
        self.most_starts = self.most_starts.max(effects.commands.iter().filter(is_start).count());
        self.disk.append(&effects);
        self.gated.extend(effects.commands);
        self.release();
    }

    /// The disk confirms some more, and what waited for it leaves.
    pub(crate) fn confirm(&mut self, count: usize) {
        self.disk.confirm(count);
        self.release();
    }

    fn release(&mut self) {
        while self.gated.front().is_some_and(|g| g.after <= self.disk.confirmed()) {
            let gated = self.gated.pop_front().expect("it was just seen");
            self.trace.extend(tell::line(&gated.command));
            self.perform(gated.command);
        }
    }

    fn perform(&mut self, command: Command) {
        match command {
            Command::Answer { to, reply } => {
                if let Reply::Accepted { job, .. } = reply {
                    assert!(self.disk.has(job), "{job} was answered before it was on the disk");
                    self.accepted.insert(job);
                }
                self.replies.insert(to, reply);
            }
            Command::Welcome { worker, link, give_up, .. } => {
                let epoch = self.disk.durable().epoch;
                self.order(worker, link, None, Order::Welcome { epoch, give_up });
            }
            Command::StartTask { worker, link, order } => {
                self.streams.insert((link, order.attempt));
                self.order(worker, link, Some(order.attempt), Order::Start(order));
            }
            Command::AttachTask { worker, link, attempt, .. } => {
                self.streams.insert((link, attempt));
                self.order(worker, link, Some(attempt), Order::Attach(attempt));
            }
            Command::CancelTask { worker, attempt } => {
                self.order_newest(worker, attempt, Order::Cancel(attempt));
            }
            Command::RecallTask { worker, attempt } => {
                self.order_newest(worker, attempt, Order::Recall(attempt));
            }
            Command::CollectOutcome { worker, attempt } => {
                self.order_newest(worker, attempt, Order::Collected(attempt));
            }
            Command::CloseLink { worker, link } => {
                if self.workers[&worker].link == Some(link) {
                    self.cut(worker, true);
                }
            }
            Command::TellDraining { worker, link, .. } => self.order(worker, link, None, Order::Draining),
            Command::Publish { job, output, from, to } => {
                self.asked.push(Asked::Publish { job, output, from, to });
            }
            Command::DropStaged { attempts } => self.asked.push(Asked::Drop(attempts)),
            Command::FindStaged { before, after } => self.asked.push(Asked::Find { before, after }),
            Command::Notify(event) => self.news.push(event),
        }
    }

    /// Puts an order on a link, if that link still stands.
    fn order(&mut self, worker: WorkerId, link: LinkId, stream: Option<AttemptId>, order: Order) {
        if self.links.get(&worker) == Some(&link) && self.workers[&worker].link == Some(link) {
            self.down.push(Down { worker, link, stream, order });
        }
    }

    /// Puts a word on an attempt's stream on the worker's newest link, if there is one.
    fn order_newest(&mut self, worker: WorkerId, attempt: AttemptId, order: Order) {
        let Some(link) = self.links.get(&worker).copied() else { return };
        if self.streams.contains(&(link, attempt)) {
            self.order(worker, link, Some(attempt), order);
        }
    }

    // Callers.

    /// A principal asks for a job. Its id, if it is accepted as a new one.
    pub(crate) fn submit(&mut self, ask: Ask) -> JobId {
        self.jobs += 1;
        let (job, reply) = (JobId(self.jobs), ReplyTo(self.number()));
        let Ask { tenant, spec, key, space_left } = ask;
        let (spec, submitter) = (Box::new(spec), "someone".into());
        self.tell(Event::JobSubmitted { reply, job, tenant, submitter, spec, key, space_left });
        job
    }

    pub(crate) fn cancel(&mut self, job: JobId) {
        let reply = ReplyTo(self.number());
        self.cancels.insert(job);
        self.tell(Event::CancelAsked { reply, job });
    }

    pub(crate) fn amend(&mut self, job: JobId, change: JobChange) {
        let reply = ReplyTo(self.number());
        self.tell(Event::AmendAsked { reply, job, change: Box::new(change) });
    }

    pub(crate) fn set_limit(&mut self, name: &str, most: Option<u32>) {
        let reply = ReplyTo(self.number());
        self.tell(Event::LimitSetAsked { reply, name: name.to_owned(), most });
    }

    pub(crate) fn dry_run(&mut self, spec: JobSpec) {
        let reply = ReplyTo(self.number());
        let tenant = TenantId::default_tenant();
        self.tell(Event::DryRunAsked { reply, tenant, spec: Box::new(spec) });
    }

    pub(crate) fn drain(&mut self, worker: WorkerId, draining: bool) {
        let reply = ReplyTo(self.number());
        self.tell(Event::DrainAsked { reply, worker, draining });
    }

    // Workers.

    pub(crate) fn add_worker(&mut self, id: WorkerId, facts: NodeFacts) {
        self.workers.insert(id, Worker::new(facts));
    }

    /// The worker connects and says hello.
    pub(crate) fn connect(&mut self, id: WorkerId) {
        if self.engine.is_none() || !self.workers[&id].alive || self.workers[&id].link.is_some() {
            return;
        }
        let link = LinkId(self.number());
        let worker = self.workers.get_mut(&id).expect("a known worker");
        worker.link = Some(link);
        // What it has not started it forgets.
        worker.waiting.clear();
        let event = Event::WorkerJoined {
            worker: id,
            link,
            instance: worker.instance,
            facts: Box::new(worker.facts.clone()),
            held: worker.holds(),
        };
        self.up.push(Up { link, stream: None, event });
    }

    /// The worker's link breaks. What it had sent arrives all the same, or not; what was sent to it does not.
    pub(crate) fn cut(&mut self, id: WorkerId, words_arrive: bool) {
        let Some(link) = self.workers.get_mut(&id).and_then(Worker::unlink) else { return };
        self.down.retain(|d| d.link != link);
        let is_hello = |u: &Up| u.link == link && matches!(u.event, Event::WorkerJoined { .. });
        let was_heard = !self.up.iter().any(is_hello);
        if !words_arrive {
            self.up.retain(|u| u.link != link);
        }
        if was_heard || words_arrive {
            self.up.push(Up { link, stream: None, event: Event::LinkLost { worker: id, link } });
        }
    }

    /// The worker's process dies; another one may follow with [`World::revive`].
    pub(crate) fn kill(&mut self, id: WorkerId, words_arrive: bool) {
        self.cut(id, words_arrive);
        let worker = self.workers.get_mut(&id).expect("a known worker");
        worker.held.clear();
        worker.waiting.clear();
        worker.alive = false;
    }

    pub(crate) fn revive(&mut self, id: WorkerId) {
        let instance = self.number();
        let worker = self.workers.get_mut(&id).expect("a known worker");
        worker.alive = true;
        worker.instance = instance;
    }

    /// The worker says something about an attempt, if it has a stream for it.
    fn say(&mut self, id: WorkerId, task: TaskId, attempt: AttemptId, said: Said) {
        let worker = &self.workers[&id];
        let Some(link) = worker.link.filter(|_| worker.streams.contains(&attempt)) else { return };
        let event = match said {
            Said::Started => Event::TaskStarted { worker: id, task, attempt },
            Said::Progress(progress) => Event::TaskProgressed { worker: id, task, attempt, progress },
            Said::Ended(outcome) => {
                Event::TaskEnded { worker: id, task, attempt, outcome: Box::new(outcome) }
            }
            Said::Recalled => Event::TaskRecalled { worker: id, task, attempt },
            Said::Refused(failure) => Event::TaskRefused { worker: id, task, attempt, failure },
        };
        self.up.push(Up { link, stream: Some(attempt), event });
    }

    pub(crate) fn progress(&mut self, id: WorkerId, attempt: AttemptId, permille: u16) {
        let task = self.workers[&id].held[&attempt].order.task;
        self.say(id, task, attempt, Said::Progress(Progress { permille, ..Progress::default() }));
    }

    /// An attempt ends on the worker; an output is staged first.
    pub(crate) fn end(&mut self, id: WorkerId, attempt: AttemptId, outcome: TaskOutcome, stages: bool) {
        let held = self.workers.get_mut(&id).and_then(|w| w.held.get_mut(&attempt));
        let held = held.expect("the worker holds the attempt");
        assert!(held.outcome.is_none(), "{attempt} has ended before");
        held.outcome = Some(outcome.clone());
        let task = held.order.task;
        if stages {
            self.depot.staged.insert(attempt);
        }
        self.say(id, task, attempt, Said::Ended(outcome));
        let words = self.workers.get_mut(&id).expect("a known worker").start_waiting();
        for (task, attempt, said) in words {
            self.say(id, task, attempt, said);
        }
    }
}
