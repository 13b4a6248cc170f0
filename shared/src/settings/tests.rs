//! The rules of layered settings, without a process.

use serde::Deserialize;

use super::*;

const DEFAULTS: &str = r#"
# a name
name = ""
tags = []

[pool]
warm = 2
retry_ms = 100
ratio = 0.5

[sandbox]
require = true
mode = "strict"

[sandbox.extra]
paths = ["/usr"]
"#;

#[derive(Debug, Deserialize, PartialEq)]
struct All {
    name: String,
    tags: Vec<String>,
    pool: Pool,
    sandbox: Sandbox,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Pool {
    warm: u8,
    retry_ms: u64,
    ratio: f64,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Sandbox {
    require: bool,
    mode: Mode,
    extra: Extra,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Extra {
    paths: Vec<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Strict,
    Loose,
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn layers() -> Layers {
    Layers::new(DEFAULTS)
}

#[test]
fn each_layer_overrides_the_one_below() {
    let file = "name = 'file'\n[pool]\nwarm = 3\nratio = 1\n[sandbox]\nextra.paths = ['/opt']\n";
    let layers = layers()
        .file("w.toml", file)
        .and_then(|l| l.env("RUSHES_WORKER", env(&[("RUSHES_WORKER__POOL__WARM", "4"), ("HOME", "/")])))
        .and_then(|l| l.env("RUSHES_WORKER", env(&[("RUSHES_WORKER__TAGS", "gpu, rack-3")])))
        .and_then(|l| l.assignments(&["sandbox.mode=loose".to_owned()]))
        .expect("all keys are known");
    let all: All = layers.resolve().expect("all values are right");
    assert_eq!((all.name.as_str(), all.pool.warm, all.pool.retry_ms), ("file", 4, 100));
    assert_eq!((all.pool.ratio, all.sandbox.mode, all.sandbox.require), (1.0, Mode::Loose, true));
    assert_eq!(
        (all.sandbox.extra.paths, all.tags),
        (vec!["/opt".into()], vec!["gpu".into(), "rack-3".into()])
    );
    assert_eq!(layers.origin("pool.warm"), Some(&Origin::Env("RUSHES_WORKER__POOL__WARM".into())));
}

#[test]
fn an_unknown_key_names_its_place_and_the_nearest_one() {
    let check = |result: Result<Layers, SettingsError>, expected: &str| {
        assert_eq!(result.expect_err("it is unknown").to_string(), expected);
    };
    check(
        layers().file("w.toml", "\n[pool]\nwram = 3\n"),
        "w.toml:3: there is no setting 'pool.wram'; did you mean 'pool.warm'?",
    );
    check(
        layers().file("w.toml", "warm = 3\n"),
        "w.toml:1: there is no setting 'warm'; did you mean 'pool.warm'?",
    );
    check(
        layers().file("w.toml", "[sandbx]\n"),
        "w.toml:1: there is no setting 'sandbx'; did you mean 'sandbox.mode'?",
    );
    check(
        layers().env("RUSHES_WORKER", env(&[("RUSHES_WORKER__SANDBOX__REQUIRED", "true")])),
        "environment variable RUSHES_WORKER__SANDBOX__REQUIRED: there is no setting 'sandbox.required'; did you mean 'sandbox.require'?",
    );
    check(
        layers().assignments(&["pool.retry=3".to_owned()]),
        "flag --set pool.retry: there is no setting 'pool.retry'; did you mean 'pool.retry_ms'?",
    );
}

#[test]
fn a_wrong_type_names_what_is_wanted_and_its_unit() {
    let error = layers().file("w.toml", "[pool]\nretry_ms = '1s'\n").expect_err("a text is no number");
    assert_eq!(
        error.to_string(),
        "w.toml:2: pool.retry_ms should be a whole number (in milliseconds), not the text \"1s\""
    );
    let error = layers().set("sandbox.require", "maybe", "--sandbox").expect_err("no truth value");
    assert_eq!(error.to_string(), "flag --sandbox: sandbox.require should be true or false, not 'maybe'");
}

#[test]
fn a_value_that_the_program_refuses_is_traced_to_its_line() {
    let layers = layers().file("w.toml", "[sandbox]\nmode = 'lose'\n").expect("the type is right");
    let error = layers.resolve::<All>().expect_err("no such mode").to_string();
    assert!(error.starts_with("w.toml:2: sandbox.mode: unknown variant `lose`"), "{error}");
    let layers = self::layers().set("pool.warm", "300", "--warm").expect("the type is right");
    let error = layers.resolve::<All>().expect_err("too large for the type").to_string();
    assert!(error.starts_with("flag --warm: pool.warm: "), "{error}");
}

#[test]
fn bad_syntax_names_its_line() {
    let error = layers().file("w.toml", "name = 'x'\n[pool\n").expect_err("not TOML").to_string();
    assert!(error.starts_with("w.toml:2: not valid TOML"), "{error}");
}

#[test]
fn what_is_shown_reads_back_and_hides_secrets() {
    let layers = layers().secret(&["name"]).set("name", "hunter2", "--name").expect("it is known");
    let shown = layers.effective_toml();
    assert!(!shown.contains("hunter2") && shown.contains("name = \"(secret)\"  # flag --name"), "{shown}");
    assert!(shown.contains("[sandbox.extra]\npaths = [\"/usr\"]  # default"), "{shown}");
    assert!(self::layers().file("shown", &shown).is_ok());
}
