//! What the depot does with files that it has: publishes, drops, keeps and gives them again.

use rushes_shared::artifact::{Artifact, ContentHash, Location};
use rushes_shared::failure::Failure;
use rushes_shared::id::{AttemptId, Epoch};
use rushes_shared::wire::{BulkReply, BulkRequest};

use super::BulkClient;

impl BulkClient {
    /// Has a staged file published. Doing it twice is no error.
    ///
    /// # Errors
    /// `OutputExists` when another file is there; `OutsideRoots`, `OutputForbidden`; `TransferFailed`.
    pub async fn publish(&self, from: &Artifact, to: &Location, ticket: &[u8]) -> Result<(), Failure> {
        let request = BulkRequest::Publish { from: from.clone(), to: to.clone(), ticket: ticket.to_vec() };
        self.ask(&request, |reply| *reply == BulkReply::Published).await.map(drop)
    }

    /// Says that a file is still wanted, without fetching it: the age of an upload counts from its last use.
    ///
    /// # Errors
    /// `InputNotFound` when it is gone; `TransferFailed` when the depot cannot be reached.
    pub async fn renew(&self, location: &Location, ticket: &[u8]) -> Result<(), Failure> {
        // Behind the end of any file, so that no byte of it travels.
        let offset = u64::MAX;
        let request = BulkRequest::Read { location: location.clone(), offset, ticket: ticket.to_vec() };
        self.ask(&request, |reply| matches!(reply, BulkReply::Reading { .. })).await.map(drop)
    }

    /// Has everything dropped that these attempts staged. Doing it twice is no error.
    ///
    /// # Errors
    /// `TransferFailed` when the depot cannot be reached, or cannot remove it.
    pub async fn drop_staged(&self, attempts: Vec<AttemptId>, ticket: &[u8]) -> Result<(), Failure> {
        let request = BulkRequest::Drop { attempts, ticket: ticket.to_vec() };
        self.ask(&request, |reply| *reply == BulkReply::Dropped).await.map(drop)
    }

    /// Which attempts of reigns before this one have staged something, in order, from behind one of them on; none when there
    /// are no more.
    ///
    /// # Errors
    /// `TransferFailed` when the depot cannot be reached, or cannot list them.
    pub async fn list_staged(
        &self,
        before: Epoch,
        after: Option<AttemptId>,
        ticket: &[u8],
    ) -> Result<Vec<AttemptId>, Failure> {
        let request = BulkRequest::ListStaged { before, after, ticket: ticket.to_vec() };
        match self.ask(&request, |reply| matches!(reply, BulkReply::Staged(_))).await? {
            BulkReply::Staged(attempts) => Ok(attempts),
            _ => Ok(Vec::new()),
        }
    }

    /// Has what was kept of the ticket's work staged, with what was kept beside it; `None` where nothing is.
    ///
    /// # Errors
    /// `TransferFailed` when the depot cannot be reached, or knows no such request.
    pub async fn take(
        &self,
        to: &Location,
        maker: ContentHash,
        ticket: &[u8],
    ) -> Result<Option<(Artifact, Vec<u8>)>, Failure> {
        let request = BulkRequest::Take { to: to.clone(), maker, ticket: ticket.to_vec() };
        let is_wanted = |reply: &BulkReply| matches!(reply, BulkReply::Taken { .. } | BulkReply::NotKept);
        Ok(match self.ask(&request, is_wanted).await? {
            BulkReply::Taken { size, hash, note } => {
                let (size, hash) = (Some(size), Some(hash));
                Some((Artifact { size, hash, ..Artifact::unseen(to.clone()) }, note))
            }
            _ => None,
        })
    }

    /// Has a staged file kept for whoever does the ticket's work again.
    ///
    /// # Errors
    /// `TransferFailed` when the depot cannot be reached, or knows no such request.
    pub async fn keep(
        &self,
        from: &Artifact,
        maker: ContentHash,
        note: Vec<u8>,
        ticket: &[u8],
    ) -> Result<(), Failure> {
        let request = BulkRequest::Keep { from: from.clone(), maker, note, ticket: ticket.to_vec() };
        self.ask(&request, |reply| *reply == BulkReply::Kept).await.map(drop)
    }
}
