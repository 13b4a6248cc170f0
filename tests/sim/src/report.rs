//! What a run came to: a table for people, values for programs.

use std::fmt::Write as _;

use serde::Serialize;

use rushes_shared::job::Class;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// The same seed gives the same run.
    pub seed: u64,
    /// A hash over all that happened: equal for equal runs.
    pub trace: String,
    /// The farm as a whole.
    pub farm: Farm,
    /// Each class that came, lowest first.
    pub classes: Vec<ClassReport>,
    /// Each upload, in the order of arrival; not in the JSON, which would be as long as the scenario.
    #[serde(skip)]
    pub jobs: Vec<JobLine>,
}

/// One upload.
#[derive(Debug, Clone, PartialEq)]
pub struct JobLine {
    /// Its class.
    pub class: Class,
    /// When it came, in seconds from the start.
    pub at_s: f64,
    /// Core time that it truly takes on a node of speed 1, in seconds.
    pub true_core_s: f64,
    /// Its deadline, in seconds from the start.
    pub deadline_s: Option<f64>,
    /// Whether it was accepted.
    pub accepted: bool,
    /// When it succeeded, in seconds from the start.
    pub succeeded_s: Option<f64>,
}

/// The farm as a whole. Shares are 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Farm {
    /// Virtual time from the start until the last job had ended, in hours.
    pub hours: f64,
    /// Uploads that came.
    pub uploads: u64,
    /// Tasks of jobs that succeeded.
    pub tasks_done: u64,
    /// The same a second, until the last job's end.
    pub tasks_per_s: f64,
    /// Tasks that succeeded while uploads still came, a second.
    pub tasks_per_s_in_time: f64,
    /// Core time of attempts whose results were kept, in hours.
    pub core_hours_kept: f64,
    /// Of the core time that attempts took, the share of those whose results were kept.
    pub kept_share: f64,
    /// Time while tasks waited for cores, in hours.
    pub backlog_hours: f64,
    /// Of the core time that was there meanwhile, busy or not, the share that went into results that were kept.
    pub kept_share_of_backlog: f64,
    /// Of all core time, the share in use.
    pub cores_used: f64,
    /// Of all light places' time, the share in use.
    pub light_used: f64,
    /// Quality given up to keep promises, on average over the jobs that succeeded, in points: 0 is none.
    pub quality_given_up: f64,
    /// Attempts that were started.
    pub attempts: u64,
    /// Attempts that failed or were lost.
    pub failed_attempts: u64,
    /// Nodes that died.
    pub node_deaths: u64,
    /// Coordinators that died.
    pub coordinator_deaths: u64,
    /// Most tasks that were ready and waited.
    pub longest_queue: u64,
    /// Events that the engine handled.
    pub engine_events: u64,
    /// Of virtual time, the share in which the engine was busy.
    pub engine_used: f64,
    /// Most events that waited for the engine.
    pub longest_inbox: u64,
}

/// One class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassReport {
    /// Which.
    pub class: Class,
    /// Uploads that came.
    pub arrived: u64,
    /// Of them, accepted.
    pub accepted: u64,
    /// Of them, refused.
    pub refused: u64,
    /// Jobs that succeeded.
    pub succeeded: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that their owners stopped.
    pub canceled: u64,
    /// Half of the jobs that succeeded had done so within this time from their arrival, in seconds.
    pub median_s: f64,
    /// 95 % of them.
    pub p95_s: f64,
    /// Accepted jobs with a deadline.
    pub promised: u64,
    /// Of them, succeeded in time.
    pub met: u64,
    /// Mean time from ready to start, in seconds.
    pub mean_wait_s: f64,
    /// Longest such time.
    pub longest_wait_s: f64,
    /// Core time of results that were kept, in hours.
    pub core_hours: f64,
    /// The same of results that came while uploads still came, as a share of all the farm's core time in that period.
    pub capacity_share: f64,
    /// Jobs that succeeded while uploads still came.
    pub succeeded_in_time: u64,
}

/// The value below which this share of sorted values lies (nearest rank); 0 without values.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank is between 0 and the number of values"
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

impl Report {
    /// The table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let farm = &self.farm;
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let mut text = format!("{}, seed {}, trace {}\n", self.scenario, self.seed, self.trace);
        let mut line = |name: &str, value: String| {
            writeln!(text, "  {name:<28} {value}").expect("a string takes what is written to it");
        };
        line("virtual time", format!("{:.2} h", farm.hours));
        line("uploads, tasks done", format!("{}, {}", farm.uploads, farm.tasks_done));
        let (whole, busy) = (farm.tasks_per_s, farm.tasks_per_s_in_time);
        line("throughput", format!("{whole:.3} tasks/s, {busy:.3} while uploads came"));
        line("cores in use", percent(farm.cores_used));
        line("light places in use", percent(farm.light_used));
        line("core time on kept results", percent(farm.kept_share));
        if farm.backlog_hours > 0.0 {
            let kept = percent(farm.kept_share_of_backlog);
            line("the same of all, in backlog", format!("{kept} of {:.2} h", farm.backlog_hours));
        }
        line("longest queue", format!("{} tasks", farm.longest_queue));
        line("attempts, failed or lost", format!("{}, {}", farm.attempts, farm.failed_attempts));
        if farm.node_deaths + farm.coordinator_deaths > 0 {
            let deaths = format!("{}, {}", farm.node_deaths, farm.coordinator_deaths);
            line("deaths: nodes, coordinator", deaths);
        }
        if farm.quality_given_up > 0.0 {
            line("quality given up", format!("{:.2} points a job", farm.quality_given_up));
        }
        line("engine", format!("{} events, busy {:.3} %", farm.engine_events, farm.engine_used * 100.0));
        let head = ["class", "came", "refused", "ok", "failed", "median", "p95", "in time", "longest wait"];
        let cell = |row: [String; 9]| {
            let [class, rest @ ..] = row;
            rest.into_iter().fold(format!("  {class:<10}"), |line, cell| format!("{line} {cell:>12}")) + "\n"
        };
        text.push_str(&cell(head.map(str::to_owned)));
        for class in &self.classes {
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let met = match class.promised {
                0 => "-".to_owned(),
                promised => percent(class.met as f64 / promised as f64),
            };
            text.push_str(&cell([
                class.class.as_str().to_owned(),
                class.arrived.to_string(),
                class.refused.to_string(),
                class.succeeded.to_string(),
                (class.failed + class.canceled).to_string(),
                seconds(class.median_s),
                seconds(class.p95_s),
                met,
                seconds(class.longest_wait_s),
            ]));
        }
        text
    }
}

fn seconds(s: f64) -> String {
    if s < 600.0 { format!("{s:.1} s") } else { format!("{:.1} min", s / 60.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), 10.0);
        assert_eq!(quantile(&values, 0.95), 19.0);
        assert_eq!(quantile(&values, 1.0), 20.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
