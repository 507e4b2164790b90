//! One loop for all connections: it selects what can be read and written, with a queue of replies for each connection.
//!
//! ```python
//! r_list, w_list, exception_list = select.select(inputs, outputs, inputs)
//! ```
//!
//! A connection waits to be written to only while its queue holds something. The reply is what came, in upper case. One
//! that is reset or ends is taken off every list.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use examples::{Arguments, Output};
use leveret_runtime::net::{TcpListener, TcpStream};
use leveret_runtime::spawn;
use leveret_runtime::sync::{Event, Select};

const USAGE: &str = "select_chat: answers in upper case, all connections in one loop

  --port N   where to listen (9999)
  --demo     listen on any free port, run three clients against it, and end";

/// Bytes that one read takes.
const READ_SIZE: usize = 1024;

/// Bytes of replies that a connection may have waiting; while there are more, nothing is read from it.
const REPLIES_MAX: usize = 64 * 1024;

/// A connection and the replies that wait until it can take them.
struct Connection {
    stream: TcpStream,
    replies: VecDeque<u8>,
}

/// What can go on, as `select` tells it.
#[derive(Clone, Copy, Debug)]
enum Ready {
    Stop,
    Accept,
    Read(SocketAddr),
    Write(SocketAddr),
}

type Connections = BTreeMap<SocketAddr, Connection>;

fn select(listener: &TcpListener, connections: &Connections, stop: &Event) -> Ready {
    let mut select = Select::new();
    let mut branches = vec![Ready::Accept];
    select.readable(listener);
    if connections.is_empty() {
        select.event(stop);
        branches.push(Ready::Stop);
    }
    for (&addr, connection) in connections {
        if connection.replies.len() < REPLIES_MAX {
            select.readable(&connection.stream);
            branches.push(Ready::Read(addr));
        }
        if !connection.replies.is_empty() {
            select.writable(&connection.stream);
            branches.push(Ready::Write(addr));
        }
    }
    branches[select.wait()]
}

/// Serves until `stop` is set and the last connection has ended.
pub(crate) fn serve(listener: &TcpListener, stop: &Event, out: &Output) -> io::Result<()> {
    let mut connections = Connections::new();
    loop {
        match select(listener, &connections, stop) {
            Ready::Stop => return Ok(()),
            Ready::Accept => {
                let (stream, addr) = listener.accept()?;
                out.line(format_args!("got new conn {addr}"));
                connections.insert(addr, Connection { stream, replies: VecDeque::new() });
            }
            Ready::Read(addr) => serve_one(&mut connections, addr, out, receive),
            Ready::Write(addr) => serve_one(&mut connections, addr, out, |connection, _, _| reply(connection)),
        }
    }
}

type Step = fn(&mut Connection, SocketAddr, &Output) -> io::Result<bool>;

/// Takes a step with one connection; forgets it when it has ended.
fn serve_one(connections: &mut Connections, addr: SocketAddr, out: &Output, step: Step) {
    let Some(connection) = connections.get_mut(&addr) else { return };
    let ended = match step(connection, addr, out) {
        Ok(true) => return,
        Ok(false) => "end of input".to_owned(),
        Err(error) => error.to_string(),
    };
    out.line(format_args!("conn closed. {addr} {ended}"));
    connections.remove(&addr);
}

fn receive(connection: &mut Connection, addr: SocketAddr, out: &Output) -> io::Result<bool> {
    let mut buffer = [0; READ_SIZE];
    let count = connection.stream.read(&mut buffer)?;
    let data = &buffer[..count];
    if data.is_empty() {
        return Ok(false);
    }
    out.line(format_args!("recv data from [{addr}]:[{}]", String::from_utf8_lossy(data)));
    connection.replies.extend(data.iter().map(u8::to_ascii_uppercase));
    Ok(true)
}

fn reply(connection: &mut Connection) -> io::Result<bool> {
    match connection.stream.try_write(connection.replies.as_slices().0) {
        Ok(count) => drop(connection.replies.drain(..count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(true)
}

/// Sends each line and prints the answers.
fn chat(addr: SocketAddr, lines: &[&str], out: &Output) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    for line in lines {
        stream.write_all(line.as_bytes())?;
        let mut data = vec![0; line.len()];
        stream.read_exact(&mut data)?;
        out.line(format_args!("Received {:?}", String::from_utf8_lossy(&data)));
    }
    Ok(())
}

/// Runs the server and three clients, the last of which resets its connection.
pub(crate) fn demo(server_out: &Output, clients_out: &Output) -> io::Result<()> {
    let (listener, stop) = (TcpListener::bind("127.0.0.1:0")?, Rc::new(Event::new()));
    let addr = listener.local_addr()?;
    let serving = spawn({
        let (stop, out) = (stop.clone(), server_out.clone());
        move || serve(&listener, &stop, &out)
    });
    chat(addr, &["hello", "how are you?"], clients_out)?;
    chat(addr, &["and me?"], clients_out)?;
    let mut rude = TcpStream::connect(addr)?;
    rude.write_all(b"never read")?;
    rude.wait_readable()?;
    drop(rude); // with the answer unread: the kernel resets the connection
    chat(addr, &["still there?"], clients_out)?;
    stop.set();
    serving.join().unwrap_or_else(|error| error.resume())
}

fn main() -> io::Result<()> {
    let arguments = Arguments::of_process(USAGE, &["--port=", "--demo"]);
    let (is_demo, port) = (arguments.has("--demo"), arguments.value("--port", 9999u16));
    let ended = leveret_runtime::run(move || {
        let out = Output::stdout();
        match is_demo {
            true => demo(&out, &out),
            false => serve(&TcpListener::bind(("127.0.0.1", port))?, &Event::new(), &out),
        }
    });
    ended.expect("a server waits for its sockets")
}
