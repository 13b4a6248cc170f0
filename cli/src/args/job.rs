//! `rushes job …` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rushes_shared::job::{Class, JobState};

use super::value::{at_least_one, class, pair, state};

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Submits a job file (TOML or JSON).
    #[command(
        after_help = "Examples:\n  rushes job submit job.toml\n  rushes job submit job.toml --wait --set priority=80 --set outputs.0.video.crf=20\n  echo 'kind = \"noop\"' | rushes job submit -\n\n'rushes job schema' prints what a job file may hold."
    )]
    Submit {
        /// The job file; `-` reads standard input.
        file: PathBuf,
        /// Follows the job to its end; the exit code says how it ended.
        #[arg(long)]
        wait: bool,
        /// Sets a field of the job, such as priority=80 or outputs.0.video.crf=20; may be repeated.
        #[arg(long = "set", value_parser = pair, value_name = "FIELD=VALUE")]
        set: Vec<(String, String)>,
        /// Only says when the job should be done and whether its deadline can be kept; submits nothing.
        #[arg(long, conflicts_with = "wait")]
        dry_run: bool,
        /// Makes a repeated submit the same submit. Default: a random key, which covers retries of this command.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Lists jobs, newest first.
    #[command(
        after_help = "Examples:\n  rushes job list --state failed\n  rushes job list --label project=x --limit 200 --output json"
    )]
    List {
        /// Only jobs in this state: queued, running, succeeded, failed or canceled.
        #[arg(long, value_parser = state, value_name = "STATE")]
        state: Option<JobState>,
        /// Only jobs with this label, KEY=VALUE; may be repeated.
        #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE")]
        labels: Vec<(String, String)>,
        /// Only jobs with this name.
        #[arg(long)]
        name: Option<String>,
        /// Only jobs of this class: bulk, standard, premium or emergency.
        #[arg(long, value_parser = class, value_name = "CLASS")]
        class: Option<Class>,
        /// Only jobs of this tenant, among those that the token may see.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// How many.
        #[arg(long, short = 'n', default_value_t = 20, value_parser = at_least_one, value_name = "N")]
        limit: usize,
    },
    /// Fetches what a job has made so far and the depot keeps.
    #[command(
        after_help = "Examples:\n  rushes job fetch last -o out/\n\nWhile the job goes on, what is ready; once more brings what has come since. Of a streaming set, all files; the directory appears whole, and must not be there or be empty."
    )]
    Fetch {
        /// The job, or 'last'.
        job: String,
        /// The directory that the files go to.
        #[arg(long, short, value_name = "DIR")]
        out: PathBuf,
    },
    /// Prints what a job that probes many files has found so far, file by file; as JSON, a line for each.
    #[command(
        after_help = "Examples:\n  rushes job facts last\n  rushes job facts JOB --failed\n  rushes job facts JOB --output json | jq -r .facts.container"
    )]
    Facts {
        /// The job's id, or `last` for the newest.
        job: String,
        /// Only files that could not be read.
        #[arg(long)]
        failed: bool,
    },
    /// Shows a job with its tasks and outputs.
    #[command(
        after_help = "Examples:\n  rushes job show last\n  rushes job show JOB --output json | jq .outputs"
    )]
    Show {
        /// The job's id, or `last` for the newest.
        job: String,
    },
    /// Follows jobs to their ends; the exit code says how they ended.
    #[command(after_help = "Examples:\n  rushes job wait last\n  rushes job wait JOB1 JOB2 --timeout 600")]
    Wait {
        /// Job ids, or `last` for the newest.
        #[arg(required = true)]
        jobs: Vec<String>,
        /// Gives up after this many seconds, with exit code 130; the jobs go on.
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
    },
    /// Cancels jobs.
    #[command(after_help = "Examples:\n  rushes job cancel last")]
    Cancel {
        /// Job ids, or `last` for the newest.
        #[arg(required = true)]
        jobs: Vec<String>,
    },
    /// Changes jobs that have not ended; the order follows at once.
    #[command(
        after_help = "Examples:\n  rushes job set last --priority 90\n  rushes job set JOB --class premium --deadline +2h\n  rushes job set JOB --deadline none --label show="
    )]
    Set(SetArgs),
    /// Starts nothing more of jobs until they are resumed; what runs goes on.
    #[command(after_help = "Examples:\n  rushes job pause JOB1 JOB2")]
    Pause {
        /// Job ids, or `last` for the newest.
        #[arg(required = true)]
        jobs: Vec<String>,
    },
    /// Lets paused jobs go on.
    #[command(after_help = "Example:\n  rushes job resume JOB1 JOB2")]
    Resume {
        /// Job ids, or `last` for the newest.
        #[arg(required = true)]
        jobs: Vec<String>,
    },
    /// Submits jobs that have ended once more, as new jobs.
    #[command(after_help = "Examples:\n  rushes job retry last")]
    Retry {
        /// Job ids, or `last` for the newest.
        #[arg(required = true)]
        jobs: Vec<String>,
    },
    /// Says what a job or a task waits for, its place, when it should start and be done, and why it runs where it does.
    #[command(after_help = "Examples:\n  rushes job explain last\n  rushes job explain JOB --task 2")]
    Explain {
        /// The job's id, or `last` for the newest.
        job: String,
        /// Only this task, by its number in `rushes job show`.
        #[arg(long, value_name = "N")]
        task: Option<u32>,
    },
    /// Prints what a job's task processes wrote: warnings of decoders, errors, what a render program says.
    #[command(
        after_help = "Examples:\n  rushes job logs last\n  rushes job logs JOB --task 2\n  rushes job logs JOB --follow"
    )]
    Logs {
        /// The job's id, or `last` for the newest.
        job: String,
        /// Only of this task, by its number in `rushes job show`.
        #[arg(long, value_name = "N")]
        task: Option<u32>,
        /// Last bytes of each attempt's log.
        #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u64).range(1..=1_048_576), value_name = "BYTES")]
        tail: u64,
        /// Goes on printing until the job has ended.
        #[arg(long, short = 'f', conflicts_with = "tail")]
        follow: bool,
    },
    /// Prints news as it happens, of one job or of all.
    #[command(
        after_help = "Examples:\n  rushes job events last\n  rushes job events --type job_ended --type worker_gone\n  rushes job events --output json | jq -r .type"
    )]
    Events {
        /// The job's id, or `last` for the newest; all jobs without one.
        job: Option<String>,
        /// Only events of this type, such as job_ended; may be repeated for several.
        #[arg(long = "type", value_name = "TYPE", conflicts_with = "job")]
        types: Vec<String>,
    },
    /// Prints the JSON Schema of a job file.
    #[command(after_help = "Example:\n  rushes job schema > job.schema.json")]
    Schema,
}

/// `rushes job set`.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Job ids, or `last` for the newest.
    #[arg(required = true)]
    pub(crate) jobs: Vec<String>,
    /// Another class: bulk, standard, premium or emergency.
    #[arg(long, value_parser = class, value_name = "CLASS")]
    pub(crate) class: Option<Class>,
    /// Another priority; higher is sooner.
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..=100), value_name = "N")]
    pub(crate) priority: Option<i64>,
    /// Another deadline: a time, a span from now such as +2h, or none.
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub(crate) deadline: Option<String>,
    /// A label to set, KEY=VALUE; KEY= removes it; may be repeated.
    #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<(String, String)>,
}
