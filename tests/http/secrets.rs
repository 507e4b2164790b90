//! A password that must not be seen anywhere: a canary goes through every way in, and is then looked for in every way out.

use std::io::{Read, Write};
use std::net::TcpStream;

use harness::{Broker, patience};

use crate::client::request;
use crate::operator::ctl;
use crate::security::base64;

const CANARY: &str = "canary-7f3a91";

fn login() -> String {
    format!("Basic {}", base64(&format!("op:{CANARY}")))
}

/// Says hello over AMQP and logs in with a response as it is; listens until the broker ends it or asks for more.
fn log_in_over_amqp(broker: &Broker, mechanism: &str, response: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(broker.address()).expect("the broker listens");
    stream.set_read_timeout(Some(patience())).expect("a socket");
    stream.write_all(b"AMQP\0\0\x09\x01").expect("written");
    let mut method = vec![0, 10, 0, 11, 0, 0, 0, 0];
    method.push(u8::try_from(mechanism.len()).expect("short"));
    method.extend_from_slice(mechanism.as_bytes());
    method.extend_from_slice(&u32::try_from(response.len()).expect("short").to_be_bytes());
    method.extend_from_slice(response);
    method.extend_from_slice(b"\x05en_US");
    let mut frame = vec![1, 0, 0];
    frame.extend_from_slice(&u32::try_from(method.len()).expect("short").to_be_bytes());
    frame.extend_from_slice(&method);
    frame.push(0xCE);
    stream.write_all(&frame).expect("written");
    let mut answer = vec![0; 4096];
    // connection.start, then tune or close.
    let first = stream.read(&mut answer).expect("an answer");
    let second = stream.read(&mut answer[first..]).unwrap_or(0);
    answer.truncate(first + second);
    answer
}

#[test]
fn the_canary_is_seen_nowhere() {
    let settings = ["default_user=op", &format!("default_pass={CANARY}"), "event_exchange.vhost=/"];
    let mut broker = Broker::start_ours_with(2, &settings);
    let (code, printed) = ctl(&broker, &["set_log_level", "debug"]);
    assert_eq!(code, 0, "{printed}");
    let mut seen = vec![("set_log_level".to_owned(), printed)];
    let call = |line: &str| request(broker.http(), &login(), line);

    // In by every way, right and wrong.
    assert_eq!(call("GET /api/whoami").status, 200);
    let body = format!("{{\"password\":\"{CANARY}\",\"tags\":\"administrator\"}}");
    assert_eq!(call(&format!("PUT /api/users/u {body}")).status, 201);
    let wrong = format!("Basic {}", base64(&format!("nobody:{CANARY}")));
    seen.push(("a wrong login".into(), request(broker.http(), &wrong, "GET /api/whoami").body));
    let odd = format!("{{\"password\":\"{CANARY}\",\"tags\":7}}");
    seen.push(("a body that is refused".into(), call(&format!("PUT /api/users/x {odd}")).body));
    let not_json = format!("PUT /api/users/x {{\"password\":\"{CANARY}\"");
    seen.push(("a body that is no JSON".into(), call(&not_json).body));
    for response in [
        format!("\0op\0{CANARY}"),
        format!("\0op\0{CANARY}-wrong"),
        format!("\0nobody\0{CANARY}"),
        format!("\0op\0{CANARY}\0more"),
        CANARY.to_owned(),
    ] {
        log_in_over_amqp(&broker, "PLAIN", response.as_bytes());
    }
    log_in_over_amqp(&broker, "AMQPLAIN", CANARY.as_bytes());
    log_in_over_amqp(&broker, "EXTERNAL", CANARY.as_bytes());
    for words in [
        &["add_user", "v", CANARY][..],
        &["change_password", "v", CANARY],
        &["authenticate_user", "v", CANARY],
        &["authenticate_user", "v", &format!("{CANARY}-wrong")],
        &["environment"],
        &["report"],
        &["status"],
        &["list_users"],
        &["list_parameters"],
        &["export_definitions", "-"],
    ] {
        seen.push((words[0].to_owned(), ctl(&broker, words).1));
    }

    // Out by every way.
    let paths = [
        "overview",
        "users",
        "users/u",
        "definitions",
        "config/effective",
        "nodes",
        "connections",
        "channels",
        "whoami",
        "permissions",
        "parameters",
        "global-parameters",
        "extensions",
        "feature-flags",
        "health/checks/alarms",
        "auth/attempts/leveret@localhost",
        "vhosts",
        "policies",
        "doctor/%2F/none",
    ];
    seen.extend(paths.iter().map(|path| ((*path).to_owned(), call(&format!("GET /api/{path}")).body)));
    for path in ["/metrics", "/metrics/per-object", "/metrics/memory-breakdown"] {
        seen.push((path.into(), request(broker.prometheus(), "", &format!("GET {path}")).body));
    }
    seen.extend(read_all(broker.data_dir()));
    broker.terminate();
    assert!(broker.await_end().success());
    seen.push(("the log".into(), broker.log_lines().join("\n")));
    assert!(
        seen.iter().any(|(name, text)| name == "the log" && text.contains("login refused")),
        "the log was looked at"
    );
    let hashed = base64(CANARY);
    for (name, text) in seen {
        assert!(!text.contains(CANARY), "the canary is in {name}: {text}");
        assert!(!text.contains(hashed.trim_end_matches('=')), "the canary is in {name} in base64: {text}");
    }
}

/// All files below a directory, as text.
fn read_all(directory: &std::path::Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("it is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(read_all(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    found
}

#[test]
fn the_data_is_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let broker = Broker::start_ours(1);
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    // (The directory itself was made by whoever started the broker.)
    assert_eq!(mode(&broker.data_dir().join("messages")), 0o700);
    for name in ["control.sock", "meta.redb", "LOCK", "messages/MANIFEST"] {
        assert_eq!(mode(&broker.data_dir().join(name)), 0o600, "{name}");
    }
}
