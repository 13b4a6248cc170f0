//! Questions to the key store, on threads that may block for a write to disk.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web;

use super::Api;
use super::problem::Problem;
use crate::joins::Joins;
use crate::pki::{KeyVault, VaultError};

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        tracing::error!(%error, "a request failed in the key store");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store_failed", error.to_string())
            .advice("the coordinator's log has the details")
    }
}

impl Api {
    /// Asks the key store.
    pub(super) async fn ask_vault<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn KeyVault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, Problem> {
        let vault = Arc::clone(&self.parts.vault);
        Ok(blocking(move || question(&*vault)).await??)
    }

    /// Asks the desk for join tokens.
    pub(super) async fn ask_joins<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Joins) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, Problem> {
        let joins = self.parts.joins.clone();
        Ok(blocking(move || question(&joins)).await??)
    }
}

/// Does something that blocks where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    web::block(work).await.map_err(|_| Problem::unavailable("stopping", "the coordinator is stopping", 5))
}
