//! What the engine's actor is told and asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use actix::prelude::*;
use rushes_core::engine::Engine;
use rushes_core::event::{Event, FarmEvent, LinkId, Reply, ReplyTo};
use rushes_shared::id::{JobId, Seq, WorkerId};
use tokio::sync::{mpsc, oneshot};

use super::EngineActor;
use crate::link_actor::LinkActor;

/// A numbered piece of news; the number rises within one reign.
pub type News = Arc<(u64, FarmEvent)>;

/// Something happened. The answer comes when it has been taken in, so that senders can pause.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Happened(pub Event);

/// Several things happened, in this order. They share a commit and the way out.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HappenedAll(pub Vec<Event>);

/// Tells the engine and waits until it has taken it in. The engine ends only with the process, so there is nothing to
/// do about a closed mailbox.
pub async fn tell<M>(engine: &Addr<EngineActor>, message: M)
where
    M: Message + Send + 'static,
    M::Result: Send,
    EngineActor: Handler<M>,
{
    let _ended_with_the_process = engine.send(message).await;
}

/// A request whose answer waits for the disk. `event` gets the number under which the answer will come.
#[derive(Message)]
#[rtype(result = "Result<oneshot::Receiver<Reply>, Overload>")]
pub struct Request {
    /// Builds the event.
    pub event: Box<dyn FnOnce(ReplyTo, bool) -> Event + Send>,
}

/// The store is so far behind that nothing more is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overload;

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request")
    }
}

/// What questions are answered from.
#[derive(Debug)]
pub struct View<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// Jobs that have left the engine and whose end is not on disk yet, with the record that it waits for.
    pub ending: &'a BTreeMap<JobId, Seq>,
}

/// Reads the engine's state.
#[derive(Debug)]
pub struct Inspect<F>(pub F);

impl<F, T> Message for Inspect<F>
where
    F: FnOnce(&View<'_>) -> T,
    T: 'static,
{
    type Result = T;
}

/// A connection of a worker is ready for orders.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Removed>")]
pub struct LinkOpened {
    /// Whose.
    pub worker: WorkerId,
    /// Its number.
    pub link: LinkId,
    /// Its actor.
    pub addr: Addr<LinkActor>,
}

/// The worker was removed while it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed;

/// An operator removed a worker. It is already refused at every new connection; this ends the present one, and what it
/// holds goes elsewhere. Answers with how many tasks that were.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "usize")]
pub struct WorkerRemoved(pub WorkerId);

/// The coordinator is about to stop: workers are told to keep their work and come back. Whoever sends this waits until
/// the last sender of the channel is gone: then all of them have heard it, or are gone themselves.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Farewell(pub mpsc::Sender<Infallible>);

/// A connection of a worker is gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LinkClosed {
    /// Whose.
    pub worker: WorkerId,
    /// Its number.
    pub link: LinkId,
}
