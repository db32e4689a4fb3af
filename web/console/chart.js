/** Small charts: a line or two over the last minutes, drawn as SVG. What they show stands in words beside them, too. */

import { el, fill, svg } from "./dom.js";

const WIDTH = 320;
const HEIGHT = 96;
const LEFT = 4;
const RIGHT = 4;
const TOP = 10;
const BOTTOM = 4;

/** The next of 1, 2, 5, 10, 20, 50 … that is not lower: so that the scale does not jump about. */
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.9999);
}

/**
 * A chart with a title. `series`: `{label, kind}` each, of which `kind` is the class of the line; `show(value)` says a
 * value for people. Keeps the newest `points` of what `add` is given: a value for each series, null where there is none; `span`: how long ago
 * the first of them is, in words.
 */
export class Chart {
  constructor({ title, series, show, points, span }) {
    this.title = title;
    this.series = series;
    this.show = show;
    this.points = points;
    this.values = [];
    this.times = [];
    this.drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.now = el("p", { class: "now" });
    this.scale = el("span", { class: "scale" });
    this.hover = el("span", { class: "hover" });
    const under = el("div", { class: "under" }, el("span", {}, span), this.hover, el("span", {}, "now"));
    const plot = el("div", { class: "plot" }, this.drawing, this.scale);
    this.element = el("figure", { class: "chart" }, el("figcaption", {}, title), this.now, plot, under);
    plot.addEventListener("pointermove", (event) => this.#point(event, plot));
    plot.addEventListener("pointerleave", () => { this.hover.textContent = ""; });
    this.draw();
  }

  /** One more moment (Unix time, ms). */
  add(time, ...values) {
    this.times.push(time);
    this.values.push(values);
    if (this.values.length > this.points) {
      this.values.shift();
      this.times.shift();
    }
    this.draw();
  }

  /** Draw what there is. */
  draw() {
    const most = roundUp(Math.max(...this.values.flat().filter((value) => value !== null), 0));
    const last = this.values.at(-1) ?? this.series.map(() => null);
    const words = this.series.map((each, place) => [each, last[place] === null ? "–" : this.show(last[place])]);
    fill(this.now, words.map(([each, text]) => el("span", { class: `value ${each.kind}` }, el("b", {}, text), each.label ? ` ${each.label}` : "")));
    this.drawing.setAttribute("aria-label", `${this.title}: ${words.map(([each, text]) => `${each.label} ${text}`.trim()).join(", ")}`);
    this.scale.textContent = this.show(most);
    const grid = [TOP, (TOP + HEIGHT - BOTTOM) / 2, HEIGHT - BOTTOM].map((y) =>
      svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y }));
    fill(this.drawing, grid, this.series.map((each, place) => this.#line(each, place, most)));
  }

  #x(place) {
    return WIDTH - RIGHT - (this.values.length - 1 - place) * ((WIDTH - LEFT - RIGHT) / (this.points - 1));
  }

  #line(each, place, most) {
    const lines = [[]];
    this.values.forEach((values, at) => {
      const value = values[place];
      if (value === null) {
        if (lines.at(-1).length) lines.push([]);
        return;
      }
      const y = HEIGHT - BOTTOM - (value / most) * (HEIGHT - BOTTOM - TOP);
      lines.at(-1).push([this.#x(at), y]);
    });
    const drawn = lines.filter((line) => line.length);
    const text = (line) => line.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join(" L");
    return drawn.map((line) => {
      const path = svg("path", { class: `line ${each.kind}`, d: `M${text(line.length > 1 ? line : [[line[0][0] - 1, line[0][1]], line[0]])}`, "vector-effect": "non-scaling-stroke" });
      if (place > 0) return [path];
      const base = HEIGHT - BOTTOM;
      const area = `M${line[0][0].toFixed(1)} ${base} L${text(line)} L${line.at(-1)[0].toFixed(1)} ${base} Z`;
      return [svg("path", { class: `area ${each.kind}`, d: area }), path];
    });
  }

  #point(event, plot) {
    const frame = plot.getBoundingClientRect();
    const x = ((event.clientX - frame.left) / frame.width) * WIDTH;
    const step = (WIDTH - LEFT - RIGHT) / (this.points - 1);
    const place = Math.round(this.values.length - 1 - (WIDTH - RIGHT - x) / step);
    const values = this.values[place];
    if (!values) {
      this.hover.textContent = "";
      return;
    }
    const seconds = Math.round((this.times.at(-1) - this.times[place]) / 1000);
    const said = values.map((value, at) => `${this.series[at].label} ${value === null ? "–" : this.show(value)}`.trim());
    this.hover.textContent = `${seconds} s ago: ${said.join(", ")}`;
  }
}

/** Horizontal bars: `rows` are pairs of a name and a number. */
export function bars(rows, show) {
  const most = Math.max(1, ...rows.map(([, value]) => value));
  return el("ul", { class: "bars" }, rows.map(([name, value]) => {
    const bar = el("span", { class: "fill" });
    bar.style.width = `${(100 * value) / most}%`;
    bar.hidden = value === 0;
    return el("li", {}, el("span", { class: "name" }, name), el("span", { class: "track", "aria-hidden": "true" }, bar), el("span", { class: "number" }, show(value)));
  }));
}

/** How full something is, of 1; with words. */
export function meter(part, label) {
  const bar = el("span", { class: `fill ${part >= 0.95 ? "bad" : part >= 0.8 ? "warn" : ""}` });
  bar.style.width = `${Math.min(100, 100 * part)}%`;
  return el("div", { class: "meter", role: "img", "aria-label": label }, bar);
}
