//! An echo server of callbacks: each socket is registered with the function that deals with it.
//!
//! ```python
//! sel.register(sock, selectors.EVENT_READ, accept)
//! while True:
//!     for key, mask in sel.select():
//!         key.data(key.fileobj, mask)
//! ```
//!
//! The loop is the program's own; only the wait in `select` parks its coroutine. The callbacks' reads and writes are of
//! sockets that are ready, as in the original ("hope it won't block": if one did, it would park and the others run on).

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use examples::{Arguments, Output};
use leveret_runtime::net::{TcpListener, TcpStream};
use leveret_runtime::selectors::{Events, Selector};
use leveret_runtime::spawn;

const USAGE: &str = "selectors_server: an echo server of callbacks

  --port N   where to listen (10000)
  --demo     listen on any free port, run three clients against it, and end";

/// Bytes that one read takes.
const READ_SIZE: usize = 1000;

/// What is registered with a socket.
struct Callback(Box<Dealing>);

type Dealing = dyn Fn(&Callbacks) -> io::Result<()>;

type Callbacks = Selector<Callback>;

fn accept(listener: Rc<TcpListener>, out: Output) -> Callback {
    Callback(Box::new(move |callbacks| {
        let (conn, addr) = listener.accept()?; // ready
        out.line(format_args!("accepted {addr}"));
        let conn = Rc::new(conn);
        callbacks.register(&conn, Events::READ, read(conn.clone(), addr, out.clone())).map(drop)
    }))
}

fn read(conn: Rc<TcpStream>, addr: SocketAddr, out: Output) -> Callback {
    Callback(Box::new(move |callbacks| {
        let mut buffer = [0; READ_SIZE];
        let count = (&*conn).read(&mut buffer).unwrap_or(0); // ready; an error ends it as the end does
        let data = &buffer[..count];
        if data.is_empty() {
            out.line(format_args!("closing {addr}"));
            return callbacks.unregister(&conn).map(drop);
        }
        out.line(format_args!("echoing {:?} to {addr}", String::from_utf8_lossy(data)));
        (&*conn).write_all(data)
    }))
}

/// Serves until `done`, which is asked after each event.
fn serve(listener: TcpListener, out: &Output, done: impl Fn(&Callbacks) -> bool) -> io::Result<()> {
    let listener = Rc::new(listener);
    let callbacks = Selector::new()?;
    callbacks.register(&listener, Events::READ, accept(listener.clone(), out.clone()))?;
    while !done(&callbacks) {
        for (key, _events) in callbacks.select(None)? {
            (key.data.0)(&callbacks)?;
        }
    }
    Ok(())
}

fn client(addr: SocketAddr, text: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(text.as_bytes())?;
    let mut data = vec![0; text.len()];
    stream.read_exact(&mut data)?;
    Ok(String::from_utf8_lossy(&data).into_owned())
}

/// Runs the server and three clients.
pub(crate) fn demo(out: &Output) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let clients = ["one", "two", "three"].map(|text| {
        let out = out.clone();
        spawn(move || client(addr, text).map(|back| out.line(format_args!("{text} got back {back}"))))
    });
    serve(listener, out, |callbacks| callbacks.len() == 1 && clients.iter().all(|client| client.is_finished()))?;
    clients.into_iter().try_for_each(|client| client.join().unwrap_or_else(|error| error.resume()))
}

fn main() -> io::Result<()> {
    let arguments = Arguments::of_process(USAGE, &["--port=", "--demo"]);
    let (is_demo, port) = (arguments.has("--demo"), arguments.value("--port", 10_000u16));
    let ended = leveret_runtime::run(move || {
        let out = Output::stdout();
        match is_demo {
            true => demo(&out),
            false => serve(TcpListener::bind(("127.0.0.1", port))?, &out, |_| false),
        }
    });
    ended.expect("a server waits for its sockets")
}
