//! `rushes probe`: the facts of many files, by the farm.

use std::io::Read as _;
use std::path::Path;

use rushes_shared::request::{JobKind, JobRequest};

use super::{client, job};
use crate::args::{FarmArgs, ProbeArgs};
use crate::fault::{Ending, Fault};
use crate::transfer::random_text;

/// Longest list of files, in bytes.
const MAX_LIST: u64 = 16 << 20;

/// Submits a job that probes the files, waits for its end, and prints what it has found.
pub(super) fn run(farm: &FarmArgs, args: &ProbeArgs) -> Result<Ending, Fault> {
    let client = client(farm)?;
    let mut inputs = args.inputs.clone();
    if let Some(list) = &args.from {
        inputs.extend(listed(list)?);
    }
    if inputs.is_empty() {
        return Err(Fault::Usage("no file is named, and the list has none".to_owned()));
    }
    let inputs = inputs.into_iter().map(named).collect::<Result<_, _>>()?;
    let request = JobRequest { kind: JobKind::Probe, inputs, ..JobRequest::default() };
    let document = serde_json::to_string(&request).map_err(|e| Fault::local("cannot write the job", e))?;
    let id = client.submit("application/json", &document, &random_text()?)?.id;
    let (ended, ending) = job::follow(farm, &client, id)?;
    let told = job::facts::tell(farm, &client, &ended, false)?;
    Ok(if ending == Ending::Ok { told } else { ending })
}

/// The files of a list, one a line; `-` reads standard input.
fn listed(list: &Path) -> Result<Vec<String>, Fault> {
    let fails = |e| Fault::local(format!("cannot read {}", list.display()), e);
    let mut text = String::new();
    let read = if list == Path::new("-") {
        std::io::stdin().take(MAX_LIST).read_to_string(&mut text)
    } else {
        std::fs::File::open(list).map_err(fails)?.take(MAX_LIST).read_to_string(&mut text)
    };
    read.map_err(fails)?;
    Ok(text.lines().filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect())
}

/// A file as a job names it: a place of the farm as it is, a path from the root on.
fn named(input: String) -> Result<String, Fault> {
    if input.contains("://") {
        return Ok(input);
    }
    // It lies on the depot's host, which may be another one.
    let path = std::path::absolute(&input).map_err(|e| Fault::local(format!("'{input}' is no path"), e))?;
    path.into_os_string()
        .into_string()
        .map_err(|path| Fault::Usage(format!("{} is not UTF-8; name it as a file:// URL", path.display())))
}
