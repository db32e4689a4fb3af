/**
 * The admin API: documents by `ask`, events by `events`. The token is kept for this tab alone (sessionStorage), goes
 * into the Authorization header, and never into an address.
 */

import { sentence } from "./format.js";

const TOKEN_KEY = "roost.console.token";

/** Why something was not done: what the broker said, in plain words. */
export class Problem extends Error {
  /** `status` 0: the broker was not reached. */
  constructor(status, title, detail) {
    super(detail || title);
    this.status = status;
    this.title = title;
    this.detail = detail;
  }

  /** For a person. */
  get words() {
    return [...(WORDS[this.status] ?? [`It was not done (${this.status} ${this.title}).`]), sentence(this.detail)].filter(Boolean).join(" ");
  }
}

const WORDS = {
  0: ["The broker cannot be reached."],
  400: ["The broker did not understand what was asked."],
  401: ["The broker does not know you: the token is not, or no longer, that of an admin."],
  403: ["You may not do that."],
  404: [],
  405: ["This broker has no such thing to ask for; it may be older than this page."],
  409: ["That does not go with what is there already."],
  413: ["That is too large."],
  422: ["That cannot be done."],
  500: ["It failed inside the broker; its log says more."],
  503: ["The broker cannot do that now; try again in a moment."],
  507: ["The store has no room left."],
};

/** A path with names in it, each percent-encoded: path`/v1/users/${name}`. */
export function path(texts, ...names) {
  return texts.reduce((whole, text, place) => whole + encodeURIComponent(names[place - 1]) + text);
}

/** The values that are given, as the query of an address. */
export function queryOf(values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === "") continue;
    for (const each of Array.isArray(value) ? value : [value]) query.append(name, String(each));
  }
  const text = query.toString();
  return text ? `?${text}` : "";
}

/** Asks the broker that this page came from. `unknown` is called when it does not know us (any more). */
export class Api {
  constructor() {
    this.token = sessionStorage.getItem(TOKEN_KEY) ?? "";
    this.unknown = () => {};
  }

  /** Go by this token from now on; an empty one is forgotten. */
  signIn(token) {
    this.token = token;
    if (token) sessionStorage.setItem(TOKEN_KEY, token);
    else sessionStorage.removeItem(TOKEN_KEY);
  }

  /** The answer to a request, as a value. Raises Problem; when `signal` aborts, an AbortError. */
  async ask(method, target, { query = {}, body, signal, anyStatus = false } = {}) {
    const response = await this.#fetch(method, target, query, body, signal);
    if (!response.ok && !anyStatus) throw await this.#problem(response);
    return await response.json();
  }

  /**
   * The events of a route that streams, each as a value. Raises Problem. Ends when `signal` aborts.
   * `opened` is called when the broker has said yes, which may be long before the first event.
   */
  async *events(method, target, { query = {}, body, signal, opened = () => {} } = {}) {
    const response = await this.#fetch(method, target, query, body, signal);
    if (!response.ok) throw await this.#problem(response);
    opened();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let kept = "";
    try {
      for (;;) {
        const { done, value } = await this.#read(reader);
        if (done) return;
        const blocks = (kept + value).split("\n\n");
        kept = blocks.pop();
        for (const block of blocks) {
          if (block.startsWith("data: ")) yield JSON.parse(block.slice("data: ".length));
        }
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  async #read(reader) {
    try {
      return await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "", "the connection was cut");
    }
  }

  async #fetch(method, target, query, body, signal) {
    const headers = { accept: "application/json, text/event-stream" };
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    const asked = { method, headers, signal, cache: "no-store", credentials: "omit", redirect: "error" };
    if (body !== undefined) asked.body = JSON.stringify(body);
    try {
      return await fetch(target + queryOf(query), asked);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "", "");
    }
  }

  async #problem(response) {
    let said = {};
    try {
      said = await response.json();
    } catch {
      // Not from the broker itself, but from something on the way: the status is all there is.
    }
    const problem = new Problem(response.status, said.title ?? response.statusText, said.detail ?? "");
    if (problem.status === 401) this.unknown(problem);
    return problem;
  }
}
