// Two pages that show ways: the map of exchanges, bindings and queues, and where one message would go.
import { api, attempt, field, form, h, json, q, rate, t, xq } from "./lib.js";

/** More would be no map. */
const SHOWN_MAX = 80;

async function topology() {
  // Of each the busiest five hundred: a broker may have a hundred thousand. Implicit bindings have no source and come last.
  const some = (path, sort, columns) => api(`${path}?page=1&page_size=500&sort=${sort}&sort_reverse=true&columns=${columns}`).then((it) => it.items);
  const [exchanges, queues, bindings] = await Promise.all([
    some("exchanges", "message_stats.publish_in_details.rate", "name,vhost,type,message_stats"),
    some("queues", "message_stats.publish_details.rate", "name,vhost,messages,message_stats"),
    some("bindings", "source", "source,vhost,destination,destination_type,routing_key"),
  ]);
  const key = (kind, vhost, name) => `${kind}/${vhost}/${name}`;
  const explicit = bindings.filter((it) => it.source !== "");
  const used = new Set(explicit.flatMap((it) => [key("exchange", it.vhost, it.source), key(it.destination_type, it.vhost, it.destination)]));
  const left = exchanges.filter((it) => used.has(key("exchange", it.vhost, it.name))).slice(0, SHOWN_MAX);
  const right = [...queues].sort((a, b) => used.has(key("queue", b.vhost, b.name)) - used.has(key("queue", a.vhost, a.name))).slice(0, SHOWN_MAX);
  const [row, width] = [44, 900];
  const at = new Map();
  left.forEach((it, index) => at.set(key("exchange", it.vhost, it.name), { x: 20, y: 20 + index * row }));
  right.forEach((it, index) => at.set(key("queue", it.vhost, it.name), { x: 600, y: 20 + index * row }));
  const box = (it, kind, { x, y }) => {
    const flow = it.message_stats?.[kind === "queue" ? "publish_details" : "publish_in_details"];
    const note = kind === "queue" ? `${it.messages} · ${rate(flow)}` : `${it.type} · ${rate(flow)}`;
    const open = () => { location.hash = kind === "queue" ? `#/queue/${q(it.vhost)}/${q(it.name)}` : `#/exchange/${q(it.vhost)}/${xq(it.name)}`; };
    return h("g", { tabindex: 0, role: "link", onclick: open, onkeydown: (event) => event.key === "Enter" && open() },
      h("title", {}, `${it.vhost} ${it.name}`),
      h("rect", { class: kind, x, y, width: 280, height: 34, rx: 6 }),
      h("text", { x: x + 8, y: y + 15 }, it.name.length > 36 ? `${it.name.slice(0, 35)}…` : it.name),
      h("text", { class: "faint", x: x + 8, y: y + 29 }, note));
  };
  const busy = (it) => (exchanges.find((x) => x.vhost === it.vhost && x.name === it.source)?.message_stats?.publish_out_details?.rate ?? 0) > 0;
  const lines = explicit.map((it) => {
    const [from, to] = [at.get(key("exchange", it.vhost, it.source)), at.get(key(it.destination_type, it.vhost, it.destination))];
    if (!from || !to) return [];
    const [x1, y1, y2] = [from.x + 280, from.y + 17, to.y + 17];
    const [x2, bend] = it.destination_type === "exchange" ? [to.x + 280, 120] : [to.x, 0];
    return h("path", { class: busy(it) ? "busy" : undefined, d: bend ? `M${x1} ${y1} C${x1 + bend} ${y1},${x2 + bend} ${y2},${x2} ${y2}` : `M${x1} ${y1} C${x1 + 150} ${y1},${x2 - 150} ${y2},${x2} ${y2}` },
      h("title", {}, `${it.source} → ${it.destination}: ${it.routing_key}`));
  });
  const height = 40 + Math.max(left.length, right.length, 1) * row;
  return [
    h("h1", {}, t("Topology")), h("p", { class: "dim" }, t("Live rates: thick lines carry messages now.")),
    h("svg", { class: "map", viewBox: `0 0 ${width} ${height}` }, lines, left.map((it) => box(it, "exchange", at.get(key("exchange", it.vhost, it.name)))), right.map((it) => box(it, "queue", at.get(key("queue", it.vhost, it.name))))),
  ];
}

async function route() {
  const vhosts = (await api("vhosts?columns=name")).map((it) => it.name);
  const answer = h("div", { "aria-live": "polite" });
  const hop = (it) => h("section", {}, h("h2", {}, `${it.exchange || "(default)"} · ${it.type}`),
    h("ul", {}, it.bindings.map((b) => h("li", { class: b.matches ? "good" : "dim" }, `${b.matches ? "✓" : "✗"} ${b.destination}: ${b.reason}`)),
      it.alternate && h("li", {}, `→ ${it.alternate.exchange}: ${it.alternate.reason}`), it.reason && h("li", { class: "bad" }, it.reason)));
  const ask = form([
    field("Virtual host", "vhost", { options: vhosts }), field("Exchange", "exchange"), field("Routing key", "routing_key"), field("Headers (JSON)", "headers"),
  ], "Ask", (it) => attempt(async () => {
    const told = await api(`explain/${q(it.vhost)}/${xq(it.exchange)}`, { method: "POST", body: { routing_key: it.routing_key, headers: json(it.headers) } });
    const end = told.routed ? `${t("It goes to")}: ${told.queues.join(", ")}` : t("It reaches no queue.");
    answer.replaceChildren(h("p", { class: told.routed ? "good" : "bad" }, end), ...told.hops.map(hop));
  }), "main");
  return [h("h1", {}, t("Where would this message go?")), ask, answer];
}

export const maps = { topology, route };
