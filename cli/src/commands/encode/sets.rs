//! Sets for streaming: directories that appear whole, or take the place of an earlier set at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rushes_shared::task::{REPORT, SetReport};
use rushes_shared::view::JobView;
use rustix::fs::{CWD, RenameFlags};

use super::{Piece, Place};
use crate::board::Board;
use crate::client::Client;
use crate::fault::Fault;
use crate::interrupt::Interrupt;
use crate::set;

/// Refuses what is no directory, and a directory with something in it, unless that is a set and may be replaced.
pub(super) fn check_free(target: &Path, force: bool) -> Result<(), Fault> {
    let Err(fault) = set::is_free(target) else { return Ok(()) };
    match (is_nothing_but_a_set(target), force) {
        (true, true) => Ok(()),
        (true, false) => Err(Fault::Usage(format!(
            "{} holds a set already; use --force to replace it, or name another directory",
            target.display()
        ))),
        (false, _) => Err(fault),
    }
}

/// Brings a finished set to its place.
pub(super) fn arrive(
    client: &Client,
    (piece, job): (&Piece, &JobView),
    board: &Board,
    interrupt: &Interrupt,
    place: &Place<'_>,
) -> Result<(), Fault> {
    for result in &piece.results {
        let made = result.temp.as_ref().map_or(result.target.as_path(), |temp| &temp.0);
        if matches!(place, Place::Remote) {
            set::fetch(client, job, made, board, interrupt)?;
        }
        if result.temp.is_some() {
            replace(made, &result.target)?;
        }
    }
    Ok(())
}

/// Whether a directory holds a set and not a single file beside it: all else would be lost.
fn is_nothing_but_a_set(dir: &Path) -> bool {
    let report = fs::read(dir.join(REPORT)).ok();
    let Some(report) = report.and_then(|bytes| serde_json::from_slice::<SetReport>(&bytes).ok()) else {
        return false;
    };
    let known: BTreeSet<&str> = report.files.iter().map(|file| file.path.as_str()).collect();
    holds_only(dir, "", &known).unwrap_or(false)
}

fn holds_only(dir: &Path, prefix: &str, known: &BTreeSet<&str>) -> std::io::Result<bool> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        let is_known = if kind.is_dir() {
            holds_only(&entry.path(), &format!("{path}/"), known)?
        } else {
            kind.is_file() && (known.contains(path.as_str()) || path == REPORT)
        };
        if !is_known {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Puts a directory in the place of another, which goes. What came to be there meanwhile is kept, and the new one too.
fn replace(new: &Path, old: &Path) -> Result<(), Fault> {
    check_free(old, true)?;
    let fails = |e| Fault::local(format!("cannot make {}", old.display()), e);
    match rustix::fs::renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
        // What was there has the temporary name now, and goes with it.
        Ok(()) => Ok(()),
        // File systems without that flag.
        Err(rustix::io::Errno::INVAL) => {
            fs::remove_dir_all(old).map_err(fails)?;
            fs::rename(new, old).map_err(fails)
        }
        Err(e) => Err(fails(e.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_with_nothing_but_a_set_is_replaced() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let out = dir.path().join("out");
        assert!(check_free(&out, false).is_ok(), "nothing is there");
        fs::create_dir_all(out.join("720p")).expect("directories");
        let write = |name: &str, text: &str| fs::write(out.join(name), text).expect("a file");
        write("master.m3u8", "#EXTM3U");
        write("720p/1.m4s", "media");
        let report = serde_json::json!({
            "package": { "duration_ns": 0, "video": [], "audio": [], "files": [], "checks": [] },
            "took": { "chunks": 0 },
            "files": [],
        });
        write(REPORT, &report.to_string());
        assert!(check_free(&out, true).is_err(), "its report names no such files");
        let known = BTreeSet::from(["master.m3u8", "720p/1.m4s"]);
        assert!(holds_only(&out, "", &known).expect("it is read"));
        write("film.mov", "the only copy");
        assert!(!holds_only(&out, "", &known).expect("it is read"));
        assert!(check_free(&out.join("film.mov"), true).is_err(), "a file is no set");
    }
}
