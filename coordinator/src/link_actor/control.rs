//! The control stream of one worker's connection: its hello, its heartbeats, and words to it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use actix::prelude::*;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use rushes_core::event::{Event, LinkId};
use rushes_net::endpoint::{alpn, refuse};
use rushes_net::{NetError, framed};
use rushes_shared::id::{AttemptId, WorkerId};
use rushes_shared::node::NodeFacts;
use rushes_shared::wire::{AHEAD_ALPN, FarmBound, HeldAttempt, WireVersion, WorkerBound, close, knows};
use tokio::sync::mpsc;

use super::{FarmFacts, LinkActor, MAILBOX, OPEN_TIMEOUT};
use crate::engine_actor::{EngineActor, Happened, LinkClosed, LinkOpened, Removed, tell};

/// Serves one worker's connection from its hello to its end. Runs on the engine's arbiter.
pub async fn serve(
    connection: Connection,
    worker: WorkerId,
    link: LinkId,
    engine: Addr<EngineActor>,
    farm: Arc<FarmFacts>,
) -> Result<(), NetError> {
    let (send, mut recv, hello) = match tokio::time::timeout(OPEN_TIMEOUT, greet(&connection)).await {
        Ok(greeting) => greeting?,
        Err(_) => {
            connection.close(VarInt::from_u32(close::PROTOCOL), b"no hello within 10 s");
            return Ok(());
        }
    };
    let (control, words) = mpsc::channel(64);
    actix_rt::spawn(write_control(send, words, connection.clone()));
    let version = alpn(&connection);
    let addr = LinkActor::create(|ctx| {
        ctx.set_mailbox_capacity(MAILBOX);
        LinkActor {
            worker,
            connection: connection.clone(),
            control,
            engine: engine.clone(),
            farm,
            tasks: BTreeMap::new(),
            may_wait: knows(version.as_deref(), AHEAD_ALPN),
            version: WireVersion::of(version.as_deref()),
            lane: None,
        }
    });
    match engine.send(LinkOpened { worker, link, addr }).await {
        Ok(Ok(())) => {}
        Ok(Err(Removed)) => {
            let error = removed();
            refuse(&connection, &error);
            return Err(error);
        }
        // The engine ends only with the process; a failed send then is the end of this connection too.
        Err(_) => return Ok(()),
    }
    let is_local = connection.remote_address().ip().to_canonical().is_loopback();
    let from = Speaker { worker, link, is_local, wire: WireVersion::of(version.as_deref()) };
    let ended = read_control(&mut recv, from, &engine, hello).await;
    if let Err(error) = &ended {
        tracing::info!(%worker, %error, "the worker's connection ended");
    }
    connection.close(VarInt::from_u32(close::BYE), b"");
    tell(&engine, LinkClosed { worker, link }).await;
    Ok(())
}

/// What a worker is told that an operator removed while it was connected.
pub(super) fn removed() -> NetError {
    NetError::UnknownWorker { reason: "it was removed by an operator".to_owned() }
}

async fn greet(connection: &Connection) -> Result<(SendStream, RecvStream, FarmBound), NetError> {
    let (send, mut recv) = connection.accept_bi().await?;
    let hello = framed::recv::<FarmBound>(&mut recv).await?;
    match hello {
        Some(hello @ FarmBound::Hello { .. }) => Ok((send, recv, hello)),
        _ => {
            connection.close(VarInt::from_u32(close::PROTOCOL), b"the first word must be a hello");
            Err(NetError::Transport { reason: "the worker's first word was no hello".to_owned() })
        }
    }
}

/// Who speaks on a control stream.
#[derive(Debug, Clone, Copy)]
struct Speaker {
    worker: WorkerId,
    link: LinkId,
    /// Whether it is on the coordinator's own machine.
    is_local: bool,
    /// What was agreed on with it.
    wire: WireVersion,
}

async fn read_control(
    recv: &mut RecvStream,
    Speaker { worker, link, is_local, wire }: Speaker,
    engine: &Addr<EngineActor>,
    hello: FarmBound,
) -> Result<(), NetError> {
    let mut word = Some(hello);
    let seen = |facts: NodeFacts| Box::new(NodeFacts { is_local, wire, ..facts });
    while let Some(message) = word {
        let event = match message {
            FarmBound::Hello { instance, facts, held, .. } => {
                Event::WorkerJoined { worker, link, instance, facts: seen(facts), held: unique(held) }
            }
            FarmBound::Heartbeat => Event::HeartbeatCame { worker, link },
            FarmBound::Facts(facts) => Event::FactsChanged { worker, link, facts: seen(facts) },
            FarmBound::Ahead(offer) => Event::AheadOffered { worker, link, offer },
            FarmBound::Hardware { sessions } => Event::HardwareOffered { worker, link, sessions },
            FarmBound::Leaving => Event::WorkerLeaving { worker, link },
        };
        if engine.send(Happened(event)).await.is_err() {
            return Ok(());
        }
        word = framed::recv::<FarmBound>(recv).await?;
        if matches!(word, Some(FarmBound::Hello { .. })) {
            return Err(NetError::Transport { reason: "the worker said hello twice".to_owned() });
        }
    }
    Ok(())
}

/// Each attempt once, whatever the worker sent.
fn unique(held: Vec<HeldAttempt>) -> Vec<HeldAttempt> {
    let by_attempt: BTreeMap<AttemptId, HeldAttempt> = held.into_iter().map(|h| (h.attempt, h)).collect();
    by_attempt.into_values().collect()
}

/// What goes to the worker on its control stream.
#[derive(Debug)]
pub(super) enum Word {
    /// More may follow.
    Next(WorkerBound),
    /// Nothing follows; the sender is kept until the worker has it.
    Last(WorkerBound, mpsc::Sender<Infallible>),
}

impl From<WorkerBound> for Word {
    fn from(word: WorkerBound) -> Self {
        Self::Next(word)
    }
}

async fn write_control(mut send: SendStream, mut words: mpsc::Receiver<Word>, connection: Connection) {
    while let Some(word) = words.recv().await {
        let (word, last) = match word {
            Word::Next(word) => (word, None),
            Word::Last(word, heard) => (word, Some(heard)),
        };
        let sent = framed::send(&mut send, &word).await;
        if let (Ok(()), Some(heard)) = (&sent, last) {
            drop(send.finish());
            // Done when all of the stream has arrived, or the connection is gone.
            let _arrived = send.stopped().await;
            drop(heard);
            return;
        }
        if let Err(error) = sent {
            tracing::debug!(%error, "the control stream takes no more words");
            connection.close(VarInt::from_u32(close::PROTOCOL), b"the control stream broke");
            return;
        }
    }
}
