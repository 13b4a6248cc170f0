//! Two real endpoints on loopback: who gets in, what the refused ones are told on both sides, and frames.

use std::net::SocketAddr;

use quinn::{Connection, Endpoint};
use rushes_net::endpoint::{self, ClientCerts};
use rushes_net::framed::{self, FrameReader};
use rushes_net::{Identity, NetError};
use rushes_shared::frame::Header;
use rushes_shared::id::{Epoch, WorkerId};
use rushes_shared::wire::{FarmBound, JOIN_ALPNS, WORKER_ALPNS, WorkerBound};

mod farm;

use farm::Farm;

const WORKER: WorkerId = WorkerId(0x0196_c4b2_6a33_1111_2222_3333_4444_5555);

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

fn listen(identity: &Identity, certs: ClientCerts) -> Endpoint {
    endpoint::server(loopback(), identity, WORKER_ALPNS, certs).expect("a server")
}

/// What the server saw of its next connection.
async fn accept(server: &Endpoint) -> Result<Connection, NetError> {
    Ok(server.accept().await.expect("the endpoint is open").await?)
}

async fn dial(server: &Endpoint, identity: &Identity, alpns: &[&[u8]]) -> Result<Connection, NetError> {
    let config = endpoint::client_config(identity, alpns)?;
    let target = server.local_addr().expect("bound").to_string();
    endpoint::connect(&endpoint::client()?, config, &target).await
}

/// What a client is told in the end, be it in the handshake or just after it.
async fn told(dialled: Result<Connection, NetError>) -> NetError {
    match dialled {
        Ok(connection) => connection.closed().await.into(),
        Err(error) => error,
    }
}

async fn pair(farm: &Farm) -> (Connection, Connection) {
    let server = listen(&farm.server(), ClientCerts::Required);
    let worker = farm.worker(WORKER);
    let (accepted, dialled) = tokio::join!(accept(&server), dial(&server, &worker, WORKER_ALPNS));
    (accepted.expect("accepted"), dialled.expect("connected"))
}

#[tokio::test]
async fn a_worker_of_the_farm_gets_in_under_its_name() {
    let (server_side, client_side) = pair(&Farm::new()).await;
    assert_eq!(endpoint::peer_worker(&server_side).expect("named"), WORKER);
    assert_eq!(endpoint::alpn(&client_side).as_deref(), Some(WORKER_ALPNS[0]));
    assert_eq!(endpoint::alpn(&server_side).as_deref(), Some(WORKER_ALPNS[0]));
}

#[tokio::test]
async fn a_worker_of_another_farm_is_told_so_and_so_is_the_farm() {
    let (farm, other) = (Farm::new(), Farm::new());
    let server = listen(&farm.server(), ClientCerts::Required);
    // It knows the farm's CA, so that only its own certificate is foreign.
    let foreign = Identity { ca_pem: farm.server().ca_pem, ..other.worker(WORKER) };
    let (accepted, dialled) = tokio::join!(accept(&server), dial(&server, &foreign, WORKER_ALPNS));
    let seen = accepted.expect_err("refused");
    assert!(matches!(seen, NetError::ForeignPeer { .. }), "{seen:?}");
    let told = told(dialled).await;
    assert!(matches!(told, NetError::CertificateRefused { .. }), "{told:?}");
    assert!(told.to_string().contains("join this farm"), "{told}");
}

#[tokio::test]
async fn a_server_of_another_farm_is_refused_and_both_sides_know() {
    let (farm, other) = (Farm::new(), Farm::new());
    let server = listen(&other.server(), ClientCerts::Required);
    let worker = farm.worker(WORKER);
    let (accepted, dialled) = tokio::join!(accept(&server), dial(&server, &worker, WORKER_ALPNS));
    let told = told(dialled).await;
    assert!(matches!(told, NetError::ForeignPeer { .. }), "{told:?}");
    let seen = accepted.expect_err("refused");
    assert!(matches!(seen, NetError::CertificateRefused { .. }), "{seen:?}");
}

#[tokio::test]
async fn without_a_protocol_in_common_both_sides_say_so() {
    let farm = Farm::new();
    let server = listen(&farm.server(), ClientCerts::Required);
    let worker = farm.worker(WORKER);
    let (accepted, dialled) = tokio::join!(accept(&server), dial(&server, &worker, &[b"rushes/999"]));
    assert!(matches!(accepted.expect_err("refused"), NetError::NoCommonVersion));
    assert!(matches!(told(dialled).await, NetError::NoCommonVersion));
}

/// A client without a certificate, as a newcomer's is, towards a server for workers.
async fn dial_without_certificate(server: &Endpoint) -> Result<Connection, NetError> {
    let farm_token =
        rushes_net::join::JoinToken { ca_fingerprint: CA.with(|ca| *ca.borrow()), secret: "x".repeat(32) };
    let target = server.local_addr().expect("bound").to_string();
    match rushes_net::join::join(&target, &farm_token, "newcomer").await {
        Err(rushes_net::join::JoinError::Net(error)) => Err(error),
        other => panic!("{other:?}"),
    }
}

thread_local! {
    static CA: std::cell::RefCell<[u8; 32]> = const { std::cell::RefCell::new([0; 32]) };
}

#[tokio::test]
async fn without_a_certificate_both_sides_say_that_one_is_required() {
    let farm = Farm::new();
    CA.with(|ca| *ca.borrow_mut() = farm.server().ca_fingerprint().expect("a CA"));
    for certs in [ClientCerts::Required, ClientCerts::Optional] {
        let server = endpoint::server(loopback(), &farm.server(), JOIN_ALPNS, certs).expect("a server");
        let serve = async {
            // With optional certificates the server looks for itself, and says why it closes.
            let connection = accept(&server).await?;
            let error = endpoint::peer_worker(&connection).expect_err("no certificate");
            endpoint::refuse(&connection, &error);
            connection.closed().await;
            Err::<(), _>(error)
        };
        let (seen, told) = tokio::join!(serve, dial_without_certificate(&server));
        assert!(matches!(seen, Err(NetError::CertificateRequired)), "{certs:?}: {seen:?}");
        assert!(matches!(told, Err(NetError::CertificateRequired)), "{certs:?}: {told:?}");
    }
}

#[tokio::test]
async fn a_removed_worker_is_told_why() {
    let (server_side, client_side) = pair(&Farm::new()).await;
    endpoint::refuse(&server_side, &NetError::UnknownWorker { reason: "removed by ops".into() });
    let told = NetError::from(client_side.closed().await);
    assert!(matches!(&told, NetError::UnknownWorker { reason } if reason == "removed by ops"), "{told:?}");
}

#[tokio::test]
async fn where_nobody_listens_the_error_names_the_place() {
    // A bound socket that never answers.
    let silent = std::net::UdpSocket::bind(loopback()).expect("a socket");
    let target = silent.local_addr().expect("bound").to_string();
    let config = endpoint::client_config(&Farm::new().worker(WORKER), WORKER_ALPNS).expect("a config");
    let client = endpoint::client().expect("an endpoint");
    let error = endpoint::connect(&client, config.clone(), &target).await.expect_err("silence");
    assert!(error.to_string().contains(&target) && error.retry_can_help(), "{error}");
    let error = endpoint::connect(&client, config, "no-port").await.expect_err("no address");
    assert!(error.to_string().contains("host:port"), "{error}");
}

#[tokio::test]
async fn messages_arrive_in_order_and_the_end_is_clean() {
    let (server_side, client_side) = pair(&Farm::new()).await;
    let (mut send, mut recv) = client_side.open_bi().await.expect("a stream");
    framed::send(&mut send, &FarmBound::Heartbeat).await.expect("sent");
    framed::send(&mut send, &FarmBound::Leaving).await.expect("sent");
    send.finish().expect("open");
    let (mut back, inbound) = server_side.accept_bi().await.expect("a stream");
    let mut reader = FrameReader::new(inbound);
    assert_eq!(reader.next::<FarmBound>().await.expect("read"), Some(FarmBound::Heartbeat));
    assert_eq!(reader.next::<FarmBound>().await.expect("read"), Some(FarmBound::Leaving));
    assert_eq!(reader.next::<FarmBound>().await.expect("read"), None);
    let welcome = WorkerBound::Welcome {
        epoch: Epoch(3),
        heartbeat_ms: 1,
        lease_ms: 2,
        depot: "ü".repeat(100_000),
        give_up: Vec::new(),
    };
    framed::send(&mut back, &welcome).await.expect("sent");
    back.finish().expect("open");
    assert_eq!(framed::recv::<WorkerBound>(&mut recv).await.expect("read"), Some(welcome));
    assert_eq!(framed::recv::<WorkerBound>(&mut recv).await.expect("read"), None);
}

#[tokio::test]
async fn a_frame_that_comes_byte_by_byte_survives_a_reader_that_is_dropped_each_time() {
    let (server_side, client_side) = pair(&Farm::new()).await;
    let (mut send, _) = client_side.open_bi().await.expect("a stream");
    let bytes = rushes_shared::frame::encode(&FarmBound::Leaving).expect("it encodes");
    send.write_all(&bytes[..1]).await.expect("sent");
    let (_, inbound) = server_side.accept_bi().await.expect("a stream");
    let mut reader = FrameReader::new(inbound);
    for byte in &bytes[1..] {
        tokio::select! {
            biased;
            early = reader.next::<FarmBound>() => panic!("{early:?}"),
            () = tokio::task::yield_now() => {}
        }
        send.write_all(&[*byte]).await.expect("sent");
    }
    assert_eq!(reader.next::<FarmBound>().await.expect("read"), Some(FarmBound::Leaving));
}

#[tokio::test]
async fn over_long_foreign_and_cut_frames_are_refused() {
    let (server_side, client_side) = pair(&Farm::new()).await;
    let cases = [
        (Header { version: 1, kind: 1, length: u32::MAX }, "limit"),
        (Header { version: 1, kind: 2, length: 1 }, "kind"),
        (Header { version: 9, kind: 1, length: 1 }, "version 9"),
        (Header { version: 1, kind: 1, length: 5 }, "middle of a message"),
    ];
    for (header, word) in cases {
        for cancel_safe in [false, true] {
            let (mut send, _) = client_side.open_bi().await.expect("a stream");
            send.write_all(&header.to_bytes()).await.expect("sent");
            send.finish().expect("open");
            let (_, mut inbound) = server_side.accept_bi().await.expect("a stream");
            let error = if cancel_safe {
                FrameReader::new(inbound).next::<FarmBound>().await
            } else {
                framed::recv::<FarmBound>(&mut inbound).await
            };
            let text = error.expect_err("refused").to_string();
            assert!(text.contains(word), "{text}");
        }
    }
}
