// Users, virtual hosts, policies, limits, definitions: each a page of its own below Admin.
import { get, post, put, q, remove } from "./api.js";
import { h } from "./dom.js";
import { number, pretty } from "./format.js";
import { t } from "./lang.js";
import { attempt, danger, field, form, heading, json, link, opener, section, table, tag } from "./widgets.js";

const TABS = [["users", "Users"], ["vhosts", "Virtual hosts"], ["policies", "Policies"], ["limits", "Limits"], ["definitions", "Definitions"]];

const isAdministrator = (who) => who.tags.includes("administrator");
const mayMakePolicies = (who) => isAdministrator(who) || who.tags.includes("policymaker");

/** Who may not do more sees policies only. */
const tabsOf = (who) => TABS.filter(([name]) => isAdministrator(who) || name === "policies");

const bar = (who, current) => h("nav", { class: "tabs", "aria-label": t("Admin") }, tabsOf(who).map(([name, label]) => link(`admin/${name}`, t(label), { "aria-current": name === current ? "page" : undefined })));

const tags = (all) => all.map((it) => tag(it));
const TAGS_HINT = "administrator, monitoring, policymaker, management";

// ---- users

async function users({ again, who }) {
  const [all, hosts] = await Promise.all([get("users"), get("permissions")]);
  const add = opener("Add a user", async () => [field("Name", "name", { required: true }), field("Password", "password", { type: "password", required: true }),
    field("Tags", "tags", { hint: TAGS_HINT }), field("May use every virtual host", "everywhere", { type: "checkbox", checked: true })],
  async (it) => {
    await put(`users/${q(it.name)}`, { password: it.password, tags: it.tags });
    if (it.everywhere) for (const { name } of await get("vhosts?columns=name")) await put(`permissions/${q(name)}/${q(it.name)}`, { configure: ".*", write: ".*", read: ".*" });
    again();
  }, { kind: "main" });
  return [
    section("Users", table([
      { label: "Name", show: (it) => link(`user/${q(it.name)}`, it.name) }, { label: "Tags", show: (it) => tags(it.tags) },
      { label: "Virtual hosts", show: (it) => hosts.filter((p) => p.user === it.name).map((p) => tag(p.vhost)) },
      { label: "Password", show: (it) => (it.password_hash ? it.hashing_algorithm.replace(/_?(rabbit|leveret)?_?password_hashing_/, "") : t("none: cannot log in with one")) },
      { label: "", show: (it) => it.name !== who.name && danger("Delete", t("Delete the user {name}? Their connections are closed.", { name: it.name }), async () => { await remove(`users/${q(it.name)}`); again(); }) },
    ], all, { key: (it) => it.name }), h("div", { class: "tools" }, add)),
  ];
}

const permissionFields = (it = {}) => [field("Configure", "configure", { value: it.configure ?? ".*", hint: "declare and delete" }), field("Write", "write", { value: it.write ?? ".*", hint: "publish" }), field("Read", "read", { value: it.read ?? ".*", hint: "consume, get, purge" })];

async function user({ parts: [name], again, who }) {
  const path = `users/${q(name)}`;
  const [it, permissions, topics, hosts] = await Promise.all([get(path), get(`${path}/permissions`), get(`${path}/topic-permissions`), get("vhosts?columns=name")]);
  const names = hosts.map((host) => host.name);
  const code = (label, of) => ({ label, show: (p) => h("code", {}, of(p)) });
  const drop = (what, of) => ({ label: "", show: (p) => danger("Clear", t("Take these permissions away?"), async () => { await remove(`${what}/${q(p.vhost)}/${q(name)}${of?.(p) ?? ""}`); again(); }) });
  const save = async (values) => {
    const password = values.password ? { password: values.password } : { password_hash: it.password_hash, hashing_algorithm: it.hashing_algorithm };
    await put(path, { ...password, tags: values.tags });
    again();
  };
  const allow = opener("Set permissions", async () => [field("Virtual host", "vhost", { options: names }), permissionFields()],
    async (p) => { await put(`permissions/${q(p.vhost)}/${q(name)}`, { configure: p.configure, write: p.write, read: p.read }); again(); }, { send: "Set" });
  const allowTopics = opener("Set topic permissions", async () => [field("Virtual host", "vhost", { options: names }), field("Exchange", "exchange", { value: "amq.topic", required: true }), field("Write", "write", { value: ".*" }), field("Read", "read", { value: ".*" })],
    async (p) => { await put(`topic-permissions/${q(p.vhost)}/${q(name)}`, { exchange: p.exchange, write: p.write, read: p.read }); again(); }, { send: "Set" });
  return [
    bar(who, "users"),
    heading(it.name, tags(it.tags), h("div", { class: "tools" }, it.name !== who.name && danger("Delete", t("Delete the user {name}? Their connections are closed.", { name }), async () => { await remove(path); location.hash = "#/admin/users"; }))),
    section("Permissions", table([{ label: "Virtual host", show: (p) => p.vhost }, code("Configure", (p) => p.configure), code("Write", (p) => p.write), code("Read", (p) => p.read), drop("permissions")],
      permissions, { key: (p) => p.vhost, empty: "may use no virtual host" }), h("div", { class: "tools" }, allow)),
    section("Topic permissions", table([{ label: "Virtual host", show: (p) => p.vhost }, { label: "Exchange", show: (p) => p.exchange }, code("Write", (p) => p.write), code("Read", (p) => p.read), drop("topic-permissions", (p) => `/${q(p.exchange)}`)],
      topics, { key: (p) => `${p.vhost}/${p.exchange}`, empty: "none: every routing key is allowed" }), h("div", { class: "tools" }, allowTopics)),
    section("Password and tags", form([field("New password", "password", { type: "password", hint: "empty: stays as it is" }), field("Tags", "tags", { value: it.tags.join(", "), hint: TAGS_HINT })], "Save", save)),
  ];
}

// ---- virtual hosts

async function vhosts({ again }) {
  const all = await get("vhosts");
  const add = opener("Add a virtual host", async () => [field("Name", "name", { required: true }), field("Description", "description"), field("Tags", "tags"), field("Default queue type", "kind", { options: ["classic", "quorum", "stream"] })],
    async (it) => { await put(`vhosts/${q(it.name)}`, { description: it.description, tags: it.tags, default_queue_type: it.kind }); again(); }, { kind: "main" });
  const drop = (it) => danger("Delete", t("Delete the virtual host {name} with everything in it, {count} messages?", { name: it.name, count: number(it.messages) }), async () => { await remove(`vhosts/${q(it.name)}`); again(); });
  const columns = [
    { label: "Name", show: (it) => it.name }, { label: "Description", show: (it) => it.description }, { label: "Tags", show: (it) => tags(it.tags) },
    { label: "Default queue type", show: (it) => it.default_queue_type }, { label: "Messages", number: true, show: (it) => number(it.messages) }, { label: "", show: drop },
  ];
  return section("Virtual hosts", table(columns, all, { key: (it) => it.name }), h("div", { class: "tools" }, add));
}

// ---- policies

async function policies({ again, who, vhost }) {
  const [mine, operators, hosts] = await Promise.all([get("policies"), get("operator-policies"), get("vhosts?columns=name")]);
  const all = [...mine.map((it) => ({ ...it, kind: "policies" })), ...operators.map((it) => ({ ...it, kind: "operator-policies" }))].filter((it) => !vhost || it.vhost === vhost);
  const kinds = [["policies", t("policy")], ...(isAdministrator(who) ? [["operator-policies", t("operator policy")]] : [])];
  const add = opener("Add a policy", async () => [
    field("Kind", "kind", { options: kinds, hint: "an operator policy limits what others ask for" }), field("Virtual host", "vhost", { options: hosts.map((it) => it.name), value: vhost }), field("Name", "name", { required: true }),
    field("Pattern", "pattern", { required: true, value: ".*", hint: "a regular expression on names" }), field("Applies to", "apply", { options: ["all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges"] }),
    field("Priority", "priority", { type: "number", value: 0, hint: "the highest one that fits counts" }),
    field("Definition (JSON)", "definition", { type: "textarea", rows: 3, value: '{"max-length": 1000}', hint: "message-ttl, expires, max-length, max-length-bytes, overflow, dead-letter-exchange, dead-letter-routing-key, delivery-limit, alternate-exchange, max-age" }),
  ], async (it) => {
    await put(`${it.kind}/${q(it.vhost)}/${q(it.name)}`, { pattern: it.pattern, "apply-to": it.apply, priority: Number(it.priority), definition: json(it.definition) });
    again();
  }, { kind: "main" });
  const columns = [
    { label: "Name", show: (it) => [it.name, " ", it.kind !== "policies" && tag(t("operator policy"))] }, { label: "Virtual host", show: (it) => it.vhost }, { label: "Pattern", show: (it) => h("code", {}, it.pattern) },
    { label: "Applies to", show: (it) => it["apply-to"] }, { label: "Definition", show: (it) => h("code", {}, pretty(it.definition)) }, { label: "Priority", number: true, show: (it) => it.priority },
    { label: "", show: (it) => mayMakePolicies(who) && danger("Delete", t("Delete the policy {name}? Queues and exchanges follow at once.", { name: it.name }), async () => { await remove(`${it.kind}/${q(it.vhost)}/${q(it.name)}`); again(); }) },
  ];
  return section("Policies", table(columns, all, { key: (it) => `${it.kind}/${it.vhost}/${it.name}` }), mayMakePolicies(who) && h("div", { class: "tools" }, add));
}

// ---- limits

const LIMITS = [["vhost", "max-connections"], ["vhost", "max-queues"], ["user", "max-connections"], ["user", "max-channels"]];

async function limits({ again }) {
  const [ofHosts, ofUsers, hosts, people] = await Promise.all([get("vhost-limits"), get("user-limits"), get("vhosts?columns=name"), get("users?columns=name")]);
  const kindName = (kind) => (kind === "vhost" ? t("Virtual host") : t("User"));
  const flat = (all, kind) => all.flatMap((it) => Object.entries(it.value).map(([limit, value]) => ({ kind, name: it[kind], limit, value })));
  const set = opener("Set a limit", async () => [
    field("Of", "of", { options: [...hosts.map((it) => [`vhost ${it.name}`, `${kindName("vhost")} ${it.name}`]), ...people.map((it) => [`user ${it.name}`, `${kindName("user")} ${it.name}`])] }),
    field("Limit", "limit", { options: [...new Set(LIMITS.map(([, limit]) => limit))] }), field("At most", "value", { type: "number", value: 100, required: true }),
  ], async (it) => {
    const at = it.of.indexOf(" ");
    const [kind, name] = [it.of.slice(0, at), it.of.slice(at + 1)];
    if (!LIMITS.some(([of, limit]) => of === kind && limit === it.limit)) throw new Error(t("There is no such limit for this."));
    await put(`${kind}-limits/${q(name)}/${it.limit}`, { value: Number(it.value) });
    again();
  }, { send: "Set", kind: "main" });
  return section("Limits", table([
    { label: "Of", show: (it) => kindName(it.kind) }, { label: "Name", show: (it) => it.name }, { label: "Limit", show: (it) => h("code", {}, it.limit) }, { label: "At most", number: true, show: (it) => number(it.value) },
    { label: "", show: (it) => danger("Clear", t("Take the limit away?"), async () => { await remove(`${it.kind}-limits/${q(it.name)}/${it.limit}`); again(); }) },
  ], [...flat(ofHosts, "vhost"), ...flat(ofUsers, "user")], { key: (it) => `${it.kind}/${it.name}/${it.limit}` }), h("div", { class: "tools" }, set));
}

// ---- definitions

function save(name, value) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

async function definitions({ again }) {
  const hosts = (await get("vhosts?columns=name")).map((it) => it.name);
  const everything = ["", t("everything")];
  const down = form([field("Of", "vhost", { options: [everything, ...hosts] })], "Download", async ({ vhost }) => save("definitions.json", await get(vhost ? `definitions/${q(vhost)}` : "definitions")));
  const up = form([h("label", {}, t("File"), h("input", { type: "file", name: "file", accept: ".json,application/json", required: true })), field("Into", "vhost", { options: [everything, ...hosts] })], "Upload", async ({ vhost }, at) => {
    const [file] = at.querySelector("input[type=file]").files;
    let value;
    try { value = JSON.parse(await file.text()); } catch (error) { throw new Error(t("This is no JSON: {why}", { why: error.message })); }
    await attempt(() => post(vhost ? `definitions/${q(vhost)}` : "definitions", value), t("uploaded: what is in the file is there now"));
    at.reset();
    again();
  });
  return [section("Download definitions", h("p", { class: "dim" }, t("Users, virtual hosts, permissions, policies, queues, exchanges and bindings as one file, as RabbitMQ reads and writes it. Messages are not in it.")), down),
    section("Upload definitions", h("p", { class: "dim" }, t("What is there and not in the file stays as it is.")), up)];
}

const parts = { users, vhosts, policies, limits, definitions };

async function admin(cx) {
  const allowed = tabsOf(cx.who).map(([name]) => name);
  const current = allowed.includes(cx.parts[0]) ? cx.parts[0] : allowed[0];
  return [heading(t("Admin")), bar(cx.who, current), await parts[current](cx)];
}

export const adminPages = { admin, user };
