import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Model, ROWS_MAX } from "../../../web/chat/model.js";

const BOB = "user/bob";
const CLUB = "group/Chess club";

class Marks {
  seqs = new Map();
  get = (address) => this.seqs.get(address) ?? 0;
  set = (address, seq) => this.seqs.set(address, Math.max(seq, this.get(address)));
  clear = () => this.seqs.clear();
}

const message = (seq, more = {}) => ({
  kind: "message",
  seq,
  id: String(seq),
  from: "bob",
  to: "user/alice",
  conversation: BOB,
  timeMs: seq * 1000,
  type: "text/plain",
  text: `no. ${seq}`,
  data: null,
  own: false,
  device: null,
  n: null,
  key: null,
  notice: false,
  ...more,
});
const own = (seq, more = {}) =>
  message(seq, { kind: "own", own: true, from: "alice", to: BOB, device: "pc-1", n: seq, ...more });
const erased = (seq) => message(seq, { kind: "erased", from: "", to: "", conversation: "", text: null });
const publication = (key, more = {}) => ({
  key,
  to: BOB,
  text: key,
  data: null,
  timeMs: 50_000,
  state: "waiting",
  delivered: false,
  discarded: false,
  ...more,
});
const seqs = (conversation) => conversation.rows.map(({ seq }) => seq);

let model;
beforeEach(() => {
  model = new Model(new Marks());
});

test("the conversation with the newest message stands first", () => {
  model.take(message(1));
  model.take(message(2, { conversation: CLUB }));
  assert.deepEqual(
    model.list().map(({ address }) => address),
    [CLUB, BOB],
  );
  model.take(message(3));
  assert.deepEqual(
    model.list().map(({ address }) => address),
    [BOB, CLUB],
  );
});

test("messages of others are unread until they are read", () => {
  model.take(message(1));
  model.take(message(2));
  assert.equal(model.get(BOB).unread, 2);
  assert.equal(model.unread, 2);
  model.read(BOB);
  assert.equal(model.unread, 0);
  assert.equal(model.marks.get(BOB), 2);
});

test("what comes while one reads is read", () => {
  model.take(message(1), true);
  assert.equal(model.get(BOB).unread, 0);
  assert.equal(model.marks.get(BOB), 1);
});

test("whoever answers on any device has read what came before", () => {
  model.take(message(1));
  model.take(own(2, { device: "phone-7" }));
  assert.equal(model.get(BOB).unread, 0);
  assert.equal(model.marks.get(BOB), 2);
});

test("below the mark nothing is unread", () => {
  model.marks.set(BOB, 5);
  model.take(message(4));
  model.take(message(6));
  assert.equal(model.get(BOB).unread, 1);
});

test("what is unread at the start is counted after the last own message", () => {
  model.known(BOB, message(9));
  model.countUnread(BOB, [message(5), own(6), message(7), erased(8), message(9), { kind: "gap", seq: 10, last: 12 }]);
  assert.equal(model.get(BOB).unread, 2);
});

test("an entry told twice counts once", () => {
  model.load(BOB, { items: [], more: false });
  model.take(message(1));
  model.take(message(1));
  assert.equal(model.get(BOB).unread, 1);
  assert.deepEqual(seqs(model.get(BOB)), [1]);
});

test("pages go before what is there, and what came meanwhile stays", () => {
  const conversation = model.ensure(BOB);
  conversation.rows = [];
  model.take(message(8));
  model.load(BOB, { items: [message(6), message(7), message(8)], more: true });
  assert.deepEqual(seqs(conversation), [6, 7, 8]);
  assert.equal(conversation.more, true);
  model.load(BOB, { items: [message(2), message(4)], more: false });
  assert.deepEqual(seqs(conversation), [2, 4, 6, 7, 8]);
  assert.equal(conversation.more, false);
});

test("a conversation that was never opened holds no messages", () => {
  model.take(message(1));
  assert.equal(model.get(BOB).rows, null);
});

test("a publication stands until its entry comes", () => {
  model.load(BOB, { items: [], more: false });
  model.publication(publication("k1"));
  model.publication(publication("k2"));
  assert.equal(model.waiting, 2);
  model.take(own(1, { key: "k1" }));
  assert.deepEqual(
    model.get(BOB).pending.map(({ key }) => key),
    ["k2"],
  );
  assert.equal(model.waiting, 1);
  model.publication(publication("k2", { discarded: true }));
  assert.equal(model.waiting, 0);
  assert.deepEqual(seqs(model.get(BOB)), [1]);
});

test("the entry of a publication may be in a page", () => {
  model.publication(publication("k1"));
  model.load(BOB, { items: [own(1, { key: "k1" })], more: false });
  assert.equal(model.get(BOB).pending.length, 0);
});

test("a publication that was told as delivered does not come back", () => {
  model.publication(publication("k1"));
  model.publication(publication("k1", { state: "stored", delivered: true }));
  assert.equal(model.get(BOB).pending.length, 0);
});

test("a refused one does not wait", () => {
  model.publication(publication("k1", { state: "refused" }));
  assert.equal(model.waiting, 0);
  assert.equal(model.get(BOB).pending.length, 1);
});

test("a new publication brings its conversation to the top", () => {
  model.take(message(60, { conversation: CLUB }));
  model.take(message(1));
  model.publication(publication("k1", { timeMs: 99_000 }));
  assert.equal(model.list()[0].address, BOB);
});

test("a gap stands in every open conversation, at its place", () => {
  model.load(BOB, { items: [message(1), message(9)], more: false });
  model.load(CLUB, { items: [message(2, { conversation: CLUB })], more: false });
  model.take(message(3, { conversation: "user/carol" }));
  model.gap({ kind: "gap", seq: 4, last: 8, reason: "age" });
  assert.deepEqual(seqs(model.get(BOB)), [1, 4, 9]);
  assert.deepEqual(seqs(model.get(CLUB)), [2, 4]);
  assert.equal(model.get("user/carol").rows, null);
});

test("what an erased user wrote has no content any more; what others wrote, and what came later, has", () => {
  model.load(CLUB, {
    items: [
      message(1, { conversation: CLUB, from: "mallory" }),
      message(2, { conversation: CLUB }),
      message(5, { conversation: CLUB, from: "mallory" }),
    ],
    more: false,
  });
  model.known(CLUB, message(5, { conversation: CLUB, from: "mallory" }));
  model.erase({ user: "mallory", conversation: CLUB, before: 4 });
  const rows = model.get(CLUB).rows;
  assert.deepEqual(
    rows.map(({ kind }) => kind),
    ["erased", "message", "message"],
  );
  assert.equal(rows[0].text, null);
  assert.equal(rows[0].seq, 1);
  model.erase({ user: "mallory", conversation: CLUB, before: 6 });
  assert.equal(model.get(CLUB).last.text, null);
});

test("an erased entry that was never here belongs to no conversation", () => {
  assert.equal(model.take(erased(3)), null);
  assert.deepEqual(model.list(), []);
});

test("starting over drops what was held, and keeps what waits to be sent", () => {
  model.load(BOB, { items: [message(7)], more: false });
  model.take(message(8));
  model.take(message(9, { conversation: "user/carol" }));
  model.group(CLUB);
  model.publication(publication("k1"));
  model.startOver();
  assert.deepEqual(
    model
      .list()
      .map(({ address }) => address)
      .sort(),
    [CLUB, BOB],
  );
  assert.deepEqual(seqs(model.get(BOB)), []);
  assert.equal(model.get(BOB).last, null);
  assert.equal(model.waiting, 1);
  model.take(message(1));
  assert.equal(model.get(BOB).unread, 1, "the old mark does not hide the new number 1");
});

test("a conversation without anything can be forgotten, another cannot", () => {
  model.group(CLUB);
  model.forget(CLUB);
  assert.equal(model.get(CLUB), undefined);
  model.take(message(1));
  model.forget(BOB);
  assert.notEqual(model.get(BOB), undefined);
});

test("memory is bounded: the older half goes, and can be had again", () => {
  model.load(BOB, { items: [], more: false });
  for (let seq = 1; seq <= ROWS_MAX + 1; seq += 1) model.take(message(seq));
  const conversation = model.get(BOB);
  assert.equal(conversation.rows.length, ROWS_MAX / 2 + 1);
  assert.equal(conversation.rows.at(-1).seq, ROWS_MAX + 1);
  assert.equal(conversation.more, true);
});
