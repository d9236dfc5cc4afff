//! What is shipped for others' controllers, held against their own definitions.

use preheat_kube::manifests::keda_example;

use crate::objects::{apply_all, define, documents};
use crate::scenario::Scenario;

/// KEDA's definitions, from its Go module.
pub(crate) async fn is_taken_by_keda(scenario: Scenario) {
    let Some(keda) = crate::needed("keda") else { return };
    for name in ["keda.sh_scaledobjects.yaml", "keda.sh_triggerauthentications.yaml"] {
        for definition in documents(&keda.with_file_name(name)) {
            define(&scenario.admin, definition).await;
        }
    }
    let mut example = keda_example();
    for object in &mut example {
        object["metadata"]["namespace"] = scenario.namespace.as_str().into();
    }
    apply_all(&scenario.admin, &example).await;
}
