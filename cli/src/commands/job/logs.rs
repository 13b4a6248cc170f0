//! `rushes job logs`.

use std::collections::BTreeMap;
use std::time::Duration;

use rushes_shared::id::JobId;
use rushes_shared::view::{AttemptLogView, LogsView};

use crate::args::{FarmArgs, Output};
use crate::client::Client;
use crate::commands::{print, put};
use crate::fault::{Ending, Fault};
use crate::interrupt::Interrupt;
use crate::table::{Tone, colours, toned};
use crate::words::harmless;

/// How often a followed job is asked for.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes of each attempt's log that are asked for while a job is followed: all that the farm gives.
const ALL: u64 = 1 << 20;

/// What is to be printed.
pub(super) struct Wanted {
    pub(super) task: Option<u32>,
    pub(super) tail: u64,
    pub(super) follow: bool,
}

pub(super) fn run(farm: &FarmArgs, client: &Client, job: JobId, wanted: &Wanted) -> Result<Ending, Fault> {
    let task = wanted.task.map(|task| format!("&task={task}")).unwrap_or_default();
    if wanted.follow {
        return follow(farm, client, job, &format!("tail={ALL}{task}"));
    }
    let logs = client.logs(job, &format!("tail={}{task}", wanted.tail))?;
    print(farm, &logs, || {
        if logs.items.is_empty() {
            return format!(
                "{job} has no logs: no process of it wrote anything, or they are no longer kept\n"
            );
        }
        logs.items.iter().map(|log| format!("{}\n{}", head(log), harmless(&log.text))).collect()
    });
    Ok(Ending::Ok)
}

/// Which attempt this is.
fn head(log: &AttemptLogView) -> String {
    let output = log.output.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
    let left_out = match log.bytes.saturating_sub(log.text.len() as u64) {
        0 => String::new(),
        bytes => format!(", {bytes} bytes before this left out"),
    };
    let text = format!(
        "== task {}, {}{output}, attempt {}{left_out}",
        log.task.index,
        log.kind.as_str(),
        log.attempt
    );
    toned(&text, Tone::Faint, colours())
}

fn follow(farm: &FarmArgs, client: &Client, job: JobId, query: &str) -> Result<Ending, Fault> {
    let interrupt = Interrupt::watch()?;
    let mut printed = BTreeMap::new();
    loop {
        // Asked before the logs, so that what was written before the end is still read.
        let has_ended = client.job(job)?.state.is_final();
        for log in client.logs(job, query)?.items {
            let seen = printed.entry((log.task, log.attempt.clone())).or_insert(0);
            let new = usize::try_from(log.bytes.saturating_sub(*seen)).unwrap_or(usize::MAX);
            if new == 0 {
                continue;
            }
            *seen = log.bytes;
            let from = log.text.len().saturating_sub(new);
            let from = (from..=log.text.len()).find(|at| log.text.is_char_boundary(*at)).unwrap_or(from);
            let text = log.text[from..].to_owned();
            match farm.output {
                Output::Json => {
                    let line =
                        serde_json::to_string(&LogsView { items: vec![AttemptLogView { text, ..log }] });
                    put((line.expect("views consist of plain values") + "\n").as_bytes());
                }
                Output::Text => {
                    let head = head(&AttemptLogView { bytes: 0, ..log });
                    put(format!("{head}\n{}", harmless(&text)).as_bytes());
                }
            }
        }
        if has_ended {
            return Ok(Ending::Ok);
        }
        interrupt.check()?;
        std::thread::sleep(EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_cannot_steer_the_terminal() {
        assert_eq!(
            harmless("a\tb\n\x1b]0;title\x07\r\u{9b}31m"),
            "a\tb\n\u{fffd}]0;title\u{fffd}\u{fffd}\u{fffd}31m"
        );
    }
}
