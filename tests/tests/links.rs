//! Who may connect, and what the others are told: each refusal is clear on both sides, logged and counted.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rushes_net::{Identity, endpoint};
use rushes_shared::wire::WORKER_ALPNS;
use rushes_tests::program::{fail, succeed};
use rushes_tests::{Farm, FarmPlan, SOON, binaries, until};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

/// Connects and waits for the end; why it ended.
fn refusal_of(config: quinn::ClientConfig, target: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = endpoint::client().expect("a socket");
        match endpoint::connect(&client, config, target).await {
            Ok(connection) => {
                let closed = tokio::time::timeout(SOON, connection.closed()).await;
                closed.expect("the coordinator ends the connection").to_string()
            }
            Err(error) => error.to_string(),
        }
    })
}

/// The identity of a farm's first worker.
fn identity(farm: &Farm) -> Identity {
    Identity::load(&farm.worker(0).dir.join("identity")).expect("the worker has joined")
}

fn anonymous(ca_pem: &str) -> quinn::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("a certificate");
    roots.add(ca).expect("a CA");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).expect("TLS 1.3 is there");
    let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = WORKER_ALPNS.iter().map(|alpn| alpn.to_vec()).collect();
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("fit for QUIC");
    quinn::ClientConfig::new(Arc::new(crypto))
}

/// One refusal more is counted, and the log has a word about it.
fn is_refused(farm: &mut Farm, config: quinn::ClientConfig, told: &str, logged: &str) {
    let refused = |farm: &Farm| farm.api().metrics().sum("rushes_connections_refused_total", &[]);
    let before = refused(farm);
    let target = farm.book().link_addr.clone();
    let reason = refusal_of(config, &target);
    assert!(reason.to_lowercase().contains(told), "the client is told '{told}': {reason}");
    until("the refusal is counted", SOON, || (refused(farm) == before + 1.0).then_some(()));
    let said = farm.coordinator().said();
    let line = said.lines().rfind(|line| line.contains("a connection was refused")).expect("it is logged");
    assert!(line.to_lowercase().contains(logged), "the log says '{logged}': {line}");
}

#[test]
fn strangers_are_refused_logged_and_counted() {
    let mut farm = FarmPlan::new(1).start();
    let mut other = FarmPlan::new(1).start();
    let (own, foreign) = (identity(&farm), identity(&other));

    is_refused(&mut farm, anonymous(&own.ca_pem), "certificate", "certificate");
    let disguised = Identity { ca_pem: own.ca_pem.clone(), ..foreign };
    let config = endpoint::client_config(&disguised, WORKER_ALPNS).expect("a usable identity");
    is_refused(&mut farm, config, "certificate", "certificate");
    let config = endpoint::client_config(&own, &[b"rushes/99"]).expect("a usable identity");
    is_refused(&mut farm, config, "version", "version");

    // A worker that is sent to another farm sees through it, says so and gives up.
    let mut lost = other.worker_command(0, &["run", "--set", "link.refusals_max=2"]);
    lost.arg("--set").arg(format!("link.coordinator={}", farm.book().link_addr));
    other.kill_worker(0);
    let (code, said) = fail(lost);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("certificate"), "{said}");
    let id = farm.api().submit(&json!({"kind": "noop"}));
    let _job = farm.api().succeeded(id);
}

fn join(farm: &Farm, token: &str, name: &str) -> Command {
    let mut command = Command::new(binaries::worker());
    command.arg("--state-dir").arg(farm.root().join(name)).args([
        "join",
        &farm.book().link_addr,
        token.trim(),
    ]);
    command
}

#[test]
fn a_join_token_is_good_only_as_long_as_it_says() {
    let farm = FarmPlan::new(0).start();
    let other = FarmPlan::new(0).start();
    let make = |farm: &Farm, options: &[&str]| {
        let mut command = farm.coordinator_command(&["token", "join", "--quiet"]);
        command.args(options);
        succeed(command).trim().to_owned()
    };
    let once = make(&farm, &["--uses", "1"]);
    let _joined = succeed(join(&farm, &once, "a"));
    let (_, said) = fail(join(&farm, &once, "b"));
    assert!(said.contains("used up") && said.contains("token join"), "{said}");

    let brief = make(&farm, &["--lifetime", "1"]);
    let end = SystemTime::now() + Duration::from_millis(1100);
    until("the token's second is over", SOON, || (SystemTime::now() > end).then_some(()));
    let (_, said) = fail(join(&farm, &brief, "c"));
    assert!(said.contains("expired") && said.contains("token join"), "{said}");

    // The right farm, a secret that it never gave out.
    let mut forged = make(&farm, &[]);
    let last = forged.pop().expect("a token has characters");
    forged.push(if last == 'A' { 'B' } else { 'A' });
    let (_, said) = fail(join(&farm, &forged, "d"));
    assert!(said.contains("unknown") || said.contains("join token"), "{said}");
    let (_, said) = fail(join(&farm, &make(&other, &[]), "e"));
    assert!(said.contains("is not the farm that this join token belongs to"), "{said}");
    let (_, said) = fail(join(&farm, "rushes-join-v1.nonsense", "f"));
    assert!(said.contains("token"), "{said}");

    let metrics = farm.api().metrics();
    for (result, count) in [("enrolled", 1.0), ("used_up", 1.0), ("expired", 1.0)] {
        let label = format!("result=\"{result}\"");
        assert_eq!(metrics.sum("rushes_join_total", &[&label]), count, "{result}\n{}", metrics.0);
    }
    assert_eq!(
        farm.coordinator_log().matches("enrolment refused").count(),
        2 + count_of(&metrics.0, "unknown_token")
    );
    assert!(!farm.root().join("b/identity/key.pem").exists(), "nothing is kept of a refused enrolment");
}

fn count_of(metrics: &str, result: &str) -> usize {
    metrics.lines().filter(|line| line.starts_with("rushes_join_total") && line.contains(result)).count()
}

#[test]
fn the_api_knows_its_callers() {
    let farm = FarmPlan::new(0).start();
    let noop = json!({"kind": "noop"});
    let stranger = farm.api().with_token(None);
    let _missing = stranger.get("/v1/jobs").problem(401, "token_missing");
    let _missing = stranger.post("/v1/jobs", &noop).problem(401, "token_missing");
    assert_eq!(stranger.get("/health/live").status, 200);
    assert_eq!(stranger.get("/health/ready").status, 200);
    let guess = farm.api().with_token(Some("rushes-api-v1.guess"));
    let _refused = guess.post("/v1/jobs", &noop).problem(401, "token_refused");

    let viewer = succeed(farm.coordinator_command(&["token", "api", "eve", "--role", "viewer", "--quiet"]));
    let viewer = farm.api().with_token(Some(viewer.trim()));
    assert_eq!(viewer.get("/v1/jobs").status, 200);
    let problem = viewer.post("/v1/jobs", &noop);
    assert_eq!(problem.status, 403, "{problem:?}");
    assert!(problem.body.contains("submitter"), "it says which role is missing: {problem:?}");
    let submitter = ["token", "api", "sam", "--role", "submitter", "--tenant", "other", "--quiet"];
    let submitter = succeed(farm.coordinator_command(&submitter));
    let submitter = farm.api().with_token(Some(submitter.trim()));
    let id = submitter.submit(&noop);
    assert_eq!(viewer.get(&format!("/v1/jobs/{id}")).status, 404, "another tenant's job is not there");
    assert_eq!(submitter.job(id).tenant, "other");
    assert_eq!(
        stranger.metrics().sum("rushes_api_auth_failures_total", &[]),
        4.0,
        "{}",
        stranger.metrics().0
    );
}

#[test]
fn an_api_that_others_can_reach_needs_tls() {
    let farm = FarmPlan::new(0).start();
    let dir = farm.root().join("open");
    let command = |arguments: &[&str]| {
        let mut command = Command::new(binaries::coordinator());
        command.arg("--state-dir").arg(&dir).args(arguments);
        command
    };
    let _made = succeed(command(&["init"]));
    let (_, said) = fail(command(&["run", "--set", "api.bind=0.0.0.0:0"]));
    assert!(said.contains("api.tls_certificate") || said.contains("tls_certificate"), "{said}");
    assert!(!dir.join("run.json").exists());
    assert!(fs::read_dir(&dir).is_ok());
}
