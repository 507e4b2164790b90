//! The operator's own socket: the API without a login, and what only whoever sits at the machine may do.
//!
//! It is a Unix socket in the data directory, which only the broker's user and root can open; `leveret ctl` speaks to it.

use std::cell::Cell;
use std::fs::Permissions;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use leveret_core::access::password::PasswordHash;
use leveret_management::Api;
use leveret_management::http::{self, Limits, Method, Request, Response, Status};
use leveret_management::port::Service;
use leveret_runtime as runtime;
use runtime::net::{UnixListener, UnixStream};
use runtime::sync::Event;
use serde_json::{Map, Value, json};

use super::reset;
use crate::config::keys::{Effect, KEYS};
use crate::config::{Alarms, Config, value};
use crate::ctl::SOCKET_NAME;
use crate::gate::Gate;
use crate::logging;
use crate::shard::Shard;

/// Bytes of a request's content: definitions of a large broker fit.
const BODY_MAX: usize = 1 << 30;

/// What answers at the socket.
pub struct Control {
    api: Rc<Api>,
    config: Arc<Config>,
    gate: Rc<Gate>,
    /// Thresholds of the alarms, as set last.
    alarms: Cell<Alarms>,
    /// Set when the broker is asked to stop.
    pub stop: Rc<Event>,
}

impl Control {
    /// Listens in the data directory until the program ends. To be called on shard 0.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start(config: &Arc<Config>, api: Rc<Api>, gate: Rc<Gate>) -> io::Result<Rc<Control>> {
        let listener = bind(&config.data_dir)?;
        let control = {
            let (alarms, stop) = (Cell::new(config.alarms), Rc::new(Event::new()));
            Rc::new(Control { api, config: config.clone(), gate, alarms, stop })
        };
        let serving = control.clone();
        let accepting = runtime::Builder::new().name("control").spawn(move || serving.serve_for_ever(&listener))?;
        drop(accepting); // goes on until the program ends
        Ok(control)
    }

    fn serve_for_ever(self: &Rc<Self>, listener: &UnixListener) {
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.spawn(stream),
                Err(error) => {
                    log::warn!("the control socket does not accept: {error}");
                    runtime::sleep(std::time::Duration::from_secs(1));
                }
            }
        }
    }

    fn spawn(self: &Rc<Self>, stream: UnixStream) {
        let control = self.clone();
        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let limits = Limits { body_max: BODY_MAX };
        let serve = move || http::serve(&stream, peer, limits, |request| control.answer(request));
        if let Err(error) = runtime::Builder::new().name("control connection").spawn(serve) {
            log::warn!("nobody serves a connection of the control socket: {error}");
        }
    }

    fn answer(&self, request: &Request) -> Response {
        match (request.method, request.path.strip_prefix("/api/local/")) {
            (_, None) => self.api.respond_to_operator(request),
            (Method::Post, Some("stop")) => self.stop(),
            (Method::Post, Some("stop-app")) => self.shut(Service::Stopped),
            (Method::Post, Some("drain")) => self.shut(Service::Drained),
            (Method::Post, Some("start-app" | "revive")) => self.open_again(),
            (Method::Post, Some("reset")) => self.reset(),
            (Method::Put, Some("alarm")) => self.set_alarm(request),
            (Method::Put, Some("log-level")) => set_log_level(request),
            (Method::Post, Some("authenticate")) => authenticate(request),
            (Method::Get, Some("environment")) => Response::json(Status::Ok, &self.environment()),
            (_, Some(_)) => refuse(Status::NotFound, "there is no such thing to ask locally"),
        }
    }

    /// The connection ends when the process has: who asks can wait for that.
    fn stop(&self) -> Response {
        log::info!("asked to stop");
        self.stop.set();
        Response::empty(Status::NoContent)
    }

    fn shut(&self, service: Service) -> Response {
        log::info!("asked to serve no clients");
        self.gate.shut(service);
        Response::empty(Status::NoContent)
    }

    fn open_again(&self) -> Response {
        match self.gate.open_again() {
            Ok(()) => {
                log::info!("clients are served again");
                Response::empty(Status::NoContent)
            }
            Err(error) => refuse(Status::BadRequest, &error.to_string()),
        }
    }

    /// Removes everything, and begins as on the very first start.
    fn reset(&self) -> Response {
        if self.gate.service().get() != Service::Stopped {
            return refuse(Status::PreconditionFailed, "the node serves clients: stop it first with 'stop_app'");
        }
        log::warn!("asked to forget everything");
        match reset::reset(&self.config) {
            Ok(()) => Response::empty(Status::NoContent),
            Err(error) => refuse(Status::BadRequest, &error.to_string()),
        }
    }

    /// Changes when publishers are held up: `{"key": "disk_free_limit.absolute", "value": "1GB"}`, a key of the configuration.
    fn set_alarm(&self, request: &Request) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (key, text) = (body["key"].as_str().unwrap_or_default(), body["value"].as_str().unwrap_or_default());
        let mut config = Config { alarms: self.alarms.get(), ..(*self.config).clone() };
        let is_alarm = key.starts_with("vm_memory_high_watermark.") || key.starts_with("disk_free_limit.");
        let set = KEYS.iter().find(|it| it.pattern == key && is_alarm).and_then(|it| match &it.effect {
            Effect::Set { set, .. } => Some(set),
            _ => None,
        });
        match set.map(|set| set(&mut config, &[], text)) {
            None => refuse(Status::BadRequest, "expected the key of an alarm"),
            Some(Err(error)) => refuse(Status::BadRequest, &format!("{text}: {error}")),
            Some(Ok(())) => {
                self.alarms.set(config.alarms);
                Shard::current().set_alarm_limits(&config.alarms);
                log::info!("{key} is {text} now");
                Response::empty(Status::NoContent)
            }
        }
    }

    /// Every setting that acts, as the configuration file would say it.
    fn environment(&self) -> Value {
        let shown = KEYS.iter().filter_map(|key| match &key.effect {
            Effect::Set { show, .. } => Some((key.pattern.to_owned(), Value::String(show(&self.config)))),
            _ => None,
        });
        Value::Object(shown.collect::<Map<_, _>>())
    }
}

/// Makes the socket anew: one that is there belongs to a process that has ended, for the directory is locked.
fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let path: PathBuf = data_dir.join(SOCKET_NAME);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("control socket {}: {error}", path.display()));
    if let Err(error) = runtime::fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(named(error));
    }
    let listener = UnixListener::bind(&path).map_err(named)?;
    runtime::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(named)?;
    Ok(listener)
}

fn set_log_level(request: &Request) -> Response {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let Some(word) = body["level"].as_str() else {
        return refuse(Status::BadRequest, "expected {\"level\": \"info\"}");
    };
    match value::level(word) {
        Ok(level) => {
            logging::set_filter(level.as_str());
            log::info!("the log's level is {} now", level.as_str());
            Response::empty(Status::NoContent)
        }
        Err(error) => refuse(Status::BadRequest, &format!("level {word}: {error}")),
    }
}

fn authenticate(request: &Request) -> Response {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let shard = Shard::current();
    let hash = shard.access().user(text("user")).and_then(|user| user.password.clone());
    let floor = shard.config.login_work;
    let password = text("password").as_bytes().to_vec();
    let is_right = runtime::offload(move || PasswordHash::verify(hash.as_ref(), &password, floor));
    Response::json(Status::Ok, &json!({"ok": is_right}))
}

fn refuse(status: Status, reason: &str) -> Response {
    Response::json(status, &json!({"error": "bad_request", "reason": reason}))
}
