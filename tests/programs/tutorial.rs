//! The chapter of the tutorial on installing and operating a broker, played step by step with its own words.
//!
//! A machine here is a directory: `sbin` with links of RabbitMQ's names to our one program (all that is installed), a configuration
//! file with ports that are free, and the data. The broker is started into the background, as the chapter does, so it is no child of
//! this test: what ends it in any case is a shell that waits for the test's end on a pipe.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use harness::{Process, leveret, patience, target_dir, unique};
use leveret_client::{BasicProperties, Connection, Error, Options, PERSISTENT, QueueOptions};

/// Names that the chapter calls.
const PROGRAMS: [&str; 3] = ["rabbitmq-server", "rabbitmqctl", "rabbitmq-plugins"];

/// Ports of this machine's own address that the system chooses.
const CONFIGURATION: &str = "listeners.tcp.1 = 127.0.0.1:0\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = 0\n\
                             prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = 0\nshards = 2\n";

/// Kills the broker whose number is in the file, and removes the machine, when the pipe breaks.
const UNDERTAKER: &str = "read _; kill -9 \"$(cat \"$0/data/leveret.pid\" 2>/dev/null)\" 2>/dev/null; rm -rf \"$0\"";

struct Machine {
    directory: PathBuf,
    undertaker: Child,
}

impl Machine {
    fn install() -> Machine {
        let directory = target_dir().join("tmp").join(unique("tutorial"));
        fs::create_dir_all(directory.join("sbin")).expect("a directory");
        for name in PROGRAMS {
            symlink(leveret(), directory.join("sbin").join(name)).expect("a link");
        }
        fs::write(directory.join("rabbitmq.conf"), CONFIGURATION).expect("a file");
        let mut undertaker = Command::new("sh");
        undertaker.args(["-c", UNDERTAKER]).arg(&directory).stdin(Stdio::piped());
        let undertaker = undertaker.stdout(Stdio::null()).spawn().expect("a shell");
        Machine { directory, undertaker }
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The program of a line of the chapter, in the environment that holds on this machine.
    fn command(&self, line: &str) -> Command {
        let mut words = line.split(' ');
        let mut command = Command::new(self.directory.join("sbin").join(words.next().unwrap_or_default()));
        command.args(words).current_dir(&self.directory).env("LEVERET_DATA_DIR", self.data());
        command.env("LEVERET_CONFIG_FILE", self.directory.join("rabbitmq.conf")).stdin(Stdio::null());
        command
    }

    /// Runs a line to its end: its exit code and what it printed.
    fn run(&self, line: &str) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.command(line).output().expect("the program is there");
        (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
    }

    /// Runs a line that must succeed and print this.
    fn says(&self, line: &str, expected: &str) -> String {
        let (code, printed) = self.run(line);
        assert_eq!(code, Some(0), "{line}: {printed}");
        assert!(printed.contains(expected), "{line}: no {expected:?} in {printed}");
        printed
    }

    /// Runs a line that must fail with this code and print this.
    fn refuses(&self, line: &str, code: i32, expected: &str) {
        let (found, printed) = self.run(line);
        assert_eq!(found, Some(code), "{line}: {printed}");
        assert!(printed.contains(expected), "{line}: no {expected:?} in {printed}");
    }

    /// Starts the broker into the background; gives where it listens.
    fn start(&self, line: &str) -> Addresses {
        // Not `output`: whoever starts it must not have to wait until the broker ends.
        let mut process = Process::start("rabbitmq-server", self.command(line));
        let ready = process.expect(" ready: ");
        process.succeed();
        Addresses::of(&ready)
    }

    fn pid(&self) -> Option<String> {
        fs::read_to_string(self.data().join("leveret.pid")).ok().map(|text| text.trim().to_owned())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.undertaker.stdin.take());
        let _ = self.undertaker.wait();
    }
}

#[derive(Clone, Copy, Debug)]
struct Addresses {
    amqp: SocketAddr,
    http: SocketAddr,
}

impl Addresses {
    fn of(ready: &str) -> Addresses {
        let find = |name: &str| {
            let mut words = ready.split_whitespace().skip_while(|word| *word != name).skip(1);
            let address = words.next().and_then(|word| word.trim_end_matches([',', ';']).parse().ok());
            address.unwrap_or_else(|| panic!("no {name} in {ready:?}"))
        };
        Addresses { amqp: find("amqp"), http: find("http") }
    }

    /// What a browser is answered that asks for this, logged in as `user:password` in base64.
    fn browse(self, login: &str, path: &str) -> (u16, String) {
        use std::io::{Read, Write};
        let mut stream = TcpStream::connect(self.http).expect("the pages are served");
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Basic {login}\r\nconnection: close\r\n\r\n",
            self.http
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.unwrap_or(0), answer)
    }

    /// Logs in and out as a client: whether that went well, or the code and text of the refusal.
    fn log_in(self, user: &str, password: &str) -> Result<(), (u16, String)> {
        self.with_connection(user, password, |_| Ok(()))
    }

    fn with_connection<T: Send + 'static>(
        self,
        user: &str,
        password: &str,
        act: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, (u16, String)> {
        let options: Options = format!("amqp://{user}:{password}@{}", self.amqp).parse().expect("a good URI");
        let client = move || {
            let connection = Connection::open(&options)?;
            let done = act(&connection)?;
            connection.close().map(|()| done)
        };
        leveret_runtime::run(client).expect("no deadlock").map_err(|error| match error {
            Error::ConnectionClosed(close) => (close.code, close.text.to_string()),
            other => panic!("{other}"),
        })
    }
}

/// `lwq:111111`, `alex:alex3714` and `alex:3714` as a browser sends them.
const LWQ: &str = "bHdxOjExMTExMQ==";
const ALEX: &str = "YWxleDphbGV4MzcxNA==";
const ALEX_BEFORE: &str = "YWxleDozNzE0";

#[test]
fn the_chapter_on_installing_and_operating() {
    let machine = Machine::install();
    start_and_stop(&machine);
    let broker = machine.start("rabbitmq-server start -detached");
    users(&machine, broker);
    let broker = restart(&machine);
    lists(&machine, broker);
    machine.says("rabbitmqctl stop", "Stopping and halting node");
    machine.refuses("rabbitmqctl status", 69, "it cannot be reached");
}

/// "rabbitmq-server -detached", with the typographic dash of the printed text as well; status; stop.
fn start_and_stop(machine: &Machine) {
    let broker = machine.start("rabbitmq-server \u{2013}detached");
    let pid = machine.pid().expect("the number of the process is in a file");
    assert!(Path::new("/proc").join(&pid).exists(), "{pid}");
    let status = machine.says("rabbitmqctl status", &format!("OS PID: {pid}\n"));
    let sections = [
        "Runtime",
        "Plugins",
        "Data directory",
        "Config files",
        "Log file(s)",
        "Alarms",
        "Tags",
        "Memory",
        "File Descriptors",
        "Free Disk Space",
        "Totals",
        "Listeners",
    ];
    let titles: Vec<&str> = status.lines().filter(|line| sections.contains(line)).collect();
    assert_eq!(titles, sections, "{status}");
    let port = broker.amqp.port();
    assert!(
        status.contains(&format!("Interface: 127.0.0.1, port: {port}, protocol: amqp, purpose: AMQP 0-9-1")),
        "{status}"
    );
    let json = machine.says("rabbitmqctl status --formatter json", "");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let keys = [
        "os",
        "pid",
        "rabbitmq_version",
        "erlang_version",
        "uptime",
        "is_under_maintenance",
        "processes",
        "run_queue",
        "vm_memory_high_watermark_setting",
        "vm_memory_high_watermark_limit",
        "disk_free_limit",
        "disk_free",
        "alarms",
        "tags",
        "listeners",
        "memory",
        "data_directory",
        "config_files",
        "log_files",
        "active_plugins",
        "enabled_plugin_file",
        "totals",
    ];
    let missing: Vec<_> = keys.iter().filter(|key| json.get(key).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} in {json}");
    assert_eq!(json["pid"].to_string(), pid);

    let (code, printed) = machine.run("rabbitmq-server -detached");
    assert!(code != Some(0) && printed.contains("before it was ready"), "a second one on the same data: {printed}");
    assert_eq!(machine.pid().as_deref(), Some(&*pid), "the first one's number stays");

    machine.says("rabbitmqctl stop", "Stopping and halting node");
    assert!(TcpStream::connect(broker.amqp).is_err(), "the port is closed");
    machine.refuses("rabbitmqctl status", 69, "The broker is not running");
    machine.refuses("rabbitmqctl wait --timeout 0 data/leveret.pid", 69, "cannot be reached");
}

/// The plugin of the pages, a new user and what it may see, with each of the three tags.
fn users(machine: &Machine, broker: Addresses) {
    machine.says("rabbitmq-plugins enable rabbitmq_management", "rabbitmq_management");
    machine.says("rabbitmqctl wait data/leveret.pid", "");
    machine.says("rabbitmqctl add_user lwq 111111", "Adding user \"lwq\" ...");
    machine.refuses("rabbitmqctl add_user lwq 222222", 70, "User \"lwq\" already exists");
    machine.says("rabbitmqctl add_user alex 3714", "Adding user \"alex\" ...");
    assert_eq!(broker.browse(LWQ, "/api/whoami").0, 401, "no tag yet");
    for tag in ["management", "monitoring", "administrator"] {
        machine.says(&format!("rabbitmqctl set_user_tags lwq {tag}"), &format!("to [{tag}]"));
        assert_eq!(broker.browse(LWQ, "/api/whoami").0, 200, "{tag}");
        assert_eq!(broker.browse(LWQ, "/api/nodes").0, if tag == "management" { 401 } else { 200 }, "{tag}");
        assert_eq!(broker.browse(LWQ, "/api/users").0, if tag == "administrator" { 200 } else { 401 }, "{tag}");
    }
    machine.says("rabbitmqctl set_user_tags alex monitoring management", "to [monitoring, management]");
    machine.says("rabbitmqctl change_password alex alex3714", "Changing password for user \"alex\" ...");
    assert_eq!(broker.browse(ALEX_BEFORE, "/api/whoami").0, 401);
    let (status, whoami) = broker.browse(ALEX, "/api/whoami");
    assert!(status == 200 && whoami.contains("\"tags\":[\"monitoring\",\"management\"]"), "the tags stay: {whoami}");
    machine.refuses("rabbitmqctl delete_user nobody", 67, "User \"nobody\" does not exist");
}

/// stop, -detached, status: all that was set up is there.
fn restart(machine: &Machine) -> Addresses {
    machine.says("rabbitmqctl stop data/leveret.pid", "Stopping and halting node");
    // It goes with the process, a moment after the last connection.
    let limit = Instant::now() + patience();
    while machine.pid().is_some() {
        assert!(Instant::now() < limit, "the file with the number of the process stays");
        std::thread::yield_now();
    }
    let broker = machine.start("rabbitmq-server -detached");
    machine.says("rabbitmqctl status", "Listeners");
    let users = machine.says("rabbitmqctl list_users", "user\ttags\n");
    let mut users: Vec<&str> = users.lines().skip(2).collect();
    users.sort_unstable();
    assert_eq!(users, ["alex\t[monitoring, management]", "guest\t[administrator]", "lwq\t[administrator]"]);
    let (status, page) = broker.browse(LWQ, "/");
    assert!(status == 200 && page.contains("<title>Leveret"), "{page}");

    // What the chapter forgets: without permissions nobody gets in.
    let refused = "NOT_ALLOWED - access to vhost '/' refused for user 'lwq'";
    assert_eq!(broker.log_in("lwq", "111111"), Err((530, refused.to_owned())));
    machine.says("rabbitmqctl set_permissions lwq .* .* .*", "Setting permissions for user \"lwq\" in vhost \"/\" ...");
    assert_eq!(broker.log_in("lwq", "111111"), Ok(()));
    let (code, text) = broker.log_in("lwq", "wrong").expect_err("not the password");
    assert!(
        code == 403 && text.starts_with("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN"),
        "{text}"
    );
    broker
}

/// A queue, and the three lists of the chapter.
fn lists(machine: &Machine, broker: Addresses) {
    let declared = broker.with_connection("lwq", "111111", |connection| {
        let channel = connection.open_channel()?;
        channel.queue_declare("hello", &QueueOptions { durable: true, ..QueueOptions::default() })?;
        channel.confirm_select()?;
        let properties = BasicProperties { delivery_mode: Some(PERSISTENT), ..BasicProperties::default() };
        channel.publish("", "hello", &properties.encode(), b"Hello World!")?;
        channel.wait_for_confirms()
    });
    assert!(declared.is_ok_and(|refused| refused.is_empty()), "the message is confirmed");
    let rows = |line: &str, banner: &str, header: &str| {
        let printed = machine.says(line, "");
        let mut lines: Vec<&str> = printed.lines().collect();
        assert_eq!((lines.remove(0), lines.remove(0)), (banner, header), "{line}");
        lines.sort_unstable();
        lines.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        rows("rabbitmqctl list_exchanges", "Listing exchanges for vhost / ...", "name\ttype"),
        [
            "\tdirect",
            "amq.direct\tdirect",
            "amq.fanout\tfanout",
            "amq.headers\theaders",
            "amq.match\theaders",
            "amq.rabbitmq.trace\ttopic",
            "amq.topic\ttopic",
        ]
    );
    assert_eq!(
        rows(
            "rabbitmqctl list_bindings",
            "Listing bindings for vhost /...",
            "source_name\tsource_kind\tdestination_name\tdestination_kind\trouting_key\targuments"
        ),
        ["\texchange\thello\tqueue\thello\t[]"]
    );
    let queues = machine.says("rabbitmqctl list_queues", "");
    assert_eq!(queues, "Timeout: 60.0 seconds ...\nListing queues for vhost / ...\nname\tmessages\nhello\t1\n");
    machine.says("rabbitmqctl delete_user alex", "Deleting user \"alex\" ...");
    assert_eq!(broker.browse(ALEX, "/api/whoami").0, 401);
}

/// Scripts of containers wait in the background and start the server then.
#[test]
fn a_wait_may_begin_before_the_broker_does() {
    let machine = Machine::install();
    let mut waiting = Process::start("rabbitmqctl", machine.command("rabbitmqctl wait --timeout 600 data/leveret.pid"));
    machine.start("rabbitmq-server -detached");
    waiting.succeed();
    machine.says("rabbitmqctl stop", "Stopping and halting node");
}
