//! One worker's connection: its control stream, one stream per task, and the lane of tasks that the worker answers itself.
//!
//! The actor only passes orders on; each stream has a small task of its own that reads replies into the engine and
//! pauses when the engine is busy.

mod control;
mod lane;
mod task_stream;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use quinn::{Connection, VarInt};
use rushes_core::event::Event;
use rushes_net::endpoint::refuse;
use rushes_net::ticket::TicketKey;
use rushes_shared::artifact::{FileName, Location};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::{AttemptId, Epoch, TaskId, TenantId, WorkerId};
use rushes_shared::task::{TaskOrder, TaskWork};
use rushes_shared::ticket::{Grant, Ticket};
use rushes_shared::units::WallMs;
use rushes_shared::wire::{LaneEntry, LaneOrder, TaskBound, WireVersion, WorkerBound, close};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::engine_actor::{EngineActor, Happened, tell};
use crate::made_of::made_of;
use crate::task_logs::TaskLogs;

use control::Word;
use lane::LaneWord;
use task_stream::{TaskStream, TaskWord};

pub use control::serve;

/// How long a task stream may take to open; the other side has to allow more streams.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Orders that may wait for one connection.
const MAILBOX: usize = 4_096;
/// Words that may wait for one task's stream.
const TASK_QUEUE: usize = 8;
/// A ticket outlives its attempt's wall limit by this much.
const TICKET_GRACE_MS: u64 = 3_600_000;

/// What the farm tells every worker.
#[derive(Debug, Clone)]
pub struct FarmFacts {
    /// The reign.
    pub epoch: Epoch,
    /// How often a heartbeat is due, in milliseconds.
    pub heartbeat_ms: u64,
    /// How long a lease lasts, in milliseconds.
    pub lease_ms: u64,
    /// Where the depot listens.
    pub depot: String,
    /// Signs tickets.
    pub key: Arc<TicketKey>,
    /// Time for tickets.
    pub clock: Clock,
    /// Keeps what task processes write.
    pub logs: TaskLogs,
}

/// Orders from the engine, as many as left it together.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LinkOrders(pub Vec<LinkOrder>);

/// An order from the engine.
#[derive(Debug)]
pub enum LinkOrder {
    /// Answer the hello.
    Welcome {
        /// Attempts to give up.
        give_up: Vec<AttemptId>,
        /// Whether the worker is drained.
        draining: bool,
    },
    /// Open a stream and start this.
    Start {
        /// What.
        order: Box<TaskOrder>,
        /// Whose job it is, where the job is known.
        tenant: Option<TenantId>,
    },
    /// Open a stream for what the worker holds.
    Attach {
        /// The task.
        task: TaskId,
        /// The try.
        attempt: AttemptId,
    },
    /// Stop this.
    Cancel(AttemptId),
    /// The worker is to give this back.
    Recall(AttemptId),
    /// Its outcome is on disk.
    Collect(AttemptId),
    /// The worker is drained, or not any more.
    Draining(bool),
    /// A newer connection took this one's place.
    Replaced,
    /// An operator removed the worker.
    Removed,
    /// The coordinator stops; the sender goes when the worker has heard it.
    Goodbye(mpsc::Sender<Infallible>),
    /// The engine gave the worker up.
    Close,
}

/// The connection cannot keep up.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Overrun;

/// The actor.
#[derive(Debug)]
pub struct LinkActor {
    worker: WorkerId,
    connection: Connection,
    control: mpsc::Sender<Word>,
    engine: Addr<EngineActor>,
    farm: Arc<FarmFacts>,
    tasks: BTreeMap<AttemptId, mpsc::Sender<TaskWord>>,
    /// Whether orders may wait on the worker for room.
    may_wait: bool,
    /// What the worker understands.
    version: WireVersion,
    /// Opened when it is first needed.
    lane: Option<mpsc::Sender<LaneWord>>,
}

/// A task's stream has ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct StreamEnded(AttemptId);

impl LinkActor {
    fn say(&self, word: impl Into<Word>) {
        if self.control.try_send(word.into()).is_err() {
            self.connection
                .close(VarInt::from_u32(close::PROTOCOL), b"the worker does not read its control stream");
        }
    }

    /// An attempt without a stream of its own is on the lane, or over.
    fn tell_task(&mut self, attempt: AttemptId, word: TaskWord) {
        let Some(queue) = self.tasks.get(&attempt) else {
            if self.lane.is_some() {
                self.say_on_lane(match word {
                    TaskWord::Cancel => LaneWord::Cancel(attempt),
                    TaskWord::Collect => LaneWord::Collected(attempt),
                    TaskWord::Recall => LaneWord::Recall(attempt),
                });
            }
            return;
        };
        if queue.try_send(word).is_err() {
            self.tasks.remove(&attempt);
        }
    }

    fn say_on_lane(&mut self, word: LaneWord) {
        let lane = self
            .lane
            .get_or_insert_with(|| lane::open(self.connection.clone(), self.worker, self.engine.clone()));
        if lane.try_send(word).is_err() {
            self.connection.close(VarInt::from_u32(close::PROTOCOL), b"the worker does not read its lane");
        }
    }

    fn open(&mut self, ctx: &mut Context<Self>, task: TaskId, attempt: AttemptId, first: TaskBound) {
        let (words, queue) = mpsc::channel(TASK_QUEUE);
        self.tasks.insert(attempt, words);
        let stream = TaskStream {
            worker: self.worker,
            task,
            attempt,
            engine: self.engine.clone(),
            connection: self.connection.clone(),
            farm: Arc::clone(&self.farm),
        };
        let (me, connection, worker) = (ctx.address(), self.connection.clone(), self.worker);
        // Without a span: to write one down for every task costs more than to send its order.
        let run = async move {
            if let Err(error) = stream.run(first, queue).await {
                tracing::info!(
                    job = %task.job, %task, %attempt, %worker, %error,
                    "the task's stream broke, and its connection is closed with it"
                );
                // The worker comes back and says what it holds; an attempt without a stream would be heard of no more.
                connection.close(VarInt::from_u32(close::PROTOCOL), b"a task's stream broke; connect again");
            }
            let _stopped = me.send(StreamEnded(attempt)).await;
        };
        ctx.spawn(run.into_actor(self));
    }

    /// Answers for a worker that would not understand the order: one that was older than its predecessor when it took
    /// its place, with the order on its way.
    fn refuse(&self, ctx: &mut Context<Self>, task: TaskId, attempt: AttemptId, needs: WireVersion) {
        let (has, needs) = (self.version.number(), needs.number());
        let failure = Failure::new(
            FailureCode::NodeUnfit,
            format!("the worker speaks rushes/{has}, and the task needs rushes/{needs}"),
            "update the worker to the coordinator's version; the task is tried on another one",
        );
        let (worker, engine) = (self.worker, self.engine.clone());
        let refused = Event::TaskRefused { worker, task, attempt, failure };
        ctx.spawn(async move { tell(&engine, Happened(refused)).await }.into_actor(self));
    }

    fn start_word(&self, order: TaskOrder, tenant: Option<TenantId>) -> TaskBound {
        let wall = self.farm.clock.now().wall.0;
        let expires = WallMs(wall.saturating_add(order.limits.wall_ms).saturating_add(TICKET_GRACE_MS));
        let sign = |grant: Grant| self.farm.key.sign(&Ticket { grant, expires });
        let parts: Vec<AttemptId> = order.work.parts().filter_map(|part| part.attempt).collect();
        let read_ticket = match order.work.input() {
            Some(input) if parts.is_empty() => sign(Grant::Read(input.location.clone())),
            Some(input) => sign(Grant::ReadWith { input: input.location.clone(), attempts: parts }),
            None if !order.work.files().is_empty() => {
                let files = order.work.files().iter().map(|file| file.location.clone());
                sign(Grant::ReadAny(files.collect()))
            }
            None if parts.is_empty() => Vec::new(),
            None => sign(Grant::ReadStaged(parts)),
        };
        let write = |name: &FileName| {
            let to = Location::Staged(order.attempt, name.clone());
            match made_of(&order.work).zip(tenant) {
                Some((of, tenant)) => Grant::Make { to, tenant, of },
                None => Grant::Write(to),
            }
        };
        let write_ticket = order.work.output().map(|name| sign(write(name))).unwrap_or_default();
        TaskBound::Start { order, read_ticket, write_ticket }
    }
}

impl Actor for LinkActor {
    type Context = Context<Self>;
}

impl Handler<LinkOrders> for LinkActor {
    type Result = ();

    fn handle(&mut self, orders: LinkOrders, ctx: &mut Self::Context) {
        for order in orders.0 {
            self.carry_out(order, ctx);
        }
    }
}

impl LinkActor {
    fn carry_out(&mut self, order: LinkOrder, ctx: &mut Context<Self>) {
        match order {
            LinkOrder::Welcome { give_up, draining } => {
                self.say(WorkerBound::Welcome {
                    epoch: self.farm.epoch,
                    heartbeat_ms: self.farm.heartbeat_ms,
                    lease_ms: self.farm.lease_ms,
                    depot: self.farm.depot.clone(),
                    give_up,
                });
                if draining {
                    self.say(WorkerBound::Draining(true));
                }
            }
            LinkOrder::Start { order, tenant } => {
                let (task, attempt) = (order.task, order.attempt);
                if let TaskWork::Noop { hold_ms, .. } = order.work {
                    let hold_ms = u64::from(hold_ms);
                    let to_do = LaneOrder { task, attempt, hold_ms };
                    return self.say_on_lane(if self.may_wait {
                        LaneWord::Enter(LaneEntry { order: to_do, slot: order.slot, demand: order.demand })
                    } else {
                        LaneWord::Start(to_do)
                    });
                }
                let needs = order.work.since();
                if needs > self.version {
                    return self.refuse(ctx, task, attempt, needs);
                }
                let first = self.start_word(*order, tenant);
                self.open(ctx, task, attempt, first);
            }
            LinkOrder::Attach { task, attempt } => {
                self.open(ctx, task, attempt, TaskBound::Attach { attempt });
            }
            LinkOrder::Cancel(attempt) => self.tell_task(attempt, TaskWord::Cancel),
            LinkOrder::Recall(attempt) => self.tell_task(attempt, TaskWord::Recall),
            LinkOrder::Collect(attempt) => self.tell_task(attempt, TaskWord::Collect),
            LinkOrder::Draining(draining) => self.say(WorkerBound::Draining(draining)),
            LinkOrder::Replaced => {
                let reason = b"a newer connection of this worker took its place";
                self.connection.close(VarInt::from_u32(close::REPLACED), reason);
                ctx.stop();
            }
            LinkOrder::Goodbye(heard) => self.say(Word::Last(WorkerBound::Goodbye, heard)),
            LinkOrder::Removed => {
                refuse(&self.connection, &control::removed());
                ctx.stop();
            }
            LinkOrder::Close => {
                let reason = b"no heartbeat within the lease; connect again";
                self.connection.close(VarInt::from_u32(close::UNAVAILABLE), reason);
                ctx.stop();
            }
        }
    }
}

impl Handler<Overrun> for LinkActor {
    type Result = ();

    fn handle(&mut self, _: Overrun, ctx: &mut Self::Context) {
        let reason = b"the connection does not take orders fast enough; connect again";
        self.connection.close(VarInt::from_u32(close::UNAVAILABLE), reason);
        ctx.stop();
    }
}

impl Handler<StreamEnded> for LinkActor {
    type Result = ();

    fn handle(&mut self, ended: StreamEnded, _: &mut Self::Context) {
        self.tasks.remove(&ended.0);
    }
}
