//! Ladders and packages: directories that appear whole.

use std::path::{Path, PathBuf};

use rushes_shared::at_hand::{Outcome, PACKAGE, Work};
use rushes_shared::encode::VmafLimits;
use rushes_shared::ladder::{Grid, LadderSettings, PackageReport, PackageSettings};
use rushes_shared::view::RenditionView;

use super::{Session, unexpected};
use crate::args::MediaCommand;
use crate::at_hand::{self, Workbench};
use crate::commands::print;
use crate::fault::{Ending, Fault};
use crate::set;
use crate::table::colours;

/// Does one of the operations that make a package.
pub(super) fn run(session: &Session<'_>, command: &MediaCommand) -> Result<Ending, Fault> {
    match command {
        MediaCommand::Ladder {
            file,
            out,
            crf,
            preset,
            max_height,
            segment,
            chunk,
            sound,
            no_decode,
            vmaf,
        } => {
            let settings = LadderSettings {
                grid: Grid::of(*segment, *chunk),
                crf: *crf,
                preset: *preset,
                max_height: *max_height,
                sound_bps: (*sound > 0).then_some(*sound),
                decode: !no_decode,
                vmaf: VmafLimits { scope: *vmaf, ..VmafLimits::default() },
            };
            make(session, file, Work::Ladder(settings), out)
        }
        MediaCommand::Package { rungs, audio, out, segment, max_rate, no_decode } => {
            if max_rate.len() > rungs.len() {
                return Err(Fault::Usage("there are more values of --max-rate than rungs".to_owned()));
            }
            let settings = PackageSettings {
                segment_ns: *segment,
                window_ns: *segment,
                max_bps: max_rate.iter().map(|bps| Some(*bps)).collect(),
                decode: !no_decode,
                ..PackageSettings::default()
            };
            let absolute = |files: &[PathBuf]| files.iter().map(|file| at_hand::absolute(file)).collect();
            let others: Result<Vec<PathBuf>, Fault> = absolute(&rungs[1..]);
            let sound: Result<Vec<PathBuf>, Fault> = absolute(audio);
            make(session, &rungs[0], Work::Package { rungs: others?, sound: sound?, settings }, out)
        }
        _ => unreachable!("these make no package"),
    }
}

fn make(session: &Session<'_>, file: &Path, work: Work, out: &Path) -> Result<Ending, Fault> {
    set::is_free(out)?;
    let bench = Workbench::beside(out)?;
    let Outcome::Package(report) = session.perform(file, work, &bench)? else { return Err(unexpected()) };
    // An empty directory is replaced in one step; nothing else is.
    let moved = std::fs::rename(bench.path().join(PACKAGE), out);
    moved.map_err(|error| Fault::local(format!("cannot make {}", out.display()), error))?;
    print(session.farm, &report, || shown(&report, out));
    Ok(Ending::Ok)
}

/// A package: its renditions, its checks, its manifests.
fn shown(report: &PackageReport, out: &Path) -> String {
    let made: Vec<RenditionView> =
        report.video.iter().chain(&report.audio).map(RenditionView::from).collect();
    let mut text = set::renditions(&made, colours());
    for check in &report.checks {
        text.push_str(&format!("{}\n", set::check(check, colours())));
    }
    for manifest in ["master.m3u8", "manifest.mpd"] {
        text.push_str(&format!("{}\n", out.join(manifest).display()));
    }
    text
}
