/** The dialogs about people: contacts and blocks, a new conversation, and what there is to know of an open one. */

import { avatar } from "./conversations.js";
import { closeDialog, fillList, onSubmit, openDialog, sure } from "./dialogs.js";
import { byId, icon, make, problem, say, show } from "./dom.js";
import { groupAddress, namesIn, parseAddress, tidyName, userAddress, whyNotName } from "./names.js";
import { failureWords, moment, presenceWords, terminalIcon, terminalName } from "./words.js";

/** The one name typed into a form; throws an Error with a sentence if it cannot be one. */
function oneName(typed) {
  const name = tidyName(typed ?? "");
  const wrong = whyNotName(name);
  if (wrong) throw new Error(wrong);
  return name;
}

export class People {
  #app;
  #about = null;
  #members = [];

  constructor(app) {
    this.#app = app;
    byId("open-people").addEventListener("click", () => this.#openPeople());
    for (const id of ["open-new", "begin"]) byId(id).addEventListener("click", () => this.#openNew());
    byId("open-about").addEventListener("click", () => this.#openAbout());
    onSubmit("add-contact", ({ user }) => this.#relate("addContact", oneName(user)));
    onSubmit("add-block", ({ user }) => this.#relate("block", oneName(user)));
    onSubmit("new-person", ({ user }) => this.#begin(userAddress(oneName(user))));
    onSubmit("new-group", (typed) => this.#create(oneName(typed.group), namesIn(typed.users)));
    onSubmit("add-members", (typed) => this.#addMembers(namesIn(typed.users)));
    byId("leave").addEventListener("click", () => this.#leave());
    byId("about-contact").addEventListener("click", () => this.#toggle("contacts", "addContact", "removeContact"));
    byId("about-block").addEventListener("click", () => this.#toggle("blocked", "block", "unblock"));
  }

  /** What is shown may have changed: presence, contacts. */
  render() {
    if (byId("dialog-people").open) this.#fillPeople();
    if (byId("dialog-about").open && this.#about?.kind === "user") this.#fillUser();
  }

  // --- contacts and blocks ---

  async #openPeople() {
    openDialog("dialog-people");
    this.#fillPeople();
    await this.#app.loadRelations();
    this.#fillPeople();
  }

  #fillPeople() {
    const { contacts, blocked } = this.#app;
    fillList(
      byId("contacts"),
      contacts.map((user) => this.#contact(user)),
      "No contacts yet.",
    );
    fillList(
      byId("blocked"),
      blocked.map((user) => this.#block(user)),
      "Nobody is blocked.",
    );
  }

  #contact(user) {
    const presence = this.#app.presence(user);
    return make(
      "li",
      {},
      avatar(user, "user"),
      make(
        "span",
        { class: "grow" },
        make("strong", { dir: "auto" }, user),
        make("small", {}, presenceWords(presence)),
      ),
      this.#button("Message", `Message ${user}`, () => this.#begin(userAddress(user))),
      this.#button("Remove", `Remove the contact ${user}`, () => this.#relate("removeContact", user, "add-contact")),
    );
  }

  #block(user) {
    const unblock = () => this.#relate("unblock", user, "add-block");
    return make(
      "li",
      {},
      avatar(user, "user"),
      make("span", { class: "grow" }, make("strong", { dir: "auto" }, user)),
      this.#button("Unblock", `Unblock ${user}`, unblock),
    );
  }

  #button(words, label, act) {
    return make("button", { type: "button", class: "quiet", "aria-label": label, onclick: act }, words);
  }

  /** Change a relation. `form`: where a failure is said; without one it is thrown. */
  async #relate(method, user, form = null) {
    try {
      await this.#app.session[method](user);
    } catch (error) {
      if (!form) throw error;
      problem(byId(form).querySelector(".problem"), failureWords(error));
      return;
    }
    await this.#app.loadRelations();
    this.render();
  }

  // --- a new conversation ---

  #openNew() {
    openDialog("dialog-new");
    const users = new Set(this.#app.contacts);
    for (const { kind, name } of this.#app.model.list()) if (kind === "user") users.add(name);
    byId("known-users").replaceChildren(...[...users].slice(0, 500).map((value) => make("option", { value })));
    byId("new-user").focus();
  }

  #begin(address) {
    closeDialog("dialog-new");
    closeDialog("dialog-people");
    this.#app.go(address);
  }

  async #create(group, users) {
    await this.#app.session.createGroup(group, users);
    this.#app.model.group(groupAddress(group));
    this.#begin(groupAddress(group));
  }

  // --- about a conversation ---

  #openAbout() {
    const address = this.#app.talk.address;
    this.#about = parseAddress(address) ?? { kind: "user", name: address };
    openDialog("dialog-about");
    say(byId("about-title"), this.#about.name);
    show(byId("about-user"), this.#about.kind === "user");
    show(byId("about-group"), this.#about.kind === "group");
    if (this.#about.kind === "user") this.#fillUser();
    else this.#loadMembers();
  }

  #fillUser() {
    const { name } = this.#about;
    const presence = this.#app.presence(name);
    const terminals = presence?.terminals ?? [];
    const items = terminals.map(({ terminal, sinceMs }) =>
      make(
        "li",
        {},
        icon(terminalIcon(terminal)),
        make(
          "span",
          { class: "grow" },
          make("strong", {}, terminalName(terminal)),
          make("small", {}, sinceMs ? `since ${moment(sinceMs)}` : ""),
        ),
      ),
    );
    fillList(byId("about-where"), items, presence ? "On no device now." : "Not known.");
    say(byId("about-contact"), this.#app.contacts.includes(name) ? "Remove from contacts" : "Add to contacts");
    say(byId("about-block"), this.#app.blocked.includes(name) ? "Unblock" : "Block");
    for (const id of ["about-contact", "about-block"]) show(byId(id), name !== this.#app.session.user);
  }

  async #toggle(list, on, off) {
    const { name } = this.#about;
    const method = this.#app[list].includes(name) ? off : on;
    await this.#carefully(() => this.#relate(method, name));
  }

  async #loadMembers() {
    const about = this.#about;
    fillList(byId("members"), [], "…");
    await this.#carefully(async () => {
      this.#members = await this.#app.session.groupMembers(about.name);
      if (this.#about === about) this.#fillMembers();
    });
  }

  #fillMembers() {
    const me = this.#app.session.user;
    const isOwner = this.#members.some(({ user, owner }) => owner && user === me);
    const remove = (user) => () => this.#carefully(() => this.#removeMember(user));
    const items = this.#members.map(({ user, owner }) =>
      make(
        "li",
        {},
        avatar(user, "user"),
        make(
          "span",
          { class: "grow" },
          make("strong", { dir: "auto" }, user),
          user === me ? make("small", {}, "you") : null,
        ),
        owner ? make("span", { class: "badge" }, "owner") : null,
        isOwner && user !== me ? this.#button("Remove", `Remove ${user} from the group`, remove(user)) : null,
      ),
    );
    fillList(byId("members"), items, "No members.");
    show(byId("add-members"), isOwner);
  }

  async #addMembers(users) {
    await this.#app.session.addMembers(this.#about.name, users);
    await this.#loadMembers();
  }

  async #removeMember(user) {
    if (!(await sure("Remove a member", `${user} gets no more messages of “${this.#about.name}”.`, "Remove"))) return;
    await this.#app.session.removeMembers(this.#about.name, [user]);
    await this.#loadMembers();
  }

  async #leave() {
    const { name } = this.#about;
    if (!(await sure("Leave the group", `You get no more messages of “${name}”. What came before stays.`, "Leave")))
      return;
    await this.#carefully(async () => {
      await this.#app.session.leaveGroup(name);
      closeDialog("dialog-about");
      this.#app.left(groupAddress(name));
    });
  }

  async #carefully(act) {
    const trouble = byId("dialog-about").querySelector(".problem");
    problem(trouble, "");
    try {
      await act();
    } catch (error) {
      problem(trouble, failureWords(error));
    }
  }
}
