//! From [`JobRequest`] to [`JobSpec`]: ranges, defaults, names that clash, files that belong to others.

use std::collections::{BTreeMap, BTreeSet};

use super::deadline::deadline;
use super::{
    Asking, BadRequest, FILES_OF_A_TASK, JobKind, JobRequest, MAX_INPUTS, MAX_LABEL, MAX_LABELS, MAX_NAME,
    MAX_NOOP_TASKS, MAX_OUTPUTS, OutputRequest,
};
use super::{graph, making, preset, standing, stream};
use crate::artifact::{FileName, Location};
use crate::encode::{EncodeSettings, Extract, Extracted};
use crate::job::{Destination, JobSpec, OutputSpec, Work};
use crate::sequence::{FrameRate, Pattern};

/// Longest URL of a file among many, in bytes.
const MAX_URL: usize = 4096;

/// Longest suffix, in bytes.
const MAX_SUFFIX: usize = 60;

pub(super) fn settle(request: &JobRequest, asking: Asking<'_>) -> Result<JobSpec, BadRequest> {
    let whole = preset::of_job(request, asking.presets)?;
    let request = &*whole;
    let work = work(request, asking)?;
    let name = name(request, &work)?;
    Ok(JobSpec {
        name,
        labels: labels(&request.labels)?,
        class: request.class,
        priority: standing::priority(request)?,
        value: standing::value(request.value.as_ref())?,
        floor: standing::floor(request)?,
        needs: standing::needs(request)?,
        paused: request.paused,
        deadline: request.deadline.as_deref().map(|text| deadline(text, asking.now)).transpose()?,
        work,
    })
}

fn work(request: &JobRequest, asking: Asking<'_>) -> Result<Work, BadRequest> {
    let foreign = |field: &str| {
        BadRequest::at(field, format!("a job of kind '{}' has no such field", request.kind.as_str()))
    };
    if request.kind != JobKind::Encode && !request.outputs.is_empty() {
        return Err(foreign("outputs"));
    }
    if !matches!(request.kind, JobKind::Noop | JobKind::Trial) && request.tasks.is_some() {
        return Err(foreign("tasks"));
    }
    if request.kind != JobKind::Graph && !request.stages.is_empty() {
        return Err(foreign("stages"));
    }
    if request.kind != JobKind::Stream && request.stream.is_some() {
        return Err(foreign("stream"));
    }
    if request.kind != JobKind::Probe && !request.inputs.is_empty() {
        return Err(foreign("inputs"));
    }
    let has_input = matches!(request.kind, JobKind::Encode | JobKind::Probe | JobKind::Stream);
    if !has_input && request.frame_rate.is_some() {
        return Err(foreign("frame_rate"));
    }
    match request.kind {
        JobKind::Graph if request.input.is_some() => Err(foreign("input")),
        JobKind::Graph => Ok(Work::Graph { stages: graph::settle(&request.stages, asking)? }),
        JobKind::Noop | JobKind::Trial if request.input.is_some() => Err(foreign("input")),
        JobKind::Noop | JobKind::Trial => {
            let tasks = ranged("tasks", request.tasks.unwrap_or(1), 1, MAX_NOOP_TASKS)?;
            Ok(if request.kind == JobKind::Noop { Work::Noop { tasks } } else { Work::Trial { tasks } })
        }
        JobKind::Probe if !request.inputs.is_empty() => probes(request, asking),
        JobKind::Probe => Ok(Work::Probe { input: input(request, asking)? }),
        JobKind::Encode => {
            let input = input(request, asking)?;
            let outputs = outputs(&request.outputs, &input, asking)?;
            Ok(Work::Encode { input, outputs })
        }
        JobKind::Stream => stream::settle(request.stream.as_ref(), input(request, asking)?),
    }
}

/// A probe of many files.
fn probes(request: &JobRequest, asking: Asking<'_>) -> Result<Work, BadRequest> {
    if request.input.is_some() {
        let message = "a job has either input or inputs; leave one of the two out";
        return Err(BadRequest::at("input", message));
    }
    let count = request.inputs.len();
    if count > MAX_INPUTS {
        let message = format!("{count} files are more than a job may have ({MAX_INPUTS}); make several jobs");
        return Err(BadRequest::at("inputs", message));
    }
    let all = request.inputs.iter().enumerate();
    let inputs = all.map(|(at, text)| {
        let field = format!("inputs[{at}]");
        let input = input_at(&field, text, asking)?;
        // Orders name many of them, twice.
        if input.to_string().len() > MAX_URL {
            return Err(BadRequest::at(field, format!("is longer than {MAX_URL} bytes as a URL")));
        }
        Ok(input)
    });
    Ok(Work::Probes { inputs: inputs.collect::<Result<_, _>>()?, batch: FILES_OF_A_TASK })
}

fn input(request: &JobRequest, asking: Asking<'_>) -> Result<Location, BadRequest> {
    let Some(text) = &request.input else {
        let message = format!(
            "a job of kind '{}' needs one: an absolute path, a file:// URL or farm://uploads/TENANT/HASH",
            request.kind.as_str()
        );
        return Err(BadRequest::at("input", message));
    };
    let location = input_at("input", text, asking)?;
    Ok(match request.frame_rate {
        Some(rate) => Location::Sequence(Box::new(location.place().clone()), rate),
        None => location,
    })
}

/// A file that the tenant may read.
pub(super) fn input_at(field: &str, text: &str, asking: Asking<'_>) -> Result<Location, BadRequest> {
    let location: Location = text.parse().map_err(|e| BadRequest::at(field, format!("{e}")))?;
    match location.place() {
        Location::Upload(tenant, _) | Location::Output(tenant, _, _) | Location::Set(tenant, _)
            if tenant != asking.tenant =>
        {
            let message = format!("this file belongs to another tenant than yours ('{}')", asking.tenant);
            Err(BadRequest::at(field, message))
        }
        Location::Staged(..) => Err(BadRequest::at(
            field,
            "a staged file may not be read; use the output once it is published, farm://outputs/TENANT/JOB/NAME",
        )),
        directory if directory.is_directory() => {
            Err(BadRequest::at(field, format!("'{text}' is a directory; name one file")))
        }
        Location::File(path) if location.frame_rate().is_none() && is_pattern(path) => {
            Ok(Location::Sequence(Box::new(location), FrameRate::default()))
        }
        Location::File(_)
        | Location::Upload(..)
        | Location::Output(..)
        | Location::Set(..)
        | Location::Sequence(..) => Ok(location),
    }
}

/// Whether a path names the files of an image sequence.
fn is_pattern(path: &str) -> bool {
    path.rsplit('/').next().and_then(Pattern::of).is_some()
}

fn outputs(
    requests: &[OutputRequest],
    input: &Location,
    asking: Asking<'_>,
) -> Result<Vec<OutputSpec>, BadRequest> {
    let default = [OutputRequest::default()];
    let requests = if requests.is_empty() { &default[..] } else { requests };
    if requests.len() > MAX_OUTPUTS {
        let message = format!("{} outputs are more than a job may have ({MAX_OUTPUTS})", requests.len());
        return Err(BadRequest::at("outputs", message));
    }
    let mut taken = Taken::default();
    let mut specs = Vec::with_capacity(requests.len());
    for (i, request) in requests.iter().enumerate() {
        let path = format!("outputs[{i}]");
        let spec = output(&path, request, input, asking)?;
        let index = sprite_index(&path, &spec)?;
        for spec in std::iter::once(spec).chain(index) {
            taken.take(&path, &spec, |place| place == input.place())?;
            specs.push(spec);
        }
    }
    if specs.len() > MAX_OUTPUTS {
        let message = format!(
            "with the indexes of sprites these are {} outputs, more than a job may have ({MAX_OUTPUTS})",
            specs.len()
        );
        return Err(BadRequest::at("outputs", message));
    }
    Ok(specs)
}

/// The index beside a sprite sheet: an output like it, with another ending.
fn sprite_index(path: &str, sheet: &OutputSpec) -> Result<Option<OutputSpec>, BadRequest> {
    let extract = sheet.settings.extract.as_deref();
    let Some(Extract { what: Extracted::Sprite(sprite), .. }) = extract else { return Ok(None) };
    let what = Extracted::SpriteIndex(sprite.clone());
    let beside = |file: &str| {
        let name_at = file.rfind('/').map_or(0, |slash| slash + 1);
        let stem =
            file[name_at..].rfind('.').filter(|dot| *dot > 0).map_or(file, |dot| &file[..name_at + dot]);
        format!("{stem}.{}", what.ending())
    };
    let name = beside(sheet.name.as_str());
    let name = name.parse().map_err(|e| BadRequest::at(format!("{path}.name"), format!("{e}")))?;
    let destination = match &sheet.destination {
        Destination::Place(Location::File(file)) => Destination::Place(Location::File(beside(file))),
        other => other.clone(),
    };
    let settings = EncodeSettings::of_extract(Extract { what, max_bytes: None });
    Ok(Some(OutputSpec { name, destination, settings, ..sheet.clone() }))
}

/// Names and places that outputs of a job have.
#[derive(Debug, Default)]
pub(super) struct Taken {
    names: BTreeSet<FileName>,
    places: BTreeSet<Location>,
}

impl Taken {
    /// Takes in an output, which is described at `path`, if it clashes with none before and writes over no input.
    pub(super) fn take(
        &mut self,
        path: &str,
        spec: &OutputSpec,
        is_input: impl Fn(&Location) -> bool,
    ) -> Result<(), BadRequest> {
        if !self.names.insert(spec.name.clone()) {
            let message = format!("two outputs have the name '{}'; give each its own", spec.name);
            return Err(BadRequest::at(format!("{path}.name"), message));
        }
        if let Destination::Place(place) = &spec.destination
            && (is_input(place) || !self.places.insert(place.clone()))
        {
            let what = if is_input(place) { "is the input itself" } else { "is another output's too" };
            return Err(BadRequest::at(format!("{path}.destination"), format!("{place} {what}")));
        }
        Ok(())
    }
}

pub(super) fn output(
    path: &str,
    request: &OutputRequest,
    input: &Location,
    asking: Asking<'_>,
) -> Result<OutputSpec, BadRequest> {
    let whole = preset::of_output(path, request, asking.presets)?;
    let request = &*whole;
    let mut settings = making::settings(path, request)?;
    let suffix = suffix(path, request)?;
    let name = match &request.name {
        Some(name) => name.parse().map_err(|e| BadRequest::at(format!("{path}.name"), format!("{e}")))?,
        None => default_name(input, suffix, &settings),
    };
    let destination = match &request.destination {
        Some(text) => Destination::Place(place(&format!("{path}.destination"), text, &name)?),
        None => Destination::Depot,
    };
    if let Some(Extract { what: Extracted::Sprite(sprite), .. }) = settings.extract.as_deref_mut() {
        sprite.name = match &destination {
            Destination::Place(place) => place.file_name(),
            Destination::Depot => name.to_string(),
        };
    }
    Ok(OutputSpec {
        name,
        destination,
        settings,
        optional: request.optional,
        audience: ranged(&format!("{path}.audience"), request.audience.unwrap_or(0), 0, 100)?,
    })
}

fn place(path: &str, text: &str, name: &FileName) -> Result<Location, BadRequest> {
    let bad = |message: String| BadRequest::at(path, message);
    match text.parse::<Location>().map_err(|e| bad(e.to_string()))? {
        Location::File(mut file) => {
            if file.ends_with('/') {
                file.push_str(name.as_str());
            }
            Ok(Location::File(file))
        }
        Location::Upload(..)
        | Location::Staged(..)
        | Location::Output(..)
        | Location::Set(..)
        | Location::Sequence(..) => Err(bad(no_place(text))),
    }
}

/// A place of the farm's own was named where something is to be written.
pub(super) fn no_place(text: &str) -> String {
    let text: String = text.chars().take(200).collect();
    format!(
        "'{text}' is no place to write to: use an absolute path or file:// URL, or leave it out and the depot keeps what is made"
    )
}

/// What stands before the ending of a name that is left out.
pub(super) fn suffix<'a>(path: &str, request: &'a OutputRequest) -> Result<&'a str, BadRequest> {
    let suffix = request.suffix.as_deref().unwrap_or_default();
    let path = format!("{path}.suffix");
    if suffix.len() > MAX_SUFFIX {
        let message = format!("{} bytes are too many; at most {MAX_SUFFIX}", suffix.len());
        return Err(BadRequest::at(path, message));
    }
    if suffix.contains(['/', '\\']) {
        return Err(BadRequest::at(path, "is part of a file's name and has no '/' or '\\'"));
    }
    text(&path, suffix, MAX_SUFFIX)
}

/// The input's name with a suffix and another ending; an upload has only its hash, of which the first digits must do.
fn default_name(input: &Location, suffix: &str, settings: &EncodeSettings) -> FileName {
    let ending = settings.ending();
    let file = input.file_name();
    let pattern = Pattern::of(&file);
    let stem = match (input.place(), &pattern) {
        (Location::Upload(..), _) => &file[..12],
        (_, Some(pattern)) => pattern.stem(),
        _ => file.rsplit_once('.').map_or(file.as_str(), |(stem, _)| stem),
    };
    let mut stem: String =
        stem.trim_start_matches('.').chars().filter(|c| !c.is_control() && *c != '\\').collect();
    while stem.len() > 190 - suffix.len() {
        stem.pop();
    }
    let stem = if stem.is_empty() { "output" } else { &stem };
    format!("{stem}{suffix}.{ending}").parse().expect("a cleaned stem of at most 190 bytes is a file name")
}

fn name(request: &JobRequest, work: &Work) -> Result<String, BadRequest> {
    let name = match (&request.name, work) {
        (Some(name), _) => return text("name", name, MAX_NAME).map(ToOwned::to_owned),
        (None, Work::Noop { .. } | Work::Graph { .. } | Work::Trial { .. }) => String::new(),
        (None, Work::Probe { input } | Work::Encode { input, .. } | Work::Stream { input, .. }) => {
            input.file_name()
        }
        (None, Work::Probes { inputs, .. }) => match inputs.as_slice() {
            [one] => one.file_name(),
            several => format!("{} files", several.len()),
        },
    };
    Ok(name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect())
}

pub(super) fn labels(labels: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, BadRequest> {
    if labels.len() > MAX_LABELS {
        let message = format!("{} labels are more than a job may have ({MAX_LABELS})", labels.len());
        return Err(BadRequest::at("labels", message));
    }
    for (key, value) in labels {
        let short: String = key.chars().take(60).collect();
        let path = format!("labels.{short}");
        if key.is_empty() || key.contains([':', '=']) {
            return Err(BadRequest::at(path, "a label's key is not empty and has no ':' or '='"));
        }
        text(&path, key, MAX_LABEL)?;
        text(&path, value, MAX_LABEL)?;
    }
    Ok(labels.clone())
}

pub(super) fn text<'a>(path: &str, text: &'a str, limit: usize) -> Result<&'a str, BadRequest> {
    let count = text.chars().count();
    if count > limit {
        return Err(BadRequest::at(path, format!("{count} characters are too many; at most {limit}")));
    }
    if text.chars().any(char::is_control) {
        return Err(BadRequest::at(path, "control characters are not allowed"));
    }
    Ok(text)
}

pub(super) fn ranged<T: TryFrom<i64>>(path: &str, value: i64, low: i64, high: i64) -> Result<T, BadRequest> {
    T::try_from(value)
        .ok()
        .filter(|_| (low..=high).contains(&value))
        .ok_or_else(|| BadRequest::at(path, format!("should be {low} to {high}, not {value}")))
}
