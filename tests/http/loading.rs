//! Definitions that are loaded at the start.

use std::fs;

use harness::{Broker, target_dir, unique};

use crate::client::{GUEST, request};

fn status(broker: &Broker, line: &str) -> u16 {
    request(broker.http(), GUEST, line).status
}

/// A broker with a file of definitions, whether unchanged ones are skipped, what an operator removes, and whether that is back after a
/// restart.
fn check(skips: bool, changes_file: bool, is_back: bool) {
    let file = target_dir().join("tmp").join(unique("definitions"));
    let write = |comment: &str| {
        let text = r#"{"vhosts": [{"name": "/"}, {"name": "loaded"}], "global_parameters": [{"name": "COMMENT", "value": 1}], "users": [{"name": "guest", "password": "guest", "tags": "administrator"}]}"#;
        fs::write(&file, text.replace("COMMENT", comment)).expect("written");
    };
    write("first");
    let (load, skip) =
        (format!("load_definitions={}", file.display()), format!("definitions.skip_if_unchanged={skips}"));
    let mut broker = Broker::start_ours_with(1, &[&load, &skip]);
    assert_eq!(status(&broker, "GET /api/vhosts/loaded"), 200);
    assert_eq!(status(&broker, "DELETE /api/vhosts/loaded"), 204);
    assert_eq!(
        status(&broker, "GET /api/global-parameters/imported_definition_hash_value"),
        if skips { 200 } else { 404 }
    );
    let exported = request(broker.http(), GUEST, "GET /api/definitions").body;
    assert!(!exported.contains("imported_definition_hash_value"), "it is about this broker: {exported}");
    if changes_file {
        write("second");
    }
    broker.kill();
    let broker = broker.restarted(1);
    let found = status(&broker, "GET /api/vhosts/loaded");
    assert_eq!(found, if is_back { 200 } else { 404 }, "skips {skips}, changes {changes_file}");
    fs::remove_file(file).expect("it is there");
}

#[test]
fn what_an_operator_changed_stays_if_the_file_is_the_same_and_may_be_skipped() {
    check(false, false, true);
    check(true, false, false);
    check(true, true, true);
}
