//! Ladders and packages: directories that appear whole.

use std::path::{Path, PathBuf};

use rushes_shared::at_hand::{Outcome, PACKAGE, Work};
use rushes_shared::encode::VmafLimits;
use rushes_shared::ladder::{
    CodecLadder, Grid, LadderRate, LadderSettings, PackageReport, PackageSettings, SetLimits,
};
use rushes_shared::request::RateMode;
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
        MediaCommand::Ladder { file, out, .. } => make(session, file, Work::Ladder(ladder(command)?), out),
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
        MediaCommand::Manifests { set, decode } => renew(session, set, *decode),
        _ => unreachable!("these make no package"),
    }
}

/// The ladder that the options ask for.
fn ladder(command: &MediaCommand) -> Result<LadderSettings, Fault> {
    let MediaCommand::Ladder {
        codec,
        crf,
        preset,
        max_height,
        segment,
        chunk,
        chunks,
        sound,
        no_decode,
        vmaf,
        ..
    } = command
    else {
        unreachable!("this makes no ladder")
    };
    let (first, others) = codec.split_first().ok_or_else(|| Fault::Usage("name a codec".to_owned()))?;
    if (1..codec.len()).any(|at| codec[..at].contains(&codec[at])) {
        return Err(Fault::Usage("--codec names a codec twice".to_owned()));
    }
    let crf = crf.unwrap_or(first.usual_crf());
    if let Some(worst) = first.worst_crf().filter(|worst| crf > *worst) {
        return Err(Fault::Usage(format!("--crf of {} is 0 to {worst}, not {crf}", first.word())));
    }
    let mut rates = sound.iter().copied().filter(|bps| *bps > 0);
    let sound_bps = rates.next();
    let more_sounds: Vec<u32> = rates.collect();
    if sound.len() > 1 && sound.windows(2).any(|pair| pair[0] <= pair[1]) {
        return Err(Fault::Usage("the rates of --sound go from the best to the lowest".to_owned()));
    }
    let more = others.iter().map(|codec| CodecLadder {
        codec: *codec,
        crf: codec.usual_crf(),
        preset: *preset,
        max_height: None,
    });
    let rate = rate(command)?;
    Ok(LadderSettings {
        grid: Grid::of(*segment, *chunk),
        crf,
        preset: *preset,
        max_height: *max_height,
        sound_bps,
        decode: !no_decode,
        codec: *first,
        more: more.collect(),
        more_sounds,
        vmaf: VmafLimits { scope: *vmaf, ..VmafLimits::default() },
        borders: *chunks,
        limits: SetLimits::default(),
        rate,
    })
}

/// What decides the bits of its rungs.
fn rate(command: &MediaCommand) -> Result<LadderRate, Fault> {
    let MediaCommand::Ladder { crf, rate, bitrate, .. } = command else {
        unreachable!("this makes no ladder")
    };
    let is_mean = rate.map_or(bitrate.is_some(), |rate| rate == RateMode::Vbr);
    let bad = |message: &str| Err(Fault::Usage(message.to_owned()));
    match (is_mean, crf, bitrate) {
        (false, _, Some(_)) => bad("--bitrate needs --rate vbr"),
        (false, _, None) => Ok(LadderRate::Factor),
        (true, Some(_), _) => bad("--crf and a mean rate each decide the bits; give one of them"),
        (true, None, top_bps) => Ok(LadderRate::Mean { top_bps: *top_bps }),
    }
}

fn make(session: &Session<'_>, file: &Path, work: Work, out: &Path) -> Result<Ending, Fault> {
    let place = set::place(out)?;
    let bench = Workbench::beside(&place)?;
    let Outcome::Package(report) = session.perform(file, work, &bench)? else { return Err(unexpected()) };
    // An empty directory is replaced in one step; nothing else is.
    let moved = std::fs::rename(bench.path().join(PACKAGE), place);
    moved.map_err(|error| Fault::local(format!("cannot make {}", out.display()), error))?;
    print(session.farm, &report, || shown(&report, out));
    Ok(Ending::Ok)
}

/// Puts new manifests in the place of a set's own, the top ones last.
fn renew(session: &Session<'_>, set: &Path, decode: bool) -> Result<Ending, Fault> {
    let fails = |error| Fault::local(format!("cannot write into {}", set.display()), error);
    if !set.is_dir() {
        return Err(Fault::Usage(format!("{} is no directory", set.display())));
    }
    let bench = Workbench::beside(&set.join("x"))?;
    let work = Work::Manifests { decode };
    let Outcome::Package(report) = session.perform(set, work, &bench)? else { return Err(unexpected()) };
    let renditions: Vec<&String> = report.video.iter().chain(&report.audio).map(|made| &made.name).collect();
    // What a process answers is no path.
    if renditions.iter().any(|name| Path::new(name).file_name() != Some(name.as_ref())) {
        return Err(unexpected());
    }
    let playlists = renditions.iter().map(|name| format!("{name}/media.m3u8"));
    let names: Vec<String> = playlists.chain(["manifest.mpd".to_owned(), "master.m3u8".to_owned()]).collect();
    let made = |name: &String| bench.path().join(PACKAGE).join(name);
    for name in &names {
        let found = std::fs::symlink_metadata(made(name)).map_err(fails)?;
        if !found.is_file() {
            return Err(unexpected());
        }
    }
    for name in &names {
        std::fs::rename(made(name), set.join(name)).map_err(fails)?;
    }
    print(session.farm, &report, || shown(&report, set));
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
