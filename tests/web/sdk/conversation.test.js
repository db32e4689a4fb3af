import assert from "node:assert/strict";
import { test } from "node:test";

import { PublishRefused, Reason, RequestRefused } from "../../../web/sdk/roost.js";
import { device, items, network, next, PASSWORD, told, until, users } from "./town.js";

test("both sides of a conversation are on every device, in the same order", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const phone = await device(t, alice, "phone-1");
  const pc = await device(t, alice, "pc-1");
  const bobs = await device(t, bob, "phone-1");
  const first = phone.publish(`user/${bob}`, "Are you coming?");
  assert.equal(first.state, "waiting");
  const receipt = await first.settled;
  assert.deepEqual([receipt.n, receipt.seq], [1, 1]);
  await bobs.publish(`user/${alice}`, "In ten minutes").settled;
  await pc.publish(`user/${bob}`, new Uint8Array([0, 255, 7]), { type: "image/png" }).settled;
  const onPhone = await items(phone, 3);
  const onPc = await items(pc, 3);
  const withoutKeys = (messages) => messages.map(({ key: _, ...message }) => message);
  assert.deepEqual(withoutKeys(onPhone), withoutKeys(onPc));
  assert.deepEqual(told(onPhone), [[1, alice, "Are you coming?", true], [2, bob, "In ten minutes", false], [3, alice, null, true]]);
  assert.deepEqual(onPhone.map(({ conversation }) => conversation), Array(3).fill(`user/${bob}`));
  assert.deepEqual([onPhone[2].data, onPhone[2].type, onPhone[2].device], [new Uint8Array([0, 255, 7]), "image/png", "pc-1"]);
  assert.equal(onPhone[0].key, first.key);
  assert.equal(onPhone[0].id, receipt.id);
  const atBob = await items(bobs, 3);
  assert.deepEqual(atBob.map(({ id }) => id), onPhone.map(({ id }) => id));
  assert.deepEqual(atBob.map(({ own }) => own), [false, true, false]);
});

test("a publication says what becomes of it", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const phone = await device(t, alice, "phone-1");
  const states = [];
  phone.on("publication", ({ state, delivered }) => states.push(delivered ? "delivered" : state));
  const entry = next(phone, "entry");
  const publication = phone.publish(`user/${bob}`, "hello");
  assert.deepEqual(phone.publications, [publication]);
  assert.equal((await entry).key, publication.key);
  assert.equal(publication.delivered, true);
  assert.deepEqual(phone.publications, []);
  assert.equal(states[0], "waiting");
  assert.equal(states.at(-1), "delivered");
  assert.equal(publication.seq, 1);
});

test("a refused publication stays until it is discarded or published anew", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const phone = await device(t, alice, "phone-1");
  const bobs = await device(t, bob, "phone-1");
  await bobs.block(alice);
  const refused = phone.publish(`user/${bob}`, "let me in");
  await assert.rejects(refused.settled, (error) => error instanceof PublishRefused && error.reason === Reason.BLOCKED);
  assert.deepEqual(phone.publications, [refused]);
  assert.equal(refused.state, "refused");
  await bobs.unblock(alice);
  const again = refused.retry();
  assert.equal((await again.settled).n, 2);
  await until(phone, () => refused.discarded);
  const unknown = phone.publish("user/nobody", "?");
  await assert.rejects(unknown.settled, { reason: Reason.UNKNOWN_RECIPIENT });
  await unknown.discard();
  assert.deepEqual(phone.publications.filter(({ delivered }) => !delivered), []);
});

test("what no broker would take is said at once, and the session goes on", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const phone = await device(t, alice, "phone-1");
  for (const to of ["bob", "user/", "user/a/b", "user/ bob", "user/b\u200bob", "user/e\u0301", `user/${"x".repeat(65)}`]) {
    assert.throws(() => phone.publish(to, "x"), TypeError, to);
  }
  assert.throws(() => phone.publish(`user/${bob}`, "\ud800"), TypeError);
  assert.throws(() => phone.publish(`user/${bob}`, { text: "x" }), TypeError);
  assert.throws(() => phone.publish(`user/${bob}`, "x", { type: "" }), TypeError);
  assert.throws(() => phone.publish(`user/${bob}`, "x".repeat(phone.granted.bodyBytesMax + 1)), PublishRefused);
  // Text that JSON makes six times as long: within the limit for bodies, beyond that for frames.
  await assert.rejects(phone.publish(`user/${bob}`, "\u0001".repeat(100_000)).settled, { reason: Reason.PACKET_TOO_LARGE });
  assert.equal((await phone.publish(`user/${bob}`, "ok 😀").settled).n, 1);
});

test("a large body crosses whole, in both forms", async (t) => {
  const [alice] = await users("alice");
  const phone = await device(t, alice, "phone-1");
  const pc = await device(t, alice, "pc-1");
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  phone.publish(`user/${alice}`, bytes);
  phone.publish(`user/${alice}`, "ü\u0007".repeat(20_000));
  const [first, second] = await items(pc, 2);
  assert.deepEqual(first.data, bytes);
  assert.equal(second.text, "ü\u0007".repeat(20_000));
});

test("presence is told by terminal type, and again after a reconnect", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const wire = await network(t);
  const phone = await device(t, alice, "phone-1", { url: wire.url });
  assert.equal(phone.presence(bob), null);
  await phone.follow([bob]);
  await until(phone, () => phone.presence(bob)?.online === false);
  const bobs = await device(t, bob, "pc-1");
  await until(phone, () => phone.presence(bob).terminals[0]?.terminal === "pc");
  wire.cut();
  await until(phone, () => phone.presence(bob) === null);
  await until(phone, () => phone.presence(bob)?.online);
  await bobs.close();
  await until(phone, () => phone.presence(bob).online === false);
  await assert.rejects(phone.follow(["nobody"]), (error) => error instanceof RequestRefused && error.reason === Reason.NOT_FOUND);
  await phone.unfollow([bob]);
  assert.equal(phone.presence(bob), null);
});

test("signals, devices, and a device that was logged out and needs the new password", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const phone = await device(t, alice, "phone-1");
  const bobs = await device(t, bob, "phone-1");
  const club = `club of ${alice}`;
  await phone.createGroup(club, [bob]);
  const passing = next(bobs, "ephemeral");
  phone.ephemeral(`group/${club}`, "", { type: "application/vnd.chat.typing" });
  const signal = await passing;
  assert.deepEqual([signal.from, signal.conversation, signal.type, signal.text], [alice, `group/${club}`, "application/vnd.chat.typing", ""]);

  const pc = await device(t, alice, "pc-1", { client: "Test 1" });
  const devices = await phone.devices();
  assert.deepEqual(devices.map(({ device, online, this: here }) => [device, online, here]).sort(), [["pc-1", true, false], ["phone-1", true, true]]);
  assert.equal(devices.find((one) => one.device === "pc-1").client, "Test 1");
  const ended = next(pc, "state", ({ status }) => status === "ended");
  await phone.logOutDevice("pc-1");
  const { reason, origin, needsPassword, takenOver } = await ended;
  assert.deepEqual([reason, origin.by, needsPassword, takenOver], [Reason.LOGGED_OUT, "phone-1", true, false]);
  await phone.setPassword(PASSWORD, "battery staple");
  await assert.rejects(pc.useHere({ password: PASSWORD }), { name: "LoginRefused", reason: Reason.BAD_USER_NAME_OR_PASSWORD });
  await pc.useHere({ password: "battery staple" });
  assert.equal(pc.state.status, "live");
});

test("history goes on at the broker where the storage ends", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const phone = await device(t, alice, "phone-1");
  for (let i = 1; i <= 12; i += 1) phone.publish(i % 3 ? `user/${bob}` : `user/${alice}`, `${i}`);
  await items(phone, 12);
  const pc = await device(t, alice, "pc-1", { newest: 4 });
  await pc.caughtUp();
  const texts = ({ items: found }) => found.map(({ text }) => text);
  assert.deepEqual(texts(await pc.read()), ["9", "10", "11", "12"]);
  assert.equal((await pc.read()).more, true);
  assert.deepEqual(texts(await pc.history({ conversation: `user/${bob}`, limit: 4 })), ["7", "8", "10", "11"]);
  const older = await pc.history({ conversation: `user/${bob}`, before: 7, limit: 4 });
  assert.deepEqual([texts(older), older.more], [["1", "2", "4", "5"], false]);
  assert.deepEqual(texts(await pc.history({ after: 2, limit: 3 })), ["3", "4", "5"]);
  assert.deepEqual(texts(await pc.fetch({ before: 3 })), ["1", "2"]);
  assert.deepEqual((await pc.conversations()).map(({ address, last }) => [address, last.text]), [[`user/${alice}`, "12"], [`user/${bob}`, "11"]]);
  const page = await phone.read({ after: 5, limit: 2 });
  assert.deepEqual([texts(page), page.more], [["6", "7"], true]);
  assert.throws(() => pc.entries({ after: -1 }), TypeError);
  await assert.rejects(pc.read({ before: 1, after: 2 }), TypeError);
});
