//! Exchanges: who gets a copy of what.

use crate::world::World;

pub(crate) fn fanout(world: &World) {
    let exchange = world.name("log");
    let subscribers = [(); 3].map(|()| world.start("receive_logs.py", &[&exchange, "fanout", ""]));
    subscribers.iter().for_each(|subscriber| drop(subscriber.expect("[*] Waiting")));
    world.run("emit.py", &[&exchange, "fanout", "", "info:Hello World!"]);
    for subscriber in &subscribers {
        assert_eq!(subscriber.expect("[x]"), "[x] '':b'info:Hello World!'");
    }
}

pub(crate) fn exclusive_queue(world: &World) {
    let owner = world.start("exclusive.py", &[]);
    let line = owner.expect("queue ");
    let queue = line.trim_start_matches("queue ");
    let random = queue.strip_prefix("amq.gen-").unwrap_or_else(|| panic!("{queue:?} is not named by the broker"));
    let url_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    assert!(random.len() == 22 && random.bytes().all(url_safe), "{queue:?}");
    let locked = "refused (405, \"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue";
    world.await_queue(queue, locked);
    let mut owner = owner;
    owner.say("leave");
    owner.expect("left");
    // It is gone before the owner hears that its connection is closed: no waiting.
    let gone = format!("refused (404, \"NOT_FOUND - no queue '{queue}' in vhost '/'\")");
    assert_eq!(world.run("inspect_queue.py", &[queue]).output().lines(), [gone]);

    let mut victim = world.start("exclusive.py", &[]);
    let line = victim.expect("queue ");
    victim.kill();
    world.await_queue(line.trim_start_matches("queue "), "refused (404, \"NOT_FOUND - no queue");
}

pub(crate) fn unroutable(world: &World) {
    let program = world.run("mandatory.py", &[&world.name("needed")]);
    let returned = "312 NO_ROUTE exchange='amq.direct' routing_key='nowhere' text/plain m-1 b'needed'";
    let expected = [format!("returned {returned}"), "routed".into(), format!("unroutable {returned}")];
    assert_eq!(program.output().lines(), expected);
    // Not mandatory: dropped without a word, and the publisher goes on.
    let exchange = world.name("direct_logs");
    world.run("emit.py", &[&exchange, "direct", "nowhere", "discarded"]);
}

pub(crate) fn direct_severities(world: &World) {
    let exchange = world.name("direct_logs");
    let all = world.start("receive_logs.py", &[&exchange, "direct", "info", "warning", "error"]);
    let errors = world.start("receive_logs.py", &[&exchange, "direct", "error"]);
    all.expect("[*] Waiting");
    errors.expect("[*] Waiting");
    for (severity, message) in [("info", "one"), ("debug", "two"), ("warning", "three"), ("error", "four")] {
        world.run("emit.py", &[&exchange, "direct", severity, message]);
    }
    errors.expect("'error':b'four'");
    all.expect("'error':b'four'");
    assert_eq!(errors.lines_with("[x]"), ["[x] 'error':b'four'"]);
    assert_eq!(all.lines_with("[x]"), ["[x] 'info':b'one'", "[x] 'warning':b'three'", "[x] 'error':b'four'"]);
}

pub(crate) fn topic_facilities(world: &World) {
    let exchange = world.name("topic_logs");
    let bindings: [&[&str]; 4] = [&["#"], &["kern.*"], &["*.critical"], &["kern.*", "*.critical"]];
    let subscribers = bindings.map(|keys| world.start("receive_logs.py", &[&[&exchange, "topic"], keys].concat()));
    subscribers.iter().for_each(|subscriber| drop(subscriber.expect("[*] Waiting")));
    let facilities =
        ["kern.critical", "kern.info", "cron.critical", "cron.info", "kern.critical.late", "kern.critical"];
    for routing_key in facilities {
        world.run("emit.py", &[&exchange, "topic", routing_key, "A critical kernel error"]);
    }
    let check = |index: usize, expected: &[&str]| {
        let received: Vec<String> = subscribers[index].expect_count(expected.len(), "[x]");
        let line = |routing_key: &&str| format!("[x] '{routing_key}':b'A critical kernel error'");
        assert_eq!(received, expected.iter().map(line).collect::<Vec<_>>(), "bound with {:?}", bindings[index]);
    };
    check(0, &facilities);
    check(1, &["kern.critical", "kern.info", "kern.critical"]);
    check(2, &["kern.critical", "cron.critical", "kern.critical"]);
    check(3, &["kern.critical", "kern.info", "cron.critical", "kern.critical"]);
}

pub(crate) fn direct_matrix(world: &World) {
    check_routes(
        world,
        "direct",
        &["info", "error", "a.*", "#", ""],
        &["info", "error", "a.b", "a.*", "#", "", "INFO"],
        &["info <- info", "error <- error", "a.* <- a.*", "# <- #", " <- "],
    );
}

/// `#` is zero or more words and `*` exactly one; the tutorial says "one or more characters", which is wrong.
pub(crate) fn topic_matrix(world: &World) {
    let patterns =
        ["#.a", "*.a", "#", "*", "a.*", "a.#", "a.#.b", "*.*", "*.#", "a", "a*", "#.#", "*.orange.*", "lazy.#", ""];
    let keys = [
        "a",
        "a.a",
        "aa.a",
        "aaa.a",
        "a.b",
        "a.x.y.b",
        "a..b",
        "quick.orange.rabbit",
        "lazy.orange.male.rabbit",
        "aa",
        "",
    ];
    let all = "a a.a aa.a aaa.a a.b a.x.y.b a..b quick.orange.rabbit lazy.orange.male.rabbit aa ";
    check_routes(
        world,
        "topic",
        &patterns,
        &keys,
        &[
            "#.a <- a a.a aa.a aaa.a",
            "*.a <- a.a aa.a aaa.a",
            &format!("# <- {all}"),
            "* <- a aa",
            "a.* <- a.a a.b",
            "a.# <- a a.a a.b a.x.y.b a..b",
            "a.#.b <- a.b a.x.y.b a..b",
            "*.* <- a.a aa.a aaa.a a.b",
            &format!("*.# <- {}", all.trim_end()),
            "a <- a",
            "a* <- ",
            &format!("#.# <- {all}"),
            "*.orange.* <- quick.orange.rabbit",
            "lazy.# <- lazy.orange.male.rabbit",
            " <- ",
        ],
    );
}

fn check_routes(world: &World, kind: &str, binding_keys: &[&str], routing_keys: &[&str], expected: &[&str]) {
    let exchange = world.name(kind);
    let program = world.run("routes.py", &[&[&exchange, kind], binding_keys, &["--"], routing_keys].concat());
    let expected: Vec<&str> = expected.iter().map(|line| line.trim_end()).collect();
    assert_eq!(program.output().lines(), expected);
}

pub(crate) fn headers_matrix(world: &World) {
    let bindings = [
        r#"{"x-match": "all", "format": "pdf", "type": "report"}"#,
        r#"{"x-match": "any", "format": "pdf", "type": "log"}"#,
        r#"{"format": "pdf", "type": "report"}"#,
        r#"{"x-match": "all", "format": null}"#,
        r#"{"x-match": "any", "pages": 3}"#,
        r#"{"x-match": "all", "x-only": "skipped"}"#,
        r#"{"x-match": "any", "x-only": "skipped"}"#,
        r#"{"x-match": "all-with-x", "x-only": "seen"}"#,
        r#"{"x-match": "any-with-x", "x-only": "seen", "type": "zip"}"#,
        "{}",
    ];
    let messages = [
        r#"{"format": "pdf", "type": "report"}"#,
        r#"{"format": "pdf", "type": "log", "more": 1}"#,
        r#"{"format": "zip", "type": "report"}"#,
        r#"{"pages": 3}"#,
        r#"{"pages": "3"}"#,
        r#"{"x-only": "seen"}"#,
        "{}",
    ];
    let reached = ["1", "1 2", "1", "1 2 3", "4", "1 2 3 4 5 6 7", "", "6", "6", "1 2 3 4 5 6 7"];
    let exchange = world.name("headers");
    let program = world.run("routes_headers.py", &[&[exchange.as_str()], &bindings[..], &["--"], &messages].concat());
    let line = |(binding, numbers): (&str, &str)| format!("{binding} <- {numbers}").trim_end().to_owned();
    assert_eq!(program.output().lines(), bindings.into_iter().zip(reached).map(line).collect::<Vec<_>>());
}
