//! What a request can fail with, in the shapes that RabbitMQ's clients look at.

use serde_json::json;

use crate::http::{Method, Response, Status};
use crate::port::Refusal;

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody has logged in.
    NoCredentials,
    /// Wrong user or password.
    LoginFailed,
    /// The login is good, but this needs more. (RabbitMQ spells it in the British way, and the one above not.)
    NotAllowed(String),
    /// It makes no sense, or the broker refused it.
    BadRequest(String),
    /// There is no such object.
    NotFound,
    /// There is no such object, and the broker says which.
    Missing(String),
    /// The object does not do that; these methods it knows.
    MethodNotAllowed(Vec<Method>),
    /// A page that is not there.
    PageOutOfRange(String),
    /// The request comes from another site's page.
    CrossSite,
    /// A condition of the request does not hold.
    PreconditionFailed(String),
}

impl Failure {
    /// The text for the user.
    pub(crate) fn reason(&self) -> String {
        match self {
            Failure::NoCredentials | Failure::LoginFailed => "Not_Authorized".into(),
            Failure::NotFound => "Not Found".into(),
            Failure::MethodNotAllowed(_) => "Method Not Allowed".into(),
            Failure::CrossSite => "requests from pages of other sites are refused".into(),
            Failure::NotAllowed(text) | Failure::BadRequest(text) | Failure::Missing(text) => text.clone(),
            Failure::PageOutOfRange(text) | Failure::PreconditionFailed(text) => text.clone(),
        }
    }

    /// The answer.
    pub(crate) fn response(&self) -> Response {
        let (status, error) = match self {
            Failure::NoCredentials | Failure::LoginFailed => (Status::Unauthorized, "not_authorized"),
            Failure::NotAllowed(_) => (Status::Unauthorized, "not_authorised"),
            Failure::BadRequest(_) => (Status::BadRequest, "bad_request"),
            Failure::NotFound => (Status::NotFound, "Object Not Found"),
            Failure::Missing(_) => (Status::NotFound, "not_found"),
            Failure::MethodNotAllowed(_) => (Status::MethodNotAllowed, "method_not_allowed"),
            Failure::PageOutOfRange(_) => (Status::BadRequest, "page_out_of_range"),
            Failure::CrossSite => (Status::Forbidden, "forbidden"),
            Failure::PreconditionFailed(_) => (Status::PreconditionFailed, "precondition_failed"),
        };
        let response = Response::json(status, &json!({"error": error, "reason": self.reason()}));
        match self {
            Failure::NoCredentials => response.header("www-authenticate", "Basic realm=\"RabbitMQ Management\""),
            Failure::MethodNotAllowed(methods) => response.header("allow", names(methods)),
            _ => response,
        }
    }
}

/// Methods as the Allow header lists them.
pub(crate) fn names(methods: &[Method]) -> String {
    methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ")
}

/// AMQP's refusals as the API answers them: code and text in the reason, as RabbitMQ's API has them.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        match refusal.code {
            403 => Failure::NotAllowed(refusal.text),
            404 => Failure::Missing(refusal.text),
            code => Failure::BadRequest(format!("{code} {}", refusal.text)),
        }
    }
}
