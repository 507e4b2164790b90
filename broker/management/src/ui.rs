//! The web pages: files that are part of the program, and the page about the API.

use std::fmt::Write as _;

use crate::api::router;
use crate::http::{Body, Response, Status};

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, media type and content of each file.
const FILES: [(&str, &str, &str); 23] = [
    ("", "text/html; charset=utf-8", include_str!("../ui/index.html")),
    ("icon.svg", "image/svg+xml", include_str!("../ui/icon.svg")),
    ("style.css", "text/css; charset=utf-8", include_str!("../ui/style.css")),
    ("js/admin.js", JAVASCRIPT, include_str!("../ui/js/admin.js")),
    ("js/api.js", JAVASCRIPT, include_str!("../ui/js/api.js")),
    ("js/app.js", JAVASCRIPT, include_str!("../ui/js/app.js")),
    ("js/bindings.js", JAVASCRIPT, include_str!("../ui/js/bindings.js")),
    ("js/chart.js", JAVASCRIPT, include_str!("../ui/js/chart.js")),
    ("js/connection.js", JAVASCRIPT, include_str!("../ui/js/connection.js")),
    ("js/dom.js", JAVASCRIPT, include_str!("../ui/js/dom.js")),
    ("js/exchange.js", JAVASCRIPT, include_str!("../ui/js/exchange.js")),
    ("js/format.js", JAVASCRIPT, include_str!("../ui/js/format.js")),
    ("js/lang.js", JAVASCRIPT, include_str!("../ui/js/lang.js")),
    ("js/list.js", JAVASCRIPT, include_str!("../ui/js/list.js")),
    ("js/lists.js", JAVASCRIPT, include_str!("../ui/js/lists.js")),
    ("js/messages.js", JAVASCRIPT, include_str!("../ui/js/messages.js")),
    ("js/overview.js", JAVASCRIPT, include_str!("../ui/js/overview.js")),
    ("js/queue.js", JAVASCRIPT, include_str!("../ui/js/queue.js")),
    ("js/route.js", JAVASCRIPT, include_str!("../ui/js/route.js")),
    ("js/search.js", JAVASCRIPT, include_str!("../ui/js/search.js")),
    ("js/topology.js", JAVASCRIPT, include_str!("../ui/js/topology.js")),
    ("js/widgets.js", JAVASCRIPT, include_str!("../ui/js/widgets.js")),
    ("js/words.js", JAVASCRIPT, include_str!("../ui/js/words.js")),
];

/// The file of a path, by its parts.
pub(crate) fn file(segments: &[String]) -> Option<Response> {
    let path = segments.join("/");
    let wanted = if path == "index.html" { "" } else { &path };
    let (_, media_type, content) = FILES.iter().find(|(path, ..)| *path == wanted)?;
    Some(Response::with(Status::Ok, media_type, Body::Static(content.as_bytes())))
}

/// What the API offers, as a page.
pub(crate) fn help() -> Response {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Leveret HTTP API</title>\
         <link rel=\"stylesheet\" href=\"../style.css\"><main><h1>HTTP API</h1>\
         <p>All paths begin with <code>/api/</code>; names in them are percent-encoded, the virtual host <code>/</code> is \
         <code>%2F</code>, the default exchange <code>amq.default</code>. Log in by HTTP Basic. Lists take \
         <code>page</code>, <code>page_size</code>, <code>name</code>, <code>use_regex</code>, <code>sort</code>, \
         <code>sort_reverse</code> and <code>columns</code>.</p><div class=\"wide\"><table><thead><tr><th>Path<th>Methods\
         <th>Needs</thead><tbody>",
    );
    for (pattern, methods, need) in router::listing() {
        let _ = write!(page, "<tr><td><code>/api/{pattern}</code><td>{methods}<td>{need}");
    }
    page.push_str("</tbody></table></div></main></html>");
    Response::with(Status::Ok, "text/html; charset=utf-8", Body::Owned(page.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_served_by_their_names_only() {
        let check = |path: &[&str], expected: bool| {
            let segments: Vec<String> = path.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(file(&segments).is_some(), expected, "{path:?}");
        };
        check(&[""], true);
        check(&["index.html"], true);
        check(&["js", "app.js"], true);
        check(&["js"], false);
        check(&["..", "Cargo.toml"], false);
        check(&["../Cargo.toml"], false);
    }

    /// The pages' own rule allows no inline script or style, and nothing from elsewhere.
    #[test]
    fn pages_keep_to_the_content_policy() {
        for (path, _, content) in FILES {
            let has = |what: &str| content.contains(what);
            assert!(!has("innerHTML") && !has("outerHTML") && !has("insertAdjacentHTML"), "{path}: markup from text");
            assert!(!has(" style=") && !has(" onclick=") && !has("<style"), "{path}: inline style or script");
            assert!(!has("http://") || path == "icon.svg", "{path}: something from elsewhere");
            assert!(!has("https://") && !has("eval("), "{path}: something from elsewhere");
        }
    }

    #[test]
    fn the_help_lists_every_path() {
        let Body::Owned(page) = help().body else { panic!("made for each answer") };
        let page = String::from_utf8(page).expect("text");
        assert!(page.contains("/api/queues/{vhost}/{name}/get") && page.contains("GET, PUT, DELETE"));
    }
}
