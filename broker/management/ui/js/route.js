// Where would this message go, and why not there.
import { get, post, q, xq } from "./api.js";
import { h } from "./dom.js";
import { pretty } from "./format.js";
import { t } from "./lang.js";
import { field, form, heading, json, link } from "./widgets.js";

const verdict = (vhost) => (it) => h("li", { class: it.matches ? "takes" : "not" },
  h("span", { class: "sign", "aria-hidden": "true" }, it.matches ? "✓" : "✗"),
  h("div", {}, h("b", {}, it.destination_type === "queue" ? link(`queue/${q(vhost)}/${q(it.destination)}`, it.destination) : [link(`exchange/${q(vhost)}/${xq(it.destination)}`, it.destination), ` (${t("exchange")})`]),
    h("div", {}, h("span", { class: "unseen" }, it.matches ? t("takes it: ") : t("does not take it: ")), it.reason), pretty(it.arguments) && h("code", {}, pretty(it.arguments))));

function hop(vhost, it) {
  const bindings = [...it.bindings].sort((a, b) => b.matches - a.matches);
  return h("section", { class: "hop" }, h("h2", {}, link(`exchange/${q(vhost)}/${xq(it.exchange)}`, it.exchange), h("span", { class: "dim" }, ` ${it.type}`)),
    bindings.length === 0 && h("p", { class: "dim" }, t("It has no bindings.")),
    h("ul", { class: "verdicts" }, bindings.map(verdict(vhost))),
    it.alternate && h("p", {}, "→ ", link(`exchange/${q(vhost)}/${xq(it.alternate.exchange)}`, it.alternate.exchange), `: ${it.alternate.reason}`),
    it.reason && h("p", { class: "bad" }, it.reason));
}

function told(vhost, it) {
  const end = it.routed ? [t("It goes to"), " ", it.queues.map((name, at) => [at > 0 && ", ", link(`queue/${q(vhost)}/${q(name)}`, name)])] : t("It reaches no queue.");
  return [h("p", { class: `verdict ${it.routed ? "good" : "bad"}` }, end), ...it.hops.map((each) => hop(vhost, each))];
}

async function route({ query, vhost: chosen }) {
  const vhosts = (await get("vhosts?columns=name")).map((it) => it.name);
  const vhost = query.get("vhost") ?? chosen ?? vhosts[0];
  const exchanges = (await get(`exchanges/${q(vhost)}?page=1&page_size=500&columns=name`)).items.map((it) => it.name).filter(Boolean);
  const answer = h("div", { "aria-live": "polite", "data-own": true, class: "answer" });
  const ask = async (it, at) => {
    const found = await post(`explain/${q(it.vhost)}/${xq(it.exchange)}`, { routing_key: it.routing_key, headers: json(it.headers) });
    at.parentElement.querySelector(".answer").replaceChildren(...told(it.vhost, found).flat(Infinity).filter(Boolean));
  };
  return [
    heading(t("Where would this message go?"), h("span", { class: "dim" }, t("Nothing is sent: the broker only says what it would do, and why."))),
    form([field("Virtual host", "vhost", { options: vhosts, value: vhost }), field("Exchange", "exchange", { value: query.get("exchange") ?? "", list: exchanges, hint: "empty: the default exchange" }),
      field("Routing key", "routing_key"), field("Headers (JSON)", "headers", { type: "textarea", rows: 2 })], "Ask", ask),
    answer,
  ];
}

export const routePages = { route };
