/** What is said about the session itself: offline, ended or taken over, started over. */

import { closeDialog, openDialog } from "./dialogs.js";
import { byId, make, say, show } from "./dom.js";
import { counted, endedWords } from "./words.js";

export class Notices {
  #app;
  #ended = null;
  #clock = null;

  constructor(app) {
    this.#app = app;
    byId("offline-now").addEventListener("click", () => app.session.retryNow());
    byId("started-over-close").addEventListener("click", () => show(byId("started-over"), false));
    byId("ended-here").addEventListener("click", () => app.useHere());
    byId("kicked-here").addEventListener("click", () => app.useHere());
    byId("kicked-out").addEventListener("click", () => app.logOut());
    byId("kicked-read").addEventListener("click", () => closeDialog("dialog-kicked"));
  }

  startedOver() {
    show(byId("started-over"), true);
  }

  /** Say what there is to say of this state. */
  render(state) {
    this.#renderOffline(state);
    if (state.status !== "ended") {
      this.#ended = null;
      show(byId("ended"), false);
      closeDialog("dialog-kicked");
      return;
    }
    const sign = JSON.stringify([state.reason, state.origin, state.needsPassword]);
    if (sign === this.#ended) return;
    this.#ended = sign;
    const { title, text, facts } = endedWords(state, this.#app.session.terminal);
    say(byId("kicked-title"), title);
    say(byId("kicked-text"), text);
    byId("kicked-facts").replaceChildren(
      ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
    );
    const act = state.unsupportedVersion ? "Load anew" : state.needsPassword ? "Log in again" : "Use here";
    for (const id of ["kicked-here", "ended-here"]) say(byId(id), act);
    say(byId("ended-text"), `${title}. This device sends and receives nothing.`);
    show(byId("ended"), true);
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    openDialog("dialog-kicked");
    byId("kicked-here").focus();
  }

  #renderOffline(state) {
    clearTimeout(this.#clock);
    const isOffline = state.status === "waiting" || (state.status === "connecting" && this.#app.wasLive);
    show(byId("offline"), isOffline);
    if (!isOffline) return;
    const waiting = this.#app.model.waiting;
    const queue = waiting ? ` ${counted(waiting, "message waits", "messages wait")} to be sent.` : "";
    const seconds = state.retryAtMs ? Math.ceil((state.retryAtMs - Date.now()) / 1000) : 0;
    // The countdown is for eyes only: a live region that changes each second would never be silent.
    say(byId("offline-text"), `No connection.${queue}`);
    const countdown =
      state.status === "connecting" ? "Connecting…" : seconds > 0 ? `Next try in ${seconds} s` : "Trying…";
    byId("offline-text").dataset.then = countdown;
    show(byId("offline-now"), state.status === "waiting");
    if (state.status === "waiting" && seconds > 0)
      this.#clock = setTimeout(() => this.#renderOffline(this.#app.session.state), 1_000);
  }
}
