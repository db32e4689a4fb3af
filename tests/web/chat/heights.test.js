import assert from "node:assert/strict";
import { test } from "node:test";

import { Heights } from "../../../web/chat/heights.js";

const keys = (count) => Array.from({ length: count }, (_, index) => `k${index}`);

test("rows nobody has measured have the estimate", () => {
  const heights = new Heights(50);
  heights.setKeys(keys(10));
  assert.equal(heights.total, 500);
  assert.equal(heights.start(3), 150);
  assert.equal(heights.indexAt(149), 2);
  assert.equal(heights.indexAt(150), 3);
});

test("a measured row moves those after it", () => {
  const heights = new Heights(50);
  heights.setKeys(keys(4));
  assert.equal(heights.measure("k1", 80), true);
  assert.equal(heights.measure("k1", 80), false);
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((index) => heights.start(index)),
    [0, 50, 130, 180, 230],
  );
});

test("a measured height goes with its row when older ones come before it", () => {
  const heights = new Heights(50);
  heights.setKeys(["b", "c"]);
  heights.measure("b", 10);
  heights.setKeys(["a", "b", "c"]);
  assert.equal(heights.start(2), 60);
});

test("pixels outside belong to the first or last row, and without rows to none", () => {
  const heights = new Heights(50);
  assert.equal(heights.indexAt(0), -1);
  assert.equal(heights.total, 0);
  heights.setKeys(keys(3));
  assert.equal(heights.indexAt(-10), 0);
  assert.equal(heights.indexAt(10_000), 2);
  heights.setKeys(keys(1));
  assert.equal(heights.total, 50);
});

test("every pixel belongs to the row that covers it, whatever the heights", () => {
  const heights = new Heights(31);
  heights.setKeys(keys(200));
  for (let index = 0; index < 200; index += 3) heights.measure(`k${index}`, 1 + ((index * 7919) % 97));
  for (let y = 0; y < heights.total; y += 1) {
    const index = heights.indexAt(y);
    assert.ok(heights.start(index) <= y && y < heights.start(index + 1), `${y} in ${index}`);
  }
  heights.forget();
  assert.equal(heights.total, 200 * 31);
});
