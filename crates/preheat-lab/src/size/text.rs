//! The answer in words.

use std::fmt::Write;

use super::answer::{Advice, Answered, BoundBy, Engine, Simulated, Staffed};

/// A few lines for a terminal.
pub fn text(answered: &Answered) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "load       {} requests/s × {} in a slot = {:.1} in flight if none waits",
        answered.qps,
        seconds(answered.service_time_s),
        answered.offered_load
    );
    let _ = writeln!(text, "replica    {} slots: {}", answered.concurrency, bound(answered));
    let full = answered.engine.as_ref().map_or_else(String::new, |engine| {
        let (tpot, ttft) = (seconds(engine.tpot_s), seconds(engine.ttft_unqueued_s));
        format!("; TPOT {tpot}; first token after {ttft} if not queued")
    });
    let _ = writeln!(text, "           all taken: {:.2} requests/s{full}", answered.replica_qps);
    let _ = writeln!(
        text,
        "headroom   {:.1} slots, so that no more than {} of the requests wait (β = {:.2}{})",
        answered.headroom_slots,
        answered.wait_probability,
        answered.beta,
        uneven(answered)
    );
    text.push('\n');
    text.push_str(&table(answered));
    text.push('\n');
    for sentence in sentences(answered) {
        text.push_str(&sentence);
        text.push('\n');
    }
    text
}

/// What binds, and what else might.
fn bound(answered: &Answered) -> String {
    let Some(engine) = &answered.engine else { return "max-num-seqs".to_owned() };
    let caps = [
        (BoundBy::MaxNumSeqs, format!("max-num-seqs is {}", engine.cap_max_num_seqs)),
        (BoundBy::KvMemory, format!("KV memory holds {}", engine.cap_kv_memory)),
        (BoundBy::SloTpot, tpot(engine)),
    ];
    let binds = caps.iter().filter(|(by, _)| *by == answered.bound_by);
    let others = caps.iter().filter(|(by, _)| *by != answered.bound_by);
    let words: Vec<&str> = binds.chain(others).map(|(_, words)| words.as_str()).collect();
    words.join("; ")
}

fn tpot(engine: &Engine) -> String {
    match (engine.slo_tpot_s, engine.cap_slo_tpot) {
        (Some(slo_s), Some(cap)) => format!("a TPOT of {} allows {cap}", seconds(slo_s)),
        (Some(slo_s), None) => format!("a TPOT of {} allows any number", seconds(slo_s)),
        (None, _) => "no SLO on TPOT".to_owned(),
    }
}

fn uneven(answered: &Answered) -> String {
    if answered.dispersion == 1.0 {
        return String::new();
    }
    format!(", traffic {} times as uneven as random", answered.dispersion)
}

fn table(answered: &Answered) -> String {
    let mut text = String::new();
    let counts = [
        ("without headroom", &answered.without_headroom),
        ("with headroom", &answered.with_headroom),
    ];
    let simulated = counts.iter().any(|(_, staffed)| staffed.simulated.is_some());
    let beyond = format!("wait > {}", seconds(answered.wait_max_s));
    let _ = write!(text, "{:<16}  replicas     busy    wait  {beyond:>13}", "");
    if simulated {
        text.push_str("   simulated: attainment  TTFT p99");
    }
    text.push('\n');
    for (name, staffed) in counts {
        let _ = write!(
            text,
            "{name:<16}  {:>8}  {:>5.1} %  {:.4}  {:>13.4}",
            staffed.replicas,
            100.0 * staffed.utilization,
            staffed.wait_probability,
            staffed.wait_beyond_slo_probability
        );
        if let Some(simulated) = &staffed.simulated {
            let ttft = simulated.ttft_p99_s.map_or_else(|| "-".to_owned(), seconds);
            let _ = write!(text, "   {:>21.4}  {ttft:>8}", simulated.attainment);
        }
        text.push('\n');
    }
    text
}

fn sentences(answered: &Answered) -> Vec<String> {
    let mut sentences = vec![conclusion(answered)];
    sentences.extend(advice(answered));
    if let Some(simulated) = &answered.with_headroom.simulated {
        sentences.push(verdict(answered, simulated));
    }
    sentences
}

/// Whether the simulation bears the answer out.
fn verdict(answered: &Answered, simulated: &Simulated) -> String {
    let conditions = format!(
        "{} requests at random times over {}, on engines with max-num-seqs {}",
        simulated.requests,
        seconds(simulated.duration_s),
        answered.concurrency,
    );
    let inside = format!(
        "{:.1} % of the requests were inside {}",
        100.0 * simulated.attainment,
        slos(answered)
    );
    if simulated.agrees {
        return format!("The simulation agrees: {inside} ({conditions}).");
    }
    let slo_tpot_s = answered.engine.as_ref().and_then(|engine| engine.slo_tpot_s);
    let todo = match (slo_tpot_s, simulated.tpot_p99_s) {
        (Some(slo_s), Some(p99_s)) if p99_s > slo_s => format!(
            "TPOT meets its SLO on average, but has a p99 of {}: size with a --slo-tpot {:.0} % \
             shorter",
            seconds(p99_s),
            100.0 * (1.0 - slo_s / p99_s)
        ),
        (Some(_) | None, _) => {
            "Run more than this; a lower --wait-probability asks for more".to_owned()
        }
    };
    format!("The simulation disagrees: only {inside} ({conditions}). {todo}.")
}

fn conclusion(answered: &Answered) -> String {
    let (bare, chosen) = (&answered.without_headroom, &answered.with_headroom);
    let gpus = answered.engine.as_ref().map_or_else(String::new, |engine| {
        let gpus = u64::from(engine.gpus_per_replica) * u64::from(chosen.replicas);
        format!(" on {}", count(gpus, "GPU"))
    });
    let answer = format!("Run {}{gpus}", count(u64::from(chosen.replicas), "replica"));
    if bare.replicas == chosen.replicas {
        return format!("{answer}: as many as the load itself needs leave enough headroom.");
    }
    format!("{answer}. {}", bare_words(bare))
}

fn bare_words(bare: &Staffed) -> String {
    let would = format!("{} would carry the load on average", bare.replicas);
    if bare.utilization >= 1.0 {
        return format!("{would}, with no slot to spare: the queue would grow without bound.");
    }
    format!("{would}, but {:.0} % of the requests would wait.", 100.0 * bare.wait_probability)
}

/// What binds and what to change.
fn advice(answered: &Answered) -> Option<String> {
    let engine = answered.engine.as_ref()?;
    let does = match (answered.bound_by, answered.advice) {
        (BoundBy::MaxNumSeqs, Some(Advice::RaiseMaxNumSeqs { max_num_seqs, replicas, tpot_s })) => {
            format!(
                "max-num-seqs binds: raise it to {max_num_seqs} and {} will do, at a TPOT of {} \
                 with all slots taken (it is {} now).",
                count(u64::from(replicas), "replica"),
                seconds(tpot_s),
                seconds(engine.tpot_s)
            )
        }
        (BoundBy::MaxNumSeqs, _) => {
            "max-num-seqs binds, but a larger one would not save a replica: fewer tokens or a \
             faster GPU would."
                .to_owned()
        }
        (BoundBy::KvMemory, _) => format!(
            "KV memory binds: lower max-num-seqs to {}, or the engine takes more and throws some \
             out again; shorter requests, an FP8 KV cache or more GPU memory would save replicas.",
            answered.concurrency
        ),
        (BoundBy::SloTpot, _) => format!(
            "The SLO on TPOT binds: lower max-num-seqs to {}, or busy engines take more and decode \
             too slowly; a longer SLO or a faster GPU would save replicas.",
            answered.concurrency
        ),
    };
    Some(does)
}

fn slos(answered: &Answered) -> String {
    let ttft = format!("a TTFT of {}", seconds(answered.slo_ttft_s));
    match answered.engine.as_ref().and_then(|engine| engine.slo_tpot_s) {
        Some(tpot_s) => format!("{ttft} and a TPOT of {}", seconds(tpot_s)),
        None => ttft,
    }
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// `45 ms`, `1.83 s`, `20.8 min`.
fn seconds(seconds: f64) -> String {
    if seconds < 0.9995 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 100.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{:.1} min", seconds / 60.0)
    }
}
