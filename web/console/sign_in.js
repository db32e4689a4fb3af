/** The way in: the token of an admin. */

import { el, field, fill } from "./dom.js";
import { form, problem } from "./dialog.js";

const NOT_SERVED = "This broker serves no admin API to browsers. Set web_admin = true in its configuration.";

/** Show the form in `main`. `enter(token)` goes in, or raises Problem; `reason` is why one is here, if it is not plain. */
export function signIn(main, { reason, enter }) {
  const token = el("input", { type: "password", name: "token", autocomplete: "off", spellcheck: false, required: true });
  const why = el("div", { role: "alert" });
  problem(why, reason);
  const made = form({
    label: "Sign in",
    fields: [field("Token", token, "It is kept in this tab alone, and gone when the tab is closed.")],
    buttons: el("button", { type: "submit", class: "primary" }, "Sign in"),
    act: async (values) => {
      problem(why, "");
      try {
        await enter(values.token.trim());
      } catch (error) {
        if (error.status === 404) error.detail = NOT_SERVED;
        token.select();
        throw error;
      }
    },
  });
  const how = el("p", { class: "hint" }, "A token is made on the broker's machine, by ", el("code", {}, "roost admins add NAME --role ROLE"), ".");
  fill(main, el("div", { class: "page sign-in" }, el("h1", {}, "Sign in"), el("p", {}, "The console is for those who administer this broker."), why, made, how));
  token.focus();
}
