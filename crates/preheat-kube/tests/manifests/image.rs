//! The Dockerfile as far as it can be checked without a daemon.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{made, root};

/// Instructions with their arguments, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("Dockerfile")).unwrap().replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let split = |line: &str| {
        let (instruction, rest) = line.split_once(' ').unwrap();
        (instruction.to_owned(), rest.trim().to_owned())
    };
    lines.map(split).collect()
}

#[test]
fn it_copies_what_is_there_from_stages_that_were_before() {
    let ignored = fs::read_to_string(root().join(".dockerignore")).unwrap();
    let mut stages: Vec<String> = Vec::new();
    for (instruction, rest) in instructions() {
        let words: Vec<&str> = rest.split_whitespace().collect();
        match instruction.as_str() {
            "FROM" => stages.push(words.last().unwrap().to_string()),
            "COPY" => {
                let (flags, paths): (Vec<&str>, Vec<&str>) =
                    words.iter().partition(|word| word.starts_with("--"));
                let from = flags.iter().find_map(|flag| flag.strip_prefix("--from="));
                let (_, sources) = paths.split_last().unwrap();
                if let Some(from) = from {
                    assert!(stages.iter().any(|stage| stage == from), "{from}");
                    continue;
                }
                for source in sources {
                    assert!(root().join(source).exists(), "{source}");
                    let top = source.split('/').next().unwrap();
                    assert!(ignored.contains(&format!("!{top}\n")), "{source} is ignored");
                }
            }
            _ => {}
        }
    }
}

/// Files of a folder and of those in it.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, into) } else { into.push(path) }
    }
}

/// Everything that the build needs lies in the folders that are copied.
#[test]
fn the_crates_reach_for_nothing_outside_of_what_is_copied() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains("members = [\"crates/*\"]"));
    let build = fs::read_to_string(root().join("crates/preheat-web/build.rs")).unwrap();
    assert!(build.contains("\"../../web/dist\""));
    let copies = || instructions().into_iter().filter(|(instruction, _)| instruction == "COPY");
    let copied = |folder: &str| copies().any(|(_, rest)| rest == format!("{folder} ./{folder}"));
    assert!(copies().any(|(_, rest)| rest.ends_with(" ./web/dist")));
    let mut sources = Vec::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        files(&entry.unwrap().path().join("src"), &mut sources);
    }
    let mut included = 0;
    for file in sources.iter().filter(|file| file.extension().is_some_and(|ext| ext == "rs")) {
        let text = fs::read_to_string(file).unwrap();
        for path in
            ["include_str!(\"", "include_bytes!(\""].iter().flat_map(|of| text.split(of).skip(1))
        {
            let path = file.parent().unwrap().join(path.split('"').next().unwrap());
            let path = path.canonicalize().unwrap_or_else(|_| panic!("{}", path.display()));
            let inside = path.strip_prefix(root().canonicalize().unwrap()).unwrap();
            let folder = inside.iter().next().unwrap().to_str().unwrap();
            assert!(copied(folder), "{} needs {}", file.display(), inside.display());
            included += 1;
        }
    }
    assert!(included > 4, "{included}");
}

#[test]
fn what_runs_is_no_root_and_what_the_manifests_start() {
    let last: BTreeMap<String, String> = instructions().into_iter().collect();
    let deployment = made("deployment.yaml");
    assert!(deployment.contains("runAsUser: 65532"));
    assert_eq!(last["USER"], "65532:65532");
    assert_eq!(last["ENTRYPOINT"], "[\"/usr/local/bin/preheat\"]");
    assert!(last["FROM"].contains("distroless") && last["FROM"].ends_with(":nonroot"));
    let toml = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(toml.contains("[profile.dist]") && last["COPY"].contains("/var/lib/preheat"));
    // The compiler is the one that the workspace asks for.
    let version = toml.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    let text = fs::read_to_string(root().join("Dockerfile")).unwrap();
    assert!(text.contains(&format!("FROM rust:{version}-")), "{version}");
}
