//! The store's keys as the vault that tokens and enrolments live in.

use crate::pki::{KeyVault, VaultError};
use crate::store::{StoreHandle, Swap};

/// The store's keys as a vault.
#[derive(Debug, Clone)]
pub struct StoreVault(pub StoreHandle);

fn failed(error: &crate::store::StoreError) -> VaultError {
    VaultError(error.to_string())
}

impl KeyVault for StoreVault {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        self.0.reader().key(name).map_err(|e| failed(&e))
    }

    fn put(&self, name: &str, value: &[u8]) -> Result<(), VaultError> {
        self.0.put_key(name, value).map_err(|e| failed(&e))
    }

    fn compare_and_swap(
        &self,
        name: &str,
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool, VaultError> {
        Ok(matches!(self.0.swap_key(name, old, new).map_err(|e| failed(&e))?, Swap::Done))
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, VaultError> {
        let keys = self.0.reader().keys().map_err(|e| failed(&e))?;
        Ok(keys.into_iter().filter(|(name, _)| name.starts_with(prefix)).collect())
    }

    fn delete(&self, name: &str) -> Result<bool, VaultError> {
        let there = self.get(name)?.is_some();
        self.0.delete_key(name).map_err(|e| failed(&e))?;
        Ok(there)
    }
}
