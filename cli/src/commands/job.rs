//! `rushes job …`.

mod document;
mod events;
mod explain;
pub(super) mod facts;
mod handles;
mod listed;
mod logs;
mod shown;
mod traded;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rushes_shared::artifact::FileName;
use rushes_shared::id::JobId;
use rushes_shared::request::{Format, job_schema};
use rushes_shared::view::{JobList, JobView, TaskView};

use super::{client, print, print_ended, put};
use crate::args::{FarmArgs, JobCommand, Output};
use crate::board::Board;
use crate::client::Client;
use crate::fault::{Ending, Fault};
use crate::interrupt::Interrupt;
use crate::report;
use crate::set;
use crate::transfer::{self, random_text};
use crate::watch::Watch;

/// Longest job file, in bytes; a farm takes 1 MiB unless it is set otherwise.
const MAX_DOCUMENT: u64 = 16 << 20;

pub(super) fn run(farm: &FarmArgs, command: JobCommand) -> Result<Ending, Fault> {
    if let JobCommand::Schema = command {
        let schema = serde_json::to_string_pretty(&job_schema()).expect("a schema serializes");
        writeln!(std::io::stdout(), "{schema}").ok();
        return Ok(Ending::Ok);
    }
    let client = client(farm)?;
    match command {
        JobCommand::Submit { file, wait, set, dry_run, idempotency_key } => {
            let (content_type, text) = document_of(&file, &set)?;
            if dry_run {
                let forecast = client.dry_run(content_type, &text)?;
                print(farm, &forecast, || handles::forecast(&forecast));
                return Ok(Ending::Ok);
            }
            submit(farm, &client, (content_type, &text), idempotency_key, wait)
        }
        JobCommand::List { state, labels, name, class, tenant, limit } => {
            let mut query: Vec<(&str, String)> = Vec::new();
            query.extend(state.map(|s| ("state", s.as_str().to_owned())));
            query.extend(labels.iter().map(|(k, v)| ("label", format!("{k}:{v}"))));
            query.extend(name.map(|name| ("name", name)));
            query.extend(class.map(|class| ("class", class.as_str().to_owned())));
            query.extend(tenant.map(|tenant| ("tenant", tenant)));
            list(farm, &client, &query, limit)
        }
        JobCommand::Set(args) => handles::set(farm, &client, args),
        JobCommand::Pause { jobs } => handles::pause(farm, &client, &jobs, true),
        JobCommand::Resume { jobs } => handles::pause(farm, &client, &jobs, false),
        JobCommand::Retry { jobs } => handles::retry(farm, &client, &jobs),
        JobCommand::Explain { job, task } => match explain::explain(farm, &client, &job, task) {
            // How it ended is the answer to a person's question, and an error to a script.
            Err(Fault::Refused(over)) if over.code == "job_has_ended" && farm.output == Output::Text => {
                let advice = over.advice.map(|advice| format!("; {advice}")).unwrap_or_default();
                put(format!("{}{advice}\n", over.detail).as_bytes());
                Ok(Ending::Ok)
            }
            other => other,
        },
        JobCommand::Show { job } => {
            let mut job = client.job(select(&client, &job)?)?;
            if farm.output == Output::Text {
                name_workers(&client, &mut job);
            }
            print(farm, &job, || shown::whole(&job));
            Ok(Ending::Ok)
        }
        JobCommand::Facts { job, failed } => {
            let job = client.job(select(&client, &job)?)?;
            facts::tell(farm, &client, &job, failed)
        }
        JobCommand::Fetch { job, out } => fetch(farm, &client, select(&client, &job)?, &out),
        JobCommand::Wait { jobs, timeout } => {
            let ids = jobs.iter().map(|job| select(&client, job)).collect::<Result<Vec<_>, _>>()?;
            wait_for(farm, &client, &ids, timeout.map(|s| Instant::now() + Duration::from_secs(s)))
        }
        JobCommand::Cancel { jobs } => cancel(farm, &client, &jobs),
        JobCommand::Logs { job, task, tail, follow } => {
            logs::run(farm, &client, select(&client, &job)?, &logs::Wanted { task, tail, follow })
        }
        JobCommand::Events { job, types } => {
            let id = job.map(|job| select(&client, &job)).transpose()?;
            events::follow(farm, &client, id, &types)
        }
        JobCommand::Schema => Ok(Ending::Ok),
    }
}

/// Puts names to workers that are known by their ids alone. For people, and only where the caller may see workers.
fn name_workers(client: &Client, job: &mut JobView) {
    let is_unnamed = |task: &TaskView| task.worker.is_some() && task.worker_name.is_none();
    if !job.tasks.iter().any(is_unnamed) {
        return;
    }
    let Ok(list) = client.workers(&[]) else { return };
    for task in job.tasks.iter_mut().filter(|task| is_unnamed(task)) {
        let known = list.items.iter().find(|worker| Some(worker.id) == task.worker);
        task.worker_name = known.map(|worker| worker.name.clone());
    }
}

/// A job's id, from its id or `last`.
fn select(client: &Client, selector: &str) -> Result<JobId, Fault> {
    if selector != "last" {
        return selector.parse().map_err(|e| Fault::Usage(format!("{e}, or 'last' for the newest job")));
    }
    let newest = client.jobs(&[("limit", "1".to_owned())])?.items;
    newest
        .first()
        .map(|job| job.id)
        .ok_or_else(|| Fault::Usage("there is no job yet; 'rushes job submit JOB.toml' makes one".to_owned()))
}

/// The text of a job file, as long as any farm takes.
fn text_of(file: &Path) -> Result<String, Fault> {
    let is_stdin = file == Path::new("-");
    let name = if is_stdin { "standard input".to_owned() } else { file.display().to_string() };
    let fails = |e| Fault::local(format!("cannot read {name}"), e);
    let mut bytes = Vec::new();
    let read = if is_stdin {
        std::io::stdin().take(MAX_DOCUMENT + 1).read_to_end(&mut bytes)
    } else {
        File::open(file).map_err(fails)?.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes)
    };
    if read.map_err(fails)? as u64 > MAX_DOCUMENT {
        return Err(Fault::Usage(format!("{name} is no job file: longer than {} MiB", MAX_DOCUMENT >> 20)));
    }
    String::from_utf8(bytes)
        .map_err(|e| Fault::Usage(format!("{name} is no job file: it is not UTF-8 ({e})")))
}

/// A job document, with what is to be set in it, and its content type.
fn document_of(file: &Path, set: &[(String, String)]) -> Result<(&'static str, String), Fault> {
    let text = text_of(file)?;
    if !set.is_empty() {
        return Ok(("application/json", document::changed(&text, set)?.to_string()));
    }
    Ok(match Format::guess(&text) {
        Format::Json => ("application/json", text),
        Format::Toml => ("application/toml", text),
    })
}

fn submit(
    farm: &FarmArgs,
    client: &Client,
    (content_type, document): (&str, &str),
    key: Option<String>,
    wait: bool,
) -> Result<Ending, Fault> {
    let key = key.map_or_else(random_text, Ok)?;
    let submitted = client.submit(content_type, document, &key)?;
    let doubtful = Some(&submitted.forecast).filter(|told| handles::is_doubtful(told));
    if let Some(told) = doubtful.filter(|_| farm.output == Output::Text && !farm.quiet) {
        crate::to_standard_error(format_args!("{}", handles::forecast(told)));
    }
    if wait {
        if farm.output == Output::Text && !farm.quiet {
            say!("{}", submitted.id);
        }
        return wait_for(farm, client, &[submitted.id], None);
    }
    print(farm, &submitted, || format!("{}\n", submitted.id));
    Ok(Ending::Ok)
}

/// Follows a job to its end without a word about it.
pub(super) fn follow(farm: &FarmArgs, client: &Client, id: JobId) -> Result<(JobView, Ending), Fault> {
    let interrupt = Interrupt::watch()?;
    let mut board = Board::for_results(farm);
    let mut watch = Watch::new(client);
    watch.add(id);
    let jobs = watch.finish(&mut board, &interrupt, None, &mut || Ok(()))?;
    drop(board);
    let ending = report::ending(&jobs);
    if ending != Ending::Ok {
        let ends: String = jobs.iter().map(|job| report::end(job, crate::table::colours())).collect();
        crate::to_standard_error(format_args!("{ends}"));
    }
    let job = jobs.into_iter().next().map_or_else(|| client.job(id), Ok)?;
    Ok((job, ending))
}

fn wait_for(
    farm: &FarmArgs,
    client: &Client,
    ids: &[JobId],
    deadline: Option<Instant>,
) -> Result<Ending, Fault> {
    let interrupt = Interrupt::watch()?;
    let mut board = Board::for_results(farm).announcing();
    let mut watch = Watch::new(client);
    ids.iter().for_each(|id| watch.add(*id));
    let result = watch.finish(&mut board, &interrupt, deadline, &mut || Ok(()));
    drop(board);
    match result {
        Ok(jobs) => {
            print_ended(farm, &jobs);
            if farm.output == Output::Json {
                report::tell_failed(&jobs);
            }
            Ok(report::ending(&jobs))
        }
        Err(Fault::Interrupted) => {
            let open = watch.open();
            let plural = if open.len() == 1 { "goes" } else { "go" };
            let names: Vec<String> = open.iter().map(ToString::to_string).collect();
            let (names, it) = (names.join(", "), if open.len() == 1 { "it" } else { "them" });
            Err(Fault::NoLongerWaiting(format!(
                "no longer waiting; {names} {plural} on ('rushes job cancel' stops {it})"
            )))
        }
        Err(fault) => Err(fault),
    }
}

/// Fetches what the depot keeps of a job: all that is ready by now. What is there already from before stays.
fn fetch(farm: &FarmArgs, client: &Client, id: JobId, out: &Path) -> Result<Ending, Fault> {
    let job = client.job(id)?;
    let interrupt = Interrupt::watch()?;
    let board = Board::for_results(farm);
    if job.set.is_some() {
        set::fetch(client, &job, out, &board, &interrupt)?;
    } else {
        let made = job.outputs.iter().filter(|output| output.download.is_some());
        let made: Vec<_> = made.collect();
        if made.is_empty() {
            let state = job.state.as_str();
            return Err(Fault::Local(format!("the depot keeps nothing of {id} ({state})")));
        }
        std::fs::create_dir_all(out)
            .map_err(|e| Fault::local(format!("cannot make {}", out.display()), e))?;
        for output in made {
            // What a farm says is no path.
            let name: FileName =
                output.name.parse().map_err(|bad| Fault::Local(format!("the farm's output {bad}")))?;
            let target = out.join(name.as_str());
            if !transfer::is_there(output, &target)? {
                transfer::download(client, output, &target, false, &board, &interrupt)?;
            }
        }
    }
    drop(board);
    print_ended(farm, std::slice::from_ref(&job));
    Ok(Ending::Ok)
}

fn cancel(farm: &FarmArgs, client: &Client, selectors: &[String]) -> Result<Ending, Fault> {
    let mut canceled = Vec::new();
    let mut first_fault = None;
    for selector in selectors {
        match select(client, selector).and_then(|id| client.cancel(id)) {
            Ok(job) => canceled.push(job),
            Err(fault) if selectors.len() == 1 => return Err(fault),
            Err(fault) => {
                fault.tell(farm.output, Some(selector));
                first_fault.get_or_insert(fault.ending());
            }
        }
    }
    let text = || canceled.iter().map(|job| format!("{} {}\n", job.id, job.state.as_str())).collect();
    print(farm, &canceled, text);
    Ok(first_fault.unwrap_or(Ending::Ok))
}

fn list(farm: &FarmArgs, client: &Client, query: &[(&str, String)], limit: usize) -> Result<Ending, Fault> {
    let mut jobs: Vec<JobView> = Vec::new();
    let mut cursor = None;
    while jobs.len() < limit {
        let mut page = query.to_vec();
        page.push(("limit", (limit - jobs.len()).clamp(1, 500).to_string()));
        page.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let list = client.jobs(&page)?;
        jobs.extend(list.items);
        match list.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    let jobs = JobList { items: jobs, next_cursor: cursor };
    print(farm, &jobs, || {
        let jobs = &jobs.items;
        if jobs.is_empty() && query.is_empty() {
            return "no jobs yet; 'rushes encode FILE -o DIR' or 'rushes job submit JOB.toml' makes one\n"
                .to_owned();
        }
        if jobs.is_empty() {
            return "no job fits these conditions; 'rushes job list' shows all\n".to_owned();
        }
        listed::jobs(jobs)
    });
    Ok(Ending::Ok)
}
