/** Live sessions: who is connected, from where, how far behind; and an end to that. */

import { ask } from "./dialog.js";
import { announce, el, field, fill, heading, toast } from "./dom.js";
import { form } from "./dialog.js";
import { ago, count, plural, time } from "./format.js";
import { pager } from "./pager.js";
import { every, follow } from "./stream.js";
import { streamState } from "./stream_state.js";
import { Table } from "./table.js";

const AGAIN_MS = 5000;
const AFTER_EVENT_MS = 300;
const ROWS = 100;

const CHANGES = ["session opened", "session closed", "session ended"];

/** Show them. The address holds the filter: `#/sessions?user=alice&terminal=pc&address=10.0.&backlog_min=1`. */
export async function show({ api, rights, page, query, signal }) {
  const filter = Object.fromEntries(["user", "terminal", "address", "backlog_min"].map((name) => [name, query.get(name) ?? ""]));
  const state = streamState();
  const table = sessionsTable({ api, rights, caption: "Live sessions by user", changed: () => load() });
  const pages = pager({ signal, load: () => load() });
  const load = async () => {
    const found = await api.ask("GET", "/v1/sessions", { query: { ...filter, after: pages.after, limit: ROWS }, signal });
    table.update(found.sessions);
    table.title = `Live sessions by user: ${plural(found.sessions.length, "session")}${found.next || pages.after ? " on this page" : ""}`;
    pages.told(found.next);
  };
  table.none = Object.values(filter).some(Boolean) ? "No live session fits that." : "Nobody is connected.";
  fill(page, heading("Live sessions", state.element), filterForm(filter), table.element, pages.element);
  await load();
  every(AGAIN_MS, signal, load, state.failed);
  let due = null;
  const soon = () => {
    due ??= setTimeout(async () => {
      due = null;
      if (!signal.aborted) await load().catch((error) => { if (error.name !== "AbortError") state.failed(error); });
    }, AFTER_EVENT_MS);
  };
  follow(api, "/v1/events/follow", {
    signal,
    query: () => ({ kind: CHANGES, user: filter.user, terminal: filter.terminal }),
    state: state.told,
    event: (record) => {
      announce(`${record.user}, ${record.terminal}: ${record.kind}`);
      soon();
    },
  });
}

function filterForm(filter) {
  const input = (name, more = {}) => el("input", { name, value: filter[name], autocomplete: "off", spellcheck: false, ...more });
  return form({
    label: "Filter of sessions", kind: "filter",
    fields: [
      field("User", input("user")),
      field("Terminal type", input("terminal")),
      field("Address begins with", input("address")),
      field("Backlog at least", input("backlog_min", { inputmode: "numeric", type: "number", min: 0 })),
    ],
    buttons: [el("button", { type: "submit" }, "Filter"), el("a", { class: "button quiet", href: "#/sessions" }, "All")],
    act: async (values) => {
      const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "")).toString();
      location.hash = `#/sessions${query ? `?${query}` : ""}`;
    },
  });
}

/** A table of sessions; a kick calls `changed`. */
export function sessionsTable({ api, rights, caption, changed }) {
  const figure = (label, value) => ({ label, number: true, cell: (row) => count(value(row)), sort: value });
  return new Table({
    caption,
    key: (row) => JSON.stringify([row.user, row.terminal]),
    columns: [
      { label: "User", cell: (row) => ({ text: row.user, href: `#/users/${encodeURIComponent(row.user)}` }), sort: (row) => row.user },
      { label: "Terminal", cell: (row) => ({ text: row.terminal, kind: "terminal" }), sort: (row) => row.terminal },
      { label: "Device", cell: (row) => ({ text: row.device, kind: "mono" }), sort: (row) => row.device },
      { label: "Client", cell: (row) => row.client || "–", sort: (row) => row.client },
      { label: "Address", cell: (row) => ({ text: row.address, kind: "mono" }), sort: (row) => row.address },
      { label: "Since", cell: (row) => ({ text: ago(row.since), title: time(row.since) }), sort: (row) => row.since },
      figure("Position", (row) => row.position),
      figure("Head", (row) => row.head),
      figure("Backlog", (row) => row.backlog),
      figure("Unacknowledged", (row) => row.unacknowledged),
    ],
    actions: (_, now) => [
      rights.button("Kick", "POST /v1/sessions/kick", () => kick(api, now(), changed), { kind: "small danger", name: `Kick ${now().user}, ${now().terminal}` }),
    ],
  });
}

async function kick(api, row, changed) {
  const text = el("input", { name: "text", maxlength: 200, autocomplete: "off" });
  const done = await ask({
    title: `Kick ${row.user} on ${row.terminal}?`,
    text: ["The session ends. The device is told by whom and why, and does not come back by itself; a person can log in again.", el("p", { class: "mono" }, `${row.device} at ${row.address}`)],
    fields: field("Reason, for the person at the device", text),
    confirm: "Kick", danger: true,
    act: (values) => api.ask("POST", "/v1/sessions/kick", { body: { user: row.user, terminal: row.terminal, text: values.text } }),
  });
  if (!done) return;
  toast(`${row.user} was kicked on ${done.terminals.join(", ")}`, "good");
  await changed();
}
