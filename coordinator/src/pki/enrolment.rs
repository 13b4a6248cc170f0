//! The workers that have a certificate. A removed one stays listed, so that its certificate is refused for its lifetime.

use std::collections::BTreeSet;

use rushes_net::NetError;
use rushes_shared::id::WorkerId;
use rushes_shared::units::WallMs;
use serde::{Deserialize, Serialize};

use super::token;
use super::vault::{KeyVault, VaultError};

const PREFIX: &str = "worker/";

/// One enrolled worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The name that it gave itself.
    pub name: String,
    /// The label of the join token that let it in.
    pub token_label: String,
    /// When it enrolled.
    pub joined: WallMs,
    /// When its certificate ends.
    pub expires: WallMs,
    /// When an operator removed it.
    pub removed: Option<WallMs>,
}

/// Keeps a new worker; on disk when it returns.
///
/// # Errors
/// [`VaultError`] when the store fails.
pub fn record(vault: &dyn KeyVault, worker: WorkerId, enrolment: &Enrolment) -> Result<(), VaultError> {
    vault.put(&name_of(worker), &token::to_bytes(enrolment)?)
}

/// Refuses a worker that never enrolled or was removed. For the link, at every connection.
///
/// # Errors
/// [`NetError::UnknownWorker`] with the reason; [`NetError::Unavailable`] when the store fails.
pub fn admit(vault: &dyn KeyVault, worker: WorkerId) -> Result<Enrolment, NetError> {
    let found = find(vault, worker).map_err(|e| NetError::Unavailable { reason: e.to_string() })?;
    let unknown = |reason: String| NetError::UnknownWorker { reason };
    let enrolment = found.ok_or_else(|| unknown(format!("{worker} never joined this farm")))?;
    match enrolment.removed {
        Some(when) => Err(unknown(format!("{worker} was removed at {}", when.to_rfc3339()))),
        None => Ok(enrolment),
    }
}

/// Removes a worker: its certificate is refused from now on. Gives what it was, or `None` where it never enrolled or was
/// removed before.
///
/// # Errors
/// [`VaultError`] when the store fails.
pub fn remove(vault: &dyn KeyVault, worker: WorkerId, now: WallMs) -> Result<Option<Enrolment>, VaultError> {
    let Some(enrolment) = find(vault, worker)?.filter(|e| e.removed.is_none()) else { return Ok(None) };
    record(vault, worker, &Enrolment { removed: Some(now), ..enrolment.clone() })?;
    Ok(Some(enrolment))
}

/// The workers that were removed.
///
/// # Errors
/// [`VaultError`] when the store fails.
pub fn removed(vault: &dyn KeyVault) -> Result<BTreeSet<WorkerId>, VaultError> {
    let all = list(vault)?.into_iter();
    Ok(all.filter(|(_, enrolment)| enrolment.removed.is_some()).map(|(worker, _)| worker).collect())
}

/// Forgets removed workers whose certificates ended before `before`: nothing is left of them to refuse. Tells how many.
///
/// # Errors
/// [`VaultError`] when the store fails.
pub fn forget_ended(vault: &dyn KeyVault, before: WallMs) -> Result<usize, VaultError> {
    let mut forgotten = 0;
    for (worker, enrolment) in list(vault)? {
        if enrolment.removed.is_some() && enrolment.expires < before && vault.delete(&name_of(worker))? {
            forgotten += 1;
        }
    }
    Ok(forgotten)
}

/// All workers that ever enrolled.
///
/// # Errors
/// [`VaultError`] when the store fails.
pub fn list(vault: &dyn KeyVault) -> Result<Vec<(WorkerId, Enrolment)>, VaultError> {
    let entry = |(name, bytes): (String, Vec<u8>)| {
        let id = name[PREFIX.len()..].parse().map_err(|e| VaultError(format!("'{name}': {e}")))?;
        Ok((id, token::from_bytes(&name, &bytes)?))
    };
    vault.list(PREFIX)?.into_iter().map(entry).collect()
}

fn find(vault: &dyn KeyVault, worker: WorkerId) -> Result<Option<Enrolment>, VaultError> {
    let name = name_of(worker);
    vault.get(&name)?.map(|bytes| token::from_bytes(&name, &bytes)).transpose()
}

fn name_of(worker: WorkerId) -> String {
    format!("{PREFIX}{worker}")
}
