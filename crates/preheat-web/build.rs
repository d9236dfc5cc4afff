//! Puts the dashboard's page into the crate, if `make web` has built it: writes a table of its files.
//!
//! **Invariant:** without the page this is an empty table, and everything builds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Where Vite puts what it builds, from this crate.
const DIST: &str = "../../web/dist";
/// Watched while there is nothing there; the folder itself is always there.
const WEB: &str = "../../web";

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let dist = root.join(DIST);
    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        println!("cargo::rerun-if-changed={DIST}");
        // Of another checkout that shares this one's target directory and may be gone by now.
        println!("cargo::rerun-if-changed={}", dist.display());
        find(&dist, &dist, &mut files)?;
    } else {
        println!("cargo::rerun-if-changed={WEB}");
    }
    files.sort();
    let mut table = String::from("&[\n");
    for (path, file) in &files {
        // Writing to a string can't fail.
        let _ = writeln!(table, "    ({path:?}, include_bytes!({file:?})),");
    }
    table.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("files.rs"), table)
}

/// The files below `folder`, each with its path on the server.
fn find(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(root, &path, files)?;
        } else if let Ok(below) = path.strip_prefix(root) {
            files.push((format!("/{}", below.display()), path.canonicalize()?));
        }
    }
    Ok(())
}
