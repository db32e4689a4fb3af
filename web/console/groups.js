/** Groups: who is in them, who owns them. */

import { path } from "./api.js";
import { ask, form } from "./dialog.js";
import { card, el, facts, field, fill, heading, toast } from "./dom.js";
import { count, plural } from "./format.js";
import { pager } from "./pager.js";
import { Table } from "./table.js";

const ROWS = 100;
const MEMBERS_SHOWN = 5;

const link = (name) => ({ text: name, href: `#/groups/${encodeURIComponent(name)}` });
const plain = { autocomplete: "off", spellcheck: false };

/** Show them all, or one: `#/groups/team`. */
export async function show(view) {
  await (view.words.length ? one(view, view.words[0]) : all(view));
}

/** Names out of a field: by commas or lines, since a name may have spaces. */
function names(text) {
  return text.split(/[,\n]/).map((name) => name.trim()).filter(Boolean);
}

async function all({ api, rights, page, signal }) {
  const table = new Table({
    caption: "Groups by name", key: (row) => row.name, none: "There are no groups yet.",
    columns: [
      { label: "Group", cell: (row) => link(row.name), sort: (row) => row.name },
      { label: "Owner", cell: (row) => ({ text: row.owner, href: `#/users/${encodeURIComponent(row.owner)}` }), sort: (row) => row.owner },
      { label: "Members", number: true, cell: (row) => count(row.members.length), sort: (row) => row.members.length },
      { label: "Who", cell: (row) => row.members.slice(0, MEMBERS_SHOWN).join(", ") + (row.members.length > MEMBERS_SHOWN ? ` and ${count(row.members.length - MEMBERS_SHOWN)} more` : "") },
    ],
  });
  const load = async () => {
    const found = await api.ask("GET", "/v1/groups", { query: { after: pages.after, limit: ROWS }, signal });
    table.update(found.groups);
    pages.told(found.next);
  };
  const pages = pager({ load });
  fill(page, heading("Groups", rights.button("Create a group", "POST /v1/groups", () => create(api), { kind: "primary" })), table.element, pages.element);
  await load();
}

async function create(api) {
  const members = el("textarea", { name: "members", rows: 3, ...plain });
  const made = await ask({
    title: "Create a group", confirm: "Create",
    fields: [
      field("Name", el("input", { name: "name", required: true, ...plain })),
      field("Owner", el("input", { name: "owner", required: true, ...plain }), "A user; a member, too."),
      field("Members (optional)", members, "Users, with commas between them."),
    ],
    act: (values) => api.ask("POST", "/v1/groups", { body: { name: values.name, owner: values.owner, members: names(values.members) } }),
  });
  if (!made) return;
  toast(`The group ${made.name} was created`, "good");
  location.hash = `#/groups/${encodeURIComponent(made.name)}`;
}

async function one({ api, rights, page, signal }, name) {
  const address = path`/v1/groups/${name}`;
  const about = el("div");
  const draw = (row) => {
    fill(about, facts([["Owner", el("a", { href: `#/users/${encodeURIComponent(row.owner)}` }, row.owner)], ["Members", plural(row.members.length, "user")]]));
    table.update(row.members.map((member) => ({ name: member, owner: member === row.owner })));
  };
  const change = async (body) => draw(await api.ask("POST", `${address}/members`, { body }));
  const table = new Table({
    caption: `Members of ${name}`, key: (row) => row.name, none: "It has no members.", wide: false,
    columns: [
      { label: "User", cell: (row) => ({ text: row.name, href: `#/users/${encodeURIComponent(row.name)}` }), sort: (row) => row.name },
      { label: "Part", cell: (row) => (row.owner ? { text: "owner", kind: "badge good" } : "member"), sort: (row) => Number(row.owner) },
    ],
    actions: (_, now) => rights.button("Remove", "POST /v1/groups/{group}/members", async () => {
      const member = now().name;
      const done = await ask({
        title: `Remove ${member} from ${name}?`, confirm: "Remove", danger: true,
        text: "What was written there stays in the inbox. When the owner goes, the member who has been a user for longest follows; the group goes with its last member.",
        act: async () => {
          if (table.rows.length === 1) return await api.ask("POST", `${address}/members`, { body: { remove: [member] } }).catch(goneIsDone);
          await change({ remove: [member] });
          return true;
        },
      });
      if (!done) return;
      toast(`${member} was removed`, "good");
      if (table.rows.length === 1 && table.rows[0].name === member) location.hash = "#/groups";
    }, { kind: "small", name: `Remove ${now().name}` }),
  });
  const remove = async () => {
    const done = await ask({
      title: `Delete the group ${name}?`, confirm: "Delete the group", danger: true, again: name,
      text: "Nobody can write there any more. What was written stays in the inboxes. This cannot be undone.",
      act: () => api.ask("DELETE", address),
    });
    if (!done) return;
    toast(`The group ${name} was deleted`, "good");
    location.hash = "#/groups";
  };
  const adding = form({
    label: "Add members", kind: "filter", fields: field("Users to add", el("input", { name: "add", required: true, ...plain }), "Several with commas between them: all are added, or none."),
    buttons: rights.button("Add", "POST /v1/groups/{group}/members", null, { type: "submit" }),
    act: async (values, made) => {
      await change({ add: names(values.add) });
      made.reset();
      toast("Added", "good");
    },
  });
  draw(await api.ask("GET", address, { signal }));
  fill(page,
    el("p", { class: "trail" }, el("a", { href: "#/groups" }, "Groups"), " / "),
    heading(name, rights.button("Delete", "DELETE /v1/groups/{group}", remove, { kind: "danger" })),
    card("Group", about), card("Members", table.element, adding));
}

/** The last member went, and the group with him: there is nothing to be told of it any more. */
function goneIsDone(problem) {
  if (problem.status !== 404) throw problem;
  return true;
}
