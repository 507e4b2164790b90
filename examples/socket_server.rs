//! An echo server with a coroutine for each client, and the tutorial's hundred clients.
//!
//! ```python
//! while True:
//!     cli, addr = s.accept()
//!     gevent.spawn(handle_request, cli)
//! ```
//!
//! The accept loop is the runtime's [`StreamServer`], which also lives through running out of descriptors. Where the
//! original goes on reading after the end of a connection, this one ends.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use examples::{Arguments, Output};
use leveret_runtime::net::{StreamServer, TcpStream};
use leveret_runtime::{join_all, spawn};

const USAGE: &str = "socket_server: echoes what every client sends, each in its own coroutine

  --port N      where to listen (8001)
  --demo        listen on any free port, run clients against it, and end
  --clients N   clients of the demo (100)
  --lines N     lines that each of them sends (10)";

/// Bytes that one read takes.
const READ_SIZE: usize = 1024;

/// Clients and how many lines each sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demo {
    pub(crate) clients: u32,
    pub(crate) lines: u32,
}

fn handle_request(mut conn: TcpStream, out: &Output) -> io::Result<()> {
    let mut buffer = [0; READ_SIZE];
    loop {
        let count = conn.read(&mut buffer)?;
        let data = &buffer[..count];
        out.line(format_args!("recv: {:?}", String::from_utf8_lossy(data)));
        if data.is_empty() {
            return conn.shutdown(std::net::Shutdown::Write);
        }
        conn.write_all(data)?;
    }
}

fn serve(server: StreamServer, out: Output) -> io::Result<()> {
    server.serve_local(move |conn, _addr| {
        if let Err(error) = handle_request(conn, &out) {
            out.line(error);
        }
    })
}

fn sock_conn(id: u32, addr: SocketAddr, lines: u32, out: &Output) -> io::Result<()> {
    let mut client = TcpStream::connect(addr)?;
    for count in 0..lines {
        let sent = format!("hello {count}");
        client.write_all(sent.as_bytes())?;
        let mut data = vec![0; sent.len()];
        client.read_exact(&mut data)?;
        out.line(format_args!("[{id}]recv from server: {}", String::from_utf8_lossy(&data)));
    }
    Ok(())
}

/// Runs the server and its clients, and ends.
pub(crate) fn demo(server_out: &Output, clients_out: &Output, demo: Demo) -> io::Result<()> {
    let server = StreamServer::bind("127.0.0.1:0")?;
    let handle = server.handle();
    let out = server_out.clone();
    let serving = spawn(move || serve(server, out));
    let clients: Vec<_> = (0..demo.clients)
        .map(|id| (clients_out.clone(), handle.local_addr(), id))
        .map(|(out, addr, id)| spawn(move || sock_conn(id, addr, demo.lines, &out)))
        .collect();
    for client in join_all(clients) {
        client.unwrap_or_else(|error| error.resume())?;
    }
    handle.stop(Duration::from_secs(5));
    serving.join().unwrap_or_else(|error| error.resume())
}

fn main() -> io::Result<()> {
    let arguments = Arguments::of_process(USAGE, &["--port=", "--demo", "--clients=", "--lines="]);
    let clients = Demo { clients: arguments.value("--clients", 100), lines: arguments.value("--lines", 10) };
    let (is_demo, port) = (arguments.has("--demo"), arguments.value("--port", 8001u16));
    let ended = leveret_runtime::run(move || {
        let out = Output::stdout();
        match is_demo {
            true => demo(&out, &out, clients),
            false => serve(StreamServer::bind(("0.0.0.0", port))?, out),
        }
    });
    ended.expect("a server waits for its sockets")
}
