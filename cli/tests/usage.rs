//! What the command says and how it ends when there is nothing to talk to.

use std::process::{Command, Output};

fn rushes(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let home = tempfile::tempdir().expect("a temporary directory");
    Command::new(env!("CARGO_BIN_EXE_rushes"))
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts")
}

fn check(arguments: &[&str], variables: &[(&str, &str)], code: i32, expected: &str) {
    let output = rushes(arguments, variables);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(text.contains(expected), "{arguments:?}: {text}");
}

#[test]
fn exit_codes_tell_usage_from_an_absent_farm() {
    check(&["job", "list"], &[], 2, "set RUSHES_URL");
    check(&["job", "list"], &[("RUSHES_URL", "ftp://x")], 2, "is no farm's address");
    check(&["job", "show", "7"], &[("RUSHES_URL", "http://127.0.0.1:1")], 2, "is not a job id");
    check(
        &["status"],
        &[("RUSHES_URL", "http://127.0.0.1:1")],
        4,
        "cannot reach the farm at http://127.0.0.1:1",
    );
    check(&["status"], &[("RUSHES_URL", "unix:/nowhere/admin.sock")], 4, "cannot reach the farm at unix:");
    check(&["status", "--token-file", "/nowhere"], &[("RUSHES_URL", "http://127.0.0.1:1")], 6, "/nowhere");
    check(&["nonsense"], &[], 2, "unrecognized subcommand");
}

#[test]
fn an_error_of_a_script_is_one_json_object() {
    let farm = [("RUSHES_URL", "http://127.0.0.1:1")];
    let check = |arguments: &[&str], code: i32, kind: &str| {
        let output = rushes(arguments, &farm);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(output.stdout.is_empty(), "results alone go there");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let told: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!((&told["error"]["kind"], &told["error"]["exit_code"]), (&kind.into(), &code.into()));
        told["error"]["message"].as_str().expect("a message").to_owned()
    };
    assert!(check(&["status", "--output", "json"], 4, "unreachable").contains("127.0.0.1:1"));
    assert!(check(&["job", "show", "7", "--output=json"], 2, "usage").contains("is not a job id"));
    assert!(
        check(&["--output", "json", "nonsense"], 2, "usage").contains("unrecognized subcommand 'nonsense'")
    );
    check(&["status", "--output", "json", "--token-file", "/nowhere"], 6, "local");
}

#[test]
fn encode_looks_at_its_files_before_it_starts_anything() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let encode = |inputs: &[&str], code, expected: &str| {
        let out = path("out");
        let mut line = vec!["encode", "-o", &out];
        line.extend(inputs);
        check(&line, &[], code, expected);
    };
    for name in ["a.mov", "a.mkv"] {
        std::fs::write(dir.path().join(name), "x").expect("a file");
    }
    encode(&[&path("absent.mov")], 6, "cannot read");
    encode(&[&path("")], 2, "is not a file");
    encode(&[&path("a.mov"), &path("a.mkv")], 2, "would both become");
    std::fs::write(dir.path().join("out/a.mp4"), "x").expect("a file");
    encode(&[&path("a.mov")], 2, "use --force to replace it");
}

#[test]
fn what_needs_no_farm_works_without_one() {
    let schema = rushes(&["job", "schema"], &[]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    assert!(schema["properties"]["outputs"].is_object());
    let version = rushes(&["version", "--output", "json"], &[]);
    let version: serde_json::Value = serde_json::from_slice(&version.stdout).expect("JSON");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    let script = rushes(&["completions", "bash"], &[]);
    assert!(String::from_utf8_lossy(&script.stdout).contains("rushes__subcmd__encode"));
    for command in [&["--help"][..], &["encode", "--help"], &["job", "submit", "--help"]] {
        let help = rushes(command, &[]);
        assert!(String::from_utf8_lossy(&help.stdout).contains("Example"), "{command:?}");
    }
}

#[test]
fn a_farm_is_simulated_twice_alike_and_a_wrong_scenario_is_named() {
    let scenarios = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/scenarios/");
    let smoke = format!("{scenarios}smoke.toml");
    let run = || {
        let output = rushes(&["sim", &smoke, "--seed", "7", "--baseline", "fifo", "--output", "json"], &[]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let runs: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
        [runs[0]["trace"].clone(), runs[1]["trace"].clone(), runs[1]["order"].clone()]
    };
    let [own, fifo, order] = run();
    assert!(own.is_string() && own != fifo && order == "fifo", "{own} {fifo} {order}");
    assert_eq!(run(), [own, fifo, order]);

    check(&["sim", "/nowhere.toml"], &[], 2, "cannot read the scenario /nowhere.toml");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let wrong = dir.path().join("wrong.toml");
    let text = std::fs::read_to_string(&smoke).expect("it is there");
    let lines = [
        ("hours = 1.0", "hours = 0.0", "hours: should be above 0"),
        ("load", "laod", "unknown field `laod`"),
    ];
    for (right, other, says) in lines {
        std::fs::write(&wrong, text.replace(right, other)).expect("the directory can be written");
        check(&["sim", wrong.to_str().expect("its name is text")], &[], 2, says);
    }
}
