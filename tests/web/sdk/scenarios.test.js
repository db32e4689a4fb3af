// The scenarios of tests/client/scenarios.json, played by the SDK over WebSocket; tests/web/test_sdk.py sees that it was all.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ACTS, stageFor, STORY } from "./stage.js";

for (const { name, steps } of STORY.scenarios) {
  test(name, async (t) => {
    const stage = await stageFor(t, steps);
    for (const [at, step] of steps.entries()) {
      try {
        await stage.play(step);
      } catch (error) {
        error.message = `step ${at + 1}, ${JSON.stringify(step)}: ${error.message}`;
        throw error;
      }
    }
    stage.checkEnd();
  });
}

test("what is not so is objected to", async (t) => {
  const { steps, said } = STORY.false;
  const stage = await stageFor(t, [...steps, ...said]);
  for (const step of steps) await stage.play(step);
  for (const step of said) {
    const objected = await stage.play(step).then(() => null, (error) => error);
    assert.ok(objected, `nobody objected to ${JSON.stringify(step)}`);
    const { name, message } = objected;
    assert.ok(["AssertionError", "TypeError", "RequestRefused", "PublishRefused"].includes(name) || message.startsWith("roost "), `${JSON.stringify(step)}: ${objected}`);
  }
});

test("the vocabulary is played word for word", () => {
  assert.deepEqual(Object.keys(ACTS).sort(), Object.keys(STORY.vocabulary).sort());
});
