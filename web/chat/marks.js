/** Up to which number each conversation was read on this browser: in its local storage, the same for all tabs. */

/** Conversations whose marks are kept; past it the ones longest not read go (their messages count as unread). */
const MARKS_MAX = 2_000;

export class Marks {
  #key;
  #storage;
  #seqs = new Map();
  #saving = false;

  /** `changed(address)` is called when another tab has set a mark. */
  constructor(user, changed, storage = globalThis.localStorage, page = globalThis.window) {
    this.#key = `roost-read:${user}`;
    this.#storage = storage;
    this.#load();
    page?.addEventListener("storage", (event) => {
      if (event.key !== this.#key) return;
      const before = this.#seqs;
      this.#load();
      for (const [address, seq] of this.#seqs) if (before.get(address) !== seq) changed(address);
    });
  }

  get(address) {
    return this.#seqs.get(address) ?? 0;
  }

  set(address, seq) {
    if (this.get(address) >= seq) return;
    this.#seqs.delete(address); // so that the order is that of reading
    this.#seqs.set(address, seq);
    this.#save();
  }

  clear() {
    this.#seqs.clear();
    this.#save();
  }

  /** Delete them: the user has logged out. */
  destroy() {
    this.#seqs.clear();
    this.#storage.removeItem(this.#key);
  }

  #load() {
    let kept = [];
    try {
      kept = JSON.parse(this.#storage.getItem(this.#key) ?? "[]");
    } catch {
      // What somebody else wrote there is not ours: everything counts as unread.
    }
    this.#seqs = new Map(Array.isArray(kept) ? kept.filter((pair) => Array.isArray(pair) && pair.length === 2) : []);
  }

  #save() {
    if (this.#saving) return;
    this.#saving = true;
    queueMicrotask(() => {
      this.#saving = false;
      try {
        this.#storage.setItem(this.#key, JSON.stringify([...this.#seqs].slice(-MARKS_MAX)));
      } catch {
        // The storage is full: the marks live as long as this tab.
      }
    });
  }
}
