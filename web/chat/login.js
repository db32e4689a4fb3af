/** The log-in form. */

import { byId, problem, show } from "./dom.js";
import { tidyName, whyNotName } from "./names.js";
import { loginWords, terminalName } from "./words.js";

const LAST = "roost-login";
const TERMINAL = /^[a-z][a-z0-9_-]{0,15}$/;

export class Login {
  #form = byId("login-form");
  #attempt;

  /** `attempt({user, password, terminal, remember})` logs in; rejects with the SDK's errors. */
  constructor(attempt) {
    this.#attempt = attempt;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    for (const radio of this.#form.elements.terminal) radio.addEventListener("change", () => this.#showOther(true));
  }

  /** Show it. `fixed`: user and terminal of a session that goes on, which cannot be changed; `text`: why it is shown. */
  show({ fixed = null, text = "" } = {}) {
    const last = fixed ?? this.#last();
    const { elements } = this.#form;
    elements.username.value = last.user ?? "";
    elements.username.readOnly = Boolean(fixed);
    elements.password.value = "";
    this.#choose(last.terminal ?? likely());
    for (const radio of elements.terminal) radio.disabled = Boolean(fixed);
    elements.other.readOnly = Boolean(fixed);
    problem(byId("login-problem"), text);
    show(byId("login"), true);
    show(byId("app"), false);
    document.title = "Log in – roost";
    (elements.username.value ? elements.password : elements.username).focus();
  }

  hide() {
    show(byId("login"), false);
    this.#form.elements.password.value = "";
  }

  #choose(terminal) {
    const radios = [...this.#form.elements.terminal];
    const radio = radios.find(({ value }) => value === terminal && value !== "other") ?? radios.at(-1);
    radio.checked = true;
    if (radio.value === "other") this.#form.elements.other.value = terminal;
    this.#showOther(false);
  }

  #showOther(focus) {
    const isOther = this.#form.elements.terminal.value === "other";
    if (show(byId("login-other-row"), isOther) && isOther && focus) this.#form.elements.other.focus();
  }

  async #submit() {
    const { elements } = this.#form;
    const user = tidyName(elements.username.value);
    const password = elements.password.value;
    const chosen = [...elements.terminal].find((radio) => radio.checked).value;
    const terminal = chosen === "other" ? elements.other.value.trim() : chosen;
    const wrong = this.#whyNot(user, password, terminal);
    if (wrong) return this.#refuse(...wrong);
    const button = byId("login-go");
    if (button.disabled) return undefined;
    button.disabled = true;
    button.textContent = "Logging in…";
    problem(byId("login-problem"), "");
    try {
      await this.#attempt({ user, password, terminal, remember: byId("login-keep").checked });
      keep({ user, terminal });
    } catch (error) {
      this.#refuse(this.#words(error, terminal), elements.password);
    } finally {
      button.disabled = false;
      button.textContent = "Log in";
    }
    return undefined;
  }

  #whyNot(user, password, terminal) {
    const { elements } = this.#form;
    const name = whyNotName(user);
    if (name) return [user ? name : "Who are you? Enter your user name.", elements.username];
    if (!password) return ["Enter your password.", elements.password];
    if (!TERMINAL.test(terminal)) return ["A terminal type is a word of at most 16 small letters.", elements.other];
    return null;
  }

  #refuse(text, field) {
    problem(byId("login-problem"), text);
    field.focus();
    field.select?.();
  }

  #words(error, terminal) {
    if (error.name === "ConnectionFailed") return "The server cannot be reached. Check your network, and try again.";
    if (error.name === "StorageFailed") return "This browser gives the page no storage, or it is full.";
    if (error.name === "VersionUnsupported") return `This page does not fit the server; load it anew. ${error.text}`;
    if (error.name === "TypeError") return error.message;
    const words = loginWords(error.reason, error.text);
    return words.includes("kind of device") ? `This server knows no “${terminalName(terminal)}”.` : words;
  }

  #last() {
    try {
      return JSON.parse(localStorage.getItem(LAST) ?? "{}") ?? {};
    } catch {
      return {};
    }
  }
}

function keep(last) {
  try {
    localStorage.setItem(LAST, JSON.stringify(last));
  } catch {
    // A full storage only costs typing the name again.
  }
}

/** What this device most likely is. */
function likely() {
  if (!matchMedia("(pointer: coarse)").matches) return "pc";
  return Math.min(screen.width, screen.height) < 600 ? "phone" : "pad";
}
