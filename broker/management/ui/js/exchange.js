// One exchange.
import { get, q, remove } from "./api.js";
import { bindFrom, bindingsSection } from "./bindings.js";
import { chart } from "./chart.js";
import { h } from "./dom.js";
import { pretty, rate } from "./format.js";
import { t } from "./lang.js";
import { publishFold } from "./messages.js";
import { danger, facts, features, heading, link, tag } from "./widgets.js";

async function exchange({ parts: [vhost, name], again }) {
  const path = `exchanges/${q(vhost)}/${q(name)}`;
  const [it, from, to] = await Promise.all([get(`${path}?msg_rates_age=60&msg_rates_incr=5`), get(`${path}/bindings/source`), get(`${path}/bindings/destination`)]);
  const flow = (field, label) => ({ name: label, now: rate(it.message_stats?.[`${field}_details`]), samples: it.message_stats?.[`${field}_details`]?.samples });
  const isOurs = it.name !== "" && !it.name.startsWith("amq.");
  const drop = async () => { await remove(path); location.hash = "#/exchanges"; };
  return [
    heading(it.name || t("(default exchange)"), tag(it.type), features(it), h("span", { class: "dim" }, it.vhost),
      h("div", { class: "tools" }, h("a", { class: "act", href: `#/route?vhost=${q(vhost)}&exchange=${q(it.name)}` }, t("Where does a message go?")),
        isOurs && danger("Delete", t("Delete the exchange {name} with its {count} bindings?", { name: it.name, count: from.length + to.length }), drop))),
    h("div", { class: "grid" },
      chart("Messages per second", [flow("publish_in", "Published in"), flow("publish_out", "To queues")], { perSecond: true }),
      facts([["Type", it.type], ["Virtual host", it.vhost], ["Durable", it.durable ? t("yes") : t("no")], ["Auto-delete", it.auto_delete ? t("yes") : t("no")], ["Internal", it.internal ? t("yes") : t("no")],
        ["Alternate exchange", it.arguments?.["alternate-exchange"] !== undefined && link(`exchange/${q(vhost)}/${q(it.arguments["alternate-exchange"])}`, it.arguments["alternate-exchange"]) || ""], ["Policy", it.policy], ["Arguments", pretty(it.arguments)]])),
    publishFold(vhost, it.name, undefined, again),
    it.name === ""
      ? h("p", { class: "dim" }, t("Every queue is bound to it with its own name; these bindings cannot be changed."))
      : bindingsSection("exchange", it.name, vhost, to, from, bindFrom(vhost, it.name, again), again),
  ];
}

export const exchangePages = { exchange };
