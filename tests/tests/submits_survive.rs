//! `kill -9` of the coordinator at random moments under a stream of submits: what was answered is there, nothing is
//! there twice, and everything ends. 20 kills, or 1,000 with `RUSHES_SOAK=1`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::view::SubmittedView;
use rushes_tests::chance::Chance;
use rushes_tests::{Api, Farm, FarmPlan, SOON, until};
use serde_json::json;

/// Threads that submit at once.
const CLIENTS: u64 = 4;
/// Longest life of a coordinator between ready and its kill.
const LONGEST_LIFE: Duration = Duration::from_millis(900);
/// Kills after which the farm is let finish and everything is compared. Meanwhile it falls behind, and the longer its
/// queue, the longer a start takes.
const LOOK_EVERY: usize = 50;

/// What all clients know.
#[derive(Debug, Default)]
struct Known {
    over: AtomicBool,
    /// While the farm is looked at, nothing new is submitted.
    paused: AtomicBool,
    /// Clients that wait for their answer.
    asking: AtomicU64,
    /// The id that each key was answered with.
    answered: Mutex<BTreeMap<String, JobId>>,
    /// Requests that were repeated because no answer came.
    repeated: AtomicU64,
}

/// Submits one job after the other, each again and again with its key until it is answered.
fn client(number: u64, api: &Api, known: &Known) {
    let mut serial = 0_u64;
    while !known.over.load(Ordering::Relaxed) {
        known.asking.fetch_add(1, Ordering::SeqCst);
        if known.paused.load(Ordering::SeqCst) {
            known.asking.fetch_sub(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(10));
            continue;
        }
        let key = format!("client-{number}-{serial}");
        // The body belongs to the key, so that a repetition is the same request.
        let body = json!({"kind": "noop", "name": key, "tasks": 1 + serial % 3}).to_string();
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let id =
            until("a submit is answered", SOON * 3, || match api.call("POST", "/v1/jobs", &headers, &body) {
                Ok(answer) if answer.status < 300 => Some(answer.read::<SubmittedView>().id),
                Ok(answer) => {
                    assert!(answer.status >= 500, "a valid submit was refused: {answer:?}");
                    known.repeated.fetch_add(1, Ordering::Relaxed);
                    None
                }
                Err(_) => {
                    known.repeated.fetch_add(1, Ordering::Relaxed);
                    None
                }
            });
        known.answered.lock().expect("no client has failed").insert(key, id);
        known.asking.fetch_sub(1, Ordering::SeqCst);
        serial += 1;
    }
}

/// Lets the farm finish what it has, and holds it against what was answered.
fn all_is_there(farm: &Farm, known: &Known) {
    known.paused.store(true, Ordering::SeqCst);
    until("all clients have their answers", SOON * 6, || {
        (known.asking.load(Ordering::SeqCst) == 0).then_some(())
    });
    let answered = known.answered.lock().expect("no client has failed").clone();
    until("all jobs end", SOON * 15, || {
        let status: serde_json::Value = farm.api().get("/v1/status").read();
        (status["jobs_queued"] == 0 && status["jobs_running"] == 0).then_some(())
    });
    let jobs = farm.api().all_jobs();
    let by_name: BTreeMap<&str, JobId> = jobs.iter().map(|job| (job.name.as_str(), job.id)).collect();
    assert_eq!(by_name.len(), jobs.len(), "a job is there twice");
    assert_eq!(jobs.iter().map(|j| j.id).collect::<BTreeSet<_>>().len(), jobs.len(), "an id is there twice");
    for (key, id) in &answered {
        assert_eq!(by_name.get(key.as_str()), Some(id), "{key} was answered with {id}");
    }
    // Every client had its answer, so there is nothing that nobody knows of.
    assert_eq!(jobs.len(), answered.len());
    let unsound: Vec<_> = jobs.iter().filter(|job| job.state != JobState::Succeeded).collect();
    assert!(unsound.is_empty(), "{unsound:#?}");
    known.paused.store(false, Ordering::SeqCst);
}

#[test]
fn every_answered_submit_is_there_once_and_ends() {
    let kills = if std::env::var_os("RUSHES_SOAK").is_some() { 1000 } else { 20 };
    let mut chance = Chance::seeded();
    let mut farm = FarmPlan::new(1).set("log.level=warn").start();
    let known = Known::default();
    let api = farm.api();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                scope.spawn({
                    let (api, known) = (api.clone(), &known);
                    move || client(n, &api, known)
                })
            })
            .collect();
        for kill in 1..=kills {
            thread::sleep(chance.time_below(LONGEST_LIFE));
            farm.kill_coordinator();
            farm.start_coordinator();
            assert!(clients.iter().all(|c| !c.is_finished()), "a client gave up");
            if kill % LOOK_EVERY == 0 {
                all_is_there(&farm, &known);
                let answered = known.answered.lock().expect("no client has failed").len();
                println!("{kill} kills, {answered} submits answered, all there once and ended");
            }
        }
        known.over.store(true, Ordering::Relaxed);
    });
    all_is_there(&farm, &known);
    let answered = known.answered.into_inner().expect("no client has failed").len();
    let repeated = known.repeated.into_inner();
    println!("{kills} kills, {answered} submits answered, {repeated} times repeated");
    assert!(answered >= kills, "the clients hardly got through");
    assert!(repeated > 0, "no kill came into the way of a client");
}
