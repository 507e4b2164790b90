//! What a handler gets: the request, who makes it, and the broker.

use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use leveret_core::access::permission::Operation;
use leveret_core::access::{Access, Command as Administration, Outcome as Administered, Refused, Tag};
use leveret_core::error::{Error, ResourceKind};
use leveret_core::topology::Topology;
use leveret_core::{Name, VhostId};

use super::attempts::Attempts;
use super::bodies::Fields;
use crate::failure::Failure;
use crate::http::{Request, Response, Status};
use crate::listing::{self, Options, Row};
use crate::port::{Actor, Broker, Command, Outcome};
use crate::prometheus::MetricsSettings;
use crate::stats::History;

/// The API of one broker.
pub struct Api {
    pub(crate) broker: Rc<dyn Broker>,
    pub(crate) history: RefCell<History>,
    pub(crate) settings: Settings,
    pub(crate) attempts: Attempts,
}

/// How the API behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What all paths begin with, such as `/broker`; empty for nothing.
    pub path_prefix: String,
    /// Origins that browsers may call the API from; `*` for any.
    pub cors_allow_origins: Vec<String>,
    /// How long a browser stays logged in, in milliseconds.
    pub login_session_timeout_ms: u64,
    /// How the metrics are served.
    pub metrics: MetricsSettings,
}

/// Who makes a request.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) user: Name,
    pub(crate) tags: Vec<Tag>,
    /// Sits at the machine: may do everything, with no permission of its own.
    pub(crate) is_operator: bool,
}

impl Login {
    /// Whoever may open the broker's own socket; the name is that of RabbitMQ's command line.
    pub(crate) fn operator() -> Login {
        Login { user: "rmq-cli".into(), tags: vec![Tag::Administrator], is_operator: true }
    }

    fn has(&self, tag: &Tag) -> bool {
        self.tags.contains(tag)
    }

    pub(crate) fn is_administrator(&self) -> bool {
        self.has(&Tag::Administrator)
    }

    pub(crate) fn is_monitoring(&self) -> bool {
        self.is_administrator() || self.has(&Tag::Monitoring)
    }

    pub(crate) fn is_policymaker(&self) -> bool {
        self.is_administrator() || self.has(&Tag::Policymaker)
    }

    pub(crate) fn is_management(&self) -> bool {
        self.is_monitoring() || self.is_policymaker() || self.has(&Tag::Management)
    }
}

/// See the module's description.
pub(crate) struct Context<'a> {
    pub(crate) api: &'a Api,
    pub(crate) request: &'a Request,
    /// The parts of the path that stand for names, by what they stand for.
    pub(crate) names: Vec<(&'static str, String)>,
    pub(crate) login: Login,
    pub(crate) access: Arc<Access>,
}

/// A virtual host of the path.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) id: VhostId,
    pub(crate) name: Name,
}

impl Context<'_> {
    pub(crate) fn broker(&self) -> &dyn Broker {
        &*self.api.broker
    }

    pub(crate) fn history(&self) -> Ref<'_, History> {
        self.api.history.borrow()
    }

    /// The part of the path that stands for `what`; empty if there is none.
    pub(crate) fn name(&self, what: &str) -> &str {
        self.names.iter().find(|(known, _)| *known == what).map_or("", |(_, value)| value)
    }

    /// An exchange's name in the path: the default exchange goes by another name there.
    pub(crate) fn exchange_name(&self, what: &str) -> &str {
        match self.name(what) {
            "amq.default" => "",
            name => name,
        }
    }

    /// The query's value of that name.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.request.query.get(name)
    }

    /// The body as a JSON object; an empty one counts as `{}`.
    pub(crate) fn fields(&self) -> Result<Fields, Failure> {
        Fields::parse(&self.request.body)
    }

    /// Answers a list.
    pub(crate) fn list<R: Row>(&self, rows: Vec<R>) -> Result<Response, Failure> {
        let options = Options::parse(&self.request.query)?;
        listing::answer(rows, &options, &|| self.broker().pause())
    }

    // ---- what may be seen

    /// Whether the user may look into a virtual host.
    pub(crate) fn sees(&self, vhost: &str) -> bool {
        self.login.is_monitoring() || self.access.rights(&self.login.user, vhost).is_some()
    }

    /// The virtual host of the path, if it exists and the user may look into it.
    pub(crate) fn host(&self) -> Result<Host, Failure> {
        let name = self.name("vhost");
        let mut found = None;
        self.read(|topology| found = topology.vhost_id(name));
        match found {
            Some(id) if self.sees(name) => Ok(Host { id, name: name.into() }),
            Some(_) => {
                Err(Failure::NotAllowed(format!("User '{}' has no access to this virtual host", self.login.user)))
            }
            None => Err(Failure::NotFound),
        }
    }

    /// The virtual host of the path, or all that the user may look into if the path has none; by name.
    pub(crate) fn hosts(&self) -> Result<Vec<Host>, Failure> {
        if self.names.iter().any(|(what, _)| *what == "vhost") {
            return self.host().map(|host| vec![host]);
        }
        let mut hosts = Vec::new();
        self.read(|topology| {
            hosts = topology.vhosts().map(|(id, vhost)| Host { id, name: vhost.name().clone() }).collect()
        });
        hosts.retain(|host| self.sees(&host.name));
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(hosts)
    }

    /// Looks at the topology.
    pub(crate) fn read(&self, read: impl FnOnce(&Topology)) {
        let mut read = Some(read);
        self.broker().read_topology(&mut |topology| {
            if let Some(read) = read.take() {
                read(topology);
            }
        });
    }

    // ---- commands

    /// Does what an AMQP client could do, if the user's permissions allow it.
    pub(crate) fn execute(&self, host: &Host, operation: Operation<'_>, command: Command) -> Result<Outcome, Failure> {
        self.permit(host, operation)?;
        let actor = Actor { user: self.login.user.clone(), vhost: host.id };
        Ok(self.broker().execute(&actor, command)?)
    }

    /// Fails if the user's permissions do not allow an operation.
    pub(crate) fn permit(&self, host: &Host, operation: Operation<'_>) -> Result<(), Failure> {
        if self.login.is_operator {
            return Ok(());
        }
        let Some(rights) = self.access.rights(&self.login.user, &host.name) else {
            let text = format!("access to vhost '{}' refused for user '{}'", host.name, self.login.user);
            return Err(Failure::NotAllowed(text));
        };
        rights.check(operation).map_err(|error| Failure::NotAllowed(refusal_text(&error)))
    }

    /// Changes users, virtual hosts, permissions, policies, parameters or limits; answers as the API does.
    pub(crate) fn administer(&self, command: Administration) -> Result<Response, Failure> {
        match self.broker().administer(command)? {
            Administered::Created => Ok(Response::empty(Status::Created)),
            Administered::Updated | Administered::Deleted => Ok(Response::empty(Status::NoContent)),
            Administered::Missing => Err(Failure::NotFound),
        }
    }
}

/// A refused permission in RabbitMQ's words.
fn refusal_text(error: &Error) -> String {
    match error {
        Error::AccessRefused { right, resource, user } => {
            let (kind, name) = (resource.kind.as_str(), &resource.name);
            let name = match resource.kind {
                ResourceKind::Exchange if name.is_empty() => "amq.default",
                _ => name,
            };
            let (right, vhost) = (right.as_str(), &resource.vhost);
            format!("ACCESS_REFUSED - {right} access to {kind} '{name}' in vhost '{vhost}' refused for user '{user}'")
        }
        other => other.to_string(),
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        match &refused {
            _ if refused.is_not_found() => Failure::Missing(refused.to_string()),
            _ if refused.is_protection() => Failure::PreconditionFailed(refused.to_string()),
            _ => Failure::BadRequest(refused.to_string()),
        }
    }
}

/// "created" or "was there": what PUT answers.
pub(crate) fn put_answer(outcome: &Outcome) -> Response {
    match outcome {
        Outcome::Done { is_new: true } => Response::empty(Status::Created),
        _ => Response::empty(Status::NoContent),
    }
}
