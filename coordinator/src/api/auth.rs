//! Who is asking: a bearer token's principal, or the local administrator on the unix socket.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpRequest, web};
use metrics::counter;
use rushes_shared::id::TenantId;
use rushes_shared::principal::{Principal, Role};

use super::problem::Problem;
use super::{Api, vault};
use crate::pki::api_token::{self, ApiRefusal};
use crate::strangers;

/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 512;

/// Marks connections of the unix socket, which only the state directory's owner can open.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalAdmin;

impl LocalAdmin {
    fn principal() -> Principal {
        Principal {
            name: "local-admin".to_owned(),
            tenant: TenantId::default_tenant(),
            roles: BTreeSet::from([Role::Admin]),
        }
    }
}

/// The caller of a request. A handler that takes one is closed to strangers.
#[derive(Debug)]
pub(super) struct Caller(pub(super) Arc<Principal>);

impl Caller {
    /// Goes on only for a caller with one of these roles (or `admin`).
    pub(super) fn needs(&self, roles: &[Role]) -> Result<&Principal, Problem> {
        if roles.iter().any(|role| self.0.may(*role)) {
            return Ok(&self.0);
        }
        counter!("rushes_api_auth_failures_total", "reason" => "role").increment(1);
        let names: Vec<String> = roles.iter().map(ToString::to_string).collect();
        let detail = format!("'{}' lacks the role that this needs: {}", self.0.name, names.join(" or "));
        tracing::warn!(principal = %self.0.name, needed = %names.join(" or "), "request refused for lack of a role");
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
            .advice("use a token that has the role; 'rushes-coordinator token api' makes one"))
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { identify(&request).await.inspect_err(|problem| note(&request, problem)) })
    }
}

async fn identify(request: &HttpRequest) -> Result<Caller, Problem> {
    if request.conn_data::<LocalAdmin>().is_some() {
        return Ok(Caller(Arc::new(LocalAdmin::principal())));
    }
    let api = request.app_data::<web::Data<Arc<Api>>>().expect("the table gives every route the API");
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return Err(Problem::stranger(
            "token_missing",
            "this needs a token: send 'Authorization: Bearer TOKEN'",
        ));
    };
    let secret = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, secret)| scheme.eq_ignore_ascii_case("bearer") && secret.len() <= MAX_TOKEN)
        .map(|(_, secret)| secret.trim().to_owned())
        .ok_or_else(|| {
            Problem::stranger("token_unreadable", "the Authorization header should read 'Bearer TOKEN'")
        })?;
    // Tokens are known by their hash, so that neither a map nor a store compares secrets.
    let hash = *blake3::hash(secret.as_bytes()).as_bytes();
    if let Some(principal) = api.tokens.find(&hash) {
        return Ok(Caller(principal));
    }
    let store = Arc::clone(&api.parts.vault);
    let now = api.now();
    match vault::blocking(move || api_token::authenticate(&*store, &secret, now)).await? {
        Ok(principal) => {
            let principal = Arc::new(principal);
            api.tokens.keep(hash, Arc::clone(&principal));
            Ok(Caller(principal))
        }
        Err(ApiRefusal::Vault(error)) => Err(error.into()),
        Err(refusal) => Err(Problem::stranger("token_refused", refusal.to_string())),
    }
}

fn note(request: &HttpRequest, problem: &Problem) {
    let peer = request.peer_addr().map_or_else(|| "unknown".to_owned(), |addr| addr.to_string());
    counter!("rushes_api_auth_failures_total", "reason" => "token").increment(1);
    if let Some(untold) = strangers::may_cause_a_line() {
        let (method, path) = (request.method(), request.path());
        tracing::info!(%peer, %method, path, %problem, untold, "unauthenticated request");
    }
}

/// A principal and when it was looked up.
type Known = (Arc<Principal>, Instant);

/// Principals of tokens that were looked up a moment ago, by the token's hash.
#[derive(Debug)]
pub(super) struct TokenCache {
    lifetime: Duration,
    size: usize,
    known: Mutex<HashMap<[u8; 32], Known>>,
}

impl TokenCache {
    pub(super) fn new(lifetime: Duration, size: usize) -> Self {
        Self { lifetime, size, known: Mutex::default() }
    }

    fn find(&self, hash: &[u8; 32]) -> Option<Arc<Principal>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (principal, since) = known.get(hash)?;
        (since.elapsed() < self.lifetime).then(|| Arc::clone(principal))
    }

    fn keep(&self, hash: [u8; 32], principal: Arc<Principal>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.size {
            known.retain(|_, (_, since)| since.elapsed() < self.lifetime);
        }
        if known.len() < self.size {
            known.insert(hash, (principal, Instant::now()));
        }
    }

    /// After a token changed.
    pub(super) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
