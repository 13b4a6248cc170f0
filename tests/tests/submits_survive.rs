//! `kill -9` of the coordinator at random moments under a stream of submits: what was answered is there, nothing is
//! there twice, and everything ends. 20 kills, or 1,000 with `RUSHES_SOAK=1`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::view::{JobView, SubmittedView};
use rushes_tests::chance::Chance;
use rushes_tests::{Api, FarmPlan, SOON, until};
use serde_json::json;

/// Threads that submit at once.
const CLIENTS: u64 = 4;
/// Longest life of a coordinator between ready and its kill.
const LONGEST_LIFE: Duration = Duration::from_millis(900);

/// What all clients know.
#[derive(Debug, Default)]
struct Known {
    over: AtomicBool,
    /// The id that each key was answered with.
    answered: Mutex<BTreeMap<String, JobId>>,
    /// Requests that were repeated because no answer came.
    repeated: AtomicU64,
}

/// Submits one job after the other, each again and again with its key until it is answered.
fn client(number: u64, api: &Api, known: &Known) {
    let mut serial = 0_u64;
    while !known.over.load(Ordering::Relaxed) {
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
        serial += 1;
    }
}

/// The answered submits whose job is not among these under its name.
fn missing(answered: &BTreeMap<String, JobId>, jobs: &[JobView]) -> Vec<(String, JobId)> {
    let by_name: BTreeMap<&str, JobId> = jobs.iter().map(|job| (job.name.as_str(), job.id)).collect();
    let not_there = answered.iter().filter(|(key, id)| by_name.get(key.as_str()) != Some(id));
    not_there.map(|(key, id)| (key.clone(), *id)).collect()
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
            if kill % 100 == 0 {
                // Answered before the list is asked for, so all of it has to be in the list.
                let answered = known.answered.lock().expect("no client has failed").clone();
                let missing = missing(&answered, &farm.api().all_jobs());
                println!(
                    "{kill} kills, {} submits answered, {} of them missing",
                    answered.len(),
                    missing.len()
                );
                assert!(missing.is_empty(), "{missing:#?}");
            }
            assert!(clients.iter().all(|c| !c.is_finished()), "a client gave up");
        }
        known.over.store(true, Ordering::Relaxed);
    });

    let answered = known.answered.into_inner().expect("no client has failed");
    let repeated = known.repeated.into_inner();
    println!("{kills} kills, {} submits answered, {repeated} times repeated", answered.len());
    assert!(answered.len() >= kills, "the clients hardly got through");
    assert!(repeated > 0, "no kill came into the way of a client");
    until("all jobs end", SOON * 6, || {
        let status: serde_json::Value = farm.api().get("/v1/status").read();
        (status["jobs_queued"] == 0 && status["jobs_running"] == 0).then_some(())
    });
    let jobs = farm.api().all_jobs();
    let by_name: BTreeMap<&str, JobId> = jobs.iter().map(|job| (job.name.as_str(), job.id)).collect();
    assert_eq!(by_name.len(), jobs.len(), "a job is there twice");
    assert_eq!(jobs.iter().map(|j| j.id).collect::<BTreeSet<_>>().len(), jobs.len(), "an id is there twice");
    let missing = missing(&answered, &jobs);
    assert!(missing.is_empty(), "{missing:#?}");
    // A client stops only after an answer, so there is nothing that nobody knows of.
    assert_eq!(jobs.len(), answered.len());
    let unsound: Vec<_> = jobs.iter().filter(|job| job.state != JobState::Succeeded).collect();
    assert!(unsound.is_empty(), "{unsound:#?}");
}
