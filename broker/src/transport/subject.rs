//! Whom a client's certificate names: the user of the EXTERNAL mechanism.
//!
//! RabbitMQ's default is the whole distinguished name, most special part first and escaped as RFC 4514 says
//! (`CN=alice,OU=messaging,O=Example`); `ssl_cert_login_from = common_name` takes the common name alone, and
//! `subject_alternative_name` one of the other names that the certificate has.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use leveret_management::clock::utc;
use leveret_management::port::PeerCertificate;

use crate::config::{CertificateUser, NameKind, Tls};

/// The user that the certificate (DER) names; `None` if it cannot be read or names nobody.
pub fn user_of(certificate: &[u8], options: &Tls) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    match options.user_from {
        CertificateUser::CommonName => common_name(parsed.subject()),
        CertificateUser::DistinguishedName => {
            Some(distinguished_name(parsed.subject())).filter(|name| !name.is_empty())
        }
        CertificateUser::AlternativeName => alternative_name(&parsed, options.alternative_name),
    }
}

/// The name of that kind at that place among those of the kind, from 0.
fn alternative_name(certificate: &X509Certificate<'_>, (kind, index): (NameKind, usize)) -> Option<String> {
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    let name = |name: &GeneralName<'_>| match (kind, name) {
        (NameKind::Dns, GeneralName::DNSName(name))
        | (NameKind::Email, GeneralName::RFC822Name(name))
        | (NameKind::Uri, GeneralName::URI(name)) => Some((*name).to_owned()),
        (NameKind::Ip, GeneralName::IPAddress(octets)) => address(octets),
        _ => None,
    };
    names.iter().filter_map(name).nth(index)
}

fn address(octets: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let found = v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
    found.ok().map(|address| address.to_string())
}

/// The certificate (DER) as operators see it.
pub fn describe(certificate: &[u8]) -> Option<PeerCertificate> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    Some(PeerCertificate {
        subject: distinguished_name(parsed.subject()),
        issuer: distinguished_name(parsed.issuer()),
        validity: format!("{} - {}", utc(validity.not_before.timestamp()), utc(validity.not_after.timestamp())),
    })
}

/// When the certificate (DER) ends, in seconds since 1970.
pub fn expiry_of(certificate: &[u8]) -> Option<i64> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    let first = name.iter_common_name().next()?;
    first.as_str().ok().map(String::from)
}

fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for relative in name.iter() {
        let attributes: Vec<String> = relative.iter().map(attribute).collect();
        parts.push(attributes.join("+"));
    }
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let kind = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), String::from);
    format!("{kind}={}", escape(attribute.as_str().unwrap_or_default()))
}

/// RFC 4514, section 2.4.
fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(value.len());
    for (index, c) in value.chars().enumerate() {
        let at_an_end = (index == 0 && (c == ' ' || c == '#')) || (index == last && c == ' ');
        if at_an_end || ",+\"\\<>;".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_as_the_standard_says() {
        let check = |value, expected| assert_eq!(escape(value), expected);
        check("alice", "alice");
        check("Example, Inc.", "Example\\, Inc.");
        check(" a ", "\\ a\\ ");
        check(" ", "\\ ");
        check("#1", "\\#1");
        check("a#1", "a#1");
        check("a+b\"c\\d<e>f;g", "a\\+b\\\"c\\\\d\\<e\\>f\\;g");
        check("", "");
    }

    /// A certificate of `CN=alice,O=Example` with other names.
    fn certificate() -> Vec<u8> {
        let mut wanted =
            rcgen::CertificateParams::new(["a.example".to_owned(), "b.example".to_owned()]).expect("names");
        wanted.subject_alt_names.push(rcgen::SanType::Rfc822Name("alice@example".try_into().expect("ASCII")));
        wanted.subject_alt_names.push(rcgen::SanType::URI("urn:alice".try_into().expect("ASCII")));
        wanted.subject_alt_names.push(rcgen::SanType::IpAddress([192, 0, 2, 7].into()));
        wanted.distinguished_name = rcgen::DistinguishedName::new();
        wanted.distinguished_name.push(rcgen::DnType::OrganizationName, "Example");
        wanted.distinguished_name.push(rcgen::DnType::CommonName, "alice");
        wanted.not_before = rcgen::date_time_ymd(2024, 2, 29);
        wanted.not_after = rcgen::date_time_ymd(2100, 3, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        wanted.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn a_certificate_names_a_user_as_configured() {
        let certificate = certificate();
        let check = |(user_from, kind, index), expected: Option<&str>| {
            let options = Tls { user_from, alternative_name: (kind, index), ..Tls::default() };
            assert_eq!(user_of(&certificate, &options).as_deref(), expected, "{user_from:?} {kind:?} {index}");
        };
        check((CertificateUser::DistinguishedName, NameKind::Dns, 0), Some("CN=alice,O=Example"));
        check((CertificateUser::CommonName, NameKind::Dns, 0), Some("alice"));
        let other = |kind, index| (CertificateUser::AlternativeName, kind, index);
        check(other(NameKind::Dns, 0), Some("a.example"));
        check(other(NameKind::Dns, 1), Some("b.example"));
        check(other(NameKind::Dns, 2), None);
        check(other(NameKind::Email, 0), Some("alice@example"));
        check(other(NameKind::Uri, 0), Some("urn:alice"));
        check(other(NameKind::Ip, 0), Some("192.0.2.7"));
    }

    #[test]
    fn certificates_are_described() {
        let described = describe(&certificate()).expect("a certificate");
        assert_eq!(described.subject, "CN=alice,O=Example");
        assert_eq!(described.validity, "2024-02-29T00:00:00Z - 2100-03-01T00:00:00Z");
    }

    #[test]
    fn what_is_no_certificate_names_nobody() {
        for bytes in [&b""[..], b"nonsense", &[0x30, 0x82, 0xFF, 0xFF]] {
            assert_eq!(user_of(bytes, &Tls::default()), None);
        }
    }
}
