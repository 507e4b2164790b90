// The map: exchanges, bindings and queues with live rates.
//
// Exchanges stand in columns by how far they are from where messages come in, queues in the last one. Within a column the
// order follows the neighbours' (the barycentre of Sugiyama's method), which spares most crossings.
import { get, q, xq } from "./api.js";
import { h } from "./dom.js";
import { number, rate } from "./format.js";
import { t } from "./lang.js";
import { heading } from "./widgets.js";

/** More would be no map. */
const SHOWN_MAX = 60;
/** Exchange to exchange to exchange: what is behind that stands in the same column. */
const COLUMNS_MAX = 4;
const SWEEPS = 4;
const [ROW, BOX, HIGH, GAP] = [54, 210, 40, 150];

const keyOf = (kind, vhost, name) => `${kind}/${vhost}/${name}`;

async function fetchAll(vhost) {
  const path = (kind) => (vhost ? `${kind}/${q(vhost)}` : kind);
  // Of each the busiest five hundred: a broker may have a hundred thousand. Implicit bindings have no source and come last.
  const some = (kind, sort, columns) => get(`${path(kind)}?page=1&page_size=500&sort=${sort}&sort_reverse=true&columns=${columns}`);
  const [exchanges, queues, bindings] = await Promise.all([
    some("exchanges", "message_stats.publish_in_details.rate", "name,vhost,type,message_stats"),
    some("queues", "messages", "name,vhost,messages,consumers,message_stats"),
    some("bindings", "source", "source,vhost,destination,destination_type,routing_key"),
  ]);
  return { exchanges: exchanges.items, queues: queues.items, bindings: bindings.items, total: queues.total_count };
}

/** The column of each exchange: one more than the furthest exchange that leads to it. */
function depths(lines) {
  const depth = new Map();
  for (let round = 0; round < COLUMNS_MAX; round += 1) {
    for (const { from, to, isQueue } of lines) if (!isQueue) depth.set(to, Math.min(COLUMNS_MAX - 1, Math.max(depth.get(to) ?? 0, (depth.get(from) ?? 0) + 1)));
  }
  return depth;
}

/** Orders columns of keys so that lines cross little. */
function order(columns, lines) {
  const place = new Map();
  const number_ = (column) => column.forEach((key, index) => place.set(key, index));
  columns.forEach(number_);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    for (const column of sweep % 2 ? [...columns].reverse() : columns) {
      const middle = (key) => {
        const near = lines.flatMap(({ from, to }) => (from === key ? [place.get(to)] : to === key ? [place.get(from)] : [])).filter((it) => it !== undefined);
        return near.length ? near.reduce((a, b) => a + b, 0) / near.length : place.get(key);
      };
      const middles = new Map(column.map((key) => [key, middle(key)]));
      column.sort((a, b) => middles.get(a) - middles.get(b));
      number_(column);
    }
  }
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** Thicker for more: a line of a hundred thousand a second is not a thousand times one of a hundred. */
const thickness = (perSecond) => (perSecond > 0 ? (1.5 + Math.log10(1 + perSecond)).toFixed(1) : "1");

function draw(nodes, columns, lines) {
  const tallest = Math.max(...columns.map((column) => column.length), 1);
  const height = tallest * ROW + 10;
  const width = columns.length * BOX + (columns.length - 1) * GAP + 4;
  const at = new Map();
  columns.forEach((column, x) => column.forEach((key, index) => at.set(key, { x: 2 + x * (BOX + GAP), y: 5 + (index + (tallest - column.length) / 2) * ROW })));
  const highlight = (key) => (event) => {
    const map = event.currentTarget.closest("svg");
    map.classList.toggle("picked", event.type === "pointerenter");
    for (const line of map.querySelectorAll("path")) line.classList.toggle("lit", line.dataset.from === key || line.dataset.to === key);
  };
  const paths = lines.map(({ from, to, key, speed }) => {
    const [a, b] = [at.get(from), at.get(to)];
    if (!a || !b) return [];
    const [x1, y1, x2, y2] = [a.x + BOX, a.y + HIGH / 2, b.x, b.y + HIGH / 2];
    const bend = Math.max(40, Math.abs(x2 - x1) / 2);
    return h("path", { class: speed > 0 ? "busy" : "", "data-key": `${from} ${to} ${key}`, "data-from": from, "data-to": to, "stroke-width": thickness(speed), d: `M${x1} ${y1} C${x1 + bend} ${y1},${x2 - bend} ${y2},${x2} ${y2}` },
      h("title", {}, `${from.split("/").slice(2).join("/")} → ${to.split("/").slice(2).join("/")}\n${key}`));
  });
  const boxes = columns.flat().map((key) => {
    const { kind, it } = nodes.get(key);
    const { x, y } = at.get(key);
    const open = () => { location.hash = kind === "queue" ? `#/queue/${q(it.vhost)}/${q(it.name)}` : `#/exchange/${q(it.vhost)}/${xq(it.name)}`; };
    const note = kind === "queue" ? `${t("{count} messages", { count: number(it.messages) })} · ${rate(it.message_stats?.publish_details)}` : `${it.type} · ${rate(it.message_stats?.publish_in_details)}`;
    return h("g", { class: "box", "data-key": `box ${key}`, tabindex: 0, role: "link", onclick: open, onkeydown: (event) => event.key === "Enter" && open(), onpointerenter: highlight(key), onpointerleave: highlight(key) },
      h("title", {}, `${it.vhost} ${it.name}`), h("rect", { class: `${kind}${kind === "queue" && it.messages > 0 && it.consumers === 0 ? " stuck" : ""}`, x, y, width: BOX, height: HIGH, rx: 8 }),
      h("text", { x: x + 12, y: y + 17 }, cut(it.name || t("(default exchange)"), 27)), h("text", { class: "faint", x: x + 12, y: y + 32 }, note));
  });
  return h("div", { class: "wide map-frame" }, h("svg", { class: "map", viewBox: `0 0 ${width} ${height}`, width, height }, paths, boxes));
}

async function topology({ vhost }) {
  const { exchanges, queues, bindings, total } = await fetchAll(vhost);
  const speeds = new Map(queues.map((it) => [keyOf("queue", it.vhost, it.name), it.message_stats?.publish_details?.rate ?? 0]));
  for (const it of exchanges) speeds.set(keyOf("exchange", it.vhost, it.name), it.message_stats?.publish_in_details?.rate ?? 0);
  const lines = bindings.filter((it) => it.source !== "").map((it) => {
    const [from, to] = [keyOf("exchange", it.vhost, it.source), keyOf(it.destination_type, it.vhost, it.destination)];
    // What a single binding carries is not counted: it is at most what both of its ends do.
    return { from, to, key: it.routing_key, isQueue: it.destination_type === "queue", speed: Math.min(speeds.get(from) ?? 0, speeds.get(to) ?? 0) };
  });
  const used = new Set(lines.flatMap(({ from, to }) => [from, to]));
  const nodes = new Map();
  const keep = (kind, all) => all.map((it) => [keyOf(kind, it.vhost, it.name), { kind, it }]).sort(([a], [b]) => used.has(b) - used.has(a)).slice(0, SHOWN_MAX);
  const shownExchanges = keep("exchange", exchanges.filter((it) => used.has(keyOf("exchange", it.vhost, it.name))));
  const shownQueues = keep("queue", queues);
  for (const [key, node] of [...shownExchanges, ...shownQueues]) nodes.set(key, node);
  const known = lines.filter(({ from, to }) => nodes.has(from) && nodes.has(to));
  const depth = depths(known);
  const count = 1 + Math.max(0, ...shownExchanges.map(([key]) => depth.get(key) ?? 0));
  const columns = Array.from({ length: count }, (_, at) => shownExchanges.map(([key]) => key).filter((key) => (depth.get(key) ?? 0) === at));
  columns.push(shownQueues.map(([key]) => key));
  const all = columns.filter((column) => column.length);
  order(all, known);
  const left = total - shownQueues.length;
  return [
    heading(t("Topology"), h("span", { class: "dim" }, t("Moving lines carry messages now; a red queue has messages and no consumer."))),
    nodes.size ? draw(nodes, all, known) : h("p", { class: "dim" }, t("There are no queues and no bindings yet.")),
    left > 0 && h("p", { class: "dim" }, t("{count} more queues are not drawn: choose a virtual host.", { count: number(left) })),
  ];
}

export const topologyPages = { topology };
