/** The list of conversations at the side. */

import { byId, icon, make, say, show } from "./dom.js";
import { initials, tint } from "./names.js";
import { listTime, presenceWords, preview } from "./words.js";

/** Rows in the page at first, and more with each "show more". */
const PART = 100;

/** A coloured circle with the letters of a name; decoration. */
export function avatar(name, kind) {
  const circle = make("span", { class: "avatar", "aria-hidden": "true" });
  paintAvatar(circle, name, kind);
  return circle;
}

export function paintAvatar(circle, name, kind) {
  circle.className = `avatar tint-${tint(name)} ${kind}`;
  circle.textContent = initials(name);
}

export class ConversationList {
  #list = byId("conversations");
  #filter = byId("filter");
  #more = byId("more-conversations");
  #shown = PART;
  #rows = new Map();
  #last = null;

  /** `choose(address)` is called when a person opens one. */
  constructor(choose) {
    this.choose = choose;
    this.#filter.addEventListener("input", () => {
      this.#shown = PART;
      this.#again();
    });
    this.#filter.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") this.#focusFrom(null, 1, event);
    });
    this.#more.addEventListener("click", () => {
      this.#shown += PART;
      this.#again();
    });
    this.#list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) this.#focusFrom(document.activeElement.closest("li"), step, event);
    });
  }

  /** `conversations`: newest first; `open`: the address of the open one; `context`: `presence(user)`, `me`. */
  render(conversations, open, context) {
    this.#last = [conversations, open, context];
    const wanted = this.#filter.value.trim().toLocaleLowerCase();
    const found = wanted
      ? conversations.filter(({ name }) => name.toLocaleLowerCase().includes(wanted))
      : conversations;
    const part = found.slice(0, this.#shown);
    const keys = new Set(part.map(({ address }) => address));
    for (const [address, row] of this.#rows) {
      if (keys.has(address)) continue;
      row.item.remove();
      this.#rows.delete(address);
    }
    const hadFocus = this.#list.contains(document.activeElement) ? document.activeElement : null;
    let next = this.#list.firstElementChild;
    for (const conversation of part) {
      const { item } = this.#row(conversation, open, context);
      if (item === next) next = next.nextElementSibling;
      else this.#list.insertBefore(item, next);
    }
    if (hadFocus?.isConnected && document.activeElement !== hadFocus) hadFocus.focus({ preventScroll: true });
    show(this.#more, found.length > part.length);
    show(byId("no-conversations"), found.length === 0);
    say(
      byId("no-conversations-text"),
      wanted ? "No conversation has this name." : "No conversations yet. Begin one with +.",
    );
  }

  #again() {
    if (this.#last) this.render(...this.#last);
  }

  #row(conversation, open, context) {
    const { address, name, kind } = conversation;
    const presence = kind === "user" ? context.presence(name) : null;
    const sign = this.#sign(conversation, open, presence);
    let row = this.#rows.get(address);
    if (!row) {
      row = { item: make("li"), sign: "" };
      this.#rows.set(address, row);
      row.button = make("button", { type: "button", class: "conversation", onclick: () => this.choose(address) });
      row.item.append(row.button);
    }
    if (row.sign !== sign) {
      row.sign = sign;
      this.#fill(row.button, conversation, open, presence);
    }
    return row;
  }

  #sign({ address, last, pending, unread }, open, presence) {
    const waits = pending.at(-1);
    const day = Math.floor(Date.now() / 3_600_000); // "today" becomes "yesterday"
    return JSON.stringify([last?.seq, last?.kind, waits?.key, waits?.state, unread, address === open, presence, day]);
  }

  #fill(button, conversation, open, presence) {
    const { name, kind, last, pending, unread, address, timeMs } = conversation;
    const circle = avatar(name, kind);
    if (presence?.online) circle.append(make("span", { class: "dot" }));
    const words = [];
    const line = pending.at(-1) ?? last;
    if (line) {
      const mine = pending.length > 0 || line.own;
      const who = mine ? "You: " : kind === "group" && line.from && !line.notice ? `${line.from}: ` : "";
      words.push(make("span", { class: "last" }, who, preview(line)));
    } else {
      words.push(make("span", { class: "last none" }, "Nothing said yet"));
    }
    const state = pending.at(-1)?.state;
    if (state === "waiting" || state === "refused") {
      words.unshift(icon(`i-${state}`, state === "waiting" ? "Waiting to be sent" : "Not sent"));
    }
    button.replaceChildren(
      circle,
      make(
        "span",
        { class: "conversation-text" },
        make(
          "span",
          { class: "conversation-top" },
          make("span", { class: "name", dir: "auto" }, name),
          kind === "group" ? make("span", { class: "kind" }, "group") : null,
          timeMs ? make("time", { datetime: new Date(timeMs).toISOString() }, listTime(timeMs)) : null,
        ),
        make(
          "span",
          { class: "conversation-line" },
          ...words,
          unread
            ? make(
                "span",
                { class: "unread" },
                unread > 99 ? "99+" : String(unread),
                make("span", { class: "only-read" }, " unread"),
              )
            : null,
        ),
        presence?.online ? make("span", { class: "only-read" }, presenceWords(presence)) : null,
      ),
    );
    button.classList.toggle("has-unread", unread > 0);
    if (address === open) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }

  #focusFrom(item, step, event) {
    const to = item ? (step > 0 ? item.nextElementSibling : item.previousElementSibling) : this.#list.firstElementChild;
    if (to) to.querySelector("button").focus();
    else if (step < 0) this.#filter.focus();
    else return;
    event.preventDefault();
  }
}
