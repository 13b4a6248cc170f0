//! `rushes media`.

mod pictures;
mod shown;
mod streaming;

use std::path::{Path, PathBuf};

use rushes_shared::at_hand::{Outcome, Work};
use rushes_shared::measure::{CompareSettings, WaveformSettings};
use rushes_shared::task::Progress;
use serde::Serialize;

use super::print;
use crate::args::{FarmArgs, MediaArgs, MediaCommand, Output, Target};
use crate::at_hand::{self, Hands, Workbench};
use crate::board::Board;
use crate::fault::{Ending, Fault};
use crate::interrupt::Interrupt;

/// A file that was made.
#[derive(Debug, Serialize)]
struct Made {
    file: PathBuf,
    bytes: u64,
}

/// A file and what was found out about it.
#[derive(Debug, Serialize)]
struct Found<'a, T> {
    file: &'a Path,
    #[serde(flatten)]
    found: T,
}

pub(super) fn run(farm: &FarmArgs, args: &MediaArgs) -> Result<Ending, Fault> {
    let interrupt = Interrupt::watch()?;
    let hands = Hands::new(args.time_limit, args.memory_limit, Some(args.frame_rate), &interrupt)?;
    let session = Session { farm, hands, board: Board::for_results(farm) };
    match &args.command {
        MediaCommand::Probe { files } => session.each(files, &Work::Probe, |outcome| match outcome {
            Outcome::Facts(facts) => Some((serde_json::to_value(&facts).ok()?, shown::facts(&facts))),
            _ => None,
        }),
        MediaCommand::Loudness { files } => session.each(files, &Work::Loudness, |outcome| match outcome {
            Outcome::Loudness(found) => Some((serde_json::to_value(&found).ok()?, shown::loudness(&found))),
            _ => None,
        }),
        MediaCommand::Waveform { file, target, samples_per_pixel, bits, split_channels, size } => {
            let picture = match ending(&target.out).as_str() {
                "json" => None,
                "png" => Some(*size),
                _ => return Err(wrong_ending(&target.out, ".json or .png")),
            };
            let settings = WaveformSettings {
                samples_per_pixel: *samples_per_pixel,
                bits: *bits,
                split_channels: *split_channels,
                picture,
            };
            session.make(file, Work::Waveform(settings), target, |_| vec![target.out.clone()])
        }
        MediaCommand::Compare { reference, other, every, model, no_vmaf, unpaired, threads } => {
            let settings = CompareSettings {
                every: *every,
                vmaf: (!no_vmaf).then_some(*model),
                likeness: true,
                unpaired: *unpaired,
                threads: *threads,
            };
            compare(&session, reference, other, settings)
        }
        MediaCommand::Ladder { .. } | MediaCommand::Package { .. } | MediaCommand::Manifests { .. } => {
            streaming::run(&session, &args.command)
        }
        other => pictures::run(&session, other),
    }
}

/// A file's ending in small letters.
fn ending(path: &Path) -> String {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn wrong_ending(path: &Path, right: &str) -> Fault {
    Fault::Usage(format!("{} should end in {right}", path.display()))
}

struct Session<'a> {
    farm: &'a FarmArgs,
    hands: Hands<'a>,
    board: Board,
}

impl Session<'_> {
    /// Does an operation on each of several files and prints what it gave. A file that fails is told of, and the others
    /// are gone on with.
    fn each(
        &self,
        files: &[PathBuf],
        work: &Work,
        read: impl Fn(Outcome) -> Option<(serde_json::Value, String)>,
    ) -> Result<Ending, Fault> {
        let bench = Workbench::aside()?;
        let (mut values, mut texts, mut failed) = (Vec::new(), Vec::new(), None);
        for file in files {
            match self.perform(file, work.clone(), &bench) {
                Ok(outcome) => {
                    let (value, text) = read(outcome).ok_or_else(unexpected)?;
                    values.push(Found { file, found: value });
                    texts.push(if files.len() > 1 { format!("{}\n{text}", file.display()) } else { text });
                }
                Err(fault @ (Fault::Media(_) | Fault::Local(_))) if files.len() > 1 => {
                    fault.tell(self.farm.output, Some(&file.display().to_string()));
                    failed.get_or_insert(fault.ending());
                }
                Err(fault) => return Err(fault),
            }
        }
        match values.as_slice() {
            [one] if files.len() == 1 => print(self.farm, one, || texts.concat()),
            all if self.farm.output == Output::Json || !texts.is_empty() => {
                print(self.farm, &all, || texts.join("\n"));
            }
            _ => {}
        }
        Ok(failed.unwrap_or(Ending::Ok))
    }

    /// Does an operation that makes files; `places` says where each of those that were made belongs.
    fn make(
        &self,
        file: &Path,
        work: Work,
        target: &Target,
        places: impl Fn(&[String]) -> Vec<PathBuf>,
    ) -> Result<Ending, Fault> {
        is_free(&target.out, target.force)?;
        let bench = Workbench::beside(&target.out)?;
        let Outcome::Files(names) = self.perform(file, work, &bench)? else { return Err(unexpected()) };
        let places = places(&names);
        if names.is_empty() || places.len() != names.len() {
            return Err(unexpected());
        }
        for place in &places {
            is_free(place, target.force)?;
        }
        let mut made = Vec::new();
        for (name, place) in names.iter().zip(&places) {
            bench.place(name, place, target.force)?;
            let bytes = std::fs::metadata(place).map_or(0, |made| made.len());
            made.push(Made { file: place.clone(), bytes });
        }
        print(self.farm, &made, || made.iter().map(|made| shown::made(&made.file, made.bytes)).collect());
        Ok(Ending::Ok)
    }

    fn perform(&self, file: &Path, work: Work, bench: &Workbench) -> Result<Outcome, Fault> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // Most operations are over before a line could be read.
        let mut step = None;
        let mut show = |at: Progress| {
            let step = step.get_or_insert_with(|| self.board.share(&name));
            step.set(u64::from(at.permille));
        };
        self.hands.perform(file, work, bench.path(), &mut show)
    }
}

fn compare(
    session: &Session<'_>,
    reference: &Path,
    other: &Path,
    settings: CompareSettings,
) -> Result<Ending, Fault> {
    let bench = Workbench::aside()?;
    let work = Work::Compare { other: at_hand::absolute(other)?, settings };
    let Outcome::Comparison(found) = session.perform(reference, work, &bench)? else {
        return Err(unexpected());
    };
    print(session.farm, &found, || shown::comparison(&found));
    Ok(Ending::Ok)
}

/// Goes on where nothing is in the way of a result.
fn is_free(place: &Path, force: bool) -> Result<(), Fault> {
    if place.exists() && !force {
        return Err(Fault::Usage(format!("{} is there already; use --force to replace it", place.display())));
    }
    Ok(())
}

fn unexpected() -> Fault {
    Fault::Local(
        "rushes and rushes-worker do not understand each other; install both of one release".to_owned(),
    )
}
