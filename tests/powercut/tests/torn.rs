//! The journal's last bytes torn off or flipped: a start says what is gone and whether it had been confirmed, and
//! everything before is there.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rushes_coordinator::store::{Missing, Report, Store};
use rushes_powercut::load::{options, record};
use rushes_shared::id::Seq;

const RECORDS: u64 = 60;

/// A store with one record in each group, closed in good order; and where its log ended after each record.
fn filled(dir: &Path) -> Vec<u64> {
    let (mut store, _) = Store::open(dir, options()).expect("opens");
    let epoch = store.begin_epoch().expect("begins");
    (1..=RECORDS)
        .map(|seq| {
            store.append(epoch, Seq(seq - 1), vec![record(seq)], Vec::new()).expect("appends");
            std::fs::metadata(dir.join("db/db")).expect("is there").len()
        })
        .collect()
}

/// Opens, checks that every record up to the tail is what was written, and gives the report.
fn reopened(dir: &Path) -> Report {
    let (store, recovery) =
        Store::open(dir, options()).expect("a torn end does not keep a store from opening");
    let records: Vec<Vec<u8>> = recovery.records().map(|r| r.expect("reads").bytes).collect();
    let expected: Vec<Vec<u8>> = (1..=recovery.report.tail.0).map(record).collect();
    assert!(records == expected, "what is left is not what was written");
    assert_eq!(store.tail(), recovery.report.tail);
    recovery.report
}

fn check_loss(dir: &Path, at_least: u64) {
    let report = reopened(dir);
    let tail = report.tail.0;
    assert!(tail >= at_least && tail < RECORDS, "the end at {tail} should be in {at_least}..{RECORDS}");
    let Missing::Confirmed { from, to, groups, bytes } = report.missing else {
        panic!("confirmed records are gone, and the report says: {report}");
    };
    assert_eq!((from, to, groups), (Seq(tail + 1), Seq(RECORDS), RECORDS - tail));
    assert!(bytes > 0);
    let text = report.to_string();
    assert!(text.contains(&format!("CONFIRMED RECORDS {} TO {RECORDS} ARE MISSING", tail + 1)), "{text}");
    // It is said once at a start, and kept in a file.
    let kept = std::fs::read_to_string(dir.join("losses.log")).expect("is kept");
    assert_eq!(kept.trim(), text);
    // The store goes on from its new end, and the next start has nothing to say.
    let (mut store, _) = Store::open(dir, options()).expect("opens");
    let epoch = store.begin_epoch().expect("begins");
    store.append(epoch, Seq(tail), vec![record(tail + 1)], Vec::new()).expect("appends");
    drop(store);
    let report = reopened(dir);
    assert_eq!((report.tail, report.missing), (Seq(tail + 1), Missing::Nothing));
    assert!(report.is_clean());
}

#[test]
fn a_torn_end_is_reported_and_the_rest_is_there() {
    for torn in [1, 30, 700, 3000] {
        let dir = tempfile::tempdir().expect("a directory");
        let ends = filled(dir.path());
        let log = OpenOptions::new().write(true).open(dir.path().join("db/db")).expect("opens");
        let length = ends.last().expect("some") - torn;
        log.set_len(length).expect("truncates");
        // What lay wholly before the cut is there. A record may share the cut with pages that lie behind it.
        let before = ends.iter().filter(|end| **end <= length).count() as u64;
        check_loss(dir.path(), before);
    }
}

#[test]
fn flipped_last_bytes_are_reported_and_the_rest_is_there() {
    for back in [1, 5, 60] {
        let dir = tempfile::tempdir().expect("a directory");
        let ends = filled(dir.path());
        let log = OpenOptions::new().read(true).write(true).open(dir.path().join("db/db")).expect("opens");
        let at = ends.last().expect("some") - back;
        let mut byte = [0];
        log.read_exact_at(&mut byte, at).expect("reads");
        log.write_all_at(&[byte[0] ^ 0x10], at).expect("writes");
        let before = ends.iter().filter(|end| **end <= at).count() as u64;
        check_loss(dir.path(), before);
    }
}

#[test]
fn without_the_witness_a_start_says_that_it_cannot_tell() {
    let dir = tempfile::tempdir().expect("a directory");
    filled(dir.path());
    std::fs::remove_file(dir.path().join("confirmed")).expect("removes");
    let report = reopened(dir.path());
    assert_eq!((report.tail, report.missing), (Seq(RECORDS), Missing::Unknown));
    assert_eq!(reopened(dir.path()).missing, Missing::Nothing);
}

#[test]
fn a_half_written_list_of_pages_does_not_keep_the_store_from_opening() {
    let dir = tempfile::tempdir().expect("a directory");
    filled(dir.path());
    reopened(dir.path());
    let snap = std::fs::read_dir(dir.path().join("db"))
        .expect("lists")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap.")));
    let snap = snap.expect("sled writes one when it opens");
    let bytes = std::fs::read(&snap).expect("reads");
    std::fs::write(dir.path().join("db/snap.FFFFFFFFFFFFFFFF.generating"), &bytes[..bytes.len() / 2])
        .expect("writes");
    std::fs::write(&snap, &bytes[..bytes.len() / 2]).expect("writes");
    let report = reopened(dir.path());
    assert_eq!((report.tail, report.missing), (Seq(RECORDS), Missing::Nothing));
}

#[test]
fn a_middle_that_is_damaged_is_an_error_and_never_a_panic() {
    let mut refused = 0;
    for at in (0..40).map(|n| 2000 + n * 700) {
        let dir = tempfile::tempdir().expect("a directory");
        filled(dir.path());
        let log = OpenOptions::new().write(true).open(dir.path().join("db/db")).expect("opens");
        log.write_all_at(&[0xA5; 64], at).expect("writes");
        match Store::open(dir.path(), options()) {
            Ok((_, recovery)) => {
                let tail = recovery.report.tail.0;
                for (replayed, seq) in recovery.records().zip(1..) {
                    assert_eq!(replayed.expect("was read before").bytes, record(seq));
                }
                let lost = matches!(recovery.report.missing, Missing::Confirmed { to: Seq(RECORDS), .. });
                assert!(tail == RECORDS || lost, "{}", recovery.report);
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("damaged"), "{error}");
            }
        }
    }
    println!("{refused} of 40 were refused");
}
