//! One slot, all jobs known before it comes: the textbook's case, in which no deadline needs to be missed that can be
//! kept.

use rushes_sim::{OneTask, Scenario, fewest_late, run};

const CASE: &str = r#"
name = "one-slot"
about = "six jobs of one task, all there before the slot comes"
hours = 0.01
[arrivals]
at_once = 6
[[content]]
name = "task"
deadline = [1.0, 8.0]
stage = [{ name = "work", slot = "encode", count = [1, 1], seconds = [1.0, 60.0] }]
[[node]]
name = "only"
count = 1
cores = 1.0
joins_s = 1.0
# Predictions are exact here, so that promises may fill the whole slot.
[policy.promise]
load_permille = 1000
p90_permille = 1000
"#;

/// Links and a commit that pass between two tasks, in milliseconds.
const BETWEEN_MS: u64 = 5;

/// Where not all can be kept, the cheapest to lose are given up, not those that came last: at most one case in twenty is
/// worse than the best that anyone could do.
#[test]
fn no_deadline_is_missed_where_none_has_to_be_and_hardly_more_than_have_to_be_elsewhere() {
    let case = Scenario::parse(CASE).expect("the case is valid");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a small case")]
    let ms = |s: f64| (s * 1000.0) as u64;
    let (mut feasible, mut worse) = (0, 0);
    for seed in 1..=200 {
        let report = run(&case, seed).unwrap_or_else(|error| panic!("{error}"));
        let task = |job: &rushes_sim::JobLine| OneTask {
            release: 1_000 + BETWEEN_MS,
            takes: ms(job.true_core_s) + BETWEEN_MS,
            deadline: ms(job.deadline_s.expect("each has one")),
        };
        let tasks: Vec<OneTask> = report.jobs.iter().map(task).collect();
        let missed = report.jobs.iter().filter(|job| job.succeeded_s > job.deadline_s).count();
        let least = fewest_late(&tasks);
        worse += usize::from(missed > least);
        if least == 0 {
            feasible += 1;
            assert_eq!(missed, 0, "seed {seed}: {:?}", report.jobs);
        }
    }
    assert!(worse * 20 <= 200, "{worse} of 200 cases are worse than the optimum");
    assert!(feasible > 10, "only {feasible} of the cases can be kept: they show nothing");
}
