//! What the lesson's words say of its runs holds of those runs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use preheat_api::policy_file::PolicyFile;
use preheat_lab::{
    Answer, Dials, FigureKind, LESSON, SizingRequest, answer, answered, figure, print,
};
use preheat_scenario::{Ran, Scenario};

fn ran(step: &str) -> Vec<(&'static str, Ran)> {
    let step = LESSON.steps.iter().find(|known| known.id == step).unwrap();
    step.experiment.unwrap().ran().unwrap_or_else(|error| panic!("{error}"))
}

fn of<'a>(runs: &'a [(&'static str, Ran)], id: &str) -> &'a Ran {
    &runs.iter().find(|(known, _)| *known == id).unwrap().1
}

fn cheapest(runs: &[(&'static str, Ran)]) -> &'static str {
    let how = Answer::Cheapest { attainment_percent_min: 99.0 };
    answer(how, runs, 0).unwrap().unwrap_err()
}

#[test]
fn the_right_signal() {
    let runs = ran("signal");
    assert_eq!(cheapest(&runs), "concurrency");
    // Up, and hardly back: all there are at the peak, and most of them in the quiet at the end.
    let gpu = &of(&runs, "gpu").report;
    assert!(gpu.replicas_peak == 16 && gpu.series.last().unwrap().ready >= 12);
    assert!(
        gpu.attainment > 0.99 && gpu.gpu_hours > 2.0 * of(&runs, "concurrency").report.gpu_hours
    );
    // Down by one and never up; with one core requested, as the GPU.
    let cpu = &of(&runs, "cpu").report;
    assert!(cpu.starts == 0 && cpu.series.last().unwrap().ready == 2 && cpu.attainment < 0.12);
    let scenario = include_str!("../../../scenarios/lab/signal.yaml");
    let scenario = Scenario::parse(scenario, Path::new("signal.yaml")).unwrap();
    let one_core = PolicyFile {
        policy: "hpa-cpu".to_owned(),
        knobs: [("request_cores".to_owned(), 1.0)].into(),
    };
    let one_core = scenario.ran(&one_core, true, |_| true).unwrap().report;
    assert!(one_core.replicas_peak == 16 && one_core.gpu_hours > 0.8 * gpu.gpu_hours);
    // Late, and then far too many.
    let waiting = &of(&runs, "waiting").report;
    assert!(waiting.attainment < 0.9 && waiting.replicas_peak == 16);
    let ttft = &of(&runs, "ttft").report;
    assert!(ttft.attainment < 0.99 && ttft.attainment > waiting.attainment);
}

#[test]
fn the_cold_start_surprise() {
    let runs = ran("cold-start");
    let minutes = |id: &str| figure(FigureKind::MinutesToReady, of(&runs, id), 10).unwrap();
    let missed = |id: &str| figure(FigureKind::MissedUntilReady, of(&runs, id), 10).unwrap();
    assert!(minutes("cold") >= minutes("image") && minutes("image") > minutes("nvme"));
    assert!(missed("cold") > missed("image") && missed("image") > missed("nvme"));
    // The misses go on after the help is there.
    let all: u64 =
        of(&runs, "cold").report.series.iter().map(|row| row.arrivals - row.within_slo).sum();
    assert!(all as f64 > missed("cold"));
}

#[test]
fn the_strategies() {
    let runs = ran("strategies");
    assert_eq!(cheapest(&runs), "fast");
    let report = |id: &str| &of(&runs, id).report;
    for keeps in ["early", "warm", "fast", "announced", "fast-early"] {
        assert!(report(keeps).attainment >= 0.99, "{keeps}: {}", report(keeps).attainment);
    }
    for misses in ["plain", "slow-down", "quick-down"] {
        assert!(report(misses).attainment < 0.99, "{misses}: {}", report(misses).attainment);
    }
    assert!(report("quick-down").direction_changes > 3 * report("plain").direction_changes);
    assert!(report("quick-down").attainment < report("plain").attainment);
}

#[test]
fn sizing_says_what_the_step_says() {
    let request = SizingRequest {
        qps: 10.0,
        max_num_seqs: Some(8),
        profile: Some("qwen-27b-fp8-h100".to_owned()),
        input_tokens: Some(1000.0),
        output_tokens: Some(300.0),
        ..SizingRequest::default()
    };
    let sized = answered(&request.spec().unwrap(), &mut |_| ()).unwrap();
    assert_eq!(format!("{:.1}", sized.service_time_s), "7.4");
    assert_eq!((sized.without_headroom.replicas, sized.with_headroom.replicas), (10, 12));
    let step = LESSON.steps.iter().find(|step| step.id == "sizing").unwrap();
    let how = step.questions.iter().find(|question| question.id == "little").unwrap().answer;
    assert_eq!(how, Answer::Formula { value: f64::from(sized.without_headroom.replicas) });
    let runs = ran("sizing");
    assert!(of(&runs, "exact").report.attainment < 0.9);
    assert!(of(&runs, "headroom").report.attainment > 0.99);
    assert!(of(&runs, "slots").report.attainment > 0.99);
}

#[test]
fn figures_of_the_lesson() {
    let mut table = String::new();
    for step in LESSON.steps {
        let Some(experiment) = step.experiment else { continue };
        let runs = experiment.ran().unwrap();
        for (id, ran) in &runs {
            let report = &ran.report;
            writeln!(
                table,
                "{:<11} {id:<12} {:<17} {:>6.3} {:>6.2} {:>4} {:>4}",
                step.id,
                report.policy,
                report.attainment,
                report.gpu_hours,
                report.starts,
                report.direction_changes
            )
            .unwrap();
        }
        for question in step.questions {
            let told = answer(question.answer, &runs, experiment.event_minute);
            writeln!(table, "{:<11} {} = {told:?}", step.id, question.id).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn every_experiment_is_its_file_and_every_choice_of_a_knob_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/lab");
    for step in LESSON.steps {
        let Some(experiment) = step.experiment else { continue };
        let file = folder.join(format!("{}.yaml", experiment.scenario));
        assert_eq!(fs::read_to_string(&file).unwrap(), experiment.text);
        for knob in experiment.knobs {
            for option in knob.options {
                let change = preheat_lab::Change { key: knob.key, value: option.value };
                let text = preheat_lab::changed(experiment.text, &[change]);
                let parsed = preheat_scenario::Scenario::parse(&text, &file);
                parsed.unwrap_or_else(|error| panic!("{error}"));
            }
            // The first choice is what the file has.
            let first = knob.options.first().unwrap();
            assert!(experiment.text.contains(&format!("{}: {}\n", knob.key, first.value)));
        }
    }
}

/// What sliders write, at every place where they can stand together.
fn dialled(dials: &Dials) -> Vec<String> {
    let mut all: Vec<Vec<&str>> = vec![Vec::new()];
    for dial in dials.dials {
        let longer = all.iter().flat_map(|set| {
            dial.stops.iter().map(move |stop| [set.as_slice(), &[stop.value]].concat())
        });
        all = longer.collect();
    }
    let line = |set: Vec<&str>| {
        let parts: Vec<&str> = set.into_iter().filter(|part| !part.is_empty()).collect();
        format!("{}{}{}", dials.before, parts.join(", "), dials.after)
    };
    all.into_iter().map(line).chain([dials.instead.value.to_owned()]).collect()
}

#[test]
fn wherever_sliders_stand_it_is_a_scenario_and_first_it_is_the_file() {
    let file = Path::new("scenario.yaml");
    let mut seen = 0;
    for step in LESSON.steps {
        let Some(experiment) = step.experiment else { continue };
        let Some(dials) = experiment.dials else { continue };
        let lines = dialled(&dials);
        assert!(experiment.text.contains(&format!("{}: {}\n", dials.key, lines[0])));
        for line in lines {
            let value: &'static str = Box::leak(line.into_boxed_str());
            let change = preheat_lab::Change { key: dials.key, value };
            let text = preheat_lab::changed(experiment.text, &[change]);
            let parsed = preheat_scenario::Scenario::parse(&text, file);
            parsed.unwrap_or_else(|error| panic!("{value}: {error}"));
            seen += 1;
        }
    }
    assert_eq!(seen, 4 * 3 * 2 + 1);
}

#[test]
fn the_printed_lesson_is_whole_and_runs_nothing_by_itself() {
    let mut told = Vec::new();
    let html = print(&mut |step| told.push(step.to_owned())).unwrap();
    assert_eq!(told.len(), 4);
    assert!(!html.contains("<script") && !html.contains("href=") && !html.contains("src="));
    for step in LESSON.steps {
        assert!(html.contains(&format!("<h2 id=\"{}\">", step.id)), "{}", step.id);
    }
    assert_eq!(html.matches("<svg viewBox=\"0 0 720 240\"").count(), 8);
}
