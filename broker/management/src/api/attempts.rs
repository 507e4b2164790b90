//! How often somebody has logged in or tried to, by protocol.

use std::cell::Cell;

use serde_json::{Value, json};

use super::context::Context;
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::port::Totals;

/// Logins of one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
}

impl Count {
    fn since(self, before: Count) -> Count {
        Count {
            succeeded: self.succeeded.saturating_sub(before.succeeded),
            failed: self.failed.saturating_sub(before.failed),
        }
    }
}

/// What the API itself counts, and what it has been told to forget.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    http: Cell<Count>,
    forgotten: Cell<[Count; 2]>,
}

impl Attempts {
    /// Somebody tried to log in over HTTP.
    pub(crate) fn note(&self, succeeded: bool) {
        let mut count = self.http.get();
        *(if succeeded { &mut count.succeeded } else { &mut count.failed }) += 1;
        self.http.set(count);
    }

    /// By protocol, since the broker runs.
    pub(crate) fn since_start(&self, totals: &Totals) -> [(&'static str, Count); 2] {
        let amqp = Count { succeeded: totals.logins, failed: totals.failed_logins };
        [("amqp091", amqp), ("http", self.http.get())]
    }

    /// By protocol, since they were forgotten.
    fn counts(&self, totals: &Totals) -> [(&'static str, Count); 2] {
        let [(amqp, of_amqp), (http, of_http)] = self.since_start(totals);
        let [before_amqp, before_http] = self.forgotten.get();
        [(amqp, of_amqp.since(before_amqp)), (http, of_http.since(before_http))]
    }

    fn forget(&self, totals: &Totals) {
        self.forgotten.set(self.since_start(totals).map(|(_, count)| count));
    }
}

fn check_node(cx: &Context<'_>) -> Result<(), Failure> {
    if cx.name("node") == cx.broker().facts().node { Ok(()) } else { Err(Failure::NotFound) }
}

/// GET /auth/attempts/{node}
pub(crate) fn list(cx: &Context<'_>) -> Result<Response, Failure> {
    check_node(cx)?;
    let shown = cx.api.attempts.counts(&cx.broker().totals()).map(|(protocol, count)| {
        json!({
            "protocol": protocol, "auth_attempts": count.succeeded + count.failed,
            "auth_attempts_failed": count.failed, "auth_attempts_succeeded": count.succeeded,
        })
    });
    Ok(Response::json(Status::Ok, &Value::from(shown.to_vec())))
}

/// GET /auth/attempts/{node}/source: RabbitMQ too keeps addresses and names only if it is told to.
pub(crate) fn list_sources(cx: &Context<'_>) -> Result<Response, Failure> {
    check_node(cx)?;
    Ok(Response::json(Status::Ok, &json!([])))
}

/// DELETE /auth/attempts/{node}, and /source below it.
pub(crate) fn forget(cx: &Context<'_>) -> Result<Response, Failure> {
    check_node(cx)?;
    cx.api.attempts.forget(&cx.broker().totals());
    Ok(Response::empty(Status::NoContent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_until_they_are_forgotten_and_metrics_never_go_down() {
        let attempts = Attempts::default();
        let totals = Totals { logins: 3, failed_logins: 1, ..Totals::default() };
        attempts.note(true);
        attempts.note(false);
        let amqp = Count { succeeded: 3, failed: 1 };
        let http = Count { succeeded: 1, failed: 1 };
        assert_eq!(attempts.counts(&totals), [("amqp091", amqp), ("http", http)]);
        attempts.forget(&totals);
        assert_eq!(attempts.counts(&totals), [("amqp091", Count::default()), ("http", Count::default())]);
        assert_eq!(attempts.since_start(&totals), [("amqp091", amqp), ("http", http)]);
    }
}
