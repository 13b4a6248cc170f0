//! Instructions an event, counted by callgrind: a figure that no neighbour and no clock moves. Needs `valgrind`.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use rushes_bench::{Bench, Better, Row};
use rushes_core::policy::Policy;

use crate::farm::Farm;

/// Asks this program for a case under callgrind.
const FLAG: &str = "--instructions-case=";
/// Tasks that end while instructions are counted; three events each.
const ENDS: u32 = 5_000;
const PER_JOB: u32 = 100;
const TASKS: [(u32, &str); 4] =
    [(1_000, "1,000"), (10_000, "10,000"), (100_000, "100,000"), (1_000_000, "1,000,000")];

/// Runs a case if that is what this process was started for.
pub(crate) fn asked_for() -> Option<ExitCode> {
    let tasks = std::env::args().find_map(|word| word.strip_prefix(FLAG)?.parse::<u32>().ok())?;
    let mut farm = Farm::new(8, Policy::default(), false);
    (0..tasks / PER_JOB).for_each(|_| farm.submit(PER_JOB));
    counted_events(&mut farm);
    Some(ExitCode::SUCCESS)
}

/// What callgrind counts: its name is given to it.
#[inline(never)]
fn counted_events(farm: &mut Farm) {
    for n in 1..=ENDS {
        farm.end_one();
        if n % PER_JOB == 0 {
            farm.submit(PER_JOB);
        }
    }
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        bench.say("left out: valgrind is not installed (package valgrind)");
        return Ok(());
    }
    let mut least: Option<f64> = None;
    for (tasks, label) in TASKS {
        let each = instructions(tasks)? / f64::from(ENDS * 3 + ENDS / PER_JOB);
        let first = *least.get_or_insert(each);
        bench.add(Row::of(
            format!("instructions an event, {label} tasks"),
            "instructions",
            Better::Lower,
            &[each],
        ));
        if tasks == 1_000_000 {
            let growth = Row::of(
                "instructions an event, 1,000,000 tasks against 1,000",
                "x",
                Better::Lower,
                &[each / first],
            );
            bench.add(growth.target(2.5));
        }
    }
    Ok(())
}

fn instructions(tasks: u32) -> Result<f64> {
    let me = std::env::current_exe().context("find this program")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=*counted_events*")
        .arg(me)
        .arg(format!("{FLAG}{tasks}"))
        .output()
        .context("start valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "valgrind failed: {text}");
    let found = text.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse::<f64>().ok());
    found.filter(|n| *n > 0.0).with_context(|| format!("valgrind counted nothing: {text}"))
}
