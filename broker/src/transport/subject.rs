//! Whom a client's certificate names: the user of the EXTERNAL mechanism.
//!
//! RabbitMQ's default is the whole distinguished name, most special part first and escaped as RFC 4514 says
//! (`CN=alice,OU=messaging,O=Example`); `ssl_cert_login_from = common_name` takes the common name alone.

use x509_parser::certificate::X509Certificate;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::config::CertificateUser;

/// The user that the certificate (DER) names; `None` if it cannot be read or names nobody.
pub fn user_of(certificate: &[u8], from: CertificateUser) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    match from {
        CertificateUser::CommonName => common_name(parsed.subject()),
        CertificateUser::DistinguishedName => {
            Some(distinguished_name(parsed.subject())).filter(|name| !name.is_empty())
        }
    }
}

/// Subject and issuer as texts, for the API.
pub fn names_of(certificate: &[u8]) -> Option<(String, String)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some((distinguished_name(parsed.subject()), distinguished_name(parsed.issuer())))
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

    #[test]
    fn what_is_no_certificate_names_nobody() {
        for bytes in [&b""[..], b"nonsense", &[0x30, 0x82, 0xFF, 0xFF]] {
            assert_eq!(user_of(bytes, CertificateUser::CommonName), None);
        }
    }
}
