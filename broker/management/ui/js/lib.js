// What every page uses: elements, requests, words, numbers. No page writes HTML as text: names come from clients.
import { words } from "./words.js";

const SVG = new Set(["svg", "polyline", "path", "line", "rect", "text", "g", "title"]);

/** An element: attributes, `on...` handlers, children (texts stay texts). */
export function h(tag, attributes = {}, ...children) {
  const element = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else if (name === "checked") element.checked = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== undefined && child !== null && child !== false).map((child) =>
    child instanceof Node ? child : document.createTextNode(String(child))));
  return element;
}

// ---- words

export const languages = { en: "English", zh: "中文" };
let language = localStorage.getItem("language") || (navigator.language.startsWith("zh") ? "zh" : "en");

export function setLanguage(code) {
  language = code;
  localStorage.setItem("language", code);
  document.documentElement.lang = code;
}
export const currentLanguage = () => language;

/** A text in the user's language; the English text is its own key. */
export const t = (text) => (language === "zh" && words[text]) || text;

// ---- requests

const enc = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
export const session = {
  get login() { return sessionStorage.getItem("login"); },
  set(user, password) { sessionStorage.setItem("login", enc(`${user}:${password}`)); },
  clear() { sessionStorage.removeItem("login"); },
};

export class Refused extends Error {
  constructor(status, reason) { super(reason); this.status = status; }
}

/** A request below api/; answers its JSON, or null. */
export async function api(path, { method = "GET", body, headers = {} } = {}) {
  const response = await fetch(`api/${path}`, {
    method, credentials: "omit", cache: "no-store",
    headers: { authorization: `Basic ${session.login}`, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  const json = text ? JSON.parse(text) : null;
  if (!response.ok) throw new Refused(response.status, (json && json.reason) || response.statusText);
  return json;
}

export const q = encodeURIComponent;
/** An exchange's name in a path. */
export const xq = (name) => q(name === "" ? "amq.default" : name);

export function toast(text) {
  const note = h("div", {}, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), 6000);
}

/** Does something and says how it went. */
export async function attempt(action, done) {
  try {
    const result = await action();
    if (done) toast(t(done));
    return result;
  } catch (error) {
    if (error instanceof Refused && error.status === 401 && error.message === "Not_Authorized") throw error;
    toast(error.message);
    return undefined;
  }
}

// ---- numbers

export const number = (value) => (value ?? 0).toLocaleString(language);
export const rate = (details) => `${(details?.rate ?? 0).toLocaleString(language, { maximumFractionDigits: 1 })}/s`;
export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let size = value ?? 0;
  while (size >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
  return `${size.toLocaleString(language, { maximumFractionDigits: 1 })} ${units[unit]}`;
}
export function duration(ms) {
  const s = Math.floor(ms / 1000);
  const [d, hours, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  return d ? `${d} d ${hours} h` : hours ? `${hours} h ${m} m` : m ? `${m} m ${s % 60} s` : `${s} s`;
}

// ---- pieces of pages

export const card = (label, value) => h("div", { class: "card" }, h("b", {}, value), h("span", {}, t(label)));

export function field(label, name, { type = "text", value = "", required, options, checked } = {}) {
  const id = `f-${name}-${Math.random().toString(36).slice(2, 7)}`;
  if (type === "checkbox") return h("label", { class: "check" }, h("input", { type, name, id, checked }), t(label));
  const input = options
    ? h("select", { name, id }, options.map((it) => h("option", { value: it }, it)))
    : type === "textarea" ? h("textarea", { name, id, value }) : h("input", { type, name, id, value, required });
  if (options && value) input.value = value;
  return h("label", { for: id }, t(label), input);
}

/** A form that hands its values over as an object. */
export function form(fields, button, submit, kind = "") {
  return h("form", {
    onsubmit: (event) => {
      event.preventDefault();
      const values = {};
      for (const input of event.target.elements) if (input.name) values[input.name] = input.type === "checkbox" ? input.checked : input.value;
      submit(values, event.target);
    },
  }, fields, h("button", { class: `act ${kind}` }, t(button)));
}

export const danger = (label, question, action) => h("button", {
  class: "act danger", type: "button", onclick: () => { if (confirm(t(question))) action(); },
}, t(label));

/** A text as JSON; an empty one is an empty object. */
export function json(text) {
  if (!text.trim()) return {};
  return JSON.parse(text);
}

/** Lines over time: `series` are lists of {sample, timestamp}, newest first. */
export function chart(series, { perSecond = false, format = number } = {}) {
  const [width, height, left, bottom] = [600, 180, 56, 20];
  const points = series.map(({ samples = [] }) => {
    const list = [...samples].reverse();
    if (!perSecond) return list.map((it) => [it.timestamp, it.sample]);
    return list.slice(1).map((it, at) => [it.timestamp, Math.max(0, (it.sample - list[at].sample) * 1000 / (it.timestamp - list[at].timestamp || 1))]);
  });
  const all = points.flat();
  const top = Math.max(1, ...all.map(([, value]) => value));
  const [from, to] = [Math.min(...all.map(([time]) => time)), Math.max(...all.map(([time]) => time))];
  const x = (time) => left + (to > from ? (time - from) / (to - from) : 1) * (width - left - 6);
  const y = (value) => 8 + (1 - value / top) * (height - bottom - 8);
  const kinds = ["one", "two", "three"];
  return h("div", {},
    h("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": series.map(({ name, now }) => `${t(name)} ${now}`).join(", ") },
      [0, 0.5, 1].map((part) => [
        h("line", { class: "axis", x1: left, x2: width, y1: y(top * part), y2: y(top * part) }),
        h("text", { class: "faint", x: 2, y: y(top * part) + 4 }, format(top * part)),
      ]),
      points.map((line, at) => h("polyline", { class: kinds[at], points: line.map(([time, value]) => `${x(time).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }))),
    h("div", { class: "legend" }, series.map(({ name, now }, at) => h("span", {}, h("i", { class: kinds[at] }), `${t(name)} ${now}`))));
}

/** A table; cells are texts, numbers or elements. */
export function table(columns, rows, { sort, onsort } = {}) {
  const head = columns.map(({ label, by }) => {
    if (!by || !onsort) return h("th", { scope: "col" }, t(label));
    const mark = sort?.by === by ? (sort.down ? " ▾" : " ▴") : "";
    const order = sort?.by === by ? (sort.down ? "descending" : "ascending") : "none";
    return h("th", { scope: "col", "aria-sort": order }, h("button", { onclick: () => onsort(by) }, t(label) + mark));
  });
  const cell = (column, row) => {
    const value = column.show(row);
    return h("td", { class: column.number ? "number" : undefined }, value);
  };
  const body = rows.length
    ? rows.map((row) => h("tr", {}, columns.map((column) => cell(column, row))))
    : h("tr", {}, h("td", { colspan: columns.length, class: "dim" }, t("nothing here")));
  return h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

export const flags = (it) => [it.durable && "D", it.auto_delete && "AD", it.exclusive && "Excl", it.internal && "I", it.policy && `P ${it.policy}`]
  .filter(Boolean).map((flag) => h("span", { class: "tag" }, flag));
