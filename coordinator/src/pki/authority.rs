//! The farm's own certificate authority: one P-256 key that signs the servers' and the workers' certificates.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
    date_time_ymd,
};
use rushes_net::identity::{fingerprint, write_secret};
use rushes_net::{Identity, NetError};
use rushes_shared::id::WorkerId;
use rushes_shared::units::WallMs;
use rushes_shared::wire::SERVER_NAME;

/// How long a worker's and a server's certificate count.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(5 * 365 * 24 * 3600);
/// How long the CA counts.
const CA_LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// A server's certificate that ends sooner than this is replaced at the next start.
const RENEW_BEFORE: Duration = Duration::from_secs(90 * 24 * 3600);
/// Certificates begin this much earlier, for machines whose clocks are behind.
const CLOCK_SLACK: Duration = Duration::from_secs(24 * 3600);
/// Largest signing request that is looked at, in bytes.
const CSR_LIMIT: usize = 8 << 10;

const CA_CERTIFICATE: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const SERVER_DIR: &str = "server";

/// Something about the farm's certificates failed.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// There is a CA already.
    #[error(
        "{0} holds a farm's CA already; remove it only if that farm and all its workers are to be given up"
    )]
    Exists(PathBuf),
    /// There is no CA.
    #[error("{0} holds no farm's CA; run `rushes-coordinator init` first")]
    Missing(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate library refuses something.
    #[error("the farm's CA cannot be used: {0}; restore the state directory's pki/ from a backup")]
    Certificate(#[from] rcgen::Error),
    /// No serial number or key can be made.
    #[error("the system has no randomness: {0}")]
    Random(String),
    /// The newcomer's signing request is not acceptable.
    #[error("the certificate request is not acceptable: {0}")]
    Request(String),
    /// Identity files cannot be used.
    #[error(transparent)]
    Identity(#[from] NetError),
}

/// The farm's CA. `Debug` does not show the key.
pub struct Authority {
    dir: PathBuf,
    ca_pem: String,
    fingerprint: [u8; 32],
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a farm's CA in `dir` (the state directory's `pki/`).
    ///
    /// # Errors
    /// [`PkiError::Exists`] when there is one; [`PkiError::File`].
    pub fn create(dir: &Path, now: WallMs) -> Result<Self, PkiError> {
        let (certificate_path, key_path) = (dir.join(CA_CERTIFICATE), dir.join(CA_KEY));
        if certificate_path.exists() {
            return Err(PkiError::Exists(dir.to_owned()));
        }
        make_private_dir(dir)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(now, CA_LIFETIME);
        params.distinguished_name.push(DnType::OrganizationName, "Rushes farm");
        params
            .distinguished_name
            .push(DnType::CommonName, format!("Rushes farm CA {}", &hex(&random()?)[..16]));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(serial()?);
        let certificate = params.self_signed(&key)?;
        // The certificate is written last: where it is, the key is too.
        save(&key_path, key.serialize_pem().as_bytes())?;
        save(&certificate_path, certificate.pem().as_bytes())?;
        Self::open(dir)
    }

    /// Reads the farm's CA from `dir`.
    ///
    /// # Errors
    /// [`PkiError::Missing`] when there is none; [`PkiError::File`], [`PkiError::Certificate`].
    pub fn open(dir: &Path) -> Result<Self, PkiError> {
        let path = dir.join(CA_CERTIFICATE);
        if !path.exists() {
            return Err(PkiError::Missing(dir.to_owned()));
        }
        let ca_pem = read(&path)?;
        let key = KeyPair::from_pem(&read(&dir.join(CA_KEY))?)?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, key)?;
        let ca = Identity { certificate_pem: String::new(), key_pem: String::new(), ca_pem };
        let fingerprint = ca.ca_fingerprint()?;
        Ok(Self { dir: dir.to_owned(), ca_pem: ca.ca_pem, fingerprint, issuer })
    }

    /// By this a join token names the farm.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// The CA's certificate.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The certificate of the farm's servers, coordinator and depot; also good for the coordinator as the depot's
    /// client. Made at first use, kept in `server/`, and replaced when it nears its end.
    ///
    /// # Errors
    /// [`PkiError::File`], [`PkiError::Certificate`].
    pub fn server_identity(&self, now: WallMs) -> Result<Identity, PkiError> {
        let dir = self.dir.join(SERVER_DIR);
        if Identity::is_at(&dir) {
            let identity = Identity::load(&dir)?;
            let fresh = identity.expires()?.0 > now.0.saturating_add(millis(RENEW_BEFORE));
            if fresh && identity.ca_pem == self.ca_pem {
                return Ok(identity);
            }
        }
        let names = [SERVER_NAME, "localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = params(now, CERTIFICATE_LIFETIME);
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        params.distinguished_name.push(DnType::CommonName, SERVER_NAME);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(serial()?);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate_pem = params.signed_by(&key, &self.issuer)?.pem();
        let identity =
            Identity { certificate_pem, key_pem: key.serialize_pem(), ca_pem: self.ca_pem.clone() };
        make_private_dir(&dir)?;
        identity.save(&dir)?;
        Ok(identity)
    }

    /// Signs a newcomer's request: only its key is taken, everything else is the farm's decision. Returns the
    /// certificate and its end.
    ///
    /// # Errors
    /// [`PkiError::Request`] for a request that is none, not signed with its own key, or not for a P-256 key.
    pub fn sign_worker(
        &self,
        csr_der: &[u8],
        worker: WorkerId,
        now: WallMs,
        lifetime: Duration,
    ) -> Result<(String, WallMs), PkiError> {
        if csr_der.len() > CSR_LIMIT {
            return Err(PkiError::Request(format!(
                "it has {} bytes, the limit is {CSR_LIMIT}",
                csr_der.len()
            )));
        }
        let request = CertificateSigningRequestParams::from_der(&csr_der.into())
            .map_err(|e| PkiError::Request(e.to_string()))?;
        if request.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(PkiError::Request("its key is not an ECDSA key on P-256".to_owned()));
        }
        let mut params = params(now, lifetime);
        params.distinguished_name.push(DnType::CommonName, worker.to_string());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(serial()?);
        let certificate = params.signed_by(&request.public_key, &self.issuer)?;
        Ok((certificate.pem(), WallMs(now.0.saturating_add(millis(lifetime)))))
    }
}

/// The text form of a CA's fingerprint, for people to compare.
#[must_use]
pub fn fingerprint_text(ca_der: &[u8]) -> String {
    hex(&fingerprint(ca_der))
}

fn params(now: WallMs, lifetime: Duration) -> CertificateParams {
    let now = date_time_ymd(1970, 1, 1) + Duration::from_millis(now.0);
    let mut params = CertificateParams::default();
    params.not_before = now - CLOCK_SLACK;
    params.not_after = now + lifetime;
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    params
}

fn random() -> Result<[u8; 16], PkiError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| PkiError::Random(e.to_string()))?;
    Ok(bytes)
}

/// A positive number of 127 random bits.
fn serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = random()?;
    bytes[0] &= 0x7f;
    Ok(SerialNumber::from_slice(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn make_private_dir(dir: &Path) -> Result<(), PkiError> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| PkiError::File { path: dir.to_owned(), source })
}

fn save(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    write_secret(path, content).map_err(|source| PkiError::File { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::File { path: path.to_owned(), source })
}
