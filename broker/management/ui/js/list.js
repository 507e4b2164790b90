// A list in pages: sorted, filtered and cut by the broker, so that ten thousand queues cost the browser a hundred rows.
import { get, q } from "./api.js";
import { h } from "./dom.js";
import { number } from "./format.js";
import { t } from "./lang.js";
import { heading, table } from "./widgets.js";

const PAGE_SIZE = 100;

/** How long after the last letter the filter acts. */
const TYPING_MS = 250;

let typing = 0;

const stateOf = (query, by) => ({ page: Number(query.get("page") ?? 1), name: query.get("name") ?? "", regex: query.get("regex") === "1", sort: query.get("sort") ?? by, down: query.get("down") === "1" });

/** A list of the objects of one kind, below some path. */
export const below = (kind) => (vhost) => (vhost ? `${kind}/${q(vhost)}` : kind);

/** `path` tells what is asked for a virtual host or for all; `beside` are the buttons next to the title. */
export function list({ title, path, columns, beside, sort: by = "name", keyOf, onlyType }) {
  return async (cx) => {
    const { query, here, vhost, stay } = cx;
    const state = stateOf(query, by);
    // A change goes onto the address as it is then: another one may have come since this was drawn.
    const address = (change) => {
      const next = { ...stateOf(new URLSearchParams(location.hash.split("?")[1] ?? ""), by), page: 1, ...change };
      return `#/${here}?${new URLSearchParams({ page: next.page, name: next.name, sort: next.sort, ...(next.regex ? { regex: 1 } : {}), ...(next.down ? { down: 1 } : {}) })}`;
    };
    const go = (change) => stay(address(change));
    const search = new URLSearchParams({ page: state.page, page_size: PAGE_SIZE, name: state.name, use_regex: state.regex, sort: state.sort, sort_reverse: state.down, columns: columns.flatMap(({ needs }) => needs ?? []).join(",") });
    const found = onlyType ? await onlyType(search, vhost) : await get(`${path(vhost)}?${search}`);
    const filter = h("input", { type: "search", value: state.name, "aria-label": t("Filter"), placeholder: t("Filter by name"), oninput: (event) => {
      clearTimeout(typing);
      const name = event.target.value;
      typing = setTimeout(() => go({ name }), TYPING_MS);
    } });
    const turn = (label, sign, to, possible) => h("button", { type: "button", class: "act", disabled: !possible, "aria-label": t(label), onclick: () => go({ page: to }) }, sign);
    const [page, last] = [found.page ?? 1, Math.max(1, found.page_count ?? 1)];
    return [
      heading(t(title), h("div", { class: "tools" }, beside ? beside(cx) : [])),
      h("div", { class: "tools" }, filter,
        h("label", { class: "check" }, h("input", { type: "checkbox", checked: state.regex, onchange: (event) => go({ regex: event.target.checked }) }), t("Regex")),
        h("span", { class: "dim" }, found.filtered_count === found.total_count ? number(found.total_count) : t("{found} of {all}", { found: number(found.filtered_count), all: number(found.total_count) })),
        last > 1 && h("span", { class: "pager" }, turn("previous page", "‹", page - 1, page > 1), h("span", {}, `${number(page)} / ${number(last)}`), turn("next page", "›", page + 1, page < last))),
      table(columns.filter((it) => !(vhost && it.by === "vhost")), found.items, { sort: { by: state.sort, down: state.down }, key: keyOf,
        onsort: (field) => go({ sort: field, down: state.sort === field ? !state.down : Boolean(columns.find((it) => it.by === field)?.number) }) }),
    ];
  };
}
