/** Dialogs: a question with a form, and for what cannot be undone the name once more. */

import { add, el, field, fill, newId } from "./dom.js";
import { Problem } from "./api.js";

/**
 * Ask something. `fields` are controls (each with a name) in labels; `act(values)` does it when it is confirmed: a
 * problem is shown in the dialog, which stays. Resolves to what `act` gave, or null if nothing was done.
 */
export function ask({ title, text = [], fields = [], confirm, danger = false, again = null, act }) {
  return new Promise((resolve) => {
    const id = newId("dialog");
    const alert = el("div", { role: "alert" });
    const name = el("input", { name: "again", autocomplete: "off", spellcheck: false });
    const go = el("button", { type: "submit", class: danger ? "danger" : "primary" }, confirm);
    const leave = el("button", { type: "button" }, "Cancel");
    const form = el("form", { method: "dialog" },
      el("h2", { id }, title),
      [text].flat().map((each) => (each instanceof Node ? each : el("p", {}, each))),
      fields,
      again === null ? null : field("To go on, enter the name again", name, again),
      alert,
      el("div", { class: "buttons" }, leave, go),
    );
    const dialog = el("dialog", { "aria-labelledby": id }, form);
    let result = null;
    leave.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => { dialog.remove(); resolve(result); });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (go.disabled) return;
      if (again !== null && name.value !== again) {
        problem(alert, `That is not the name. It is ${again}.`);
        name.focus();
        return;
      }
      go.disabled = true;
      try {
        result = (await act(valuesOf(form))) ?? true;
        dialog.close();
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        problem(alert, error.words);
      } finally {
        go.disabled = false;
      }
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Show something until it is closed. */
export function show({ title, content, close = "Close" }) {
  return new Promise((resolve) => {
    const id = newId("dialog");
    const leave = el("button", { type: "button", class: "primary" }, close);
    const dialog = el("dialog", { "aria-labelledby": id }, el("h2", { id }, title), content, el("div", { class: "buttons" }, leave));
    leave.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => { dialog.remove(); resolve(); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** What stands in the controls of a form, by name; a box is true or false. */
export function valuesOf(form) {
  const values = {};
  for (const control of form.elements) {
    if (control.name) values[control.name] = control.type === "checkbox" ? control.checked : control.value;
  }
  return values;
}

/** Put a problem where it is read out. */
export function problem(where, text) {
  fill(where, text ? el("p", { class: "notice bad" }, text) : []);
}

/** A form in a page: `act(values)` when it is sent; problems stand below it. */
export function form({ fields, buttons, act, label, kind = "" }) {
  const alert = el("div", { role: "alert" });
  const made = el("form", { class: `form ${kind}`, "aria-label": label }, fields, el("div", { class: "buttons" }, buttons), alert);
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (made.dataset.busy) return;
    if (event.submitter?.getAttribute("aria-disabled") === "true") return;
    made.dataset.busy = "1";
    problem(alert, "");
    try {
      await act(valuesOf(made), made);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      problem(alert, error.words);
    } finally {
      delete made.dataset.busy;
    }
  });
  return made;
}

/** A box to tick, with its label behind it. */
export function box(name, label, checked = false) {
  const control = el("input", { type: "checkbox", name, id: newId("box"), checked });
  return add(el("div", { class: "box" }), control, el("label", { for: control.id }, label));
}
