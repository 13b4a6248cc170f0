//! What a submit is refused for before anything works on it, and what another try leaves out.

#[expect(dead_code, reason = "the other tests of the API use more of it")]
mod support;

use std::fs;
use std::time::SystemTime;

use serde_json::{Value, json};
use support::{Answer, Coordinator};

/// A coordinator that may read and write in two directories.
struct Desk {
    files: tempfile::TempDir,
    farm: Coordinator,
}

impl Desk {
    fn new() -> Self {
        let files = tempfile::tempdir().expect("a temporary directory");
        for dir in ["in", "out", "elsewhere"] {
            fs::create_dir(files.path().join(dir)).expect("made");
        }
        fs::write(files.path().join("in/film.mov"), "a film").expect("written");
        let root = |key: &str, dir: &str| format!("depot.{key}={}", json!([files.path().join(dir)]));
        let farm = Coordinator::start(&[&root("input_roots", "in"), &root("output_roots", "out")]);
        Self { files, farm }
    }

    fn path(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    fn encode(&self, output: &str) -> String {
        let output = json!({"name": "x.mp4", "destination": self.path(output)});
        json!({"input": self.path("in/film.mov"), "outputs": [output]}).to_string()
    }
}

fn id(made: &Answer) -> String {
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["id"].as_str().expect("an id").to_owned()
}

/// The problem, which has this code and says all of this.
fn refused(answer: &Answer, status: u16, code: &str, says: &[&str]) {
    let problem = answer.json();
    assert_eq!((answer.status, &problem["code"]), (status, &json!(code)), "{problem}");
    let text = format!("{} {}", problem["detail"], problem["advice"]);
    for words in says {
        assert!(text.contains(words), "nothing about '{words}' in {text}");
    }
}

#[test]
fn a_destination_that_is_there_is_refused_before_any_work() {
    let desk = Desk::new();
    fs::write(desk.path("out/there.mp4"), "somebody's own").expect("written");
    let answer = desk.farm.post("/v1/jobs", &desk.encode("out/there.mp4"));
    refused(&answer, 409, "output_exists", &["there.mp4", "another destination"]);
    let key = ("idempotency-key", "k-1");
    let first = desk.farm.send("POST", "/v1/jobs", &[key], &desk.encode("out/free.mp4"));
    assert_eq!(first.status, 201, "{first:?}");
    // The job has delivered its file by the time that the request is repeated.
    fs::write(desk.path("out/free.mp4"), "made").expect("written");
    let again = desk.farm.send("POST", "/v1/jobs", &[key], &desk.encode("out/free.mp4"));
    assert_eq!((again.status, &again.json()["id"]), (200, &first.json()["id"]));
}

#[test]
fn an_input_that_cannot_be_read_is_refused_before_any_work() {
    let desk = Desk::new();
    fs::create_dir(desk.path("in/folder")).expect("made");
    fs::write(desk.path("elsewhere/secret.mov"), "not for everybody").expect("written");
    std::os::unix::fs::symlink(desk.path("elsewhere/secret.mov"), desk.path("in/link.mov")).expect("linked");
    let probe = |input: &str| json!({"kind": "probe", "input": input}).to_string();
    for (input, code, says) in [
        ("in/missing.mov", "input_not_found", ["missing.mov does not exist", "check the path"]),
        ("in/folder", "input_not_a_file", ["is a directory", "one by one"]),
        ("elsewhere/secret.mov", "outside_roots", ["outside the directories", "depot.input_roots"]),
        ("in/link.mov", "outside_roots", ["outside the directories", "depot.input_roots"]),
    ] {
        let probe = probe(&desk.path(input));
        for path in ["/v1/jobs", "/v1/jobs?dry_run=true"] {
            refused(&desk.farm.post(path, &probe), 422, code, &says);
        }
    }
    let graph = |input: &str| {
        let stages = [
            json!({"name": "a", "input": desk.path("in/film.mov")}),
            json!({"name": "b", "input": desk.path(input)}),
        ];
        json!({"kind": "graph", "stages": stages}).to_string()
    };
    refused(&desk.farm.post("/v1/jobs", &graph("in/other.mov")), 422, "input_not_found", &["other.mov"]);
    assert_eq!(desk.farm.post("/v1/jobs", &graph("in/film.mov")).status, 201);
    // An upload is the depot's own business.
    let upload = format!("farm://uploads/default/{}", "0".repeat(64));
    assert_eq!(desk.farm.post("/v1/jobs", &probe(&upload)).status, 201);

    let job = id(&desk.farm.post("/v1/jobs", &probe(&desk.path("in/film.mov"))));
    desk.farm.post(&format!("/v1/jobs/{job}/cancel"), "");
    fs::remove_file(desk.path("in/film.mov")).expect("removed");
    let again = desk.farm.post(&format!("/v1/jobs/{job}/retry"), "");
    refused(&again, 422, "input_not_found", &["film.mov does not exist"]);
}

#[test]
fn two_jobs_that_have_not_ended_do_not_write_to_one_place() {
    let desk = Desk::new();
    let first = id(&desk.farm.post("/v1/jobs", &desk.encode("out/film.mp4")));
    assert_eq!(desk.farm.post("/v1/jobs", &desk.encode("out/other.mp4")).status, 201);
    for path in ["/v1/jobs", "/v1/jobs?dry_run=true"] {
        let second = desk.farm.post(path, &desk.encode("out/film.mp4"));
        refused(&second, 409, "destination_taken", &[&first, "film.mp4", "another destination"]);
    }
    let token = json!({"name": "them", "tenant": "other", "roles": ["submitter"]}).to_string();
    let token = desk.farm.post("/v1/tokens", &token).json();
    let them = desk.farm.as_token(token["secret"].as_str());
    let second = them.post("/v1/jobs", &desk.encode("out/film.mp4"));
    refused(&second, 409, "destination_taken", &["a job of another tenant"]);
    assert!(!second.text().contains(&first), "whose it is stays its own tenant's: {second:?}");

    desk.farm.post(&format!("/v1/jobs/{first}/cancel"), "");
    assert_eq!(them.post("/v1/jobs", &desk.encode("out/film.mp4")).status, 201, "an end frees its places");
    let again = desk.farm.post(&format!("/v1/jobs/{first}/retry"), "");
    refused(&again, 409, "destination_taken", &["film.mp4"]);

    let set = |name: &str| {
        json!({"kind": "stream", "input": desk.path("in/film.mov"), "stream": {"destination": desk.path(name)}})
            .to_string()
    };
    let first = id(&desk.farm.post("/v1/jobs", &set("out/set/")));
    refused(&desk.farm.post("/v1/jobs", &set("out/set")), 409, "destination_taken", &[&first, "out/set"]);
}

#[test]
fn another_try_says_that_it_leaves_a_deadline_out_that_has_passed() {
    let desk = Desk::new();
    let ms =
        || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is past 1970").as_millis();
    let job = |deadline: &str| json!({"kind": "noop", "deadline": deadline}).to_string();
    let short = id(&desk.farm.post("/v1/jobs", &job("+1s")));
    let after = ms() + 1_000;
    let long = id(&desk.farm.post("/v1/jobs", &job("+1h")));
    let deadline = |id: &str| desk.farm.get(&format!("/v1/jobs/{id}")).json()["deadline"].clone();
    let passed = deadline(&short);
    while ms() <= after {
        // The clock is the condition.
        desk.farm.get("/health/live");
    }
    let retry = |id: &str| {
        desk.farm.post(&format!("/v1/jobs/{id}/cancel"), "");
        desk.farm.post(&format!("/v1/jobs/{id}/retry"), "").json()
    };
    let again = retry(&short);
    let note = again["note"].as_str().unwrap_or_else(|| panic!("nothing is said: {again}"));
    for words in [passed.as_str().expect("a time"), "has passed", "without one", "rushes job set"] {
        assert!(note.contains(words), "nothing about '{words}' in {note}");
    }
    assert_eq!(deadline(again["id"].as_str().expect("an id")), Value::Null);
    let again = retry(&long);
    assert_eq!(
        (&again["note"], deadline(again["id"].as_str().expect("an id"))),
        (&Value::Null, deadline(&long))
    );
}
