//! Users, their limits, and passwords.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leveret_core::Name;
use leveret_core::access::limit::UserLimit;
use leveret_core::access::password::{Algorithm, PasswordHash};
use leveret_core::access::{Command, PasswordUpdate, Tag, User};
use leveret_core::value::Value as Field;
use serde_json::{Value, json};

use super::bodies::Fields;
use super::context::Context;
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::json::{Columns, to_field};
use crate::listing::Row;
use crate::port::Broker;

/// What a digest is made with, if a request that brings one does not say: RabbitMQ's default.
const ALGORITHM_DEFAULT: Algorithm = Algorithm::Sha256;

/// Users of one bulk deletion.
const BULK_MAX: usize = 10_000;

/// A user as the API shows it; definitions have the same fields.
pub(crate) fn show_one(name: &str, user: &User) -> Value {
    let (hash, algorithm) = match &user.password {
        Some(password) => (password.as_str(), password.algorithm()),
        None => ("", ALGORITHM_DEFAULT),
    };
    json!({
        "name": name,
        "password_hash": hash,
        "hashing_algorithm": algorithm.as_str(),
        "tags": user.tags.iter().map(Tag::as_str).collect::<Vec<_>>(),
        "limits": limits(user),
    })
}

pub(crate) fn limits(user: &User) -> Value {
    let all = user.limits.iter().map(|(limit, value): (UserLimit, i64)| (limit.as_str().to_owned(), json!(value)));
    Value::Object(all.collect())
}

/// GET /users
pub(crate) fn list(cx: &Context<'_>) -> Result<Response, Failure> {
    cx.list(cx.access.users().map(|(name, user)| show_one(name, user)).collect::<Vec<Value>>())
}

/// GET /users/without-permissions
pub(crate) fn list_without_permissions(cx: &Context<'_>) -> Result<Response, Failure> {
    let none = cx.access.users().filter(|(_, user)| user.permissions.is_empty());
    cx.list(none.map(|(name, user)| show_one(name, user)).collect::<Vec<Value>>())
}

/// GET /users/{user}
pub(crate) fn show(cx: &Context<'_>) -> Result<Response, Failure> {
    let name = cx.name("user");
    let user = cx.access.user(name).ok_or(Failure::NotFound)?;
    Ok(Response::json(Status::Ok, &show_one(name, user).render(&Columns::parse(cx.query("columns")))))
}

/// The command that a user's fields stand for; what is asked for off the shard is the digest of a password in clear.
pub(crate) fn command(broker: &dyn Broker, name: Name, fields: &Fields) -> Result<Command, Failure> {
    let tags = fields.words("tags")?.ok_or_else(|| Failure::BadRequest("key_missing: tags".into()))?;
    let limits = fields.get("limits").map(|_| fields.object("limits")).transpose()?;
    let limits =
        limits.map(|limits| limits.iter().map(|(name, value)| (Name::from(name.as_str()), to_field(value))).collect());
    let password = password(broker, fields)?;
    Ok(Command::PutUser { name, password, tags: tags.iter().map(|tag| Tag::parse(tag)).collect(), limits })
}

fn password(broker: &dyn Broker, fields: &Fields) -> Result<PasswordUpdate, Failure> {
    let algorithm = match fields.text("hashing_algorithm")? {
        None => match fields.text("password_hash")? {
            Some(hash) => algorithm_of(hash).unwrap_or(ALGORITHM_DEFAULT),
            None => broker.facts().password_algorithm,
        },
        Some(name) => {
            let unknown = || Failure::BadRequest(format!("unknown hashing algorithm '{name}'"));
            Algorithm::parse(name).ok_or_else(unknown)?
        }
    };
    match (fields.text("password_hash")?, fields.text("password")?) {
        (Some(""), _) | (None, Some("")) => Ok(PasswordUpdate::Clear),
        (Some(hash), _) => {
            let hash = PasswordHash::parse(algorithm, hash);
            let refused = |_| Failure::BadRequest(format!("password_hash is not a digest of {}", algorithm.as_str()));
            hash.map(PasswordUpdate::Set).map_err(refused)
        }
        (None, Some(password)) => Ok(PasswordUpdate::Set(broker.digest(algorithm, password.as_bytes()))),
        // "PUT without password: the user cannot log in by password", as in RabbitMQ.
        (None, None) => Ok(PasswordUpdate::Clear),
    }
}

/// The algorithm of a salted digest that comes without its name: their lengths differ. (RabbitMQ takes it for its default,
/// and then nobody can log in.)
fn algorithm_of(hash: &str) -> Option<Algorithm> {
    let salted = [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Md5];
    salted.into_iter().find(|algorithm| PasswordHash::parse(*algorithm, hash).is_ok())
}

/// PUT /users/{user}
pub(crate) fn put(cx: &Context<'_>) -> Result<Response, Failure> {
    let command = command(cx.broker(), cx.name("user").into(), &cx.fields()?)?;
    cx.administer(command)
}

/// DELETE /users/{user}
pub(crate) fn delete(cx: &Context<'_>) -> Result<Response, Failure> {
    cx.administer(Command::DeleteUser { name: cx.name("user").into() })
}

/// POST /users/bulk-delete
pub(crate) fn bulk_delete(cx: &Context<'_>) -> Result<Response, Failure> {
    let fields = cx.fields()?;
    fields.require("users")?;
    let users = fields.words("users")?.unwrap_or_default();
    if users.len() > BULK_MAX {
        return Err(Failure::BadRequest(format!("at most {BULK_MAX} users at once")));
    }
    for name in users {
        cx.broker().administer(Command::DeleteUser { name })?;
    }
    Ok(Response::empty(Status::NoContent))
}

/// GET /auth/hash_password/{password}
pub(crate) fn hash(cx: &Context<'_>) -> Result<Response, Failure> {
    let hash = cx.broker().digest(ALGORITHM_DEFAULT, cx.name("password").as_bytes());
    Ok(Response::json(Status::Ok, &json!({"ok": hash.as_str()})))
}

// ---- limits

/// GET /user-limits, /user-limits/{user}
pub(crate) fn list_limits(cx: &Context<'_>) -> Result<Response, Failure> {
    let wanted = cx.name("user");
    if !wanted.is_empty() && cx.access.user(wanted).is_none() {
        return Err(Failure::NotFound);
    }
    let limited =
        cx.access.users().filter(|(name, user)| (wanted.is_empty() || &***name == wanted) && !user.limits.is_empty());
    cx.list(limited.map(|(name, user)| json!({"user": **name, "value": limits(user)})).collect::<Vec<Value>>())
}

/// PUT /user-limits/{user}/{name}
pub(crate) fn put_limit(cx: &Context<'_>) -> Result<Response, Failure> {
    let value: Field = super::vhosts::limit_value(cx)?;
    cx.administer(Command::SetUserLimit { user: cx.name("user").into(), limit: cx.name("name").into(), value })?;
    Ok(Response::empty(Status::NoContent))
}

/// DELETE /user-limits/{user}/{name}; one that is not set is gone already.
pub(crate) fn delete_limit(cx: &Context<'_>) -> Result<Response, Failure> {
    let user = cx.name("user");
    match cx.administer(Command::ClearUserLimit { user: user.into(), limit: cx.name("name").into() }) {
        Err(Failure::NotFound) if cx.access.user(user).is_some() => Ok(Response::empty(Status::NoContent)),
        answer => answer,
    }
}

// ---- logging in

/// User and password of an Authorization header of the kind `Basic`.
pub(crate) fn credentials(header: &str) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = header.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded.trim()).ok())??;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let user = str::from_utf8(&decoded[..colon]).ok()?.to_owned();
    Some((user, decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_basic() {
        let check = |header: &str, expected: Option<(&str, &str)>| {
            let found = credentials(header).map(|(user, password)| (user, String::from_utf8(password).unwrap()));
            assert_eq!(found.as_ref().map(|(user, password)| (user.as_str(), password.as_str())), expected, "{header}");
        };
        check("Basic Z3Vlc3Q6Z3Vlc3Q=", Some(("guest", "guest")));
        check("basic  Z3Vlc3Q6YTpi", Some(("guest", "a:b")));
        check("Basic Og==", Some(("", "")));
        check("Basic Z3Vlc3Q=", None);
        check("Basic !", None);
        check("Bearer Z3Vlc3Q6Z3Vlc3Q=", None);
        check("", None);
    }
}
