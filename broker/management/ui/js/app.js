// The frame around the pages: login, the bar, which page, and when it is drawn again.
import { api, attempt, currentLanguage, field, form, h, languages, Refused, session, setLanguage, t } from "./lib.js";
import { pages } from "./pages.js";
import { admin } from "./admin.js";
import { maps } from "./maps.js";

const routes = { ...pages, ...admin, ...maps };
const tabs = ["overview", "connections", "channels", "exchanges", "queues", "streams", "bindings", "topology", "route", "search", "admin"];
const names = { overview: "Overview", connections: "Connections", channels: "Channels", exchanges: "Exchanges", queues: "Queues", streams: "Streams",
  bindings: "Bindings", topology: "Topology", route: "Route", search: "Search", admin: "Admin" };
const intervals = [1, 5, 10, 30, 0];

let who = null;
let timer = 0;
let interval = Number(sessionStorage.getItem("interval") ?? 5);
let drawing = 0;

const main = () => document.getElementById("main");

function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
  return { page: parts[0] || "overview", parts: parts.slice(1), query: new URLSearchParams(query) };
}

function bar() {
  const { page } = place();
  const current = page.replace(/^(.*?)s?$/, (_, name) => names[`${name}s`] ? `${name}s` : name);
  document.getElementById("bar").replaceChildren(
    h("span", { class: "name" }, "Leveret"),
    who ? h("nav", { "aria-label": "pages" }, tabs.map((tab) => h("a", { href: `#/${tab}`, "aria-current": tab === current ? "page" : undefined }, t(names[tab])))) : h("span"),
    who && h("label", {}, t("refresh"), h("select", {
      onchange: (event) => { interval = Number(event.target.value); sessionStorage.setItem("interval", interval); draw(); }, value: interval,
    }, intervals.map((seconds) => h("option", { value: seconds, selected: seconds === interval }, seconds ? `${seconds} s` : t("paused"))))),
    h("select", { "aria-label": "language", onchange: (event) => { setLanguage(event.target.value); draw(true); } },
      Object.entries(languages).map(([code, name]) => h("option", { value: code, selected: code === currentLanguage() }, name))),
    who && h("span", { class: "dim" }, who.name),
    who && h("button", { class: "act", onclick: () => { session.clear(); who = null; draw(true); } }, t("Log out")));
}

function login(message) {
  const fields = [field("User", "user", { required: true }), field("Password", "password", { type: "password" })];
  const box = form(fields, "Log in", async ({ user, password }) => {
    session.set(user, password);
    draw(true);
  }, "main");
  box.id = "login";
  box.prepend(h("h1", {}, "Leveret"));
  if (message) box.append(h("p", { class: "bad", role: "alert" }, message));
  main().replaceChildren(box);
  box.querySelector("input").focus();
}

/** Whether the user is in the middle of something that drawing again would destroy. */
function isBusy() {
  if (main().querySelector("details[open]")) return true;
  const at = document.activeElement;
  if (at && main().contains(at) && ["INPUT", "TEXTAREA", "SELECT"].includes(at.tagName)) return true;
  return [...main().querySelectorAll("input, textarea")].some((input) => input.dataset.keep === undefined && input.type !== "checkbox" && input.value !== input.defaultValue && input.value !== "");
}

async function draw(whole = false) {
  clearTimeout(timer);
  const mine = ++drawing;
  try {
    if (!session.login) { who = null; bar(); return login(); }
    if (!who) who = await api("whoami");
    bar();
    const { page, parts, query } = place();
    const show = routes[page] ?? routes.overview;
    if (whole || !isBusy()) {
      const content = await show({ parts, query, who, again: () => draw(true) });
      if (mine !== drawing) return;
      const scroll = window.scrollY;
      main().replaceChildren(...[content].flat());
      window.scrollTo(0, scroll);
    }
  } catch (error) {
    if (error instanceof Refused && error.status === 401 && !who) {
      session.clear();
      bar();
      return login(t("Wrong user or password."));
    }
    if (mine === drawing) main().replaceChildren(h("h1", {}, t(names[place().page] ?? place().page)), h("p", { class: "bad", role: "alert" }, error.message));
  }
  if (interval && mine === drawing) timer = setTimeout(() => document.hidden ? draw() : draw(), interval * 1000);
}

window.addEventListener("hashchange", () => { draw(true).then(() => main().focus({ preventScroll: true })); window.scrollTo(0, 0); });
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); location.hash = "#/search"; }
  const at = Number(event.key);
  if (at >= 1 && at <= tabs.length) location.hash = `#/${tabs[at - 1]}`;
});
setLanguage(currentLanguage());
attempt(() => draw(true));
