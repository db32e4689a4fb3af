/** The page's dialogs: opening and closing, asking whether one is sure, and what is wrong in a form. */

import { byId, make, problem, say } from "./dom.js";
import { failureWords } from "./words.js";

/** Open a dialog: the rest of the page cannot be reached until it is closed; focus returns to where it was. */
export function openDialog(id) {
  const dialog = byId(id);
  for (const element of dialog.querySelectorAll(".problem")) problem(element, "");
  if (!dialog.open) dialog.showModal();
  return dialog;
}

export function closeDialog(id) {
  const dialog = byId(id);
  if (dialog.open) dialog.close();
}

/** Wire what all dialogs share: their close buttons, and a click beside them. */
export function prepareDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    for (const button of dialog.querySelectorAll("[data-close]"))
      button.addEventListener("click", () => dialog.close());
    if (dialog.getAttribute("role") === "alertdialog") continue;
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
  }
}

/** Ask whether to do something that cannot be undone. Resolves to true or false. */
export function sure(title, text, yes) {
  say(byId("sure-title"), title);
  say(byId("sure-text"), text);
  say(byId("sure-yes"), yes);
  const dialog = openDialog("dialog-sure");
  byId("sure-no").focus();
  return new Promise((resolve) => {
    const answer = (value) => {
      dialog.onclose = null;
      closeDialog("dialog-sure");
      resolve(value);
    };
    byId("sure-yes").onclick = () => answer(true);
    byId("sure-no").onclick = () => answer(false);
    dialog.onclose = () => answer(false);
  });
}

/** When the form is sent, do `act(values)`; what fails is said in the form. On success it is emptied. */
export function onSubmit(id, act) {
  const form = byId(id);
  const trouble = form.querySelector(".problem") ?? form.closest("dialog").querySelector(".problem");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    if (button.disabled) return;
    button.disabled = true;
    problem(trouble, "");
    try {
      await act(Object.fromEntries(new FormData(form)));
      form.reset();
    } catch (error) {
      problem(trouble, failureWords(error));
    } finally {
      button.disabled = false;
    }
  });
}

/** Fill a list of a dialog; with nothing in it, say so. Keeps focus where it was, by the position in the list. */
export function fillList(list, items, empty) {
  const buttons = () => [...list.querySelectorAll("button")];
  const focused = buttons().indexOf(document.activeElement);
  list.replaceChildren(...(items.length ? items : [make("li", { class: "none" }, empty)]));
  if (focused >= 0) (buttons()[Math.min(focused, buttons().length - 1)] ?? list.closest("dialog")).focus();
}
