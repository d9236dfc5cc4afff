//! The lesson: what is told, what is asked, and which runs reveal it.
//!
//! **Invariant:** data only. What the words claim of a run is held against that run by
//! `tests/claims.rs`.

mod recall;
mod steps;

use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

use crate::figure::Answer;

/// All of it.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Lesson {
    /// Its name.
    pub title: &'static str,
    /// What it is, paragraph by paragraph.
    pub lead: &'static [&'static str],
    /// Its parts, in order.
    pub steps: &'static [Step],
    /// Questions to answer from memory.
    pub cards: &'static [Card],
    /// What to explain to a colleague.
    pub teach_back: TeachBack,
    /// Words and what they mean.
    pub glossary: &'static [Term],
    /// The same in another picture.
    pub kitchen: Kitchen,
    /// What to read next.
    pub next: &'static [Link],
}

/// One part: told, asked, revealed.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Step {
    /// In the address.
    pub id: &'static str,
    /// Its name.
    pub title: &'static str,
    /// Before the questions.
    pub lead: &'static [&'static str],
    /// What reveals the answers; absent where nothing is asked.
    pub experiment: Option<Experiment>,
    /// What to guess.
    pub questions: &'static [Question],
    /// After the answers.
    pub reveal: &'static [&'static str],
    /// What to change and run again.
    pub tries: &'static [&'static str],
}

/// A scenario, and under whom it is run.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Experiment {
    /// The scenario's file below `scenarios/lab`, without its ending.
    pub scenario: &'static str,
    /// What is in it.
    pub text: &'static str,
    /// The minute that the question is about.
    pub event_minute: u64,
    /// What is compared.
    pub runs: &'static [Run],
    /// What is offered to change.
    pub knobs: &'static [Knob],
    /// What is offered to drag.
    pub dials: Option<Dials>,
}

/// One run of a scenario.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Run {
    /// What answers call it.
    pub id: &'static str,
    /// What people call it.
    pub label: &'static str,
    /// Who scales.
    pub policy: &'static str,
    /// How that is set up.
    pub settings: &'static [Setting],
    /// What is different from the file.
    pub changes: &'static [Change],
}

/// A knob of a policy.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Setting {
    /// Its name.
    pub knob: &'static str,
    /// What it is set to.
    pub value: f64,
}

/// A line in place of the file's.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Change {
    /// The key at the begin of the line.
    pub key: &'static str,
    /// What stands after it.
    pub value: &'static str,
}

/// Something to change by choosing.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Knob {
    /// Its name.
    pub label: &'static str,
    /// The key at the begin of the line that it changes.
    pub key: &'static str,
    /// What can be chosen; the first is the file's.
    pub options: &'static [KnobOption],
}

/// One choice.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct KnobOption {
    /// Its name.
    pub label: &'static str,
    /// What stands after the key.
    pub value: &'static str,
}

/// Sliders that write one line together; the first of the runs is run anew as they are dragged.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Dials {
    /// What one does with them.
    pub title: &'static str,
    /// What they stand for.
    pub about: &'static str,
    /// The key at the begin of the line.
    pub key: &'static str,
    /// What stands after it, before the parts that the sliders write.
    pub before: &'static str,
    /// What stands after these.
    pub after: &'static str,
    /// The sliders; the parts of those that write any are joined by commas.
    pub dials: &'static [Dial],
    /// A switch that stands in place of all of them, and what it writes.
    pub instead: KnobOption,
}

/// One slider.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Dial {
    /// What it moves.
    pub label: &'static str,
    /// Where it can stand; the first is the file's.
    pub stops: &'static [KnobOption],
}

/// Something to guess.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Question {
    /// In the browser's memory.
    pub id: &'static str,
    /// As it is asked.
    pub text: &'static str,
    /// What a guess is.
    pub kind: QuestionKind,
    /// How the answer is found.
    pub answer: Answer,
}

/// What a guess is.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum QuestionKind {
    /// One of the experiment's runs.
    Run,
    /// A number.
    Number {
        /// What it counts.
        unit: &'static str,
        /// No guess is larger.
        max: f64,
    },
}

/// A question to answer from memory.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Card {
    /// The question.
    pub front: &'static str,
    /// The answer.
    pub back: &'static str,
}

/// What to explain in one's own words.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct TeachBack {
    /// The task.
    pub task: &'static str,
    /// An answer to compare with.
    pub model: &'static [&'static str],
}

/// A word.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Term {
    /// The word.
    pub word: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// The same in another picture.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Kitchen {
    /// How it begins.
    pub lead: &'static str,
    /// What stands for what.
    pub pairs: &'static [Term],
    /// How it ends.
    pub close: &'static str,
}

/// Where to go on.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Link {
    /// A command or a document.
    pub what: &'static str,
    /// What is found there.
    pub why: &'static str,
}

/// The lesson.
pub static LESSON: Lesson = Lesson {
    title: "Scaling LLM replicas, one guess at a time",
    lead: &[
        "Six short steps, from the signal to a configuration for your own cluster. Nothing is assumed but that you know what a request is; what the words mean stands at the foot of each step.",
        "In each step you commit to a guess before you see the answer. A wrong guess is worth more than a right one: surprise is what makes it stick.",
        "Every answer is a simulation that runs on this machine when you ask for it: the same engine model, the same autoscalers and the same scenario files as on the command line.",
    ],
    steps: steps::STEPS,
    cards: recall::CARDS,
    teach_back: recall::TEACH_BACK,
    glossary: recall::GLOSSARY,
    kitchen: recall::KITCHEN,
    next: recall::NEXT,
};

/// `text` with other lines: each change stands in the place of the line that begins with its key, or
/// after the last one where there is none.
pub fn changed(text: &str, changes: &[Change]) -> String {
    let mut all = text.to_owned();
    for Change { key, value } in changes {
        let begins = format!("{key}:");
        let mut found = false;
        let mut with = String::new();
        for line in all.lines() {
            let replace = line.starts_with(&begins);
            found = found || replace;
            // Writing to a string can't fail.
            let _ =
                if replace { writeln!(with, "{begins} {value}") } else { writeln!(with, "{line}") };
        }
        if !found {
            let _ = writeln!(with, "{begins} {value}");
        }
        all = with;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_takes_the_place_of_its_line_or_comes_last() {
        let text = "seed: 1\nslo: {ttft: 2s}\n";
        let change = |key, value| [Change { key, value }];
        assert_eq!(changed(text, &change("seed", "7")), "seed: 7\nslo: {ttft: 2s}\n");
        assert_eq!(changed(text, &change("see", "x")), "seed: 1\nslo: {ttft: 2s}\nsee: x\n");
        assert_eq!(changed(text, &[]), text);
    }
}
