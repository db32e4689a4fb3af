/** A check of the store on a live broker: how far it is, what it finds, and the verdict. */

import { box, form } from "./dialog.js";
import { announce, card, el, facts, fill, heading } from "./dom.js";
import { count, plural } from "./format.js";
import { Table } from "./table.js";

const ROWS_MAX = 1000;
const DRAW_MS = 200;

/** Show it. Leaving the view ends a check that is under way; a hidden tab does not. */
export async function show({ api, rights, page, signal }) {
  const told = el("div", { role: "status" });
  const bar = el("progress", { max: 1, value: 0, "aria-label": "How far the check is" });
  const where = el("p", { class: "hint" });
  const progress = el("div", { hidden: true }, bar, where);
  const findings = new Table({
    caption: "Findings", key: (row) => row.key, none: "No findings.",
    columns: [
      { label: "Severity", cell: (row) => ({ text: row.severity, kind: `badge ${row.severity === "damage" ? "bad" : "warn"}` }), sort: (row) => row.severity },
      { label: "Code", cell: (row) => ({ text: row.code, kind: "mono" }), sort: (row) => row.code },
      { label: "Where", cell: (row) => place(row), sort: (row) => place(row) },
      { label: "Found", cell: (row) => row.found },
      { label: "Expected", cell: (row) => row.expected },
      { label: "What to do", cell: (row) => row.advice },
    ],
  });
  findings.element.hidden = true;
  let stop = null;
  const end = el("button", { type: "button", hidden: true }, "Stop");
  end.addEventListener("click", () => stop?.abort());
  const check = async (values) => {
    stop = new AbortController();
    signal.addEventListener("abort", () => stop.abort(), { once: true });
    const rows = [];
    let verdict = null;
    let drawn = 0;
    fill(told, el("p", {}, "The check is under way."));
    findings.update([]);
    progress.hidden = false;
    end.hidden = false;
    const begun = performance.now();
    try {
      for await (const event of api.events("POST", "/v1/fsck", { body: { fast: values.fast }, signal: stop.signal })) {
        if (event.finding && rows.length < ROWS_MAX) rows.push({ ...event.finding, key: rows.length });
        if (event.verdict) verdict = event.verdict;
        if (performance.now() - drawn < DRAW_MS && !event.verdict) continue;
        drawn = performance.now();
        if (event.progress) {
          bar.value = event.progress.of ? event.progress.rows / event.progress.of : 0;
          where.textContent = `${event.progress.stage}: ${count(event.progress.rows)} of ${plural(event.progress.of, "row")}`;
        }
        findings.update(rows);
      }
    } catch (error) {
      fill(told, error.name === "AbortError" ? el("p", { class: "notice" }, "The check was stopped; what it had found stands below.") : []);
      if (error.name !== "AbortError") throw error;
      return;
    } finally {
      progress.hidden = true;
      end.hidden = true;
      findings.element.hidden = rows.length === 0 && verdict === null;
    }
    findings.update(rows);
    if (verdict === null) fill(told, el("p", { class: "notice bad" }, "The check was cut short, without a verdict."));
    else showVerdict(told, verdict, performance.now() - begun, rows.length);
  };
  const made = form({
    label: "Check", fields: box("fast", "Fast: with a whole core, while deliveries are slower"),
    buttons: [rights.button("Check the store", "POST /v1/fsck", null, { kind: "primary", type: "submit" }), end], act: check,
  });
  fill(page, heading("Check the store"),
    card("Check", el("p", {}, "Proves on one snapshot that the numbers of every inbox are dense, that both sides of every message are there, and that nothing points to what is not. Nothing is changed."), made, progress, told, findings.element));
}

function showVerdict(where, verdict, took, shown) {
  const clean = verdict.damages === 0;
  const words = clean ? (verdict.warnings ? `All that was promised holds; ${plural(verdict.warnings, "warning")}.` : "All that was promised holds.") : `The store is damaged: ${plural(verdict.damages, "damage")}, ${plural(verdict.warnings, "warning")}.`;
  fill(where, el("p", { class: `notice ${clean ? "good" : "bad"}` }, words), facts([
    ["Looked at", `${plural(verdict.users, "user")}, ${plural(verdict.devices, "device")}, ${plural(verdict.groups, "group")}, ${plural(verdict.messages, "message")}, ${plural(verdict.entries, "entry", "entries")}`],
    ["Took", `${(took / 1000).toFixed(1)} s`],
    verdict.complete ? null : ["Complete", "no: there were so many findings that it stopped looking"],
    verdict.damages + verdict.warnings > shown ? ["Shown", `the first ${count(shown)}; roost fsck has all`] : null,
  ]));
  announce(words);
}

function place(row) {
  const parts = [row.table];
  if (row.user ?? row.user_number) parts.push(`user ${row.user ?? `#${row.user_number}`}`);
  if (row.device ?? row.device_number) parts.push(`device ${row.device ?? `#${row.device_number}`}`);
  if (row.group ?? row.group_number) parts.push(`group ${row.group ?? `#${row.group_number}`}`);
  if (row.seq) parts.push(`entry ${count(row.seq)}`);
  if (row.message) parts.push(`message ${row.message}`);
  return parts.join(", ");
}
