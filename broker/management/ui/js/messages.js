// Messages themselves: published, looked at, taken, moved.
import { get, post, q, xq } from "./api.js";
import { h } from "./dom.js";
import { bytes, number } from "./format.js";
import { t } from "./lang.js";
import { attempt, field, fold, form, json, tag, toast } from "./widgets.js";

/** Publishes to an exchange; with a `key` to the queue of that name, by the default exchange. */
export const publishFold = (vhost, exchange, key, again) => fold("Publish a message", form([
  key === undefined ? field("Routing key", "routing_key") : [],
  field("Content type", "content_type", { placeholder: "text/plain" }), field("Persistent", "persistent", { type: "checkbox", checked: true }),
  field("Payload", "payload", { type: "textarea", rows: 4 }), field("Headers (JSON)", "headers", { type: "textarea", rows: 2 }),
  field("More properties (JSON)", "properties", { type: "textarea", rows: 2, placeholder: '{"priority": 5, "expiration": "60000"}' }),
], "Publish", async (it) => {
  const properties = { ...(it.content_type ? { content_type: it.content_type } : {}), delivery_mode: it.persistent ? 2 : 1, headers: json(it.headers), ...json(it.properties) };
  const body = { properties, routing_key: key ?? it.routing_key, payload: it.payload, payload_encoding: "string" };
  const { routed } = await post(`exchanges/${q(vhost)}/${xq(exchange)}/publish`, body);
  toast(t(routed ? "published" : "published, but no queue took it"), routed ? "" : "bad");
  again();
}));

/** JSON in lines, anything else as it is. */
function readable(payload) {
  if (!/^\s*[[{]/.test(payload)) return payload;
  try { return JSON.stringify(JSON.parse(payload), null, 2); } catch { return payload; }
}

const shown = (m, at) => h("article", { class: "message" },
  h("header", {}, h("b", {}, `${at + 1}.`), h("span", {}, m.exchange || t("(default exchange)"), " → ", h("code", {}, m.routing_key)), h("span", { class: "dim" }, bytes(m.payload_bytes)),
    m.redelivered && tag(t("redelivered")), m.payload_encoding === "base64" && tag("base64")),
  Object.keys(m.properties).length > 0 && h("p", { class: "properties dim" }, Object.entries(m.properties).map(([name, value]) => h("span", {}, `${name} `, h("code", {}, typeof value === "object" ? JSON.stringify(value) : String(value))))),
  h("pre", {}, readable(m.payload)));

/** Messages with a filter on what is in them. */
function results(messages) {
  const list = h("div", {});
  const fill = (text) => {
    const found = messages.map((m, at) => [m, at]).filter(([m]) => `${m.payload} ${m.routing_key} ${JSON.stringify(m.properties)}`.toLowerCase().includes(text.toLowerCase()));
    list.replaceChildren(...found.map(([m, at]) => shown(m, at)), h("p", { class: "dim" }, found.length ? t("{count} messages", { count: number(found.length) }) : t("no message")));
  };
  fill("");
  return [messages.length > 1 ? h("input", { type: "search", placeholder: t("Filter by content"), "aria-label": t("Filter by content"), oninput: (event) => fill(event.target.value) }) : "", list];
}

const count = (value) => field("How many", "count", { type: "number", value, min: 1 });
const AFTERWARDS = () => [["ack_requeue_true", t("put them back, marked redelivered")], ["ack_requeue_false", t("remove them")], ["reject_requeue_false", t("reject them: dead letters, or gone")]];

/** Looking changes nothing; getting takes, as a client would. */
export function messagesFold(vhost, name, again) {
  const path = `queues/${q(vhost)}/${q(name)}`;
  const box = h("div", { "data-own": true, class: "results", "aria-live": "polite" });
  // The box of the first drawing stays on the page, so answers go to whichever is there.
  const show = (at, messages) => at.closest(".fold").querySelector(".results").replaceChildren(...results(messages));
  const look = form([count(10)], "Look at messages", async (it, at) => show(at, await post(`${path}/peek`, { count: Number(it.count), truncate: 50000 })), { more: h("small", {}, t("nothing changes: they stay as they are")) });
  const take = form([count(1), field("Afterwards", "ackmode", { options: AFTERWARDS() })], "Get messages",
    async (it, at) => { show(at, await post(`${path}/get`, { count: Number(it.count), ackmode: it.ackmode, encoding: "auto" })); again(); }, { kind: "" });
  return fold("Look at messages", look, take, box);
}

/** How many the broker moves in one request: what is shown as progress. */
const MOVED_AT_ONCE = 1000;

/** The broker takes each message only after the other queue has it, so none is lost. */
async function move(vhost, from, to, wanted, progress) {
  let moved = 0;
  while (moved < wanted) {
    const answer = await post(`queues/${q(vhost)}/${q(from)}/move`, { to, count: Math.min(MOVED_AT_ONCE, wanted - moved) });
    moved += answer.moved;
    progress(moved);
    if (answer.refused) throw new Error(t("{to} refuses messages: {moved} were moved", { to, moved: number(moved) }));
    if (answer.moved === 0) break;
  }
  return moved;
}

/** The names of other queues, for whoever types one. */
const names = async (vhost, but) => (await get(`queues/${q(vhost)}?page=1&page_size=500&columns=name`)).items.map((it) => it.name).filter((it) => it !== but);

export function moveFold(vhost, name, ready, again) {
  const choose = async (event) => {
    const list = event.currentTarget.closest("form").querySelector("datalist");
    if (!list.childElementCount) await attempt(async () => list.append(...(await names(vhost, name)).map((it) => h("option", { value: it }))));
  };
  const to = h("label", {}, t("To queue"), h("input", { name: "to", required: true, list: "move-to", autocomplete: "off", onfocus: choose }), h("datalist", { id: "move-to", "data-own": true }));
  return fold("Move messages", form([to, count(Math.max(1, ready))], "Move", async (it, at) => {
    const progress = at.querySelector("output");
    const moved = await move(vhost, name, it.to, Number(it.count), (done) => { progress.textContent = number(done); });
    progress.textContent = "";
    toast(t("{count} messages moved", { count: number(moved) }));
    again();
  }, { more: h("output", { "data-own": true }) }));
}

