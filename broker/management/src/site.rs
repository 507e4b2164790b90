//! What is behind the whole port: the API below `/api`, pages at `/`.

use std::cell::RefCell;
use std::rc::Rc;

use crate::api::attempts::Attempts;
use crate::api::context::{Api, Settings};
use crate::api::router::Asker;
use crate::failure::Failure;
use crate::http::gzip::compressed;
use crate::http::{Method, Request, Response};
use crate::port::Broker;
use crate::stats::History;
use crate::stats::messages::{churn_of, of_broker, of_channel, of_connection, of_exchange, of_queue, sum};
use crate::ui;

/// `/api` and `/api/index.html` are the page about the API.
fn is_help(rest: &[String]) -> bool {
    rest.first().is_none_or(|name| name == "index.html")
}

impl Api {
    /// The API of a broker.
    pub fn new(broker: Rc<dyn Broker>, settings: Settings) -> Api {
        Api { broker, history: RefCell::new(History::default()), settings, attempts: Attempts::default() }
    }

    /// Answers any request.
    pub fn respond(&self, request: &Request) -> Response {
        let response = match request.path.strip_prefix(self.settings.path_prefix.as_str()) {
            Some(_) => self.respond_below(request),
            None => Failure::NotFound.response(),
        };
        compressed(request, self.with_cors(request, response))
    }

    /// Answers a request that came over a socket which only the operator can open: without a login, everything below `/api`.
    pub fn respond_to_operator(&self, request: &Request) -> Response {
        match request.segments().as_deref() {
            Some([first, rest @ ..]) if first == "api" && !rest.is_empty() => {
                self.answer(request, rest, Asker::Operator)
            }
            _ => Failure::NotFound.response(),
        }
    }

    fn respond_below(&self, request: &Request) -> Response {
        let depth = self.settings.path_prefix.split('/').filter(|part| !part.is_empty()).count();
        let Some(segments) = request.segments() else {
            return Failure::BadRequest("the path is not well encoded".into()).response();
        };
        let segments = &segments[depth.min(segments.len())..];
        match segments.split_first() {
            Some((first, rest)) if first == "api" && !is_help(rest) => self.answer(request, rest, Asker::Anybody),
            Some((first, _)) if first == "api" => ui::help(),
            _ if !matches!(request.method, Method::Get | Method::Head) => Failure::NotFound.response(),
            _ => ui::file(segments).unwrap_or_else(|| Failure::NotFound.response()),
        }
    }

    /// Answers a request for metrics.
    pub fn respond_metrics(&self, request: &Request) -> Response {
        compressed(request, crate::prometheus::respond(self, request))
    }

    /// Says to browsers that pages of the allowed sites may read the answer.
    fn with_cors(&self, request: &Request, response: Response) -> Response {
        let Some(origin) = request.header("origin") else { return response };
        if !self.settings.cors_allow_origins.iter().any(|it| it == "*" || it == origin) {
            return response;
        }
        let response =
            response.header("access-control-allow-origin", origin).header("access-control-allow-credentials", "true");
        match request.method {
            Method::Options => response
                .header("access-control-allow-methods", "HEAD, GET, POST, PUT, DELETE, OPTIONS")
                .header("access-control-allow-headers", "authorization, content-type, x-reason")
                .header("access-control-max-age", "1728000"),
            _ => response,
        }
    }

    /// Notes all counters; to be called again and again in the interval that the broker's facts say.
    pub fn sample(&self) {
        let broker = &*self.broker;
        let (queues, exchanges) = (broker.queues(), broker.exchanges());
        let (connections, channels, totals) = (broker.connections(), broker.channels(), broker.totals());
        let now = broker.now_ms();
        let (ready, unsettled) =
            queues.values().fold((0, 0), |(ready, unsettled), it| (ready + it.ready, unsettled + it.unsettled));
        let mut all = of_broker(&totals, ready, unsettled);
        exchanges.values().for_each(|it| sum(&mut all, &of_exchange(it)));
        let mut history = self.history.borrow_mut();
        history.queues.sample(now, queues.iter().map(|(id, it)| (*id, of_queue(it))));
        history.exchanges.sample(now, exchanges.iter().map(|(id, it)| (id.clone(), of_exchange(it))));
        history.connections.sample(now, connections.iter().map(|it| (it.id, of_connection(it))));
        history.channels.sample(now, channels.iter().map(|it| ((it.connection, it.number), of_channel(&it.counts))));
        history.sample_overview(now, &all, &churn_of(&totals));
    }
}
