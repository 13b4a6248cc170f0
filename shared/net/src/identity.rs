//! A machine's certificate, its key and the farm's CA, as values and as files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rushes_shared::units::WallMs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::NetError;

const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";
const CA: &str = "ca.pem";

/// Proof of belonging to a farm. `Debug` does not show the key.
#[derive(Clone)]
pub struct Identity {
    /// The machine's certificate.
    pub certificate_pem: String,
    /// Its private key, PKCS #8.
    pub key_pem: String,
    /// The CA whose certificates are accepted from others.
    pub ca_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the three files of a directory.
    ///
    /// # Errors
    /// [`NetError::IdentityFile`] when one is missing or unreadable.
    pub fn load(dir: &Path) -> Result<Self, NetError> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).map_err(|e| NetError::file(&path, &e))
        };
        Ok(Self { certificate_pem: read(CERTIFICATE)?, key_pem: read(KEY)?, ca_pem: read(CA)? })
    }

    /// Whether the directory holds an identity; the certificate is the last file that [`Identity::save`] writes.
    #[must_use]
    pub fn is_at(dir: &Path) -> bool {
        dir.join(CERTIFICATE).is_file()
    }

    /// Writes the three files, synced, the key readable by the owner alone. Makes the directory if it is missing.
    ///
    /// # Errors
    /// [`NetError::IdentityFile`] when a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), NetError> {
        fs::create_dir_all(dir).map_err(|e| NetError::file(dir, &e))?;
        for (name, text) in [(CA, &self.ca_pem), (KEY, &self.key_pem), (CERTIFICATE, &self.certificate_pem)] {
            let path = dir.join(name);
            write_secret(&path, text.as_bytes()).map_err(|e| NetError::file(&path, &e))?;
        }
        Ok(())
    }

    /// When the certificate ends.
    ///
    /// # Errors
    /// [`NetError::BadIdentity`] for a certificate that cannot be read.
    pub fn expires(&self) -> Result<WallMs, NetError> {
        let der = self.certificate()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|e| NetError::identity(&e))?;
        let seconds = parsed.validity().not_after.timestamp();
        Ok(WallMs(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)))
    }

    /// The hash of the CA's certificate (its DER form), by which a join token names the farm.
    ///
    /// # Errors
    /// [`NetError::BadIdentity`] for a CA that cannot be read.
    pub fn ca_fingerprint(&self) -> Result<[u8; 32], NetError> {
        Ok(fingerprint(&self.ca()?))
    }

    pub(crate) fn certificate(&self) -> Result<CertificateDer<'static>, NetError> {
        CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).map_err(|e| NetError::identity(&e))
    }

    pub(crate) fn ca(&self) -> Result<CertificateDer<'static>, NetError> {
        CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).map_err(|e| NetError::identity(&e))
    }

    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, NetError> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(|e| NetError::identity(&e))
    }
}

/// The hash of a certificate by which a join token names a farm's CA.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    *blake3::hash(certificate).as_bytes()
}

/// Writes a file that only its owner may read, so that a reader sees the old content or the new one, whole and synced.
///
/// # Errors
/// Whatever the file system says.
pub fn write_secret(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temp_name = std::ffi::OsString::from(".new-");
    temp_name.push(name);
    let temp = path.with_file_name(temp_name);
    match fs::remove_file(&temp) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temp, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}
