//! The server's certificate and key and whom it trusts, read from PEM files, and exchanged while the program runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use leveret_runtime as runtime;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::subject;
use crate::config::Tls;

/// Why TLS cannot be offered.
#[derive(Debug)]
#[expect(missing_docs, reason = "Display says it")]
pub enum TlsError {
    Missing { key: &'static str },
    Unreadable { path: PathBuf, error: io::Error },
    NotPem { path: PathBuf, expected: &'static str },
    Refused { path: PathBuf, error: String },
    NoVersion,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key } => write!(f, "TLS needs {key} in the configuration"),
            Self::Unreadable { path, error } => write!(f, "TLS: cannot read {}: {error}", path.display()),
            Self::NotPem { path, expected } => write!(f, "TLS: {} has no {expected} in PEM form", path.display()),
            Self::Refused { path, error } => write!(f, "TLS: {}: {error}", path.display()),
            Self::NoVersion => f.write_str("TLS: ssl_options.versions leaves no version; name tlsv1.2 or tlsv1.3"),
        }
    }
}

impl std::error::Error for TlsError {}

/// What new sessions use.
#[derive(Debug)]
pub struct Certificates {
    current: ArcSwap<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    expiry: Expiry,
}

/// When certificates end, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// Those of the server's chain.
    pub chain: Vec<i64>,
    /// Those of the signers of clients' certificates, if clients are asked for one.
    pub authorities: Vec<i64>,
}

impl Certificates {
    /// Reads the files. Runs on the runtime.
    ///
    /// # Errors
    /// One is missing, is not what it should be, or does not belong to the other.
    pub fn load(options: &Tls) -> Result<Certificates, TlsError> {
        Ok(Certificates { current: ArcSwap::from_pointee(read_config(options)?) })
    }

    /// Reads the files again; sessions that run go on with what they have. Nothing changes on an error.
    ///
    /// # Errors
    /// As [`Certificates::load`].
    pub fn reload(&self, options: &Tls) -> Result<(), TlsError> {
        self.current.store(Arc::new(read_config(options)?));
        Ok(())
    }

    /// What a new session uses.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }

    /// When those end that new sessions use.
    pub fn expiry(&self) -> Expiry {
        self.current.load().expiry.clone()
    }
}

fn read_config(options: &Tls) -> Result<Loaded, TlsError> {
    let certificate_path = options.certificate.as_ref().ok_or(TlsError::Missing { key: "ssl_options.certfile" })?;
    let key_path = options.key.as_ref().ok_or(TlsError::Missing { key: "ssl_options.keyfile" })?;
    let chain = certificates(certificate_path)?;
    let key = PrivateKeyDer::from_pem_slice(&read(key_path)?)
        .map_err(|_| TlsError::NotPem { path: key_path.clone(), expected: "unencrypted private key" })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let authorities = if options.verify_peer { authorities(options)? } else { Vec::new() };
    let expiry = Expiry { chain: ends(&chain), authorities: ends(&authorities) };
    let verifier = client_verifier(options, authorities, &provider)?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(options))
        .map_err(|_| TlsError::NoVersion)?
        .with_client_cert_verifier(verifier);
    let config = builder
        .with_single_cert(chain, key)
        .map_err(|error| TlsError::Refused { path: key_path.clone(), error: error.to_string() })?;
    Ok(Loaded { config: Arc::new(config), expiry })
}

fn ends(certificates: &[CertificateDer<'_>]) -> Vec<i64> {
    certificates.iter().filter_map(|certificate| subject::expiry_of(certificate)).collect()
}

/// Who signs clients' certificates.
fn authorities(options: &Tls) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates(options.authorities.as_ref().ok_or(TlsError::Missing { key: "ssl_options.cacertfile" })?)
}

fn versions(options: &Tls) -> Vec<&'static rustls::SupportedProtocolVersion> {
    let tls13 = options.tls13.then_some(&rustls::version::TLS13);
    let tls12 = options.tls12.then_some(&rustls::version::TLS12);
    tls13.into_iter().chain(tls12).collect()
}

/// Who checks clients' certificates: nobody, unless they are asked for one.
fn client_verifier(
    options: &Tls,
    authorities: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if !options.verify_peer {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let path = options.authorities.clone().unwrap_or_default();
    let refused = |error: String| TlsError::Refused { path: path.clone(), error };
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = if options.require_certificate { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| refused(error.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem = || TlsError::NotPem { path: path.to_owned(), expected: "certificate" };
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(not_pem()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    runtime::fs::read(path).map_err(|error| TlsError::Unreadable { path: path.to_owned(), error })
}
