//! Signs and checks the depot's tickets. A ticket is a keyed BLAKE3 hash and, behind it, what the hash vouches for.

use std::fs;
use std::io;
use std::path::Path;

use rushes_shared::codec;
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::ticket::{Grant, Ticket};
use rushes_shared::units::WallMs;

use crate::error::NetError;
use crate::identity::write_secret;

/// Separates tickets from anything else that may ever be made from the same key.
const CONTEXT: &str = "rushes 2026 depot ticket v1";
const MAC_LEN: usize = 32;
/// Longest ticket that is looked at, in bytes.
const LIMIT: usize = 64 << 10;

/// The key that the coordinator and its depot share.
#[derive(Clone)]
pub struct TicketKey([u8; 32]);

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketKey")
    }
}

impl TicketKey {
    /// A key from 32 secret bytes.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self(blake3::derive_key(CONTEXT, &secret))
    }

    /// Reads the secret from a file, or makes one there that only the owner may read.
    ///
    /// # Errors
    /// [`NetError::IdentityFile`] when the file cannot be read, made, or has not 32 bytes.
    pub fn load_or_create(path: &Path) -> Result<Self, NetError> {
        match fs::read(path) {
            Ok(bytes) => {
                let wrong = "it should hold exactly 32 bytes; restore it from a backup, or delete it and restart coordinator and depot";
                bytes.try_into().map(Self::new).map_err(|_| NetError::file(path, &wrong))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let mut secret = [0; 32];
                getrandom::fill(&mut secret).map_err(|e| NetError::file(path, &e))?;
                write_secret(path, &secret).map_err(|e| NetError::file(path, &e))?;
                Ok(Self::new(secret))
            }
            Err(e) => Err(NetError::file(path, &e)),
        }
    }

    /// The ticket's bytes.
    ///
    /// # Panics
    /// Never: a ticket consists of plain values, which always encode.
    #[must_use]
    pub fn sign(&self, ticket: &Ticket) -> Vec<u8> {
        let body = codec::encode(ticket).expect("a ticket consists of plain values");
        let mut bytes = blake3::keyed_hash(&self.0, &body).as_bytes().to_vec();
        bytes.extend_from_slice(&body);
        bytes
    }

    /// What a ticket permits.
    ///
    /// # Errors
    /// A failure that is permanent for a ticket that was never signed with this key, and transient for an expired one,
    /// because the next attempt gets a fresh one.
    pub fn verify(&self, bytes: &[u8], now: WallMs) -> Result<Grant, Failure> {
        let foreign = || {
            Failure::new(
                FailureCode::TransferFailed,
                "the depot does not accept this ticket: it was not issued by this farm's coordinator",
                "use the ticket unchanged; if the farm's ticket key was replaced, restart coordinator and depot",
            )
            .with_class(FailureClass::Permanent)
        };
        if bytes.len() > LIMIT {
            return Err(foreign());
        }
        let (mac, body) = bytes.split_first_chunk::<MAC_LEN>().ok_or_else(foreign)?;
        // blake3::Hash compares in constant time.
        if blake3::keyed_hash(&self.0, body) != blake3::Hash::from_bytes(*mac) {
            return Err(foreign());
        }
        let ticket: Ticket = codec::decode(body).map_err(|_| foreign())?;
        if ticket.expires < now {
            return Err(Failure::new(
                FailureCode::TransferFailed,
                format!("the ticket for this transfer expired at {}", ticket.expires.to_rfc3339()),
                "ask for a new one; if it was just issued, compare the clocks of the coordinator's and the depot's machines",
            ));
        }
        Ok(ticket.grant)
    }
}

/// A ticket's bytes as text for a URL.
#[must_use]
pub fn to_text(ticket: &[u8]) -> String {
    ticket.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a ticket's text; `None` for text that is none.
#[must_use]
pub fn from_text(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() > 2 * LIMIT {
        return None;
    }
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use rushes_shared::artifact::Location;

    use super::*;

    fn ticket() -> Ticket {
        Ticket { grant: Grant::Read(Location::File("/a".into())), expires: WallMs(1000) }
    }

    #[test]
    fn a_ticket_counts_until_its_time_and_only_unchanged() {
        let key = TicketKey::new([7; 32]);
        let bytes = key.sign(&ticket());
        assert_eq!(key.verify(&bytes, WallMs(1000)), Ok(ticket().grant));
        let expired = key.verify(&bytes, WallMs(1001)).unwrap_err();
        assert!(expired.message.contains("expired"), "{expired}");
        assert_eq!(expired.class, FailureClass::Transient);
        for i in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[i] ^= 1;
            assert_eq!(
                key.verify(&changed, WallMs(0)).unwrap_err().class,
                FailureClass::Permanent,
                "byte {i}"
            );
        }
        assert!(TicketKey::new([8; 32]).verify(&bytes, WallMs(0)).is_err());
        assert!(key.verify(&[], WallMs(0)).is_err());
    }

    #[test]
    fn the_key_survives_a_restart_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("ticket.key");
        let bytes = TicketKey::load_or_create(&path).expect("made").sign(&ticket());
        let again = TicketKey::load_or_create(&path).expect("read");
        assert!(again.verify(&bytes, WallMs(0)).is_ok());
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        fs::write(&path, b"short").expect("written");
        assert!(TicketKey::load_or_create(&path).unwrap_err().to_string().contains("32 bytes"));
    }

    #[test]
    fn a_ticket_reads_back_from_a_url() {
        assert_eq!(from_text(&to_text(&[0, 0xab, 255])), Some(vec![0, 0xab, 255]));
        for bad in ["a", "zz", "+1", "é1"] {
            assert_eq!(from_text(bad), None, "{bad}");
        }
    }
}
