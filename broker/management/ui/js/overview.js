// The first page: how much, how fast, how the machine is.
import { get, q } from "./api.js";
import { chart } from "./chart.js";
import { h } from "./dom.js";
import { bytes, duration, number, perSecond, rate } from "./format.js";
import { t } from "./lang.js";
import { card, cards, gauge, heading, ifAllowed, link, section, table } from "./widgets.js";

/** How far charts look back: seconds, seconds between points, name. */
const RANGES = [[60, 5, "a minute"], [600, 5, "ten minutes"], [3600, 60, "an hour"], [28800, 120, "eight hours"], [86400, 600, "a day"]];

const rangeOf = (query) => RANGES.find(([age]) => String(age) === query.get("range")) ?? RANGES[1];

const rangeLinks = (current) => h("p", { class: "ranges" }, t("Charts of the last"), " ",
  RANGES.map(([age, , name]) => link(`overview?range=${age}`, t(name), { "aria-current": age === current ? "true" : undefined })));

function node(it) {
  return h("div", { class: "gauges" },
    gauge("Memory", it.mem_used, it.mem_limit, `${bytes(it.mem_used)} / ${bytes(it.mem_limit)}`, it.mem_alarm),
    gauge("Free disk", undefined, undefined, t("{free} free, alarm below {limit}", { free: bytes(it.disk_free), limit: bytes(it.disk_free_limit) }), it.disk_free_alarm),
    gauge("File descriptors", it.fd_used, it.fd_total, `${number(it.fd_used)} / ${number(it.fd_total)}`));
}

const churn = (it) => table([
  { label: "What", show: ([label]) => t(label) },
  { label: "Per second", number: true, show: ([, name]) => perSecond(it[`${name}_details`]?.rate) },
  { label: "Since the start", number: true, show: ([, name]) => number(it[name]) },
], [["Connections opened", "connection_created"], ["Connections closed", "connection_closed"], ["Channels opened", "channel_created"],
  ["Channels closed", "channel_closed"], ["Queues declared", "queue_declared"], ["Queues deleted", "queue_deleted"]]);

async function overview({ query }) {
  const [age, step] = rangeOf(query);
  const range = `lengths_age=${age}&lengths_incr=${step}&msg_rates_age=${age}&msg_rates_incr=${step}`;
  const [it, nodes] = await Promise.all([get(`overview?${range}`), ifAllowed(get("nodes"))]);
  const [totals, stats, objects] = [it.queue_totals ?? {}, it.message_stats ?? {}, it.object_totals ?? {}];
  const length = (name, label) => ({ name: label, now: number(totals[name]), samples: totals[`${name}_details`]?.samples });
  const flow = (name, label) => ({ name: label, now: rate(stats[`${name}_details`]), samples: stats[`${name}_details`]?.samples });
  const count = (page, label, value) => link(page, card(label, number(value)), { class: "plain" });
  const [first] = nodes ?? [];
  return [
    heading(t("Overview"), h("span", { class: "dim" }, it.cluster_name, first && ` · ${t("running for {time}", { time: duration(first.uptime) })}`, it.leveret_version && ` · Leveret ${it.leveret_version}`)),
    cards(card("Ready", number(totals.messages_ready)), card("Unacknowledged", number(totals.messages_unacknowledged)),
      card("Published", rate(stats.publish_details)), card("Delivered", rate(stats.deliver_get_details)),
      count("connections", "Connections", objects.connections), count("channels", "Channels", objects.channels),
      count("queues", "Queues", objects.queues), card("Consumers", number(objects.consumers))),
    rangeLinks(age),
    h("div", { class: "grid" },
      chart("Messages in queues", [length("messages_ready", "Ready"), length("messages_unacknowledged", "Unacknowledged"), length("messages", "Total")]),
      chart("Messages per second", [flow("publish", "Published"), flow("deliver_get", "Delivered"), flow("ack", "Acknowledged")], { perSecond: true })),
    first && section("Machine", node(first)),
    h("div", { class: "grid" },
      section("Coming and going", churn(it.churn_rates ?? {})),
      section("Listening on", table([
        { label: "Protocol", show: (l) => l.protocol }, { label: "Address", show: (l) => l.ip_address }, { label: "Port", number: true, show: (l) => l.port },
      ], it.listeners ?? []))),
  ];
}

/** What holds up publishers now, for the line above every page. */
export async function alarms() {
  const [node] = (await ifAllowed(get("nodes?columns=mem_alarm,disk_free_alarm"))) ?? [];
  return [node?.mem_alarm && t("Memory alarm: publishers are held up until consumers have made room."),
    node?.disk_free_alarm && t("Disk alarm: publishers are held up until the disk has room again.")].filter(Boolean);
}

/** Queues that hold messages, with what the doctor says of each. */
async function doctor({ vhost }) {
  const path = vhost ? `queues/${q(vhost)}` : "queues";
  const found = await get(`${path}?page=1&page_size=20&sort=messages&sort_reverse=true&columns=name,vhost,messages,messages_ready,messages_unacknowledged,consumers`);
  const held = found.items.filter((it) => it.messages > 0);
  const told = await Promise.all(held.map((it) => ifAllowed(get(`doctor/${q(it.vhost)}/${q(it.name)}`)).catch(() => null)));
  return [
    heading(t("Doctor"), h("span", { class: "dim" }, t("the fullest queues, and why they do not move"))),
    held.length === 0 && h("p", { class: "good" }, t("No queue holds messages.")),
    held.map((it, at) => h("section", { class: "patient", "data-key": `${it.vhost}/${it.name}` },
      h("h2", {}, link(`queue/${q(it.vhost)}/${q(it.name)}`, it.name), h("span", { class: "dim" }, ` ${it.vhost} · `, t("{count} messages", { count: number(it.messages) }))),
      findings(told[at]))),
  ];
}

/** What the doctor found, with the commands that help. */
export const findings = (told) => told && h("ul", { class: "findings" }, told.findings.map((it) => h("li", { class: it.code },
  it.sentence, it.remedy && h("code", {}, it.remedy))));

export const overviewPages = { overview, doctor };
