//! Metrics in Prometheus' text format 0.0.4, with the names, labels and buckets that RabbitMQ's dashboards draw.
//!
//! `/metrics` has sums, `/metrics/per-object` one line for each queue, connection, channel and exchange, `/metrics/detailed` only the
//! families that are asked for, `/metrics/memory-breakdown` who has the memory. Every panel of the dashboards joins with
//! `rabbitmq_identity_info`, so that comes first.

mod objects;
mod text;
mod whole;

use std::sync::Arc;

use leveret_core::Name;
use leveret_core::topology::QueueRecord;
use regex::{Regex, RegexBuilder};

use crate::api::context::Api;
use crate::failure::Failure;
use crate::http::{Body, Method, Request, Response, Status};
use crate::port::QueueState;
use text::Text;

/// Bytes that a filter's automaton may occupy.
const FILTER_PROGRAM_MAX: usize = 256 * 1024;
/// Queues written before others may run.
const SLICE: usize = 256;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How the metrics are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// The path that answers; others are below it.
    pub path: String,
    /// Whether it answers for each object instead of sums.
    pub per_object: bool,
    /// Whether the scraper must log in, as a user with the tag `monitoring`.
    pub authentication: bool,
}

impl Default for MetricsSettings {
    fn default() -> MetricsSettings {
        MetricsSettings { path: "/metrics".into(), per_object: false, authentication: false }
    }
}

/// Which lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Aggregated,
    PerObject,
    Detailed,
    MemoryBreakdown,
}

impl Form {
    /// The word in `rabbitmq_endpoint`.
    fn as_str(self) -> &'static str {
        match self {
            Form::Aggregated => "aggregated",
            Form::PerObject => "per-object",
            Form::Detailed => "detailed",
            Form::MemoryBreakdown => "memory-breakdown",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Form::Detailed => "rabbitmq_detailed_",
            _ => "rabbitmq_",
        }
    }

    /// What a path asks for.
    fn of_path(path: &str, settings: &MetricsSettings) -> Option<Form> {
        match path.strip_prefix(settings.path.trim_end_matches('/'))? {
            "" | "/" if settings.per_object => Some(Form::PerObject),
            "" | "/" => Some(Form::Aggregated),
            "/per-object" => Some(Form::PerObject),
            "/detailed" => Some(Form::Detailed),
            "/memory-breakdown" => Some(Form::MemoryBreakdown),
            _ => None,
        }
    }
}

pub(crate) fn respond(api: &Api, request: &Request) -> Response {
    answer(api, request).unwrap_or_else(|failure| failure.response())
}

fn answer(api: &Api, request: &Request) -> Result<Response, Failure> {
    let settings = &api.settings.metrics;
    let Some(form) = Form::of_path(&request.path, settings) else {
        return match request.path.as_str() {
            "/" => Ok(Response::empty(Status::SeeOther).header("location", &settings.path)),
            _ => Err(Failure::NotFound),
        };
    };
    if !matches!(request.method, Method::Get | Method::Head) {
        return Err(Failure::MethodNotAllowed(vec![Method::Get, Method::Head]));
    }
    if settings.authentication && !api.log_in(request)?.is_monitoring() {
        return Err(Failure::NotAllowed("Not monitor user".into()));
    }
    let text = Scrape::new(api, request, form)?.write();
    Ok(Response::with(Status::Ok, CONTENT_TYPE, Body::Owned(text.into_bytes())))
}

/// One answer.
struct Scrape<'a> {
    api: &'a Api,
    form: Form,
    families: Vec<String>,
    queues: Vec<(Name, Arc<QueueRecord>, QueueState)>,
    text: Text,
}

impl<'a> Scrape<'a> {
    fn new(api: &'a Api, request: &Request, form: Form) -> Result<Scrape<'a>, Failure> {
        let families = request.query.all("family").map(str::to_owned).collect();
        let mut scrape = Scrape { api, form, families, queues: Vec::new(), text: Text::default() };
        let vhosts: Vec<&str> = request.query.all("vhost").collect();
        scrape.find_queues(&vhosts, filter(request.query.get("queue"))?.as_ref());
        Ok(scrape)
    }

    fn find_queues(&mut self, vhosts: &[&str], filter: Option<&Regex>) {
        let mut states = self.api.broker.queues();
        let queues = &mut self.queues;
        self.api.broker.read_topology(&mut |topology| {
            let is_wanted = |name: &str| vhosts.is_empty() || vhosts.contains(&name);
            for (_, vhost) in topology.vhosts().filter(|(_, vhost)| is_wanted(vhost.name())) {
                let wanted = vhost.queues().filter(|record| filter.is_none_or(|it| it.is_match(&record.name)));
                queues.extend(wanted.map(|record| (vhost.name().clone(), record.clone(), QueueState::default())));
            }
        });
        queues.sort_by(|(a, x, _), (b, y, _)| (a, &x.name).cmp(&(b, &y.name)));
        for (_, record, state) in queues {
            *state = states.remove(&record.id).unwrap_or_default();
        }
    }

    fn write(mut self) -> String {
        self.identity();
        match self.form {
            Form::MemoryBreakdown => self.memory(),
            _ => {
                self.node();
                self.churn();
                self.auth_attempts();
                self.raft();
                if self.form != Form::Detailed {
                    self.globals();
                    self.streams();
                    self.sizes();
                    self.totals();
                    self.strangers();
                }
                self.alarms();
                self.objects();
            }
        }
        self.text.0
    }

    /// Whether a family was asked for, where families are asked for.
    fn wants(&self, family: &str) -> bool {
        self.form != Form::Detailed || self.families.iter().any(|it| it == family)
    }

    /// A metric's whole name.
    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.form.prefix())
    }
}

fn filter(text: Option<&str>) -> Result<Option<Regex>, Failure> {
    let parse = |text: &str| RegexBuilder::new(text).size_limit(FILTER_PROGRAM_MAX).build();
    let refuse = |error: regex::Error| Failure::BadRequest(format!("invalid regular expression: {error}"));
    text.map(parse).transpose().map_err(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_forms() {
        let check = |path: &str, settings: &MetricsSettings, expected: Option<Form>| {
            assert_eq!(Form::of_path(path, settings), expected, "{path}");
        };
        let usual = MetricsSettings::default();
        check("/metrics", &usual, Some(Form::Aggregated));
        check("/metrics/", &usual, Some(Form::Aggregated));
        check("/metrics/per-object", &usual, Some(Form::PerObject));
        check("/metrics/detailed", &usual, Some(Form::Detailed));
        check("/metrics/memory-breakdown", &usual, Some(Form::MemoryBreakdown));
        check("/metricsx", &usual, None);
        check("/", &usual, None);
        let other = MetricsSettings { path: "/m/".into(), per_object: true, authentication: false };
        check("/m", &other, Some(Form::PerObject));
        check("/m/", &other, Some(Form::PerObject));
        check("/metrics", &other, None);
    }
}
