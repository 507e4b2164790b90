//! The addresses where AMQP clients come in: opened at the start, shut and opened again when an operator says so.
//!
//! ```text
//!   running --stop_app--> stopped --start_app--> running        (a reset is possible only while stopped)
//!   running --drain-----> drained --revive-----> running
//! ```
//!
//! The HTTP API, the metrics and the operator's socket stay open all the time.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leveret_management::port::{self, Service};
use leveret_runtime as runtime;

use crate::config::Config;
use crate::frontend::amqp::listener::{Listener, Wrapping, greetings};
use crate::shard::Shard;
use crate::transport::certificates::Certificates;

/// How long clients may take to say close-ok when they are sent away.
const FAREWELL: Duration = Duration::from_secs(5);

/// See the module's description. Lives on shard 0.
pub struct Gate {
    config: Arc<Config>,
    certificates: Option<Arc<Certificates>>,
    listeners: RefCell<Vec<Listener>>,
    addresses: Vec<port::Listener>,
    service: Rc<Cell<Service>>,
}

impl Gate {
    /// Listens where the configuration says.
    ///
    /// # Errors
    /// An address that cannot be bound, certificates that cannot be used; the text says which.
    pub fn open(config: &Arc<Config>) -> io::Result<Gate> {
        let certificates = match config.amqps.is_empty() && config.https.is_empty() {
            true => None,
            false => Some(Arc::new(Certificates::load(&config.tls).map_err(io::Error::other)?)),
        };
        let (plain, secure) = bind(config, &config.amqp, &config.amqps, certificates.as_ref())?;
        let address = |protocol| move |listener: &Listener| port::Listener { protocol, addr: listener.local_addr() };
        let addresses = plain.iter().map(address("amqp")).chain(secure.iter().map(address("amqp/ssl"))).collect();
        let listeners = RefCell::new(plain.into_iter().chain(secure).collect());
        let service = Rc::new(Cell::new(Service::Running));
        Ok(Gate { config: config.clone(), certificates, listeners, addresses, service })
    }

    /// Where it listens when it is open.
    pub fn addresses(&self) -> Vec<port::Listener> {
        self.addresses.clone()
    }

    /// What the TLS listeners use, if there are any.
    pub fn certificates(&self) -> Option<&Arc<Certificates>> {
        self.certificates.as_ref()
    }

    /// Whether clients are served.
    pub fn service(&self) -> Rc<Cell<Service>> {
        self.service.clone()
    }

    /// Accepts no more, closes every connection with 320, and waits until they are gone, or five seconds; `service` is how that is
    /// called.
    pub fn shut(&self, service: Service) {
        self.service.set(service);
        let listeners = self.listeners.take();
        let stopping: Vec<_> =
            listeners.into_iter().map(|listener| runtime::spawn(move || listener.stop(FAREWELL))).collect();
        runtime::yield_now(); // so that nobody is accepted after this
        for shard in runtime::shards() {
            let _ = runtime::call(shard, || Shard::current().shut_down_clients());
        }
        let killed: usize = runtime::join_all(stopping).into_iter().flatten().sum();
        if killed > 0 {
            log::warn!("{killed} clients did not answer connection.close within {FAREWELL:?} and were cut off");
        }
    }

    /// Listens again, on the same addresses. One that is open stays so.
    ///
    /// # Errors
    /// Somebody else has taken an address meanwhile.
    pub fn open_again(&self) -> io::Result<()> {
        if self.listeners.borrow().is_empty() {
            let of = |protocol: &str| -> Vec<SocketAddr> {
                self.addresses.iter().filter(|it| it.protocol == protocol).map(|it| it.addr).collect()
            };
            let (plain, secure) = bind(&self.config, &of("amqp"), &of("amqp/ssl"), self.certificates.as_ref())?;
            self.listeners.replace(plain.into_iter().chain(secure).collect());
        }
        self.service.set(Service::Running);
        Ok(())
    }
}

fn bind(
    config: &Config,
    plain: &[SocketAddr],
    secure: &[SocketAddr],
    certificates: Option<&Arc<Certificates>>,
) -> io::Result<(Vec<Listener>, Vec<Listener>)> {
    let greetings = greetings(config);
    let bind = |addresses: &[SocketAddr], tls: Option<&Arc<Certificates>>| {
        let handshake_timeout = config.limits.handshake_timeout;
        let wrapping = Wrapping { proxy: config.proxy_protocol, tls: tls.cloned(), handshake_timeout };
        let listener = |addr: &SocketAddr| Listener::bind(*addr, greetings.clone(), wrapping.clone());
        addresses.iter().map(listener).collect::<io::Result<Vec<_>>>()
    };
    Ok((bind(plain, None)?, bind(secure, certificates)?))
}
