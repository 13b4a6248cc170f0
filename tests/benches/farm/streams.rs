//! What the link costs the coordinator where a task has a stream of its own, and where tasks that a worker answers itself
//! share one: orders of 120 bytes, replies of 60, nothing but QUIC between two threads.

#[path = "../../../shared/net/tests/farm/mod.rs"]
mod pki;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use quinn::{Connection, RecvStream, SendStream};
use rushes_bench::sample::{Pair, pairs};
use rushes_bench::{Bench, Better, Row};
use rushes_net::endpoint::{self, ClientCerts};
use rushes_shared::id::WorkerId;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// An order's bytes, about what a no-op's are.
const ORDER: [u8; 120] = [7; 120];
/// A reply's bytes.
const REPLY: [u8; 60] = [9; 60];
/// The protocol's name here; both sides are this file.
const ALPN: &[u8] = b"rushes-bench-streams";
/// Orders in a run.
const ORDERS: usize = 20_000;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    for slots in [2, 1024] {
        let shared = |_| measure(slots, Way::Shared);
        let own = |_| measure(slots, Way::Own);
        let found: Vec<Pair<f64>> = pairs(bench.runs(3), shared, own)?;
        let name = format!("link's CPU an order where orders share a stream, {slots} in flight");
        bench.add(Row::beside(name, "us", Better::Lower, "a stream each", &found));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A stream for each order.
    Own,
    /// One stream for all.
    Shared,
}

/// CPU microseconds that the ordering side's thread spends on an order.
fn measure(slots: usize, way: Way) -> Result<f64> {
    let farm = pki::Farm::new();
    let (server, client) = (farm.server(), farm.worker(WorkerId::from_parts(1, 1)));
    let (tell, told) = channel::<SocketAddr>();
    // The coordinator listens and orders; the worker connects and replies.
    let ordering = thread::spawn(move || {
        runtime()?.block_on(async move {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let endpoint = endpoint::server(any, &server, &[ALPN], ClientCerts::Required)?;
            tell.send(endpoint.local_addr()?)?;
            let connection = endpoint.accept().await.context("nobody came")?.await?;
            let before = own_cpu();
            match way {
                Way::Own => own_streams(&connection, slots).await?,
                Way::Shared => shared_stream(&connection, slots).await?,
            }
            let spent = own_cpu() - before;
            connection.close(0u32.into(), b"done");
            endpoint.wait_idle().await;
            Ok::<_, anyhow::Error>(spent.as_secs_f64() * 1e6 / ORDERS as f64)
        })
    });
    let address = told.recv().context("the ordering side does not listen")?;
    let replying = thread::spawn(move || {
        runtime()?.block_on(async move {
            let endpoint = endpoint::client()?;
            let config = endpoint::client_config(&client, &[ALPN])?;
            let connection = endpoint::connect(&endpoint, config, &address.to_string()).await?;
            // Ends when the other side closes the connection.
            while let Ok((send, recv)) = connection.accept_bi().await {
                tokio::spawn(reply_to(send, recv));
            }
            Ok::<_, anyhow::Error>(())
        })
    });
    let spent = ordering.join().map_err(|_| anyhow!("the ordering side panicked"))??;
    replying.join().map_err(|_| anyhow!("the replying side panicked"))??;
    Ok(spent)
}

/// Answers every order on a stream.
async fn reply_to(mut send: SendStream, mut recv: RecvStream) -> Result<()> {
    let mut rest = 0;
    while let Some(chunk) = recv.read_chunk(64 << 10, true).await? {
        let orders = (rest + chunk.bytes.len()) / ORDER.len();
        rest = (rest + chunk.bytes.len()) % ORDER.len();
        send.write_all(&REPLY.repeat(orders)).await?;
    }
    send.finish()?;
    Ok(())
}

async fn own_streams(connection: &Connection, slots: usize) -> Result<()> {
    let free = Arc::new(Semaphore::new(slots));
    let mut orders = JoinSet::new();
    for _ in 0..ORDERS {
        let slot = Arc::clone(&free).acquire_owned().await?;
        let connection = connection.clone();
        orders.spawn(async move {
            let (mut send, mut recv) = connection.open_bi().await?;
            send.write_all(&ORDER).await?;
            send.finish()?;
            let reply = recv.read_to_end(REPLY.len()).await?;
            drop(slot);
            anyhow::ensure!(reply.len() == REPLY.len(), "half a reply");
            Ok(())
        });
        while let Some(done) = orders.try_join_next() {
            done??;
        }
    }
    while let Some(done) = orders.join_next().await {
        done??;
    }
    Ok(())
}

async fn shared_stream(connection: &Connection, slots: usize) -> Result<()> {
    let (mut send, mut recv) = connection.open_bi().await?;
    let (mut sent, mut got, mut rest) = (slots.min(ORDERS), 0, 0);
    send.write_all(&ORDER.repeat(sent)).await?;
    while got < ORDERS {
        let chunk = recv.read_chunk(64 << 10, true).await?.context("the stream ended")?;
        let replies = (rest + chunk.bytes.len()) / REPLY.len();
        rest = (rest + chunk.bytes.len()) % REPLY.len();
        got += replies;
        let next = replies.min(ORDERS - sent);
        send.write_all(&ORDER.repeat(next)).await?;
        sent += next;
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")
}

/// CPU time of the calling thread.
fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
