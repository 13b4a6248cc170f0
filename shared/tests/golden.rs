//! Golden bytes of every wire message.

#[path = "../../tests/fixtures/golden.rs"]
mod golden;
mod samples;

use std::path::PathBuf;

use golden::{check, every, variants};
use rushes_shared::artifact::{Artifact, ContentHash};
use rushes_shared::codec;
use rushes_shared::encode::{CheckLimits, SpeedPreset};
use rushes_shared::id::{Epoch, TenantId, WorkerId};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{
    Delivery, Demand, Phase, ProbedFiles, Progress, SlotKind, TaskOutcome, TaskValue, TaskWork,
};
use rushes_shared::ticket::{Grant, Ticket};
use rushes_shared::units::{Bytes, Millicores, WallMs};
use rushes_shared::wire::{
    AheadOffer, BulkReply, BulkRequest, FarmBound, HeldAttempt, JoinReply, JoinRequest, LaneBound, LaneEnd,
    LaneEntry, LaneOrder, LaneReply, LaneSuccess, Part, PartsOf, TaskBound, TaskReply, WorkerBound,
};
use samples::{
    ATTEMPT, HASH, TASK, artifact, checks, checks_of_extracts, checks_of_gaps, cut_work, encode_work,
    encoded, extract_works, failures, join_work, later_extract_works, limited_work, limits, mean_work, media,
    node, order, part, places, places_of_sets, scan, scene_works, sequences, set, stream_works, succeeded,
    usage,
};

variants!(FarmBound: Hello, Heartbeat, Facts, Leaving, Ahead, Hardware);
variants!(WorkerBound: Welcome, Draining, Goodbye);
variants!(TaskBound: Start, Attach, Cancel, Collected, Recall);
variants!(TaskReply: Started, Progress, Log, Outcome, Refused, Recalled);
variants!(LaneBound: Start, Cancel, Collected, Enter, Recall);
variants!(LaneReply: Ended, Refused, Recalled, Succeeded);
variants!(JoinRequest);
variants!(JoinReply: Welcome, Refused);
variants!(BulkRequest: Read, Write, Publish, Drop, Take, Keep, ReadParts, ListStaged);
variants!(BulkReply: Reading, Written, Published, Dropped, Failed, Taken, NotKept, Kept, Parts, NoParts, Staged);

fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/wire/v1")
}

#[test]
fn golden_control_messages() {
    let held = HeldAttempt { task: TASK, attempt: ATTEMPT, finished: true };
    let hello = FarmBound::Hello { instance: u64::MAX, epoch: Epoch(3), facts: node(), held: vec![held] };
    check(
        &dir(),
        vec![
            ("", vec![hello]),
            ("", vec![FarmBound::Heartbeat]),
            ("", vec![FarmBound::Facts(NodeFacts::default())]),
            ("", vec![FarmBound::Leaving]),
            ("", vec![FarmBound::Hardware { sessions: 3 }]),
            ("", vec![FarmBound::Ahead(AheadOffer { process: 1, lane: 1_024, round_trip_ms: 20 })]),
        ],
    );
    let welcome = WorkerBound::Welcome {
        epoch: Epoch(3),
        heartbeat_ms: 2_000,
        lease_ms: 10_000,
        depot: ":7402".into(),
        give_up: vec![ATTEMPT],
    };
    let draining = [true, false].map(WorkerBound::Draining).to_vec();
    check(&dir(), vec![("", vec![welcome]), ("", draining), ("", vec![WorkerBound::Goodbye])]);
}

fn many_probes() -> TaskWork {
    let inputs = places().map(Artifact::unseen).to_vec();
    TaskWork::Probes { inputs, output: "facts-00002.ndjson".parse().expect("a file name") }
}

fn probed_files() -> TaskValue {
    TaskValue::ProbedFiles(ProbedFiles { artifact: artifact(places()[1].clone()), read: 63, failed: 1 })
}

#[test]
fn golden_orders() {
    let deliveries = every!(Delivery: Durable, Ephemeral, Service);
    let presets =
        every!(SpeedPreset: Ultrafast, Superfast, Veryfast, Faster, Fast, Medium, Slow, Slower, Veryslow);
    let hardware = encode_work(SpeedPreset::Medium, CheckLimits::default()).with_encoder("nvh264enc".into());
    let probes = places().map(|p| order(Delivery::Durable, TaskWork::Probe { input: Artifact::unseen(p) }));
    check(
        &dir(),
        vec![
            ("noop", deliveries.map(|d| order(d, TaskWork::Noop { hold_ms: 300, cpu_ms: 250 })).to_vec()),
            ("probe", probes.to_vec()),
            ("encode-with", vec![order(Delivery::Durable, hardware)]),
            (
                "encode",
                presets.map(|p| order(Delivery::Durable, encode_work(p, CheckLimits::default()))).to_vec(),
            ),
            ("encode-limits", vec![order(Delivery::Durable, encode_work(SpeedPreset::Fast, limits()))]),
            (
                "encode-extract",
                extract_works().into_iter().map(|work| order(Delivery::Durable, work)).collect(),
            ),
            (
                "encode-extract-webp",
                later_extract_works().into_iter().map(|work| order(Delivery::Durable, work)).collect(),
            ),
            ("trial", vec![order(Delivery::Durable, TaskWork::Trial)]),
            (
                "probe-set",
                places_of_sets()
                    .map(|p| order(Delivery::Durable, TaskWork::Probe { input: Artifact::unseen(p) }))
                    .to_vec(),
            ),
            ("probes", vec![order(Delivery::Durable, many_probes())]),
            (
                "probe-sequence",
                sequences()
                    .map(|p| order(Delivery::Durable, TaskWork::Probe { input: Artifact::unseen(p) }))
                    .to_vec(),
            ),
            ("stream", stream_works().map(|work| order(Delivery::Durable, work)).to_vec()),
            ("join", vec![order(Delivery::Durable, join_work())]),
            ("stream-means", vec![order(Delivery::Durable, mean_work())]),
            ("stream-limited", vec![order(Delivery::Durable, limited_work())]),
            ("stream-cuts", vec![order(Delivery::Durable, cut_work())]),
            ("stream-scenes", scene_works().map(|work| order(Delivery::Durable, work)).to_vec()),
            ("", vec![TaskBound::Attach { attempt: ATTEMPT }]),
            ("", vec![TaskBound::Cancel]),
            ("", vec![TaskBound::Collected]),
            ("", vec![TaskBound::Recall]),
        ],
    );
}

#[test]
fn golden_reports() {
    let progress = |phase| {
        TaskReply::Progress(Progress {
            phase,
            media_ns: 12_000_000_000,
            media_total_ns: 240_000_000_000,
            frames: 719,
            frames_total: 14_385,
            permille: 50,
            speed_permille: 4_000,
            eta_ms: Some(57_000),
        })
    };
    let probed = TaskValue::Probed { input: artifact(places()[1].clone()), facts: media() };
    let failed = TaskOutcome::Failed { failure: failures()[0].clone(), usage: usage() };
    check(
        &dir(),
        vec![
            ("", vec![TaskReply::Started]),
            ("", every!(Phase: Fetching, Running, Checking, Storing).map(progress).to_vec()),
            ("", vec![TaskReply::Log("a line\nanother ü".into())]),
            ("nothing", vec![succeeded(TaskValue::Nothing)]),
            ("probed", vec![succeeded(probed)]),
            ("encoded", vec![succeeded(encoded(Vec::new()))]),
            ("checked", vec![succeeded(encoded(checks()))]),
            ("checked-extract", vec![succeeded(encoded(checks_of_extracts()))]),
            ("checked-gaps", vec![succeeded(encoded(checks_of_gaps()))]),
            ("part", vec![succeeded(TaskValue::Part(part()))]),
            ("probed-files", vec![succeeded(probed_files())]),
            ("set", vec![succeeded(TaskValue::Set(Box::new(set())))]),
            ("scanned", vec![succeeded(TaskValue::Scanned(scan()))]),
            ("failed", vec![TaskReply::Outcome(failed)]),
            ("cancelled", vec![TaskReply::Outcome(TaskOutcome::Cancelled)]),
            ("", vec![TaskReply::Refused(failures()[15].clone())]),
            ("", vec![TaskReply::Recalled]),
        ],
    );
}

#[test]
fn golden_lane() {
    let order = LaneOrder { task: TASK, attempt: ATTEMPT, hold_ms: 1_000 };
    let demand = Demand { cpu: Millicores(1_500), memory: Bytes(1 << 30) };
    let slots = every!(SlotKind: Light, Analyse, Encode, Finish);
    let end = |outcome| LaneEnd { task: TASK, attempt: ATTEMPT, outcome };
    let succeeded = TaskOutcome::Succeeded { value: TaskValue::Nothing, usage: usage() };
    check(
        &dir(),
        vec![
            ("", vec![LaneBound::Start(vec![order, LaneOrder { hold_ms: 0, ..order }])]),
            ("", vec![LaneBound::Cancel(vec![ATTEMPT])]),
            ("", vec![LaneBound::Collected(vec![ATTEMPT])]),
            ("", vec![LaneBound::Enter(slots.map(|slot| LaneEntry { order, slot, demand }).to_vec())]),
            ("", vec![LaneBound::Recall(vec![ATTEMPT])]),
        ],
    );
    let success = LaneSuccess { task: TASK, attempt: ATTEMPT, usage: usage() };
    let refused = LaneReply::Refused { task: TASK, attempt: ATTEMPT, failure: failures()[15].clone() };
    check(
        &dir(),
        vec![
            ("", vec![LaneReply::Ended(vec![end(succeeded), end(TaskOutcome::Cancelled)])]),
            ("", vec![refused]),
            ("", vec![LaneReply::Recalled(vec![(TASK, ATTEMPT)])]),
            ("", vec![LaneReply::Succeeded(vec![success])]),
        ],
    );
}

#[test]
fn golden_enrolment() {
    let request =
        JoinRequest { secret: "s3cret".into(), csr_der: vec![0x30, 0x82, 0x01], name: "rack-3".into() };
    check(&dir(), vec![("", vec![request])]);
    let welcome = JoinReply::Welcome {
        worker: WorkerId(0x0192_0000_0000_0000_0000_0000_0000_0002),
        certificate_pem: "-----BEGIN CERTIFICATE-----\n".into(),
        ca_pem: "-----BEGIN CERTIFICATE-----\n".into(),
    };
    let refused = JoinReply::Refused { reason: "the token was used before".into() };
    check(&dir(), vec![("", vec![welcome]), ("", vec![refused])]);
}

#[test]
fn golden_bulk() {
    let ticket = vec![9; 40];
    let [_, _, staged, place] = places();
    let read = |location| BulkRequest::Read { location, offset: 1 << 33, ticket: vec![9; 40] };
    let (location, size, hash) = (staged.clone(), Bytes(7), HASH);
    let write = BulkRequest::Write { location, size, hash, ticket: ticket.clone() };
    let publish = BulkRequest::Publish { from: artifact(staged), to: place, ticket: ticket.clone() };
    let drop = BulkRequest::Drop { attempts: vec![ATTEMPT, ATTEMPT], ticket: ticket.clone() };
    let [_, _, staged, _] = places();
    let take = BulkRequest::Take { to: staged.clone(), maker: HASH, ticket: ticket.clone() };
    let keep =
        BulkRequest::Keep { from: artifact(staged), maker: HASH, note: vec![1, 2], ticket: ticket.clone() };
    let [location, ..] = places();
    let parts = vec![Part::From { offset: 1 << 33, length: 8 }, Part::End { length: 9 }];
    let files = vec![PartsOf { location, parts }];
    let parts = BulkRequest::ReadParts { files, ticket: ticket.clone() };
    let list = BulkRequest::ListStaged { before: ATTEMPT.epoch, after: Some(ATTEMPT), ticket };
    let requests = [write, publish, drop, take, keep, parts, list].map(|request| ("", vec![request]));
    check(&dir(), [vec![("", places().map(read).to_vec())], requests.to_vec()].concat());
    check(
        &dir(),
        vec![
            ("", vec![BulkReply::Reading { size: Bytes(5_000_000_000) }]),
            ("", vec![BulkReply::Written]),
            ("", vec![BulkReply::Published]),
            ("", vec![BulkReply::Dropped]),
            ("", failures().into_iter().map(BulkReply::Failed).collect()),
            ("", vec![BulkReply::Taken { size: Bytes(5), hash: ContentHash([3; 32]), note: vec![1, 2] }]),
            ("", vec![BulkReply::NotKept]),
            ("", vec![BulkReply::Kept]),
            ("", vec![BulkReply::Parts { size: Bytes(1 << 34), stamp: 7, parts: vec![(1 << 33, 8)] }]),
            ("", failures().into_iter().map(BulkReply::NoParts).collect()),
            ("", vec![BulkReply::Staged(vec![ATTEMPT])]),
        ],
    );
}

/// Tickets are signed over their encoding: a depot of another version would refuse changed ones.
#[test]
fn golden_tickets() {
    let [_, upload, staged, place] = places();
    let [_, _, set] = places_of_sets();
    let made = staged.clone();
    let grants = [
        ("read", Grant::Read(upload.clone())),
        ("read-with", Grant::ReadWith { input: upload, attempts: vec![ATTEMPT] }),
        ("write", Grant::Write(staged.clone())),
        ("publish", Grant::Publish { from: staged.clone(), to: place }),
        ("publish-set", Grant::Publish { from: staged, to: set }),
        ("read-staged", Grant::ReadStaged(vec![ATTEMPT])),
        ("drop", Grant::Drop(vec![ATTEMPT])),
        ("read-any", Grant::ReadAny(places().to_vec())),
        ("list-staged", Grant::ListStaged),
        ("make", Grant::Make { to: made, tenant: TenantId::default_tenant(), of: ContentHash([3; 32]) }),
    ];
    for (name, grant) in grants {
        match &grant {
            Grant::Read(_)
            | Grant::Write(_)
            | Grant::Publish { .. }
            | Grant::Drop(_)
            | Grant::ReadStaged(_)
            | Grant::Make { .. }
            | Grant::ReadWith { .. }
            | Grant::ReadAny(_)
            | Grant::ListStaged => {}
        }
        let ticket = Ticket { grant, expires: WallMs(1_700_000_000_000) };
        let path = dir().join(format!("ticket.{name}.bin"));
        let today = codec::encode(&ticket).expect("a ticket encodes");
        if std::env::var_os("RUSHES_GOLDEN").is_some_and(|v| v == "write") {
            std::fs::write(&path, &today).expect("the fixtures can be written");
        }
        let kept = std::fs::read(&path).expect("the fixture is there; RUSHES_GOLDEN=write makes it");
        assert_eq!(codec::decode::<Ticket>(&kept).expect("it decodes"), ticket);
        assert_eq!(kept, today, "{name}: the format has changed");
    }
}
