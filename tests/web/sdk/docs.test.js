// The examples of docs/sdk.md print what the page says; and roost.d.ts, package.json and roost.js agree.

import assert from "node:assert/strict";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { formatWithOptions } from "node:util";

import * as sdk from "../../../web/sdk/roost.js";
import { act, device, url, users } from "./town.js";

const root = new URL("../../../", import.meta.url);
const page = await readFile(new URL("docs/sdk.md", root), "utf8");
const types = await readFile(new URL("web/sdk/roost.d.ts", root), "utf8");
const folder = await mkdtemp(join(tmpdir(), "roost-docs-"));

const examples = [...page.matchAll(/```js\n(.*?)```\n\n```text\n(.*?)```/gsu)];

test("the examples of docs/sdk.md", async (t) => {
  await act("users", "alice", "bob");
  assert.ok(examples.length >= 5);
  for (const [at, [, code, expected]] of examples.entries()) {
    await t.test(`example ${at + 1}`, async () => {
      const file = join(folder, `example${at}.mjs`);
      await writeFile(file, code.replaceAll('"roost-sdk"', JSON.stringify(new URL("web/sdk/roost.js", root).href)).replaceAll("ws://localhost:7380/ws", url));
      const said = [];
      const { log } = console;
      console.log = (...values) => said.push(formatWithOptions({ colors: false }, ...values));
      try {
        await import(file);
      } finally {
        console.log = log;
      }
      assert.equal(`${said.join("\n")}\n`, expected);
    });
  }
});

test("every example has its output", () => {
  assert.equal([...page.matchAll(/```js\n/gu)].length, examples.length);
});

test("the types declare what the module exports", () => {
  const declared = [...types.matchAll(/^export declare (?:class|function|const) (\w+)/gmu)].map(([, name]) => name);
  assert.deepEqual(declared.sort(), Object.keys(sdk).sort());
});

test("the types declare what a session and a publication have", async (t) => {
  const [alice] = await users("alice");
  const session = await device(t, alice, "phone-1");
  const publication = session.publish(`user/${alice}`, "x");
  await publication.settled;
  for (const [name, object] of [["class Session", session], ["interface Publication", publication]]) {
    const [, body] = new RegExp(`${name} \\{(.*?)\\n\\}`, "su").exec(types);
    const declared = [...body.matchAll(/^ {2}(?:readonly )?(\w+)(?:<.*?>)?[(:]/gmu)].map(([, member]) => member).filter((member) => member !== "constructor");
    const real = Object.getOwnPropertyNames(Object.getPrototypeOf(object)).filter((member) => member !== "constructor");
    assert.deepEqual([...new Set(declared)].sort(), real.sort());
  }
  const state = /interface State \{(.*?)\n\}/su.exec(types)[1];
  assert.deepEqual([...state.matchAll(/^ {2}(\w+):/gmu)].map(([, member]) => member).sort(), Object.keys(session.state).sort());
  const message = /interface Message \{(.*?)\n\}/su.exec(types)[1];
  const [first] = (await session.fetch()).items;
  assert.deepEqual([...message.matchAll(/^ {2}(\w+):/gmu)].map(([, member]) => member).sort(), Object.keys(first).sort());
});

test("the version is that of the package", async () => {
  assert.equal(JSON.parse(await readFile(new URL("web/sdk/package.json", root), "utf8")).version, sdk.VERSION);
});
