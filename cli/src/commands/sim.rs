//! `rushes sim`.

use std::time::Instant;

use rushes_sim::{OrderRule, Report, Scenario, SimError};
use serde::Serialize;

use super::{print, put};
use crate::args::{Baseline, FarmArgs, Output, SimArgs};
use crate::fault::{Ending, Fault};

/// One run with how long it took here.
#[derive(Debug, Serialize)]
struct Timed {
    /// The rule of order; `scenario` for the scenario's own.
    order: &'static str,
    #[serde(flatten)]
    report: Report,
    /// Wall time of the run, in seconds.
    run_s: f64,
    /// Events that the engine handled in a second of it.
    engine_events_per_s: f64,
}

impl Timed {
    fn text(&self) -> String {
        let rule = match self.order {
            OWN => String::new(),
            rule => format!("order {rule}: "),
        };
        format!(
            "{rule}{}  simulated in {:.2} s, {:.0} engine events/s\n",
            self.report.table(),
            self.run_s,
            self.engine_events_per_s
        )
    }
}

/// What the scenario's own order is called.
const OWN: &str = "scenario";

fn rule(baseline: Baseline) -> (&'static str, OrderRule) {
    match baseline {
        Baseline::Fifo => ("fifo", OrderRule::Fifo),
        Baseline::Strict => ("strict", OrderRule::StrictPriority),
        Baseline::Edf => ("edf", OrderRule::Edf),
    }
}

pub(super) fn run(farm: &FarmArgs, args: &SimArgs) -> Result<Ending, Fault> {
    let last = args.seed.checked_add(args.seeds - 1).ok_or_else(|| {
        let (first, count, largest) = (args.seed, args.seeds, u64::MAX);
        Fault::Usage(format!(
            "there are no {count} seeds from {first} on: the largest is {largest}; take smaller ones"
        ))
    })?;
    let scenario = Scenario::read(&args.scenario).map_err(|error| Fault::Usage(error.to_string()))?;
    if args.measure {
        let cost = rushes_sim::measure(&scenario, args.seed).map_err(|error| fault(&error))?;
        print(farm, &cost, || {
            let table = toml::to_string(&cost).expect("a table of numbers is TOML");
            format!("[cost]\n{table}")
        });
        return Ok(Ending::Ok);
    }
    let mut runs = Vec::new();
    for seed in args.seed..=last {
        let baselines = args.baseline.iter().map(|b| Some(rule(*b)));
        for order in std::iter::once(None).chain(baselines) {
            let timed = match timed(&scenario, seed, order) {
                Ok(timed) => timed,
                Err(error @ SimError::Violation(_)) => {
                    say!("rushes: {error}");
                    return Ok(Ending::JobFailed);
                }
                Err(error) => return Err(fault(&error)),
            };
            if farm.output == Output::Text {
                put(timed.text().as_bytes());
            }
            runs.push(timed);
        }
    }
    if farm.output == Output::Json {
        print(farm, &runs, String::new);
    }
    let empty: Vec<String> = runs
        .iter()
        .filter(|run| run.report.farm.uploads == 0)
        .map(|run| run.report.seed.to_string())
        .collect();
    if empty.is_empty() {
        return Ok(Ending::Ok);
    }
    Err(Fault::Usage(format!(
        "{}: no upload came with seed {}, so these runs say nothing; let more come ([arrivals]) or for longer (hours)",
        args.scenario.display(),
        empty.join(", ")
    )))
}

fn timed(
    scenario: &Scenario,
    seed: u64,
    order: Option<(&'static str, OrderRule)>,
) -> Result<Timed, SimError> {
    let began = Instant::now();
    let report = match order {
        None => rushes_sim::run(scenario, seed)?,
        Some((_, rule)) => rushes_sim::run_by(scenario, seed, rule)?,
    };
    let run_s = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let engine_events_per_s = report.farm.engine_events as f64 / run_s.max(f64::MIN_POSITIVE);
    Ok(Timed { order: order.map_or(OWN, |(name, _)| name), report, run_s, engine_events_per_s })
}

fn fault(error: &SimError) -> Fault {
    match error {
        SimError::Scenario(error) => Fault::Usage(error.to_string()),
        SimError::Violation(violation) => Fault::Local(violation.to_string()),
    }
}
