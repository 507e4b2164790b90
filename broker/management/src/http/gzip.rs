//! Answers in fewer bytes, for clients that say they understand gzip.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use leveret_runtime as runtime;

use super::request::Request;
use super::response::{Body, Response, Status};

/// Shorter content goes out as it is: RabbitMQ's threshold.
const SIZE_MIN: usize = 300;

/// The answer, compressed if the client takes that and it is worth it.
pub(crate) fn compressed(request: &Request, response: Response) -> Response {
    let is_done = response.header_value("content-encoding").is_some() || response.status == Status::NoContent;
    let accepted = request.header("accept-encoding").is_some_and(accepts_gzip);
    if is_done || !accepted || response.body.as_bytes().len() < SIZE_MIN {
        return response;
    }
    let Response { status, headers, body } = response;
    // Off the shard, which has clients to serve, and on a thread's stack: the compressor's tables would fill a coroutine's.
    let body = Body::Owned(runtime::offload(move || gzip(&body)));
    Response { status, headers, body }.header("content-encoding", "gzip")
}

fn gzip(body: &Body) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(body.as_bytes()).and_then(|()| encoder.finish());
    written.expect("a vector takes everything")
}

/// Whether a list such as `deflate, gzip;q=0.5` has gzip, and not with the weight 0.
fn accepts_gzip(list: &str) -> bool {
    list.split(',').any(|entry| {
        let (name, weight) = entry.split_once(';').unwrap_or((entry, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1").trim();
        let is_gzip = name.trim().eq_ignore_ascii_case("gzip") || name.trim() == "*";
        is_gzip && weight.parse::<f32>().is_ok_and(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::http::Method;

    #[test]
    fn who_accepts_gzip() {
        let check = |list: &str, expected: bool| assert_eq!(accepts_gzip(list), expected, "{list}");
        check("gzip", true);
        check("deflate, GZIP ;q=0.5", true);
        check("*", true);
        check("gzip;q=0", false);
        check("gzip;q=0.000", false);
        check("gzip;q=x", false);
        check("identity, br", false);
        check("", false);
    }

    #[test]
    fn long_answers_are_compressed_and_come_back_the_same() {
        let check = |size: usize, accepts: &str, is_compressed: bool| {
            let request = Request::new(Method::Get, "/").with_header("accept-encoding", accepts);
            let plain = Response::json_bytes(Status::Ok, vec![b'x'; size]);
            let response = compressed(&request, plain.clone());
            assert_eq!(response.header_value("content-encoding"), is_compressed.then_some("gzip"));
            let mut bytes = response.body.as_bytes().to_vec();
            if is_compressed {
                bytes.clear();
                GzDecoder::new(response.body.as_bytes()).read_to_end(&mut bytes).expect("gzip");
            }
            assert!(bytes == plain.body.as_bytes());
        };
        runtime::run(move || {
            check(SIZE_MIN - 1, "gzip", false);
            check(SIZE_MIN, "gzip", true);
            check(SIZE_MIN, "br", false);
            check(5_000_000, "gzip", true);
        })
        .expect("no deadlock");
    }
}
