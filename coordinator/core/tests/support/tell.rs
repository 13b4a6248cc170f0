//! Commands in short words, as tables expect them: jobs are `j1`, tasks `j1.0`, attempts `#epoch-counter`, workers
//! single letters.

use rushes_core::event::{Command, FarmNews, Reply};
use rushes_shared::artifact::Location;
use rushes_shared::id::{AttemptId, JobId, TaskId, WorkerId};

pub(crate) fn worker(name: char) -> WorkerId {
    WorkerId(u128::from(u32::from(name)))
}

fn letter(id: WorkerId) -> char {
    u32::try_from(id.0).ok().and_then(char::from_u32).unwrap_or('?')
}

/// `"1.0"` is the first task of the first job.
pub(crate) fn task(text: &str) -> TaskId {
    let (job, index) = text.split_once('.').expect("JOB.INDEX");
    TaskId { job: JobId(job.parse().expect("a number")), index: index.parse().expect("a number") }
}

fn t(task: TaskId) -> String {
    format!("j{}.{}", task.job.0, task.index)
}

fn list(attempts: &[AttemptId]) -> String {
    attempts.iter().map(|a| format!(" #{a}")).collect()
}

/// What a user, a worker or the depot sees of a command; `None` for what only fills event streams.
pub(crate) fn line(command: &Command) -> Option<String> {
    Some(match command {
        Command::Answer { reply, .. } => match reply {
            Reply::Accepted { job, created: true, .. } => format!("accepted j{}", job.0),
            Reply::Accepted { job, created: false, .. } => format!("accepted before as j{}", job.0),
            Reply::Canceled { job } => format!("canceled j{}", job.0),
            Reply::Drained { worker, draining: true } => format!("drained {}", letter(*worker)),
            Reply::Drained { worker, draining: false } => format!("resumed {}", letter(*worker)),
            Reply::Amended { job } => format!("amended j{}", job.0),
            Reply::Forecast(forecast) => match forecast.can_keep {
                Some(true) => "can be kept".to_owned(),
                Some(false) => "cannot be kept".to_owned(),
                None => "nothing promised".to_owned(),
            },
            Reply::LimitsSet => "limits set".to_owned(),
            Reply::Refused(refusal) => {
                let name = format!("{refusal:?}");
                let end = name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
                format!("refused {}", &name[..end])
            }
        },
        Command::Welcome { worker, give_up, .. } if give_up.is_empty() => {
            format!("welcome {}", letter(*worker))
        }
        Command::Welcome { worker, give_up, .. } => {
            format!("welcome {}, give up{}", letter(*worker), list(give_up))
        }
        Command::StartTask { worker, order, .. } => {
            format!("start {} #{} on {}", t(order.task), order.attempt, letter(*worker))
        }
        Command::AttachTask { worker, task, attempt, .. } => {
            format!("attach {} #{attempt} on {}", t(*task), letter(*worker))
        }
        Command::CancelTask { worker, attempt } => format!("cancel #{attempt} on {}", letter(*worker)),
        Command::RecallTask { worker, attempt } => format!("recall #{attempt} on {}", letter(*worker)),
        Command::CollectOutcome { worker, attempt } => format!("collect #{attempt} on {}", letter(*worker)),
        Command::CloseLink { worker, .. } => format!("close {}", letter(*worker)),
        Command::TellDraining { worker, draining, .. } => {
            format!("tell {} {}", letter(*worker), if *draining { "drain" } else { "resume" })
        }
        Command::Publish { job, output, from, .. } => {
            let Location::Staged(attempt, _) = &from.location else { panic!("{from:?} is not staged") };
            format!("publish j{}/{output} from #{attempt}", job.0)
        }
        Command::DropStaged { attempts } => format!("drop{}", list(attempts)),
        Command::FindStaged { .. } => return None,
        Command::Notify(event) => return news(event.job, &event.what),
    })
}

fn news(job: Option<JobId>, what: &FarmNews) -> Option<String> {
    match what {
        FarmNews::JobEnded { state, failure, .. } => {
            let cause = failure.as_ref().map(|f| format!(": {}", f.code.as_str())).unwrap_or_default();
            Some(format!("j{} {}{cause}", job.map_or(0, |j| j.0), state.as_str()))
        }
        FarmNews::AttemptFailed { task, worker, failure, retry_ms, .. } => {
            let next = if retry_ms.is_some() { "again later" } else { "given up" };
            Some(format!("{} failed on {}: {}, {next}", t(*task), letter(*worker), failure.code.as_str()))
        }
        FarmNews::WorkerGone { worker, lost } => {
            Some(format!("{} {}", letter(*worker), if *lost { "lost" } else { "gone" }))
        }
        _ => None,
    }
}
