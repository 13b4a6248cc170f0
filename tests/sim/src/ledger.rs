//! What is measured while a scenario runs.

use std::collections::BTreeMap;

use rushes_shared::id::AttemptId;
use rushes_shared::job::JobState;

use crate::agenda::At;
use crate::node::Room;
use crate::report::{ClassReport, Farm, JobLine, Report, quantile};
use crate::scenario::{EventKind, Scenario};
use crate::upload::{Fate, Upload};
use rushes_shared::job::Class;

/// What one class has come to.
#[derive(Debug, Default)]
struct Tally {
    arrived: u64,
    accepted: u64,
    refused: u64,
    promised: u64,
    met: u64,
    succeeded: u64,
    failed: u64,
    canceled: u64,
    completion_s: Vec<f64>,
    longest_wait_ms: u64,
    waited_ms: u64,
    starts: u64,
    core_ms: u64,
    core_ms_in_time: u64,
    succeeded_in_time: u64,
}

/// Core time of one attempt.
#[derive(Debug, Clone, Copy)]
struct Worked {
    core_ns: u128,
    /// Of it, while there was a backlog, in core-seconds.
    backlog_core_s: f64,
}

/// The measures of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    classes: BTreeMap<Class, Tally>,
    events: u64,
    engine_busy: At,
    by_kind: BTreeMap<EventKind, u64>,
    longest_inbox: usize,
    node_deaths: u64,
    coordinator_deaths: u64,
    failed_attempts: u64,
    /// Successes whose record is not on the disk yet.
    unjudged: BTreeMap<AttemptId, Worked>,
    kept: (u128, f64),
    wasted: (u128, f64),
    /// Millicores and light places in use now, and their integral.
    busy: [u64; 2],
    busy_area: [u128; 2],
    busy_at: At,
    /// What was there at the last look, whether heavy work waited then, and the integrals.
    room: [u64; 2],
    has_backlog: bool,
    looked_at: At,
    room_area: [u128; 2],
    backlog: At,
    backlog_room_s: f64,
    /// Tasks of accepted jobs that wait for no others and have not succeeded, and of them those that nodes hold: light
    /// ones, heavy ones.
    runnable: [u64; 2],
    held: [u64; 2],
    given_up: u64,
    longest_queue: u64,
    tasks_in_time: u64,
    attempts: u64,
    last_end: At,
}

impl Ledger {
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn served(&mut self, kind: EventKind, cost: At) {
        self.events += 1;
        self.engine_busy = self.engine_busy.plus(cost);
        *self.by_kind.entry(kind).or_default() += 1;
    }

    pub(crate) fn inbox(&mut self, length: usize) {
        self.longest_inbox = self.longest_inbox.max(length);
    }

    pub(crate) fn node_died(&mut self) {
        self.node_deaths += 1;
    }

    pub(crate) fn coordinator_died(&mut self) {
        self.coordinator_deaths += 1;
    }

    /// Quality given up by a job that ended, in tenths of a point.
    pub(crate) fn gave_up(&mut self, loss: u64) {
        self.given_up += loss;
    }

    pub(crate) fn attempt_failed(&mut self) {
        self.failed_attempts += 1;
    }

    fn tally(&mut self, class: Class) -> &mut Tally {
        self.classes.entry(class).or_default()
    }

    pub(crate) fn arrived(&mut self, class: Class) {
        self.tally(class).arrived += 1;
    }

    pub(crate) fn accepted(&mut self, class: Class, is_promised: bool) {
        let tally = self.tally(class);
        tally.accepted += 1;
        tally.promised += u64::from(is_promised);
    }

    pub(crate) fn refused(&mut self, class: Class) {
        self.tally(class).refused += 1;
    }

    pub(crate) fn ended(&mut self, upload: &Upload, state: JobState, now: At, in_time: bool) {
        self.last_end = now;
        let tally = self.tally(upload.class);
        match state {
            JobState::Succeeded => {
                tally.succeeded += 1;
                tally.succeeded_in_time += u64::from(in_time);
                tally.completion_s.push(now.since(upload.at).s());
                let in_time = upload.deadline.is_some_and(|deadline| now <= deadline);
                tally.met += u64::from(upload.is_promised && in_time);
            }
            JobState::Canceled => tally.canceled += 1,
            _ => tally.failed += 1,
        }
    }

    pub(crate) fn waited(&mut self, class: Class, ms: u64) {
        self.attempts += 1;
        let tally = self.tally(class);
        tally.longest_wait_ms = tally.longest_wait_ms.max(ms);
        tally.waited_ms += ms;
        tally.starts += 1;
    }

    /// Room is taken or given back.
    pub(crate) fn busy_changes(&mut self, now: At, room: Room, taken: bool) {
        let lasted = u128::from(now.since(self.busy_at).0);
        let change = [u64::from(room.cpu), u64::from(room.light)];
        for ((area, busy), change) in self.busy_area.iter_mut().zip(&mut self.busy).zip(change) {
            *area += u128::from(*busy) * lasted;
            if taken {
                *busy += change;
            } else {
                *busy -= change;
            }
        }
        self.busy_at = now;
    }

    /// An attempt has ended on its node.
    pub(crate) fn worked(
        &mut self,
        attempt: AttemptId,
        room: Room,
        since: At,
        now: At,
        backlog_s: f64,
        succeeded: bool,
    ) {
        let cores = f64::from(room.cpu) / 1000.0;
        let backlog_core_s = (self.backlog_s(now) - backlog_s) * cores;
        let core_ns = u128::from(now.since(since).0) * u128::from(room.cpu) / 1000;
        if succeeded {
            self.unjudged.insert(attempt, Worked { core_ns, backlog_core_s });
        } else {
            self.wasted.0 += core_ns;
            self.wasted.1 += backlog_core_s;
        }
    }

    /// The attempt's success is on the disk; `in_time` while uploads still come.
    pub(crate) fn kept(&mut self, attempt: AttemptId, class: Class, in_time: bool) {
        self.tasks_in_time += u64::from(in_time);
        if let Some(worked) = self.unjudged.remove(&attempt) {
            self.kept.0 += worked.core_ns;
            self.kept.1 += worked.backlog_core_s;
            let ms = u64::try_from(worked.core_ns / 1_000_000).unwrap_or(u64::MAX);
            let tally = self.tally(class);
            tally.core_ms += ms;
            tally.core_ms_in_time += if in_time { ms } else { 0 };
        }
    }

    /// Time for which heavy work has waited, in seconds.
    pub(crate) fn backlog_s(&self, now: At) -> f64 {
        let since = if self.has_backlog { now.since(self.looked_at).s() } else { 0.0 };
        self.backlog.s() + since
    }

    /// What could run changes.
    pub(crate) fn runnable_changes(&mut self, before: [u64; 2], after: [u64; 2]) {
        for ((now, before), after) in self.runnable.iter_mut().zip(before).zip(after) {
            *now = *now + after - before;
        }
    }

    /// A node takes an attempt, or lets go of it.
    pub(crate) fn held_changes(&mut self, room: Room, taken: bool) {
        let held = &mut self.held[usize::from(room.light == 0)];
        *held = if taken { *held + 1 } else { *held - 1 };
    }

    /// The farm's room, and whether anything waits for it. A task or two are always on their way to a free core.
    pub(crate) fn look(&mut self, now: At, room: [u64; 2]) {
        let waits = [0, 1].map(|side: usize| self.runnable[side].saturating_sub(self.held[side]));
        let lasted = now.since(self.looked_at);
        for (area, room) in self.room_area.iter_mut().zip(self.room) {
            *area += u128::from(room) * u128::from(lasted.0);
        }
        if self.has_backlog {
            self.backlog = self.backlog.plus(lasted);
            #[expect(clippy::cast_precision_loss, reason = "millicores of a farm fit exactly")]
            let cores = self.room[0] as f64 / 1000.0;
            self.backlog_room_s += lasted.s() * cores;
        }
        (self.room, self.has_backlog, self.looked_at) = (room, waits[1] > room[0] / 200_000, now);
        self.longest_queue = self.longest_queue.max(waits[0] + waits[1]);
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(crate) fn report(
        mut self,
        scenario: &Scenario,
        seed: u64,
        now: At,
        trace: u64,
        uploads: &[Upload],
    ) -> Report {
        self.busy_changes(now, Room::default(), true);
        self.look(now, [0, 0]);
        for worked in std::mem::take(&mut self.unjudged).into_values() {
            self.wasted.0 += worked.core_ns;
            self.wasted.1 += worked.backlog_core_s;
        }
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let hours = now.s() / 3600.0;
        let worked = (self.kept.0 + self.wasted.0) as f64;
        let used = |side: usize| share(self.busy_area[side] as f64, self.room_area[side] as f64);
        let done = |u: &&Upload| matches!(u.fate, Fate::Ended(JobState::Succeeded, _));
        let tasks: u64 = uploads.iter().filter(done).map(|u| u64::from(u.tasks())).sum();
        let succeeded = uploads.iter().filter(done).count();
        let farm = Farm {
            hours,
            uploads: uploads.len() as u64,
            tasks_done: tasks,
            tasks_per_s: share(tasks as f64, self.last_end.s()),
            tasks_per_s_in_time: self.tasks_in_time as f64 / (scenario.hours * 3600.0),
            core_hours_kept: self.kept.0 as f64 / 3.6e12,
            kept_share: share(self.kept.0 as f64, worked),
            backlog_hours: self.backlog.s() / 3600.0,
            kept_share_of_backlog: share(self.kept.1, self.backlog_room_s),
            cores_used: used(0),
            light_used: used(1),
            quality_given_up: share(self.given_up as f64 / 10.0, succeeded as f64),
            attempts: self.attempts,
            failed_attempts: self.failed_attempts,
            node_deaths: self.node_deaths,
            coordinator_deaths: self.coordinator_deaths,
            longest_queue: self.longest_queue,
            engine_events: self.events,
            engine_used: share(self.engine_busy.s(), now.s()),
            longest_inbox: self.longest_inbox as u64,
        };
        let core_ms = scenario.cores() * scenario.hours * 3.6e6;
        let classes = self.classes.into_iter().map(|(class, tally)| tally.report(class, core_ms)).collect();
        let jobs = uploads.iter().map(|upload| line(scenario, upload)).collect();
        Report { scenario: scenario.name.clone(), seed, trace: format!("{trace:016x}"), farm, classes, jobs }
    }
}

impl Tally {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn report(mut self, class: Class, core_ms_in_time: f64) -> ClassReport {
        self.completion_s.sort_by(f64::total_cmp);
        ClassReport {
            class,
            arrived: self.arrived,
            accepted: self.accepted,
            refused: self.refused,
            succeeded: self.succeeded,
            failed: self.failed,
            canceled: self.canceled,
            median_s: quantile(&self.completion_s, 0.5),
            p95_s: quantile(&self.completion_s, 0.95),
            promised: self.promised,
            met: self.met,
            mean_wait_s: self.waited_ms as f64 / 1000.0 / (self.starts.max(1)) as f64,
            longest_wait_s: self.longest_wait_ms as f64 / 1000.0,
            core_hours: self.core_ms as f64 / 3.6e6,
            capacity_share: self.core_ms_in_time as f64 / core_ms_in_time,
            succeeded_in_time: self.succeeded_in_time,
        }
    }
}

fn line(scenario: &Scenario, upload: &Upload) -> JobLine {
    let stages = scenario.content[upload.content].stage.iter().zip(&upload.stretches);
    let heavy = stages.filter(|(_, stretch)| !stretch.is_light);
    let true_ms = heavy.map(|(stage, stretch)| {
        let tasks = stretch.first..stretch.first + stretch.count;
        tasks.map(|index| upload.true_ms(&scenario.truth, index, None)).sum::<f64>() * stage.cores
    });
    JobLine {
        class: upload.class,
        at_s: upload.at.s(),
        true_core_s: true_ms.sum::<f64>() / 1000.0,
        deadline_s: upload.deadline.map(At::s),
        accepted: upload.fate != Fate::Refused,
        succeeded_s: match upload.fate {
            Fate::Ended(JobState::Succeeded, at) => Some(at.s()),
            _ => None,
        },
    }
}
