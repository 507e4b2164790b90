//! Libraries written for std's blocking `Read` and `Write` work on the runtime's streams as they are: TLS by rustls, WebSocket
//! by tungstenite, one on top of the other, many coroutines at once on one thread.
//!
//! (An HTTP client, `ureq`, is shown by the example `crawler`.)

use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leveret_runtime::net::{StreamServer, TcpListener, TcpStream};
use leveret_runtime::{Group, offload, run, scope, spawn, timeout, yield_now};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tungstenite::{Message, WebSocket};

const CLIENTS: usize = 50;

/// More than the socket's buffers take at once.
const LARGE: usize = 1 << 20;

/// A certificate for `localhost`, and configurations of both sides with it.
fn configurations() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    (Arc::new(server), Arc::new(client.with_root_certificates(roots).with_no_client_auth()))
}

type TlsServer = StreamOwned<ServerConnection, TcpStream>;
type TlsClient = StreamOwned<ClientConnection, TcpStream>;

fn tls_server(stream: TcpStream, config: &Arc<ServerConfig>) -> TlsServer {
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)
}

fn tls_client(stream: TcpStream, config: &Arc<ClientConfig>) -> TlsClient {
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), stream)
}

fn pattern(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 31 + seed) as u8).collect()
}

/// Gives back what comes, until the end.
fn echo(mut stream: impl Read + Write) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        stream.write_all(&buffer[..count]).unwrap();
        stream.flush().unwrap();
    }
}

/// Has `serve` serve every connection and `client` run in many coroutines at once.
fn with_clients(serve: impl Fn(TcpStream) + 'static, client: impl Fn(usize, TcpStream) + 'static) {
    run(move || {
        let server = StreamServer::bind("127.0.0.1:0").unwrap();
        let handle = server.handle();
        let serving = spawn(move || server.serve_local(move |stream, _peer| serve(stream)));
        let addr = handle.local_addr();
        let clients = Group::new();
        clients.map(0..CLIENTS, |seed| client(seed, TcpStream::connect(addr).unwrap())).unwrap();
        handle.stop(Duration::from_secs(60));
        serving.join().unwrap().unwrap();
    })
    .unwrap();
}

#[test]
fn tls_by_rustls() {
    let (server, client) = configurations();
    with_clients(
        move |stream| echo(tls_server(stream, &server)),
        move |seed, stream| {
            let mut tls = tls_client(stream, &client);
            let question = pattern(seed, 10_000);
            tls.write_all(&question).unwrap();
            let mut answer = vec![0; question.len()];
            tls.read_exact(&mut answer).unwrap();
            assert_eq!(answer, question);
            tls.conn.send_close_notify();
            tls.flush().unwrap();
        },
    );
}

#[test]
fn tls_with_more_than_the_sockets_hold_both_ways_at_once() {
    run(|| {
        let (server_config, client_config) = configurations();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        scope(|scope| {
            let server = scope.spawn(|| {
                let mut tls = tls_server(listener.accept().unwrap().0, &server_config);
                tls.write_all(&pattern(1, LARGE)).unwrap();
                let mut question = vec![0; LARGE];
                tls.read_exact(&mut question).unwrap();
                question == pattern(2, LARGE)
            });
            let mut tls = tls_client(TcpStream::connect(addr).unwrap(), &client_config);
            let mut greeting = vec![0; LARGE];
            tls.read_exact(&mut greeting).unwrap();
            assert!(greeting == pattern(1, LARGE));
            tls.write_all(&pattern(2, LARGE)).unwrap();
            assert!(server.join().unwrap());
        });
    })
    .unwrap();
}

fn echo_messages(stream: impl Read + Write) {
    let mut socket = tungstenite::accept(stream).unwrap();
    loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message).unwrap(),
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn converse<S: Read + Write>(socket: &mut WebSocket<S>, seed: usize) {
    for message in [Message::text(format!("hello from {seed}")), Message::binary(pattern(seed, 70_000))] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
}

#[test]
fn web_sockets_by_tungstenite() {
    with_clients(echo_messages, |seed, stream| {
        let (mut socket, _) = tungstenite::client("ws://localhost/", stream).unwrap();
        converse(&mut socket, seed);
    });
}

#[test]
fn web_sockets_over_tls() {
    let (server, client) = configurations();
    with_clients(
        move |stream| echo_messages(tls_server(stream, &server)),
        move |seed, stream| {
            let (mut socket, _) = tungstenite::client("wss://localhost/", tls_client(stream, &client)).unwrap();
            converse(&mut socket, seed);
        },
    );
}

/// A library in the middle of its work parks like everybody else: it can be timed out and killed, and others run.
#[test]
fn a_library_that_waits_is_interrupted_like_any_code() {
    run(|| {
        let (_, config) = configurations();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let alive = Rc::new(());
        let theirs = alive.clone();
        let handshake = spawn(move || {
            let _alive = theirs;
            let mut tls = tls_client(TcpStream::connect(addr).unwrap(), &config);
            tls.write_all(b"nobody answers").unwrap();
        });
        let (silent, _) = listener.accept().unwrap();
        silent.peek(&mut [0]).unwrap(); // the first flight is there
        assert_eq!(offload(|| 1), 1); // and others run
        assert_eq!(Rc::strong_count(&alive), 2);
        handshake.kill();
        assert!(handshake.join().is_err());
        assert_eq!(Rc::strong_count(&alive), 1, "its stack has unwound");
        let accepts = timeout(Duration::from_millis(5), || tungstenite::accept(&silent).map(drop).map_err(drop));
        assert!(accepts.is_err() || accepts == Ok(Err(())), "the peer is gone, or slow");
        yield_now();
    })
    .unwrap();
}
