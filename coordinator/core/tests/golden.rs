//! Golden bytes of every record of the journal, and of archived jobs.

#[path = "../../../tests/fixtures/golden.rs"]
mod golden;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use golden::{check, every, variants};
use rushes_core::job::{Ended, Failed, Job, Prediction, Published, Stage, Step, Success, Task, Trouble};
use rushes_core::promise::late::{Late, LateBy};
use rushes_core::promise::trade::{Sake, Trade, What};
use rushes_core::record::{IdempotencyKey, Record, Verdict};
use rushes_core::state::{KeptKey, KnownWorker, Quarantine, TenantLimits};
use rushes_shared::artifact::{Artifact, ContentHash, Location};
use rushes_shared::check::{Check, CheckLimit, CheckName, CheckUnit};
use rushes_shared::encode::{
    EncodeSettings, Extract, Extracted, RateControl, SpeedPreset, VideoCodec, VmafLimits, VmafScope,
};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::{AttemptId, Epoch, JobId, TaskId, TenantId, WorkerId};
use rushes_shared::job::{
    Class, ContentValue, Destination, GraphStage, JobChange, JobSpec, JobState, Needs, OutputSpec, Priority,
    QualityFloor, StageWork, Work,
};
use rushes_shared::ladder::{
    Borders, CodecLadder, Grid, LadderRate, LadderSettings, PackageReport, Rendition, Scan, SetLimits,
    StreamSettings,
};
use rushes_shared::measure::VmafTally;
use rushes_shared::media::{CheckReport, MediaFacts, VideoFacts};
use rushes_shared::still::{Moment, StillFormat, ThumbnailSettings};
use rushes_shared::task::{
    Demand, EncodedOutput, PartMade, ProbedFiles, SetFile, SetMade, SlotKind, StreamStep, TaskValue, Took,
    Usage,
};
use rushes_shared::units::{Bytes, Millicores, Ratio, WallMs};

variants!(Record: EpochBegan, JobAccepted, StagesPlanned, AttemptFailed, TaskSucceeded, OutputPublished, JobAmended,
    Traded, TradeUndone, StageDropped, PromiseLate, TenantSet, LimitSet, JobEnded,
    WorkerSeen, WorkerGone, WorkerDrained, KeysForgotten, JobCarried, KeyCarried, WorkerCarried, PromiseRestored,
    NodeQuarantined, NodeReadmitted, EncoderFellBack, EncoderShut, EncoderReadmitted,
    StageSized, PromiseGivenUp, WorkerForgotten, FailuresCarried);
variants!(Job);

const JOB: JobId = JobId(0x0192_0000_0000_0000_0000_0000_0000_0001);
const TASK: TaskId = TaskId { job: JOB, index: 1 };
const ATTEMPT: AttemptId = AttemptId { epoch: Epoch(3), counter: 70_000 };
const WORKER: WorkerId = WorkerId(0x0192_0000_0000_0000_0000_0000_0000_0002);
const AT: WallMs = WallMs(1_700_000_000_123);

fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/records/v1")
}

fn tenant() -> TenantId {
    "studio-7".parse().expect("a tenant")
}

fn source() -> Location {
    "/media/film.mov".parse().expect("a path")
}

fn spec(work: Work) -> JobSpec {
    JobSpec {
        name: "trailer".into(),
        labels: BTreeMap::from([("show".into(), "s01".into())]),
        priority: Priority::new(80).expect("at most 100"),
        deadline: Some(WallMs(1_700_000_600_000)),
        class: Class::Premium,
        value: Some(Box::new(ContentValue {
            creator_tier: 4,
            expected_views: 1_000_000,
            monetised: true,
            trending: false,
        })),
        floor: QualityFloor {
            fastest_preset: Some(SpeedPreset::Fast),
            drop_optional: true,
            min_height: Some(720),
            ..QualityFloor::default()
        },
        needs: Some(Box::new(Needs {
            tags: vec!["gpu".into()],
            pool: "films".into(),
            limits: BTreeMap::from([("dolby".into(), 1)]),
        })),
        paused: true,
        work,
    }
}

fn encode() -> Work {
    let output = |name: &str, destination| OutputSpec {
        name: name.parse().expect("a file name"),
        destination,
        settings: EncodeSettings::default(),
        optional: true,
        audience: 40,
    };
    let place = "/out/film.mp4".parse().expect("a path");
    let outputs = vec![output("a.mp4", Destination::Depot), output("b.mp4", Destination::Place(place))];
    Work::Encode { input: source(), outputs }
}

/// Outputs of which one is no rendition.
fn encode_and_extract() -> Work {
    let Work::Encode { input, mut outputs } = encode() else { unreachable!("it is one") };
    let format = StillFormat::Jpeg(85);
    let still = ThumbnailSettings { moment: Moment::Best, max_width: Some(1_280), max_height: None, format };
    let extract = Extract { what: Extracted::Stills(still), max_bytes: Some(200_000) };
    outputs[1].settings = EncodeSettings::of_extract(extract);
    Work::Encode { input, outputs }
}

/// Every step in every kind of slot.
fn plans() -> Vec<Stage> {
    let steps = [Step::Noop { hold_ms: 1_000, cpu_ms: 900 }, Step::Probe, Step::Encode { output: 1 }];
    let slots = every!(SlotKind: Light, Analyse, Encode, Finish);
    steps
        .into_iter()
        .cycle()
        .zip(slots)
        .map(|(step, slot)| Stage {
            step,
            slot,
            count: 1,
            after: vec![0],
            demand: Demand { cpu: Millicores(4_000), memory: Bytes(700 << 20) },
            prediction: Prediction { cpu_ms: 240_000, wall_ms: 60_000, model: 1 },
            optional: true,
            dropped: true,
        })
        .collect()
}

fn trials() -> Stage {
    let stage = plans().swap_remove(0);
    Stage { step: Step::Trial, ..stage }
}

/// An output that is made in pieces.
fn pieces() -> Vec<Stage> {
    let steps = [Step::Piece { output: 2, piece_s: 10 }, Step::Join { output: 2, piece_s: 10 }];
    steps.into_iter().map(|step| Stage { step, ..trials() }).collect()
}

/// Every step of a streaming set.
fn set() -> Vec<Stage> {
    let [steps @ .., _] = every!(StreamStep: Sound, Stills, Chunk, Package, Scan).map(Step::Stream);
    steps.into_iter().map(|step| Stage { step, ..trials() }).collect()
}

/// What a set has beside those where its chunks begin at cuts.
fn scans() -> Vec<Stage> {
    vec![Stage { step: Step::Stream(StreamStep::Scan), ..trials() }]
}

fn stream_of_scenes() -> Work {
    let Work::Stream { input, mut settings, destination } = stream() else { unreachable!("it is a set") };
    settings.ladder.borders = Borders::Scenes;
    Work::Stream { input, settings, destination }
}

fn stream_of_means() -> Work {
    let Work::Stream { input, mut settings, destination } = stream() else { unreachable!("it is a set") };
    settings.ladder.rate = LadderRate::Mean { top_bps: Some(4_000_000) };
    Work::Stream { input, settings, destination }
}

fn stream_of_a_size() -> Work {
    let Work::Stream { input, mut settings, destination } = stream() else { unreachable!("it is a set") };
    settings.ladder.rate = LadderRate::Size { bytes: 700_000_000 };
    Work::Stream { input, settings, destination }
}

fn scanned() -> (&'static str, Option<Box<TaskValue>>) {
    let scan = Scan { frames: 250, cuts: vec![9_960_000_000], costs: vec![300, 40_000] };
    ("scanned", Some(Box::new(TaskValue::Scanned(scan))))
}

fn stream() -> Work {
    let ladder = LadderSettings {
        grid: Grid { key_ns: 2_000_000_000, keys_to_segment: 3, keys_to_chunk: 5 },
        crf: 21,
        preset: SpeedPreset::Slow,
        max_height: Some(1080),
        sound_bps: Some(160_000),
        decode: true,
        codec: VideoCodec::H264,
        more: vec![CodecLadder {
            codec: VideoCodec::Av1,
            crf: 32,
            preset: SpeedPreset::Fast,
            max_height: Some(720),
        }],
        more_sounds: vec![96_000],
        vmaf: VmafLimits { scope: VmafScope::Sampled, mean_tenths: Some(900), ..VmafLimits::default() },
        borders: Borders::Grid,
        limits: SetLimits::default(),
        rate: LadderRate::Factor,
    };
    let settings = StreamSettings { ladder, stills: true };
    let destination = Destination::Place("/out/film/".parse().expect("a path"));
    Work::Stream { input: source(), settings, destination }
}

fn graph() -> Work {
    let stage = |name: &str, after, work| GraphStage {
        name: name.into(),
        slot: SlotKind::Encode,
        after,
        count: 30,
        work,
        demand: Demand { cpu: Millicores(1_000), memory: Bytes(1 << 30) },
        optional: false,
    };
    let probe = stage("look", vec![], StageWork::Probe { input: source() });
    Work::Graph { stages: vec![probe, stage("hold", vec![0], StageWork::Noop { hold_ms: 500, cpu_ms: 400 })] }
}

fn key() -> IdempotencyKey {
    IdempotencyKey { key: "order-17".into(), fingerprint: [3; 32] }
}

fn failure(code: FailureCode) -> Failure {
    Failure::new(code, "it failed", "try it otherwise").with_detail("tail")
}

fn usage() -> Usage {
    Usage {
        wall_ms: 61_000,
        run_ms: 60_000,
        cpu_ms: 230_000,
        max_rss_bytes: 1 << 28,
        bytes_in: 5,
        bytes_out: 6,
    }
}

fn facts() -> MediaFacts {
    let video = VideoFacts {
        codec: "h264".into(),
        width: 1920,
        height: 1080,
        fps: Ratio::new(25, 1),
        frames: 250,
        ..VideoFacts::default()
    };
    MediaFacts { container: "mp4".into(), video: vec![video], ..MediaFacts::default() }
}

fn staged() -> Artifact {
    let name = "a.mp4".parse().expect("a file name");
    Artifact {
        location: Location::Staged(ATTEMPT, name),
        size: Some(Bytes(90_000_000)),
        hash: Some(ContentHash([0xa5; 32])),
        attempt: Some(ATTEMPT),
    }
}

fn values() -> [(&'static str, Option<Box<TaskValue>>); 4] {
    let encoded = EncodedOutput {
        artifact: staged(),
        facts: facts(),
        check: CheckReport { frames_decoded: 250, frames_expected: 250, ..CheckReport::default() },
        encode_ms: 60_000,
        speed_permille: 4_000,
        encoder: "x264enc 164".into(),
    };
    let mut checked = encoded.clone();
    checked.check.checks = vec![passed()];
    [
        ("nothing", None),
        ("probed", Some(Box::new(TaskValue::Probed { input: Artifact::unseen(source()), facts: facts() }))),
        ("encoded", Some(Box::new(TaskValue::Encoded(encoded)))),
        ("checked", Some(Box::new(TaskValue::Encoded(checked)))),
    ]
}

fn probes() -> Work {
    Work::Probes { inputs: vec![source(); 3], batch: 2 }
}

fn probe_batches() -> Stage {
    Stage { step: Step::Probes, count: 2, ..trials() }
}

fn passed() -> Check {
    Check::judged(CheckName::Vmaf, CheckUnit::Vmaf, CheckLimit::AtLeast(90.0), 93.5).of("1080p")
}

/// What the steps of a streaming set leave behind, and probes of many files.
fn set_values() -> [(&'static str, Option<Box<TaskValue>>); 3] {
    let mut tally = VmafTally::default();
    tally.add(93.5, 40_000_000);
    let part = PartMade { artifact: staged(), frames: 250, duration_ns: 10_000_000_000, vmaf: vec![tally] };
    let rendition = Rendition {
        name: "1080p".into(),
        codecs: "avc1.640028".into(),
        size: (1920, 1080),
        packets: 250,
        segments: 2,
        average_bps: 4_000_000,
        peak_bps: 5_000_000,
    };
    let report = PackageReport {
        duration_ns: 10_000_000_000,
        video: vec![rendition],
        audio: Vec::new(),
        files: vec!["master.m3u8".into()],
        checks: vec![passed()],
    };
    let file = SetFile {
        path: "report.json".parse().expect("a path"),
        size_bytes: 4_000,
        hash: ContentHash([0xb6; 32]),
    };
    let took = Took { sound_ms: 1, stills_ms: 2, chunks_ms: 3_000, chunks_cpu_ms: 11_000, package_ms: 400 };
    let set = SetMade {
        artifact: staged(),
        report,
        top: vec![file],
        files: 13,
        size_bytes: 90_000_000,
        took,
        encoder: "x264enc 164".into(),
    };
    let found = ProbedFiles { artifact: staged(), read: 1, failed: 1 };
    [
        ("part", Some(Box::new(TaskValue::Part(part)))),
        ("set", Some(Box::new(TaskValue::Set(Box::new(set))))),
        ("probed-files", Some(Box::new(TaskValue::ProbedFiles(found)))),
    ]
}

fn published() -> Artifact {
    Artifact { location: "/out/film.mp4".parse().expect("a path"), ..staged() }
}

/// A job with everything that a job can have.
fn job() -> Job {
    let success = |value| {
        let done = Success { attempt: ATTEMPT, worker: WORKER, value, usage: usage(), queued_ms: 12, at: AT };
        Task { success: Some(Box::new(done)), trouble: None }
    };
    let mut tasks: Vec<Task> = values().into_iter().map(|(_, value)| success(value)).collect();
    let trouble = Trouble {
        failures: 3,
        last: Failed { attempt: ATTEMPT, worker: WORKER, failure: failure(FailureCode::WorkerLost), at: AT },
        bad_on: BTreeSet::from([WORKER, WorkerId(1)]),
        died_on: BTreeSet::from([WORKER]),
        given_up: true,
        lost: 0,
    };
    tasks.push(Task { success: None, trouble: Some(Box::new(trouble)) });
    Job {
        id: JOB,
        tenant: tenant(),
        submitter: "ci".into(),
        spec: spec(encode()).into(),
        accepted_at: AT,
        stages: plans().into(),
        tasks: tasks.into(),
        published: vec![Published { output: 1, artifact: published(), at: AT }].into(),
        trades: vec![trade(What::Drop)].into(),
        late: Some(Box::new(Late { since: AT, because: LateBy::Itself })),
        ended: None,
    }
}

fn trade(what: What) -> Trade {
    Trade {
        stage: 2,
        what,
        sake: Sake::Own,
        missing_ms: 4_000,
        saved_ms: 30_000,
        loss: 10,
        before: Prediction { cpu_ms: 240_000, wall_ms: 60_000, model: 1 },
        after: Prediction { cpu_ms: 120_000, wall_ms: 30_000, model: 1 },
        at: AT,
        undone: Some(AT),
    }
}

/// A job whose deadline was given up for another's, and which gave quality up for that as well.
fn given_up() -> Job {
    let floor = QualityFloor { one_pass: true, ..QualityFloor::default() };
    let spec = JobSpec { floor, ..spec(in_two_passes()) };
    let for_another = Trade { sake: Sake::Job(JobId(5)), undone: None, ..trade(What::Pass) };
    let late = Late { since: AT, because: LateBy::Other(JobId(5)) };
    Job { spec: spec.into(), trades: vec![for_another].into(), late: Some(Box::new(late)), ..job() }
}

/// Encodes of a mean rate in two passes.
fn in_two_passes() -> Work {
    let Work::Encode { input, mut outputs } = encode() else { unreachable!("it is an encode") };
    for output in &mut outputs {
        let rate = RateControl::TwoPass { bitrate_bps: 5_000_000, peak_bps: Some(7_500_000) };
        output.settings.video.as_mut().expect("it has video").rate = rate;
    }
    Work::Encode { input, outputs }
}

fn fell_back() -> Record {
    Record::EncoderFellBack { job: JOB, stage: 1, worker: WORKER, element: "nvh264enc".into(), at: AT }
}

fn sized() -> Record {
    let demand = Demand { cpu: Millicores(2_000), memory: Bytes(300 << 20) };
    let prediction = Prediction { cpu_ms: 90_000, wall_ms: 45_000, model: 0 };
    Record::StageSized { job: JOB, stage: 1, demand, prediction }
}

/// A graph that makes a file.
fn encoding_graph() -> Work {
    let Work::Graph { mut stages } = graph() else { unreachable!("it is a graph") };
    let Work::Encode { input, outputs } = encode() else { unreachable!("it is an encode") };
    let work = StageWork::Encode { input, output: Box::new(outputs[1].clone()) };
    stages.push(GraphStage { name: "film".into(), count: 1, work, ..stages[1].clone() });
    Work::Graph { stages }
}

/// The same encodes by a hardware encoder.
fn in_hardware() -> Work {
    let Work::Encode { input, mut outputs } = encode() else { unreachable!("it is an encode") };
    for output in &mut outputs {
        output.settings.video.as_mut().expect("it has video").codec = VideoCodec::H264Hardware;
    }
    Work::Encode { input, outputs }
}

/// Stages as they are after a hardware encoder has failed.
fn fallen_back() -> Vec<Stage> {
    plans().into_iter().map(|stage| Stage { step: stage.step.in_software(), ..stage }).collect()
}

fn accepted(work: Work, key: Option<IdempotencyKey>) -> Record {
    Record::JobAccepted {
        job: JOB,
        tenant: tenant(),
        submitter: "ci".into(),
        spec: spec(work).into(),
        key,
        at: AT,
    }
}

fn failed(code: FailureCode, verdict: Verdict) -> Record {
    let failure = failure(code);
    Record::AttemptFailed {
        task: TASK,
        attempt: ATTEMPT,
        worker: WORKER,
        failure,
        usage: usage(),
        verdict,
        at: AT,
    }
}

fn succeeded((note, value): (&'static str, Option<Box<TaskValue>>)) -> (&'static str, Vec<Record>) {
    let (task, attempt, worker, usage, at) = (TASK, ATTEMPT, WORKER, usage(), AT);
    (
        note,
        vec![Record::TaskSucceeded {
            task,
            attempt,
            worker,
            value,
            usage,
            queued_ms: 12,
            speed_permille: 1_200,
            at,
        }],
    )
}

fn amended(class: Class) -> Record {
    let change = JobChange {
        class: Some(class),
        priority: Priority::new(7),
        value: Some(ContentValue::default()),
        deadline: Some(None),
        labels: BTreeMap::from([("show".into(), "s02".into())]),
        paused: Some(false),
    };
    Record::JobAmended { job: JOB, change, at: AT }
}

#[test]
fn golden_records() {
    let ended = |state: JobState| {
        let failure = (state == JobState::Failed).then(|| failure(FailureCode::InputEmpty));
        Record::JobEnded { job: JOB, state, failure, at: AT }
    };
    let known = KnownWorker {
        id: WORKER,
        name: "rack-3".into(),
        expected: true,
        draining: true,
        at: AT,
        speed_permille: 900,
    };
    let mut samples = vec![
        ("", vec![Record::EpochBegan { epoch: Epoch(3), at: AT }]),
        ("noop", vec![accepted(Work::Noop { tasks: 10_000 }, Some(key()))]),
        ("probe", vec![accepted(Work::Probe { input: source() }, None)]),
        ("encode", vec![accepted(encode(), None)]),
        ("graph", vec![accepted(graph(), None)]),
        ("trial", vec![accepted(Work::Trial { tasks: 10_000 }, None)]),
        ("stream", vec![accepted(stream(), None)]),
        ("probes", vec![accepted(probes(), None)]),
        ("probes", vec![Record::StagesPlanned { job: JOB, stages: vec![probe_batches()] }]),
        ("stream", vec![Record::StagesPlanned { job: JOB, stages: set() }]),
        ("pieces", vec![Record::StagesPlanned { job: JOB, stages: pieces() }]),
        ("stream-scenes", vec![accepted(stream_of_scenes(), None)]),
        ("stream-means", vec![accepted(stream_of_means(), None)]),
        ("stream-size", vec![accepted(stream_of_a_size(), None)]),
        ("stream-scenes", vec![Record::StagesPlanned { job: JOB, stages: scans() }]),
        ("", vec![Record::StagesPlanned { job: JOB, stages: plans() }]),
        ("trial", vec![Record::StagesPlanned { job: JOB, stages: vec![trials()] }]),
        (
            "",
            vec![
                failed(FailureCode::ProcessDied, Verdict::Retry { delay_ms: 1_024 }),
                failed(FailureCode::InputDamaged, Verdict::GiveUp),
            ],
        ),
        ("", vec![Record::OutputPublished { job: JOB, output: 1, artifact: published(), at: AT }]),
        ("", every!(JobState: Queued, Running, Succeeded, Failed, Canceled).map(ended).to_vec()),
        ("", every!(Class: Bulk, Standard, Premium, Emergency).map(amended).to_vec()),
        (
            "",
            [
                What::Preset { from: SpeedPreset::Slow, to: SpeedPreset::Medium },
                What::Height { from: None, to: 720 },
                What::Drop,
                What::Analysis,
            ]
            .map(|what| Record::Traded { job: JOB, trade: trade(what) })
            .to_vec(),
        ),
        (
            "sake",
            [Sake::Job(JobId(5)), Sake::LostNodes]
                .into_iter()
                .flat_map(|sake| [None, Some(AT)].map(|undone| Trade { sake, undone, ..trade(What::Pass) }))
                .map(|trade| Record::Traded { job: JOB, trade })
                .collect(),
        ),
        (
            "",
            [LateBy::Other(JobId(5)), LateBy::LostNodes]
                .map(|because| Record::PromiseGivenUp { job: JOB, expected: AT, because, at: AT })
                .to_vec(),
        ),
        ("given-up", vec![Record::JobCarried(Box::new(given_up()))]),
        ("two-passes", vec![accepted(in_two_passes(), None)]),
        ("", vec![Record::TradeUndone { job: JOB, number: 1, at: AT }]),
        ("", vec![Record::StageDropped { job: JOB, stage: 2, at: AT }]),
        ("", vec![Record::PromiseLate { job: JOB, expected: AT, at: AT }]),
        (
            "",
            vec![Record::NodeQuarantined { worker: WORKER, quarantine: Quarantine { until: AT, times: 2 } }],
        ),
        ("", vec![Record::NodeReadmitted { worker: WORKER }]),
        ("", vec![fell_back()]),
        ("", vec![Record::EncoderShut { worker: WORKER, quarantine: Quarantine { until: AT, times: 2 } }]),
        ("", vec![Record::EncoderReadmitted { worker: WORKER }]),
        ("", vec![sized()]),
        ("", vec![Record::WorkerForgotten { worker: WORKER }]),
        ("", vec![Record::FailuresCarried { job: JOB, in_row: 12 }]),
        ("graph-encode", vec![accepted(encoding_graph(), None)]),
        ("hardware", vec![accepted(in_hardware(), None)]),
        ("extract", vec![accepted(encode_and_extract(), None)]),
        ("fell-back", vec![Record::StagesPlanned { job: JOB, stages: fallen_back() }]),
        ("", vec![Record::PromiseRestored { job: JOB, at: AT }]),
        ("", vec![Record::TenantSet { tenant: tenant(), limits: TenantLimits::default() }]),
        ("", [Some(3), None].map(|most| Record::LimitSet { name: "dolby".into(), most }).to_vec()),
        ("", vec![Record::WorkerSeen { worker: WORKER, name: "rack-3".into(), at: AT }]),
        ("", vec![Record::WorkerGone { worker: WORKER, at: AT }]),
        ("", [true, false].map(|draining| Record::WorkerDrained { worker: WORKER, draining }).to_vec()),
        ("", vec![Record::KeysForgotten { before: AT }]),
        ("", vec![Record::JobCarried(Box::new(job()))]),
        ("", vec![Record::KeyCarried(KeptKey { tenant: tenant(), key: key(), job: JOB, at: AT })]),
        ("", vec![Record::WorkerCarried(known)]),
    ];
    samples.extend(values().into_iter().chain(set_values()).chain([scanned()]).map(succeeded));
    check(&dir(), samples);
}

#[test]
fn golden_archived_job() {
    let failure = Some(failure(FailureCode::WorkerLost));
    let ended = Some(Box::new(Ended { state: JobState::Failed, failure, at: AT }));
    check(&dir(), vec![("", vec![Job { ended, ..job() }])]);
}
