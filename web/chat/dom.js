/** Making elements. What other people wrote gets into the page here and nowhere else: as text. */

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/**
 * An element. `attributes`: `class`, any attribute (false and null leave it out), `on…` a listener. `children`: nodes,
 * or strings, which become text; null and "" are left out.
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

/** One of the pictures in the page's sprite. With `label` it says something, without it is decoration. */
export function icon(name, label = "") {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#${name}`);
  svg.append(use);
  svg.setAttribute("focusable", "false");
  if (label) {
    const title = document.createElementNS(SVG, "title");
    title.textContent = label;
    svg.prepend(title);
    svg.setAttribute("role", "img");
  } else {
    svg.setAttribute("aria-hidden", "true");
  }
  return svg;
}

/** Show or hide; whether that was a change. */
export function show(element, shown) {
  if (element.hidden === !shown) return false;
  element.hidden = !shown;
  return true;
}

/** Set a text, but only if it is another: a live region says what is set. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A sentence under a form that says what is wrong; "" takes it away. */
export function problem(element, text) {
  say(element, text);
  show(element, text !== "");
}

/** Call `task` before the next frame, once however often it was asked for; in a hidden tab soon. */
export function coalesced(task) {
  let asked = false;
  const run = () => {
    if (!asked) return;
    asked = false;
    task();
  };
  return () => {
    if (asked) return;
    asked = true;
    if (document.hidden) setTimeout(run, 100);
    else requestAnimationFrame(run);
  };
}
