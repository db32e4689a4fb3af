/** The journal: what happened, and what happens. */

import { form } from "./dialog.js";
import { announce, card, el, field, fill, heading, select } from "./dom.js";
import { plural, time } from "./format.js";
import { follow } from "./stream.js";
import { streamState } from "./stream_state.js";
import { Table } from "./table.js";

const KINDS = [
  "broker started", "broker stopped", "session opened", "session closed", "session ended", "log-in refused", "progress",
  "gap told", "inbox trimmed", "device forgotten", "user changed", "relation changed", "group changed", "records lost",
];
const ENDS = ["session closed", "session ended", "log-in refused"];
const ROWS = 100;
const ROWS_MAX = 1000;
/** What is drawn; older ones leave the page when newer come. */
const DRAW_MS = 250;
/** Records that come in a burst are drawn together. */

const KIND = { "log-in refused": "warn", "session ended": "warn", "gap told": "bad", "records lost": "bad", "inbox trimmed": "warn" };

/** Show it. The address holds the filter: `#/journal?user=alice&group=&terminal=pc&kind=session+closed`. */
export async function show({ api, page, query, signal }) {
  const filter = Object.fromEntries(["user", "group", "terminal", "kind"].map((name) => [name, query.get(name) ?? ""]));
  const state = streamState();
  const records = recordsTable("Records of the journal, newest first", "Nothing of that kind is recorded.");
  fill(page, heading("Journal", state.element), filterForm(filter), records.element);
  await records.run({ api, filter, signal, state });
}

/** The sessions that a user had, with who ended them. */
export async function history({ api, name, page, query, signal }) {
  const kicks = query.get("kicks") === "1";
  const home = `#/users/${encodeURIComponent(name)}/history`;
  const state = streamState();
  const records = recordsTable(kicks ? `How sessions of ${name} were taken over, ended or not let in` : `Sessions of ${name}`, kicks ? "Nobody was kicked." : "No session is recorded.");
  const links = el("p", { class: "choice" },
    el("a", { class: "button small", href: home, "aria-current": kicks ? null : "true" }, "All"),
    el("a", { class: "button small", href: `${home}?kicks=1`, "aria-current": kicks ? "true" : null }, "Kicks only"));
  fill(page, card(["Sessions and kicks ", state.element], links, records.element));
  const filter = { user: name, kind: kicks ? ENDS : ["session opened", ...ENDS] };
  await records.run({ api, filter, signal, state, wanted: (row) => !kicks || Boolean(row.by) });
}

function recordsTable(caption, none) {
  const table = new Table({
    caption, none, key: (row) => row.id,
    columns: [
      { label: "When", cell: (row) => time(row.at, { fraction: true }), sort: (row) => row.at },
      { label: "Kind", cell: (row) => ({ text: row.kind, kind: `badge ${KIND[row.kind] ?? ""}` }), sort: (row) => row.kind },
      { label: "User", cell: (row) => (row.user ? { text: row.user, href: `#/users/${encodeURIComponent(row.user)}` } : ""), sort: (row) => row.user ?? "" },
      { label: "Terminal", cell: (row) => (row.terminal ? { text: row.terminal, kind: "terminal" } : ""), sort: (row) => row.terminal ?? "" },
      { label: "Device", cell: (row) => ({ text: row.device ?? "", kind: "mono" }), sort: (row) => row.device ?? "" },
      { label: "What", cell: (row) => row.text },
      { label: "Address", cell: (row) => ({ text: row.address ?? "", kind: "mono" }), sort: (row) => row.address ?? "" },
      { label: "Reason", cell: (row) => row.reason ?? "", sort: (row) => row.reason ?? "" },
    ],
  });
  const older = el("button", { type: "button" }, "Older");
  const since = el("span", { class: "hint" });
  const element = el("div", { class: "stack" }, table.element, el("div", { class: "pager" }, older, since));
  return { element, run: (how) => run({ ...how, table, older, since }) };
}

async function run({ api, filter, signal, state, wanted = () => true, table, older, since }) {
  const rows = new Map();
  let newest = null;
  let before = null;
  const keep = (found) => {
    for (const row of found) {
      if (wanted(row)) rows.set(row.id, row);
      if (newest === null || row.id > newest) newest = row.id;
    }
  };
  const draw = () => table.update([...rows.values()].sort((a, b) => (a.id < b.id ? 1 : -1)));
  const load = async () => {
    const found = await api.ask("GET", "/v1/events", { query: { ...filter, newest: true, before, limit: ROWS }, signal });
    keep(found.events);
    before = found.next;
    older.disabled = before === null || rows.size >= ROWS_MAX;
    since.textContent = `Before ${time(found.since)} nothing is recorded.`;
    draw();
  };
  older.addEventListener("click", () => load().catch((error) => { if (error.name !== "AbortError") state.failed(error); }));
  await load();
  let due = null;
  let fresh = 0;
  const later = () => {
    due = null;
    const ids = [...rows.keys()].sort();
    for (const id of ids.slice(0, Math.max(0, ids.length - ROWS_MAX))) rows.delete(id);
    draw();
    announce(plural(fresh, "new record"));
    fresh = 0;
  };
  follow(api, "/v1/events/follow", {
    signal, state: state.told,
    query: () => ({ ...filter, after: newest }),
    event: (row) => {
      keep([row]);
      if (!wanted(row)) return;
      fresh += 1;
      due ??= setTimeout(later, DRAW_MS);
    },
  });
}

function filterForm(filter) {
  const input = (name) => el("input", { name, value: filter[name], autocomplete: "off", spellcheck: false });
  return form({
    label: "Filter of records", kind: "filter",
    fields: [field("User", input("user")), field("Group", input("group")), field("Terminal type", input("terminal")), field("Kind", select("kind", [["", "every kind"], ...KINDS], filter.kind))],
    buttons: [el("button", { type: "submit" }, "Filter"), el("a", { class: "button quiet", href: "#/journal" }, "All")],
    act: async (values) => {
      const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "")).toString();
      location.hash = `#/journal${query ? `?${query}` : ""}`;
    },
  });
}
