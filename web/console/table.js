/**
 * Tables: with a caption, sorted by whichever column is pressed, and drawn anew row by row: what has not changed stays as
 * it is, and keeps the keyboard's place.
 */

import { add, el, fill } from "./dom.js";
import { compareText } from "./format.js";

/** One part of a cell: text, or `{text, href, kind, title}`. */
function part(spec) {
  if (spec === null || spec === undefined) return "";
  if (typeof spec !== "object") return String(spec);
  if (spec.href) return el("a", { href: spec.href, class: spec.kind ?? "", title: spec.title ?? null }, spec.text);
  return el("span", { class: spec.kind ?? "", title: spec.title ?? null }, spec.text);
}

function parts(spec) {
  return (Array.isArray(spec) ? spec : [spec]).map(part);
}

/**
 * `columns`: `{label, cell(row), sort(row)?, number?}`, where a cell is a text, `{text, href, kind, title}` or a list of
 * those. `actions(row)`, if given, makes the buttons of a row, once for each key; it gets a function that gives the row
 * as it is now. `key(row)` tells rows apart; `sorted`: the column at first, with a minus in front for falling order, or
 * null for the order in which rows come. `none`: what is said when there are no rows.
 */
export class Table {
  constructor({ caption, columns, key, actions = null, sorted = null, none = "None.", wide = true }) {
    this.columns = columns;
    this.key = key;
    this.actions = actions;
    this.rows = [];
    this.sort = typeof sorted === "string" ? { label: sorted.replace(/^-/, ""), falling: sorted.startsWith("-") } : null;
    this.shown = new Map();
    this.caption = el("caption", {}, caption);
    this.body = el("tbody");
    this.heads = columns.map((column) => this.#head(column));
    const heads = [...this.heads, actions ? el("th", { scope: "col" }, el("span", { class: "unseen" }, "Actions")) : null];
    this.table = el("table", {}, this.caption, el("thead", {}, el("tr", {}, heads)), this.body);
    this.empty = el("p", { class: "none" }, none);
    const region = { class: wide ? "scroll" : "scroll narrow", tabindex: "0", role: "region", "aria-label": caption };
    this.element = el("div", { class: "table" }, el("div", region, this.table), this.empty);
    this.#mark();
    this.update([]);
  }

  /** Show these rows. */
  update(rows) {
    this.rows = rows;
    this.#draw();
  }

  /** Say something else above the table. */
  set title(text) {
    if (this.caption.textContent !== text) this.caption.textContent = text;
  }

  /** Say something else when there are no rows. */
  set none(text) {
    this.empty.textContent = text;
  }

  #head(column) {
    const attributes = { scope: "col", class: column.number ? "number" : "" };
    if (!column.sort) return el("th", attributes, column.label);
    const press = () => {
      const again = this.sort?.label === column.label;
      this.sort = { label: column.label, falling: again ? !this.sort.falling : Boolean(column.number) };
      this.#mark();
      this.#draw();
    };
    const arrow = el("span", { class: "arrow", "aria-hidden": "true" });
    return el("th", attributes, el("button", { type: "button", class: "sorter", onclick: press }, column.label, arrow));
  }

  #mark() {
    this.columns.forEach((column, place) => {
      if (!column.sort) return;
      const mine = this.sort?.label === column.label;
      const head = this.heads[place];
      if (mine) head.setAttribute("aria-sort", this.sort.falling ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      head.querySelector(".arrow").textContent = mine ? (this.sort.falling ? " ↓" : " ↑") : "";
    });
  }

  #sorted() {
    const column = this.columns.find((each) => each.label === this.sort?.label);
    if (!column) return this.rows;
    const sign = this.sort.falling ? -1 : 1;
    const order = (a, b) => {
      const [left, right] = [column.sort(a), column.sort(b)];
      return sign * (typeof left === "number" && typeof right === "number" ? left - right : compareText(left, right));
    };
    return [...this.rows].sort(order);
  }

  #draw() {
    const before = this.shown;
    this.shown = new Map();
    let place = this.body.firstChild;
    for (const row of this.#sorted()) {
      const key = String(this.key(row));
      if (this.shown.has(key)) continue;
      const line = before.get(key) ?? this.#line();
      before.delete(key);
      line.now = row;
      this.#cells(line, row);
      this.shown.set(key, line);
      if (line.element === place) place = place.nextSibling;
      else this.body.insertBefore(line.element, place);
    }
    for (const line of before.values()) line.element.remove();
    this.empty.hidden = this.rows.length > 0;
    this.table.hidden = this.rows.length === 0;
  }

  #line() {
    const line = { element: el("tr"), cells: [], now: null };
    this.columns.forEach((column, place) => {
      const cell = el(place === 0 ? "th" : "td", { class: column.number ? "number" : "", "data-label": column.label });
      if (place === 0) cell.setAttribute("scope", "row");
      line.cells.push({ cell, drawn: undefined });
      line.element.append(cell);
    });
    return line;
  }

  #cells(line, row) {
    this.columns.forEach((column, place) => {
      const spec = column.cell(row);
      const drawn = JSON.stringify(spec);
      const kept = line.cells[place];
      if (kept.drawn === drawn) return;
      kept.drawn = drawn;
      fill(kept.cell, parts(spec));
    });
    if (this.actions && !line.actions) {
      line.actions = el("td", { class: "actions" });
      add(line.actions, this.actions(row, () => line.now));
      line.element.append(line.actions);
    }
  }
}
