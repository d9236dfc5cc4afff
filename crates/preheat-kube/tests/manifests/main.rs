//! What is deployed: `deploy/` says what the code says, the chart makes the same objects as the plain
//! manifests, alerts and dashboard ask for what is exported, and the image is built from what is there.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

mod buffer;
mod chart;
mod image;
mod monitoring;

use std::fs;
use std::path::{Path, PathBuf};

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// What the generator makes of one file.
fn made(name: &str) -> String {
    let files = preheat_kube::manifests::files().unwrap();
    files.into_iter().find(|file| file.name == name).unwrap_or_else(|| panic!("{name}")).text
}

#[test]
fn deploy_is_as_the_code_makes_it() {
    let folder = root().join("deploy");
    let update = std::env::var_os("UPDATE_DEPLOY").is_some();
    for file in preheat_kube::manifests::files().unwrap() {
        let path = folder.join(&file.name);
        if update {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &file.text).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(kept, file.text, "deploy/{} is old; run `make deploy`", file.name);
    }
}
