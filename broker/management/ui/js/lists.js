// The lists: connections, channels, exchanges, queues, streams, bindings.
import { get, put, q, xq } from "./api.js";
import { h } from "./dom.js";
import { bytes, number, pretty, rate } from "./format.js";
import { t } from "./lang.js";
import { below, list } from "./list.js";
import { features, field, json, link, opener, tag } from "./widgets.js";

const vhost = { label: "Virtual host", by: "vhost", needs: ["vhost"], show: (it) => it.vhost };
const count = (label, name, hint) => ({ label, by: name, needs: [name], number: true, hint, show: (it) => number(it[name]) });
const flow = (label, name) => ({ label, by: `message_stats.${name}_details.rate`, needs: [`message_stats`], number: true, show: (it) => rate(it.message_stats?.[`${name}_details`]) });

/** A dot that says at a glance how something is, with the word beside it for those who do not see colours. */
export const state = (word) => h("span", { class: `state ${word === "running" || word === "up" ? "good" : ["blocked", "blocking", "flow"].includes(word) ? "bad" : "dim"}` }, word);

const connections = list({ title: "Connections", path: (host) => (host ? `vhosts/${q(host)}/connections` : "connections"), keyOf: (it) => it.name, columns: [
  { label: "Name", by: "name", needs: ["name", "user_provided_name", "client_properties"], show: (it) => [link(`connection/${q(it.name)}`, it.user_provided_name || it.name), h("small", {}, it.user_provided_name ? it.name : [it.client_properties?.product, " ", it.client_properties?.version])] },
  { label: "User", by: "user", needs: ["user"], show: (it) => it.user }, vhost, { label: "State", by: "state", needs: ["state"], show: (it) => state(it.state) },
  { label: "Protocol", needs: ["protocol", "ssl"], show: (it) => [it.protocol, " ", it.ssl && tag("TLS")] },
  count("Channels", "channels"),
  { label: "From client", by: "recv_oct_details.rate", needs: ["recv_oct_details"], number: true, show: (it) => `${bytes(it.recv_oct_details?.rate)}/s` },
  { label: "To client", by: "send_oct_details.rate", needs: ["send_oct_details"], number: true, show: (it) => `${bytes(it.send_oct_details?.rate)}/s` },
] });

const channels = list({ title: "Channels", path: (host) => (host ? `vhosts/${q(host)}/channels` : "channels"), keyOf: (it) => it.name, columns: [
  { label: "Name", by: "name", needs: ["name"], show: (it) => link(`channel/${q(it.name)}`, it.name) },
  { label: "User", by: "user", needs: ["user"], show: (it) => it.user }, vhost,
  { label: "Mode", needs: ["confirm", "transactional"], show: (it) => [it.confirm && tag("C", t("publisher confirms")), it.transactional && tag("T", t("transactions"))] },
  { label: "Prefetch", by: "prefetch_count", needs: ["prefetch_count"], number: true, show: (it) => it.prefetch_count || "∞" },
  count("Consumers", "consumer_count"), count("Unacknowledged", "messages_unacknowledged"), count("Unconfirmed", "messages_unconfirmed"),
  flow("Published", "publish"), flow("Delivered", "deliver_get"),
] });

/** A choice of the virtual hosts that the user may see. */
export async function hostField(current) {
  const hosts = (await get("vhosts?columns=name")).map((it) => it.name);
  return field("Virtual host", "vhost", { options: hosts, value: current && hosts.includes(current) ? current : hosts[0] });
}

const ALTERNATE = "alternate-exchange";

const addExchange = (cx) => opener("Add an exchange", async () => {
  const [host, overview] = await Promise.all([hostField(cx.vhost), get("overview?columns=exchange_types")]);
  const types = overview.exchange_types.map((it) => it.name).sort((a, b) => a.startsWith("x-") - b.startsWith("x-"));
  return [host, field("Name", "name", { required: true }), field("Type", "type", { options: types, value: "direct" }),
    field("Alternate exchange", "alternate", { hint: "gets what no binding takes" }),
    field("Durable", "durable", { type: "checkbox", checked: true }), field("Auto-delete", "auto_delete", { type: "checkbox" }), field("Internal", "internal", { type: "checkbox" }),
    field("More arguments (JSON)", "arguments", { type: "textarea", rows: 2 })];
}, async (it) => {
  const args = { ...(it.alternate ? { [ALTERNATE]: it.alternate } : {}), ...json(it.arguments) };
  await put(`exchanges/${q(it.vhost)}/${q(it.name)}`, { type: it.type, durable: it.durable, auto_delete: it.auto_delete, internal: it.internal, arguments: args });
  cx.again();
}, { kind: "main" });

const exchanges = list({ title: "Exchanges", path: below("exchanges"), beside: addExchange, keyOf: (it) => `${it.vhost}/${it.name}`, columns: [
  { label: "Name", by: "name", needs: ["name"], show: (it) => link(`exchange/${q(it.vhost)}/${xq(it.name)}`, it.name) }, vhost,
  { label: "Type", by: "type", needs: ["type"], show: (it) => it.type },
  { label: "Features", needs: ["durable", "auto_delete", "internal", "policy", "arguments"], show: features },
  flow("Published in", "publish_in"), flow("To queues", "publish_out"),
] });

/** Arguments of queues that have a field of their own: argument, label, hint. */
const NUMBERS = [["x-message-ttl", "Messages live for (ms)"], ["x-expires", "Queue goes when unused for (ms)"], ["x-max-length", "At most so many messages"],
  ["x-max-length-bytes", "At most so many bytes"], ["x-max-priority", "Priorities up to"], ["x-delivery-limit", "Deliveries of a message at most"]];
const TEXTS = [["x-dead-letter-exchange", "Dead letters go to exchange"], ["x-dead-letter-routing-key", "with routing key"]];

function queueArguments(it) {
  const args = json(it.arguments);
  if (it.type !== "classic") args["x-queue-type"] = it.type;
  for (const [name] of NUMBERS) if (it[name]) args[name] = Number(it[name]);
  for (const [name] of TEXTS) if (it[name]) args[name] = it[name];
  if (it["x-overflow"]) args["x-overflow"] = it["x-overflow"];
  if (it.single) args["x-single-active-consumer"] = true;
  return args;
}

export const addQueue = (cx, type = "classic") => opener(type === "stream" ? "Add a stream" : "Add a queue", async () => [
  await hostField(cx.vhost), field("Name", "name", { required: true }), field("Type", "type", { options: ["classic", "quorum", "stream"], value: type }),
  field("Durable", "durable", { type: "checkbox", checked: true }), field("Auto-delete", "auto_delete", { type: "checkbox" }),
  field("Single active consumer", "single", { type: "checkbox" }),
  h("details", { class: "broad" }, h("summary", {}, t("Limits and dead letters")), h("div", { class: "fields" },
    NUMBERS.map(([name, label]) => field(label, name, { type: "number", min: 0, hint: name })), TEXTS.map(([name, label]) => field(label, name, { hint: name })),
    field("When full", "x-overflow", { options: [["", "–"], "drop-head", "reject-publish", "reject-publish-dlx"], hint: "x-overflow" }))),
  field("More arguments (JSON)", "arguments", { type: "textarea", rows: 2 }),
], async (it) => {
  await put(`queues/${q(it.vhost)}/${q(it.name)}`, { durable: it.durable, auto_delete: it.auto_delete, arguments: queueArguments(it) });
  cx.again();
}, { kind: "main" });

const queueColumns = [
  { label: "Name", by: "name", needs: ["name"], show: (it) => link(`queue/${q(it.vhost)}/${q(it.name)}`, it.name) }, vhost,
  { label: "Type", by: "type", needs: ["type"], show: (it) => it.type },
  { label: "Features", needs: ["durable", "auto_delete", "exclusive", "arguments", "policy", "operator_policy"], show: features },
  count("Ready", "messages_ready"), count("Unacknowledged", "messages_unacknowledged"),
  { label: "Consumers", by: "consumers", needs: ["consumers"], number: true, show: (it) => h("span", { class: it.consumers === 0 && it.messages_ready > 0 ? "bad" : undefined, title: it.consumers === 0 && it.messages_ready > 0 ? t("messages wait and nobody takes them") : undefined }, number(it.consumers)) },
  flow("Published", "publish"), flow("Delivered", "deliver_get"), flow("Acknowledged", "ack"),
];
const queueKey = (it) => `${it.vhost}/${it.name}`;

const queues = list({ title: "Queues", path: below("queues"), beside: addQueue, keyOf: queueKey, columns: queueColumns });

/** The broker sorts by type; streams come first when that is backwards. So all pages up to the last stream are asked for. */
async function onlyStreams(search, host) {
  const path = host ? `queues/${q(host)}` : "queues";
  const size = 500;
  const found = [];
  for (let page = 1; ; page += 1) {
    const part = await get(`${path}?${new URLSearchParams({ page, page_size: size, sort: "type", sort_reverse: true, name: search.get("name"), use_regex: search.get("use_regex"), columns: `type,${search.get("columns")}` })}`);
    const streams = part.items.filter((it) => it.type === "stream");
    found.push(...streams);
    if (streams.length < part.items.length || page >= part.page_count) break;
  }
  const by = search.get("sort").split(".");
  const value = (it) => by.reduce((at, name) => at?.[name], it) ?? "";
  found.sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * (search.get("sort_reverse") === "true" ? -1 : 1));
  return { items: found, page: 1, page_count: 1, filtered_count: found.length, total_count: found.length };
}

const retention = { label: "Kept", needs: ["arguments", "effective_policy_definition"], show: (it) => {
  const [own, policy] = [it.arguments ?? {}, it.effective_policy_definition ?? {}];
  const [size, age] = [own["x-max-length-bytes"] ?? policy["max-length-bytes"], own["x-max-age"] ?? policy["max-age"]];
  const limits = [size && t("up to {size}", { size: bytes(size) }), age && t("for {age}", { age })].filter(Boolean);
  return limits.length ? limits.join(", ") : t("everything");
} };

const streams = list({ title: "Streams", beside: (cx) => addQueue(cx, "stream"), keyOf: queueKey, onlyType: onlyStreams, columns: [
  queueColumns[0], vhost, { label: "Messages", by: "messages", needs: ["messages"], number: true, show: (it) => number(it.messages) },
  { label: "Bytes", by: "message_bytes", needs: ["message_bytes"], number: true, show: (it) => bytes(it.message_bytes) },
  retention, { ...count("Readers", "consumers") }, flow("Published", "publish"), flow("Delivered", "deliver_get"),
] });

/** Where a binding leads. */
export const target = (it) => (it.destination_type === "queue" ? link(`queue/${q(it.vhost)}/${q(it.destination)}`, it.destination) : [link(`exchange/${q(it.vhost)}/${xq(it.destination)}`, it.destination), " ", tag(t("exchange"))]);

const bindings = list({ title: "Bindings", path: below("bindings"), sort: "source", columns: [
  { label: "From exchange", by: "source", needs: ["source"], show: (it) => link(`exchange/${q(it.vhost)}/${xq(it.source)}`, it.source) }, vhost,
  { label: "Routing key", by: "routing_key", needs: ["routing_key"], show: (it) => h("code", {}, it.routing_key) },
  { label: "To", by: "destination", needs: ["destination", "destination_type"], show: target },
  { label: "Arguments", needs: ["arguments"], show: (it) => h("code", {}, pretty(it.arguments)) },
] });

export const listPages = { connections, channels, exchanges, queues, streams, bindings };
