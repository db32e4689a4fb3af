"""`/metrics`: what the node has counted, in the text format of Prometheus.

Nothing is kept here and nothing is registered anywhere: each scrape reads the counts and forgets them. Sessions are
looked at in slices, the counts are copied on the event loop; the store, the process and the text are the work of a
reader's thread.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import trio
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from roost_broker.guesses import KINDS
from roost_broker.metrics import (
    ENDINGS,
    HANDSHAKE_REFUSALS,
    HOLDS,
    HTTP_ENDINGS,
    LOGIN_RESULTS,
    PUBLISH_OUTCOMES,
    Histogram,
    Metrics,
    Place,
    WebMetrics,
)
from roost_broker.survey import Survey, survey
from roost_broker.version import installed_version
from roost_protocol.reasons import Reason
from roost_protocol.websocket import SUB_PROTOCOLS

if TYPE_CHECKING:
    from roost_broker.core import Core
    from roost_broker.server import Server

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus, exposition formats: the one that every scraper understands."""

NO_PLACE: tuple[Place, ...] = (
    "connections_before_login_max",
    "connections_before_login_per_address_max",
    "connections_max",
    "connections_per_address_max",
)


class Exposition:
    """What answers `GET /metrics` of a node."""

    def __init__(self, core: "Core", server: "Server") -> None:
        self._core = core
        self._server = server

    async def text(self) -> bytes:
        """All metrics. A checkpoint; safe to cancel. Raises ReadFailed."""
        seen = await survey(self._core)
        counted = [*self._of_connections(seen), *self._of_messages(seen), *self._of_batches(), *self._of_the_node()]
        return await self._core.readers.run(self._rendered, counted)

    def _rendered(self, counted: list[Metric]) -> bytes:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected([*counted, *self._of_the_store()]))
        registry.register(ProcessCollector(registry=None))
        return generate_latest(registry)

    def _of_connections(self, seen: Survey) -> Iterator[Metric]:
        metrics = self._core.metrics
        yield gauge(
            "roost_connections", "Connections that have a place, with those not logged in.", self._server.connections
        )
        yield counter("roost_connections_accepted", "Connections accepted, with those refused.", metrics.accepted)
        yield counters(
            "roost_connections_refused",
            "Connections that found no place, by the limit that was reached.",
            "limit",
            {limit: metrics.no_place[limit] for limit in NO_PLACE},
        )
        yield counters(
            "roost_connections_closed",
            "Connections closed that had a place, by reason.",
            "reason",
            {**dict.fromkeys(ENDINGS, 0), **metrics.closed},
        )
        yield gauges("roost_sessions", "Live sessions by terminal type.", "terminal", seen.terminals)
        logins = {**dict.fromkeys(LOGIN_RESULTS, 0), **metrics.logins}
        yield counters("roost_logins", "Log-ins by result.", "result", _named(logins))
        yield counter("roost_logins_damped", "Log-ins told to wait: taken over too often.", self._core.damper.damped)
        guesses = self._core.guesses
        yield counters(
            "roost_logins_throttled",
            "Log-ins and admins refused at once after failures, by what had failed too often.",
            "by",
            {kind: guesses.throttled[kind] for kind in KINDS},
        )
        yield gauges("roost_login_failures_kept", "Who has failed to log in lately.", "by", guesses.remembered())
        yield counter("roost_takeovers", "Sessions ended by a log-in of another device.", metrics.takeovers)
        yield counter("roost_received_bytes", "Bytes read from connections.", metrics.traffic.received)
        yield counter("roost_sent_bytes", "Bytes that connections took.", metrics.traffic.sent)

    def _of_messages(self, seen: Survey) -> Iterator[Metric]:
        core, metrics = self._core, self._core.metrics
        refused = {**dict.fromkeys(PUBLISH_OUTCOMES, 0), **metrics.publishes_refused}
        yield counters(
            "roost_publishes",
            "Publishes answered, by outcome.",
            "outcome",
            {"stored": core.published, "retransmission": metrics.retransmissions, **_named(refused)},
        )
        yield counters(
            "roost_publishes_held",
            "Publishes that had to wait, unread, by what for.",
            "by",
            {what: metrics.held[what] for what in HOLDS},
        )
        yield counter("roost_deliveries", "Entries sent to sessions.", seen.sent_entries)
        yield counter(
            "roost_acknowledgements",
            "Entries acknowledged by sessions, counted in the pieces they went out in.",
            seen.freed_entries,
        )
        yield counter("roost_gaps", "GAPs told: retention was faster than a device.", core.delivery.gaps)
        yield gauge(
            "roost_backlog_entries", "Entries that live sessions were not sent yet, in all.", seen.backlog.total
        )
        yield distribution(
            "roost_sessions_by_backlog", "Live sessions with a backlog of at most le entries.", seen.backlog
        )
        yield gauge(
            "roost_window_entries", "Entries sent and not acknowledged by live sessions, in all.", seen.window.total
        )
        yield distribution(
            "roost_sessions_by_window", "Live sessions with at most le entries unacknowledged.", seen.window
        )
        yield gauge("roost_slow_devices", "Live sessions with a backlog and a full window or outlet.", seen.slow)

    def _of_batches(self) -> Iterator[Metric]:
        batches = self._core.metrics.batches
        yield histogram("roost_commit_seconds", "Time of a commit, until it is known to be durable.", batches.commit_s)
        yield histogram("roost_commit_operations", "Operations in a commit.", batches.operations)
        yield histogram("roost_commit_entries", "Inbox entries that a commit added.", batches.entries)
        yield counter("roost_commits_refused", "Commits that the store refused as a whole.", batches.refused)
        yield histogram(
            "roost_send_to_deliver_seconds",
            "From reading a publish to the moment its entries are on the wire for live sessions.",
            batches.deliver_s,
        )
        batcher = self._core.batcher
        yield gauge("roost_queue_operations", "Operations waiting for a commit.", batcher.queued_operations)
        yield gauge("roost_queue_bytes", "Bytes of the bodies waiting for a commit.", batcher.queued_bytes)

    def _of_the_node(self) -> Iterator[Metric]:
        metrics = self._core.metrics
        yield from _of_retention(metrics)
        yield from _of_the_web(metrics.web)
        yield histogram(
            "roost_event_loop_lag_seconds",
            "How late the event loop comes back to a task that sleeps; looked at twice a second.",
            metrics.loop_lag_s,
        )
        yield gauge("roost_draining", "1 while the broker drains, else 0.", int(self._core.draining))
        yield gauges("roost_build_info", "Always 1; the version that runs.", "version", {installed_version(): 1})

    def _of_the_store(self) -> Iterator[Metric]:
        store = self._core.store.statistics()
        yield gauge("roost_store_used_bytes", "Pages of the store in use.", store.used_bytes)
        yield gauge("roost_store_map_bytes", "The most that the store may ever hold.", store.map_bytes)
        yield gauge("roost_store_reserve_bytes", "Kept free of new messages within that.", store.reserve_bytes)
        yield gauge("roost_users", "Accounts.", store.users)
        yield gauge("roost_devices", "Devices known, live or not.", store.devices)
        yield gauge("roost_groups", "Groups.", store.groups)
        yield gauge("roost_messages", "Messages stored.", store.messages)
        yield gauge("roost_entries", "Inbox entries stored.", store.entries)
        yield gauge("roost_store_damaged", "Records found damaged when they were read, since the start.", store.damaged)


def _of_retention(metrics: Metrics) -> Iterator[Metric]:
    retention = metrics.retention
    yield counter("roost_retention_trimmed_entries", "Inbox entries trimmed.", retention.entries_trimmed)
    yield counter(
        "roost_retention_forgotten_devices", "Devices forgotten, not seen for too long.", retention.devices_forgotten
    )
    yield gauge(
        "roost_retention_lag_seconds",
        "Time since the last whole walk through all inboxes began: what had to go by then is gone.",
        trio.current_time() - retention.walked_from,
    )
    yield gauge("roost_retention_walk_seconds", "How long that walk took.", retention.walk_s)


def _of_the_web(web: WebMetrics) -> Iterator[Metric]:
    yield counters(
        "roost_websocket_handshakes",
        "WebSockets opened, by sub-protocol.",
        "sub_protocol",
        {**dict.fromkeys(SUB_PROTOCOLS, 0), **web.handshakes},
    )
    yield counters(
        "roost_websocket_handshakes_refused",
        "WebSockets asked for and not opened, by what was wrong.",
        "reason",
        {**dict.fromkeys(HANDSHAKE_REFUSALS, 0), **web.handshakes_refused},
    )
    yield counters(
        "roost_web_connections_closed",
        "HTTP connections of the web listener that are closed, by why; those that became WebSockets are not in it.",
        "reason",
        {**dict.fromkeys(HTTP_ENDINGS, 0), **web.closed},
    )
    yield counters(
        "roost_csp_reports",
        "Reports of browsers that a page tried what it may not, by directive.",
        "directive",
        {"script-src-elem": 0, **web.csp_reports},
    )


class _Collected(Collector):
    """Gives what was collected before."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        return self._families


def gauge(name: str, text: str, value: float) -> Metric:
    """A number that goes up and down."""
    return GaugeMetricFamily(name, text, value=value)


def gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """Such a number for each value of a label."""
    family = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def counter(name: str, text: str, value: float) -> Metric:
    """A number that only rises; `_total` is added to its name."""
    return CounterMetricFamily(name, text, value=value)


def counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """Such a number for each value of a label."""
    family = CounterMetricFamily(name, text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def histogram(name: str, text: str, of: Histogram) -> Metric:
    """A histogram of what has happened since the start."""
    family = HistogramMetricFamily(name, text)
    family.add_metric((), [(_le(bound), count) for bound, count in of.cumulative()], of.total)
    return family


def distribution(name: str, text: str, of: Histogram) -> Metric:
    """How many there are now up to each bound, which `le` says. No histogram to Prometheus: its counts go back, too."""
    return gauges(name, text, "le", {_le(bound): count for bound, count in of.cumulative()})


def _le(bound: float) -> str:
    """A bound as the text format has it."""
    return "+Inf" if bound == math.inf else repr(float(bound))


def _named(counts: Mapping[Reason, int]) -> dict[str, int]:
    return {reason.name.lower(): count for reason, count in counts.items()}
