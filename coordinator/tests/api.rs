//! The REST API of a real coordinator process, from the outside.

mod support;

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};
use support::Coordinator;

const NOOP: &str = r#"{"kind": "noop", "name": "n", "labels": {"project": "x"}}"#;

fn submit(farm: &Coordinator) -> String {
    let answer = farm.post("/v1/jobs", NOOP);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_job_is_submitted_once_shown_listed_and_canceled() {
    let farm = Coordinator::start(&[]);
    let key = ("idempotency-key", "k-1");
    let first = farm.send("POST", "/v1/jobs", &[key], NOOP);
    assert_eq!((first.status, &first.json()["created"]), (201, &json!(true)));
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(first.header("location"), Some(format!("/v1/jobs/{id}")));
    let again = farm.send("POST", "/v1/jobs", &[key], NOOP);
    assert_eq!((again.status, &again.json()["id"]), (200, &json!(id)));
    farm.send("POST", "/v1/jobs", &[key], r#"{"kind": "noop"}"#).is_problem(409, "idempotency_key_reused");

    let toml =
        farm.send("POST", "/v1/jobs", &[("content-type", "application/toml")], "kind = 'noop'\ntasks = 3");
    assert_eq!(toml.status, 201, "{toml:?}");
    let shown = farm.get(&format!("/v1/jobs/{id}")).json();
    assert_eq!((&shown["state"], &shown["labels"]["project"]), (&json!("queued"), &json!("x")));
    assert_eq!(shown["tasks"].as_array().map(Vec::len), Some(1));

    let count = |query: &str| farm.get(&format!("/v1/jobs?{query}")).json()["items"].as_array().map(Vec::len);
    assert_eq!(
        [count(""), count("label=project:x"), count("name=other"), count("state=failed")],
        [2, 1, 0, 0].map(Some)
    );
    let canceled = farm.post(&format!("/v1/jobs/{id}/cancel"), "");
    assert_eq!((canceled.status, &canceled.json()["state"]), (200, &json!("canceled")));
    assert_eq!(farm.post(&format!("/v1/jobs/{id}/cancel"), "").status, 200, "canceling twice is no error");
    assert_eq!(farm.get(&format!("/v1/jobs/{id}")).json()["state"], "canceled", "also from the archive");
}

#[test]
fn a_job_is_changed_paused_explained_and_tried_again() {
    let farm = Coordinator::start(&[]);
    let id = submit(&farm);
    let path = format!("/v1/jobs/{id}");
    let patch = |body: &str| farm.send("PATCH", &path, &[("content-type", "application/json")], body);
    let changed =
        patch(r#"{"class": "premium", "priority": 80, "deadline": "+2h", "labels": {"project": ""}}"#);
    assert_eq!(changed.status, 200, "{changed:?}");
    let job = changed.json();
    assert_eq!((&job["class"], &job["priority"]), (&json!("premium"), &json!(80)));
    assert!(job["deadline"].is_string() && job["labels"] == json!({}), "{job}");
    patch("{}").is_problem(422, "invalid_change");
    patch(r#"{"priority": 101}"#).is_problem(422, "invalid_change");
    let count = |query: &str| farm.get(&format!("/v1/jobs?{query}")).json()["items"].as_array().map(Vec::len);
    assert_eq!([count("class=premium"), count("class=bulk")], [1, 0].map(Some));

    let explained = farm.get(&format!("{path}/explain")).json();
    assert_eq!((&explained["priority"], &explained["standing"]), (&json!(80), &json!("in_class")));
    assert_eq!(explained["waits"][0]["reason"], "no_node", "{explained}");
    let paused = farm.post(&format!("{path}/pause"), "").json();
    assert_eq!(paused["paused"], true);
    assert_eq!(farm.get(&format!("{path}/explain")).json()["standing"], "paused");
    let task = farm.get(&format!("{path}/tasks/0/explain")).json();
    assert_eq!((&task["place"], &task["reason"]), (&json!("waits"), &json!("pause")), "{task}");
    farm.get(&format!("{path}/tasks/9/explain")).is_problem(404, "no_such_task");
    farm.get(&format!("{path}/tasks/x/explain")).is_problem(400, "bad_parameter");
    assert_eq!(farm.post(&format!("{path}/resume"), "").json()["paused"], false);

    farm.post(&format!("{path}/retry"), "").is_problem(409, "job_has_not_ended");
    farm.post(&format!("{path}/cancel"), "");
    patch(r#"{"priority": 1}"#).is_problem(409, "job_has_ended");
    farm.get(&format!("{path}/explain")).is_problem(409, "job_has_ended");
    let again = farm.post(&format!("{path}/retry"), "");
    assert_eq!(again.status, 201, "{again:?}");
    let new = farm.get(&format!("/v1/jobs/{}", again.json()["id"].as_str().expect("an id"))).json();
    assert_eq!((&new["class"], &new["priority"], &new["name"]), (&json!("premium"), &json!(80), &json!("n")));
    assert_ne!(new["id"], json!(id));
}

#[test]
fn a_dry_run_submits_nothing_and_limits_hold_at_once() {
    let farm = Coordinator::start(&[]);
    let dry = farm.post("/v1/jobs?dry_run=true", NOOP);
    assert_eq!((dry.status, &dry.json()["barred"]["reason"]), (200, &json!("no_node")), "no worker is there");
    farm.post("/v1/jobs?dry=true", NOOP).is_problem(400, "bad_parameter");
    assert_eq!(farm.get("/v1/jobs").json()["items"], json!([]));

    let put = |path: &str, body: &str| farm.send("PUT", path, &[("content-type", "application/json")], body);
    let set = put("/v1/tenants/default/limits", r#"{"max_class": "standard", "max_jobs": 1}"#);
    assert_eq!((set.status, &set.json()["weight"]), (200, &json!(100)));
    put("/v1/tenants/default/limits", r#"{"weight": 0}"#).is_problem(422, "invalid_limits");
    farm.post("/v1/jobs?dry_run=true", r#"{"kind": "noop", "class": "premium"}"#)
        .is_problem(403, "class_too_high");
    submit(&farm);
    farm.post("/v1/jobs", NOOP).is_problem(429, "tenant_full");

    assert_eq!(put("/v1/tenants/default/limits", "{}").status, 200);
    assert_eq!(put("/v1/limits/dolby", r#"{"most": 1}"#).status, 200);
    let greedy = r#"{"kind": "noop", "limits": {"dolby": 2}}"#;
    farm.post("/v1/jobs", greedy).is_problem(422, "limit_too_low");
    assert_eq!(put("/v1/limits/dolby", "{}").status, 200);
    assert_eq!(farm.post("/v1/jobs", greedy).status, 201);
}

#[test]
fn two_keys_for_one_request_are_refused() {
    let farm = Coordinator::start(&[]);
    let keys = |pair: [&'static str; 2]| pair.map(|key| ("idempotency-key", key));
    farm.send("POST", "/v1/jobs", &keys(["a", "b"]), NOOP).is_problem(400, "bad_parameter");
    assert_eq!(farm.send("POST", "/v1/jobs", &keys(["a", "a"]), NOOP).status, 201);
    assert_eq!(farm.get("/v1/jobs").json()["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn head_answers_wherever_get_does() {
    let farm = Coordinator::start(&[]);
    let id = submit(&farm);
    for path in ["/health/ready", "/v1/openapi.json", "/v1/schemas/job.json", "/v1/workers"] {
        let (get, head) = (farm.get(path), farm.send("HEAD", path, &[], ""));
        assert_eq!((head.status, head.text().as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert_eq!(head.header("content-length"), Some(get.text().len().to_string()), "{path}");
    }
    for path in ["/v1/jobs", &format!("/v1/jobs/{id}"), "/v1/status", "/v1/tokens", "/metrics"] {
        let head = farm.send("HEAD", path, &[], "");
        assert_eq!((head.status, head.text().as_str()), (200, ""), "{path}");
    }
    for endless in ["/v1/events", &format!("/v1/jobs/{id}/events"), "/v1/admin/export"] {
        let head = farm.send("HEAD", endless, &[], "");
        assert_eq!((head.status, head.text().as_str()), (200, ""), "{endless}");
    }
    assert_eq!(farm.send("HEAD", "/v1/jobs/x", &[], "").status, 400);
    assert_eq!(farm.as_token(None).send("HEAD", "/v1/jobs", &[], "").status, 401);
}

#[test]
fn what_strangers_send_is_no_error_of_ours() {
    use std::io::{Read, Write};
    let farm = Coordinator::start(&[]);
    let address = farm.url().trim_start_matches("http://").to_owned();
    for nonsense in
        ["\u{16}\u{3}\u{1} no HTTP\r\n\r\n", "GET\r\n\r\n", "BREW /pot HTTP/1.1\r\nhost: x\r\n\r\n"]
    {
        let mut stream = std::net::TcpStream::connect(&address).expect("it listens");
        stream.write_all(nonsense.as_bytes()).expect("it takes it");
        stream.shutdown(std::net::Shutdown::Write).expect("done");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
    }
    for _ in 0..100 {
        farm.as_token(Some("rushes-api-v1.0000")).get("/v1/jobs").is_problem(401, "token_refused");
    }
    let log = farm.log();
    assert!(!log.contains("ERROR"), "{log}");
    let lines = log.lines().filter(|line| line.contains("unauthenticated request")).count();
    assert!((1..=60).contains(&lines), "{lines} lines");
    assert!(!farm.get("/metrics").text().contains("BREW"), "strangers make no time series");
}

#[test]
fn pages_of_a_list_hold_every_job_once() {
    let farm = Coordinator::start(&[]);
    let mut made: Vec<String> = (0..7).map(|_| submit(&farm)).collect();
    farm.post(&format!("/v1/jobs/{}/cancel", made[3]), "");
    made.sort();
    made.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = farm.get(&format!("/v1/jobs?limit=2{cursor}")).json();
        let items = page["items"].as_array().expect("items");
        seen.extend(items.iter().map(|job| job["id"].as_str().expect("an id").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, made, "newest first, live and archived alike");
}

#[test]
fn every_list_is_filtered_and_names_what_it_does_not_know() {
    let farm = Coordinator::start(&[]);
    let post = |body: Value| assert_eq!(farm.post("/v1/jobs", &body.to_string()).status, 201);
    post(json!({"kind": "noop", "name": "a", "labels": {"show": "x"}}));
    post(json!({"kind": "noop", "name": "b", "labels": {"show": "x"}, "class": "bulk"}));
    for (name, tenant, role) in [("v", "default", "viewer"), ("o", "other", "operator")] {
        let made = json!({"name": name, "tenant": tenant, "roles": [role]});
        assert_eq!(farm.post("/v1/tokens", &made.to_string()).status, 201);
    }
    for name in ["nuke", "dolby"] {
        let path = format!("/v1/limits/{name}");
        let set = farm.send("PUT", &path, &[("content-type", "application/json")], r#"{"most": 2}"#);
        assert_eq!(set.status, 200);
    }
    assert_eq!(farm.post("/v1/join-tokens", r#"{"label": "rack 7"}"#).status, 201);

    let count = |path: &str| farm.get(path).json()["items"].as_array().map(Vec::len).expect("a list");
    for (path, expected) in [
        ("/v1/jobs?label=show:x", 2),
        ("/v1/jobs?label=show:x&class=bulk", 1),
        ("/v1/jobs?tenant=default", 2),
        ("/v1/jobs?tenant=other", 0),
        ("/v1/tenants?name=default", 1),
        ("/v1/tenants?name=other", 0),
        ("/v1/limits?name=nuke", 1),
        ("/v1/limits?name=nuke&name=dolby", 2),
        ("/v1/tokens?name=v&role=viewer", 1),
        ("/v1/tokens?name=v&role=operator", 0),
        ("/v1/tokens?tenant=other&role=operator", 1),
        ("/v1/tokens?name=v&tenant=other", 0),
        ("/v1/join-tokens?label=rack%207", 1),
        ("/v1/join-tokens?label=rack", 0),
        ("/v1/workers?state=connected&tag=gpu", 0),
    ] {
        assert_eq!(count(path), expected, "{path}");
    }
    for wrong in [
        "/v1/jobs?colour=red",
        "/v1/jobs?state=done",
        "/v1/jobs?name=a&name=b",
        "/v1/tenants?tenant=default",
        "/v1/limits?most=2",
        "/v1/tokens?role=king",
        "/v1/join-tokens?name=x",
        "/v1/workers?state=asleep",
        "/v1/events?kind=x",
    ] {
        farm.get(wrong).is_problem(400, "bad_parameter");
    }

    let mut ends = BufReader::new(farm.open("/v1/events?type=job_ended", &[]));
    let id = submit(&farm);
    assert_eq!(farm.post(&format!("/v1/jobs/{id}/cancel"), "").status, 200);
    let (first, told) = next_event(&mut ends).expect("the end is told");
    assert_eq!((first.as_str(), &told["job"]), ("job_ended", &json!(id)), "and nothing before it");
}

#[test]
fn a_stranger_gets_nothing_and_a_role_only_what_is_its_own() {
    let farm = Coordinator::start(&[]);
    for path in ["/health/live", "/health/ready", "/metrics", "/v1/openapi.json", "/v1/schemas/job.json"] {
        assert_eq!(farm.as_token(None).get(path).status, 200, "{path}");
    }
    farm.as_token(None).get("/v1/jobs").is_problem(401, "token_missing");
    farm.as_token(Some("rushes-api-v1.0000")).get("/v1/jobs").is_problem(401, "token_refused");

    let make = |body: Value| {
        let made = farm.post("/v1/tokens", &body.to_string());
        assert_eq!(made.status, 201, "{made:?}");
        (made.json()["secret"].as_str().expect("a secret").to_owned(), made.json()["token"]["id"].clone())
    };
    let (viewer, viewer_id) = make(json!({"name": "v", "roles": ["viewer"]}));
    let (other, _) = make(json!({"name": "o", "tenant": "other", "roles": ["viewer", "submitter"]}));
    let id = submit(&farm);
    let viewer = farm.as_token(Some(&viewer));
    assert_eq!(viewer.get(&format!("/v1/jobs/{id}")).status, 200);
    viewer.post("/v1/jobs", NOOP).is_problem(403, "forbidden");
    viewer.post(&format!("/v1/jobs/{id}/cancel"), "").is_problem(403, "forbidden");
    viewer.get("/v1/tokens").is_problem(403, "forbidden");
    viewer.get("/v1/workers").is_problem(403, "forbidden");
    let (operator, _) = make(json!({"name": "p", "roles": ["operator"]}));
    farm.as_token(Some(&operator))
        .send("DELETE", "/v1/workers/wrk_01jv2c8k3q5w7x9z0a2b4c6d8e", &[], "")
        .is_problem(403, "forbidden");
    let other = farm.as_token(Some(&other));
    other.get(&format!("/v1/jobs/{id}")).is_problem(404, "no_such_job");
    other.post(&format!("/v1/jobs/{id}/cancel"), "").is_problem(404, "no_such_job");
    assert_eq!(other.get("/v1/jobs").json()["items"], json!([]));

    let id = viewer_id.as_str().expect("an id");
    assert_eq!(farm.send("DELETE", &format!("/v1/tokens/{id}"), &[], "").status, 204);
    viewer.get("/v1/jobs").is_problem(401, "token_refused");
    let metrics = farm.get("/metrics").text();
    assert!(metrics.contains("rushes_api_auth_failures_total"), "{metrics}");
}

#[test]
fn a_jobs_stream_begins_with_its_state_and_ends_with_its_end() {
    let farm = Coordinator::start(&[]);
    let id = submit(&farm);
    let mut stream = BufReader::new(farm.open(&format!("/v1/jobs/{id}/events"), &[]));
    let (name, first) = next_event(&mut stream).expect("the state");
    assert_eq!((name.as_str(), &first["state"]), ("job", &json!("queued")));
    farm.post(&format!("/v1/jobs/{id}/cancel"), "");
    let mut last = None;
    while let Some(event) = next_event(&mut stream) {
        last = Some(event);
    }
    let (name, job) = last.expect("news of the end");
    assert_eq!((name.as_str(), &job["state"]), ("job", &json!("canceled")));
}

#[test]
fn a_listener_who_returns_gets_what_it_missed_or_is_told_to_start_over() {
    let farm = Coordinator::start(&["api.event_ring=4"]);
    let mut stream = BufReader::new(farm.open("/v1/events", &[]));
    let first = submit(&farm);
    let id = loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("the stream goes on");
        if let Some(id) = line.strip_prefix("id: ") {
            break id.trim().to_owned();
        }
    };
    drop(stream);
    let second = submit(&farm);
    let mut stream = BufReader::new(farm.open("/v1/events", &[("last-event-id", &id)]));
    let (name, news) = next_event(&mut stream).expect("what was missed");
    assert_eq!((name.as_str(), &news["job"]), ("job_accepted", &json!(second)), "not {first} again");
    for _ in 0..6 {
        submit(&farm);
    }
    let mut stream = BufReader::new(farm.open("/v1/events", &[("last-event-id", &id)]));
    assert_eq!(next_event(&mut stream).map(|(name, _)| name).as_deref(), Some("resync"));
}

#[test]
fn a_stop_ends_open_streams_and_the_socket_serves_the_local_administrator() {
    let mut farm = Coordinator::start(&[]);
    assert!(farm.over_socket("/v1/tokens").contains("\"admin\""), "no token is needed there");
    let export = farm.get("/v1/admin/export");
    assert_eq!(export.status, 200);
    assert!(export.text().lines().count() >= 2, "a header and a trailer: {export:?}");
    let mut stream = BufReader::new(farm.open("/v1/events", &[]));
    farm.terminate();
    let mut rest = String::new();
    while stream.read_line(&mut rest).is_ok_and(|read| read > 0) {}
    assert!(farm.wait().success(), "the stream did not hold it up");
}

#[test]
fn an_address_that_others_can_reach_needs_tls() {
    let text = Coordinator::fails(&["api.bind=0.0.0.0:0"]);
    assert!(text.contains("needs TLS") && text.contains("api.bind"), "{text}");
}

#[test]
fn with_a_certificate_it_speaks_tls_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    let settings =
        [format!("api.tls_certificate={}", certificate.display()), format!("api.tls_key={}", key.display())];
    let farm = Coordinator::start(&[&settings[0], &settings[1]]);
    assert!(farm.url().starts_with("https://"));
    assert_eq!(farm.trusting(&certificate).get("/v1/jobs").status, 200);
    assert!(farm.refuses(), "a client that does not know the certificate stays away");
}

/// The next event's type and data.
fn next_event(stream: &mut impl BufRead) -> Option<(String, Value)> {
    let (mut name, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(text) = line.strip_prefix("event: ") {
            text.trim().clone_into(&mut name);
        }
        if let Some(text) = line.strip_prefix("data: ") {
            return Some((name, serde_json::from_str(text).expect("JSON")));
        }
    }
}
