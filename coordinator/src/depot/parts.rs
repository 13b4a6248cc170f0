//! Parts of many files at once, for those who look at headers: opened, read and sent one file after another, without ever
//! holding more than two of them.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use bytes::Bytes as Chunk;
use rushes_shared::artifact::Location;
use rushes_shared::failure::Failure;
use rushes_shared::frame;
use rushes_shared::ticket::Grant;
use rushes_shared::units::Bytes;
use rushes_shared::wire::{BulkReply, PartsOf, are_bounded};
use tokio::sync::mpsc;

use super::refusal;
use super::shelf::Shelf;

/// Files that wait to be sent.
const QUEUE: usize = 2;

/// Looks the permission up, and reads what is wanted behind whoever sends it: for each file its reply, and the bytes that
/// follow it.
pub(super) fn read(
    shelf: &Arc<Shelf>,
    files: Vec<PartsOf>,
    ticket: &[u8],
) -> Result<mpsc::Receiver<Chunk>, Failure> {
    if !are_bounded(&files) {
        return Err(refusal::too_many_parts());
    }
    permit(shelf, &files, ticket)?;
    let (queue, chunks) = mpsc::channel(QUEUE);
    let shelf = Arc::clone(shelf);
    tokio::task::spawn_blocking(move || {
        for file in &files {
            let said =
                parts_of(&shelf, file).unwrap_or_else(|failure| (BulkReply::NoParts(failure), Vec::new()));
            let Ok(mut bytes) = frame::encode(&said.0) else { return };
            bytes.extend_from_slice(&said.1);
            if queue.blocking_send(bytes.into()).is_err() {
                // Nobody wants the rest.
                return;
            }
        }
    });
    Ok(chunks)
}

fn permit(shelf: &Shelf, files: &[PartsOf], ticket: &[u8]) -> Result<(), Failure> {
    // One look at the ticket is enough for all.
    if let Grant::ReadAny(places) = shelf.granted(ticket)? {
        return match files.iter().find(|file| !places.contains(&file.location)) {
            Some(other) => Err(refusal::other_ticket(&other.location)),
            None => Ok(()),
        };
    }
    files.iter().try_for_each(|file| shelf.permit(ticket, &Grant::Read(file.location.clone())))
}

fn parts_of(shelf: &Shelf, wanted: &PartsOf) -> Result<(BulkReply, Vec<u8>), Failure> {
    let location = &wanted.location;
    let unreadable = |e: io::Error| refusal::unreadable(location, &e);
    let (file, size) = shelf.open_read(location)?;
    let stamp = stamp(&file, location).map_err(unreadable)?;
    let parts: Vec<(u64, u64)> = wanted.parts.iter().map(|part| part.within(size)).collect();
    let mut bytes = Vec::new();
    for (offset, length) in &parts {
        let from = bytes.len();
        // Bounded by the request.
        let length = usize::try_from(*length).map_err(|_| refusal::too_many_parts())?;
        bytes.resize(from + length, 0);
        file.read_exact_at(&mut bytes[from..], *offset).map_err(unreadable)?;
    }
    if stamp != self::stamp(&file, location).map_err(unreadable)? {
        return Err(refusal::changed(location));
    }
    Ok((BulkReply::Parts { size: Bytes(size), stamp, parts }, bytes))
}

/// What is another number once the file has changed. The depot's own files never do, and using an upload sets its time.
fn stamp(file: &File, location: &Location) -> io::Result<u64> {
    let about = file.metadata()?;
    let mut hasher = blake3::Hasher::new();
    let mut add = |number: u64| {
        hasher.update(&number.to_le_bytes());
    };
    add(about.dev());
    add(about.ino());
    add(about.len());
    if matches!(location, Location::File(_)) {
        for time in [about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec()] {
            add(time.cast_unsigned());
        }
    }
    let hash = hasher.finalize();
    let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
    Ok(u64::from_le_bytes(first))
}
