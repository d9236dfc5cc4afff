//! Rules on the tree itself: who may depend on whom, how long files are, what documents look like.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate may depend on among ours, beyond what those may. `ARCHITECTURE.md` draws it.
const ARROWS: &[(&str, &[&str])] = &[
    ("preheat-core", &[]),
    ("preheat-api", &["preheat-core"]),
    ("preheat-engine", &["preheat-core"]),
    ("preheat-traffic", &[]),
    ("preheat-runtime", &["preheat-api", "preheat-core"]),
    ("preheat-sim", &["preheat-engine", "preheat-traffic", "preheat-core"]),
    (
        "preheat-scenario",
        &["preheat-sim", "preheat-engine", "preheat-traffic", "preheat-api", "preheat-core"],
    ),
    ("preheat-compare", &["preheat-sim", "preheat-engine", "preheat-traffic", "preheat-core"]),
    (
        "preheat-lab",
        &["preheat-scenario", "preheat-sim", "preheat-engine", "preheat-api", "preheat-core"],
    ),
    ("preheat-load", &["preheat-traffic"]),
    ("preheat-gateway", &["preheat-runtime", "preheat-core"]),
    ("preheat-local", &["preheat-runtime", "preheat-api", "preheat-core"]),
    ("preheat-publish", &[]),
    ("preheat-kube", &["preheat-publish", "preheat-runtime", "preheat-api", "preheat-core"]),
    ("preheat-emulator", &["preheat-runtime", "preheat-engine", "preheat-core"]),
    (
        "preheat-web",
        &[
            "preheat-lab",
            "preheat-compare",
            "preheat-scenario",
            "preheat-runtime",
            "preheat-api",
            "preheat-core",
        ],
    ),
];

/// Crates that the pure ones must never see.
const SHELL_ONLY: &[&str] = &["tokio", "hyper", "axum", "tracing", "rusqlite", "nix"];
const PURE: &[&str] = &[
    "preheat-core",
    "preheat-engine",
    "preheat-traffic",
    "preheat-api",
    "preheat-sim",
    "preheat-compare",
    "preheat-scenario",
    "preheat-lab",
];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("the crate is two folders down").to_path_buf()
}

/// Normal dependencies of each of our crates, by name.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let packages = metadata["packages"].as_array().expect("it has packages");
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap_or_default().to_owned();
    packages
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().expect("it has dependencies");
            // Dev-dependencies and build dependencies carry a kind.
            let normal = all.iter().filter(|dependency| dependency["kind"].is_null());
            (name(package), normal.map(name).collect())
        })
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    for (package, uses) in dependencies() {
        if package == "preheat" {
            continue;
        }
        let arrows = ARROWS.iter().find(|(name, _)| *name == package);
        let (_, allowed) = arrows.unwrap_or_else(|| panic!("{package} has no entry in ARROWS"));
        for used in uses {
            let ours = used.starts_with("preheat");
            assert!(!ours || allowed.contains(&used.as_str()), "{package} must not use {used}");
            let is_shell = SHELL_ONLY.contains(&used.as_str());
            assert!(
                !PURE.contains(&package.as_str()) || !is_shell,
                "{package} must not use {used}"
            );
        }
    }
}

/// Tracked files below `root()` with one of these endings.
fn tracked(endings: &[&str]) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    let listing = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let wanted = |path: &&str| endings.iter().any(|ending| path.ends_with(ending));
    listing.lines().filter(wanted).map(|path| root().join(path)).filter(|p| p.exists()).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Longest source file: more can't be held in one's head.
const LINES_MAX: usize = 600;

#[test]
fn source_files_are_short_and_say_what_they_are() {
    for path in tracked(&[".rs", ".ts", ".tsx", ".css"]) {
        let text = read(&path);
        let shown = path.display();
        let lines = text.lines().count();
        // Nobody reads what is made from something else.
        let is_made = text.starts_with("// Made from ");
        assert!(
            is_made || lines <= LINES_MAX,
            "{shown} has {lines} lines; {LINES_MAX} are the limit"
        );
        let is_rust = path.extension().is_some_and(|ending| ending == "rs");
        let says = !is_rust || text.starts_with("//!");
        assert!(says, "{shown} does not open with what it is for");
    }
}

#[test]
fn one_file_reads_the_clock_for_the_control_plane() {
    let pure: Vec<String> = PURE.iter().map(|name| format!("crates/{name}/src")).collect();
    for path in tracked(&[".rs"]) {
        let text = path.to_string_lossy().into_owned();
        if pure.iter().any(|folder| text.contains(folder.as_str())) {
            let source = read(&path);
            for banned in ["Instant::now", "SystemTime::now", "thread::sleep", "HashMap"] {
                assert!(!source.contains(banned), "{text} uses {banned}");
            }
        }
    }
}

#[test]
fn documents_have_one_heading_and_live_links() {
    for path in tracked(&[".md"]) {
        let text = read(&path);
        let shown = path.display();
        let mut in_code = false;
        let mut headings = 0;
        for line in text.lines() {
            if line.starts_with("```") {
                in_code = !in_code;
            }
            headings += usize::from(!in_code && line.starts_with("# "));
        }
        assert_eq!(headings, 1, "{shown} has {headings} first-level headings");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let folder = path.parent().expect("a file is in a folder");
            assert!(folder.join(target).exists(), "{shown} links to {target}, which is not there");
        }
    }
}

#[test]
fn nothing_names_a_machine_or_a_person() {
    let endings = [".rs", ".md", ".yaml", ".toml", ".sh", "Makefile", ".ci/run"];
    let web = [".ts", ".tsx", ".css", ".html", ".json"];
    for path in tracked(&[&endings[..], &web[..]].concat()) {
        let text = read(&path);
        for folder in ["work", "root", "home"] {
            let banned = format!("/{folder}/");
            assert!(!text.contains(&banned), "{} contains {banned}", path.display());
        }
    }
}
