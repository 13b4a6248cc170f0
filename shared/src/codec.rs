//! The one place that knows `bincode`: how values become bytes on the wire and in the journal.
//!
//! The encoding is positional: the order of fields and variants is the format. A change of a type that is encoded here
//! needs a new wire or record version and keeps the old bytes readable (see `tests/fixtures`).

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that are no value of the wanted type, or a value that is too large.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The value could not be encoded.
    #[error("the value could not be encoded: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    /// The bytes are not such a value.
    #[error("the bytes are not a value of this kind: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    /// Bytes were left over behind the value.
    #[error("{0} bytes are left over behind the value")]
    Trailing(usize),
}

/// Largest value that may be decoded, in bytes. Guards against lengths made up by a hostile sender.
pub const DECODE_LIMIT: usize = 16 * 1024 * 1024;

fn config() -> bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<DECODE_LIMIT>,
> {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

/// Encodes a value.
///
/// # Errors
/// [`CodecError::Encode`] for a type that bincode cannot hold.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    Ok(bincode::serde::encode_to_vec(value, config())?)
}

/// Encodes a value behind what `into` already holds.
///
/// # Errors
/// [`CodecError::Encode`] for a type that bincode cannot hold.
pub fn encode_into<T: Serialize>(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, into, config())?;
    Ok(())
}

/// Decodes a value that fills `bytes` exactly.
///
/// # Errors
/// [`CodecError::Decode`] for other bytes, [`CodecError::Trailing`] for bytes too many.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, used) = bincode::serde::decode_from_slice(bytes, config())?;
    if used == bytes.len() { Ok(value) } else { Err(CodecError::Trailing(bytes.len() - used)) }
}
