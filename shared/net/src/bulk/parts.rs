//! Parts of many files over one stream: what a look at their headers needs.

use quinn::RecvStream;
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::units::Bytes;
use rushes_shared::wire::{BulkReply, BulkRequest, PartsOf};
use tokio::time::timeout;

use super::{BulkClient, Fault, STALL, answer};
use crate::error::NetError;
use crate::framed;

/// Parts of a file as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Size of the whole file.
    pub size: Bytes,
    /// Another number once the file has changed.
    pub stamp: u64,
    /// Each part's place and bytes, in the order in which they were asked for.
    pub parts: Vec<(u64, Vec<u8>)>,
}

impl BulkClient {
    /// Reads parts of files, which must be no more than [`rushes_shared::wire::are_bounded`] allows; for each file what
    /// came of it, or why nothing did. It is tried once: whoever can do without the parts reads the files whole.
    ///
    /// # Errors
    /// `TransferFailed` when the depot cannot be reached, breaks off, or knows no such request.
    pub async fn read_parts(
        &self,
        files: Vec<PartsOf>,
        ticket: &[u8],
    ) -> Result<Vec<Result<Parts, Failure>>, Failure> {
        self.read_parts_once(files, ticket).await.map_err(|fault| match fault {
            Fault::Link(error) => self.failure(&error),
            Fault::Final(failure) => failure,
            Fault::Sink => unfit("nothing is written here"),
        })
    }

    async fn read_parts_once(
        &self,
        files: Vec<PartsOf>,
        ticket: &[u8],
    ) -> Result<Vec<Result<Parts, Failure>>, Fault> {
        let (mut send, mut recv) = self.open().await?;
        let request = BulkRequest::ReadParts { files: files.clone(), ticket: ticket.to_vec() };
        framed::send(&mut send, &request).await?;
        let _ = send.finish();
        let mut found = Vec::with_capacity(files.len());
        for file in &files {
            found.push(match answer(&mut recv, STALL).await? {
                BulkReply::NoParts(failure) => Err(failure),
                BulkReply::Parts { size, stamp, parts } => {
                    let asked: Vec<_> = file.parts.iter().map(|part| part.within(size.0)).collect();
                    if parts != asked {
                        return Err(Fault::Final(unfit("it sent other parts than were asked for")));
                    }
                    Ok(Parts { size, stamp, parts: bytes_of(&mut recv, parts).await? })
                }
                other => return Err(super::unexpected(other)),
            });
        }
        Ok(found)
    }
}

async fn bytes_of(recv: &mut RecvStream, parts: Vec<(u64, u64)>) -> Result<Vec<(u64, Vec<u8>)>, Fault> {
    let mut came = Vec::with_capacity(parts.len());
    for (offset, length) in parts {
        // No more than was asked for.
        let mut bytes =
            vec![0; usize::try_from(length).map_err(|_| Fault::Final(unfit("a part is too large")))?];
        match timeout(STALL, recv.read_exact(&mut bytes)).await {
            Ok(Ok(())) => came.push((offset, bytes)),
            Ok(Err(_)) => return Err(NetError::Truncated.into()),
            Err(_) => return Err(NetError::Stalled { seconds: STALL.as_secs() }.into()),
        }
    }
    Ok(came)
}

fn unfit(what: &str) -> Failure {
    let message = format!("parts of files could not be read from the depot: {what}");
    Failure::new(FailureCode::TransferFailed, message, "compare the versions of depot and worker")
        .with_class(FailureClass::NodeFault)
}
