//! The notebook's cells run, where Python with matplotlib can be had.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;

use serde_json::Value;

/// The cells' code, in order.
fn code() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/notebook/autoscaling.ipynb");
    let text = fs::read_to_string(path).expect("the notebook is there");
    let notebook: Value = serde_json::from_str(&text).expect("a notebook is JSON");
    let cells = notebook["cells"].as_array().expect("it has cells");
    let code = cells.iter().filter(|cell| cell["cell_type"] == "code");
    let lines = code.flat_map(|cell| {
        assert!(
            cell["outputs"] == Value::Array(Vec::new()),
            "the notebook is kept without outputs"
        );
        let source = cell["source"].as_array().expect("a cell has lines").clone();
        source.into_iter().chain([Value::from("\n")])
    });
    lines.map(|line| line.as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_cell_runs() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&python).args(["-c", "import matplotlib"]).output();
    let code = code();
    if !has.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "note: there is no {python} with matplotlib (PYTHON names one), so docs/notebook was not run"
        );
        return;
    }
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let output = Command::new(&python)
        .args(["-c", &code])
        .current_dir(folder.path())
        .env("MPLBACKEND", "Agg")
        .env("PREHEAT", env!("CARGO_BIN_EXE_preheat"))
        .env("NOTEBOOK_UNTIL", "10m")
        .output()
        .expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8_lossy(&output.stdout);
    for title in ["Signals", "Concurrency targets", "Strategies", "Fixed fleets"] {
        assert!(told.contains(&format!("{title}\n")), "{told}");
    }
}
