//! Whole runs, as a user starts them.

use std::path::PathBuf;

use rushes_sim::{Scenario, run};

fn scenario(name: &str) -> Scenario {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../configs/scenarios").join(name);
    Scenario::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_scenario_that_comes_along_is_valid_and_says_what_it_shows() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../configs/scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(&dir).expect("the directory is there") {
        let path = entry.expect("it can be listed").path();
        let scenario = Scenario::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let stem = path.file_stem().and_then(|s| s.to_str()).expect("its name is text");
        assert_eq!(scenario.name, stem);
        assert!(!scenario.about.is_empty());
        count += 1;
    }
    assert!(count >= 7, "only {count} scenarios are there");
}

#[test]
fn a_wrong_scenario_is_refused_with_the_place_and_what_would_be_right() {
    let smoke =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/scenarios/smoke.toml"));
    let smoke = smoke.expect("it is there");
    let lines = [
        ("after = [\"probe\"]", "after = [\"prob\"]", "'prob' is not an earlier stage"),
        ("count = [2, 6]", "count = [6, 2]", "[6, 2] should rise"),
        ("load = 0.7", "load = 0.7\nper_hour = 3.0", "per_hour or load, not both"),
        ("load = 0.7", "", "without one of them nothing arrives"),
        ("cores = 16.0", "cores = 0.0", "node 'encode': cores: 0.0 should be above 0"),
        ("hours = 1.0", "hours = 1.0\npolicy = { leas_ms = 1 }", "[policy] does not fit"),
        ("cores = 16.0", "cores = 16.0\n[faults]\npartition_share = 2.0", "should be 0 to 1"),
    ];
    for (right, wrong, says) in lines {
        let error = Scenario::parse(&smoke.replacen(right, wrong, 1)).expect_err(wrong).to_string();
        assert!(error.contains(says), "{wrong}: {error}");
    }
}

/// A bound on waiting that cannot hold is found out: the checks are not asleep.
#[test]
fn a_bound_that_does_not_hold_ends_the_run_with_its_name_and_seed() {
    let mut smoke = scenario("smoke.toml");
    smoke.waiting_bound_s.insert(rushes_shared::job::Class::Standard, 1.0);
    let error = run(&smoke, 5).expect_err("more than a second is waited").to_string();
    assert!(error.contains("waiting-is-bounded") && error.contains("seed 5"), "{error}");
}

#[test]
fn a_seed_run_twice_gives_the_same_trace_and_figures() {
    let smoke = scenario("smoke.toml");
    let first = run(&smoke, 1).unwrap_or_else(|error| panic!("{error}"));
    println!("{}", first.table());
    assert_eq!(first, run(&smoke, 1).expect("it was the same before"));
    assert_ne!(first.trace, run(&smoke, 2).expect("another seed does as well").trace);
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn is_soak() -> bool {
    std::env::var_os("RUSHES_SOAK").is_some()
}

/// Six minutes of every fault for each of 50 seeds, with `RUSHES_SOAK=1` of 1,000: a hundred hours in all.
/// `RUSHES_SEED=N` begins elsewhere, `RUSHES_CASES=N` takes another number.
#[test]
fn chaos_breaks_no_invariant() {
    let mut chaos = scenario("chaos.toml");
    chaos.hours = 0.1;
    let first = number("RUSHES_SEED", 1);
    let (mut deaths, mut crashes, mut lost) = (0, 0, 0);
    for seed in first..first + number("RUSHES_CASES", if is_soak() { 1_000 } else { 50 }) {
        let farm = run(&chaos, seed).unwrap_or_else(|error| panic!("{error}")).farm;
        deaths += farm.node_deaths;
        crashes += farm.coordinator_deaths;
        lost += farm.failed_attempts;
    }
    assert!(
        deaths > 0 && crashes > 0 && lost > 0,
        "{deaths} nodes, {crashes} coordinators died: nothing is shown"
    );
}

/// The same with nodes that hold tasks ahead of room, on links that lose and double words. `RUSHES_SEED` and
/// `RUSHES_CASES` as above.
#[test]
fn chaos_breaks_no_invariant_where_nodes_hold_tasks_ahead() {
    let mut chaos = scenario("chaos.toml");
    chaos.hours = 0.1;
    for group in &mut chaos.node {
        group.ahead = 1;
    }
    let first = number("RUSHES_SEED", 1);
    for seed in first..first + number("RUSHES_CASES", 50) {
        run(&chaos, seed).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A day of every fault, at rates that a day can bear, for each of 1,000 seeds. With `RUSHES_SOAK=1` only: it takes a quarter
/// of an hour in release. `RUSHES_SEED` and `RUSHES_CASES` as above.
#[test]
fn a_day_of_faults_breaks_no_invariant() {
    if !is_soak() {
        return;
    }
    let mut soak = scenario("chaos.toml");
    soak.hours = 24.0;
    soak.progress_s = 10.0;
    (soak.arrivals.load, soak.arrivals.per_hour) = (None, Some(40.0));
    let faults = &mut soak.faults;
    for rate in
        [&mut faults.node_deaths, &mut faults.link_breaks, &mut faults.partitions, &mut faults.crashes]
    {
        *rate /= 10.0;
    }
    let first = number("RUSHES_SEED", 1);
    for seed in first..first + number("RUSHES_CASES", 1_000) {
        run(&soak, seed).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A stage was left out for a deadline while a worker that had been away since a crash still ran a task of it; the task's
/// end was then counted for a stage with nothing open.
#[test]
fn a_worker_that_comes_back_with_a_task_of_a_stage_that_was_left_out_gives_it_up() {
    let mut chaos = scenario("chaos.toml");
    chaos.hours = 0.1;
    run(&chaos, 18).unwrap_or_else(|error| panic!("{error}"));
}
