//! One slot and few jobs, beside the best that anyone could do with them.

use anyhow::{Result, ensure};
use rushes_bench::{Bench, Better, Row};
use rushes_sim::{OneTask, OrderRule, Report, Scenario, fewest_late};

use crate::seeds;

/// What passes between two tasks on one slot even on an idle farm: two links and a commit, in milliseconds. The optimum
/// has to spend it as well.
const BETWEEN_MS: u64 = 5;

/// When the slot comes where all jobs come at once, in seconds.
const JOINS_S: f64 = 1.0;

/// One slot, some jobs of one task; where `apart_s` is 0 all come at once.
fn case(jobs: u32, deadline: [f64; 2], apart_s: f64) -> Result<Scenario> {
    let arrivals =
        if apart_s > 0.0 { format!("per_hour = {}", 3600.0 / apart_s) } else { format!("at_once = {jobs}") };
    // Jobs come for as long as it takes that many of them on average.
    let hours = if apart_s > 0.0 { apart_s * f64::from(jobs) / 3600.0 } else { 0.01 };
    let [low, high] = deadline;
    // "All at once" means that all are known before the slot comes.
    let joins_s = if apart_s > 0.0 { 0.0 } else { JOINS_S };
    let text = format!(
        r#"
        name = "small"
        about = "one slot"
        hours = {hours}
        [arrivals]
        {arrivals}
        [[content]]
        name = "task"
        deadline = [{low:?}, {high:?}]
        stage = [{{ name = "work", slot = "encode", count = [1, 1], seconds = [1.0, 60.0] }}]
        [[node]]
        name = "only"
        count = 1
        cores = 1.0
        joins_s = {joins_s:?}
        # Predictions are exact here, so that promises may fill the whole slot.
        [policy.promise]
        load_permille = 1000
        p90_permille = 1000
        "#
    );
    Ok(Scenario::parse(&text)?)
}

/// How many were late, and how many had to be.
fn late(report: &Report, from_s: f64) -> Option<(usize, usize)> {
    if report.jobs.is_empty() || report.jobs.len() > rushes_sim::MOST_JOBS {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a small case")]
    let ms = |s: f64| (s * 1000.0) as u64;
    let task = |job: &rushes_sim::JobLine| OneTask {
        release: ms(job.at_s.max(from_s)) + BETWEEN_MS,
        takes: ms(job.true_core_s) + BETWEEN_MS,
        deadline: ms(job.deadline_s.unwrap_or(f64::MAX)),
    };
    let tasks: Vec<OneTask> = report.jobs.iter().map(task).collect();
    let missed = report.jobs.iter().filter(|job| match (job.succeeded_s, job.deadline_s) {
        (Some(end), Some(deadline)) => end > deadline,
        _ => true,
    });
    Some((missed.count(), fewest_late(&tasks)))
}

/// Over many small cases: the share in which the engine misses where nobody has to, and the share in which it misses
/// more than the optimum.
#[expect(clippy::cast_precision_loss, reason = "counts of cases")]
fn compare(bench: &Bench, deadline: [f64; 2], apart_s: f64, rule: OrderRule) -> Result<(f64, f64, f64)> {
    let (mut cases, mut free, mut needless, mut worse, mut extra) = (0.0, 0.0_f64, 0.0, 0.0, 0_i64);
    for (seed, jobs) in seeds(bench.runs(300)).zip((3..=8).cycle()) {
        let report = rushes_sim::run_by(&case(jobs, deadline, apart_s)?, seed, rule)?;
        let Some((ours, best)) = late(&report, if apart_s > 0.0 { 0.0 } else { JOINS_S }) else { continue };
        cases += 1.0;
        if best == 0 {
            free += 1.0;
            needless += f64::from(u8::from(ours > 0));
        }
        worse += f64::from(u8::from(ours > best));
        extra += i64::try_from(ours)? - i64::try_from(best)?;
    }
    ensure!(cases > 0.0, "no case was small enough");
    Ok((needless / free.max(1.0), worse / cases, extra as f64 / cases))
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let lower = |name: &str, value: f64| Row::of(name, "of 1", Better::Lower, &[value]);
    let (needless, worse, _) = compare(bench, [1.0, 8.0], 0.0, OrderRule::Value)?;
    bench.add(lower("all at once: misses where none is needed", needless).target(0.0));
    bench.add(lower("all at once: cases worse than the optimum", worse).target(0.05));
    let (_, worse, _) = compare(bench, [1.0, 8.0], 0.0, OrderRule::Edf)?;
    bench.add(lower("all at once: cases worse than the optimum, edf", worse));
    let (needless, worse, extra) = compare(bench, [1.2, 5.0], 35.0, OrderRule::Value)?;
    bench.add(lower("one by one: misses where none is needed", needless));
    bench.add(lower("one by one: cases worse than the optimum", worse).target(0.05));
    bench.add(Row::of("one by one: more misses than the optimum", "jobs a case", Better::Lower, &[extra]));
    let (_, worse, extra) = compare(bench, [1.2, 5.0], 35.0, OrderRule::Edf)?;
    bench.add(lower("one by one: cases worse than the optimum, edf", worse));
    let name = "one by one: more misses than the optimum, edf";
    bench.add(Row::of(name, "jobs a case", Better::Lower, &[extra]));
    Ok(())
}
