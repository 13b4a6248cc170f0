//! One slot and few jobs, beside the best that anyone could do with them.

use anyhow::{Result, ensure};
use rushes_bench::{Bench, Better, Row};
use rushes_sim::{First, OneTask, OrderRule, Report, Scenario, fewest_late, late_online};

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

/// How many were late of one case.
struct Late {
    ours: usize,
    /// By any order at all.
    best: usize,
    /// By the better one of two that know a job only once it has come, see [`late_online`].
    online: usize,
}

fn late(report: &Report, from_s: f64) -> Option<Late> {
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
    let online = late_online(&tasks, First::Deadline).min(late_online(&tasks, First::Shortest));
    Some(Late { ours: missed.count(), best: fewest_late(&tasks), online })
}

/// What many small cases came to, as shares of them, and differences in jobs a case.
#[derive(Default)]
struct Compared {
    /// Of the cases in which nobody has to be late, those in which somebody is.
    needless: f64,
    /// Cases in which more are late than have to be,
    worse: f64,
    /// and by how much.
    extra: f64,
    /// Cases in which who re-solves at each arrival is worse than the optimum.
    online_worse: f64,
    /// Cases in which we are worse than who re-solves at each arrival,
    worse_than_online: f64,
    /// those in which we are better,
    better_than_online: f64,
    /// and the difference.
    extra_to_online: f64,
}

/// Over many small cases.
#[expect(clippy::cast_precision_loss, reason = "counts of cases")]
fn compare(bench: &Bench, deadline: [f64; 2], apart_s: f64, rule: OrderRule) -> Result<Compared> {
    let (mut cases, mut free) = (0.0, 0.0_f64);
    let mut sum = Compared::default();
    let counts = |yes: bool| f64::from(u8::from(yes));
    for (seed, jobs) in seeds(bench.runs(300)).zip((3..=8).cycle()) {
        let report = rushes_sim::run_by(&case(jobs, deadline, apart_s)?, seed, rule)?;
        let from_s = if apart_s > 0.0 { 0.0 } else { JOINS_S };
        let Some(Late { ours, best, online }) = late(&report, from_s) else { continue };
        cases += 1.0;
        free += counts(best == 0);
        sum.needless += counts(best == 0 && ours > 0);
        sum.worse += counts(ours > best);
        sum.extra += ours as f64 - best as f64;
        sum.online_worse += counts(online > best);
        sum.worse_than_online += counts(ours > online);
        sum.better_than_online += counts(ours < online);
        sum.extra_to_online += ours as f64 - online as f64;
    }
    ensure!(cases > 0.0, "no case was small enough");
    Ok(Compared {
        needless: sum.needless / free.max(1.0),
        worse: sum.worse / cases,
        extra: sum.extra / cases,
        online_worse: sum.online_worse / cases,
        worse_than_online: sum.worse_than_online / cases,
        better_than_online: sum.better_than_online / cases,
        extra_to_online: sum.extra_to_online / cases,
    })
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let lower = |name: &str, value: f64| Row::of(name, "of 1", Better::Lower, &[value]);
    let more = |name: &str, value: f64| Row::of(name, "jobs a case", Better::Lower, &[value]);
    let at_once = compare(bench, [1.0, 8.0], 0.0, OrderRule::Value)?;
    bench.add(lower("all at once: misses where none is needed", at_once.needless).target(0.0));
    bench.add(lower("all at once: cases worse than the optimum", at_once.worse).target(0.05));
    let edf = compare(bench, [1.0, 8.0], 0.0, OrderRule::Edf)?;
    bench.add(lower("all at once: cases worse than the optimum, edf", edf.worse));
    let ours = compare(bench, [1.2, 5.0], 35.0, OrderRule::Value)?;
    bench.add(lower("one by one: misses where none is needed", ours.needless));
    bench.add(lower("one by one: cases worse than the optimum", ours.worse).target(0.05));
    bench.add(more("one by one: more misses than the optimum", ours.extra));
    // Nobody knows what is to come: how far that alone is from the optimum, and how far we are from that.
    bench
        .add(lower("one by one: re-solved at each arrival, cases worse than the optimum", ours.online_worse));
    bench.add(lower("one by one: cases worse than re-solved", ours.worse_than_online).target(0.05));
    bench.add(Row::of(
        "one by one: cases better than re-solved",
        "of 1",
        Better::Higher,
        &[ours.better_than_online],
    ));
    bench.add(more("one by one: more misses than re-solved", ours.extra_to_online));
    let edf = compare(bench, [1.2, 5.0], 35.0, OrderRule::Edf)?;
    bench.add(lower("one by one: cases worse than the optimum, edf", edf.worse));
    bench.add(more("one by one: more misses than the optimum, edf", edf.extra));
    bench.add(lower("one by one: cases worse than re-solved, edf", edf.worse_than_online));
    Ok(())
}
