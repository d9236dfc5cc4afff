//! A certificate of our own, where none is given. Pure, but for the keys that it draws.
//!
//! An authority signs one certificate and is forgotten: whoever trusts it trusts that certificate and
//! no other.

use jiff::{Timestamp, Zoned, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::tls::{TlsError, certificates};

/// How long one is good for, in days.
const VALID_DAYS: i64 = 365;
/// One that ends sooner is made anew, in days: the one before it stays trusted until it ends.
const RENEW_DAYS: i64 = 60;
/// Clocks of others may be behind by this, in days.
const SKEW_DAYS: i64 = 1;

/// A certificate with its key and its authority, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The authority that clients should trust.
    pub authority: String,
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// Makes a certificate for these names.
///
/// # Errors
/// When a name is none, or no key can be drawn.
pub fn make(names: Vec<String>, now: Timestamp) -> Result<Made, rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // Of its own name for each: by it, clients find the one that signed what they see.
    let name = format!("preheat-{}", now.as_second());
    authority.distinguished_name.push(DnType::CommonName, name);
    during(&mut authority, now);
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "preheat");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    during(&mut params, now);
    Ok(Made {
        authority: authority_certificate.pem(),
        certificate: params.signed_by(&key, &issuer)?.pem(),
        key: key.serialize_pem(),
    })
}

fn during(params: &mut CertificateParams, now: Timestamp) {
    let day = |days: i64| {
        let date = Zoned::new(now, TimeZone::UTC).date();
        let date = date.saturating_add(jiff::Span::new().days(days));
        rcgen::date_time_ymd(
            date.year().into(),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    params.not_before = day(-SKEW_DAYS);
    params.not_after = day(VALID_DAYS);
}

/// Whether a certificate is for `name`, and still good for long enough.
///
/// # Errors
/// When it can't be read.
pub(crate) fn is_fresh(pem: &[u8], name: &str, now: Timestamp) -> Result<bool, TlsError> {
    let certificates = certificates(pem)?;
    let unreadable = |problem: String| TlsError::Pem { what: "certificate", problem };
    let first = certificates.first().ok_or_else(|| unreadable("there is none".to_owned()))?;
    let (_, parsed) =
        X509Certificate::from_der(first).map_err(|error| unreadable(error.to_string()))?;
    let left = parsed.validity().not_after.timestamp() - now.as_second();
    let names = parsed.subject_alternative_name().ok().flatten();
    let is_its = names.is_some_and(|names| {
        names
            .value
            .general_names
            .iter()
            .any(|its| matches!(its, GeneralName::DNSName(its) if *its == name))
    });
    Ok(is_its && left > RENEW_DAYS * 24 * 3600)
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    #[test]
    fn one_is_good_for_a_year_and_renewed_two_months_before() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let name = "preheat.preheat-system.svc";
        let made = make(vec![name.to_owned()], now).unwrap();
        let fresh = |after: i64| {
            let then = now + (after * 24).hours();
            is_fresh(made.certificate.as_bytes(), name, then).unwrap()
        };
        assert!(fresh(0) && fresh(300));
        assert!(!fresh(310) && !fresh(400));
        // Of another Service it is none.
        assert!(!is_fresh(made.certificate.as_bytes(), "other.svc", now).unwrap());
    }

    #[test]
    fn what_is_no_certificate_is_not_fresh_but_wrong() {
        let now = Timestamp::UNIX_EPOCH;
        assert!(is_fresh(b"hello", "a", now).is_err());
    }
}
