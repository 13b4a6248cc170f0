//! How fast the store commits on this disk, and how large its file becomes: `store_bench [DIR] [growth RECORDS]`.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rushes_coordinator::store::{ArchiveDoc, Batch, Folded, Store, StoreEvent, StoreOptions};
use rushes_shared::id::{Epoch, Seq};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = args.first().map_or_else(|| std::env::temp_dir().join("store_bench"), PathBuf::from);
    if let [_, mode, records] = args.as_slice()
        && mode == "growth"
    {
        return growth(&dir, records.parse()?);
    }
    println!("an fdatasync of one block here: {} us", bare_sync(&dir)?.as_micros());
    println!("{:<34} {:>12} {:>14} {:>14}", "", "records/s", "us/commit", "CPU us/record");
    for (name, each, commits) in [("one record a commit", 1, 3000_u64), ("100 records a commit", 100, 1000)] {
        commit(&dir, name, each, commits)?;
    }
    pipelined(&dir)
}

/// What the disk itself takes for a sync, to compare with.
fn bare_sync(dir: &Path) -> Result<Duration, Failure> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join("bare");
    let mut file = std::fs::File::create(&path)?;
    file.write_all(&[0; 1 << 20])?;
    file.sync_all()?;
    let started = Instant::now();
    for _ in 0..500 {
        file.seek(SeekFrom::Start(4096))?;
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
    }
    let each = started.elapsed() / 500;
    std::fs::remove_file(path)?;
    Ok(each)
}

fn fresh(dir: &PathBuf) -> Result<(Store, Epoch), Failure> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    let (mut store, _) = Store::open(dir, StoreOptions::default())?;
    let epoch = store.begin_epoch()?;
    Ok((store, epoch))
}

fn records(count: usize) -> Vec<Vec<u8>> {
    vec![vec![0x5A; 200]; count]
}

/// CPU time of this process, all threads, user and system.
fn cpu() -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| -> Result<u64, Failure> { Ok(fields.get(at).ok_or("a short stat")?.parse()?) };
    // Fields 14 and 15 of the line, in hundredths of a second.
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

fn row(name: &str, records: u64, commits: u64, wall: Duration, cpu: Duration) {
    let per = |time: Duration, count: u64| time.as_micros() / u128::from(count.max(1));
    let rate = u128::from(records) * 1_000_000 / wall.as_micros().max(1);
    let cpu_tenths = cpu.as_micros() * 10 / u128::from(records.max(1));
    println!("{name:<34} {rate:>12} {:>14} {:>12}.{}", per(wall, commits), cpu_tenths / 10, cpu_tenths % 10);
}

/// The caller waits for each commit.
fn commit(dir: &PathBuf, name: &str, each: usize, commits: u64) -> Result<(), Failure> {
    let (mut store, epoch) = fresh(dir)?;
    let (started, before) = (Instant::now(), cpu()?);
    let mut tail = Seq(0);
    for _ in 0..commits {
        tail = store.append(epoch, tail, records(each), Vec::new())?;
    }
    row(name, tail.0, commits, started.elapsed(), cpu()? - before);
    Ok(())
}

/// The caller does not wait: commits take what is queued.
fn pipelined(dir: &PathBuf) -> Result<(), Failure> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    let options =
        StoreOptions { snapshot_records: u64::MAX, snapshot_bytes: u64::MAX, ..StoreOptions::default() };
    let (mut store, _) = Store::open(dir, options.clone())?;
    let epoch = store.begin_epoch()?;
    let (told, confirmed) = channel();
    let events = move |event| match event {
        StoreEvent::Confirmed(seq) => drop(told.send(seq)),
        StoreEvent::Fatal(error) | StoreEvent::SnapshotFailed(error) => eprintln!("{error}"),
        StoreEvent::Snapshot(_) | StoreEvent::Retired { .. } => {}
    };
    let running = store.start(Box::new(events), Box::new(|past| Ok(past.take(1).collect())))?;
    let handle = running.handle();
    let (started, before) = (Instant::now(), cpu()?);
    let (mut at, mut commits, total) = (0_u64, 0, 100_000_u64);
    while at < total {
        let batch = Batch { epoch, expected: Seq(at), records: records(1), archive: Vec::new() };
        if handle.submit(batch).is_ok() {
            at += 1;
        } else {
            confirmed.recv()?;
            commits += 1;
        }
        commits += confirmed.try_iter().count() as u64;
    }
    while handle.confirmed() < Seq(total) {
        confirmed.recv()?;
        commits += 1;
    }
    row("queued, one record a batch", total, commits, started.elapsed(), cpu()? - before);
    drop(handle);
    running.close();

    let started = Instant::now();
    let (_store, recovery) = Store::open(dir, options)?;
    let opened = started.elapsed();
    let read = recovery.records().filter(Result::is_ok).count();
    println!(
        "opened a journal of {total} records in {opened:.1?}, read {read} in {:.1?} in all",
        started.elapsed()
    );
    Ok(())
}

/// Journal, snapshots, deletion and archive with retention: the file must not grow for ever.
fn growth(dir: &PathBuf, total: u64) -> Result<(), Failure> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    let options = StoreOptions { snapshot_records: 5000, ..StoreOptions::default() };
    let (mut store, _) = Store::open(dir, options)?;
    let epoch = store.begin_epoch()?;
    let events = |event| {
        if let StoreEvent::Fatal(error) | StoreEvent::SnapshotFailed(error) = event {
            eprintln!("{error}");
        }
    };
    // Live state: the last thousand records.
    let fold = |past: &mut dyn Iterator<Item = Vec<u8>>| {
        let all: Vec<Vec<u8>> = past.collect();
        Ok(Folded::from(all[all.len().saturating_sub(1000)..].to_vec()))
    };
    let running = store.start(Box::new(events), Box::new(fold))?;
    let (handle, started) = (running.handle(), Instant::now());
    let mut at = 0;
    while at < total {
        let archive = vec![ArchiveDoc { key: u128::from(at), doc: vec![1; 600] }];
        let batch = Batch { epoch, expected: Seq(at), records: records(10), archive };
        // Removals must keep up, or this would measure the backlog instead of what removed records leave behind.
        let stats = handle.reader().stats()?;
        let uncovered = at.saturating_sub(stats.snapshot_covers.0) > 40_000;
        let unretired = stats.archived > 4000;
        if uncovered || unretired || handle.submit(batch).is_err() {
            let _busy = uncovered && handle.snapshot_now();
            let _busy = unretired && handle.retire_archive(u128::from(at.saturating_sub(10_000)));
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        at += 10;
        if at % 10_000 == 0 {
            // Keeps a thousand documents.
            let _busy = handle.retire_archive(u128::from(at.saturating_sub(10_000)));
        }
        if at % (total / 10).max(10) == 0 {
            let stats = handle.reader().stats()?;
            println!(
                "{:>9} records  {:>7} KiB on disk  {:>6} archived  covered to {:>9}  {:.1?}",
                at,
                stats.disk_bytes / 1024,
                stats.archived,
                stats.snapshot_covers.0,
                started.elapsed()
            );
        }
    }
    running.close();
    Ok(())
}
