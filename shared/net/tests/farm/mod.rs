//! A farm's CA and the identities under it, for tests.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rushes_net::Identity;
use rushes_shared::id::WorkerId;
use rushes_shared::wire::SERVER_NAME;

pub(crate) struct Farm {
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Farm {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // The same name in every farm: what counts is the key.
        params.distinguished_name.push(DnType::CommonName, "a farm");
        let key = KeyPair::generate().expect("a key");
        Self { ca: CertifiedIssuer::self_signed(params, key).expect("a CA") }
    }

    pub(crate) fn server(&self) -> Identity {
        self.identity(SERVER_NAME, vec![SERVER_NAME.to_owned()], ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub(crate) fn worker(&self, id: WorkerId) -> Identity {
        self.identity(&id.to_string(), Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn identity(&self, name: &str, names: Vec<String>, usage: ExtendedKeyUsagePurpose) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("valid names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.ca).expect("a certificate");
        Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), ca_pem: self.ca.pem() }
    }
}
