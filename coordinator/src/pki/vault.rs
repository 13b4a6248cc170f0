//! The small durable store behind tokens and enrolments, as a trait, so that their rules can be told without a disk.

/// The store failed; its own text says what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the key store failed: {0}")]
pub struct VaultError(pub String);

/// Small values under names of up to 200 bytes. A write is on disk when it returns; calls may block for that long.
pub trait KeyVault: Send + Sync {
    /// The value under a name.
    ///
    /// # Errors
    /// [`VaultError`] when the store fails.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError>;

    /// Sets a value.
    ///
    /// # Errors
    /// [`VaultError`] when the store fails.
    fn put(&self, name: &str, value: &[u8]) -> Result<(), VaultError>;

    /// Sets a value (`None` removes it) if the one there is `old`; tells whether it did.
    ///
    /// # Errors
    /// [`VaultError`] when the store fails.
    fn compare_and_swap(
        &self,
        name: &str,
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool, VaultError>;

    /// All names that begin with `prefix`, with their values, in order.
    ///
    /// # Errors
    /// [`VaultError`] when the store fails.
    fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, VaultError>;

    /// Removes a value; tells whether there was one.
    ///
    /// # Errors
    /// [`VaultError`] when the store fails.
    fn delete(&self, name: &str) -> Result<bool, VaultError>;
}
