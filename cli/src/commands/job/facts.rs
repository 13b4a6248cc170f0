//! `rushes job facts`: what a job that probes many files has found, file by file.

use std::io::{BufRead as _, BufReader};

use rushes_shared::media::MediaFacts;
use rushes_shared::view::{FileFacts, JobView};

use crate::args::{FarmArgs, Output};
use crate::client::Client;
use crate::commands::put;
use crate::fault::{Ending, Fault};
use crate::table::{Cell, Tone, colours, table};
use crate::words;

/// Longest line of a file of facts, in bytes.
const MAX_LINE: u64 = 4 << 20;

/// Prints what there is: as a table, or as a line of JSON for each file. The exit code says whether all of them were read.
pub(in crate::commands) fn tell(
    farm: &FarmArgs,
    client: &Client,
    job: &JobView,
    only_failed: bool,
) -> Result<Ending, Fault> {
    let Some(files) = job.files else {
        let message = format!("{} does not probe many files; 'rushes job show' tells what it found", job.id);
        return Err(Fault::Usage(message));
    };
    let mut rows = Vec::new();
    for output in &job.outputs {
        let Some(path) = &output.download else { continue };
        let mut lines = BufReader::new(client.file(path)?);
        loop {
            let mut line = String::new();
            let broken = |e| Fault::local(format!("{} cannot be read", output.name), e);
            if std::io::Read::take(&mut lines, MAX_LINE).read_line(&mut line).map_err(broken)? == 0 {
                break;
            }
            let found: FileFacts = serde_json::from_str(&line)
                .map_err(|e| Fault::local(format!("{} is not understood", output.name), e))?;
            if only_failed && found.failure.is_none() {
                continue;
            }
            match farm.output {
                Output::Json => put(line.as_bytes()),
                Output::Text => rows.push(row(&found)),
            }
        }
    }
    if farm.output == Output::Text {
        let head = ["FILE", "CONTAINER", "LENGTH", "SIZE", "STREAMS"];
        let read = format!("{} of {} files read", files.read, files.all);
        let failed =
            if files.failed > 0 { format!(", {} could not be read", files.failed) } else { String::new() };
        put(format!("{}{read}{failed}\n", table(&head, &rows, colours())).as_bytes());
    }
    Ok(if files.failed > 0 { Ending::JobFailed } else { Ending::Ok })
}

fn row(found: &FileFacts) -> Vec<Cell> {
    let name = Cell::from(words::harmless(&found.input));
    let size = Cell::from(found.size_bytes.map(words::size).unwrap_or_default());
    match (&found.facts, &found.failure) {
        (Some(facts), _) => {
            let length = if facts.duration_ns == 0 {
                String::new()
            } else {
                words::duration(facts.duration_ns / 1_000_000)
            };
            vec![name, facts.container.clone().into(), length.into(), size, streams(facts).into()]
        }
        (None, failure) => {
            let why = failure.as_ref().map_or_else(String::new, |why| {
                let advice = if why.advice.is_empty() { String::new() } else { format!("; {}", why.advice) };
                words::harmless(&format!("{} ({}){advice}", why.message, why.code.as_str()))
            });
            vec![name, "-".into(), "".into(), size, Cell(why, Tone::Bad)]
        }
    }
}

/// A file's streams in a few words.
pub(super) fn streams(media: &MediaFacts) -> String {
    let mut parts = Vec::new();
    for video in &media.video {
        let fps = video.fps.map(|fps| format!(" {:.2} fps", fps.value())).unwrap_or_default();
        parts.push(format!("{} {}x{}{fps}", video.codec, video.width, video.height));
    }
    for audio in &media.audio {
        parts.push(format!("{} {} Hz {} ch", audio.codec, audio.rate_hz, audio.channels));
    }
    words::harmless(&parts.join(", "))
}
