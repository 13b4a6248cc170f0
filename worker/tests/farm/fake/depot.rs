//! A depot that keeps files in memory, for one worker.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use quinn::{RecvStream, SendStream};
use rushes_net::endpoint::{self, ClientCerts};
use rushes_net::{Identity, framed};
use rushes_shared::artifact::Location;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::units::Bytes;
use rushes_shared::wire::{BULK_ALPNS, BulkReply, BulkRequest};

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

pub(crate) struct Depot {
    /// As a Welcome names it.
    pub(crate) address: String,
    files: Files,
    reads: Arc<Mutex<usize>>,
}

/// A read of this file sends half of it and then nothing.
pub(crate) const HANGING: &str = "/media/hanging.mp4";

impl Depot {
    pub(crate) fn start(identity: &Identity) -> Self {
        let bind = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoint =
            endpoint::server(bind, identity, BULK_ALPNS, ClientCerts::Required).expect("a free port");
        let port = endpoint.local_addr().expect("it is bound").port();
        let (files, reads) = (Files::default(), Arc::default());
        let kept = (Arc::clone(&files), Arc::clone(&reads));
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let kept = kept.clone();
                tokio::spawn(async move {
                    let connection = incoming.await.expect("the handshake succeeds");
                    while let Ok((send, recv)) = connection.accept_bi().await {
                        let (files, reads) = kept.clone();
                        tokio::spawn(serve(files, reads, send, recv));
                    }
                });
            }
        });
        // An empty host: the coordinator's own.
        Self { address: format!(":{port}"), files, reads }
    }

    pub(crate) fn put(&self, path: &str, content: Vec<u8>) {
        self.put_at(&Location::File(path.to_owned()), content);
    }

    pub(crate) fn put_at(&self, place: &Location, content: Vec<u8>) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(place.to_string(), content);
    }

    pub(crate) fn get(&self, location: &Location) -> Option<Vec<u8>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).get(&location.to_string()).cloned()
    }

    /// How many files were asked for.
    pub(crate) fn reads(&self) -> usize {
        *self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(files: Files, reads: Arc<Mutex<usize>>, mut send: SendStream, mut recv: RecvStream) {
    let request = framed::recv::<BulkRequest>(&mut recv).await.expect("it reads").expect("a request");
    match request {
        BulkRequest::Read { location, offset, ticket } => {
            assert_eq!(ticket, b"read");
            *reads.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            let content =
                files.lock().unwrap_or_else(PoisonError::into_inner).get(&location.to_string()).cloned();
            let Some(content) = content else {
                let failure =
                    Failure::new(FailureCode::InputNotFound, "there is no such file", "name one that exists");
                let _ = framed::send(&mut send, &BulkReply::Failed(failure)).await;
                return;
            };
            let size = Bytes(content.len() as u64);
            let _ = framed::send(&mut send, &BulkReply::Reading { size }).await;
            let from = usize::try_from(offset).expect("a small file");
            if location == Location::File(HANGING.to_owned()) {
                let _ = send.write_all(&content[from..content.len() / 2]).await;
                let _ = send.stopped().await;
                return;
            }
            let _ = send.write_all(&content[from..]).await;
            let _ = send.finish();
        }
        BulkRequest::Write { location, size, hash, ticket } => {
            assert_eq!(ticket, b"write");
            let content = recv.read_to_end(1 << 30).await.expect("it comes whole");
            assert_eq!((content.len() as u64, *blake3::hash(&content).as_bytes()), (size.0, hash.0));
            files.lock().unwrap_or_else(PoisonError::into_inner).insert(location.to_string(), content);
            let _ = framed::send(&mut send, &BulkReply::Written).await;
        }
        other => panic!("a worker does not ask for {other:?}"),
    }
    let _ = send.finish();
    let _ = send.stopped().await;
}
