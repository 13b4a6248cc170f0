//! The engine's actor: feeds events to the pure engine, sends its records to the store, and lets each command out only
//! when the record that it depends on is on disk.
//!
//! ```text
//! api, links, depot --EngineEvent--> EngineActor --Batch--> store thread
//!                                        ^                     |
//!                                        +---- confirmed seq --+   (a watch: the newest one counts)
//! ```
//!
//! Engine, links and the store's front share one arbiter; nothing here waits or blocks.

mod links;
mod messages;
mod open_batch;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use rushes_core::engine::Engine;
use rushes_core::event::{Command, Effects, Event, FarmEvent, Gated, Reply, ReplyTo};
use rushes_core::job::Job;
use rushes_core::record::{self, Record};
use rushes_shared::id::{Epoch, JobId, Seq};
use rushes_shared::units::MonoMs;
use tokio::sync::{broadcast, oneshot, watch};

use crate::clock::Clock;
use crate::depot_client::DepotFront;
use crate::link_actor::LinkOrder;
use crate::store::{ArchiveDoc, Batch, StoreHandle, SubmitError};
use crate::telemetry::{self, Meters};

use links::Links;
use open_batch::OpenBatch;

pub use messages::{
    Farewell, Happened, HappenedAll, Inspect, LinkClosed, LinkOpened, News, Overload, Removed, Request, View,
    WorkerRemoved, tell,
};

/// Batches that may wait behind a full store before requests are refused. What workers say is always taken in; it is
/// bounded by what they run.
const MAX_BACKLOG: usize = 1_024;

/// The actor.
pub struct EngineActor {
    engine: Engine,
    clock: Clock,
    epoch: Epoch,
    store: StoreHandle,
    confirmed: watch::Receiver<Seq>,
    /// What the present message has led to so far.
    open: OpenBatch,
    /// Batches that found the store's queue full.
    backlog: VecDeque<Batch>,
    gated: VecDeque<Gated>,
    ending: BTreeMap<JobId, Seq>,
    released: Seq,
    waiting: HashMap<ReplyTo, oneshot::Sender<Reply>>,
    replies: u64,
    links: Links,
    depot: DepotFront,
    news: broadcast::Sender<News>,
    news_count: u64,
    meters: Meters,
    alarm: Option<(MonoMs, SpawnHandle)>,
    first: Option<Effects>,
}

impl std::fmt::Debug for EngineActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineActor")
            .field("epoch", &self.epoch)
            .field("sent", &self.open.sent())
            .finish_non_exhaustive()
    }
}

/// What the actor is made of.
#[derive(Debug)]
pub struct EngineParts {
    /// A recovered engine and what its recovery led to.
    pub engine: (Engine, Effects),
    /// The clock that it was recovered with.
    pub clock: Clock,
    /// The reign.
    pub epoch: Epoch,
    /// The journal's last sequence number before this reign.
    pub tail: Seq,
    /// Where batches go.
    pub store: StoreHandle,
    /// The newest sequence number on disk.
    pub confirmed: watch::Receiver<Seq>,
    /// Publishes and drops.
    pub depot: DepotFront,
    /// Where news goes.
    pub news: broadcast::Sender<News>,
    /// Messages that may wait for the engine before senders have to.
    pub mailbox: usize,
}

impl EngineActor {
    /// Starts the actor on the current arbiter.
    #[must_use]
    pub fn start_with(parts: EngineParts) -> Addr<Self> {
        let EngineParts {
            engine: (engine, effects),
            clock,
            epoch,
            tail,
            store,
            confirmed,
            depot,
            news,
            mailbox,
        } = parts;
        Self::create(|ctx| {
            ctx.set_mailbox_capacity(mailbox);
            Self {
                engine,
                clock,
                epoch,
                store,
                confirmed,
                open: OpenBatch::new(epoch, tail),
                backlog: VecDeque::new(),
                gated: VecDeque::new(),
                ending: BTreeMap::new(),
                released: tail,
                waiting: HashMap::new(),
                replies: 0,
                links: Links::default(),
                depot,
                news,
                news_count: 0,
                meters: Meters::default(),
                alarm: None,
                first: Some(effects),
            }
        })
    }

    fn take_in(&mut self, event: Event, ctx: &mut Context<Self>) {
        let effects = self.engine.handle(self.clock.now(), event);
        self.note(effects);
        self.settle(ctx);
    }

    /// Enters what an event led to; [`Self::settle`] carries it out.
    fn note(&mut self, effects: Effects) {
        let Effects { records, archive, commands } = effects;
        let mut ended = archive.iter();
        for record in &records {
            let bytes = record::to_bytes(record).expect("a record the engine made fits its limit");
            // A job goes to the archive with the record of its end.
            let job = if matches!(record, Record::JobEnded { .. }) { ended.next() } else { None };
            let doc = job.map(|job| ArchiveDoc { key: job.id.0, doc: archived(job) });
            self.backlog.extend(self.open.enter(bytes, doc));
            self.ending.extend(job.map(|job| (job.id, self.open.sent())));
        }
        self.gated.extend(commands);
    }

    fn settle(&mut self, ctx: &mut Context<Self>) {
        self.backlog.extend(self.open.close());
        self.feed_store();
        self.release(ctx);
        self.set_alarm(ctx);
    }

    fn feed_store(&mut self) {
        while let Some(batch) = self.backlog.pop_front() {
            match self.store.submit(batch) {
                Ok(()) => {}
                Err(SubmitError::Full(batch)) => {
                    self.backlog.push_front(batch);
                    break;
                }
                Err(error @ SubmitError::TooLarge { .. }) => {
                    // A record and a job that ends with it have limits that fit a batch together, and larger ones are split.
                    panic!("the engine made a batch that the store cannot take: {error}");
                }
                // The store's end was told to whoever runs the process; nothing gets out any more.
                Err(SubmitError::Stopped) => return,
            }
        }
    }

    /// Lets out what waited only for records that are on disk now.
    fn release(&mut self, ctx: &mut Context<Self>) {
        let confirmed = *self.confirmed.borrow_and_update();
        if confirmed > self.released {
            self.released = confirmed;
            self.ending.retain(|_, seq| *seq > confirmed);
        }
        while self.gated.front().is_some_and(|g| g.after <= confirmed) {
            let gated = self.gated.pop_front().expect("the front was just seen");
            self.execute(gated.command, ctx);
        }
        self.links.flush();
    }

    fn execute(&mut self, command: Command, ctx: &mut Context<Self>) {
        match command {
            Command::Answer { to, reply } => {
                if let Some(sender) = self.waiting.remove(&to) {
                    // The caller may have gone; its request stands all the same.
                    drop(sender.send(reply));
                }
            }
            Command::Welcome { worker, link, give_up, draining } => {
                self.links.hand(worker, Some(link), LinkOrder::Welcome { give_up, draining });
            }
            Command::StartTask { worker, link, order } => {
                let job = self.engine.state().jobs.get(&order.task.job);
                // Only work with a file has a result that could be kept.
                let tenant = order.work.output().and(job).map(|job| job.tenant.clone());
                self.links.hand(worker, Some(link), LinkOrder::Start { order, tenant });
            }
            Command::AttachTask { worker, link, task, attempt } => {
                self.links.hand(worker, Some(link), LinkOrder::Attach { task, attempt });
            }
            Command::CancelTask { worker, attempt } => {
                self.links.hand(worker, None, LinkOrder::Cancel(attempt))
            }
            Command::RecallTask { worker, attempt } => {
                self.links.hand(worker, None, LinkOrder::Recall(attempt));
            }
            Command::CollectOutcome { worker, attempt } => {
                self.links.hand(worker, None, LinkOrder::Collect(attempt));
            }
            Command::CloseLink { worker, link } => self.links.hand(worker, Some(link), LinkOrder::Close),
            Command::TellDraining { worker, link, draining } => {
                self.links.hand(worker, Some(link), LinkOrder::Draining(draining));
            }
            Command::Publish { job, output, from, to } => {
                self.depot.publish(ctx.address(), job, output, from, to);
            }
            Command::DropStaged { attempts } => self.depot.drop_staged(attempts),
            Command::FindStaged { before, after } => self.depot.find_staged(ctx.address(), before, after),
            Command::Notify(event) => self.announce(event),
        }
    }

    fn announce(&mut self, event: FarmEvent) {
        self.meters.count(&event);
        telemetry::log(&event);
        self.news_count += 1;
        if self.news.receiver_count() > 0 {
            // The last listener may have gone just now.
            drop(self.news.send(Arc::new((self.news_count, event))));
        }
    }

    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let wanted = self.engine.next_wake();
        if wanted == self.alarm.map(|(at, _)| at) {
            return;
        }
        if let Some((_, handle)) = self.alarm.take() {
            ctx.cancel_future(handle);
        }
        let Some(at) = wanted else { return };
        // One millisecond more, because the clock counts whole ones.
        let delay = Duration::from_millis(at.since(self.clock.now().mono) + 1);
        let handle = ctx.run_later(delay, |actor, ctx| {
            actor.alarm = None;
            actor.take_in(Event::TimeCame, ctx);
        });
        self.alarm = Some((at, handle));
    }
}

/// A job as the archive keeps it. Thousands of tasks that each failed at length could be too much: what failed stays, and
/// the detail goes.
fn archived(job: &Job) -> Vec<u8> {
    let doc = record::to_bytes(job).or_else(|_| record::to_bytes(&job.without_details()));
    doc.expect("a job without details fits its limit")
}

impl Drop for EngineActor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A broken invariant: nothing that this process would still say could be trusted. The journal can.
            eprintln!(
                "rushes-coordinator: the engine has failed (see above); stopping at once, restart to recover"
            );
            std::process::abort();
        }
    }
}

impl Actor for EngineActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let changes = tokio_stream(self.confirmed.clone());
        ctx.add_stream(changes);
        if let Some(effects) = self.first.take() {
            self.note(effects);
            self.settle(ctx);
        }
    }
}

/// The store has confirmed more.
struct Confirmed;

fn tokio_stream(receiver: watch::Receiver<Seq>) -> impl futures_util::Stream<Item = Confirmed> {
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.changed().await.ok()?;
        Some((Confirmed, receiver))
    })
}

impl StreamHandler<Confirmed> for EngineActor {
    fn handle(&mut self, _: Confirmed, ctx: &mut Self::Context) {
        self.feed_store();
        self.release(ctx);
    }

    fn finished(&mut self, _: &mut Self::Context) {
        // The store's thread has ended; whoever runs the process has been told why.
    }
}

impl Handler<Happened> for EngineActor {
    type Result = ();

    fn handle(&mut self, message: Happened, ctx: &mut Self::Context) {
        self.take_in(message.0, ctx);
    }
}

impl Handler<HappenedAll> for EngineActor {
    type Result = ();

    fn handle(&mut self, message: HappenedAll, ctx: &mut Self::Context) {
        let now = self.clock.now();
        for event in message.0 {
            let effects = self.engine.handle(now, event);
            self.note(effects);
        }
        self.settle(ctx);
    }
}

impl Handler<Request> for EngineActor {
    type Result = MessageResult<Request>;

    fn handle(&mut self, message: Request, ctx: &mut Self::Context) -> Self::Result {
        if self.backlog.len() > MAX_BACKLOG {
            return MessageResult(Err(Overload));
        }
        let (sender, receiver) = oneshot::channel();
        self.replies += 1;
        let to = ReplyTo(self.replies);
        self.waiting.insert(to, sender);
        let space_left = self.store.space().is_enough();
        self.take_in((message.event)(to, space_left), ctx);
        MessageResult(Ok(receiver))
    }
}

impl<F, T> Handler<Inspect<F>> for EngineActor
where
    F: FnOnce(&View<'_>) -> T + 'static,
    T: 'static,
{
    type Result = MessageResult<Inspect<F>>;

    fn handle(&mut self, message: Inspect<F>, _: &mut Self::Context) -> Self::Result {
        MessageResult((message.0)(&View { engine: &self.engine, ending: &self.ending }))
    }
}
