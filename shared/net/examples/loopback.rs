//! How fast the QUIC side is: one file over loopback, from disk to disk, hashed. `cargo run --release -p rushes-net
//! --example loopback [MiB]`.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rushes_net::bulk::BulkClient;
use rushes_net::endpoint::{self, ClientCerts};
use rushes_net::{Identity, flow, framed};
use rushes_shared::artifact::Location;
use rushes_shared::units::Bytes;
use rushes_shared::wire::{BULK_ALPNS, BulkReply, BulkRequest, SERVER_NAME};

type Problem = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Problem> {
    let mib: u64 = std::env::args().nth(1).map_or(Ok(1024), |text| text.parse())?;
    let dir = std::env::temp_dir().join(format!("rushes-loopback-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let (source, target) = (dir.join("source"), dir.join("target"));
    let mut file = std::fs::File::create(&source)?;
    for i in 0..mib {
        file.write_all(&vec![u8::try_from(i % 251)?; 1 << 20])?;
    }
    let identity = identity()?;
    // Two runtimes, as the two processes of a farm have.
    let (tell, told) = std::sync::mpsc::channel();
    let server_identity = identity.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(serve(&server_identity, source.into(), &tell)).expect("the server runs");
    });
    let address: String = told.recv()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = endpoint::client_config(&identity, BULK_ALPNS)?;
        let client = BulkClient::new(endpoint::client()?, config, address);
        let place: Location = "/source".parse()?;
        for run in 1..=3 {
            let start = Instant::now();
            let got = client.fetch(&place, b"", &target, Bytes(u64::MAX), |_, _| {}).await?;
            let seconds = start.elapsed().as_secs_f64();
            let size = got.size.unwrap_or_default();
            println!(
                "run {run}: {size} in {seconds:.3} s, {:.0} MiB/s",
                f64::from(u32::try_from(mib)?) / seconds
            );
        }
        Ok::<(), Problem>(())
    })?;
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

async fn serve(
    identity: &Identity,
    source: Arc<std::path::Path>,
    tell: &std::sync::mpsc::Sender<String>,
) -> Result<(), Problem> {
    let server = endpoint::server("127.0.0.1:0".parse()?, identity, BULK_ALPNS, ClientCerts::Required)?;
    tell.send(server.local_addr()?.to_string())?;
    let connection = server.accept().await.ok_or("the endpoint is closed")?.await?;
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        let Some(BulkRequest::Read { offset, .. }) = framed::recv(&mut recv).await? else { continue };
        let file = std::fs::File::open(&source)?;
        let size = file.metadata()?.len();
        framed::send(&mut send, &BulkReply::Reading { size: Bytes(size) }).await?;
        let mut chunks = flow::read_ahead(file, offset, size - offset);
        while let Some(chunk) = chunks.recv().await {
            send.write_chunk(chunk?).await?;
        }
        send.finish()?;
    }
    Ok(())
}

fn identity() -> Result<Identity, Problem> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, "loopback CA");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let certificate_pem = params.signed_by(&key, &ca)?.pem();
    Ok(Identity { certificate_pem, key_pem: key.serialize_pem(), ca_pem: ca.pem() })
}
