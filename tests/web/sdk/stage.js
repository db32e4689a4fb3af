// The acts of tests/client/scenarios.json, done with the SDK: devices with a network that can be cut, and what their users
// would see, written down in the words of the scenarios.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { connect, MemoryStorage, Reason } from "../../../web/sdk/roost.js";
import { act, network, PASSWORD, roost, until } from "./town.js";

export const STORY = JSON.parse(readFileSync(new URL("../../client/scenarios.json", import.meta.url), "utf8"));

const LETTERS_SHOWN = 100;
const REASONS = new Map(Object.entries(Reason).map(([name, code]) => [code, name]));
const PLAIN = { text: "text/plain", data: "application/octet-stream" };

/** Names of users and groups in a story, and the fresh ones that the broker knows. */
class Names {
  #fresh;
  #told;

  constructor(names, number) {
    this.#fresh = new Map([...names].map((name) => [name, `${name}${number}`]));
    this.#told = new Map([...this.#fresh].map(([name, fresh]) => [fresh, name]));
  }

  /** The broker's name, or address, for a word of the story that is one; else the word. */
  fresh = (word) => replaced(word, this.#fresh);
  /** The story's name, or address, for one of the broker's. */
  told = (word) => replaced(word, this.#told);
}

function replaced(word, names) {
  const at = word.lastIndexOf("/") + 1;
  return word.slice(0, at) + (names.get(word.slice(at)) ?? word.slice(at));
}

/** One device of one user: its application, and the storage that outlives it. */
class Player {
  heard = [];
  signals = [];
  starts = 0;
  written = [];
  session = null;
  #names;
  #storage = new MemoryStorage();

  constructor(wire, names, device) {
    const [user, id] = device.split("/");
    Object.assign(this, { wire, id, user: names.fresh(user) });
    this.#names = names;
  }

  /** Log in; what was refused, and why, if it was. Ends what there was of a session before. */
  async start(terms) {
    await this.leave();
    const written = this.written.filter(({ state }) => state !== "waiting");
    try {
      this.session = await connect({
        url: this.wire.url, user: this.user, terminal: this.id.split("-")[0], device: this.id, storage: this.#storage,
        backoff: { firstS: 0.05, mostS: 0.2 }, ...terms,
      });
    } catch (error) {
      if (error.name !== "NotLoggedIn") throw error; // it was told that its token is worth nothing
      return { reason: REASONS.get(error.reason), by: null };
    }
    const waiting = this.session.publications.filter(({ state }) => state === "waiting");
    this.written = [...written, ...waiting];
    this.#listen();
    try {
      await this.session.live();
    } catch (error) {
      const { reason, origin } = error;
      await this.leave();
      return { reason: REASONS.get(reason), by: origin?.by ?? null };
    }
    return null;
  }

  async leave() {
    await this.session?.close();
    this.session = null;
  }

  get ending() {
    const { status, reason, origin } = this.session?.state ?? {};
    return status === "ended" ? { reason: REASONS.get(reason), by: origin?.by ?? null } : null;
  }

  until(look, what) {
    return until(this.session, look, `${this.id}: ${what}`);
  }

  /** What it was told, in lines; and that this is what is stored, too. */
  async items() {
    const heard = this.heard.map((item) => this.line(item));
    if (this.session) assert.deepEqual((await this.session.read({ limit: 1000 })).items.map((item) => this.line(item)), heard);
    return heard;
  }

  /** An item as the scenarios write it. */
  line(item) {
    if (item.kind === "gap") return `${item.seq} to ${item.last} are gone: ${item.reason}`;
    if (item.kind === "erased") return `${item.seq} is erased`;
    const from = this.#names.told(item.from);
    if (item.notice) return `${item.seq} ${from} was erased`;
    assert.notEqual(item.text ?? item.data, null, `entry ${item.seq} came without its body`);
    assert.equal(item.own, item.from === this.user);
    const device = item.own && item.device ? `/${item.device}` : "";
    const plain = item.text === null ? PLAIN.data : PLAIN.text;
    const type = item.type === plain ? "" : ` (${item.type})`;
    return `${item.seq} ${from}${device} to ${this.#names.told(item.to)}${type}: ${shown(item)}`;
  }

  #listen() {
    const { session } = this;
    session.on("entry", (message) => this.heard.push(message));
    session.on("gap", (gap) => this.heard.push(gap));
    session.on("startOver", () => {
      this.heard = [];
      this.starts += 1;
    });
    session.on("erased", ({ user, conversation, before }) => {
      this.heard = this.heard.map((item) => {
        const gone = item.from === user && item.conversation === conversation && item.seq < before;
        return gone ? { kind: "erased", seq: item.seq } : item;
      });
    });
    session.on("ephemeral", ({ from, to, text }) => this.signals.push(`${this.#names.told(from)} to ${this.#names.told(to)}: ${text}`));
    session.on("error", (error) => {
      throw error; // nothing in a scenario is anybody's defect
    });
  }
}

function shown({ text, data }) {
  if (text === null) return `${Buffer.from(data).toString("hex")} in hex`;
  return text.length <= LETTERS_SHOWN ? text : `${text.length} letters`;
}

/** What became of a publish: `stored`, or the name of the reason. */
async function outcomeOf(publication) {
  try {
    await publication.settled;
  } catch (error) {
    if (error.name !== "PublishRefused") throw error;
    return REASONS.get(error.reason);
  }
  return "stored";
}

/** Wait for the answer to a request; the name of the reason if it was refused. */
async function refusalOf(asking) {
  try {
    await asking;
  } catch (error) {
    if (error.name !== "RequestRefused") throw error;
    return REASONS.get(error.reason);
  }
  return undefined;
}

/** Check that a step says what its act may be told, and no more. */
function checkWords({ do: name, ...said }) {
  const entry = STORY.vocabulary[name];
  if (!entry || !Object.hasOwn(ACTS, name)) throw new TypeError(`nobody knows how to ${name}`);
  const words = entry.slice(1);
  for (const word of Object.keys(said)) {
    if (!words.includes(word) && !words.includes(`${word}?`)) throw new TypeError(`${name} does not know ${word}`);
  }
  for (const word of words) {
    if (!word.endsWith("?") && !Object.hasOwn(said, word)) throw new TypeError(`${name} has to say ${word}`);
  }
}

/** The players of one scenario. `over`: those whose session is known to be over. */
class Stage {
  over = new Set();

  constructor(names, players) {
    Object.assign(this, { names, players });
  }

  player(device) {
    return this.players.get(device);
  }

  session(device) {
    const { session } = this.player(device);
    assert.ok(session, `${device} is not logged in`);
    return session;
  }

  async play(step) {
    checkWords(step);
    const { do: name, ...said } = step;
    await ACTS[name](this, said);
  }

  async start({ device, refused = null, by }, terms) {
    this.over.delete(device);
    const ending = await this.player(device).start(terms);
    assert.equal(ending?.reason ?? null, refused);
    if (by !== undefined) assert.equal(ending.by, by);
  }

  /** Nobody was sent away, or told to start over, without the scenario saying so. */
  checkEnd() {
    for (const [device, { ending, starts, written }] of this.players) {
      assert.ok(ending === null || this.over.has(device), `${device}: ${JSON.stringify(ending)}`);
      assert.equal(starts, 0, `${device} was told to start over`);
      assert.deepEqual(written, [], `${device}: nobody asked what became of these`);
    }
  }
}

function bodyOf({ text, hex, letters }) {
  const bodies = [text, hex && new Uint8Array(Buffer.from(hex, "hex")), letters && "x".repeat(letters)].filter((body) => body !== undefined);
  if (bodies.length !== 1) throw new TypeError("a message has one body");
  return bodies[0];
}

const OFFLINE = new Set(["waiting", "connecting"]);

export const ACTS = {
  log_in: async (stage, { device, password = PASSWORD, newest, took_over: tookOver, refused }) => {
    await stage.start({ device, refused }, { password, newest });
    if (tookOver !== undefined) assert.equal(stage.session(device).state.tookOver?.by, tookOver);
  },
  resume: (stage, { device, refused, by }) => stage.start({ device, refused, by }, {}),
  leave: (stage, { device }) => stage.player(device).leave(),
  comes_back: (stage, { device }) => stage.session(device).live(),
  lose_network: async (stage, { device }) => {
    const { wire } = stage.player(device);
    wire.up = false;
    wire.cut();
    await ACTS.goes_offline(stage, { device });
  },
  regain_network: async (stage, { device }) => {
    const player = stage.player(device);
    player.wire.up = true;
    if (!player.session) return; // it was left meanwhile
    await player.until(() => ["live", "ended"].includes(player.session.state.status), "was live or ended");
  },
  lose_next: async (stage, { device, what }) => {
    const { wire } = stage.player(device);
    const way = { question: "up", answer: "down" }[what];
    if (!way) throw new TypeError(`what is lost is a question or an answer, not ${what}`);
    wire.seen = (_, direction) => {
      if (direction !== way) return;
      Object.assign(wire, { seen: undefined, up: false });
      wire.cut();
    };
  },
  goes_offline: async (stage, { device }) => {
    const player = stage.player(device);
    await player.until(() => OFFLINE.has(player.session.state.status), "was offline");
  },
  ended: async (stage, { device, reason, by }) => {
    const player = stage.player(device);
    await player.until(() => player.ending, "had ended");
    assert.deepEqual(player.ending, { reason, by: by ?? player.ending.by });
    assert.equal(player.session.state.takenOver, reason === "SESSION_TAKEN_OVER");
    stage.over.add(device);
  },
  live: async (stage, { user, devices }) => {
    const { sessions } = JSON.parse(await roost("sessions", "list", "--json"));
    assert.deepEqual(sessions.filter((one) => one.user === stage.names.fresh(user)).map(({ device }) => device).sort(), devices);
  },

  publish: async (stage, { device, to, outcome, type, seq, n, ...said }) => {
    const body = bodyOf(said);
    const session = stage.session(device);
    let publication = null;
    try {
      publication = session.publish(stage.names.fresh(to), body, { type });
    } catch (error) {
      if (error.name !== "PublishRefused") throw error;
      assert.equal(REASONS.get(error.reason), outcome);
      return;
    }
    assert.equal(await outcomeOf(publication), outcome);
    if (seq !== undefined) assert.equal(publication.seq, seq);
    if (n !== undefined) assert.equal(publication.n, n);
  },
  write: async (stage, { device, to, texts }) => {
    const session = stage.session(device);
    stage.player(device).written.push(...texts.map((text) => session.publish(stage.names.fresh(to), text)));
  },
  settled: async (stage, { device, outcomes }) => {
    const player = stage.player(device);
    const found = [];
    for (const publication of player.written) found.push(`${publication.text}: ${await outcomeOf(publication)}`);
    assert.deepEqual(found, outcomes);
    player.written = [];
  },
  holds: async (stage, { device, items }) => {
    const player = stage.player(device);
    const { head } = JSON.parse(await roost("users", "show", player.user, "--json"));
    await player.until(() => player.session.position === head, `held entry ${head}`);
    assert.deepEqual(await player.items(), items);
  },
  still_holds: async (stage, { device, items }) => assert.deepEqual(await stage.player(device).items(), items),
  starts_over: async (stage, { device }) => {
    const player = stage.player(device);
    await player.until(() => player.starts > 0, "started over");
    player.starts -= 1;
  },
  history: async (stage, { device, conversation, items, more, ...range }) => {
    const page = await stage.session(device).fetch({ conversation: conversation && stage.names.fresh(conversation), ...range });
    assert.deepEqual([page.items.map((item) => stage.player(device).line(item)), page.more], [items, more]);
  },

  create_group: (stage, said) => changeGroup("createGroup", stage, said),
  add_members: (stage, said) => changeGroup("addMembers", stage, said),
  remove_members: (stage, said) => changeGroup("removeMembers", stage, said),
  leave_group: async (stage, { device, group, refused }) => {
    assert.equal(await refusalOf(stage.session(device).leaveGroup(stage.names.fresh(group))), refused);
  },
  members: async (stage, { device, group, are, refused }) => {
    const asked = stage.session(device).groupMembers(stage.names.fresh(group));
    if (refused !== undefined) return assert.equal(await refusalOf(asked), refused);
    assert.deepEqual((await asked).map(({ user, owner }) => `${stage.names.told(user)}${owner ? "*" : ""}`), are);
  },
  groups: async (stage, { device, are }) => assert.deepEqual((await stage.session(device).groups()).map(stage.names.told), are),
  block: async (stage, { device, user, refused }) => {
    assert.equal(await refusalOf(stage.session(device).block(stage.names.fresh(user))), refused);
  },
  unblock: (stage, { device, user }) => stage.session(device).unblock(stage.names.fresh(user)),
  blocked: async (stage, { device, are }) => assert.deepEqual((await stage.session(device).blocked()).map(stage.names.told), are),
  add_contact: async (stage, { device, user, refused }) => {
    assert.equal(await refusalOf(stage.session(device).addContact(stage.names.fresh(user))), refused);
  },
  remove_contact: (stage, { device, user }) => stage.session(device).removeContact(stage.names.fresh(user)),
  contacts: async (stage, { device, are }) => assert.deepEqual((await stage.session(device).contacts()).map(stage.names.told), are),

  follow: async (stage, { device, users, refused }) => {
    assert.equal(await refusalOf(stage.session(device).follow(users.map(stage.names.fresh))), refused);
  },
  unfollow: (stage, { device, users }) => stage.session(device).unfollow(users.map(stage.names.fresh)),
  sees: async (stage, { device, user, on }) => {
    const player = stage.player(device);
    const seen = () => player.session.presence(stage.names.fresh(user))?.terminals.map(({ terminal }) => terminal).sort().join();
    await player.until(() => seen() === on.join(), `saw ${user} on ${on}`);
  },
  signal: async (stage, { device, to, text }) => stage.session(device).ephemeral(stage.names.fresh(to), text),
  hears: async (stage, { device, signals }) => {
    const player = stage.player(device);
    await player.until(() => player.signals.length >= signals.length, "heard signals");
    assert.deepEqual(player.signals, signals);
  },
  devices: async (stage, { device, online }) => {
    const found = await stage.session(device).devices();
    assert.deepEqual(found.filter((one) => one.online).map((one) => one.device).sort(), online);
  },
  log_out: (stage, { device, other }) => stage.session(device).logOutDevice(other),
  set_password: async (stage, { device, old, new: fresh, refused }) => {
    assert.equal(await refusalOf(stage.session(device).setPassword(old, fresh)), refused);
  },

  broker: async (_, { act: name }) => {
    if (!["stop", "kill", "start", "save", "go_back"].includes(name)) throw new TypeError(`nobody can ${name} a broker`);
    await act(name);
  },
  command: (stage, { args }) => roost(...args.map(stage.names.fresh)),
};

async function changeGroup(name, stage, { device, group, users, refused }) {
  assert.equal(await refusalOf(stage.session(device)[name](stage.names.fresh(group), users.map(stage.names.fresh))), refused);
}

let count = 0;
/** A stage with the devices of these steps, whose users have accounts and nothing else. */
export async function stageFor(t, steps) {
  count += 1;
  const devices = new Set(steps.flatMap(({ device }) => device ?? []));
  const users = new Set([...devices].map((device) => device.split("/")[0]));
  const names = new Names([...users, ...steps.flatMap(({ group }) => group ?? [])], count);
  await act("rise");
  await act("users", ...[...users].map(names.fresh));
  const players = new Map();
  for (const device of devices) players.set(device, new Player(await network(t), names, device));
  t.after(() => Promise.all([...players.values()].map((player) => player.leave())));
  return new Stage(names, players);
}
