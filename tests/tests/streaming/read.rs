//! What programs of others read in a set, by `read.mjs`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use rushes_tests::binaries;
use serde::Deserialize;

/// All of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Read {
    /// What a reader said beside its result.
    pub(crate) complaints: Vec<String>,
    /// Why a reader went no further.
    pub(crate) refused: Option<String>,
    pub(crate) hls: Option<Playlists>,
    pub(crate) dash: Option<Manifest>,
    /// By rendition.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, Files>,
    /// Where there is a schema.
    pub(crate) schema: Option<Schema>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Schema {
    pub(crate) valid: bool,
    pub(crate) errors: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Playlists {
    pub(crate) independent: bool,
    pub(crate) variants: Vec<Variant>,
    pub(crate) sounds: Vec<Sound>,
    /// By rendition.
    pub(crate) lists: BTreeMap<String, Playlist>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Variant {
    pub(crate) list: String,
    pub(crate) bandwidth: u64,
    pub(crate) average: u64,
    pub(crate) codecs: String,
    pub(crate) size: (u32, u32),
    pub(crate) frame_rate: f64,
    pub(crate) sounds: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Sound {
    pub(crate) language: Option<String>,
    pub(crate) channels: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Playlist {
    pub(crate) target: u32,
    pub(crate) ended: bool,
    pub(crate) kind: String,
    pub(crate) version: u32,
    pub(crate) segments: Vec<Listed>,
}

/// A segment as a manifest lists it; times in seconds.
#[derive(Debug, Deserialize)]
pub(crate) struct Listed {
    pub(crate) uri: String,
    pub(crate) init: String,
    pub(crate) length: f64,
    /// When it begins; of DASH alone.
    pub(crate) at: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) duration: f64,
    pub(crate) video: Vec<Representation>,
    pub(crate) audio: Vec<Representation>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Representation {
    pub(crate) name: String,
    pub(crate) bandwidth: u64,
    pub(crate) codecs: String,
    pub(crate) size: (u32, u32),
    pub(crate) segments: Vec<Listed>,
}

/// What the boxes of a rendition's files say.
#[derive(Debug, Deserialize)]
pub(crate) struct Files {
    pub(crate) timescale: u32,
    pub(crate) codec: String,
    pub(crate) brands: Vec<String>,
    /// Units that the edit list leaves out at the begin.
    pub(crate) skip: i64,
    pub(crate) segments: Vec<Segment>,
}

/// A segment's file; times in units.
#[derive(Debug, Deserialize)]
pub(crate) struct Segment {
    pub(crate) bytes: u64,
    pub(crate) fragments: u32,
    pub(crate) number: u32,
    pub(crate) brands: Vec<String>,
    /// When the first sample is decoded.
    pub(crate) base: i64,
    pub(crate) durations: Vec<i64>,
    pub(crate) sizes: Vec<u64>,
    /// From decoding to presentation; none where they are the same.
    pub(crate) offsets: Vec<i64>,
    /// Of the first sample.
    pub(crate) flags: u32,
}

/// Reads a set. The schema of DASH manifests is where `RUSHES_DASH_SCHEMA` says; no registry of packages has it.
pub(crate) fn set(modules: &Path, set: &Path) -> Read {
    let script = binaries::repository().join("tests/tests/streaming/read.mjs");
    let run = Command::new("node")
        .arg(script)
        .args([modules, set])
        .args(std::env::var_os("RUSHES_DASH_SCHEMA"))
        .output()
        .expect("npm comes with node");
    let complaint = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success() && complaint.is_empty(), "{complaint}");
    serde_json::from_slice(&run.stdout).expect("JSON")
}
