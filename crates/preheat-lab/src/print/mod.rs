//! The lesson as one page of HTML, with figures from runs made for it: no script, nothing loaded.
//!
//! **Invariant:** an answer is shut until it is asked for, on paper it is open.

mod chart;

use std::fmt::Write;

use preheat_scenario::Ran;

use crate::figure;
use crate::lesson::{Experiment, LESSON, Question, QuestionKind, Step};
use crate::run::ExperimentError;
use chart::{Line, chart};

const STYLE: &str = include_str!("style.css");

/// The page. `running` is told which experiment is run.
///
/// # Errors
/// When an experiment can't be run.
pub fn print(running: &mut dyn FnMut(&str)) -> Result<String, ExperimentError> {
    let mut html = String::new();
    let title = escaped(LESSON.title);
    // Writing to a string can't fail.
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    paragraphs(&mut html, LESSON.lead);
    for (number, step) in (1..).zip(LESSON.steps) {
        if step.experiment.is_some() {
            running(step.title);
        }
        let _ = writeln!(html, "<h2 id=\"{}\">{number}. {}</h2>", step.id, escaped(step.title));
        paragraphs(&mut html, step.lead);
        match &step.experiment {
            Some(experiment) => experimental(&mut html, step, experiment)?,
            None => paragraphs(&mut html, step.reveal),
        }
    }
    recall(&mut html);
    html.push_str("</main>\n</body>\n</html>\n");
    Ok(html)
}

fn paragraphs(html: &mut String, texts: &[&str]) {
    for text in texts {
        let _ = writeln!(html, "<p>{}</p>", prose(text));
    }
}

/// What stands between backticks is code.
fn prose(text: &str) -> String {
    let parts = escaped(text);
    let parts = parts.split('`').enumerate();
    let told =
        parts.map(
            |(index, part)| {
                if index % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }
            },
        );
    told.collect()
}

fn experimental(
    html: &mut String,
    step: &Step,
    experiment: &Experiment,
) -> Result<(), ExperimentError> {
    for question in step.questions {
        let _ = writeln!(html, "<p class=\"question\">{}</p>", escaped(question.text));
        if matches!(question.kind, QuestionKind::Run) {
            html.push_str("<ul>\n");
            for run in experiment.runs {
                let _ = writeln!(html, "<li>{}</li>", escaped(run.label));
            }
            html.push_str("</ul>\n");
        }
        html.push_str("<p class=\"guess\">My guess:</p>\n");
    }
    let ran = experiment.ran()?;
    html.push_str("<details><summary>Reveal</summary>\n");
    for question in step.questions {
        let _ = writeln!(html, "<p><b>{}</b></p>", escaped(&told(question, experiment, &ran)));
    }
    table(html, experiment, &ran);
    charts(html, experiment, &ran);
    paragraphs(html, step.reveal);
    html.push_str("</details>\n<details><summary>The scenario</summary>\n");
    let _ = writeln!(
        html,
        "<p><code>preheat scenario scenarios/lab/{}.yaml --policy {}</code></p>\n<pre>{}</pre>",
        experiment.scenario,
        experiment.runs.first().map_or("preheat", |run| run.policy),
        escaped(experiment.text)
    );
    html.push_str("</details>\n");
    Ok(())
}

/// The answer in words.
fn told(question: &Question, experiment: &Experiment, ran: &[(&'static str, Ran)]) -> String {
    let answer = figure::answer(question.answer, ran, experiment.event_minute);
    let told = match (answer, question.kind) {
        (Some(Ok(value)), QuestionKind::Number { unit, .. }) => {
            format!("{} {unit}", rounded(value))
        }
        (Some(Ok(value)), QuestionKind::Run) => rounded(value),
        (Some(Err(id)), _) => label(experiment, id).to_owned(),
        (None, _) => "none of them".to_owned(),
    };
    format!("{} {told}.", question.text)
}

fn label(experiment: &Experiment, id: &str) -> &'static str {
    experiment.runs.iter().find(|run| run.id == id).map_or("", |run| run.label)
}

fn table(html: &mut String, experiment: &Experiment, ran: &[(&'static str, Ran)]) {
    html.push_str(
        "<table>\n<thead><tr><th>run</th><th>within the SLO</th><th>GPU-hours</th>\
         <th>TTFT p99</th><th>starts</th><th>turns</th></tr></thead>\n<tbody>\n",
    );
    for (id, ran) in ran {
        let report = &ran.report;
        let ttft = report.ttft_s.p99.map_or_else(|| "–".to_owned(), |p99| format!("{p99:.1} s"));
        let _ = writeln!(
            html,
            "<tr><th>{}</th><td>{:.1} %</td><td>{:.1}</td><td>{ttft}</td><td>{}</td><td>{}</td></tr>",
            escaped(label(experiment, id)),
            100.0 * report.attainment,
            report.gpu_hours,
            report.starts,
            report.direction_changes
        );
    }
    html.push_str("</tbody>\n</table>\n");
}

fn charts(html: &mut String, experiment: &Experiment, ran: &[(&'static str, Ran)]) {
    let minutes = |value: fn(&preheat_sim::report::Minute) -> Option<f64>| {
        ran.iter()
            .map(|(id, ran)| Line {
                label: label(experiment, id),
                values: ran.report.series.iter().map(value).collect(),
            })
            .collect::<Vec<Line>>()
    };
    let ready = minutes(|row| Some(f64::from(row.ready)));
    html.push_str(&chart("Ready replicas", "by minute", &ready));
    let within = minutes(|row| {
        (row.arrivals > 0).then(|| 100.0 * row.within_slo as f64 / row.arrivals as f64)
    });
    html.push_str(&chart("Within the SLO", "% of each minute's arrivals", &within));
}

fn recall(html: &mut String) {
    for card in LESSON.cards {
        let _ = writeln!(
            html,
            "<details><summary>{}</summary><p>{}</p></details>",
            escaped(card.front),
            escaped(card.back)
        );
    }
    let _ = writeln!(
        html,
        "<h3>Teach it back</h3>\n<p class=\"question\">{}</p>\n\
         <details><summary>One answer</summary>",
        escaped(LESSON.teach_back.task)
    );
    paragraphs(html, LESSON.teach_back.model);
    let kitchen = LESSON.kitchen;
    let _ =
        writeln!(html, "</details>\n<h3>The kitchen</h3>\n<p>{}</p>\n<dl>", escaped(kitchen.lead));
    let terms = |html: &mut String, terms: &[crate::lesson::Term]| {
        for term in terms {
            let (word, meaning) = (escaped(term.word), escaped(term.meaning));
            let _ = writeln!(html, "<dt>{word}</dt><dd>{meaning}</dd>");
        }
    };
    terms(html, kitchen.pairs);
    let _ = writeln!(html, "</dl>\n<p>{}</p>\n<h3>Glossary</h3>\n<dl>", escaped(kitchen.close));
    terms(html, LESSON.glossary);
    html.push_str("</dl>\n<h3>What next</h3>\n<dl>\n");
    for link in LESSON.next {
        let (what, why) = (escaped(link.what), escaped(link.why));
        let _ = writeln!(html, "<dt><code>{what}</code></dt><dd>{why}</dd>");
    }
    html.push_str("</dl>\n");
}

/// As the page rounds: whole from a hundred on, else with one digit where there is one.
fn rounded(value: f64) -> String {
    let tenths = (value * 10.0).round() / 10.0;
    if tenths.abs() >= 100.0 || tenths.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{tenths:.1}")
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
