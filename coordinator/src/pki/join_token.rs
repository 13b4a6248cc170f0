//! Permission to enrol: how often, until when, and for whom it was made.

use rushes_net::join::JoinToken;
use rushes_shared::units::WallMs;
use serde::{Deserialize, Serialize};

use super::token::{self, TokenId};
use super::vault::{KeyVault, VaultError};

const PREFIX: &str = "join/";

/// What the farm keeps of a join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRecord {
    /// A note for people: who it is for.
    pub label: String,
    /// When it was made.
    pub created: WallMs,
    /// Refused after this time.
    pub expires: WallMs,
    /// How many machines may still enrol with it.
    pub uses_left: u32,
}

/// Why a token lets nobody in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JoinRefusal {
    /// No such token was issued, or it was withdrawn.
    #[error("this join token is unknown to the farm; make a new one with `rushes-coordinator token join`")]
    Unknown,
    /// All its uses are gone.
    #[error("this join token is used up; make a new one with `rushes-coordinator token join`")]
    UsedUp,
    /// Its time is over.
    #[error("this join token expired at {}; make a new one with `rushes-coordinator token join`", .0.to_rfc3339())]
    Expired(WallMs),
    /// Nothing is known, because the store failed.
    #[error("the coordinator cannot look up join tokens now; try again, and see its log")]
    Vault(#[from] VaultError),
}

/// Issues a token for `uses` machines that ends after `lifetime_ms`.
///
/// # Errors
/// [`VaultError`] when it could not be kept.
pub fn issue(
    vault: &dyn KeyVault,
    ca_fingerprint: [u8; 32],
    label: &str,
    uses: u32,
    lifetime_ms: u64,
    now: WallMs,
) -> Result<JoinToken, VaultError> {
    let secret = token::random_secret()?;
    let record = JoinRecord {
        label: label.chars().filter(|c| !c.is_control()).take(200).collect(),
        created: now,
        expires: WallMs(now.0.saturating_add(lifetime_ms)),
        uses_left: uses,
    };
    vault.put(&name_of(&secret), &token::to_bytes(&record)?)?;
    Ok(JoinToken { ca_fingerprint, secret })
}

/// What is kept of a token that was just made, and its name in lists.
///
/// # Errors
/// [`VaultError`] when the store fails, or has lost it again.
pub fn find(vault: &dyn KeyVault, token: &JoinToken) -> Result<(TokenId, JoinRecord), VaultError> {
    let name = name_of(&token.secret);
    let bytes = vault.get(&name)?.ok_or_else(|| VaultError("the token was not kept".to_owned()))?;
    Ok((TokenId::of_name(PREFIX, &name), token::from_bytes(&name, &bytes)?))
}

/// Looks whether a secret would let somebody in now, without using it.
///
/// # Errors
/// [`JoinRefusal`], one for each reason.
pub fn check(vault: &dyn KeyVault, secret: &str, now: WallMs) -> Result<JoinRecord, JoinRefusal> {
    lookup(vault, secret, now).map(|(record, _)| record)
}

/// Uses a secret once. When this returns, the use is on disk: no crash gives it back.
///
/// # Errors
/// [`JoinRefusal`], one for each reason.
pub fn redeem(vault: &dyn KeyVault, secret: &str, now: WallMs) -> Result<JoinRecord, JoinRefusal> {
    loop {
        let (mut record, before) = lookup(vault, secret, now)?;
        record.uses_left -= 1;
        // Another newcomer may have been quicker; then the new state decides.
        if vault.compare_and_swap(&name_of(secret), Some(&before), Some(&token::to_bytes(&record)?))? {
            return Ok(record);
        }
    }
}

fn lookup(vault: &dyn KeyVault, secret: &str, now: WallMs) -> Result<(JoinRecord, Vec<u8>), JoinRefusal> {
    let name = name_of(secret);
    let bytes = vault.get(&name)?.ok_or(JoinRefusal::Unknown)?;
    let record: JoinRecord = token::from_bytes(&name, &bytes)?;
    if record.uses_left == 0 {
        return Err(JoinRefusal::UsedUp);
    }
    if record.expires < now {
        return Err(JoinRefusal::Expired(record.expires));
    }
    Ok((record, bytes))
}

/// All tokens that were not withdrawn, used-up and expired ones included.
///
/// # Errors
/// [`VaultError`] when the store fails.
pub fn list(vault: &dyn KeyVault) -> Result<Vec<(TokenId, JoinRecord)>, VaultError> {
    let entry = |(name, bytes): (String, Vec<u8>)| {
        Ok((TokenId::of_name(PREFIX, &name), token::from_bytes(&name, &bytes)?))
    };
    vault.list(PREFIX)?.into_iter().map(entry).collect()
}

/// Withdraws a token; tells whether there was one.
///
/// # Errors
/// [`VaultError`] when the store fails.
pub fn withdraw(vault: &dyn KeyVault, id: &TokenId) -> Result<bool, VaultError> {
    let mut found = false;
    for (name, _) in vault.list(&format!("{PREFIX}{id}"))? {
        found |= vault.delete(&name)?;
    }
    Ok(found)
}

/// Forgets tokens that ended before `before`; tells how many.
///
/// # Errors
/// [`VaultError`] when the store fails.
pub fn forget_ended(vault: &dyn KeyVault, before: WallMs) -> Result<usize, VaultError> {
    let mut forgotten = 0;
    for (name, bytes) in vault.list(PREFIX)? {
        let record: JoinRecord = token::from_bytes(&name, &bytes)?;
        if record.expires < before && vault.delete(&name)? {
            forgotten += 1;
        }
    }
    Ok(forgotten)
}

fn name_of(secret: &str) -> String {
    format!("{PREFIX}{}", token::hash(secret))
}
