//! Who is asking: by the front proxy's word, by certificate, or by a token that the apiserver is asked
//! about. Pure.
//!
//! **Invariant:** headers that name a user count only on connections of the front proxy: those whose
//! certificate chains to the request-header authority and bears a name that is allowed.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::routes::decoded;

/// Who is asking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) user: String,
    pub(super) groups: Vec<String>,
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

/// The certificate that a connection showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// It chains to the request-header authority.
    pub(crate) is_proxy: bool,
    /// It chains to the clients' authority.
    pub(crate) is_client: bool,
    /// Its subject's common names.
    pub(crate) names: Vec<String>,
    /// Its subject's organizations.
    pub(crate) organizations: Vec<String>,
}

/// What the cluster says of its front proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderRules {
    /// Names that its certificate may bear; any where there are none.
    pub(crate) allowed_names: Vec<String>,
    /// Headers that name the user, the first one there counts.
    pub(crate) user: Vec<String>,
    /// Headers that name groups.
    pub(crate) group: Vec<String>,
    /// What headers with more about the user begin with.
    pub(crate) extra_prefixes: Vec<String>,
}

/// What a request claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// To be this user, proven.
    Identity(Identity),
    /// To be whoever this token names.
    Token(String),
    /// Nothing.
    Nobody,
}

/// Members may do everything, and need not be asked about.
pub(super) const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";

pub(super) fn claim(peer: Option<&Peer>, headers: &HeaderMap, rules: &HeaderRules) -> Claim {
    let proxy = peer.filter(|peer| peer.is_proxy && is_allowed(peer, rules));
    if let Some(identity) = proxy.and_then(|_| from_headers(headers, rules)) {
        return Claim::Identity(identity.authenticated());
    }
    if let Some(peer) = peer.filter(|peer| peer.is_client)
        && let Some(user) = peer.names.first()
    {
        let groups = peer.organizations.clone();
        let identity = Identity { user: user.clone(), groups, extra: BTreeMap::new() };
        return Claim::Identity(identity.authenticated());
    }
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.split_once(' '));
    match token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Claim::Token(token.trim().to_owned())
        }
        Some(_) | None => Claim::Nobody,
    }
}

fn is_allowed(peer: &Peer, rules: &HeaderRules) -> bool {
    rules.allowed_names.is_empty()
        || peer.names.iter().any(|name| rules.allowed_names.contains(name))
}

fn from_headers(headers: &HeaderMap, rules: &HeaderRules) -> Option<Identity> {
    let values = |name: &String| {
        let values = headers.get_all(name.as_str()).iter();
        values.filter_map(|value| value.to_str().ok()).filter(|value| !value.is_empty())
    };
    let user = rules.user.iter().find_map(|name| values(name).next())?.to_owned();
    let groups = rules.group.iter().flat_map(values).map(str::to_owned).collect();
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        // Names of headers are in lower case here.
        let prefixes = rules.extra_prefixes.iter().map(|prefix| prefix.to_ascii_lowercase());
        let key = prefixes.filter_map(|prefix| name.as_str().strip_prefix(&prefix)).next();
        if let (Some(key), Ok(value)) = (key, value.to_str()) {
            extra.entry(decoded(key)).or_default().push(value.to_owned());
        }
    }
    Some(Identity { user, groups, extra })
}

impl Identity {
    /// With the group that everybody who is somebody is in: the aggregator's own requests name none,
    /// and may discover what is served only by it.
    pub(super) fn authenticated(mut self) -> Self {
        let is_nobody = self.user == ANONYMOUS || self.groups.iter().any(|g| g == UNAUTHENTICATED);
        if !is_nobody && !self.groups.iter().any(|group| group == AUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn rules() -> HeaderRules {
        HeaderRules {
            allowed_names: vec!["front-proxy-client".to_owned()],
            user: vec!["X-Remote-User".to_owned()],
            group: vec!["X-Remote-Group".to_owned()],
            extra_prefixes: vec!["X-Remote-Extra-".to_owned()],
        }
    }

    fn peer(is_proxy: bool, is_client: bool, name: &str) -> Peer {
        let (names, organizations) = (vec![name.to_owned()], vec!["team".to_owned()]);
        Peer { is_proxy, is_client, names, organizations }
    }

    fn spoof() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", HeaderValue::from_static("admin"));
        headers.append("x-remote-group", HeaderValue::from_static("system:masters"));
        headers.append("x-remote-group", HeaderValue::from_static("others"));
        headers.insert("x-remote-extra-a%2fb", HeaderValue::from_static("c"));
        headers
    }

    #[test]
    fn the_front_proxy_is_believed() {
        let peer = peer(true, false, "front-proxy-client");
        let Claim::Identity(identity) = claim(Some(&peer), &spoof(), &rules()) else { panic!() };
        assert_eq!(identity.user, "admin");
        assert_eq!(identity.groups, ["system:masters", "others", "system:authenticated"]);
        assert_eq!(identity.extra["a/b"], ["c"]);
    }

    #[test]
    fn nobody_else_is() {
        assert_eq!(claim(None, &spoof(), &rules()), Claim::Nobody);
        let other_name = peer(true, false, "somebody");
        assert_eq!(claim(Some(&other_name), &spoof(), &rules()), Claim::Nobody);
        // A client's certificate makes it that client, whatever the headers say.
        let client = peer(false, true, "front-proxy-client");
        let Claim::Identity(identity) = claim(Some(&client), &spoof(), &rules()) else { panic!() };
        assert_eq!(identity.user, "front-proxy-client");
        assert_eq!(identity.groups, ["team", "system:authenticated"]);
    }

    #[test]
    fn a_cluster_without_a_front_proxy_has_no_headers_to_believe() {
        let peer = peer(true, false, "front-proxy-client");
        assert_eq!(claim(Some(&peer), &spoof(), &HeaderRules::default()), Claim::Nobody);
    }

    #[test]
    fn tokens_are_asked_about() {
        let mut headers = spoof();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer abc"));
        assert_eq!(claim(None, &headers, &rules()), Claim::Token("abc".to_owned()));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic abc"));
        assert_eq!(claim(None, &headers, &rules()), Claim::Nobody);
    }

    #[test]
    fn who_is_nobody_stays_it() {
        let user = ANONYMOUS.to_owned();
        let identity = Identity { user, ..Identity::default() }.authenticated();
        assert!(identity.groups.is_empty());
    }
}
