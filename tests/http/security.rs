//! What must be refused.

use std::io::{Read, Write};
use std::net::TcpStream;

use harness::{Broker, patience, unique};

use crate::client::{GUEST, parse, raw, request};

#[test]
fn nobody_comes_in_without_a_login() {
    let broker = Broker::shared(1);
    let check = |login: &str, path: &str, status: u16, text: &str| {
        let answer = request(broker.http(), login, &format!("GET {path}"));
        assert_eq!(answer.status, status, "{login} {path}");
        assert!(format!("{}{}", answer.head, answer.body).contains(text), "{}\n{}", answer.head, answer.body);
    };
    check("", "/api/overview", 401, "www-authenticate: Basic realm=\"RabbitMQ Management\"");
    check(
        "Basic Z3Vlc3Q6d3Jvbmc=",
        "/api/overview",
        401,
        "{\"error\":\"not_authorized\",\"reason\":\"Not_Authorized\"}",
    );
    check("Basic !", "/api/overview", 401, "not_authorized");
    check("Bearer x", "/api/overview", 401, "not_authorized");
    check("", "/api/nothing", 404, "Not Found");
}

#[test]
fn tags_decide_who_may_what() {
    let broker = Broker::shared(1);
    let (user, vhost) = (unique("user"), unique("vhost"));
    let put = |path: &str, body: &str| request(broker.http(), GUEST, &format!("PUT {path} {body}")).status;
    assert_eq!(put(&format!("/api/vhosts/{vhost}"), "{}"), 201);
    let login = format!("Basic {}", base64(&format!("{user}:p")));
    let check = |tags: &str, line: &str, status: u16| {
        put(&format!("/api/users/{user}"), &format!("{{\"password\":\"p\",\"tags\":\"{tags}\"}}"));
        let answer = request(broker.http(), &login, line);
        assert_eq!(answer.status, status, "{tags}: {line}: {}", answer.body);
    };
    check("", "GET /api/whoami", 401);
    check("management", "GET /api/whoami", 200);
    check("management", "GET /api/nodes", 401);
    check("management", "GET /api/users", 401);
    check("management", &format!("GET /api/vhosts/{vhost}"), 401);
    check("management", &format!("PUT /api/queues/{vhost}/q {{}}"), 401);
    check("monitoring", "GET /api/nodes", 200);
    check("monitoring", &format!("GET /api/queues/{vhost}"), 200);
    check("monitoring", &format!("PUT /api/queues/{vhost}/q {{}}"), 401);
    check("monitoring", &format!("PUT /api/policies/{vhost}/p {{}}"), 401);
    check("policymaker", "GET /api/parameters", 200);
    check("policymaker", "GET /api/definitions", 401);
    check("administrator", "GET /api/definitions", 200);
    check("administrator", &format!("PUT /api/queues/{vhost}/q {{}}"), 401); // no permission there
}

pub(crate) fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[test]
fn what_can_be_read_in_two_ways_ends_the_connection() {
    let broker = Broker::shared(1);
    let check = |request: &str, status: u16| {
        let answer = raw(broker.http(), request.as_bytes());
        assert_eq!(parse(&answer).status, status, "{request:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "one answer, and no more: {answer}");
    };
    let smuggled = "GET /api/whoami HTTP/1.1\r\nhost: x\r\n\r\n";
    check(
        &format!(
            "POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        400,
    );
    check(&format!("POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\n{smuggled}"), 400);
    check(&format!("POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: x, chunked\r\n\r\n{smuggled}"), 501);
    check(&format!("POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{smuggled}"), 400);
    check(&format!("GET /a HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n{smuggled}"), 400);
    check(&format!("GET /a HTTP/1.1\nhost: x\n\n{smuggled}"), 400);
    check("POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999999\r\n\r\n", 413);
    check(&format!("GET /a HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(100_000)), 431);
    check("\x16\x03\x01\x02\x00\x01\x00\x01\n", 400);
}

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let broker = Broker::shared(2);
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {GUEST}\r\n\r\n");
    let last = format!("GET /api/vhosts HTTP/1.1\r\nhost: x\r\nauthorization: {GUEST}\r\nconnection: close\r\n\r\n");
    let all = format!("{}{}{last}", one("/api/whoami"), one("/api/nothing"));
    let answer = raw(broker.http(), all.as_bytes());
    let codes: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).map(|rest| &rest[..3]).collect();
    assert_eq!(codes, ["200", "404", "200"]);
}

#[test]
fn a_client_that_waits_for_leave_gets_it() {
    let broker = Broker::shared(1);
    let mut stream = TcpStream::connect(broker.http()).expect("the broker listens");
    stream.set_read_timeout(Some(patience())).expect("a socket");
    let head = format!(
        "PUT /api/vhosts/{} HTTP/1.1\r\nhost: x\r\nauthorization: {GUEST}\r\nexpect: 100-continue\r\ncontent-length: 2\r\nconnection: close\r\n\r\n",
        unique("vhost")
    );
    stream.write_all(head.as_bytes()).expect("written");
    let mut leave = [0; 25];
    stream.read_exact(&mut leave).expect("an answer");
    assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").expect("written");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("an answer");
    assert_eq!(parse(&rest).status, 201, "{rest}");
}

#[test]
fn pages_of_other_sites_change_nothing() {
    let broker = Broker::shared(1);
    let check = |headers: &str, status: u16| {
        let (to, vhost) = (broker.http(), unique("vhost"));
        let request = format!(
            "PUT /api/vhosts/{vhost} HTTP/1.1\r\nhost: {to}\r\nauthorization: {GUEST}\r\n{headers}content-length: 2\r\nconnection: close\r\n\r\n{{}}"
        );
        assert_eq!(parse(&raw(to, request.as_bytes())).status, status, "{headers}");
    };
    check("", 201);
    check(&format!("origin: http://{}\r\n", broker.http()), 201);
    check("origin: http://evil.example\r\n", 403);
    check("sec-fetch-site: cross-site\r\n", 403);
}

#[test]
fn hostile_bodies_and_names_are_only_text() {
    let broker = Broker::shared(1);
    let check = |line: &str, status: u16| {
        let answer = request(broker.http(), GUEST, line);
        assert_eq!(answer.status, status, "{}: {}", &line[..line.len().min(80)], answer.body);
        assert!(answer.head.contains("content-security-policy: default-src 'none'"), "{}", answer.head);
        assert!(answer.head.contains("x-content-type-options: nosniff"));
    };
    check(&format!("PUT /api/queues/%2F/deep {}1", "{\"arguments\":".repeat(5000)), 400);
    check(&format!("PUT /api/queues/%2F/{} {{}}", "%3Cscript%3Ealert(1)%3C%2Fscript%3E"), 201);
    check(&format!("GET /api/queues/%2F/{}", "%3Cscript%3Ealert(1)%3C%2Fscript%3E"), 200);
    check(&format!("PUT /api/queues/%2F/{} {{}}", "x".repeat(255)), 201);
    check("GET /api/queues?name=(a%2B)%2B%24&use_regex=true&page=1", 200);
    check("GET /api/queues?name=(((a%7B999%7D)%7B999%7D)%7B999%7D)&use_regex=true&page=1", 400);
    check("GET /api/definitions?download=a%0d%0aset-cookie:%20b", 200);
    let answer = request(broker.http(), GUEST, "GET /api/definitions?download=a%0d%0aset-cookie:%20b");
    assert!(!answer.head.contains("\nset-cookie"), "{}", answer.head);
}

#[test]
fn odd_requests_get_plain_answers() {
    let broker = Broker::shared(1);
    let check = |request: &str, status: u16| {
        let answer = raw(broker.http(), request.as_bytes());
        assert_eq!(parse(&answer).status, status, "{}: {answer}", &request[..request.len().min(120)]);
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "one answer, and no more: {answer}");
    };
    let head = format!("host: x\r\nauthorization: {GUEST}\r\nconnection: close\r\n");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\n{head}\r\n");
    let put =
        |more: &str, body: &str| format!("PUT /api/vhosts/{} HTTP/1.1\r\n{head}{more}\r\n{body}", unique("vhost"));
    // Lengths.
    check(&put("content-length: +2\r\n", "{}"), 400);
    check(&put("content-length: 2, 2\r\n", "{}"), 400);
    check(&put("content-length: 0x2\r\n", "{}"), 400);
    check(&put("content-length: 18446744073709551616\r\n", "{}"), 413);
    check(&put("transfer-encoding: chunked\r\n", "2;a=b\r\n{}\r\n0\r\n\r\n"), 400);
    check(&put("transfer-encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"), 201);
    check(&put("transfer-encoding: chunked\r\n", "ffffffffffffffff\r\n"), 400);
    check(&put("transfer-encoding: chunked\r\n", "ffffffff\r\n"), 413);
    check(&put("transfer-encoding : chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"), 400);
    // Heads.
    check(&format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200)), 431);
    check("GET / HTTP/1.1\r\n\r\n", 400); // no host
    check("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400);
    check(&format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(20_000)), 414);
    // Methods are as they are said.
    check(&format!("GET /api/vhosts/none HTTP/1.1\r\n{head}x-http-method-override: PUT\r\n\r\n"), 404);
    check(&format!("POST /api/vhosts/none HTTP/1.1\r\n{head}x-http-method: DELETE\r\ncontent-length: 0\r\n\r\n"), 405);
    // Paths are decoded once, and are no files.
    check(&get("/api/queues/%252F/q"), 404);
    check(&get("/api/queues/%c0%af/q"), 400);
    check(&get("/%c0%ae%c0%ae/Cargo.toml"), 400);
    check(&get("/js/..%2f..%2fCargo.toml"), 404);
    check(&get("/api/../../Cargo.toml"), 404);
    check(&get("//api/whoami"), 404);
}

#[test]
fn odd_json_is_refused_or_taken_as_it_is() {
    let broker = Broker::shared(1);
    let check = |body: &str, status: u16| {
        let line = format!("PUT /api/queues/%2F/{} {body}", unique("odd"));
        let answer = request(broker.http(), GUEST, &line);
        assert_eq!(answer.status, status, "{}: {}", &body[..body.len().min(60)], answer.body);
    };
    check("{\"durable\":true,\"durable\":false}", 201);
    check("{\"arguments\":{\"x-a\":1e999}}", 400);
    check("{\"arguments\":{\"x-a\":\"\\ud800\"}}", 400);
    check("{\"arguments\":{\"x-a\":-0.0}}", 201);
    check("{\"durable\":\"true\"}", 201);
    check("{\"durable\":3}", 400);
    check(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), 400);
    check(&format!("{{\"arguments\":{{\"x-a\":{}1{}}}}}", "[".repeat(200), "]".repeat(200)), 400);
    check("{\"arguments\":{\"x-a\":1}} {}", 400);
    check("\u{feff}{}", 400);
}

#[test]
fn a_password_may_have_colons_and_a_user_may_not() {
    let broker = Broker::shared(1);
    let user = unique("colon");
    let put = format!("PUT /api/users/{user} {{\"password\":\"a:b:c\",\"tags\":\"management\"}}");
    assert_eq!(request(broker.http(), GUEST, &put).status, 201);
    let login = format!("Basic {}", base64(&format!("{user}:a:b:c")));
    assert_eq!(request(broker.http(), &login, "GET /api/whoami").status, 200);
    let login = format!("Basic {}", base64(&format!("{user}:a")));
    assert_eq!(request(broker.http(), &login, "GET /api/whoami").status, 401);
}

#[test]
fn every_list_takes_hostile_options() {
    let broker = Broker::shared(2);
    let lists = [
        "connections",
        "channels",
        "consumers",
        "exchanges",
        "queues",
        "bindings",
        "vhosts",
        "users",
        "policies",
        "parameters",
        "permissions",
        "nodes",
        "exchanges/%2F",
        "queues/%2F",
    ];
    let options = [
        "sort=name",
        "sort=a.b.c.d.e&sort_reverse=true",
        "sort=%00&columns=%00",
        "columns=name,.,..,a.,.b",
        "page=1&page_size=500&name=%3Cscript%3E",
        "page=1&name=%5B&use_regex=true",
        "page=1&name=(a%7C%7C)*%24&use_regex=true",
        "page=0",
        "page=-1",
        "page=1&page_size=501",
        "page=99999999999999999999999",
        "disable_stats=true&enable_queue_totals=true",
    ];
    for list in lists {
        for option in options {
            let answer = request(broker.http(), GUEST, &format!("GET /api/{list}?{option}"));
            assert!([200, 400].contains(&answer.status), "{list}?{option}: {}: {}", answer.status, answer.body);
            assert!(!answer.body.contains("<script>") || answer.head.contains("application/json"));
        }
    }
}

#[test]
fn names_cannot_begin_lines_of_the_log_or_cells_of_a_table() {
    let broker = Broker::start_ours(1);
    let login = format!("Basic {}", base64("evil\n[2026-01-01T00:00:00Z WARN forged] x:y"));
    assert_eq!(request(broker.http(), &login, "GET /api/whoami").status, 401);
    let name = "%3Dcmd%7C%27%20%2FC%20calc%27%21A0%0A%1b%5B2J";
    assert_eq!(request(broker.http(), GUEST, &format!("PUT /api/vhosts/{name} {{}}")).status, 201);
    let (code, printed) = crate::operator::ctl(&broker, &["list_vhosts", "-s"]);
    assert_eq!(code, 0);
    assert!(!printed.contains('\u{1b}') && printed.lines().count() == 2, "{printed:?}");
    assert!(broker.log_lines().iter().all(|line| !line.starts_with("[2026-01-01T00:00:00Z WARN forged]")));
}

#[test]
fn definitions_without_end_are_refused() {
    let broker = Broker::start_ours_with(1, &["management.http.max_body_size=1MB"]);
    let item = "{\"name\":\"q\",\"vhost\":\"/\",\"durable\":true,\"arguments\":{}},";
    let body = format!("{{\"queues\":[{}null]}}", item.repeat(20_000));
    assert_eq!(request(broker.http(), GUEST, &format!("POST /api/definitions {body}")).status, 413);
    assert_eq!(request(broker.http(), GUEST, "GET /api/whoami").status, 200);
}

#[test]
fn answers_are_compressed_for_who_asks() {
    let broker = Broker::shared(1);
    let ask = |encoding: &str| {
        let head = format!("host: x\r\nauthorization: {GUEST}\r\nconnection: close\r\naccept-encoding: {encoding}\r\n");
        parse(&raw(broker.http(), format!("GET /api/overview HTTP/1.1\r\n{head}\r\n").as_bytes()))
    };
    let plain = ask("identity");
    assert!(!plain.head.contains("content-encoding") && plain.body.starts_with('{'), "{}", plain.head);
    let packed = ask("gzip, deflate");
    assert!(packed.head.contains("content-encoding: gzip"), "{}", packed.head);
}
