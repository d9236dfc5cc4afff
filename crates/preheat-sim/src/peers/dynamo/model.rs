//! The planner's model of an engine, learned while it runs: one step's wall time from the prompt
//! tokens it computes and the KV it reads.
//!
//! Source: Dynamo 2a6da14 (2026-08-21), planner's regression over forward-pass metrics (aggregated
//! mode). Here a sample is the mean of one replica between two looks, as nothing finer is seen.
//!
//! **Invariant:** no coefficient is negative.

use std::collections::VecDeque;

use crate::view::EngineMetrics;

/// Samples that are kept.
const SAMPLES_MAX: usize = 64;
/// Samples before it is used.
const SAMPLES_MIN: usize = 5;
/// Batches that are tried.
const CANDIDATES_MAX: u32 = 128;

/// One replica between two looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StepSample {
    pub(super) wall_secs: f64,
    pub(super) prefill_tokens: f64,
    pub(super) kv_tokens: f64,
}

impl StepSample {
    /// The mean gap between tokens is a step's wall time; an idle time tells nothing.
    pub(super) fn between(
        before: &EngineMetrics,
        after: &EngineMetrics,
        kv_capacity: f64,
    ) -> Option<Self> {
        let gaps = after.itl_count.checked_sub(before.itl_count).filter(|gaps| *gaps > 0)?;
        let wall_secs = (after.itl_seconds_sum - before.itl_seconds_sum) / gaps as f64;
        let secs = after.at.since(before.at).as_secs_f64();
        let prompt = after.prompt_tokens_total.checked_sub(before.prompt_tokens_total)?;
        let prefill_tokens = prompt as f64 / secs * wall_secs;
        let kv = f64::midpoint(before.kv_utilization, after.kv_utilization);
        let is_real = wall_secs > 0.0 && secs > 0.0;
        is_real.then_some(Self { wall_secs, prefill_tokens, kv_tokens: kv * kv_capacity })
    }
}

/// Samples, and what they say.
#[derive(Clone, Debug, Default)]
pub(super) struct StepModel {
    samples: VecDeque<StepSample>,
}

/// `wall = a + b · prompt tokens + c · KV tokens`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StepFit {
    a: f64,
    b: f64,
    c: f64,
}

impl StepModel {
    pub(super) fn add(&mut self, sample: StepSample) {
        self.samples.push_back(sample);
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
    }

    /// Least squares; of a coefficient that comes out negative the regressor is dropped.
    pub(super) fn fit(&self) -> Option<StepFit> {
        if self.samples.len() < SAMPLES_MIN {
            return None;
        }
        let mut used = [true; 3];
        for _ in 0..3 {
            let coefficients = self.solve(used);
            let worst = coefficients.iter().enumerate().min_by(|x, y| x.1.total_cmp(y.1));
            match worst {
                Some((index, value)) if *value < 0.0 => {
                    if let Some(flag) = used.get_mut(index) {
                        *flag = false;
                    }
                }
                _ => {
                    let [a, b, c] = coefficients;
                    return (a + b + c > 0.0).then_some(StepFit { a, b, c });
                }
            }
        }
        None
    }

    /// Normal equations by Gaussian elimination; what can't be told apart stays at zero.
    fn solve(&self, used: [bool; 3]) -> [f64; 3] {
        // Tokens by the thousand keep the matrix well conditioned.
        const SCALE: [f64; 3] = [1.0, 1e-3, 1e-3];
        let mut rows = [[0.0_f64; 4]; 3];
        for sample in &self.samples {
            let x = [1.0, sample.prefill_tokens * SCALE[1], sample.kv_tokens * SCALE[2]];
            for (row, xi) in rows.iter_mut().zip(x) {
                for (cell, xj) in row.iter_mut().zip(x) {
                    *cell += xi * xj;
                }
                row[3] += xi * sample.wall_secs;
            }
        }
        let diagonal = [rows[0][0], rows[1][1], rows[2][2]];
        let mut solved = [false; 3];
        for pivot in 0..3 {
            // A column that the others explain leaves next to nothing of itself.
            if !used[pivot] || rows[pivot][pivot] <= diagonal[pivot] * 1e-9 {
                continue;
            }
            solved[pivot] = true;
            let pivot_row = rows[pivot];
            for (index, row) in rows.iter_mut().enumerate() {
                if index != pivot {
                    let factor = row[pivot] / pivot_row[pivot];
                    row.iter_mut().zip(pivot_row).for_each(|(cell, p)| *cell -= factor * p);
                }
            }
        }
        let mut result = [0.0; 3];
        for index in (0..3).filter(|index| solved[*index]) {
            result[index] = rows[index][3] / rows[index][index] * SCALE[index];
        }
        result
    }
}

/// Mean sizes of requests, and an engine's limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Workload {
    pub(super) input: f64,
    pub(super) output: f64,
    pub(super) max_num_seqs: u32,
    pub(super) max_num_batched_tokens: f64,
    pub(super) kv_capacity_tokens: f64,
}

/// What requests may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sla {
    pub(super) ttft_secs: f64,
    pub(super) itl_secs: f64,
}

impl StepFit {
    pub(super) fn wall_secs(&self, prefill_tokens: f64, kv_tokens: f64) -> f64 {
        self.a + self.b * prefill_tokens + self.c * kv_tokens
    }

    /// Time to compute so many prompt tokens in chunks beside a batch of this KV.
    pub(super) fn ttft_secs(&self, tokens: f64, kv_tokens: f64, chunk_max: f64) -> f64 {
        let chunks = libm::floor(tokens / chunk_max);
        let rest = tokens - chunks * chunk_max;
        let last = if rest > 0.0 { self.wall_secs(rest, kv_tokens) } else { 0.0 };
        chunks * self.wall_secs(chunk_max, kv_tokens) + last
    }

    /// The most requests per second that one engine serves within the SLA; if no batch meets it,
    /// the most that it serves at all.
    pub(super) fn requests_per_sec(&self, workload: &Workload, sla: &Sla) -> Option<f64> {
        let Workload { input, output, max_num_batched_tokens: budget, .. } = *workload;
        let context = input + output / 2.0;
        let fit = libm::floor(workload.kv_capacity_tokens / context) as u32;
        let batch_max = workload.max_num_seqs.min(fit).max(1);
        let step = batch_max.div_ceil(CANDIDATES_MAX) as usize;
        let mut best: Option<f64> = None;
        let mut best_within: Option<f64> = None;
        for batch in (1..=batch_max).rev().step_by(step) {
            let batch = f64::from(batch);
            let prefill = batch * input / output;
            // Prompts that arrive in a step have to fit it.
            if prefill > budget - batch {
                continue;
            }
            let kv = batch * context;
            let wall = self.wall_secs(prefill, kv);
            let rate = batch / (output * wall);
            let is_within = wall <= sla.itl_secs
                && self.ttft_secs(prefill + input, kv, budget) <= sla.ttft_secs;
            best = Some(best.unwrap_or(0.0).max(rate));
            if is_within {
                best_within = Some(best_within.unwrap_or(0.0).max(rate));
            }
        }
        best_within.or(best).filter(|rate| rate.is_finite() && *rate > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(samples: &[(f64, f64)], wall: impl Fn(f64, f64) -> f64) -> StepModel {
        let mut model = StepModel::default();
        for (prefill_tokens, kv_tokens) in samples.iter().copied() {
            let wall_secs = wall(prefill_tokens, kv_tokens);
            model.add(StepSample { wall_secs, prefill_tokens, kv_tokens });
        }
        model
    }

    const SPREAD: [(f64, f64); 6] =
        [(0.0, 1e4), (100.0, 2e4), (50.0, 9e4), (400.0, 4e4), (200.0, 7e4), (10.0, 5e4)];

    #[test]
    fn a_plane_is_found_again() {
        let fit = model(&SPREAD, |p, kv| 0.01 + 1e-4 * p + 1e-7 * kv).fit().unwrap();
        assert!((fit.a - 0.01).abs() < 1e-9 && (fit.b - 1e-4).abs() < 1e-9);
        assert!((fit.c - 1e-7).abs() < 1e-12);
        assert_eq!(model(&SPREAD[..4], |_, _| 0.01).fit(), None);
    }

    #[test]
    fn a_negative_coefficient_is_dropped() {
        let fit = model(&SPREAD, |p, kv| 0.02 + 1e-4 * p - 1e-8 * kv).fit().unwrap();
        assert_eq!(fit.c, 0.0);
        assert!(fit.a > 0.0 && fit.b > 0.0);
    }

    #[test]
    fn a_regressor_that_never_moves_is_left_out() {
        let fit = model(&[(100.0, 3e4); 6], |_, _| 0.03).fit().unwrap();
        assert!((fit.wall_secs(100.0, 3e4) - 0.03).abs() < 1e-9);
    }

    const WORKLOAD: Workload = Workload {
        input: 1000.0,
        output: 200.0,
        max_num_seqs: 64,
        max_num_batched_tokens: 8192.0,
        kv_capacity_tokens: 1e6,
    };

    #[test]
    fn throughput_is_that_of_the_largest_batch_within_the_sla() {
        let fit = StepFit { a: 0.01, b: 1e-4, c: 0.0 };
        // A request brings 5 prompt tokens a step: wall = 0.01 + 0.0005 × batch. An ITL of 30 ms
        // takes 40: 40 ÷ (200 × 0.03) = 6.67/s.
        let sla = Sla { ttft_secs: 1.0, itl_secs: 0.0300001 };
        let rate = fit.requests_per_sec(&WORKLOAD, &sla).unwrap();
        assert!((rate - 40.0 / 6.0).abs() < 1e-6, "{rate}");
        // Nothing meets 1 ms: the best there is, a batch of 64 at 42 ms.
        let impossible = Sla { ttft_secs: 1.0, itl_secs: 0.001 };
        let rate = fit.requests_per_sec(&WORKLOAD, &impossible).unwrap();
        assert!((rate - 64.0 / (200.0 * 0.042)).abs() < 1e-6, "{rate}");
    }

    #[test]
    fn kv_memory_bounds_the_batch() {
        let fit = StepFit { a: 0.01, b: 0.0, c: 0.0 };
        let workload = Workload { kv_capacity_tokens: 11_000.0, ..WORKLOAD };
        let rate = fit.requests_per_sec(&workload, &Sla { ttft_secs: 1.0, itl_secs: 1.0 });
        // 11,000 ÷ 1,100 = 10 at a time.
        assert_eq!(rate, Some(10.0 / (200.0 * 0.01)));
    }

    #[test]
    fn a_prompt_longer_than_a_step_takes_several() {
        let fit = StepFit { a: 0.01, b: 1e-4, c: 0.0 };
        // 2 × (0.01 + 0.1) + (0.01 + 0.05).
        assert!((fit.ttft_secs(2500.0, 0.0, 1000.0) - 0.28).abs() < 1e-9);
    }
}
