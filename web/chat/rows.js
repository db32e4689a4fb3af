/**
 * What a conversation shows, row by row: where a day begins, which messages stand together, whose they are.
 *
 * A row is `{key, sign, day, first, kind, own, message | publication | gap}`. Two rows with the same key are the same
 * thing; with the same sign, they look the same. A publication keeps its key when it comes back as an entry.
 */

import { dayOf } from "./words.js";

/** Messages of one sender within this time stand together. */
export const TOGETHER_MS = 5 * 60_000;

/** The rows of a conversation. `device`: this device's id. */
export function rowsOf(conversation, device) {
  const rows = [];
  let before = null;
  const add = (row, timeMs, from) => {
    row.day = timeMs > 0 && (before === null || dayOf(before.timeMs) !== dayOf(timeMs)) ? timeMs : 0;
    row.first =
      row.day > 0 ||
      before === null ||
      before.from !== from ||
      before.from === null ||
      before.device !== row.device ||
      timeMs - before.timeMs > TOGETHER_MS;
    row.sign = `${row.kind} ${row.day > 0 ? dayOf(row.day) : ""} ${row.first} ${row.state}`;
    rows.push(row);
    before = { timeMs: timeMs || before?.timeMs || 0, from, device: row.device };
  };
  for (const message of conversation.rows ?? []) {
    if (message.kind === "gap") add(rowOfGap(message), 0, null);
    else add(rowOfMessage(message, device), message.timeMs, message.notice ? null : message.from);
  }
  const me = conversation.pending.length > 0 ? ownName(conversation) : null;
  for (const publication of conversation.pending) {
    add(rowOfPublication(publication), publication.storedMs ?? publication.timeMs, me);
  }
  return rows;
}

function rowOfGap(gap) {
  return { key: `s${gap.seq}`, kind: "gap", own: false, device: null, state: gap.reason, gap };
}

function rowOfMessage(message, device) {
  const elsewhere = message.own && message.device !== device ? message.device : null;
  return {
    key: message.key ? `p${message.key}` : `s${message.seq}`,
    kind: message.notice ? "notice" : message.kind === "erased" ? "erased" : "message",
    own: message.own,
    device: elsewhere,
    state: message.own ? "stored" : "",
    message,
  };
}

function rowOfPublication(publication) {
  const { key, state } = publication;
  return { key: `p${key}`, kind: "publication", own: true, device: null, state, publication };
}

/** The name this user's own messages have in a conversation, if there is one yet. */
function ownName(conversation) {
  return conversation.rows?.findLast?.((row) => row.own)?.from ?? "";
}
