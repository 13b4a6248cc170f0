//! Results kept for whoever does the same work again.

use super::*;

const OF: ContentHash = ContentHash([1; 32]);
const MAKER: ContentHash = ContentHash([2; 32]);

fn tenant(name: &str) -> TenantId {
    name.parse().expect("a name")
}

/// Permission for work of a tenant.
fn make(stage: &Stage, to: &Location, tenant: &TenantId, of: ContentHash) -> Vec<u8> {
    stage.sign(Grant::Make { to: to.clone(), tenant: tenant.clone(), of })
}

/// Stages a result and has it kept.
async fn keep(stage: &Stage, counter: u64, content: &[u8], of: ContentHash) {
    let to = staged(counter, "chunk");
    let from = stage.path("scratch/output");
    fs::write(&from, content).expect("written");
    let ticket = make(stage, &to, &tenant("a"), of);
    let file = fs::File::open(&from).expect("readable");
    let artifact = stage.client.store(&file, &to, &ticket, |_, _| {}).await.expect("stored");
    stage.client.keep(&artifact, MAKER, b"note".to_vec(), &ticket).await.expect("kept");
}

async fn take(
    stage: &Stage,
    counter: u64,
    by: &str,
    (of, maker): (ContentHash, ContentHash),
) -> Option<Artifact> {
    let to = staged(counter, "chunk");
    let ticket = make(stage, &to, &tenant(by), of);
    let (artifact, note) = stage.client.take(&to, maker, &ticket).await.expect("asked")?;
    assert_eq!(note, b"note");
    Some(artifact)
}

async fn drop_staged(stage: &Stage, counter: u64) {
    let ticket = stage.sign(Grant::Drop(vec![attempt(counter)]));
    stage.client.drop_staged(vec![attempt(counter)], &ticket).await.expect("dropped");
}

#[tokio::test]
async fn a_result_is_taken_by_the_same_work_of_the_same_tenant_alone_and_survives_a_restart() {
    let stage = Stage::new();
    keep(&stage, 1, b"content", OF).await;
    drop_staged(&stage, 1).await;
    assert_eq!(take(&stage, 2, "b", (OF, MAKER)).await, None, "another tenant");
    assert_eq!(take(&stage, 2, "a", (MAKER, MAKER)).await, None, "other work");
    assert_eq!(take(&stage, 2, "a", (OF, OF)).await, None, "other programs");
    let dir = stage.end().await;
    let stage = Stage::again(dir, |_| {});
    // Twice, as by a worker that had no answer.
    for _ in 0..2 {
        let artifact = take(&stage, 2, "a", (OF, MAKER)).await.expect("kept");
        assert_eq!((artifact.size, artifact.hash), (Some(Bytes(7)), Some(hash_of(b"content"))));
    }
    assert_eq!(stage.fetch(&staged(2, "chunk")).await.expect("it is staged"), b"content");
    drop_staged(&stage, 2).await;
    assert!(take(&stage, 3, "a", (OF, MAKER)).await.is_some(), "what one attempt drops stays for others");
}

#[tokio::test]
async fn what_was_kept_for_long_is_not_old_once_it_is_staged() {
    let stage = Stage::new();
    keep(&stage, 1, b"content", OF).await;
    drop_staged(&stage, 1).await;
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(90 * 24 * 3600);
    for name in names(&dir_of(&stage)) {
        let file = fs::File::options().write(true).open(dir_of(&stage).join(name)).expect("it is there");
        file.set_modified(old).expect("set");
    }
    assert!(take(&stage, 2, "a", (OF, MAKER)).await.is_some());
    let config = DepotConfig::on_loopback(stage.path("state"));
    let shelf = super::super::shelf::Shelf::open(&config, stage.key.clone()).expect("opened");
    super::super::sweep::sweep(&shelf, std::time::SystemTime::now());
    assert_eq!(stage.fetch(&staged(2, "chunk")).await.expect("it is still staged"), b"content");
}

#[tokio::test]
async fn the_least_recently_used_go_and_a_bound_of_nothing_keeps_nothing() {
    let stage = Stage::with(|config| config.keep_results = 25);
    let of = |byte| ContentHash([byte; 32]);
    for byte in [1, 2] {
        keep(&stage, u64::from(byte), b"ten bytes.", of(byte)).await;
    }
    // The first is the newest in use; file times are finer than this.
    assert!(take(&stage, 10, "a", (of(1), MAKER)).await.is_some());
    keep(&stage, 3, b"ten bytes.", of(3)).await;
    let there = [take(&stage, 11, "a", (of(1), MAKER)).await, take(&stage, 12, "a", (of(2), MAKER)).await];
    assert!(there[0].is_some() && there[1].is_none(), "{there:?}");
    keep(&stage, 4, &[7; 26], of(4)).await;
    assert_eq!(take(&stage, 13, "a", (of(4), MAKER)).await, None, "larger than all that may be kept");
    let stage = Stage::again(stage.end().await, |config| config.keep_results = 0);
    assert_eq!(take(&stage, 14, "a", (of(1), MAKER)).await, None);
    assert_eq!(names(&stage.path("state/depot/kept/a")), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_worker_says_of_its_file_is_not_believed() {
    let stage = Stage::new();
    let to = staged(1, "chunk");
    let ticket = make(&stage, &to, &tenant("a"), OF);
    let from = stage.path("scratch/output");
    fs::write(&from, "content").expect("written");
    let file = fs::File::open(&from).expect("readable");
    let artifact = stage.client.store(&file, &to, &ticket, |_, _| {}).await.expect("stored");
    let lie = Artifact { hash: Some(hash_of(b"another")), ..artifact.clone() };
    stage.client.keep(&lie, MAKER, Vec::new(), &ticket).await.expect_err("another hash");
    assert_eq!(take(&stage, 2, "a", (OF, MAKER)).await, None);
    // A ticket to write is none to take, and one for another attempt is none at all.
    let plain = stage.sign(Grant::Write(to.clone()));
    assert_eq!(stage.client.take(&to, MAKER, &plain).await.expect("asked"), None);
    stage.client.take(&staged(9, "chunk"), MAKER, &ticket).await.expect_err("another attempt's");
    // A file that was changed on the disk is no result.
    stage.client.keep(&artifact, MAKER, b"note".to_vec(), &ticket).await.expect("kept");
    let dir = stage.path("state/depot/kept/a");
    let name = names(&dir).into_iter().find(|name| !name.contains('.')).expect("kept");
    fs::write(dir.join(name), "short").expect("written");
    assert_eq!(take(&stage, 2, "a", (OF, MAKER)).await, None);
    keep(&stage, 3, b"content", OF).await;
    assert!(take(&stage, 2, "a", (OF, MAKER)).await.is_some(), "what is made anew is kept in its place");
    fs::write(dir.join("0000"), "without a note").expect("written");
    let file = fs::read_dir(&dir).expect("there").count();
    let stage = Stage::again(stage.end().await, |_| {});
    assert_eq!(
        fs::read_dir(dir_of(&stage)).expect("there").count(),
        file - 1,
        "what was not finished is gone"
    );
}

fn dir_of(stage: &Stage) -> PathBuf {
    stage.path("state/depot/kept/a")
}
