import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../../../web/chat/model.js";
import { rowsOf, TOGETHER_MS } from "../../../web/chat/rows.js";

const NOON = new Date(2026, 0, 5, 12).getTime();
const MINUTE = 60_000;

const message = (seq, timeMs, more = {}) => ({
  kind: "message",
  seq,
  from: "bob",
  timeMs,
  text: "hi",
  data: null,
  own: false,
  device: null,
  key: null,
  notice: false,
  ...more,
});
const own = (seq, timeMs, more = {}) =>
  message(seq, timeMs, { kind: "own", own: true, from: "alice", device: "here", ...more });

function rows(list, pending = []) {
  const conversation = new Conversation("user/bob");
  conversation.rows = list;
  conversation.pending = pending;
  return rowsOf(conversation, "here");
}

test("a day begins where the date changes", () => {
  const made = rows([message(1, NOON), message(2, NOON + MINUTE), message(3, NOON + 24 * 60 * MINUTE)]);
  assert.deepEqual(
    made.map(({ day }) => day > 0),
    [true, false, true],
  );
});

test("messages of one sender soon after each other stand together", () => {
  const made = rows([
    message(1, NOON),
    message(2, NOON + MINUTE),
    message(3, NOON + MINUTE, { from: "carol" }),
    message(4, NOON + MINUTE + TOGETHER_MS + 1, { from: "carol" }),
  ]);
  assert.deepEqual(
    made.map(({ first }) => first),
    [true, false, true, true],
  );
});

test("own messages from another device are marked, and stand apart from those of this one", () => {
  const made = rows([own(1, NOON), own(2, NOON, { device: "phone-7" }), own(3, NOON)]);
  assert.deepEqual(
    made.map(({ device }) => device),
    [null, "phone-7", null],
  );
  assert.deepEqual(
    made.map(({ first }) => first),
    [true, true, true],
  );
  assert.deepEqual(
    made.map(({ state }) => state),
    ["stored", "stored", "stored"],
  );
});

test("a publication comes last, and keeps its key when it comes back as an entry", () => {
  const waiting = { key: "k1", state: "waiting", timeMs: NOON, storedMs: null };
  const [, before] = rows([message(1, NOON)], [waiting]);
  const [, after] = rows([message(1, NOON), own(2, NOON, { key: "k1" })]);
  assert.equal(before.kind, "publication");
  assert.equal(before.key, after.key);
  assert.notEqual(before.sign, after.sign);
});

test("a change of state is another sign", () => {
  const [waiting] = rows([], [{ key: "k1", state: "waiting", timeMs: NOON, storedMs: null }]);
  const [refused] = rows([], [{ key: "k1", state: "refused", timeMs: NOON, storedMs: null }]);
  assert.notEqual(waiting.sign, refused.sign);
});

test("gaps, notices and erased messages are rows of their own kind", () => {
  const made = rows([
    message(1, NOON, { kind: "erased", text: null }),
    { kind: "gap", seq: 2, last: 5, reason: "age" },
    message(6, NOON, { notice: true }),
  ]);
  assert.deepEqual(
    made.map(({ kind }) => kind),
    ["erased", "gap", "notice"],
  );
  assert.deepEqual(
    made.map(({ key }) => key),
    ["s1", "s2", "s6"],
  );
});

test("after a gap the next message says whose it is", () => {
  const made = rows([message(1, NOON), { kind: "gap", seq: 2, last: 5, reason: "age" }, message(6, NOON)]);
  assert.equal(made[2].first, true);
});

test("an erased message looks otherwise than it did", () => {
  const [before] = rows([message(1, NOON)]);
  const [after] = rows([message(1, NOON, { kind: "erased", text: null })]);
  assert.equal(before.key, after.key);
  assert.notEqual(before.sign, after.sign);
});
