/** The broker as a whole: how it is, how fast, who is busy, who is behind. */

import { badge, card, el, facts, fill, heading } from "./dom.js";
import { bars, Chart, meter } from "./chart.js";
import { ago, bytes, count, duration, latency, plural, rate, time } from "./format.js";
import { every, follow } from "./stream.js";
import { streamState } from "./stream_state.js";
import { Table } from "./table.js";

const INTERVAL_S = 2;
const HEALTH_MS = 5000;
const ROWS = 10;

const whose = (row) => ({ text: row.user, href: `#/users/${encodeURIComponent(row.user)}` });
const device = (row) => [{ text: row.terminal, kind: "terminal" }, " ", { text: row.device, kind: "mono" }];

/** Show it, for as long as the signal allows. */
export async function show({ api, page, signal }) {
  const state = streamState();
  const status = el("div");
  const health = el("div");
  const terminals = el("div");
  const charts = makeCharts();
  const tables = makeTables();
  fill(page,
    heading("Overview", state.element),
    el("div", { class: "cards two" }, card("Broker", status), card("Health", health)),
    el("div", { class: "cards charts" }, charts.elements),
    el("div", { class: "cards two" },
      card("Sessions by terminal type", terminals),
      card("Terminal types that devices take from each other", tables.flapping.element)),
    card("Slowest devices", tables.slow.element),
    card("Busiest users", tables.users.element),
    card("Busiest devices", tables.devices.element),
  );
  const look = async () => {
    const [now, ready, figures] = await Promise.all([
      api.ask("GET", "/v1/status", { signal }),
      api.ask("GET", "/readyz", { signal, anyStatus: true }),
      api.ask("GET", "/v1/health", { signal }),
    ]);
    showStatus(status, now);
    showHealth(health, ready, figures);
  };
  await look();
  every(HEALTH_MS, signal, look, (error) => state.failed(error));
  follow(api, "/v1/top", {
    signal,
    query: () => ({ interval_s: INTERVAL_S, limit: ROWS }),
    state: state.told,
    event: (top) => {
      charts.add(top);
      tables.update(top);
      const rows = Object.entries(top.terminals).sort(([, a], [, b]) => b - a);
      fill(terminals, rows.some(([, value]) => value) ? bars(rows, count) : el("p", { class: "none" }, "Nobody is connected."));
    },
  });
}

function showStatus(where, now) {
  const full = now.store_used_bytes / now.store_map_bytes;
  const room = `${bytes(now.store_used_bytes)} of ${bytes(now.store_map_bytes)}`;
  fill(where, facts([
    ["Version", now.version],
    ["Started", `${time(now.started)}, ${duration(Date.now() - now.started)} ago`],
    ["Listens on", now.listeners.join(", ")],
    ["Connected", `${plural(now.sessions, "session")}, ${plural(now.connections, "connection")}`],
    ["Accounts", `${plural(now.users, "user")}, ${plural(now.devices, "device")}, ${plural(now.groups, "group")}`],
    ["Messages", `${count(now.messages)} kept; ${count(now.published)} published since the start`],
    ["Store", [el("span", {}, room), meter(full, `The store is ${Math.round(100 * full)} % full`)]],
  ]));
}

function showHealth(where, ready, figures) {
  const why = ready.reasons.map((reason) => el("li", {}, el("b", {}, reason.reason), ": ", reason.text));
  const head = ready.ready ? badge("Ready", "good") : badge("Not ready", "bad");
  const free = figures.disk_free_bytes;
  const clock = Math.abs(figures.now - Date.now());
  fill(where,
    el("p", {}, head, ready.ready ? " for log-ins and messages" : ""),
    why.length ? el("ul", { class: "reasons" }, why) : null,
    facts([
      ["Writer", figures.queued ? `${plural(figures.queued, "operation")} waiting, the oldest for ${latency(figures.oldest_queued_ms / 1000)}` : "nothing waits"],
      ["Commit", commitText(figures)],
      ["Retention", figures.retention_lag_ms ? `${duration(figures.retention_lag_ms)} late` : "on time"],
      ["Disk", free === null ? "cannot be told" : `${bytes(free)} free of ${bytes(figures.disk_bytes)}`],
      ["Clock", clock > 2000 ? badge(`${duration(clock)} from this machine's`, "warn") : "as this machine's"],
      figures.clock_moved_ms > 60_000 ? ["Clock moved", duration(Math.abs(figures.clock_moved_ms))] : null,
    ]));
}

function commitText(figures) {
  if (figures.commit_under_way_ms) return `under way for ${latency(figures.commit_under_way_ms / 1000)}`;
  return figures.last_commit_ago_ms === null ? "none yet" : `the last ${ago(Date.now() - figures.last_commit_ago_ms)}`;
}

/** 90 intervals of 2 seconds. */
const makeChart = (how) => new Chart({ ...how, points: 91, span: "3 min ago" });

function makeCharts() {
  const second = (value) => `${rate(value)}/s`;
  const one = (kind) => [{ label: "", kind }];
  const two = [{ label: "p99", kind: "second" }, { label: "median", kind: "first" }];
  const all = {
    publishes: makeChart({ title: "Messages published", series: one("first"), show: second }),
    deliveries: makeChart({ title: "Entries delivered", series: one("first"), show: second }),
    send: makeChart({ title: "From send to delivery", series: two, show: latency }),
    commit: makeChart({ title: "Commit to disk", series: two, show: latency }),
    backlog: makeChart({ title: "Backlog of all sessions", series: one("first"), show: (value) => plural(value, "entry", "entries") }),
    network: makeChart({ title: "Network", series: [{ label: "sent", kind: "first" }, { label: "received", kind: "second" }], show: (value) => `${bytes(value)}/s` }),
  };
  return {
    elements: Object.values(all).map((chart) => el("div", { class: "card" }, chart.element)),
    add: (top) => {
      const at = top.time;
      all.publishes.add(at, top.rates.publishes);
      all.deliveries.add(at, top.rates.deliveries);
      all.send.add(at, top.send_to_deliver.p99_s, top.send_to_deliver.p50_s);
      all.commit.add(at, top.commit.p99_s, top.commit.p50_s);
      all.backlog.add(at, top.backlog);
      all.network.add(at, top.rates.sent_bytes, top.rates.received_bytes);
    },
  };
}

const figure = (label, value, text = count) => ({ label, number: true, cell: (row) => text(value(row)), sort: value });
const perSecond = [
  figure("Publishes/s", (row) => row.publishes, rate),
  figure("Deliveries/s", (row) => row.deliveries, rate),
  figure("Acks/s", (row) => row.acknowledgements, rate),
];
const userColumn = { label: "User", cell: whose, sort: (row) => row.user };
const deviceColumn = { label: "Device", cell: device, sort: (row) => `${row.terminal} ${row.device}` };

function makeTables() {
  const each = (row) => JSON.stringify([row.user, row.terminal]);
  const slow = new Table({
    caption: "Devices that are behind, the furthest first", key: each, none: "No device is behind.",
    columns: [
      userColumn, deviceColumn, figure("Backlog", (row) => row.backlog), figure("Unacknowledged", (row) => row.unacknowledged),
      { label: "Oldest", number: true, cell: (row) => (row.oldest_s === null ? "not kept any more" : duration(row.oldest_s * 1000)), sort: (row) => row.oldest_s ?? Infinity },
      { label: "Rests for", cell: (row) => restText(row.full) },
    ],
  });
  const users = new Table({
    caption: "Users by what they publish", key: (row) => row.user, none: "Nobody is connected.",
    columns: [userColumn, figure("Sessions", (row) => row.sessions), ...perSecond, figure("Backlog", (row) => row.backlog)],
  });
  const devices = new Table({
    caption: "Devices by what they publish", key: each, none: "Nobody is connected.",
    columns: [userColumn, deviceColumn, ...perSecond, figure("Backlog", (row) => row.backlog), figure("Unacknowledged", (row) => row.unacknowledged)],
  });
  const flapping = new Table({
    caption: "Two or more devices that take turns", key: each, none: "None does.",
    columns: [
      userColumn, { label: "Terminal", cell: (row) => row.terminal, sort: (row) => row.terminal },
      figure("Takeovers", (row) => row.takeovers), figure("Told to wait", (row) => row.damped),
      { label: "Has it now", cell: (row) => ({ text: row.device || "nobody", kind: "mono" }) },
      { label: "Next waits", number: true, cell: (row) => (row.wait_s === null ? "–" : duration(row.wait_s * 1000)) },
    ],
  });
  return {
    slow, users, devices, flapping,
    update: (top) => {
      slow.update(top.slow);
      users.update(top.users);
      devices.update(top.devices);
      flapping.update(top.flapping);
    },
  };
}

function restText(full) {
  if (full === "window") return "an acknowledgement: its window is full";
  return full === "outlet" ? "its socket: it does not read" : "–";
}
