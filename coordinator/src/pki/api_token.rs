//! Tokens of API callers: each names a principal. Their text is `rushes-api-v1.SECRET`.

use std::collections::BTreeSet;

use rushes_shared::id::TenantId;
use rushes_shared::principal::{Principal, Role};
use rushes_shared::units::WallMs;
use rushes_shared::view::TokenView;
use serde::{Deserialize, Serialize};

use super::token::{self, TokenId};
use super::vault::{KeyVault, VaultError};

const PREFIX: &str = "api/";
const TEXT_PREFIX: &str = "rushes-api-v1.";
/// Longest text that is looked at.
const TEXT_LIMIT: usize = 256;

/// What the farm keeps of an API token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiRecord {
    /// The caller's name in logs and audit.
    pub name: String,
    /// Whose jobs it sees and makes.
    pub tenant: TenantId,
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// When it was made.
    pub created: WallMs,
    /// Refused after this time; `None`: until it is withdrawn.
    pub expires: Option<WallMs>,
}

impl ApiRecord {
    /// The caller that the token stands for.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal { name: self.name.clone(), tenant: self.tenant.clone(), roles: self.roles.clone() }
    }

    /// What lists show of it.
    #[must_use]
    pub fn view(&self, id: &TokenId) -> TokenView {
        TokenView {
            id: id.to_string(),
            name: self.name.clone(),
            tenant: self.tenant.to_string(),
            roles: self.roles.iter().copied().collect(),
            created_at: self.created.to_rfc3339(),
            expires_at: self.expires.map(WallMs::to_rfc3339),
        }
    }
}

/// Why a token stands for nobody.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiRefusal {
    /// The text has not the form of an API token.
    #[error("this is not an API token: it begins with {TEXT_PREFIX}")]
    Malformed,
    /// No such token was issued, or it was withdrawn.
    #[error("this API token is unknown or was withdrawn; make a new one with `rushes-coordinator token api`")]
    Unknown,
    /// Its time is over.
    #[error("this API token expired at {}; make a new one with `rushes-coordinator token api`", .0.to_rfc3339())]
    Expired(WallMs),
    /// Nothing is known, because the store failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Issues a token; its text is shown this once and kept nowhere.
///
/// # Errors
/// [`VaultError`] when it could not be kept.
pub fn issue(vault: &dyn KeyVault, record: &ApiRecord) -> Result<(TokenId, String), VaultError> {
    let text = format!("{TEXT_PREFIX}{}", token::random_secret()?);
    let hash = token::hash(&text);
    vault.put(&format!("{PREFIX}{hash}"), &token::to_bytes(record)?)?;
    Ok((TokenId::of_hash(&hash), text))
}

/// The principal that a token's text stands for.
///
/// # Errors
/// [`ApiRefusal`], one for each reason.
pub fn authenticate(vault: &dyn KeyVault, text: &str, now: WallMs) -> Result<Principal, ApiRefusal> {
    if text.len() > TEXT_LIMIT || !text.starts_with(TEXT_PREFIX) {
        return Err(ApiRefusal::Malformed);
    }
    let name = format!("{PREFIX}{}", token::hash(text));
    let bytes = vault.get(&name)?.ok_or(ApiRefusal::Unknown)?;
    let record: ApiRecord = token::from_bytes(&name, &bytes)?;
    match record.expires {
        Some(expires) if expires < now => Err(ApiRefusal::Expired(expires)),
        _ => Ok(record.principal()),
    }
}

/// All tokens that were not withdrawn.
///
/// # Errors
/// [`VaultError`] when the store fails.
pub fn list(vault: &dyn KeyVault) -> Result<Vec<(TokenId, ApiRecord)>, VaultError> {
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
