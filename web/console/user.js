/** One user: devices and what they lack, tokens, relations, groups, history, inbox; and what can be done to the account. */

import { path } from "./api.js";
import { badge, card, el, facts, fill, heading } from "./dom.js";
import { bytes, count, plural, time } from "./format.js";
import { accountActs } from "./account_acts.js";
import { devices } from "./user_devices.js";
import { history } from "./journal.js";
import { inbox } from "./inbox.js";
import { groupsOf, relations, tokens } from "./user_parts.js";

const PARTS = [
  ["", "Devices", devices],
  ["tokens", "Tokens", tokens],
  ["relations", "Contacts and blocks", relations],
  ["groups", "Groups", groupsOf],
  ["history", "Sessions and kicks", history],
  ["inbox", "Inbox", inbox],
];

/** Show a part of what there is of a user: `#/users/alice`, `#/users/alice/inbox`. */
export async function show(view) {
  const { api, page, words, signal } = view;
  const [name, word = ""] = words;
  const part = PARTS.find(([each]) => each === word);
  const found = await api.ask("GET", path`/v1/users/${name}`, { signal });
  const top = el("div");
  const draw = (now) => fill(top, account(now));
  const again = async () => draw(await api.ask("GET", path`/v1/users/${name}`, { signal }));
  const home = `#/users/${encodeURIComponent(name)}`;
  const links = PARTS.map(([each, label]) => el("li", {},
    el("a", { href: each ? `${home}/${each}` : home, "aria-current": each === word ? "page" : null }, label)));
  const below = el("div");
  draw(found);
  fill(page,
    el("p", { class: "trail" }, el("a", { href: "#/users" }, "Users"), " / "),
    heading(name, accountActs({ ...view, name, disabled: () => found.disabled, changed: view.refresh })),
    top,
    el("nav", { class: "tabs", "aria-label": `Parts of ${name}` }, el("ul", {}, links)),
    below);
  if (!part) {
    fill(below, el("p", { class: "notice bad" }, "There is no such page of a user."));
    return;
  }
  await part[2]({ ...view, name, user: found, page: below, changed: again });
}

function account(now) {
  const kept = now.head >= now.floor ? `${count(now.floor)} to ${count(now.head)}, ${bytes(now.bytes)}` : `empty; the next is ${count(now.head + 1)}`;
  return card("Account", el("div", { class: "broad" }, facts([
    ["State", now.disabled ? badge("disabled", "bad") : badge("enabled", "good")],
    ["Created", time(now.created)],
    ["Online on", now.online.length ? now.online.map((each) => [el("span", { class: "terminal" }, each), " "]) : "nothing"],
    ["Inbox", kept],
    ["Devices", plural(now.devices.length, "device")],
    ["Groups", count(now.groups)],
    ["Relations", `${plural(now.contacts, "contact")}, ${plural(now.blocks, "blocked user")}`],
  ])));
}
