// Overview, lists, and the pages of single objects.
import { api, attempt, bytes, card, chart, danger, duration, field, flags, form, h, json, number, q, rate, t, table, toast, xq } from "./lib.js";

const RANGE = "lengths_age=600&lengths_incr=5&msg_rates_age=600&msg_rates_incr=5";

async function overview() {
  const [it, nodes] = await Promise.all([api(`overview?${RANGE}`), api("nodes").catch(() => [])]);
  const [totals, stats, objects] = [it.queue_totals, it.message_stats, it.object_totals];
  const length = (name, label) => ({ name: label, now: number(totals[name]), samples: totals[`${name}_details`]?.samples });
  const flow = (name, label) => ({ name: label, now: rate(stats[`${name}_details`]), samples: stats[`${name}_details`]?.samples });
  return [
    h("h1", {}, t("Overview")),
    h("div", { class: "cards" },
      card("Ready", number(totals.messages_ready)), card("Unacknowledged", number(totals.messages_unacknowledged)),
      card("Publish", rate(stats.publish_details)), card("Deliver", rate(stats.deliver_get_details)),
      card("Connections", number(objects.connections)), card("Channels", number(objects.channels)),
      card("Queues", number(objects.queues)), card("Consumers", number(objects.consumers))),
    h("div", { class: "grid" },
      h("section", {}, h("h2", {}, t("Messages")), chart([length("messages_ready", "Ready"), length("messages_unacknowledged", "Unacknowledged"), length("messages", "Total")])),
      h("section", {}, h("h2", {}, t("Rates")), chart([flow("publish", "Publish"), flow("deliver_get", "Deliver"), flow("ack", "Acknowledge")], { perSecond: true, format: (v) => v.toFixed(0) }))),
    h("h2", {}, t("Node")),
    table([
      { label: "Name", show: (n) => n.name },
      { label: "Memory", number: true, show: (n) => h("span", { class: n.mem_alarm ? "bad" : "" }, `${bytes(n.mem_used)} / ${bytes(n.mem_limit)}`) },
      { label: "Disk free", number: true, show: (n) => h("span", { class: n.disk_free_alarm ? "bad" : "" }, bytes(n.disk_free)) },
      { label: "File descriptors", number: true, show: (n) => `${number(n.fd_used)} / ${number(n.fd_total)}` },
      { label: "Uptime", number: true, show: (n) => duration(n.uptime) },
    ], nodes),
    h("h2", {}, t("Listeners")),
    table([
      { label: "Protocol", show: (l) => l.protocol }, { label: "Name", show: (l) => l.ip_address }, { label: "Value", number: true, show: (l) => l.port },
    ], it.listeners),
  ];
}

/** A list in pages: sorted, filtered and cut by the server. */
function list(title, path, columns, { extra, sort: by = "" } = {}) {
  return async (cx) => {
    const { query } = cx;
    const state = { page: Number(query.get("page") ?? 1), name: query.get("name") ?? "", regex: query.get("regex") === "1", sort: query.get("sort") ?? by, down: query.get("down") === "1" };
    const go = (change) => {
      const next = { ...state, page: 1, ...change };
      const search = new URLSearchParams({ page: next.page, name: next.name, sort: next.sort, ...(next.regex ? { regex: 1 } : {}), ...(next.down ? { down: 1 } : {}) });
      location.hash = `#/${location.hash.replace(/^#\/?/, "").split("?")[0]}?${search}`;
    };
    const search = new URLSearchParams({ page: state.page, page_size: 100, name: state.name, use_regex: state.regex, ...(state.sort ? { sort: state.sort, sort_reverse: state.down } : {}) });
    const found = await api(`${path}?${search}`);
    const filter = h("input", { type: "search", value: state.name, "aria-label": t("Filter"), placeholder: t("Filter"), onchange: (event) => go({ name: event.target.value }) });
    filter.dataset.keep = "";
    return [
      h("h1", {}, t(title)),
      h("div", { class: "tools" }, filter,
        h("label", { class: "check" }, h("input", { type: "checkbox", checked: state.regex, onchange: (event) => go({ regex: event.target.checked }) }), t("Regex")),
        h("button", { class: "act", disabled: state.page <= 1, onclick: () => go({ page: state.page - 1 }) }, t("previous")),
        h("span", {}, `${number(found.page)} / ${number(Math.max(1, found.page_count))} · ${number(found.filtered_count)} ${t("of")} ${number(found.total_count)}`),
        h("button", { class: "act", disabled: found.page >= found.page_count, onclick: () => go({ page: state.page + 1 }) }, t("next"))),
      table(columns, found.items, { sort: { by: state.sort, down: state.down }, onsort: (field) => go({ sort: field, down: state.sort === field && !state.down }) }),
      extra ? await extra(cx) : [],
    ];
  };
}

const link = (to, text) => h("a", { href: `#/${to}` }, text === "" ? "(default)" : text);
const vhost = { label: "Virtual host", by: "vhost", show: (it) => it.vhost };

const connections = list("Connections", "connections", [
  { label: "Name", by: "name", show: (it) => [link(`connection/${q(it.name)}`, it.name), it.user_provided_name && h("div", { class: "dim" }, it.user_provided_name)] },
  { label: "User", by: "user", show: (it) => it.user }, vhost, { label: "State", by: "state", show: (it) => it.state },
  { label: "Protocol", show: (it) => [it.protocol, it.ssl && h("span", { class: "tag" }, "TLS")] },
  { label: "Channels", by: "channels", number: true, show: (it) => number(it.channels) },
  { label: "From client", by: "recv_oct_details.rate", number: true, show: (it) => `${bytes(it.recv_oct_details.rate)}/s` },
  { label: "To client", by: "send_oct_details.rate", number: true, show: (it) => `${bytes(it.send_oct_details.rate)}/s` },
]);

const channels = list("Channels", "channels", [
  { label: "Name", by: "name", show: (it) => link(`channel/${q(it.name)}`, it.name) }, { label: "User", by: "user", show: (it) => it.user }, vhost,
  { label: "Mode", show: (it) => [it.confirm && h("span", { class: "tag" }, "C"), it.transactional && h("span", { class: "tag" }, "T")] },
  { label: "Prefetch", by: "prefetch_count", number: true, show: (it) => it.prefetch_count || "" },
  { label: "Unacknowledged", by: "messages_unacknowledged", number: true, show: (it) => number(it.messages_unacknowledged) },
  { label: "Unconfirmed", by: "messages_unconfirmed", number: true, show: (it) => number(it.messages_unconfirmed) },
  { label: "Publish", by: "message_stats.publish_details.rate", number: true, show: (it) => rate(it.message_stats?.publish_details) },
  { label: "Deliver", by: "message_stats.deliver_get_details.rate", number: true, show: (it) => rate(it.message_stats?.deliver_get_details) },
]);

const hostField = async () => field("Virtual host", "vhost", { options: (await api("vhosts?columns=name")).map((it) => it.name) });

const exchanges = list("Exchanges", "exchanges", [
  { label: "Name", by: "name", show: (it) => link(`exchange/${q(it.vhost)}/${xq(it.name)}`, it.name) }, vhost, { label: "Type", by: "type", show: (it) => it.type },
  { label: "Features", show: flags },
  { label: "From client", by: "message_stats.publish_in_details.rate", number: true, show: (it) => rate(it.message_stats?.publish_in_details) },
  { label: "To queue", by: "message_stats.publish_out_details.rate", number: true, show: (it) => rate(it.message_stats?.publish_out_details) },
], { extra: async (cx) => {
  const types = (await api("overview?columns=exchange_types")).exchange_types.map((it) => it.name);
  return h("details", {}, h("summary", {}, t("Add an exchange")), form([
    await hostField(), field("Name", "name", { required: true }), field("Type", "type", { options: types }), field("Durable", "durable", { type: "checkbox", checked: true }),
    field("Auto-delete", "auto_delete", { type: "checkbox" }), field("Internal", "internal", { type: "checkbox" }), field("Arguments (JSON)", "arguments"),
  ], "Add", (it) => attempt(async () => {
    await api(`exchanges/${q(it.vhost)}/${q(it.name)}`, { method: "PUT", body: { type: it.type, durable: it.durable, auto_delete: it.auto_delete, internal: it.internal, arguments: json(it.arguments) } });
    cx.again();
  }, "done"), "main"));
} });

const queueColumns = [
  { label: "Name", by: "name", show: (it) => link(`queue/${q(it.vhost)}/${q(it.name)}`, it.name) }, vhost, { label: "Type", by: "type", show: (it) => it.type },
  { label: "Features", show: flags },
  { label: "Ready", by: "messages_ready", number: true, show: (it) => number(it.messages_ready) },
  { label: "Unacknowledged", by: "messages_unacknowledged", number: true, show: (it) => number(it.messages_unacknowledged) },
  { label: "Consumers", by: "consumers", number: true, show: (it) => number(it.consumers) },
  { label: "Publish", by: "message_stats.publish_details.rate", number: true, show: (it) => rate(it.message_stats?.publish_details) },
  { label: "Deliver", by: "message_stats.deliver_get_details.rate", number: true, show: (it) => rate(it.message_stats?.deliver_get_details) },
];

const queues = list("Queues", "queues", queueColumns, { extra: async (cx) => h("details", {}, h("summary", {}, t("Add a queue")), form([
  await hostField(), field("Name", "name", { required: true }), field("Type", "type", { options: ["classic", "quorum", "stream"] }),
  field("Durable", "durable", { type: "checkbox", checked: true }), field("Auto-delete", "auto_delete", { type: "checkbox" }), field("Arguments (JSON)", "arguments"),
], "Add", (it) => attempt(async () => {
  const args = json(it.arguments);
  if (it.type !== "classic") args["x-queue-type"] = it.type;
  await api(`queues/${q(it.vhost)}/${q(it.name)}`, { method: "PUT", body: { durable: it.durable, auto_delete: it.auto_delete, arguments: args } });
  cx.again();
}, "done"), "main")) });

async function streams() {
  // Streams come first when types are sorted backwards.
  const first = await api("queues?page=1&page_size=500&sort=type&sort_reverse=true");
  const found = first.items.filter((it) => it.type === "stream");
  return [h("h1", {}, t("Streams")), table(queueColumns, found)];
}

const bindings = list("Bindings", "bindings", [
  { label: "Source", by: "source", show: (it) => link(`exchange/${q(it.vhost)}/${xq(it.source)}`, it.source) }, vhost,
  { label: "Routing key", by: "routing_key", show: (it) => it.routing_key }, { label: "Destination", by: "destination", show: (it) => target(it) },
  { label: "Arguments (JSON)", show: (it) => pretty(it.arguments) },
]);

const target = (it) => it.destination_type === "queue" ? link(`queue/${q(it.vhost)}/${q(it.destination)}`, it.destination) : link(`exchange/${q(it.vhost)}/${xq(it.destination)}`, it.destination);
const pretty = (value) => Object.keys(value ?? {}).length ? JSON.stringify(value) : "";
const facts = (pairs) => table([{ label: "Name", show: ([name]) => t(name) }, { label: "Value", show: ([, value]) => typeof value === "object" && !(value instanceof Node) ? pretty(value) : String(value ?? "") }], pairs);

// ---- single objects

async function connection({ parts: [name] }) {
  const path = `connections/${q(name)}`;
  const [it, open] = await Promise.all([api(`${path}?data_rates_age=60&data_rates_incr=5`), api(`${path}/channels`)]);
  const flow = (field, label) => ({ name: label, now: `${bytes(it[`${field}_details`].rate)}/s`, samples: it[`${field}_details`].samples });
  return [
    h("h1", {}, it.name),
    chart([flow("recv_oct", "From client"), flow("send_oct", "To client")], { perSecond: true, format: bytes }),
    h("h2", {}, t("Details")),
    facts([["User", it.user], ["Virtual host", it.vhost], ["State", it.state], ["Protocol", it.protocol], ["Type", it.auth_mechanism]]),
    h("h2", {}, t("Channels")),
    table([{ label: "Name", show: (c) => link(`channel/${q(c.name)}`, c.name) }, { label: "Unacknowledged", number: true, show: (c) => number(c.messages_unacknowledged) }], open),
    h("h2", {}, t("Client properties")), h("pre", {}, JSON.stringify(it.client_properties, null, 2)),
    danger("Close", "Really close?", () => attempt(async () => { await api(path, { method: "DELETE" }); location.hash = "#/connections"; }, "done")),
  ];
}

async function channel({ parts: [name] }) {
  const it = await api(`channels/${q(name)}?msg_rates_age=60&msg_rates_incr=5`);
  const flow = (field, label) => ({ name: label, now: rate(it.message_stats?.[`${field}_details`]), samples: it.message_stats?.[`${field}_details`]?.samples });
  return [
    h("h1", {}, it.name),
    chart([flow("publish", "Publish"), flow("deliver_get", "Deliver"), flow("ack", "Acknowledge")], { perSecond: true, format: (v) => v.toFixed(0) }),
    facts([["User", it.user], ["Virtual host", it.vhost], ["Prefetch", it.prefetch_count], ["Unacknowledged", it.messages_unacknowledged], ["Unconfirmed", it.messages_unconfirmed]]),
    h("h2", {}, t("Consumers")), consumersTable(it.consumer_details),
  ];
}

const consumersTable = (consumers) => table([
  { label: "Name", show: (c) => c.consumer_tag }, { label: "Queue", show: (c) => link(`queue/${q(c.queue.vhost)}/${q(c.queue.name)}`, c.queue.name) },
  { label: "Channels", show: (c) => link(`channel/${q(c.channel_details.name)}`, c.channel_details.name) }, { label: "State", show: (c) => c.activity_status },
  { label: "Prefetch", number: true, show: (c) => c.prefetch_count || "" }, { label: "Unacknowledged", number: true, show: (c) => number(c.messages_unacknowledged) },
], consumers);

/** Publishes to an exchange; for a queue that is the default one. */
const publishForm = (vhostName, exchange, key) => form([
  key === undefined ? field("Routing key", "routing_key") : [], field("Headers (JSON)", "headers"), field("Persistent", "persistent", { type: "checkbox", checked: true }),
  field("Payload", "payload", { type: "textarea" }),
], "Publish", (it) => attempt(async () => {
  const properties = { delivery_mode: it.persistent ? 2 : 1, headers: json(it.headers) };
  const body = { properties, routing_key: key ?? it.routing_key, payload: it.payload, payload_encoding: "string" };
  const { routed } = await api(`exchanges/${q(vhostName)}/${xq(exchange)}/publish`, { method: "POST", body });
  toast(t(routed ? "published" : "published, but no queue took it"));
}), "main");

const bindingsTable = (all, again) => table([
  { label: "Source", show: (it) => link(`exchange/${q(it.vhost)}/${xq(it.source)}`, it.source) }, { label: "Routing key", show: (it) => it.routing_key },
  { label: "Destination", show: target }, { label: "Arguments (JSON)", show: (it) => pretty(it.arguments) },
  { label: "", show: (it) => it.source === "" ? "" : danger("Unbind", "Really delete?", () => attempt(async () => {
    await api(`bindings/${q(it.vhost)}/e/${xq(it.source)}/${it.destination_type[0]}/${q(it.destination)}/${q(it.properties_key)}`, { method: "DELETE" });
    again();
  }, "done")) },
], all);

async function exchange({ parts: [host, name], again }) {
  const path = `exchanges/${q(host)}/${q(name)}`;
  const [it, from, to] = await Promise.all([api(`${path}?msg_rates_age=60&msg_rates_incr=5`), api(`${path}/bindings/source`), api(`${path}/bindings/destination`)]);
  const flow = (field, label) => ({ name: label, now: rate(it.message_stats?.[`${field}_details`]), samples: it.message_stats?.[`${field}_details`]?.samples });
  return [
    h("h1", {}, it.name || "(default)"), h("p", {}, h("span", { class: "tag" }, it.type), flags(it), it.vhost, " ", pretty(it.arguments)),
    chart([flow("publish_in", "Publish"), flow("publish_out", "To queue")], { perSecond: true, format: (v) => v.toFixed(0) }),
    h("h2", {}, t("Bindings")), bindingsTable([...to, ...from], again),
    it.name && h("details", {}, h("summary", {}, t("Add a binding")), form([
      field("Type", "kind", { options: ["queue", "exchange"] }), field("Destination", "destination", { required: true }), field("Routing key", "routing_key"), field("Arguments (JSON)", "arguments"),
    ], "Add", (b) => attempt(async () => {
      await api(`bindings/${q(host)}/e/${xq(it.name)}/${b.kind[0]}/${q(b.destination)}`, { method: "POST", body: { routing_key: b.routing_key, arguments: json(b.arguments) } });
      again();
    }, "done"), "main")),
    h("details", {}, h("summary", {}, t("Publish a message")), publishForm(host, it.name)),
    it.name && !it.name.startsWith("amq.") && danger("Delete", "Really delete?", () => attempt(async () => { await api(path, { method: "DELETE" }); location.hash = "#/exchanges"; }, "done")),
  ];
}

async function queue({ parts: [host, name], again }) {
  const path = `queues/${q(host)}/${q(name)}`;
  const [it, bound, doctor] = await Promise.all([
    api(`${path}?lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5`), api(`${path}/bindings`), api(`doctor/${q(host)}/${q(name)}`),
  ]);
  const length = (field, label) => ({ name: label, now: number(it[field]), samples: it[`${field}_details`]?.samples });
  const flow = (field, label) => ({ name: label, now: rate(it.message_stats?.[`${field}_details`]), samples: it.message_stats?.[`${field}_details`]?.samples });
  const shown = h("div", {});
  const show = (messages) => shown.replaceChildren(...messages.map((m) => h("pre", {}, `${m.exchange || "(default)"} · ${m.routing_key} · ${m.redelivered ? "redelivered · " : ""}${pretty(m.properties)}\n\n${m.payload}`)), messages.length ? "" : t("nothing here"));
  return [
    h("h1", {}, it.name), h("p", {}, h("span", { class: "tag" }, it.type), flags(it), it.vhost, " ", pretty(it.arguments)),
    h("div", { class: "cards" }, card("Ready", number(it.messages_ready)), card("Unacknowledged", number(it.messages_unacknowledged)), card("Consumers", number(it.consumers)),
      card("Bytes", bytes(it.message_bytes)), card("Publish", rate(it.message_stats?.publish_details)), card("Deliver", rate(it.message_stats?.deliver_get_details))),
    h("section", {}, h("h2", {}, t("Why it does not move")), h("ul", {}, doctor.findings.map((f) => h("li", {}, f.sentence, f.remedy && h("div", {}, h("code", {}, f.remedy)))))),
    h("div", { class: "grid" },
      chart([length("messages_ready", "Ready"), length("messages_unacknowledged", "Unacknowledged"), length("messages", "Total")]),
      chart([flow("publish", "Publish"), flow("deliver_get", "Deliver"), flow("ack", "Acknowledge")], { perSecond: true, format: (v) => v.toFixed(0) })),
    h("h2", {}, t("Consumers")), consumersTable(it.consumer_details),
    h("h2", {}, t("Bindings")), bindingsTable(bound, again),
    h("details", {}, h("summary", {}, t("Add a binding")), form([field("Source", "source", { required: true }), field("Routing key", "routing_key"), field("Arguments (JSON)", "arguments")], "Add", (b) => attempt(async () => {
      await api(`bindings/${q(host)}/e/${xq(b.source)}/q/${q(it.name)}`, { method: "POST", body: { routing_key: b.routing_key, arguments: json(b.arguments) } });
      again();
    }, "done"), "main")),
    h("details", {}, h("summary", {}, t("Publish a message")), publishForm(host, "", it.name)),
    h("details", {}, h("summary", {}, t("Look at messages")), form([field("Count", "count", { type: "number", value: 5 })], "Look at messages",
      ({ count }) => attempt(async () => show(await api(`${path}/peek`, { method: "POST", body: { count: Number(count) } }))), "main"),
      form([field("Count", "count", { type: "number", value: 1 }), field("Afterwards", "ackmode", { options: ["ack_requeue_true", "ack_requeue_false", "reject_requeue_true", "reject_requeue_false"] })], "Get messages",
        (g) => attempt(async () => show(await api(`${path}/get`, { method: "POST", body: { count: Number(g.count), ackmode: g.ackmode, encoding: "auto" } })))), shown),
    h("details", {}, h("summary", {}, t("Move messages")), form([field("To queue", "to", { required: true }), field("Count", "count", { type: "number", value: it.messages_ready })], "Move",
      ({ to, count }) => attempt(() => move(host, it.name, to, Number(count)).then((moved) => { toast(`${t("done")}: ${number(moved)}`); again(); })), "main")),
    h("div", { class: "tools" },
      danger("Purge", "Really purge?", () => attempt(async () => { await api(`${path}/contents`, { method: "DELETE" }); again(); }, "done")),
      danger("Delete", "Really delete?", () => attempt(async () => { await api(path, { method: "DELETE" }); location.hash = "#/queues"; }, "done"))),
  ];
}

/** Message by message: published to the other queue first, and only then taken from this one, so that none is lost. */
async function move(host, from, to, count) {
  await api(`queues/${q(host)}/${q(to)}`); // it has to be there: what goes to no queue would be lost
  let moved = 0;
  for (; moved < count; moved += 1) {
    const [m] = await api(`queues/${q(host)}/${q(from)}/peek`, { method: "POST", body: { count: 1, encoding: "base64" } });
    if (!m) break;
    const body = { properties: m.properties, routing_key: to, payload: m.payload, payload_encoding: m.payload_encoding };
    const { routed } = await api(`exchanges/${q(host)}/amq.default/publish`, { method: "POST", body });
    if (!routed) throw new Error(t("published, but no queue took it"));
    await api(`queues/${q(host)}/${q(from)}/get`, { method: "POST", body: { count: 1, ackmode: "ack_requeue_false", encoding: "auto" } });
  }
  return moved;
}

async function search({ query }) {
  const text = query.get("for") ?? "";
  const box = form([field("Search", "text", { type: "search", value: text })], "Search", ({ text: wanted }) => { location.hash = `#/search?for=${q(wanted)}`; }, "main");
  box.querySelector("input").dataset.keep = "";
  if (!text) return [h("h1", {}, t("Search")), box];
  const find = (path) => api(`${path}?page=1&page_size=50&name=${q(text)}`).then((found) => found.items);
  const [foundQueues, foundExchanges, foundConnections] = await Promise.all([find("queues"), find("exchanges"), find("connections")]);
  const all = [
    ...foundQueues.map((it) => ["Queue", link(`queue/${q(it.vhost)}/${q(it.name)}`, it.name), it.vhost]),
    ...foundExchanges.map((it) => ["Exchange", link(`exchange/${q(it.vhost)}/${xq(it.name)}`, it.name), it.vhost]),
    ...foundConnections.map((it) => ["Connections", link(`connection/${q(it.name)}`, it.name), it.vhost]),
  ];
  return [h("h1", {}, t("Search")), box, table([{ label: "Type", show: ([kind]) => t(kind) }, { label: "Name", show: ([, it]) => it }, { label: "Virtual host", show: ([, , it]) => it ?? "" }], all)];
}

export const pages = { overview, connections, channels, exchanges, queues, streams, bindings, connection, channel, exchange, queue, search };
