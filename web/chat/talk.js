/** The open conversation: its messages, scrolling back, and the field to write in. */

import { bubble } from "./bubble.js";
import { paintAvatar } from "./conversations.js";
import { byId, coalesced, problem, say, show } from "./dom.js";
import { parseAddress } from "./names.js";
import { rowsOf } from "./rows.js";
import { Timeline } from "./timeline.js";
import { counted, failureWords, listed, presenceWords } from "./words.js";

/** Messages in one step back. */
const PAGE = 200;
const TYPING = "application/vnd.chat.typing";
/** How often one tells that one is typing, and how long it is believed of others. */
const TYPING_EVERY_MS = 3_000;
const TYPING_MS = 6_000;

export class Talk {
  #app;
  #timeline;
  #conversation = null;
  #drafts = new Map();
  #loading = false;
  #failed = false;
  #typists = new Map();
  #toldTyping = 0;
  #members = 0;
  #unseen = 0;
  #field = byId("compose");

  constructor(app) {
    this.#app = app;
    this.render = coalesced(() => this.#render());
    this.#timeline = new Timeline(byId("log"), {
      build: (row) => bubble(row, this.#context()),
      reachedTop: () => this.#older(),
      moved: (atEnd) => this.#moved(atEnd),
    });
    byId("to-end").addEventListener("click", () => {
      this.#timeline.toEnd();
      this.#field.focus();
    });
    byId("compose-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#field.addEventListener("input", () => this.#typed());
    this.#field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    document.addEventListener("visibilitychange", () => this.#seen());
    globalThis.addEventListener("focus", () => this.#seen());
  }

  get address() {
    return this.#conversation?.address ?? null;
  }

  /** Whether a person has the end of this conversation before him now. */
  isRead(address) {
    return (
      this.address === address && this.#timeline.atEnd && !document.hidden && document.hasFocus() && this.#inSight()
    );
  }

  /** Show a conversation, or none. `focus`: go to the field. */
  async open(address, { focus = true } = {}) {
    if (address === this.address) {
      if (focus && address) this.#focusField();
      return;
    }
    this.#keepDraft();
    this.#conversation = address ? this.#app.model.ensure(address) : null;
    this.#typists.clear();
    this.#failed = false;
    this.#unseen = 0;
    this.#members = 0;
    this.#timeline.clear();
    show(byId("nothing-open"), !address);
    show(byId("open"), Boolean(address));
    if (!address) return;
    this.#head();
    this.#field.value = this.#drafts.get(address) ?? "";
    this.#grow();
    problem(byId("compose-problem"), "");
    if (focus) this.#focusField();
    if (this.#conversation.rows) this.#render();
    await this.#newest();
    if (this.#conversation?.kind === "group") this.#countMembers();
  }

  /** Everything held is gone: read it anew. */
  reload() {
    this.#loading = false;
    if (!this.#conversation) return;
    this.#conversation = this.#app.model.ensure(this.address);
    this.#newest();
  }

  /** A connection is there: what could not be fetched can be now. */
  retry() {
    const holes = this.#conversation?.rows?.some((row) => row.kind === "gap" && row.reason === "history");
    if (!this.#failed && !holes) return;
    this.#failed = false;
    this.#newest();
  }

  /** The conversation has one more entry: tell of it if it is out of sight. */
  took(message) {
    this.#typists.delete(message.from);
    if (!this.#timeline.atEnd && !message.own) this.#unseen += 1;
    this.render();
  }

  typing({ from, conversation, type }) {
    if (type !== TYPING || conversation !== this.address || from === this.#app.session.user) return;
    const until = Date.now() + TYPING_MS;
    this.#typists.set(from, until);
    this.#sayTyping();
    setTimeout(() => {
      if (this.#typists.get(from) === until) this.#typists.delete(from);
      this.#sayTyping();
    }, TYPING_MS);
  }

  // --- what is shown ---

  #context() {
    const { app, conversation } = { app: this.#app, conversation: this.#conversation };
    return {
      isGroup: conversation.kind === "group",
      terminalOf: (device) => app.terminalOf(device),
      retry: (publication) => app.attempt(() => publication.retry()),
      discard: (publication) => app.attempt(() => publication.discard()),
    };
  }

  #render() {
    const conversation = this.#conversation;
    if (!conversation || !this.#inSight()) return;
    this.#head();
    this.#sayTyping();
    const rows = rowsOf(conversation, this.#app.session.device);
    for (const row of rows) if (row.device) row.sign += this.#app.terminalOf(row.device) ?? "?";
    this.#timeline.set(rows);
    this.#endButton();
    this.#seen();
  }

  #head() {
    const { name, kind } = this.#conversation;
    paintAvatar(byId("peer-avatar"), name, kind);
    say(byId("peer"), name);
    byId("log").setAttribute("aria-label", `Messages with ${name}`);
    const presence = kind === "user" ? this.#app.presence(name) : null;
    const groupWords = this.#members ? `Group, ${counted(this.#members, "member")}` : "Group";
    say(byId("peer-state"), kind === "group" ? groupWords : presenceWords(presence));
    byId("peer-state").classList.toggle("online", Boolean(presence?.online));
  }

  #sayTyping() {
    const names = [...this.#typists.keys()].slice(0, 3);
    say(byId("typing"), names.length ? `${listed(names)} ${names.length === 1 ? "is" : "are"} typing…` : "");
  }

  #inSight() {
    return byId("log").clientHeight > 0;
  }

  #moved(atEnd) {
    if (atEnd) this.#unseen = 0;
    this.#endButton();
    this.#seen();
  }

  #endButton() {
    show(byId("to-end"), !this.#timeline.atEnd);
    say(byId("to-end-text"), this.#unseen ? counted(this.#unseen, "new message") : "Newest messages");
  }

  #seen() {
    const address = this.address;
    if (!address || !this.#conversation.unread || !this.isRead(address)) return;
    this.#app.model.read(address);
    this.#app.renderList();
  }

  async #countMembers() {
    const conversation = this.#conversation;
    try {
      const members = await this.#app.session.groupMembers(conversation.name);
      if (this.#conversation !== conversation) return;
      this.#members = members.length;
      this.#head();
    } catch {
      // One is no member any more, or not online: then the number is not shown.
    }
  }

  // --- history ---

  #newest() {
    return this.#load({ limit: PAGE });
  }

  #older() {
    const rows = this.#conversation?.rows;
    if (!rows?.length || !this.#conversation.more || this.#failed) return;
    this.#load({ before: rows[0].seq, limit: PAGE });
  }

  async #load(options) {
    const conversation = this.#conversation;
    if (this.#loading === conversation) return;
    this.#loading = conversation;
    conversation.rows ??= []; // what comes meanwhile is not lost
    byId("log").setAttribute("aria-busy", "true");
    try {
      const page = await this.#app.session.history({ conversation: conversation.address, ...options });
      this.#app.model.load(conversation.address, page);
      if (options.before !== undefined && page.items.length === 0) conversation.more = false;
    } catch (error) {
      this.#failed = true; // until there is a connection again
      if (this.#conversation === conversation)
        this.#app.tell(`Older messages cannot be had now. ${failureWords(error)}`);
    } finally {
      if (this.#loading === conversation) this.#loading = false;
      byId("log").setAttribute("aria-busy", "false");
    }
    if (this.#conversation === conversation) this.#render();
  }

  // --- writing ---

  #focusField() {
    if (!this.#field.disabled && matchMedia("(hover: hover)").matches) this.#field.focus();
    else byId("peer").focus();
  }

  #keepDraft() {
    if (!this.#conversation) return;
    if (this.#field.value) this.#drafts.set(this.address, this.#field.value);
    else this.#drafts.delete(this.address);
  }

  #typed() {
    this.#grow();
    problem(byId("compose-problem"), "");
    const now = Date.now();
    if (!this.#field.value || now - this.#toldTyping < TYPING_EVERY_MS || !parseAddress(this.address)) return;
    this.#toldTyping = now;
    try {
      this.#app.session.ephemeral(this.address, "", { type: TYPING });
    } catch {
      // It only matters to those who could hear it.
    }
  }

  #grow() {
    this.#field.style.height = "auto";
    this.#field.style.height = `${this.#field.scrollHeight}px`;
  }

  #send() {
    const text = this.#field.value.replace(/\s+$/u, "");
    if (!text || !this.#conversation) return;
    try {
      this.#app.session.publish(this.address, text);
    } catch (error) {
      problem(byId("compose-problem"), sendingWords(error));
      return;
    }
    this.#field.value = "";
    this.#toldTyping = 0;
    this.#grow();
    this.#timeline.toEnd();
    this.render();
  }
}

function sendingWords(error) {
  if (error.name === "QueueFull") return "Too many messages wait to be sent already.";
  if (error.name === "PublishRefused") return "This is too long for one message.";
  return failureWords(error);
}
