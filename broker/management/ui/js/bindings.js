// The bindings of one exchange or queue: as a picture, as a table, and made and removed.
import { post, q, remove, xq } from "./api.js";
import { h } from "./dom.js";
import { pretty } from "./format.js";
import { t } from "./lang.js";
import { target } from "./lists.js";
import { danger, field, json, link, opener, section, table } from "./widgets.js";

/** More lines would be no picture. */
const DRAWN_MAX = 24;
const [ROW, BOX, WIDTH] = [38, 190, 720];

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function box(kind, x, y, name, to) {
  const open = () => { location.hash = to; };
  const shape = [h("title", {}, name), h("rect", { class: kind, x, y, width: BOX, height: 28, rx: 7 }), h("text", { x: x + 10, y: y + 18.5 }, cut(name || t("(default exchange)"), 25))];
  return to ? h("g", { class: "box", tabindex: 0, role: "link", onclick: open, onkeydown: (event) => event.key === "Enter" && open() }, shape) : h("g", {}, shape);
}

const hashOf = (kind, vhost, name) => (kind === "queue" ? `#/queue/${q(vhost)}/${q(name)}` : `#/exchange/${q(vhost)}/${xq(name)}`);

/** Where messages come from on the left, this in the middle, where they go on the right. */
export function picture(kind, name, vhost, incoming, outgoing) {
  if (incoming.length + outgoing.length === 0) return null;
  const group = (all, of) => [...all.reduce((map, it) => map.set(of(it), [...(map.get(of(it)) ?? []), it]), new Map())].slice(0, DRAWN_MAX);
  const left = group(incoming, (it) => it.source);
  const right = group(outgoing, (it) => `${it.destination_type}/${it.destination}`);
  const rows = Math.max(left.length, right.length, 1);
  const height = rows * ROW + 10;
  const at = (index, count) => 5 + (index + (rows - count) / 2) * ROW;
  const [middleX, middleY] = [(WIDTH - BOX) / 2, at(0, 1)];
  const curve = (x1, y1, x2, y2) => h("path", { d: `M${x1} ${y1} C${x1 + 40} ${y1},${x2 - 40} ${y2},${x2} ${y2}` });
  const words = (all) => cut(all.map((it) => it.routing_key || pretty(it.arguments)).filter(Boolean).join(", "), 14);
  const note = (x, y, all) => h("text", { class: "faint", x, y, "text-anchor": "middle" }, h("title", {}, all.map((it) => it.routing_key).join("\n")), words(all));
  return h("svg", { class: "picture", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": t("the bindings as a picture") },
    left.map(([, all], index) => [curve(BOX, at(index, left.length) + 14, middleX, middleY + 14), note((BOX + middleX) / 2, at(index, left.length) + 10, all)]),
    right.map(([, all], index) => [curve(middleX + BOX, middleY + 14, WIDTH - BOX, at(index, right.length) + 14), note((middleX + BOX + WIDTH - BOX) / 2, at(index, right.length) + 10, all)]),
    left.map(([source], index) => box("exchange", 0, at(index, left.length), source, hashOf("exchange", vhost, source))),
    right.map(([, [it]], index) => box(it.destination_type, WIDTH - BOX, at(index, right.length), it.destination, hashOf(it.destination_type, vhost, it.destination))),
    box(`${kind} here`, middleX, middleY, name));
}

const path = (it) => `bindings/${q(it.vhost)}/e/${xq(it.source)}/${it.destination_type[0]}/${q(it.destination)}`;

/** All of them, each with a button that removes it. The default exchange's cannot be removed. */
export const bindingsTable = (all, again) => table([
  { label: "From exchange", show: (it) => link(`exchange/${q(it.vhost)}/${xq(it.source)}`, it.source) }, { label: "Routing key", show: (it) => h("code", {}, it.routing_key) },
  { label: "To", show: target }, { label: "Arguments", show: (it) => h("code", {}, pretty(it.arguments)) },
  { label: "", show: (it) => it.source !== "" && danger("Unbind", t("Remove the binding of {source} to {destination} with the key “{key}”?", { source: it.source, destination: it.destination, key: it.routing_key }),
    async () => { await remove(`${path(it)}/${q(it.properties_key)}`); again(); }) },
], all, { key: (it) => `${it.source}/${it.destination_type}/${it.destination}/${it.properties_key}` });

const keyFields = () => [field("Routing key", "routing_key"), field("Arguments (JSON)", "arguments", { type: "textarea", rows: 2, placeholder: '{"x-match": "all", "format": "pdf"}' })];
const bind = async (it, values, again) => { await post(path(it), { routing_key: values.routing_key, arguments: json(values.arguments) }); again(); };

/** A button that binds something to this exchange. */
export const bindFrom = (vhost, source, again) => opener("Add a binding", async () => [
  field("To", "kind", { options: [["queue", t("Queue")], ["exchange", t("Exchange")]] }), field("Name", "destination", { required: true }), keyFields(),
], (it) => bind({ vhost, source, destination_type: it.kind, destination: it.destination }, it, again));

/** A button that binds this queue to something. */
export const bindTo = (vhost, destination, again) => opener("Add a binding", async () => [field("From exchange", "source", { required: true }), keyFields()],
  (it) => bind({ vhost, source: it.source, destination_type: "queue", destination }, it, again));

/** The part of a page with all that. */
export const bindingsSection = (kind, name, vhost, incoming, outgoing, add, again) => section("Bindings",
  picture(kind, name, vhost, incoming, outgoing), bindingsTable([...incoming, ...outgoing], again), h("div", { class: "tools" }, add));
