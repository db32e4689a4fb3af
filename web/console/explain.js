/** The way of one message: from its sender through the commit into each inbox, and on to each device; or why not. */

import { path } from "./api.js";
import { form } from "./dialog.js";
import { badge, card, el, facts, field, fill, heading } from "./dom.js";
import { bytes, count, plural, sentence, time } from "./format.js";

const VERDICTS = { acknowledged: "good", "passed over": "", "in window": "warn", waiting: "warn", offline: "", lost: "bad", unknown: "" };

/** Show it: `#/explain/message/ID`, `#/explain/message/ID?user=bob`, `#/explain/entry/alice/12`. */
export async function show({ api, page, words, query, signal }) {
  const [kind = "", first = "", second = ""] = words;
  const result = el("div", { class: "stack" });
  fill(page, heading("Explain a message"), el("p", {}, "When it was stored, to which session it was pushed, when it was acknowledged, or exactly why not."),
    el("div", { class: "cards two" }, byId(kind === "message" ? first : "", query.get("user") ?? ""), byEntry(kind === "entry" ? first : "", kind === "entry" ? second : "")), result);
  if (kind === "message" && first) {
    draw(result, await api.ask("GET", path`/v1/messages/${first}/explain`, { query: { user: query.get("user") }, signal }));
  } else if (kind === "entry" && first && second) {
    draw(result, await api.ask("GET", path`/v1/users/${first}/inbox/${second}/explain`, { query: { terminal: query.get("terminal") }, signal }));
  }
}

const plain = { autocomplete: "off", spellcheck: false };

function byId(id, user) {
  return card("By its id", form({
    label: "Explain by id",
    fields: [
      field("Message id", el("input", { name: "id", value: id, required: true, placeholder: "0193a5c2f1e80004", ...plain })),
      field("Only for the user (optional)", el("input", { name: "user", value: user, ...plain })),
    ],
    buttons: el("button", { type: "submit", class: "primary" }, "Explain"),
    act: async (values) => {
      const query = values.user ? `?user=${encodeURIComponent(values.user)}` : "";
      location.hash = `#/explain/message/${encodeURIComponent(values.id.trim())}${query}`;
    },
  }));
}

function byEntry(user, seq) {
  return card("By its number in an inbox", form({
    label: "Explain by entry",
    fields: [
      field("User", el("input", { name: "user", value: user, required: true, ...plain })),
      field("Number", el("input", { name: "seq", value: seq, required: true, type: "number", min: 1, inputmode: "numeric" })),
    ],
    buttons: el("button", { type: "submit", class: "primary" }, "Explain"),
    act: async (values) => { location.hash = `#/explain/entry/${encodeURIComponent(values.user)}/${values.seq}`; },
  }));
}

function draw(where, found) {
  fill(where,
    found.message ? message(found.message) : el("p", { class: "notice" }, "The message is gone: it was trimmed or erased. What the journal has of it follows."),
    found.inboxes.map(inbox),
    found.more ? el("p", { class: "notice" }, `${plural(found.more, "more inbox", "more inboxes")}: ask for one of them by its user.`) : null,
    el("p", { class: "hint" }, `Before ${time(found.journal_since)} nothing is recorded. Moments are known to the second.`));
}

function userLink(name) {
  return el("a", { href: `#/users/${encodeURIComponent(name)}` }, name);
}

function message(one) {
  const published = one.by_admin ? "an admin, in the name of the sender" : one.device === null ? "a device that is not known any more" : [el("span", { class: "mono" }, one.device), `, as number ${count(one.n)} of its publishes`];
  return card(["Message ", el("span", { class: "mono" }, one.id)], facts([
    ["From", userLink(one.sender)],
    ["To", one.to],
    ["Body", `${bytes(one.body_bytes)} of ${one.content_type}`],
    ["Published by", published],
    ["Stored", time(one.time, { fraction: true })],
    ["Commit", `${count(one.batch_place)} of ${count(one.batch_size)} in the batch ${one.batch_first}`],
    ["Inboxes", `${count(one.inboxes)}${one.released ? `, of which ${count(one.released)} have let go of it since` : ""}`],
  ]));
}

function inbox(one) {
  const where = one.seq === null ? "" : `, entry ${count(one.seq)}`;
  const devices = one.devices.length ? one.devices.map(device) : el("p", { class: "none" }, "This user has no devices.");
  return card(["Inbox of ", userLink(one.user), where], el("p", {}, sentence(one.text)), el("div", { class: "ways" }, devices));
}

function device(one) {
  const steps = one.steps.map((step) => {
    const at = step.since ? `after ${time(step.since, { fraction: true })}, by ${time(step.at, { fraction: true })}` : time(step.at, { fraction: true });
    return el("li", { class: step.what.replaceAll(" ", "-") }, el("span", { class: "when" }, at), el("span", {}, step.text), step.session ? el("span", { class: "hint" }, ` session ${step.session}`) : null);
  });
  return el("article", { class: "way" },
    el("h3", {}, el("span", { class: "terminal" }, one.terminal), " ", el("span", { class: "mono" }, one.device), " ", badge(one.verdict, VERDICTS[one.verdict] ?? "")),
    el("p", {}, sentence(one.text)), el("ol", { class: "steps" }, steps));
}
