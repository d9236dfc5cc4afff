//! Work spread over threads. Results come back in the order of the jobs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Runs `work` on each job, on so many threads; `done` is told how many are finished. The first
/// error, in the order of the jobs, ends it all.
pub(crate) fn run<J: Sync, T: Send, E: Send>(
    threads: usize,
    jobs: &[J],
    work: impl Fn(&J) -> Result<T, E> + Sync,
    done: &(dyn Fn(usize) + Sync),
) -> Result<Vec<T>, E> {
    let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = AtomicUsize::new(usize::MAX);
    let results: Mutex<Vec<Option<Result<T, E>>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { return };
                    if index > failed.load(Ordering::Relaxed) {
                        return;
                    }
                    let result = work(job);
                    if result.is_err() {
                        failed.fetch_min(index, Ordering::Relaxed);
                    }
                    // A poisoned lock means that a worker panicked, and the scope passes that on.
                    if let Ok(mut results) = results.lock()
                        && let Some(slot) = results.get_mut(index)
                    {
                        *slot = Some(result);
                    }
                    done(finished.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_default();
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..100).collect();
        let finished = AtomicUsize::new(0);
        let squares: Result<Vec<u64>, ()> = run(4, &jobs, |job| Ok(job * job), &|_| {
            finished.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(squares, Ok(jobs.iter().map(|job| job * job).collect()));
        assert_eq!(finished.into_inner(), 100);
    }

    #[test]
    fn the_first_error_wins() {
        let jobs: Vec<u64> = (0..100).collect();
        let work = |job: &u64| if *job >= 40 { Err(*job) } else { Ok(()) };
        assert_eq!(run(4, &jobs, work, &|_| {}), Err(40));
    }
}
