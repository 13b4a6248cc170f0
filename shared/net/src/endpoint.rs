//! QUIC endpoints of a farm: TLS 1.3 against the farm's own CA, the protocol and its version chosen by ALPN.
//!
//! A server sends its CA behind its certificate, so that a newcomer who knows only the CA's fingerprint can check it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, IdleTimeout, ServerConfig};
use quinn::{TokioRuntime, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use rushes_shared::id::WorkerId;
use rushes_shared::wire::{BULK_ALPNS, SERVER_NAME, close};
use rustls::RootCertStore;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::JoinSet;

use crate::error::NetError;
use crate::identity::Identity;

/// A connection that is silent for this long is lost.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an otherwise silent connection says that it is alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How long a connection may take to come about.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// Head start of each address of a name over the next one (RFC 8305 calls it the connection attempt delay).
const NEXT_ADDRESS_DELAY: Duration = Duration::from_millis(250);
/// What is asked of the kernel for each socket direction; it may grant less.
const SOCKET_BUFFER: usize = 8 << 20;
/// Handshakes that may wait for the accepting loop.
const MAX_INCOMING: usize = 512;
/// Streams that one side may have open towards the other.
const MAX_STREAMS: u32 = 1024;

/// Whether clients must show a certificate of the farm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCerts {
    /// Without one the handshake fails.
    Required,
    /// Without one the connection comes about; [`peer_worker`] then refuses. For ports that also enrol newcomers.
    Optional,
}

/// Listens for QUIC connections. Must be called within a tokio runtime.
///
/// # Errors
/// [`NetError::Bind`] for an address that cannot be had, [`NetError::BadIdentity`] for unusable certificates.
pub fn server(
    bind: SocketAddr,
    identity: &Identity,
    alpns: &[&[u8]],
    client_certs: ClientCerts,
) -> Result<Endpoint, NetError> {
    let provider = Arc::new(provider());
    let roots = Arc::new(roots(&identity.ca()?)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
    let verifier = match client_certs {
        ClientCerts::Required => verifier,
        ClientCerts::Optional => verifier.allow_unauthenticated(),
    };
    let verifier = verifier.build().map_err(|e| NetError::identity(&e))?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| NetError::identity(&e))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![identity.certificate()?, identity.ca()?], identity.key()?)
        .map_err(|e| NetError::identity(&e))?;
    tls.alpn_protocols = alpns.iter().map(|alpn| alpn.to_vec()).collect();
    // No resumption: every connection shows its certificate anew, so that a removal or an expiry counts at once.
    tls.send_tls13_tickets = 0;
    let crypto = QuicServerConfig::try_from(tls).map_err(|e| NetError::identity(&e))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport(alpns)));
    config.max_incoming(MAX_INCOMING);
    endpoint(bind, Some(config), resetting(identity, alpns))
}

/// Stateless resets (RFC 9000, 10.3) whose keys are the same at each start, so that a restarted server can tell its old
/// peers at once that it does not know them any more, instead of leaving them to their idle timeout. That takes two
/// keys: of the reset itself, and of the connection ids, since an id that it did not make is not answered at all.
///
/// Two servers with one identity must not share them, or the one could be made to reset the other's connections (RFC
/// 9000, 21.11): what each serves is part of its keys.
fn resetting(identity: &Identity, alpns: &[&[u8]]) -> EndpointConfig {
    let served = alpns.join(&b'\n');
    let secret = [identity.key_pem.as_bytes(), b"\n", &served].concat();
    let of = |purpose: &str| blake3::derive_key(purpose, &secret);
    let reset = of("rushes 2026 stateless reset of a server");
    let ids = of("rushes 2026 connection ids of a server");
    let (ids, _) = ids.split_first_chunk().expect("a derived key has 32 bytes");
    let ids = u64::from_le_bytes(*ids);
    let mut config = EndpointConfig::new(Arc::new(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &reset)));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config
}

/// An endpoint for outgoing connections only. Must be called within a tokio runtime.
///
/// # Errors
/// [`NetError::Bind`] when the system gives no socket.
pub fn client() -> Result<Endpoint, NetError> {
    let open = |any: IpAddr| endpoint(SocketAddr::new(any, 0), None, EndpointConfig::default());
    open(Ipv6Addr::UNSPECIFIED.into()).or_else(|_| open(Ipv4Addr::UNSPECIFIED.into()))
}

/// The settings of connections that show `identity` and accept only servers of its farm.
///
/// # Errors
/// [`NetError::BadIdentity`] for unusable certificates.
pub fn client_config(identity: &Identity, alpns: &[&[u8]]) -> Result<ClientConfig, NetError> {
    let tls = client_tls()?
        .with_root_certificates(roots(&identity.ca()?)?)
        .with_client_auth_cert(vec![identity.certificate()?], identity.key()?)
        .map_err(|e| NetError::identity(&e))?;
    finish_client_config(tls, alpns)
}

/// The settings of connections without a certificate, to a server that `verifier` accepts.
pub(crate) fn anonymous_client_config(
    verifier: Arc<dyn ServerCertVerifier>,
    alpns: &[&[u8]],
) -> Result<ClientConfig, NetError> {
    let tls = client_tls()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    finish_client_config(tls, alpns)
}

fn client_tls() -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, NetError> {
    rustls::ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| NetError::identity(&e))
}

fn finish_client_config(mut tls: rustls::ClientConfig, alpns: &[&[u8]]) -> Result<ClientConfig, NetError> {
    tls.alpn_protocols = alpns.iter().map(|alpn| alpn.to_vec()).collect();
    tls.resumption = rustls::client::Resumption::disabled();
    let crypto = QuicClientConfig::try_from(tls).map_err(|e| NetError::identity(&e))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport(alpns)));
    Ok(config)
}

/// Connects to `host:port`, trying all addresses of the name, a little after one another.
///
/// # Errors
/// [`NetError::Address`], [`NetError::ConnectTimeout`], or why the handshake was refused.
pub async fn connect(
    endpoint: &Endpoint,
    config: ClientConfig,
    target: &str,
) -> Result<Connection, NetError> {
    let unresolved = |reason: String| NetError::Address { target: target.to_owned(), reason };
    let addresses = tokio::net::lookup_host(target).await.map_err(|e| unresolved(e.to_string()))?;
    let v4_only = endpoint.local_addr().is_ok_and(|local| local.is_ipv4());
    let mut attempts = JoinSet::new();
    for (delay, address) in (0..).zip(addresses.filter(|a| a.is_ipv4() || !v4_only).take(8)) {
        let (endpoint, config) = (endpoint.clone(), config.clone());
        attempts.spawn(async move {
            tokio::time::sleep(NEXT_ADDRESS_DELAY * delay).await;
            let connecting = endpoint
                .connect_with(config, address, SERVER_NAME)
                .map_err(|e| NetError::Transport { reason: e.to_string() })?;
            connecting.await.map_err(NetError::from)
        });
    }
    if attempts.is_empty() {
        return Err(unresolved("the name has no usable address".to_owned()));
    }
    let timeout =
        || NetError::ConnectTimeout { target: target.to_owned(), seconds: CONNECT_TIMEOUT.as_secs() };
    let first = async {
        // A refusal says more than silence from another address of the same name.
        let mut worst = None;
        while let Some(attempt) = attempts.join_next().await {
            match attempt {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(NetError::Lost)) => {}
                Ok(Err(error)) => worst = Some(error),
                Err(_) => {}
            }
        }
        Err(worst.unwrap_or_else(timeout))
    };
    tokio::time::timeout(CONNECT_TIMEOUT, first).await.unwrap_or_else(|_| Err(timeout()))
}

/// The protocol that both sides agreed on.
#[must_use]
pub fn alpn(connection: &Connection) -> Option<Vec<u8>> {
    connection.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
}

/// The worker that the client's certificate names. Whether it is enrolled (still) is for the caller to look up.
///
/// # Errors
/// [`NetError::CertificateRequired`] when it showed none, [`NetError::UnknownWorker`] when it names no worker.
pub fn peer_worker(connection: &Connection) -> Result<WorkerId, NetError> {
    let chain = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or(NetError::CertificateRequired)?;
    worker_in(chain.first().ok_or(NetError::CertificateRequired)?)
}

/// The worker that a certificate names.
pub(crate) fn worker_in(certificate: &CertificateDer<'_>) -> Result<WorkerId, NetError> {
    let unknown = |reason: String| NetError::UnknownWorker { reason };
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|e| unknown(e.to_string()))?;
    let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let name = name.ok_or_else(|| unknown("the certificate has no common name".to_owned()))?;
    name.parse().map_err(|e: rushes_shared::id::BadId| unknown(e.to_string()))
}

/// Closes a connection with the code and the words that belong to `error`, so that the other side can tell why.
pub fn refuse(connection: &Connection, error: &NetError) {
    let (code, reason) = match error {
        NetError::CertificateRequired => {
            (close::NO_CERTIFICATE, "a certificate of this farm is required".into())
        }
        NetError::UnknownWorker { reason } => (close::UNKNOWN_WORKER, reason.clone()),
        NetError::Replaced => (close::REPLACED, "a newer connection of this worker took over".into()),
        NetError::Unavailable { reason } => (close::UNAVAILABLE, reason.clone()),
        NetError::Closed | NetError::ClosedHere => (close::BYE, String::new()),
        other => (close::PROTOCOL, other.to_string()),
    };
    connection.close(VarInt::from_u32(code), reason.as_bytes());
}

/// ring, TLS 1.3 only, with AES-128 first: as strong as the certificates' P-256 keys, and the fastest.
pub(crate) fn provider() -> CryptoProvider {
    use rustls::crypto::ring::cipher_suite;
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..rustls::crypto::ring::default_provider()
    }
}

pub(crate) fn roots(ca: &CertificateDer<'_>) -> Result<RootCertStore, NetError> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone().into_owned()).map_err(|e| NetError::identity(&e))?;
    Ok(roots)
}

fn transport(alpns: &[&[u8]]) -> TransportConfig {
    let bulk = alpns.iter().any(|alpn| BULK_ALPNS.contains(alpn));
    let (stream_window, window) = if bulk { (16 << 20, 64 << 20) } else { (2 << 20, 16 << 20) };
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE_TIMEOUT).expect("ten seconds fit into QUIC's variable integer");
    transport
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_rtt(Duration::from_millis(100))
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(stream_window))
        .receive_window(VarInt::from_u32(window))
        .send_window(u64::from(stream_window));
    transport
}

fn endpoint(
    bind: SocketAddr,
    server: Option<ServerConfig>,
    config: EndpointConfig,
) -> Result<Endpoint, NetError> {
    let open = move || {
        let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
        if bind.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
            socket.set_only_v6(false)?;
        }
        // The kernel caps these silently; a smaller buffer costs speed, not correctness.
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
        socket.set_nonblocking(true)?;
        socket.bind(&bind.into())?;
        // Datagrams stay at the size that every path takes: the kernel batches them, and larger ones were slower even on
        // loopback, because each fills more of the socket's buffer than it carries.
        Endpoint::new(config, server, socket.into(), Arc::new(TokioRuntime))
    };
    open().map_err(|e| NetError::bind(&bind, &e))
}
