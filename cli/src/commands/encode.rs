//! `rushes encode`: files in, files out, whichever farm does it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::request::{
    AudioChoice, AudioRequest, Choice, JobRequest, OutputRequest, VideoChoice, VideoRequest,
};
use rushes_shared::view::{JobView, OutputState};
use serde::Serialize;

use super::print;
use crate::args::{AudioArgs, EncodeArgs, FarmArgs, Output, VideoArgs};
use crate::board::Board;
use crate::client::Client;
use crate::connection::Connection;
use crate::fault::{Ending, Fault};
use crate::interrupt::Interrupt;
use crate::own_farm::OwnFarm;
use crate::report;
use crate::table::{colours, table};
use crate::transfer::{self, Temp, random_text};
use crate::watch::Watch;

/// A file to be encoded.
struct Piece {
    input: PathBuf,
    target: PathBuf,
    /// Where a farm of our own writes to first, when something is to be replaced.
    temp: Option<Temp>,
}

/// What JSON output says of a file.
#[derive(Serialize)]
struct Done<'a> {
    input: &'a Path,
    /// The result, where there is one.
    file: Option<&'a Path>,
    job: &'a JobView,
}

pub(super) fn run(farm: &FarmArgs, args: &EncodeArgs) -> Result<Ending, Fault> {
    let mut pieces = plan(args)?;
    let interrupt = Interrupt::watch()?;
    let mut board = Board::for_results(farm);
    let result = match Connection::find(farm)? {
        Some(connection) => {
            let client = Client::new(&connection)?;
            encode(&client, args, &pieces, &mut board, &interrupt, &mut Place::Remote)
        }
        None => {
            for piece in pieces.iter_mut().filter(|piece| args.force && piece.target.exists()) {
                piece.temp = Some(Temp::beside(&piece.target)?);
            }
            let inputs = pieces.iter().filter_map(|piece| piece.input.parent());
            let roots: BTreeSet<&Path> = inputs.collect();
            let mut own = OwnFarm::start(&roots, &args.out_dir_path()?, &board, &interrupt)?;
            let client = own.client().clone();
            let result = encode(&client, args, &pieces, &mut board, &interrupt, &mut Place::Own(&mut own));
            let step = board.step("stopping the farm");
            own.stop();
            drop(step);
            result
        }
    };
    drop(board);
    let jobs = result?;
    show(farm, &pieces, &jobs);
    Ok(report::ending(&jobs))
}

/// Whose disk the farm reads and writes.
enum Place<'a> {
    /// Another machine's, or another user's: files travel.
    Remote,
    /// This one's; the farm lives as long as this command.
    Own(&'a mut OwnFarm),
}

impl Place<'_> {
    /// Whether there is still a farm to wait for.
    fn check(&mut self) -> Result<(), Fault> {
        match self {
            // It may be away for a while and come back.
            Self::Remote => Ok(()),
            Self::Own(farm) => farm.check(),
        }
    }
}

fn encode(
    client: &Client,
    args: &EncodeArgs,
    pieces: &[Piece],
    board: &mut Board,
    interrupt: &Interrupt,
    place: &mut Place<'_>,
) -> Result<Vec<JobView>, Fault> {
    let mut watch = Watch::new(client);
    let ended = begin(client, args, pieces, board, interrupt, place, &mut watch)
        .and_then(|()| watch.finish(board, interrupt, None, &mut || place.check()));
    let jobs = match ended {
        Ok(jobs) => jobs,
        Err(fault) => {
            // Nobody is there to ask when the farm's own coordinator is gone, which then is the reason of all else.
            place.check().inspect_err(|_| board.clear())?;
            cancel(client, &watch.open(), board);
            return Err(fault);
        }
    };
    for (piece, job) in pieces.iter().zip(&jobs).filter(|(_, job)| job.state == JobState::Succeeded) {
        let made = job.outputs.iter().filter(|output| output.state == OutputState::Published);
        for output in made {
            match (&*place, &piece.temp) {
                (Place::Remote, _) => {
                    transfer::download(client, output, &piece.target, args.force, board, interrupt)?;
                }
                (Place::Own(_), Some(temp)) => transfer::place(&temp.0, &piece.target, true)?,
                (Place::Own(_), None) => {}
            }
        }
    }
    Ok(jobs)
}

fn begin(
    client: &Client,
    args: &EncodeArgs,
    pieces: &[Piece],
    board: &mut Board,
    interrupt: &Interrupt,
    place: &mut Place<'_>,
    watch: &mut Watch,
) -> Result<(), Fault> {
    for piece in pieces {
        interrupt.check()?;
        let (input, destination) = match place {
            Place::Remote => (transfer::upload(client, &piece.input, board, interrupt)?, None),
            Place::Own(_) => {
                let to = piece.temp.as_ref().map_or(&piece.target, |temp| &temp.0);
                (text_of(&piece.input)?, Some(text_of(to)?))
            }
        };
        let document = serde_json::to_string(&request(args, piece, input, destination))
            .map_err(|e| Fault::local("cannot write the job", e))?;
        watch.add(client.submit("application/json", &document, &random_text()?)?.id);
        watch.look(board);
    }
    Ok(())
}

fn request(args: &EncodeArgs, piece: &Piece, input: String, destination: Option<String>) -> JobRequest {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = OutputRequest {
        name: Some(name(&piece.target)),
        destination,
        container: args.container,
        video: video(&args.video),
        audio: audio(&args.audio),
        ..OutputRequest::default()
    };
    JobRequest {
        name: Some(name(&piece.input).chars().take(200).collect()),
        priority: Some(args.priority),
        labels: args.labels.iter().cloned().collect(),
        input: Some(input),
        outputs: vec![output],
        ..JobRequest::default()
    }
}

fn video(args: &VideoArgs) -> Option<VideoChoice> {
    if args.no_video {
        return Some(Choice::Off);
    }
    if args.is_silent() {
        return None;
    }
    Some(Choice::On(VideoRequest {
        codec: args.codec,
        rate: args.rate(),
        crf: args.crf,
        bitrate: args.bitrate,
        max_bitrate: args.max_bitrate,
        preset: args.preset,
        max_width: args.max_width,
        max_height: args.max_height,
        bit_depth: args.bit_depth,
        chroma: args.chroma,
        keyframe_ms: args.keyframe_ms,
        profile: args.profile,
    }))
}

fn audio(args: &AudioArgs) -> AudioChoice {
    if args.no_audio {
        return Choice::Off;
    }
    Choice::On(AudioRequest {
        codec: args.audio_codec,
        bitrate: args.audio_bitrate,
        variant: args.audio_variant,
        quality: args.audio_quality,
        rate_hz: args.audio_rate,
        channels: args.channels,
        bits: args.audio_bits,
        loudness: args.loudness,
        true_peak: args.true_peak,
    })
}

/// Settings that no farm would take are told before one is started.
fn ending(args: &EncodeArgs) -> Result<&'static str, Fault> {
    let request = OutputRequest {
        container: args.container,
        video: video(&args.video),
        audio: audio(&args.audio),
        ..OutputRequest::default()
    };
    let settings = request.settings().map_err(|bad| Fault::Usage(bad.to_string()))?;
    Ok(settings.container.ending(settings.audio.map(|audio| audio.codec)))
}

fn cancel(client: &Client, jobs: &[JobId], board: &mut Board) {
    board.clear();
    if jobs.is_empty() {
        return;
    }
    let _step = board.step("canceling");
    for job in jobs {
        if let Err(fault) = client.cancel(*job) {
            board.say(&format!("{job} could not be canceled: {fault}"));
        }
    }
}

/// Inputs that are files, results that are free. Everything wrong here is told before any work.
fn plan(args: &EncodeArgs) -> Result<Vec<Piece>, Fault> {
    let mut pieces: Vec<Piece> = Vec::with_capacity(args.inputs.len());
    let ending = ending(args)?;
    let out = args.out_dir_path()?;
    for given in &args.inputs {
        let fails = |e| Fault::local(format!("cannot read {}", given.display()), e);
        let input = fs::canonicalize(given).map_err(fails)?;
        if !fs::metadata(&input).map_err(fails)?.is_file() {
            return Err(Fault::Usage(format!("{} is not a file", given.display())));
        }
        fs::File::open(&input).map_err(fails)?;
        let stem = given.file_stem().unwrap_or_default().to_string_lossy();
        let target = out.join(format!("{}.{ending}", stem.trim_start_matches('.')));
        if target == input {
            return Err(Fault::Usage(format!(
                "{} would be its own result; choose another directory",
                given.display()
            )));
        }
        if let Some(other) = pieces.iter().find(|piece| piece.target == target) {
            let message = format!(
                "{} and {} would both become {}; encode them into two directories",
                other.input.display(),
                given.display(),
                target.display()
            );
            return Err(Fault::Usage(message));
        }
        if target.exists() && !args.force {
            return Err(Fault::Usage(format!(
                "{} is there already; use --force to replace it",
                target.display()
            )));
        }
        pieces.push(Piece { input, target, temp: None });
    }
    Ok(pieces)
}

impl EncodeArgs {
    /// The results' directory, made if it is missing.
    fn out_dir_path(&self) -> Result<PathBuf, Fault> {
        let dir = &self.out_dir;
        if dir.exists() && !dir.is_dir() {
            let file = dir.display();
            return Err(Fault::Usage(format!(
                "{file} is a file; -o names the folder that the results go to"
            )));
        }
        fs::create_dir_all(dir).map_err(|e| Fault::local(format!("cannot make {}", dir.display()), e))?;
        fs::canonicalize(dir).map_err(|e| Fault::local(format!("cannot use {}", dir.display()), e))
    }
}

fn text_of(path: &Path) -> Result<String, Fault> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Fault::Usage(format!("{} is not UTF-8; rename it", path.display())))
}

fn show(farm: &FarmArgs, pieces: &[Piece], jobs: &[JobView]) {
    let all: Vec<Done<'_>> = pieces
        .iter()
        .zip(jobs)
        .map(|(piece, job)| Done {
            input: &piece.input,
            file: (job.state == JobState::Succeeded).then_some(piece.target.as_path()),
            job,
        })
        .collect();
    let failed = |done: &&Done<'_>| farm.output == Output::Text && done.job.state != JobState::Succeeded;
    for done in all.iter().filter(failed) {
        let why =
            done.job.failure.as_ref().map(|why| format!(": {}", report::failure(why))).unwrap_or_default();
        eprintln!("rushes: {} {}{why}", done.input.display(), done.job.state.as_str());
    }
    print(farm, &all, || {
        let here = std::env::current_dir().unwrap_or_default();
        let rows: Vec<_> = all
            .iter()
            .filter_map(|done| {
                let file = done.file?;
                let place = file.strip_prefix(&here).unwrap_or(file).display().to_string();
                Some(report::output(done.job.outputs.first()?, &place, done.job))
            })
            .collect();
        let table =
            if rows.is_empty() { String::new() } else { table(report::OUTPUT_HEAD, &rows, colours()) };
        jobs.iter().fold(table, |text, job| text + &report::warnings(job, colours()))
    });
}
