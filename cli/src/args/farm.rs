//! `rushes worker|tenant|limit …` on the command line.

use clap::{Args, Subcommand};
use rushes_shared::job::Class;

use super::value::{class, limit, tenant};

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// Lists workers.
    #[command(
        after_help = "Examples:\n  rushes worker list\n  rushes worker list --state quarantined\n  rushes worker list --tag gpu --codec hevc --output json"
    )]
    List(WorkerFilter),
    /// Gives a worker no new tasks; what runs there ends in peace.
    #[command(after_help = "Example:\n  rushes worker drain node-7")]
    Drain {
        /// The worker's id or name.
        worker: String,
    },
    /// Gives a drained worker tasks again.
    #[command(after_help = "Example:\n  rushes worker resume node-7")]
    Resume {
        /// The worker's id or name.
        worker: String,
    },
    /// Removes a worker for good: its certificate is refused from now on, and what runs there goes to others.
    #[command(
        after_help = "Examples:\n  rushes worker remove node-7\n  rushes worker drain node-7    to let its tasks end first\n\nNeeds a token with the role admin. The machine can come back with a new join token, as another worker."
    )]
    Remove {
        /// The worker's id or name.
        worker: String,
    },
}

/// Which workers `rushes worker list` shows.
#[derive(Debug, Args)]
pub(crate) struct WorkerFilter {
    /// Only workers in this state: connected, draining, quarantined, silent or gone.
    #[arg(long, value_parser = ["connected", "draining", "quarantined", "silent", "gone"], value_name = "STATE")]
    state: Option<String>,
    /// Only workers with this tag; may be repeated, then all must match.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only workers with this name.
    #[arg(long)]
    name: Option<String>,
    /// Only workers that can encode this codec, such as h264.
    #[arg(long, value_name = "CODEC")]
    codec: Option<String>,
}

impl WorkerFilter {
    /// As the farm is asked.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let single = [("state", &self.state), ("name", &self.name), ("codec", &self.codec)];
        let single = single.into_iter().filter_map(|(key, value)| Some((key, value.clone()?)));
        single.chain(self.tags.iter().map(|tag| ("tag", tag.clone()))).collect()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Lists tenants with their limits and what they have.
    #[command(after_help = "Examples:\n  rushes tenant list\n  rushes tenant list studio trial")]
    List {
        /// Only these.
        #[arg(value_name = "TENANT")]
        names: Vec<String>,
    },
    /// Sets limits of a tenant; those that are not named stay as they are.
    #[command(
        after_help = "Examples:\n  rushes tenant set studio --weight 300 --max-running 40\n  rushes tenant set trial --max-class standard --max-jobs 10\n\nNeeds a token with the role admin. They hold at once and survive a restart."
    )]
    Set(TenantArgs),
    /// Gives a tenant the limits of every tenant again, which the configuration has.
    #[command(after_help = "Example:\n  rushes tenant reset trial\n\nNeeds a token with the role admin.")]
    Reset {
        /// The tenant.
        #[arg(value_parser = tenant)]
        tenant: String,
    },
}

/// `rushes tenant set`.
#[derive(Debug, Args)]
pub(crate) struct TenantArgs {
    /// The tenant.
    #[arg(value_parser = tenant)]
    pub(crate) tenant: String,
    /// Its share of a class beside other tenants' weights, 1 to 1000; the configuration's default is 100.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    pub(crate) weight: Option<u32>,
    /// Most tasks that run at once.
    #[arg(long, value_name = "N")]
    pub(crate) max_running: Option<u32>,
    /// Most jobs that have not ended.
    #[arg(long, value_name = "N")]
    pub(crate) max_jobs: Option<u64>,
    /// The highest class that it may ask for.
    #[arg(long, value_parser = class, value_name = "CLASS")]
    pub(crate) max_class: Option<Class>,
    /// The highest priority that it may ask for.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100), value_name = "N")]
    pub(crate) max_priority: Option<u8>,
    /// Most jobs with a deadline that have not ended.
    #[arg(long, value_name = "N")]
    pub(crate) max_deadline_jobs: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LimitCommand {
    /// Lists named limits and how much of them is held.
    #[command(after_help = "Examples:\n  rushes limit list\n  rushes limit list nuke")]
    List {
        /// Only these.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Lets at most so many be held at once, such as the licences of a program; jobs name what they hold.
    #[command(
        after_help = "Examples:\n  rushes limit set nuke 4\n  rushes limit set nuke 0     to let none start\n\nNeeds a token with the role operator. It holds at once and survives a restart."
    )]
    Set {
        /// The limit's name.
        #[arg(value_parser = limit)]
        name: String,
        /// How many.
        most: u32,
    },
    /// Takes a named limit away.
    #[command(after_help = "Example:\n  rushes limit remove nuke\n\nNeeds a token with the role operator.")]
    Remove {
        /// The limit's name.
        #[arg(value_parser = limit)]
        name: String,
    },
}
