//! A real RabbitMQ to compare with, where the machine has one installed (Debian's `rabbitmq-server` puts it where it is looked for).
//!
//! It runs with its own settings but for names, ports and folders, listens on loopback only, and goes with its port mapper and its data when
//! the test does, even if that is killed: a shell holds the other end of a pipe from it.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use std::{env, thread};

use crate::{patience, target_dir, unique};

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// The one for AMQP, and behind it the port mapper's, the distribution's and the HTTP API's.
const PORTS: u16 = 4;

/// A running RabbitMQ. Its end is this value's.
#[derive(Debug)]
pub struct Rabbit {
    address: SocketAddr,
    http: Option<SocketAddr>,
    _own: Option<Guardian>,
}

impl Rabbit {
    /// The one that `LEVERET_RABBITMQ` names, or the installed one, started for this test; `None` when there is neither.
    ///
    /// # Panics
    /// When the one that is installed does not start, or the variable names nothing.
    pub fn find() -> Option<Rabbit> {
        if let Ok(text) = env::var("LEVERET_RABBITMQ") {
            let address = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
            let address =
                address.unwrap_or_else(|| panic!("LEVERET_RABBITMQ={text}: not a host:port that can be found"));
            return Some(Rabbit { address, http: None, _own: None });
        }
        Path::new(SERVER).exists().then(Rabbit::start)
    }

    /// Where it serves AMQP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it serves its HTTP API; `None` if it was not started here.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    fn start() -> Rabbit {
        let port = free_ports();
        let dir = target_dir().join("tmp").join(unique("rabbit"));
        fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("cannot create {}: {error}", dir.display()));
        let settings = format!(
            "listeners.tcp.local = 127.0.0.1:{port}\nlog.console = false\nlog.file.level = warning\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {}\n",
            port + 3
        );
        let write = |name: &str, text: &str| {
            fs::write(dir.join(name), text).unwrap_or_else(|error| panic!("cannot write {name}: {error}"));
        };
        write("rabbitmq.conf", &settings);
        write(
            "enabled_plugins",
            "[rabbitmq_consistent_hash_exchange,rabbitmq_management,rabbitmq_recent_history_exchange].",
        );
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let rabbit = Rabbit { address: at(port), http: Some(at(port + 3)), _own: Some(Guardian::start(&dir, port)) };
        rabbit.await_ready();
        rabbit
    }

    /// Its port answers a little before it does.
    fn await_ready(&self) {
        let deadline = Instant::now() + patience();
        while !self.greets() {
            assert!(Instant::now() < deadline, "RabbitMQ did not start within {:?}", patience());
            thread::yield_now();
        }
    }

    fn greets(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        let said = std::io::Write::write_all(&mut stream, b"AMQP\x00\x00\x09\x01");
        said.and_then(|()| stream.read_exact(&mut [0; 8])).is_ok()
    }
}

/// The first of [`PORTS`] ports in a row that nobody listens at.
fn free_ports() -> u16 {
    /// Where this process looks next: another one that has just been started may not listen yet.
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let start = next.unwrap_or(20_000 + (std::process::id() % 400) as u16 * PORTS);
    let mut candidates = (start..32_000).step_by(usize::from(PORTS));
    let first = candidates.find(|&first| (first..first + PORTS).all(is_free)).expect("some ports are free");
    *next = Some(first + PORTS);
    first
}

/// Runs it, and ends it when the pipe from the test breaks.
#[derive(Debug)]
struct Guardian(Child);

impl Guardian {
    fn start(dir: &Path, port: u16) -> Guardian {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, SERVER]).current_dir(dir);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let variables = [
            ("HOME", dir.display().to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", (port + 1).to_string()),
            ("RABBITMQ_NODENAME", format!("compared{port}@localhost")),
            ("RABBITMQ_DIST_PORT", (port + 2).to_string()),
            ("RABBITMQ_MNESIA_BASE", dir.join("data").display().to_string()),
            ("RABBITMQ_LOG_BASE", dir.join("log").display().to_string()),
            ("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf").display().to_string()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins").display().to_string()),
            ("RABBITMQ_PID_FILE", dir.join("pid").display().to_string()),
            ("RABBITMQ_ALLOW_INPUT", "1".to_owned()),
            ("RABBITMQ_CONF_ENV_FILE", dir.join("none").display().to_string()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-noinput -kernel inet_dist_use_interface {127,0,0,1}".to_owned()),
        ];
        command.envs(variables);
        Guardian(command.spawn().unwrap_or_else(|error| panic!("cannot run sh: {error}")))
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A session of its own makes one group of what the script starts. The broker's machine leaves it, and writes down its
/// number; its port mapper does, too, and is told by its port, once it has noticed that the machine has ended. (Not
/// `kill -9 -- -$server`: some shells know no `--` there.)
const GUARD: &str = r#"
setsid "$0" < /dev/null > out 2>&1 &
server=$!
read _
kill -9 -$server
kill -9 $(cat pid)
for _ in 1 2 3 4 5 6 7 8 9 10; do
    epmd -port "$ERL_EPMD_PORT" -kill && break
    sleep 0.2
done
cd / && rm -rf "$HOME"
"#;
