//! `rushes encode`: files in, files out, whichever farm does it.

mod sets;
mod wanted;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::request::{JobKind, JobRequest, OutputRequest, StreamRequest};
use rushes_shared::sequence::FrameRate;
use rushes_shared::view::{JobView, OutputState, OutputView};
use serde::Serialize;

use super::print;
use crate::args::{EncodeArgs, FarmArgs, Output};
use crate::board::Board;
use crate::client::Client;
use crate::connection::Connection;
use crate::fault::{Ending, Fault};
use crate::interrupt::Interrupt;
use crate::own_farm::OwnFarm;
use crate::report;
use crate::sequence;
use crate::set;
use crate::table::{colours, table};
use crate::transfer::{self, Temp, random_text};
use crate::watch::Watch;
use wanted::{Wanted, WantedFile};

/// A file to be encoded.
struct Piece {
    input: PathBuf,
    results: Vec<Planned>,
}

/// A result to be.
struct Planned {
    target: PathBuf,
    /// Where a farm of our own writes to first, when something is to be replaced.
    temp: Option<Temp>,
}

/// What JSON output says of a file.
#[derive(Serialize)]
struct Done<'a> {
    input: &'a Path,
    /// The first result, where there is one.
    file: Option<&'a Path>,
    /// All of them.
    files: Vec<&'a Path>,
    /// The directory of a set for streaming.
    set: Option<&'a Path>,
    job: &'a JobView,
}

pub(super) fn run(farm: &FarmArgs, args: &EncodeArgs) -> Result<Ending, Fault> {
    let connection = Connection::find(farm)?;
    let client = connection.map(|connection| Client::new(&connection)).transpose()?;
    let wanted = wanted::of(args, client.as_ref())?;
    let mut pieces = plan(args, &wanted)?;
    let interrupt = Interrupt::watch()?;
    let mut board = Board::for_results(farm);
    let order = Order { args, wanted: &wanted };
    let is_set = matches!(wanted, Wanted::Set(_));
    if args.force && (is_set || client.is_none()) {
        let results = pieces.iter_mut().flat_map(|piece| &mut piece.results);
        for result in results.filter(|result| result.target.exists()) {
            result.temp = Some(Temp::beside(&result.target)?);
        }
    }
    let result = match client {
        Some(client) => encode(&client, order, &pieces, &mut board, &interrupt, &mut Place::Remote),
        None => {
            let inputs = pieces.iter().filter_map(|piece| piece.input.parent());
            let roots: BTreeSet<&Path> = inputs.collect();
            let mut own = OwnFarm::start(&roots, &order.written_in()?, &board, &interrupt)?;
            let client = own.client().clone();
            let result = encode(&client, order, &pieces, &mut board, &interrupt, &mut Place::Own(&mut own));
            let step = board.step("stopping the farm");
            own.stop();
            drop(step);
            result
        }
    };
    drop(board);
    let jobs = result?;
    show(farm, &pieces, &jobs);
    if farm.output == Output::Json {
        report::tell_failed(&jobs);
    }
    Ok(report::ending(&jobs))
}

/// What is asked for, of each input.
#[derive(Clone, Copy)]
struct Order<'a> {
    args: &'a EncodeArgs,
    wanted: &'a Wanted,
}

impl Order<'_> {
    /// The directory that a farm of our own writes into: a set's own directory appears in the one around it.
    fn written_in(&self) -> Result<PathBuf, Fault> {
        let out = self.args.out_dir_path()?;
        let is_target = matches!(self.wanted, Wanted::Set(_)) && self.args.inputs.len() == 1;
        Ok(out.parent().filter(|_| is_target).map(Path::to_owned).unwrap_or(out))
    }
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
    order: Order<'_>,
    pieces: &[Piece],
    board: &mut Board,
    interrupt: &Interrupt,
    place: &mut Place<'_>,
) -> Result<Vec<JobView>, Fault> {
    let mut watch = Watch::new(client);
    let ended = begin(client, order, pieces, board, interrupt, place, &mut watch)
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
        match order.wanted {
            Wanted::Files(_) => files(client, order, (piece, job), board, interrupt, place)?,
            Wanted::Set(_) => sets::arrive(client, (piece, job), board, interrupt, place)?,
        }
    }
    Ok(jobs)
}

/// Brings a job's files to their places.
fn files(
    client: &Client,
    order: Order<'_>,
    (piece, job): (&Piece, &JobView),
    board: &mut Board,
    interrupt: &Interrupt,
    place: &Place<'_>,
) -> Result<(), Fault> {
    // Outputs of a job stand in the order in which they were asked for.
    let made = piece.results.iter().zip(&job.outputs);
    for (result, output) in made.filter(|(_, output)| output.state == OutputState::Published) {
        match (place, &result.temp) {
            (Place::Remote, _) => {
                transfer::download(client, output, &result.target, order.args.force, board, interrupt)?;
            }
            (Place::Own(_), Some(temp)) => transfer::place(&temp.0, &result.target, true)?,
            (Place::Own(_), None) => {}
        }
    }
    Ok(())
}

fn begin(
    client: &Client,
    order: Order<'_>,
    pieces: &[Piece],
    board: &mut Board,
    interrupt: &Interrupt,
    place: &mut Place<'_>,
    watch: &mut Watch,
) -> Result<(), Fault> {
    for piece in pieces {
        interrupt.check()?;
        let input = match place {
            Place::Remote => transfer::upload(client, &piece.input, board, interrupt)?,
            Place::Own(_) => text_of(&piece.input)?,
        };
        let is_own = matches!(place, Place::Own(_));
        let document = serde_json::to_string(&request(order, piece, input, is_own)?)
            .map_err(|e| Fault::local("cannot write the job", e))?;
        watch.add(client.submit("application/json", &document, &random_text()?)?.id);
        watch.look(board);
    }
    Ok(())
}

fn request(order: Order<'_>, piece: &Piece, input: String, is_own: bool) -> Result<JobRequest, Fault> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let destination = |result: &Planned| {
        let to = result.temp.as_ref().map_or(&result.target, |temp| &temp.0);
        is_own.then(|| text_of(to)).transpose()
    };
    let output = |(wanted, result): (&WantedFile, &Planned)| {
        Ok(OutputRequest {
            name: Some(name(&result.target)),
            destination: destination(result)?,
            ..wanted.output.clone()
        })
    };
    let mut request = JobRequest {
        name: Some(name(&piece.input).chars().take(200).collect()),
        priority: Some(order.args.priority),
        labels: order.args.labels.iter().cloned().collect(),
        frame_rate: order.args.frame_rate.or(sequence::pattern(&piece.input).map(|_| FrameRate::default())),
        input: Some(input),
        ..JobRequest::default()
    };
    match order.wanted {
        Wanted::Files(files) => {
            let outputs = files.iter().zip(&piece.results).map(output);
            request.outputs = outputs.collect::<Result<_, Fault>>()?;
        }
        Wanted::Set(set) => {
            request.kind = JobKind::Stream;
            let place = piece.results.first().map(destination).transpose()?.flatten();
            request.stream = Some(StreamRequest { destination: place, ..StreamRequest::clone(set) });
        }
    }
    Ok(request)
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
fn plan(args: &EncodeArgs, wanted: &Wanted) -> Result<Vec<Piece>, Fault> {
    let mut pieces: Vec<Piece> = Vec::with_capacity(args.inputs.len());
    let out = args.out_dir_path()?;
    for given in &args.inputs {
        let fails = |e| Fault::local(format!("cannot read {}", given.display()), e);
        let input = sequence::absolute(given)?;
        let pattern = sequence::pattern(&input);
        match &pattern {
            Some(pattern) => drop(sequence::pictures(&input, pattern)?),
            None if fs::metadata(&input).map_err(fails)?.is_file() => {
                fs::File::open(&input).map_err(fails)?;
            }
            None => return Err(Fault::Usage(format!("{} is not a file", given.display()))),
        }
        let stem = given.file_stem().unwrap_or_default().to_string_lossy();
        let stem = stem.trim_start_matches('.');
        let stem = match &pattern {
            Some(pattern) if pattern.stem().is_empty() => "sequence",
            Some(pattern) => pattern.stem(),
            None => stem,
        };
        let targets = match wanted {
            Wanted::Files(files) => files
                .iter()
                .map(|WantedFile { output, ending }| {
                    let suffix = output.suffix.as_deref().unwrap_or_default();
                    out.join(format!("{stem}{suffix}.{ending}"))
                })
                .collect(),
            // One set is the directory itself.
            Wanted::Set(_) if args.inputs.len() == 1 => vec![out.clone()],
            Wanted::Set(_) => vec![out.join(stem)],
        };
        let mut results = Vec::with_capacity(targets.len());
        for target in targets {
            check_free(args, &input, given, &target, matches!(wanted, Wanted::Set(_)), &pieces)?;
            results.push(Planned { target, temp: None });
        }
        pieces.push(Piece { input, results });
    }
    Ok(pieces)
}

fn check_free(
    args: &EncodeArgs,
    input: &Path,
    given: &Path,
    target: &Path,
    is_set: bool,
    before: &[Piece],
) -> Result<(), Fault> {
    if target == input {
        return Err(Fault::Usage(format!(
            "{} would be its own result; choose another directory",
            given.display()
        )));
    }
    if let Some(other) = before.iter().find(|piece| piece.results.iter().any(|r| r.target == target)) {
        let message = format!(
            "{} and {} would both become {}; encode them into two directories",
            other.input.display(),
            given.display(),
            target.display()
        );
        return Err(Fault::Usage(message));
    }
    if is_set && target.exists() {
        return sets::check_free(target, args.force);
    }
    if target.is_dir() {
        return Err(Fault::Usage(format!("{} is a directory; choose another place", target.display())));
    }
    if target.exists() && !args.force {
        return Err(Fault::Usage(format!(
            "{} is there already; use --force to replace it",
            target.display()
        )));
    }
    Ok(())
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
        .map(|(piece, job)| {
            let is_made = |(_, output): &(&Planned, &OutputView)| output.state == OutputState::Published;
            let made = piece.results.iter().zip(&job.outputs).filter(is_made);
            let files: Vec<&Path> = made
                .filter(|_| job.state == JobState::Succeeded)
                .map(|(result, _)| result.target.as_path())
                .collect();
            let is_there = job.state == JobState::Succeeded
                && job.set.as_ref().is_some_and(|set| set.state == OutputState::Published);
            let set = piece.results.first().filter(|_| is_there).map(|set| set.target.as_path());
            let files = if job.set.is_some() { Vec::new() } else { files };
            Done { input: &piece.input, file: files.first().copied(), files, set, job }
        })
        .collect();
    let failed = |done: &&Done<'_>| farm.output == Output::Text && done.job.state != JobState::Succeeded;
    for done in all.iter().filter(failed) {
        let why =
            done.job.failure.as_ref().map(|why| format!(": {}", report::failure(why))).unwrap_or_default();
        say!("rushes: {} {}{why}", done.input.display(), done.job.state.as_str());
    }
    print(farm, &all, || {
        let here = std::env::current_dir().unwrap_or_default();
        let rows: Vec<_> = all
            .iter()
            .flat_map(|done| {
                let made = done.job.outputs.iter().filter(|output| output.state == OutputState::Published);
                let here = &here;
                done.files.iter().zip(made).map(move |(file, output)| {
                    let place = file.strip_prefix(here).unwrap_or(file).display().to_string();
                    report::output(output, &place, done.job)
                })
            })
            .collect();
        let table =
            if rows.is_empty() { String::new() } else { table(report::OUTPUT_HEAD, &rows, colours()) };
        let sets = all.iter().filter_map(|done| Some((done.set?, done.job.set.as_ref()?)));
        let text = sets.fold(table, |text, (place, made)| {
            let here = place.strip_prefix(&here).unwrap_or(place).display().to_string();
            text + &set::shown(made, &here, colours())
        });
        jobs.iter().fold(text, |text, job| text + &report::warnings(job, colours()))
    });
}
