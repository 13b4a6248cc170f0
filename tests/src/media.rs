//! Clips to encode, made once and kept in the target directory, and what another program says about a result.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::binaries;
use crate::program::succeed;

/// The real clip that comes with the project: 5.3 s of animation with sound.
#[must_use]
pub fn big_buck_bunny() -> PathBuf {
    binaries::repository().join("tests/media/bigbuckbunny.mp4")
}

/// Where the other clips are; the directory is there when this returns, for a farm that is told to read from it.
///
/// # Panics
/// When the target directory cannot be written.
#[must_use]
pub fn folder() -> PathBuf {
    let folder = binaries::target().join("test-clips");
    fs::create_dir_all(&folder).expect("the target directory can be written");
    folder
}

/// Three seconds with sound; encoded in a moment.
#[must_use]
pub fn short() -> PathBuf {
    made("short.mp4", &source("320x180", 3, "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac"))
}

/// A clip whose encode takes several seconds on any machine with a slow preset, so that things can happen in it.
#[must_use]
pub fn long() -> PathBuf {
    made("long8.mp4", &source("480x270", 8, "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac"))
}

/// A minute and a few frames with sound: long enough to be encoded in pieces.
#[must_use]
pub fn minute() -> PathBuf {
    let picture = "testsrc2=size=320x180:rate=25:duration=62.4,noise=alls=8:allf=t";
    let sound = "sine=frequency=330:sample_rate=48000:duration=62.4";
    let inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound];
    let codecs = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac"];
    made("film-62s.mp4", &inputs.iter().chain(&codecs).map(|word| (*word).to_owned()).collect::<Vec<_>>())
}

/// Thirteen seconds with sound, large enough for two rungs of a ladder.
#[must_use]
pub fn film() -> PathBuf {
    let picture = "testsrc2=size=854x480:rate=25:duration=13";
    let sound = "sine=frequency=330:sample_rate=48000:duration=13";
    let inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound];
    let codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"];
    made("film-13s.mp4", &inputs.iter().chain(&codecs).map(|word| (*word).to_owned()).collect::<Vec<_>>())
}

/// Four seconds in 1920x1080 with noise, of which no encoder can make less than it is told to.
#[must_use]
pub fn broad() -> PathBuf {
    let picture = "testsrc2=size=1920x1080:rate=25:duration=4";
    let sound = "anoisesrc=color=pink:amplitude=0.3:sample_rate=48000:duration=4:seed=7";
    let inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound];
    let codecs =
        ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "256k"];
    made("broad.mp4", &inputs.iter().chain(&codecs).map(|word| (*word).to_owned()).collect::<Vec<_>>())
}

/// Two seconds without sound.
#[must_use]
pub fn silent() -> PathBuf {
    let picture = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2", "-c:v", "libx264"];
    made("silent.mp4", &picture.map(str::to_owned))
}

/// Sound alone.
#[must_use]
pub fn sound() -> PathBuf {
    made("sound.mp4", &["-f", "lavfi", "-i", "sine=440:duration=2", "-c:a", "aac"].map(str::to_owned))
}

fn source(size: &str, seconds: u32, codecs: &str) -> Vec<String> {
    let picture = format!("testsrc2=size={size}:rate=25:duration={seconds},noise=alls=8:allf=t");
    let sound = format!("sine=frequency=330:sample_rate=48000:duration={seconds}");
    let inputs = ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound].map(str::to_owned);
    inputs.into_iter().chain(codecs.split(' ').map(str::to_owned)).collect()
}

fn made(name: &str, arguments: &[String]) -> PathBuf {
    let path = folder().join(name);
    if path.exists() {
        return path;
    }
    // Another test may make it at the same time; the last one wins, and both are the same.
    let draft = folder().join(format!("{}-{name}", std::process::id()));
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y"]).args(arguments).arg(&draft);
    let _silent = succeed(command);
    fs::rename(&draft, &path).expect("the clip can be put into its place");
    path
}

/// What `ffprobe` says about a file, every frame counted.
#[derive(Debug, Clone)]
pub struct Facts(Value);

impl Facts {
    /// Reads a file.
    ///
    /// # Panics
    /// When `ffprobe` cannot read it.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let mut command = Command::new("ffprobe");
        command
            .args(["-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json"])
            .arg(path);
        Self(serde_json::from_str(&succeed(command)).expect("ffprobe writes JSON"))
    }

    /// A field of the first stream of a kind (`video`, `audio`), as text; empty where there is none.
    #[must_use]
    pub fn of_stream(&self, kind: &str, field: &str) -> String {
        let streams = self.0["streams"].as_array().map(Vec::as_slice).unwrap_or_default();
        let value = streams.iter().find(|s| s["codec_type"] == kind).map(|s| &s[field]);
        match value {
            Some(Value::String(text)) => text.clone(),
            Some(other) if !other.is_null() => other.to_string(),
            _ => String::new(),
        }
    }

    /// Decoded video frames.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.of_stream("video", "nb_read_frames").parse().unwrap_or(0)
    }

    /// Length in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.0["format"]["duration"].as_str().and_then(|s| s.parse().ok()).unwrap_or(0.0)
    }

    /// Width and height.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        let side = |field| self.of_stream("video", field).parse().unwrap_or(0);
        (side("width"), side("height"))
    }
}

/// The types of an MP4 file's top boxes, in their order.
///
/// # Panics
/// When it is no MP4 file.
#[must_use]
pub fn boxes(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).expect("the file can be read");
    let mut types = Vec::new();
    let mut at = 0;
    while at + 16 <= bytes.len() {
        let short = u64::from(u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")));
        let size = match short {
            1 => u64::from_be_bytes(bytes[at + 8..at + 16].try_into().expect("eight bytes")),
            0 => (bytes.len() - at) as u64,
            size => size,
        };
        types.push(String::from_utf8_lossy(&bytes[at + 4..at + 8]).into_owned());
        at += usize::try_from(size).expect("test files are small").max(8);
    }
    types
}

/// Names of the files in a folder and below it, sorted; none where there is no such folder.
#[must_use]
pub fn files_in(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    names
}
