/** A word beside a heading: whether what is shown is live. */

import { announce, el } from "./dom.js";
import { Problem } from "./api.js";

/** `element` to show; `told` for `follow`; `failed` for an error of something else that is asked again. */
export function streamState(word = "Live") {
  const element = el("span", { class: "stream waiting" }, "Connecting …");
  let before = "";
  const set = (kind, text, title = "") => {
    element.className = `stream ${kind}`;
    element.textContent = text;
    element.title = title;
    if (before === "broken" && kind === "live") announce("The broker is back; what is shown is live again.");
    if (before !== "broken" && kind === "broken") announce(`${text}. ${title}`);
    before = kind;
  };
  return {
    element,
    told: (state, wait = null) => {
      if (state === "live") set("live", word);
      else if (state === "hidden") set("waiting", "Paused");
      else set("broken", wait === null ? "Stopped" : "Not live: trying again", state.words);
    },
    failed: (error) => {
      if (!(error instanceof Problem)) throw error;
      set("broken", "Not live: trying again", error.words);
    },
    paused: () => set("waiting", "Paused"),
  };
}
