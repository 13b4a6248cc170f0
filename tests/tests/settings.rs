//! State directories belong to one program each, and settings explain themselves.

use std::process::Command;

use rushes_tests::program::{fail, succeed};
use rushes_tests::{FarmPlan, binaries};

#[test]
fn a_state_directory_has_one_program() {
    let farm = FarmPlan::new(1).start();
    let (code, said) = fail(farm.coordinator_command(&["run", "--set", "api.bind=127.0.0.1:0"]));
    assert!(code.is_some_and(|c| c != 0) && said.contains("in use by another coordinator"), "{said}");
    assert!(said.contains("state directory of its own"), "it says what to do: {said}");
    let (_, said) = fail(farm.worker_command(0, &["run"]));
    assert!(said.contains("another worker runs in") && said.contains("--state-dir"), "{said}");
    let (_, said) = fail(farm.coordinator_command(&["init"]));
    assert!(said.contains("already"), "{said}");
    // Neither disturbed the running farm.
    let id = farm.api().submit(&serde_json::json!({"kind": "noop"}));
    let _job = farm.api().succeeded(id);
}

#[test]
fn settings_show_where_they_come_from_and_unknown_ones_name_the_nearest() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (program, prefix, file, good, bad, near) in [
        (
            binaries::coordinator(),
            "RUSHES_COORDINATOR",
            "coordinator.toml",
            ("engine.lease_ms", "7000", "9000"),
            "engine.leese_ms=1",
            "lease_ms",
        ),
        (binaries::worker(), "RUSHES_WORKER", "worker.toml", ("pool.warm", "3", "4"), "pool.wram=1", "warm"),
    ] {
        let command = |arguments: &[&str]| {
            let mut command = Command::new(&program);
            command.arg("--state-dir").arg(dir.path()).args(arguments);
            command
        };
        let (key, value, other) = good;
        let (section, name) = key.split_once('.').expect("a section and a name");
        let shown = |command: Command| {
            let text = succeed(command);
            let part = text.split(&format!("[{section}]")).nth(1).expect("the section is shown").to_owned();
            part.lines().find(|line| line.starts_with(name)).expect("the setting is shown").to_owned()
        };
        let default = shown(command(&["config", "show"]));
        assert!(!default.contains(value), "{default}");

        std::fs::write(dir.path().join(file), format!("[{section}]\n{name} = {value}\n")).expect("written");
        let from_file = shown(command(&["config", "show"]));
        assert!(from_file.contains(value) && from_file.contains(file), "{from_file}");
        let mut with_environment = command(&["config", "show"]);
        let variable = format!("{prefix}__{}__{}", section.to_uppercase(), name.to_uppercase());
        with_environment.env(&variable, other);
        let from_environment = shown(with_environment);
        assert!(
            from_environment.contains(other) && from_environment.contains(&variable),
            "{from_environment}"
        );

        let (code, said) = fail(command(&["config", "check", "--set", bad]));
        assert!(code.is_some_and(|c| c != 0) && said.contains(near), "the nearest name: {said}");
        std::fs::write(dir.path().join(file), format!("[{section}]\n{name}x = {value}\n")).expect("written");
        let (_, said) = fail(command(&["run"]));
        assert!(said.contains(near) && said.contains(file), "the nearest name and the file: {said}");
        std::fs::remove_file(dir.path().join(file)).expect("removed");
    }
}
