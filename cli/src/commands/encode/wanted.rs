//! What is to be made of each input: by a preset, by the command line, or by both.

use rushes_shared::request::{
    AudioChoice, AudioRequest, Choice, OutputRequest, Preset, Presets, VideoChoice, VideoRequest,
};

use crate::args::{AudioArgs, EncodeArgs, VideoArgs};
use crate::client::Client;
use crate::fault::Fault;
use crate::presets;

/// A file to be made of each input.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Complete but for its name and its place.
    pub(super) output: OutputRequest,
    /// The ending of its name.
    pub(super) ending: &'static str,
}

/// Settings that no farm would take are told before one is started.
pub(super) fn outputs(args: &EncodeArgs, client: Option<&Client>) -> Result<Vec<Wanted>, Fault> {
    let own = own(args);
    let outputs = match &args.preset {
        None => vec![own],
        Some(name) => with(presets::find(name, client)?, &own)?,
    };
    let whole = |output: OutputRequest| {
        let settings = output.settings(&Presets::embedded());
        let settings = settings.map_err(|bad| Fault::Usage(bad.to_string()))?;
        let ending = settings.container.ending(settings.audio.map(|audio| audio.codec));
        Ok(Wanted { output, ending })
    };
    outputs.into_iter().map(whole).collect()
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
