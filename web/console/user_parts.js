/** Tokens, contacts, blocks and groups of a user. */

import { path } from "./api.js";
import { ask, form } from "./dialog.js";
import { badge, card, el, field, fill, toast } from "./dom.js";
import { ago, time } from "./format.js";
import { Table } from "./table.js";

const TOKEN_PAGES_MAX = 100;

/** Which devices may log in without a password. */
export async function tokens({ api, rights, name, page, signal }) {
  const table = new Table({
    caption: `Devices of ${name} that may log in with a token`, key: (row) => row.device, none: "No device has a token.",
    columns: [
      { label: "Device", cell: (row) => ({ text: row.device, kind: "mono" }), sort: (row) => row.device },
      { label: "Terminal", cell: (row) => ({ text: row.terminal, kind: "terminal" }), sort: (row) => row.terminal },
      { label: "State", cell: (row) => (row.online ? { text: "online", kind: "badge good" } : { text: "offline", kind: "badge" }), sort: (row) => Number(row.online) },
      { label: "Last seen", cell: (row) => ({ text: ago(row.last_seen), title: time(row.last_seen) }), sort: (row) => row.last_seen },
    ],
    actions: (_, now) => rights.button("Revoke", "DELETE /v1/users/{user}/devices/{device}/token", async () => {
      const row = now();
      const done = await ask({
        title: `Revoke the token of ${row.device}?`, confirm: "Revoke", danger: true,
        text: "Its session ends. The next log-in of this device needs the password.",
        act: () => api.ask("DELETE", path`/v1/users/${name}/devices/${row.device}/token`),
      });
      if (!done) return;
      toast(`The token of ${row.device} is revoked`, "good");
      await load();
    }, { kind: "small danger", name: `Revoke the token of ${now().device}` }),
  });
  const load = async () => {
    const rows = [];
    let after = "";
    for (let pages = 0; after !== null && pages < TOKEN_PAGES_MAX; pages += 1) {
      const found = await api.ask("GET", "/v1/tokens", { query: { user: name, after }, signal });
      rows.push(...found.tokens);
      after = found.next;
    }
    table.update(rows);
  };
  fill(page, card("Tokens", table.element));
  await load();
}

/** Contacts, and whom the user has blocked. */
export async function relations({ api, rights, name, page, changed, signal }) {
  const one = (word, title, caption, none, verb) => relation({ api, rights, name, signal, changed, word, title, caption, none, verb });
  const contacts = one("contacts", "Contacts", `Contacts of ${name}`, "No contacts.", "Add");
  const blocks = one("blocks", "Blocked users", `Users whom ${name} has blocked`, "Nobody is blocked.", "Block");
  fill(page, el("div", { class: "cards two" }, contacts.element, blocks.element));
  await Promise.all([contacts.load(), blocks.load()]);
}

function relation({ api, rights, name, signal, changed, word, title, caption, none, verb }) {
  const table = new Table({
    caption, key: (row) => row, none, wide: false,
    columns: [{ label: "User", cell: (row) => ({ text: row, href: `#/users/${encodeURIComponent(row)}` }), sort: (row) => row }],
    actions: (_, now) => rights.button("Remove", `DELETE /v1/users/{user}/${word}/{other}`, () => put("DELETE", now()), { kind: "small", name: `Remove ${now()}` }),
  });
  const address = path`/v1/users/${name}/`;
  const put = async (method, other) => {
    const now = await api.ask(method, address + word + path`/${other}`);
    table.update(now.others);
    toast(`${other} was ${method === "PUT" ? "added" : "removed"}`, "good");
    await changed();
  };
  const other = el("input", { name: "other", autocomplete: "off", spellcheck: false, required: true });
  const adding = form({
    label: `${verb}: a user`, kind: "filter", fields: field("User", other),
    buttons: rights.button(verb, `PUT /v1/users/{user}/${word}/{other}`, null, { type: "submit" }),
    act: async (values, made) => { await put("PUT", values.other); made.reset(); },
  });
  return {
    element: card(title, table.element, adding),
    load: async () => table.update((await api.ask("GET", address + word, { signal })).others),
  };
}

/** The groups that the user is in. */
export async function groupsOf({ api, name, page, signal }) {
  const found = await api.ask("GET", path`/v1/users/${name}/groups`, { signal });
  const table = new Table({
    caption: `Groups of ${name}`, key: (row) => row, none: `${name} is in no group.`, wide: false,
    columns: [{ label: "Group", cell: (row) => ({ text: row, href: `#/groups/${encodeURIComponent(row)}` }), sort: (row) => row }],
  });
  table.update(found.groups);
  fill(page, card(["Groups ", badge(String(found.groups.length))], table.element));
}
