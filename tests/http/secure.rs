//! TLS, and certificates that log in.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness::{Broker, patience, target_dir, unique};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::{GUEST, request};

const PROTOCOL_HEADER: &[u8] = b"AMQP\0\0\x09\x01";

/// Who signs, and files for a server.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    directory: PathBuf,
}

/// A client's certificate and key.
struct Identity(CertificateDer<'static>, PrivateKeyDer<'static>);

fn named(organization: &str, name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::OrganizationName, organization);
    names.push(DnType::CommonName, name);
    names
}

impl Authority {
    pub(crate) fn create() -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name = named("Example", "the authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let directory = target_dir().join("tmp").join(unique("certificates"));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("ca.pem"), certificate.pem()).expect("written");
        let authority =
            Authority { certificate: certificate.der().clone(), issuer: Issuer::new(params, key), directory };
        authority.write_server();
        authority
    }

    fn write_server(&self) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(self.path("server.pem"), certificate.pem()).expect("written");
        fs::write(self.path("server.key"), key.serialize_pem()).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn identity(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = named("Example", name);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity(certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
    }

    /// The settings of a broker that asks clients for certificates.
    fn settings(&self) -> Vec<String> {
        let path = |name: &str| -> String { Path::display(&self.path(name)).to_string() };
        vec![
            "listeners.ssl.1=127.0.0.1:0".into(),
            format!("ssl_options.cacertfile={}", path("ca.pem")),
            format!("ssl_options.certfile={}", path("server.pem")),
            format!("ssl_options.keyfile={}", path("server.key")),
            "ssl_options.verify=verify_peer".into(),
            "ssl_options.fail_if_no_peer_cert=false".into(),
        ]
    }

    /// A client that has said what it speaks.
    fn greet(&self, to: SocketAddr, identity: Option<Identity>) -> Client {
        let mut client = self.connect(to, identity);
        client.0.write_all(PROTOCOL_HEADER).expect("taken");
        client
    }

    fn connect(&self, to: SocketAddr, identity: Option<Identity>) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity(certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate], key).expect("they belong together")
            }
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::new(config), name).expect("usable");
        let socket = TcpStream::connect(to).expect("the broker listens");
        socket.set_read_timeout(Some(patience())).expect("a socket");
        Client(StreamOwned::new(session, socket))
    }

    /// Whether a client without certificate hears connection.start.
    pub(crate) fn is_greeted(&self, to: SocketAddr) -> bool {
        let mut client = self.connect(to, None);
        client.0.write_all(PROTOCOL_HEADER).and_then(|()| client.0.read_exact(&mut [0; 7])).is_ok()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    /// Class and method of the next frame, and the rest of it.
    fn method(&mut self) -> (u16, u16, Vec<u8>) {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).expect("a frame");
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let mut body = vec![0; size + 1];
        self.0.read_exact(&mut body).expect("the rest of it");
        (u16::from_be_bytes([body[0], body[1]]), u16::from_be_bytes([body[2], body[3]]), body[4..size].to_vec())
    }

    fn send_external(&mut self) {
        let method = b"\0\x0a\0\x0b\0\0\0\0\x08EXTERNAL\0\0\0\0\x05en_US";
        let size = u32::try_from(method.len()).expect("short").to_be_bytes();
        let frame = [&[1, 0, 0][..], &size, method, &[0xCE]].concat();
        self.0.write_all(&frame).expect("taken");
    }

    /// Answers connection.start with EXTERNAL; gives the method that follows: 30 is tune, 50 is close.
    fn log_in_by_certificate(&mut self) -> (u16, String) {
        self.send_external();
        let (_, method, rest) = self.method();
        (method, String::from_utf8_lossy(&rest).into_owned())
    }
}

pub(crate) fn secure_address(broker: &Broker) -> SocketAddr {
    let ready = broker.logged(" ready: ").expect("it is ready");
    let mut words = ready.split_whitespace().skip_while(|word| *word != "amqps").skip(1);
    words.next().expect("it listens").trim_end_matches(',').parse().expect("an address")
}

pub(crate) fn start(authority: &Authority, more: &[&str]) -> Broker {
    let mut settings = authority.settings();
    settings.extend(more.iter().map(|it| (*it).to_owned()));
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Broker::start_ours_with(2, &settings)
}

fn put_user(broker: &Broker, path: &str) {
    let answer = request(broker.http(), GUEST, &format!("PUT /api/users/{path} {{\"password\":\"\",\"tags\":\"\"}}"));
    assert_eq!(answer.status, 201, "{}", answer.body);
}

#[test]
fn a_certificate_logs_its_owner_in() {
    let authority = Authority::create();
    let broker = start(&authority, &[]);
    let to = secure_address(&broker);
    put_user(&broker, "CN=alice,O=Example");

    let mut alice = authority.greet(to, Some(authority.identity("alice")));
    let (_, _, start) = alice.method();
    let offered = String::from_utf8_lossy(&start).into_owned();
    assert!(offered.contains("PLAIN AMQPLAIN EXTERNAL"), "{offered}");
    assert_eq!(alice.log_in_by_certificate().0, 30, "tune");
    let listed = request(broker.http(), GUEST, "GET /api/connections").body;
    for text in [
        "\"ssl\":true",
        "\"ssl_protocol\":\"tlsv1.3\"",
        "\"ssl_hash\":\"aead\"",
        "\"peer_cert_subject\":\"CN=alice,O=Example\"",
        "\"peer_cert_issuer\":\"CN=the authority,O=Example\"",
        "\"peer_cert_validity\":\"",
        "\"auth_mechanism\":\"EXTERNAL\"",
        "\"user\":\"CN=alice,O=Example\"",
    ] {
        assert!(listed.contains(text), "no {text} in {listed}");
    }

    let mut bob = authority.greet(to, Some(authority.identity("bob")));
    bob.method();
    bob.send_external();
    // "A client that did not announce authentication_failure_close sees the socket close."
    assert!(!matches!(bob.0.read(&mut [0; 16]), Ok(1..)), "there is no such user");

    let mut nobody = authority.greet(to, None);
    let (_, _, start) = nobody.method();
    let offered = String::from_utf8_lossy(&start).into_owned();
    assert!(!offered.contains("EXTERNAL"), "{offered}");
    let (method, text) = nobody.log_in_by_certificate();
    assert!(method == 50 && text.contains("unknown authentication mechanism 'EXTERNAL'"), "{text}");
}

#[test]
fn the_common_name_may_be_the_user_and_mechanisms_may_be_fewer() {
    let authority = Authority::create();
    let broker = start(&authority, &["ssl_cert_login_from=common_name", "auth_mechanisms.1=EXTERNAL"]);
    put_user(&broker, "alice");
    let mut alice = authority.greet(secure_address(&broker), Some(authority.identity("alice")));
    let (_, _, start) = alice.method();
    assert!(!String::from_utf8_lossy(&start).contains("PLAIN"));
    assert_eq!(alice.log_in_by_certificate().0, 30, "tune");
}

#[test]
fn a_certificate_of_somebody_elses_authority_is_refused() {
    let (ours, theirs) = (Authority::create(), Authority::create());
    let broker = start(&ours, &[]);
    let mut stranger = ours.connect(secure_address(&broker), Some(theirs.identity("alice")));
    assert!(stranger.0.read(&mut [0; 16]).is_err(), "the handshake fails");
}

#[test]
fn certificates_that_end_soon_are_told() {
    let authority = Authority::create();
    let broker = start(&authority, &[]);
    let check = |span: &str, status: u16, text: &str| {
        let path = format!("GET /api/health/checks/certificate-expiration/{span}");
        let answer = request(broker.http(), GUEST, &path);
        assert_eq!(answer.status, status, "{span}: {}", answer.body);
        assert!(answer.body.contains(text), "{span}: {}", answer.body);
    };
    check("1/days", 200, "ok");
    check("100/years", 503, "\"certfile_expires_on\":[\"2030-01-01T00:00:00Z\"]");
    check("1/hours", 400, "Time unit not recognised");
}
