/** Numbers, sizes and times for people. Times that come in are Unix time in ms. */

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const decimal = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** `12,345` */
export const count = (value) => number.format(value);

/** `0.4`, `12.5`, `1,234`: a second */
export const rate = (value) => (value >= 100 ? number : decimal).format(value);

/** `1 device`, `3 devices` */
export const plural = (value, word, words = `${word}s`) => `${count(value)} ${value === 1 ? word : words}`;

/** `1.5 MiB` */
export function bytes(value) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  let rest = value;
  while (rest >= 1024 && place < units.length - 1) {
    rest /= 1024;
    place += 1;
  }
  return `${place === 0 ? count(rest) : decimal.format(rest)} ${units[place]}`;
}

/** `0.42 ms`, `12 ms`, `1.3 s` */
export function latency(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const ms = seconds * 1000;
  if (ms >= 1000) return `${decimal.format(seconds)} s`;
  return `${ms >= 10 ? number.format(ms) : ms.toFixed(ms >= 1 ? 1 : 2)} ms`;
}

/** `3 d 4 h`, `12 min`, `8 s`: the two largest units */
export function duration(ms) {
  const parts = [
    [Math.floor(ms / 86_400_000), "d"],
    [Math.floor(ms / 3_600_000) % 24, "h"],
    [Math.floor(ms / 60_000) % 60, "min"],
    [Math.floor(ms / 1000) % 60, "s"],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  if (first === -1) return ms > 0 ? "under 1 s" : "0 s";
  return parts.slice(first, first + 2).filter(([value]) => value > 0).map(([value, unit]) => `${value} ${unit}`).join(" ");
}

const two = (value) => String(value).padStart(2, "0");

/** `2026-11-24 12:30:05`, by the clock of this machine */
export function time(ms, { fraction = false } = {}) {
  if (!ms) return "–";
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return "–";
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return `${day} ${clock}${fraction ? `.${String(at.getMilliseconds()).padStart(3, "0")}` : ""}`;
}

/** `12 min ago` */
export function ago(ms) {
  if (!ms) return "–";
  const gone = Date.now() - ms;
  return gone < 1000 ? "just now" : `${duration(gone).split(" ").slice(0, 2).join(" ")} ago`;
}

/** The text as a sentence. */
export const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}` : "");

/** Order of texts, as people expect it: 2 before 10 */
const collator = new Intl.Collator("en", { numeric: true });
export const compareText = (a, b) => collator.compare(a, b);

/** The bytes of base64 as text where they are UTF-8, else how many they are. */
export function bodyText(entry) {
  if (entry.text !== undefined && entry.text !== null) return entry.text;
  if (entry.data === undefined || entry.data === null) return "";
  const raw = Uint8Array.from(atob(entry.data), (char) => char.charCodeAt(0));
  return `${plural(raw.length, "byte")} that are no text`;
}
