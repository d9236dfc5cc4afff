//! Where the tests find what `e2e/prometheus/build` has built.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Prometheus' own programs.
pub(crate) struct Programs {
    /// The server.
    pub(crate) prometheus: PathBuf,
    /// What checks rules and fills a server's storage.
    pub(crate) promtool: PathBuf,
}

/// `None` where they have not been built, which is said; with `PREHEAT_TEST_PROMETHEUS=1` it is an
/// error.
pub(crate) fn programs() -> Option<Programs> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("it is in crates/");
    let script = root.join("e2e/prometheus/build");
    let output = Command::new("bash").arg(script).arg("--check").output().expect("there is bash");
    if output.status.success() {
        let printed = String::from_utf8(output.stdout).expect("a path in UTF-8");
        let folder = Path::new(printed.trim());
        return Some(Programs {
            prometheus: folder.join("prometheus"),
            promtool: folder.join("promtool"),
        });
    }
    let is_asked = std::env::var_os("PREHEAT_TEST_PROMETHEUS").is_some_and(|value| value == "1");
    assert!(!is_asked, "Prometheus is not built: run e2e/prometheus/build");
    println!("skipped: no Prometheus; ./e2e/prometheus/build makes one with Go");
    None
}
