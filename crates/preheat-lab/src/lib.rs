//! What one learns preheat with: the lab's lesson with its experiments, sizing as a command line and
//! a page ask for it, and the lesson as one page without scripts.
//!
//! The lesson is data: the dashboard draws it, [`print()`] writes it, and both run what it names. Its
//! scenarios are files of the repository, so that `preheat scenario` runs the same.
//!
//! **Invariant:** no figure of the lesson is written down. Each comes from a run, when it is asked
//! for.
//!
//! **Invariant:** no async, no HTTP, no clock, no files.

mod figure;
mod lesson;
mod print;
mod run;
mod size;

pub use figure::{Answer, FigureKind, answer, figure, first_ready_minute, missed};
pub use lesson::{
    Card, Change, Dial, Dials, Experiment, Kitchen, Knob, KnobOption, LESSON, Lesson, Link,
    Question, QuestionKind, Run, Setting, Step, TeachBack, Term, changed,
};
pub use print::print;
pub use run::ExperimentError;
pub use size::{
    Answered, Plan, PlanSpec, Simulated, SizeError, SizeSpec, SizingRequest, Staffed, answered,
    text,
};
