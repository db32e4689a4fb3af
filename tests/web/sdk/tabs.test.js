// Several sessions on one shared storage are tabs of one browser: Node has Web Locks and BroadcastChannel, too.

import assert from "node:assert/strict";
import { test } from "node:test";

import { MemoryStorage, QueueFull, Reason } from "../../../web/sdk/roost.js";
import { act, device, items, network, next, PASSWORD, settled, until, users } from "./town.js";

const texts = (found) => found.map(({ text }) => text);

/** Tabs of one browser: the first leads. */
async function tabs(t, user, many, options = {}) {
  const wire = await network(t);
  const storage = new MemoryStorage({ shared: true });
  const all = [];
  for (let i = 0; i < many; i += 1) {
    const password = i === 0 ? PASSWORD : undefined;
    all.push(await device(t, user, "web-1", { url: wire.url, storage, password, ...options }));
  }
  return { wire, storage, all };
}

test("tabs share one connection and one session; none kicks another", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const bobs = await device(t, bob, "phone-1");
  const { wire, all } = await tabs(t, alice, 3);
  assert.deepEqual(all.map(({ state }) => [state.status, state.leader]), [["live", true], ["live", false], ["live", false]]);
  assert.equal(wire.connections, 1);
  const heard = all.map((tab) => next(tab, "entry"));
  await bobs.publish(`user/${alice}`, "hello tabs").settled;
  assert.deepEqual(texts(await Promise.all(heard)), Array(3).fill("hello tabs"));
  const shown = next(all[2], "publication", ({ text }) => text === "from tab 1");
  const publication = all[1].publish(`user/${bob}`, "from tab 1");
  await publication.queued;
  assert.equal((await shown).key, publication.key);
  assert.equal((await publication.settled).n, 1);
  assert.deepEqual((await all[1].devices()).map(({ device: id, online }) => [id, online]), [["web-1", true]]);
  await assert.rejects(all[1].follow(["nobody"]), { name: "RequestRefused", reason: Reason.NOT_FOUND });
  await all[2].follow([bob]);
  await until(all[2], () => all[2].presence(bob)?.online);
  const signal = next(bobs, "ephemeral");
  all[1].ephemeral(`user/${bob}`, "typing");
  assert.equal((await signal).text, "typing");
  assert.deepEqual(texts(await items(all[2], 2)), ["hello tabs", "from tab 1"]);
  assert.equal(wire.connections, 1);
});

test("when the leading tab goes another takes over, and nothing is lost, doubled or kicked", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const bobs = await device(t, bob, "phone-1");
  const { wire, all } = await tabs(t, alice, 3);
  const heard = all.map(() => []);
  all.forEach((tab, at) => tab.on("entry", ({ text }) => heard[at].push(text)));
  await all[2].follow([bob]);
  const publications = [];
  for (let i = 1; i <= 90; i += 1) {
    publications.push(all[i <= 30 ? 0 : 2].publish(`user/${bob}`, `${i}`));
    if (i === 30) await publications.at(-1).settled;
    if (i === 45) all[0].close();
  }
  const receipts = await settled(publications.slice(30));
  assert.equal(new Set(receipts.map(({ n }) => n)).size, 60);
  await until(bobs, () => bobs.position === 90);
  assert.deepEqual(texts(await items(bobs, 90)), Array.from({ length: 90 }, (_, at) => `${at + 1}`));
  await until(all[1], () => all[1].position === 90);
  await until(all[2], () => all[2].position === 90);
  assert.deepEqual(heard[1], texts(await items(all[1], 90)));
  assert.deepEqual(heard[2], heard[1]);
  assert.deepEqual([all[1], all[2]].filter(({ state }) => state.leader).length, 1);
  assert.deepEqual([all[1].state.status, all[2].state.status], ["live", "live"]);
  await until(all[2], () => all[2].presence(bob)?.online);
  assert.equal(wire.connections, 2);
  assert.deepEqual([...all[1].publications, ...all[2].publications], []);
});

test("a takeover ends the session in every tab, and any of them takes it back", async (t) => {
  const [alice] = await users("alice");
  const { all } = await tabs(t, alice, 2);
  const ended = all.map((tab) => next(tab, "state", ({ status }) => status === "ended"));
  const other = await device(t, alice, "web-2");
  for (const { origin, takenOver } of await Promise.all(ended)) assert.deepEqual([origin.by, takenOver], ["web-2", true]);
  const kicked = next(other, "state", ({ status }) => status === "ended");
  await all[1].useHere();
  await kicked;
  await until(all[0], () => all[0].state.status === "live");
  assert.deepEqual(all.map(({ state }) => state.leader), [true, false]);
});

test("a tab where the password is typed logs in for all", async (t) => {
  const [alice] = await users("alice");
  const wire = await network(t);
  const storage = new MemoryStorage({ shared: true });
  const first = await device(t, alice, "web-1", { url: wire.url, storage, password: "guess", live: false });
  await assert.rejects(first.live(), { name: "LoginRefused" });
  const second = await device(t, alice, "web-1", { url: wire.url, storage });
  await until(first, () => first.state.status === "live");
  assert.deepEqual([first.state.leader, second.state.leader], [true, false]);
});

test("unsent messages are seen by all tabs, bounded together, and discarded from any", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const { wire, all } = await tabs(t, alice, 2, { queueMax: 3 });
  wire.up = false;
  wire.cut();
  await until(all[1], () => all[1].state.status === "waiting");
  const mine = [all[0].publish(`user/${bob}`, "1"), all[1].publish(`user/${bob}`, "2"), all[1].publish(`user/${bob}`, "3")];
  await Promise.all(mine.map(({ queued }) => queued));
  await until(all[0], () => all[0].publications.length === 3);
  assert.throws(() => all[0].publish(`user/${bob}`, "4"), QueueFull);
  await all[0].publications.find(({ text }) => text === "2").discard();
  await until(all[1], () => all[1].publications.length === 2);
  assert.equal(mine[1].discarded, true);
  wire.up = true;
  all[1].retryNow();
  await settled([mine[0], mine[2]]);
  assert.deepEqual(texts(await items(all[1], 2)), ["1", "3"]);
});

test("history starts over in every tab", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const { all } = await tabs(t, alice, 2);
  const bobs = await device(t, bob, "phone-1");
  await bobs.publish(`user/${alice}`, "kept").settled;
  await Promise.all(all.map((tab) => until(tab, () => tab.position === 1)));
  await act("save");
  await Promise.all([...all, bobs].map((session) => session.caughtUp()));
  await bobs.publish(`user/${alice}`, "lost").settled;
  await Promise.all(all.map((tab) => until(tab, () => tab.position === 2)));
  const over = all.map((tab) => next(tab, "startOver"));
  await act("go_back");
  await Promise.all(over);
  for (const tab of all) {
    await until(tab, () => tab.position === 1 && tab.state.status === "live");
    assert.deepEqual(texts((await tab.read()).items), ["kept"]);
  }
});

test("logging out in one tab closes the others", async (t) => {
  const [alice] = await users("alice");
  const { storage, all } = await tabs(t, alice, 2);
  const closed = next(all[0], "state", ({ status }) => status === "closed");
  await all[1].logOut();
  await closed;
  assert.deepEqual(all.map(({ state }) => state.status), ["closed", "closed"]);
  assert.deepEqual(await storage.remembered(), []);
});

test("sessions on storages that are not shared have connections of their own", async (t) => {
  const [alice] = await users("alice");
  const wire = await network(t);
  const first = await device(t, alice, "web-1", { url: wire.url });
  const second = await device(t, alice, "web-2", { url: wire.url });
  await until(first, () => first.state.status === "ended");
  assert.deepEqual([second.state.leader, wire.connections], [true, 2]);
});
