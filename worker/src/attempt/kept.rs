//! Results that the farm has kept of the same work: taken in place of doing it, and left for others once it is done.

use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::codec;
use rushes_shared::task::{PartMade, TaskValue, TaskWork};
use rushes_shared::wire::NOTE_LIMIT;
use tracing::info;

use super::{Attempt, Stop};
use crate::metrics;

impl Attempt<'_> {
    /// The same work's result, staged for this attempt, where the farm has kept it.
    pub(super) async fn taken(&self) -> Result<Option<TaskValue>, Stop> {
        let order = &self.dispatch.order;
        let (TaskWork::Stream { .. }, Some(name)) = (&order.work, order.work.output()) else {
            return Ok(None);
        };
        let place = Location::Staged(order.attempt, name.clone());
        let take = self.shop.depot.take(&place, self.shop.maker, &self.dispatch.write_ticket);
        let Some((artifact, note)) = self.guarded(async { Ok(take.await) }).await? else { return Ok(None) };
        let artifact = Artifact { attempt: Some(order.attempt), ..artifact };
        let value = value_in(&note, artifact);
        if value.is_some() {
            info!("the same work was done before; its result is taken");
            metrics::result_taken();
        }
        Ok(value)
    }

    /// Leaves a result for whoever does the same work again.
    pub(super) async fn keep(&self, artifact: &Artifact, value: &TaskValue) -> Result<(), Stop> {
        let note = codec::encode(value).unwrap_or_default();
        if note.is_empty() || note.len() > NOTE_LIMIT {
            return Ok(());
        }
        let keep = self.shop.depot.keep(artifact, self.shop.maker, note, &self.dispatch.write_ticket);
        let keep = async {
            keep.await;
            Ok(())
        };
        self.guarded(keep).await
    }
}

/// What a note says of the file that now lies elsewhere.
fn value_in(note: &[u8], artifact: Artifact) -> Option<TaskValue> {
    match codec::decode(note).ok()? {
        TaskValue::Part(part) => Some(TaskValue::Part(PartMade { artifact, ..part })),
        _ => None,
    }
}
