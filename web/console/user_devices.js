/** The devices of a user: how far each is, and what it would lose if retention came by now. */

import { path } from "./api.js";
import { ask } from "./dialog.js";
import { card, el, field, fill, toast } from "./dom.js";
import { ago, count, plural, time } from "./format.js";
import { every, follow } from "./stream.js";
import { streamState } from "./stream_state.js";
import { Table } from "./table.js";

const AGAIN_MS = 3000;
const CHANGES = ["session opened", "session closed", "session ended", "device forgotten"];

/** Show them. */
export async function devices({ api, rights, name, page, changed, signal }) {
  const state = streamState();
  const load = async () => {
    const found = await api.ask("GET", path`/v1/users/${name}/devices`, { signal });
    table.update(found.devices);
    const behind = found.devices.filter((row) => row.lag > 0).length;
    table.title = `Devices of ${name}: ${plural(found.devices.length, "device")}, ${behind ? `${count(behind)} behind` : "none behind"}; the inbox has ${count(found.floor)} to ${count(found.head)}`;
  };
  const table = new Table({
    caption: `Devices of ${name}`, key: (row) => row.device, none: "This user has no devices: nobody has logged in yet.",
    columns: COLUMNS,
    actions: (_, now) => [
      rights.button("Log out", "POST /v1/sessions/kick", () => logOut(api, name, now(), load), { kind: "small", name: `Log out ${now().device}` }),
      rights.button("Forget", "DELETE /v1/users/{user}/devices/{device}", () => forget(api, name, now(), async () => { await load(); await changed(); }), { kind: "small danger", name: `Forget ${now().device}` }),
    ],
  });
  fill(page, card(["Devices ", state.element], table.element));
  await load();
  every(AGAIN_MS, signal, load, state.failed);
  follow(api, "/v1/events/follow", {
    signal, state: state.told,
    query: () => ({ user: name, kind: CHANGES }),
    event: () => Promise.all([load(), changed()]).catch((error) => { if (error.name !== "AbortError") state.failed(error); }),
  });
}

const COLUMNS = [
  { label: "Device", cell: (row) => ({ text: row.device, kind: "mono" }), sort: (row) => row.device },
  { label: "Terminal", cell: (row) => ({ text: row.terminal, kind: "terminal" }), sort: (row) => row.terminal },
  { label: "State", cell: (row) => (row.online ? { text: "online", kind: "badge good", title: `at ${row.address} since ${time(row.since)}` } : { text: "offline", kind: "badge" }), sort: (row) => Number(row.online) },
  { label: "Client", cell: (row) => row.client || "–", sort: (row) => row.client },
  { label: "Address", cell: (row) => ({ text: row.address || "–", kind: "mono" }), sort: (row) => row.address },
  { label: "Last seen", cell: (row) => (row.online ? "now" : { text: ago(row.last_seen), title: time(row.last_seen) }), sort: (row) => (row.online ? Infinity : row.last_seen) },
  { label: "Cursor", number: true, cell: (row) => count(row.cursor), sort: (row) => row.cursor },
  { label: "Lag", number: true, cell: (row) => (row.lag ? { text: count(row.lag), kind: "badge warn" } : "0"), sort: (row) => row.lag },
  { label: "Oldest it lacks", cell: (row) => (row.oldest_at ? { text: ago(row.oldest_at), title: time(row.oldest_at) } : "–"), sort: (row) => -(row.oldest_at ?? Infinity) },
  { label: "Would lose", cell: (row) => loses(row), sort: (row) => row.loses },
];

function loses(row) {
  if (!row.loses) return "nothing";
  return { text: `${count(row.loses)} from ${count(row.loses_from)} on, by ${row.loses_by}`, kind: "badge bad" };
}

async function logOut(api, name, row, load) {
  if (!row.online) {
    toast(`${row.device} is not online`);
    return;
  }
  const text = el("input", { name: "text", maxlength: 200, autocomplete: "off" });
  const done = await ask({
    title: `Log ${name} out on ${row.terminal}?`, confirm: "Log out", danger: true,
    text: "The session ends. The device is told by whom and why, and does not come back by itself.",
    fields: field("Reason, for the person at the device", text),
    act: (values) => api.ask("POST", "/v1/sessions/kick", { body: { user: name, terminal: row.terminal, text: values.text } }),
  });
  if (done) await load();
}

async function forget(api, name, row, changed) {
  const done = await ask({
    title: `Forget the device ${row.device}?`, confirm: "Forget", danger: true, again: row.device,
    text: "Its session ends; its cursor and token go. If it comes back it is a new device, and needs the password.",
    act: () => api.ask("DELETE", path`/v1/users/${name}/devices/${row.device}`),
  });
  if (!done) return;
  toast(`${row.device} is forgotten`, "good");
  await changed();
}
