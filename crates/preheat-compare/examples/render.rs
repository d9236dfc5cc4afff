//! Renders the JSON of `preheat compare --json` anew, without running anything:
//! `cargo run -p preheat-compare --example render -- comparison.json comparison.html`.

use std::error::Error;
use std::{env, fs};

use preheat_compare::Comparison;
use preheat_compare::html::{HtmlAbout, render};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [from, to] = arguments.as_slice() else {
        return Err("give the JSON of `preheat compare --json`, and the HTML file to write".into());
    };
    let comparison: Comparison = serde_json::from_str(&fs::read_to_string(from)?)?;
    let about = HtmlAbout {
        command: "preheat compare --json".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    fs::write(to, render(&comparison, &about))?;
    Ok(())
}
