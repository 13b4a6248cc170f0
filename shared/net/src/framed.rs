//! Messages on QUIC streams. A frame's header is checked before memory is set aside for its payload.

use quinn::{ReadExactError, RecvStream, SendStream};
use rushes_shared::frame::{self, HEADER_LEN, Header, Message};

use crate::error::NetError;

/// Sends one message.
///
/// # Errors
/// [`NetError::Frame`] for a message over its limit; otherwise the stream or connection ended.
pub async fn send<M: Message>(stream: &mut SendStream, message: &M) -> Result<(), NetError> {
    let bytes = frame::encode(message)?;
    stream.write_chunk(bytes.into()).await?;
    Ok(())
}

/// Receives one message; `None` at the clean end of the stream. Must not be dropped half-way (as a branch of a
/// `select!` would be): use [`FrameReader`] there.
///
/// # Errors
/// [`NetError::Frame`] for another kind, a newer version, an over-long frame or damaged bytes;
/// [`NetError::Truncated`] when the stream ends inside of a frame.
pub async fn recv<M: Message>(stream: &mut RecvStream) -> Result<Option<M>, NetError> {
    let mut bytes = [0; HEADER_LEN];
    match stream.read_exact(&mut bytes).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(e) => return Err(cut(e)),
    }
    let header = Header::from_bytes(bytes);
    header.expect::<M>()?;
    let mut payload = vec![0; header.length as usize];
    stream.read_exact(&mut payload).await.map_err(cut)?;
    Ok(Some(frame::decode(&payload)?))
}

fn cut(error: ReadExactError) -> NetError {
    match error {
        ReadExactError::FinishedEarly(_) => NetError::Truncated,
        ReadExactError::ReadError(e) => e.into(),
    }
}

/// A stream of messages whose `next` may be dropped half-way and called again, as `select!` does.
#[derive(Debug)]
pub struct FrameReader {
    stream: RecvStream,
    pending: Vec<u8>,
}

impl FrameReader {
    /// Reads messages from `stream`.
    #[must_use]
    pub fn new(stream: RecvStream) -> Self {
        Self { stream, pending: Vec::new() }
    }

    /// The next message; `None` at the clean end of the stream. Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`].
    pub async fn next<M: Message>(&mut self) -> Result<Option<M>, NetError> {
        loop {
            let wanted = match self.pending.first_chunk::<HEADER_LEN>() {
                None => HEADER_LEN,
                Some(bytes) => {
                    let header = Header::from_bytes(*bytes);
                    header.expect::<M>()?;
                    HEADER_LEN + header.length as usize
                }
            };
            if self.pending.len() >= HEADER_LEN && self.pending.len() == wanted {
                let message = frame::decode(&self.pending[HEADER_LEN..])?;
                self.pending.clear();
                return Ok(Some(message));
            }
            match self.stream.read_chunk(wanted - self.pending.len(), true).await? {
                Some(chunk) => self.pending.extend_from_slice(&chunk.bytes),
                None if self.pending.is_empty() => return Ok(None),
                None => return Err(NetError::Truncated),
            }
        }
    }

    /// The kind of the next message, which stays where it is; `None` at the clean end of the stream. Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`].
    pub async fn kind(&mut self) -> Result<Option<u16>, NetError> {
        loop {
            if let Some(bytes) = self.pending.first_chunk::<HEADER_LEN>() {
                return Ok(Some(Header::from_bytes(*bytes).kind));
            }
            match self.stream.read_chunk(HEADER_LEN - self.pending.len(), true).await? {
                Some(chunk) => self.pending.extend_from_slice(&chunk.bytes),
                None if self.pending.is_empty() => return Ok(None),
                None => return Err(NetError::Truncated),
            }
        }
    }

    /// The stream itself, for what follows the messages.
    ///
    /// # Errors
    /// [`NetError::Truncated`] when a part of a message was read already.
    pub fn into_stream(self) -> Result<RecvStream, NetError> {
        if self.pending.is_empty() { Ok(self.stream) } else { Err(NetError::Truncated) }
    }
}
