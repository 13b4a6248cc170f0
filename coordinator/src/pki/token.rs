//! Secrets that callers and newcomers hold. The farm keeps their hashes only: who reads its disk cannot pose as them.
//!
//! A secret has 256 random bits, so that a plain hash is enough: there is nothing to guess, hence nothing to slow down.
//! The hash is the name under which the record is found; finding it therefore leaks no timing of the secret itself.

use std::fmt;

use rushes_shared::artifact::ContentHash;
use rushes_shared::codec;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::vault::VaultError;

/// Version of the records that this program writes.
const RECORD_VERSION: u8 = 1;
/// Hexadecimal digits of a token's id.
const ID_LEN: usize = 12;

/// 64 hexadecimal digits.
pub(super) fn random_secret() -> Result<String, VaultError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| VaultError(format!("the system has no randomness: {e}")))?;
    Ok(ContentHash(bytes).to_string())
}

/// The hash of a secret, as text.
pub(super) fn hash(secret: &str) -> String {
    blake3::hash(secret.as_bytes()).to_hex().to_string()
}

/// A token's name in lists and logs: the first digits of its hash. Tells nothing about the secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TokenId(String);

impl TokenId {
    pub(super) fn of_hash(hash: &str) -> Self {
        Self(hash.chars().take(ID_LEN).collect())
    }

    pub(super) fn of_name(prefix: &str, name: &str) -> Self {
        Self::of_hash(name.strip_prefix(prefix).unwrap_or(name))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for TokenId {
    type Err = BadTokenId;

    fn from_str(text: &str) -> Result<Self, BadTokenId> {
        let ok = text.len() == ID_LEN && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if ok { Ok(Self(text.to_owned())) } else { Err(BadTokenId) }
    }
}

/// A text that is no token's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a token's id: it has 12 hexadecimal digits, as the list of tokens shows them")]
pub struct BadTokenId;

pub(super) fn to_bytes<T: Serialize>(record: &T) -> Result<Vec<u8>, VaultError> {
    let mut bytes = vec![RECORD_VERSION];
    codec::encode_into(record, &mut bytes).map_err(|e| VaultError(e.to_string()))?;
    Ok(bytes)
}

pub(super) fn from_bytes<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, VaultError> {
    match bytes.split_first() {
        Some((&RECORD_VERSION, rest)) => {
            codec::decode(rest).map_err(|e| VaultError(format!("'{name}': {e}")))
        }
        Some((version, _)) => Err(VaultError(format!(
            "'{name}' has version {version}, this program reads {RECORD_VERSION}; update it"
        ))),
        None => Err(VaultError(format!("'{name}' is empty"))),
    }
}
