// Whatever has a text in its name.
import { get, q, xq } from "./api.js";
import { h } from "./dom.js";
import { t } from "./lang.js";
import { heading, ifAllowed, link, table } from "./widgets.js";

const FOUND_MAX = 25;

async function search({ query, who }) {
  const text = query.get("for") ?? "";
  const title = heading(text ? t("Search: {text}", { text }) : t("Search"));
  if (!text) return [title, h("p", { class: "dim" }, t("Type a part of a name into the field at the top; / leads there."))];
  const find = async (kind, path, show) => {
    const found = await ifAllowed(get(`${path}?page=1&page_size=${FOUND_MAX}&name=${q(text)}`));
    return (found?.items ?? []).map((it) => [kind, show(it), it.vhost ?? ""]);
  };
  const plain = async (kind, path, show) => (await ifAllowed(get(path)) ?? []).filter((it) => it.name.toLowerCase().includes(text.toLowerCase())).map((it) => [kind, show(it), it.vhost ?? ""]);
  const mayAdminister = who.tags.includes("administrator");
  const found = (await Promise.all([
    find("Queue", "queues", (it) => link(`queue/${q(it.vhost)}/${q(it.name)}`, it.name)),
    find("Exchange", "exchanges", (it) => link(`exchange/${q(it.vhost)}/${xq(it.name)}`, it.name)),
    find("Connection", "connections", (it) => link(`connection/${q(it.name)}`, it.user_provided_name || it.name)),
    find("Channel", "channels", (it) => link(`channel/${q(it.name)}`, it.name)),
    plain("Policy", "policies", (it) => link("admin/policies", it.name)),
    plain("Virtual host", "vhosts", (it) => (mayAdminister ? link("admin/vhosts", it.name) : it.name)),
    mayAdminister ? plain("User", "users", (it) => link(`user/${q(it.name)}`, it.name)) : [],
  ])).flat();
  return [title, table([{ label: "What", show: ([kind]) => t(kind) }, { label: "Name", show: ([, it]) => it }, { label: "Virtual host", show: ([, , it]) => it }], found, { empty: "nothing has this in its name" })];
}

export const searchPages = { search };
