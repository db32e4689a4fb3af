/** The console: who is there, which view is shown, and what leads from one to the other. */

import { Api, Problem } from "./api.js";
import { announce, el, fill } from "./dom.js";
import { Rights } from "./rights.js";
import { signIn } from "./sign_in.js";
import * as admins from "./admins.js";
import * as explain from "./explain.js";
import * as fsck from "./fsck.js";
import * as groups from "./groups.js";
import * as journal from "./journal.js";
import * as overview from "./overview.js";
import * as retention from "./retention.js";
import * as send from "./send.js";
import * as sessions from "./sessions.js";
import * as user from "./user.js";
import * as users from "./users.js";

/** In the order of the menu: word of the address, name, view. */
const VIEWS = [
  ["overview", "Overview", overview],
  ["sessions", "Sessions", sessions],
  ["users", "Users", users],
  ["groups", "Groups", groups],
  ["explain", "Explain a message", explain],
  ["journal", "Journal", journal],
  ["retention", "Retention", retention],
  ["fsck", "Check the store", fsck],
  ["send", "Send a message", send],
  ["admins", "Admins", admins],
];

const api = new Api();
const main = document.getElementById("main");
const nav = document.getElementById("nav");
const menu = document.getElementById("menu");
const who = document.getElementById("who");

let rights = null;
let leaving = new AbortController();

/** `#/users/J%C3%B6rg/inbox?kind=x` as words and a query; a name that is wrongly encoded is no name. */
function read(hash) {
  const [place, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  try {
    return { words: place.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
  } catch {
    return { words: ["?"], query: new URLSearchParams() };
  }
}

function viewOf(words) {
  if (words[0] === "users" && words.length > 1) return ["users", "User", user];
  return VIEWS.find(([word]) => word === (words[0] ?? "overview"));
}

/** Show what the address says. */
async function show({ first = false } = {}) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  closeMenu();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  if (rights === null) return;
  const { words, query } = read(location.hash);
  const found = viewOf(words);
  for (const link of nav.querySelectorAll("a")) {
    if (link.dataset.word === found?.[0]) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const page = el("div", { class: "page" });
  fill(main, page);
  if (found) await draw(found, { page, words: words.slice(1), query, signal });
  else fill(page, el("h1", {}, "There is no such page"), el("p", {}, el("a", { href: "#/overview" }, "To the overview")));
  if (signal.aborted) return;
  main.dataset.shown = location.hash;
  const title = page.querySelector("h1").textContent;
  document.title = `${title} · roost console`;
  if (!first) {
    announce(title);
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

/** Let a view draw itself; what goes wrong stands in its place. */
async function draw([, name, view], { page, words, query, signal }) {
  try {
    await view.show({ api, rights, page, words, query, signal, refresh: () => show() });
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    if (!page.querySelector("h1")) page.prepend(el("h1", {}, name));
    page.append(el("p", { class: "notice bad", role: "alert" }, error.words));
  }
}

function closeMenu() {
  nav.classList.remove("open");
  menu.setAttribute("aria-expanded", "false");
}

// Addresses with # are those of views here.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
menu.addEventListener("click", () => {
  const open = nav.classList.toggle("open");
  menu.setAttribute("aria-expanded", String(open));
  if (open) nav.querySelector("a").focus();
});
nav.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && nav.classList.contains("open")) {
    closeMenu();
    menu.focus();
  }
});

function leave(reason = "") {
  leaving.abort();
  rights = null;
  api.signIn("");
  nav.hidden = true;
  menu.hidden = true;
  who.replaceChildren();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  document.title = "Sign in · roost console";
  signIn(main, { reason, enter });
}

/** Go in with this token, or with none over the loopback. Raises Problem. */
async function enter(token) {
  api.unknown = () => {};
  api.signIn(token);
  try {
    const found = await api.ask("GET", "/v1/whoami");
    rights = new Rights(found, await api.ask("GET", "/v1/openapi.json"));
  } catch (error) {
    api.signIn("");
    throw error;
  }
  api.unknown = () => { if (rights) leave("Your token does not count any more: it was revoked."); };
  nav.hidden = false;
  menu.hidden = false;
  const out = el("button", { type: "button", class: "quiet" }, "Sign out");
  out.addEventListener("click", () => leave());
  fill(who, el("span", {}, rights.name), el("span", { class: "badge" }, rights.role), token ? out : null);
  await show({ first: true });
}

fill(nav, el("ul", {}, VIEWS.map(([word, name]) => el("li", {}, el("a", { href: `#/${word}`, "data-word": word }, name)))));
addEventListener("hashchange", () => show());
try {
  await enter(api.token);
} catch (error) {
  if (!(error instanceof Problem)) throw error;
  leave(error.status === 401 && !api.token ? "" : error.words);
}
