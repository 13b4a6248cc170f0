//! Changes of jobs, another try, a dry run.

use rushes_shared::request::AmendRequest;
use rushes_shared::view::{ForecastView, JobView};

use super::{print, select};
use crate::args::{FarmArgs, Output, SetArgs};
use crate::client::Client;
use crate::fault::{Ending, Fault};
use crate::words;

/// `rushes job set`.
pub(super) fn set(farm: &FarmArgs, client: &Client, args: SetArgs) -> Result<Ending, Fault> {
    let request = AmendRequest {
        class: args.class,
        priority: args.priority,
        value: None,
        deadline: args.deadline,
        labels: args.labels.into_iter().collect(),
        paused: None,
    };
    if request == AmendRequest::default() {
        let what = "say what is to change: --class, --priority, --deadline or --label";
        return Err(Fault::Usage(what.to_owned()));
    }
    each(farm, &args.jobs, |selector| client.amend(select(client, selector)?, &request), changed)
}

/// `rushes job pause` and `rushes job resume`.
pub(super) fn pause(
    farm: &FarmArgs,
    client: &Client,
    selectors: &[String],
    paused: bool,
) -> Result<Ending, Fault> {
    each(farm, selectors, |selector| client.set_paused(select(client, selector)?, paused), changed)
}

/// `rushes job retry`.
pub(super) fn retry(farm: &FarmArgs, client: &Client, selectors: &[String]) -> Result<Ending, Fault> {
    let again = |selector: &str| {
        let new = client.retry(select(client, selector)?)?;
        if let (Output::Text, false, Some(note)) = (farm.output, farm.quiet, &new.note) {
            say!("{}: {note}", new.id);
        }
        Ok(new)
    };
    each(farm, selectors, again, |new| format!("{}\n", new.id))
}

/// Does it to each of them; the first fault decides the exit code, the others are done all the same.
fn each<T: serde::Serialize>(
    farm: &FarmArgs,
    selectors: &[String],
    mut deed: impl FnMut(&str) -> Result<T, Fault>,
    text: impl Fn(&T) -> String,
) -> Result<Ending, Fault> {
    let mut done = Vec::new();
    let mut first_fault = None;
    for selector in selectors {
        match deed(selector) {
            Ok(result) => done.push(result),
            Err(fault) if selectors.len() == 1 => return Err(fault),
            Err(fault) => {
                fault.tell(farm.output, Some(selector));
                first_fault.get_or_insert(fault.ending());
            }
        }
    }
    print(farm, &done, || done.iter().map(&text).collect());
    Ok(first_fault.unwrap_or(Ending::Ok))
}

fn changed(job: &JobView) -> String {
    let paused = if job.paused { ", paused" } else { "" };
    let deadline = job.deadline.as_deref().map(|at| format!(", due {}", words::time(at))).unwrap_or_default();
    format!(
        "{} {}, {}, priority {}{deadline}{paused}\n",
        job.id,
        job.state.as_str(),
        job.class.as_str(),
        job.priority
    )
}

/// Whether whoever submits a job should hear at once what is expected of it: that nothing can start, that its deadline is
/// lost already, or that a name may be misspelt.
pub(super) fn is_doubtful(forecast: &ForecastView) -> bool {
    forecast.barred.is_some() || forecast.can_keep == Some(false) || !forecast.unset_limits.is_empty()
}

/// A limit that may be misspelt.
fn unset(name: &str) -> String {
    format!(
        "\nthe limit '{name}' is not set and holds nothing back; is the name right? 'rushes limit set {name} N' sets it"
    )
}

/// What is expected of a job, in a line or two.
pub(super) fn forecast(forecast: &ForecastView) -> String {
    let when = match &forecast.expected_finish {
        Some(at) => format!("expected by {}", words::time(at)),
        None => match &forecast.barred {
            Some(barred) => format!("no end can be expected: {}", barred.detail),
            None => "nothing can be said yet".to_owned(),
        },
    };
    let kept = match forecast.can_keep {
        Some(true) => "; the deadline can be kept",
        Some(false) => "; the deadline cannot be kept",
        None => "",
    };
    let assumed = match &forecast.assumes {
        Some(input) => format!(
            "\nthe input has not been looked into: this is for {} at {}x{}, {}; it is judged anew then",
            words::duration(input.duration_ms),
            input.width,
            input.height,
            if input.seen { "as those before it are" } else { "as none was seen yet" }
        ),
        None => String::new(),
    };
    let unset: String = forecast.unset_limits.iter().map(|name| unset(name)).collect();
    format!("{when}{kept}{assumed}{unset}\n")
}
