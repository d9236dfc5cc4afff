//! The reference pages under `docs/reference` say what the code says.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

#[track_caller]
fn check(page: &str, ending: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_preheat"))
        .args(["reference", page])
        .output()
        .expect("preheat runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = String::from_utf8(output.stdout).expect("pages are UTF-8");
    let path = format!("{}/../../docs/reference/{page}.{ending}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(Path::new(&path), &made).expect("the page can be written");
    }
    let kept = fs::read_to_string(Path::new(&path)).unwrap_or_default();
    assert_eq!(kept, made, "docs/reference/{page}.{ending} is old; run `make reference`");
}

#[test]
fn command_line() {
    check("cli", "md");
}

#[test]
fn metrics() {
    check("metrics", "md");
}

#[test]
fn configuration() {
    check("config", "md");
}

#[test]
fn http_api() {
    check("openapi", "json");
}
