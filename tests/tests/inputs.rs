//! Inputs that cannot be encoded: each fails within seconds, once, with a message that says what to do, and the worker
//! goes on.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rushes_shared::failure::{FailureClass, FailureCode};
use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::task::TaskKind;
use rushes_shared::view::JobView;
use rushes_tests::media::{self, Facts};
use rushes_tests::{Farm, FarmPlan, binaries};
use serde_json::{Value, json};

/// How soon a bad input has to be told; generous, for a busy machine and debug builds.
const SECONDS: Duration = Duration::from_secs(15);

struct Bad {
    what: &'static str,
    input: Value,
    codes: &'static [FailureCode],
    /// Something that message or advice have to say.
    says: &'static str,
}

fn bad(
    what: &'static str,
    input: impl AsRef<Path>,
    codes: &'static [FailureCode],
    says: &'static str,
) -> Bad {
    Bad { what, input: json!(input.as_ref()), codes, says }
}

/// The job failed at once, for good, with a message for people.
fn is_clear(job: &JobView, case: &Bad) {
    let what = case.what;
    assert_eq!(job.state, JobState::Failed, "{what}: {job:#?}");
    let failure = job.failure.as_ref().unwrap_or_else(|| panic!("{what}: a failed job has a cause"));
    assert!(case.codes.contains(&failure.code), "{what}: {failure:#?}");
    assert_eq!(failure.class, FailureClass::Permanent, "{what}: {failure:#?}");
    assert!(!failure.advice.is_empty(), "{what}: no advice in {failure:#?}");
    let text = format!("{}; {}", failure.message, failure.advice);
    assert!(text.contains(case.says), "{what}: nothing about '{}' in '{text}'", case.says);
    let attempts: u32 = job.tasks.iter().map(|t| t.attempts).max().unwrap_or(0);
    assert_eq!(attempts, 1, "{what}: a permanent failure is not tried again: {:#?}", job.tasks);
}

fn encode(farm: &Farm, case: &Bad) -> Value {
    let output =
        json!({"name": "x.mp4", "destination": farm.out().join("x.mp4"), "video": {"preset": "ultrafast"}});
    json!({"input": case.input, "outputs": [output]})
}

/// The job is not even taken.
fn is_refused(farm: &Farm, case: &Bad) {
    let [code] = case.codes else { panic!("{}: one code for each", case.what) };
    let problem = farm.api().post("/v1/jobs", &encode(farm, case)).problem(422, code.as_str());
    let text = format!("{}; {}", problem.detail, problem.advice.unwrap_or_default());
    assert!(text.contains(case.says), "{}: nothing about '{}' in '{text}'", case.what, case.says);
    println!("{:<32} refused  {}", case.what, problem.detail);
}

fn fails_clearly(farm: &Farm, case: &Bad) {
    let begun = Instant::now();
    let id = farm.api().submit(&encode(farm, case));
    told(farm, case, begun, id);
}

/// It was there when the job was taken and is not when the job comes to it.
fn fails_clearly_later(farm: &Farm, case: &Bad, spoil: impl FnOnce()) {
    let mut job = encode(farm, case);
    job["paused"] = true.into();
    let id = farm.api().submit(&job);
    spoil();
    let begun = Instant::now();
    let _view: JobView = farm.api().post(&format!("/v1/jobs/{id}/resume"), &Value::Null).read();
    told(farm, case, begun, id);
}

fn told(farm: &Farm, case: &Bad, begun: Instant, id: JobId) {
    let job = farm.api().ended_within(id, SECONDS);
    println!(
        "{:<32} {:>6} ms  {}",
        case.what,
        begun.elapsed().as_millis(),
        job.failure.as_ref().map_or("", |f| &f.message)
    );
    is_clear(&job, case);
    assert_eq!(farm.delivered(), Vec::<String>::new(), "{}", case.what);
}

fn goes_on(farm: &Farm) {
    let id = farm.api().submit(&farm.encode(&media::short(), "good.mp4", "ultrafast"));
    let _job = farm.api().succeeded(id);
    assert_eq!(Facts::of(&farm.out().join("good.mp4")).frames(), 75);
}

#[test]
fn bad_inputs_fail_at_once_and_clearly() {
    use FailureCode::{
        InputDamaged, InputEmpty, InputNotAFile, InputNotFound, InputUnreadable, OutsideRoots, StreamMissing,
        Unsupported,
    };
    let whole = fs::read(media::big_buck_bunny()).expect("the clip is there");
    let farm = FarmPlan::new(1).start();
    fs::write(farm.input("empty.mp4"), "").expect("written");
    // The index of a file that was meant for a disk comes last; half of such a file has none.
    let index_last = farm.root().join("last.mp4");
    remux_index_last(&index_last);
    let bytes = fs::read(&index_last).expect("the copy is there");
    fs::write(farm.input("no_index.mp4"), &bytes[..bytes.len() / 2]).expect("written");
    fs::write(farm.input("text.mp4"), "This is no film.\n".repeat(100)).expect("written");
    fs::write(farm.input("noise.mp4"), noise(100_000)).expect("written");
    fs::copy(media::sound(), farm.input("sound.mp4")).expect("copied");
    fs::create_dir(farm.input("folder.mp4")).expect("made");
    fs::write(farm.root().join("secret.mp4"), &whole).expect("written");
    symlink(farm.root().join("secret.mp4"), farm.input("link.mp4")).expect("linked");
    symlink(farm.input("nothing.mp4"), farm.input("dangling.mp4")).expect("linked");

    for case in [
        bad("zero bytes", farm.input("empty.mp4"), &[InputEmpty], "no bytes"),
        bad("truncated, without an index", farm.input("no_index.mp4"), &[InputUnreadable, InputDamaged], ""),
        bad("text named .mp4", farm.input("text.mp4"), &[InputUnreadable, Unsupported], ""),
        bad("noise named .mp4", farm.input("noise.mp4"), &[InputUnreadable, Unsupported], ""),
        bad("sound alone", farm.input("sound.mp4"), &[StreamMissing], "video"),
    ] {
        fails_clearly(&farm, &case);
    }
    for case in [
        bad("a directory", farm.input("folder.mp4"), &[InputNotAFile], "folder.mp4"),
        bad("a missing file", farm.input("missing.mp4"), &[InputNotFound], "missing.mp4"),
        bad("outside the roots", farm.root().join("secret.mp4"), &[OutsideRoots], "depot.input_roots"),
        bad("a link out of the roots", farm.input("link.mp4"), &[OutsideRoots], "link"),
        bad("a link to nothing", farm.input("dangling.mp4"), &[InputNotFound], "dangling.mp4"),
        bad("a device", "/dev/zero", &[OutsideRoots], "depot.input_roots"),
    ] {
        is_refused(&farm, &case);
    }
    let gone = farm.input("gone.mp4");
    fs::write(&gone, &whole).expect("written");
    let case = bad("gone meanwhile", &gone, &[InputNotFound], "gone.mp4");
    fails_clearly_later(&farm, &case, || fs::remove_file(&gone).expect("removed"));
    let changed = farm.input("changed.mp4");
    fs::write(&changed, &whole).expect("written");
    let case = bad("a link out of the roots by now", &changed, &[OutsideRoots], "changed.mp4");
    fails_clearly_later(&farm, &case, || {
        fs::remove_file(&changed).expect("removed");
        symlink(farm.root().join("secret.mp4"), &changed).expect("linked");
    });
    let dots = farm.root().join("in/../secret.mp4");
    let problem = farm.api().post("/v1/jobs", &json!({"input": dots})).problem(422, "invalid_job");
    assert_eq!(problem.field.as_deref(), Some("input"), "{problem:?}");
    goes_on(&farm);
    let log = farm.worker_log(0);
    assert!(!log.contains("a task process died"), "no input brought a task process down:\n{log}");
}

/// Root may read everything, unless it gives that power up.
#[test]
fn an_input_that_may_not_be_read_says_so() {
    let plan = FarmPlan::new(1);
    let plan = if rustix::process::getuid().is_root() {
        plan.through(&["setpriv", "--bounding-set=-dac_override,-dac_read_search"])
    } else {
        plan
    };
    let farm = plan.start();
    let path = farm.input("private.mp4");
    fs::copy(media::short(), &path).expect("copied");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("changed");
    let case = bad("no permission", &path, &[FailureCode::InputForbidden], "private.mp4");
    is_refused(&farm, &case);
    let permit = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
    permit(0o644);
    fails_clearly_later(&farm, &case, || permit(0o000));
    goes_on(&farm);
}

fn remux_index_last(to: &Path) {
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-i"]).arg(media::big_buck_bunny()).args(["-c", "copy"]).arg(to);
    let _silent = rushes_tests::program::succeed(command);
    assert_eq!(media::boxes(to).last().map(String::as_str), Some("moov"));
}

fn noise(len: usize) -> Vec<u8> {
    let mut chance = rushes_tests::chance::Chance::seeded();
    (0..len).map(|_| chance.number().to_le_bytes()[0]).collect()
}

/// Every odd file of the media collection ends in a good output or a clear failure.
#[test]
fn odd_files_end_well_or_clearly() {
    let Some(odd) = collection() else {
        println!("SKIP: set RUSHES_MEDIA to the media collection's folder to try its odd files");
        return;
    };
    let farm = FarmPlan::new(1).inputs(&odd).start();
    let names: Vec<String> = media::files_in(&odd);
    let jobs: Vec<_> = names
        .iter()
        .map(|name| {
            (name, farm.api().submit(&farm.encode(&odd.join(name), &format!("{name}.mp4"), "ultrafast")))
        })
        .collect();
    let mut good = 0;
    for (name, id) in jobs {
        let job = farm.api().ended(id);
        let tasks = job.tasks.iter().filter(|t| t.kind == TaskKind::Encode).count();
        if job.state == JobState::Succeeded {
            let facts = Facts::of(&farm.out().join(format!("{name}.mp4")));
            assert!(
                facts.frames() > 0 && facts.of_stream("video", "codec_name") == "h264",
                "{name}: {facts:?}"
            );
            assert_eq!(Some(facts.frames()), job.outputs[0].frames, "{name}");
            println!("{name:<36} {} frames", facts.frames());
            good += 1;
        } else {
            let failure = job.failure.as_ref().unwrap_or_else(|| panic!("{name}: no cause in {job:#?}"));
            println!("{name:<36} {}: {failure:?}", failure.code.as_str());
            assert!(!failure.message.is_empty() && !failure.advice.is_empty(), "{name}: {failure:#?}");
            let attempts = job.tasks.iter().map(|t| t.attempts).max();
            let is_permanent = failure.class == FailureClass::Permanent;
            assert!(
                is_permanent && attempts == Some(1),
                "{name}: {tasks} encodes, {attempts:?} attempts, {failure:#?}"
            );
        }
    }
    assert!(good >= 10, "most odd files are good media; only {good} came through");
    assert!(!farm.worker_log(0).contains("a task process died"), "no odd file brought a task process down");
    assert_eq!(farm.connected(1).len(), 1);
    assert_eq!(farm.api().metrics().sum("rushes_workers_lost_total", &[]), 0.0);
}

fn collection() -> Option<PathBuf> {
    let named = std::env::var_os("RUSHES_MEDIA").map(PathBuf::from);
    let beside = binaries::repository().parent().map(|p| p.join("shared/media"));
    let odd = named.or(beside)?.join("odd");
    odd.is_dir().then_some(odd)
}
