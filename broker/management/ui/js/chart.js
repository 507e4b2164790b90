// Lines over time, drawn by hand in SVG. The lines are stretched to the room there is, texts lie above them as HTML, so
// that no letter is stretched with them.
import { h } from "./dom.js";
import { clock, short } from "./format.js";
import { t } from "./lang.js";

const [WIDTH, HEIGHT] = [600, 160];
const KINDS = ["one", "two", "three"];

/** The least round number that is not below. */
function roundUp(value) {
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((it) => it * step).find((it) => it >= value) ?? value;
}

/** Points [time, value] of samples, which come newest first; with `perSecond` the differences between them. */
export function points(samples = [], perSecond = false) {
  const list = [...samples].reverse();
  if (!perSecond) return list.map((it) => [it.timestamp, it.sample]);
  return list.slice(1).map((it, at) => [it.timestamp, Math.max(0, (it.sample - list[at].sample) * 1000 / (it.timestamp - list[at].timestamp || 1))]);
}

/** Series are {name, now, samples}; `format` writes a value. */
export function chart(title, series, { perSecond = false, format = short } = {}) {
  const lines = series.map(({ samples }) => points(samples, perSecond));
  const all = lines.flat();
  const top = roundUp(Math.max(1, ...all.map(([, value]) => value)));
  const [from, to] = all.length ? [Math.min(...all.map(([time]) => time)), Math.max(...all.map(([time]) => time))] : [0, 0];
  const x = (time) => (to > from ? (time - from) / (to - from) : 1) * WIDTH;
  const y = (value) => 4 + (1 - value / top) * (HEIGHT - 8);
  const draw = (line) => line.map(([time, value]) => `${x(time).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const told = h("div", { class: "told", "data-own": true, hidden: true });
  const mark = h("i", { class: "mark", "data-own": true, hidden: true });
  const leave = (event) => event.currentTarget.querySelectorAll("[data-own]").forEach((it) => { it.hidden = true; });
  const point = (event) => {
    const plot = event.currentTarget;
    const longest = lines.reduce((a, b) => (b.length > a.length ? b : a), []);
    if (longest.length < 2) return;
    const box = plot.getBoundingClientRect();
    const wanted = from + ((event.clientX - box.left) / box.width) * (to - from);
    const [time] = longest.reduce((a, b) => (Math.abs(b[0] - wanted) < Math.abs(a[0] - wanted) ? b : a));
    const value = (line) => line.reduce((a, b) => (Math.abs(b[0] - time) < Math.abs(a[0] - time) ? b : a), [Infinity, 0])[1];
    const [tip, line] = [plot.querySelector(".told"), plot.querySelector(".mark")];
    const share = (time - from) / (to - from);
    tip.replaceChildren(h("b", {}, clock(time)), ...series.map(({ name }, at) => h("span", {}, h("i", { class: KINDS[at] }), `${t(name)} ${format(value(lines[at]))}`)));
    tip.hidden = line.hidden = false;
    line.style.left = `${share * 100}%`;
    tip.style.left = share < 0.5 ? `calc(${share * 100}% + .6em)` : "auto";
    tip.style.right = share < 0.5 ? "auto" : `calc(${(1 - share) * 100}% + .6em)`;
  };
  return h("figure", { class: "chart" },
    h("figcaption", {}, h("b", {}, t(title)), h("span", { class: "legend" }, series.map(({ name, now }, at) => h("span", {}, h("i", { class: KINDS[at] }), t(name), h("b", {}, now))))),
    h("div", { class: "frame" },
      h("div", { class: "scale" }, [top, top / 2, 0].map((value) => h("span", {}, format(value)))),
      h("div", { class: "plot", onpointermove: point, onpointerleave: leave },
        h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${t(title)}: ${series.map(({ name, now }) => `${t(name)} ${now}`).join(", ")}` },
          [0, 0.5, 1].map((part) => h("line", { class: "axis", x1: 0, x2: WIDTH, y1: y(top * part), y2: y(top * part) })),
          lines.map((line, at) => line.length > 1 && [
            at === 0 && h("polygon", { class: `fill ${KINDS[at]}`, points: `${x(line[0][0]).toFixed(1)},${y(0)} ${draw(line)} ${x(line.at(-1)[0]).toFixed(1)},${y(0)}` }),
            h("polyline", { class: KINDS[at], points: draw(line) }),
          ])),
        lines.every((line) => line.length < 2) && h("p", { class: "dim empty" }, t("nothing measured yet")), mark, told)),
    h("div", { class: "times dim" }, h("span", {}, to > from ? clock(from) : ""), h("span", {}, to > from ? clock(to) : "")));
}
