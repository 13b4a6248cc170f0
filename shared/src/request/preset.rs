//! Presets: outputs that have a name, so that jobs need not spell them out.
//!
//! ```text
//! description = "H.264 and AAC in MP4"     preset = "web"            [[outputs]]
//! [[outputs]]                              input = "film.mov"        preset = "web"
//! video = { crf = 23 }                                               video = { max_height = 720 }
//! a preset's file                          a job                     one output of a job
//! ```
//! Instead of outputs a preset may have `[stream]`: a whole streaming set. What an output or a set says itself goes before what its preset says. What decides the bits goes together: an output with a bit
//! rate of its own has nothing of its preset's rate factor.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::reading::{nearest, read_preset, with_line};
use super::{BadRequest, Format, JobKind, JobRequest, MAX_OUTPUTS, OutputRequest, StreamRequest, making};

/// Those that every program brings along.
const EMBEDDED: &[(&str, &str)] = &[
    ("abr-av1", include_str!("../../../configs/presets/abr-av1.toml")),
    ("abr-full", include_str!("../../../configs/presets/abr-full.toml")),
    ("abr-h264", include_str!("../../../configs/presets/abr-h264.toml")),
    ("abr-hevc", include_str!("../../../configs/presets/abr-hevc.toml")),
    ("archive", include_str!("../../../configs/presets/archive.toml")),
    ("broadcast-loudness", include_str!("../../../configs/presets/broadcast-loudness.toml")),
    ("podcast", include_str!("../../../configs/presets/podcast.toml")),
    ("preview", include_str!("../../../configs/presets/preview.toml")),
    ("proxy", include_str!("../../../configs/presets/proxy.toml")),
    ("web", include_str!("../../../configs/presets/web.toml")),
];
/// Longest name of a preset, in bytes.
const MAX_PRESET_NAME: usize = 64;
/// Longest text of a preset, in bytes.
const MAX_PRESET_TEXT: usize = 64 << 10;
/// Most presets.
const MAX_PRESETS: usize = 1_000;

/// A named way to make files from one.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// What jobs name it by: 1 to 64 of `a-z`, `0-9`, `-` and `_`.
    pub name: String,
    /// What it is for, in a line.
    pub description: String,
    /// The files that it makes, 1 to 32, without names and places; none where it makes a set.
    pub outputs: Vec<OutputRequest>,
    /// The set that it makes, without a place.
    pub stream: Option<StreamRequest>,
    /// The file that it was read from.
    pub text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    description: String,
    #[serde(default)]
    outputs: Vec<OutputRequest>,
    stream: Option<StreamRequest>,
}

impl Preset {
    /// Reads a preset's file, TOML, and tries all that it says.
    ///
    /// # Errors
    /// [`BadRequest`] with the line: other syntax, an unknown key, a value out of its range, settings that do not go
    /// together, no outputs, an output with a name or place.
    pub fn read(name: &str, text: &str) -> Result<Self, BadRequest> {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || name.len() > MAX_PRESET_NAME || !name.chars().all(known) {
            let short: String = name.chars().take(80).collect();
            let message = format!("'{short}' cannot be a preset's name: use 1 to 64 of a-z, 0-9, - and _");
            return Err(BadRequest::at("", message));
        }
        if text.len() > MAX_PRESET_TEXT {
            let message = format!("{} bytes are more than a preset may have ({MAX_PRESET_TEXT})", text.len());
            return Err(BadRequest::at("", message));
        }
        let Document { description, outputs, stream } = read_preset(text)?;
        let checked = super::settling::text("description", &description, 200).and_then(|_| match &stream {
            None => check_outputs(&outputs),
            Some(stream) => check_stream(stream, &outputs),
        });
        checked.map_err(|bad| with_line(bad, Format::Toml, text))?;
        Ok(Self { name: name.to_owned(), description, outputs, stream, text: text.to_owned() })
    }
}

const A_JOBS_TO_SAY: &str = "is a job's to say, not a preset's; leave it out";

fn check_stream(stream: &StreamRequest, outputs: &[OutputRequest]) -> Result<(), BadRequest> {
    if !outputs.is_empty() {
        return Err(BadRequest::at(
            "outputs",
            "a preset makes files or a set for streaming; leave one of the two out",
        ));
    }
    if stream.destination.is_some() {
        return Err(BadRequest::at("stream.destination", A_JOBS_TO_SAY));
    }
    super::stream::settings(stream).map(drop)
}

fn check_outputs(outputs: &[OutputRequest]) -> Result<(), BadRequest> {
    if !(1..=MAX_OUTPUTS).contains(&outputs.len()) {
        let message = format!("a preset makes 1 to {MAX_OUTPUTS} files, not {}", outputs.len());
        return Err(BadRequest::at("outputs", message));
    }
    let mut suffixes: Vec<(String, &str)> = Vec::new();
    for (i, output) in outputs.iter().enumerate() {
        let path = format!("outputs[{i}]");
        let own = [("name", &output.name), ("destination", &output.destination), ("preset", &output.preset)];
        if let Some((field, _)) = own.iter().find(|(_, given)| given.is_some()) {
            return Err(BadRequest::at(format!("{path}.{field}"), A_JOBS_TO_SAY));
        }
        let settings = making::settings(&path, output)?;
        let suffix = super::settling::suffix(&path, output)?;
        let file = (suffix.to_owned(), settings.ending());
        if suffixes.contains(&file) {
            let message = "an output before has the same ending and suffix; give each its own suffix";
            return Err(BadRequest::at(format!("{path}.suffix"), message));
        }
        suffixes.push(file);
    }
    Ok(())
}

/// Presets by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Presets(BTreeMap<String, Preset>);

impl Default for Presets {
    fn default() -> Self {
        Self::embedded()
    }
}

impl Presets {
    /// Those that every program brings along.
    ///
    /// # Panics
    /// Never: a test reads all of them.
    #[must_use]
    pub fn embedded() -> Self {
        let read = |&(name, text): &(&str, &str)| {
            (name.to_owned(), Preset::read(name, text).expect("embedded presets are right"))
        };
        Self(EMBEDDED.iter().map(read).collect())
    }

    /// Adds one, in the place of another of its name.
    ///
    /// # Errors
    /// [`BadRequest`] where there are 1,000 already.
    pub fn add(&mut self, preset: Preset) -> Result<(), BadRequest> {
        if self.0.len() >= MAX_PRESETS && !self.0.contains_key(&preset.name) {
            return Err(BadRequest::at("", format!("there are {MAX_PRESETS} presets already")));
        }
        self.0.insert(preset.name.clone(), preset);
        Ok(())
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Preset> {
        self.0.values()
    }

    /// The one of this name.
    ///
    /// # Errors
    /// [`BadRequest`] at `path` with the nearest name where there is none.
    pub fn find(&self, path: &str, name: &str) -> Result<&Preset, BadRequest> {
        self.0.get(name).ok_or_else(|| {
            let short: String = name.chars().take(60).collect();
            let nearest = nearest(name, self.0.keys().map(String::as_str)).unwrap_or_default();
            BadRequest::at(path, format!("there is no preset '{short}'; did you mean '{nearest}'?"))
        })
    }
}

/// The same job without its preset, but with what that says.
pub(super) fn of_job<'a>(
    request: &'a JobRequest,
    presets: &Presets,
) -> Result<Cow<'a, JobRequest>, BadRequest> {
    let Some(name) = &request.preset else { return Ok(Cow::Borrowed(request)) };
    if !matches!(request.kind, JobKind::Encode | JobKind::Stream) {
        let message = format!("a job of kind '{}' has no such field", request.kind.as_str());
        return Err(BadRequest::at("preset", message));
    }
    if !request.outputs.is_empty() {
        let message =
            "says which files to make, and so does 'outputs'; give it to the outputs, or leave them out";
        return Err(BadRequest::at("preset", message));
    }
    let preset = presets.find("preset", name)?;
    let whole = JobRequest { preset: None, ..request.clone() };
    Ok(Cow::Owned(match &preset.stream {
        Some(stream) => {
            let own = request.stream.clone().unwrap_or_default();
            JobRequest { kind: JobKind::Stream, stream: Some(stream.with(&own)?), ..whole }
        }
        None if request.kind == JobKind::Stream => {
            let message =
                format!("'{name}' makes files and no set for streaming; name another, or leave the kind out");
            return Err(BadRequest::at("preset", message));
        }
        None => JobRequest { outputs: preset.outputs.clone(), ..whole },
    }))
}

/// The same output without its preset, but with what that says.
pub(super) fn of_output<'a>(
    path: &str,
    request: &'a OutputRequest,
    presets: &Presets,
) -> Result<Cow<'a, OutputRequest>, BadRequest> {
    let Some(name) = &request.preset else { return Ok(Cow::Borrowed(request)) };
    let field = format!("{path}.preset");
    let preset = presets.find(&field, name)?;
    let [base] = &preset.outputs[..] else {
        let message =
            format!("'{name}' makes {} files; name it for the job as a whole", preset.outputs.len());
        return Err(BadRequest::at(field, message));
    };
    let own = OutputRequest { preset: None, ..request.clone() };
    base.with(&own).map(Cow::Owned).map_err(|bad| BadRequest::at(path, bad.message))
}

/// Fields of which one that is said unsays the others of its preset.
const TOGETHER: &[(&str, &[&str])] = &[
    ("rate", &["crf", "bitrate", "max_bitrate"]),
    ("crf", &["rate", "bitrate"]),
    ("bitrate", &["rate", "crf", "variant", "quality", "max_bitrate"]),
    ("variant", &["bitrate", "quality"]),
    ("quality", &["bitrate", "variant"]),
    ("codec", &["crf", "profile", "bitrate", "variant", "quality", "bits", "rate", "max_bitrate"]),
    ("loudness", &["true_peak"]),
    ("sound", &["sound_bitrate", "sound_variants"]),
    ("sound_bitrate", &["sound_variants"]),
    ("sound_variants", &["sound_bitrate"]),
];

/// `own` over `base`.
pub(super) fn over<T: Serialize + DeserializeOwned>(base: &T, own: &T) -> Result<T, String> {
    let value = |request: &T| serde_json::to_value(request).map_err(|e| e.to_string());
    let (mut whole, own) = (value(base)?, value(own)?);
    lay(&mut whole, own);
    serde_json::from_value(whole).map_err(|e| e.to_string())
}

fn lay(under: &mut Json, over: Json) {
    match (under, over) {
        (Json::Object(under), Json::Object(over)) => {
            for key in over.keys() {
                unsay(under, key);
            }
            for (key, value) in over {
                match under.get_mut(&key) {
                    Some(place) => lay(place, value),
                    None => drop(under.insert(key, value)),
                }
            }
        }
        (place, value) => *place = value,
    }
}

fn unsay(under: &mut Map<String, Json>, key: &str) {
    let others = TOGETHER.iter().filter(|(said, _)| *said == key).flat_map(|(_, others)| *others);
    for other in others {
        under.remove(*other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{Container, RateControl, VideoCodec};

    #[test]
    fn embedded_presets_are_right_and_say_what_they_are_for() {
        let presets = Presets::embedded();
        assert!(presets.iter().all(|preset| !preset.description.is_empty()));
        let web = presets.find("preset", "web").unwrap();
        let settings = web.outputs[0].settings(&presets).unwrap();
        assert_eq!(settings.container, Container::Mp4);
    }

    #[test]
    fn what_an_output_says_goes_before_its_preset_and_bits_go_together() {
        let text = "outputs = [{ video = { crf = 20, max_bitrate = \"8M\", max_height = 1080, preset = \"slow\" }, \
                    audio = { variant = \"high\" } }]";
        let mut presets = Presets::embedded();
        presets.add(Preset::read("mine", text).unwrap()).unwrap();
        let made = |own: &str| {
            let own: OutputRequest = serde_json::from_str(own).unwrap();
            own.settings(&presets).unwrap()
        };
        let plain = made(r#"{"preset": "mine"}"#);
        let video = plain.video.unwrap();
        assert_eq!(video.rate, RateControl::CappedCrf { crf: 20, peak_bps: 8_000_000 });
        assert_eq!((video.max_height, plain.audio.unwrap().bitrate_bps), (Some(1080), 320_000));
        let own = made(r#"{"preset": "mine", "video": {"bitrate": "3M"}, "audio": {"bitrate": "64k"}}"#);
        let video = own.video.unwrap();
        assert_eq!(video.rate, RateControl::TwoPass { bitrate_bps: 3_000_000, peak_bps: None });
        assert_eq!((video.max_height, own.audio.unwrap().bitrate_bps), (Some(1080), 64_000));
        assert_eq!(made(r#"{"preset": "mine", "audio": false}"#).audio, None);
        let other = made(r#"{"preset": "mine", "video": {"codec": "hevc"}}"#).video.unwrap();
        assert_eq!((other.codec, other.rate), (VideoCodec::Hevc, RateControl::Crf(28)));
    }

    #[test]
    fn mistakes_in_presets_name_their_line() {
        let refused = |text: &str, expected: &str| {
            let error = Preset::read("mine", text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}\ngave: {error}\nexpected: {expected}");
        };
        refused(
            "description = 'a'\n[[outputs]]\n[outputs.video]\ncfr = 20",
            "line 4: outputs[0].video.cfr: there is no such field; did you mean 'crf'?",
        );
        refused("[[outputs]]\nvideo.crf = 99", "line 2: outputs[0].video.crf: should be 0 to 51, not 99");
        refused("[[outputs]]\nname = 'a.mp4'", "line 2: outputs[0].name: is a job's to say");
        refused("[[outputs]]\n[[outputs]]", "outputs[1].suffix: an output before has the same");
        refused("description = 'a'", "a preset makes 1 to 32 files, not 0");
        refused("[[outputs]]\nsuffix = '../a'", "line 2: outputs[0].suffix: ");
        refused("inputs = 3", "did you mean 'outputs'?");
        refused("[stream]\nsegment_s = 99", "line 2: stream.segment_s: should be 1 to 30, not 99");
        refused("[stream]\ndestination = '/out'", "line 2: stream.destination: is a job's to say");
        refused("[stream]\n[[outputs]]", "outputs: a preset makes files or a set");
        assert!(Preset::read("Mine!", "[[outputs]]").is_err());
        let missing = Presets::embedded().find("preset", "wbe").unwrap_err().to_string();
        assert_eq!(missing, "preset: there is no preset 'wbe'; did you mean 'web'?");
    }
}
