//! Objects of any kind, as `kubectl apply` would take them from a file.

use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::discovery::{Scope, pinned_kind};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use serde_json::Value;

/// Defines a resource, and waits until it is served.
pub(crate) async fn define(admin: &Client, definition: Value) {
    let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
    apply_all(admin, &[definition]).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(admin.clone());
    await_condition(definitions, &name, conditions::is_crd_established()).await.unwrap();
}

/// Applies objects as `kubectl apply` does, which refuses fields that nobody knows.
pub(crate) async fn apply_all(admin: &Client, objects: &[Value]) {
    for object in objects {
        let text = |key: &str| object[key].as_str().unwrap();
        let (group, version) =
            text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
        let gvk = GroupVersionKind::gvk(group, version, text("kind"));
        let (kind, capabilities) = pinned_kind(admin, &gvk).await.unwrap();
        let metadata = &object["metadata"];
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(admin.clone(), &kind),
            Scope::Namespaced => {
                let namespace = metadata["namespace"].as_str().unwrap();
                Api::namespaced_with(admin.clone(), namespace, &kind)
            }
        };
        let params = PatchParams::apply("tests").validation_strict();
        let name = metadata["name"].as_str().unwrap();
        api.patch(name, &params, &Patch::Apply(object)).await.unwrap();
    }
}

/// The objects of a file of YAML documents.
pub(crate) fn documents(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    let texts = text.split("\n---").map(|text| text.trim_start_matches("---"));
    let texts = texts.filter(|text| !text.trim().is_empty());
    texts.map(|text| serde_saphyr::from_str(text).unwrap()).collect()
}
