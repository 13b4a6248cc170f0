//! A store whose files were cut or cannot be used: it opens, or says what is wrong and what to do, and never panics.

use std::fs;
use std::path::Path;

use rushes_coordinator::store::{Store, StoreOptions};
use rushes_shared::id::Seq;

/// A store with a log of some segments, closed in good order.
fn made(dir: &Path) {
    let (mut store, _) = Store::open(dir, StoreOptions::default()).expect("made");
    let epoch = store.begin_epoch().expect("begun");
    let record =
        |n: u64| (0..3_000).map(|i| (n.wrapping_mul(31).wrapping_add(i) % 251) as u8).collect::<Vec<u8>>();
    for group in 0..80 {
        let tail = store.tail();
        let records = (0..20).map(|n| record(group * 20 + n)).collect();
        assert_eq!(store.append(epoch, tail, records, Vec::new()).expect("appended"), Seq(tail.0 + 20));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Opens and reads all of it; the error's text where that fails.
fn opened(dir: &Path) -> Result<u64, String> {
    let (_store, recovery) = Store::open(dir, StoreOptions::default()).map_err(|e| e.to_string())?;
    let mut records = 0;
    for record in recovery.records() {
        record.map_err(|e| e.to_string())?;
        records += 1;
    }
    Ok(records)
}

#[test]
fn a_log_that_was_cut_anywhere_opens_or_is_called_damaged() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let whole = dir.path().join("whole");
    made(&whole);
    assert_eq!(opened(&whole), Ok(1_600));
    let log = Path::new("db/db");
    let size = fs::metadata(whole.join(log)).expect("there").len();
    let segment = 2 << 20;
    let mut cuts: Vec<u64> = (0..24).map(|n| size * n / 24).collect();
    cuts.extend((0..size / segment + 1).flat_map(|n| [n * segment, n * segment + 1, n * segment + 40]));
    cuts.extend([size - 1, size - 4096]);
    for cut in cuts {
        let case = dir.path().join("case");
        copy(&whole, &case);
        let file = fs::OpenOptions::new().write(true).open(case.join(log)).expect("there");
        file.set_len(cut).expect("cut");
        match opened(&case) {
            Ok(records) => println!("cut to {cut} of {size}: {records} records"),
            Err(text) => {
                println!("cut to {cut} of {size}: {text}");
                assert!(
                    text.contains("damaged") && text.contains("restore a backup"),
                    "cut to {cut}: {text}"
                );
            }
        }
        fs::remove_dir_all(&case).expect("removed");
    }
}

#[test]
fn a_log_that_cannot_be_opened_is_not_called_damaged() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = dir.path().join("store");
    made(&store);
    fs::remove_file(store.join("db/db")).expect("removed");
    fs::create_dir(store.join("db/db")).expect("made");
    let text = opened(&store).expect_err("a directory is no log");
    assert!(text.contains("could not") && text.contains("store/db") && !text.contains("damaged"), "{text}");
}
