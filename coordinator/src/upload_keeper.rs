//! Uploads that live jobs still need are used now and then: the depot's sweep goes by the last use, and knows of no job.

use std::collections::BTreeSet;
use std::time::Duration;

use rushes_shared::failure::FailureCode;
use rushes_shared::id::JobId;

use crate::depot_client::DepotFront;
use crate::farm::{Farm, FarmError};

/// How often. The least age at which the depot removes an upload is a day.
const EVERY: Duration = Duration::from_secs(1800);
/// Pause before another try while the depot is away; it sweeps first when it has run for longer than this.
const RETRY: Duration = Duration::from_secs(60);

/// Keeps them for ever.
pub(crate) async fn run(farm: Farm, depot: DepotFront) {
    loop {
        let pause = match renew_all(&farm, &depot).await {
            Ok(true) => EVERY,
            Ok(false) => RETRY,
            // The engine ends only with the process.
            Err(_) => return,
        };
        tokio::time::sleep(pause).await;
    }
}

/// Renews all; `false` when the depot is away.
async fn renew_all(farm: &Farm, depot: &DepotFront) -> Result<bool, FarmError> {
    let mut after: Option<JobId> = None;
    let mut renewed = BTreeSet::new();
    loop {
        let (uploads, next) = farm.uploads_in_use(after).await?;
        for upload in uploads {
            if !renewed.insert(upload.clone()) {
                continue;
            }
            match depot.renew(&upload).await {
                Ok(()) => {}
                // Its job fails when it is run, and says so.
                Err(failure) if failure.code == FailureCode::InputNotFound => {
                    tracing::debug!(%upload, "an upload that a job needs is gone");
                }
                Err(failure) => {
                    tracing::warn!(%failure, "the depot could not be told which uploads are needed; tried again");
                    return Ok(false);
                }
            }
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(true),
        }
    }
}
