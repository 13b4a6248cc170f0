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
}
