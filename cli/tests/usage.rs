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
    let farm = &[("RUSHES_URL", "http://127.0.0.1:1")];
    check(&["limit", "set", "dolby"], farm, 2, "Usage: rushes limit set <NAME> <MOST>");
    check(&["limit", "set", "", "4"], farm, 2, "a limit's name is not empty");
    check(&["tenant", "set", "", "--weight", "4"], farm, 2, "tenant");
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
    let text = std::fs::read_to_string(&smoke).expect("it is there");
    refused(&text.replace("load", "laod"), &["unknown field `laod`"]);
}

/// A farm of one node, and a film every six minutes.
const SMALL: &str = r#"
name = "small"
about = "one node"
hours = 1.0

[arrivals]
per_hour = 10.0

[[content]]
name = "film"
stage = [{ name = "encode", count = [1, 1], seconds = [1.0, 2.0] }]

[[node]]
name = "n"
count = 1
cores = 2.0
"#;

/// A scenario of this text is refused; the file and all of this are named.
fn refused(text: &str, says: &[&str]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("wrong.toml");
    std::fs::write(&path, text).expect("the directory can be written");
    let path = path.to_str().expect("its name is text");
    for words in says.iter().chain([&path]) {
        check(&["sim", path], &[], 2, words);
    }
}

#[test]
fn what_no_farm_has_is_refused_with_its_range() {
    for (right, wrong, says) in [
        ("hours = 1.0", "hours = 0.0", ["hours: 0.0", "above 0"]),
        ("hours = 1.0", "hours = 1.0\nsettle_hours = 1e18", ["settle_hours: 1e18", "at most 8784.0"]),
        ("hours = 1.0", "hours = 1.0\nprogress_s = 1e-9", ["progress_s: 1e-9", "0.1 to 86400.0"]),
        (
            "hours = 1.0",
            "hours = 1.0\nwaiting_bound_s = { bulk = -1.0 }",
            ["waiting_bound_s.bulk: -1.0", "above 0"],
        ),
        ("per_hour = 10.0", "load = inf", ["arrivals.load: inf", "at most 1000.0"]),
        (
            "per_hour = 10.0",
            "per_hour = 1e7\nflash = [{ at_hour = 0.0, hours = 1.0, times = 9.0 }]",
            ["arrivals: 10000000 uploads an hour", "at most 10000000"],
        ),
        ("per_hour = 10.0", "per_hour = 1.0\npeak_hour = nan", ["arrivals.peak_hour: NaN", "0.0 to 24.0"]),
        ("[1.0, 2.0]", "[1.0, 1e300]", ["seconds: [1.0, 1e300]", "0 to 31622400.0"]),
        ("[[node]]", "[truth]\nsigma = 1e3\n[[node]]", ["truth.sigma: 1000.0", "0.0 to 3.0"]),
        (
            "[[node]]",
            "[faults]\ncrashes = 1e12\n[[node]]",
            ["faults.crashes: 1000000000000.0", "0.0 to 3600.0"],
        ),
        (
            "[[node]]",
            "[faults]\nclock_step_s = 1e18\n[[node]]",
            ["faults.clock_step_s: 1e18", "0.0 to 31622400.0"],
        ),
        ("[[node]]", "[link]\ndelay_ms = 1e30\n[[node]]", ["link.delay_ms: 1e30", "0.0 to 60000.0"]),
        (
            "[[node]]",
            "[cost]\ntimer_ns = 1000000000000000000\n[[node]]",
            ["cost.timer_ns: 1000000000000000000", "0 to 60000000000"],
        ),
        ("cores = 2.0", "cores = 2.0\nspeed = 1e-300", ["node 'n': speed: 1e-300", "0.001 to 1000.0"]),
    ] {
        refused(&SMALL.replace(right, wrong), &says);
    }
    let idle = SMALL.replace("per_hour = 10.0", "load = 0.5").replace("[1.0, 2.0]", "[0.0, 0.0]");
    refused(&idle, &["arrivals.load: no stage takes cores"]);
}

#[test]
fn a_simulation_in_which_nothing_happens_is_no_success() {
    refused(&SMALL.replace("per_hour = 10.0", "per_hour = 0.0"), &["no upload came with seed 1"]);
    let smoke = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/scenarios/smoke.toml");
    let beyond = ["sim", smoke, "--seed", "18446744073709551614", "--seeds", "5"];
    check(
        &beyond,
        &[],
        2,
        "there are no 5 seeds from 18446744073709551614 on: the largest is 18446744073709551615",
    );
    let largest = rushes(&["sim", smoke, "--seed", "18446744073709551615"], &[]);
    assert_eq!(largest.status.code(), Some(0), "{largest:?}");
    assert!(String::from_utf8_lossy(&largest.stdout).contains("seed 18446744073709551615"), "{largest:?}");
}

/// Whoever opened a pipe to read would wait for its writer.
#[test]
fn what_is_no_preset_hangs_nothing_and_every_mistake_is_told() {
    let config = tempfile::tempdir().expect("a temporary directory");
    let presets = config.path().join("rushes/presets");
    std::fs::create_dir_all(&presets).expect("made");
    let file = |name: &str| presets.join(name).display().to_string();
    assert!(Command::new("mkfifo").arg(file("pipe.toml")).status().expect("mkfifo is there").success());
    std::os::unix::fs::symlink("/dev/zero", file("zero.toml")).expect("linked");
    std::fs::File::create(file("huge.toml")).and_then(|huge| huge.set_len(1 << 40)).expect("made");
    std::fs::write(file("codec.toml"), "[stream]\ncodec = 'h265'\nmore = [3]").expect("written");
    std::fs::write(file("good.toml"), "[[outputs]]").expect("written");
    let home = config.path().display().to_string();
    let output = rushes(&["preset", "list"], &[("XDG_CONFIG_HOME", &home)]);
    let (list, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && list.contains("\ngood ") && list.contains("\nweb "), "{list}{told}");
    for said in
        ["pipe.toml: it is no regular file", "zero.toml: it is no regular file", "huge.toml: it has more"]
    {
        assert!(told.contains(said), "{told}");
    }
    let files = ["codec.toml", "pipe.toml", "good.toml"].map(file);
    let output = rushes(&["preset", "check", &files[0], &files[1], &files[2]], &[]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("did you mean 'hevc'?") && told.contains("pipe.toml: it is no regular file"),
        "{told}"
    );
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stdout).contains("good: good"));
}
