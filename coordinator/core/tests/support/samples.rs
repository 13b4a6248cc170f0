//! Values that tests are made of.

use rushes_core::record::IdempotencyKey;
use rushes_shared::artifact::{Artifact, ContentHash, Location};
use rushes_shared::encode::{EncodeSettings, SpeedPreset, VideoCodec, VideoSettings};
use rushes_shared::id::AttemptId;
use rushes_shared::job::{Class, Destination, GraphStage, JobSpec, OutputSpec, Priority, StageWork, Work};
use rushes_shared::ladder::{
    Borders, COSTS, Grid, LadderRate, LadderSettings, PackageReport, Scan, StreamSettings,
};
use rushes_shared::media::{AudioFacts, CheckReport, MediaFacts, VideoFacts};
use rushes_shared::node::{EncoderFact, NodeFacts};
use rushes_shared::task::{
    Demand, EncodedOutput, PartMade, ProbedFiles, SetMade, SlotKind, StreamStep, StreamWork, TaskOrder,
    TaskValue, TaskWork, Took,
};
use rushes_shared::units::{Bytes, Millicores, Ratio, WallMs};

/// The wall clock when a world begins, in milliseconds.
pub(crate) const NOW: u64 = 1_700_000_000_000;
pub(crate) const GIB: u64 = 1 << 30;

/// A spec with nothing but its work.
pub(crate) fn spec(work: Work) -> JobSpec {
    JobSpec::of(work)
}

pub(crate) fn noop(tasks: u32) -> JobSpec {
    spec(Work::Noop { tasks })
}

pub(crate) fn source() -> Location {
    "/media/film.mov".parse().expect("an absolute path")
}

pub(crate) fn probe() -> JobSpec {
    spec(Work::Probe { input: source() })
}

/// An encode job with so many outputs, kept by the depot.
pub(crate) fn encode(outputs: u32) -> JobSpec {
    let output = |i| OutputSpec {
        name: format!("{i}.mp4").parse().expect("a file name"),
        destination: Destination::Depot,
        settings: EncodeSettings::default(),
        optional: false,
        audience: 0,
    };
    spec(Work::Encode { input: source(), outputs: (0..outputs).map(output).collect() })
}

/// The same with every output at this place.
pub(crate) fn written_to(mut spec: JobSpec, place: &str) -> JobSpec {
    if let Work::Encode { outputs, .. } = &mut spec.work {
        let place: Location = place.parse().expect("an absolute path");
        outputs.iter_mut().for_each(|output| output.destination = Destination::Place(place.clone()));
    }
    spec
}

/// A streaming set that the depot keeps; chunks of two seconds, so that [`facts`] have five of them.
pub(crate) fn stream() -> JobSpec {
    let ladder = LadderSettings { grid: Grid::of(2, 2), ..LadderSettings::default() };
    let settings = StreamSettings { ladder, stills: true };
    spec(Work::Stream { input: source(), settings, destination: Destination::Depot })
}

/// The same of mean rates.
pub(crate) fn stream_of_means() -> JobSpec {
    let mut spec = stream();
    if let Work::Stream { settings, .. } = &mut spec.work {
        settings.ladder.rate = LadderRate::Mean { top_bps: Some(2_000_000) };
    }
    spec
}

/// The same whose chunks begin at cuts.
pub(crate) fn stream_of_scenes() -> JobSpec {
    let mut spec = stream();
    if let Work::Stream { settings, .. } = &mut spec.work {
        settings.ladder.borders = Borders::Scenes;
    }
    spec
}

pub(crate) fn with_priority(mut spec: JobSpec, priority: u8) -> JobSpec {
    spec.priority = Priority::new(priority).expect("at most 100");
    spec
}

pub(crate) fn with_deadline(mut spec: JobSpec, at: u64) -> JobSpec {
    spec.deadline = Some(WallMs(at));
    spec
}

fn videos(outputs: &mut [OutputSpec]) -> impl Iterator<Item = &mut VideoSettings> {
    outputs.iter_mut().filter_map(|output| output.settings.video.as_mut())
}

/// The same with another preset for every output.
pub(crate) fn with_preset(mut spec: JobSpec, preset: SpeedPreset) -> JobSpec {
    if let Work::Encode { outputs, .. } = &mut spec.work {
        videos(outputs).for_each(|video| video.preset = preset);
    }
    spec
}

/// The same by hardware encoders, where there are any.
pub(crate) fn in_hardware(mut spec: JobSpec) -> JobSpec {
    if let Work::Encode { outputs, .. } = &mut spec.work {
        videos(outputs).for_each(|video| video.codec = VideoCodec::H264Hardware);
    }
    if let Work::Graph { stages } = &mut spec.work {
        for stage in stages {
            if let StageWork::Encode { output, .. } = &mut stage.work {
                videos(std::slice::from_mut(&mut **output))
                    .for_each(|video| video.codec = VideoCodec::H264Hardware);
            }
        }
    }
    spec
}

/// A node that has a hardware encoder as well.
pub(crate) fn with_hardware(mut facts: NodeFacts) -> NodeFacts {
    let encoder = EncoderFact { element: "nvh264enc".into(), hardware: true, ..facts.encoders[0].clone() };
    facts.encoders.push(encoder);
    facts
}

/// A job of its own stages.
pub(crate) fn graph(stages: Vec<GraphStage>) -> JobSpec {
    spec(Work::Graph { stages })
}

/// Tasks that hold a slot, or a core, for so long.
pub(crate) fn stage(name: &str, slot: SlotKind, count: u32, hold_ms: u32, after: &[u32]) -> GraphStage {
    GraphStage {
        name: name.to_owned(),
        slot,
        after: after.to_vec(),
        count,
        work: StageWork::Noop { hold_ms, cpu_ms: hold_ms },
        demand: Demand { cpu: Millicores(1_000), memory: Bytes(1 << 20) },
        optional: false,
    }
}

/// A graph that looks into the film, makes a file of it, and is done then.
pub(crate) fn film_graph() -> JobSpec {
    let Work::Encode { input, mut outputs } = encode(1).work else { unreachable!("it is an encode") };
    let mut look = stage("look", SlotKind::Light, 1, 0, &[]);
    look.work = StageWork::Probe { input: input.clone() };
    let mut film = stage("film", SlotKind::Encode, 1, 0, &[0]);
    film.work = StageWork::Encode { input, output: Box::new(outputs.remove(0)) };
    graph(vec![look, film, stage("after", SlotKind::Finish, 1, 100, &[1])])
}

pub(crate) fn in_class(spec: JobSpec, class: Class) -> JobSpec {
    JobSpec { class, ..spec }
}

pub(crate) fn key(key: &str, body: u8) -> IdempotencyKey {
    IdempotencyKey { key: key.to_owned(), fingerprint: [body; 32] }
}

/// A node of four cores, 8 GiB, two light slots and a working H.264 encoder.
pub(crate) fn node(name: &str) -> NodeFacts {
    let x264 = EncoderFact {
        element: "x264enc".into(),
        codec: "h264".into(),
        hardware: false,
        works: true,
        reason: String::new(),
    };
    NodeFacts {
        name: name.to_owned(),
        cpu: Millicores(4_000),
        memory: Bytes(8 * GIB),
        light_slots: 2,
        encoders: vec![x264],
        ..NodeFacts::default()
    }
}

/// Facts of a clip of ten seconds: an encode of 1080p takes four cores, one of 360p takes one.
pub(crate) fn facts(width: u32, height: u32) -> MediaFacts {
    let video = VideoFacts {
        codec: "h264".into(),
        width,
        height,
        fps: Ratio::new(25, 1),
        frames: 250,
        duration_ns: 10_000_000_000,
        ..VideoFacts::default()
    };
    MediaFacts {
        container: "mov".into(),
        size_bytes: 1_000_000,
        duration_ns: 10_000_000_000,
        video: vec![video],
        audio: vec![AudioFacts { codec: "aac".into(), ..AudioFacts::default() }],
        ..MediaFacts::default()
    }
}

pub(crate) fn audio_only() -> MediaFacts {
    MediaFacts { video: Vec::new(), ..facts(0, 0) }
}

/// What an attempt at this order finds or makes when all goes well.
pub(crate) fn value_of(order: &TaskOrder, source: &MediaFacts) -> TaskValue {
    match &order.work {
        TaskWork::Noop { .. } | TaskWork::Trial => TaskValue::Nothing,
        TaskWork::Probe { input } => {
            let input =
                Artifact { size: Some(Bytes(1_000_000)), hash: Some(ContentHash([7; 32])), ..input.clone() };
            TaskValue::Probed { input, facts: source.clone() }
        }
        TaskWork::Encode { output, source, .. } | TaskWork::EncodeWith { output, source, .. } => {
            TaskValue::Encoded(encoded(order.attempt, output.as_str(), source.clone()))
        }
        TaskWork::Join(work) => {
            TaskValue::Encoded(encoded(order.attempt, work.output.as_str(), work.source.clone()))
        }
        TaskWork::Probes { inputs, output } => TaskValue::ProbedFiles(ProbedFiles {
            artifact: Artifact {
                location: Location::Staged(order.attempt, output.clone()),
                size: Some(Bytes(10_000)),
                hash: Some(ContentHash([9; 32])),
                attempt: Some(order.attempt),
            },
            read: u32::try_from(inputs.len()).expect("they are few") - 1,
            failed: 1,
        }),
        TaskWork::Stream { work, output } => {
            let artifact = Artifact {
                location: Location::Staged(order.attempt, output.clone()),
                size: Some(Bytes(500_000)),
                hash: Some(ContentHash([9; 32])),
                attempt: Some(order.attempt),
            };
            match work.step() {
                StreamStep::Package => TaskValue::Set(Box::new(set(artifact))),
                StreamStep::Chunk => {
                    TaskValue::Part(PartMade { artifact, frames: 250, duration_ns: 1, vmaf: Vec::new() })
                }
                // A cut half a second behind the cell's start, where borders of chunks are.
                StreamStep::Scan => {
                    let StreamWork::Scan { range, .. } = &**work else { panic!("{work:?}") };
                    let cuts = vec![range.start_ns + 400_000_000];
                    // The later, the harder.
                    let costs = vec![1 + range.start_ns / 1_000_000; COSTS];
                    TaskValue::Scanned(Scan { frames: 50, cuts, costs })
                }
                StreamStep::Sound | StreamStep::Stills => {
                    TaskValue::Part(PartMade { artifact, frames: 0, duration_ns: 1, vmaf: Vec::new() })
                }
            }
        }
    }
}

fn set(artifact: Artifact) -> SetMade {
    SetMade {
        artifact,
        report: PackageReport::default(),
        top: Vec::new(),
        files: 40,
        size_bytes: 500_000,
        took: Took::default(),
        encoder: "x264enc".into(),
    }
}

pub(crate) fn encoded(attempt: AttemptId, name: &str, facts: MediaFacts) -> EncodedOutput {
    let name = name.parse().expect("a file name");
    EncodedOutput {
        artifact: Artifact {
            location: Location::Staged(attempt, name),
            size: Some(Bytes(500_000)),
            hash: Some(ContentHash([9; 32])),
            attempt: Some(attempt),
        },
        facts,
        check: CheckReport { frames_decoded: 250, frames_expected: 250, ..CheckReport::default() },
        encode_ms: 2_000,
        speed_permille: 5_000,
        encoder: "x264enc".into(),
    }
}
