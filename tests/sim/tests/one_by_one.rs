//! One slot, jobs that come one by one: beside one who solves the optimum anew whenever the slot is free, knowing no more
//! than the scheduler does.

use rushes_sim::{First, OneTask, Scenario, fewest_late, late_online, run};

/// So many jobs on average, 35 seconds apart.
fn case(jobs: f64) -> Scenario {
    let text = format!(
        r#"
name = "one-by-one"
about = "jobs of one task, one slot"
hours = {}
[arrivals]
per_hour = {}
[[content]]
name = "task"
deadline = [1.2, 5.0]
stage = [{{ name = "work", slot = "encode", count = [1, 1], seconds = [1.0, 60.0] }}]
[[node]]
name = "only"
count = 1
cores = 1.0
joins_s = 0.0
[policy.promise]
load_permille = 1000
p90_permille = 1000
"#,
        35.0 * jobs / 3_600.0,
        3_600.0 / 35.0
    );
    Scenario::parse(&text).expect("the case is valid")
}

/// Links and a commit that pass between two tasks, in milliseconds.
const BETWEEN_MS: u64 = 5;

#[test]
fn jobs_that_come_one_by_one_are_late_no_more_than_if_the_optimum_were_solved_at_each_arrival() {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a small case")]
    let ms = |s: f64| (s * 1000.0) as u64;
    let (mut cases, mut worse, mut better, mut ours, mut theirs, mut best) = (0, 0, 0, 0, 0, 0);
    for (seed, jobs) in (1..=300).zip((3..=8).cycle()) {
        let report = run(&case(f64::from(jobs)), seed).unwrap_or_else(|error| panic!("{error}"));
        if report.jobs.is_empty() || report.jobs.len() > rushes_sim::MOST_JOBS {
            continue;
        }
        let task = |job: &rushes_sim::JobLine| OneTask {
            release: ms(job.at_s) + BETWEEN_MS,
            takes: ms(job.true_core_s) + BETWEEN_MS,
            deadline: ms(job.deadline_s.expect("each has one")),
        };
        let tasks: Vec<OneTask> = report.jobs.iter().map(task).collect();
        let missed = report.jobs.iter().filter(|job| job.succeeded_s > job.deadline_s).count();
        let online = late_online(&tasks, First::Deadline).min(late_online(&tasks, First::Shortest));
        cases += 1;
        ours += missed;
        theirs += online;
        best += fewest_late(&tasks);
        worse += usize::from(missed > online);
        better += usize::from(missed < online);
        if missed > online && std::env::var_os("RUSHES_SHOW").is_some() {
            println!("seed {seed}: {missed} of {online}: {:#?}", report.jobs);
        }
    }
    println!(
        "{cases} cases: late {ours}, re-solved {theirs}, optimum {best}; worse {worse}, better {better}"
    );
    assert!(worse * 20 <= cases, "{worse} of {cases} cases are worse than re-solved, {better} better");
}
