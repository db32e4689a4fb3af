import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import http from "node:http";
import { test } from "node:test";

import { connect, LoginRefused, MemoryStorage, NotLoggedIn, Reason, SessionEnded, VersionUnsupported } from "../../../web/sdk/roost.js";
import { act, device, items, network, next, PASSWORD, passed, settled, until, url, users } from "./town.js";

const texts = (found) => found.map(({ text }) => text);
const numbers = (first, last) => Array.from({ length: last - first + 1 }, (_, at) => `${first + at}`);

test("connections that break in a burst lose nothing and double nothing", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const [mine, his] = [await network(t), await network(t)];
  const phone = await device(t, alice, "phone-1", { url: mine.url });
  const bobs = await device(t, bob, "phone-1", { url: his.url });
  const heard = [];
  bobs.on("entry", ({ text }) => heard.push(text));
  const many = 600;
  const publications = [];
  for (let i = 1; i <= many; i += 1) {
    publications.push(phone.publish(`user/${bob}`, `${i}`));
    if (i % 50 === 0) await next(phone, "publication", ({ state }) => state === "stored");
    if (i % 150 === 0) mine.cut();
    if (i % 200 === 0) his.cut();
  }
  const receipts = await settled(publications);
  assert.deepEqual(receipts.map(({ n }) => `${n}`), numbers(1, many));
  assert.deepEqual(texts(await items(bobs, many)), numbers(1, many));
  assert.deepEqual(texts(await items(phone, many)), numbers(1, many));
  assert.deepEqual(heard, numbers(1, many));
  assert.ok(mine.connections > 2 && his.connections > 2, `${mine.connections} and ${his.connections} connections`);
  assert.deepEqual(phone.publications, []);
});

test("an answer that was lost does not double a message, at the very moment of each frame", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const wire = await network(t);
  const phone = await device(t, alice, "phone-1", { url: wire.url });
  for (const way of ["up", "down", "up", "down", "down"]) {
    let left = way === "up" ? 1 : 2;
    wire.seen = (_, direction) => {
      if (direction === way && (left -= 1) === 0) {
        wire.seen = undefined;
        wire.cut();
      }
    };
    await phone.publish(`user/${bob}`, way).settled;
    wire.seen = undefined;
  }
  assert.deepEqual(texts(await items(phone, 5)), ["up", "down", "up", "down", "down"]);
  assert.equal((await phone.fetch()).items.length, 5);
});

test("publishes survive a restart and a crash of the broker, each stored once", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const phone = await device(t, alice, "phone-1");
  const bobs = await device(t, bob, "phone-1");
  const publications = [];
  for (const [at, end] of ["stop", "kill"].entries()) {
    for (let i = 1; i <= 40; i += 1) publications.push(phone.publish(`user/${bob}`, `${at * 80 + i}`));
    await act(end);
    await until(phone, () => phone.state.status === "waiting");
    for (let i = 41; i <= 80; i += 1) publications.push(phone.publish(`user/${bob}`, `${at * 80 + i}`));
    await act("start");
    await settled(publications);
  }
  assert.deepEqual(texts(await items(bobs, 160)), numbers(1, 160));
  assert.deepEqual(texts(await items(phone, 160)), numbers(1, 160));
  await bobs.caughtUp();
  assert.equal(bobs.position, 160);
});

test("another device takes over: this one says by whom, stays away, and comes back when a person says so", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  const storage = new MemoryStorage();
  const first = await device(t, alice, "phone-1", { storage });
  const ended = next(first, "state", ({ status }) => status === "ended");
  const second = await device(t, alice, "phone-2");
  assert.equal(second.state.tookOver.by, "phone-1");
  const { reason, takenOver, origin } = await ended;
  assert.deepEqual([reason, takenOver, origin.by, origin.address.startsWith("127.0.0.1:")], [Reason.SESSION_TAKEN_OVER, true, "phone-2", true]);
  assert.ok(Math.abs(origin.atMs - Date.now()) < 60_000);
  await assert.rejects(first.live(), (error) => error instanceof SessionEnded && error.origin.by === "phone-2");
  await assert.rejects(first.devices(), SessionEnded);
  const waiting = first.publish(`user/${bob}`, "from the first");
  await waiting.queued;
  await passed(500); // much longer than its back-off
  assert.equal(first.state.status, "ended");
  assert.equal(second.state.status, "live");
  // Nor does it come back after a restart.
  await first.close();
  const reloaded = await device(t, alice, "phone-1", { storage, password: undefined, live: false });
  await until(reloaded, () => reloaded.state.status === "ended");
  assert.equal(reloaded.state.origin.by, "phone-2");
  assert.equal(second.state.status, "live");
  assert.deepEqual(texts(reloaded.publications), ["from the first"]);
  const kicked = next(second, "state", ({ status }) => status === "ended");
  await reloaded.useHere();
  assert.equal((await kicked).origin.by, "phone-1");
  await settled(reloaded.publications);
  assert.deepEqual(texts(await items(reloaded, 1)), ["from the first"]);
});

test("a wrong password is refused, and the right one then taken", async (t) => {
  const [alice] = await users("alice");
  const phone = await device(t, alice, "phone-1", { password: "guess", live: false });
  await assert.rejects(phone.live(), (error) => error instanceof LoginRefused && error.reason === Reason.BAD_USER_NAME_OR_PASSWORD);
  assert.deepEqual([phone.state.status, phone.state.needsPassword], ["ended", true]);
  await assert.rejects(phone.useHere(), { reason: Reason.BAD_USER_NAME_OR_PASSWORD });
  await phone.useHere({ password: PASSWORD });
  assert.equal(phone.state.status, "live");
});

/** A JWT that the broker's keeper would have signed; see tests/broker/signing.py. */
function jwtOf(sub, lastsS = 600, secret = "a secret of more than thirty-two bytes") {
  const claims = { sub, aud: "roost", exp: Math.floor(Date.now() / 1000) + lastsS };
  const text = [{ alg: "HS256" }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

test("a JWT serves in place of the password, and a token then in place of the JWT", async (t) => {
  const [alice] = await users("alice");
  const storage = new MemoryStorage();
  const jwt = jwtOf(alice);
  const phone = await device(t, alice, "phone-1", { storage, password: undefined, jwt });
  const store = await storage.open({ url, user: alice, terminal: "phone" });
  const { meta } = await store.load();
  assert.equal(typeof meta.token, "string");
  assert.equal(JSON.stringify(meta).includes(jwt), false);
  await phone.close();
  const reloaded = await device(t, alice, "phone-1", { storage, password: undefined });
  assert.equal(reloaded.state.status, "live");
});

test("a JWT that does not hold is refused, and one that does then taken", async (t) => {
  const [alice, bob] = await users("alice", "bob");
  for (const [jwt, reason] of [[jwtOf(alice, -60), Reason.BAD_USER_NAME_OR_PASSWORD], [jwtOf(alice, 600, "x".repeat(40)), Reason.BAD_USER_NAME_OR_PASSWORD], [jwtOf(bob), Reason.NOT_AUTHORIZED]]) {
    const phone = await device(t, alice, "phone-1", { password: undefined, jwt, live: false });
    await assert.rejects(phone.live(), (error) => error instanceof LoginRefused && error.reason === reason);
    assert.equal(phone.state.needsPassword, reason === Reason.BAD_USER_NAME_OR_PASSWORD);
    await phone.useHere({ jwt: jwtOf(alice) });
    assert.equal(phone.state.status, "live");
    await phone.close();
  }
});

test("a session that ends with its JWT asks for another", async (t) => {
  const [alice] = await users("alice");
  await act("end_at_expiry", true);
  await act("stop");
  await act("start");
  t.after(async () => {
    await act("end_at_expiry", false);
    await act("stop");
    await act("start");
  });
  const phone = await device(t, alice, "phone-1", { password: undefined, jwt: jwtOf(alice, 3) });
  await until(phone, () => phone.state.status === "ended");
  assert.deepEqual([phone.state.reason, phone.state.needsPassword], [Reason.BAD_USER_NAME_OR_PASSWORD, true]);
  await phone.useHere({ jwt: jwtOf(alice) });
  assert.equal(phone.state.status, "live");
});

test("without a password or a token there is no session; options that cannot be are told", async () => {
  const { PASSWORD: _, ...plain } = { url, user: "alice", terminal: "phone", storage: new MemoryStorage() };
  await assert.rejects(connect(plain), NotLoggedIn);
  for (const wrong of [{ user: "a/b" }, { terminal: "Phone" }, { url: "http://x" }, { device: "ä" }, { historyMax: 0 }, { password: "" }, { jwt: "a.b.c" }, { password: undefined, jwt: "x".repeat(9000) }, { newest: -1 }, { keepaliveS: 0.5 }]) {
    await assert.rejects(connect({ ...plain, password: "x", ...wrong }), TypeError, JSON.stringify(wrong));
  }
});

test("an unknown terminal type is refused with the list of those there are", async (t) => {
  const [alice] = await users("alice");
  const fridge = await device(t, alice, "fridge-1", { live: false });
  await assert.rejects(fridge.live(), (error) => error.reason === Reason.UNKNOWN_TERMINAL_TYPE && error.message.includes("phone"));
});

/** A WebSocket server by hand, since a right broker cannot be made to say wrong things; `speak(text)` gets each frame. */
async function impostor(t, protocol, speak) {
  const server = http.createServer();
  server.on("upgrade", (request, socket) => {
    const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    const chosen = protocol ? `Sec-WebSocket-Protocol: ${protocol}\r\n` : "";
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${chosen}\r\n`);
    const say = (text) => {
      const bytes = Buffer.from(text);
      socket.write(Buffer.concat([Buffer.from(bytes.length < 126 ? [0x81, bytes.length] : [0x81, 126, bytes.length >> 8, bytes.length & 255]), bytes]));
    };
    let rest = Buffer.alloc(0);
    socket.on("data", (data) => {
      rest = Buffer.concat([rest, data]);
      while (rest.length >= 6) {
        const [at, size] = (rest[1] & 127) === 126 ? [4, rest.readUInt16BE(2)] : [2, rest[1] & 127];
        if (rest.length < at + 4 + size) return;
        const mask = rest.subarray(at, at + 4);
        const text = Buffer.from(rest.subarray(at + 4, at + 4 + size).map((byte, index) => byte ^ mask[index % 4])).toString();
        if ((rest[0] & 15) === 1) speak(JSON.parse(text), say);
        else if ((rest[0] & 15) === 8) socket.end(Buffer.from([0x88, 0]));
        rest = rest.subarray(at + 4 + size);
      }
    });
    socket.on("error", () => undefined);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `ws://127.0.0.1:${server.address().port}/ws`;
}

const granted = { frame_bytes_max: 262144, body_bytes_max: 131072, publish_max: 256, receive_max: 4096, receive_bytes_max: 1048576, keepalive_s: 60 };
const CONNACK = JSON.stringify({ frame: "CONNACK", epoch: 1, incarnation: "7c1e5d90a2b34f68", head: 0, granted });

for (const [what, protocol, answer, expected] of [
  ["that does not speak our sub-protocol", "", CONNACK, /connection|speaks/u],
  ["that answers with what is no JSON", "roost.v1.json", "hello", /no frame/u],
  ["that speaks before it is asked", "roost.v1.json", '{"frame":"DELIVER","seq":1}', /before CONNACK/u],
  ["that leaves out a number", "roost.v1.json", [CONNACK, '{"frame":"DELIVER","seq":2,"kind":"erased"}'], /entry 2 where 1/u],
  ["that leaves out a number by a gap", "roost.v1.json", [CONNACK, '{"frame":"GAP","first":3,"last":4,"reason":"age"}'], /gap from 3 where 1/u],
  ["that says what only devices say", "roost.v1.json", [CONNACK, '{"frame":"PUBLISH","n":1,"to":"user/a","text":""}'], /PUBLISH may not/u],
]) {
  test(`a server ${what} is told apart from a broker, and left alone`, async (t) => {
    let attempts = 0;
    const address = await impostor(t, protocol, (frame, say) => {
      if (frame.frame !== "CONNECT") return;
      attempts += 1;
      for (const text of [answer].flat()) say(text);
    });
    const session = await device(t, "alice", "phone-1", { url: address, live: false });
    await until(session, () => session.state.status === "waiting" && session.state.text !== "");
    assert.match(session.state.text, expected);
    if (protocol) {
      assert.ok(session.state.retryAtMs - Date.now() > 20_000, "it must not hammer at the broker");
      assert.equal(attempts, 1);
    }
  });
}

test("a broker of another version: a clear error, no further attempt", async (t) => {
  const refusal = JSON.stringify({ frame: "CONNACK", reason: Reason.UNSUPPORTED_PROTOCOL_VERSION, text: "version 2 is spoken here" });
  const address = await impostor(t, "roost.v1.json", (_, say) => say(refusal));
  const session = await device(t, "alice", "phone-1", { url: address, live: false });
  await assert.rejects(session.live(), (error) => error instanceof VersionUnsupported && /version 2 is spoken here/u.test(error.message));
  assert.deepEqual([session.state.status, session.state.unsupportedVersion], ["ended", true]);
});

test("a broker that finds fault with this SDK: told as an error, no further attempt, but one after a reload", async (t) => {
  let connections = 0;
  const address = await impostor(t, "roost.v1.json", (frame, say) => {
    if (frame.frame !== "CONNECT") return;
    say(CONNACK);
    if ((connections += 1) === 1) setTimeout(() => say(JSON.stringify({ frame: "DISCONNECT", reason: Reason.PROTOCOL_ERROR, text: "an ACK beyond" })), 50);
  });
  const storage = new MemoryStorage();
  const session = await device(t, "alice", "phone-1", { url: address, storage });
  const error = await next(session, "error");
  assert.match(error.message, /this SDK is at fault: an ACK beyond/u);
  await until(session, () => session.state.status === "ended");
  await session.close();
  await device(t, "alice", "phone-1", { url: address, storage });
  assert.equal(connections, 2);
});

test("a refusal for now is tried again by itself, not before its time", async (t) => {
  const at = [];
  const address = await impostor(t, "roost.v1.json", (frame, say) => {
    if (frame.frame !== "CONNECT") return;
    at.push(Date.now());
    say(at.length < 2 ? JSON.stringify({ frame: "CONNACK", reason: Reason.SERVER_BUSY, retry_after_s: 1 }) : CONNACK);
  });
  const session = await device(t, "alice", "phone-1", { url: address });
  assert.equal(session.state.status, "live");
  assert.ok(at[1] - at[0] >= 950, `${at[1] - at[0]} ms`);
});

test("publishes that are refused for now go out again, in order, with the same counts", async (t) => {
  const seen = [];
  const address = await impostor(t, "roost.v1.json", (frame, say) => {
    if (frame.frame === "CONNECT") say(CONNACK);
    if (frame.frame !== "PUBLISH") return;
    seen.push(`${frame.n}${frame.text}`);
    const again = seen.length <= 3;
    say(JSON.stringify(again ? { frame: "PUBACK", n: frame.n, reason: 0x97, retry_after_s: 0 } : { frame: "PUBACK", n: frame.n, seq: frame.n, id: "19b76dab88a33c70", time: 1 }));
  });
  const session = await device(t, "alice", "phone-1", { url: address });
  const publications = ["a", "b", "c"].map((text) => session.publish("user/bob", text));
  await settled(publications);
  assert.deepEqual(seen, ["1a", "2b", "3c", "1a", "2b", "3c"]);
});

test("the window of publishes is kept to, and what was sent is said again before anything new", async (t) => {
  const seen = [];
  let connections = 0;
  const small = JSON.stringify({ frame: "CONNACK", epoch: 1, incarnation: "7c1e5d90a2b34f68", settled_n: 7, granted: { ...granted, publish_max: 2 } });
  const address = await impostor(t, "roost.v1.json", (frame, say) => {
    if (frame.frame === "CONNECT") {
      connections += 1;
      say(small);
    }
    if (frame.frame === "PUBLISH") {
      seen.push(`${connections}: ${frame.n} ${frame.text}`);
      if (connections === 2 && frame.n === 8) say(JSON.stringify({ frame: "PUBACK", n: 8, seq: 1, id: "19b76dab88a33c70", time: 1, retransmission: true }));
    }
    if (frame.frame === "FETCH") {
      say(JSON.stringify({ frame: "PAGE", request: frame.request }));
      if (connections === 1) say(JSON.stringify({ frame: "DISCONNECT", reason: 139, reconnect: true }));
    }
  });
  const session = await device(t, "alice", "phone-1", { url: address });
  for (const text of ["a", "b", "c"]) session.publish("user/bob", text);
  await until(session, () => seen.length === 2 || session.publications[1].n !== null);
  await session.fetch();
  await until(session, () => connections === 2 && session.publications.some(({ n }) => n === 10));
  await session.fetch();
  assert.deepEqual(seen, ["1: 8 a", "1: 9 b", "2: 8 a", "2: 9 b", "2: 10 c"]);
});

test("a broker that has forgotten outcomes is not told blindly again", async (t) => {
  let connections = 0;
  const connack = (settledN) => JSON.stringify({ ...JSON.parse(CONNACK), settled_n: settledN });
  const seen = [];
  const address = await impostor(t, "roost.v1.json", (frame, say) => {
    if (frame.frame === "CONNECT") say(connack((connections += 1) === 1 ? 5 : 2));
    if (frame.frame !== "PUBLISH") return;
    seen.push(frame.n);
    if (connections === 1) say(JSON.stringify({ frame: "DISCONNECT", reason: 139, reconnect: true }));
    else say(JSON.stringify({ frame: "PUBACK", n: frame.n, seq: 1, id: "19b76dab88a33c70", time: 1 }));
  });
  const session = await device(t, "alice", "phone-1", { url: address });
  const publication = session.publish("user/bob", "perhaps");
  await assert.rejects(publication.settled, { reason: Reason.SETTLED_LONG_AGO });
  await session.live();
  assert.equal((await session.publish("user/bob", "new").settled).n, 7);
  assert.deepEqual(seen, [6, 7]);
});

test("requests that were lost are asked again if that does no harm, and fail if it may", async (t) => {
  let connections = 0;
  const address = await impostor(t, "roost.v1.json", (frame, say) => {
    if (frame.frame === "CONNECT") {
      connections += 1;
      say(CONNACK);
    }
    if (frame.frame !== "GROUP") return;
    if (connections === 1) say(JSON.stringify({ frame: "DISCONNECT", reason: 139, reconnect: true }));
    else say(JSON.stringify({ frame: "RESULT", request: frame.request, groups: ["Chess club"] }));
  });
  const session = await device(t, "alice", "phone-1", { url: address });
  const listed = session.groups();
  await assert.rejects(session.createGroup("Chess club"), { name: "ConnectionFailed" });
  assert.deepEqual(await listed, ["Chess club"]);
});

test("a silent broker is asked, and then given up", async (t) => {
  const seen = [];
  const impatient = JSON.stringify({ ...JSON.parse(CONNACK), granted: { ...granted, keepalive_s: 1 } });
  const address = await impostor(t, "roost.v1.json", (frame, say) => {
    seen.push(frame.frame);
    if (frame.frame === "CONNECT") say(impatient);
  });
  const session = await device(t, "alice", "phone-1", { url: address });
  await until(session, () => session.state.status === "waiting");
  assert.match(session.state.text, /nothing came/u);
  assert.equal(seen.includes("PING"), true);
});
