//! Sets for streaming: directories that appear whole, or take the place of an earlier set at once.

use std::fs;
use std::path::Path;

use rushes_shared::view::JobView;
use rustix::fs::{CWD, RenameFlags};

use super::{Piece, Place};
use crate::board::Board;
use crate::client::Client;
use crate::fault::Fault;
use crate::interrupt::Interrupt;
use crate::set;

/// What every set has; a directory without them is nobody's to replace.
const OF_EVERY_SET: &[&str] = &["report.json", "master.m3u8", "manifest.mpd"];

/// Refuses a directory with something in it, unless that is a set and may be replaced.
pub(super) fn check_free(target: &Path, force: bool) -> Result<(), Fault> {
    let Err(fault) = set::is_free(target) else { return Ok(()) };
    let is_set = OF_EVERY_SET.iter().all(|name| target.join(name).is_file());
    match (is_set, force) {
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

/// Puts a directory in the place of another, which goes.
fn replace(new: &Path, old: &Path) -> Result<(), Fault> {
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
