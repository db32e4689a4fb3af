import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.sessionStorage = { getItem: () => null, setItem: () => {}, removeItem: () => {} };

const { Problem, path, queryOf } = await import("../../../web/console/api.js");
const { ago, bodyText, bytes, compareText, count, duration, latency, plural, sentence, time } = await import("../../../web/console/format.js");
const { roundUp } = await import("../../../web/console/chart.js");
const { Rights } = await import("../../../web/console/rights.js");
const { justBelow } = await import("../../../web/console/users.js");

test("figures are said with units", () => {
  assert.equal(count(1234567), "1,234,567");
  assert.equal(plural(1, "entry", "entries"), "1 entry");
  assert.equal(plural(0, "entry", "entries"), "0 entries");
  assert.equal(bytes(0), "0 bytes");
  assert.equal(bytes(1023), "1,023 bytes");
  assert.equal(bytes(1536), "1.5 KiB");
  assert.equal(bytes(2 ** 40), "1 TiB");
  assert.equal(latency(null), "–");
  assert.equal(latency(0.00042), "0.42 ms");
  assert.equal(latency(0.0042), "4.2 ms");
  assert.equal(latency(0.042), "42 ms");
  assert.equal(latency(1.25), "1.3 s");
});

test("times are said in the two largest units", () => {
  assert.equal(duration(0), "0 s");
  assert.equal(duration(400), "under 1 s");
  assert.equal(duration(59_999), "59 s");
  assert.equal(duration(3_600_000 + 5 * 60_000 + 7000), "1 h 5 min");
  assert.equal(duration(86_400_000 * 3 + 7000), "3 d");
  assert.equal(ago(0), "–");
  assert.equal(ago(Date.now() - 65_000), "1 min ago");
  assert.equal(time(null), "–");
  assert.equal(time(9e15), "–", "past what a date can be");
  assert.match(time(1795529978776, { fraction: true }), /^2026-11-2\d \d\d:\d\d:38\.776$/);
});

test("texts are ordered as people expect", () => {
  assert.deepEqual(["b", "a10", "a2"].sort(compareText), ["a2", "a10", "b"]);
});

test("what a message says is text, or said to be none", () => {
  assert.equal(bodyText({ text: "<b>hi</b>" }), "<b>hi</b>");
  assert.equal(bodyText({ data: btoa("abc") }), "3 bytes that are no text");
  assert.equal(bodyText({}), "");
});

test("a sentence begins and ends as one", () => {
  assert.equal(sentence("there is no user 'x'"), "There is no user 'x'.");
  assert.equal(sentence("did you mean bob?"), "Did you mean bob?");
  assert.equal(sentence(""), "");
});

test("a problem is said in plain words, with what the broker said", () => {
  assert.equal(new Problem(404, "Not Found", "there is no user 'x'").words, "There is no user 'x'.");
  assert.match(new Problem(503, "Service Unavailable", "a check is running").words, /^The broker cannot do that now.+A check is running\.$/);
  assert.match(new Problem(0, "", "").words, /cannot be reached/);
  assert.equal(new Problem(418, "I'm a teapot", "").words, "It was not done (418 I'm a teapot).");
});

test("names go into addresses encoded, whatever they are", () => {
  assert.equal(path`/v1/users/${"a b?#%ü"}/inbox/${7}`, "/v1/users/a%20b%3F%23%25%C3%BC/inbox/7");
  assert.equal(queryOf({ user: "", kind: ["a b", "c"], after: null, limit: 0 }), "?kind=a+b&kind=c&limit=0");
  assert.equal(queryOf({}), "");
});

test("a scale is the next round number", () => {
  assert.equal(roundUp(0), 1);
  assert.equal(roundUp(3), 5);
  assert.equal(roundUp(10), 10);
  assert.equal(roundUp(11), 20);
  assert.ok(Math.abs(roundUp(0.0031) - 0.005) < 1e-9);
});

test("rights are those that the broker's description gives a route", () => {
  const document = { paths: { "/v1/users": { get: { "x-role": "read" }, post: { "x-role": "operate" } }, "/v1/messages": { post: { "x-role": "admin" } } } };
  const may = (role) => ["GET /v1/users", "POST /v1/users", "POST /v1/messages"].map((route) => new Rights({ name: "zoe", role }, document).why(route) === "");
  assert.deepEqual(may("read"), [true, false, false]);
  assert.deepEqual(may("operate"), [true, true, false]);
  assert.deepEqual(may("admin"), [true, true, true]);
  const rights = new Rights({ name: "zoe", role: "read" }, document);
  assert.equal(rights.why("POST /v1/users"), "This needs the role operate; yours is read.");
  assert.match(rights.why("POST /v1/other"), /no such thing/);
});

test("a page of names begins just below all that begin so", () => {
  const encoder = new TextEncoder();
  const below = (a, b) => Buffer.compare(encoder.encode(a), encoder.encode(b)) < 0;
  assert.equal(justBelow(""), "");
  for (const prefix of ["a", "al", "Zoë", "\u{1f600}x", "\u{e000}", "x\u{1f600}"]) {
    assert.ok(below(justBelow(prefix), prefix), prefix);
    assert.ok(below(justBelow(prefix), `${prefix}a`), prefix);
  }
  assert.ok(below("ak", justBelow("al")));
});
