//! Whole runs, as a user starts them.

use std::path::PathBuf;

use rushes_sim::{Scenario, run};

fn scenario(name: &str) -> Scenario {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../configs/scenarios").join(name);
    Scenario::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_seed_run_twice_gives_the_same_trace_and_figures() {
    let smoke = scenario("smoke.toml");
    let first = run(&smoke, 1).unwrap_or_else(|error| panic!("{error}"));
    println!("{}", first.table());
    assert_eq!(first, run(&smoke, 1).expect("it was the same before"));
    assert_ne!(first.trace, run(&smoke, 2).expect("another seed does as well").trace);
}

#[test]
fn chaos_over_fifty_seeds_breaks_no_invariant() {
    let mut chaos = scenario("chaos.toml");
    chaos.hours = 0.1;
    for seed in 1..=50 {
        let report = run(&chaos, seed).unwrap_or_else(|error| panic!("{error}"));
        if seed == 1 {
            println!("{}", report.table());
        }
    }
}
