// What the tests of the SDK share: a broker to disturb, a network to cut, and a way to wait for what happens.

import net from "node:net";

import { connect, MemoryStorage } from "../../../web/sdk/roost.js";

export const PASSWORD = "correct horse";
const WAIT_S = 30;
const QUICK = { firstS: 0.05, mostS: 0.2 };

/** Have the broker's keeper do something; see tests/web/town.py. */
export async function act(...command) {
  const answer = await fetch(process.env.ROOST_CONTROL, { method: "POST", body: JSON.stringify(command) });
  const told = await answer.json();
  if (!answer.ok) throw new Error(`${command[0]}: ${told}`);
  return told;
}

/** `roost …`; throws if it does not end well. */
export async function roost(...args) {
  const { status, output } = await act("roost", ...args);
  if (status !== 0) throw new Error(`roost ${args.join(" ")}: ${output}`);
  return output;
}

/** A network between a device and the broker that can be cut. `t` closes it. */
export async function network(t) {
  const [host, port] = process.env.ROOST_WEB.split(":");
  const sockets = new Set();
  const wire = { up: true, connections: 0 };
  const server = net.createServer((device) => {
    if (!wire.up) return device.resetAndDestroy();
    wire.connections += 1;
    const broker = net.connect(Number(port), host);
    for (const [from, to] of [[device, broker], [broker, device]]) {
      sockets.add(from);
      from.on("data", (data) => {
        wire.seen?.(data, from === device ? "up" : "down");
        to.write(data);
      });
      from.on("end", () => to.end());
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  wire.url = `ws://127.0.0.1:${server.address().port}/ws`;
  /** Break every connection. */
  wire.cut = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  t.after(() => {
    wire.cut();
    server.close();
  });
  return wire;
}

export const url = `ws://${process.env.ROOST_WEB}/ws`;

/** A session that is closed at the end of the test; its terminal type is the first word of its device's id. */
export async function device(t, user, device, options = {}) {
  const { live = true, ...more } = options;
  const session = await connect({
    url, user, device, terminal: device.split("-")[0], password: PASSWORD, backoff: QUICK, storage: new MemoryStorage(), ...more,
  });
  t.after(() => session.close());
  if (live) await session.live();
  return session;
}

let count = 0;
/** Fresh users, so that tests do not meet each other's messages. */
export async function users(...names) {
  count += 1;
  const fresh = names.map((name) => `${name}${count}`);
  await act("users", ...fresh);
  return fresh;
}

/** Waits until `look()` is true, looking again at each event of the session. */
export async function until(session, look, what = look.toString()) {
  if (await look()) return;
  const names = ["state", "entry", "gap", "startOver", "erased", "publication", "presence", "ephemeral", "error"];
  await new Promise((resolve, reject) => {
    const offs = [];
    const done = (end, value) => {
      clearTimeout(timer);
      for (const off of offs) off();
      end(value);
    };
    const timer = setTimeout(() => done(reject, new Error(`waited in vain for ${what}; ${JSON.stringify(session.state)}`)), WAIT_S * 1000);
    for (const name of names) {
      offs.push(session.on(name, async () => {
        if (await look()) done(resolve);
      }));
    }
  });
}

/** The next event of a name (that fits). Ask for it before what causes it. */
export function next(session, name, fits = () => true) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      off();
      reject(new Error(`no ${name} came; ${JSON.stringify(session.state)}`));
    }, WAIT_S * 1000);
    const off = session.on(name, (detail) => {
      if (!fits(detail)) return;
      clearTimeout(timer);
      off();
      resolve(detail);
    });
  });
}

/** So many items of a session from the beginning (or after a number). */
export async function items(session, many, options) {
  const found = [];
  for await (const item of session.entries(options)) {
    found.push(item);
    if (found.length >= many) break;
  }
  return found;
}

/** What matters of messages, short. */
export function told(messages) {
  return messages.map(({ seq, from, text, own }) => [seq, from, text, own]);
}

/** Everything of the outbox is settled. */
export function settled(publications) {
  return Promise.all(publications.map(({ settled }) => settled));
}

/** Resolves after so many milliseconds: for what must *not* happen meanwhile. */
export function passed(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
