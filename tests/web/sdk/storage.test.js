import assert from "node:assert/strict";
import { test } from "node:test";

import { connect, MemoryStorage, QueueFull, SessionClosed, StorageFailed } from "../../../web/sdk/roost.js";
import { conformance } from "./conformance.js";
import { act, device, items, network, next, PASSWORD, roost, settled, told, until, url, users } from "./town.js";

const texts = (found) => found.map(({ text }) => text);
const numbers = (first, last) => Array.from({ length: last - first + 1 }, (_, at) => `${first + at}`);

for (const [name, check] of Object.entries(conformance)) {
  test(`storage in memory: ${name}`, () => check(assert, () => new MemoryStorage()));
}

test("after a reload the conversation is there at once, and only what is new comes", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const bobs = await device(t, bob, "phone-1");
  const storage = new MemoryStorage();
  const before = await device(t, alice, "web-1", { storage, device: undefined, terminal: "web" });
  for (const text of ["1", "2", "3"]) await bobs.publish(`user/${alice}`, text).settled;
  await items(before, 3);
  assert.deepEqual((await storage.remembered()).map(({ user, terminal, device: id }) => [user, terminal, id]), [[alice, "web", before.device]]);
  await before.close();
  await bobs.publish(`user/${alice}`, "4").settled;

  await act("stop"); // no network: what is stored is there all the same
  const after = await device(t, alice, "web-1", { storage, device: undefined, terminal: "web", password: undefined, live: false });
  assert.equal(after.device, before.device);
  assert.deepEqual(texts((await after.read({ conversation: `user/${bob}` })).items), ["1", "2", "3"]);
  assert.deepEqual((await after.conversations()).map(({ address }) => address), [`user/${bob}`]);
  const heard = [];
  after.on("entry", ({ text }) => heard.push(text));
  await act("start");
  await after.caughtUp();
  assert.deepEqual(heard, ["4"]);
  assert.deepEqual(told(await items(after, 4)), numbers(1, 4).map((text, at) => [at + 1, bob, text, false]));
});

test("the password is not kept, a token is; and neither if one is not to be remembered", async (t) => {
  const [alice] = await users("alice");
  const storage = new MemoryStorage();
  const phone = await device(t, alice, "phone-1", { storage });
  await phone.close();
  const store = await storage.open({ url, user: alice, terminal: "phone" });
  const { meta } = await store.load();
  assert.equal(typeof meta.token, "string");
  assert.equal(JSON.stringify(meta).includes(PASSWORD), false);
  const other = new MemoryStorage();
  const pc = await device(t, alice, "pc-1", { storage: other, remember: false });
  await pc.close();
  assert.deepEqual(await other.remembered(), []);
  await assert.rejects(connect({ url, user: alice, terminal: "pc", storage: other }), { name: "NotLoggedIn" });
});

test("messages wait on the disk while there is no network, also over a reload; the queue is bounded", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const wire = await network(t);
  const storage = new MemoryStorage();
  const options = { url: wire.url, storage, queueMax: 5 };
  const phone = await device(t, alice, "phone-1", options);
  wire.up = false;
  wire.cut();
  await until(phone, () => phone.state.status === "waiting");
  const unsent = numbers(1, 5).map((text) => phone.publish(`user/${bob}`, text));
  assert.throws(() => phone.publish(`user/${bob}`, "6"), QueueFull);
  await Promise.all(unsent.map(({ queued }) => queued));
  await unsent[2].discard();
  await phone.close();
  await assert.rejects(unsent[0].settled, SessionClosed);
  const again = await device(t, alice, "phone-1", { ...options, password: undefined, live: false });
  assert.deepEqual(texts(again.publications), ["1", "2", "4", "5"]);
  assert.deepEqual(again.publications.map(({ key }) => key), [0, 1, 3, 4].map((at) => unsent[at].key));
  wire.up = true;
  again.retryNow();
  await settled(again.publications);
  assert.deepEqual(texts(await items(again, 4)), ["1", "2", "4", "5"]);
});

test("a process that dies between sending and hearing the answer sends again, and the broker stores once", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const wire = await network(t);
  const storage = new MemoryStorage();
  const phone = await device(t, alice, "phone-1", { url: wire.url, storage });
  let frozen = null;
  wire.seen = (data, direction) => {
    if (direction !== "up" || frozen) return;
    frozen = storage.open({ url: wire.url, user: alice, terminal: "phone" }).then((store) => store.load());
  };
  await phone.publish(`user/${bob}`, "once").settled;
  const saved = await frozen; // what was on the disk when the frame was on its way
  assert.equal(saved.outbox[0].n, 1);
  await phone.close();
  const restored = new MemoryStorage();
  const store = await restored.open({ url: wire.url, user: alice, terminal: "phone" });
  await store.commit({ meta: saved.meta, outboxPut: saved.outbox });
  const again = await device(t, alice, "phone-1", { url: wire.url, storage: restored, password: undefined });
  const [publication] = again.publications;
  assert.equal((await publication.settled).n, 1);
  await again.caughtUp();
  assert.deepEqual(texts((await again.fetch()).items), ["once"]);
});

test("what retention took is told as a gap, and shown in its place", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const storage = new MemoryStorage();
  const phone = await device(t, alice, "phone-1", { storage });
  const bobs = await device(t, bob, "phone-1");
  await bobs.publish(`user/${alice}`, "1").settled;
  await items(phone, 1);
  await phone.close();
  await settled(numbers(2, 10).map((text) => bobs.publish(`user/${alice}`, text)));
  await roost("retention", "run");
  const back = await device(t, alice, "phone-1", { storage, password: undefined, live: false });
  const gap = next(back, "gap");
  await back.caughtUp();
  assert.deepEqual(await gap, { kind: "gap", seq: 2, last: 5, reason: "count" });
  const all = await items(back, 7);
  assert.deepEqual([all[0].text, all[1].kind, all[2].text, all[6].text], ["1", "gap", "6", "10"]);
  const page = await back.read({ conversation: `user/${bob}`, limit: 6 });
  assert.deepEqual(page.items.slice(0, 3).map(({ seq, kind }) => [seq, kind]), [[1, "message"], [2, "gap"], [6, "message"]]);
  await bobs.publish(`user/${alice}`, "11").settled;
  await until(back, () => back.position === 11);
});

test("a broker that was restored from a backup: history starts over, unsent messages stay", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const phone = await device(t, alice, "phone-1");
  const bobs = await device(t, bob, "phone-1");
  await phone.publish(`user/${bob}`, "before").settled;
  await until(phone, () => phone.position === 1);
  await act("save");
  await Promise.all([phone.caughtUp(), bobs.caughtUp()]);
  await settled(["lost 1", "lost 2"].map((text) => bobs.publish(`user/${alice}`, text)));
  await until(phone, () => phone.position === 3);
  const reading = phone.entries();
  const read = [];
  for (let i = 0; i < 3; i += 1) read.push((await reading.next()).value);
  const over = next(phone, "startOver");
  await act("go_back");
  await over;
  await phone.caughtUp();
  assert.deepEqual(texts((await phone.read()).items), ["before"]);
  assert.equal((await reading.next()).value.kind, "startOver");
  assert.equal((await reading.next()).value.text, "before");
  await reading.return();
  assert.deepEqual(texts(read), ["before", "lost 1", "lost 2"]);
  await phone.publish(`user/${bob}`, "after").settled;
  await until(phone, () => phone.position === 2);
  assert.deepEqual(texts(await items(phone, 2)), ["before", "after"]);
});

test("a slow consumer makes the broker wait, loses nothing, and keeps memory within its bounds", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const storage = new MemoryStorage();
  const slow = await device(t, alice, "phone-1", { storage, historyMax: 10, receiveMax: 8 });
  const bobs = await device(t, bob, "phone-1");
  const reading = slow.entries();
  const taken = [];
  for (let i = 1; i <= 3; i += 1) {
    await bobs.publish(`user/${alice}`, `${i}`).settled;
    taken.push((await reading.next()).value.text);
  }
  await settled(numbers(4, 100).map((text) => bobs.publish(`user/${alice}`, text)));
  await slow.devices(); // answers come though the stream rests
  const store = await storage.open({ url, user: alice, terminal: "phone" });
  const kept = (await store.read({ limit: 1000 })).length;
  assert.ok(kept <= 10 + 10 + 8 + 32, `${kept} entries are kept`);
  assert.ok(slow.position < 100, `${slow.position} entries came`);
  while (taken.length < 100) taken.push((await reading.next()).value.text);
  assert.deepEqual(taken, numbers(1, 100));
  await reading.return();
  await until(slow, () => slow.position === 100);
  assert.ok((await store.read({ limit: 1000 })).length <= 10);
});

test("an iterator that does not hold is told what it missed", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const lazy = await device(t, alice, "phone-1", { historyMax: 5 });
  const bobs = await device(t, bob, "phone-1");
  const reading = lazy.entries({ hold: false });
  for (const text of numbers(1, 20)) await bobs.publish(`user/${alice}`, text).settled;
  await until(lazy, () => lazy.position === 20);
  assert.deepEqual((await reading.next()).value, { kind: "gap", seq: 1, last: 15, reason: "history" });
  assert.equal((await reading.next()).value.text, "16");
  const waiting = reading.return();
  assert.equal((await waiting).done, true);
});

test("an iterator that waits ends with the session", async (t) => {
  const [alice] = await users("alice");
  const phone = await device(t, alice, "phone-1");
  const waiting = phone.entries().next();
  await phone.close();
  assert.equal((await waiting).done, true);
  assert.throws(() => phone.publish(`user/${alice}`, "x"), SessionClosed);
  await assert.rejects(phone.live(), SessionClosed);
  assert.equal(phone.state.status, "closed");
});

test("a storage that cannot be written ends the session, and nothing is acknowledged", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const bobs = await device(t, bob, "phone-1");
  const storage = new MemoryStorage();
  const phone = await device(t, alice, "phone-1", { storage });
  const store = await storage.open({ url, user: alice, terminal: "phone" });
  const { commit } = store;
  store.commit = async (changes) => {
    if (changes.items) throw new Error("the disk is full");
    return commit.call(store, changes);
  };
  const failed = next(phone, "error");
  await bobs.publish(`user/${alice}`, "1").settled;
  assert.ok((await failed) instanceof StorageFailed);
  assert.equal(phone.state.status, "ended");
  assert.match(phone.state.text, /disk is full/u);
  assert.equal(phone.position, 0);
  await phone.close();
  delete store.commit;
  const again = await device(t, alice, "phone-1", { storage, password: undefined });
  await again.caughtUp();
  assert.deepEqual(texts(await items(again, 1)), ["1"]);
});

test("logging out leaves nothing behind, here or at the broker", async (t) => {
  const [alice] = await users("alice");
  const storage = new MemoryStorage();
  const phone = await device(t, alice, "phone-1", { storage });
  const pc = await device(t, alice, "pc-1");
  const store = await storage.open({ url, user: alice, terminal: "phone" });
  const { meta } = await store.load();
  await phone.logOut();
  assert.equal(phone.state.status, "closed");
  assert.deepEqual(await storage.remembered(), []);
  assert.equal((await pc.devices()).find(({ device: id }) => id === "phone-1").online, false);
  const stolen = await device(t, alice, "phone-1", { password: undefined, token: meta.token, live: false });
  await assert.rejects(stolen.live(), { name: "LoginRefused" });
});
