//! Why a job or a task is where it is, in words.

use rushes_shared::view::{
    ExplainView, FailureView, PlacedView, SentAheadView, StartView, TaskExplainView, WaitView,
};

use super::handles::forecast;
use super::{print, select, traded};
use crate::args::FarmArgs;
use crate::client::Client;
use crate::fault::{Ending, Fault};
use crate::table::{Cell, colours, table};
use crate::words;

/// `rushes job explain`.
pub(super) fn explain(
    farm: &FarmArgs,
    client: &Client,
    selector: &str,
    task: Option<u32>,
) -> Result<Ending, Fault> {
    let job = select(client, selector)?;
    match task {
        None => {
            let it = client.explain(job)?;
            print(farm, &it, || explained(&it));
        }
        Some(task) => {
            let it = client.explain_task(job, task)?;
            print(farm, &it, || explained_task(&it));
        }
    }
    Ok(Ending::Ok)
}

fn explained(it: &ExplainView) -> String {
    let mut text = format!(
        "{} {}, {}, priority {}\n{}{}\n{}{}",
        it.id,
        it.state.as_str(),
        it.class.as_str(),
        it.priority,
        standing(&it.standing),
        ahead(it),
        starts(it.start.as_ref()),
        forecast(&it.forecast)
    );
    if let Some(since) = &it.late_since {
        let why = traded::why_late(it.late_reason.as_deref(), it.yields_to);
        text.push_str(&format!("its deadline is given up since {}{why}\n", words::time(since)));
    }
    text.push_str(&waits(&it.waits));
    text.push_str(&sent_ahead(&it.sent_ahead));
    text.push_str(&running(&it.running));
    for trade in &it.trades {
        text.push_str(&format!("\n{}", traded::told(trade)));
    }
    for stage in &it.fell_back {
        text.push_str(&format!("\nstage {stage} is encoded in software, because a hardware encoder failed"));
    }
    if let Some(why) = &it.held_up {
        text.push_str(&format!("\n{}; {}", why.message, why.advice));
    }
    if !(it.trades.is_empty() && it.fell_back.is_empty() && it.held_up.is_none()) {
        text.push('\n');
    }
    text
}

fn standing(name: &str) -> &'static str {
    match name {
        "emergency" => "in the emergency lane",
        "at_risk" => "ahead of the classes, because its deadline is near",
        "in_class" => "in its tenant's line within its class",
        "beyond_width" => "behind all who want slots, because it runs as many tasks as its share allows",
        "paused" => "paused",
        "held_back" => "held back, because its latest attempts have all failed: one task is tried at a time",
        "plain" => "in line",
        _ => "nothing of it waits for a start",
    }
}

fn ahead(it: &ExplainView) -> String {
    let work = match it.ahead_ms {
        Some(ms) if ms > 0 => format!(", which all workers together need {} for", words::duration(ms)),
        _ => String::new(),
    };
    match (it.standing.as_str(), it.ahead) {
        ("not_queued" | "paused" | "held_back", _) => String::new(),
        (_, 0) => ", first of all who want such room".to_owned(),
        (_, 1) => format!(", 1 job ahead of it{work}"),
        (_, n) => format!(", {n} jobs ahead of it{work}"),
    }
}

fn starts(start: Option<&StartView>) -> String {
    start.map_or_else(String::new, |start| {
        format!("what waits should start by {}, {}\n", words::time(&start.at), start.detail)
    })
}

fn waits(waits: &[WaitView]) -> String {
    if waits.is_empty() {
        return String::new();
    }
    let row = |w: &WaitView| -> Vec<Cell> {
        vec![
            stage_named(w.stage, &w.name).into(),
            w.slot.as_str().into(),
            w.tasks.to_string().into(),
            expected(w.start.as_ref()).into(),
            w.detail.clone().into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = waits.iter().map(row).collect();
    let head = ["STAGE", "SLOT", "WAITING", "EXPECTED START (UTC)", "BECAUSE"];
    format!("\n{}", table(&head, &rows, colours()))
}

fn stage_named(number: u32, name: &str) -> String {
    format!("{number} {name}").trim_end().to_owned()
}

fn sent_ahead(sent: &[SentAheadView]) -> String {
    if sent.is_empty() {
        return String::new();
    }
    let row = |s: &SentAheadView| -> Vec<Cell> {
        let back = if s.recalled { ", asked back" } else { "" };
        vec![
            format!("{}{back}", s.task.index).into(),
            s.worker.to_string().into(),
            s.before.to_string().into(),
            expected(s.start.as_ref()).into(),
            s.because.clone().into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = sent.iter().map(row).collect();
    let head = ["SENT AHEAD", "WORKER", "BEFORE IT", "EXPECTED START (UTC)", "WHY THERE"];
    format!("\n{}", table(&head, &rows, colours()))
}

fn running(running: &[PlacedView]) -> String {
    if running.is_empty() {
        return String::new();
    }
    let row = |r: &PlacedView| -> Vec<Cell> {
        let end = r.expected_end.as_deref().map(words::time).unwrap_or_default();
        let by = r.hardware.as_deref().map(|element| format!(" by {element}")).unwrap_or_default();
        vec![
            format!("{}{by}", r.task.index).into(),
            r.worker.to_string().into(),
            end.into(),
            r.because.clone().into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = running.iter().map(row).collect();
    let head = ["RUNNING", "WORKER", "EXPECTED END (UTC)", "WHY THERE"];
    format!("\n{}", table(&head, &rows, colours()))
}

fn expected(start: Option<&StartView>) -> String {
    start.map_or_else(|| "-".to_owned(), |start| words::time(&start.at))
}

fn explained_task(it: &TaskExplainView) -> String {
    let stage = stage_named(it.stage, &it.name);
    let mut text = format!("{} {}, stage {stage}, {} slot\n", it.id, it.kind.as_str(), it.slot.as_str());
    text.push_str(&match (it.place.as_str(), it.done_on, it.done_at.as_deref()) {
        ("waits", ..) => waiting(it),
        ("done", Some(worker), Some(at)) => format!("done by {worker} at {}\n", words::time(at)),
        ("given_up", ..) => "given up\n".to_owned(),
        ("left_out", ..) => "its stage is left out of the job\n".to_owned(),
        _ => String::new(),
    });
    text.push_str(
        &it.sent_ahead.as_ref().map(|sent| sent_ahead(std::slice::from_ref(sent))).unwrap_or_default(),
    );
    text.push_str(&running(&it.running));
    if let Some(FailureView { message, advice, .. }) = &it.last_failure {
        let times = words::count(u64::from(it.failures), "attempt");
        text.push_str(&format!("\n{times} failed, the latest: {message}; {advice}\n"));
    }
    for worker in &it.avoids {
        text.push_str(&format!("avoids {worker}, on which it failed\n"));
    }
    for trade in &it.trades {
        text.push_str(&format!("{}\n", traded::told(trade)));
    }
    text
}

fn waiting(it: &TaskExplainView) -> String {
    let before = match it.before {
        0 => String::new(),
        n => format!("; {} of its stage before it", words::count(u64::from(n), "task")),
    };
    format!(
        "waits: {}{before}\nits job is {}, with {} ahead\n{}",
        it.detail.as_deref().unwrap_or_default(),
        standing(&it.standing),
        words::count(it.ahead, "job"),
        starts(it.start.as_ref())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(more: &str) -> String {
        let view = format!(
            r#"{{"id":"job_00000000000000000000000001","state":"queued","class":"standard","priority":50,"ahead":3,
            "ahead_ms":90000,"forecast":{{}},"running":[],"trades":[],"waits":[{{"stage":0,"slot":"encode","tasks":4,
            "reason":"turn","detail":"others are ahead","start":{{"at":"2026-01-01T10:00:00.000Z","assumes":"queue",
            "detail":"if all goes well"}}}}]{more}}}"#
        );
        explained(&serde_json::from_str(&view).expect("a view"))
    }

    #[test]
    fn it_says_the_place_the_work_ahead_and_when_it_should_start_and_if_what() {
        let start =
            r#","start":{"at":"2026-01-01T10:00:00.000Z","assumes":"queue","detail":"if all goes well"}"#;
        let text = job(&format!(r#","standing":"in_class"{start}"#));
        assert!(text.contains("3 jobs ahead of it, which all workers together need 1:30 for"), "{text}");
        assert!(text.contains("should start by 2026-01-01 10:00:00, if all goes well"), "{text}");
        assert!(text.contains("EXPECTED START") && text.contains("others are ahead"), "{text}");
        let text = job(r#","standing":"paused""#);
        assert!(
            text.contains("paused\n") && !text.contains("ahead of it") && !text.contains("should start"),
            "{text}"
        );
    }

    #[test]
    fn what_a_worker_holds_ahead_is_named_with_the_worker() {
        let text = job(
            r#","standing":"not_queued","sent_ahead":[{"task":"job_00000000000000000000000001.7","attempt":"1-2",
            "worker":"wrk_00000000000000000000000003","because":"soonest","before":2,"recalled":true}]"#,
        );
        assert!(text.contains("SENT AHEAD") && text.contains("7, asked back"), "{text}");
        assert!(text.contains("wrk_00000000000000000000000003"), "{text}");
    }

    #[test]
    fn a_task_says_where_it_is() {
        let of = |more: &str| {
            let view = format!(
                r#"{{"id":"job_00000000000000000000000001.2","kind":"encode","slot":"encode","stage":1,
                "standing":"in_class","ahead":1,"before":2,"failures":0{more}}}"#
            );
            explained_task(&serde_json::from_str(&view).expect("a view"))
        };
        let text = of(r#","place":"waits","reason":"turn","detail":"others are ahead""#);
        assert!(text.contains("waits: others are ahead; 2 tasks of its stage before it"), "{text}");
        assert!(text.contains("with 1 job ahead"), "{text}");
        let text = of(
            r#","place":"done","done_on":"wrk_00000000000000000000000003","done_at":"2026-01-01T10:00:00.000Z""#,
        );
        assert!(text.contains("done by wrk_00000000000000000000000003 at 2026-01-01 10:00:00"), "{text}");
    }
}
