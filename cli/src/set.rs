//! Streaming sets: what they hold, and how they come here.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rushes_shared::check::{Check, CheckResult};
use rushes_shared::task::{REPORT, SetReport};
use rushes_shared::view::{JobView, OutputState, RenditionView, SetView};

use crate::at_hand::Workbench;
use crate::board::Board;
use crate::client::{Client, escaped};
use crate::fault::Fault;
use crate::interrupt::Interrupt;
use crate::table::{Cell, Tone, table, toned};
use crate::transfer;
use crate::words;

/// Where a set is to go, as a place that it can take in one step: looked at before anything is made.
pub(crate) fn place(target: &Path) -> Result<PathBuf, Fault> {
    is_free(target)?;
    let refused = |what: &str| Err(Fault::Usage(format!("{} {what}", target.display())));
    let Ok(real) = target.canonicalize() else {
        return if target.is_symlink() {
            refused("is a link that leads nowhere; name a directory")
        } else {
            Ok(target.to_owned())
        };
    };
    let device = |place: &Path| fs::metadata(place).ok().map(|facts| facts.dev());
    if real.parent().is_none_or(|parent| device(parent) != device(&real)) {
        return refused("is a mount point, which no set can take the place of; name a directory in it");
    }
    Ok(real)
}

/// Refuses a directory with something in it.
pub(crate) fn is_free(target: &Path) -> Result<(), Fault> {
    let taken = fs::read_dir(target).map(|mut inside| inside.next().is_some()).unwrap_or(target.exists());
    if taken {
        return Err(Fault::Usage(format!(
            "{} is there already and not empty; name another directory",
            target.display()
        )));
    }
    Ok(())
}

/// Fetches all files of a finished set that the depot keeps into a directory, which appears whole and checked, or not at
/// all.
pub(crate) fn fetch(
    client: &Client,
    job: &JobView,
    target: &Path,
    board: &Board,
    interrupt: &Interrupt,
) -> Result<(), Fault> {
    let target = &place(target)?;
    let Some(set) = job.set.as_ref().filter(|set| set.state == OutputState::Published) else {
        return Err(Fault::Local(format!("{} has no finished set ({})", job.id, job.state.as_str())));
    };
    let report = job.outputs.iter().find(|output| output.name == REPORT && output.download.is_some());
    let Some(report) = report else {
        return Err(Fault::Local(format!("the farm does not hand out the set: it is at {}", set.url)));
    };
    if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)
            .map_err(|e| Fault::local(format!("cannot make {}", parent.display()), e))?;
    }
    let bench = Workbench::beside(target)?;
    let step = board.transfer("fetching", &job.name, set.size_bytes);
    let mut done = 0;
    let mut get = |path: &str, hash: Option<&str>| -> Result<(), Fault> {
        interrupt.check()?;
        let place = bench.path().join(path);
        let fails = |e| Fault::local(format!("cannot write {}", place.display()), e);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(fails)?;
        }
        let mut file = File::options().write(true).create_new(true).open(&place).map_err(fails)?;
        let download = format!("/v1/jobs/{}/outputs/{}", job.id, escaped(path));
        done = transfer::receive(client, (&download, path, hash), &mut file, (&step, done), interrupt)?;
        file.sync_all().map_err(fails)
    };
    get(REPORT, report.hash.as_deref())?;
    let bytes = fs::read(bench.path().join(REPORT)).map_err(|e| Fault::local("cannot read the report", e))?;
    let report: SetReport = serde_json::from_slice(&bytes)
        .map_err(|e| Fault::local("the set's report is not one of this version", e))?;
    for file in &report.files {
        get(file.path.as_str(), Some(&file.hash.to_string()))?;
    }
    drop(step);
    // An empty directory is replaced in one step; nothing else is.
    fs::rename(bench.path(), target).map_err(|e| Fault::local(format!("cannot make {}", target.display()), e))
}

/// A set's renditions, what was checked, and where its manifests are: in `place`.
pub(crate) fn shown(set: &SetView, place: &str, colours: bool) -> String {
    let mut text = renditions(&set.renditions, colours);
    for check in &set.checks {
        text.push_str(&format!("{}\n", self::check(check, colours)));
    }
    let length = words::duration(set.duration_ms);
    text.push_str(&format!("{} files, {}, {length}\n", set.files, words::size(set.size_bytes)));
    for manifest in set.manifests.iter().filter(|manifest| !manifest.contains('/')) {
        text.push_str(&format!("{}/{manifest}\n", place.trim_end_matches('/')));
    }
    text
}

/// A check in a line.
pub(crate) fn check(check: &Check, colours: bool) -> String {
    let (word, tone) = match check.result {
        CheckResult::Passed => ("passed", Tone::Good),
        CheckResult::Failed => ("failed", Tone::Bad),
        CheckResult::NotJudged => ("told", Tone::Faint),
    };
    format!("{}: {}", toned(word, tone, colours), words::harmless(&check.to_string()))
}

/// Renditions as a table.
pub(crate) fn renditions(made: &[RenditionView], colours: bool) -> String {
    let row = |made: &RenditionView| {
        let size = if made.width == 0 { String::new() } else { format!("{}x{}", made.width, made.height) };
        let cells = [
            made.name.clone(),
            made.codecs.clone(),
            size,
            words::bitrate(made.average_bps),
            words::bitrate(made.peak_bps),
            made.segments.to_string(),
        ];
        cells.into_iter().map(Into::into).collect::<Vec<Cell>>()
    };
    let rows: Vec<Vec<Cell>> = made.iter().map(row).collect();
    table(&["RENDITION", "CODEC", "SIZE", "MEAN", "PEAK", "SEGMENTS"], &rows, colours)
}
