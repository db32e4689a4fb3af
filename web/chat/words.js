/** What the page says: times, devices, reasons and gaps in words. Nothing here touches the page itself. */

import { Reason, reasonPhrase } from "../sdk/roost.js";
import { parseAddress } from "./names.js";

const language = globalThis.navigator?.language ?? "en-GB";
const LOCALE = language.startsWith("en") ? language : "en-GB";
const format = (options) => new Intl.DateTimeFormat(LOCALE, options);
const CLOCK = format({ hour: "2-digit", minute: "2-digit" });
const WEEKDAY = format({ weekday: "short" });
const SHORT_DAY = format({ day: "numeric", month: "short" });
const DAY = format({ weekday: "long", day: "numeric", month: "long" });
const DAY_AND_YEAR = format({ day: "numeric", month: "long", year: "numeric" });
const WHOLE = format({ dateStyle: "medium", timeStyle: "medium" });

const DAY_MS = 86_400_000;

/** Days since the epoch where this device is: two times of one day have the same. */
export function dayOf(ms) {
  return Math.floor((ms - new Date(ms).getTimezoneOffset() * 60_000) / DAY_MS);
}

export const clock = (ms) => CLOCK.format(ms);
export const wholeTime = (ms) => WHOLE.format(ms);

/** The heading of a day in a conversation. */
export function dayName(ms, now = Date.now()) {
  const ago = dayOf(now) - dayOf(ms);
  if (ago === 0) return "Today";
  if (ago === 1) return "Yesterday";
  return ago > 0 && ago < 180 ? DAY.format(ms) : DAY_AND_YEAR.format(ms);
}

/** A time for a list: the hour today, the weekday this week, the date before that. */
export function listTime(ms, now = Date.now()) {
  const ago = dayOf(now) - dayOf(ms);
  if (ago === 0) return clock(ms);
  if (ago === 1) return "Yesterday";
  return ago > 0 && ago < 7 ? WEEKDAY.format(ms) : SHORT_DAY.format(ms);
}

/** "today at 14:05", "on 3 May at 14:05". */
export function moment(ms, now = Date.now()) {
  const ago = dayOf(now) - dayOf(ms);
  const day =
    ago === 0 ? "today" : ago === 1 ? "yesterday" : `on ${ago < 180 ? SHORT_DAY.format(ms) : DAY_AND_YEAR.format(ms)}`;
  return `${day} at ${clock(ms)}`;
}

const TERMINALS = { phone: "phone", pc: "PC", pad: "tablet", web: "browser", tv: "TV" };
const ICONS = new Set(["phone", "pc", "pad", "web"]);

export const terminalName = (terminal) => TERMINALS[terminal] ?? terminal;
export const terminalIcon = (terminal) => (ICONS.has(terminal) ? `i-${terminal}` : "i-device");

/** "phone, PC and tablet". */
export function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

export const counted = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** Where a user is, in words. `presence` is the SDK's, or null where nothing is known. */
export function presenceWords(presence) {
  if (!presence) return "";
  if (!presence.online) return "Offline";
  return `Online on ${listed(presence.terminals.map(({ terminal }) => terminalName(terminal)))}`;
}

export function size(bytes) {
  if (bytes < 1024) return counted(bytes, "byte");
  const kib = bytes / 1024;
  return kib < 1024 ? `${Math.round(kib)} KB` : `${(kib / 1024).toFixed(1)} MB`;
}

/** The line that stands for a message in the list of conversations. */
export function preview(message) {
  if (message.kind === "erased") return "Message erased";
  if (message.text !== null) return message.text.replace(/\s+/gu, " ").trim().slice(0, 200) || "(empty)";
  return message.data === null ? "" : `${attachment(message.type)}, ${size(message.data.length)}`;
}

export const attachment = (type) => (type.startsWith("image/") ? "Picture" : "File");

const GAP_WHY = {
  age: "they were older than this server keeps messages",
  count: "the server keeps only so many messages",
  bytes: "the server keeps only so much",
  damaged: "the server can no longer read it",
};

/** What is said where entries are missing. */
export function gapWords(gap) {
  if (gap.reason === "history")
    return "Some messages here are not on this device. They come when there is a connection.";
  const lost = counted(gap.last - gap.seq + 1, "message");
  return `${lost} of your conversations never came to this device: ${GAP_WHY[gap.reason] ?? "the server has removed them"}. Some may belong here.`;
}

const REQUESTS = {
  NOT_A_MEMBER: "You are not a member of this group.",
  ALREADY_EXISTS: "There is a group of that name already.",
  NOT_FOUND: "There is no such user or group.",
  QUOTA_EXCEEDED: "That is more than this server allows.",
  SERVER_BUSY: "The server is busy. Try again in a moment.",
  MESSAGE_RATE_TOO_HIGH: "Too many at once. Try again in a moment.",
  SERVER_UNAVAILABLE: "The server cannot do that now. Try again later.",
};
const LOGIN = {
  BAD_USER_NAME_OR_PASSWORD: "The user or the password is wrong.",
  UNKNOWN_TERMINAL_TYPE: "This server knows no such kind of device.",
  CONNECTION_RATE_EXCEEDED: "Your devices of this kind have taken over from each other too often. Wait a minute.",
  SERVER_BUSY: "The server is busy. Try again in a moment.",
  SERVER_SHUTTING_DOWN: "The server is being stopped. Try again in a while.",
  NOT_AUTHORIZED: "This account may not log in.",
  QUOTA_EXCEEDED: "You have too many devices. Log one out on another device.",
};

const nameOf = (code) => Object.keys(Reason).find((name) => Reason[name] === code);
const capital = (words) => (words ? `${words[0].toUpperCase()}${words.slice(1)}` : "");

/** Why a message was not stored, for who wrote it. */
export function refusedWords(code, to) {
  const { kind, name } = parseAddress(to) ?? { kind: "user", name: to };
  switch (nameOf(code)) {
    case "UNKNOWN_RECIPIENT":
      return kind === "group" ? `There is no group “${name}”.` : `There is no user “${name}”.`;
    case "NOT_A_MEMBER":
      return "You are not a member of this group.";
    case "BLOCKED":
      return `${name} takes no messages from you.`;
    case "PACKET_TOO_LARGE":
      return "It is too long for this server.";
    case "SETTLED_LONG_AGO":
      return "Whether it was stored is not known any more.";
    default:
      return `${capital(reasonPhrase(code))}.`;
  }
}

/** What an error of the SDK means for who caused it. */
export function failureWords(error) {
  if (error?.name === "TypeError" || error?.reason === undefined) return error?.message || "That did not work.";
  const name = nameOf(error.reason);
  if (error.name === "ConnectionFailed") return "There is no answer from the server. Try again when you are online.";
  if (error.name === "StorageFailed") return "This browser gives the page no storage, or it is full.";
  return REQUESTS[name] ?? (capital(error.text || reasonPhrase(error.reason)) || "That did not work.");
}

/** Why a log-in failed. */
export function loginWords(code, text) {
  return LOGIN[nameOf(code)] ?? `The server said no: ${text || reasonPhrase(code)}.`;
}

/** Title, text and facts of the notice that this session is over. `state` is the SDK's. */
export function endedWords(state, terminal) {
  const kind = terminalName(terminal);
  const facts = [];
  if (state.origin) {
    facts.push([state.takenOver ? "Device" : "By", state.origin.by]);
    facts.push(["When", moment(state.origin.atMs)]);
    if (state.origin.address) facts.push(["From", state.origin.address]);
  }
  if (state.unsupportedVersion) {
    return { title: "This page is out of date", text: `Load it anew. ${state.text}`, facts };
  }
  if (state.takenOver) {
    return {
      title: `You are logged in on another ${kind}`,
      text: `Only one ${kind} can be logged in at a time, so this one was stopped. If that was not you, change your password.`,
      facts,
    };
  }
  switch (nameOf(state.reason)) {
    case "LOGGED_OUT":
      return { title: "This device was logged out", text: "One of your other devices ended this session.", facts };
    case "ADMINISTRATIVE_ACTION":
      return { title: "Your session was ended", text: "An administrator of this server ended it.", facts };
    case "BAD_USER_NAME_OR_PASSWORD":
      return { title: "Log in again", text: "The server no longer takes what this device was logged in with.", facts };
    default:
      return {
        title: "This session has ended",
        text: `${capital(reasonPhrase(state.reason))}. ${state.text}`.trim(),
        facts,
      };
  }
}
