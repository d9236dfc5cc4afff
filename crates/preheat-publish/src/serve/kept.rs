//! A certificate that all preheats of a cluster share, in a Secret; and the APIService that must trust
//! it.
//!
//! **Invariant:** an APIService that leads elsewhere is left as it is.

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::{ServeError, deadline};
use crate::certificate::{Made, is_fresh, make};
use crate::tls::Material;

/// The Secret's name.
pub const SECRET: &str = "preheat-tls";
/// Name of the APIService by which the apiserver finds the External Metrics API.
pub const API_SERVICE: &str = "v1beta1.external.metrics.k8s.io";
/// Others may make it at the same moment; who is slower reads what they made.
const TRIES: u32 = 3;
const WHAT: &str = "the Secret preheat-tls";

/// The certificate, and who must be trusted to trust it.
pub(super) struct Kept {
    pub(super) material: Material,
    pub(super) authority: Vec<u8>,
}

/// Reads the shared certificate, and makes one where there is none or it ends soon.
pub(super) async fn certificate(
    client: &Client,
    namespace: &str,
    service: &str,
    now: Timestamp,
) -> Result<Kept, ServeError> {
    let name = long_name(namespace, service);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut raced =
        ServeError::Cluster { what: WHAT, problem: "others keep writing it".to_owned() };
    for _ in 0..TRIES {
        let found = deadline(WHAT, secrets.get_opt(SECRET)).await?;
        if let Some(kept) = found.as_ref().and_then(|secret| kept(secret, &name, now)) {
            return Ok(kept);
        }
        let made = make(names(namespace, service), now)?;
        let secret = secret(found.as_ref(), &made);
        let params = PostParams::default();
        let written = match &found {
            None => deadline(WHAT, secrets.create(&params, &secret)).await,
            Some(_) => deadline(WHAT, secrets.replace(SECRET, &params, &secret)).await,
        };
        match written {
            Ok(_) => tracing::info!(namespace, secret = SECRET, "made a certificate"),
            Err(error) => raced = error,
        }
    }
    Err(raced)
}

fn names(namespace: &str, service: &str) -> Vec<String> {
    let long = long_name(namespace, service);
    vec![
        format!("{long}.cluster.local"),
        long,
        format!("{service}.{namespace}"),
        service.to_owned(),
    ]
}

/// The name that the apiserver looks for.
fn long_name(namespace: &str, service: &str) -> String {
    format!("{service}.{namespace}.svc")
}

/// What a Secret holds for this name, if that is whole and good for long enough.
fn kept(secret: &Secret, name: &str, now: Timestamp) -> Option<Kept> {
    let data = secret.data.as_ref()?;
    let part = |key: &str| data.get(key).map(|bytes| bytes.0.clone());
    let material = Material { certificate: part("tls.crt")?, key: part("tls.key")? };
    let is_fresh = is_fresh(&material.certificate, name, now).unwrap_or(false);
    is_fresh.then_some(Kept { material, authority: part("ca.crt")? })
}

/// The Secret with what was made. Whoever still shows the certificate before it stays trusted.
fn secret(before: Option<&Secret>, made: &Made) -> Secret {
    let old =
        before.and_then(|secret| secret.data.as_ref()?.get("ca.crt").map(|old| old.0.clone()));
    // The newest of what was there: the one before that has ended.
    let old = old.and_then(|old| String::from_utf8(old).ok()).unwrap_or_default();
    let newest = old.find(END).map_or("", |at| &old[..at + END.len()]);
    let authorities = format!("{}{newest}\n", made.authority);
    let entry = |key: &str, text: &str| (key.to_owned(), ByteString(text.as_bytes().to_vec()));
    Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            resource_version: before.and_then(|secret| secret.metadata.resource_version.clone()),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(
            [
                entry("ca.crt", &authorities),
                entry("tls.crt", &made.certificate),
                entry("tls.key", &made.key),
            ]
            .into(),
        ),
        ..Secret::default()
    }
}

const END: &str = "-----END CERTIFICATE-----";

/// Lets the apiserver trust the certificate. Where that fails, it says so, and is tried again with
/// the next look.
pub(super) async fn announce(client: &Client, namespace: &str, service: &str, authority: &[u8]) {
    const HINT: &str = "apply deploy/external-metrics.yaml; until then nobody reads counts there";
    let services: Api<APIService> = Api::all(client.clone());
    let found = match deadline("the APIService", services.get_opt(API_SERVICE)).await {
        Ok(Some(found)) => found,
        Ok(None) => return tracing::warn!("there is no APIService {API_SERVICE}; {HINT}"),
        Err(error) => return tracing::warn!(%error, "{HINT}"),
    };
    let spec = found.spec.unwrap_or_default();
    let theirs = spec.service.unwrap_or_default();
    if theirs.namespace.as_deref() != Some(namespace) || theirs.name.as_deref() != Some(service) {
        return tracing::warn!(
            "the APIService {API_SERVICE} leads to {}/{}, and a cluster has only one: KEDA's serves \
             KEDA, which can read counts with --scaler; or apply deploy/external-metrics.yaml over it",
            theirs.namespace.unwrap_or_default(),
            theirs.name.unwrap_or_default()
        );
    }
    if spec.ca_bundle.is_some_and(|bundle| bundle.0 == authority) {
        return;
    }
    let bundle = ByteString(authority.to_vec());
    let patch = Patch::Merge(json!({"spec": {"caBundle": bundle}}));
    let params = PatchParams::default();
    let patched = services.patch(API_SERVICE, &params, &patch);
    if let Err(error) = deadline("the APIService", patched).await {
        tracing::warn!(%error, "the apiserver does not know our certificate");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "preheat.here.svc";

    #[test]
    fn a_secret_is_used_until_it_ends_soon_and_the_next_keeps_it_trusted() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let later: Timestamp = "2027-10-24T12:00:00Z".parse().unwrap();
        let names = || names("here", "preheat");
        let first = make(names(), now).unwrap();
        let held = secret(None, &first);
        assert!(kept(&held, NAME, now).is_some());
        assert!(kept(&held, NAME, later).is_none());
        let second = make(names(), later).unwrap();
        let renewed = kept(&secret(Some(&held), &second), NAME, later).unwrap();
        let authorities = String::from_utf8(renewed.authority).unwrap();
        assert_eq!(authorities.matches(END).count(), 2);
        assert!(authorities.contains(first.authority.trim()));
        // Not forever.
        let third = secret(Some(&secret(Some(&held), &second)), &make(names(), later).unwrap());
        let authorities = String::from_utf8(kept(&third, NAME, later).unwrap().authority).unwrap();
        assert_eq!(authorities.matches(END).count(), 2);
    }

    #[test]
    fn a_secret_that_is_not_whole_is_made_anew() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        assert!(kept(&Secret::default(), NAME, now).is_none());
        let made = make(names("here", "preheat"), now).unwrap();
        let mut held = secret(None, &made);
        held.data.as_mut().unwrap().insert("tls.crt".to_owned(), ByteString(b"?".to_vec()));
        assert!(kept(&held, NAME, now).is_none());
    }
}
