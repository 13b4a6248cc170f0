//! Media to measure with: real pictures of several kinds where there are any, else the demo's clip again and again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::program;

/// Size, rate and sound of the clips that are made here.
const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
const RATE: u32 = 30;

/// Sources of the mixed clip, in order: each as it was filmed, drawn or rendered.
const SOURCES: [&str; 7] = [
    "natural_butterfly_720p30.mp4",
    "people_dog_720p30.mp4",
    "anim_bunny_1080p24.mp4",
    "sport_ball_juggle_720p24.mp4",
    "natural_crossroads_1080p24.mp4",
    "game_arena_720p60.mp4",
    "call_two_people_720p25.webm",
];

/// Media to choose from: what RUSHES_MEDIA names, else `../shared/media`, where one of them exists.
#[must_use]
pub fn media_dir() -> Option<PathBuf> {
    let given = std::env::var_os("RUSHES_MEDIA").map(PathBuf::from);
    let dir = given.unwrap_or_else(|| root().join("../shared/media"));
    dir.canonicalize().ok().filter(|dir| dir.is_dir())
}

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// The demo's clip, which is always there.
///
/// # Errors
/// Where the checkout is gone.
pub fn bunny() -> Result<PathBuf> {
    root().join("tests/media/bigbuckbunny.mp4").canonicalize().context("find tests/media/bigbuckbunny.mp4")
}

/// A clip of that many seconds, 1280x720 at 30 frames a second with stereo sound, H.264 and AAC at high quality. Made
/// once and kept in `dir`.
///
/// # Errors
/// Where ffmpeg fails.
pub fn clip(dir: &Path, seconds: u32) -> Result<PathBuf> {
    let found: Vec<PathBuf> = media_dir()
        .map(|media| {
            SOURCES.iter().map(|name| media.join("video").join(name)).filter(|p| p.is_file()).collect()
        })
        .unwrap_or_default();
    let (kind, sources) = if found.len() > 1 { ("mixed", found) } else { ("bunny", vec![bunny()?]) };
    let dir = dir.join("media");
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let path = dir.join(format!("{kind}-{seconds}s.mp4"));
    if path.is_file() {
        return Ok(path);
    }
    let draft = path.with_extension("draft.mp4");
    make(&sources, seconds, &draft)?;
    fs::rename(&draft, &path).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// Four films beside and above each other: 3840x2160 at 24 frames a second with stereo sound. Made once and kept in `dir`.
///
/// # Errors
/// Where ffmpeg fails.
pub fn mosaic(dir: &Path, seconds: u32) -> Result<PathBuf> {
    let found: Option<Vec<PathBuf>> = media_dir().map(|media| {
        let of_many = SOURCES.iter().map(|name| media.join("video").join(name));
        of_many.filter(|path| path.is_file()).take(4).collect()
    });
    let (kind, sources) = match found.filter(|found| found.len() == 4) {
        Some(found) => ("mixed", found),
        None => ("bunny", vec![bunny()?; 4]),
    };
    let dir = dir.join("media");
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let path = dir.join(format!("{kind}-2160p-{seconds}s.mp4"));
    if path.is_file() {
        return Ok(path);
    }
    let draft = path.with_extension("draft.mp4");
    let mut command = ffmpeg();
    let mut filter = String::new();
    for (at, source) in sources.iter().enumerate() {
        command.arg("-i").arg(source);
        filter += &format!("[{at}:v:0]scale=1920:1080:flags=lanczos,setsar=1,fps=24,format=yuv420p[v{at}];");
    }
    filter += "[v0][v1]hstack[top];[v2][v3]hstack[low];[top][low]vstack[v]";
    command.args(["-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000"]);
    command.args([
        "-filter_complex",
        &filter,
        "-map",
        "[v]",
        "-map",
        "4:a",
        "-ac",
        "2",
        "-t",
        &seconds.to_string(),
    ]);
    command.args(["-c:v", "libx264", "-preset", "veryfast", "-crf", "14", "-c:a", "aac"]);
    program::run(command.arg(&draft))?;
    fs::rename(&draft, &path).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

fn make(sources: &[PathBuf], seconds: u32, to: &Path) -> Result<()> {
    let mut command = ffmpeg();
    let (mut inputs, mut filters, mut chain) = (0, String::new(), String::new());
    let mut length = 0.0;
    for source in sources.iter().cycle() {
        if length >= f64::from(seconds) {
            break;
        }
        let (duration, has_sound) = facts(source)?;
        command.arg("-i").arg(source);
        filters += &format!(
            "[{inputs}:v:0]trim=duration={duration},scale={WIDTH}:{HEIGHT},setsar=1,fps={RATE},format=yuv420p[v{inputs}];"
        );
        let sound = "aresample=48000,aformat=channel_layouts=stereo:sample_fmts=fltp";
        filters += &if has_sound {
            format!("[{inputs}:a:0]{sound},apad,atrim=duration={duration}[a{inputs}];")
        } else {
            format!("anullsrc=r=48000:cl=stereo,{sound},atrim=duration={duration}[a{inputs}];")
        };
        chain += &format!("[v{inputs}][a{inputs}]");
        inputs += 1;
        length += duration;
    }
    filters += &format!("{chain}concat=n={inputs}:v=1:a=1[v][a]");
    command.args(["-filter_complex", &filters, "-map", "[v]", "-map", "[a]", "-t", &seconds.to_string()]);
    command.args(["-c:v", "libx264", "-preset", "veryfast", "-crf", "16", "-c:a", "aac", "-b:a", "192k"]);
    program::run(command.args(["-movflags", "+faststart"]).arg(to))?;
    Ok(())
}

/// Length in seconds, and whether there is sound.
fn facts(path: &Path) -> Result<(f64, bool)> {
    let ask = |entries: &str, streams: &[&str]| {
        let mut command = Command::new("ffprobe");
        command.args(["-v", "error"]).args(streams).args(["-show_entries", entries, "-of", "csv=p=0"]);
        program::answer(command.arg(path))
    };
    let text = ask("format=duration", &[])?;
    let duration = text.parse().with_context(|| format!("read the length of {}", path.display()))?;
    Ok((duration, !ask("stream=index", &["-select_streams", "a"])?.is_empty()))
}

/// Number of video frames in a file, by its packets.
///
/// # Errors
/// Where ffprobe fails.
pub fn frames(path: &Path) -> Result<u64> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0", "-count_packets"]);
    command.args(["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0"]);
    let text = program::answer(command.arg(path))?;
    text.trim_end_matches(',').parse().with_context(|| format!("count the frames of {}", path.display()))
}

/// ffmpeg, quiet.
#[must_use]
pub fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]);
    command
}

/// ffmpeg as the peer of an encode with the farm's default settings.
#[must_use]
pub fn ffmpeg_encode(input: &Path, output: &Path) -> Command {
    let mut command = ffmpeg();
    command.arg("-i").arg(input).args(["-c:v", "libx264", "-preset", "medium", "-crf", "23"]);
    command.args(["-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart"]).arg(output);
    command
}

/// ffmpeg as the peer of the check: decodes a file whole.
#[must_use]
pub fn ffmpeg_decode(input: &Path) -> Command {
    let mut command = ffmpeg();
    command.arg("-i").arg(input).args(["-f", "null", "-"]);
    command
}

/// Files to probe: copies of every clip of at most 4 MiB in turn, that many.
///
/// # Errors
/// Where they cannot be made.
pub fn files(dir: &Path, count: usize) -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    if let Some(media) = media_dir() {
        for entry in fs::read_dir(media.join("video")).context("read the media directory")? {
            let path = entry?.path();
            if path.is_file() && path.metadata()?.len() <= 4 << 20 {
                sources.push(path);
            }
        }
        sources.sort();
    }
    if sources.is_empty() {
        sources.push(bunny()?);
    }
    let mut files = Vec::with_capacity(count);
    for (number, source) in sources.iter().cycle().take(count).enumerate() {
        let name = source.file_name().and_then(|n| n.to_str()).unwrap_or("clip");
        let path = dir.join(format!("{number:04}-{name}"));
        fs::copy(source, &path).with_context(|| format!("copy {}", source.display()))?;
        files.push(path);
    }
    if files.len() < count {
        bail!("only {} of {count} files could be made", files.len());
    }
    Ok(files)
}
