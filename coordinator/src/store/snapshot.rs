//! Snapshots: everything up to a record, folded into few records, in generations of which the newest whole one counts.
//!
//! A generation is written in blocks, synced, and becomes current by one small manifest; then older generations and
//! the journal that it covers are removed in bounded batches. A power cut at any point leaves either the old
//! generation with its journal, or the new one with too much behind it, which the next start removes.

use rushes_shared::id::Seq;

use super::disk::{Disk, Room, Writer};
use super::error::StoreError;
use super::group::{Mark, Reader, decode_block, encode_block};
use super::journal;
use super::parcel::{self, Parcels};

const MANIFEST: &[u8] = b"snapshot/";
const BLOCK: usize = 24 * 1024;
/// Keys removed under one hold of the writer, for which a commit may have to wait. A leaf may be
/// written anew for each, so that with three times as many a commit waits for milliseconds.
pub(super) const BATCH: usize = 32;

/// A generation that is whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Counts snapshots; 0 is the empty one before the first.
    pub(super) generation: u64,
    /// What it covers.
    pub(super) covers: Mark,
    blocks: u64,
    /// Records in it.
    pub(super) records: u64,
    hash: [u8; 32],
}

impl Manifest {
    const VERSION: u8 = 1;

    fn to_bytes(self) -> Vec<u8> {
        let mut out = vec![Self::VERSION];
        out.extend_from_slice(&self.covers.to_bytes());
        out.extend_from_slice(&self.blocks.to_le_bytes());
        out.extend_from_slice(&self.records.to_le_bytes());
        out.extend_from_slice(&self.hash);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn from_bytes(generation: u64, bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if crc != crc32fast::hash(body).to_le_bytes() {
            return None;
        }
        let mut reader = Reader(body);
        if reader.u8()? != Self::VERSION {
            return None;
        }
        Some(Self {
            generation,
            covers: Mark::from_bytes(reader.take(Mark::SIZE)?)?,
            blocks: reader.u64()?,
            records: reader.u64()?,
            hash: reader.take(32)?.try_into().ok()?,
        })
    }
}

fn manifest_key(generation: u64) -> Vec<u8> {
    [MANIFEST, &generation.to_be_bytes()].concat()
}

fn block_prefix(generation: u64, block: u64) -> [u8; 16] {
    let mut prefix = [0; 16];
    prefix[..8].copy_from_slice(&generation.to_be_bytes());
    prefix[8..].copy_from_slice(&block.to_be_bytes());
    prefix
}

/// The newest generation, and whether there are traces of others.
pub(super) fn current(disk: &Disk) -> Result<Manifest, StoreError> {
    let mut newest = None;
    for pair in disk.range(Room::Meta, MANIFEST, Some(b"snapshot0")) {
        let (key, value) = pair?;
        let generation = key.get(MANIFEST.len()..).and_then(|g| g.try_into().ok()).map(u64::from_be_bytes);
        let manifest = generation.and_then(|generation| Manifest::from_bytes(generation, &value));
        newest = Some(manifest.ok_or_else(|| damaged(disk, "its manifest is unreadable"))?);
    }
    Ok(newest.unwrap_or_default())
}

fn damaged(disk: &Disk, detail: &str) -> StoreError {
    StoreError::Damaged { dir: disk.dir.clone(), part: "snapshot", detail: detail.to_owned() }
}

/// The records of a generation, block by block. Checks each block, and at the end that all were there.
pub(super) fn read(
    disk: &Disk,
    manifest: Manifest,
) -> impl Iterator<Item = Result<Vec<Vec<u8>>, StoreError>> + Send + use<> {
    let from = block_prefix(manifest.generation, 0);
    let to = block_prefix(manifest.generation + 1, 0);
    let mut parcels = Parcels::new(disk.range(Room::Snapshot, &from, Some(&to)));
    let dir = disk.dir.clone();
    let damaged = move |detail: &str| StoreError::Damaged {
        dir: dir.clone(),
        part: "snapshot",
        detail: detail.to_owned(),
    };
    let mut hasher = blake3::Hasher::new();
    let mut next = 0;
    let mut ended = manifest.generation == 0;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        if next == manifest.blocks {
            ended = true;
            let whole = hasher.finalize() == manifest.hash;
            return (!whole).then(|| Err(damaged("its hash does not match")));
        }
        let found = match parcels.next() {
            Some(Ok(found)) => found,
            Some(Err(error)) => {
                ended = true;
                return Some(Err(error));
            }
            None => {
                ended = true;
                return Some(Err(damaged("blocks are missing")));
            }
        };
        let in_order = found.prefix == block_prefix(manifest.generation, next);
        let Some(content) = found.content.filter(|_| in_order) else {
            ended = true;
            return Some(Err(damaged("a block is missing or torn")));
        };
        hasher.update(&content);
        next += 1;
        Some(decode_block(&content).ok_or_else(|| damaged("a block is unreadable")))
    })
}

/// Writes a generation block by block.
pub(super) struct Maker<'a> {
    disk: &'a Disk,
    manifest: Manifest,
    hasher: blake3::Hasher,
    pending: Vec<Vec<u8>>,
    pending_bytes: usize,
}

impl<'a> Maker<'a> {
    /// Begins the generation behind `old`, to cover everything up to `covers`.
    pub(super) fn begin(disk: &'a Disk, old: Manifest, covers: Mark) -> Result<Self, StoreError> {
        let generation = old.generation + 1;
        // A start that was cut off may have left blocks under this number.
        while remove_blocks(disk, generation, u64::MAX, &|| false)? {}
        let manifest = Manifest { generation, covers, ..Manifest::default() };
        Ok(Self { disk, manifest, hasher: blake3::Hasher::new(), pending: Vec::new(), pending_bytes: 0 })
    }

    pub(super) fn push(&mut self, record: Vec<u8>) -> Result<(), StoreError> {
        if record.len() + 16 > parcel::LIMIT {
            return Err(StoreError::TooLarge {
                what: "record",
                size: record.len(),
                limit: parcel::LIMIT - 16,
            });
        }
        if self.pending_bytes + record.len() > BLOCK {
            self.block()?;
        }
        self.pending_bytes += record.len() + 4;
        self.pending.push(record);
        Ok(())
    }

    fn block(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let content = encode_block(&records);
        self.hasher.update(&content);
        let prefix = block_prefix(self.manifest.generation, self.manifest.blocks);
        // Taken anew for each block, so that commits get their turn.
        let mut writer = self.disk.writer()?;
        for (key, piece) in parcel::pieces(&prefix, &content) {
            writer.insert(Room::Snapshot, &key, &piece)?;
        }
        self.manifest.blocks += 1;
        self.manifest.records += records.len() as u64;
        Ok(())
    }

    /// Makes the generation the current one, durably.
    pub(super) fn finish(mut self) -> Result<Manifest, StoreError> {
        self.block()?;
        self.manifest.hash = *self.hasher.finalize().as_bytes();
        let mut writer = self.disk.writer()?;
        writer.sync()?;
        publish(&mut writer, self.manifest)?;
        writer.sync()?;
        Ok(self.manifest)
    }
}

fn publish(writer: &mut Writer<'_>, manifest: Manifest) -> Result<(), StoreError> {
    writer.insert(Room::Meta, &manifest_key(manifest.generation), &manifest.to_bytes())
}

/// Removes what `current` has made superfluous: journal, older generations, unfinished newer ones. Stops between two
/// batches when `pause` says so; the rest is removed another time.
pub(super) fn trim(disk: &Disk, current: Manifest, pause: &dyn Fn() -> bool) -> Result<(), StoreError> {
    let mut more = true;
    while more && !pause() {
        more = journal::remove(disk, Seq(0), Some(current.covers.seq.next()), BATCH)?.more;
    }
    while !pause() && remove_blocks(disk, 0, current.generation, pause)? {}
    while !pause() && remove_blocks(disk, current.generation + 1, u64::MAX, pause)? {}
    let mut old = Vec::new();
    for pair in disk.range(Room::Meta, MANIFEST, Some(&manifest_key(current.generation))) {
        old.push(pair?.0);
    }
    if !old.is_empty() && !pause() {
        let mut writer = disk.writer()?;
        for key in old {
            writer.remove(Room::Meta, &key)?;
        }
        writer.sync()?;
    }
    Ok(())
}

/// Removes a batch of blocks of the generations `from..to`, durably. True while there may be more.
fn remove_blocks(disk: &Disk, from: u64, to: u64, pause: &dyn Fn() -> bool) -> Result<bool, StoreError> {
    if pause() {
        return Ok(false);
    }
    let upper = block_prefix(to, 0);
    let mut keys = Vec::new();
    for pair in disk.range(Room::Snapshot, &block_prefix(from, 0), Some(&upper)).take(BATCH) {
        keys.push(pair?.0);
    }
    if keys.is_empty() {
        return Ok(false);
    }
    let mut writer = disk.writer()?;
    for key in &keys {
        writer.remove(Room::Snapshot, key)?;
    }
    writer.sync()?;
    Ok(keys.len() == BATCH)
}
