//! A connection in the hands of its users: opening, opening channels, closing.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use leveret_amqp::server::Negotiated;
use leveret_runtime as runtime;
use runtime::net::TcpStream;

use crate::channel::Channel;
use crate::error::Error;
use crate::link::Link;
use crate::options::Options;

/// How long the server may take to answer connection.close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// An open connection. Clones are the same connection, for any coroutines of this shard.
///
/// When the last clone and the last channel are dropped it is closed; the answer is not waited for then.
#[derive(Clone)]
pub struct Connection {
    owner: Rc<Owner>,
}

/// Closes the connection when nobody has it any more.
pub(crate) struct Owner {
    pub(crate) link: Rc<Link>,
    options: Options,
}

impl Drop for Owner {
    fn drop(&mut self) {
        if !self.link.ended.is_set() {
            self.link.close();
        }
    }
}

impl Connection {
    /// Connects, logs in and opens the vhost. With [`Options::reconnect`] it tries again, with pauses, as long as the failure is
    /// [transient](Error::is_transient).
    ///
    /// # Errors
    /// The last attempt's: [`Error::Io`] when nobody listens, [`Error::ConnectionClosed`] with 403 for a refused login or 530 for
    /// an unknown vhost, [`Error::TimedOut`] after [`Options::connect_timeout`].
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn open(options: &Options) -> Result<Connection, Error> {
        let mut attempt = 1;
        loop {
            let error = match connect(options) {
                Ok(connection) => return Ok(connection),
                Err(error) if !error.is_transient() => return Err(error),
                Err(error) => error,
            };
            let backoff = options.reconnect;
            let Some(pause) = backoff.and_then(|backoff| backoff.pause(attempt, runtime::random::u64())) else {
                return Err(error);
            };
            log::info!("attempt {attempt}: {error}; the next one in {pause:?}");
            runtime::sleep(pause);
            attempt = attempt.saturating_add(1);
        }
    }

    /// A new connection with the same options, after this one was lost. Nothing is carried over: channels, consumers, exclusive
    /// queues and unconfirmed publishes of the old connection are gone, and it is for the caller to declare, consume and
    /// publish again.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn reopen(&self) -> Result<Connection, Error> {
        Connection::open(&self.owner.options)
    }

    /// Opens a channel.
    ///
    /// # Errors
    /// [`Error::NoChannelLeft`], or why the connection is over.
    pub fn open_channel(&self) -> Result<Channel, Error> {
        Channel::open(self.owner.clone())
    }

    /// Closes the connection with all its channels and waits until the server agrees, at most 5 s.
    ///
    /// # Errors
    /// If it had ended otherwise before: why. [`Error::TimedOut`].
    pub fn close(&self) -> Result<(), Error> {
        let link = &self.owner.link;
        if !link.ended.is_set() {
            link.close();
            if !link.ended.wait_timeout(CLOSE_TIMEOUT) {
                link.end(&Error::TimedOut { what: "answer to connection.close", limit: CLOSE_TIMEOUT });
            }
        }
        match link.failure() {
            None | Some(Error::Closed) => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// Waits until the connection is over and says why; [`Error::Closed`] if this side closed it.
    pub fn wait_until_closed(&self) -> Error {
        self.owner.link.ended.wait();
        self.owner.link.failure().unwrap_or(Error::Closed)
    }

    /// Why it is over; `None` while it is open.
    pub fn failure(&self) -> Option<Error> {
        self.owner.link.failure()
    }

    /// Why the server takes no publishes at the moment (connection.blocked: memory or disk alarm), if so. Publishing is not
    /// refused meanwhile; it waits when the socket is full.
    pub fn blocked(&self) -> Option<String> {
        self.owner.link.blocked.borrow().clone()
    }

    /// What was agreed in the handshake: sizes, channels, heartbeat.
    pub fn negotiated(&self) -> Negotiated {
        self.owner.link.negotiated()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("options", &self.owner.options)
            .field("failure", &self.failure())
            .finish_non_exhaustive()
    }
}

fn connect(options: &Options) -> Result<Connection, Error> {
    let limit = options.connect_timeout;
    let connected = runtime::timeout(limit, || connect_without_limit(options));
    connected.unwrap_or(Err(Error::TimedOut { what: "connection", limit }))
}

fn connect_without_limit(options: &Options) -> Result<Connection, Error> {
    let stream = TcpStream::connect((options.host.as_str(), options.port))?;
    stream.set_nodelay(true)?;
    let link = Link::start(stream, options.protocol())?;
    let owner = Rc::new(Owner { link: link.clone(), options: options.clone() });
    let negotiated = link.ready.wait().clone()?;
    link.keep_alive(negotiated.heartbeat)?;
    Ok(Connection { owner })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Read, Write};

    use runtime::net::TcpListener;

    use crate::reconnect::Backoff;

    /// A server that says `greeting` to each client and hangs up, and how opening a connection to it ends.
    fn open_against(greeting: &'static [u8], change: impl FnOnce(&mut Options) + 'static) -> (Error, usize) {
        let run = move || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let mut options = Options { host: "127.0.0.1".into(), ..Options::default() };
            options.port = listener.local_addr().expect("it is bound").port();
            change(&mut options);
            let clients = Rc::new(std::cell::Cell::new(0));
            let counted = clients.clone();
            let server = runtime::spawn(move || {
                while let Ok((mut client, _)) = listener.accept() {
                    counted.set(counted.get() + 1);
                    let mut header = [0; 8];
                    let _ = client.read_exact(&mut header);
                    let _ = client.write_all(greeting);
                }
            });
            let error = Connection::open(&options).expect_err("no broker");
            server.kill();
            (error, clients.get())
        };
        runtime::run(run).expect("no deadlock")
    }

    #[test]
    fn a_server_of_another_protocol_is_named() {
        let (error, _) = open_against(b"AMQP\x03\x01\0\0", |_| {});
        assert_eq!(error, Error::OtherProtocol(*b"AMQP\x03\x01\0\0"));
    }

    #[test]
    fn a_server_that_hangs_up_is_tried_again_when_asked_for() {
        let (error, clients) = open_against(b"", |_| {});
        assert!(matches!(error, Error::Io { kind: io::ErrorKind::UnexpectedEof, .. }), "{error:?}");
        assert_eq!(clients, 1);
        let quick = Backoff { first: Duration::ZERO, longest: Duration::ZERO, attempts: Some(3) };
        let (error, clients) = open_against(b"", move |options| options.reconnect = Some(quick));
        assert!(error.is_transient());
        assert_eq!(clients, 3);
    }

    #[test]
    fn nonsense_is_a_fault_of_the_server_and_not_tried_again() {
        let retry = |options: &mut Options| options.reconnect = Some(Backoff::default());
        let (error, clients) = open_against(b"\x01\0\0\0\0\0\x04\0\x0a\0\x63\xce", retry);
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
        assert_eq!(clients, 1);
    }
}
