//! Trials: task processes that put up their walls and do nothing. They come from a nursery without GStreamer.

use std::io::{BufRead, BufReader};

use rushes_shared::id::Epoch;
use rushes_shared::task::{TaskOutcome, TaskValue, TaskWork};
use rustix::process::{Pid, Signal, kill_process};

use crate::fake::{Farm, Link, is_alive, order, until};

/// Runs a trial to its end and says what it used in memory at most.
async fn trial(link: &Link, counter: u64) -> u64 {
    match link.start(order(Epoch(1), counter, TaskWork::Trial)).await.outcome().await {
        TaskOutcome::Succeeded { value: TaskValue::Nothing, usage } => usage.max_rss_bytes,
        other => panic!("a trial succeeds: {other:?}"),
    }
}

/// Task processes whose nursery has loaded nothing, with that nursery.
fn plain(farm: &Farm) -> Vec<(i32, i32)> {
    let parent = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<i32>().ok()
    };
    let is_plain = |nursery: &i32| {
        let words = std::fs::read(format!("/proc/{nursery}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == b"--plain")
    };
    let processes = farm.task_processes();
    processes.into_iter().filter_map(|pid| Some((pid, parent(&pid).filter(is_plain)?))).collect()
}

#[tokio::test]
async fn a_trial_runs_within_walls_in_a_process_without_gstreamer() {
    let farm = Farm::new();
    let mut worker = farm.worker_with_log(&["pool.warm=1", "log.level=info,rushes_worker::attempt=debug"]);
    let log = BufReader::new(worker.child.stderr.take().expect("it is a pipe"));
    let link = farm.welcome().await;
    assert!(plain(&farm).is_empty(), "none is made before a task needs one");
    for counter in 1..=3 {
        assert!(trial(&link, counter).await > 0, "a process was there");
    }
    until("another one is ready", || plain(&farm).len() == 1).await;
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", plain(&farm)[0].0)).expect("it lives");
    assert!(!maps.contains("/gstreamer-1.0/libgst"), "no plugin is loaded: {maps}");
    assert_eq!(farm.attempts_on_disk(), 0);

    kill_process(worker.pid(), Signal::KILL).expect("it lives");
    let lines: Vec<String> = log.lines().map_while(Result::ok).collect();
    let walls: Vec<&String> = lines.iter().filter(|line| line.contains("is contained")).collect();
    assert_eq!(walls.len(), 3, "{lines:?}");
    for wall in ["landlock", "seccomp", "rlimits", "no-capabilities"] {
        assert!(walls.iter().all(|line| line.contains(wall)), "{walls:?}");
    }
}

#[tokio::test]
async fn the_next_trial_gets_a_new_nursery_where_that_was_killed() {
    let farm = Farm::new();
    let _worker = farm.worker(&["pool.warm=1"]);
    let link = farm.welcome().await;
    trial(&link, 1).await;
    until("one is ready", || !plain(&farm).is_empty()).await;
    let (process, nursery) = plain(&farm)[0];
    kill_process(Pid::from_raw(nursery).expect("a pid"), Signal::KILL).expect("it lives");
    until("its process is gone", || !is_alive(process)).await;
    trial(&link, 2).await;
    until("one is ready again", || plain(&farm).iter().any(|(_, other)| *other != nursery)).await;
}
