//! One of each thing that goes over the wire, with every field set to something that shows.

use std::collections::BTreeMap;

use rushes_shared::artifact::{Artifact, ContentHash, Location};
use rushes_shared::check::{Check, CheckLimit, CheckName, CheckUnit};
use rushes_shared::encode::{
    AudioSettings, CheckLimits, EncodeSettings, Extract, Extracted, PeakLimit, RateControl, SpeedPreset,
    VideoCodec, VideoSettings, VmafLimits, VmafScope,
};
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::id::{AttemptId, Epoch, JobId, TaskId, TenantId};
use rushes_shared::ladder::{
    Borders, COSTS, ChunkRange, CodecLadder, Grid, LadderRate, LadderSettings, LoudnessLimit, PackageReport,
    RateCap, Rendition, Rung, Scan, SetLimits,
};
use rushes_shared::measure::{VmafModel, VmafTally, WaveformSettings};
use rushes_shared::media::{
    AudioFacts, CheckReport, Colour, Hdr, MediaFacts, Orientation, SubtitleFacts, VideoFacts,
};
use rushes_shared::node::{EncoderFact, NodeFacts};
use rushes_shared::still::{Moment, PreviewSettings, SpriteSettings, StillFormat, ThumbnailSettings};
use rushes_shared::task::{
    Delivery, Demand, EncodedOutput, JoinWork, PackageWork, PartMade, SetFile, SetMade, SlotKind, StreamWork,
    TaskLimits, TaskOrder, TaskOutcome, TaskValue, TaskWork, Took, Usage,
};
use rushes_shared::units::{Bytes, Millicores, Ratio};
use rushes_shared::wire::{TaskBound, TaskReply, WireVersion};

use crate::golden::every;

pub(crate) const JOB: JobId = JobId(0x0192_0000_0000_0000_0000_0000_0000_0001);
pub(crate) const TASK: TaskId = TaskId { job: JOB, index: 300 };
pub(crate) const ATTEMPT: AttemptId = AttemptId { epoch: Epoch(3), counter: 70_000 };
pub(crate) const HASH: ContentHash = ContentHash([0xa5; 32]);

pub(crate) fn tenant() -> TenantId {
    "studio-7".parse().expect("a tenant")
}

/// One of each kind of place.
pub(crate) fn places() -> [Location; 4] {
    let name = || "film 名.mp4".parse().expect("a file name");
    [
        "/media/a b/100%.mov".parse().expect("a path"),
        Location::Upload(tenant(), HASH),
        Location::Staged(ATTEMPT, name()),
        Location::Output(tenant(), JOB, name().into()),
    ]
}

/// The same of sets of files.
pub(crate) fn places_of_sets() -> [Location; 3] {
    [
        "/out/film/".parse().expect("a path"),
        Location::Output(tenant(), JOB, "1080p/1.m4s".parse().expect("a path")),
        Location::Set(tenant(), JOB),
    ]
}

/// Image sequences, each with its rate.
pub(crate) fn sequences() -> [Location; 2] {
    let place = |text: &str| text.parse().expect("a sequence");
    let upload = Location::Upload(tenant(), HASH);
    [
        place("file:///srv/a%20b/shot.%2504d.exr#frame_rate=24000/1001"),
        Location::Sequence(Box::new(upload), "25".parse().expect("a rate")),
    ]
}

pub(crate) fn artifact(location: Location) -> Artifact {
    Artifact { location, size: Some(Bytes(5_000_000_000)), hash: Some(HASH), attempt: Some(ATTEMPT) }
}

pub(crate) fn node() -> NodeFacts {
    let x264 = EncoderFact {
        element: "x264enc".into(),
        codec: "h264".into(),
        hardware: false,
        works: true,
        reason: String::new(),
    };
    NodeFacts {
        name: "rack-3".into(),
        cpu: Millicores(64_000),
        memory: Bytes(256 << 30),
        light_slots: 8,
        encoders: vec![x264],
        tags: vec!["gpu".into()],
        version: "0.1.0".into(),
        platform: "linux 6.1 x86_64".into(),
        sandbox: "landlock rlimits".into(),
        is_local: false,
        wire: WireVersion::newest(),
    }
}

pub(crate) fn video(hdr: Hdr) -> VideoFacts {
    let colour = Colour {
        matrix: "bt2020nc".into(),
        transfer: "smpte2084".into(),
        primaries: "bt2020".into(),
        range: "tv".into(),
    };
    VideoFacts {
        codec: "hevc".into(),
        profile: "main-10".into(),
        level: "5.1".into(),
        width: 3840,
        height: 2160,
        sar: Some(Ratio::ONE),
        fps: Ratio::new(60_000, 1_001),
        vfr: true,
        frames: 14_385,
        duration_ns: 240_000_000_000,
        start_ns: 41_708_333,
        pixel_format: "yuv420p10le".into(),
        bit_depth: 10,
        colour,
        hdr,
        orientation: Orientation { clockwise_degrees: 270, mirrored: true },
        interlaced: false,
        bitrate_bps: 40_000_000,
    }
}

pub(crate) fn media() -> MediaFacts {
    let audio = AudioFacts {
        codec: "aac".into(),
        profile: "lc".into(),
        rate_hz: 48_000,
        channels: 6,
        layout: "5.1".into(),
        duration_ns: 239_998_000_000,
        start_ns: 0,
        bitrate_bps: 256_000,
        language: "de".into(),
    };
    MediaFacts {
        container: "mov".into(),
        size_bytes: 1_200_000_000,
        duration_ns: 240_000_000_000,
        bitrate_bps: 40_256_000,
        seekable: true,
        video: every!(Hdr: Sdr, Pq, Hlg).map(video).to_vec(),
        audio: vec![audio],
        subtitles: vec![SubtitleFacts { codec: "webvtt".into(), language: "en".into() }],
        pictures: 1,
        tags: BTreeMap::from([("title".into(), "Big Buck Bunny".into())]),
    }
}

pub(crate) fn order(delivery: Delivery, work: TaskWork) -> TaskBound {
    let limits = TaskLimits {
        wall_ms: 120_000,
        cpu_s: 480,
        address_space: Bytes(8 << 30),
        file_size: Bytes(1 << 40),
        stall_ms: 60_000,
    };
    let demand = Demand { cpu: Millicores(4_000), memory: Bytes(700 << 20) };
    TaskBound::Start {
        order: TaskOrder {
            task: TASK,
            attempt: ATTEMPT,
            delivery,
            slot: SlotKind::Finish,
            demand,
            limits,
            work,
        },
        read_ticket: vec![1, 2, 3],
        write_ticket: Vec::new(),
    }
}

/// Limits of one's own.
pub(crate) fn limits() -> CheckLimits {
    CheckLimits {
        duration_ms: Some(40),
        av_sync_ms: Some(5),
        frames: Some(2),
        peak: Some(PeakLimit { max_bps: 6_000_000, window_ms: 2_000 }),
        vmaf: VmafLimits {
            scope: VmafScope::Full,
            model: VmafModel::Uhd,
            mean_tenths: Some(925),
            worst_tenths: Some(800),
        },
        loudness_tenths: Some(5),
        true_peak_tenths: Some(-10),
    }
}

pub(crate) fn encode_work(preset: SpeedPreset, check: CheckLimits) -> TaskWork {
    let video = VideoSettings {
        rate: RateControl::Crf(21),
        preset,
        max_height: Some(720),
        ..VideoSettings::default()
    };
    let audio = Some(AudioSettings { bitrate_bps: 160_000, ..AudioSettings::default() });
    TaskWork::Encode {
        input: artifact(places()[0].clone()),
        source: MediaFacts { container: "webm".into(), ..MediaFacts::default() },
        settings: EncodeSettings { video: Some(video), audio, check, ..EncodeSettings::default() },
        output: "720p.mp4".parse().expect("a file name"),
    }
}

/// A join of an output's pieces.
pub(crate) fn join_work() -> TaskWork {
    let cap = Some(RateCap { max_bps: 6_000_000, buffer_ms: 2000 });
    let rung = Rung {
        name: "piece".into(),
        max_size: (1280, u32::MAX),
        crf: 21,
        preset: SpeedPreset::Slow,
        cap,
        codec: VideoCodec::Hevc,
    };
    let staged = artifact(places()[2].clone());
    TaskWork::Join(Box::new(JoinWork {
        input: artifact(places()[0].clone()),
        source: MediaFacts { container: "mov".into(), ..MediaFacts::default() },
        settings: EncodeSettings::default(),
        rung,
        frames: 14_385,
        pieces: vec![staged.clone(), staged],
        pieces_ms: 98_765,
        output: "film.mp4".parse().expect("a file name"),
    }))
}

/// Every step of a streaming set.
pub(crate) fn stream_works() -> [TaskWork; 4] {
    let input = artifact(places()[0].clone());
    let source = MediaFacts { container: "webm".into(), ..MediaFacts::default() };
    let settings = LadderSettings {
        grid: Grid { key_ns: 2_000_000_000, keys_to_segment: 3, keys_to_chunk: 5 },
        crf: 23,
        preset: SpeedPreset::Medium,
        max_height: Some(1080),
        sound_bps: Some(128_000),
        decode: true,
        codec: VideoCodec::H264,
        more: vec![CodecLadder {
            codec: VideoCodec::Hevc,
            crf: 28,
            preset: SpeedPreset::Fast,
            max_height: Some(720),
        }],
        more_sounds: vec![96_000],
        vmaf: VmafLimits {
            scope: VmafScope::Sampled,
            model: VmafModel::HdNeg,
            mean_tenths: Some(900),
            worst_tenths: None,
        },
        borders: Borders::Grid,
        limits: SetLimits::default(),
        rate: LadderRate::Factor,
    };
    let rung = Rung {
        name: "720p".into(),
        max_size: (1280, 720),
        crf: 23,
        preset: SpeedPreset::Medium,
        cap: Some(RateCap { max_bps: 2_500_000, buffer_ms: 1000 }),
        codec: VideoCodec::Vp9,
    };
    let range = ChunkRange { start_ns: 9_980_000_000, end_ns: Some(19_980_000_000) };
    let (audio, rungs, staged) = (AudioSettings::default(), vec![rung], artifact(places()[2].clone()));
    let works = [
        StreamWork::Sound { input: input.clone(), source: source.clone(), settings: audio },
        StreamWork::Stills { input: input.clone(), source: source.clone() },
        StreamWork::Chunk {
            input,
            source: source.clone(),
            range,
            settings: settings.clone(),
            rungs: rungs.clone(),
        },
        StreamWork::Package(PackageWork {
            source,
            settings,
            rungs,
            frames: 14_385,
            sound: Some(staged.clone()),
            stills: None,
            chunks: vec![staged.clone(), staged.clone()],
            took: took(),
            more_sounds: vec![staged],
            vmaf: vec![tally()],
        }),
    ];
    works.map(|work| {
        let output = work.step().output();
        TaskWork::Stream { work: Box::new(work), output }
    })
}

/// A chunk of a set of mean rates.
pub(crate) fn mean_work() -> TaskWork {
    let [_, _, chunk, _] = stream_works();
    let TaskWork::Stream { work, output } = chunk else { unreachable!("it is a step") };
    let StreamWork::Chunk { input, source, range, settings, rungs } = *work else {
        unreachable!("it is a chunk")
    };
    let rate = LadderRate::Mean { top_bps: Some(4_000_000) };
    let settings = LadderSettings { rate, ..settings };
    let bits = vec![23_456_789];
    TaskWork::Stream {
        work: Box::new(StreamWork::MeanChunk { input, source, range, settings, rungs, bits }),
        output,
    }
}

/// Steps of a set whose chunks begin at cuts.
pub(crate) fn scene_works() -> [TaskWork; 2] {
    let [_, _, chunk, _] = stream_works();
    let TaskWork::Stream { work, output } = chunk else { unreachable!("it is a step") };
    let StreamWork::Chunk { input, source, range, settings, rungs } = *work else {
        unreachable!("it is a chunk")
    };
    let settings = LadderSettings { borders: Borders::Scenes, ..settings };
    let scan = StreamWork::Scan { input: input.clone(), source: source.clone(), range };
    let chunk = StreamWork::Chunk { input, source, range, settings, rungs };
    [
        TaskWork::Stream { output: scan.step().output(), work: Box::new(scan) },
        TaskWork::Stream { output, work: Box::new(chunk) },
    ]
}

/// A chunk with key frames at cuts.
pub(crate) fn cut_work() -> TaskWork {
    let [_, chunk] = scene_works();
    let TaskWork::Stream { work, output } = chunk else { unreachable!("it is a step") };
    let StreamWork::Chunk { input, source, range, settings, rungs } = *work else {
        unreachable!("it is a chunk")
    };
    let (bits, cuts) = (vec![23_456_789], vec![61_640_000_000, 64_000_000_000]);
    let work = StreamWork::CutChunk { input, source, range, settings, rungs, bits, cuts };
    TaskWork::Stream { work: Box::new(work), output }
}

/// A chunk of a set with limits of its own.
pub(crate) fn limited_work() -> TaskWork {
    let [_, _, mut chunk, _] = stream_works();
    if let TaskWork::Stream { work, .. } = &mut chunk
        && let StreamWork::Chunk { settings, .. } = &mut **work
    {
        settings.limits = set_limits();
    }
    chunk
}

/// A limit of each kind on a set.
fn set_limits() -> SetLimits {
    SetLimits {
        av_sync_ms: Some(20),
        segment_ms: Some(7_000),
        window_ms: Some(1_000),
        peak_percent: Some(150),
        loudness: Some(LoudnessLimit { lufs_tenths: -230, tolerance_tenths: 10 }),
        true_peak_tenths: Some(-10),
    }
}

/// What a scan has found.
pub(crate) fn scan() -> Scan {
    Scan { frames: 240, cuts: vec![11_500_000_000, 17_250_000_000], costs: vec![70_000; COSTS] }
}

pub(crate) fn took() -> Took {
    Took { sound_ms: 800, stills_ms: 900, chunks_ms: 60_000, chunks_cpu_ms: 230_000, package_ms: 1_200 }
}

pub(crate) fn part() -> PartMade {
    PartMade {
        artifact: artifact(places()[2].clone()),
        frames: 300,
        duration_ns: 10_000_000_000,
        vmaf: vec![tally(), VmafTally::default()],
    }
}

pub(crate) fn tally() -> VmafTally {
    let mut tally = VmafTally::default();
    [93.25, 78.5, 93.21].into_iter().zip(0..).for_each(|(score, at)| tally.add(score, at * 40_000_000));
    tally
}

/// A check of each name, unit, kind of limit and result.
pub(crate) fn checks() -> Vec<Check> {
    let names = every!(CheckName: Decode, Frames, Width, Height, VideoLength, Sound, AudioLength, AvSync, DecodingErrors,
        ForeignPackets, PeakBitrate, KeyFrames, SegmentLength, References, Vmaf, VmafWorst, Loudness, TruePeak, Colour, Size, VideoGap, AudioGap);
    let units = every!(CheckUnit: Count, Pixels, Ms, Bps, Vmaf, Lufs, Dbtp, Bytes);
    // Those of files that are no renditions, and those of gaps, have fixtures of their own.
    let (names, units) = (&names[..names.len() - 3], &units[..units.len() - 1]);
    let limits = [
        Some(CheckLimit::AtMost(40.0)),
        Some(CheckLimit::AtLeast(90.5)),
        Some(CheckLimit::Exactly(50.0)),
        Some(CheckLimit::Between(-16.5, -15.5)),
        None,
    ];
    let of = |((name, unit), limit): ((&CheckName, &CheckUnit), &Option<CheckLimit>)| {
        Check::held(*name, *unit, *limit, 40.25).of("720p").at(3_240_000_000).noting("a note")
    };
    let mut all: Vec<Check> =
        names.iter().zip(units.iter().cycle()).zip(limits.iter().cycle()).map(of).collect();
    all.push(Check::not_judged(CheckName::Vmaf, CheckUnit::Vmaf, None, "no picture"));
    all
}

/// What is said of a file that is no rendition.
pub(crate) fn checks_of_extracts() -> Vec<Check> {
    let limits = [Some(CheckLimit::AtMost(200_000.0)), None];
    limits.map(|limit| Check::held(CheckName::Size, CheckUnit::Bytes, limit, 41_234.0)).to_vec()
}

/// What is said of times without anything new.
pub(crate) fn checks_of_gaps() -> Vec<Check> {
    let gap = |name, limit, found| Check::judged(name, CheckUnit::Ms, CheckLimit::AtMost(limit), found);
    vec![
        gap(CheckName::VideoGap, 61.0, 40.0).at(120_000_000),
        gap(CheckName::AudioGap, 10.0, 21.3).of("sound"),
    ]
}

/// Everything that is taken beside renditions.
pub(crate) fn extract_works() -> Vec<TaskWork> {
    let stills = |moment, format| {
        Extracted::Stills(ThumbnailSettings { moment, max_width: Some(640), max_height: None, format })
    };
    let sprite = SpriteSettings {
        every_ns: Some(5_000_000_000),
        width: 160,
        columns: 10,
        format: StillFormat::Jpeg(80),
        name: "film-sprite.jpg".into(),
    };
    let preview =
        PreviewSettings { from_ns: 3_000_000_000, length_ns: 2_500_000_000, fps: 12, max_width: 320 };
    let waveform = WaveformSettings {
        samples_per_pixel: Some(512),
        bits: 8,
        split_channels: true,
        picture: Some((1_200, 200)),
    };
    let all = [
        stills(Moment::Early, StillFormat::Png),
        stills(Moment::At(12_500_000_000), StillFormat::Jpeg(85)),
        stills(Moment::Best, StillFormat::Jpeg(85)),
        stills(Moment::Every(10_000_000_000), StillFormat::Png),
        Extracted::Sprite(sprite.clone()),
        Extracted::SpriteIndex(sprite),
        Extracted::Preview(preview),
        Extracted::Waveform(waveform),
    ];
    // Does not build without naming all there are.
    let _named = |what: &Extracted| match what {
        Extracted::Stills(_)
        | Extracted::Sprite(_)
        | Extracted::SpriteIndex(_)
        | Extracted::Preview(_)
        | Extracted::WebpPreview(..)
        | Extracted::Waveform(_) => (),
    };
    let work = |what: Extracted| TaskWork::Encode {
        input: artifact(places()[0].clone()),
        source: MediaFacts { container: "webm".into(), ..MediaFacts::default() },
        output: format!("film.{}", what.ending()).parse().expect("a file name"),
        settings: EncodeSettings::of_extract(Extract { what, max_bytes: Some(200_000) }),
    };
    all.into_iter().map(work).collect()
}

/// What later versions take beside renditions.
pub(crate) fn later_extract_works() -> Vec<TaskWork> {
    let preview =
        PreviewSettings { from_ns: 3_000_000_000, length_ns: 2_500_000_000, fps: 12, max_width: 320 };
    let what = Extracted::WebpPreview(preview, 75);
    vec![TaskWork::Encode {
        input: artifact(places()[0].clone()),
        source: MediaFacts { container: "webm".into(), ..MediaFacts::default() },
        output: "film.webp".parse().expect("a file name"),
        settings: EncodeSettings::of_extract(Extract { what, max_bytes: None }),
    }]
}

pub(crate) fn set() -> SetMade {
    let rendition = Rendition {
        name: "720p".into(),
        codecs: "avc1.64001f".into(),
        size: (1280, 720),
        packets: 14_385,
        segments: 40,
        average_bps: 2_000_000,
        peak_bps: 2_400_000,
    };
    let report = PackageReport {
        duration_ns: 240_000_000_000,
        video: vec![rendition.clone()],
        audio: vec![Rendition { name: "sound".into(), size: (0, 0), ..rendition }],
        files: vec!["master.m3u8".into()],
        checks: checks(),
    };
    let file = SetFile { path: "report.json".parse().expect("a path"), size_bytes: 9_000, hash: HASH };
    SetMade {
        artifact: artifact(places()[2].clone()),
        report,
        top: vec![file],
        files: 88,
        size_bytes: 90_000_000,
        took: took(),
        encoder: "x264enc 164".into(),
    }
}

pub(crate) fn usage() -> Usage {
    Usage {
        wall_ms: 61_000,
        run_ms: 60_000,
        cpu_ms: 230_000,
        max_rss_bytes: 400 << 20,
        bytes_in: 1_200_000_000,
        bytes_out: 90_000_000,
    }
}

pub(crate) fn succeeded(value: TaskValue) -> TaskReply {
    TaskReply::Outcome(TaskOutcome::Succeeded { value, usage: usage() })
}

pub(crate) fn encoded(checks: Vec<Check>) -> TaskValue {
    let check = CheckReport {
        frames_decoded: 14_384,
        frames_expected: 14_385,
        video_duration_ns: 239_983_000_000,
        audio_duration_ns: 240_000_000_000,
        av_start_offset_ns: -21_333_333,
        problems: vec!["a frame is missing".into()],
        warnings: vec!["damage was concealed".into()],
        checks,
    };
    TaskValue::Encoded(EncodedOutput {
        artifact: artifact(places()[2].clone()),
        facts: MediaFacts { container: "mp4".into(), ..MediaFacts::default() },
        check,
        encode_ms: 60_000,
        speed_permille: 4_000,
        encoder: "x264enc 164".into(),
    })
}

/// Every code once, with the classes in turn.
pub(crate) fn failures() -> Vec<Failure> {
    let codes = every!(FailureCode: InputNotFound, InputForbidden, OutsideRoots, InputNotAFile, InputEmpty,
        InputUnreadable, InputDamaged, StreamMissing, Unsupported, SettingsImpossible, PipelineFailed, CheckFailed,
        ProcessDied, ProcessStalled, LimitReached, NodeUnfit, TransferFailed, OutputExists, OutputForbidden, WorkerLost,
        EncoderFailed);
    let classes = every!(FailureClass: Permanent, Transient, NodeFault);
    let of = |(code, class): (&FailureCode, &FailureClass)| {
        Failure::new(*code, code.as_str(), "do this").with_class(*class).with_detail("d")
    };
    codes.iter().zip(classes.iter().cycle()).map(of).collect()
}
