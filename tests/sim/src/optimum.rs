//! The best that anyone could do, for small cases on one slot: found by looking at every subset of jobs.

/// A job of one task: when it may start, how long it takes, when it has to be done. All in the same unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneTask {
    /// Earliest start.
    pub release: u64,
    /// Duration.
    pub takes: u64,
    /// Latest end.
    pub deadline: u64,
}

/// Most jobs that [`fewest_late`] looks at.
pub const MOST_JOBS: usize = 16;

/// The fewest of these jobs that have to be late on one slot, without stopping a task that runs (`1 | r_j | ΣU_j`).
///
/// For each set of jobs the earliest time by which all of it can be done, each in time: Lawler's dynamic program over
/// subsets, exact because an earlier end of a set never harms what follows.
///
/// # Panics
/// With more than [`MOST_JOBS`] jobs.
#[must_use]
pub fn fewest_late(jobs: &[OneTask]) -> usize {
    assert!(jobs.len() <= MOST_JOBS, "{} jobs are too many to look at every subset", jobs.len());
    let sets = 1_usize << jobs.len();
    let mut done_by = vec![u64::MAX; sets];
    done_by[0] = 0;
    let mut most = 0;
    for set in 1..sets {
        for (n, job) in jobs.iter().enumerate().filter(|(n, _)| set >> n & 1 == 1) {
            let before = done_by[set & !(1 << n)];
            if before == u64::MAX {
                continue;
            }
            let end = before.max(job.release) + job.takes;
            if end <= job.deadline {
                done_by[set] = done_by[set].min(end);
            }
        }
        if done_by[set] < u64::MAX {
            most = most.max(set.count_ones() as usize);
        }
    }
    jobs.len() - most
}

/// Which of the jobs that are to be kept goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// The earliest deadline.
    Deadline,
    /// The shortest that leaves time for the others: a job that is to come waits for it the least.
    Shortest,
}

/// How many are late for one who knows a job only once it is there: whenever the slot is free, the optimum is solved anew
/// for what has come (Moore and Hodgson, exact for jobs that are all there), and one of what is to be kept is started.
/// What is late is done as well, the shortest first, when nothing else is there: a farm ends every job that it accepts.
#[must_use]
pub fn late_online(jobs: &[OneTask], first: First) -> usize {
    let mut left = jobs.to_vec();
    let (mut now, mut late) = (0, 0);
    while !left.is_empty() {
        let known: Vec<OneTask> = left.iter().filter(|job| job.release <= now).copied().collect();
        let Some(next) = next_of(&known, now, first) else {
            now = left.iter().map(|job| job.release).min().unwrap_or(now);
            continue;
        };
        now += next.takes;
        late += usize::from(now > next.deadline);
        let at = left.iter().position(|job| *job == next).expect("it is one of them");
        left.remove(at);
    }
    late
}

/// What is started of jobs that are all there.
fn next_of(known: &[OneTask], now: u64, first: First) -> Option<OneTask> {
    let kept = most_in_time(known, now);
    let in_time = |order: &[OneTask]| {
        let mut end = now;
        order.iter().all(|job| {
            end += job.takes;
            end <= job.deadline
        })
    };
    let can_be_first = |job: &&OneTask| {
        let at = kept.iter().position(|other| other == *job).expect("it is one of them");
        let mut order = kept.clone();
        let chosen = order.remove(at);
        order.insert(0, chosen);
        in_time(&order)
    };
    let chosen = match first {
        First::Deadline => kept.first(),
        First::Shortest => kept.iter().filter(can_be_first).min_by_key(|job| job.takes),
    };
    chosen.or_else(|| known.iter().min_by_key(|job| job.takes)).copied()
}

/// The most jobs that can be done in time if no other comes, the earliest deadline first.
fn most_in_time(known: &[OneTask], now: u64) -> Vec<OneTask> {
    let mut by_deadline = known.to_vec();
    by_deadline.sort_by_key(|job| job.deadline);
    let (mut kept, mut end): (Vec<OneTask>, u64) = (Vec::new(), now);
    for job in by_deadline {
        kept.push(job);
        end += job.takes;
        if end > job.deadline {
            let longest = (0..kept.len()).max_by_key(|at| kept[*at].takes).expect("one was just put there");
            end -= kept.remove(longest).takes;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(release: u64, takes: u64, deadline: u64) -> OneTask {
        OneTask { release, takes, deadline }
    }

    #[test]
    fn the_optimum_is_that_of_the_textbook() {
        assert_eq!(fewest_late(&[]), 0);
        assert_eq!(fewest_late(&[job(0, 2, 2), job(0, 2, 4), job(0, 2, 6)]), 0);
        // Moore and Hodgson: the long first job is given up, so that two others are in time.
        assert_eq!(fewest_late(&[job(0, 8, 9), job(0, 2, 10), job(0, 2, 11), job(0, 2, 12)]), 1);
        // Waiting for what comes later is better than starting what is there.
        assert_eq!(fewest_late(&[job(0, 10, 30), job(1, 2, 4)]), 0);
        assert_eq!(fewest_late(&[job(0, 3, 3), job(1, 3, 4)]), 1);
    }

    #[test]
    fn who_does_not_know_what_comes_is_no_better_than_who_does() {
        let all = [job(0, 10, 30), job(1, 2, 4)];
        assert_eq!(
            (fewest_late(&all), late_online(&all, First::Deadline)),
            (0, 1),
            "it has begun the long one"
        );
        let at_once = [job(0, 8, 9), job(0, 2, 10), job(0, 2, 11), job(0, 2, 12)];
        assert_eq!(late_online(&at_once, First::Deadline), fewest_late(&at_once));
        assert_eq!(late_online(&at_once, First::Shortest), fewest_late(&at_once));
        // The shorter one goes first, so that what comes is done sooner.
        let short_first = [job(0, 10, 15), job(0, 3, 16), job(1, 2, 6)];
        assert_eq!(late_online(&short_first, First::Deadline), 1);
        assert_eq!(late_online(&short_first, First::Shortest), 0);
        let mut random = 7_u64;
        let mut next = |most: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % most
        };
        for _ in 0..300 {
            let many: Vec<OneTask> = (0..6)
                .map(|_| {
                    let (release, takes) = (next(60), 1 + next(30));
                    job(release, takes, release + takes + next(60))
                })
                .collect();
            for first in [First::Deadline, First::Shortest] {
                assert!(late_online(&many, first) >= fewest_late(&many), "{many:?}");
            }
            let there: Vec<OneTask> = many.iter().map(|one| OneTask { release: 0, ..*one }).collect();
            assert_eq!(late_online(&there, First::Deadline), fewest_late(&there), "{there:?}");
        }
    }
}
