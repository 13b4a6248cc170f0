//! The bulk client against a depot that cuts connections, lies and refuses.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quinn::{Connection, Endpoint, RecvStream, SendStream};
use rushes_net::bulk::BulkClient;
use rushes_net::endpoint::{self, ClientCerts};
use rushes_net::flow::hash_file;
use rushes_net::framed;
use rushes_shared::artifact::Location;
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::id::WorkerId;
use rushes_shared::units::Bytes;
use rushes_shared::wire::{BULK_ALPNS, BulkReply, BulkRequest};

mod farm;

const SIZE: usize = 3 << 20;

#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// The first two connections end half-way.
    CutsTwice,
    /// Promises more than it sends.
    Shrinks,
    /// Refuses a write before its bytes have come.
    RefusesEarly,
}

struct Depot {
    manner: Manner,
    content: Vec<u8>,
    connections: AtomicUsize,
    offsets: std::sync::Mutex<Vec<u64>>,
}

impl Depot {
    async fn serve(self: Arc<Self>, server: Endpoint) {
        while let Some(incoming) = server.accept().await {
            let connection = incoming.await.expect("a connection");
            let number = self.connections.fetch_add(1, Ordering::SeqCst);
            let depot = Arc::clone(&self);
            tokio::spawn(async move {
                while let Ok((send, recv)) = connection.accept_bi().await {
                    depot.answer(number, &connection, send, recv).await;
                }
            });
        }
    }

    async fn answer(
        &self,
        number: usize,
        connection: &Connection,
        mut send: SendStream,
        mut recv: RecvStream,
    ) {
        match framed::recv::<BulkRequest>(&mut recv).await.expect("a request").expect("one") {
            BulkRequest::Read { offset, .. } => {
                self.offsets.lock().expect("not poisoned").push(offset);
                let size = Bytes(self.content.len() as u64);
                framed::send(&mut send, &BulkReply::Reading { size }).await.expect("sent");
                let rest = &self.content[usize::try_from(offset).expect("small")..];
                match self.manner {
                    Manner::CutsTwice if number < 2 => {
                        send.write_all(&rest[..SIZE / 3]).await.expect("sent");
                        // Lets those bytes arrive before the end does.
                        while connection.stats().frame_rx.acks < 8 {
                            tokio::task::yield_now().await;
                        }
                        connection.close(5_u32.into(), b"restarting");
                    }
                    Manner::Shrinks => {
                        send.write_all(&rest[..SIZE / 2]).await.expect("sent");
                        send.finish().expect("open");
                    }
                    _ => {
                        send.write_all(rest).await.expect("sent");
                        send.finish().expect("open");
                        let _ = send.stopped().await;
                    }
                }
            }
            BulkRequest::Write { .. } => {
                let failure = Failure::new(FailureCode::OutputForbidden, "no room for you", "go away");
                recv.stop(0_u32.into()).expect("open");
                framed::send(&mut send, &BulkReply::Failed(failure)).await.expect("sent");
                send.finish().expect("open");
                let _ = send.stopped().await;
            }
            other => panic!("{other:?}"),
        }
    }
}

struct Stage {
    dir: tempfile::TempDir,
    depot: Arc<Depot>,
    client: BulkClient,
    place: Location,
}

impl Stage {
    fn new(manner: Manner) -> Self {
        let farm = farm::Farm::new();
        let server = endpoint::server(
            "127.0.0.1:0".parse().expect("an address"),
            &farm.server(),
            BULK_ALPNS,
            ClientCerts::Required,
        )
        .expect("a server");
        let target = server.local_addr().expect("bound").to_string();
        let content = (0..SIZE).map(|i| u8::try_from(i * 7 % 251).expect("small")).collect();
        let depot = Arc::new(Depot {
            manner,
            content,
            connections: AtomicUsize::new(0),
            offsets: Default::default(),
        });
        tokio::spawn(Arc::clone(&depot).serve(server));
        let config = endpoint::client_config(&farm.worker(WorkerId(1)), BULK_ALPNS).expect("a config");
        let client = BulkClient::new(endpoint::client().expect("an endpoint"), config, target);
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir, depot, client, place: "/x/film.mov".parse().expect("a place") }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("film.mov")
    }
}

#[tokio::test]
async fn a_fetch_goes_on_where_the_connection_was_cut() {
    let stage = Stage::new(Manner::CutsTwice);
    let mut last = (0, 0);
    let got = stage
        .client
        .fetch(&stage.place, b"t", &stage.path(), Bytes(1 << 30), |done, total| {
            assert!(done >= last.0, "progress went back");
            last = (done, total);
        })
        .await
        .expect("fetched");
    let (size, hash) = hash_file(&stage.path()).expect("readable");
    assert_eq!(std::fs::read(stage.path()).expect("readable"), stage.depot.content);
    assert_eq!((got.size, got.hash), (Some(size), Some(hash)));
    assert_eq!(last, (SIZE as u64, SIZE as u64));
    let offsets = stage.depot.offsets.lock().expect("not poisoned").clone();
    assert!(offsets.len() >= 3 && offsets.is_sorted() && offsets[2] > 0, "{offsets:?}");
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_is_no_success() {
    let stage = Stage::new(Manner::Shrinks);
    let fetched = stage.client.fetch(&stage.place, b"t", &stage.path(), Bytes(1 << 30), |_, _| {}).await;
    let failure = fetched.expect_err("not the whole file");
    assert!(failure.message.contains("changed while it was read"), "{failure}");
}

#[tokio::test]
async fn a_file_over_the_limit_is_not_fetched() {
    let stage = Stage::new(Manner::Shrinks);
    let fetched = stage.client.fetch(&stage.place, b"t", &stage.path(), Bytes(1000), |_, _| {}).await;
    assert_eq!(fetched.expect_err("too large").code, FailureCode::LimitReached);
}

#[tokio::test]
async fn an_early_refusal_of_a_store_arrives_as_the_depot_said_it() {
    let stage = Stage::new(Manner::RefusesEarly);
    std::fs::write(stage.path(), vec![1; 64 << 20]).expect("written");
    let file = std::fs::File::open(stage.path()).expect("readable");
    let failure = stage.client.store(&file, &stage.place, b"t", |_, _| {}).await.expect_err("refused");
    assert_eq!((failure.code, failure.message.as_str()), (FailureCode::OutputForbidden, "no room for you"));
}

#[tokio::test]
async fn a_scratch_that_cannot_be_written_is_the_nodes_fault() {
    let stage = Stage::new(Manner::Shrinks);
    let nowhere = stage.dir.path().join("missing/film.mov");
    let fetched = stage.client.fetch(&stage.place, b"t", &nowhere, Bytes(1 << 30), |_, _| {}).await;
    assert_eq!(fetched.expect_err("no directory").class, FailureClass::NodeFault);
}
