//! A newcomer's enrolment: with a join token it gets a certificate for a key that never leaves the machine.
//!
//! The token carries the fingerprint of the farm's CA, so that the newcomer tells the farm from an impostor before it
//! shows the token's secret.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use quinn::VarInt;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rushes_shared::artifact::ContentHash;
use rushes_shared::id::WorkerId;
use rushes_shared::wire::{JOIN_ALPNS, JoinReply, JoinRequest, close};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

use crate::endpoint;
use crate::error::NetError;
use crate::framed;
use crate::identity::{Identity, fingerprint};

/// How long the coordinator may take to sign.
const REPLY_TIMEOUT: Duration = Duration::from_secs(15);
const PREFIX: &str = "rushes-join-v1";

/// Permission to enrol, as an operator hands it out: `rushes-join-v1.CA-FINGERPRINT.SECRET`. `Debug` hides the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The BLAKE3 hash of the CA's certificate (DER).
    pub ca_fingerprint: [u8; 32],
    /// What only the coordinator and the newcomer know: letters, digits, `-` and `_`.
    pub secret: String,
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("ca_fingerprint", &ContentHash(self.ca_fingerprint))
            .finish_non_exhaustive()
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}.{}", ContentHash(self.ca_fingerprint), self.secret)
    }
}

impl FromStr for JoinToken {
    type Err = JoinError;

    fn from_str(text: &str) -> Result<Self, JoinError> {
        let mut parts = text.trim().split('.');
        let (Some(PREFIX), Some(ca), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JoinError::BadToken);
        };
        let ca: ContentHash = ca.parse().map_err(|_| JoinError::BadToken)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(16..=128).contains(&secret.len()) || !secret.bytes().all(plain) {
            return Err(JoinError::BadToken);
        }
        Ok(Self { ca_fingerprint: ca.0, secret: secret.to_owned() })
    }
}

/// An enrolment that did not come about.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JoinError {
    /// The text is no join token.
    #[error(
        "this is not a join token: it looks like rushes-join-v1.HEX.SECRET, and must be copied whole from `rushes-coordinator token join`"
    )]
    BadToken,
    /// The server is not the token's farm.
    #[error(
        "{target} is not the farm that this join token belongs to; check the address, or get a token from that farm"
    )]
    ForeignFarm {
        /// What was reached.
        target: String,
    },
    /// The coordinator refuses.
    #[error("the coordinator refused to enrol this machine: {reason}")]
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// The answer is not what was asked for.
    #[error("the coordinator's answer cannot be used: {reason}; compare the versions of both programs")]
    BadAnswer {
        /// What is wrong with it.
        reason: String,
    },
    /// No key could be made.
    #[error("cannot make a key for the certificate: {0}")]
    Key(String),
    /// The link failed.
    #[error(transparent)]
    Net(#[from] NetError),
}

/// Enrols this machine under a name for people. Must be called within a tokio runtime.
///
/// # Errors
/// [`JoinError`]: the wrong farm, a refusal with its reason, or a failing link.
pub async fn join(target: &str, token: &JoinToken, name: &str) -> Result<(WorkerId, Identity), JoinError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| JoinError::Key(e.to_string()))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "newcomer");
    let csr = params.serialize_request(&key).map_err(|e| JoinError::Key(e.to_string()))?;
    let request =
        JoinRequest { secret: token.secret.clone(), csr_der: csr.der().to_vec(), name: name.to_owned() };
    let reply = ask(target, token, &request).await?;
    let (worker, certificate_pem, ca_pem) = match reply {
        JoinReply::Welcome { worker, certificate_pem, ca_pem } => (worker, certificate_pem, ca_pem),
        JoinReply::Refused { reason } => return Err(JoinError::Refused { reason }),
    };
    let identity = Identity { certificate_pem, key_pem: key.serialize_pem(), ca_pem };
    check(&identity, worker, token)?;
    Ok((worker, identity))
}

async fn ask(target: &str, token: &JoinToken, request: &JoinRequest) -> Result<JoinReply, JoinError> {
    let verifier = FingerprintVerifier { ca: token.ca_fingerprint, provider: Arc::new(endpoint::provider()) };
    let config = endpoint::anonymous_client_config(Arc::new(verifier), JOIN_ALPNS)?;
    let endpoint = endpoint::client()?;
    let connection = endpoint::connect(&endpoint, config, target).await.map_err(|e| match e {
        NetError::ForeignPeer { .. } => JoinError::ForeignFarm { target: target.to_owned() },
        other => other.into(),
    })?;
    let exchange = async {
        let (mut send, mut recv) = connection.open_bi().await.map_err(NetError::from)?;
        framed::send(&mut send, request).await?;
        let _ = send.finish();
        framed::recv::<JoinReply>(&mut recv).await?.ok_or(NetError::Truncated)
    };
    let reply = tokio::time::timeout(REPLY_TIMEOUT, exchange)
        .await
        .unwrap_or(Err(NetError::Stalled { seconds: REPLY_TIMEOUT.as_secs() }));
    connection.close(VarInt::from_u32(close::BYE), b"");
    // Lets the close reach the other side; the endpoint's end waits for nothing by itself.
    let _ = tokio::time::timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
    Ok(reply?)
}

/// Refuses an answer that does not fit the key, the farm or itself, before anything is saved.
fn check(identity: &Identity, worker: WorkerId, token: &JoinToken) -> Result<(), JoinError> {
    let bad = |reason: &str| JoinError::BadAnswer { reason: reason.to_owned() };
    if identity.ca_fingerprint()? != token.ca_fingerprint {
        return Err(bad("it holds another farm's CA"));
    }
    if endpoint::worker_in(&identity.certificate()?)? != worker {
        return Err(bad("the certificate names another worker"));
    }
    // Fails when certificate and key do not belong together.
    endpoint::client_config(identity, JOIN_ALPNS)?;
    Ok(())
}

/// Accepts the server whose chain holds the CA with the token's fingerprint, and is valid under that CA.
#[derive(Debug)]
struct FingerprintVerifier {
    ca: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for FingerprintVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let foreign = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let ca = intermediates.iter().find(|c| fingerprint(c) == self.ca).ok_or_else(foreign)?;
        let roots = endpoint::roots(ca).map_err(|_| foreign())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|_| foreign())?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_hides_its_secret() {
        let token = JoinToken { ca_fingerprint: [0xab; 32], secret: "s3cret-s3cret_s3cret".into() };
        assert_eq!(token.to_string().parse::<JoinToken>().expect("it reads"), token);
        assert!(!format!("{token:?}").contains("s3cret"));
        let text = token.to_string();
        for bad in [
            "",
            "rushes-join-v1",
            &text[..60],
            &text.replace("-v1", "-v2"),
            &format!("{text}.x"),
            &format!("{text}/"),
        ] {
            assert!(bad.parse::<JoinToken>().is_err(), "{bad}");
        }
    }
}
