//! Changes of jobs, another try, an explanation, a dry run.

use rushes_shared::request::AmendRequest;
use rushes_shared::view::{ExplainView, ForecastView, JobView};

use super::{print, select, traded};
use crate::args::{FarmArgs, SetArgs};
use crate::client::Client;
use crate::fault::{Ending, Fault};
use crate::table::{Cell, colours, table};
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
    let again = |selector: &str| client.retry(select(client, selector)?);
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
        "{} {} {}, priority {}{deadline}{paused}\n",
        job.id,
        job.state.as_str(),
        job.class.as_str(),
        job.priority
    )
}

/// What is expected of a job, in one line.
pub(super) fn forecast(forecast: &ForecastView) -> String {
    let when = match &forecast.expected_finish {
        Some(at) => format!("expected by {}", words::time(at)),
        None => "nothing can be said yet: no worker is there".to_owned(),
    };
    let kept = match forecast.can_keep {
        Some(true) => "; the deadline can be kept",
        Some(false) => "; the deadline cannot be kept",
        None => "",
    };
    let assumed = match &forecast.assumes {
        Some(input) => format!(
            "\nthe input has not been looked into: this is for {} at {}x{}, as those before it are; it is judged anew then",
            words::duration(input.duration_ms),
            input.width,
            input.height
        ),
        None => String::new(),
    };
    format!("{when}{kept}{assumed}\n")
}

/// `rushes job explain`.
pub(super) fn explain(farm: &FarmArgs, client: &Client, selector: &str) -> Result<Ending, Fault> {
    let it = client.explain(select(client, selector)?)?;
    print(farm, &it, || explained(&it));
    Ok(Ending::Ok)
}

fn explained(it: &ExplainView) -> String {
    let standing = match it.standing.as_str() {
        "emergency" => "in the emergency lane",
        "at_risk" => "ahead of the classes, because its deadline is near",
        "in_class" => "in its tenant's line within its class",
        "beyond_width" => "behind all who want slots, because it runs as many tasks as its share allows",
        "paused" => "paused",
        "plain" => "in line",
        _ => "nothing of it waits for a start",
    };
    let ahead = match (it.standing.as_str(), it.ahead) {
        ("not_queued" | "paused", _) => String::new(),
        (_, 0) => ", first there".to_owned(),
        (_, n) => format!(", {n} ahead of it there"),
    };
    let mut text = format!(
        "{} {}, {}, priority {}\n{standing}{ahead}\n{}",
        it.id,
        it.state.as_str(),
        it.class.as_str(),
        it.priority,
        forecast(&it.forecast)
    );
    if let Some(since) = &it.late_since {
        let why = traded::why_late(it.late_reason.as_deref(), it.yields_to);
        text.push_str(&format!("its deadline is given up since {}{why}\n", words::time(since)));
    }
    if !it.waits.is_empty() {
        let row = |w: &rushes_shared::view::WaitView| -> Vec<Cell> {
            vec![
                w.stage.to_string().into(),
                w.slot.as_str().into(),
                w.tasks.to_string().into(),
                w.detail.clone().into(),
            ]
        };
        let rows: Vec<Vec<Cell>> = it.waits.iter().map(row).collect();
        text.push_str(&format!("\n{}", table(&["STAGE", "SLOT", "WAITING", "BECAUSE"], &rows, colours())));
    }
    if !it.running.is_empty() {
        let row = |r: &rushes_shared::view::PlacedView| -> Vec<Cell> {
            let end = r.expected_end.as_deref().map(words::time).unwrap_or_default();
            let by = r.hardware.as_deref().map(|element| format!(" by {element}")).unwrap_or_default();
            vec![
                format!("{}{by}", r.task.index).into(),
                r.worker.to_string().into(),
                end.into(),
                r.because.clone().into(),
            ]
        };
        let rows: Vec<Vec<Cell>> = it.running.iter().map(row).collect();
        let head = ["RUNNING", "WORKER", "EXPECTED END (UTC)", "WHY THERE"];
        text.push_str(&format!("\n{}", table(&head, &rows, colours())));
    }
    for trade in &it.trades {
        text.push_str(&format!("\n{}", traded::told(trade)));
    }
    for stage in &it.fell_back {
        text.push_str(&format!("\nstage {stage} is encoded in software, because a hardware encoder failed"));
    }
    if let Some(why) = &it.held_up {
        text.push_str(&format!(
            "\nan output is made and not in its place yet, and is tried again: {}; {}",
            why.message, why.advice
        ));
    }
    if !(it.trades.is_empty() && it.fell_back.is_empty() && it.held_up.is_none()) {
        text.push('\n');
    }
    text
}
