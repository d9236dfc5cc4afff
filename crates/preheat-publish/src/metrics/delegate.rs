//! What only the cluster knows: whom its front proxy and its clients are signed by, whom a token
//! belongs to, and who may do what.
//!
//! **Invariant:** what can't be asked is refused, and what was asked is believed for [`BELIEVED`] and
//! no longer.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Client};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use tokio::time::Instant;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::identity::{HeaderRules, Identity, MASTERS, Peer};
use super::routes::{GROUP, Permission, VERSION};
use crate::serve::{ServeError, deadline};
use crate::tls::{Clients, TlsError, verifier};

/// How long an answer is believed, as Kubernetes' own servers do.
const BELIEVED: Duration = Duration::from_secs(10);
/// Answers that are remembered at one time. Askers are a cluster's HorizontalPodAutoscalers' one
/// controller, and people.
const ANSWERS_MAX: usize = 1024;
/// Who is believed, as the cluster says in `extension-apiserver-authentication`.
#[derive(Clone)]
pub(crate) struct Trust {
    proxy: Option<Arc<dyn ClientCertVerifier>>,
    client: Option<Arc<dyn ClientCertVerifier>>,
    /// Of either.
    pub(crate) either: Arc<dyn ClientCertVerifier>,
    pub(crate) rules: HeaderRules,
}

/// Reads whom the cluster's front proxy and clients are signed by.
pub(crate) async fn read_trust(client: &Client) -> Result<Trust, ServeError> {
    const WHAT: &str = "the ConfigMap kube-system/extension-apiserver-authentication";
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    let map = deadline(WHAT, maps.get("extension-apiserver-authentication")).await?;
    Ok(Trust::of(&map.data.unwrap_or_default())?)
}

impl Trust {
    /// Nobody.
    pub(crate) fn nobody() -> Result<Self, TlsError> {
        Self::of(&BTreeMap::new())
    }

    fn of(data: &BTreeMap<String, String>) -> Result<Self, TlsError> {
        let pem = |key: &str| data.get(key).filter(|pem| !pem.trim().is_empty());
        let list = |key: &str| -> Vec<String> {
            data.get(key).and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default()
        };
        let judge = |pem: Option<&String>| {
            pem.map(|pem| verifier(&[pem.clone().into_bytes()], Clients::May)).transpose()
        };
        let proxy = pem("requestheader-client-ca-file");
        let client = pem("client-ca-file");
        let both: Vec<Vec<u8>> =
            proxy.into_iter().chain(client).map(|pem| pem.clone().into_bytes()).collect();
        Ok(Self {
            proxy: judge(proxy)?,
            client: judge(client)?,
            either: verifier(&both, Clients::May)?,
            rules: HeaderRules {
                allowed_names: list("requestheader-allowed-names"),
                user: list("requestheader-username-headers"),
                group: list("requestheader-group-headers"),
                extra_prefixes: list("requestheader-extra-headers-prefix"),
            },
        })
    }

    /// What a client's certificates come to.
    pub(super) fn peer(&self, shown: &[CertificateDer<'_>]) -> Option<Peer> {
        let (own, others) = shown.split_first()?;
        let holds = |judge: &Option<Arc<dyn ClientCertVerifier>>| {
            let judge = judge.as_ref();
            judge.is_some_and(|j| j.verify_client_cert(own, others, UnixTime::now()).is_ok())
        };
        let (_, parsed) = X509Certificate::from_der(own).ok()?;
        let subject = parsed.subject();
        let text = |attribute: &x509_parser::prelude::AttributeTypeAndValue<'_>| {
            attribute.as_str().ok().map(str::to_owned)
        };
        Some(Peer {
            is_proxy: holds(&self.proxy),
            is_client: holds(&self.client),
            names: subject.iter_common_name().filter_map(text).collect(),
            organizations: subject.iter_organization().filter_map(text).collect(),
        })
    }
}

/// Asks the apiserver.
pub(crate) struct Delegate {
    client: Client,
    tokens: Believed<String, Option<Identity>>,
    permissions: Believed<(Identity, Permission), bool>,
}

impl Delegate {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, tokens: Believed::default(), permissions: Believed::default() }
    }

    /// Whom a token belongs to.
    pub(super) async fn owner(&self, token: &str) -> Result<Option<Identity>, ServeError> {
        let token = token.to_owned();
        if let Some(known) = self.tokens.get(&token) {
            return Ok(known);
        }
        let spec = TokenReviewSpec { token: Some(token.clone()), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let status =
            deadline("the owner of a token", reviews.create(&PostParams::default(), &review))
                .await?
                .status;
        let user = status.filter(|status| status.authenticated == Some(true)).and_then(|s| s.user);
        let identity = user.map(|user| {
            let identity = Identity {
                user: user.username.unwrap_or_default(),
                groups: user.groups.unwrap_or_default(),
                extra: user.extra.unwrap_or_default(),
            };
            identity.authenticated()
        });
        self.tokens.put(token, identity.clone());
        Ok(identity)
    }

    /// Whether somebody may do something.
    pub(super) async fn allows(
        &self,
        identity: &Identity,
        permission: &Permission,
    ) -> Result<bool, ServeError> {
        if identity.groups.iter().any(|group| group == MASTERS) {
            return Ok(true);
        }
        let asked = (identity.clone(), permission.clone());
        if let Some(known) = self.permissions.get(&asked) {
            return Ok(known);
        }
        let review =
            SubjectAccessReview { spec: access(identity, permission), ..Default::default() };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let status =
            deadline("a permission", reviews.create(&PostParams::default(), &review)).await?.status;
        let allowed = status.is_some_and(|status| status.allowed);
        self.permissions.put(asked, allowed);
        Ok(allowed)
    }
}

/// The question whether somebody may do something.
fn access(identity: &Identity, permission: &Permission) -> SubjectAccessReviewSpec {
    let mut spec = SubjectAccessReviewSpec {
        user: Some(identity.user.clone()),
        groups: Some(identity.groups.clone()),
        extra: Some(identity.extra.clone()),
        ..SubjectAccessReviewSpec::default()
    };
    match permission {
        Permission::Path(path) => {
            let (path, verb) = (Some(path.clone()), Some("get".to_owned()));
            spec.non_resource_attributes = Some(NonResourceAttributes { path, verb });
        }
        // A path that ends in a metric names a collection, and those are listed.
        Permission::Metric { namespace, metric } => {
            spec.resource_attributes = Some(ResourceAttributes {
                group: Some(GROUP.to_owned()),
                version: Some(VERSION.to_owned()),
                resource: Some(metric.clone()),
                namespace: Some(namespace.clone()),
                verb: Some("list".to_owned()),
                ..ResourceAttributes::default()
            });
        }
    }
    spec
}

/// Answers, until they are too old.
struct Believed<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Believed<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Believed<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, answer) = answers.get(key)?;
        (at.elapsed() < BELIEVED).then(|| answer.clone())
    }

    fn put(&self, key: K, answer: V) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, (at, _)| at.elapsed() < BELIEVED);
        }
        // So many at once are an attack, and cost a question each.
        if answers.len() < ANSWERS_MAX {
            answers.insert(key, (Instant::now(), answer));
        }
    }
}
