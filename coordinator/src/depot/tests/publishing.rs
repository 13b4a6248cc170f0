//! Publishing: once, twice, over something else, over a file system's border.

use super::*;

async fn publishes(stage: &Stage, to: &Location) {
    let artifact = stage.store(b"the film", &staged(1, "film.mp4")).await.expect("stored");
    stage.publish(&artifact, to).await.expect("published");
    // The engine repeats after a crash, in whatever state the staging is.
    stage.publish(&artifact, to).await.expect("published already");
    stage.store(b"the film", &staged(1, "film.mp4")).await.expect("stored");
    stage.publish(&artifact, to).await.expect("the same is there already");
    assert_eq!(
        stage.fetch(&staged(1, "film.mp4")).await.expect_err("moved").code,
        FailureCode::InputNotFound
    );
    assert!(!stage.path("state/depot/staging/1-1").exists());

    let other = stage.store(b"another film", &staged(2, "film.mp4")).await.expect("stored");
    let failure = stage.publish(&other, to).await.expect_err("refused");
    assert_eq!((failure.code, failure.class), (FailureCode::OutputExists, FailureClass::Permanent));
    assert!(failure.advice.contains("never replaces"), "{failure}");
    assert_eq!(stage.fetch(&staged(2, "film.mp4")).await.expect("still staged"), b"another film");
    assert_eq!(stage.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn an_output_that_the_depot_keeps_is_published_once() {
    let stage = Stage::new();
    publishes(&stage, &output("film.mp4")).await;
    assert_eq!(stage.fetch(&output("film.mp4")).await.expect("fetched"), b"the film");
}

#[tokio::test]
async fn an_output_for_a_directory_outside_is_published_once_and_its_directory_made() {
    let stage = Stage::new();
    publishes(&stage, &stage.input("out/2026/ünï/film.mp4")).await;
    assert_eq!(fs::read(stage.path("out/2026/ünï/film.mp4")).expect("there"), b"the film");
    assert_eq!(names(&stage.path("out/2026/ünï")), ["film.mp4"]);
}

#[tokio::test]
async fn an_output_on_another_file_system_is_published_once() {
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        println!("skipped: there is no second file system at /dev/shm");
        return;
    };
    let root = elsewhere.path().to_owned();
    let stage = Stage::with(|config| config.output_roots = vec![root]);
    let place = Location::File(elsewhere.path().join("a/film.mp4").to_str().expect("UTF-8").to_owned());
    // What a crash in mid-copy left behind is in nobody's way.
    fs::create_dir(elsewhere.path().join("a")).expect("made");
    publishes(&stage, &place).await;
    assert_eq!(fs::read(elsewhere.path().join("a/film.mp4")).expect("there"), b"the film");
    assert_eq!(names(&elsewhere.path().join("a")), ["film.mp4"]);
}

#[tokio::test]
async fn what_does_not_fit_is_named_with_the_bytes_that_are_missing() {
    let stage = Stage::new();
    let mut artifact = stage.store(b"a bundle", &staged(1, "package.bundle")).await.expect("stored");
    artifact.size = Some(Bytes(1 << 60));
    let place = stage.input("out/set/");
    let failure = stage.publish(&artifact, &place).await.expect_err("no disk is so large");
    assert_eq!((failure.code, failure.class), (FailureCode::TransferFailed, FailureClass::Transient));
    let said = &failure.message;
    assert!(said.contains("out/set/ does not fit: it has 1024.0 PiB"), "{failure}");
    assert!(said.ends_with(" bytes) are missing") && failure.advice.contains("make room"), "{failure}");
}

#[tokio::test]
async fn what_cannot_be_an_outputs_place_is_refused_with_what_to_do() {
    let stage = Stage::new();
    let artifact = stage.store(b"the film", &staged(1, "film.mp4")).await.expect("stored");
    fs::create_dir(stage.path("out/folder")).expect("made");
    fs::write(stage.path("out/file"), b"x").expect("written");
    std::os::unix::fs::symlink(stage.path("outside"), stage.path("out/escape")).expect("linked");
    std::os::unix::fs::symlink(stage.path("outside/new"), stage.path("out/link.mp4")).expect("linked");
    let cases = [
        ("out/folder", FailureCode::OutputExists),
        ("out/file", FailureCode::OutputExists),
        ("out/link.mp4", FailureCode::OutputExists),
        ("out/file/film.mp4", FailureCode::OutputForbidden),
        ("out/folder/", FailureCode::TransferFailed),
        ("out/escape/film.mp4", FailureCode::OutsideRoots),
        ("out/escape/deeper/film.mp4", FailureCode::OutsideRoots),
        ("outside/film.mp4", FailureCode::OutsideRoots),
        ("in/film.mp4", FailureCode::OutsideRoots),
    ];
    for (name, code) in cases {
        let failure = stage.publish(&artifact, &stage.input(name)).await.expect_err(name);
        assert_eq!((failure.code, failure.class), (code, FailureClass::Permanent), "{name}: {failure}");
        assert!(!failure.advice.is_empty(), "{name}: no advice");
    }
    assert_eq!(names(&stage.path("outside")), Vec::<String>::new());
    stage.publish(&artifact, &stage.input("out/film.mp4")).await.expect("published after all");
}

#[tokio::test]
async fn what_is_neither_staged_nor_published_cannot_be_published() {
    let stage = Stage::new();
    let artifact = stage.store(b"the film", &staged(1, "film.mp4")).await.expect("stored");
    stage
        .client
        .drop_staged(vec![attempt(1)], &stage.sign(Grant::Drop(vec![attempt(1)])))
        .await
        .expect("dropped");
    let failure = stage.publish(&artifact, &output("film.mp4")).await.expect_err("gone");
    assert!(failure.message.contains("not staged any more"), "{failure}");
    let fetched = stage.fetch(&output("film.mp4")).await;
    assert_eq!(fetched.expect_err("nothing half").code, FailureCode::InputNotFound);
}

#[tokio::test]
async fn many_who_publish_to_one_place_at_once_leave_one_whole_file() {
    let stage = std::sync::Arc::new(Stage::new());
    let place = output("film.mp4");
    let mut artifacts = Vec::new();
    for i in 1..=8 {
        let content = vec![u8::try_from(i).expect("small"); 200_000];
        artifacts.push(stage.store(&content, &staged(i, "film.mp4")).await.expect("stored"));
    }
    let tries: Vec<_> = artifacts
        .into_iter()
        .map(|artifact| {
            let (stage, place) = (std::sync::Arc::clone(&stage), place.clone());
            tokio::spawn(async move { stage.publish(&artifact, &place).await.is_ok() })
        })
        .collect();
    let mut published = 0;
    for one in tries {
        published += u32::from(one.await.expect("it ran"));
    }
    assert_eq!(published, 1);
    let content = stage.fetch(&place).await.expect("fetched");
    assert!(content.len() == 200_000 && content.iter().all(|b| *b == content[0]));
}

#[tokio::test]
async fn what_moves_no_bytes_does_not_wait_for_transfers() {
    let stage = Stage::with(|config| config.max_transfers = 0);
    let attempts = vec![attempt(1)];
    let ticket = stage.sign(Grant::Drop(attempts.clone()));
    let dropping = stage.client.drop_staged(attempts, &ticket);
    let dropped = tokio::time::timeout(std::time::Duration::from_secs(30), dropping).await;
    dropped.expect("it is not held up").expect("dropped");
}
