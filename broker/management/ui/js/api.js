// Requests to the broker. The login is kept for this tab only, and sent with each request: without cookies no other site
// can make the browser ask anything in the reader's name.

const encode = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

export const session = {
  get login() { return sessionStorage.getItem("login"); },
  set(user, password) { sessionStorage.setItem("login", encode(`${user}:${password}`)); },
  clear() { sessionStorage.removeItem("login"); },
};

/** The broker said no. */
export class Refused extends Error {
  constructor(status, reason) { super(reason); this.status = status; }
}

/** The broker did not answer. */
export class Unreachable extends Error {}

/** A request below api/; answers its JSON, or null. */
export async function api(path, { method = "GET", body } = {}) {
  const headers = { authorization: `Basic ${session.login}`, ...(body === undefined ? {} : { "content-type": "application/json" }) };
  const options = { method, headers, credentials: "omit", cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body) };
  const response = await fetch(`api/${path}`, options).catch((error) => { throw new Unreachable(error.message); });
  const text = await response.text();
  let json = null;
  try { json = text ? JSON.parse(text) : null; } catch { /* a proxy's page, perhaps: its status says enough */ }
  if (!response.ok) throw new Refused(response.status, json?.reason || json?.error || `${response.status} ${response.statusText}`);
  return json;
}

export const get = (path) => api(path);
export const put = (path, body) => api(path, { method: "PUT", body });
export const post = (path, body) => api(path, { method: "POST", body });
export const remove = (path) => api(path, { method: "DELETE" });

/** A name in a path. */
export const q = encodeURIComponent;
/** An exchange's name in a path: the default one has none. */
export const xq = (name) => q(name === "" ? "amq.default" : name);
