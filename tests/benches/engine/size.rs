//! What an event costs and what a queued task weighs on large farms. Each case runs in a process of its own, so that the
//! memory of one is not the other's.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use rushes_bench::{Bench, Better, Row};
use rushes_core::policy::Policy;

use crate::farm::Farm;

/// Asks this program for a case.
const FLAG: &str = "--size-case=";
/// Tasks that end while the clock runs.
const ENDS: u32 = 60_000;

/// Tasks that wait, tasks a job, workers; then the bounds on p50 and p99 in nanoseconds, and on a task's bytes.
struct Case {
    name: &'static str,
    tasks: u32,
    per_job: u32,
    workers: u32,
    p50: Option<f64>,
    p99: Option<f64>,
    bytes: Option<f64>,
}

const CASES: [Case; 4] = [
    Case {
        name: "1,000 jobs of one task",
        tasks: 1_000,
        per_job: 1,
        workers: 10,
        p50: None,
        p99: None,
        bytes: None,
    },
    Case {
        name: "200,000 jobs of one task",
        tasks: 200_000,
        per_job: 1,
        workers: 100,
        p50: Some(2_000.0),
        p99: None,
        bytes: Some(400.0),
    },
    Case {
        name: "200,000 tasks in jobs of 10,000",
        tasks: 200_000,
        per_job: 10_000,
        workers: 100,
        p50: Some(2_000.0),
        p99: None,
        bytes: Some(400.0),
    },
    Case {
        name: "1,000,000 tasks in jobs of 10,000",
        tasks: 1_000_000,
        per_job: 10_000,
        workers: 1_000,
        p50: Some(5_000.0),
        p99: Some(50_000.0),
        bytes: Some(400.0),
    },
];

/// Runs a case if that is what this process was started for: p50, p99, bytes.
pub(crate) fn asked_for() -> Option<ExitCode> {
    let number = std::env::args().find_map(|word| word.strip_prefix(FLAG)?.parse::<usize>().ok())?;
    let case = CASES.get(number)?;
    let before = resident();
    let mut farm = Farm::new(case.workers, Policy::default(), false);
    (0..case.tasks / case.per_job).for_each(|_| farm.submit(case.per_job));
    farm.spent = Vec::new();
    let bytes = (resident() - before) / u64::from(case.tasks);
    for n in 1..=ENDS {
        farm.start_and_end_one();
        if n % case.per_job == 0 {
            farm.submit(case.per_job);
        }
    }
    println!("{} {} {bytes}", farm.percentile_ns(500), farm.percentile_ns(990));
    Some(ExitCode::SUCCESS)
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    for (number, case) in CASES.iter().enumerate() {
        let (mut p50, mut p99, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..bench.runs(3) {
            let me = std::env::current_exe().context("find this program")?;
            let output =
                Command::new(me).arg(format!("{FLAG}{number}")).output().context("start this program")?;
            ensure!(
                output.status.success(),
                "case {number} failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            let text = String::from_utf8(output.stdout).context("read the case's figures")?;
            let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [half, most, weighs] = figures[..] else { anyhow::bail!("case {number} said '{text}'") };
            p50.push(half);
            p99.push(most);
            bytes.push(weighs);
        }
        for (what, unit, values, target) in [
            ("handle p50", "ns/event", &p50, case.p50),
            ("handle p99", "ns/event", &p99, case.p99),
            ("a queued task", "bytes", &bytes, case.bytes),
        ] {
            let row = Row::of(format!("{what}, {}", case.name), unit, Better::Lower, values);
            bench.add(match target {
                Some(bound) => row.target(bound),
                None => row,
            });
        }
    }
    Ok(())
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}
