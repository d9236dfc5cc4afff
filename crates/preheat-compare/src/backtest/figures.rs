//! What a pool's past says of its load: the figures that sizing begins with.
//!
//! **Invariant:** a figure that the past does not tell is absent, and a note says so.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{History, Step};

/// Loads are told of times that are this long, or as long as a step where that is longer.
const MINUTE: Duration = Duration::from_secs(60);
/// The quiet load: so much of the time it is quieter.
const QUIET: f64 = 0.1;

/// A pool's past in the figures that `preheat size` takes, under the same names. What is `null` nobody
/// told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PastFigures {
    /// Whose past it is.
    pub pool: String,
    /// Requests that arrived per second in the busiest minute.
    pub qps: Option<f64>,
    /// Those that a tenth of the minutes is below.
    pub quiet_qps: Option<f64>,
    /// The largest rise from one minute to the next, in requests per second.
    pub growth_qps_per_min: Option<f64>,
    /// Mean prompt tokens of a request.
    pub input_tokens: Option<f64>,
    /// Mean generated tokens of a request.
    pub output_tokens: Option<f64>,
    /// Time from an order to a ready replica.
    pub cold_start_s: Option<f64>,
    /// SLO on TTFT.
    pub slo_ttft_s: Option<f64>,
    /// Most requests in the batch of a replica.
    pub max_num_seqs: Option<u32>,
    /// Mean time of a request in a slot.
    pub latency_s: Option<f64>,
    /// Engine profile.
    pub profile: Option<String>,
    /// Where each comes from, and what is not in this past, in words.
    pub notes: Vec<String>,
}

/// What is known of the pool beside its past; it stands before what the past would say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// Who says it, in words.
    pub told_by: String,
    /// Time from an order to a ready replica.
    pub cold_start: Option<Duration>,
    /// SLO on TTFT; that which the steps' `in_time` counts by.
    pub slo_ttft: Option<Duration>,
    /// Most requests in the batch of a replica.
    pub max_num_seqs: Option<u32>,
    /// Mean time of a request in a slot.
    pub latency: Option<Duration>,
    /// Engine profile.
    pub profile: Option<String>,
}

impl PastFigures {
    /// The figures of `history`, and what is known `beside` it.
    pub fn of(pool: &str, history: &History, beside: &Beside) -> Self {
        let sum = |field: fn(&Step) -> Option<f64>| -> f64 {
            history.steps.iter().filter_map(field).fold(0.0, |sum, value| sum + value)
        };
        let rates = rates(history);
        let busiest = rates.iter().flatten().copied().fold(0.0, f64::max);
        if busiest <= 0.0 {
            let notes = vec![format!(
                "load: nothing came, or nobody counted ({} steps)",
                history.steps.len()
            )];
            return Self { pool: pool.to_owned(), notes, ..Self::default() };
        }
        let ended = sum(|step| step.completions);
        let per_request = |tokens: f64| (ended >= 1.0 && tokens > 0.0).then(|| tokens / ended);
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let seen = history.cold_start_median();
        let mut figures = Self {
            pool: pool.to_owned(),
            qps: Some(busiest),
            quiet_qps: quiet(&rates),
            growth_qps_per_min: Some(growth(&rates, width(history))),
            input_tokens: per_request(sum(|step| step.prompt_tokens)),
            output_tokens: per_request(sum(|step| step.generation_tokens)),
            cold_start_s: seconds(beside.cold_start.or(seen)),
            slo_ttft_s: seconds(beside.slo_ttft),
            max_num_seqs: beside.max_num_seqs,
            latency_s: seconds(beside.latency).or_else(|| time_in_a_slot(history)),
            profile: beside.profile.clone(),
            notes: Vec::new(),
        };
        figures.notes = figures.notes(history, beside);
        figures
    }

    fn notes(&self, history: &History, beside: &Beside) -> Vec<String> {
        let sum = |field: fn(&Step) -> Option<f64>| -> f64 {
            history.steps.iter().filter_map(field).fold(0.0, |sum, value| sum + value)
        };
        let told_by = &beside.told_by;
        let known = history.steps.iter().filter(|step| step.arrivals.is_some()).count();
        let known_s = known as f64 * history.step.as_secs_f64();
        let mut notes = vec![
            format!("load: {}", history.arrivals_from),
            format!(
                "load: over {} it was {:.2} requests/s on average; the busiest, the quiet and the growth \
                 are of times of {} s, and bursts within one are not seen",
                length(known_s),
                sum(|step| step.arrivals) / known_s.max(f64::MIN_POSITIVE),
                width(history).as_secs_f64()
            ),
        ];
        let gaps = history.gap_share();
        if gaps > 0.0 {
            notes.push(format!(
                "gaps: {:.1} % of this past tells nothing; a busier minute may be in it",
                gaps * 100.0
            ));
        }
        notes.extend(history.clipped_note());
        notes.push(match self.input_tokens.and(self.output_tokens) {
            Some(_) => "tokens: means of the requests that ended; how much they vary is not told"
                .to_owned(),
            None => "tokens: this past does not tell them".to_owned(),
        });
        notes.push(match (beside.latency, self.latency_s) {
            (Some(_), _) => format!("time in a slot: {told_by}"),
            (None, Some(_)) => format!(
                "time in a slot: by Little's Law, the requests in slots over those that ended per second; \
                 on average a replica had {:.1} in its batch, and in a full one each takes longer",
                sum(|step| step.running) / sum(|step| step.ready).max(1.0)
            ),
            (None, None) => "time in a slot: this past does not tell it".to_owned(),
        });
        notes.push(match (beside.cold_start, history.cold_starts.len()) {
            (Some(_), _) => format!("a start: {told_by}"),
            (None, 0) => {
                "a start: this past does not tell when one was ordered; measure one, from the \
                          order to the first token"
                    .to_owned()
            }
            (None, seen) => format!("a start: the median of {seen} that were seen"),
        });
        notes.push(match self.max_num_seqs {
            Some(_) => format!("slots: {told_by}"),
            None => {
                "slots: this past does not tell them; they are what the engine was started with"
                    .to_owned()
            }
        });
        let first = sum(|step| step.first_tokens);
        notes.extend(beside.slo_ttft.filter(|_| first >= 1.0).map(|slo| {
            let share = sum(|step| step.in_time) / first * 100.0;
            format!("first tokens: {share:.1} % came within {slo:?}")
        }));
        notes
    }
}

/// How long the times are that loads are told of: whole steps.
fn width(history: &History) -> Duration {
    history.step.saturating_mul(u32::try_from(per_width(history)).unwrap_or(u32::MAX))
}

fn per_width(history: &History) -> usize {
    let steps = MINUTE.as_secs_f64() / history.step.as_secs_f64().max(1e-3);
    (steps.ceil() as usize).max(1)
}

/// Requests per second of each of these times; of one that is not known whole, nothing.
fn rates(history: &History) -> Vec<Option<f64>> {
    let seconds = width(history).as_secs_f64();
    let whole = history.steps.chunks_exact(per_width(history));
    let rate = |steps: &[Step]| {
        let arrivals: Option<Vec<f64>> = steps.iter().map(|step| step.arrivals).collect();
        arrivals.map(|arrivals| arrivals.iter().fold(0.0, |sum, came| sum + came) / seconds)
    };
    whole.map(rate).collect()
}

fn quiet(rates: &[Option<f64>]) -> Option<f64> {
    let mut sorted: Vec<f64> = rates.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() as f64 * QUIET) as usize).copied()
}

fn growth(rates: &[Option<f64>], width: Duration) -> f64 {
    let rises = rates.windows(2).filter_map(|pair| match pair {
        &[Some(before), Some(after)] => Some(after - before),
        _ => None,
    });
    rises.fold(0.0, f64::max) * MINUTE.as_secs_f64() / width.as_secs_f64()
}

/// By Little's Law, where both what is in slots and what ended are known.
fn time_in_a_slot(history: &History) -> Option<f64> {
    let known = history.steps.iter().filter_map(|step| step.running.zip(step.completions));
    let (running, ended) =
        known.fold((0.0, 0.0), |(running, ended), step| (running + step.0, ended + step.1));
    (running > 0.0 && ended >= 1.0).then(|| running * history.step.as_secs_f64() / ended)
}

fn length(seconds: f64) -> String {
    if seconds < 2.0 * 3600.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of half a minute, with so many arrivals; each request has 100 tokens in and 20 out, and
    /// 8 are in slots of two replicas.
    fn history(arrivals: &[Option<f64>]) -> History {
        let step = |arrivals: &Option<f64>| Step {
            arrivals: *arrivals,
            completions: Some(24.0),
            prompt_tokens: Some(2400.0),
            generation_tokens: Some(480.0),
            running: Some(8.0),
            ready: Some(2.0),
            waiting: Some(0.0),
            ..Step::default()
        };
        History {
            step: Duration::from_secs(30),
            steps: arrivals.iter().map(step).collect(),
            cold_starts: Vec::new(),
            resets: 0,
            arrivals_from: "counted by a test".to_owned(),
        }
    }

    #[test]
    fn a_past_is_its_busiest_minute_its_quiet_and_its_largest_rise() {
        let minutes = [60.0, 66.0, 72.0, 60.0, 120.0, 480.0, 474.0, 420.0, 360.0, 300.0];
        let halves: Vec<Option<f64>> =
            minutes.iter().flat_map(|came| [Some(came * 0.25), Some(came * 0.75)]).collect();
        let figures = PastFigures::of("chat", &history(&halves), &Beside::default());
        // A request/s is the second quietest of ten, and 6 more came from the fifth to the sixth.
        assert_eq!((figures.qps, figures.quiet_qps), (Some(8.0), Some(1.0)));
        assert_eq!(figures.growth_qps_per_min, Some(6.0));
        assert_eq!((figures.input_tokens, figures.output_tokens), (Some(100.0), Some(20.0)));
        // 8 inside, 24 in 30 s: ten seconds each.
        assert_eq!(figures.latency_s, Some(10.0));
        let is_noted = |words: &str| figures.notes.iter().any(|note| note.contains(words));
        assert!(is_noted("had 4.0 in its batch") && is_noted("10 min"), "{:?}", figures.notes);
    }

    #[test]
    fn what_nobody_told_is_absent_and_noted() {
        let figures = PastFigures::of("chat", &history(&[Some(3.0); 4]), &Beside::default());
        assert_eq!((figures.cold_start_s, figures.max_num_seqs), (None, None));
        let notes = figures.notes.join("\n");
        for words in ["a start: this past does not tell", "slots: this past does not tell"] {
            assert!(notes.contains(words), "{notes}");
        }
        // What was given stands, and says so.
        let beside = Beside {
            told_by: "as given".to_owned(),
            cold_start: Some(Duration::from_secs(90)),
            max_num_seqs: Some(16),
            latency: Some(Duration::from_secs(4)),
            ..Beside::default()
        };
        let given = PastFigures::of("chat", &history(&[Some(3.0); 4]), &beside);
        assert_eq!((given.cold_start_s, given.latency_s), (Some(90.0), Some(4.0)));
        assert!(given.notes.contains(&"slots: as given".to_owned()), "{:?}", given.notes);
    }

    #[test]
    fn a_minute_that_is_not_known_whole_is_in_no_figure() {
        let steps = [Some(3.0), Some(3.0), None, Some(90.0), Some(6.0), Some(6.0)];
        let figures = PastFigures::of("chat", &history(&steps), &Beside::default());
        assert_eq!((figures.qps, figures.growth_qps_per_min), (Some(0.2), Some(0.0)));
        assert!(figures.notes.iter().any(|note| note.starts_with("gaps: 16.7 %")));
    }

    #[test]
    fn of_a_past_in_which_nothing_came_there_is_no_figure() {
        for steps in [&[Some(0.0), Some(0.0)][..], &[None, None], &[]] {
            let figures = PastFigures::of("chat", &history(steps), &Beside::default());
            assert_eq!((figures.qps, figures.latency_s, figures.notes.len()), (None, None, 1));
        }
    }
}
