/**
 * The conversations of one user, made from what the SDK tells. No page, no network, no clock.
 *
 * An inbox is one row of numbers; a conversation shows those of one address. Of every conversation the newest message
 * and the count of unread ones are known; the messages themselves only of those that were opened, and of these a
 * piece without a hole that ends with the newest: `rows`. Publications that have not come back as an entry stand
 * after it.
 */

import { parseAddress } from "./names.js";

/** Messages of one conversation held in memory; past it the oldest half goes (the storage has them). */
export const ROWS_MAX = 20_000;

export class Conversation {
  constructor(address) {
    this.address = address;
    const { kind, name } = parseAddress(address) ?? { kind: "user", name: address };
    this.kind = kind;
    this.name = name;
    /** The newest message, or null: a group without any. */
    this.last = null;
    this.unread = 0;
    /** Messages and gaps in rising order, or null while it was never opened. */
    this.rows = null;
    /** There may be older ones. */
    this.more = true;
    /** Publications that are not among the rows, in the order they were made. */
    this.pending = [];
  }

  /** When something last happened in it: what the list is sorted by. */
  get timeMs() {
    return Math.max(this.last?.timeMs ?? 0, this.pending.at(-1)?.timeMs ?? 0);
  }
}

export class Model {
  #conversations = new Map();
  #sorted = null;

  /** `marks`: up to which number each conversation was read: `get(address)`, `set(address, seq)`. */
  constructor(marks) {
    this.marks = marks;
  }

  get(address) {
    return this.#conversations.get(address);
  }

  /** The conversation with this address; a new one if there is none. */
  ensure(address) {
    let found = this.#conversations.get(address);
    if (!found) {
      found = new Conversation(address);
      this.#conversations.set(address, found);
      this.#sorted = null;
    }
    return found;
  }

  /** All of them, that with the newest message first. */
  list() {
    this.#sorted ??= [...this.#conversations.values()].sort(
      (one, other) => other.timeMs - one.timeMs || (one.name < other.name ? -1 : 1),
    );
    return this.#sorted;
  }

  get unread() {
    let sum = 0;
    for (const conversation of this.#conversations.values()) sum += conversation.unread;
    return sum;
  }

  // --- what the storage holds at the start ---

  /** A conversation as the storage has it: its newest message. */
  known(address, last) {
    const conversation = this.ensure(address);
    if (last && (conversation.last?.seq ?? 0) < last.seq) conversation.last = last;
    this.#sorted = null;
    return conversation;
  }

  /** Messages after the mark, in rising order: count those that are unread. */
  countUnread(address, messages) {
    const conversation = this.ensure(address);
    let count = 0;
    for (const message of messages) count = message.own ? 0 : count + (message.kind === "message" ? 1 : 0);
    conversation.unread = count;
  }

  /** A page of a conversation, the newest or one before what is there. */
  load(address, page) {
    const conversation = this.ensure(address);
    conversation.rows = merged(page.items, conversation.rows ?? []);
    conversation.more = page.more;
    for (const row of page.items) if (row.key) this.#drop(conversation, row.key);
    return conversation;
  }

  /** A group one is in, though nothing was said yet. */
  group(address) {
    return this.ensure(address);
  }

  /** It is not to be shown any more, unless something was said in it. */
  forget(address) {
    const conversation = this.#conversations.get(address);
    if (conversation && !conversation.last && conversation.pending.length === 0) {
      this.#conversations.delete(address);
      this.#sorted = null;
    }
  }

  // --- what comes ---

  /** An entry. Returns its conversation, or null (erased ones belong to none). `isOpen`: a person is reading it. */
  take(message, isOpen = false) {
    if (!message.conversation) return null;
    const conversation = this.ensure(message.conversation);
    if (message.seq > (conversation.last?.seq ?? 0)) {
      conversation.last = message;
      this.#sorted = null;
      this.#countOne(conversation, message, isOpen);
    }
    if (conversation.rows) {
      insert(conversation.rows, message);
      if (conversation.rows.length > ROWS_MAX) {
        conversation.rows.splice(0, ROWS_MAX / 2);
        conversation.more = true;
      }
    }
    if (message.key) this.#drop(conversation, message.key);
    return conversation;
  }

  /** Entries that are lost: nobody knows of which conversations, so each that is loaded shows it. */
  gap(gap) {
    for (const conversation of this.#conversations.values()) if (conversation.rows) insert(conversation.rows, gap);
  }

  /** What a user who is no more wrote in a conversation before a number has no content any more. */
  erase({ user, conversation: address, before }) {
    const conversation = this.#conversations.get(address);
    if (!conversation) return;
    const blank = (row) => (row.from === user && row.seq < before && row.kind !== "gap" ? erased(row) : row);
    if (conversation.rows) conversation.rows = conversation.rows.map(blank);
    if (conversation.last) conversation.last = blank(conversation.last);
  }

  /** Nothing that was held counts any more. What waits to be sent does. */
  startOver() {
    for (const conversation of this.#conversations.values()) {
      conversation.last = null;
      conversation.unread = 0;
      conversation.more = true;
      if (conversation.rows) conversation.rows = [];
      if (conversation.kind === "user" && conversation.pending.length === 0) {
        this.#conversations.delete(conversation.address);
      }
    }
    this.marks.clear();
    this.#sorted = null;
  }

  /** A publication was made or has changed. Returns its conversation. */
  publication(publication) {
    const conversation = this.ensure(publication.to);
    if (publication.delivered || publication.discarded) this.#drop(conversation, publication.key);
    else if (!conversation.pending.some(({ key }) => key === publication.key)) conversation.pending.push(publication);
    this.#sorted = null;
    return conversation;
  }

  /** How many publications are not settled, in all conversations. */
  get waiting() {
    let count = 0;
    for (const { pending } of this.#conversations.values()) {
      for (const { state } of pending) if (state === "waiting") count += 1;
    }
    return count;
  }

  // --- reading ---

  /** A person has seen all there is in a conversation. */
  read(address) {
    const conversation = this.#conversations.get(address);
    if (!conversation) return;
    conversation.unread = 0;
    if (conversation.last) this.marks.set(address, conversation.last.seq);
  }

  #countOne(conversation, message, isOpen) {
    if (message.own || isOpen) {
      conversation.unread = 0;
      this.marks.set(message.conversation, message.seq);
    } else if (message.kind === "message" && message.seq > this.marks.get(message.conversation)) {
      conversation.unread += 1;
    }
  }

  #drop(conversation, key) {
    const index = conversation.pending.findIndex((publication) => publication.key === key);
    if (index >= 0) {
      conversation.pending.splice(index, 1);
      this.#sorted = null;
    }
  }
}

function erased(row) {
  return { ...row, kind: "erased", text: null, data: null };
}

/** Put a row into its place; one with the same number stays as it is. */
function insert(rows, row) {
  let index = rows.length;
  while (index > 0 && rows[index - 1].seq > row.seq) index -= 1;
  if (rows[index - 1]?.seq !== row.seq) rows.splice(index, 0, row);
}

/** Two lists in rising order as one, each number once. Of `second` where both have it. */
function merged(first, second) {
  if (second.length === 0 || first.length === 0 || first.at(-1).seq < second[0].seq) return [...first, ...second];
  const bySeq = new Map(first.map((row) => [row.seq, row]));
  for (const row of second) bySeq.set(row.seq, row);
  return [...bySeq.values()].sort((one, other) => one.seq - other.seq);
}
