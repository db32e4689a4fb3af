/** The page while somebody is logged in: the session's events go to the model, and the model to the screen. */

import { Reason } from "../sdk/roost.js";
import { ConversationList, paintAvatar } from "./conversations.js";
import { Devices } from "./devices.js";
import { prepareDialogs } from "./dialogs.js";
import { byId, coalesced, make, say, show } from "./dom.js";
import { Marks } from "./marks.js";
import { Model } from "./model.js";
import { groupAddress, parseAddress } from "./names.js";
import { Notices } from "./notices.js";
import { People } from "./people.js";
import { Talk } from "./talk.js";
import { Terminals } from "./terminals.js";
import { failureWords, preview, terminalName } from "./words.js";

/** Users whose presence is followed: those of the newest conversations, and contacts (`subscriptions_max` is 500). */
const FOLLOWED_MAX = 400;
/** Names in one request. */
const FOLLOW_PART = 200;
/** Messages that are looked at to count those unread; past it the count says "99+". */
const COUNTED_MAX = 200;
/** Lines that a screen reader is told of and that stay in the page. */
const HEARD_MAX = 5;
/** Devices are asked for anew when one is met that is not known, but not more often. */
const DEVICES_EVERY_MS = 30_000;

export class App {
  session = null;
  model = null;
  contacts = [];
  blocked = [];
  wasLive = false;
  #actions;
  #terminals = null;
  #devicesAskedMs = 0;
  #followed = new Set();
  #following = false;
  #leaving = false;

  /** `logOut()` and `logInAgain(text)` lead back to the log-in form. */
  constructor(actions) {
    this.#actions = actions;
    prepareDialogs();
    this.list = new ConversationList((address) => this.go(address));
    this.talk = new Talk(this);
    this.notices = new Notices(this);
    this.people = new People(this);
    this.devices = new Devices(this);
    this.renderList = coalesced(() => this.#renderList());
    byId("log-out").addEventListener("click", () => this.logOut());
    byId("back").addEventListener("click", () => this.go(null));
    globalThis.addEventListener("hashchange", () => this.#route());
    // A network that is back, and a page that somebody looks at again, need not wait for the next try.
    globalThis.addEventListener("online", () => this.session?.retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.session?.retryNow());
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented || event.isComposing || event.target.id === "filter") return;
      if (this.session && this.talk.address && !document.querySelector("dialog[open]")) this.go(null);
    });
  }

  /** Show a session: at once what its storage holds. */
  async begin(session) {
    this.session = session;
    this.marks = new Marks(session.user, (address) => this.#recount(address));
    this.model = new Model(this.marks);
    this.#terminals = new Terminals(session.user);
    session.on("state", (state) => this.#state(state));
    session.on("entry", (message) => this.#entry(message));
    session.on("gap", (gap) => this.#all(() => this.model.gap(gap)));
    session.on("erased", (erased) => this.#all(() => this.model.erase(erased)));
    session.on("startOver", () => this.#startOver());
    session.on("publication", (publication) => this.#publication(publication));
    session.on("presence", () => this.#presence());
    session.on("ephemeral", (ephemeral) => this.talk.typing(ephemeral));
    session.on("error", (error) => this.tell(failureWords(error)));
    say(byId("me-name"), session.user);
    paintAvatar(byId("me-avatar"), session.user, "user");
    show(byId("app"), true);
    for (const publication of session.publications) this.model.publication(publication);
    const known = await session.conversations();
    for (const { address, last } of known) this.model.known(address, last);
    this.#state(session.state);
    this.#renderList();
    this.#route(false);
    for (const { address } of known) await this.#recount(address);
    this.renderList();
  }

  // --- what is asked of it ---

  /** Open a conversation, or none; it is in the page's address, so that "back" works. */
  go(address) {
    const hash = address ? `#${encodeURIComponent(address)}` : "";
    if (location.hash === hash || (!address && !location.hash)) this.#route();
    else if (address) location.hash = hash;
    else {
      history.pushState(null, "", location.pathname);
      this.#route();
    }
  }

  /** A group was left: it is not in the list any more, unless something was said in it. */
  left(address) {
    this.model.forget(address);
    if (!this.model.get(address)) this.go(null);
    this.renderList();
  }

  presence(user) {
    return this.session.presence(user);
  }

  /** The terminal type of one of one's own devices, or null if it is not known (yet). */
  terminalOf(device) {
    const known = this.#terminals.get(device);
    if (
      known === null &&
      this.session.state.status === "live" &&
      Date.now() - this.#devicesAskedMs > DEVICES_EVERY_MS
    ) {
      this.loadDevices().then(this.talk.render, () => {});
    }
    return known;
  }

  async loadDevices() {
    this.#devicesAskedMs = Date.now();
    const devices = await this.session.devices();
    this.#terminals.note(devices);
    return devices;
  }

  async loadRelations() {
    [this.contacts, this.blocked] = await Promise.all([this.session.contacts(), this.session.blocked()]);
    this.#follow();
  }

  /** Do something; say it if it fails. */
  async attempt(act) {
    try {
      await act();
    } catch (error) {
      this.tell(failureWords(error));
    }
  }

  /** Say a sentence that goes by itself. */
  tell(text) {
    say(byId("said"), "");
    say(byId("said"), text);
    const toast = make("div", { class: "toast", "aria-hidden": "true" }, text);
    document.body.append(toast);
    setTimeout(() => toast.remove(), 6_000);
  }

  async useHere() {
    const { state } = this.session;
    if (state.unsupportedVersion) return location.reload();
    if (state.needsPassword) return this.#actions.logInAgain();
    return this.attempt(() => this.session.useHere());
  }

  logOut() {
    this.#leaving = true; // what the session says on its way out is no news
    return this.#actions.logOut();
  }

  /** Delete what this page keeps of the user; what the session keeps is the SDK's to delete. */
  forget() {
    this.marks.destroy();
    this.#terminals.destroy();
  }

  // --- what the session tells ---

  #state(state) {
    if (this.#leaving) return undefined;
    if (state.status === "closed") return this.#actions.closed();
    if (state.status === "live") {
      if (!this.wasLive || !this.isLive) this.#cameLive();
      this.wasLive = true;
    }
    this.isLive = state.status === "live";
    this.notices.render(state);
    byId("compose").disabled = state.status === "ended";
    byId("send").disabled = state.status === "ended";
    const words = { live: "online", connecting: "connecting…", waiting: "offline", ended: "stopped" }[state.status];
    const behind =
      state.status === "live" && !state.caughtUp
        ? `, ${Math.max(0, state.head - state.position)} messages to come`
        : "";
    say(byId("me-state"), `${terminalName(this.session.terminal)} · ${words}${behind}`);
    byId("me-state").className = state.status;
    return undefined;
  }

  #cameLive() {
    this.#devicesAskedMs = 0;
    this.#followed.clear(); // the SDK follows on by itself; those who did not exist may now
    this.talk.retry();
    this.attempt(async () => {
      const groups = await this.session.groups();
      for (const name of groups) this.model.group(groupAddress(name));
      this.renderList();
      await this.loadRelations();
      this.people.render();
    });
  }

  #entry(message) {
    if (message.kind === "damaged") {
      // Nobody knows of which conversation it is: shown as what is missing anywhere.
      this.#all(() => this.model.gap({ kind: "gap", seq: message.seq, last: message.seq, reason: "damaged" }));
      return;
    }
    const isRead = this.talk.isRead(message.conversation);
    const conversation = this.model.take(message, isRead);
    if (!conversation) return;
    if (this.session.state.caughtUp && !message.own) this.#hear(message, conversation);
    if (conversation.address === this.talk.address) this.talk.took(message);
    this.renderList();
  }

  #publication(publication) {
    const conversation = this.model.publication(publication);
    if (conversation.address === this.talk.address) this.talk.render();
    if (publication.state === "refused" && !publication.discarded) say(byId("said"), "A message was refused.");
    this.notices.render(this.session.state);
    this.renderList();
  }

  #presence() {
    this.talk.render();
    this.people.render();
    this.renderList();
  }

  #all(change) {
    change();
    this.talk.render();
    this.renderList();
  }

  #startOver() {
    this.model.startOver();
    this.notices.startedOver();
    this.talk.reload();
    this.renderList();
  }

  async #recount(address) {
    const conversation = this.model.get(address);
    const after = this.marks.get(address);
    if (!conversation?.last) return;
    if (conversation.last.seq <= after) conversation.unread = 0;
    else {
      const page = await this.session.read({ conversation: address, after, limit: COUNTED_MAX });
      this.model.countUnread(address, page.items);
    }
    this.renderList();
  }

  // --- the screen ---

  #route(focus = true) {
    if (!this.session) return;
    let address = null;
    try {
      address = decodeURIComponent(location.hash.slice(1));
    } catch {
      // An address that somebody mistyped opens nothing.
    }
    if (!address || !parseAddress(address)) address = null;
    const before = this.talk.address;
    byId("app").classList.toggle("talking", Boolean(address));
    this.talk.open(address, { focus });
    if (before && before !== address) this.model.forget(before);
    if (!address && before && focus) byId("conversations").querySelector("button")?.focus();
    if (address && this.model.get(address)?.kind === "user") this.#follow();
    this.renderList();
  }

  #renderList() {
    if (!this.model) return;
    this.list.render(this.model.list(), this.talk.address, { presence: (user) => this.presence(user) });
    const { unread } = this.model;
    const name = this.talk.address ? ` – ${parseAddress(this.talk.address).name}` : "";
    document.title = `${unread ? `(${unread}) ` : ""}roost${name}`;
    this.#follow();
  }

  #hear(message, { kind, name, address }) {
    const heard = byId("heard");
    const who = kind === "group" ? `${message.from} in ${name}` : message.from;
    const words = address === this.talk.address ? `${message.from}: ${preview(message)}` : `New message from ${who}`;
    heard.append(make("p", {}, words));
    while (heard.childElementCount > HEARD_MAX) heard.firstElementChild.remove();
  }

  // --- presence ---

  async #follow() {
    if (this.#following || this.session.state.status !== "live") return;
    const users = new Set(this.contacts);
    for (const { kind, name } of this.model.list().slice(0, FOLLOWED_MAX)) if (kind === "user") users.add(name);
    const wanted = [...users].filter((user) => user !== this.session.user && !this.#followed.has(user));
    const room = FOLLOWED_MAX - this.#followed.size;
    const fresh = wanted.slice(0, Math.max(0, room));
    if (fresh.length === 0) return;
    this.#following = true;
    for (const user of fresh) this.#followed.add(user);
    try {
      for (let start = 0; start < fresh.length; start += FOLLOW_PART)
        await this.#followPart(fresh.slice(start, start + FOLLOW_PART));
    } catch {
      for (const user of fresh) this.#followed.delete(user); // the connection is gone: after the next log-in
    } finally {
      this.#following = false;
    }
  }

  /** Follow these; if one of them does not exist (any more), all the others. */
  async #followPart(users) {
    try {
      await this.session.follow(users);
    } catch (error) {
      if (error.reason !== Reason.NOT_FOUND) throw error;
      if (users.length === 1) return;
      const half = users.length >> 1;
      await this.#followPart(users.slice(0, half));
      await this.#followPart(users.slice(half));
    }
  }
}
