//! What can go wrong on a link, in words a person can act on.
//!
//! A TLS 1.3 client has finished its handshake before the server has looked at its certificate, so that a refusal of
//! the certificate reaches the client as the loss of a connection that seemed to work. Every loss therefore passes
//! through [`NetError::from`], which reads the TLS alert or close code behind it.

use std::io;
use std::path::PathBuf;

use quinn::{ConnectionError, ReadError, WriteError};
use rushes_shared::frame::FrameError;
use rushes_shared::wire::close;

/// Something failed on a link.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NetError {
    /// The socket could not be opened.
    #[error("cannot listen on UDP {addr}: {reason}; choose a free address of this machine")]
    Bind {
        /// Which address.
        addr: String,
        /// What the system said.
        reason: String,
    },
    /// The target is no address.
    #[error("cannot resolve '{target}': {reason}; give it as host:port, or [v6]:port")]
    Address {
        /// What was to be reached.
        target: String,
        /// What the resolver said.
        reason: String,
    },
    /// Nothing answered.
    #[error(
        "no answer from {target} within {seconds} s; check that it runs, that the address is right and that UDP passes the firewall"
    )]
    ConnectTimeout {
        /// What was to be reached.
        target: String,
        /// How long it was tried.
        seconds: u64,
    },
    /// The other side stopped answering.
    #[error(
        "the connection was lost: the other side has not answered for 10 s; it stopped, or the network did"
    )]
    Lost,
    /// The other side restarted and no longer knows the connection.
    #[error("the connection was reset: the other side has restarted; connect again")]
    Reset,
    /// We refuse the other side's certificate.
    #[error(
        "the other side's certificate is not acceptable ({reason}); it belongs to another farm, has expired, or the clocks differ: use the address and the certificates of one farm"
    )]
    ForeignPeer {
        /// What the check said.
        reason: String,
    },
    /// The other side refuses our certificate.
    #[error(
        "the other side refused this machine's certificate ({reason}); it is from another farm or has expired: join this farm with a new join token"
    )]
    CertificateRefused {
        /// The alert.
        reason: String,
    },
    /// A client certificate is needed and there is none.
    #[error(
        "a certificate of this farm is required and none was presented; join the farm first: rushes-worker join HOST:PORT TOKEN"
    )]
    CertificateRequired,
    /// No protocol version in common.
    #[error(
        "no protocol version in common with the other side; bring both programs to the same release, and check that the port is the right one"
    )]
    NoCommonVersion,
    /// The certificate's name is no enrolled worker.
    #[error(
        "this worker is not enrolled ({reason}); it was removed, or never joined: join with a new join token (`rushes-worker join HOST:PORT TOKEN --replace`)"
    )]
    UnknownWorker {
        /// More about it.
        reason: String,
    },
    /// A newer connection took the place of this one.
    #[error(
        "a newer connection with the same certificate took over; run one worker per certificate, and join each node by itself"
    )]
    Replaced,
    /// The server is full or stopping.
    #[error("the other side is full or stops ({reason}); try again later")]
    Unavailable {
        /// More about it.
        reason: String,
    },
    /// Closed by the other side in good order.
    #[error("the other side closed the connection")]
    Closed,
    /// Closed by this side.
    #[error("the connection was closed by this program")]
    ClosedHere,
    /// The other side closed because of something that we did.
    #[error(
        "the other side closed the connection because of a protocol error: {reason}; compare the versions of both programs"
    )]
    Protocol {
        /// What it said.
        reason: String,
    },
    /// A stream ended inside of a message.
    #[error("a stream ended in the middle of a message; the other side stopped or gave up")]
    Truncated,
    /// The other side gave up one stream.
    #[error("the other side gave up the stream (code {code})")]
    StreamStopped {
        /// Its code.
        code: u64,
    },
    /// Nothing came for too long.
    #[error("no answer on the stream for {seconds} s; the other side is overloaded or hangs")]
    Stalled {
        /// How long it was waited.
        seconds: u64,
    },
    /// A frame that cannot be read or written.
    #[error("{0}")]
    Frame(String),
    /// Certificate files that cannot be used.
    #[error("cannot use the certificate file {path}: {reason}")]
    IdentityFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A certificate or key that cannot be used.
    #[error(
        "the certificate, key or CA cannot be used: {reason}; join again, or restore the files from a backup"
    )]
    BadIdentity {
        /// Why.
        reason: String,
    },
    /// TLS or QUIC failed in another way.
    #[error("the connection failed: {reason}")]
    Transport {
        /// What the library said.
        reason: String,
    },
}

impl NetError {
    /// Whether connecting again may help without a person's doing.
    #[must_use]
    pub fn retry_can_help(&self) -> bool {
        match self {
            Self::Address { .. }
            | Self::ConnectTimeout { .. }
            | Self::Lost
            | Self::Reset
            | Self::Unavailable { .. }
            | Self::Closed
            | Self::Truncated
            | Self::StreamStopped { .. }
            | Self::Stalled { .. }
            | Self::Transport { .. } => true,
            Self::Bind { .. }
            | Self::ForeignPeer { .. }
            | Self::CertificateRefused { .. }
            | Self::CertificateRequired
            | Self::NoCommonVersion
            | Self::UnknownWorker { .. }
            | Self::Replaced
            | Self::ClosedHere
            | Self::Protocol { .. }
            | Self::Frame(_)
            | Self::IdentityFile { .. }
            | Self::BadIdentity { .. } => false,
        }
    }

    pub(crate) fn file(path: &std::path::Path, reason: &impl std::fmt::Display) -> Self {
        Self::IdentityFile { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn identity(reason: &impl std::fmt::Display) -> Self {
        Self::BadIdentity { reason: reason.to_string() }
    }

    pub(crate) fn bind(addr: &impl std::fmt::Display, reason: &io::Error) -> Self {
        Self::Bind { addr: addr.to_string(), reason: reason.to_string() }
    }
}

/// The TLS alerts that deserve words of their own (RFC 8446, section 6).
mod alert {
    pub(super) const BAD_CERTIFICATE: u64 = 42;
    pub(super) const UNSUPPORTED_CERTIFICATE: u64 = 43;
    pub(super) const CERTIFICATE_REVOKED: u64 = 44;
    pub(super) const CERTIFICATE_EXPIRED: u64 = 45;
    pub(super) const CERTIFICATE_UNKNOWN: u64 = 46;
    pub(super) const UNKNOWN_CA: u64 = 48;
    pub(super) const ACCESS_DENIED: u64 = 49;
    pub(super) const DECRYPT_ERROR: u64 = 51;
    pub(super) const CERTIFICATE_REQUIRED: u64 = 116;
    pub(super) const NO_APPLICATION_PROTOCOL: u64 = 120;
}

/// What the TLS alert in a QUIC error code says (RFC 9001, section 4.8: 0x100 plus the alert).
enum TlsRefusal {
    Certificate(&'static str),
    NoCertificate,
    NoCommonVersion,
}

fn tls_refusal(code: u64) -> Option<TlsRefusal> {
    let alert = code.checked_sub(0x100).filter(|alert| *alert <= 0xff)?;
    Some(match alert {
        alert::UNKNOWN_CA => TlsRefusal::Certificate("it is signed by an unknown authority"),
        alert::CERTIFICATE_EXPIRED => TlsRefusal::Certificate("it has expired or is not valid yet"),
        alert::CERTIFICATE_REVOKED => TlsRefusal::Certificate("it was revoked"),
        alert::BAD_CERTIFICATE
        | alert::UNSUPPORTED_CERTIFICATE
        | alert::CERTIFICATE_UNKNOWN
        | alert::ACCESS_DENIED
        | alert::DECRYPT_ERROR => TlsRefusal::Certificate("it is not valid for this farm"),
        alert::CERTIFICATE_REQUIRED => TlsRefusal::NoCertificate,
        alert::NO_APPLICATION_PROTOCOL => TlsRefusal::NoCommonVersion,
        _ => return None,
    })
}

impl From<ConnectionError> for NetError {
    fn from(error: ConnectionError) -> Self {
        match &error {
            ConnectionError::TimedOut => Self::Lost,
            ConnectionError::Reset => Self::Reset,
            ConnectionError::LocallyClosed => Self::ClosedHere,
            ConnectionError::VersionMismatch => Self::NoCommonVersion,
            ConnectionError::TransportError(local) => match tls_refusal(local.code.into()) {
                Some(TlsRefusal::Certificate(_)) => Self::ForeignPeer { reason: local.reason.clone() },
                Some(TlsRefusal::NoCertificate) => Self::CertificateRequired,
                Some(TlsRefusal::NoCommonVersion) => Self::NoCommonVersion,
                None => Self::Transport { reason: error.to_string() },
            },
            ConnectionError::ConnectionClosed(remote) => match tls_refusal(remote.error_code.into()) {
                Some(TlsRefusal::Certificate(reason)) => {
                    Self::CertificateRefused { reason: reason.to_owned() }
                }
                Some(TlsRefusal::NoCertificate) => Self::CertificateRequired,
                Some(TlsRefusal::NoCommonVersion) => Self::NoCommonVersion,
                None => Self::Transport { reason: error.to_string() },
            },
            ConnectionError::ApplicationClosed(closed) => {
                let reason = printable(&closed.reason);
                match u32::try_from(closed.error_code.into_inner()) {
                    Ok(close::BYE) => Self::Closed,
                    Ok(close::NO_CERTIFICATE) => Self::CertificateRequired,
                    Ok(close::UNKNOWN_WORKER) => Self::UnknownWorker { reason },
                    Ok(close::REPLACED) => Self::Replaced,
                    Ok(close::UNAVAILABLE) => Self::Unavailable { reason },
                    _ => Self::Protocol { reason },
                }
            }
            ConnectionError::CidsExhausted => Self::Transport { reason: error.to_string() },
        }
    }
}

impl From<WriteError> for NetError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(code) => Self::StreamStopped { code: code.into_inner() },
            WriteError::ConnectionLost(error) => error.into(),
            WriteError::ClosedStream => Self::ClosedHere,
            WriteError::ZeroRttRejected => Self::Transport { reason: error.to_string() },
        }
    }
}

impl From<ReadError> for NetError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(code) => Self::StreamStopped { code: code.into_inner() },
            ReadError::ConnectionLost(error) => error.into(),
            ReadError::ClosedStream => Self::ClosedHere,
            ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => {
                Self::Transport { reason: error.to_string() }
            }
        }
    }
}

impl From<FrameError> for NetError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error.to_string())
    }
}

/// Text from the other side, short and without what could disturb a terminal or a log.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(300).collect()
}
