import assert from "node:assert/strict";
import { test } from "node:test";

import { initials, namesIn, parseAddress, tidyName, tint, whyNotName } from "../../../web/chat/names.js";

test("an address is a kind and a name, and nothing else is one", () => {
  assert.deepEqual(parseAddress("user/bob"), { kind: "user", name: "bob" });
  assert.deepEqual(parseAddress("group/Chess club"), { kind: "group", name: "Chess club" });
  for (const wrong of ["bob", "/bob", "user/", "room/x", "user/a/b", "", "user/a\u200bb"]) {
    assert.equal(parseAddress(wrong), null, wrong);
  }
});

test("a name as the broker takes it", () => {
  for (const right of ["bob", "Chess club", "Zoë", "陈", "<img src=x onerror=alert(1)>", "a".repeat(64)]) {
    assert.equal(whyNotName(right), "", right);
  }
});

test("what is no name is told why", () => {
  assert.match(whyNotName(""), /needed/);
  assert.match(whyNotName("é".repeat(33)), /at most 64 bytes, this one has 66/);
  assert.match(whyNotName("a/b"), /“\/”/);
  for (const unseen of ["a\u200bb", "a\tb", "a\u00a0b", "a\u202eb", "a\u3164b", "a\ue000b"]) {
    assert.match(whyNotName(unseen), /invisible/, JSON.stringify(unseen));
  }
});

test("what a person types is trimmed and put into normal form C", () => {
  assert.equal(tidyName("  Zoe\u0308 "), "Zoë");
});

test("a list of names: commas, line breaks, nothing twice, a wrong one is named", () => {
  assert.deepEqual(namesIn(" bob, carol\nbob,, dave "), ["bob", "carol", "dave"]);
  assert.deepEqual(namesIn(""), []);
  assert.throws(() => namesIn("bob, a/b"), /a\/b: A name has no/);
  assert.throws(() => namesIn(Array.from({ length: 257 }, (_, n) => `u${n}`).join(",")), /At most 256/);
});

test("letters for a name are whole characters", () => {
  assert.equal(initials("bob"), "B");
  assert.equal(initials("Chess club"), "CC");
  assert.equal(initials("anna-maria schmidt"), "AS");
  assert.equal(initials("😀x"), "😀");
});

test("a name has one colour of eight", () => {
  for (const name of ["bob", "陈", ""]) {
    assert.equal(tint(name), tint(name));
    assert.ok(tint(name) >= 0 && tint(name) < 8);
  }
});
