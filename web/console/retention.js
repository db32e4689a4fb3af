/** Retention: the rules, what a walk now would trim and who would lose what, and the walk. */

import { ask, form } from "./dialog.js";
import { announce, badge, card, el, facts, field, fill, heading, toast } from "./dom.js";
import { bytes, count, duration, plural, time } from "./format.js";
import { Table } from "./table.js";

const ROWS_MAX = 500;
const DAY_MS = 86_400_000;

/** Show it. `#/retention?user=alice`: the plan is for one inbox. */
export async function show({ api, rights, page, query, signal }) {
  const status = el("div");
  const load = async () => showStatus(status, await api.ask("GET", "/v1/retention", { signal }));
  let planned = null;
  const why = el("p", { class: "hint", id: "run-why" }, "The walk can be run when a plan for everybody was made: so that nobody loses what he was not seen to lose.");
  const run = rights.button("Run the walk now", "POST /v1/retention/run", async () => {
    if (planned === null) {
      toast(why.textContent, "bad");
      return;
    }
    const done = await ask({
      title: "Run the walk now?", confirm: "Trim", danger: true, text: [planWords(planned), "It cannot be undone."],
      act: () => api.ask("POST", "/v1/retention/run"),
    });
    if (!done) return;
    toast(`${plural(done.entries, "entry", "entries")} of ${plural(done.inboxes, "inbox", "inboxes")} were trimmed`, "good");
    ready(null);
    await load();
  }, { kind: "danger" });
  const allowed = !rights.why("POST /v1/retention/run");
  const ready = (summary) => {
    planned = summary;
    if (allowed) run.setAttribute("aria-disabled", String(summary === null));
    why.hidden = summary !== null || !allowed;
  };
  ready(null);
  fill(page, heading("Retention"), card("Rules", status), planCard({ api, user: query.get("user") ?? "", signal, ready }), el("section", { class: "card" }, el("h2", {}, "Run"), why, el("div", { class: "buttons" }, run)));
  await load();
}

const bound = (value, text) => (value ? text : "no bound");

function showStatus(where, now) {
  const last = now.last;
  where.className = "broad";
  fill(where, facts([
    ["Age", bound(now.age_days, plural(now.age_days, "day"))],
    ["Count", bound(now.count, `${plural(now.count, "entry", "entries")} in an inbox`)],
    ["Size", bound(now.bytes, `${bytes(now.bytes)} in an inbox`)],
    ["Hold", now.hold_days ? `what a device seen within ${plural(now.hold_days, "day")} lacks stays, up to ${bytes(now.hold_bytes_max)}` : "none"],
    ["Devices", bound(now.forget_devices_days, `forgotten when not seen for ${plural(now.forget_devices_days, "day")}`)],
    ["Walk", `every ${duration(now.interval_s * 1000)}; ${now.lag_s > 0 ? `${duration(now.lag_s * 1000)} late` : "on time"}`],
    ["Last walk", last ? `${time(last.began)}, took ${duration(last.ended - last.began)}: ${plural(last.entries, "entry", "entries")} of ${plural(last.inboxes, "inbox", "inboxes")}${last.by_age ? "" : "; not by age, since the clock had jumped"}` : "none yet"],
    now.failure ? ["Failure", badge(now.failure, "bad")] : null,
    ["Kept", `${plural(now.entries, "entry", "entries")} of ${plural(now.messages, "message")}, ${plural(now.users, "user")}; ${bytes(now.store_used_bytes)} of ${bytes(now.store_map_bytes)}`],
  ]));
}

function planWords(summary) {
  const lost = summary.lost ? `${plural(summary.devices, "device")} would lose ${plural(summary.lost, "entry", "entries")} they have not acknowledged.` : "No device would lose anything.";
  return `Of ${plural(summary.users, "inbox", "inboxes")}, ${count(summary.inboxes)} would be trimmed by ${plural(summary.entries, "entry", "entries")} in all. ${lost}`;
}

function planCard({ api, user, signal, ready }) {
  const told = el("div", { role: "status" });
  const trims = new Table({
    caption: "Inboxes that would be trimmed", key: (row) => row.user, none: "No plan was made yet.",
    columns: [
      { label: "User", cell: (row) => ({ text: row.user, href: `#/users/${encodeURIComponent(row.user)}` }), sort: (row) => row.user },
      { label: "From", number: true, cell: (row) => count(row.floor), sort: (row) => row.floor },
      { label: "To", number: true, cell: (row) => count(row.new_floor - 1), sort: (row) => row.new_floor },
      { label: "Entries", number: true, cell: (row) => count(row.entries), sort: (row) => row.entries },
      { label: "By", cell: (row) => row.reason, sort: (row) => row.reason },
      { label: "Devices that lose", number: true, cell: (row) => (row.losses.length ? { text: count(row.losses.length), kind: "badge bad" } : "0"), sort: (row) => row.losses.length },
    ],
  });
  const losses = new Table({
    caption: "Devices that would lose something", key: (row) => JSON.stringify([row.user, row.device]), none: "No device would lose anything.",
    columns: [
      { label: "User", cell: (row) => ({ text: row.user, href: `#/users/${encodeURIComponent(row.user)}` }), sort: (row) => row.user },
      { label: "Device", cell: (row) => [{ text: row.terminal, kind: "terminal" }, " ", { text: row.device, kind: "mono" }], sort: (row) => row.device },
      { label: "Loses from", number: true, cell: (row) => count(row.first), sort: (row) => row.first },
      { label: "To", number: true, cell: (row) => count(row.last), sort: (row) => row.last },
      { label: "Entries", number: true, cell: (row) => ({ text: count(row.entries), kind: "badge bad" }), sort: (row) => row.entries },
      { label: "Last seen", cell: (row) => (row.online ? "online" : { text: time(row.last_seen), kind: Date.now() - row.last_seen > 30 * DAY_MS ? "hint" : "" }), sort: (row) => row.last_seen },
    ],
  });
  losses.element.hidden = true;
  const plan = async (values) => {
    const rows = [];
    let summary = null;
    let seen = 0;
    ready(null);
    fill(told, el("p", {}, "Looking at inboxes …"));
    for await (const step of api.events("GET", "/v1/retention/plan", { query: { user: values.user }, signal })) {
      if (step.summary) summary = step.summary;
      if (!step.inbox) continue;
      seen += 1;
      if (rows.length < ROWS_MAX) rows.push(step.inbox);
    }
    trims.none = "Nothing would be trimmed.";
    trims.update(rows);
    losses.update(rows.flatMap((row) => row.losses.map((loss) => ({ ...loss, user: row.user }))));
    losses.element.hidden = false;
    if (summary === null) {
      fill(told, el("p", { class: "notice bad" }, "The plan was cut short. Make it again."));
      return;
    }
    const more = seen > rows.length ? ` The first ${count(rows.length)} are shown; roost retention plan has all.` : "";
    fill(told, el("p", { class: summary.lost ? "notice bad" : "notice good" }, planWords(summary) + more));
    announce(planWords(summary));
    if (!values.user) ready(summary);
  };
  const made = form({
    label: "Plan", kind: "filter", fields: field("Only for the user (optional)", el("input", { name: "user", value: user, autocomplete: "off", spellcheck: false })),
    buttons: el("button", { type: "submit", class: "primary" }, "Make a plan"), act: plan,
  });
  return card("Plan", el("p", { class: "hint" }, "What a walk now would trim, and which device would lose what. Nothing is changed."), made, told, trims.element, losses.element);
}
