//! Fetching and staging over QUIC.

use std::os::unix::fs::symlink;

use super::*;

#[tokio::test]
async fn an_input_with_an_odd_name_comes_whole() {
    let stage = Stage::new();
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for name in ["in/film.mov", "in/ünï & 名前 100%.mp4"] {
        fs::write(stage.path(name), &content).expect("written");
        assert!(stage.fetch(&stage.input(name)).await.expect("fetched") == content, "{name} differs");
    }
    fs::write(stage.path("in/empty"), b"").expect("written");
    assert_eq!(stage.fetch(&stage.input("in/empty")).await.expect("fetched"), b"");
}

#[tokio::test]
async fn what_cannot_be_an_input_is_refused_with_what_to_do() {
    let stage = Stage::new();
    fs::write(stage.path("outside/secret"), b"secret").expect("written");
    fs::create_dir(stage.path("in/folder")).expect("made");
    let fifo = stage.path("in/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("made");
    let _socket = std::os::unix::net::UnixListener::bind(stage.path("in/socket")).expect("bound");
    symlink("../outside/secret", stage.path("in/escape")).expect("linked");
    symlink(stage.path("outside"), stage.path("in/dir-escape")).expect("linked");
    symlink("nowhere", stage.path("in/dangling")).expect("linked");
    let cases = [
        ("in/missing.mov", FailureCode::InputNotFound, "does not exist"),
        ("in/dangling", FailureCode::InputNotFound, "does not exist"),
        ("in/folder", FailureCode::InputNotAFile, "is a directory"),
        ("in/folder/", FailureCode::InputNotAFile, "is a directory"),
        ("in", FailureCode::InputNotAFile, "is a directory"),
        ("in/fifo", FailureCode::InputNotAFile, "is a FIFO"),
        ("in/socket", FailureCode::InputNotAFile, "is a socket"),
        ("in/fifo/x", FailureCode::InputNotFound, "does not exist"),
        ("in/escape", FailureCode::OutsideRoots, "depot.input_roots"),
        ("in/dir-escape/secret", FailureCode::OutsideRoots, "depot.input_roots"),
        ("outside/secret", FailureCode::OutsideRoots, "depot.input_roots"),
        ("outside/missing", FailureCode::OutsideRoots, "depot.input_roots"),
        ("in2/film.mov", FailureCode::OutsideRoots, "depot.input_roots"),
        ("out/film.mov", FailureCode::OutsideRoots, "depot.input_roots"),
    ];
    for (name, code, words) in cases {
        let failure = stage.fetch(&stage.input(name)).await.expect_err(name);
        assert_eq!((failure.code, failure.class), (code, FailureClass::Permanent), "{name}: {failure}");
        assert!(failure.to_string().contains(words), "{name}: {failure}");
        assert!(!failure.advice.is_empty(), "{name}: no advice");
    }
    // A link that stays inside is as good as the file.
    fs::write(stage.path("in/film.mov"), b"film").expect("written");
    symlink(stage.path("in/film.mov"), stage.path("in/link.mov")).expect("linked");
    assert_eq!(stage.fetch(&stage.input("in/link.mov")).await.expect("fetched"), b"film");
}

#[tokio::test]
async fn an_input_without_permission_is_refused_with_what_to_do() {
    let stage = Stage::new();
    fs::write(stage.path("in/private.mov"), b"x").expect("written");
    fs::set_permissions(stage.path("in/private.mov"), fs::Permissions::from_mode(0o0)).expect("set");
    if fs::File::open(stage.path("in/private.mov")).is_ok() {
        println!("skipped: this user may read everything");
        let denied = std::io::Error::from_raw_os_error(rustix::io::Errno::ACCESS.raw_os_error());
        let failure = super::super::refusal::unreadable(&"/in/private.mov", &denied);
        assert_eq!(failure.code, FailureCode::InputForbidden);
        return;
    }
    let failure = stage.fetch(&stage.input("in/private.mov")).await.expect_err("refused");
    assert_eq!(failure.code, FailureCode::InputForbidden);
    assert!(failure.advice.contains("read permission"), "{failure}");
}

#[tokio::test]
async fn a_ticket_permits_its_own_deed_with_its_own_file_in_its_time() {
    let stage = Stage::new();
    fs::write(stage.path("in/a"), b"a").expect("written");
    fs::write(stage.path("in/b"), b"b").expect("written");
    let (a, b) = (stage.input("in/a"), stage.input("in/b"));
    let past = stage.key.sign(&Ticket { grant: Grant::Read(a.clone()), expires: WallMs(1) });
    let forged = TicketKey::new([6; 32]).sign(&Ticket { grant: Grant::Read(a.clone()), expires: FAR });
    let cases = [
        (stage.sign(Grant::Read(b)), FailureClass::Permanent, "does not permit"),
        (stage.sign(Grant::Write(a.clone())), FailureClass::Permanent, "does not permit"),
        (past, FailureClass::Transient, "expired"),
        (forged, FailureClass::Permanent, "not issued by this farm"),
        (Vec::new(), FailureClass::Permanent, "not issued by this farm"),
    ];
    for (ticket, class, words) in cases {
        let to = stage.path("scratch/fetched");
        let fetched = stage.client.fetch(&a, &ticket, &to, Bytes(9), |_, _| {}).await;
        let failure = fetched.expect_err("refused");
        assert_eq!((failure.code, failure.class), (FailureCode::TransferFailed, class), "{failure}");
        assert!(failure.message.contains(words), "{failure}");
    }
}

#[tokio::test]
async fn a_staged_file_is_whole_and_can_be_read_and_dropped() {
    let stage = Stage::new();
    let place = staged(3, "film.mp4");
    let content = vec![42; 5_000_001];
    let artifact = stage.store(&content, &place).await.expect("stored");
    assert_eq!((artifact.size, artifact.hash), (Some(Bytes(5_000_001)), Some(hash_of(&content))));
    assert!(stage.fetch(&place).await.expect("fetched") == content);
    // The worker lost the answer and sends it again.
    stage.store(&content, &place).await.expect("stored again");
    for _ in 0..2 {
        let ticket = stage.sign(Grant::Drop(vec![attempt(3), attempt(99)]));
        stage.client.drop_staged(vec![attempt(3), attempt(99)], &ticket).await.expect("dropped");
    }
    assert_eq!(stage.fetch(&place).await.expect_err("gone").code, FailureCode::InputNotFound);
    assert_eq!(stage.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn what_comes_late_from_a_dropped_attempt_is_refused_and_leaves_nothing() {
    let stage = Stage::new();
    let ticket = stage.sign(Grant::Drop(vec![attempt(7)]));
    stage.client.drop_staged(vec![attempt(7)], &ticket).await.expect("dropped");
    let late = stage.store(b"late", &staged(7, "film.mp4")).await.expect_err("refused");
    assert!(late.message.contains("given up"), "{late}");
    stage.store(b"in time", &staged(8, "film.mp4")).await.expect("stored");
    assert_eq!(names(&stage.path("state/depot/staging")), [attempt(8).to_string()]);
    assert_eq!(stage.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn what_earlier_reigns_staged_is_listed_in_order() {
    let stage = Stage::new();
    for counter in [10, 9, 8] {
        stage.store(b"film", &staged(counter, "film.mp4")).await.expect("stored");
    }
    std::fs::create_dir(stage.path("state/depot/staging/not-an-attempt")).expect("made");
    let ticket = stage.sign(Grant::ListStaged);
    let next = Epoch(attempt(1).epoch.0 + 1);
    let list = |before, after| stage.client.list_staged(before, after, &ticket);
    assert_eq!(list(next, None).await.expect("listed"), [8, 9, 10].map(attempt));
    assert_eq!(list(next, Some(attempt(9))).await.expect("listed"), [attempt(10)]);
    assert_eq!(list(next, Some(attempt(10))).await.expect("listed"), []);
    assert_eq!(list(attempt(1).epoch, None).await.expect("listed"), [], "this reign's own");
    let other = stage.sign(Grant::Drop(vec![attempt(8)]));
    let refused = stage.client.list_staged(next, None, &other).await.expect_err("refused");
    assert!(refused.message.contains("does not permit"), "{refused}");
}

#[tokio::test]
async fn nothing_is_stored_outside_of_staging_and_uploads() {
    let stage = Stage::new();
    for place in [stage.input("out/film.mp4"), output("film.mp4")] {
        let failure = stage.store(b"x", &place).await.expect_err("refused");
        assert_eq!(failure.code, FailureCode::OutputForbidden, "{failure}");
    }
    assert!(!stage.path("out/film.mp4").exists());
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_new_files_and_says_so() {
    let stage = Stage::with(|config| config.min_free_bytes = u64::MAX / 2);
    let failure = stage.store(b"x", &staged(1, "film.mp4")).await.expect_err("refused");
    assert_eq!((failure.code, failure.class), (FailureCode::TransferFailed, FailureClass::Transient));
    assert!(failure.message.contains("free") && failure.advice.contains("make room"), "{failure}");
    assert_eq!(stage.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_new_start_removes_what_was_left_unfinished_but_not_uploads() {
    let dir = Stage::new().end().await;
    let incoming = dir.path().join("state/depot/incoming");
    fs::write(incoming.join("17.new"), b"half").expect("written");
    fs::write(incoming.join("default-abc.part"), b"half").expect("written");
    let stage = Stage::again(dir, |_| {});
    assert_eq!(stage.leftovers(), ["default-abc.part"]);
}

#[tokio::test]
async fn a_root_that_is_missing_or_relative_keeps_the_depot_from_starting() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::create(&dir.path().join("pki"), now()).expect("a CA");
    let identity = authority.server_identity(now()).expect("an identity");
    for root in [dir.path().join("missing"), "relative".into()] {
        let mut config = DepotConfig::on_loopback(dir.path().join("state"));
        config.output_roots = vec![root];
        let error = Depot::bind(&config, &identity, TicketKey::new([0; 32])).expect_err("refused");
        assert!(error.to_string().contains("depot.output_roots"), "{error}");
    }
    let mut config = DepotConfig::on_loopback(dir.path().join("state"));
    config.http_bind = "0.0.0.0:0".parse().expect("an address");
    let error = Depot::bind(&config, &identity, TicketKey::new([0; 32])).expect_err("refused");
    assert!(error.to_string().contains("needs TLS"), "{error}");
}

#[tokio::test]
async fn what_has_outlived_its_time_is_swept_and_the_rest_stays() {
    let stage = Stage::with(|config| config.keep_uploads = std::time::Duration::from_secs(100));
    let upload = |content: &[u8]| Location::Upload(TenantId::default_tenant(), hash_of(content));
    stage.store(b"old", &upload(b"old")).await.expect("stored");
    stage.store(b"used", &upload(b"used")).await.expect("stored");
    stage.store(b"wanted", &upload(b"wanted")).await.expect("stored");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(1000);
    for content in [&b"old"[..], b"used", b"wanted"] {
        let path = stage.path("state/depot/uploads/default").join(hash_of(content).to_string());
        fs::File::open(path).expect("there").set_modified(long_ago).expect("set");
    }
    assert_eq!(stage.fetch(&upload(b"used")).await.expect("fetched"), b"used");
    let wanted = upload(b"wanted");
    stage.client.renew(&wanted, &stage.sign(Grant::Read(wanted.clone()))).await.expect("it is there");
    let gone = upload(b"never sent");
    let failure =
        stage.client.renew(&gone, &stage.sign(Grant::Read(gone.clone()))).await.expect_err("it is not");
    assert_eq!(failure.code, FailureCode::InputNotFound);
    let mut config = DepotConfig::on_loopback(stage.path("state"));
    config.keep_uploads = std::time::Duration::from_secs(100);
    let shelf = super::super::shelf::Shelf::open(&config, stage.key.clone()).expect("opened");
    assert_eq!(super::super::sweep::sweep(&shelf, std::time::SystemTime::now()), 1);
    assert!(stage.fetch(&upload(b"old")).await.is_err());
    assert_eq!(stage.fetch(&wanted).await.expect("fetched"), b"wanted");
    assert_eq!(stage.fetch(&upload(b"used")).await.expect("fetched"), b"used");
}
