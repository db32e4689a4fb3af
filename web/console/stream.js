/**
 * Events for as long as somebody looks: a stream ends when its view is left (the signal) and when the tab is hidden, and
 * comes back, after a failure with a pause that grows.
 */

import { Problem } from "./api.js";

const PAUSE_MS = 500;
const PAUSE_MS_MAX = 15_000;

/** Refusals that another try changes nothing about. */
const FINAL = new Set([400, 401, 403, 404, 405, 422]);

/** Wait, at most until the signal. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

function shown(signal) {
  return new Promise((resolve) => {
    const look = () => {
      if (!document.hidden || signal.aborted) {
        document.removeEventListener("visibilitychange", look);
        resolve();
      }
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look, { once: true });
    look();
  });
}

/**
 * Follow a route that streams. `query` is a function: what is asked for at each (re)connection. `state` is told "live",
 * "hidden", or a Problem with the milliseconds until the next try.
 */
export async function follow(api, target, { query = () => ({}), signal, event, state = () => {} }) {
  let wait = PAUSE_MS;
  while (!signal.aborted) {
    await shown(signal);
    if (signal.aborted) return;
    const once = new AbortController();
    const stop = () => once.abort();
    const hide = () => { if (document.hidden) once.abort(); };
    signal.addEventListener("abort", stop);
    document.addEventListener("visibilitychange", hide);
    let failure = null;
    try {
      const opened = () => { state("live"); };
      for await (const each of api.events("GET", target, { query: query(), signal: once.signal, opened })) {
        if (once.signal.aborted) break;
        wait = 0;
        event(each);
      }
    } catch (error) {
      if (error instanceof Problem) failure = error;
      else if (error.name !== "AbortError") throw error;
    } finally {
      signal.removeEventListener("abort", stop);
      document.removeEventListener("visibilitychange", hide);
    }
    if (signal.aborted) return;
    if (document.hidden) {
      state("hidden");
      wait = PAUSE_MS;
      continue;
    }
    failure ??= new Problem(0, "", "the stream has ended");
    if (FINAL.has(failure.status)) {
      state(failure, null);
      return;
    }
    wait = Math.min(Math.max(wait * 2, PAUSE_MS), PAUSE_MS_MAX);
    const jittered = wait * (0.75 + Math.random() / 2);
    state(failure, jittered);
    await pause(jittered, signal);
  }
}

/** Do something now and then every so often, while the tab is shown. One at a time; errors go to `failed`. */
export async function every(ms, signal, act, failed = () => {}) {
  for (;;) {
    await pause(ms, signal);
    await shown(signal);
    if (signal.aborted) return;
    try {
      await act();
    } catch (error) {
      if (error.name !== "AbortError") failed(error);
    }
  }
}
