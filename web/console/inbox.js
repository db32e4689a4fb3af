/** An inbox: its entries as they come, without what they say; that is shown on demand, and the demand is audited. */

import { path } from "./api.js";
import { form } from "./dialog.js";
import { announce, card, el, field, fill } from "./dom.js";
import { bodyText, bytes, count, plural, time } from "./format.js";
import { follow } from "./stream.js";
import { streamState } from "./stream_state.js";
import { Table } from "./table.js";

const ROWS = 50;
const ROWS_MAX = 1000;
const CONVERSATIONS = 10;

/** Show it. `?conversation=user/bob`: of one conversation; `?to=120`: up to a number, and not live. */
export async function inbox({ api, rights, name, page, query, signal }) {
  const state = streamState();
  const address = path`/v1/users/${name}/inbox`;
  const conversation = query.get("conversation") ?? "";
  const to = query.get("to") ?? "";
  const entries = new Map();
  const bodies = new Map();
  const home = `#/users/${encodeURIComponent(name)}/inbox`;
  const table = new Table({
    caption: `Inbox of ${name}, newest first`, key: (row) => row.seq, none: "There are no entries.", sorted: "-No.",
    columns: [...columns(), { label: "Body", cell: (row) => bodies.get(row.seq) ?? (row.kind === "erased" || row.kind === "damaged" || row.kind === "gap" ? "" : "not shown") }],
    actions: (row, now) => (row.kind === "gap" ? [] : [
      el("a", { class: "button small", href: `#/explain/entry/${encodeURIComponent(name)}/${row.seq}`, "aria-label": `Explain entry ${row.seq}` }, "Explain"),
      row.kind === "erased" || row.kind === "damaged" ? null : rights.button("Show body", "GET /v1/users/{user}/inbox/bodies", () => body(now()), { kind: "small", name: `Show the body of entry ${row.seq}` }),
    ].filter(Boolean)),
  });
  const body = async (row) => {
    const found = await api.ask("GET", `${address}/bodies`, { query: { from: row.seq, to: row.seq }, signal });
    bodies.set(row.seq, found.entries.length ? { text: bodyText(found.entries[0]), kind: "body" } : "gone");
    announce(`Body of entry ${row.seq}`);
    table.update(table.rows);
  };
  const draw = () => {
    const rows = [...entries.values()].sort((a, b) => b.seq - a.seq).slice(0, ROWS_MAX);
    table.update(rows);
  };
  const older = el("button", { type: "button" }, "Older");
  let floor = 1;
  const load = async (last) => {
    const found = await api.ask("GET", address, { query: { to: last, newest: ROWS, conversation }, signal });
    for (const entry of found.entries) entries.set(entry.seq, entry);
    floor = found.floor;
    draw();
    older.disabled = found.entries.length < ROWS || entries.size >= ROWS_MAX;
    return found.head;
  };
  older.addEventListener("click", () => {
    const first = Math.min(...entries.keys());
    if (first > floor) load(first - 1).catch((error) => { if (error.name !== "AbortError") state.failed(error); });
    else older.disabled = true;
  });
  const stat = el("div");
  fill(page,
    card(["Inbox ", to ? null : state.element],
      el("p", { class: "hint" }, "What a message says is shown only when you press for it; each time is written to the audit log with your name."),
      filter({ conversation, to, home }), table.element, el("div", { class: "pager" }, older)),
    card("Conversations", stat));
  const head = await load(to || undefined);
  showStat(stat, await api.ask("GET", `${address}/stat`, { query: { conversations: CONVERSATIONS }, signal }), home);
  if (to) return;
  let seen = head;
  follow(api, `${address}/tail`, {
    signal, state: state.told,
    query: () => ({ after: seen }),
    event: (entry) => {
      seen = Math.max(seen, entry.last ?? entry.seq);
      if (conversation && !belongs(entry, name, conversation)) return;
      entries.set(entry.seq, entry);
      announce(`New entry ${entry.seq}`);
      draw();
    },
  });
}

function belongs(entry, name, conversation) {
  if (entry.kind === "gap") return true;
  return entry.to === conversation || (entry.to === `user/${name}` && `user/${entry.sender ?? entry.from}` === conversation);
}

function columns() {
  return [
    { label: "No.", number: true, cell: (row) => (row.kind === "gap" ? `${count(row.seq)} to ${count(row.last)}` : count(row.seq)), sort: (row) => row.seq },
    { label: "Stored", cell: (row) => time(row.time), sort: (row) => row.time ?? 0 },
    { label: "Kind", cell: (row) => kindText(row), sort: (row) => row.kind },
    { label: "From", cell: (row) => row.from ?? "", sort: (row) => row.from ?? "" },
    { label: "To", cell: (row) => row.to ?? "", sort: (row) => row.to ?? "" },
    { label: "Type", cell: (row) => row.type ?? "", sort: (row) => row.type ?? "" },
    { label: "Size", number: true, cell: (row) => (row.bytes ? bytes(row.bytes) : ""), sort: (row) => row.bytes ?? 0 },
  ];
}

function kindText(row) {
  if (row.kind === "gap") return { text: `gap: gone by ${row.reason}`, kind: "badge warn" };
  if (row.kind === "erased") return { text: "erased", kind: "badge" };
  if (row.kind === "damaged") return { text: "damaged: the store cannot read it", kind: "badge warn" };
  return row.kind === "own" ? { text: "own", kind: "badge good" } : "received";
}

function filter({ conversation, to, home }) {
  return form({
    label: "Filter of entries", kind: "filter",
    fields: [
      field("Conversation", el("input", { name: "conversation", value: conversation, placeholder: "user/bob, group/team", autocomplete: "off", spellcheck: false })),
      field("Up to number", el("input", { name: "to", type: "number", min: 1, value: to, inputmode: "numeric" })),
    ],
    buttons: [el("button", { type: "submit" }, "Filter"), el("a", { class: "button quiet", href: home }, "All, live")],
    act: async (values) => {
      const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "")).toString();
      location.hash = `${home}${query ? `?${query}` : ""}`;
    },
  });
}

function showStat(where, stat, home) {
  const table = new Table({
    caption: `The newest of ${plural(stat.conversations, "conversation")}: ${plural(stat.entries, "entry", "entries")}, ${bytes(stat.bytes)}, the oldest of ${time(stat.oldest)}`,
    key: (row) => row.address, none: "There are no conversations.", wide: false,
    columns: [
      { label: "Conversation", cell: (row) => ({ text: row.address, href: `${home}?conversation=${encodeURIComponent(row.address)}` }), sort: (row) => row.address },
      { label: "Entries", number: true, cell: (row) => count(row.entries), sort: (row) => row.entries },
      { label: "Newest", number: true, cell: (row) => count(row.newest), sort: (row) => row.newest },
    ],
  });
  table.update(stat.newest);
  fill(where, table.element);
}
