//! Commands, facts and policies together.

use std::sync::Arc;

use super::limit::{UserLimit, VhostLimit};
use super::password::{Algorithm, PasswordHash};
use super::permission::Operation;
use super::policy::{ApplyTo, Policy, Scope, Subject};
use super::*;
use crate::error::{Resource, ResourceKind};
use crate::queue::settings::{Overflow, QueueSettings};
use crate::value::Arguments;

/// Checks a command, applies its facts, and checks that applying them again changes nothing.
fn run(access: &mut Access, command: Command) -> Result<Outcome, Refused> {
    let decision = access.check(&command)?;
    decision.changes.iter().for_each(|change| access.apply(change));
    let mut again = access.clone();
    decision.changes.iter().for_each(|change| again.apply(change));
    again.epoch = access.epoch;
    assert_eq!(again, *access, "facts can be applied twice");
    let mut rebuilt = Access::new();
    access.facts().iter().for_each(|change| rebuilt.apply(change));
    rebuilt.epoch = access.epoch;
    assert_eq!(rebuilt, *access, "the facts are everything");
    Ok(decision.outcome)
}

fn vhost(name: &str) -> Command {
    Command::PutVhost { name: name.into(), update: VhostUpdate::default(), creator: None }
}

fn user(name: &str) -> Command {
    Command::PutUser { name: name.into(), password: PasswordUpdate::Keep, tags: Vec::new(), limits: None }
}

fn grant(name: &str, vhost: &str, pattern: &str) -> Command {
    let pattern = Name::from(pattern);
    let (configure, write, read) = (pattern.clone(), pattern.clone(), pattern);
    Command::SetPermission { user: name.into(), vhost: vhost.into(), configure, write, read }
}

fn policy(name: &str, pattern: &str, apply_to: &str, priority: i64, definition: &[(&str, Value)]) -> Command {
    Command::PutPolicy {
        vhost: "/".into(),
        scope: Scope::User,
        name: name.into(),
        pattern: pattern.into(),
        apply_to: apply_to.into(),
        priority: Value::long(priority),
        definition: Value::Table(definition.iter().map(|(key, value)| (*key, value.clone())).collect()),
    }
}

fn for_operator(command: Command) -> Command {
    match command {
        Command::PutPolicy { vhost, name, pattern, apply_to, priority, definition, .. } => {
            Command::PutPolicy { vhost, scope: Scope::Operator, name, pattern, apply_to, priority, definition }
        }
        other => other,
    }
}

fn world() -> Access {
    let mut access = Access::new();
    for command in [vhost("/"), vhost("other"), user("alice"), user("bob"), grant("alice", "/", ".*")] {
        run(&mut access, command).expect("these make sense");
    }
    access
}

fn check(access: &mut Access, command: Command, expected: Result<Outcome, &str>) {
    let shown = format!("{command:?}");
    let outcome = run(access, command).map_err(|refused| refused.to_string());
    assert_eq!(outcome.as_ref().map_err(|text| &**text), expected.as_ref().map_err(|text| *text), "{shown}");
}

#[test]
fn what_is_put_is_created_once_and_deleted_once() {
    let mut access = world();
    check(&mut access, user("carol"), Ok(Outcome::Created));
    check(&mut access, user("carol"), Ok(Outcome::Updated));
    check(&mut access, Command::DeleteUser { name: "carol".into() }, Ok(Outcome::Deleted));
    check(&mut access, Command::DeleteUser { name: "carol".into() }, Ok(Outcome::Missing));
    check(&mut access, vhost("v"), Ok(Outcome::Created));
    check(&mut access, vhost("v"), Ok(Outcome::Updated));
    check(&mut access, Command::DeleteVhost { name: "v".into() }, Ok(Outcome::Deleted));
    check(&mut access, Command::DeleteVhost { name: "v".into() }, Ok(Outcome::Missing));
    check(&mut access, grant("bob", "/", ""), Ok(Outcome::Created));
    check(&mut access, grant("bob", "/", "a"), Ok(Outcome::Updated));
    let clear = || Command::ClearPermission { user: "bob".into(), vhost: "/".into() };
    check(&mut access, clear(), Ok(Outcome::Deleted));
    check(&mut access, clear(), Ok(Outcome::Missing));
    check(&mut access, policy("p", ".*", "all", 0, &[("max-length", Value::long(1))]), Ok(Outcome::Created));
    let delete = || Command::DeletePolicy { vhost: "/".into(), scope: Scope::User, name: "p".into() };
    check(&mut access, delete(), Ok(Outcome::Deleted));
    check(&mut access, delete(), Ok(Outcome::Missing));
    let global = || Command::PutGlobalParameter { name: "cluster_name".into(), value: Value::str("rabbit") };
    check(&mut access, global(), Ok(Outcome::Created));
    check(&mut access, global(), Ok(Outcome::Updated));
    check(&mut access, Command::DeleteGlobalParameter { name: "cluster_name".into() }, Ok(Outcome::Deleted));
}

#[test]
fn what_is_not_there_is_refused() {
    let mut access = world();
    check(&mut access, grant("nobody", "/", ".*"), Err("vhost_or_user_not_found"));
    check(&mut access, grant("alice", "nowhere", ".*"), Err("vhost_or_user_not_found"));
    let limit = Command::SetUserLimit { user: "nobody".into(), limit: "max-channels".into(), value: Value::long(1) };
    check(&mut access, limit, Err("user 'nobody' does not exist"));
    let limit = Command::SetVhostLimit { vhost: "nowhere".into(), limit: "max-queues".into(), value: Value::long(1) };
    check(&mut access, limit, Err("virtual host 'nowhere' does not exist"));
    check(&mut access, user(""), Err("the name of a user must have 1 to 255 bytes"));
    check(&mut access, vhost(&"v".repeat(255)), Ok(Outcome::Created));
    check(&mut access, vhost(&"v".repeat(256)), Err("the name of a virtual host must have 1 to 255 bytes"));
    let refused = access.check(&grant("alice", "/", "(")).expect_err("no regular expression");
    assert!(matches!(refused, Refused::InvalidPattern(_)) && !refused.is_not_found());
}

#[test]
fn policies_that_make_no_sense_are_refused_in_rabbitmqs_words() {
    let mut access = world();
    let length = [("max-length", Value::long(1))];
    let mut refused = |command, text: &str| {
        check(&mut access, command, Err(&format!("Validation failed\n\n{text}\n")));
    };
    refused(policy("p", ".*", "all", 0, &[]), "no policy provided");
    refused(policy("p", ".*", "all", 0, &[("max-length", Value::long(-1))]), "-1 is not a valid maximum length");
    let words = "should be one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'";
    refused(policy("p", ".*", "everything", 0, &length), &format!("apply-to 'everything' unrecognised; {words}"));
    let mut no_number = policy("p", ".*", "all", 0, &length);
    if let Command::PutPolicy { priority, .. } = &mut no_number {
        *priority = Value::str("high");
    }
    refused(no_number, "priority should be a number, actually was <<\"high\">>");
    let component = |component: &str, value| Command::PutParameter {
        vhost: "/".into(),
        component: component.into(),
        name: "n".into(),
        value,
    };
    refused(component("nonsense", Value::long(1)), "component nonsense not found");
    let table: Arguments = [("pattern", Value::str("a")), ("colour", Value::str("red"))].into_iter().collect();
    refused(component("policy", Value::Table(table)), "Unrecognised terms [{<<\"colour\">>,<<\"red\">>}] in n");
    let limit = |limit: &str, value| Command::SetVhostLimit { vhost: "/".into(), limit: limit.into(), value };
    refused(limit("max-connections", Value::str("x")), "max-connections should be a number, actually was <<\"x\">>");
    refused(limit("max-foo", Value::long(5)), "Unrecognised terms [{<<\"max-foo\">>,5}] in limits");
}

#[test]
fn some_parameters_are_policies_and_limits_by_another_name() {
    let mut access = world();
    let put = |component: &str, name: &str, value: Arguments| Command::PutParameter {
        vhost: "/".into(),
        component: component.into(),
        name: name.into(),
        value: Value::Table(value),
    };
    let definition = Value::Table([("max-length", Value::long(3))].into_iter().collect());
    let fields = [("pattern", Value::str("^q")), ("definition", definition), ("priority", Value::long(2))];
    check(&mut access, put("operator_policy", "op", fields.into_iter().collect()), Ok(Outcome::Created));
    let policy = &access.vhost("/").expect("it is there").operator_policies["op"];
    assert_eq!((policy.priority, policy.apply_to, policy.pattern.as_str()), (2, ApplyTo::All, "^q"));
    let limits = [("max-queues", Value::long(7))].into_iter().collect();
    check(&mut access, put("vhost-limits", "limits", limits), Ok(Outcome::Created));
    assert_eq!(access.vhost("/").expect("it is there").limits.of(VhostLimit::MaxQueues), Some(7));
    let shovel = [("src-uri", Value::str("amqp://"))].into_iter().collect();
    check(&mut access, put("shovel", "s", shovel), Ok(Outcome::Created));
    let delete =
        Command::DeleteParameter { vhost: "/".into(), component: "vhost-limits".into(), name: "limits".into() };
    check(&mut access, delete, Ok(Outcome::Deleted));
    assert!(access.vhost("/").expect("it is there").limits.is_empty());
}

#[test]
fn rights_are_per_user_and_virtual_host() {
    let mut access = world();
    assert!(access.rights("alice", "/").is_some());
    assert!(access.rights("alice", "other").is_none() && access.rights("bob", "/").is_none());
    run(&mut access, grant("bob", "other", "^mine")).expect("both exist");
    let topic = Command::SetTopicPermission {
        user: "bob".into(),
        vhost: "other".into(),
        exchange: "mine.topic".into(),
        write: "^{username}\\.".into(),
        read: "".into(),
    };
    check(&mut access, topic, Ok(Outcome::Created));
    let rights = access.rights("bob", "other").expect("a record");
    assert!(rights.check(Operation::Publish { exchange: "mine.topic" }).is_ok());
    let refused = rights.check(Operation::Publish { exchange: "theirs" }).expect_err("not his");
    let resource = Resource { kind: ResourceKind::Exchange, vhost: "other".into(), name: "theirs".into() };
    let right = permission::Right::Write;
    assert_eq!(refused, crate::Error::AccessRefused { right, resource, user: "bob".into() });
    assert!(rights.check_topic(right, "mine.topic", "bob.x").is_ok());
    assert!(rights.check_topic(right, "mine.topic", "alice.x").is_err());
    let clear = |exchange| Command::ClearTopicPermission { user: "bob".into(), vhost: "other".into(), exchange };
    check(&mut access, clear(Some("else".into())), Ok(Outcome::Missing));
    check(&mut access, clear(None), Ok(Outcome::Deleted));
    assert!(access.user("bob").expect("he is there").topic_permissions.is_empty());
}

#[test]
fn a_virtual_host_goes_with_all_that_was_said_of_it() {
    let mut access = world();
    run(&mut access, grant("bob", "other", ".*")).expect("both exist");
    run(&mut access, Command::DeleteVhost { name: "other".into() }).expect("it is there");
    assert!(access.rights("bob", "other").is_none());
    run(&mut access, vhost("other")).expect("again");
    assert!(access.rights("bob", "other").is_none(), "a new one of the same name starts anew");
}

#[test]
fn protections_hold() {
    let mut access = world();
    let protect = |protected| Command::PutVhost {
        name: "other".into(),
        update: VhostUpdate { protected: Some(protected), ..VhostUpdate::default() },
        creator: None,
    };
    run(&mut access, protect(true)).expect("it is there");
    let text = "Refusing to delete virtual host 'other' because it is protected from deletion";
    check(&mut access, Command::DeleteVhost { name: "other".into() }, Err(text));
    run(&mut access, protect(false)).expect("it is there");
    check(&mut access, Command::DeleteVhost { name: "other".into() }, Ok(Outcome::Deleted));
    let tags = vec![Tag::Protected];
    let user = Command::PutUser { name: "bob".into(), password: PasswordUpdate::Keep, tags, limits: None };
    run(&mut access, user).expect("he is there");
    check(
        &mut access,
        Command::DeleteUser { name: "bob".into() },
        Err("Refusing to delete user 'bob' because it is protected"),
    );
}

#[test]
fn an_update_leaves_alone_what_it_does_not_name() {
    let mut access = world();
    let update = VhostUpdate {
        description: Some("d".into()),
        default_queue_type: Some("quorum".into()),
        tracing: Some(true),
        ..VhostUpdate::default()
    };
    run(&mut access, Command::PutVhost { name: "v".into(), update, creator: Some("alice".into()) }).expect("new");
    assert!(access.rights("alice", "v").is_some(), "who makes a virtual host may use it");
    let update = VhostUpdate { tags: Some(vec!["t".into()]), ..VhostUpdate::default() };
    run(&mut access, Command::PutVhost { name: "v".into(), update, creator: Some("bob".into()) }).expect("there");
    assert!(access.rights("bob", "v").is_none(), "who only changes it gains nothing");
    let settings = &access.vhost("v").expect("it is there").settings;
    let expected = VhostSettings {
        description: "d".into(),
        tags: vec!["t".into()],
        default_queue_type: Some("quorum".into()),
        tracing: true,
        protected: false,
    };
    assert_eq!(*settings, expected);
    let update = VhostUpdate { default_queue_type: Some("fast".into()), ..VhostUpdate::default() };
    let command = Command::PutVhost { name: "v".into(), update, creator: None };
    check(&mut access, command, Err("Unsupported default queue type 'fast'"));
}

#[test]
fn a_user_keeps_password_permissions_and_limits_when_only_tags_change() {
    let mut access = world();
    let hash = PasswordHash::create(Algorithm::Sha256, b"p", [1; 16]);
    let put = |password, tags, limits| Command::PutUser { name: "alice".into(), password, tags, limits };
    let limits = Some(vec![("max-channels".into(), Value::long(5))]);
    run(&mut access, put(PasswordUpdate::Set(hash.clone()), vec![], limits)).expect("there");
    let tags = vec![Tag::Monitoring, Tag::Administrator, Tag::Monitoring];
    run(&mut access, put(PasswordUpdate::Keep, tags, None)).expect("there");
    let alice = access.user("alice").expect("she is there");
    assert_eq!(alice.password.as_ref(), Some(&hash));
    assert_eq!(alice.tags, [Tag::Administrator, Tag::Monitoring]);
    assert_eq!(alice.limits.of(UserLimit::MaxChannels), Some(5));
    assert!(access.rights("alice", "/").is_some());
    run(&mut access, put(PasswordUpdate::Clear, vec![], Some(vec![]))).expect("there");
    let alice = access.user("alice").expect("she is there");
    assert!(alice.password.is_none() && alice.limits.is_empty());
}

#[test]
fn secrets_do_not_show() {
    let hash = PasswordHash::create(Algorithm::Sha256, b"canary-secret", [1; 16]);
    let password = PasswordUpdate::Set(hash.clone());
    let command = Command::PutUser { name: "u".into(), password, tags: vec![], limits: None };
    let mut access = Access::new();
    let shown = format!("{command:?}{:?}", access.check(&command));
    run(&mut access, command).expect("new");
    let shown = format!("{shown}{access:?}{:?}", access.facts());
    assert!(!shown.contains(hash.as_str()) && !shown.contains("canary"));
}

// ---- policies

fn effective(access: &Access, name: &str, kind: &str) -> (Option<Name>, Option<Name>, String) {
    let effective = access.effective("/", Subject::Queue { name, kind });
    let name = |policy: &Option<Arc<Policy>>| policy.as_ref().map(|policy| policy.name.clone());
    let definition = effective.definition();
    for (key, value) in definition.iter() {
        assert_eq!(effective.get(key), Some(value), "one by one as together");
    }
    (name(&effective.policy), name(&effective.operator_policy), definition.to_string())
}

#[test]
fn of_the_policies_that_match_the_highest_priority_counts() {
    let mut access = world();
    let length = |length| [("max-length", Value::long(length))];
    for command in [
        policy("low", ".*", "all", -1, &length(1)),
        policy("b", "^q", "queues", 5, &length(2)),
        policy("a", "^q", "queues", 5, &length(3)),
        policy("quorum", "^q", "quorum_queues", 9, &length(4)),
        policy("exchanges", ".*", "exchanges", 99, &length(5)),
    ] {
        run(&mut access, command).expect("these make sense");
    }
    let check = |name: &str, kind: &str, expected: &str| {
        assert_eq!(effective(&access, name, kind).0.as_deref(), Some(expected), "{name} {kind}");
    };
    check("other", "classic", "low");
    check("q1", "classic", "a");
    check("q1", "quorum", "quorum");
    check("q1", "stream", "a");
    let of_exchange = access.effective("/", Subject::Exchange { name: "q" });
    assert_eq!(of_exchange.policy.map(|policy| policy.name.clone()).as_deref(), Some("exchanges"));
    assert!(access.effective("other", Subject::Exchange { name: "q" }).is_empty());
}

#[test]
fn operators_bound_limits_and_have_the_last_word_otherwise() {
    let mut access = world();
    let (ttl, overflow) = (|ms| ("message-ttl", Value::long(ms)), |word| ("overflow", Value::str(word)));
    run(&mut access, policy("u", ".*", "all", 0, &[ttl(100), overflow("drop-head"), ("max-length", Value::long(9))]))
        .expect("makes sense");
    run(&mut access, for_operator(policy("o", "^q", "all", 0, &[ttl(50), overflow("reject-publish")])))
        .expect("this too");
    let (user, operator, definition) = effective(&access, "q", "classic");
    assert_eq!((user.as_deref(), operator.as_deref()), (Some("u"), Some("o")));
    assert_eq!(definition, "[{max-length,9},{message-ttl,50},{overflow,reject-publish}]");
    run(&mut access, for_operator(policy("o", "^q", "all", 0, &[ttl(500)]))).expect("makes sense");
    assert_eq!(effective(&access, "q", "classic").2, "[{max-length,9},{message-ttl,100},{overflow,drop-head}]");
}

#[test]
fn arguments_stand_beside_policies() {
    let check =
        |arguments: &[(&str, Value)], definition: &[(&str, Value)], expected: &dyn Fn(&QueueSettings) -> bool| {
            let mut access = world();
            run(&mut access, policy("p", ".*", "all", 0, definition)).expect("makes sense");
            let arguments: Arguments = arguments.iter().map(|(key, value)| (*key, value.clone())).collect();
            let resource = Resource { kind: ResourceKind::Queue, vhost: "/".into(), name: "q".into() };
            let settings = QueueSettings::parse(&resource, &arguments).expect("makes sense");
            let subject = Subject::Queue { name: "q", kind: settings.kind.as_str() };
            let changed = access.effective("/", subject).queue_settings(&arguments, &settings);
            assert!(expected(&changed), "{arguments} {definition:?}: {changed:?}");
        };
    let long = Value::long;
    check(&[], &[("max-length", long(5))], &|it| it.max_length == Some(5));
    check(&[("x-max-length", long(3))], &[("max-length", long(5))], &|it| it.max_length == Some(3));
    check(&[("x-max-length", long(7))], &[("max-length", long(5))], &|it| it.max_length == Some(5));
    check(&[("x-expires", long(7))], &[("message-ttl", long(5))], &|it| {
        (it.expires_ms, it.message_ttl_ms) == (Some(7), Some(5))
    });
    check(&[], &[("overflow", Value::str("reject-publish"))], &|it| it.overflow == Overflow::RejectPublish);
    check(&[("x-overflow", Value::str("drop-head"))], &[("overflow", Value::str("reject-publish"))], &|it| {
        it.overflow == Overflow::DropHead
    });
    let target = |it: &QueueSettings, exchange: &str, key: Option<&str>| {
        it.dead_letter.as_ref().is_some_and(|it| &*it.exchange == exchange && it.routing_key.as_deref() == key)
    };
    let by_policy = [("dead-letter-exchange", Value::str("p")), ("dead-letter-routing-key", Value::str("k"))];
    check(&[], &by_policy, &|it| target(it, "p", Some("k")));
    check(&[("x-dead-letter-exchange", Value::str("a"))], &by_policy, &|it| target(it, "a", Some("k")));
    check(&[], &by_policy[1..], &|it| it.dead_letter.is_none());
    let quorum = ("x-queue-type", Value::str("quorum"));
    check(std::slice::from_ref(&quorum), &by_policy, &|it| it.delivery_limit == Some(20));
    check(std::slice::from_ref(&quorum), &[("delivery-limit", long(3))], &|it| it.delivery_limit == Some(3));
    check(&[quorum, ("x-delivery-limit", long(2))], &[("delivery-limit", long(3))], &|it| it.delivery_limit == Some(2));
}
