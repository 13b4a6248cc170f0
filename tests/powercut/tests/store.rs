//! The store as its user sees it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use proptest::prelude::*;
use rushes_coordinator::store::{
    ArchiveDoc, BackupError, Batch, HexCodec, Missing, Origin, Running, Store, StoreError, StoreEvent,
    StoreOptions, SubmitError, Swap, export, free_space, import,
};
use rushes_shared::id::{Epoch, Seq};
use rushes_shared::units::Bytes;

fn open(dir: &Path) -> (Store, Vec<(Seq, Vec<u8>)>) {
    open_with(dir, StoreOptions::default())
}

fn open_with(dir: &Path, options: StoreOptions) -> (Store, Vec<(Seq, Vec<u8>)>) {
    let (store, recovery) = Store::open(dir, options).expect("opens");
    assert_eq!(recovery.report.missing, Missing::Nothing);
    let records = recovery.records().map(|r| r.expect("reads")).map(|r| (r.seq, r.bytes)).collect();
    (store, records)
}

fn bytes(n: u64) -> Vec<u8> {
    format!("record {n}").into_bytes()
}

fn batch(epoch: Epoch, first: u64, count: u64) -> Batch {
    Batch {
        epoch,
        expected: Seq(first - 1),
        records: (first..first + count).map(bytes).collect(),
        archive: Vec::new(),
    }
}

/// A running store and its events.
fn start(store: Store) -> (Running, Receiver<StoreEvent>) {
    let (tell, told) = channel();
    // Folds into one record that names the last.
    let fold = |past: &mut dyn Iterator<Item = Vec<u8>>| Ok(past.last().into_iter().collect());
    let running = store.start(Box::new(move |event| drop(tell.send(event))), Box::new(fold)).expect("starts");
    (running, told)
}

fn event(told: &Receiver<StoreEvent>) -> StoreEvent {
    told.recv_timeout(Duration::from_secs(60)).expect("an event comes")
}

fn wait_confirmed(told: &Receiver<StoreEvent>, wanted: u64) {
    loop {
        match event(told) {
            StoreEvent::Confirmed(Seq(seq)) if seq >= wanted => return,
            StoreEvent::Confirmed(_) | StoreEvent::Snapshot(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn wait_snapshot(told: &Receiver<StoreEvent>) -> Seq {
    loop {
        match event(told) {
            StoreEvent::Snapshot(facts) => return facts.covers,
            StoreEvent::Confirmed(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn wait_retired(told: &Receiver<StoreEvent>) -> u64 {
    loop {
        match event(told) {
            StoreEvent::Retired { documents, .. } => return documents,
            StoreEvent::Confirmed(_) | StoreEvent::Snapshot(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, records) = open(dir.path());
    assert!(records.is_empty());
    let epoch = store.begin_epoch().expect("begins");
    assert_eq!(epoch, Epoch(1));
    let large = vec![9; 300_000];
    let tail =
        store.append(epoch, Seq(0), vec![bytes(1), large.clone(), Vec::new()], Vec::new()).expect("appends");
    assert_eq!(tail, Seq(3));
    drop(store);
    let (mut store, records) = open(dir.path());
    assert_eq!(records, [(Seq(1), bytes(1)), (Seq(2), large), (Seq(3), Vec::new())]);
    assert_eq!(store.begin_epoch().expect("begins"), Epoch(2));
    assert!(std::fs::read_dir(dir.path().join("db/blobs")).expect("lists").next().is_none());
}

#[test]
fn an_old_writer_and_a_gap_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path());
    let old = store.begin_epoch().expect("begins");
    let epoch = store.begin_epoch().expect("begins");
    let refused = store.append(old, Seq(0), vec![bytes(1)], Vec::new());
    assert!(matches!(refused, Err(StoreError::Fenced { given: Epoch(1), current: Epoch(2) })));
    let refused = store.append(epoch, Seq(4), vec![bytes(1)], Vec::new());
    assert!(matches!(refused, Err(StoreError::OutOfSequence { expected: Seq(4), tail: Seq(0) })));
    // A refusal breaks nothing.
    store.append(epoch, Seq(0), vec![bytes(1)], Vec::new()).expect("appends");
}

#[test]
fn a_refused_batch_stops_the_running_store_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path());
    let epoch = store.begin_epoch().expect("begins");
    let (running, told) = start(store);
    let handle = running.handle();
    handle.submit(batch(epoch, 1, 2)).expect("is taken");
    wait_confirmed(&told, 2);
    handle.submit(batch(epoch, 9, 1)).expect("is taken");
    assert!(matches!(event(&told), StoreEvent::Fatal(StoreError::OutOfSequence { .. })));
    assert!(matches!(handle.submit(batch(epoch, 3, 1)), Err(SubmitError::Stopped)));
    assert!(matches!(handle.put_key("a", b"b"), Err(StoreError::Stopped)));
    running.close();
    assert!(told.try_recv().is_err(), "nothing follows a fatal error");
}

#[test]
fn two_coordinators_cannot_share_a_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, _) = open(dir.path());
    let second = Store::open(dir.path(), StoreOptions::default()).map(drop);
    let Err(error @ StoreError::Locked { .. }) = second else { panic!("{second:?}") };
    let text = error.to_string();
    assert!(
        text.contains("in use by another coordinator") && text.contains(&std::process::id().to_string()),
        "{text}"
    );
    drop(store);
    open(dir.path());
}

#[test]
fn a_store_of_another_format_is_refused_and_a_half_made_one_is_made_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(open(dir.path()));
    std::fs::write(dir.path().join("format"), "rushes-store 9\n").expect("writes");
    let refused = Store::open(dir.path(), StoreOptions::default()).map(drop);
    assert!(matches!(&refused, Err(StoreError::Format { found, .. }) if found == "9"), "{refused:?}");

    std::fs::remove_file(dir.path().join("format")).expect("removes");
    std::fs::write(dir.path().join("db/conf"), "torn").expect("writes");
    let (mut store, _) = open(dir.path());
    let epoch = store.begin_epoch().expect("begins");
    store.append(epoch, Seq(0), vec![bytes(1)], Vec::new()).expect("appends");
    drop(store);

    std::fs::remove_file(dir.path().join("format")).expect("removes");
    let refused = Store::open(dir.path(), StoreOptions::default()).map(drop);
    assert!(matches!(refused, Err(StoreError::Unfinished { .. })), "data is never thrown away: {refused:?}");
}

#[test]
fn everything_that_is_queued_becomes_one_commit() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path());
    let epoch = store.begin_epoch().expect("begins");
    let (running, told) = start(store);
    let handle = running.handle();
    for n in 0..500 {
        handle.submit(batch(epoch, n * 2 + 1, 2)).expect("the queue has room");
    }
    wait_confirmed(&told, 1000);
    let stats = handle.reader().stats().expect("reads");
    assert_eq!((stats.confirmed, stats.queued_batches), (Seq(1000), 0));
    assert!(stats.commits < 250, "{} commits for 500 batches", stats.commits);
    running.close();
}

#[test]
fn a_full_queue_gives_the_batch_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = StoreOptions { queue_batches: 2, queue_bytes: 20_000, ..StoreOptions::default() };
    let (mut store, _) = open_with(dir.path(), options);
    let epoch = store.begin_epoch().expect("begins");
    let (running, told) = start(store);
    let handle = running.handle();
    let (mut at, mut full) = (1, 0);
    while at <= 2000 {
        match handle.submit(batch(epoch, at, 1)) {
            Ok(()) => at += 1,
            Err(SubmitError::Full(back)) => {
                assert_eq!(back, batch(epoch, at, 1));
                full += 1;
                std::thread::yield_now();
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(full > 0, "a queue of two was never full");
    wait_confirmed(&told, 2000);
    let giant = Batch { records: vec![vec![0; 17 << 20]], ..batch(epoch, 2001, 1) };
    assert!(matches!(handle.submit(giant), Err(SubmitError::TooLarge { .. })));
    drop(handle);
    running.close();
    assert_eq!(open(dir.path()).1.len(), 2000);
}

#[test]
fn a_snapshot_replaces_the_journal_that_it_covers() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = StoreOptions { snapshot_records: 1000, ..StoreOptions::default() };
    let (mut store, _) = open_with(dir.path(), options.clone());
    let epoch = store.begin_epoch().expect("begins");
    let (running, told) = start(store);
    let handle = running.handle();
    for n in 0..110 {
        handle.submit(batch(epoch, n * 10 + 1, 10)).expect("the queue has room");
    }
    let covers = wait_snapshot(&told);
    assert!(covers >= Seq(1000));
    wait_confirmed_or_there(&told, &running, 1100);
    drop(handle);
    running.close();
    let (_, recovery) = Store::open(dir.path(), options).expect("opens");
    let replayed: Vec<_> = recovery.records().map(|r| r.expect("reads")).collect();
    assert_eq!((replayed[0].origin, replayed[0].seq), (Origin::Snapshot, covers));
    assert_eq!(replayed[0].bytes, bytes(covers.0), "the fold kept the last record");
    let journal: Vec<_> = replayed[1..].iter().map(|r| (r.seq, r.bytes.clone())).collect();
    assert_eq!(journal, (covers.0 + 1..=1100).map(|n| (Seq(n), bytes(n))).collect::<Vec<_>>());
}

fn wait_confirmed_or_there(told: &Receiver<StoreEvent>, running: &Running, wanted: u64) {
    if running.handle().confirmed() < Seq(wanted) {
        wait_confirmed(told, wanted);
    }
}

#[test]
fn a_fold_that_fails_leaves_everything_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path());
    let epoch = store.begin_epoch().expect("begins");
    let (tell, told) = channel();
    let fold = |_: &mut dyn Iterator<Item = Vec<u8>>| Err("a record of the future".into());
    let running = store.start(Box::new(move |event| drop(tell.send(event))), Box::new(fold)).expect("starts");
    let handle = running.handle();
    handle.submit(batch(epoch, 1, 3)).expect("is taken");
    wait_confirmed(&told, 3);
    while !handle.snapshot_now() {
        std::thread::yield_now();
    }
    let StoreEvent::SnapshotFailed(error) = event(&told) else { panic!("the fold failed") };
    assert!(error.to_string().contains("a record of the future"), "{error}");
    handle.submit(batch(epoch, 4, 1)).expect("it goes on");
    wait_confirmed(&told, 4);
    drop(handle);
    running.close();
    assert_eq!(open(dir.path()).1.len(), 4);
}

#[test]
fn the_archive_is_read_from_its_newest_end_and_kept_to_its_retention() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path());
    let epoch = store.begin_epoch().expect("begins");
    let doc = |n: u64| vec![u8::try_from(n % 251).expect("small"); usize::try_from(n * 40).expect("small")];
    for n in 1..=200 {
        let archive = vec![ArchiveDoc { key: u128::from(n), doc: doc(n) }];
        store.append(epoch, Seq(n - 1), vec![bytes(n)], archive).expect("appends");
    }
    let refused = store.append(epoch, Seq(200), Vec::new(), vec![ArchiveDoc { key: 7, doc: Vec::new() }]);
    assert!(matches!(refused, Err(StoreError::NoRecord)));
    let (running, told) = start(store);
    let (handle, reader) = (running.handle(), running.handle().reader());
    assert_eq!(reader.archived_count().expect("counts"), 200);
    assert_eq!(reader.archived(200).expect("reads"), Some(doc(200)));
    assert_eq!(reader.archived(201).expect("reads"), None);
    let keys = |docs: Vec<ArchiveDoc>| docs.into_iter().map(|d| d.key).collect::<Vec<_>>();
    assert_eq!(keys(reader.archived_before(None, 3).expect("reads")), [200, 199, 198]);
    assert_eq!(keys(reader.archived_before(Some(198), 2).expect("reads")), [197, 196]);
    assert_eq!(keys(reader.archived_before(Some(2), 9).expect("reads")), [1]);
    while !handle.retire_archive(151) {
        std::thread::yield_now();
    }
    assert_eq!(wait_retired(&told), 150);
    assert_eq!(reader.archived(150).expect("reads"), None);
    drop((handle, reader));
    running.close();
    let (store, _) = open(dir.path());
    assert_eq!(store.reader().archived_count().expect("counts"), 50);
    assert_eq!(
        keys(store.reader().archived_before(None, 999).expect("reads")),
        (151..=200).rev().collect::<Vec<_>>()
    );
}

#[test]
fn keys_are_set_compared_and_removed_durably() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, _) = open(dir.path());
    let (running, _told) = start(store);
    let (handle, reader) = (running.handle(), running.handle().reader());
    handle.put_key("farm/ca", b"secret").expect("puts");
    assert_eq!(handle.swap_key("token", None, Some(b"one")).expect("swaps"), Swap::Done);
    assert_eq!(
        handle.swap_key("token", None, Some(b"two")).expect("swaps"),
        Swap::Differs(Some(b"one".to_vec()))
    );
    assert_eq!(handle.swap_key("token", Some(b"one"), Some(b"two")).expect("swaps"), Swap::Done);
    assert!(matches!(handle.put_key("big", &[0; 5000]), Err(StoreError::TooLarge { .. })));
    assert!(matches!(handle.put_key("", b"x"), Err(StoreError::TooLarge { .. })));
    handle.put_key("gone", b"x").expect("puts");
    handle.delete_key("gone").expect("deletes");
    assert_eq!(reader.key("gone").expect("reads"), None);
    drop((handle, reader));
    running.close();
    let (store, _) = open(dir.path());
    let keys = store.reader().keys().expect("lists");
    assert_eq!(keys, [("farm/ca".to_owned(), b"secret".to_vec()), ("token".to_owned(), b"two".to_vec())]);
}

#[test]
fn space_is_told_against_its_watermark() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(free_space(dir.path()).expect("the system says") > Bytes(0));
    for (watermark, enough) in [(0, true), (u64::MAX, false)] {
        let options = StoreOptions { free_space_watermark: Bytes(watermark), ..StoreOptions::default() };
        let (store, _) = open_with(dir.path(), options);
        let (running, _told) = start(store);
        assert_eq!(running.handle().space().is_enough(), enough);
        running.close();
    }
}

/// A store with snapshot, journal, archive and keys; its backup; and what it holds.
fn backed_up(dir: &Path) -> (Vec<u8>, Vec<(Seq, Vec<u8>)>) {
    // No snapshot by itself: a second one would take the journal that the backup is to have.
    let options = StoreOptions { snapshot_records: 100_000, ..StoreOptions::default() };
    let (mut store, _) = open_with(dir, options);
    let epoch = store.begin_epoch().expect("begins");
    let (running, told) = start(store);
    let handle = running.handle();
    let mut at = 1;
    let mut submit = |count: u64| {
        let mut next = batch(epoch, at, count);
        next.archive = vec![ArchiveDoc { key: u128::from(at), doc: bytes(at) }];
        handle.submit(next).expect("the queue has room");
        at += count;
    };
    (0..25).for_each(|_| submit(10));
    wait_confirmed_or_there(&told, &running, 250);
    assert!(handle.snapshot_now(), "the snapshotter is idle");
    wait_snapshot(&told);
    handle.put_key("farm/ca", b"secret").expect("puts");
    (0..5).for_each(|_| submit(10));
    wait_confirmed_or_there(&told, &running, 300);
    // Appends go on while it is exported.
    let mut backup = Vec::new();
    std::thread::scope(|scope| {
        let exporting = scope.spawn(|| {
            let mut out = Vec::new();
            export(&handle.reader(), &mut out, &HexCodec).expect("exports");
            out
        });
        (0..100).for_each(|_| submit(10));
        backup = exporting.join().expect("no panic");
    });
    wait_confirmed_or_there(&told, &running, at - 1);
    drop(handle);
    running.close();
    let expected = open(dir).1;
    (backup, expected)
}

#[test]
fn a_backup_of_a_running_store_comes_back_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let (backup, _) = backed_up(&dir.path().join("a"));
    let summary = import(backup.as_slice(), &dir.path().join("b"), &HexCodec).expect("imports");
    let (store, records) = open(&dir.path().join("b"));
    assert_eq!(records.len() as u64, summary.folded + summary.records);
    let tail = store.tail().0;
    assert!(store.epoch() > Epoch(1 << 20), "no number of a later reign comes again: {:?}", store.epoch());
    // The fold keeps the last record that it covers; behind it all follow.
    for (seq, record) in &records {
        assert_eq!(record, &bytes(seq.0));
    }
    assert_eq!(records.last().map(|(seq, _)| seq.0), Some(tail));
    let docs = store.reader().archived_before(None, 9999).expect("reads");
    assert_eq!(docs.len() as u64, summary.archive);
    assert_eq!(docs.len() as u64, tail / 10, "each group up to the end has its document, and no later one");
    assert_eq!(store.reader().key("farm/ca").expect("reads"), Some(b"secret".to_vec()));
    drop(store);
    // The copy's own backup is the same, line for line, but for its snapshot's number.
    let refused = import(backup.as_slice(), &dir.path().join("b"), &HexCodec);
    assert!(matches!(refused, Err(BackupError::NotEmpty { .. })));
}

#[test]
fn a_changed_backup_is_refused_at_its_first_bad_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let (backup, _) = backed_up(&dir.path().join("a"));
    let lines: Vec<&[u8]> = backup.split_inclusive(|b| *b == b'\n').collect();
    let into = dir.path().join("b");
    let refused_at = |lines: &[&[u8]]| match import(lines.concat().as_slice(), &into, &HexCodec) {
        Err(BackupError::Line { line, .. }) => {
            assert!(!into.exists(), "nothing is left of a refused import");
            line
        }
        other => panic!("{other:?}"),
    };
    let last = lines.len();
    // A digit of a record.
    let victim = lines.iter().position(|l| l.starts_with(b"{\"seq\"")).expect("a record");
    let changed = String::from_utf8_lossy(lines[victim]).replacen("7265", "7266", 1).into_bytes();
    let mut bad = lines.clone();
    bad[victim] = &changed;
    assert_eq!(refused_at(&bad), victim as u64 + 1);
    // A line lost, two lines swapped, the end cut off, a torn line, something behind, nonsense.
    let mut bad = lines.clone();
    bad.remove(victim + 1);
    assert_eq!(refused_at(&bad), victim as u64 + 2);
    let mut bad = lines.clone();
    bad.swap(victim, victim + 1);
    assert_eq!(refused_at(&bad), victim as u64 + 1);
    assert_eq!(refused_at(&lines[..last - 1]), last as u64);
    let mut bad = lines.clone();
    bad[last - 1] = &lines[last - 1][..9];
    assert_eq!(refused_at(&bad), last as u64);
    let mut bad = lines.clone();
    bad.push(b"{}\n");
    assert_eq!(refused_at(&bad), last as u64 + 1);
    let mut bad = lines.clone();
    bad[victim] = b"what?\n";
    assert_eq!(refused_at(&bad), victim as u64 + 1);
    assert_eq!(refused_at(&[b"not a backup\n"]), 1);
    // An archived document lost: every line is right, the whole is not.
    let doc = lines.iter().position(|l| l.starts_with(b"{\"archive\"")).expect("a document");
    let mut bad = lines.clone();
    bad.remove(doc);
    assert_eq!(refused_at(&bad), last as u64 - 1);
    import(backup.as_slice(), &into, &HexCodec).expect("the backup itself is good");
}

#[derive(Debug, Clone)]
enum Step {
    Append { sizes: Vec<usize>, docs: Vec<(u8, usize)> },
    Key { name: u8, size: Option<usize> },
    Snapshot,
    Retire(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![8 => 0_usize..300, 1 => 3000_usize..9000];
    prop_oneof![
        6 => (prop::collection::vec(size.clone(), 1..8), prop::collection::vec((any::<u8>(), size), 0..3))
            .prop_map(|(sizes, docs)| Step::Append { sizes, docs }),
        2 => (0_u8..4, prop::option::of(0_usize..3000)).prop_map(|(name, size)| Step::Key { name, size }),
        1 => Just(Step::Snapshot),
        1 => any::<u8>().prop_map(Step::Retire),
        1 => Just(Step::Reopen),
    ]
}

/// What the store should hold.
#[derive(Debug, Default)]
struct Model {
    records: Vec<Vec<u8>>,
    docs: BTreeMap<u128, Vec<u8>>,
    keys: BTreeMap<String, Vec<u8>>,
}

impl Model {
    /// `records` are either those of the journal, or begin with some that a fold kept; this fold keeps all.
    fn check(&self, store: &Store, records: &[(Seq, Vec<u8>)]) {
        let bytes: Vec<&Vec<u8>> = records.iter().map(|(_, bytes)| bytes).collect();
        assert!(bytes == self.records.iter().collect::<Vec<_>>(), "the records differ");
        let reader = store.reader();
        let docs = reader.archived_before(None, usize::MAX).expect("reads");
        let docs: BTreeMap<u128, Vec<u8>> = docs.into_iter().map(|d| (d.key, d.doc)).collect();
        assert!(docs == self.docs, "the archive differs");
        assert_eq!(reader.archived_count().expect("counts"), self.docs.len() as u64);
        assert!(
            reader.keys().expect("lists").into_iter().collect::<BTreeMap<_, _>>() == self.keys,
            "the keys differ"
        );
    }
}

struct Subject {
    running: Running,
    told: Receiver<StoreEvent>,
    epoch: Epoch,
}

impl Subject {
    fn open(dir: &Path, model: &Model) -> Self {
        let (mut store, records) = open(dir);
        model.check(&store, &records);
        let epoch = store.begin_epoch().expect("begins");
        let (tell, told) = channel();
        let keep_all = |past: &mut dyn Iterator<Item = Vec<u8>>| Ok(past.collect());
        let running =
            store.start(Box::new(move |event| drop(tell.send(event))), Box::new(keep_all)).expect("starts");
        Self { running, told, epoch }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_store_agrees_with_a_plain_model(steps in prop::collection::vec(step(), 1..30)) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut model = Model::default();
        let mut subject = Subject::open(dir.path(), &model);
        for (n, step) in steps.into_iter().enumerate() {
            let fill = |size: usize| vec![u8::try_from(n % 251).expect("small"); size];
            let handle = subject.running.handle();
            match step {
                Step::Append { sizes, docs } => {
                    let records: Vec<Vec<u8>> = sizes.into_iter().map(fill).collect();
                    let docs: BTreeMap<u128, Vec<u8>> = docs.into_iter().map(|(k, s)| (u128::from(k), fill(s))).collect();
                    let archive = docs.iter().map(|(key, doc)| ArchiveDoc { key: *key, doc: doc.clone() }).collect();
                    let expected = Seq(model.records.len() as u64);
                    model.records.extend(records.iter().cloned());
                    model.docs.extend(docs);
                    handle.submit(Batch { epoch: subject.epoch, expected, records, archive }).expect("is taken");
                    wait_confirmed(&subject.told, model.records.len() as u64);
                }
                Step::Key { name, size: Some(size) } => {
                    handle.put_key(&format!("k{name}"), &fill(size)).expect("puts");
                    model.keys.insert(format!("k{name}"), fill(size));
                }
                Step::Key { name, size: None } => {
                    handle.delete_key(&format!("k{name}")).expect("deletes");
                    model.keys.remove(&format!("k{name}"));
                }
                Step::Snapshot => {
                    let _busy = handle.snapshot_now();
                }
                Step::Retire(before) => {
                    while !handle.retire_archive(u128::from(before)) {
                        std::thread::yield_now();
                    }
                    let there = model.docs.len();
                    model.docs.retain(|key, _| *key >= u128::from(before));
                    assert_eq!(wait_retired(&subject.told), (there - model.docs.len()) as u64);
                }
                Step::Reopen => {
                    drop(handle);
                    subject.running.close();
                    subject = Subject::open(dir.path(), &model);
                }
            }
        }
        subject.running.close();
        let (store, records) = open(dir.path());
        model.check(&store, &records);
    }
}
