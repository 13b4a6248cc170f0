//! Every error of the API, from the outside: a problem with a code, and what to do about it.

#[expect(dead_code, reason = "the other tests of the API use more of it")]
mod support;

use support::Coordinator;

#[test]
fn every_error_is_a_problem_that_says_what_to_do() {
    let farm = Coordinator::start(&["api.max_body_bytes=1000"]);
    farm.get("/v1/nothing").is_problem(404, "no_such_route");
    let wrong_method = farm.send("PUT", "/v1/jobs", &[], "{}");
    wrong_method.is_problem(405, "method_not_allowed");
    assert!(wrong_method.header("allow").is_some_and(|allow| allow.contains("POST")));
    farm.post("/v1/jobs", &format!("{{\"name\": \"{}\"}}", "x".repeat(2000)))
        .is_problem(413, "body_too_large");
    let unknown = farm.post("/v1/jobs", r#"{"kind": "noop", "prioritty": 3}"#);
    unknown.is_problem(422, "invalid_job");
    assert!(unknown.text().contains("did you mean 'priority'?"), "{unknown:?}");
    assert_eq!(unknown.json()["field"], "prioritty");
    farm.send("POST", "/v1/jobs", &[("content-type", "text/csv")], "a,b")
        .is_problem(415, "unsupported_media_type");
    farm.get("/v1/jobs/x").is_problem(400, "bad_parameter");
    farm.get("/v1/jobs?limit=0").is_problem(400, "bad_parameter");
    farm.get("/v1/jobs/job_01jv2c8k3q5w7x9z0a2b4c6d8e").is_problem(404, "no_such_job");
    farm.post("/v1/workers/wrk_01jv2c8k3q5w7x9z0a2b4c6d8e/drain", "").is_problem(404, "no_such_worker");
    farm.send("DELETE", "/v1/workers/wrk_01jv2c8k3q5w7x9z0a2b4c6d8e", &[], "")
        .is_problem(404, "no_such_worker");
    farm.post("/v1/uploads", r#"{"hash": "xyz", "size_bytes": 1}"#).is_problem(422, "invalid_upload");
    for (path, body, says) in [
        (
            "tenants/default/limits",
            r#"{"max_priority": 300}"#,
            "max_priority: should be a whole number from 0 to 100, not 300",
        ),
        (
            "tenants/default/limits",
            r#"{"weight": 0}"#,
            "weight: should be a whole number from 1 to 1000, not 0",
        ),
        (
            "tenants/default/limits",
            r#"{"max_jobs": 1e99}"#,
            "max_jobs: invalid type: floating point `1e+99`, expected a whole number from 0 to",
        ),
        (
            "limits/dolby",
            r#"{"most": 1e99}"#,
            "most: should be a whole number from 0 to 4294967295, not 1e99",
        ),
        ("limits/dolby", r#"{"most": -1}"#, "most: should be a whole number from 0 to 4294967295, not -1"),
        ("limits/dolby", r#"{"most": 1.5}"#, "not 1.5"),
    ] {
        let answer = farm.send("PUT", &format!("/v1/{path}"), &[("content-type", "application/json")], body);
        answer.is_problem(422, "invalid_limits");
        assert!(answer.text().contains(says), "{body}: {answer:?}");
    }
    for path in ["/v1/limits/", "/v1/tenants//limits"] {
        let answer = farm.send("PUT", path, &[("content-type", "application/json")], "{}");
        answer.is_problem(400, "bad_parameter");
        assert!(answer.text().contains("is empty"), "{answer:?}");
    }
    assert_eq!(farm.get("/v1/status").status, 200, "it goes on");
}
