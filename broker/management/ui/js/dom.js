// Elements, and how a page is drawn again: a new tree is made and the old one is changed until it is the same, so that
// focus, open details, half-written forms and the place where one was reading stay. No page writes HTML as text, since
// names come from clients.

const SVG_TAGS = new Set(["svg", "polyline", "polygon", "path", "line", "rect", "circle", "ellipse", "text", "g", "title"]);
const SVG_SPACE = "http:" + "//www.w3.org/2000/svg"; // a name, nothing is fetched

const dispatch = (event) => event.currentTarget.handlers?.[event.type]?.(event);

function listen(element, handlers) {
  const known = element.handlers ?? {};
  for (const type of Object.keys(handlers)) if (!(type in known)) element.addEventListener(type, dispatch);
  element.handlers = handlers;
}

/** An element: attributes, `on...` handlers, children (texts stay texts; null, undefined and false are left out). */
export function h(tag, attributes = {}, ...children) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG_SPACE, tag) : document.createElement(tag);
  const handlers = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) handlers[name.slice(2)] = value;
    else if (name !== "value" || !["select", "textarea"].includes(tag)) element.setAttribute(name, value === true ? "" : value);
  }
  if (Object.keys(handlers).length) listen(element, handlers);
  const kept = children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false);
  element.append(...kept.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  if (tag === "textarea" && attributes.value) element.defaultValue = attributes.value;
  if (tag === "select" && attributes.value !== undefined) {
    for (const option of element.options) option.toggleAttribute("selected", option.value === String(attributes.value));
  }
  return element;
}

const keyOf = (node) => node.dataset?.key;

/** Attributes that belong to the reader and not to the page. */
const READERS_OWN = new Set(["open"]);

/** Changes `old` until it is as `fresh`; what bears `data-own` is left alone. */
export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || keyOf(old) !== keyOf(fresh)) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE || old.dataset?.own !== undefined) return;
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !READERS_OWN.has(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value && !READERS_OWN.has(name)) old.setAttribute(name, value);
  if (fresh.handlers || old.handlers) listen(old, fresh.handlers ?? {});
  morphChildren(old, fresh);
}

/** As above for children; those with `data-key` are found again wherever they are now. */
export function morphChildren(parent, fresh) {
  const keyed = new Map();
  for (const child of parent.childNodes) if (keyOf(child) !== undefined) keyed.set(keyOf(child), child);
  let at = parent.firstChild;
  const skipKeyed = () => { while (at && keyOf(at) !== undefined) at = at.nextSibling; };
  for (const wanted of [...fresh.childNodes]) {
    const key = keyOf(wanted);
    if (key !== undefined) {
      const found = keyed.get(key);
      keyed.delete(key);
      if (!found) { parent.insertBefore(wanted, at); continue; }
      if (found === at) at = at.nextSibling;
      else parent.insertBefore(found, at);
      morph(found, wanted);
      continue;
    }
    skipKeyed();
    if (!at) { parent.append(wanted); continue; }
    const next = at.nextSibling;
    morph(at, wanted);
    at = next;
  }
  while (at) {
    const next = at.nextSibling;
    if (keyOf(at) === undefined) at.remove();
    at = next;
  }
  for (const left of keyed.values()) left.remove();
}
