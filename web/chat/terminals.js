/** Which terminal type each of one's own devices has: kept on this browser, so that it is known without a network, too. */

/** A user has no more devices than that on any sensible site; past it those met first go. */
const DEVICES_MAX = 200;

export class Terminals {
  #key;
  #storage;
  #known;

  constructor(user, storage = globalThis.localStorage) {
    this.#key = `roost-devices:${user}`;
    this.#storage = storage;
    try {
      this.#known = new Map(JSON.parse(storage.getItem(this.#key) ?? "[]"));
    } catch {
      this.#known = new Map(); // somebody else wrote there: they are asked for again
    }
  }

  /** The terminal type of a device, or null if it is not known (yet). */
  get(device) {
    return this.#known.get(device) ?? null;
  }

  /** Note what the broker says of one's devices. */
  note(devices) {
    const before = this.#known.size;
    for (const { device, terminal } of devices) this.#known.set(device, terminal);
    if (this.#known.size === before) return;
    this.#known = new Map([...this.#known].slice(-DEVICES_MAX));
    try {
      this.#storage.setItem(this.#key, JSON.stringify([...this.#known]));
    } catch {
      // The storage is full: they are known as long as this tab lives.
    }
  }

  /** Delete them: the user has logged out. */
  destroy() {
    this.#known.clear();
    this.#storage.removeItem(this.#key);
  }
}
