//! What is to be made of each input: by a preset, by the command line, or by both.

use rushes_shared::request::{
    AudioChoice, AudioRequest, Choice, OutputRequest, Preset, Presets, StreamRequest, VideoChoice,
    VideoRequest,
};

use crate::args::{AudioArgs, EncodeArgs, VideoArgs};
use crate::client::Client;
use crate::fault::Fault;
use crate::presets;

/// What is to be made of each input.
#[derive(Debug)]
pub(super) enum Wanted {
    /// So many files.
    Files(Vec<WantedFile>),
    /// A directory with a set for streaming.
    Set(Box<StreamRequest>),
}

/// A file to be made of each input.
#[derive(Debug)]
pub(super) struct WantedFile {
    /// Complete but for its name and its place.
    pub(super) output: OutputRequest,
    /// The ending of its name.
    pub(super) ending: &'static str,
}

/// Settings that no farm would take are told before one is started.
pub(super) fn of(args: &EncodeArgs, client: Option<&Client>) -> Result<Wanted, Fault> {
    let own = own(args);
    let preset = args.preset.as_ref().map(|name| presets::find(name, client)).transpose()?;
    let outputs = match preset {
        None => vec![own],
        Some(Preset { name, stream: Some(stream), .. }) => {
            return set(&name, &stream, &own).map(|set| Wanted::Set(Box::new(set)));
        }
        Some(preset) => with(preset, &own)?,
    };
    let whole = |output: OutputRequest| {
        let settings = output.settings(&Presets::embedded());
        let settings = settings.map_err(|bad| Fault::Usage(bad.to_string()))?;
        if output.sprite.is_some() {
            let message = "a sprite sheet has an index beside it, which this command does not bring: \
                           submit a job file ('rushes job submit'), or use 'rushes media sprite'";
            return Err(Fault::Usage(message.to_owned()));
        }
        let ending = settings.ending();
        Ok(WantedFile { output, ending })
    };
    outputs.into_iter().map(whole).collect::<Result<_, Fault>>().map(Wanted::Files)
}

/// A set with what the command line says of it.
fn set(name: &str, base: &StreamRequest, own: &OutputRequest) -> Result<StreamRequest, Fault> {
    let video = match &own.video {
        None => VideoRequest::default(),
        Some(Choice::On(video)) => video.clone(),
        Some(Choice::Off) => return Err(not_of_sets(name)),
    };
    let audio = match &own.audio {
        Some(Choice::On(audio)) => audio.clone(),
        None | Some(Choice::Off) => AudioRequest::default(),
    };
    let said = StreamRequest {
        crf: video.crf,
        preset: video.preset,
        max_height: video.max_height,
        sound: matches!(own.audio, Some(Choice::Off)).then_some(false),
        sound_bitrate: audio.bitrate,
        ..StreamRequest::default()
    };
    let known = OutputRequest {
        video: own.video.as_ref().map(|_| {
            let VideoRequest { crf, preset, max_height, .. } = video;
            Choice::On(VideoRequest { crf, preset, max_height, ..VideoRequest::default() })
        }),
        audio: own.audio.as_ref().map(|choice| match choice {
            Choice::Off => Choice::Off,
            Choice::On(_) => Choice::On(AudioRequest { bitrate: audio.bitrate, ..AudioRequest::default() }),
        }),
        ..OutputRequest::default()
    };
    if known != *own {
        return Err(not_of_sets(name));
    }
    base.with(&said).map_err(|bad| Fault::Usage(bad.to_string()))
}

fn not_of_sets(name: &str) -> Fault {
    Fault::Usage(format!(
        "the preset '{name}' makes a set for streaming, of which --crf, --encoder-preset, --max-height, --audio-bitrate and --no-audio can be set here; for more write a preset of your own: 'rushes preset show {name}' is a beginning"
    ))
}

/// A preset with what the command line says of its one file.
fn with(preset: Preset, own: &OutputRequest) -> Result<Vec<OutputRequest>, Fault> {
    if *own == OutputRequest::default() {
        return Ok(preset.outputs);
    }
    let [base] = &preset.outputs[..] else {
        return Err(Fault::Usage(format!(
            "the preset '{}' makes {} files, so none of them can be set on the command line; write a preset of your own: 'rushes preset show {}' is a beginning",
            preset.name,
            preset.outputs.len(),
            preset.name
        )));
    };
    base.with(own).map(|whole| vec![whole]).map_err(|bad| Fault::Usage(bad.to_string()))
}

/// What the command line says.
fn own(args: &EncodeArgs) -> OutputRequest {
    OutputRequest {
        container: args.container,
        video: video(&args.video),
        audio: audio(&args.audio),
        ..OutputRequest::default()
    }
}

fn video(args: &VideoArgs) -> Option<VideoChoice> {
    if args.no_video {
        return Some(Choice::Off);
    }
    let said = VideoRequest {
        codec: args.codec,
        rate: args.rate(),
        crf: args.crf,
        bitrate: args.bitrate,
        max_bitrate: args.max_bitrate,
        preset: args.encoder_preset,
        max_width: args.max_width,
        max_height: args.max_height,
        bit_depth: args.bit_depth,
        chroma: args.chroma,
        keyframe_ms: args.keyframe_ms,
        profile: args.profile,
    };
    (said != VideoRequest::default()).then_some(Choice::On(said))
}

fn audio(args: &AudioArgs) -> Option<AudioChoice> {
    if args.no_audio {
        return Some(Choice::Off);
    }
    let said = AudioRequest {
        codec: args.audio_codec,
        bitrate: args.audio_bitrate,
        variant: args.audio_variant,
        quality: args.audio_quality,
        rate_hz: args.audio_rate,
        channels: args.channels,
        bits: args.audio_bits,
        loudness: args.loudness,
        true_peak: args.true_peak,
    };
    (said != AudioRequest::default()).then_some(Choice::On(said))
}
