/**
 * Elements, made by calls: whatever comes from others ends in a text node or in an attribute from the list below, never
 * in markup.
 */

const ATTRIBUTES = new Set([
  "autocomplete", "colspan", "method", "datetime", "download", "for", "hidden", "href", "id", "inputmode", "max", "maxlength", "min",
  "name", "placeholder", "rel", "role", "rows", "scope", "step", "tabindex", "target", "title", "type", "value",
]);

const PROPERTIES = new Set(["checked", "disabled", "open", "required", "selected", "spellcheck"]);

/**
 * An element with attributes and children. `class`, `on…` (a function) and `aria-…` / `data-…` are understood; what is
 * null or false is left out. A child is a node, a text, a number, or a list of those.
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) made[name] = value;
    else if (name.startsWith("aria-") || name.startsWith("data-") || ATTRIBUTES.has(name)) {
      made.setAttribute(name, value === true ? "" : String(value));
    } else throw new Error(`no attribute ${name} is set here`);
  }
  add(made, children);
  return made;
}

/** Append children, of which each may be a list, a node or a text. */
export function add(parent, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : String(child));
  }
  return parent;
}

/** Put these children in the place of those that are there. */
export function fill(parent, ...children) {
  parent.replaceChildren();
  return add(parent, ...children);
}

/** An element of SVG; attributes are numbers and words of ours. */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return add(made, ...children);
}

let said = "";

/** Say something to whoever hears the page; the same words twice are heard twice. */
export function announce(text) {
  const live = document.getElementById("live");
  said = said === text ? `${text}\u00a0` : text;
  live.textContent = said;
}

const TOAST_MS = 6000;
const TOASTS_MAX = 4;

/** Show something for a moment, and say it. `kind`: "good", "bad" or "". */
export function toast(text, kind = "") {
  const toasts = document.getElementById("toasts");
  const shown = el("div", { class: `toast ${kind}` }, text);
  toasts.append(shown);
  while (toasts.childElementCount > TOASTS_MAX) toasts.firstElementChild.remove();
  setTimeout(() => shown.remove(), TOAST_MS);
  announce(text);
}

let ids = 0;

/** An id that nothing else on the page has. */
export function newId(word) {
  ids += 1;
  return `${word}-${ids}`;
}

/** A label with its control below. */
export function field(label, control, hint = "") {
  control.id ||= newId("field");
  const note = hint ? el("span", { class: "hint", id: newId("hint") }, hint) : null;
  if (note) control.setAttribute("aria-describedby", note.id);
  return el("div", { class: "field" }, el("label", { for: control.id }, label), control, note);
}

/** A choice between values: `choices` are texts, or pairs of value and text. */
export function select(name, choices, chosen = "") {
  const options = choices.map((choice) => {
    const [value, text] = Array.isArray(choice) ? choice : [choice, choice];
    return el("option", { value, selected: value === chosen }, text);
  });
  return el("select", { name }, options);
}

/** A heading with what can be done beside it. */
export function heading(text, ...tools) {
  return el("div", { class: "heading" }, el("h1", {}, text), el("div", { class: "tools" }, tools));
}

/** A part of a page, with a heading. */
export function card(title, ...children) {
  const id = newId("card");
  return el("section", { class: "card", "aria-labelledby": id }, el("h2", { id }, title), children);
}

/** Names and values, as a list of definitions. */
export function facts(pairs) {
  const rows = pairs.filter(Boolean).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  return el("dl", { class: "facts" }, rows);
}

/** A word in a coloured frame. `kind`: "good", "warn", "bad" or "". */
export function badge(text, kind = "") {
  return el("span", { class: `badge ${kind}` }, text);
}
