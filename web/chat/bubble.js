/** One row of a conversation as an element. */

import { icon, make } from "./dom.js";
import {
  attachment,
  clock,
  dayName,
  gapWords,
  refusedWords,
  size,
  terminalIcon,
  terminalName,
  wholeTime,
} from "./words.js";

const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
/** A text longer than this is folded, so that one message cannot fill the page. */
const FOLD_CHARS = 4_000;

/**
 * The element of a row. `context`: `isGroup`, `terminalOf(device)` (null: unknown), `retry(publication)`,
 * `discard(publication)`.
 */
export function bubble(row, context) {
  const article = make("article", {
    class: `line ${row.kind}${row.own ? " own" : ""}${row.first ? " first" : ""}`,
    role: "article",
    tabindex: "-1",
  });
  article.dataset.key = row.key;
  if (row.day > 0)
    article.append(
      make("h3", { class: "day" }, make("time", { datetime: new Date(row.day).toISOString() }, dayName(row.day))),
    );
  if (row.kind === "gap") {
    article.append(make("p", { class: "aside gap" }, icon("i-gap"), gapWords(row.gap)));
  } else if (row.kind === "notice") {
    article.append(make("p", { class: "aside" }, icon("i-erased"), row.message.text ?? ""));
  } else {
    article.append(balloon(row, context));
  }
  return article;
}

function balloon(row, context) {
  const shown = row.publication ?? row.message;
  const inside = make("div", { class: `bubble${row.state === "refused" ? " refused" : ""}` });
  if (row.own) inside.append(make("span", { class: "only-read" }, "You: "));
  else if (row.first && context.isGroup) inside.append(make("span", { class: "from" }, shown.from));
  else inside.append(make("span", { class: "only-read" }, `${shown.from}: `));
  if (row.device && row.first) inside.append(elsewhere(row.device, context));
  inside.append(body(row, shown), foot(row, shown));
  const around = make("div", { class: "around" }, inside);
  if (row.state === "refused") around.append(refusal(row.publication, context));
  return around;
}

/** That one wrote it on another of one's devices, and on which. */
function elsewhere(device, context) {
  const terminal = context.terminalOf(device);
  const words = terminal ? `from your ${terminalName(terminal)}` : "from another device";
  return make(
    "span",
    { class: "elsewhere", title: device },
    icon(terminal ? terminalIcon(terminal) : "i-device"),
    words,
  );
}

function body(row, shown) {
  if (row.kind === "erased") return make("p", { class: "body gone" }, icon("i-erased"), "Message erased");
  if (shown.text !== null) return written(shown.text);
  if (shown.data !== null) return attached(shown);
  return make("p", { class: "body gone" }, "Its content is no longer here");
}

function written(text) {
  if (text.length <= FOLD_CHARS) return make("p", { class: "body", dir: "auto" }, text);
  const whole = make("p", { class: "body", dir: "auto" }, `${text.slice(0, FOLD_CHARS)}…`);
  const more = make("button", { type: "button", class: "link" }, "Show all of it");
  more.addEventListener("click", () => {
    whole.textContent = text;
    more.remove();
  });
  return make("div", {}, whole, more);
}

function attached({ type, data }) {
  const words = `${attachment(type)}, ${size(data.length)}`;
  if (PICTURES.has(type)) {
    const url = URL.createObjectURL(new Blob([data], { type }));
    const picture = make("img", { alt: words, src: url, class: "picture" });
    for (const event of ["load", "error"]) picture.addEventListener(event, () => URL.revokeObjectURL(url));
    return picture;
  }
  const button = make(
    "button",
    { type: "button", class: "file" },
    icon("i-file"),
    make("span", {}, words, make("small", {}, type)),
  );
  button.addEventListener("click", () => save(data));
  return button;
}

/** Hand the bytes over as a file: never as something the browser would open here. */
function save(data) {
  const url = URL.createObjectURL(new Blob([data], { type: "application/octet-stream" }));
  make("a", { href: url, download: "message.bin" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

const STATES = {
  waiting: ["i-waiting", "Waiting to be sent"],
  stored: ["i-stored", "Stored"],
  refused: ["i-refused", "Refused"],
};

function foot(row, shown) {
  const timeMs = shown.storedMs ?? shown.timeMs;
  const parts = make("span", { class: "foot" });
  if (timeMs > 0)
    parts.append(make("time", { datetime: new Date(timeMs).toISOString(), title: wholeTime(timeMs) }, clock(timeMs)));
  if (row.own && row.state) {
    const [picture, words] = STATES[row.state];
    parts.append(make("span", { class: `state ${row.state}`, title: words }, icon(picture, words)));
  }
  return parts;
}

function refusal(publication, context) {
  const words = refusedWords(publication.reason, publication.to);
  return make(
    "div",
    { class: "refusal" },
    make("span", {}, `Not sent. ${words}`),
    make("button", { type: "button", class: "link", onclick: () => context.retry(publication) }, "Try again"),
    make("button", { type: "button", class: "link", onclick: () => context.discard(publication) }, "Discard"),
  );
}
