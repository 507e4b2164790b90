//! Which path and method is which handler, and who may ask: one table.

use leveret_core::Name;

use super::context::{Api, Context, Login};
use super::{
    access, attempts, bindings, channels, connections, definitions, exchanges, explain, health, messages, nodes,
    overview, policies, queues, users, vhosts,
};
use crate::failure::{Failure, names};
use crate::http::Method::{self, Delete, Get, Post, Put};
use crate::http::{Request, Response, Status};

/// What a user must be to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Somebody with any of the tags.
    Management,
    /// As above to read; to change things a policymaker.
    Policymaker,
    /// Who watches the whole broker.
    Monitoring,
    /// As above to read; to change things an administrator.
    MonitoringToRead,
    Administrator,
}

/// Who may have sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Anybody who reaches the port: a user must log in.
    Anybody,
    /// Only whom the system lets open the broker's own socket.
    Operator,
}

type Handler = fn(&Context<'_>) -> Result<Response, Failure>;

/// A pattern below `/api`; parts in braces stand for names.
struct Route(&'static str, Need, &'static [(Method, Handler)]);

use Need::{Administrator, Management, Monitoring, MonitoringToRead, Policymaker};

#[rustfmt::skip]
const ROUTES: &[Route] = &[
    Route("overview", Management, &[(Get, overview::show)]),
    Route("whoami", Management, &[(Get, overview::whoami)]),
    Route("cluster-name", MonitoringToRead, &[(Get, overview::show_cluster_name), (Put, overview::put_cluster_name)]),
    Route("extensions", Management, &[(Get, overview::extensions)]),
    Route("version", Management, &[(Get, overview::version)]),
    Route("auth", Management, &[(Get, overview::auth)]),
    Route("config/effective", Administrator, &[(Get, overview::config)]),
    Route("feature-flags", Management, &[(Get, overview::feature_flags)]),
    Route("feature-flags/{name}/enable", Administrator, &[(Put, overview::enable_feature_flag)]),
    Route("deprecated-features", Management, &[(Get, overview::deprecated_features)]),
    Route("deprecated-features/used", Management, &[(Get, overview::nothing)]),
    Route("nodes", Monitoring, &[(Get, nodes::list)]),
    Route("nodes/{node}", Monitoring, &[(Get, nodes::show)]),
    Route("nodes/{node}/memory", Monitoring, &[(Get, nodes::memory)]),
    Route("nodes/{node}/memory/relative", Monitoring, &[(Get, nodes::relative_memory)]),
    Route("reset", Administrator, &[(Delete, overview::done)]),
    Route("reset/{node}", Administrator, &[(Delete, overview::done)]),
    Route("rebalance/queues", Administrator, &[(Post, overview::done)]),
    Route("definitions", Administrator, &[(Get, definitions::export), (Post, definitions::import)]),
    Route("all-configuration", Administrator, &[(Get, definitions::export), (Post, definitions::import)]),
    Route("definitions/{vhost}", Administrator, &[(Get, definitions::export_vhost), (Post, definitions::import_vhost)]),
    Route("connections", Management, &[(Get, connections::list)]),
    Route("connections/username/{user}", Management, &[(Get, connections::list_of_user), (Delete, connections::close_of_user)]),
    Route("connections/{name}", Management, &[(Get, connections::show), (Delete, connections::close)]),
    Route("connections/{name}/channels", Management, &[(Get, channels::list_of_connection)]),
    Route("channels", Management, &[(Get, channels::list)]),
    Route("channels/{name}", Management, &[(Get, channels::show)]),
    Route("consumers", Management, &[(Get, channels::list_consumers)]),
    Route("consumers/{vhost}", Management, &[(Get, channels::list_consumers)]),
    Route("exchanges", Management, &[(Get, exchanges::list)]),
    Route("exchanges/{vhost}", Management, &[(Get, exchanges::list)]),
    Route("exchanges/{vhost}/{name}", Management, &[(Get, exchanges::show), (Put, exchanges::put), (Delete, exchanges::delete)]),
    Route("exchanges/{vhost}/{name}/publish", Management, &[(Post, messages::publish)]),
    Route("exchanges/{vhost}/{name}/bindings/source", Management, &[(Get, bindings::list_from_exchange)]),
    Route("exchanges/{vhost}/{name}/bindings/destination", Management, &[(Get, bindings::list_to_exchange)]),
    Route("queues", Management, &[(Get, queues::list)]),
    Route("queues/detailed", Management, &[(Get, queues::list)]),
    Route("queues/{vhost}", Management, &[(Get, queues::list)]),
    Route("queues/{vhost}/{name}", Management, &[(Get, queues::show), (Put, queues::put), (Delete, queues::delete)]),
    Route("queues/{vhost}/{name}/contents", Management, &[(Delete, queues::purge)]),
    Route("queues/{vhost}/{name}/get", Management, &[(Post, messages::get)]),
    Route("queues/{vhost}/{name}/peek", Management, &[(Post, messages::peek)]),
    Route("queues/{vhost}/{name}/move", Management, &[(Post, messages::move_messages)]),
    Route("queues/{vhost}/{name}/actions", Policymaker, &[(Post, queues::act)]),
    Route("queues/{vhost}/{name}/bindings", Management, &[(Get, bindings::list_of_queue)]),
    Route("bindings", Management, &[(Get, bindings::list)]),
    Route("bindings/{vhost}", Management, &[(Get, bindings::list)]),
    Route("bindings/{vhost}/e/{source}/q/{name}", Management, &[(Get, bindings::list_between), (Post, bindings::bind)]),
    Route("bindings/{vhost}/e/{source}/e/{exchange}", Management, &[(Get, bindings::list_between), (Post, bindings::bind)]),
    Route("bindings/{vhost}/e/{source}/q/{name}/{properties}", Management, &[(Get, bindings::show), (Delete, bindings::unbind)]),
    Route("bindings/{vhost}/e/{source}/e/{exchange}/{properties}", Management, &[(Get, bindings::show), (Delete, bindings::unbind)]),
    Route("vhosts", Management, &[(Get, vhosts::list)]),
    Route("vhosts/{vhost}", MonitoringToRead, &[(Get, vhosts::show), (Put, vhosts::put), (Delete, vhosts::delete)]),
    Route("vhosts/{vhost}/connections", Management, &[(Get, connections::list_of_vhost)]),
    Route("vhosts/{vhost}/channels", Management, &[(Get, channels::list_of_vhost)]),
    Route("vhosts/{vhost}/permissions", Administrator, &[(Get, access::list)]),
    Route("vhosts/{vhost}/topic-permissions", Administrator, &[(Get, access::list_topics)]),
    Route("vhosts/{vhost}/deletion/protection", Administrator, &[(Post, vhosts::enable_protection), (Delete, vhosts::disable_protection)]),
    Route("vhosts/{vhost}/start/{node}", Administrator, &[(Post, vhosts::start)]),
    Route("users", Administrator, &[(Get, users::list)]),
    Route("users/without-permissions", Administrator, &[(Get, users::list_without_permissions)]),
    Route("users/bulk-delete", Administrator, &[(Post, users::bulk_delete)]),
    Route("users/{user}", Administrator, &[(Get, users::show), (Put, users::put), (Delete, users::delete)]),
    Route("users/{user}/permissions", Administrator, &[(Get, access::list)]),
    Route("users/{user}/topic-permissions", Administrator, &[(Get, access::list_topics)]),
    Route("auth/hash_password/{password}", Administrator, &[(Get, users::hash), (Put, users::hash)]),
    Route("auth/attempts/{node}", Monitoring, &[(Get, attempts::list), (Delete, attempts::forget)]),
    Route("auth/attempts/{node}/source", Monitoring, &[(Get, attempts::list_sources), (Delete, attempts::forget)]),
    Route("permissions", Administrator, &[(Get, access::list)]),
    Route("permissions/{vhost}/{user}", Administrator, &[(Get, access::show), (Put, access::put), (Delete, access::delete)]),
    Route("topic-permissions", Administrator, &[(Get, access::list_topics)]),
    Route("topic-permissions/{vhost}/{user}", Administrator, &[(Get, access::show_topics), (Put, access::put_topic), (Delete, access::delete_topics)]),
    Route("topic-permissions/{vhost}/{user}/{exchange}", Administrator, &[(Delete, access::delete_topics)]),
    Route("parameters", Policymaker, &[(Get, policies::list_parameters)]),
    Route("parameters/{component}", Policymaker, &[(Get, policies::list_parameters)]),
    Route("parameters/{component}/{vhost}", Policymaker, &[(Get, policies::list_parameters)]),
    Route("parameters/{component}/{vhost}/{name}", Policymaker, &[(Get, policies::show_one_parameter), (Put, policies::put_parameter), (Delete, policies::delete_parameter)]),
    Route("global-parameters", Policymaker, &[(Get, policies::list_globals)]),
    Route("global-parameters/{name}", Policymaker, &[(Get, policies::show_global), (Put, policies::put_global), (Delete, policies::delete_global)]),
    Route("policies", Management, &[(Get, policies::list)]),
    Route("policies/{vhost}", Management, &[(Get, policies::list)]),
    Route("policies/{vhost}/{name}", Policymaker, &[(Get, policies::show), (Put, policies::put), (Delete, policies::delete)]),
    Route("operator-policies", Management, &[(Get, policies::list_operator)]),
    Route("operator-policies/{vhost}", Management, &[(Get, policies::list_operator)]),
    Route("operator-policies/{vhost}/{name}", MonitoringToRead, &[(Get, policies::show_operator), (Put, policies::put_operator), (Delete, policies::delete_operator)]),
    Route("vhost-limits", Management, &[(Get, vhosts::list_limits)]),
    Route("vhost-limits/{vhost}", Management, &[(Get, vhosts::list_limits)]),
    Route("vhost-limits/{vhost}/{name}", Administrator, &[(Put, vhosts::put_limit), (Delete, vhosts::delete_limit)]),
    Route("user-limits", Management, &[(Get, users::list_limits)]),
    Route("user-limits/{user}", Management, &[(Get, users::list_limits)]),
    Route("user-limits/{user}/{name}", Administrator, &[(Put, users::put_limit), (Delete, users::delete_limit)]),
    Route("aliveness-test/{vhost}", Management, &[(Get, health::aliveness)]),
    Route("healthchecks/node", Monitoring, &[(Get, health::node)]),
    Route("healthchecks/node/{node}", Monitoring, &[(Get, health::node)]),
    Route("health/checks/alarms", Management, &[(Get, health::alarms)]),
    Route("health/checks/local-alarms", Management, &[(Get, health::alarms)]),
    Route("health/checks/virtual-hosts", Management, &[(Get, health::fine)]),
    Route("health/checks/node-is-mirror-sync-critical", Management, &[(Get, health::single_node)]),
    Route("health/checks/node-is-quorum-critical", Management, &[(Get, health::single_node)]),
    Route("health/checks/port-listener/{port}", Management, &[(Get, health::port_listener)]),
    Route("health/checks/protocol-listener/{protocols}", Management, &[(Get, health::protocol_listener)]),
    Route("health/checks/certificate-expiration/{within}/{unit}", Management, &[(Get, health::certificates)]),
    Route("health/checks/is-in-service", Management, &[(Get, health::service)]),
    Route("health/checks/below-node-connection-limit", Management, &[(Get, health::connection_limit)]),
    Route("health/checks/ready-to-serve-clients", Management, &[(Get, health::service)]),
    Route("health/checks/metadata-store/initialized", Management, &[(Get, health::fine)]),
    Route("health/checks/metadata-store/initialized/with-data", Management, &[(Get, health::fine)]),
    Route("explain/{vhost}/{name}", Management, &[(Post, explain::route)]),
    Route("doctor/{vhost}", Management, &[(Get, explain::doctor_of_vhost)]),
    Route("doctor/{vhost}/{name}", Management, &[(Get, explain::doctor)]),
    Route("shovels", Monitoring, &[(Get, policies::list_shovels)]),
    Route("shovels/{vhost}", Monitoring, &[(Get, policies::list_shovels)]),
    Route("shovels/vhost/{vhost}/{name}", Policymaker, &[(Delete, policies::delete_shovel)]),
    Route("federation-links", Monitoring, &[(Get, overview::nothing)]),
    Route("federation-links/{vhost}", Monitoring, &[(Get, overview::nothing)]),
    Route("stream/connections", Management, &[(Get, overview::nothing)]),
    Route("stream/publishers", Management, &[(Get, overview::nothing)]),
    Route("stream/consumers", Management, &[(Get, overview::nothing)]),
];

/// Every pattern with its methods and what it needs, for people.
pub(crate) fn listing() -> impl Iterator<Item = (&'static str, String, &'static str)> {
    ROUTES.iter().map(|Route(pattern, need, handlers)| {
        let methods: Vec<&str> = handlers.iter().map(|(method, _)| method.as_str()).collect();
        let need = match need {
            Management => "any tag",
            Policymaker => "policymaker",
            Monitoring => "monitoring",
            MonitoringToRead => "administrator to change",
            Administrator => "administrator",
        };
        (*pattern, methods.join(", "), need)
    })
}

/// The parts of a path that stand for names, if the path is of that pattern.
fn matches(pattern: &'static str, segments: &[String]) -> Option<Vec<(&'static str, String)>> {
    let mut parts = pattern.split('/');
    let mut found = Vec::new();
    for segment in segments {
        let part = parts.next()?;
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => found.push((name, segment.clone())),
            None if part == segment => {}
            None => return None,
        }
    }
    parts.next().is_none().then_some(found)
}

/// The first route of the table that fits.
fn find(segments: &[String]) -> Option<(&'static Route, Vec<(&'static str, String)>)> {
    ROUTES.iter().find_map(|route| matches(route.0, segments).map(|names| (route, names)))
}

impl Api {
    /// Answers a request below `/api`; `segments` are the path's parts after that.
    pub(crate) fn answer(&self, request: &Request, segments: &[String], asker: Asker) -> Response {
        let answer =
            find(segments).ok_or(Failure::NotFound).and_then(|(route, names)| self.run(request, asker, route, names));
        answer.unwrap_or_else(|failure| failure.response())
    }

    fn run(
        &self,
        request: &Request,
        asker: Asker,
        route: &'static Route,
        found: Vec<(&'static str, String)>,
    ) -> Result<Response, Failure> {
        let Route(_, need, handlers) = route;
        let method = if request.method == Method::Head { Get } else { request.method };
        if method == Method::Options {
            return Ok(Response::empty(Status::NoContent).header("allow", names(&methods(handlers))));
        }
        let handler = handlers.iter().find(|(known, _)| *known == method).map(|(_, handler)| handler);
        let handler = handler.ok_or_else(|| Failure::MethodNotAllowed(methods(handlers)))?;
        let login = match asker {
            Asker::Operator => Login::operator(),
            Asker::Anybody => {
                check_site(request, &self.settings.cors_allow_origins)?;
                self.log_in(request)?
            }
        };
        check_need(&login, *need, method)?;
        let access = self.broker.access();
        handler(&Context { api: self, request, names: found, login, access })
    }

    /// Who asks.
    pub(crate) fn log_in(&self, request: &Request) -> Result<Login, Failure> {
        let header = request.header("authorization").ok_or(Failure::NoCredentials)?;
        let (user, password) = users::credentials(header).ok_or(Failure::LoginFailed)?;
        let is_let_in = self.broker.log_in(&user, &password, request.peer);
        self.attempts.note(is_let_in);
        if !is_let_in {
            return Err(Failure::LoginFailed);
        }
        request.is_by_user.set(true);
        let tags = self.broker.access().user(&user).map(|user| user.tags.clone()).unwrap_or_default();
        Ok(Login { user: Name::from(user), tags, is_operator: false })
    }
}

/// The methods of a route, with those that come by themselves.
fn methods(handlers: &[(Method, Handler)]) -> Vec<Method> {
    let mut all: Vec<Method> = handlers.iter().map(|(method, _)| *method).collect();
    if all.contains(&Get) {
        all.insert(0, Method::Head);
    }
    all.push(Method::Options);
    all
}

/// A browser sends its user's credentials along whatever page makes it ask. Pages of other sites may not change anything.
fn check_site(request: &Request, allowed: &[String]) -> Result<(), Failure> {
    if request.method.is_safe() {
        return Ok(());
    }
    let Some(origin) = request.header("origin") else {
        return match request.header("sec-fetch-site") {
            Some("cross-site" | "same-site") => Err(Failure::CrossSite),
            _ => Ok(()),
        };
    };
    let host = request.header("host").unwrap_or_default();
    let of_host = origin.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(host));
    if of_host || allowed.iter().any(|it| it == "*" || it == origin) { Ok(()) } else { Err(Failure::CrossSite) }
}

fn check_need(login: &Login, need: Need, method: Method) -> Result<(), Failure> {
    let reads = method.is_safe();
    let refuse = |what: &str| Err(Failure::NotAllowed(what.into()));
    if !login.is_management() {
        return refuse("Not management user");
    }
    match need {
        Management => Ok(()),
        Policymaker if login.is_policymaker() || (reads && login.is_monitoring()) => Ok(()),
        Policymaker => refuse("Not policymaker"),
        Monitoring if login.is_monitoring() => Ok(()),
        MonitoringToRead if login.is_administrator() || reads => Ok(()),
        Monitoring => refuse("Not monitor user"),
        MonitoringToRead | Administrator if login.is_administrator() => Ok(()),
        MonitoringToRead | Administrator => refuse("Not administrator user"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_core::access::Tag;

    fn path(text: &str) -> Vec<String> {
        Request::new(Get, &format!("/{text}")).segments().unwrap()
    }

    #[test]
    fn paths_find_their_patterns() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(find(&path(text)).map(|(route, _)| route.0), expected, "{text}");
        };
        check("overview", Some("overview"));
        check("overview/", Some("overview"));
        check("queues/detailed", Some("queues/detailed"));
        check("queues/%2F", Some("queues/{vhost}"));
        check("queues/%2F/q/contents", Some("queues/{vhost}/{name}/contents"));
        check("connections/username/u", Some("connections/username/{user}"));
        check("connections/a%20-%3E%20b/channels", Some("connections/{name}/channels"));
        check("bindings/%2F/e/x/e/y/~", Some("bindings/{vhost}/e/{source}/e/{exchange}/{properties}"));
        check("users/without-permissions", Some("users/without-permissions"));
        check("nothing", None);
        check("queues/a/b/c/d", None);
        check("", None);
    }

    #[test]
    fn names_are_what_stands_in_braces() {
        let (_, names) = find(&path("bindings/%2F/e/x/q/a%2Fb")).unwrap();
        assert_eq!(names, [("vhost", "/".into()), ("source", "x".into()), ("name", "a/b".into())]);
    }

    #[test]
    fn every_route_can_be_reached() {
        for Route(pattern, ..) in ROUTES {
            let segments: Vec<String> =
                pattern.split('/').map(|part| part.trim_matches(['{', '}']).to_owned()).collect();
            let found = find(&segments).map(|(route, _)| route.0);
            assert_eq!(found.map(|it| it.split('/').count()), Some(segments.len()), "{pattern}");
        }
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let check = |method: Method, headers: &[(&str, &str)], expected: bool| {
            let request = Request::new(method, "/api/x").with_header("host", "a:1");
            let request = headers.iter().fold(request, |request, (name, value)| request.with_header(name, value));
            assert_eq!(check_site(&request, &["https://ok".into()]).is_ok(), expected, "{headers:?}");
        };
        check(Put, &[], true);
        check(Put, &[("origin", "http://a:1")], true);
        check(Put, &[("origin", "http://b:1")], false);
        check(Put, &[("origin", "null")], false);
        check(Put, &[("origin", "https://ok")], true);
        check(Post, &[("sec-fetch-site", "cross-site")], false);
        check(Post, &[("sec-fetch-site", "same-origin")], true);
        check(Get, &[("origin", "http://b:1")], true);
    }

    #[test]
    fn tags_open_what_they_should() {
        let check = |tags: &str, need: Need, method: Method, expected: bool| {
            let login = Login { user: "u".into(), tags: Tag::parse_list(tags), is_operator: false };
            assert_eq!(check_need(&login, need, method).is_ok(), expected, "{tags} {need:?} {method:?}");
        };
        let all = [Management, Policymaker, Monitoring, MonitoringToRead, Administrator];
        for need in all {
            check("", need, Get, false);
            check("impersonator", need, Get, false);
            check("administrator", need, Put, true);
        }
        check("management", Management, Put, true);
        check("management", Policymaker, Get, false);
        check("management", Monitoring, Get, false);
        check("management", MonitoringToRead, Get, true);
        check("policymaker", Policymaker, Put, true);
        check("policymaker", Administrator, Get, false);
        check("monitoring", Policymaker, Get, true);
        check("monitoring", Policymaker, Put, false);
        check("monitoring", Monitoring, Get, true);
        check("monitoring", MonitoringToRead, Put, false);
    }
}
