//! TLS of an HTTP side, from a certificate chain and a key in PEM files. QUIC has TLS of its own, in `rushes-net`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFile {
    /// The certificate chain.
    Certificate,
    /// Its private key.
    Key,
}

impl TlsFile {
    /// The setting that names it, in the section `api` or `depot`.
    #[must_use]
    pub fn setting(self, section: &str) -> String {
        let key = match self {
            Self::Certificate => "tls_certificate",
            Self::Key => "tls_key",
        };
        format!("{section}.{key}")
    }
}

/// A file that cannot be used for TLS.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{} cannot be used for TLS: {reason}", path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// Which of the two.
    pub file: TlsFile,
    /// Why.
    pub reason: String,
}

/// The configuration of a server with this certificate chain and key.
///
/// # Errors
/// [`TlsError`] with the file at fault.
pub(crate) fn server_config(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let bad = |file, reason: String| {
        let path = if file == TlsFile::Key { key } else { certificate };
        TlsError { path: path.to_owned(), file, reason }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| bad(TlsFile::Certificate, e.to_string()))?;
    if chain.is_empty() {
        return Err(bad(TlsFile::Certificate, "it holds no certificate in PEM form".to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(TlsFile::Key, e.to_string()))?;
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|e| bad(TlsFile::Certificate, e.to_string()))
}
