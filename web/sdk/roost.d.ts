/**
 * The browser SDK of roost: one device of one user, over WebSocket (sub-protocol `roost.v1.json`).
 *
 * Times are Unix time in milliseconds (`…Ms`), durations seconds (`…S`). Addresses are `"user/NAME"` or
 * `"group/NAME"`. Everything that other people wrote (names, bodies, content types) is handed on as it came: put it
 * into a page with `textContent`, never as HTML.
 */

export declare const VERSION: string;

/** Names of reason codes: `Reason.SESSION_TAKEN_OVER === 142`. The numbers are those of docs/protocol.md. */
export declare const Reason: Readonly<Record<ReasonName, number>>;
export type ReasonName =
  | "SUCCESS" | "UNSPECIFIED_ERROR" | "MALFORMED_PACKET" | "PROTOCOL_ERROR" | "UNSUPPORTED_PROTOCOL_VERSION"
  | "CLIENT_IDENTIFIER_NOT_VALID" | "BAD_USER_NAME_OR_PASSWORD" | "NOT_AUTHORIZED" | "SERVER_UNAVAILABLE"
  | "SERVER_BUSY" | "SERVER_SHUTTING_DOWN" | "KEEP_ALIVE_TIMEOUT" | "SESSION_TAKEN_OVER" | "PACKET_IDENTIFIER_IN_USE"
  | "RECEIVE_MAXIMUM_EXCEEDED" | "PACKET_TOO_LARGE" | "MESSAGE_RATE_TOO_HIGH" | "QUOTA_EXCEEDED"
  | "ADMINISTRATIVE_ACTION" | "CONNECTION_RATE_EXCEEDED" | "MAXIMUM_CONNECT_TIME" | "UNKNOWN_RECIPIENT" | "NOT_A_MEMBER"
  | "BLOCKED" | "SETTLED_LONG_AGO" | "ALREADY_EXISTS" | "NOT_FOUND" | "UNKNOWN_TERMINAL_TYPE" | "LOGIN_TIMEOUT" | "LOGGED_OUT"
  | "WRITE_TIMEOUT";

/** The code in words: `reasonPhrase(142) === "session taken over"`. */
export declare function reasonPhrase(code: number): string;

// --- opening a session ----------------------------------------------------------------------------------------------

export interface ConnectOptions {
  /** `"wss://chat.example/ws"`. In a page it may be left out: `/ws` on the page's own host. */
  url?: string;
  user: string;
  /** One of the site's terminal types (`phone`, `pc`, `pad`, `web`, …). At most one live session for each. */
  terminal: string;
  /**
   * A person logs in, taking the session over from another device. Left out (after a reload, say): the token from
   * the storage, and the session is only resumed, never taken from another device that has it meanwhile.
   */
  password?: string;
  /** A JWT of the site's own sign-on, instead of a password, and in every way as one. */
  jwt?: string;
  /** A device token got elsewhere, instead of a password. */
  token?: string;
  /** With `token`: a person asks for this log-in, so it takes over. Default false. A password or a JWT means so. */
  takeOver?: boolean;
  /** This installation's id. Default: made up at the first log-in and kept in the storage. */
  device?: string;
  /** Name and version of your software, for lists of devices. Default `roost-js/VERSION`. */
  client?: string;
  /** Where everything is kept. Default: IndexedDB in a page; in memory where there is none (Node). */
  storage?: RoostStorage;
  /** Keep a device token in the storage instead of the password or JWT. Default true. */
  remember?: boolean;
  /** Only for a device that holds nothing yet: begin with the newest so many entries instead of the whole inbox. */
  newest?: number;
  /** Entries of history kept in the storage; older ones are dropped there (`history` fetches them). Default 10,000. */
  historyMax?: number;
  /** Messages that may wait to be sent; past it `publish` throws QueueFull. Default 1,000. */
  queueMax?: number;
  /** Called with each change of the state, the first one included; as `on("state", …)`. */
  onState?: (state: State) => void;
  /** Share one session among the tabs of this browser. Default true; needs a storage that the tabs share. */
  tabs?: boolean;
  /** Entries and bytes taken unacknowledged. Defaults 1,024 and 1 MiB. */
  receiveMax?: number;
  receiveBytesMax?: number;
  /** The longest silence, in seconds. Default 60. */
  keepaliveS?: number;
  /** How long a request waits for a connection and its answer, in seconds. Default 30. */
  requestTimeoutS?: number;
  /** Pauses between attempts: a random time from 0 to min(mostS, firstS × 2^k). Defaults 1 and 60. */
  backoff?: { firstS?: number; mostS?: number };
  /** Another WebSocket class, for environments without a global one. */
  WebSocket?: typeof WebSocket;
}

/**
 * Opens the storage and starts the session. Resolves as soon as what the storage holds can be read (`read`,
 * `conversations`, `publications`), also without a network; `session.live()` waits for the log-in.
 *
 * Rejects with NotLoggedIn (neither password, nor JWT, nor token, nor a token in the storage), StorageFailed, TypeError
 * (an option that no broker would take).
 */
export declare function connect(options: ConnectOptions): Promise<Session>;

/** Sessions that this browser can resume without a password, newest first: for the page's start. */
export declare function remembered(storage?: RoostStorage): Promise<Remembered[]>;
export interface Remembered { url: string; user: string; terminal: string; device: string; }

// --- the session ----------------------------------------------------------------------------------------------------

export interface State {
  /**
   * - `connecting`: the log-in is under way (or another tab is about to take over)
   * - `live`: logged in
   * - `waiting`: the connection is lost or could not be made; the next attempt is at `retryAtMs`
   * - `ended`: somebody has to act; `reason` says why, `takenOver` by whom. `useHere()` begins anew
   * - `closed`: `close()` was called
   */
  status: "connecting" | "live" | "waiting" | "ended" | "closed";
  /** Of `waiting` and `ended`: the reason code, and an explanation in English for log files. */
  reason: number;
  text: string;
  retryAtMs: number | null;
  /** Of `ended`: who did it, when and from where, for a takeover, a kick, or a log-out. */
  origin: Origin | null;
  /** Of `ended`: another device has logged in on this terminal type. */
  takenOver: boolean;
  /** Of `ended`: the credential does not hold; `useHere({ password })` or `useHere({ jwt })` is needed. */
  needsPassword: boolean;
  /** Of `ended`: the page is too old (or too new) for the broker; `text` has the versions. */
  unsupportedVersion: boolean;
  /** Of `live`: the session of another device that this log-in ended. */
  tookOver: Origin | null;
  /** Everything that was in the inbox at the log-in is stored here. */
  caughtUp: boolean;
  /** The last number that is stored here, and the newest known in the inbox. */
  position: number;
  head: number;
  /** Whether this tab holds the connection. */
  leader: boolean;
}

export interface Origin {
  /** Id of the user's device (takeover, log-out), or name of the administrator. */
  by: string;
  atMs: number;
  address: string;
}

export interface Events {
  /** The state has changed. */
  state: State;
  /** A new entry, stored and in order. What the storage held when the session was opened is not told again. */
  entry: Message;
  /** Entries that were lost to retention before this device got them. */
  gap: Gap;
  /** The broker's inbox is another one (a backup was restored): history is cleared, everything follows anew. */
  startOver: StartOver;
  /** A user was erased: what he wrote in this conversation below `before` is removed from the storage; so remove it. */
  erased: { user: string; conversation: string; before: number };
  /** A message of this device has changed: queued, sent, stored, refused; `delivered`: its `entry` comes next. */
  publication: Publication;
  presence: Presence;
  ephemeral: Ephemeral;
  /** Something that is not the end, but should be known: a protocol error of the broker, a refused request of old. */
  error: RoostError;
}

export declare class Session {
  private constructor();
  readonly url: string;
  readonly user: string;
  readonly terminal: string;
  readonly device: string;
  readonly state: State;
  /** The last number stored here: what `read` and `history` reach up to. */
  readonly position: number;
  /** What the broker granted at the last log-in (of whatever tab), or null before the first. */
  readonly granted: Granted | null;

  /** Listen; returns a function that stops it. A listener that throws is reported (`reportError`), and stays. */
  on<K extends keyof Events>(name: K, listener: (detail: Events[K]) => void): () => void;

  /** Resolves when the session is live (at once if it is). Rejects with SessionEnded or LoginRefused if it ended. */
  live(): Promise<void>;
  /** Resolves when everything up to the head at the log-in is stored here. Rejects as `live`. */
  caughtUp(): Promise<void>;

  /**
   * What is stored, from `after` on, and then what comes, for ever: every number once, in order. Ends when the session
   * is closed; a session that was taken over only rests. `after` is 0 by default: all that is kept.
   *
   * It reads from the storage, so a slow consumer costs nothing; `hold` (default true, in the tab that has the
   * connection) makes the broker wait when it is `historyMax` behind, so that nothing is dropped before it was read.
   * Leave the loop with `break`, or call `return()`, so that nobody waits for it any more.
   */
  entries(options?: { after?: number; hold?: boolean }): AsyncIterableIterator<Item>;

  /** What is stored here, newest last: of a conversation, or all of it. No network. `limit` is 50 by default. */
  read(options?: ReadOptions): Promise<Page>;
  /** As `read`, and what is not stored here is fetched from the broker, if it can be (the page may be short if not). */
  history(options?: ReadOptions): Promise<Page>;
  /** A page from the broker (FETCH), whatever is stored. Stores nothing. */
  fetch(options?: ReadOptions): Promise<Page>;
  /** Conversations of which something is stored, the one with the newest message first. No network. */
  conversations(): Promise<Conversation[]>;

  /**
   * Queue a message: written to the storage, then sent and sent again until its outcome is known, over reconnects and
   * reloads, stored by the broker once. `body` is text or bytes; `type` a content type, by default `text/plain` or
   * `application/octet-stream`. Returns at once, in state `waiting`.
   *
   * Throws QueueFull, PublishRefused (larger than the broker takes), SessionClosed, TypeError (not an address, …).
   */
  publish(to: string, body: string | Uint8Array, options?: { type?: string }): Publication;
  /** Messages of this device that are not in the history yet (waiting, refused, stored but not come back), in order. */
  readonly publications: readonly Publication[];

  /** Send a passing signal (typing, …): not stored, dropped when not live. */
  ephemeral(to: string, body?: string | Uint8Array, options?: { type?: string }): void;

  /** Follow the presence of users: `presence` events, over reconnects. Rejects RequestRefused (no such user, …). */
  follow(users: Iterable<string>): Promise<void>;
  unfollow(users: Iterable<string>): Promise<void>;
  /** What is known of a user who is followed; null: nothing (yet, or not while offline). */
  presence(user: string): Presence | null;

  createGroup(name: string, members?: Iterable<string>): Promise<void>;
  addMembers(group: string, users: Iterable<string>): Promise<void>;
  removeMembers(group: string, users: Iterable<string>): Promise<void>;
  leaveGroup(group: string): Promise<void>;
  groupMembers(group: string): Promise<Member[]>;
  groups(): Promise<string[]>;

  addContact(user: string): Promise<void>;
  removeContact(user: string): Promise<void>;
  contacts(): Promise<string[]>;
  block(user: string): Promise<void>;
  unblock(user: string): Promise<void>;
  blocked(): Promise<string[]>;

  /** One's own devices and their sessions. */
  devices(): Promise<Device[]>;
  /** End the session of one of one's own other devices, and revoke its token. For this device: `logOut()`. */
  logOutDevice(device: string): Promise<void>;
  /** Change the password; tokens of one's other devices are revoked. */
  setPassword(oldPassword: string, newPassword: string): Promise<void>;

  /**
   * Log in here, as a person does: takes the session over. With a password or a JWT if `state.needsPassword`. Rejects as
   * `live`.
   */
  useHere(options?: { password?: string; jwt?: string }): Promise<void>;
  /** Try at once to reconnect, if the session waits to (not before the broker wants it). */
  retryNow(): void;
  /** Leave: says goodbye; what is stored stays. Another tab takes over the connection. Idempotent. */
  close(): Promise<void>;
  /** Log this device out for good: its token is revoked (if live), its storage deleted, other tabs' sessions closed. */
  logOut(): Promise<void>;
}

export interface Granted {
  frameBytesMax: number; bodyBytesMax: number; publishMax: number;
  receiveMax: number; receiveBytesMax: number; keepaliveS: number;
}

// --- what there is to read ------------------------------------------------------------------------------------------

export type Item = Message | Gap | StartOver;

/** One entry of the inbox: a message to this user, or one of the user's own, from whatever device. */
export interface Message {
  kind: "message" | "own" | "erased" | "damaged";
  /** Its number in this user's inbox. */
  seq: number;
  /** The message's id, the same for everybody; "" if erased. */
  id: string;
  from: string;
  /** The address it was published to. */
  to: string;
  /** The address of the conversation it belongs to, from this user's point of view; "" if erased. */
  conversation: string;
  timeMs: number;
  type: string;
  /** Either text or data; both null if erased. */
  text: string | null;
  data: Uint8Array | null;
  /** This user sent it; `device` and `n` say from which device, if known. */
  own: boolean;
  device: string | null;
  n: number | null;
  /** Of an own message that this very device sent: the `key` of its publication, to replace it in a list. */
  key: string | null;
  /** It tells of an erased user (and came with an `erased` event); `text` says it for people. */
  notice: boolean;
}

/** The entries `seq` to `last` are not there: retention took them (or the storage dropped them: `history`). */
export interface Gap { kind: "gap"; seq: number; last: number; reason: "age" | "bytes" | "count" | "history"; }

/** Drop everything you show; what the inbox holds follows. */
export interface StartOver { kind: "startOver"; }

export interface ReadOptions {
  /** Address of the conversation; left out: the whole inbox. */
  conversation?: string;
  /** Numbers below this one, the newest of them; or above `after`, the oldest of them; with neither the newest. */
  before?: number;
  after?: number;
  limit?: number;
}

export interface Page {
  /** In rising order of numbers. Gaps are in it when the whole inbox was asked for, and from `read` and `history`
   *  of a conversation too, since nobody knows to which one lost entries belonged. */
  items: (Message | Gap)[];
  /** There may be more in the direction asked for. */
  more: boolean;
}

export interface Conversation {
  address: string;
  /** The newest message of it. */
  last: Message;
}

/** A message of this device on its way. The same object for as long as the tab lives; `on("publication")` tells changes. */
export interface Publication {
  /** Names it for ever, over reloads and tabs. */
  readonly key: string;
  readonly to: string;
  readonly type: string;
  readonly text: string | null;
  readonly data: Uint8Array | null;
  /** When it was queued. */
  readonly timeMs: number;
  /** `waiting`: not settled. `stored`: for good, with everybody. `refused`: it is not, see `reason` and `error`. */
  readonly state: "waiting" | "stored" | "refused";
  /** Its entry is in the history: it is no longer in `publications`. */
  readonly delivered: boolean;
  /** Discarded: no longer in `publications`. */
  readonly discarded: boolean;
  /** This device's count of it, once it was sent. */
  readonly n: number | null;
  /** Of a stored one: its number in the sender's inbox, id and time. */
  readonly seq: number | null;
  readonly id: string | null;
  readonly storedMs: number | null;
  /** Of a refused one: the code, words, and the error that `settled` rejects with. */
  readonly reason: number;
  readonly reasonText: string;
  readonly error: PublishRefused | null;
  /** It is safe in the storage: sent when it can be, also after a reload. */
  readonly queued: Promise<void>;
  /** Its outcome. Rejects with PublishRefused, or SessionClosed when the session was closed before. Need not be caught. */
  readonly settled: Promise<Receipt>;
  /** Publish a refused one anew (as the newest message). Returns the new publication; this one is discarded. */
  retry(): Publication;
  /** Take it out of the list. One that waits is sent no more; if it was sent before, it may be stored all the same. */
  discard(): Promise<void>;
}

export interface Receipt { n: number; seq: number; id: string; timeMs: number; }

export interface Presence {
  user: string;
  online: boolean;
  /** The terminal types the user is on, each with since when, where that is known. */
  terminals: { terminal: string; sinceMs: number | null }[];
}

export interface Ephemeral {
  from: string; to: string; conversation: string; timeMs: number | null;
  type: string; text: string | null; data: Uint8Array | null;
}

export interface Member { user: string; owner: boolean; }

export interface Device {
  device: string; terminal: string; client: string;
  /** The last number it has acknowledged. */
  acknowledged: number;
  lastSeenMs: number; online: boolean; sinceMs: number | null; address: string;
  /** It is this one. */
  this: boolean;
}

// --- errors ---------------------------------------------------------------------------------------------------------

/** `message` is for log files; `reason` is for software; `reasonPhrase(reason)` are words. */
export declare class RoostError extends Error { readonly reason: number; readonly text: string; }
/** The broker could not be reached in time, or an answer got lost: a request may have been carried out. */
export declare class ConnectionFailed extends RoostError {}
/** The broker said no to the log-in. */
export declare class LoginRefused extends RoostError { readonly retryAfterS: number | null; readonly origin: Origin | null; }
/** This SDK and the broker do not speak the same version. */
export declare class VersionUnsupported extends LoginRefused {}
/** There is neither a password, nor a JWT, nor a token. */
export declare class NotLoggedIn extends RoostError {}
/** One side broke the protocol: a defect of software. */
export declare class ProtocolError extends RoostError {}
/** The message is not stored, and will not be. `Reason.SETTLED_LONG_AGO`: it may be; the broker cannot tell any more. */
export declare class PublishRefused extends RoostError {}
/** Too many messages wait to be sent. */
export declare class QueueFull extends RoostError {}
/** Nothing was changed. */
export declare class RequestRefused extends RoostError { readonly retryAfterS: number | null; }
/** The session is over: taken over, kicked, logged out. */
export declare class SessionEnded extends RoostError { readonly origin: Origin | null; }
/** `close()` was called. */
export declare class SessionClosed extends RoostError {}
/** The storage cannot be opened or written. */
export declare class StorageFailed extends RoostError {}

// --- storage --------------------------------------------------------------------------------------------------------

/** Where sessions are kept. `IndexedDbStorage` for pages, `MemoryStorage` for Node and tests, or one of your own. */
export interface RoostStorage {
  /** Whether all tabs of this browser see the same. */
  readonly shared: boolean;
  /** Open what belongs to one session. Rejects if it cannot. */
  open(session: { url: string; user: string; terminal: string }): Promise<RoostStore>;
  /** Sessions with a token. */
  remembered(): Promise<Remembered[]>;
}

export interface RoostStore {
  /** What was saved; `{}` and `[]` at first. */
  load(): Promise<{ meta: Record<string, unknown>; outbox: OutboxRecord[] }>;
  /** Apply all of it in one step, in the order of these fields; resolves when it is kept. */
  commit(changes: {
    /** Remove all items. */
    clear?: boolean;
    /** Put items, by `seq` (those of one number replace each other). */
    items?: (Message | Gap)[];
    /** Blank every message of `user` in `conversation` below `before` (kind `erased`, numbers stay). */
    erase?: { user: string; conversation: string; before: number }[];
    /** Remove items with numbers below this. */
    trimBelow?: number;
    /** Fields to set; undefined removes one. */
    meta?: Record<string, unknown>;
    outboxPut?: OutboxRecord[];
    outboxRemove?: string[];
  }): Promise<void>;
  /** Items in rising order: the newest `limit` below `before`, or the oldest `limit` above `after`, or the newest. */
  read(options: { conversation?: string; before?: number; after?: number; limit: number }): Promise<(Message | Gap)[]>;
  conversations(): Promise<Conversation[]>;
  close(): Promise<void>;
  /** Close it and delete everything. */
  destroy(): Promise<void>;
}

/** A publication as it is kept. `order` rises with each. */
export interface OutboxRecord {
  key: string; order: number; to: string; type: string; text: string | null; data: Uint8Array | null; timeMs: number;
  n: number | null; state: "waiting" | "stored" | "refused";
  seq: number | null; id: string | null; storedMs: number | null; reason: number; reasonText: string;
}

export declare class IndexedDbStorage implements RoostStorage {
  /** `name` begins the names of the databases; default "roost". */
  constructor(options?: { name?: string });
  readonly shared: true;
  open(session: { url: string; user: string; terminal: string }): Promise<RoostStore>;
  remembered(): Promise<Remembered[]>;
}

/** Lives as long as the object. With `shared`, sessions that use it behave as tabs of one browser. */
export declare class MemoryStorage implements RoostStorage {
  constructor(options?: { shared?: boolean });
  readonly shared: boolean;
  open(session: { url: string; user: string; terminal: string }): Promise<RoostStore>;
  remembered(): Promise<Remembered[]>;
}
