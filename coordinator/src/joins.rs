//! Join tokens for administrators: made, listed, taken back.

use std::fmt;
use std::sync::Arc;

use rushes_shared::units::WallMs;
use rushes_shared::view::{CreatedJoinTokenView, JoinTokenView, NewJoinTokenRequest};

use crate::pki::join_token::{self, JoinRecord};
use crate::pki::token::TokenId;
use crate::pki::{KeyVault, VaultError};
use crate::settings::JoinSettings;

/// The desk for join tokens. Calls may block for a write to disk.
#[derive(Clone)]
pub struct Joins {
    vault: Arc<dyn KeyVault>,
    ca_fingerprint: [u8; 32],
    defaults: JoinSettings,
}

impl fmt::Debug for Joins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joins").field("defaults", &self.defaults).finish_non_exhaustive()
    }
}

impl Joins {
    /// A desk for the farm whose CA has this fingerprint.
    #[must_use]
    pub fn new(vault: Arc<dyn KeyVault>, ca_fingerprint: [u8; 32], defaults: JoinSettings) -> Self {
        Self { vault, ca_fingerprint, defaults }
    }

    /// Makes a token. What the request leaves open is the setting's default.
    ///
    /// # Errors
    /// [`VaultError`] when it could not be kept.
    pub fn create(
        &self,
        request: &NewJoinTokenRequest,
        now: WallMs,
    ) -> Result<CreatedJoinTokenView, VaultError> {
        let uses = request.uses.unwrap_or(self.defaults.token_uses).max(1);
        let lifetime_s = request.lifetime_s.unwrap_or(self.defaults.token_lifetime_s);
        let lifetime_ms = lifetime_s.saturating_mul(1000);
        let made =
            join_token::issue(&*self.vault, self.ca_fingerprint, &request.label, uses, lifetime_ms, now)?;
        let (id, record) = join_token::find(&*self.vault, &made)?;
        Ok(CreatedJoinTokenView { token: view(&id, &record), secret: made.to_string() })
    }

    /// Tokens that were not withdrawn, used up and expired ones among them.
    ///
    /// # Errors
    /// [`VaultError`] when the store fails.
    pub fn list(&self) -> Result<Vec<JoinTokenView>, VaultError> {
        Ok(join_token::list(&*self.vault)?.iter().map(|(id, record)| view(id, record)).collect())
    }

    /// Takes a token back; tells whether there was one.
    ///
    /// # Errors
    /// [`VaultError`] when the store fails.
    pub fn withdraw(&self, id: &TokenId) -> Result<bool, VaultError> {
        join_token::withdraw(&*self.vault, id)
    }
}

fn view(id: &TokenId, record: &JoinRecord) -> JoinTokenView {
    JoinTokenView {
        id: id.to_string(),
        label: record.label.clone(),
        uses_left: record.uses_left,
        created_at: record.created.to_rfc3339(),
        expires_at: record.expires.to_rfc3339(),
    }
}
