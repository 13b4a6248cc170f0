//! Bundles on this node's disk: a directory into one file, and single files out of it.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use rushes_shared::artifact::{ContentHash, FilePath};
use rushes_shared::bundle::{BadBundle, Entries, Entry, MAGIC};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::task::SetFile;

const PIECE: usize = 256 << 10;

/// The files below a directory with their sizes, in a bundle's order.
///
/// # Errors
/// A failure of the node's where they cannot be read.
pub fn list(dir: &Path) -> Result<Vec<Entry>, Failure> {
    let mut files = Vec::new();
    walk(dir, "", &mut files).map_err(|error| unwritable(&error))?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(dir: &Path, prefix: &str, files: &mut Vec<Entry>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{path}/"), files)?;
        } else {
            let path = path.parse::<FilePath>().map_err(io::Error::other)?;
            files.push(Entry { path, size: entry.metadata()?.len() });
        }
    }
    Ok(())
}

/// Hashes the files below a directory; `passed` is told of bytes.
///
/// # Errors
/// As [`list`].
pub fn hash(dir: &Path, passed: &mut dyn FnMut(u64)) -> Result<Vec<SetFile>, Failure> {
    let mut files = Vec::new();
    for Entry { path, size } in list(dir)? {
        let mut hasher = blake3::Hasher::new();
        let file = File::open(dir.join(path.as_str())).map_err(|error| unwritable(&error))?;
        let copied = copy(&mut file.take(size), &mut |piece| {
            hasher.update(piece);
            passed(piece.len() as u64);
            Ok(())
        });
        copied.map_err(|error| unwritable(&error))?;
        files.push(SetFile { path, size_bytes: size, hash: ContentHash(*hasher.finalize().as_bytes()) });
    }
    Ok(files)
}

/// Makes a bundle of all files below a directory; `passed` is told of bytes.
///
/// # Errors
/// As [`list`].
pub fn make(dir: &Path, output: &Path, passed: &mut dyn FnMut(u64)) -> Result<(), Failure> {
    let files = list(dir)?;
    let mut write = || -> io::Result<()> {
        let mut into = BufWriter::with_capacity(PIECE, File::create(output)?);
        into.write_all(&MAGIC)?;
        for entry in &files {
            into.write_all(&entry.to_bytes())?;
            let file = File::open(dir.join(entry.path.as_str()))?;
            let copied = copy(&mut file.take(entry.size), &mut |piece| {
                passed(piece.len() as u64);
                into.write_all(piece)
            })?;
            if copied != entry.size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        into.flush()
    };
    write().map_err(|error| unwritable(&error))
}

/// Takes the files out of a bundle for which `to` names a place.
///
/// # Errors
/// [`FailureCode::InputDamaged`] for bytes that are no bundle, or one that lacks a file; `count` of them are wanted.
pub fn take(
    bundle: &Path,
    count: usize,
    to: &mut dyn FnMut(&FilePath) -> Option<std::path::PathBuf>,
) -> Result<(), Failure> {
    let mut taken = 0;
    let mut read = || -> Result<(), BadBundle> {
        let mut from = BufReader::with_capacity(PIECE, File::open(bundle)?);
        let mut entries = Entries::begin(&mut from)?;
        while let Some(Entry { path, size }) = entries.next(&mut from)? {
            let Some(place) = to(&path) else {
                from.seek_relative(i64::try_from(size).map_err(|_| BadBundle::Torn)?)?;
                continue;
            };
            let mut file = File::create(place)?;
            if copy(&mut (&mut from).take(size), &mut |piece| file.write_all(piece))? != size {
                return Err(BadBundle::Torn);
            }
            taken += 1;
            if taken == count {
                return Ok(());
            }
        }
        Err(BadBundle::Torn)
    };
    read().map_err(|bad| match bad {
        BadBundle::Io(error) => unwritable(&error),
        bad => damaged(bundle, &bad),
    })
}

/// Piece by piece, by read and write alone: a task process's walls let little more through.
fn copy(from: &mut dyn Read, to: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut buffer = vec![0; PIECE];
    let mut copied = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(read) => {
                to(&buffer[..read])?;
                copied += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn damaged(bundle: &Path, bad: &BadBundle) -> Failure {
    let name = bundle.file_name().unwrap_or_default().to_string_lossy();
    Failure::new(
        FailureCode::InputDamaged,
        format!("what another task has left as {name} cannot be used: {bad}"),
        "submit the job again; if it recurs, please report it",
    )
}

fn unwritable(error: &io::Error) -> Failure {
    let message = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "no space left on the node",
        io::ErrorKind::FileTooLarge => "the set of files is larger than a task may write",
        _ => "the files of the set cannot be read or written on the node",
    };
    Failure::new(FailureCode::NodeUnfit, message, "look at the worker's disk; the task is tried elsewhere")
        .with_detail(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_goes_into_a_bundle_and_its_files_come_out_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let set = dir.path().join("set");
        fs::create_dir_all(set.join("720p")).expect("made");
        for (path, content) in [("720p/1.m4s", "one"), ("master.m3u8", ""), ("720p/init.mp4", "start")] {
            fs::write(set.join(path), content).expect("written");
        }
        let bundle = dir.path().join("bundle");
        let mut bytes = 0;
        make(&set, &bundle, &mut |more| bytes += more).expect("bundled");
        let names: Vec<String> =
            hash(&set, &mut |_| {}).expect("hashed").iter().map(|f| f.path.to_string()).collect();
        assert_eq!(
            (bytes, names),
            (8, ["720p/1.m4s", "720p/init.mp4", "master.m3u8"].map(Into::into).to_vec())
        );
        let out = dir.path().join("out");
        take(&bundle, 1, &mut |path| (path.as_str() == "720p/init.mp4").then(|| out.clone())).expect("there");
        assert_eq!(fs::read_to_string(&out).expect("taken"), "start");
        let missing = take(&bundle, 1, &mut |_| None).expect_err("not there");
        assert_eq!(missing.code, FailureCode::InputDamaged);
        fs::write(&bundle, "no bundle").expect("written");
        assert_eq!(take(&bundle, 1, &mut |_| None).expect_err("none").code, FailureCode::InputDamaged);
    }
}
