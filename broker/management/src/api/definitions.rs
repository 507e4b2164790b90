//! Definitions up and down.

use serde_json::Value;

use super::context::Context;
use crate::definitions::{self, Import};
use crate::failure::Failure;
use crate::http::{Response, Status};

/// The answer, offered as a file if the request says its name.
fn answer(cx: &Context<'_>, document: &Value) -> Response {
    let response = Response::json(Status::Ok, document);
    match cx.query("download") {
        Some(name) => {
            let safe = |it: char| it.is_ascii_alphanumeric() || "-_.@".contains(it);
            let name: String = name.chars().map(|it| if safe(it) { it } else { '_' }).collect();
            response.header("content-disposition", format!("attachment; filename={name}"))
        }
        None => response,
    }
}

/// GET /definitions
pub(crate) fn export(cx: &Context<'_>) -> Result<Response, Failure> {
    let mut document = Value::Null;
    cx.read(|topology| document = definitions::export(topology, &cx.access, cx.broker().facts()));
    Ok(answer(cx, &document))
}

/// GET /definitions/{vhost}
pub(crate) fn export_vhost(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let mut document = Value::Null;
    cx.read(|topology| document = definitions::export_vhost(topology, &cx.access, cx.broker().facts(), &host.name));
    Ok(answer(cx, &document))
}

/// POST /definitions
pub(crate) fn import(cx: &Context<'_>) -> Result<Response, Failure> {
    run(cx, None)
}

/// POST /definitions/{vhost}
pub(crate) fn import_vhost(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    run(cx, Some(&host.name))
}

fn run(cx: &Context<'_>, vhost: Option<&str>) -> Result<Response, Failure> {
    let document = uploaded(cx)?;
    let import = Import { broker: cx.broker(), user: &cx.login.user, vhost };
    import.run(&document).map_err(Failure::BadRequest)?;
    Ok(Response::empty(Status::NoContent))
}

/// The document: the body, or the field `file` of a form.
fn uploaded(cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
    let body = &cx.request.body;
    let Some(kind) = cx.request.header("content-type").filter(|it| it.starts_with("multipart/form-data")) else {
        return Ok(body.clone());
    };
    let boundary = kind.split("boundary=").nth(1).map(|it| it.trim_matches('"')).unwrap_or_default();
    part(body, boundary).ok_or_else(|| Failure::BadRequest("the form has no field 'file'".into()))
}

/// The content of a form's field `file`.
fn part(body: &[u8], boundary: &str) -> Option<Vec<u8>> {
    let delimiter = format!("--{boundary}");
    let text_at = |from: usize, what: &[u8]| {
        body.get(from..)?.windows(what.len()).position(|window| window == what).map(|at| at + from)
    };
    let mut at = text_at(0, delimiter.as_bytes())?;
    loop {
        let head = at + delimiter.len();
        let content = text_at(head, b"\r\n\r\n")? + 4;
        let end = text_at(content, format!("\r\n{delimiter}").as_bytes())?;
        if String::from_utf8_lossy(&body[head..content]).contains("name=\"file\"") {
            return Some(body[content..end].to_vec());
        }
        at = end + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_form_is_found() {
        let form = "--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\n\
                    content-disposition: form-data; name=\"file\"; filename=\"d.json\"\r\n\r\n{\"a\":1}\r\n--x--\r\n";
        assert_eq!(part(form.as_bytes(), "x").as_deref(), Some(&b"{\"a\":1}"[..]));
        assert_eq!(part(form.as_bytes(), "y"), None);
        assert_eq!(part(b"--x\r\n", "x"), None);
        assert_eq!(part(b"--x\r\nname=\"file\"\r\n\r\nendless", "x"), None);
    }
}
