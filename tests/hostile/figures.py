"""What is said of sieges at the end of a run."""

import msgspec

from hostile.healthy import PhaseTold
from hostile.watching import Has
from roost_protocol.limits import MIB


class Figures(msgspec.Struct, frozen=True):
    """What one siege measured."""

    name: str
    before: PhaseTold
    during: PhaseTold
    at_first: Has
    at_most: Has
    at_last: Has
    closed: dict[str, int]
    """Connections that the broker closed, by reason, without those of the healthy clients."""
    refused: dict[str, int]
    """Connections that found no place, by limit."""

    @property
    def rss_grown_bytes(self) -> int:
        """By how much memory grew at most."""
        return self.at_most.rss_bytes - self.at_first.rss_bytes

    @property
    def rss_kept_bytes(self) -> int:
        """How much of it stayed."""
        return self.at_last.rss_bytes - self.at_first.rss_bytes

    @property
    def fds_kept(self) -> int:
        """How many descriptors stayed."""
        return self.at_last.fds - self.at_first.fds

    def line(self) -> str:
        """All of it."""
        looks = (self.at_first, self.at_most, self.at_last)
        rss = " / ".join(f"{look.rss_bytes / MIB:.0f}" for look in looks)
        fds = " / ".join(f"{look.fds:,}" for look in looks)
        before, during = self.before, self.during
        refused = f"; no place: {counts(self.refused)}" if self.refused else ""
        return (
            f"{self.name}: healthy p50/p99 {before.p50_ms:.1f}/{before.p99_ms:.1f} ms before, "
            f"{during.p50_ms:.1f}/{during.p99_ms:.1f} ms during; log-in p99 {before.log_in_p99_ms:.0f} and "
            f"{during.log_in_p99_ms:.0f} ms; RSS {rss} MiB, descriptors {fds} (before / most / after); "
            f"closed: {counts(self.closed)}{refused}"
        )


FIGURES: list[Figures] = []
"""Those of every siege of this run, in order."""


def counts(of: dict[str, int]) -> str:
    """Counts by name, in words."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(of.items())) or "none"


def in_one_line(figures: list[Figures], peers: int) -> str:
    """All sieges together: the worst that healthy clients felt, the most memory, what was closed and why."""
    closed: dict[str, int] = {}
    for siege in figures:
        for reason, count in [*siege.closed.items(), *siege.refused.items()]:
            closed[reason] = closed.get(reason, 0) + count
    before = max(siege.before.p99_ms for siege in figures)
    during = max(siege.during.p99_ms for siege in figures)
    p50 = max(siege.during.p50_ms for siege in figures)
    return (
        f"{len(figures)} sieges, {peers:,} peers a crowd: {sum(siege.during.messages for siege in figures):,} healthy "
        f"messages meanwhile, none lost; p99 at worst {before:.0f} ms before and {during:.0f} ms during "
        f"(p50 {p50:.0f}); memory grew by {max(siege.rss_grown_bytes for siege in figures) / MIB:.0f} MiB at most, "
        f"{max(siege.rss_kept_bytes for siege in figures) / MIB:.0f} MiB stayed; "
        f"{max(siege.fds_kept for siege in figures)} descriptors stayed; closed: {counts(closed)}"
    )
