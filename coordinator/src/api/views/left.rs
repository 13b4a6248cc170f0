//! Time to the end of a job of several tasks.
//!
//! What tasks should take is known before any begins, but not how fast these nodes are with this film: so the predictions of
//! encodes are scaled by how long the job's own took against theirs.

use rushes_core::job::{JobDoc, LiveTask};
use rushes_shared::task::{Phase, TaskKind};

/// Thousandths of a task that must be over for its own pace to tell.
const TELLS_FROM: u16 = 100;
/// Part of a task that must be over for its own pace to tell all; before, what others took tells the rest.
const TRUSTED_FROM: f64 = 0.5;
/// Part of a task that is over once its encode is.
const NEARLY_THERE: f64 = 0.9;

/// Time from now to the end of what the job still has to do, in milliseconds; `None` before anything can be said.
pub(super) fn left_ms(doc: &JobDoc) -> Option<u64> {
    let is_encoded = doc.job.stages.iter().any(|stage| is_encode(stage.step.kind()));
    if doc.job.ended.is_some() || !is_encoded { None } else { left_of(&tasks(doc)) }
}

/// A task that is done, at work or to come.
#[derive(Debug, Clone, Copy)]
struct Known {
    kind: TaskKind,
    predicted_ms: f64,
    stands: Stands,
}

#[derive(Debug, Clone, Copy)]
enum Stands {
    /// It took so many milliseconds.
    Done(f64),
    /// So much of 1 is over, in so many milliseconds where its pace tells already; what it says itself of its end.
    AtWork {
        share: f64,
        ms: Option<f64>,
        eta_ms: Option<f64>,
    },
    Waits,
}

fn is_encode(kind: TaskKind) -> bool {
    matches!(kind, TaskKind::Encode | TaskKind::Chunk)
}

/// Such tasks begin when all others are done.
fn is_last(kind: TaskKind) -> bool {
    matches!(kind, TaskKind::Package | TaskKind::Join)
}

fn tasks(doc: &JobDoc) -> Vec<Known> {
    let mut first = 0;
    let mut known = Vec::with_capacity(doc.job.tasks.len());
    for stage in doc.job.stages.iter() {
        let own = first..first + stage.count as usize;
        first = own.end;
        if stage.dropped {
            continue;
        }
        let tasks =
            own.filter_map(|at| Some((at, doc.job.tasks.get(at).filter(|task| !task.is_given_up())?)));
        known.extend(tasks.map(|(at, task)| Known {
            kind: stage.step.kind(),
            predicted_ms: float(stage.prediction.wall_ms.max(1)),
            stands: match (&task.success, doc.live_of(at).filter(|live| live.started && !live.is_ahead)) {
                (Some(success), _) => Stands::Done(float(success.usage.wall_ms)),
                (None, Some(live)) => at_work(live),
                (None, None) => Stands::Waits,
            },
        }));
    }
    known
}

fn at_work(live: &LiveTask) -> Stands {
    let at = &live.progress;
    let tells = at.phase == Phase::Running && at.permille >= TELLS_FROM && at.speed_permille > 0;
    let (share, eta_ms) = (f64::from(at.permille.min(1000)) / 1000.0, at.eta_ms.map(float));
    let ms = || match eta_ms {
        // The pace is that of a pass, and there may be two.
        Some(eta_ms) if share < NEARLY_THERE => eta_ms * share / (1.0 - share),
        _ => float(at.media_ns / 1_000) / f64::from(at.speed_permille),
    };
    Stands::AtWork { share, ms: tells.then(ms), eta_ms }
}

fn left_of(tasks: &[Known]) -> Option<u64> {
    // Once all encodes check or store what they have made, little is left, at whatever pace.
    let rate = rate(tasks).or_else(|| tasks.iter().all(Known::is_nearly_there).then_some(1.0))?;
    let (mut lanes, mut longest, mut all, mut after) = (0_u32, 0.0_f64, 0.0_f64, 0.0_f64);
    for task in tasks {
        let left = task.left_ms(rate);
        if is_last(task.kind) {
            after += left;
            continue;
        }
        all += left;
        if matches!(task.stands, Stands::AtWork { .. }) {
            lanes += 1;
            longest = longest.max(left);
        }
    }
    let side_by_side = (all / f64::from(lanes.max(1))).max(longest);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and an estimate")]
    let left = (side_by_side + after).min(1e15) as u64;
    Some(left)
}

/// How long tasks take for each millisecond that was predicted: those that are done, and as much as is done of those at work.
/// Encodes only: what decodes or copies says little of them.
fn rate(tasks: &[Known]) -> Option<f64> {
    let (mut took, mut predicted) = (0.0, 0.0);
    for task in tasks.iter().filter(|task| is_encode(task.kind)) {
        let (ms, share) = match task.stands {
            Stands::Done(ms) => (ms, 1.0),
            Stands::AtWork { share, ms: Some(ms), .. } => (ms, share),
            Stands::AtWork { .. } | Stands::Waits => continue,
        };
        (took, predicted) = (took + ms, predicted + task.predicted_ms * share);
    }
    (predicted > 0.0).then(|| took / predicted)
}

impl Known {
    fn is_nearly_there(&self) -> bool {
        match self.stands {
            Stands::Done(_) => true,
            Stands::AtWork { share, .. } => share >= NEARLY_THERE,
            Stands::Waits => !is_encode(self.kind),
        }
    }

    fn left_ms(&self, rate: f64) -> f64 {
        // Packages and joins copy: how fast encodes are says nothing of them.
        let whole = if is_last(self.kind) { self.predicted_ms } else { self.predicted_ms * rate };
        match self.stands {
            Stands::Done(_) => 0.0,
            Stands::Waits => whole,
            Stands::AtWork { share, ms, eta_ms } => {
                let own = eta_ms.or_else(|| ms.map(|ms| (ms / share - ms).max(0.0)));
                let by_others = whole * (1.0 - share);
                own.map_or(by_others, |own| {
                    // An encoder takes its first frames faster or slower than the rest.
                    let trust = (share / TRUSTED_FROM).min(1.0);
                    own * trust + by_others * (1.0 - trust)
                })
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(stands: Stands) -> Known {
        Known { kind: TaskKind::Chunk, predicted_ms: 10_000.0, stands }
    }

    const HALF: Stands = Stands::AtWork { share: 0.5, ms: Some(10_000.0), eta_ms: None };

    #[test]
    fn what_tasks_took_scales_what_is_said_of_those_to_come() {
        let package = Known { kind: TaskKind::Package, predicted_ms: 500.0, stands: Stands::Waits };
        // Encodes take twice as long as was predicted: half a chunk, and a package after it.
        assert_eq!(left_of(&[chunk(Stands::Done(20_000.0)), chunk(HALF), package]), Some(10_500));
        // Two lanes share two halves and two that wait.
        let four = [chunk(HALF), chunk(HALF), chunk(Stands::Waits), chunk(Stands::Waits)];
        assert_eq!(left_of(&four), Some(30_000));
    }

    #[test]
    fn the_last_one_at_work_is_waited_for_whatever_lanes_are_idle() {
        let begun = Stands::AtWork { share: 0.01, ms: None, eta_ms: None };
        let near = Stands::AtWork { share: 0.9, ms: Some(18_000.0), eta_ms: Some(2_000.0) };
        assert_eq!(left_of(&[chunk(near), chunk(begun)]), Some(19_800));
    }

    #[test]
    fn what_has_just_begun_is_judged_by_others_and_later_by_itself() {
        let at = |share, ms, eta_ms| chunk(Stands::AtWork { share, ms, eta_ms: Some(eta_ms) });
        let done = chunk(Stands::Done(10_000.0));
        // By its first frames it would take a minute.
        let begun = left_of(&[done, at(0.02, None, 60_000.0)]);
        assert!(begun.is_some_and(|left_ms| (11_800..12_500).contains(&left_ms)), "{begun:?}");
        let half = left_of(&[done, at(0.5, Some(30_000.0), 30_000.0)]);
        assert_eq!(half, Some(30_000));
    }

    #[test]
    fn an_encode_that_stores_what_it_has_made_has_a_time_to_go() {
        let stores = |share| chunk(Stands::AtWork { share, ms: None, eta_ms: None });
        assert_eq!(left_of(&[stores(0.98)]), Some(200));
        assert_eq!(left_of(&[stores(0.98), chunk(Stands::Waits)]), None);
    }

    #[test]
    fn nothing_is_said_before_a_tenth_of_an_encode_is_over() {
        let begun = Stands::AtWork { share: 0.05, ms: None, eta_ms: None };
        let probe = Known { kind: TaskKind::Probe, predicted_ms: 100.0, stands: Stands::Done(50.0) };
        assert_eq!(left_of(&[probe, chunk(begun), chunk(Stands::Waits)]), None);
    }
}
