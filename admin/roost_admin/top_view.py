"""What `roost top` shows, in words and tables: the same on a live screen and in plain text."""

from typing import TYPE_CHECKING, NamedTuple

from roost_admin.columns import Column
from roost_admin.output import byte_size, clock_time

if TYPE_CHECKING:
    from roost_protocol.admin.top import Top, TopLatency, TopQuery


class Table(NamedTuple):
    """A table with its title; `when_empty` stands for its rows if there are none."""

    title: str
    columns: tuple[Column, ...]
    rows: list[list[str]]
    when_empty: str


class Item(NamedTuple):
    """A thing that is told in a few words: `what` and how it is now."""

    what: str
    now: str


def items(top: "Top", query: "TopQuery") -> list[Item]:
    """The node as a whole."""
    rates = top.rates
    by_terminal = ", ".join(f"{name} {count:,}" for name, count in top.terminals.items() if count)
    return [
        Item("at", f"{clock_time(top.time)}, over {top.interval_s:.1f} s, most {query.sort} first"),
        Item("connections", f"{top.connections:,}"),
        Item("sessions", f"{top.sessions:,}{f' ({by_terminal})' if by_terminal else ''}"),
        Item("publishes", f"{rate(rates.publishes)}, refused {rate(rates.publishes_refused)}"),
        Item("deliveries", rate(rates.deliveries)),
        Item("acknowledgements", rate(rates.acknowledgements)),
        Item("in", f"{byte_size(round(rates.received_bytes))}/s"),
        Item("out", f"{byte_size(round(rates.sent_bytes))}/s"),
        Item("log-ins", f"{rate(rates.log_ins)}, refused {rate(rates.log_ins_refused)}"),
        Item("takeovers", rate(rates.takeovers)),
        Item("commits", rate(rates.commits)),
        Item("send to deliver", latency(top.send_to_deliver)),
        Item("commit", latency(top.commit)),
        Item("backlog", f"{top.backlog:,}"),
        Item("unacknowledged", f"{top.unacknowledged:,}"),
        Item("slow devices", f"{top.slow_devices:,}"),
    ]


def summary(top: "Top", query: "TopQuery") -> Table:
    """The node as a whole, as a table."""
    return Table("", (Column("WHAT"), Column("NOW", prose=True)), [list(item) for item in items(top, query)], "")


def tables(top: "Top", query: "TopQuery") -> list[Table]:
    """The busiest, the slowest, those that flap, and those who guess passwords if there are any."""
    found = [_users(top, query), _devices(top, query), _slow(top), _flapping(top)]
    return [*found, _throttled(top)] if top.throttled else found


_RATES = (Column("PUB/S", right=True), Column("DEL/S", right=True), Column("ACK/S", right=True))
_BACKLOG = Column("BACKLOG", right=True)
_UNACKED = Column("UNACKED", right=True)
_DEVICE = (Column("USER"), Column("TERMINAL"), Column("DEVICE"))


def _users(top: "Top", query: "TopQuery") -> Table:
    rows = [
        [row.user, str(row.sessions), *map(amount, (row.publishes, row.deliveries, row.acknowledgements)),
         f"{row.backlog:,}"]
        for row in top.users
    ]  # fmt: skip
    columns = (Column("USER"), Column("SESSIONS", right=True), *_RATES, _BACKLOG)
    return Table(f"busiest users, by {query.sort}", columns, rows, "none did anything")


def _devices(top: "Top", query: "TopQuery") -> Table:
    rows = [
        [row.user, row.terminal, row.device, *map(amount, (row.publishes, row.deliveries, row.acknowledgements)),
         f"{row.backlog:,}", f"{row.unacknowledged:,}"]
        for row in top.devices
    ]  # fmt: skip
    return Table(
        f"busiest devices, by {query.sort}", (*_DEVICE, *_RATES, _BACKLOG, _UNACKED), rows, "none did anything"
    )


def _slow(top: "Top") -> Table:
    rows = [
        [row.user, row.terminal, row.device, f"{row.backlog:,}", f"{row.unacknowledged:,}",
         "-" if row.oldest_s is None else span(row.oldest_s), f"{row.full} full" if row.full else "-"]
        for row in top.slow
    ]  # fmt: skip
    columns = (*_DEVICE, _BACKLOG, _UNACKED, Column("OLDEST", right=True), Column("RESTS"))
    return Table("slowest devices", columns, rows, "none")


def _flapping(top: "Top") -> Table:
    rows = [
        [row.user, row.terminal, row.device or "-", str(row.takeovers), str(row.damped),
         "-" if row.wait_s is None else span(row.wait_s)]
        for row in top.flapping
    ]  # fmt: skip
    columns = (*_DEVICE, Column("TAKEOVERS", right=True), Column("DAMPED", right=True), Column("WAIT", right=True))
    return Table("flapping", columns, rows, "none")


def _throttled(top: "Top") -> Table:
    rows = [
        [row.by.replace("_", " "), row.who, str(row.failures), f"{row.refused:,}",
         "-" if row.wait_s is None else span(row.wait_s)]
        for row in top.throttled
    ]  # fmt: skip
    columns = (
        Column("BY"), Column("WHO"), Column("FAILURES", right=True), Column("REFUSED", right=True),
        Column("WAIT", right=True),
    )  # fmt: skip
    return Table("throttled: failed log-ins", columns, rows, "none")


def amount(value: float) -> str:
    """So many a second, with a digit behind the point while that tells something."""
    return f"{value:,.0f}" if value >= 10 or not value else f"{value:.1f}"


def rate(value: float) -> str:
    """The same, with its unit."""
    return f"{amount(value)}/s"


def latency(of: "TopLatency") -> str:
    """Percentiles in ms."""
    if of.p50_s is None or of.p99_s is None:
        return "-"
    return f"p50 {_milliseconds(of.p50_s)}, p99 {_milliseconds(of.p99_s)}"


def _milliseconds(seconds: float) -> str:
    ms = seconds * 1000
    return f"{ms:,.0f} ms" if ms >= 10 else f"{ms:.2g} ms"


def span(seconds: float) -> str:
    """A time in the largest unit that leaves at least 1 of it."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 or seconds == round(seconds) else f"{seconds:.1f} s"
    for unit, size, most in (("min", 60, 120), ("h", 3600, 48)):
        if seconds < size * most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
