//! Certificates and keys, as rustls takes them.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};

/// What shows who serves, as PEM.
#[derive(Clone)]
pub(crate) struct Material {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// What is wrong with a certificate or a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It is no PEM, or none of the kind that is needed.
    #[error("the {what} can't be read: {problem}")]
    Pem {
        /// What should be there.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Certificate and key do not fit each other, or are of a kind that is not known.
    #[error("certificate and key can't be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Whether clients must show a certificate of one of the authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    Must,
    May,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |problem: String| TlsError::Pem { what: "certificate", problem };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| unreadable(error.to_string()))?;
    if found.is_empty() {
        return Err(unreadable("there is none in it".to_owned()));
    }
    Ok(found)
}

/// A judge of clients' certificates: those that chain to any of these authorities.
pub(crate) fn verifier(
    authorities: &[Vec<u8>],
    clients: Clients,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for pem in authorities {
        for certificate in certificates(pem)? {
            roots.add(certificate)?;
        }
    }
    if roots.is_empty() {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = match clients {
        Clients::Must => builder,
        Clients::May => builder.allow_unauthenticated(),
    };
    builder
        .build()
        .map_err(|error| TlsError::Pem { what: "authority of clients", problem: error.to_string() })
}

pub(crate) fn server_config(
    material: &Material,
    clients: Arc<dyn ClientCertVerifier>,
    protocols: &[&str],
) -> Result<Arc<ServerConfig>, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(&material.key)
        .map_err(|error| TlsError::Pem { what: "key", problem: error.to_string() })?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(certificates(&material.certificate)?, key)?;
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}
