/** A message in the name of a user. */

import { form } from "./dialog.js";
import { announce, card, el, field, fill, heading, select } from "./dom.js";
import { count, plural, time } from "./format.js";

const ROUTE = "POST /v1/messages";

/** Show the form; `#/send?from=alice&to=user/bob` fills it. */
export async function show({ api, rights, page, query }) {
  const told = el("div", { role: "status" });
  const [kind = "user", ...rest] = (query.get("to") ?? "").split("/");
  const plain = { autocomplete: "off", spellcheck: false, required: true };
  const text = el("textarea", { name: "text", rows: 5, required: true });
  const made = form({
    label: "Send a message",
    fields: [
      rights.note(ROUTE),
      field("From the user", el("input", { name: "from", value: query.get("from") ?? "", ...plain }), "He may write there as if he did it himself; a block or a membership counts."),
      el("div", { class: "pair" }, field("To a", select("kind", ["user", "group"], kind === "group" ? "group" : "user")), field("Name", el("input", { name: "name", value: rest.join("/"), ...plain }))),
      field("Content type", el("input", { name: "type", value: "text/plain", ...plain })),
      field("Text", text),
    ],
    buttons: rights.button("Send", ROUTE, null, { kind: "primary", type: "submit" }),
    act: async (values) => {
      const body = { from: values.from, to: `${values.kind}/${values.name}`, type: values.type, text: values.text };
      const sent = await api.ask("POST", "/v1/messages", { body });
      const words = `Stored for good at ${time(sent.time)}, in ${plural(sent.inboxes, "inbox", "inboxes")}; it is number ${count(sent.seq)} in the inbox of ${values.from}. `;
      fill(told, el("p", { class: "notice good" }, words, el("a", { href: `#/explain/message/${encodeURIComponent(sent.id)}` }, "What became of it")));
      announce(words);
      text.value = "";
      text.focus();
    },
  });
  fill(page, heading("Send a message"), card("Message", el("p", { class: "hint" }, "Recipients see it as any other from this user; the journal and explain say that an admin sent it, and the audit log says who."), made, told));
}
