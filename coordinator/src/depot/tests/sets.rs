//! Sets of files: a staged bundle becomes a directory, whole, once, and never over something else.

use std::collections::BTreeMap;

use rushes_shared::bundle::{Entry, MAGIC};

use super::*;

const FILES: [(&str, &[u8]); 3] =
    [("720p/1.m4s", b"a segment"), ("720p/init.mp4", b""), ("master.m3u8", b"#EXTM3U")];

fn bundle(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (path, content) in files {
        let path = path.parse().expect("a path");
        bytes.extend(Entry { path, size: content.len() as u64 }.to_bytes());
        bytes.extend(*content);
    }
    bytes
}

/// Every file below a directory, hidden ones as well.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for name in names(dir) {
        let path = dir.join(&name);
        if path.is_dir() {
            files.extend(tree(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            files.insert(name, fs::read(path).expect("readable"));
        }
    }
    files
}

fn expected() -> BTreeMap<String, Vec<u8>> {
    FILES.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())).collect()
}

async fn publishes(stage: &Stage, to: &Location, dir: &Path) {
    let name = "package.bundle";
    let artifact = stage.store(&bundle(&FILES), &staged(1, name)).await.expect("stored");
    // What a crash left half made is in nobody's way.
    let parent = dir.parent().expect("it has one");
    stage.publish(&artifact, to).await.expect("published");
    assert_eq!(tree(dir), expected());
    stage.publish(&artifact, to).await.expect("published already");
    stage.store(&bundle(&FILES), &staged(1, name)).await.expect("stored");
    stage.publish(&artifact, to).await.expect("the same is there already");
    assert!(!stage.path("state/depot/staging/1-1").exists());

    let other = stage.store(&bundle(&FILES[..2]), &staged(2, name)).await.expect("stored");
    let failure = stage.publish(&other, to).await.expect_err("refused");
    assert_eq!((failure.code, failure.class), (FailureCode::OutputExists, FailureClass::Permanent));
    fs::write(dir.join("notes.txt"), "mine").expect("written");
    let failure = stage.publish(&artifact, to).await.expect_err("not the set that was made");
    assert_eq!(failure.code, FailureCode::TransferFailed, "{failure}");
    let mut changed = expected();
    changed.insert("notes.txt".to_owned(), b"mine".to_vec());
    assert_eq!(tree(dir), changed, "nothing was touched");
    assert_eq!(names(parent).len(), 1, "nothing is left beside it: {:?}", names(parent));
    assert_eq!(stage.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_set_that_the_depot_keeps_appears_whole_and_its_files_can_be_read() {
    let stage = Stage::new();
    let set = Location::Set(TenantId::default_tenant(), JobId(7));
    let dir = stage.path(&format!("state/depot/outputs/{}/{}", TenantId::default_tenant(), JobId(7)));
    publishes(&stage, &set, &dir).await;
    assert_eq!(stage.fetch(&output("720p/1.m4s")).await.expect("fetched"), b"a segment");
}

#[tokio::test]
async fn a_set_for_a_directory_outside_takes_the_place_of_an_empty_one() {
    let stage = Stage::new();
    publishes(&stage, &stage.input("out/2026/film/"), &stage.path("out/2026/film")).await;
    fs::create_dir_all(stage.path("out/empty/film")).expect("made");
    publishes(&stage, &stage.input("out/empty/film/"), &stage.path("out/empty/film")).await;
}

#[tokio::test]
async fn what_an_interrupted_publish_left_is_made_anew() {
    let stage = Stage::new();
    let artifact = stage.store(&bundle(&FILES), &staged(1, "package.bundle")).await.expect("stored");
    let half = format!(".rushes-1-1-{}.part", &blake3::hash(b"film").to_hex()[..16]);
    fs::create_dir_all(stage.path("out").join(&half).join("720p")).expect("made");
    fs::write(stage.path("out").join(&half).join("720p/1.m4s"), "half").expect("written");
    stage.publish(&artifact, &stage.input("out/film/")).await.expect("published");
    assert_eq!(tree(&stage.path("out/film")), expected());
    assert!(!stage.path("out").join(&half).exists());
}

#[tokio::test]
async fn what_is_no_set_or_has_no_place_is_refused_and_leaves_nothing() {
    let stage = Stage::new();
    fs::write(stage.path("out/file"), b"x").expect("written");
    let cases: [(&[u8], &str, FailureCode); 3] = [
        (b"no bundle", "out/film/", FailureCode::TransferFailed),
        (&bundle(&FILES)[..40], "out/film/", FailureCode::TransferFailed),
        (&bundle(&FILES), "out/file/", FailureCode::OutputExists),
    ];
    for (content, place, code) in cases {
        let artifact = stage.store(content, &staged(1, "package.bundle")).await.expect("stored");
        let failure = stage.publish(&artifact, &stage.input(place)).await.expect_err("refused");
        assert_eq!((failure.code, failure.class), (code, FailureClass::Permanent), "{failure}");
    }
    assert_eq!(names(&stage.path("out")), ["file"]);
}

#[tokio::test]
async fn a_ticket_for_staged_parts_reads_those_and_no_others() {
    let stage = Stage::new();
    for counter in 1..=3 {
        stage.store(b"a chunk", &staged(counter, "chunk.bundle")).await.expect("stored");
    }
    let ticket = stage.sign(Grant::ReadStaged(vec![attempt(1), attempt(2)]));
    let read = |counter: u64| {
        let (client, ticket, to) = (&stage.client, &ticket, stage.path("scratch/part"));
        async move { client.fetch(&staged(counter, "chunk.bundle"), ticket, &to, Bytes(1 << 20), |_, _| {}).await }
    };
    assert!(read(1).await.is_ok() && read(2).await.is_ok());
    assert_eq!(read(3).await.expect_err("refused").class, FailureClass::Permanent);
}

#[tokio::test]
async fn a_ticket_for_a_film_and_its_pieces_reads_these_and_no_others() {
    let stage = Stage::new();
    for counter in 1..=3 {
        stage.store(b"a piece", &staged(counter, "chunk.bundle")).await.expect("stored");
    }
    let (film, other) = (staged(1, "chunk.bundle"), staged(3, "chunk.bundle"));
    let ticket = stage.sign(Grant::ReadWith { input: film.clone(), attempts: vec![attempt(2)] });
    let read = |place: Location| {
        let (client, ticket, to) = (&stage.client, &ticket, stage.path("scratch/part"));
        async move { client.fetch(&place, ticket, &to, Bytes(1 << 20), |_, _| {}).await }
    };
    assert!(read(film).await.is_ok() && read(staged(2, "chunk.bundle")).await.is_ok());
    assert_eq!(read(other).await.expect_err("refused").class, FailureClass::Permanent);
}
