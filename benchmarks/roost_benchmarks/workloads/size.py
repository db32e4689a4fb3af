"""W8, size: W1 against a store that holds few entries and one that holds many, and the broker's cost of a message.

The store is that of a site of 20,000 users, however many entries they have. Those who write are some of them, from all
over the site, with a history of their own: a message of theirs goes into the middle of large tables.
"""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, structs

from roost_benchmarks.brokers.port import PASSWORD
from roost_benchmarks.brokers.roost import Prepare, Roost, cheap_hash
from roost_benchmarks.prepared import Site, fill_site, site_users
from roost_benchmarks.progress import Progress
from roost_benchmarks.result import Run
from roost_benchmarks.target import Target
from roost_benchmarks.workloads import pairs
from roost_benchmarks.workloads.pairs import PairsOptions
from roost_broker.store.port import Store

FILLING_SHARE = 0.8
"""Of the time of a large run, until the broker starts."""


class SizeOptions(Struct, frozen=True, kw_only=True):
    """W8."""

    entries: int = 10_000_000
    site_users: int = 20_000
    pairs: int = 100
    """Of users who write: a commit touches many inboxes."""
    window: int = 8
    body_bytes: int = 128
    warm_up_s: float = 2.0
    duration_s: float = 6.0

    @property
    def site(self) -> Site:
        """What the store is filled with."""
        return Site(entries=self.entries, users=self.site_users, body_bytes=self.body_bytes)

    @property
    def users(self) -> list[str]:
        """Who writes and who is written to."""
        return site_users(self.site, 2 * self.pairs)


def prepare(options: SizeOptions, told: Callable[[float], None]) -> Prepare:
    """What fills a store with the history of the site; `told` the share that is done."""

    def fill(store: Store) -> None:
        fill_site(store, options.site, password_hash=cheap_hash(), progress=told)

    return fill


def measured(folder: Path, options: SizeOptions, progress: Progress) -> Run:
    """One run against a roost of its own. Ten million entries need 2.5 GB in `folder`."""

    def told(share: float) -> None:
        progress.update(FILLING_SHARE * share, f"filling the store: {share * options.entries:,.0f} entries")

    with Roost(prepare=prepare(options, told)).start(folder, []) as started:
        target = structs.replace(started, users=tuple(options.users), password=lambda _: PASSWORD)
        return run(target, options, progress)


def run(target: Target, options: SizeOptions, progress: Progress) -> Run:
    """One run against a broker that holds what `options` say. Raises BrokenPromise as W1 does."""
    load = PairsOptions(
        pairs=options.pairs, window=options.window, body_bytes=options.body_bytes, warm_up_s=options.warm_up_s,
        duration_s=options.duration_s,
    )  # fmt: skip
    measured = pairs.run(target, load, progress)
    cost = {"cost_us_per_message": measured.process.cpu_us_per_message} if measured.process else {}
    return structs.replace(
        measured,
        workload="W8",
        name="size",
        options={
            "entries": options.entries,
            "pairs": options.pairs,
            "window": options.window,
            "site_users": options.site_users,
            "body_bytes": options.body_bytes,
        },
        figures=measured.figures | cost,
    )
