/** Pages of a listing by key: on, and back to those that were seen. */

import { el, fill } from "./dom.js";

/** `after` is the key the page begins behind; `told(next)` after each answer; `load` gets the page that was asked for. */
export function pager({ load }) {
  const seen = [""];
  const back = el("button", { type: "button" }, "Back");
  const on = el("button", { type: "button" }, "Next page");
  const where = el("span", {});
  const element = el("div", { class: "pager" });
  let next = null;
  const go = async () => {
    try {
      await load();
      fill(where, `Page ${seen.length}`);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!error.words) throw error;
      fill(where, error.words);
    }
  };
  back.addEventListener("click", () => { if (seen.length > 1) { seen.pop(); go(); } });
  on.addEventListener("click", () => { if (next !== null) { seen.push(next); go(); } });
  return {
    element,
    get after() { return seen.at(-1); },
    restart(after = "") { seen.splice(0, seen.length, after); },
    told(key) {
      next = key;
      back.disabled = seen.length < 2;
      on.disabled = next === null;
      const several = next !== null || seen.length > 1;
      if (several !== element.hasChildNodes()) fill(element, several ? [back, where, on] : []);
      fill(where, `Page ${seen.length}`);
    },
  };
}
