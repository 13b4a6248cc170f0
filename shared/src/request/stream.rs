//! A streaming set as a user asks for it.

mod rate;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::settling::{no_place, ranged};
use super::{AudioVariant, BadRequest, BitRate, MAX_SIDE, RateMode, StreamCheckRequest, check, preset};
use crate::artifact::Location;
use crate::encode::{AudioCodec, SpeedPreset, VideoCodec};
use crate::job::{Destination, Work};
use crate::ladder::{Borders, CODECS, CodecLadder, Grid, LadderSettings, StreamSettings};

/// Segment and chunk where nothing else is asked for. Chunks are short enough for a more urgent job to get a node soon.
const SEGMENT_S: i64 = 6;
const CHUNK_S: i64 = 10;

/// How a `stream` job makes its set: rungs of 2160p, 1080p, 720p, 480p and 360p, none above the source, in one codec or
/// several, as CMAF segments with `master.m3u8` (HLS) and `manifest.mpd` (DASH) over the same files, and `report.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamRequest {
    /// The directory on the depot's host that the files appear in, all at once: an absolute path or `file://` URL within
    /// the allowed roots. It is not there yet, or empty. Default: the depot keeps the files and hands them out over the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "file:///srv/out/film/")]
    pub destination: Option<String>,
    /// Length of a segment in seconds, 1 to 30. Default: 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 30, default = 6)]
    pub segment_s: Option<i64>,
    /// Length of the parts that are encoded on their own, on any node, in seconds, 1 to 3600; rounded down to whole
    /// distances of key frames, at least one. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3600, default = 10)]
    pub chunk_s: Option<i64>,
    /// Where those parts begin: `grid`, every `chunk_s`, or `scenes`, at cuts of the film near the lines of that grid, which a
    /// scan finds before. Default: `grid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = "grid")]
    pub chunks: Option<Borders>,
    /// Codec of the rungs: `h264`, `hevc`, `vp9` or `av1`. Default: `h264`, which every player knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = "h264")]
    pub codec: Option<VideoCodec>,
    /// Constant rate factor of every rung, under the rung's own bound on the rate: 0 (lossless or best) to 51, of VP9 and
    /// AV1 to 63. Default: 23 for H.264, 28 for HEVC, 32 for VP9 and AV1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 63)]
    pub crf: Option<i64>,
    /// What decides the bits: `crf`, or `vbr`, a mean rate over the film, of H.264 and HEVC, whose bits chunks share by how
    /// hard they are. Default: `vbr` where `bitrate` is given, else `crf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = "crf")]
    pub rate: Option<RateMode>,
    /// Mean bit rate of the largest rung of the first codec: a number in bits a second or a text such as `"4M"`; 10k to 1000M. The
    /// others' are in proportion. Default of `vbr`: 15M at 2160p, 5M at 1080p, 2.5M at 720p, 1M at 480p, 600k at 360p.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate: Option<BitRate>,
    /// Size that the set's rungs and sounds have together, in bytes, in place of `bitrate`: 100000 or more. Rungs share what the
    /// sounds leave, in the ladder's proportion; an easy film may need less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100_000)]
    pub size_bytes: Option<i64>,
    /// How much time the encoder takes for compression. Default: `medium`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = "medium")]
    pub preset: Option<SpeedPreset>,
    /// Short side in pixels of the largest rung, 16 to 16384. Default: the source's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 16, maximum = 16_384)]
    pub max_height: Option<i64>,
    /// Whether the set has sound, where the source has. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = true)]
    pub sound: Option<bool>,
    /// Bit rate of the sound (AAC): a number in bits a second or a text such as `"128k"`. Default: 128k.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound_bitrate: Option<BitRate>,
    /// The sound at several rates, the best first, such as `["high", "low"]`: the largest rungs get the first. In place of
    /// `sound_bitrate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound_variants: Option<Vec<AudioVariant>>,
    /// The same film in further codecs in the same set, for players that know them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<Vec<CodecRequest>>,
    /// Whether every segment is decoded before anything is published. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = true)]
    pub decode: Option<bool>,
    /// Whether `poster.jpg`, `sprite.jpg` and `sprite.vtt` are made as well. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = true)]
    pub stills: Option<bool>,
    /// What the set has to keep before it is published, beside key frames, segment lengths, bit rates and whole segments,
    /// which every set is held to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<StreamCheckRequest>,
}

/// The rungs of a further codec in a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodecRequest {
    /// The codec: `h264`, `hevc`, `vp9` or `av1`, each once in a set.
    pub codec: VideoCodec,
    /// Constant rate factor on the codec's own scale. Default: as for a set of this codec alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 63)]
    pub crf: Option<i64>,
    /// How much time the encoder takes for compression. Default: the set's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<SpeedPreset>,
    /// Short side in pixels of its largest rung, 16 to 16384. Default: the set's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 16, maximum = 16_384)]
    pub max_height: Option<i64>,
}

impl StreamRequest {
    /// This with what `own` says in its place.
    ///
    /// # Errors
    /// [`BadRequest`] where the two do not fit.
    pub fn with(&self, own: &Self) -> Result<Self, BadRequest> {
        preset::over(self, own).map_err(|message| BadRequest::at("stream", message))
    }
}

pub(super) fn settle(request: Option<&StreamRequest>, input: Location) -> Result<Work, BadRequest> {
    let default = StreamRequest::default();
    let request = request.unwrap_or(&default);
    let destination = match &request.destination {
        Some(text) => Destination::Place(directory(text)?),
        None => Destination::Depot,
    };
    Ok(Work::Stream { input, settings: settings(request)?, destination })
}

/// What the set is made by.
pub(super) fn settings(request: &StreamRequest) -> Result<StreamSettings, BadRequest> {
    let segment_s = ranged("stream.segment_s", request.segment_s.unwrap_or(SEGMENT_S), 1, 30)?;
    let chunk_s = ranged("stream.chunk_s", request.chunk_s.unwrap_or(CHUNK_S), 1, 3600)?;
    let max_height = request.max_height.map(|side| ranged("stream.max_height", side, 16, MAX_SIDE));
    let codec = request.codec.unwrap_or_default();
    let mut sounds = sounds(request)?.into_iter();
    let ladder = LadderSettings {
        grid: Grid::of(segment_s, chunk_s),
        crf: quality("stream", codec, request.crf)?,
        preset: request.preset.unwrap_or_default(),
        max_height: max_height.transpose()?,
        sound_bps: sounds.next(),
        decode: request.decode.unwrap_or(true),
        codec,
        more: more(request)?,
        more_sounds: sounds.collect(),
        vmaf: check::of_stream(request.check.as_ref())?,
        borders: request.chunks.unwrap_or_default(),
        limits: check::set_limits(request.check.as_ref(), request.sound != Some(false))?,
        rate: rate::rate(request)?,
    };
    Ok(StreamSettings { ladder, stills: request.stills.unwrap_or(true) })
}

/// The codec's rate factor, which is tried together with the codec.
fn quality(path: &str, codec: VideoCodec, crf: Option<i64>) -> Result<u8, BadRequest> {
    let Some(worst) = codec.worst_crf().filter(|_| CODECS.contains(&codec)) else {
        let names = CODECS.map(VideoCodec::word).join(", ");
        let message = format!("players of HLS and DASH do not know {}; use one of {names}", codec.word());
        return Err(BadRequest::at(format!("{path}.codec"), message));
    };
    let crf = crf.unwrap_or(i64::from(codec.usual_crf()));
    ranged(&format!("{path}.crf"), crf, 0, i64::from(worst))
}

/// The further codecs of a set.
fn more(request: &StreamRequest) -> Result<Vec<CodecLadder>, BadRequest> {
    let mut taken = vec![request.codec.unwrap_or_default()];
    let mut ladders = Vec::new();
    for (number, one) in request.more.iter().flatten().enumerate() {
        let path = format!("stream.more[{number}]");
        let crf = quality(&path, one.codec, one.crf)?;
        if taken.contains(&one.codec) {
            let message = format!("the set has {} already; name each codec once", one.codec.word());
            return Err(BadRequest::at(format!("{path}.codec"), message));
        }
        taken.push(one.codec);
        let most = |side| ranged(&format!("{path}.max_height"), side, 16, MAX_SIDE);
        ladders.push(CodecLadder {
            codec: one.codec,
            crf,
            preset: one.preset.or(request.preset).unwrap_or_default(),
            max_height: one.max_height.map(most).transpose()?,
        });
    }
    Ok(ladders)
}

/// Bit rates of the sound, the best first; none for a set without.
fn sounds(request: &StreamRequest) -> Result<Vec<u32>, BadRequest> {
    let codec = AudioCodec::Aac;
    let is_silent = request.sound == Some(false);
    match (request.sound_bitrate, &request.sound_variants) {
        (Some(_), _) if is_silent => {
            let message = "there is no sound that could have a bit rate; leave one of the two out";
            Err(BadRequest::at("stream.sound_bitrate", message))
        }
        (_, Some(_)) if is_silent => {
            let message = "there is no sound that could have variants; leave one of the two out";
            Err(BadRequest::at("stream.sound_variants", message))
        }
        (Some(_), Some(_)) => {
            let message = "decide the sound's bit rate, and so does sound_bitrate; leave one of the two out";
            Err(BadRequest::at("stream.sound_variants", message))
        }
        (None, None) if is_silent => Ok(Vec::new()),
        (None, None) => Ok(vec![codec.usual_bitrate_bps(None)]),
        (Some(rate), None) => {
            let (low, high) = codec.bitrates().unwrap_or((8_000, 512_000));
            ranged("stream.sound_bitrate", rate.0, i64::from(low), i64::from(high)).map(|bps| vec![bps])
        }
        (None, Some(variants)) => {
            let rates: Vec<u32> = variants.iter().map(|variant| variant.bitrate_bps()).collect();
            if rates.is_empty() || rates.windows(2).any(|pair| pair[0] <= pair[1]) {
                let message = "name at least one of high, medium, low and mobile, each once, the best first";
                return Err(BadRequest::at("stream.sound_variants", message));
            }
            Ok(rates)
        }
    }
}

/// A directory outside of the farm.
fn directory(text: &str) -> Result<Location, BadRequest> {
    let bad = |message: String| BadRequest::at("stream.destination", message);
    match text.parse::<Location>().map_err(|e| bad(e.to_string()))? {
        Location::File(path) if path.ends_with('/') => Ok(Location::File(path)),
        Location::File(path) => Ok(Location::File(format!("{path}/"))),
        Location::Upload(..)
        | Location::Staged(..)
        | Location::Output(..)
        | Location::Set(..)
        | Location::Sequence(..) => Err(bad(no_place(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TenantId;
    use crate::media::{AudioFacts, MediaFacts, VideoFacts};
    use crate::request::{Asking, Format, JobRequest, Presets};
    use crate::units::WallMs;

    const SECOND_NS: u64 = 1_000_000_000;

    fn read(text: &str) -> Result<Work, String> {
        let tenant = TenantId::default_tenant();
        let presets = Presets::embedded();
        let asking = Asking { tenant: &tenant, now: WallMs(0), presets: &presets };
        JobRequest::parse(Format::Toml, text, asking).map(|spec| spec.work).map_err(|bad| bad.to_string())
    }

    #[test]
    fn a_stream_job_needs_no_more_than_its_film() {
        let work = read("kind = 'stream'\ninput = '/in/film.mov'").expect("valid");
        let Work::Stream { settings, destination, .. } = work else { panic!("{work:?}") };
        let ladder = &settings.ladder;
        assert_eq!((ladder.grid.segment_ns(), ladder.grid.chunk_ns()), (6 * SECOND_NS, 10 * SECOND_NS));
        assert_eq!((ladder.crf, ladder.sound_bps, ladder.decode), (23, Some(128_000), true));
        assert!(settings.stills && destination == Destination::Depot);
    }

    #[test]
    fn a_destination_is_a_directory_and_segments_of_odd_seconds_begin_with_their_own_key_frame() {
        let text = "kind = 'stream'\ninput = '/in/a.mov'\n[stream]\ndestination = '/out/film'\nsegment_s = 5\nchunk_s = 12";
        let Work::Stream { settings, destination, .. } = read(text).expect("valid") else { panic!() };
        assert_eq!(destination, Destination::Place(Location::File("/out/film/".to_owned())));
        let grid = settings.ladder.grid;
        assert_eq!((grid.key_ns, grid.keys_to_segment, grid.keys_to_chunk), (5 * SECOND_NS, 1, 2));
        assert_eq!(settings.ladder.borders, Borders::Grid);
        let Work::Stream { settings, .. } = read(&format!("{text}\nchunks = 'scenes'")).expect("valid")
        else {
            panic!()
        };
        assert_eq!(settings.ladder.borders, Borders::Scenes);
    }

    #[test]
    fn the_set_for_everybody_has_each_codec_in_rungs_of_its_own_and_sound_at_several_rates() {
        let text = "kind = 'stream'\ninput = '/in/film.mov'\npreset = 'abr-full'";
        let Work::Stream { settings, .. } = read(text).expect("valid") else { panic!() };
        let video = VideoFacts { width: 1920, height: 1080, ..VideoFacts::default() };
        let film =
            MediaFacts { video: vec![video], audio: vec![AudioFacts::default()], ..MediaFacts::default() };
        let rungs = settings.ladder.rungs(&film);
        let names =
            |codec| rungs.iter().filter(|r| r.codec == codec).map(|r| r.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names(VideoCodec::H264), ["1080p", "720p", "480p", "360p"]);
        assert_eq!(names(VideoCodec::Hevc)[0], "1080p-hevc");
        assert_eq!(names(VideoCodec::Av1).last(), Some(&"360p-av1"));
        let of =
            |name: &str| rungs.iter().find(|r| r.name == name).and_then(|r| r.cap).expect("bounded").max_bps;
        assert!(of("1080p-av1") < of("1080p-hevc") && of("1080p-hevc") < of("1080p"));
        assert_eq!(settings.ladder.sounds(&film), [320_000, 192_000, 128_000, 96_000]);
        assert_eq!(settings.ladder.sounds(&MediaFacts::default()), [0_u32; 0]);
    }

    #[test]
    fn what_cannot_be_is_told_with_its_field() {
        let job = "kind = 'stream'\ninput = '/in/a.mov'\n[stream]\n";
        for (line, word) in [
            ("segment_s = 0", "stream.segment_s: should be 1 to 30"),
            ("chunk_s = 0", "1 to 3600"),
            ("crf = 52", "0 to 51"),
            ("chunks = 'cuts'", "stream.chunks: there is no `cuts`; use `grid` or `scenes`"),
            ("max_height = 4", "16 to"),
            ("sound = false\nsound_bitrate = '96k'", "no sound"),
            ("destination = 'farm://outputs/default/x'", "not a file of the farm"),
            ("destination = 'out'", "absolute"),
            ("segments = 6", "did you mean 'segment_s'"),
            (
                "codec = 'prores'",
                "stream.codec: players of HLS and DASH do not know prores; use one of h264, hevc, vp9, av1",
            ),
            ("codec = 'vp9'\ncrf = 64", "0 to 63"),
            ("more = [{ codec = 'h264' }]", "stream.more[0].codec: the set has h264 already"),
            ("more = [{ codec = 'hevc', crf = 60 }]", "stream.more[0].crf: should be 0 to 51"),
            ("sound_variants = ['low', 'high']", "the best first"),
            ("sound_bitrate = '96k'\nsound_variants = ['low']", "leave one of the two out"),
            ("check = { min_vmaf = 200 }", "line 4: stream.check.min_vmaf: should be 0 to 100"),
            (
                "check = { max_segment_ms = 0 }",
                "line 4: stream.check.max_segment_ms: should be 1 to 600000, not 0",
            ),
            ("check = { bitrate_window_ms = 99 }", "stream.check.bitrate_window_ms: should be 100 to 60000"),
            ("check = { max_bitrate_percent = 0 }", "stream.check.max_bitrate_percent: should be 1 to 1000"),
            ("check = { loudness = 1 }", "stream.check.loudness: should be -70 to 0, not 1"),
            ("check = { loudness_tolerance = 1 }", "set stream.check.loudness as well"),
            ("check = { true_peak = -21 }", "stream.check.true_peak: should be -20 to 6"),
            ("sound = false\ncheck = { loudness = -23 }", "stream.check.loudness: the set has no sound"),
            ("check = { frames = 1 }", "there is no such field"),
        ] {
            let said = read(&format!("{job}{line}")).expect_err(line);
            assert!(said.contains(word), "{said}");
        }
        let said = read("kind = 'encode'\ninput = '/in/a.mov'\n[stream]\ncrf = 20").expect_err("foreign");
        assert!(said.contains("has no such field"), "{said}");
    }
}
