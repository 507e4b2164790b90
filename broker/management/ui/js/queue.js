// One queue.
import { get, q, remove } from "./api.js";
import { bindTo, bindingsSection } from "./bindings.js";
import { chart } from "./chart.js";
import { consumersTable } from "./connection.js";
import { h } from "./dom.js";
import { ago, bytes, number, pretty, rate } from "./format.js";
import { t } from "./lang.js";
import { messagesFold, moveFold, publishFold } from "./messages.js";
import { findings } from "./overview.js";
import { card, cards, danger, facts, features, heading, ifAllowed, section, tag } from "./widgets.js";

const RANGE = "lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5";

const yes = (value) => (value ? t("yes") : t("no"));

const details = (it) => facts([["Type", it.type], ["Virtual host", it.vhost], ["Durable", yes(it.durable)], ["Auto-delete", yes(it.auto_delete)], ["Exclusive", it.exclusive && (it.owner_pid_details?.name ?? yes(true))],
  ["Policy", it.policy], ["Operator policy", it.operator_policy], ["What the policies ask", pretty(it.effective_policy_definition)], ["Arguments", pretty(it.arguments)],
  ["Bytes ready", bytes(it.message_bytes_ready)], ["Bytes unacknowledged", bytes(it.message_bytes_unacknowledged)], ["Unchanged since", it.idle_since && ago(Date.parse(it.idle_since))]]);

async function queue({ parts: [vhost, name], again }) {
  const path = `queues/${q(vhost)}/${q(name)}`;
  const [it, bound, told] = await Promise.all([get(`${path}?${RANGE}`), get(`${path}/bindings`), ifAllowed(get(`doctor/${q(vhost)}/${q(name)}`))]);
  const length = (field, label) => ({ name: label, now: number(it[field]), samples: it[`${field}_details`]?.samples });
  const flow = (field, label) => ({ name: label, now: rate(it.message_stats?.[`${field}_details`]), samples: it.message_stats?.[`${field}_details`]?.samples });
  const isStream = it.type === "stream";
  const purge = async () => { await remove(`${path}/contents`); again(); };
  const drop = async () => { await remove(path); location.hash = isStream ? "#/streams" : "#/queues"; };
  const question = it.messages > 0 ? t("Delete the queue {name} with its {count} messages? They are lost.", { name, count: number(it.messages) }) : t("Delete the queue {name}? It is empty.", { name });
  return [
    heading(it.name, tag(it.type), features(it), h("span", { class: "dim" }, it.vhost), h("div", { class: "tools" },
      !isStream && danger("Purge", t("Remove all {count} messages that wait in {name}? They are lost.", { name, count: number(it.messages_ready) }), purge), danger("Delete", question, drop))),
    cards(card("Ready", number(it.messages_ready)), card("Unacknowledged", number(it.messages_unacknowledged)), card("Consumers", number(it.consumers)),
      card("Bytes", bytes(it.message_bytes)), card("Published", rate(it.message_stats?.publish_details)), card("Delivered", rate(it.message_stats?.deliver_get_details))),
    told && section("The doctor says", findings(told)),
    h("div", { class: "grid" },
      chart("Messages", [length("messages_ready", "Ready"), length("messages_unacknowledged", "Unacknowledged"), length("messages", "Total")]),
      chart("Messages per second", [flow("publish", "Published"), flow("deliver_get", "Delivered"), flow("ack", "Acknowledged")], { perSecond: true })),
    h("div", { class: "folds" }, publishFold(vhost, "", it.name, again), !isStream && messagesFold(vhost, it.name, again), !isStream && moveFold(vhost, it.name, it.messages_ready, again)),
    section(isStream ? "Readers" : "Consumers", consumersTable(it.consumer_details)),
    bindingsSection("queue", it.name, vhost, bound, [], bindTo(vhost, it.name, again), again),
    section("Details", details(it)),
  ];
}

export const queuePages = { queue };
