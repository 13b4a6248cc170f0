//! Frames: `{version u16, kind u16, length u32}`, little endian, then `length` bytes of payload.
//!
//! The kind says which message enum the payload holds, the version which form of it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, CodecError};

/// Length of a frame's header in bytes.
pub const HEADER_LEN: usize = 8;

/// What most frames fit in, in bytes.
const USUAL: usize = 256;

/// A type that travels in frames of its own kind.
pub trait Message: Serialize + DeserializeOwned {
    /// Identifies the message enum; never reused.
    const KIND: u16;
    /// The form that this program writes.
    const VERSION: u16;
    /// Largest payload in bytes that is read or written.
    const LIMIT: u32;
}

/// A frame that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Another kind of message than this place of the protocol allows.
    #[error("expected a frame of kind {expected}, got kind {got}; the other side speaks another protocol")]
    Kind {
        /// The kind that belongs here.
        expected: u16,
        /// The kind that came.
        got: u16,
    },
    /// A form that this program does not know.
    #[error("a frame of kind {kind} has version {got}, this program reads up to {newest}; update it")]
    Version {
        /// The kind.
        kind: u16,
        /// The version that came.
        got: u16,
        /// The newest one known here.
        newest: u16,
    },
    /// Longer than the kind allows.
    #[error("a frame of kind {kind} has {length} bytes, its limit is {limit}")]
    TooLong {
        /// The kind.
        kind: u16,
        /// Its length.
        length: u64,
        /// The kind's limit.
        limit: u32,
    },
    /// The payload is not such a message.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The form of the payload.
    pub version: u16,
    /// The message enum.
    pub kind: u16,
    /// Bytes of payload.
    pub length: u32,
}

impl Header {
    /// Reads the eight bytes of a header.
    #[must_use]
    pub fn from_bytes(b: [u8; HEADER_LEN]) -> Self {
        Self {
            version: u16::from_le_bytes([b[0], b[1]]),
            kind: u16::from_le_bytes([b[2], b[3]]),
            length: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// The eight bytes of the header.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let (v, k, l) = (self.version.to_le_bytes(), self.kind.to_le_bytes(), self.length.to_le_bytes());
        [v[0], v[1], k[0], k[1], l[0], l[1], l[2], l[3]]
    }

    /// Refuses what cannot be a frame of `M`, before its payload is read.
    ///
    /// # Errors
    /// [`FrameError::Kind`], [`FrameError::Version`] or [`FrameError::TooLong`].
    pub fn expect<M: Message>(self) -> Result<(), FrameError> {
        if self.kind != M::KIND {
            return Err(FrameError::Kind { expected: M::KIND, got: self.kind });
        }
        if self.version == 0 || self.version > M::VERSION {
            return Err(FrameError::Version { kind: M::KIND, got: self.version, newest: M::VERSION });
        }
        if self.length > M::LIMIT {
            return Err(FrameError::TooLong {
                kind: M::KIND,
                length: u64::from(self.length),
                limit: M::LIMIT,
            });
        }
        Ok(())
    }
}

/// Encodes a message with its header.
///
/// # Errors
/// [`FrameError::TooLong`] past the kind's limit, [`FrameError::Codec`] for a value that bincode cannot hold.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::with_capacity(USUAL);
    bytes.resize(HEADER_LEN, 0);
    codec::encode_into(message, &mut bytes)?;
    let length = bytes.len() - HEADER_LEN;
    let too_long = || FrameError::TooLong { kind: M::KIND, length: length as u64, limit: M::LIMIT };
    let length = u32::try_from(length).ok().filter(|l| *l <= M::LIMIT).ok_or_else(too_long)?;
    let header = Header { version: M::VERSION, kind: M::KIND, length };
    bytes[..HEADER_LEN].copy_from_slice(&header.to_bytes());
    Ok(bytes)
}

/// Decodes the payload behind a header that [`Header::expect`] has passed.
///
/// # Errors
/// [`FrameError::Codec`] for bytes that are not such a message.
pub fn decode<M: Message>(payload: &[u8]) -> Result<M, FrameError> {
    Ok(codec::decode(payload)?)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Word(String);

    impl Message for Word {
        const KIND: u16 = 77;
        const VERSION: u16 = 2;
        const LIMIT: u32 = 16;
    }

    fn header_of(bytes: &[u8]) -> Header {
        Header::from_bytes(bytes[..HEADER_LEN].try_into().expect("a whole header"))
    }

    #[test]
    fn a_message_reads_back() {
        let bytes = encode(&Word("hello".into())).expect("it fits");
        assert!(header_of(&bytes).expect::<Word>().is_ok());
        assert_eq!(decode::<Word>(&bytes[HEADER_LEN..]).expect("it decodes"), Word("hello".into()));
    }

    #[test]
    fn what_is_foreign_new_or_long_is_refused_before_it_is_read() {
        assert!(matches!(encode(&Word("x".repeat(99))), Err(FrameError::TooLong { .. })));
        let header = Header { version: 2, kind: 77, length: 3 };
        assert!(matches!(Header { kind: 1, ..header }.expect::<Word>(), Err(FrameError::Kind { .. })));
        assert!(matches!(Header { version: 3, ..header }.expect::<Word>(), Err(FrameError::Version { .. })));
        assert!(matches!(Header { length: 17, ..header }.expect::<Word>(), Err(FrameError::TooLong { .. })));
        assert!(decode::<Word>(&[200, 1]).is_err());
        assert!(matches!(decode::<Word>(&[1, b'x', 9]), Err(FrameError::Codec(CodecError::Trailing(1)))));
    }
}
