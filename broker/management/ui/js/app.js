// The frame around the pages: login, the bar, which page, and when it is drawn again.
import { adminPages } from "./admin.js";
import { get, q, Refused, session, Unreachable } from "./api.js";
import { connectionPages } from "./connection.js";
import { h, morph, morphChildren } from "./dom.js";
import { exchangePages } from "./exchange.js";
import { currentLanguage, languages, setLanguage, t } from "./lang.js";
import { listPages } from "./lists.js";
import { alarms, overviewPages } from "./overview.js";
import { queuePages } from "./queue.js";
import { routePages } from "./route.js";
import { searchPages } from "./search.js";
import { topologyPages } from "./topology.js";
import { field, form } from "./widgets.js";

const pages = { ...overviewPages, ...listPages, ...connectionPages, ...exchangePages, ...queuePages, ...adminPages, ...topologyPages, ...routePages, ...searchPages };

/** Address, name, and the pages of single objects that belong to it. */
const TABS = [["overview", "Overview"], ["connections", "Connections", "connection"], ["channels", "Channels", "channel"], ["exchanges", "Exchanges", "exchange"], ["queues", "Queues", "queue"],
  ["streams", "Streams"], ["bindings", "Bindings"], ["topology", "Topology"], ["route", "Route"], ["doctor", "Doctor"], ["admin", "Admin", "user"]];
const INTERVALS = [1, 5, 10, 30, 0];
const THEMES = [["", "as the system"], ["light", "light"], ["dark", "dark"]];

const state = { who: null, vhosts: [], vhost: sessionStorage.getItem("vhost") ?? "", interval: Number(sessionStorage.getItem("interval") ?? 5), timer: 0, drawing: 0 };

const main = () => document.getElementById("main");

function place() {
  const here = location.hash.replace(/^#\/?/, "");
  const [path, query = ""] = here.split("?");
  const parts = path.split("/").map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
  const page = Object.hasOwn(pages, parts[0]) ? parts[0] : "overview";
  return { page, path: path || "overview", parts: parts.slice(1), query: new URLSearchParams(query) };
}

// ---- the bar

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  localStorage.setItem("theme", theme);
}

const choice = (label, current, options, onchange) => h("label", {}, h("span", { class: "unseen" }, t(label)), h("select", { title: t(label), value: current, onchange: (event) => onchange(event.target.value) }, options.map(([value, text]) => h("option", { value }, text))));

const find = (event) => { event.preventDefault(); location.hash = `#/search?for=${q(event.currentTarget.querySelector("input").value)}`; };

function logOut() {
  session.clear();
  state.who = null;
  draw();
}

function settings() {
  const { who } = state;
  return h("div", { class: "settings" },
    who && state.vhosts.length > 1 && choice("virtual host", state.vhost, [["", t("all virtual hosts")], ...state.vhosts.map((it) => [it, it])], (value) => { state.vhost = value; sessionStorage.setItem("vhost", value); draw(); }),
    who && choice("refresh", state.interval, INTERVALS.map((it) => [it, it ? t("every {time}", { time: `${it} s` }) : t("paused")]), (value) => { state.interval = Number(value); sessionStorage.setItem("interval", value); draw(); }),
    choice("colours", localStorage.getItem("theme") ?? "", THEMES.map(([value, text]) => [value, t(text)]), setTheme),
    choice("language", currentLanguage(), Object.entries(languages), (value) => { setLanguage(value); draw(); }),
    who && h("span", { class: "who", title: who.tags.join(", ") }, who.name),
    who && h("button", { type: "button", class: "act", onclick: logOut }, t("Log out")));
}

function bar() {
  const { page } = place();
  const tab = ([address, name, single]) => h("a", { href: `#/${address}`, "aria-current": page === address || page === single ? "page" : undefined }, t(name));
  const fresh = h("header", { id: "bar", class: state.who ? "" : "out" },
    h("a", { class: "name", href: "#/overview" }, h("img", { src: "icon.svg", alt: "", width: 26, height: 26 }), "Leveret"),
    state.who && h("form", { role: "search", onsubmit: find }, h("input", { type: "search", name: "for", placeholder: t("Search  /"), "aria-label": t("Search") })),
    settings(),
    state.who && h("nav", { "aria-label": t("Pages") }, TABS.map(tab)));
  morph(document.getElementById("bar"), fresh);
  document.title = state.who ? `${t(TABS.find(([address, , single]) => page === address || page === single)?.[1] ?? "Search")} · Leveret` : "Leveret";
}

async function banner() {
  const texts = state.who ? await alarms().catch(() => []) : [];
  morphChildren(document.getElementById("banner"), h("div", {}, texts.map((it) => h("p", {}, it))));
}

// ---- logging in

function login(message) {
  const submit = async ({ user, password }) => { session.set(user, password); await draw(); };
  const box = form([h("img", { src: "icon.svg", alt: "", width: 56, height: 56 }), h("h1", {}, "Leveret"), field("User", "user", { required: true }), field("Password", "password", { type: "password", required: true }),
    message && h("p", { class: "bad", role: "alert" }, message)], "Log in", submit);
  box.id = "login";
  box.querySelector("[name=user]").autocomplete = "username";
  box.querySelector("[name=password]").autocomplete = "current-password";
  main().replaceChildren(box);
  box.querySelector("input").focus();
}

async function identify() {
  const who = await get("whoami");
  state.vhosts = (await get("vhosts?columns=name")).map((it) => it.name);
  if (!state.vhosts.includes(state.vhost)) state.vhost = "";
  state.who = who;
}

// ---- drawing

function context(here) {
  const stay = (address) => { history.replaceState(null, "", address); draw(); };
  return { parts: here.parts, query: here.query, here: here.path, vhost: state.vhost, who: state.who, again: draw, stay };
}

function problem(error, here) {
  const name = TABS.find(([address, , single]) => here.page === address || here.page === single)?.[1] ?? "Search";
  if (error instanceof Unreachable) return [h("h1", {}, t(name)), h("p", { class: "bad", role: "alert" }, t("The broker does not answer. This page goes on trying."))];
  const text = error instanceof Refused && error.status === 404 ? t("There is no such thing, or no more.") : error.message;
  return [h("h1", {}, t(name)), h("p", { class: "bad", role: "alert" }, text)];
}

/** Draws the page where we are; the newest call wins. */
async function draw() {
  clearTimeout(state.timer);
  const mine = ++state.drawing;
  try {
    if (!session.login) { bar(); banner(); login(); return; }
    if (!state.who) await identify();
  } catch (error) {
    if (error instanceof Refused) {
      session.clear();
      bar();
      login(error.status === 401 ? t("Wrong user or password.") : error.message);
      return;
    }
    show(problem(error, place()), place());
    later(mine);
    return;
  }
  const here = place();
  bar();
  banner();
  const content = await pages[here.page](context(here)).catch((error) => problem(error, here));
  if (mine !== state.drawing) return;
  show(content, here);
  later(mine);
}

function show(content, here) {
  const fresh = h("main", {}, h("div", { class: "page", "data-key": `${here.path} ${currentLanguage()}` }, content));
  morphChildren(main(), fresh);
}

/** Nothing is asked while nobody looks. */
function later(mine) {
  if (state.interval && mine === state.drawing && !document.hidden) state.timer = setTimeout(draw, state.interval * 1000);
}

function onKey(event) {
  if (event.target.closest("input, textarea, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); document.querySelector("#bar input[type=search]")?.focus(); }
  const tab = TABS[(Number(event.key) + 9) % 10];
  if (state.who && /^[0-9]$/.test(event.key) && tab) location.hash = `#/${tab[0]}`;
}

async function onHash() {
  document.querySelectorAll("dialog").forEach((it) => it.close());
  window.scrollTo(0, 0);
  await draw();
  if (state.who && !main().contains(document.activeElement)) main().focus({ preventScroll: true });
}

window.addEventListener("hashchange", onHash);
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(state.timer) : draw()));
document.addEventListener("keydown", onKey);
setLanguage(currentLanguage());
setTheme(localStorage.getItem("theme") ?? "");
draw();
