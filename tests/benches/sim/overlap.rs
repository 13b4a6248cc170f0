//! A batch with its stages overlapping, beside the same work stage by stage.

use anyhow::{Result, ensure};
use rushes_bench::sample::Pair;
use rushes_bench::{Bench, Better, Row};
use rushes_sim::{Content, Report, Scenario, Stage};

use crate::{scenario, seeds};

/// The same titles in waves that fill the farm once: each stage of a wave is complete before its next one begins, and
/// each wave before the next.
fn stage_by_stage(scenario: &Scenario, titles: u32, wave: u32) -> Scenario {
    let title = &scenario.content[0];
    let mut stages: Vec<Stage> = Vec::new();
    for n in 0..titles / wave {
        for stage in &title.stage {
            let after = stages.last().map(|last| last.name.clone());
            stages.push(Stage {
                name: format!("{} {n}", stage.name),
                count: stage.count.map(|count| count * wave),
                after: after.into_iter().collect(),
                ..stage.clone()
            });
        }
    }
    let mut all = scenario.clone();
    all.arrivals.at_once = 1;
    all.content = vec![Content { stage: stages, ..title.clone() }];
    all
}

/// When the last job was done, in seconds.
fn last_end(report: &Report) -> f64 {
    report.jobs.iter().filter_map(|job| job.succeeded_s).fold(0.0, f64::max)
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let scenario = scenario("overlap.toml")?;
    let titles = scenario.arrivals.at_once;
    let widest = scenario.content[0].stage.iter().map(|s| s.count[1]).max().unwrap_or(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cores of a farm")]
    let wave = scenario.cores() as u32 / widest;
    ensure!(titles.is_multiple_of(wave), "{titles} titles are not a whole number of waves of {wave}");
    let apart = stage_by_stage(&scenario, titles, wave);
    let mut pairs = Vec::new();
    for seed in seeds(bench.runs(5)) {
        let ours = f64::from(titles) / last_end(&rushes_sim::run(&scenario, seed)?) * 3600.0;
        let peer = f64::from(titles) / last_end(&rushes_sim::run(&apart, seed)?) * 3600.0;
        pairs.push(Pair { ours, peer });
    }
    let row = Row::beside("titles an hour", "titles/h", Better::Higher, "stage by stage", &pairs);
    bench.add(row.target_ratio(1.25));
    Ok(())
}
