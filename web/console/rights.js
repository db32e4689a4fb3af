/** What whoever is signed in may do, from the roles that the broker's own description gives each route. */

import { announce, el, newId, toast } from "./dom.js";

const ROLES = ["read", "operate", "admin"];

/** The rights of one caller: `whoami` and the OpenAPI document, as the broker gave them. */
export class Rights {
  constructor(who, document) {
    this.name = who.name;
    this.role = who.role;
    this.needed = new Map();
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        this.needed.set(`${method.toUpperCase()} ${path}`, operation["x-role"] ?? "read");
      }
    }
  }

  /** Why a route ("POST /v1/users") may not be used; "" if it may. */
  why(route) {
    const needed = this.needed.get(route);
    if (needed === undefined) return "This broker has no such thing to ask for.";
    if (ROLES.indexOf(this.role) >= ROLES.indexOf(needed)) return "";
    return `This needs the role ${needed}; yours is ${this.role}.`;
  }

  /**
   * A button for an act of a route. What may not be used can be reached and read, and says why when it is pressed.
   * `act` may be asynchronous: until it has ended the button does nothing.
   */
  button(label, route, act, { kind = "", type = "button", name = "" } = {}) {
    const why = route ? this.why(route) : "";
    const button = el("button", { type, class: kind, "aria-label": name || null }, label);
    if (why) {
      const note = el("span", { class: "unseen", id: newId("why") }, why);
      button.append(note);
      button.setAttribute("aria-disabled", "true");
      button.setAttribute("aria-description", why);
      button.title = why;
    }
    let busy = false;
    button.addEventListener("click", async (event) => {
      if (why) {
        event.preventDefault();
        toast(why, "bad");
        return;
      }
      if (!act) return;
      event.preventDefault();
      if (busy) return;
      busy = true;
      button.setAttribute("aria-busy", "true");
      try {
        await act(button);
      } catch (error) {
        if (error.name === "AbortError") return;
        if (error.words === undefined) throw error;
        toast(error.words, "bad");
      } finally {
        busy = false;
        button.removeAttribute("aria-busy");
      }
    });
    return button;
  }

  /** A sentence to stand above a form that may not be used; null if it may. */
  note(route) {
    const why = this.why(route);
    return why ? el("p", { class: "notice" }, why) : null;
  }
}

/** Copy a text, and say so. */
export async function copy(text, what) {
  await navigator.clipboard.writeText(text);
  announce(`${what} copied`);
}
