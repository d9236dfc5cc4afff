//! Other autoscalers' manifests: what becomes of each, and how what can't be read is shown.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod hostile;

use std::path::Path;

use preheat_api::config::LocalConfig;
use preheat_api::import::{kubernetes, local, read};

const MANIFESTS: [(&str, &str); 9] = [
    ("hpa", include_str!("manifests/hpa.yaml")),
    ("hpa_bare", include_str!("manifests/hpa_bare.yaml")),
    ("hpa_behavior", include_str!("manifests/hpa_behavior.yaml")),
    ("keda", include_str!("manifests/keda.yaml")),
    ("knative", include_str!("manifests/knative.yaml")),
    ("knative_bare", include_str!("manifests/knative_bare.yaml")),
    ("kserve", include_str!("manifests/kserve.yaml")),
    ("aibrix", include_str!("manifests/aibrix.yaml")),
    ("several", include_str!("manifests/several.yaml")),
];

#[test]
fn each_manifest_becomes_the_nearest_configuration() {
    for (name, text) in MANIFESTS {
        let file = format!("{name}.yaml");
        let all = read(text, Path::new(&file)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let in_cluster = kubernetes(&all, Path::new(&file));
        let on_one_machine = local(&all, Path::new(&file)).expect("few ports");
        insta::assert_snapshot!(name, format!("{in_cluster}\n=== --to local\n{on_one_machine}"));
        let config = LocalConfig::parse(&on_one_machine, Path::new("preheat.yaml"));
        assert_eq!(config.expect("a configuration").pools.len(), all.len());
    }
}

#[test]
fn each_key_of_a_spec_is_carried_over_or_named() {
    let (_, text) = MANIFESTS[0];
    let strange = text.replace("  minReplicas: 2", "  minReplicas: 2\n  colour: blue");
    let all = read(&strange, Path::new("hpa.yaml")).expect("a manifest");
    let notes: Vec<String> = all[0].notes.iter().map(ToString::to_string).collect();
    assert!(
        notes.contains(&"spec.colour (line 14): preheat has nothing like it".to_owned()),
        "{notes:?}"
    );
}
