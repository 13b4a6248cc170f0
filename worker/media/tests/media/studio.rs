//! Clips made on the spot, and what other programs say of a file.

use std::path::{Path, PathBuf};
use std::process::Command;

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_media::{EncodeJob, Encoded, encode, init, probe};
use rushes_shared::encode::{EncodeSettings, SpeedPreset, VideoSettings};
use rushes_shared::failure::Failure;
use rushes_shared::media::MediaFacts;

/// Two seconds of moving pattern with a tick a second, H.264 and AAC in MP4.
pub(crate) const CLIP: &str = "videotestsrc num-buffers=50 pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=25/1,\
     pixel-aspect-ratio=64/45,colorimetry=bt709 ! x264enc speed-preset=veryfast ! h264parse ! queue max-size-time=0 ! mux. \
     audiotestsrc num-buffers=94 samplesperbuffer=1024 wave=ticks apply-tick-ramp=true tick-interval=700000000 ! \
     audio/x-raw,rate=48000,channels=2 ! audioconvert ! avenc_aac ! aacparse ! queue ! mux. mp4mux name=mux faststart=true";

/// The same picture as VP8 in WebM, without sound.
pub(crate) const WEBM: &str = "videotestsrc num-buffers=30 ! video/x-raw,format=I420,width=176,height=144,framerate=30000/1001 ! \
     vp8enc deadline=1 ! webmmux name=mux";

/// Sound only.
pub(crate) const SOUND: &str = "audiotestsrc num-buffers=50 ! audio/x-raw,rate=44100,channels=1 ! audioconvert ! avenc_aac ! aacparse ! mp4mux name=mux";

/// Makes a file with a pipeline whose last element is called `mux`.
pub(crate) fn make(pipeline: &str, file: &Path) {
    init().unwrap();
    let text = format!("{pipeline} mux. ! filesink location=\"{}\"", file.display());
    let pipeline = gst::parse::launch(&text).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds);
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(message.map(|message| message.type_()), Some(gst::MessageType::Eos), "{text}");
}

/// Quick settings for tests that look at other things than compression.
pub(crate) fn quick() -> EncodeSettings {
    let mut settings = EncodeSettings::default();
    video(&mut settings).preset = SpeedPreset::Ultrafast;
    settings
}

/// The picture's settings, to change them.
pub(crate) fn video(settings: &mut EncodeSettings) -> &mut VideoSettings {
    settings.video.as_mut().unwrap()
}

/// Probes and encodes.
pub(crate) fn encoded(
    input: &Path,
    output: &Path,
    settings: &EncodeSettings,
) -> Result<(MediaFacts, Encoded), Failure> {
    let source = probe(input)?;
    let job = EncodeJob { input, source: &source, settings, output, threads: None };
    let encoded = encode(&job, &mut |_| ())?;
    Ok((source, encoded))
}

/// What `ffprobe` prints for `entries`, `key=value` lines; nothing, said aloud, where it is not installed.
pub(crate) fn ffprobe(file: &Path, entries: &str) -> Option<Vec<String>> {
    let run = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_packets",
            "-show_entries",
            entries,
            "-of",
            "default=noprint_wrappers=1",
        ])
        .arg(file)
        .output();
    match run {
        Ok(run) => Some(String::from_utf8_lossy(&run.stdout).lines().map(str::to_owned).collect()),
        Err(_) => {
            eprintln!("skipped: ffprobe is not installed");
            None
        }
    }
}

/// Decodes the first sound stream with `ffmpeg`; mono, 48 kHz.
pub(crate) fn sound(file: &Path) -> Option<Vec<f32>> {
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-map", "0:a:0", "-ac", "1", "-ar", "48000", "-f", "f32le", "-"])
        .output();
    match run {
        Ok(run) => {
            Some(run.stdout.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
        }
        Err(_) => {
            eprintln!("skipped: ffmpeg is not installed");
            None
        }
    }
}

/// The folder of real media, or nothing, said aloud, where there is none.
pub(crate) fn real_media() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/media");
    let folder = std::env::var_os("RUSHES_MEDIA").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no real media in {}; set RUSHES_MEDIA", folder.display());
    None
}
