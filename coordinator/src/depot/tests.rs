//! A real depot on loopback with real files: what it gives, takes and refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rushes_net::bulk::BulkClient;
use rushes_net::endpoint;
use rushes_net::ticket::{self, TicketKey};
use rushes_shared::artifact::{Artifact, ContentHash, Location};
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::id::{AttemptId, Epoch, JobId, TenantId};
use rushes_shared::ticket::{Grant, Ticket};
use rushes_shared::units::{Bytes, WallMs};
use rushes_shared::wire::BULK_ALPNS;
use tokio::sync::oneshot;

use super::{Depot, DepotConfig, DepotError};
use crate::pki::Authority;

mod files;
mod http;
mod kept;
mod parts;
mod publishing;
mod sets;

struct Stage {
    dir: tempfile::TempDir,
    client: BulkClient,
    key: TicketKey,
    http: String,
    stop: Option<oneshot::Sender<()>>,
    done: Option<tokio::task::JoinHandle<Result<(), DepotError>>>,
}

const FAR: WallMs = WallMs(u64::MAX);

impl Stage {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(adjust: impl FnOnce(&mut DepotConfig)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["in", "out", "scratch", "outside"] {
            fs::create_dir(dir.path().join(name)).expect("made");
        }
        Self::again(dir, adjust)
    }

    /// A depot over what an earlier one left behind.
    fn again(dir: tempfile::TempDir, adjust: impl FnOnce(&mut DepotConfig)) -> Self {
        let mut config = DepotConfig {
            input_roots: vec![dir.path().join("in")],
            output_roots: vec![dir.path().join("out")],
            min_free_bytes: 0,
            ..DepotConfig::on_loopback(dir.path().join("state"))
        };
        adjust(&mut config);
        let now = now();
        let pki = dir.path().join("pki");
        let authority = Authority::open(&pki).or_else(|_| Authority::create(&pki, now)).expect("a CA");
        let identity = authority.server_identity(now).expect("an identity");
        let key = TicketKey::new([5; 32]);
        let depot = Depot::bind(&config, &identity, key.clone()).expect("it starts");
        let target = depot.quic_addr().expect("bound").to_string();
        let http = format!("http://{}/v1/files", depot.http_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let done = tokio::spawn(depot.serve(async move {
            let _ = stopped.await;
        }));
        let client_config = endpoint::client_config(&identity, BULK_ALPNS).expect("a config");
        let client = BulkClient::new(endpoint::client().expect("an endpoint"), client_config, target);
        Self { dir, client, key, http, stop: Some(stop), done: Some(done) }
    }

    /// Ends the depot and gives its directory back.
    async fn end(mut self) -> tempfile::TempDir {
        drop(self.stop.take());
        self.done.take().expect("running").await.expect("it ran").expect("it ended well");
        self.dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn input(&self, name: &str) -> Location {
        Location::File(self.path(name).to_str().expect("UTF-8").to_owned())
    }

    fn sign(&self, grant: Grant) -> Vec<u8> {
        self.key.sign(&Ticket { grant, expires: FAR })
    }

    fn url(&self, grant: Grant) -> String {
        format!("{}?ticket={}", self.http, ticket::to_text(&self.sign(grant)))
    }

    async fn fetch(&self, location: &Location) -> Result<Vec<u8>, Failure> {
        let ticket = self.sign(Grant::Read(location.clone()));
        let to = self.path("scratch/fetched");
        self.client.fetch(location, &ticket, &to, Bytes(1 << 40), |_, _| {}).await?;
        Ok(fs::read(to).expect("readable"))
    }

    async fn store(&self, content: &[u8], location: &Location) -> Result<Artifact, Failure> {
        let from = self.path("scratch/output");
        fs::write(&from, content).expect("written");
        let from = fs::File::open(from).expect("readable");
        self.client.store(&from, location, &self.sign(Grant::Write(location.clone())), |_, _| {}).await
    }

    async fn publish(&self, from: &Artifact, to: &Location) -> Result<(), Failure> {
        let grant = Grant::Publish { from: from.location.clone(), to: to.clone() };
        self.client.publish(from, to, &self.sign(grant)).await
    }

    /// Files that are neither named nor to be seen.
    fn leftovers(&self) -> Vec<String> {
        names(&self.path("state/depot/incoming"))
    }
}

fn now() -> WallMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    WallMs(u64::try_from(since.as_millis()).expect("small"))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("readable");
    entries.map(|e| e.expect("readable").file_name().to_string_lossy().into_owned()).collect()
}

fn attempt(counter: u64) -> AttemptId {
    AttemptId { epoch: Epoch(1), counter }
}

fn staged(counter: u64, name: &str) -> Location {
    Location::Staged(attempt(counter), name.parse().expect("a name"))
}

fn output(name: &str) -> Location {
    Location::Output(TenantId::default_tenant(), JobId(7), name.parse().expect("a name"))
}

fn hash_of(content: &[u8]) -> ContentHash {
    ContentHash(*blake3::hash(content).as_bytes())
}
