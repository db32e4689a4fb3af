import assert from "node:assert/strict";
import { test } from "node:test";

import { Marks } from "../../../web/chat/marks.js";

class Storage {
  kept = new Map();
  getItem = (key) => this.kept.get(key) ?? null;
  setItem = (key, value) => this.kept.set(key, value);
  removeItem = (key) => this.kept.delete(key);
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

test("marks outlive the page, each user's for himself", async () => {
  const storage = new Storage();
  const marks = new Marks("alice", () => {}, storage, null);
  marks.set("user/bob", 7);
  marks.set("user/bob", 3);
  await settled();
  assert.equal(new Marks("alice", () => {}, storage, null).get("user/bob"), 7);
  assert.equal(new Marks("carol", () => {}, storage, null).get("user/bob"), 0);
});

test("a mark of another tab is taken, and told", async () => {
  const storage = new Storage();
  const page = new EventTarget();
  const changed = [];
  const here = new Marks("alice", (address) => changed.push(address), storage, page);
  const there = new Marks("alice", () => {}, storage, null);
  there.set("user/bob", 9);
  await settled();
  page.dispatchEvent(Object.assign(new Event("storage"), { key: "something else" }));
  assert.equal(here.get("user/bob"), 0);
  page.dispatchEvent(Object.assign(new Event("storage"), { key: "roost-read:alice" }));
  assert.equal(here.get("user/bob"), 9);
  assert.deepEqual(changed, ["user/bob"]);
});

test("what is broken in the storage, and a full one, cost the marks and nothing else", async () => {
  const storage = new Storage();
  storage.setItem("roost-read:alice", "{nonsense");
  storage.setItem = () => {
    throw new Error("full");
  };
  const marks = new Marks("alice", () => {}, storage, null);
  marks.set("user/bob", 4);
  await settled();
  assert.equal(marks.get("user/bob"), 4);
});

test("at most 2,000 conversations are kept: those last read", async () => {
  const storage = new Storage();
  const marks = new Marks("alice", () => {}, storage, null);
  for (let n = 0; n < 2_100; n += 1) marks.set(`user/u${n}`, 1);
  marks.set("user/u0", 2);
  await settled();
  const kept = new Marks("alice", () => {}, storage, null);
  assert.equal(kept.get("user/u0"), 2);
  assert.equal(kept.get("user/u50"), 0);
  assert.equal(kept.get("user/u2099"), 1);
});
