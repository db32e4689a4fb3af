/**
 * The browser SDK of roost: one device of one user, over WebSocket. The interface is described in `roost.d.ts`, the
 * protocol in docs/protocol.md, whose rules are cited below by the names of its sections.
 *
 * How it is built. A `Session` is what a page sees; there is one in each tab. An `Engine` has the connection and alone
 * writes to the storage; there is one in the tab that leads (the one that holds a Web Lock). The other tabs send it
 * commands and hear what it tells over a BroadcastChannel. Without Web Locks, or with a storage that no other tab
 * sees, every tab leads for itself.
 *
 * Invariant: everything that is written goes through `Engine.#write`, one commit after the other, and what follows
 * from it (an ACK, a PUBLISH, an event) happens after its commit. So nothing is acknowledged that is not stored, no
 * count is used twice, and the tabs are told what they can read.
 *
 * @module roost
 */

export const VERSION = "0.1.0";
const PROTOCOL_VERSION = 1;
const SUBPROTOCOL = "roost.v1.json";
const TEXT_TYPE = "text/plain";
const BYTES_TYPE = "application/octet-stream";
/** Content type of a notice of erasure (docs/protocol.md, "Erasure"). */
const ERASED_TYPE = "application/vnd.roost.erased";

// --- bounds: name, value, unit and reason ---------------------------------------------------------------------------

/** Seconds to open a connection: a lost SYN is sent again after 1, 3 and 7 seconds. */
const CONNECT_TIMEOUT_S = 10;
/** Seconds from CONNECT to CONNACK: half as long again as a broker allows itself ("The states of a connection"). */
const LOGIN_TIMEOUT_S = 15;
/** Seconds that a connection must have lasted for the back-off to begin anew ("Takeover and reconnecting"). */
const STEADY_S = 60;
/** Seconds to stay away, at least, from a broker that broke the protocol: it will most likely do so again. */
const VIOLATION_PAUSE_S = 30;
/** Seconds for which an attempt still counts as what a person asked for; later ones go on with the epoch. */
const PERSON_S = 60;
/** Seconds to say goodbye when a session is closed. */
const CLOSE_TIMEOUT_S = 2;
/** Connections on which one request is tried: one that kills its connection must not do so for ever. */
const REQUEST_TRIES_MAX = 3;
/** Requests that wait for their answers; more are a fault of the page. */
const REQUESTS_MAX = 256;
/** Bytes in the socket's own buffer past which publishes wait: what is there cannot be taken back. */
const BUFFERED_BYTES_MAX = 1 << 20;
/** Bytes of publishes in one commit. */
const COMMIT_BYTES = 1 << 18;
/** Seconds between looks at a full socket buffer, which tells nobody when it is empty. */
const BUFFERED_LOOK_S = 0.05;
/** Entries read from the storage at once by an iterator. */
const READ_ITEMS = 100;
/** Names in one request (`LIST_MAX`). */
const LIST_MAX = 256;
/** Bodies of discarded publishes that may still come back without one; as many as can be unsettled (4096 at most). */
const DISCARDED_MAX = 4096;
/** Entries in one page at most (docs/protocol.md, FETCH). */
const FETCH_MAX = 1000;

export const Reason = Object.freeze({
  SUCCESS: 0x00, UNSPECIFIED_ERROR: 0x80, MALFORMED_PACKET: 0x81, PROTOCOL_ERROR: 0x82,
  UNSUPPORTED_PROTOCOL_VERSION: 0x84, CLIENT_IDENTIFIER_NOT_VALID: 0x85, BAD_USER_NAME_OR_PASSWORD: 0x86,
  NOT_AUTHORIZED: 0x87, SERVER_UNAVAILABLE: 0x88, SERVER_BUSY: 0x89, SERVER_SHUTTING_DOWN: 0x8b,
  KEEP_ALIVE_TIMEOUT: 0x8d, SESSION_TAKEN_OVER: 0x8e, PACKET_IDENTIFIER_IN_USE: 0x91, RECEIVE_MAXIMUM_EXCEEDED: 0x93,
  PACKET_TOO_LARGE: 0x95, MESSAGE_RATE_TOO_HIGH: 0x96, QUOTA_EXCEEDED: 0x97, ADMINISTRATIVE_ACTION: 0x98,
  CONNECTION_RATE_EXCEEDED: 0x9f, MAXIMUM_CONNECT_TIME: 0xa0, UNKNOWN_RECIPIENT: 0xc0, NOT_A_MEMBER: 0xc1, BLOCKED: 0xc2, SETTLED_LONG_AGO: 0xc3,
  ALREADY_EXISTS: 0xc4, NOT_FOUND: 0xc5, UNKNOWN_TERMINAL_TYPE: 0xc6, LOGIN_TIMEOUT: 0xc7, LOGGED_OUT: 0xc8,
  WRITE_TIMEOUT: 0xc9,
});
const FAILURE = 0x80;
const PHRASES = new Map(Object.entries(Reason).map(([name, code]) => [code, name.toLowerCase().replaceAll("_", " ")]));

/** Reasons for which software has to be brought up to date, not a person to act. */
const DEFECTS = new Set([Reason.UNSUPPORTED_PROTOCOL_VERSION, Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR, Reason.PACKET_TOO_LARGE]);

/** @param {number} code @returns {string} the code in words */
export function reasonPhrase(code) {
  return PHRASES.get(code) ?? (code >= FAILURE ? "unspecified error" : "success");
}

// --- errors ---------------------------------------------------------------------------------------------------------

/** Everything that goes wrong here; `reason` is a code of docs/protocol.md. */
export class RoostError extends Error {
  /** @param {number} reason @param {string} [text] @param {{retryAfterS?: number|null, origin?: object|null}} [more] */
  constructor(reason, text = "", more = {}) {
    super(text && reason >= FAILURE ? `${reasonPhrase(reason)}: ${text}` : text || reasonPhrase(reason));
    this.name = new.target.kind;
    this.reason = reason;
    this.text = text;
    this.retryAfterS = more.retryAfterS ?? null;
    this.origin = more.origin ?? null;
  }
  static kind = "RoostError";
}
export class ConnectionFailed extends RoostError { static kind = "ConnectionFailed"; }
export class LoginRefused extends RoostError { static kind = "LoginRefused"; }
export class VersionUnsupported extends LoginRefused { static kind = "VersionUnsupported"; }
export class NotLoggedIn extends RoostError { static kind = "NotLoggedIn"; }
export class ProtocolError extends RoostError { static kind = "ProtocolError"; }
export class PublishRefused extends RoostError { static kind = "PublishRefused"; }
export class QueueFull extends RoostError { static kind = "QueueFull"; }
export class RequestRefused extends RoostError { static kind = "RequestRefused"; }
export class SessionEnded extends RoostError { static kind = "SessionEnded"; }
export class SessionClosed extends RoostError { static kind = "SessionClosed"; }
export class StorageFailed extends RoostError { static kind = "StorageFailed"; }

const ERRORS = new Map(
  [RoostError, ConnectionFailed, LoginRefused, VersionUnsupported, NotLoggedIn, ProtocolError, PublishRefused, QueueFull,
    RequestRefused, SessionEnded, SessionClosed, StorageFailed].map((kind) => [kind.kind, kind]),
);

/** An error as it goes to another tab, and back: classes do not cross a BroadcastChannel. */
function packError(error) {
  if (error instanceof RoostError) {
    const { name, reason, text, retryAfterS, origin } = error;
    return { name, reason, text, retryAfterS, origin };
  }
  return { name: "RoostError", reason: Reason.UNSPECIFIED_ERROR, text: String(error) };
}
function unpackError(packed) {
  return new (ERRORS.get(packed.name) ?? RoostError)(packed.reason, packed.text, packed);
}

// --- values: names, addresses, bodies -------------------------------------------------------------------------------

const utf8 = new TextEncoder();
const bytesOf = (text) => utf8.encode(text).length;
// Values, "Names": control, format, surrogate, private-use, unassigned; separators but the space; and what shows nothing.
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}|[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\u{e0100}-\u{e01ef}]/u;

/** Returns the name; throws TypeError if no user or group can have it. A broker hangs up on one that cannot be. */
function checkName(name) {
  if (typeof name !== "string") throw new TypeError(`a name is a string, found ${typeof name}`);
  const size = bytesOf(name);
  if (size < 1 || size > 64) throw new TypeError(`a name has 1 to 64 bytes of UTF-8, this one has ${size}`);
  if (name.includes("/")) throw new TypeError(`a name has no "/": ${JSON.stringify(name)}`);
  if (HIDDEN.test(name)) throw new TypeError(`a name has no invisible characters: ${JSON.stringify(name)}`);
  if (name !== name.trim()) throw new TypeError(`a name neither begins nor ends with a space: ${JSON.stringify(name)}`);
  if (name !== name.normalize("NFC")) throw new TypeError(`a name is in Unicode normal form C: ${JSON.stringify(name)}`);
  return name;
}

/** Returns the address; throws TypeError for anything but `user/NAME` and `group/NAME`. */
function checkAddress(address) {
  const [, kind, name] = /^(user|group)\/(.*)$/su.exec(String(address)) ?? [];
  if (!kind) throw new TypeError(`an address is user/NAME or group/NAME, not ${JSON.stringify(address)}`);
  checkName(name);
  return address;
}

function checkNames(users) {
  return [...(typeof users === "string" ? [users] : users)].map(checkName);
}

function checkMatch(value, pattern, what) {
  if (typeof value !== "string" || !pattern.test(value)) throw new TypeError(`${what}, found ${JSON.stringify(value)}`);
  return value;
}

function checkNumber(value, least, most, what) {
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw new TypeError(`${what} is a whole number from ${least} to ${most}, found ${value}`);
  }
  return value;
}

/** `{ text, data, type, size }` of what a page wants to send. Throws TypeError. */
function checkBody(body, type) {
  const isText = typeof body === "string";
  if (!isText && !(body instanceof Uint8Array)) throw new TypeError("a body is a string or a Uint8Array");
  // A lone surrogate has no UTF-8; JSON would carry it, and the broker would hang up.
  if (isText && /\p{Surrogate}/u.test(body)) throw new TypeError("a text has no lone surrogates (see toWellFormed)");
  type ??= isText ? TEXT_TYPE : BYTES_TYPE;
  checkMatch(type, /^(?=.{1,64}$)[!-~]([ -~]*[!-~])?$/u, "a content type is printable ASCII, 1 to 64 characters");
  return { text: isText ? body : null, data: isText ? null : body.slice(), type, size: isText ? bytesOf(body) : body.length };
}

function toBase64(bytes) {
  let binary = "";
  for (let start = 0; start < bytes.length; start += 0x2000) {
    binary += String.fromCharCode(...bytes.subarray(start, start + 0x2000));
  }
  return btoa(binary);
}
function fromBase64(text) {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

function randomHex(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The keys `to`, `type`, and `text` or `data` of a frame. */
function bodyKeys({ to, type, text, data }) {
  const keys = type === TEXT_TYPE ? { to } : { to, type };
  return text === null ? { ...keys, data: toBase64(data) } : { ...keys, text };
}

function originOf(origin) {
  return origin ? { by: origin.by, atMs: origin.at, address: origin.address ?? "" } : null;
}

/** The message in a DELIVER to `user`. Throws ProtocolError. */
function messageOf(deliver, user) {
  const { seq, kind = "message", device = null, n = null, entry } = deliver;
  const message = {
    kind, seq, id: "", from: "", to: "", conversation: "", timeMs: 0, type: "", text: null, data: null,
    own: false, device, n, key: null, notice: false,
  };
  if (!Number.isSafeInteger(seq) || seq < 1) throw violation(`a DELIVER with the number ${seq}`);
  if (!entry) return { ...message, kind: kind === "damaged" ? kind : "erased" };
  const { id, from, to, time, type = TEXT_TYPE, text = null, data = null } = entry;
  if (![id, from, to].every((value) => typeof value === "string") || !Number.isSafeInteger(time)) {
    throw violation(`entry ${seq} lacks id, from, to or time`);
  }
  const own = from === user;
  return {
    ...message, id, from, to, timeMs: time, type, text, own,
    conversation: own || to.startsWith("group/") ? to : `user/${from}`,
    data: data === null ? null : fromBase64(data),
    notice: type === ERASED_TYPE,
  };
}

function blanked(message) {
  const { seq, device, n } = message;
  return messageOf({ seq, kind: "erased", device, n }, "");
}

function violation(text) {
  return new ProtocolError(Reason.PROTOCOL_ERROR, `the broker broke the protocol: ${text}`);
}

// --- storage in memory ----------------------------------------------------------------------------------------------

/** Where the newest `limit` items below `before` begin and end in a list, or the oldest `limit` above `after`. */
function spanOf(messages, { before, after, limit }) {
  if (after !== undefined && before === undefined) {
    const from = messages.findIndex((message) => message.seq > after);
    return from < 0 ? [] : messages.slice(from, from + limit);
  }
  const below = before === undefined ? messages : messages.filter((message) => message.seq < before);
  return below.slice(-limit);
}

/** Messages with the gaps that lie among them; at the open end, all gaps that follow. */
function withGaps(messages, gaps, { before, after, limit }) {
  const forward = after !== undefined && before === undefined;
  const full = messages.length >= limit;
  const low = forward ? after + 1 : full ? messages[0].seq : 0;
  const high = forward ? (full ? messages.at(-1).seq : Infinity) : (before ?? Infinity);
  const among = gaps.filter((gap) => gap.last >= low && gap.seq < high);
  return among.length ? [...messages, ...among].sort((one, other) => one.seq - other.seq) : messages;
}

class MemoryStore {
  #messages = [];
  #gaps = [];
  #meta = {};
  #outbox = new Map();
  #conversations = new Map();
  #gone;

  constructor(gone) {
    this.#gone = gone;
  }

  get meta() {
    return this.#meta;
  }

  async load() {
    const outbox = [...this.#outbox.values()].sort((one, other) => one.order - other.order);
    return structuredClone({ meta: this.#meta, outbox });
  }

  async commit(changes) {
    if (changes.clear) {
      this.#messages = [];
      this.#gaps = [];
      this.#conversations.clear();
    }
    for (const item of changes.items ?? []) this.#put(item);
    for (const erase of changes.erase ?? []) this.#erase(erase);
    if (changes.trimBelow !== undefined) {
      const from = this.#messages.findIndex((message) => message.seq >= changes.trimBelow);
      this.#messages.splice(0, from < 0 ? this.#messages.length : from);
      this.#gaps = this.#gaps.filter((gap) => gap.last >= changes.trimBelow);
    }
    for (const [name, value] of Object.entries(changes.meta ?? {})) {
      if (value === undefined) delete this.#meta[name];
      else this.#meta[name] = structuredClone(value);
    }
    for (const record of changes.outboxPut ?? []) this.#outbox.set(record.key, structuredClone(record));
    for (const key of changes.outboxRemove ?? []) this.#outbox.delete(key);
  }

  #put(item) {
    const list = item.kind === "gap" ? this.#gaps : this.#messages;
    const newest = list.at(-1);
    if (!newest || newest.seq < item.seq) list.push(item);
    else {
      const at = list.findIndex((other) => other.seq >= item.seq);
      list.splice(at, list[at].seq === item.seq ? 1 : 0, item);
    }
    if (item.conversation && !(this.#conversations.get(item.conversation)?.last.seq > item.seq)) {
      this.#conversations.set(item.conversation, { address: item.conversation, last: item });
    }
  }

  #erase({ user, conversation, before }) {
    this.#messages = this.#messages.map((message) =>
      message.conversation === conversation && message.from === user && message.seq < before ? blanked(message) : message,
    );
    const last = this.#messages.findLast((message) => message.conversation === conversation);
    if (last) this.#conversations.set(conversation, { address: conversation, last });
    else this.#conversations.delete(conversation);
  }

  async read(options) {
    const { conversation } = options;
    const all = conversation ? this.#messages.filter((message) => message.conversation === conversation) : this.#messages;
    return withGaps(spanOf(all, options), this.#gaps, options);
  }

  async conversations() {
    return [...this.#conversations.values()].sort((one, other) => other.last.seq - one.last.seq);
  }

  async close() {}

  async destroy() {
    await this.commit({ clear: true });
    this.#meta = {};
    this.#outbox.clear();
    this.#gone();
  }
}

/** Keeps sessions for as long as the object lives. */
export class MemoryStorage {
  #stores = new Map();

  constructor({ shared = false } = {}) {
    this.shared = shared;
    this.scope = randomHex(8);
  }

  async open({ url, user, terminal }) {
    const key = JSON.stringify([url, user, terminal]);
    const store = this.#stores.get(key)?.store ?? new MemoryStore(() => this.#stores.delete(key));
    this.#stores.set(key, { store, url, user, terminal });
    return store;
  }

  async remembered() {
    return [...this.#stores.values()]
      .filter(({ store }) => store.meta.token)
      .map(({ store, url, user, terminal }) => ({ url, user, terminal, device: store.meta.device }))
      .reverse();
  }
}

// --- storage in IndexedDB -------------------------------------------------------------------------------------------

function asked(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function finished(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the transaction was aborted"));
  });
}

function openDatabase(name, upgrade) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(name, 1);
    opening.onupgradeneeded = () => upgrade(opening.result);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      database.onversionchange = () => database.close(); // another tab deletes it
      resolve(database);
    };
  });
}

async function collect(source, range, direction, limit) {
  const found = [];
  await new Promise((resolve, reject) => {
    const walk = source.openCursor(range, direction);
    walk.onerror = () => reject(walk.error);
    walk.onsuccess = () => {
      const cursor = walk.result;
      if (!cursor || found.length >= limit) return resolve();
      found.push(cursor.value);
      if (found.length >= limit) resolve();
      else cursor.continue();
    };
  });
  return found;
}

const STORES = ["items", "gaps", "meta", "outbox", "conversations"];

class IndexedDbStore {
  #database;
  #name;
  #index;
  #session;

  constructor(database, name, index, session) {
    this.#database = database;
    this.#name = name;
    this.#index = index;
    this.#session = session;
  }

  async load() {
    const transaction = this.#database.transaction(["meta", "outbox"], "readonly");
    const meta = transaction.objectStore("meta");
    const [keys, values, outbox] = await Promise.all([
      asked(meta.getAllKeys()), asked(meta.getAll()), asked(transaction.objectStore("outbox").getAll()),
    ]);
    return {
      meta: Object.fromEntries(keys.map((key, at) => [key, values[at]])),
      outbox: outbox.sort((one, other) => one.order - other.order),
    };
  }

  async commit(changes) {
    // What is lost of the stream in a power cut comes again from the broker; a publish would be sent with a used count.
    const durability = changes.outboxPut?.length ? "strict" : "relaxed";
    const transaction = this.#database.transaction(STORES, "readwrite", { durability });
    const done = finished(transaction);
    try {
      await this.#apply(Object.fromEntries(STORES.map((name) => [name, transaction.objectStore(name)])), changes);
    } catch (error) {
      try {
        transaction.abort();
      } catch {
        // it is over already: `done` says why
      }
      await done.catch(() => undefined);
      throw error;
    }
    await done;
    if (changes.meta && ("token" in changes.meta || "device" in changes.meta)) await this.#register();
  }

  async #apply(stores, changes) {
    if (changes.clear) for (const name of ["items", "gaps", "conversations"]) stores[name].clear();
    const newest = new Map();
    for (const item of changes.items ?? []) {
      stores[item.kind === "gap" ? "gaps" : "items"].put(item);
      if (item.conversation && !(newest.get(item.conversation)?.seq > item.seq)) newest.set(item.conversation, item);
    }
    for (const [address, last] of newest) {
      const known = await asked(stores.conversations.get(address));
      if (!(known?.last.seq > last.seq)) stores.conversations.put({ address, last });
    }
    for (const [name, value] of Object.entries(changes.meta ?? {})) {
      if (value === undefined) stores.meta.delete(name);
      else stores.meta.put(value, name);
    }
    for (const record of changes.outboxPut ?? []) stores.outbox.put(record);
    for (const key of changes.outboxRemove ?? []) stores.outbox.delete(key);
    for (const erase of changes.erase ?? []) await this.#erase(stores, erase);
    if (changes.trimBelow !== undefined) {
      stores.items.delete(IDBKeyRange.upperBound(changes.trimBelow, true));
      for (const gap of await asked(stores.gaps.getAll(IDBKeyRange.upperBound(changes.trimBelow, true)))) {
        if (gap.last < changes.trimBelow) stores.gaps.delete(gap.seq);
      }
    }
  }

  async #erase(stores, { user, conversation, before }) {
    const index = stores.items.index("conversation");
    const range = IDBKeyRange.bound([conversation, 0], [conversation, before], false, true);
    await new Promise((resolve, reject) => {
      const walk = index.openCursor(range);
      walk.onerror = () => reject(walk.error);
      walk.onsuccess = () => {
        const cursor = walk.result;
        if (!cursor) return resolve();
        if (cursor.value.from === user) stores.items.put(blanked(cursor.value));
        cursor.continue();
      };
    });
    const [last] = await collect(index, IDBKeyRange.bound([conversation, 0], [conversation, Infinity]), "prev", 1);
    if (last) stores.conversations.put({ address: conversation, last });
    else stores.conversations.delete(conversation);
  }

  async read(options) {
    const { conversation, before, after, limit } = options;
    const transaction = this.#database.transaction(["items", "gaps"], "readonly");
    const items = transaction.objectStore("items");
    const source = conversation ? items.index("conversation") : items;
    const key = (seq) => (conversation ? [conversation, seq] : seq);
    const forward = after !== undefined && before === undefined;
    const range = forward
      ? IDBKeyRange.bound(key(after), key(Infinity), true, false)
      : IDBKeyRange.bound(key(0), key(before ?? Infinity), false, true);
    const gaps = asked(transaction.objectStore("gaps").getAll());
    if (forward) return withGaps(await asked(source.getAll(range, limit)), await gaps, options);
    const found = await collect(source, range, "prev", limit);
    return withGaps(found.reverse(), await gaps, options);
  }

  async conversations() {
    const all = await asked(this.#database.transaction("conversations").objectStore("conversations").getAll());
    return all.sort((one, other) => other.last.seq - one.last.seq);
  }

  async close() {
    this.#database.close();
  }

  async destroy() {
    this.#database.close();
    await this.#index(async (sessions) => sessions.delete(this.#name));
    await asked(indexedDB.deleteDatabase(this.#name));
  }

  /** Note in the list of sessions whether this one can be resumed without a password. */
  async #register() {
    const { meta } = await this.load();
    const row = { ...this.#session, device: meta.device, savedMs: Date.now() };
    await this.#index(async (sessions) => {
      if (meta.token) sessions.put(row, this.#name);
      else sessions.delete(this.#name);
    });
  }
}

/** Keeps each session in an IndexedDB database of its own, which all tabs of one browser share. */
export class IndexedDbStorage {
  #name;

  constructor({ name = "roost" } = {}) {
    this.#name = name;
    this.shared = true;
    this.scope = name;
  }

  async open({ url, user, terminal }) {
    const name = `${this.#name}:${JSON.stringify([url, user, terminal])}`;
    const database = await openDatabase(name, (fresh) => {
      fresh.createObjectStore("items", { keyPath: "seq" }).createIndex("conversation", ["conversation", "seq"]);
      fresh.createObjectStore("gaps", { keyPath: "seq" });
      fresh.createObjectStore("meta");
      fresh.createObjectStore("outbox", { keyPath: "key" });
      fresh.createObjectStore("conversations", { keyPath: "address" });
    });
    return new IndexedDbStore(database, name, (change) => this.#inIndex(change), { url, user, terminal });
  }

  async remembered() {
    const rows = await this.#inIndex((sessions) => asked(sessions.getAll()));
    return rows
      .sort((one, other) => other.savedMs - one.savedMs)
      .map(({ url, user, terminal, device }) => ({ url, user, terminal, device }));
  }

  async #inIndex(act) {
    const database = await openDatabase(`${this.#name}-sessions`, (fresh) => fresh.createObjectStore("sessions"));
    try {
      const transaction = database.transaction("sessions", "readwrite");
      const done = finished(transaction);
      const result = await act(transaction.objectStore("sessions"));
      await done;
      return result;
    } finally {
      database.close();
    }
  }
}

/** @returns the storage of this environment: IndexedDB in a page, memory elsewhere. */
function defaultStorage() {
  return globalThis.indexedDB ? new IndexedDbStorage() : new MemoryStorage();
}

export async function remembered(storage = defaultStorage()) {
  return storage.remembered();
}

// --- the engine: one connection, one writer -------------------------------------------------------------------------

/** @returns an empty set of changes, and what follows from them once they are kept. */
function blankChanges() {
  return { clear: false, items: [], erase: [], meta: {}, outboxPut: new Map(), outboxRemove: new Set(), events: [], first: [], then: [] };
}

const CONNECTING = {
  status: "connecting", reason: 0, text: "", retryAtMs: null, origin: null, takenOver: false, needsPassword: false,
  unsupportedVersion: false, tookOver: null, caughtUp: false, refused: false,
};

/**
 * The device's side of the protocol for one session, over as many connections as it takes. `tell(name, detail)` hears
 * what happens; `pace()` is the highest number that may be acknowledged for the sake of slow iterators.
 */
class Engine {
  #terms;
  #store;
  #tell;
  #pace;
  #meta;
  #state = { ...CONNECTING };
  #granted = null;
  // Writing
  #changes = blankChanges();
  #writing = null;
  #storedSeq = 0;
  // Connecting
  #link = null;
  #timer = null;
  #attempts = 0;
  #notBeforeMs = 0;
  #personAtMs = -Infinity;
  #stopped = false;
  #loggingOut = false;
  #destroyed = null;
  #loginHead = 0;
  #head = 0;
  // Publishing
  #outbox = new Map();
  #byN = new Map();
  #discarded = new Map();
  #order = 0;
  #pausedUntilMs = 0;
  #outboxTimer = null;
  // Requests, presence
  #requests = new Map();
  #lastRequest = 0;
  #followed = new Map();
  #presence = new Map();

  constructor(terms, store, saved, tell, pace) {
    this.#terms = { ...terms };
    this.#store = store;
    this.#tell = tell;
    this.#pace = pace;
    this.#meta = { n: 0, settledN: 0, floor: 1, ...saved.meta };
    this.#storedSeq = this.#head = this.#meta.position ?? 0;
    for (const record of saved.outbox) this.#take(record);
    if (!this.#meta.device) this.#note({ device: terms.device ?? `js-${randomHex(12)}` });
  }

  /** Log in: as a person does, or to resume; or, if the session has ended for this device, rest. */
  start(person) {
    if (person) return this.#logInAsPerson();
    const { ended } = this.#meta;
    // Software that did not fit may fit now: the page has been loaded anew.
    if (ended && !DEFECTS.has(ended.reason)) this.#change({ ...CONNECTING, status: "ended", ...ended });
    else this.#attempt();
  }

  snapshot() {
    return {
      state: this.#visible(),
      granted: this.#granted,
      device: this.#meta.device,
      position: this.#storedSeq,
      floor: this.#meta.floor,
      publications: [...this.#outbox.values()],
      presence: [...this.#presence.keys()].map((user) => this.#presenceOf(user)),
    };
  }

  /** Do what a tab asks for; the promise is the answer. */
  async command(tab, name, args) {
    if (this.#stopped) throw new SessionClosed(Reason.SUCCESS, "the session is closed");
    switch (name) {
      case "publish": return this.#queue(args.record);
      case "discard": return this.#discard(args.key);
      case "ask": return this.#ask(args.frame, args.again);
      case "follow": return this.#follow(tab, args.users);
      case "unfollow": return this.#unfollow(tab, args.users);
      case "ephemeral": return this.#ephemeral(args.frame);
      case "logIn": return this.#logIn(args);
      case "setPassword": return this.#setPassword(args);
      case "retryNow": return this.retryNow();
      case "logOut": return this.#logOut();
      default: throw new RoostError(Reason.UNSPECIFIED_ERROR, `the leading tab does not know ${name}: reload it`);
    }
  }

  /** A tab is gone: nobody follows for it any more. */
  tabGone(tab) {
    const users = [...(this.#followed.get(tab) ?? [])];
    if (users.length) this.#unfollow(tab, users).catch(() => undefined);
  }

  /** Leave: write what is to be written, say goodbye, close. */
  async stop() {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#outboxTimer);
    this.#failRequests(() => new SessionClosed(Reason.SUCCESS, "the session was closed"));
    await this.#writing;
    this.#acknowledge();
    const link = this.#link;
    this.#link = null;
    if (link) await this.#farewell(link, { frame: "DISCONNECT" });
  }

  // --- what is written, and what follows

  #note(meta) {
    Object.assign(this.#meta, meta);
    Object.assign(this.#changes.meta, meta);
    this.#write();
  }

  #event(name, detail) {
    this.#changes.events.push({ name, detail });
    this.#write();
  }

  /** Run `kept` when everything noted so far is kept, or `failed` with the error if it cannot be. */
  #after(kept, failed = () => undefined) {
    this.#changes.then.push({ kept, failed });
    this.#write();
  }

  #write() {
    this.#writing ??= this.#writeAll();
  }

  async #writeAll() {
    // Let what has arrived together be written together; a microtask where there is nothing better.
    await new Promise((resolve) => (globalThis.setImmediate ?? queueMicrotask)(resolve));
    for (let some = this.#taken(); some; some = this.#taken()) {
      try {
        await this.#store.commit(some.kept);
      } catch (error) {
        this.#fail(error, some.then);
        break;
      }
      this.#storedSeq = some.position;
      for (const act of some.first) act();
      const { events } = some;
      if (events.length) this.#tell("stored", { events, position: some.position, floor: some.floor, head: this.#head });
      for (const { kept } of some.then) kept();
      this.#acknowledge(); // once for the batch
      this.#lookIfCaughtUp();
    }
    this.#writing = null; // in the same step in which nothing was left: what comes from here on begins anew
  }

  #taken() {
    const changes = this.#changes;
    const { clear, items, erase, meta, outboxPut, outboxRemove, events, first, then } = changes;
    const trimBelow = items.length ? this.#trim() : undefined;
    const kept = {};
    if (clear) kept.clear = true;
    if (items.length) kept.items = items;
    if (erase.length) kept.erase = erase;
    if (trimBelow) kept.trimBelow = trimBelow;
    if (Object.keys(changes.meta).length) kept.meta = meta;
    if (outboxPut.size) kept.outboxPut = [...outboxPut.values()].map((record) => ({ ...record }));
    if (outboxRemove.size) kept.outboxRemove = [...outboxRemove];
    if (!Object.keys(kept).length && !events.length && !first.length && !then.length) return null;
    this.#changes = blankChanges();
    return { kept, events, first, then, position: this.#meta.position ?? 0, floor: this.#meta.floor };
  }

  /** The number below which history is dropped now; what an iterator still has to read stays. */
  #trim() {
    const { historyMax } = this.#terms;
    const below = Math.min(this.#meta.position - historyMax, this.#pace() - historyMax) + 1;
    if (below <= this.#meta.floor) return undefined;
    this.#meta.floor = this.#changes.meta.floor = below;
    return below;
  }

  #putRecord(record) {
    this.#changes.outboxRemove.delete(record.key);
    this.#changes.outboxPut.set(record.key, record);
    this.#event("publication", { record: { ...record } });
  }

  #dropRecord(record, flags) {
    this.#outbox.delete(record.key);
    if (this.#byN.get(record.n) === record) this.#byN.delete(record.n);
    this.#changes.outboxPut.delete(record.key);
    this.#changes.outboxRemove.add(record.key);
    this.#event("publication", { record: { ...record }, ...flags });
  }

  /** Without its storage a session can keep no promise. */
  #fail(error, waiting) {
    const failure = new StorageFailed(Reason.UNSPECIFIED_ERROR, `the storage cannot be written: ${error?.message ?? error}`);
    for (const { failed } of [...waiting, ...this.#changes.then]) failed(failure);
    this.#changes = blankChanges();
    this.#end({ reason: failure.reason, text: failure.text, storage: true });
    this.#tell("error", packError(failure));
  }

  // --- the state

  #visible() {
    return { ...this.#state, position: this.#storedSeq, head: Math.max(this.#head, this.#storedSeq) };
  }

  #change(state) {
    this.#state = state;
    this.#tell("state", { state: this.#visible(), granted: this.#granted, device: this.#meta.device });
  }

  #lookIfCaughtUp() {
    if (this.#state.status === "live" && !this.#state.caughtUp && this.#link.storedSeq >= this.#loginHead) {
      this.#change({ ...this.#state, caughtUp: true });
    }
  }

  /** The session is over for this device until a person acts; so it is also after a reload. */
  #end({ reason, text, origin = null, refused = false, storage = false, dropToken = true }) {
    const takenOver = reason === Reason.SESSION_TAKEN_OVER;
    const needsPassword = reason === Reason.BAD_USER_NAME_OR_PASSWORD || reason === Reason.LOGGED_OUT;
    const unsupportedVersion = reason === Reason.UNSUPPORTED_PROTOCOL_VERSION;
    const ended = { reason, text, origin, takenOver, needsPassword, unsupportedVersion, refused };
    if (!storage) this.#note({ ended, ...(needsPassword && dropToken ? { token: undefined } : {}) });
    clearTimeout(this.#timer);
    const link = this.#link;
    this.#link = null;
    if (link) this.#drop(link);
    this.#lost();
    this.#change({ ...CONNECTING, status: "ended", ...ended });
    this.#failRequests(() => new SessionEnded(reason, text, { origin }));
  }

  // --- connecting

  #logIn({ password, jwt, token, unlessLive }) {
    const given = { password, jwt, token };
    if (Object.values(given).some((secret) => secret !== undefined)) Object.assign(this.#terms, given);
    if (this.#state.status === "live" && unlessLive) return;
    if (this.#state.status !== "live") this.#logInAsPerson();
  }

  #logInAsPerson() {
    this.#personAtMs = Date.now();
    this.#attempts = 0;
    const link = this.#link;
    this.#link = null;
    if (link) this.#drop(link);
    this.#attempt();
  }

  #attempt() {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#change({ ...CONNECTING });
    // The device's own id must not be made anew after a crash: it is kept before it is said.
    this.#after(() => {
      if (!this.#link && !this.#stopped && this.#state.status === "connecting") this.#dial();
    });
  }

  #dial() {
    const connect = this.#connectFrame();
    if (!connect) {
      this.#end({ reason: Reason.BAD_USER_NAME_OR_PASSWORD, text: "there is neither a password, nor a JWT, nor a token" });
      return;
    }
    let socket = null;
    try {
      socket = new this.#terms.WebSocket(this.#terms.url, [SUBPROTOCOL]);
    } catch (error) {
      // Such as ws:// in a page that came by https://
      this.#end({ reason: Reason.UNSPECIFIED_ERROR, text: `a WebSocket to ${this.#terms.url} is not possible: ${error.message}` });
      return;
    }
    const link = {
      socket, token: connect.token, live: false, onWire: new Set(), ackSent: 0, storedSeq: 0, timer: null,
      beganMs: Date.now(), receivedMs: Date.now(), sentMs: Date.now(), pingedMs: 0, closed: null,
    };
    const closed = new Promise((resolve) => (link.closed = { resolve }));
    link.closed.promise = closed;
    this.#link = link;
    const guarded = (act) => (event) => {
      if (this.#link === link) act(event);
    };
    const late = (timeoutS, what) => setTimeout(guarded(() => this.#broke(link, what)), timeoutS * 1000);
    link.timer = late(CONNECT_TIMEOUT_S, `no connection within ${CONNECT_TIMEOUT_S} s`);
    socket.onopen = guarded(() => {
      clearTimeout(link.timer);
      if (socket.protocol !== SUBPROTOCOL) {
        this.#violated(link, violation(`it speaks ${JSON.stringify(socket.protocol)}, not ${SUBPROTOCOL}`));
        return;
      }
      link.timer = late(LOGIN_TIMEOUT_S, `the log-in was not answered within ${LOGIN_TIMEOUT_S} s`);
      this.#send(link, connect);
    });
    socket.onmessage = guarded(({ data }) => this.#received(link, data));
    socket.onerror = () => undefined; // a close follows, and says as much
    socket.onclose = (event) => {
      link.closed.resolve();
      guarded(() => this.#broke(link, closeText(event, link)))(event);
    };
  }

  #connectFrame() {
    const { user, terminal, client, receiveMax, receiveBytesMax, keepaliveS, newest, remember } = this.#terms;
    const meta = this.#meta;
    const asPerson = Date.now() - this.#personAtMs < PERSON_S * 1000;
    const { password, jwt } = asPerson || !meta.token ? this.#terms : {};
    const byPerson = password !== undefined || jwt !== undefined;
    const token = byPerson ? undefined : (this.#terms.token ?? meta.token);
    if (!byPerson && token === undefined) return null;
    const fresh = meta.position === undefined;
    return defined({
      frame: "CONNECT", version: PROTOCOL_VERSION, user, password, jwt, token, terminal, device: meta.device,
      last_seq: fresh || !meta.position ? undefined : meta.position, last_id: meta.lastId, incarnation: meta.incarnation,
      newest: fresh ? newest : undefined, epoch: asPerson ? undefined : meta.epoch,
      receive_max: receiveMax, receive_bytes_max: receiveBytesMax, keepalive_s: keepaliveS,
      want_token: (remember && byPerson) || undefined, client,
    });
  }

  #send(link, frame) {
    link.sentMs = Date.now();
    link.socket.send(JSON.stringify(frame));
  }

  /** Close a connection that is no longer ours. */
  #drop(link) {
    clearTimeout(link.timer);
    link.socket.close();
  }

  /** Say a last word on a connection, and wait (a little) until it is closed. */
  async #farewell(link, frame) {
    clearTimeout(link.timer);
    if (link.socket.readyState === 1) this.#send(link, frame);
    link.socket.close(1000);
    let timer;
    await Promise.race([link.closed.promise, new Promise((resolve) => (timer = setTimeout(resolve, CLOSE_TIMEOUT_S * 1000)))]);
    clearTimeout(timer);
  }

  #violated(link, error) {
    this.#tell("error", packError(error));
    this.#link = null;
    this.#farewell(link, { frame: "DISCONNECT", reason: error.reason, text: error.text.slice(0, 500) });
    this.#comeBack(link, { reason: error.reason, text: error.text, afterS: VIOLATION_PAUSE_S });
  }

  #broke(link, text) {
    this.#link = null;
    this.#drop(link);
    this.#comeBack(link, { reason: link.live ? Reason.UNSPECIFIED_ERROR : Reason.SERVER_UNAVAILABLE, text, afterS: 0 });
  }

  /** Try again later: not before `afterS`, then after a random pause that grows ("Takeover and reconnecting"). */
  #comeBack(link, { reason, text, afterS, origin = null }) {
    this.#lost();
    if (this.#stopped) return;
    if (link.live && Date.now() - link.beganMs >= STEADY_S * 1000) this.#attempts = 0;
    const { firstS, mostS } = this.#terms.backoff;
    const pauseS = Math.random() * Math.min(mostS, firstS * 2 ** Math.min(this.#attempts, 30));
    this.#attempts += 1;
    this.#notBeforeMs = Date.now() + afterS * 1000;
    const retryAtMs = this.#notBeforeMs + pauseS * 1000;
    this.#change({ ...CONNECTING, status: "waiting", reason, text, origin, retryAtMs });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#attempt(), retryAtMs - Date.now());
  }

  /** Cut a pause short, but not below what the broker has asked for. */
  retryNow() {
    if (this.#state.status !== "waiting") return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#attempt(), Math.max(0, this.#notBeforeMs - Date.now()));
  }

  /** There is no connection: everything unsettled goes out again on the next one. */
  #lost() {
    clearTimeout(this.#outboxTimer);
    this.#pausedUntilMs = 0;
    this.#discarded.clear();
    for (const [id, request] of this.#requests) {
      if (request.sent && !request.again) {
        this.#answer(id, () => request.reject(new ConnectionFailed(Reason.UNSPECIFIED_ERROR, "the connection broke before the answer; it may have been done")));
      } else if (request.tries >= REQUEST_TRIES_MAX) {
        this.#answer(id, () => request.reject(new ConnectionFailed(Reason.UNSPECIFIED_ERROR, "the connection broke at each attempt")));
      }
      request.sent = false;
    }
    if (this.#presence.size) {
      this.#presence.clear();
      this.#tell("presenceReset", null);
    }
  }

  /** Look after a live connection: PING when it is quiet, give it up when nothing comes ("Keepalive"). */
  #watch(link) {
    const keepaliveMs = Math.max(1, this.#granted.keepaliveS) * 1000;
    link.timer = setTimeout(() => {
      if (this.#link !== link) return;
      const now = Date.now();
      if (now - link.receivedMs > keepaliveMs * 1.5) {
        this.#broke(link, `nothing came from the broker for ${Math.round((now - link.receivedMs) / 1000)} s`);
        return;
      }
      if (now - Math.max(Math.min(link.sentMs, link.receivedMs), link.pingedMs) >= keepaliveMs / 2) {
        link.pingedMs = now;
        this.#send(link, { frame: "PING" });
      }
      this.#watch(link);
    }, keepaliveMs / 6);
  }

  // --- frames in

  #received(link, data) {
    link.receivedMs = Date.now();
    try {
      const frame = decoded(data);
      if (link.live) this.#inSession(link, frame);
      else this.#inLogIn(link, frame);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      if (this.#link === link) this.#violated(link, error);
    }
  }

  #inLogIn(link, frame) {
    if (frame.frame === "DISCONNECT") return this.#disconnected(link, frame);
    if (frame.frame !== "CONNACK") throw violation(`${frame.frame} before CONNACK`);
    clearTimeout(link.timer);
    const { reason = 0, text = "" } = frame;
    if (reason < FAILURE) return this.#loggedIn(link, frame);
    const origin = originOf(frame.origin);
    const retryAfterS = frame.retry_after_s ?? null;
    if (reason === Reason.BAD_USER_NAME_OR_PASSWORD) this.#terms.token = undefined;
    if (retryAfterS === null) return this.#end({ reason, text, origin, refused: true, dropToken: link.token !== undefined });
    this.#link = null;
    this.#drop(link);
    this.#comeBack(link, { reason, text, origin, afterS: retryAfterS * (1 + Math.random() / 4) });
  }

  #loggedIn(link, connack) {
    const { granted, position = 0, head = 0, incarnation, start_over: startOver = false, settled_n: settledN = 0 } = connack;
    if (!granted) throw violation("a CONNACK without what it grants");
    const meta = this.#meta;
    const fresh = meta.position === undefined;
    if (!fresh && !startOver && position !== meta.position) {
      throw violation(`the stream starts after ${position}, but ${meta.position} was asked for`);
    }
    this.#granted = {
      frameBytesMax: granted.frame_bytes_max, bodyBytesMax: granted.body_bytes_max, publishMax: Math.max(1, granted.publish_max),
      receiveMax: granted.receive_max, receiveBytesMax: granted.receive_bytes_max, keepaliveS: granted.keepalive_s,
    };
    if (startOver) this.#startOver();
    if (fresh || startOver) this.#note({ position, lastId: undefined, floor: position + 1 });
    const token = this.#terms.remember ? (connack.token ?? this.#terms.token ?? meta.token) : undefined;
    this.#note({ epoch: connack.epoch, incarnation: incarnation ?? meta.incarnation, token, ended: undefined });
    if (token !== undefined) this.#terms.password = this.#terms.jwt = undefined;
    this.#personAtMs = -Infinity;
    link.ackSent = link.storedSeq = position;
    this.#loginHead = this.#head = head;
    if (startOver) this.#storedSeq = position;
    this.#compareCounts(settledN);
    link.live = true;
    this.#watch(link);
    // It is live when epoch and token are kept, and before its first entries are told.
    this.#changes.first.push(() => {
      if (this.#link !== link) return;
      this.#change({ ...CONNECTING, status: "live", tookOver: originOf(connack.took_over) });
      this.#followAgain();
      this.#sendRequests();
      this.#sendPublishes();
    });
    this.#write();
  }

  /** The inbox is not the one whose entries are kept here: drop them, in one step with the numbers. */
  #startOver() {
    Object.assign(this.#changes, { clear: true, items: [], erase: [] });
    this.#changes.events = this.#changes.events.filter(({ name }) => name === "publication");
    this.#event("startOver", { kind: "startOver" });
    for (const record of [...this.#outbox.values()]) {
      if (record.state === "stored") this.#dropRecord(record, { discarded: true });
    }
  }

  #inSession(link, frame) {
    switch (frame.frame) {
      case "DELIVER": return this.#delivered(link, frame);
      case "GAP": return this.#gap(link, frame);
      case "PUBACK": return this.#acknowledged(link, frame);
      case "PRESENCE": return this.#present(frame);
      case "RESULT": case "PAGE": return this.#result(frame);
      case "EPHEMERAL": return this.#passing(frame);
      case "DISCONNECT": return this.#disconnected(link, frame);
      case "PONG": return undefined; // that it came is all it says
      default: throw violation(`${frame.frame} may not be said now`);
    }
  }

  #disconnected(link, { reason = 0, text = "", origin, reconnect = false, reconnect_after_s: afterS = 0 }) {
    this.#link = null;
    this.#drop(link);
    if (DEFECTS.has(reason)) this.#tell("error", packError(new ProtocolError(reason, `the broker says that this SDK is at fault: ${text}`)));
    // A device that was taken over must not come back by itself, whatever else the frame says.
    if (reconnect && reason !== Reason.SESSION_TAKEN_OVER) this.#comeBack(link, { reason, text, origin: originOf(origin), afterS });
    else if (this.#loggingOut && reason === Reason.LOGGED_OUT) this.#destroy();
    else this.#end({ reason, text, origin: originOf(origin) });
  }

  #next(seq, what) {
    const expected = (this.#meta.position ?? 0) + 1;
    if (seq !== expected) throw violation(`${what} ${seq} where ${expected} has to come`);
  }

  #delivered(link, deliver) {
    const message = messageOf(deliver, this.#terms.user);
    this.#next(message.seq, "entry");
    let record = null;
    if (message.own && message.device === this.#meta.device && message.n !== null) {
      record = this.#byN.get(message.n) ?? null;
      const body = record ?? this.#discarded.get(message.n);
      if (message.text === null && message.data === null && body) Object.assign(message, { text: body.text, data: body.data });
      message.key = record?.key ?? null;
      this.#settledUpTo(message.n);
    }
    if (record) {
      Object.assign(record, { state: "stored", seq: message.seq, id: message.id, storedMs: message.timeMs });
      this.#dropRecord(record, { delivered: true });
    }
    if (message.notice) {
      const erase = { user: message.from, conversation: message.conversation, before: message.seq };
      this.#changes.erase.push(erase);
      this.#event("erased", erase);
    }
    this.#stream(link, message, message.seq, message.id || undefined);
    if (record) this.#sendPublishes();
  }

  #gap(link, { first, last, reason }) {
    this.#next(first, "a gap from");
    if (!Number.isSafeInteger(last) || last < first) throw violation(`a gap from ${first} to ${last}`);
    this.#stream(link, { kind: "gap", seq: first, last, reason }, last, undefined);
  }

  /** The next item of the stream: kept with the last number in one step, then acknowledged and told. */
  #stream(link, item, position, lastId) {
    this.#head = Math.max(this.#head, position);
    this.#changes.items.push(item);
    this.#note({ position, lastId });
    this.#event(item.kind === "gap" ? "gap" : "entry", item);
    this.#after(() => {
      link.storedSeq = position;
    });
  }

  /** ACK what of this connection's stream is stored, as far as slow iterators let it. */
  #acknowledge() {
    const link = this.#link;
    if (!link?.live) return;
    const seq = Math.min(link.storedSeq, this.#pace());
    if (seq <= link.ackSent) return;
    link.ackSent = seq;
    this.#send(link, { frame: "ACK", seq });
  }

  /** An iterator has moved on: perhaps more may be acknowledged now. */
  paced() {
    this.#acknowledge();
  }

  // --- publishing

  #take(record) {
    this.#outbox.set(record.key, record);
    this.#order = Math.max(this.#order, record.order);
    if (record.n !== null) this.#byN.set(record.n, record);
  }

  /** A message of a tab, perhaps sent to us twice (the first leader may have died in between): its key tells. */
  #queue(record) {
    if (!this.#outbox.has(record.key)) {
      const refused = [...this.#outbox.values()].filter(({ state }) => state === "refused");
      const waiting = this.#outbox.size - refused.length;
      if (waiting >= this.#terms.queueMax) throw queueFull(this.#terms.queueMax);
      if (refused.length >= this.#terms.queueMax) this.#dropRecord(refused[0], { discarded: true });
      record = { ...record, order: (this.#order += 1) };
      this.#take(record);
      this.#putRecord(record);
    }
    this.#sendPublishes();
    return new Promise((resolve, reject) => this.#after(resolve, reject));
  }

  async #discard(key) {
    const record = this.#outbox.get(key);
    if (!record) return;
    if (record.n !== null && record.state !== "refused" && this.#discarded.size < DISCARDED_MAX) {
      this.#discarded.set(record.n, { text: record.text, data: record.data });
    }
    this.#dropRecord(record, { discarded: true });
    await new Promise((resolve, reject) => this.#after(resolve, reject));
  }

  #settledUpTo(n) {
    if (n > this.#meta.settledN) this.#note({ settledN: n });
  }

  #refuse(record, reason, text) {
    Object.assign(record, { state: "refused", reason, reasonText: text });
    if (this.#byN.get(record.n) === record) this.#byN.delete(record.n);
    this.#putRecord(record);
  }

  /** After a log-in: has the broker forgotten outcomes ("When a publish is settled"), or this device its count? */
  #compareCounts(settledN) {
    if (settledN < this.#meta.settledN) {
      const text = "the broker has forgotten what this device published; whether this is stored is unknown";
      for (const record of [...this.#byN.values()]) {
        if (record.state === "waiting") this.#refuse(record, Reason.SETTLED_LONG_AGO, text);
      }
    }
    this.#note({ settledN, n: Math.max(this.#meta.n, settledN) });
  }

  /** Send what is unsettled and not on this connection yet, in order, as far as the window goes. */
  #sendPublishes() {
    const link = this.#link;
    if (!link?.live) return;
    const waitMs = this.#pausedUntilMs - Date.now();
    if (waitMs > 0 || link.socket.bufferedAmount > BUFFERED_BYTES_MAX) {
      clearTimeout(this.#outboxTimer);
      this.#outboxTimer = setTimeout(() => this.#sendPublishes(), Math.max(waitMs, BUFFERED_LOOK_S * 1000));
      return;
    }
    const frames = this.#publishFrames(link);
    if (!frames.length) return;
    this.#after(() => {
      if (this.#link !== link) return; // the next connection sends them
      for (const frame of frames) this.#send(link, frame);
      this.#sendPublishes();
    });
  }

  #publishFrames(link) {
    const frames = [];
    const unsettled = [...this.#byN.values()].filter(({ state }) => state === "waiting").sort((one, other) => one.n - other.n);
    let bytes = 0;
    for (const record of [...unsettled, ...[...this.#outbox.values()].filter(({ n, state }) => n === null && state === "waiting")]) {
      if (bytes > COMMIT_BYTES) break;
      if (link.onWire.has(record.n)) continue;
      if (record.n === null) {
        // The newest count sent must be less than `publish_max` above the oldest unsettled one ("The count").
        const oldest = unsettled[0]?.n ?? this.#meta.n + 1;
        if (this.#meta.n + 1 >= oldest + this.#granted.publishMax) break;
      }
      const frame = { frame: "PUBLISH", n: record.n ?? this.#meta.n + 1, ...bodyKeys(record) };
      const size = this.#tooLarge(record, frame);
      if (typeof size === "string") {
        this.#refuse(record, Reason.PACKET_TOO_LARGE, size);
        continue;
      }
      if (record.n === null) {
        record.n = frame.n;
        this.#note({ n: frame.n });
        this.#byN.set(frame.n, record);
        unsettled.push(record);
        this.#putRecord(record);
      }
      link.onWire.add(record.n);
      frames.push(frame);
      bytes += size;
    }
    return frames;
  }

  /** The bytes of the frame, or why the broker would hang up on it. */
  #tooLarge(record, frame) {
    const { bodyBytesMax, frameBytesMax } = this.#granted;
    const body = record.text === null ? record.data.length : bytesOf(record.text);
    if (body > bodyBytesMax) return `a body of ${body} bytes; the broker takes at most ${bodyBytesMax}`;
    const bytes = bytesOf(JSON.stringify(frame));
    return bytes > frameBytesMax ? `${bytes} bytes as JSON; the broker takes at most ${frameBytesMax}` : bytes;
  }

  #acknowledged(link, { n, reason = 0, text = "", retry_after_s: retryAfterS, seq = null, id = null, time = null }) {
    const record = this.#byN.get(n);
    this.#head = Math.max(this.#head, seq ?? 0);
    if (reason >= FAILURE && retryAfterS !== undefined && retryAfterS !== null) {
      if (record?.state !== "waiting") return;
      // All wait, so that those that were refused together go out again together, in order.
      link.onWire.delete(n);
      this.#pausedUntilMs = Date.now() + Math.max(0.1, retryAfterS) * 1000 * (1 + Math.random() / 4);
      this.#sendPublishes();
      return;
    }
    this.#settledUpTo(n);
    if (record?.state === "waiting") {
      if (reason >= FAILURE) this.#refuse(record, reason, text);
      else {
        Object.assign(record, { state: "stored", seq, id, storedMs: time });
        this.#putRecord(record); // its body is kept until its entry comes, which has none
      }
    }
    this.#sendPublishes();
  }

  #ephemeral(frame) {
    const link = this.#link;
    if (link?.live && link.socket.bufferedAmount < BUFFERED_BYTES_MAX) this.#send(link, { frame: "EPHEMERAL", ...frame });
  }

  #passing({ from = "", to, time = null, type = TEXT_TYPE, text = null, data = null }) {
    const conversation = to.startsWith("group/") ? to : `user/${from}`;
    this.#tell("ephemeral", { from, to, conversation, timeMs: time, type, text, data: data === null ? null : fromBase64(data) });
  }

  // --- requests

  /** Ask the broker; a request whose answer was lost is asked `again` if that does no harm. */
  #ask(frame, again = true) {
    if (this.#state.status === "ended") {
      const { reason, text, origin } = this.#state;
      throw new SessionEnded(reason, text, { origin });
    }
    if (this.#requests.size >= REQUESTS_MAX) {
      throw new RequestRefused(Reason.QUOTA_EXCEEDED, `${REQUESTS_MAX} requests are not answered yet`);
    }
    const id = (this.#lastRequest += 1);
    return new Promise((resolve, reject) => {
      const timeout = () => {
        const text = `no answer within ${this.#terms.requestTimeoutS} s`;
        this.#answer(id, () => reject(new ConnectionFailed(Reason.SERVER_UNAVAILABLE, text)));
      };
      const timer = setTimeout(timeout, this.#terms.requestTimeoutS * 1000);
      this.#requests.set(id, { frame, again, resolve, reject, timer, sent: false, tries: 0 });
      this.#sendRequests();
    });
  }

  #sendRequests() {
    const link = this.#link;
    if (!link?.live) return;
    for (const [id, request] of this.#requests) {
      if (request.sent) continue;
      request.sent = true;
      request.tries += 1;
      this.#send(link, { ...request.frame, request: id });
    }
  }

  #answer(id, tell) {
    clearTimeout(this.#requests.get(id)?.timer);
    if (this.#requests.delete(id)) tell();
  }

  #result(frame) {
    const { request: id, reason = 0, text = "", retry_after_s: retryAfterS = null } = frame;
    const request = this.#requests.get(id);
    if (!request) return; // given up
    this.#answer(id, () => {
      if (reason < FAILURE) request.resolve(frame);
      else request.reject(new RequestRefused(reason, text, { retryAfterS }));
    });
  }

  #failRequests(errorOf) {
    for (const [id, { reject }] of this.#requests) this.#answer(id, () => reject(errorOf()));
  }

  async #setPassword({ oldPassword, newPassword }) {
    await this.#ask({ frame: "SESSIONS", action: "set_password", password: oldPassword, new_password: newPassword }, false);
    if (this.#terms.password !== undefined) this.#terms.password = newPassword;
  }

  async #logOut() {
    if (this.#state.status !== "live") return this.#destroy();
    this.#loggingOut = true;
    try {
      await this.#ask({ frame: "SESSIONS", action: "log_out", device: this.#meta.device }, false);
    } catch (error) {
      if (!(error instanceof SessionEnded || error instanceof SessionClosed || error instanceof ConnectionFailed)) throw error;
    }
    await this.#destroy();
  }

  /** Forget everything, here and in the other tabs. The broker's last word and its answer both lead here. */
  #destroy() {
    if (!this.#stopped) this.#destroyed = this.#destroyNow();
    return this.#destroyed;
  }

  async #destroyNow() {
    const link = this.#link;
    this.#stopped = true;
    this.#link = null;
    if (link) this.#drop(link);
    clearTimeout(this.#timer);
    this.#failRequests(() => new SessionEnded(Reason.LOGGED_OUT, "this device was logged out"));
    await this.#writing;
    // The storage goes before anybody hears of it: whoever comes next (a page that is loaded anew) must find nothing.
    await this.#store.destroy();
    this.#tell("destroyed", null);
  }

  // --- presence

  #wanted() {
    return new Set([...this.#followed.values()].flatMap((users) => [...users]));
  }

  async #follow(tab, users) {
    for (const some of inParts(users)) {
      await this.#ask({ frame: "SUBSCRIBE", users: some });
      if (!this.#followed.has(tab)) this.#followed.set(tab, new Set());
      for (const user of some) this.#followed.get(tab).add(user);
    }
  }

  async #unfollow(tab, users) {
    const mine = this.#followed.get(tab);
    for (const user of users) mine?.delete(user);
    if (mine?.size === 0) this.#followed.delete(tab);
    const wanted = this.#wanted();
    const left = users.filter((user) => !wanted.has(user));
    for (const user of left) this.#presence.delete(user);
    if (this.#state.status !== "live") return;
    for (const some of inParts(left)) await this.#ask({ frame: "SUBSCRIBE", users: some, stop: true });
  }

  /** Subscriptions end with the connection. One user that is gone must not take the others with him. */
  async #followAgain(users = [...this.#wanted()]) {
    for (const some of inParts(users)) {
      try {
        await this.#ask({ frame: "SUBSCRIBE", users: some });
      } catch (error) {
        if (!(error instanceof RequestRefused)) continue;
        if (some.length > 1) {
          const half = some.length >> 1;
          await this.#followAgain(some.slice(0, half));
          await this.#followAgain(some.slice(half));
        } else {
          for (const mine of this.#followed.values()) mine.delete(some[0]);
          this.#tell("error", packError(error));
        }
      }
    }
  }

  #present({ user, terminal = null, online, since = null }) {
    const known = terminal === null ? new Map() : (this.#presence.get(user) ?? new Map());
    if (terminal !== null && online) known.set(terminal, since);
    else if (terminal !== null) known.delete(terminal);
    this.#presence.set(user, known);
    this.#tell("presence", this.#presenceOf(user));
  }

  #presenceOf(user) {
    const known = this.#presence.get(user);
    const terminals = [...known].map(([terminal, sinceMs]) => ({ terminal, sinceMs }));
    return { user, online: known.size > 0, terminals };
  }
}

function defined(frame) {
  return Object.fromEntries(Object.entries(frame).filter(([, value]) => value !== undefined && value !== null));
}

function inParts(users) {
  const all = [...users];
  return Array.from({ length: Math.ceil(all.length / LIST_MAX) }, (_, at) => all.slice(at * LIST_MAX, (at + 1) * LIST_MAX));
}

function queueFull(max) {
  return new QueueFull(Reason.QUOTA_EXCEEDED, `${max} messages wait to be sent already`);
}

/** A frame out of a WebSocket message. Throws ProtocolError. */
function decoded(data) {
  if (typeof data !== "string") throw violation("a binary message on the JSON sub-protocol");
  let frame = null;
  try {
    frame = JSON.parse(data);
  } catch {
    // it is told below
  }
  if (typeof frame?.frame !== "string") throw violation(`this is no frame: ${data.slice(0, 80)}`);
  return frame;
}

/** What a WebSocket's end says, in words. */
function closeText({ code, reason }, link) {
  if (link.live) return `the connection broke (${code}${reason ? `: ${reason}` : ""})`;
  return `no connection to the broker (${code}${reason ? `: ${reason}` : ""})`;
}

// --- a publication, as a page sees it -------------------------------------------------------------------------------

const UPDATE = Symbol("update");
const QUEUED = Symbol("queued");

/** A message of this device on its way. See `roost.d.ts`. */
class Publication {
  #record;
  #flags = { delivered: false, discarded: false };
  #session;
  #queued;
  #settled;

  constructor(session, record) {
    this.#session = session;
    this.#record = record;
    this.#queued = promised();
    this.#settled = promised();
  }

  get key() { return this.#record.key; }
  get to() { return this.#record.to; }
  get type() { return this.#record.type; }
  get text() { return this.#record.text; }
  get data() { return this.#record.data; }
  get timeMs() { return this.#record.timeMs; }
  get state() { return this.#record.state; }
  get delivered() { return this.#flags.delivered; }
  get discarded() { return this.#flags.discarded; }
  get n() { return this.#record.n; }
  get seq() { return this.#record.seq; }
  get id() { return this.#record.id; }
  get storedMs() { return this.#record.storedMs; }
  get reason() { return this.#record.reason; }
  get reasonText() { return this.#record.reasonText; }
  get error() { return this.state === "refused" ? new PublishRefused(this.reason, this.reasonText) : null; }
  get queued() { return this.#queued.promise; }
  get settled() { return this.#settled.promise; }

  retry() {
    if (this.state !== "refused") throw new TypeError("only a refused publication is published anew");
    const { to, type, text, data } = this.#record;
    const again = this.#session.publish(to, text ?? data, { type });
    this.discard().catch(() => undefined);
    return again;
  }

  discard() {
    return this.#session[UPDATE].discard(this.key);
  }

  /** What has become of it. */
  [UPDATE](record, flags) {
    this.#record = { ...this.#record, ...record };
    Object.assign(this.#flags, flags);
    const { n, seq, id, storedMs } = this.#record;
    if (record.state === "stored") this.#settled.resolve({ n, seq, id, timeMs: storedMs });
    else if (record.state === "refused") this.#settled.reject(this.error);
  }

  [QUEUED](error) {
    if (error) {
      this.#queued.reject(error);
      this.#settled.reject(error);
    } else this.#queued.resolve();
  }
}

/** A promise with its ends; whoever does not look at it need not catch its rejection. */
function promised() {
  const ends = {};
  ends.promise = new Promise((resolve, reject) => Object.assign(ends, { resolve, reject }));
  ends.promise.catch(() => undefined);
  return ends;
}

// --- the session: one in each tab -----------------------------------------------------------------------------------

const EVENTS = ["state", "entry", "gap", "startOver", "erased", "publication", "presence", "ephemeral", "error"];
const STARTING = Symbol("starting");

/** See `roost.d.ts`. */
export class Session {
  #terms;
  #store;
  #tab = randomHex(8);
  #listeners = new Map(EVENTS.map((name) => [name, new Set()]));
  #state = { ...CONNECTING, position: 0, head: 0 };
  #granted = null;
  #device;
  #position;
  #floor;
  #publications = new Map();
  #presence = new Map();
  #follows = new Set();
  #cursors = new Set();
  #closed = false;
  // Tabs
  #engine = null;
  #leader = null;
  #channel = null;
  #lock = null;
  #calls = new Map();
  #lastCall = 0;
  #personPending;
  #inbox = Promise.resolve();
  #heard = null;

  constructor(starting, terms, store, saved) {
    if (starting !== STARTING) throw new TypeError("a session is opened by connect()");
    this.#terms = terms;
    this.#store = store;
    this.#device = saved.meta.device ?? terms.device ?? "";
    this.#position = saved.meta.position ?? 0;
    this.#floor = saved.meta.floor ?? 1;
    this.#state.position = this.#state.head = this.#position;
    this.#personPending = terms.password !== undefined || terms.jwt !== undefined || Boolean(terms.token && terms.takeOver);
    for (const record of saved.outbox) this.#publicationOf(record)[QUEUED]();
    if (terms.onState) this.on("state", terms.onState);
  }

  get url() { return this.#terms.url; }
  get user() { return this.#terms.user; }
  get terminal() { return this.#terms.terminal; }
  get device() { return this.#device; }
  get position() { return this.#position; }
  get granted() { return this.#granted; }
  get publications() { return [...this.#publications.values()]; }
  get state() {
    return { ...publicState(this.#state), position: this.#position, head: Math.max(this.#state.head, this.#position), leader: Boolean(this.#engine) };
  }

  /** What a publication and `connect` may do here, and nobody else. */
  get [UPDATE]() {
    return { discard: (key) => this.#call("discard", { key }), start: () => this.#start() };
  }

  on(name, listener) {
    const listeners = this.#listeners.get(name);
    if (!listeners) throw new TypeError(`there is no event ${JSON.stringify(name)}; there are ${EVENTS.join(", ")}`);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  live() {
    return this.#until((state) => state.status === "live");
  }

  caughtUp() {
    return this.#until((state) => state.status === "live" && state.caughtUp);
  }

  // --- reading

  entries({ after = 0, hold = true } = {}) {
    const cursor = { seq: checkNumber(after, 0, Number.MAX_SAFE_INTEGER, "after"), hold, over: false, startOver: false, items: [], wake: null };
    this.#cursors.add(cursor);
    let turn = Promise.resolve();
    const leave = () => {
      cursor.over = true;
      this.#cursors.delete(cursor);
      this.#wake(cursor);
      this.#engine?.paced();
      return Promise.resolve({ done: true, value: undefined });
    };
    return {
      next: () => (turn = turn.then(() => this.#nextOf(cursor))),
      return: leave,
      [Symbol.asyncIterator]() { return this; },
    };
  }

  async #nextOf(cursor) {
    for (;;) {
      if (cursor.over || this.#closed) return { done: true, value: undefined };
      const item = await this.#itemFor(cursor);
      if (item) {
        if (cursor.hold) this.#engine?.paced();
        return { done: false, value: item };
      }
      if (cursor.over || this.#closed || cursor.startOver || this.#position > cursor.seq) continue;
      await new Promise((resolve) => (cursor.wake = resolve));
    }
  }

  async #itemFor(cursor) {
    if (cursor.startOver) {
      cursor.startOver = false;
      return { kind: "startOver" };
    }
    if (!cursor.items.length && this.#position > cursor.seq) {
      if (this.#floor - 1 > cursor.seq) {
        const gap = { kind: "gap", seq: cursor.seq + 1, last: this.#floor - 1, reason: "history" };
        cursor.seq = gap.last;
        return gap;
      }
      const position = this.#position;
      const items = await this.#store.read({ after: cursor.seq, limit: READ_ITEMS });
      if (cursor.startOver) return null; // these are of the inbox before
      // What is stored but not told yet comes with its event: a tab is never ahead of what it was told.
      cursor.items = items.filter(({ seq }) => seq <= position);
      if (!cursor.items.length) cursor.seq = position; // it was trimmed meanwhile: whatever comes next goes on from here
    }
    const item = cursor.items.shift() ?? null;
    if (item) cursor.seq = item.last ?? item.seq;
    return item;
  }

  #wake(cursor) {
    const { wake } = cursor;
    cursor.wake = null;
    wake?.();
  }

  /** The number up to which the broker may be told that entries are taken in, for the sake of slow iterators. */
  #pace() {
    let slowest = Infinity;
    for (const { hold, seq } of this.#cursors) if (hold) slowest = Math.min(slowest, seq);
    return slowest + this.#terms.historyMax;
  }

  async read(options = {}) {
    const asked = checkRead(options);
    const items = await this.#store.read({ ...asked, limit: asked.limit + 1 });
    const forward = asked.after !== undefined;
    const messages = items.filter(({ kind }) => kind !== "gap");
    if (messages.length <= asked.limit) return { items, more: !forward && this.#floor > 1 };
    const cut = forward ? messages.at(-1).seq : messages[0].seq;
    return { items: items.filter(({ seq }) => (forward ? seq < cut : seq > cut)), more: true };
  }

  async history(options = {}) {
    const asked = checkRead(options);
    const live = this.#state.status === "live";
    if (asked.after !== undefined) {
      return asked.after >= this.#floor - 1 || !live ? this.read(asked) : this.fetch(asked);
    }
    const page = await this.read(asked);
    const left = asked.limit - page.items.filter(({ kind }) => kind !== "gap").length;
    if (left <= 0 || !page.more || !live) return page;
    try {
      const older = await this.fetch({ ...asked, before: Math.min(asked.before ?? Infinity, this.#floor), limit: left });
      return { items: [...older.items, ...page.items], more: older.more };
    } catch (error) {
      if (error instanceof RoostError) return page;
      throw error;
    }
  }

  async fetch(options = {}) {
    const { conversation, before, after, limit } = checkRead(options);
    const page = await this.#ask(defined({ frame: "FETCH", conversation, before, after, limit }));
    return { items: (page.entries ?? []).map((deliver) => messageOf(deliver, this.user)), more: page.more ?? false };
  }

  conversations() {
    return this.#store.conversations();
  }

  // --- publishing

  publish(to, body, { type } = {}) {
    if (this.#closed) throw new SessionClosed(Reason.SUCCESS, "the session is closed");
    const { size, ...said } = checkBody(body, type);
    checkAddress(to);
    const most = this.#granted?.bodyBytesMax ?? Infinity;
    if (size > most) throw new PublishRefused(Reason.PACKET_TOO_LARGE, `a body of ${size} bytes; the broker takes at most ${most}`);
    const waiting = this.publications.filter(({ state }) => state !== "refused").length;
    if (waiting >= this.#terms.queueMax) throw queueFull(this.#terms.queueMax);
    const record = {
      key: randomHex(12), order: Infinity, to, ...said, timeMs: Date.now(), n: null, state: "waiting",
      seq: null, id: null, storedMs: null, reason: 0, reasonText: "",
    };
    const publication = this.#publicationOf(record);
    this.#emit("publication", publication);
    const lost = (error) => {
      this.#publications.delete(record.key);
      publication[QUEUED](error);
    };
    this.#call("publish", { record }, { again: true }).then(() => publication[QUEUED](), lost);
    return publication;
  }

  ephemeral(to, body = "", { type } = {}) {
    const { size: _, ...said } = checkBody(body, type);
    checkAddress(to);
    if (!this.#engine && !this.#leader) return; // a signal of the past is worth nothing
    this.#call("ephemeral", { frame: bodyKeys({ to, ...said }) }).catch(() => undefined);
  }

  #publicationOf(record) {
    let publication = this.#publications.get(record.key);
    if (!publication) {
      publication = new Publication(this, record);
      this.#publications.set(record.key, publication);
    }
    publication[UPDATE](record);
    return publication;
  }

  // --- requests

  async follow(users) {
    const names = checkNames(users);
    await this.#call("follow", { users: names }, { again: true });
    for (const name of names) this.#follows.add(name);
  }

  async unfollow(users) {
    const names = checkNames(users);
    for (const name of names) {
      this.#follows.delete(name);
      this.#presence.delete(name);
    }
    await this.#call("unfollow", { users: names }, { again: true });
  }

  presence(user) {
    return this.#presence.get(user) ?? null;
  }

  createGroup(name, members = []) { return this.#group("create", name, members, false); }
  addMembers(group, users) { return this.#group("add", group, users); }
  removeMembers(group, users) { return this.#group("remove", group, users); }
  leaveGroup(group) { return this.#group("leave", group, [], false); }
  async groupMembers(group) {
    const { members } = await this.#ask({ frame: "GROUP", action: "members", group: checkName(group) });
    return (members ?? []).map(({ user, owner = false }) => ({ user, owner }));
  }
  async groups() {
    return (await this.#ask({ frame: "GROUP", action: "list" })).groups ?? [];
  }
  async #group(action, group, users, again = true) {
    const names = checkNames(users);
    if (names.length > LIST_MAX) throw new TypeError(`at most ${LIST_MAX} users at once, found ${names.length}`);
    const frame = { frame: "GROUP", action, group: checkName(group) };
    await this.#ask(names.length ? { ...frame, users: names } : frame, again);
  }

  addContact(user) { return this.#relate("add", "contact", user); }
  removeContact(user) { return this.#relate("remove", "contact", user); }
  contacts() { return this.#related("contact"); }
  block(user) { return this.#relate("add", "block", user); }
  unblock(user) { return this.#relate("remove", "block", user); }
  blocked() { return this.#related("block"); }
  async #relate(action, kind, user) {
    await this.#ask({ frame: "RELATION", action, kind, user: checkName(user) });
  }
  async #related(kind) {
    return (await this.#ask({ frame: "RELATION", action: "list", kind })).users ?? [];
  }

  async devices() {
    const { devices } = await this.#ask({ frame: "SESSIONS", action: "list" });
    return (devices ?? []).map((device) => ({
      device: device.device, terminal: device.terminal, client: device.client ?? "", acknowledged: device.acknowledged ?? 0,
      lastSeenMs: device.last_seen ?? 0, online: device.online ?? false, sinceMs: device.since ?? null,
      address: device.address ?? "", this: device.this ?? false,
    }));
  }

  async logOutDevice(device) {
    if (device === this.device) throw new TypeError("this device logs itself out by logOut()");
    checkMatch(device, DEVICE_ID, "a device id has 1 to 64 of the characters A-Z a-z 0-9 . _ : -");
    await this.#ask({ frame: "SESSIONS", action: "log_out", device }, false);
  }

  async setPassword(oldPassword, newPassword) {
    checkSecret(oldPassword, 256, "a password");
    checkSecret(newPassword, 256, "a password");
    await this.#call("setPassword", { oldPassword, newPassword });
  }

  #ask(frame, again = true) {
    return this.#call("ask", { frame, again }, { again });
  }

  // --- the end, and the beginning anew

  async useHere({ password, jwt } = {}) {
    checkCredentials({ password, jwt });
    await this.#call("logIn", { password, jwt });
    await this.live();
  }

  retryNow() {
    this.#call("retryNow", {}).catch(() => undefined);
  }

  async logOut() {
    try {
      await this.#call("logOut", {});
    } catch (error) {
      if (!(error instanceof SessionClosed)) throw error; // that is what was wanted
    }
    await this.close();
  }

  async close() {
    if (this.#closed) return;
    this.#closed = true;
    const engine = this.#engine;
    this.#post({ kind: "bye", leader: Boolean(engine) });
    const closed = new SessionClosed(Reason.SUCCESS, "the session was closed");
    for (const [id] of this.#calls) this.#answered(id, { error: closed });
    globalThis.removeEventListener?.("online", this.#heard);
    await engine?.stop();
    this.#engine = null;
    this.#lock?.abort();
    this.#channel?.close();
    this.#channel = null;
    this.#state = { ...CONNECTING, status: "closed", head: this.#state.head };
    for (const publication of this.publications) if (publication.state === "waiting") publication[QUEUED](closed);
    for (const cursor of this.#cursors) this.#wake(cursor);
    this.#cursors.clear();
    await this.#store.close();
    this.#emit("state", this.state);
  }

  // --- what the engine tells, here or in another tab

  #emit(name, detail) {
    for (const listener of this.#listeners.get(name)) {
      try {
        listener(detail);
      } catch (error) {
        // A fault of the page must not stop the stream.
        if (globalThis.reportError) globalThis.reportError(error);
        else console.error(error);
      }
    }
  }

  #until(reached) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const state = this.#state;
        if (reached(state)) resolve();
        else if (state.status === "ended") reject(endedError(state));
        else if (state.status === "closed") reject(new SessionClosed(Reason.SUCCESS, "the session is closed"));
        else return false;
        return true;
      };
      if (look()) return;
      const off = this.on("state", () => {
        if (look()) off();
      });
    });
  }

  #told(name, detail) {
    switch (name) {
      case "stored": return this.#stored(detail);
      case "state": return this.#changed(detail);
      case "presence":
        this.#presence.set(detail.user, detail);
        return this.#emit("presence", detail);
      case "presenceReset": return this.#presence.clear();
      case "ephemeral": return this.#emit("ephemeral", detail);
      case "error": return this.#emit("error", unpackError(detail));
      case "destroyed": return this.close();
      default: return undefined;
    }
  }

  #stored({ events, position, floor, head }) {
    const from = this.#position;
    const startsOver = events.some(({ name }) => name === "startOver");
    this.#floor = floor;
    this.#state.head = head;
    if (startsOver) {
      for (const cursor of this.#cursors) Object.assign(cursor, { seq: 0, startOver: true, items: [] });
    }
    this.#position = position;
    for (const { name, detail } of events) {
      if (name === "publication") this.#publicationTold(detail);
      else if (startsOver || !(detail.seq <= from)) this.#emit(name, detail); // what a tab has read it is not told again
    }
    for (const cursor of this.#cursors) this.#wake(cursor);
  }

  #publicationTold({ record, delivered = false, discarded = false }) {
    const publication = this.#publicationOf(record);
    publication[QUEUED]();
    publication[UPDATE](record, { delivered, discarded });
    if (delivered || discarded) this.#publications.delete(record.key);
    this.#emit("publication", publication);
  }

  #changed({ state, granted, device }) {
    this.#state = { ...state };
    this.#granted = granted;
    this.#device = device;
    if (state.status === "live") this.#personPending = false;
    this.#emit("state", this.state);
  }

  // --- tabs

  /** Run for the lead, if there are tabs to share with; else lead. */
  async #start() {
    this.#heard = () => this.retryNow();
    globalThis.addEventListener?.("online", this.#heard);
    const { tabs, storage } = this.#terms;
    const locks = globalThis.navigator?.locks;
    if (!tabs || !storage.shared || !locks || !globalThis.BroadcastChannel) return this.#lead();
    const name = `roost:${storage.scope ?? ""}:${JSON.stringify([this.url, this.user, this.terminal])}`;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => {
      // One after the other: what is read from the storage in between must not be overtaken.
      this.#inbox = this.#inbox.then(() => this.#hear(data)).catch((error) => this.#emit("error", unpackError(packError(error))));
    };
    const { signal } = (this.#lock = new AbortController());
    const closed = new Promise((resolve) => signal.addEventListener("abort", resolve));
    const lead = async () => {
      const led = this.#inbox.then(() => this.#lead());
      this.#inbox = led.catch(() => undefined);
      await led;
      await closed;
    };
    locks.request(name, { signal }, lead).catch((error) => {
      if (error?.name !== "AbortError") this.#emit("error", unpackError(packError(error)));
    });
    this.#post({ kind: "hello" });
    return undefined;
  }

  async #lead() {
    if (this.#closed) return;
    let saved = null;
    try {
      saved = await this.#store.load();
    } catch (error) {
      this.#emit("error", new StorageFailed(Reason.UNSPECIFIED_ERROR, `the storage cannot be read: ${error?.message ?? error}`));
    }
    if (this.#closed) return;
    if (!saved || (this.#device && this.#leader && !saved.meta.device)) {
      await this.close(); // another tab has logged this device out
      return;
    }
    await this.#catchUp(saved.meta.position ?? 0, saved.meta.floor ?? 1);
    const tell = (name, detail) => {
      this.#post({ kind: "event", name, detail });
      this.#told(name, detail);
    };
    const engine = new Engine(this.#terms, this.#store, saved, tell, () => this.#pace());
    this.#engine = engine;
    this.#leader = this.#tab;
    this.#sync(engine.snapshot(), false);
    this.#post({ kind: "leader", snapshot: engine.snapshot() });
    engine.start(this.#personPending);
    if (this.#follows.size) engine.command(this.#tab, "follow", { users: [...this.#follows] }).catch(() => undefined);
    this.#callAgain();
  }

  #post(message) {
    this.#channel?.postMessage({ ...message, from: this.#tab });
  }

  async #hear(message) {
    if (this.#closed && message.kind !== "answer") return;
    if (this.#engine) this.#hearAsLeader(message);
    else await this.#hearAsOther(message);
  }

  #hearAsLeader({ kind, from, id, name, args }) {
    const engine = this.#engine;
    if (kind === "hello") this.#post({ kind: "leader", to: from, snapshot: engine.snapshot() });
    else if (kind === "bye") engine.tabGone(from);
    else if (kind === "call") {
      engine.command(from, name, args).then(
        (value) => this.#post({ kind: "answer", to: from, id, value }),
        (error) => this.#post({ kind: "answer", to: from, id, error: packError(error) }),
      );
    }
  }

  async #hearAsOther(message) {
    const { kind, from, to } = message;
    if (to && to !== this.#tab) return;
    if (kind === "leader") await this.#ledBy(from, message.snapshot);
    else if (kind === "answer") this.#answered(message.id, message.error ? { error: unpackError(message.error) } : message);
    else if (kind === "event" && from === this.#leader) this.#told(message.name, message.detail);
    else if (kind === "bye" && message.leader && from === this.#leader) {
      this.#leader = null;
      this.#presence.clear();
      this.#changed({ state: { ...CONNECTING, head: this.#state.head }, granted: this.#granted, device: this.#device });
    }
  }

  async #ledBy(leader, snapshot) {
    const another = leader !== this.#leader;
    this.#leader = leader;
    await this.#catchUp(snapshot.position, snapshot.floor);
    const { state } = snapshot;
    // An end is not the end for a tab in which a person has just logged in.
    this.#sync(another && this.#personPending && state.status === "ended" ? { ...snapshot, state: { ...CONNECTING, head: state.head } } : snapshot);
    if (!another) return;
    if (this.#follows.size) this.#call("follow", { users: [...this.#follows] }).catch(() => undefined);
    if (this.#personPending) {
      const { password, jwt, token } = this.#terms;
      this.#personPending = false;
      this.#call("logIn", { password, jwt, token, unlessLive: true }).catch(() => undefined);
    }
    this.#callAgain();
  }

  /** Tell what was stored since the last that was told here: the leader before died between storing and telling. */
  async #catchUp(position, floor) {
    if (position < this.#position) {
      this.#stored({ events: [{ name: "startOver", detail: { kind: "startOver" } }], position: 0, floor, head: this.#state.head });
    }
    while (this.#position < position) {
      const items = await this.#store.read({ after: this.#position, limit: READ_ITEMS });
      const events = items.filter(({ seq }) => seq <= position).map((item) => ({ name: item.kind === "gap" ? "gap" : "entry", detail: item }));
      const last = events.at(-1)?.detail;
      for (const { key, seq, id, timeMs, n } of items) {
        if (this.#publications.has(key)) this.#publicationTold({ record: { key, state: "stored", seq, id, storedMs: timeMs, n }, delivered: true });
      }
      this.#stored({ events, position: last ? (last.last ?? last.seq) : position, floor, head: this.#state.head });
    }
    this.#floor = floor;
  }

  #sync(snapshot, withState = true) {
    const known = new Set(snapshot.publications.map(({ key }) => key));
    for (const record of snapshot.publications) this.#publicationTold({ record });
    const pending = new Set([...this.#calls.values()].map(({ args }) => args.record?.key));
    for (const [key, publication] of this.#publications) {
      if (known.has(key) || pending.has(key)) continue;
      this.#publications.delete(key); // another tab has discarded it while nobody told us
      publication[UPDATE]({ key }, { discarded: true });
      this.#emit("publication", publication);
    }
    this.#presence = new Map(snapshot.presence.map((presence) => [presence.user, presence]));
    if (withState) this.#changed(snapshot);
    else this.#device = snapshot.device;
  }

  /** Have the leader do something, whoever that is; what gets lost with a leader is asked of the next one if `again`. */
  #call(name, args, { again = false } = {}) {
    if (this.#closed) return Promise.reject(new SessionClosed(Reason.SUCCESS, "the session is closed"));
    if (this.#engine) return this.#engine.command(this.#tab, name, args);
    return new Promise((resolve, reject) => {
      const id = (this.#lastCall += 1);
      const call = { name, args, again, resolve, reject, sent: false, timer: null };
      if (name !== "publish") {
        const text = `no answer within ${this.#terms.requestTimeoutS} s`;
        const expire = () => this.#answered(id, { error: new ConnectionFailed(Reason.SERVER_UNAVAILABLE, text) });
        call.timer = setTimeout(expire, this.#terms.requestTimeoutS * 1000);
      }
      this.#calls.set(id, call);
      if (this.#leader) this.#callLeader(id, call);
    });
  }

  #callLeader(id, call) {
    call.sent = true;
    this.#post({ kind: "call", id, name: call.name, args: call.args });
  }

  #answered(id, { value, error }) {
    const call = this.#calls.get(id);
    if (!call) return;
    this.#calls.delete(id);
    clearTimeout(call.timer);
    if (error) call.reject(error);
    else call.resolve(value);
  }

  /** There is another leader, here or elsewhere. */
  #callAgain() {
    for (const [id, call] of this.#calls) {
      if (call.sent && !call.again) {
        const text = "the tab that had the connection is gone; it may have been done";
        this.#answered(id, { error: new ConnectionFailed(Reason.UNSPECIFIED_ERROR, text) });
      } else if (this.#engine) {
        this.#engine.command(this.#tab, call.name, call.args).then(
          (value) => this.#answered(id, { value }),
          (error) => this.#answered(id, { error }),
        );
      } else this.#callLeader(id, call);
    }
  }
}

function publicState({ refused: _, ...state }) {
  return state;
}

function endedError({ reason, text, origin, refused, unsupportedVersion }) {
  if (unsupportedVersion) {
    return new VersionUnsupported(reason, `this SDK (${VERSION}) speaks version ${PROTOCOL_VERSION} of the protocol: ${text}`, { origin });
  }
  return refused ? new LoginRefused(reason, text, { origin }) : new SessionEnded(reason, text, { origin });
}

function checkRead({ conversation, before, after, limit = 50 }) {
  if (conversation !== undefined) checkAddress(conversation);
  if (before !== undefined && after !== undefined) throw new TypeError("a page is either before or after a number");
  for (const [name, value] of Object.entries({ before, after })) {
    if (value !== undefined) checkNumber(value, 0, Number.MAX_SAFE_INTEGER, name);
  }
  return { conversation, before, after, limit: checkNumber(limit, 1, FETCH_MAX, "limit") };
}

const DEVICE_ID = /^[A-Za-z0-9._:-]{1,64}$/u;

function checkSecret(value, bytesMax, what) {
  const size = typeof value === "string" ? bytesOf(value) : 0;
  if (size < 1 || size > bytesMax) throw new TypeError(`${what} has 1 to ${bytesMax} bytes of UTF-8`);
  return value;
}

/** At most one, and of a length that a broker takes. */
function checkCredentials({ password, jwt, token }) {
  if (password !== undefined) checkSecret(password, 256, "a password");
  if (jwt !== undefined) checkSecret(jwt, 8_192, "a JWT");
  if (token !== undefined) checkSecret(token, 128, "a token");
  if ([password, jwt, token].filter((secret) => secret !== undefined).length > 1) {
    throw new TypeError("one of password, jwt and token, no more");
  }
}

function checkUrl(url) {
  const { location } = globalThis;
  if (url === undefined && location?.host) url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
  return checkMatch(url, /^wss?:\/\/[^#]+$/u, "url is that of a WebSocket, ws://… or wss://…");
}

/** The options with their defaults. Throws TypeError for what no broker would take. */
function termsOf(options) {
  const {
    user, terminal, password, jwt, token, takeOver = false, device, client = `roost-js/${VERSION}`, storage = defaultStorage(),
    remember = true, newest, historyMax = 10_000, queueMax = 1_000, onState, tabs = true, receiveMax = 1_024,
    receiveBytesMax = 1 << 20, keepaliveS = 60, requestTimeoutS = 30, backoff: { firstS = 1, mostS = 60 } = {},
    WebSocket = globalThis.WebSocket,
  } = options;
  if (typeof WebSocket !== "function") throw new TypeError("there is no WebSocket here: give one, or use Node 22 or newer");
  checkCredentials({ password, jwt, token });
  if (device !== undefined) checkMatch(device, DEVICE_ID, "a device id has 1 to 64 of the characters A-Z a-z 0-9 . _ : -");
  if (newest !== undefined) checkNumber(newest, 0, Number.MAX_SAFE_INTEGER, "newest");
  checkNumber(historyMax, 1, Number.MAX_SAFE_INTEGER, "historyMax");
  checkNumber(queueMax, 1, 100_000, "queueMax");
  checkNumber(receiveMax, 1, 65_535, "receiveMax");
  checkNumber(receiveBytesMax, 1, Number.MAX_SAFE_INTEGER, "receiveBytesMax");
  checkNumber(keepaliveS, 1, 65_535, "keepaliveS");
  if (!(firstS > 0 && firstS <= mostS)) throw new TypeError(`a back-off has 0 < firstS <= mostS, found ${firstS} and ${mostS}`);
  checkMatch(client, /^.{0,64}$/u, "client has at most 64 characters");
  checkMatch(terminal, /^[a-z][a-z0-9_-]{0,15}$/u, "a terminal type is a lower-case word of at most 16 characters");
  return {
    url: checkUrl(options.url), user: checkName(user), terminal, password, jwt, token, takeOver, device, client, storage, remember,
    newest, historyMax, queueMax, onState, tabs, receiveMax, receiveBytesMax, keepaliveS, requestTimeoutS,
    backoff: { firstS, mostS }, WebSocket,
  };
}

export async function connect(options) {
  const terms = termsOf(options);
  let store = null;
  let saved = null;
  try {
    store = await terms.storage.open({ url: terms.url, user: terms.user, terminal: terms.terminal });
    saved = await store.load();
  } catch (error) {
    throw new StorageFailed(Reason.UNSPECIFIED_ERROR, `the storage cannot be opened: ${error?.message ?? error}`);
  }
  const { device, token, ended } = saved.meta;
  if (terms.device && device && terms.device !== device) {
    await store.close();
    throw new TypeError(`this storage belongs to the device ${device}, not to ${terms.device}: give each a storage of its own`);
  }
  const none = [terms.password, terms.jwt, terms.token].every((secret) => secret === undefined);
  if (none && !token && !ended) {
    await store.close();
    throw new NotLoggedIn(Reason.BAD_USER_NAME_OR_PASSWORD, "there is neither a password, nor a JWT, nor a token");
  }
  const session = new Session(STARTING, terms, store, saved);
  await session[UPDATE].start();
  return session;
}
