//! The keys of each table of a job's or a preset's document: what is none of them is refused with the nearest that there is.

pub(super) const JOB: &[&str] = &[
    "kind",
    "name",
    "class",
    "priority",
    "value",
    "deadline",
    "floor",
    "labels",
    "tags",
    "pool",
    "limits",
    "paused",
    "input",
    "inputs",
    "frame_rate",
    "preset",
    "outputs",
    "tasks",
    "stages",
    "stream",
];
pub(super) const PRESET: &[&str] = &["description", "outputs", "stream"];
pub(super) const OUTPUT: &[&str] = &[
    "preset",
    "name",
    "suffix",
    "destination",
    "container",
    "video",
    "audio",
    "poster",
    "thumbnails",
    "sprite",
    "preview",
    "waveform",
    "check",
    "optional",
    "audience",
];
pub(super) const VIDEO: &[&str] = &[
    "codec",
    "rate",
    "crf",
    "bitrate",
    "max_bitrate",
    "preset",
    "max_width",
    "max_height",
    "bit_depth",
    "chroma",
    "keyframe_ms",
    "profile",
];
pub(super) const AUDIO: &[&str] =
    &["codec", "bitrate", "variant", "quality", "rate_hz", "channels", "bits", "loudness", "true_peak"];
pub(super) const POSTER: &[&str] = &["at", "max_width", "max_height", "format", "quality"];
pub(super) const THUMBNAILS: &[&str] = &["every", "max_width", "max_height", "format", "quality"];
pub(super) const SPRITE: &[&str] = &["every", "width", "columns", "format", "quality"];
pub(super) const PREVIEW: &[&str] = &["from", "length", "fps", "max_width", "format", "quality"];
pub(super) const WAVEFORM: &[&str] = &["width", "height", "samples_per_pixel", "bits", "split_channels"];
pub(super) const VALUE: &[&str] = &["creator_tier", "expected_views", "monetised", "trending"];
pub(super) const FLOOR: &[&str] = &["fastest_preset", "drop_optional", "min_height", "one_pass"];
pub(super) const STAGE: &[&str] = &[
    "name",
    "slot",
    "after",
    "count",
    "hold_ms",
    "cpu_ms",
    "input",
    "output",
    "cpu_millicores",
    "memory_bytes",
    "optional",
];

pub(super) const STREAM: &[&str] = &[
    "destination",
    "segment_s",
    "chunk_s",
    "chunks",
    "codec",
    "crf",
    "rate",
    "bitrate",
    "size_bytes",
    "preset",
    "max_height",
    "sound",
    "sound_bitrate",
    "sound_variants",
    "more",
    "decode",
    "stills",
    "check",
];
pub(super) const CHECK: &[&str] = &[
    "duration_ms",
    "av_sync_ms",
    "frames",
    "max_bitrate",
    "bitrate_window_ms",
    "vmaf",
    "vmaf_model",
    "min_vmaf",
    "min_vmaf_worst",
    "loudness_tolerance",
    "true_peak",
    "max_bytes",
];
pub(super) const STREAM_CHECK: &[&str] = &[
    "vmaf",
    "vmaf_model",
    "min_vmaf",
    "min_vmaf_worst",
    "av_sync_ms",
    "max_segment_ms",
    "max_bitrate_percent",
    "bitrate_window_ms",
    "loudness",
    "loudness_tolerance",
    "true_peak",
];
pub(super) const CODEC: &[&str] = &["codec", "crf", "preset", "max_height"];

/// The keys of each type by its schema's name; a test holds them against the schema.
#[cfg(test)]
pub(super) const KEYS: &[(&str, &[&str])] = &[
    ("JobRequest", JOB),
    ("OutputRequest", OUTPUT),
    ("VideoRequest", VIDEO),
    ("AudioRequest", AUDIO),
    ("PosterRequest", POSTER),
    ("ThumbnailsRequest", THUMBNAILS),
    ("SpriteRequest", SPRITE),
    ("PreviewRequest", PREVIEW),
    ("WaveformRequest", WAVEFORM),
    ("ContentValue", VALUE),
    ("QualityFloor", FLOOR),
    ("StageRequest", STAGE),
    ("StreamRequest", STREAM),
    ("CodecRequest", CODEC),
    ("CheckRequest", CHECK),
    ("StreamCheckRequest", STREAM_CHECK),
];
