/** Who may administer this broker over the network. */

import { path } from "./api.js";
import { ask, show as showDialog } from "./dialog.js";
import { el, field, fill, heading, select, toast } from "./dom.js";
import { time } from "./format.js";
import { pager } from "./pager.js";
import { copy } from "./rights.js";
import { Table } from "./table.js";

const ROLES = [["read", "read: look"], ["operate", "operate: and what can be undone"], ["admin", "admin: everything"]];

/** Show them. */
export async function show({ api, rights, page, signal }) {
  const table = new Table({
    caption: "Admins by name", key: (row) => row.name, none: "There are none: only who may use the admin socket is let in.",
    columns: [
      { label: "Admin", cell: (row) => (row.name === rights.name ? [row.name, " ", { text: "you", kind: "badge good" }] : row.name), sort: (row) => row.name },
      { label: "Role", cell: (row) => ({ text: row.role, kind: "badge" }), sort: (row) => row.role },
      { label: "Since", cell: (row) => time(row.created), sort: (row) => row.created },
    ],
    actions: (_, now) => rights.button("Revoke", "DELETE /v1/admins/{admin}", async () => {
      const { name } = now();
      const done = await ask({
        title: `Revoke the token of ${name}?`, confirm: "Revoke", danger: true, again: name,
        text: ["The token does not count any more, and what is watched with it ends.", name === rights.name ? "This is your own: you will be signed out." : null].filter(Boolean),
        act: () => api.ask("DELETE", path`/v1/admins/${name}`),
      });
      if (!done) return;
      toast(`${name} is no admin any more`, "good");
      await load();
    }, { kind: "small danger", name: `Revoke ${now().name}` }),
  });
  const load = async () => {
    const found = await api.ask("GET", "/v1/admins", { query: { after: pages.after }, signal });
    table.update(found.admins);
    pages.told(found.next);
  };
  const pages = pager({ load });
  const add = rights.button("Add an admin", "POST /v1/admins", async () => {
    const added = await ask({
      title: "Add an admin", confirm: "Add",
      fields: [field("Name", el("input", { name: "name", autocomplete: "off", spellcheck: false, required: true }), "For the audit log, and for those who are kicked."), field("Role", select("role", ROLES, "read"))],
      act: (values) => api.ask("POST", "/v1/admins", { body: values }),
    });
    if (!added) return;
    await load();
    await tellToken(added);
  }, { kind: "primary" });
  fill(page, heading("Admins", add), el("p", {}, "Each has a role and a token. What they do is written to the audit log on the broker's machine (audit.log in its data folder)."), table.element, pages.element);
  await load();
}

async function tellToken(added) {
  const take = el("button", { type: "button" }, "Copy");
  take.addEventListener("click", () => copy(added.token, "The token"));
  await showDialog({
    title: `The token of ${added.name}`,
    content: [el("p", {}, "This is the only time that it is shown: the broker keeps no more than a digest."), el("p", { class: "token" }, el("code", {}, added.token)), take],
    close: "I have it",
  });
}
