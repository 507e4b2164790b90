//! TLS over a TCP stream of the runtime, the server's side.
//!
//! Two coroutines use one session: the reader, and whoever writes at the end of a turn. Neither holds it across a wait, and
//! records reach the socket in the order in which they were made. What the session wants to say while the reader reads
//! (the handshake, an alert) the reader sends, waiting for room if it must.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use leveret_management::port::Tls;
use leveret_runtime::net::TcpStream;
use rustls::pki_types::CertificateDer;
use rustls::{ServerConfig, ServerConnection};

use super::subject;

/// Bytes that one write hands to the session: what cannot be sent at once waits encrypted, and this bounds it.
const WRITE_MAX: usize = 64 * 1024;

/// Capacity of a buffer of decrypted bytes that is worth keeping while there is nothing in it.
const KEPT_CAPACITY_MAX: usize = 4 * 1024;

/// A TLS session with a client.
#[derive(Debug)]
pub struct TlsStream {
    tcp: TcpStream,
    session: RefCell<ServerConnection>,
    inbox: RefCell<Inbox>,
}

/// Decrypted bytes that nobody has taken yet.
#[derive(Debug, Default)]
struct Inbox {
    bytes: Vec<u8>,
    taken: usize,
    has_ended: bool,
}

impl TlsStream {
    /// Nothing is sent or read before the first read or write.
    ///
    /// # Errors
    /// The configuration is not usable.
    pub fn new(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<TlsStream> {
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        session.set_buffer_limit(None); // WRITE_MAX bounds it
        Ok(TlsStream { tcp, session: RefCell::new(session), inbox: RefCell::default() })
    }

    /// The socket below.
    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Parks until the handshake is over.
    ///
    /// # Errors
    /// The connection failed or ended, or the client does not do what the configuration asks for.
    pub fn shake_hands(&self) -> io::Result<()> {
        while self.session.borrow().is_handshaking() {
            let taken = self.tcp.read_with(|records| self.take_records(records))?;
            let flushed = self.wait_flushed(); // also an alert that tells the client what was wrong
            taken?;
            flushed?;
            if self.inbox.borrow().has_ended && self.session.borrow().is_handshaking() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the client went during the TLS handshake"));
            }
        }
        Ok(())
    }

    /// What was agreed, once the handshake is over.
    pub fn agreed(&self) -> Option<Tls> {
        let session = self.session.borrow();
        let protocol = match session.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => "tlsv1.2",
            rustls::ProtocolVersion::TLSv1_3 => "tlsv1.3",
            _ => return None,
        };
        let suite = format!("{:?}", session.negotiated_cipher_suite()?.suite());
        let (key_exchange, cipher) = parts_of(&suite);
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let peer = certificate.and_then(|certificate| subject::describe(certificate));
        Some(Tls { protocol, key_exchange, cipher, hash: "aead".into(), peer })
    }

    /// The client's own certificate, if it was asked for one and had one; it has been verified.
    pub fn peer_certificate(&self) -> Option<CertificateDer<'static>> {
        let session = self.session.borrow();
        session.peer_certificates()?.first().map(|certificate| certificate.clone().into_owned())
    }

    // ---- reading

    /// See [`Transport::read_with`](super::Transport::read_with).
    pub(super) fn read_with<T>(&self, f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        self.fill()?;
        let mut inbox = self.inbox.take();
        let result = f(&inbox.bytes[inbox.taken..]);
        inbox.bytes.clear();
        inbox.taken = 0;
        self.inbox.borrow_mut().keep(inbox);
        Ok(result)
    }

    /// Fills as much of `buffer` as there is, and at least one byte unless the stream has ended.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let mut inbox = self.inbox.borrow_mut();
        let available = &inbox.bytes[inbox.taken..];
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        inbox.taken += count;
        if inbox.taken == inbox.bytes.len() {
            inbox.bytes.clear();
            inbox.taken = 0;
        }
        Ok(count)
    }

    /// Parks until the inbox has something, or the stream has ended.
    fn fill(&self) -> io::Result<()> {
        loop {
            if self.inbox.borrow().is_ready() {
                return Ok(());
            }
            let taken = self.tcp.read_with(|records| self.take_records(records))?;
            let flushed = self.wait_flushed(); // also an alert that tells the client what was wrong
            taken?;
            flushed?;
        }
    }

    /// Gives the session what came from the socket, and takes out what it decrypts to.
    fn take_records(&self, mut records: &[u8]) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        let mut inbox = self.inbox.borrow_mut();
        if records.is_empty() {
            inbox.has_ended = true; // without close_notify: what follows is for AMQP to judge
            return Ok(());
        }
        while !records.is_empty() && !inbox.has_ended {
            session.read_tls(&mut records)?;
            let decrypted = session.process_new_packets();
            decrypted.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("TLS: {error}")))?;
            inbox.take_decrypted(&mut session)?;
        }
        Ok(())
    }

    // ---- writing

    /// See [`Transport::try_write`](super::Transport::try_write).
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_flush()?;
        let count = self.session.borrow_mut().writer().write(&bytes[..bytes.len().min(WRITE_MAX)])?;
        match self.try_flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    /// See [`Transport::try_flush`](super::Transport::try_flush).
    pub(super) fn try_flush(&self) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        while session.wants_write() {
            session.write_tls(&mut WithoutWaiting(&self.tcp))?;
        }
        Ok(())
    }

    fn wait_flushed(&self) -> io::Result<()> {
        loop {
            match self.try_flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.tcp.wait_writable()?,
                other => return other,
            }
        }
    }

    /// Tells the client that nothing more comes, if the socket has room for it.
    pub(super) fn say_close(&self) {
        self.session.borrow_mut().send_close_notify();
        let _ = self.try_flush(); // a client that does not listen does not need to hear it
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        self.say_close();
    }
}

impl Inbox {
    fn is_ready(&self) -> bool {
        self.taken < self.bytes.len() || self.has_ended
    }

    fn take_decrypted(&mut self, session: &mut ServerConnection) -> io::Result<()> {
        match session.reader().read_to_end(&mut self.bytes) {
            Ok(_) => self.has_ended = true, // the client has said close_notify
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes the buffer back that a reader had, unless more came meanwhile or it is too large to lie about.
    fn keep(&mut self, read: Inbox) {
        self.has_ended |= read.has_ended;
        if self.bytes.capacity() == 0 && read.bytes.capacity() <= KEPT_CAPACITY_MAX {
            self.bytes = read.bytes;
        }
    }
}

/// Key exchange and cipher of a suite such as `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384`. TLS 1.3 leaves the first open.
fn parts_of(suite: &str) -> (String, String) {
    let (exchange, cipher) = match suite.strip_prefix("TLS13_") {
        Some(cipher) => ("any", cipher),
        None => suite.strip_prefix("TLS_").unwrap_or(suite).split_once("_WITH_").unwrap_or(("any", suite)),
    };
    let cipher = cipher.rsplit_once("_SHA").map_or(cipher, |(cipher, _)| cipher);
    (exchange.to_lowercase(), cipher.to_lowercase())
}

/// A socket that answers `WouldBlock` instead of parking.
struct WithoutWaiting<'a>(&'a TcpStream);

impl Write for WithoutWaiting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use leveret_runtime as runtime;
    use runtime::net::TcpListener;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

    use super::*;
    use crate::transport::Transport;

    type Client = StreamOwned<ClientConnection, TcpStream>;

    /// A certificate for `localhost`, and configurations of both sides with it.
    fn configurations() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a key and a certificate");
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let server = server.expect("versions").with_no_client_auth();
        let server = server.with_single_cert(vec![certificate.clone()], key).expect("they belong together");
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a certificate");
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let client = client.expect("versions").with_root_certificates(roots).with_no_client_auth();
        (Arc::new(server), Arc::new(client))
    }

    /// Runs both sides of one connection.
    fn converse(server: impl FnOnce(Transport) + 'static, client: impl FnOnce(Client) + 'static) {
        runtime::run(|| {
            let (server_config, client_config) = configurations();
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let addr = listener.local_addr().expect("bound");
            let serving = runtime::spawn(move || {
                let (stream, _) = listener.accept().expect("a client");
                server(Transport::Tls(Box::new(TlsStream::new(stream, server_config).expect("usable"))));
            });
            let name = ServerName::try_from("localhost").expect("a name");
            let session = ClientConnection::new(client_config, name).expect("usable");
            client(StreamOwned::new(session, TcpStream::connect(addr).expect("it listens")));
            serving.join().expect("the server's side passes");
        })
        .expect("no deadlock");
    }

    #[test]
    fn bytes_arrive_as_they_were_sent_in_both_directions_and_close_is_said() {
        const SIZE: usize = 1_000_000; // more than the socket's buffers take at once
        converse(
            |stream| {
                let stream = Rc::new(stream);
                let mut received = 0;
                while received < SIZE {
                    received += stream
                        .read_with(|bytes| {
                            assert!(bytes.iter().all(|byte| *byte == b'c'));
                            bytes.len()
                        })
                        .expect("more");
                }
                let mut rest = &vec![b's'; SIZE][..];
                while !rest.is_empty() {
                    match stream.try_write(rest) {
                        Ok(count) => rest = &rest[count..],
                        Err(error) => {
                            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                            stream.wait_writable().expect("connected");
                        }
                    }
                }
                while stream.try_flush().is_err() {
                    stream.wait_writable().expect("connected");
                }
                let agreed = stream.tls().and_then(TlsStream::agreed).expect("the handshake is over");
                assert_eq!(agreed.protocol, "tlsv1.3");
            },
            |mut client| {
                client.write_all(&vec![b'c'; SIZE]).expect("taken");
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).expect("ends with close_notify");
                assert_eq!(answer, vec![b's'; SIZE]);
            },
        );
    }

    #[test]
    fn a_read_takes_part_of_what_came_and_the_next_the_rest() {
        converse(
            |stream| {
                let mut start = [0; 3];
                (&stream).read_exact(&mut start).expect("three bytes");
                assert_eq!(&start, b"abc");
                let rest = stream.read_with(<[u8]>::to_vec).expect("the rest");
                assert_eq!(rest, b"def");
                assert_eq!(stream.read_with(<[u8]>::len).expect("the end"), 0);
            },
            |mut client| {
                client.write_all(b"abcdef").expect("taken");
                client.conn.send_close_notify();
                client.flush().expect("sent");
            },
        );
    }

    #[test]
    fn suites_are_shown_by_their_parts() {
        let check = |suite: &str, exchange: &str, cipher: &str| {
            assert_eq!(parts_of(suite), (exchange.to_owned(), cipher.to_owned()), "{suite}");
        };
        check("TLS13_AES_256_GCM_SHA384", "any", "aes_256_gcm");
        check("TLS13_CHACHA20_POLY1305_SHA256", "any", "chacha20_poly1305");
        check("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ecdhe_rsa", "aes_128_gcm");
        check("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ecdhe_ecdsa", "chacha20_poly1305");
        check("", "any", "");
    }

    #[test]
    fn what_is_not_tls_is_an_error() {
        runtime::run(|| {
            let (config, _) = configurations();
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
            let (stream, _) = listener.accept().expect("a client");
            client.write_all(b"AMQP\0\0\x09\x01").expect("taken");
            let stream = TlsStream::new(stream, config).expect("usable");
            let error = stream.read_with(<[u8]>::len).expect_err("not TLS");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        })
        .expect("no deadlock");
    }
}
