/** Names and addresses as a person types them: what the protocol takes, and words for what it does not. */

export const NAME_BYTES_MAX = 64;
/** Names in one request (`LIST_MAX` of docs/protocol.md). */
export const NAMES_MAX = 256;

const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]|[^\P{Zs} ]|\p{Default_Ignorable_Code_Point}/u;
const bytes = new TextEncoder();

export const userAddress = (name) => `user/${name}`;
export const groupAddress = (name) => `group/${name}`;

/** `{kind, name}` of an address, or null if it is none. */
export function parseAddress(address) {
  const slash = address.indexOf("/");
  const kind = address.slice(0, slash);
  const name = address.slice(slash + 1);
  return (kind === "user" || kind === "group") && whyNotName(name) === "" ? { kind, name } : null;
}

/** What a person typed, as a name: normal form C, no spaces around it. */
export const tidyName = (typed) => typed.normalize("NFC").trim();

/** Why this cannot be a name, as a sentence; "" if it can. */
export function whyNotName(name) {
  const size = bytes.encode(name).length;
  if (size === 0) return "A name is needed.";
  if (size > NAME_BYTES_MAX) return `A name has at most ${NAME_BYTES_MAX} bytes, this one has ${size}.`;
  if (name.includes("/")) return "A name has no “/”.";
  if (UNSEEN.test(name)) return "A name has no invisible characters.";
  return "";
}

/** The names in a list with commas or line breaks between; throws an Error with a sentence if one cannot be. */
export function namesIn(typed) {
  const names = [...new Set(typed.split(/[,\n]/).map(tidyName).filter(Boolean))];
  for (const name of names) {
    const problem = whyNotName(name);
    if (problem) throw new Error(`${name}: ${problem}`);
  }
  if (names.length > NAMES_MAX) throw new Error(`At most ${NAMES_MAX} names at once; these are ${names.length}.`);
  return names;
}

/** Up to two letters that stand for a name. */
export function initials(name) {
  const words = name.split(/[\s._-]+/u).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)].map(first) : [first(words[0] ?? "?")];
  return letters.join("").toLocaleUpperCase();
}

const first = (word) => [...word][0] ?? "";

/** One of eight colours, always the same for a name. */
export function tint(name) {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + char.codePointAt(0)) >>> 0;
  return sum % 8;
}
