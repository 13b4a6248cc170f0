//! Small named secrets: the farm's CA, tokens, the signing key. Each write is on disk before it returns.

use super::disk::{Disk, Room, Writer};
use super::error::StoreError;
use super::parcel::{self, Parcels};

/// Largest secret, in bytes: what is replaced as a whole or not at all.
pub const KEY_VALUE_LIMIT: usize = parcel::SINGLE;
/// Longest name, in bytes.
pub const KEY_NAME_LIMIT: usize = 200;

/// How a compare-and-swap ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swap {
    /// The new value is in force, and durable.
    Done,
    /// Something else is there, and stays.
    Differs(Option<Vec<u8>>),
}

fn check(name: &str, value: Option<&[u8]>) -> Result<Vec<u8>, StoreError> {
    if name.is_empty() || name.len() > KEY_NAME_LIMIT {
        return Err(StoreError::TooLarge { what: "key's name", size: name.len(), limit: KEY_NAME_LIMIT });
    }
    match value {
        Some(value) if value.len() > KEY_VALUE_LIMIT => {
            Err(StoreError::TooLarge { what: "key", size: value.len(), limit: KEY_VALUE_LIMIT })
        }
        _ => Ok(parcel::key(name.as_bytes(), 0)),
    }
}

pub(super) fn get(disk: &Disk, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let key = check(name, None)?;
    let Some(piece) = disk.get(Room::Keys, &key)? else { return Ok(None) };
    open(disk, name, &key, &piece).map(Some)
}

fn open(disk: &Disk, name: &str, key: &[u8], piece: &[u8]) -> Result<Vec<u8>, StoreError> {
    let found = Parcels::new(std::iter::once(Ok::<_, StoreError>((key, piece)))).next().transpose()?;
    found.and_then(|found| found.content).ok_or_else(|| StoreError::Damaged {
        dir: disk.dir.clone(),
        part: "keys",
        detail: format!("the checksum of '{name}' does not match"),
    })
}

/// Names and values in order of their names.
pub(super) fn list(disk: &Disk) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut keys = Vec::new();
    for pair in disk.range(Room::Keys, &[], None) {
        let (key, piece) = pair?;
        let name = String::from_utf8_lossy(&key[..key.len().saturating_sub(4)]).into_owned();
        let value = open(disk, &name, &key, &piece)?;
        keys.push((name, value));
    }
    Ok(keys)
}

fn write(writer: &mut Writer<'_>, key: &[u8], name: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
    match value {
        Some(value) => {
            for (key, piece) in parcel::pieces(name.as_bytes(), value) {
                writer.insert(Room::Keys, &key, &piece)?;
            }
        }
        None => writer.remove(Room::Keys, key)?,
    }
    writer.sync()
}

/// Sets a secret, or removes it.
pub(super) fn set(disk: &Disk, name: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
    let key = check(name, value)?;
    write(&mut disk.writer()?, &key, name, value)
}

/// Sets a secret, or removes it, if it is what the caller takes it for.
pub(super) fn swap(
    disk: &Disk,
    name: &str,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Result<Swap, StoreError> {
    let key = check(name, new)?;
    let mut writer = disk.writer()?;
    let there = get(disk, name)?;
    if there.as_deref() != old {
        return Ok(Swap::Differs(there));
    }
    write(&mut writer, &key, name, new)?;
    Ok(Swap::Done)
}
