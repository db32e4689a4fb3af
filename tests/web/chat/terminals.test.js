import assert from "node:assert/strict";
import { test } from "node:test";

import { Terminals } from "../../../web/chat/terminals.js";

class Storage {
  kept = new Map();
  getItem = (key) => this.kept.get(key) ?? null;
  setItem = (key, value) => this.kept.set(key, value);
  removeItem = (key) => this.kept.delete(key);
}

test("a device that was met once is known after a reload, to its user alone", () => {
  const storage = new Storage();
  new Terminals("alice", storage).note([{ device: "phone-7", terminal: "phone" }]);
  assert.equal(new Terminals("alice", storage).get("phone-7"), "phone");
  assert.equal(new Terminals("bob", storage).get("phone-7"), null);
});

test("after the log-out nothing is left", () => {
  const storage = new Storage();
  const terminals = new Terminals("alice", storage);
  terminals.note([{ device: "phone-7", terminal: "phone" }]);
  terminals.destroy();
  assert.equal(storage.kept.size, 0);
  assert.equal(terminals.get("phone-7"), null);
});

test("what is broken in the storage, and a full one, cost nothing", () => {
  const storage = new Storage();
  storage.setItem("roost-devices:alice", "{nonsense");
  storage.setItem = () => {
    throw new Error("full");
  };
  const terminals = new Terminals("alice", storage);
  terminals.note([{ device: "pc-1", terminal: "pc" }]);
  assert.equal(terminals.get("pc-1"), "pc");
});
