/** What can be done to an account: let in or not, a new password, export, removal, erasure. */

import { path } from "./api.js";
import { ask, box, show } from "./dialog.js";
import { el, field, fill, toast } from "./dom.js";
import { bytes, count, plural } from "./format.js";

const EXPORT_BYTES_MAX = 256 * 1024 * 1024;
/** It is gathered in the browser's memory; what is larger is for `roost users export`. */

/** The buttons. `changed` is called when the account is not what it was. */
export function accountActs({ api, rights, name, disabled, changed, signal }) {
  const post = (word) => api.ask("POST", `${path`/v1/users/${name}`}/${word}`);
  const turn = async () => {
    if (disabled()) {
      await post("enable");
    } else {
      const done = await ask({
        title: `Disable ${name}?`, confirm: "Disable", danger: true,
        text: "Every session ends, and nobody is let in until the account is enabled again. Nothing is lost.",
        act: () => post("disable"),
      });
      if (!done) return;
    }
    await changed();
  };
  const gone = () => { if (!signal.aborted) location.hash = "#/users"; };
  const turnRoute = disabled() ? "POST /v1/users/{user}/enable" : "POST /v1/users/{user}/disable";
  return [
    rights.button(disabled() ? "Enable" : "Disable", turnRoute, turn),
    rights.button("New password", "PUT /v1/users/{user}/password", () => password(api, name)),
    rights.button("Export", "GET /v1/users/{user}/export", () => download(api, name, signal)),
    rights.button("Remove", "DELETE /v1/users/{user}", () => remove(api, name, gone), { kind: "danger" }),
    rights.button("Erase", "POST /v1/users/{user}/erase", () => erase(api, name, gone), { kind: "danger" }),
  ];
}

async function password(api, name) {
  const secret = el("input", { name: "password", type: "password", autocomplete: "new-password", required: true });
  const done = await ask({
    title: `A new password for ${name}`, confirm: "Set", danger: true, again: name,
    text: "Tokens of every device are revoked: each has to log in with the new password.",
    fields: [field("New password", secret), box("log_out", "End sessions that are there, too", true)],
    act: (values) => api.ask("PUT", path`/v1/users/${name}/password`, { body: { password: values.password, log_out: values.log_out } }),
  });
  if (done) toast(`${name} has a new password${done.logged_out.length ? `, and was logged out on ${done.logged_out.join(", ")}` : ""}`, "good");
}

async function remove(api, name, gone) {
  const done = await ask({
    title: `Remove ${name}?`, confirm: "Remove the account", danger: true, again: name,
    text: "The account goes, with its inbox, devices and groups. What it sent stays in the inboxes of others. This cannot be undone.",
    act: () => api.ask("DELETE", path`/v1/users/${name}`),
  });
  if (!done) return;
  toast(`${name} was removed`, "good");
  gone();
}

const STEPS = { erasing: "Bodies are erased", telling: "Conversations are told", clearing: "The inbox is cleared", done: "Done", stopped: "Stopped" };

async function erase(api, name, gone) {
  const told = el("p", { role: "status" });
  const step = (event) => fill(told, `${STEPS[event.step] ?? event.step}: ${plural(event.messages, "message")}, ${bytes(event.bytes)}, ${plural(event.conversations, "conversation")} told in ${plural(event.inboxes, "inbox", "inboxes")}`);
  const done = await ask({
    title: `Erase ${name}?`, confirm: "Erase everything", danger: true, again: name,
    text: ["The account goes, and every message it ever sent, from every inbox. It cannot be undone, and not be stopped once it has begun.", told],
    act: async () => {
      let last = null;
      for await (const event of api.events("POST", path`/v1/users/${name}/erase`)) step((last = event));
      return last;
    },
  });
  if (!done) return;
  await show({
    title: done.step === "done" ? `${name} was erased` : `The erasure of ${name} goes on later`,
    content: el("p", {}, `${plural(done.messages, "message")} with ${bytes(done.bytes)} are gone; ${plural(done.conversations, "conversation")} told in ${plural(done.inboxes, "inbox", "inboxes")}. ${done.text}`),
  });
  gone();
}

async function download(api, name, signal) {
  const parts = [];
  let size = 0;
  let whole = false;
  toast(`Everything of ${name} is being read; that is in the audit log`);
  for await (const record of api.events("GET", path`/v1/users/${name}/export`, { signal })) {
    const line = `${JSON.stringify(record)}\n`;
    size += line.length;
    if (size > EXPORT_BYTES_MAX) {
      toast(`It is more than ${bytes(EXPORT_BYTES_MAX)}; use roost users export on the broker's machine`, "bad");
      return;
    }
    parts.push(line);
    whole = record.kind === "end";
  }
  if (!whole) {
    toast("The export was cut short; nothing was saved", "bad");
    return;
  }
  const address = URL.createObjectURL(new Blob(parts, { type: "application/jsonl" }));
  el("a", { href: address, download: `${name.replace(/[^\p{L}\p{N}._-]/gu, "_")}.jsonl` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  toast(`${count(parts.length)} records were saved`, "good");
}
