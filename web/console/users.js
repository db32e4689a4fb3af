/** Accounts: find, add, and go to one. */

import { ask, form } from "./dialog.js";
import { el, field, fill, heading, toast } from "./dom.js";
import { count, time } from "./format.js";
import { pager } from "./pager.js";
import { every } from "./stream.js";
import { streamState } from "./stream_state.js";
import { Table } from "./table.js";

const AGAIN_MS = 10_000;
const ROWS = 100;
const AFTER_BYTES_MAX = 100;

/** Show them; `#/users?begins=al` those whose names begin so. */
export async function show({ api, rights, page, query, signal }) {
  const begins = query.get("begins") ?? "";
  const state = streamState("Up to date");
  const table = new Table({
    caption: "Users by name", key: (row) => row.name, none: begins ? "No name begins so." : "There are no users yet.",
    columns: [
      { label: "User", cell: (row) => ({ text: row.name, href: `#/users/${encodeURIComponent(row.name)}` }), sort: (row) => row.name },
      { label: "State", cell: (row) => (row.disabled ? { text: "disabled", kind: "badge bad" } : { text: "enabled", kind: "badge" }), sort: (row) => Number(row.disabled) },
      { label: "Online on", cell: (row) => row.online.flatMap((terminal) => [{ text: terminal, kind: "terminal" }, " "]), sort: (row) => row.online.length },
      { label: "Devices", number: true, cell: (row) => count(row.devices), sort: (row) => row.devices },
      { label: "Inbox from", number: true, cell: (row) => (row.head >= row.floor ? count(row.floor) : "empty"), sort: (row) => row.floor },
      { label: "to", number: true, cell: (row) => (row.head >= row.floor ? count(row.head) : ""), sort: (row) => row.head },
      { label: "Created", cell: (row) => time(row.created), sort: (row) => row.created },
    ],
  });
  const pages = pager({ load: () => load() });
  pages.restart(justBelow(begins));
  const load = async () => {
    const found = await api.ask("GET", "/v1/users", { query: { after: pages.after, limit: ROWS }, signal });
    const rows = found.users.filter((row) => row.name.startsWith(begins));
    table.update(rows);
    const last = found.users.at(-1)?.name ?? "";
    const ended = begins !== "" && last > begins && !last.startsWith(begins);
    pages.told(ended ? null : found.next);
    state.told("live");
  };
  fill(page,
    heading("Users", state.element, rights.button("Add a user", "POST /v1/users", () => addUser(api, signal), { kind: "primary" })),
    search(begins), table.element, pages.element);
  await load();
  every(AGAIN_MS, signal, load, state.failed);
}

/** What comes before every name that begins so, and after nearly every other that is lower (by bytes of UTF-8). */
export function justBelow(prefix) {
  if (!prefix) return "";
  const chars = [...prefix];
  const code = chars.pop().codePointAt(0);
  const below = code - 1 >= 0xd800 && code - 1 <= 0xdfff ? 0xd7ff : code - 1;
  const key = `${chars.join("")}${String.fromCodePoint(below)}\u{10ffff}`;
  return key.length <= AFTER_BYTES_MAX ? key : chars.join("").slice(0, AFTER_BYTES_MAX);
}

function search(begins) {
  const name = el("input", { name: "begins", type: "search", value: begins, autocomplete: "off", spellcheck: false });
  return form({
    label: "Find users", kind: "filter",
    fields: field("Name begins with", name),
    buttons: [el("button", { type: "submit" }, "Find"), el("a", { class: "button quiet", href: "#/users" }, "All")],
    act: async (values) => { location.hash = values.begins ? `#/users?begins=${encodeURIComponent(values.begins)}` : "#/users"; },
  });
}

async function addUser(api, signal) {
  const name = el("input", { name: "name", autocomplete: "off", spellcheck: false, required: true, maxlength: 64 });
  const password = el("input", { name: "password", type: "password", autocomplete: "new-password", required: true });
  const added = await ask({
    title: "Add a user", confirm: "Add", fields: [field("Name", name), field("Password", password)],
    act: (values) => api.ask("POST", "/v1/users", { body: { name: values.name, password: values.password } }),
  });
  if (!added || signal.aborted) return;
  toast(`${added.name} was added`, "good");
  location.hash = `#/users/${encodeURIComponent(added.name)}`;
}
