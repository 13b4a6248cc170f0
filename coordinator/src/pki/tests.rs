//! Enrolment with real endpoints, and the rules of tokens against a vault in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use rushes_net::endpoint::{self, ClientCerts};
use rushes_net::join::{JoinError, JoinToken, join};
use rushes_net::{Identity, NetError};
use rushes_shared::id::{TenantId, WorkerId};
use rushes_shared::principal::Role;
use rushes_shared::units::WallMs;
use rushes_shared::wire::{JOIN_ALPNS, WORKER_ALPNS};

use super::api_token::{self, ApiRecord, ApiRefusal};
use super::join_server::JoinLimits;
use super::join_token::{self, JoinRefusal};
use super::{Authority, JoinServer, KeyVault, PkiError, VaultError, enrolment};

#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl KeyVault for Memory {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(self.0.lock().expect("not poisoned").get(name).cloned())
    }

    fn put(&self, name: &str, value: &[u8]) -> Result<(), VaultError> {
        self.0.lock().expect("not poisoned").insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn compare_and_swap(
        &self,
        name: &str,
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool, VaultError> {
        let mut map = self.0.lock().expect("not poisoned");
        if map.get(name).map(Vec::as_slice) != old {
            return Ok(false);
        }
        match new {
            Some(new) => map.insert(name.to_owned(), new.to_owned()),
            None => map.remove(name),
        };
        Ok(true)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, VaultError> {
        let map = self.0.lock().expect("not poisoned");
        Ok(map.iter().filter(|(k, _)| k.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn delete(&self, name: &str) -> Result<bool, VaultError> {
        Ok(self.0.lock().expect("not poisoned").remove(name).is_some())
    }
}

const HOUR: u64 = 3_600_000;

fn now() -> WallMs {
    super::join_server::wall_clock()
}

struct Farm {
    dir: tempfile::TempDir,
    authority: Arc<Authority>,
    vault: Arc<Memory>,
    target: String,
    server: Identity,
}

impl Farm {
    /// A farm whose one port serves workers and newcomers, as the coordinator's does.
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let authority = Arc::new(Authority::create(&dir.path().join("pki"), now()).expect("a CA"));
        let vault = Arc::new(Memory::default());
        let server = authority.server_identity(now()).expect("a server's certificate");
        let alpns: Vec<&[u8]> = WORKER_ALPNS.iter().chain(JOIN_ALPNS).copied().collect();
        let bind = "127.0.0.1:0".parse().expect("an address");
        let port = endpoint::server(bind, &server, &alpns, ClientCerts::Optional).expect("a server");
        let target = port.local_addr().expect("bound").to_string();
        let joins =
            Arc::new(JoinServer::new(Arc::clone(&authority), Arc::clone(&vault) as _, JoinLimits::default()));
        let links = Arc::clone(&vault);
        tokio::spawn(async move {
            while let Some(incoming) = port.accept().await {
                let Ok(connection) = incoming.await else { continue };
                if endpoint::alpn(&connection).as_deref() == Some(JOIN_ALPNS[0]) {
                    tokio::spawn(Arc::clone(&joins).serve(connection));
                    continue;
                }
                let admitted = endpoint::peer_worker(&connection).and_then(|w| enrolment::admit(&*links, w));
                if let Err(error) = admitted {
                    endpoint::refuse(&connection, &error);
                } else {
                    endpoint::refuse(&connection, &NetError::Closed);
                }
            }
        });
        Self { dir, authority, vault, target, server }
    }

    fn token(&self, uses: u32, lifetime_ms: u64, now: WallMs) -> JoinToken {
        join_token::issue(&*self.vault, self.authority.fingerprint(), "rack 3", uses, lifetime_ms, now)
            .expect("a token")
    }

    async fn join(&self, token: &JoinToken) -> Result<(WorkerId, Identity), JoinError> {
        join(&self.target, token, "node-7").await
    }

    /// How the farm ends a worker's connection.
    async fn visit(&self, identity: &Identity) -> NetError {
        let config = endpoint::client_config(identity, WORKER_ALPNS).expect("a config");
        let client = endpoint::client().expect("an endpoint");
        match endpoint::connect(&client, config, &self.target).await {
            Ok(connection) => connection.closed().await.into(),
            Err(error) => error,
        }
    }
}

fn refusal(result: Result<(WorkerId, Identity), JoinError>) -> String {
    match result.expect_err("refused") {
        JoinError::Refused { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_newcomer_gets_a_certificate_that_counts_until_it_is_removed() {
    let farm = Farm::start();
    let (worker, identity) = farm.join(&farm.token(1, HOUR, now())).await.expect("enrolled");
    assert!(matches!(farm.visit(&identity).await, NetError::Closed));
    let (listed, enrolment) = enrolment::list(&*farm.vault).expect("listed").remove(0);
    assert_eq!(
        (listed, enrolment.name.as_str(), enrolment.token_label.as_str()),
        (worker, "node-7", "rack 3")
    );
    assert!(identity.expires().expect("readable").0 > now().0 + 4 * 365 * 24 * HOUR);
    let was = enrolment::remove(&*farm.vault, worker, now()).expect("removed");
    assert_eq!(was.map(|e| e.name), Some(enrolment.name));
    let told = farm.visit(&identity).await;
    assert!(matches!(&told, NetError::UnknownWorker { reason } if reason.contains("removed at")), "{told:?}");
}

#[tokio::test]
async fn each_bad_token_is_refused_for_its_own_reason() {
    let farm = Farm::start();
    let once = farm.token(1, HOUR, now());
    farm.join(&once).await.expect("enrolled");
    assert!(refusal(farm.join(&once).await).contains("used up"));
    let old = farm.token(1, HOUR, WallMs(now().0 - 2 * HOUR));
    assert!(refusal(farm.join(&old).await).contains("expired at"));
    let guessed = JoinToken { secret: "f".repeat(64), ..once.clone() };
    assert!(refusal(farm.join(&guessed).await).contains("unknown"));
    let elsewhere = JoinToken { ca_fingerprint: [9; 32], ..once };
    assert!(matches!(farm.join(&elsewhere).await, Err(JoinError::ForeignFarm { .. })));
    assert_eq!(enrolment::list(&*farm.vault).expect("listed").len(), 1);
}

#[tokio::test]
async fn an_address_that_keeps_failing_has_to_wait() {
    let farm = Farm::start();
    let good = farm.token(1, HOUR, now());
    let guessed = JoinToken { secret: "f".repeat(64), ..good.clone() };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !refusal(farm.join(&guessed).await).contains("too many") {
        assert!(std::time::Instant::now() < deadline, "it was never told to wait");
    }
    assert!(refusal(farm.join(&good).await).contains("too many"));
}

#[tokio::test]
async fn one_use_lets_in_one_of_many_who_come_at_once() {
    let farm = Arc::new(Farm::start());
    let token = farm.token(1, HOUR, now());
    let tries: Vec<_> = (0..6)
        .map(|_| {
            let (farm, token) = (Arc::clone(&farm), token.clone());
            tokio::spawn(async move { farm.join(&token).await.is_ok() })
        })
        .collect();
    let mut enrolled = 0;
    for one in tries {
        enrolled += u32::from(one.await.expect("it ran"));
    }
    assert_eq!(enrolled, 1);
}

#[test]
fn a_request_that_asks_for_more_gets_no_more_than_a_workers_certificate() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::create(dir.path(), now()).expect("a CA");
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec!["evil.example".to_owned()]).expect("valid");
    params.distinguished_name.push(rcgen::DnType::CommonName, "farm.rushes.internal");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&key).expect("a request");
    let worker = WorkerId::from_parts(1, 2);
    let lifetime = super::authority::CERTIFICATE_LIFETIME;
    let (pem, _) = authority.sign_worker(csr.der(), worker, now(), lifetime).expect("signed");
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM");
    let certificate = pem.parse_x509().expect("a certificate");
    assert!(!certificate.is_ca());
    assert!(certificate.subject_alternative_name().expect("readable").is_none());
    assert!(certificate.subject().to_string().contains(&worker.to_string()));
    let usage = certificate.extended_key_usage().expect("readable").expect("there").value;
    assert!(usage.client_auth && !usage.server_auth);

    let mut forged = csr.der().to_vec();
    *forged.last_mut().expect("not empty") ^= 1;
    for bad in [&forged[..], &[], &[0; 9000], b"not a request"] {
        let refused = authority.sign_worker(bad, worker, now(), lifetime);
        assert!(matches!(refused, Err(PkiError::Request(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn the_ca_is_made_once_kept_private_and_read_back() {
    let farm = Farm::start();
    let pki = farm.dir.path().join("pki");
    assert!(matches!(Authority::create(&pki, now()), Err(PkiError::Exists(_))));
    assert!(matches!(Authority::open(farm.dir.path()), Err(PkiError::Missing(_))));
    let again = Authority::open(&pki).expect("readable");
    assert_eq!(again.fingerprint(), farm.authority.fingerprint());
    let server = again.server_identity(now()).expect("kept");
    assert_eq!(server.certificate_pem, farm.server.certificate_pem);
    let later = WallMs(now().0 + 5 * 365 * 24 * HOUR);
    assert_ne!(again.server_identity(later).expect("renewed").certificate_pem, server.certificate_pem);
    for file in ["ca.key", "server/key.pem"] {
        let mode = std::fs::metadata(pki.join(file)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn api_tokens_name_their_principal_until_they_end() {
    let vault = Memory::default();
    let record = ApiRecord {
        name: "ci".into(),
        tenant: TenantId::default_tenant(),
        roles: BTreeSet::from([Role::Submitter]),
        created: WallMs(0),
        expires: Some(WallMs(1000)),
    };
    let (id, text) = api_token::issue(&vault, &record).expect("issued");
    assert_eq!(api_token::authenticate(&vault, &text, WallMs(1000)).expect("known"), record.principal());
    assert!(matches!(api_token::authenticate(&vault, &text, WallMs(1001)), Err(ApiRefusal::Expired(_))));
    assert!(matches!(api_token::authenticate(&vault, "hunter2", WallMs(0)), Err(ApiRefusal::Malformed)));
    let other = format!("{}0", &text[..text.len() - 1]);
    let other = if other == text { format!("{}1", &text[..text.len() - 1]) } else { other };
    assert!(matches!(api_token::authenticate(&vault, &other, WallMs(0)), Err(ApiRefusal::Unknown)));
    let stored = format!("{:?}", vault.list("").expect("listed"));
    assert!(!stored.contains(&text[14..]), "the secret itself is stored");
    assert_eq!(api_token::list(&vault).expect("listed"), vec![(id.clone(), record)]);
    assert!(api_token::withdraw(&vault, &id).expect("withdrawn"));
    assert!(matches!(api_token::authenticate(&vault, &text, WallMs(0)), Err(ApiRefusal::Unknown)));
}

#[test]
fn join_tokens_can_be_listed_withdrawn_and_forgotten() {
    let vault = Memory::default();
    let token = join_token::issue(&vault, [1; 32], "a", 2, HOUR, WallMs(0)).expect("issued");
    join_token::issue(&vault, [1; 32], "b", 1, 10 * HOUR, WallMs(0)).expect("issued");
    assert_eq!(join_token::redeem(&vault, &token.secret, WallMs(1)).expect("good").uses_left, 1);
    let listed = join_token::list(&vault).expect("listed");
    let (id, _) = listed.iter().find(|(_, r)| r.label == "a").expect("there").clone();
    assert_eq!(id.to_string().parse(), Ok(id.clone()));
    assert!(join_token::withdraw(&vault, &id).expect("withdrawn"));
    let refused = join_token::redeem(&vault, &token.secret, WallMs(1));
    assert!(matches!(refused, Err(JoinRefusal::Unknown)), "{refused:?}");
    assert_eq!(join_token::forget_ended(&vault, WallMs(9 * HOUR)).expect("looked"), 0);
    assert_eq!(join_token::forget_ended(&vault, WallMs(11 * HOUR)).expect("looked"), 1);
}
