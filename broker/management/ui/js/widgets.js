// Pieces that pages are made of: cards, tables, forms, dialogs, notes.
import { Refused } from "./api.js";
import { h } from "./dom.js";
import { t } from "./lang.js";

// ---- notes

export function toast(text, kind = "") {
  const note = h("div", { class: kind }, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), kind === "bad" ? 12000 : 5000);
}

/** Does something and says how it went. Answers whether it went well. */
export async function attempt(action, done) {
  try {
    await action();
    if (done) toast(done);
    return true;
  } catch (error) {
    toast(error.message, "bad");
    return false;
  }
}

/** What is in the way of showing something, as null: what the user may not see is left out. */
export const ifAllowed = (promise) => promise.catch((error) => {
  if (error instanceof Refused && [401, 403].includes(error.status)) return null;
  throw error;
});

// ---- small pieces

export const link = (to, text, attributes = {}) => h("a", { href: `#/${to}`, ...attributes }, text === "" ? t("(default exchange)") : text);
export const tag = (text, title) => h("span", { class: "tag", title }, text);
export const card = (label, value, kind = "") => h("div", { class: `card ${kind}` }, h("span", {}, t(label)), h("b", {}, value));
export const cards = (...all) => h("div", { class: "cards" }, all);
export const heading = (title, ...beside) => h("div", { class: "heading" }, h("h1", {}, title), beside);
export const section = (title, ...content) => h("section", {}, h("h2", {}, t(title)), content);
export const button = (label, onclick, kind = "") => h("button", { type: "button", class: `act ${kind}`, onclick }, t(label));

/** What a queue or an exchange is, in small signs with their meaning as their title. */
export const features = (it) => [
  it.durable === false && tag("T", t("transient: gone after a restart")), it.auto_delete && tag("AD", t("deleted when nobody uses it")),
  it.exclusive && tag("Excl", t("belongs to one connection")), it.internal && tag("I", t("internal: clients cannot publish to it")),
  it.arguments?.["x-single-active-consumer"] && tag("SAC", t("single active consumer")),
  it.arguments?.["x-dead-letter-exchange"] !== undefined && tag("DLX", `x-dead-letter-exchange: ${it.arguments["x-dead-letter-exchange"]}`),
  it.arguments?.["x-message-ttl"] !== undefined && tag("TTL", `x-message-ttl: ${it.arguments["x-message-ttl"]}`),
  it.policy && tag(it.policy, t("policy")), it.operator_policy && tag(it.operator_policy, t("operator policy")),
];

/** A share as a bar, e.g. of memory; without a limit only the text. */
export const gauge = (label, used, limit, text, alarm = false) => h("div", { class: `gauge ${alarm ? "bad" : ""}` },
  h("span", {}, t(label)), h("b", {}, text), limit !== undefined && h("progress", { max: limit > 0 ? limit : 1, value: Math.min(used ?? 0, limit), "aria-label": t(label) }));

// ---- tables

/** Columns are {label, show, number, by}; `by` is what the broker sorts by. Rows keep their place by `key`. */
export function table(columns, rows, { sort, onsort, key, empty = "nothing here" } = {}) {
  const head = columns.map(({ label, by, number, hint }) => {
    const kind = number ? "number" : undefined;
    if (!by || !onsort) return h("th", { scope: "col", class: kind, title: hint && t(hint) }, t(label));
    const order = sort?.by === by ? (sort.down ? "descending" : "ascending") : "none";
    return h("th", { scope: "col", class: kind, "aria-sort": order }, h("button", { type: "button", onclick: () => onsort(by) }, t(label)));
  });
  const cell = ({ number, label, show }, row) => h("td", { class: number ? "number" : undefined, "data-label": t(label) }, show(row));
  const body = rows.map((row) => h("tr", { "data-key": key?.(row) }, columns.map((column) => cell(column, row))));
  const nothing = h("tr", {}, h("td", { colspan: columns.length, class: "dim" }, t(empty)));
  return h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows.length ? body : nothing)));
}

/** Names and values. */
export const facts = (pairs) => h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== undefined && value !== null && value !== false && value !== "")
  .map(([name, value]) => h("div", {}, h("dt", {}, t(name)), h("dd", {}, typeof value === "object" && !(value instanceof Node) && !Array.isArray(value) ? JSON.stringify(value) : value))));

// ---- forms

/** An input with its label. `options` are texts or [value, label]. */
export function field(label, name, { type = "text", value = "", required, options, checked, hint, list, min, placeholder, rows } = {}) {
  const note = hint && h("small", {}, t(hint));
  if (type === "checkbox") return h("label", { class: "check" }, h("input", { type, name, checked }), t(label), note);
  if (options) {
    const all = options.map((it) => (Array.isArray(it) ? it : [it, it]));
    return h("label", {}, t(label), h("select", { name, value: value === "" ? undefined : value }, all.map(([key, text]) => h("option", { value: key }, text))), note);
  }
  if (type === "textarea") return h("label", { class: "broad" }, t(label), h("textarea", { name, value, rows, spellcheck: "false", placeholder }), note);
  const choices = list && h("datalist", { id: `choices-${name}` }, list.map((it) => h("option", { value: it })));
  const input = h("input", { type, name, value, required, min, placeholder, list: list && `choices-${name}`, autocomplete: type === "password" ? "new-password" : "off", spellcheck: "false" });
  return h("label", {}, t(label), input, choices, note);
}

function valuesOf(element) {
  const values = {};
  for (const input of element.elements) if (input.name) values[input.name] = input.type === "checkbox" ? input.checked : input.value;
  return values;
}

/** A form that hands its values over as an object, and shows what was wrong with them. */
export function form(fields, label, submit, { kind = "main", more = [] } = {}) {
  const onsubmit = async (event) => {
    event.preventDefault();
    const element = event.currentTarget;
    const [note, send] = [element.querySelector(".problem"), element.querySelector("button[type=submit]")];
    note.textContent = "";
    send.disabled = true;
    try { await submit(valuesOf(element), element); } catch (error) { note.textContent = error.message; }
    send.disabled = false;
  };
  return h("form", { onsubmit }, fields, h("div", { class: "buttons" }, h("button", { type: "submit", class: `act ${kind}` }, t(label)), more),
    h("p", { class: "problem bad", role: "alert", "data-own": true }));
}

/** A text as JSON; an empty one is an empty object. */
export function json(text) {
  if (!text?.trim()) return {};
  let value;
  try { value = JSON.parse(text); } catch (error) { throw new Error(t("This is no JSON: {why}", { why: error.message })); }
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error(t("A JSON object is wanted, such as {example}", { example: '{"key": "value"}' }));
  return value;
}

// ---- dialogs

function dialog(title, ...content) {
  const box = h("dialog", { onclose: () => box.remove(), "aria-label": title }, h("h2", {}, title), content);
  document.body.append(box);
  box.showModal();
  return box;
}

/** A button that opens a form; it closes when `submit` went well. `fields` is called when it opens. */
export const opener = (label, fields, submit, { send = "Add", done, kind = "" } = {}) => h("button", {
  type: "button", class: `act ${kind}`, onclick: async () => {
    const ready = await fields().catch((error) => { toast(error.message, "bad"); return null; });
    if (!ready) return;
    const close = () => box.close();
    const box = dialog(t(label), form(ready, send, async (values) => {
      await submit(values);
      box.close();
      toast(done ?? t("done"));
    }, { more: button("Cancel", close) }));
    box.querySelector("input:not([type=checkbox]), select, textarea")?.focus();
  },
}, t(label));

/** A button for what cannot be undone: asks first, with what will be lost in words. */
export const danger = (label, question, action, done) => h("button", {
  type: "button", class: "act danger", onclick: () => {
    const close = () => box.close();
    const yes = async () => { box.close(); await attempt(action, done ?? t("done")); };
    const box = dialog(t(label), h("p", { class: "question" }, question), h("div", { class: "buttons" },
      h("button", { type: "button", class: "act danger full", onclick: yes }, t(label)), h("button", { type: "button", class: "act", onclick: close, autofocus: true }, t("Cancel"))));
  },
}, t(label));

/** A part that opens when asked; it stays as the reader left it. */
export const fold = (title, ...content) => h("details", { class: "fold" }, h("summary", {}, t(title)), h("div", {}, content));
