// Users, virtual hosts, policies, limits, definitions.
import { api, attempt, danger, field, form, h, json, number, q, t, table } from "./lib.js";

const link = (to, text) => h("a", { href: `#/${to}` }, text);
const remove = (path, again) => danger("Delete", "Really delete?", () => attempt(async () => { await api(path, { method: "DELETE" }); again(); }, "done"));
const put = (path, body, again) => attempt(async () => { await api(path, { method: "PUT", body }); again(); }, "done");

async function admin({ again, who }) {
  if (!who.tags.includes("administrator")) return [h("h1", {}, t("Admin")), await policies(again, await api("vhosts?columns=name"))];
  const [users, vhosts, limits, userLimits] = await Promise.all([api("users"), api("vhosts"), api("vhost-limits"), api("user-limits")]);
  return [
    h("h1", {}, t("Admin")),
    h("h2", {}, t("Users")),
    table([
      { label: "Name", show: (it) => link(`user/${q(it.name)}`, it.name) }, { label: "Tags", show: (it) => it.tags.map((tag) => h("span", { class: "tag" }, tag)) },
      { label: "Password", show: (it) => it.password_hash ? it.hashing_algorithm.replace("rabbit_password_hashing_", "") : "–" }, { label: "", show: (it) => remove(`users/${q(it.name)}`, again) },
    ], users),
    h("details", {}, h("summary", {}, t("Add a user")), form([field("Name", "name", { required: true }), field("Password", "password", { type: "password" }), field("Tags", "tags")], "Add",
      (it) => put(`users/${q(it.name)}`, { password: it.password, tags: it.tags }, again), "main")),
    h("h2", {}, t("Virtual hosts")),
    table([
      { label: "Name", show: (it) => it.name }, { label: "Description", show: (it) => it.description }, { label: "Tags", show: (it) => it.tags.join(", ") },
      { label: "Default queue type", show: (it) => it.default_queue_type }, { label: "Messages", number: true, show: (it) => number(it.messages) },
      { label: "", show: (it) => remove(`vhosts/${q(it.name)}`, again) },
    ], vhosts),
    h("details", {}, h("summary", {}, t("Add a virtual host")), form([field("Name", "name", { required: true }), field("Description", "description"), field("Tags", "tags"), field("Default queue type", "kind", { options: ["classic", "quorum", "stream"] })], "Add",
      (it) => put(`vhosts/${q(it.name)}`, { description: it.description, tags: it.tags, default_queue_type: it.kind }, again), "main")),
    await policies(again, vhosts),
    h("h2", {}, t("Limits")),
    table([{ label: "Name", show: ({ of }) => of }, { label: "Value", show: ({ value }) => JSON.stringify(value) }],
      [...limits.map((it) => ({ of: `${t("Virtual host")} ${it.vhost}`, value: it.value })), ...userLimits.map((it) => ({ of: `${t("User")} ${it.user}`, value: it.value }))]),
    form([field("Type", "kind", { options: ["vhost max-connections", "vhost max-queues", "user max-connections", "user max-channels"] }), field("Name", "of", { required: true }), field("Value", "value", { type: "number", value: -1 })], "Set",
      (it) => { const [kind, name] = it.kind.split(" "); put(`${kind}-limits/${q(it.of)}/${name}`, { value: Number(it.value) }, again); }),
    h("h2", {}, t("Definitions")), definitions(again),
  ];
}

async function policies(again, vhosts) {
  const [mine, operator] = await Promise.all([api("policies"), api("operator-policies")]);
  const all = [...mine.map((it) => ({ ...it, kind: "policies" })), ...operator.map((it) => ({ ...it, kind: "operator-policies" }))];
  return [
    h("h2", {}, t("Policies")),
    table([
      { label: "Virtual host", show: (it) => it.vhost }, { label: "Name", show: (it) => [it.name, it.kind !== "policies" && h("span", { class: "tag" }, "operator")] }, { label: "Pattern", show: (it) => h("code", {}, it.pattern) },
      { label: "Apply to", show: (it) => it["apply-to"] }, { label: "Definition (JSON)", show: (it) => h("code", {}, JSON.stringify(it.definition)) }, { label: "Priority", number: true, show: (it) => it.priority },
      { label: "", show: (it) => remove(`${it.kind}/${q(it.vhost)}/${q(it.name)}`, again) },
    ], all),
    h("details", {}, h("summary", {}, t("Add a policy")), form([
      field("Type", "kind", { options: ["policies", "operator-policies"] }), field("Virtual host", "vhost", { options: vhosts.map((it) => it.name) }), field("Name", "name", { required: true }), field("Pattern", "pattern", { required: true, value: ".*" }),
      field("Apply to", "apply", { options: ["all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges"] }), field("Priority", "priority", { type: "number", value: 0 }), field("Definition (JSON)", "definition", { value: '{"max-length": 1000}' }),
    ], "Add", (it) => attempt(async () => {
      const body = { pattern: it.pattern, "apply-to": it.apply, priority: Number(it.priority), definition: json(it.definition) };
      await api(`${it.kind}/${q(it.vhost)}/${q(it.name)}`, { method: "PUT", body });
      again();
    }, "done"), "main")),
  ];
}

function definitions(again) {
  const download = () => attempt(async () => {
    const file = new Blob([JSON.stringify(await api("definitions"), null, 2)], { type: "application/json" });
    const anchor = h("a", { href: URL.createObjectURL(file), download: "definitions.json" });
    anchor.click();
    URL.revokeObjectURL(anchor.href);
  });
  const upload = (event) => attempt(async () => {
    const [file] = event.target.files;
    if (file) await api("definitions", { method: "POST", body: JSON.parse(await file.text()) });
    again();
  }, "done");
  return h("div", { class: "tools" }, h("button", { class: "act", onclick: download }, t("Download")), h("label", {}, t("Upload"), h("input", { type: "file", accept: ".json", onchange: upload })));
}

async function user({ parts: [name], again }) {
  const [it, permissions, vhosts] = await Promise.all([api(`users/${q(name)}`), api(`users/${q(name)}/permissions`), api("vhosts?columns=name")]);
  return [
    h("h1", {}, it.name), h("p", {}, it.tags.map((tag) => h("span", { class: "tag" }, tag))),
    h("h2", {}, t("Permissions")),
    table([
      { label: "Virtual host", show: (p) => p.vhost }, { label: "Configure", show: (p) => h("code", {}, p.configure) }, { label: "Write", show: (p) => h("code", {}, p.write) }, { label: "Read", show: (p) => h("code", {}, p.read) },
      { label: "", show: (p) => danger("Clear", "Really delete?", () => attempt(async () => { await api(`permissions/${q(p.vhost)}/${q(name)}`, { method: "DELETE" }); again(); }, "done")) },
    ], permissions),
    form([field("Virtual host", "vhost", { options: vhosts.map((v) => v.name) }), field("Configure", "configure", { value: ".*" }), field("Write", "write", { value: ".*" }), field("Read", "read", { value: ".*" })], "Set",
      (p) => put(`permissions/${q(p.vhost)}/${q(name)}`, { configure: p.configure, write: p.write, read: p.read }, again), "main"),
    h("h2", {}, t("Password")),
    form([field("Password", "password", { type: "password" }), field("Tags", "tags", { value: it.tags.join(",") })], "Set", (p) => put(`users/${q(name)}`, { ...(p.password ? { password: p.password } : { password_hash: it.password_hash, hashing_algorithm: it.hashing_algorithm }), tags: p.tags }, again)),
    danger("Delete", "Really delete?", () => attempt(async () => { await api(`users/${q(name)}`, { method: "DELETE" }); location.hash = "#/admin"; }, "done")),
  ];
}

export const admin_pages = { admin, user };
export { admin_pages as admin };
