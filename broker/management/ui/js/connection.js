// One connection and one channel.
import { get, q, remove } from "./api.js";
import { chart } from "./chart.js";
import { h } from "./dom.js";
import { ago, bytes, number, rate } from "./format.js";
import { t } from "./lang.js";
import { state } from "./lists.js";
import { danger, facts, heading, link, section, table, tag } from "./widgets.js";

/** Lines about who consumes what. */
export const consumersTable = (consumers) => table([
  { label: "Consumer tag", show: (c) => h("code", {}, c.consumer_tag) }, { label: "Queue", show: (c) => link(`queue/${q(c.queue.vhost)}/${q(c.queue.name)}`, c.queue.name) },
  { label: "Channel", show: (c) => link(`channel/${q(c.channel_details.name)}`, c.channel_details.name) },
  { label: "State", show: (c) => [state(c.active ? "up" : "waiting"), " ", c.exclusive && tag("Excl"), c.ack_required === false && tag("no-ack")] },
  { label: "Prefetch", number: true, show: (c) => c.prefetch_count || "∞" }, { label: "Unacknowledged", number: true, show: (c) => number(c.messages_unacknowledged) },
], consumers ?? [], { empty: "nobody consumes" });

async function connection({ parts: [name] }) {
  const path = `connections/${q(name)}`;
  const [it, open] = await Promise.all([get(`${path}?data_rates_age=60&data_rates_incr=5`), get(`${path}/channels`)]);
  const flow = (field, label) => ({ name: label, now: `${bytes(it[`${field}_details`]?.rate)}/s`, samples: it[`${field}_details`]?.samples });
  const close = async () => { await remove(path); location.hash = "#/connections"; };
  return [
    heading(it.user_provided_name || it.name, state(it.state), h("div", { class: "tools" }, danger("Close", t("Close the connection {name}? Its client sees error 320.", { name: it.name }), close))),
    h("div", { class: "grid" },
      chart("Bytes per second", [flow("recv_oct", "From client"), flow("send_oct", "To client")], { perSecond: true, format: bytes }),
      facts([["Name", it.name], ["User", it.user], ["Virtual host", it.vhost], ["From", it.peer_host && `${it.peer_host}:${it.peer_port}`], ["Protocol", it.protocol],
        ["Encrypted", it.ssl ? `${it.ssl_protocol ?? "TLS"} ${it.ssl_cipher ?? ""}` : t("no")], ["Login by", it.auth_mechanism], ["Since", it.connected_at && ago(it.connected_at)],
        ["Heartbeat", it.timeout ? `${it.timeout} s` : t("off")], ["Frames up to", bytes(it.frame_max)], ["Received", bytes(it.recv_oct)], ["Sent", bytes(it.send_oct)]])),
    section("Channels", table([
      { label: "Name", show: (c) => link(`channel/${q(c.name)}`, c.name) }, { label: "Consumers", number: true, show: (c) => number(c.consumer_count) },
      { label: "Unacknowledged", number: true, show: (c) => number(c.messages_unacknowledged) }, { label: "Published", number: true, show: (c) => rate(c.message_stats?.publish_details) },
      { label: "Delivered", number: true, show: (c) => rate(c.message_stats?.deliver_get_details) },
    ], open, { key: (c) => c.name })),
    section("What the client says of itself", h("pre", {}, JSON.stringify(it.client_properties, null, 2))),
  ];
}

async function channel({ parts: [name] }) {
  const it = await get(`channels/${q(name)}?msg_rates_age=60&msg_rates_incr=5`);
  const flow = (field, label) => ({ name: label, now: rate(it.message_stats?.[`${field}_details`]), samples: it.message_stats?.[`${field}_details`]?.samples });
  const from = it.connection_details?.name;
  return [
    heading(it.name, state(it.state)),
    h("div", { class: "grid" },
      chart("Messages per second", [flow("publish", "Published"), flow("deliver_get", "Delivered"), flow("ack", "Acknowledged")], { perSecond: true }),
      facts([["Connection", from && link(`connection/${q(from)}`, from)], ["User", it.user], ["Virtual host", it.vhost],
        ["Mode", it.confirm ? t("publisher confirms") : it.transactional ? t("transactions") : t("neither confirms nor transactions")],
        ["Prefetch", it.prefetch_count || t("without limit")], ["Prefetch of the channel", it.global_prefetch_count || t("without limit")],
        ["Unacknowledged", number(it.messages_unacknowledged)], ["Unconfirmed", number(it.messages_unconfirmed)], ["Uncommitted", number(it.messages_uncommitted)]])),
    section("Consumers", consumersTable(it.consumer_details)),
  ];
}

export const connectionPages = { connection, channel };
