//! What the broker tells by itself: events, and copies of what goes through.

use harness::{Broker, unique};

use crate::client::{GUEST, request};

struct Listener<'a> {
    broker: &'a Broker,
    queue: String,
}

impl Listener<'_> {
    /// A queue that gets everything from an exchange.
    fn to<'a>(broker: &'a Broker, exchange: &str) -> Listener<'a> {
        let listener = Listener { broker, queue: unique("listener") };
        listener.call(&format!("PUT /api/queues/%2F/{} {{}}", listener.queue), 201);
        let bind = format!("POST /api/bindings/%2F/e/{exchange}/q/{} {{\"routing_key\":\"#\"}}", listener.queue);
        listener.call(&bind, 201);
        listener
    }

    fn call(&self, line: &str, status: u16) -> String {
        let answer = request(self.broker.http(), GUEST, line);
        assert_eq!(answer.status, status, "{line}: {}", answer.body);
        answer.body
    }

    /// Everything that has come, as JSON text.
    fn take(&self) -> String {
        let line =
            format!("POST /api/queues/%2F/{}/get {{\"count\":1000,\"ackmode\":\"ack_requeue_false\"}}", self.queue);
        self.call(&line, 200)
    }
}

#[test]
fn who_listens_hears_what_happens() {
    for shards in [1, 2] {
        let broker = Broker::start_ours_with(shards, &["event_exchange.vhost=/"]);
        let listener = Listener::to(&broker, "amq.rabbitmq.event");
        let calls = [
            ("PUT /api/users/u {\"password\":\"canary\",\"tags\":\"management\"}", 201),
            ("PUT /api/permissions/%2F/u {\"configure\":\"\",\"write\":\"\",\"read\":\"\"}", 201),
            ("DELETE /api/users/u", 204),
            ("PUT /api/vhosts/v {}", 201),
            ("DELETE /api/vhosts/v", 204),
            ("PUT /api/policies/%2F/p {\"pattern\":\"^zz\",\"definition\":{\"max-length\":3}}", 201),
            ("PUT /api/queues/%2F/q {\"durable\":true}", 201),
            ("PUT /api/exchanges/%2F/x {\"type\":\"fanout\"}", 201),
            ("POST /api/bindings/%2F/e/x/q/q {}", 201),
            ("DELETE /api/exchanges/%2F/x", 204),
            ("DELETE /api/queues/%2F/q", 204),
        ];
        calls.iter().for_each(|(line, status)| drop(listener.call(line, *status)));
        let heard = listener.take();
        let wanted = [
            "user.created",
            "user.tags.set",
            "permission.created",
            "user.deleted",
            "vhost.created",
            "vhost.deleted",
            "policy.set",
            "queue.created",
            "exchange.created",
            "binding.created",
            "exchange.deleted",
            "queue.deleted",
        ];
        let found = wanted.map(|key| heard.find(&format!("\"routing_key\":\"{key}\"")));
        assert!(found.iter().all(Option::is_some), "{found:?} of {wanted:?} in {heard}");
        assert!(found.is_sorted(), "in the order in which they happened: {heard}");
        assert!(heard.contains("timestamp_in_ms") && heard.contains("\"delivery_mode\":2"), "{heard}");
        assert!(!heard.contains("canary"), "{heard}");
    }
}

#[test]
fn nobody_hears_where_there_is_no_exchange_for_it() {
    let broker = Broker::shared(1);
    assert_eq!(request(broker.http(), GUEST, "GET /api/exchanges/%2F/amq.rabbitmq.event").status, 404);
}

#[test]
fn what_goes_through_a_traced_vhost_is_copied() {
    for shards in [1, 2] {
        let broker = Broker::start_ours(shards);
        let listener = Listener::to(&broker, "amq.rabbitmq.trace");
        let publish = "POST /api/exchanges/%2F/amq.default/publish {\"properties\":{\"headers\":{\"h\":1}},\
                       \"routing_key\":\"q\",\"payload\":\"one\",\"payload_encoding\":\"string\"}";
        let get = "POST /api/queues/%2F/q/get {\"count\":1,\"ackmode\":\"ack_requeue_false\"}";
        listener.call("PUT /api/queues/%2F/q {}", 201);
        listener.call(publish, 200);
        assert_eq!(listener.take(), "[]", "it is not traced yet");
        listener.call("PUT /api/vhosts/%2F {\"tracing\":true}", 204);
        listener.call(publish, 200);
        listener.call(get, 200);
        listener.call("PUT /api/vhosts/%2F {\"tracing\":false}", 204);
        listener.call(publish, 200);
        let heard = listener.take();
        let wanted = [
            "\"routing_key\":\"publish.\"",
            "\"routed_queues\":[\"q\"]",
            "\"routing_keys\":[\"q\"]",
            "\"exchange_name\":\"\"",
            "\"user\":\"guest\"",
            "\"vhost\":\"/\"",
            "\"headers\":{\"h\":1}",
            "\"routing_key\":\"deliver.q\"",
            "\"redelivered\":0",
            "\"payload\":\"one\"",
        ];
        wanted.iter().for_each(|text| assert!(heard.contains(text), "no {text} in {heard}"));
        assert_eq!(heard.matches("\"routing_key\":\"publish.\"").count(), 1, "{heard}");
    }
}
