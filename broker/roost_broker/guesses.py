"""Throttling of those who guess passwords, without shutting out those who know them.

Failed log-ins are counted for each address (`addresses.address_block`) and for each user. Past so many within a window
the next attempt has to wait: a second after the last failure, then two, four, … up to a bound; it is refused at once,
before any hash is computed for it. What is refused so is no failure, and what failed is forgotten after the window.

Whoever can make a user wait can keep him out, if he goes on; so this is kept away from those it is not meant for:

- A device token is no guess (256 random bits): who has one is let in whatever others did. Sessions that are open have
  nothing to do with any of this.
- A device that this user has used before counts by itself, by (user, device id), and not by its address or its user.
  Device ids are random and shown to nobody else. One that is guessed is a further row of a few guesses: `Limits` bounds
  how many devices a user has. (The idea is that of "device cookies", OWASP, Slow Down Online Guessing Attacks.)
- A user may have more failures than an address: an attacker with one address is stopped by that, and does not reach
  what makes everybody wait who logs in as this user from elsewhere.

What is left: an attacker with several addresses can make a person wait who logs in with a password on a device that
is new, for as long as the attack goes on; never longer than the bound for each attempt.

**Invariant:** the same for a name that nobody has: what is counted and said tells nothing about who has an account.
"""

from collections import Counter
from collections.abc import Sequence
from heapq import nlargest
from itertools import islice
from math import ceil, log2
from typing import Literal, NamedTuple

from roost_broker.addresses import address_block
from roost_broker.recurring import Recurring
from roost_protocol.limits import Limits

Kind = Literal["address", "user", "device", "admin_address"]
KINDS: tuple[Kind, ...] = ("address", "user", "device", "admin_address")
"""By what failures are counted. `admin_address`: tokens of admins, apart from the passwords of users."""

LOOKED_AT_MAX = 250
"""Of each kind looked at when somebody asks who guesses: about a millisecond in all."""

WAIT_FIRST_S = 1.0
"""The first wait: nothing to a person who has mistyped, a thirtieth of what a check of a password allows a program."""


class Source(NamedTuple):
    """Whose failures count for an attempt."""

    kind: Kind
    key: str


class Throttled(NamedTuple):
    """An attempt has to wait."""

    source: Source
    failures: int
    """Within the window; no more than make a difference."""
    wait_s: int
    """From 1 on."""

    @property
    def text(self) -> str:
        """For whoever is refused; it names nobody but where he comes from and whom he said."""
        whose = {"user": "of this user", "device": "on this device"}.get(self.source.kind, "from this address")
        return f"too many failed log-ins {whose}: try again in {self.wait_s} s"


def of_login(host: str, user: str, known_device: str | None) -> tuple[Source, ...]:
    """Whose failures count when a password is tried; `known_device`: the device, if this user has used it before."""
    if known_device is not None:
        return (Source("device", f"{user}/{known_device}"),)
    return Source("address", address_block(host)), Source("user", user)


def of_admin(host: str) -> tuple[Source, ...]:
    """Whose failures count when the token of an admin is tried."""
    return (Source("admin_address", address_block(host)),)


class Guesser(NamedTuple):
    """Somebody whose failures make the next attempt wait, or did until a moment ago."""

    source: Source
    failures: int
    refused: int
    wait_s: int | None


class Guesses:
    """Failed log-ins of late. Pure: the caller says what time it is (seconds)."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._recent: dict[Kind, Recurring[str]] = {
            kind: Recurring(self._times_max(kind), limits.login_failures_window_s, limits.login_failures_kept_max)
            for kind in KINDS
        }
        self.throttled: Counter[Kind] = Counter()
        """Attempts that were refused at once, by what they were refused for."""

    def change(self, limits: Limits) -> None:
        """Go by other bounds from now on; what happened counts."""
        self._limits = limits
        for kind, recent in self._recent.items():
            recent.change(self._times_max(kind), limits.login_failures_window_s, limits.login_failures_kept_max)

    def refuse(self, sources: Sequence[Source], now: float) -> Throttled | None:
        """Whether an attempt has to wait: the longest of the waits of its sources. It counts as refused then."""
        waits = [wait for source in sources if (wait := self._wait(source, now)) is not None]
        if not waits:
            return None
        longest = max(waits, key=lambda each: each.wait_s)
        self.throttled[longest.source.kind] += 1
        self._recent[longest.source.kind].note_refusal(longest.source.key)
        return longest

    def failed(self, sources: Sequence[Source], now: float) -> list[Source]:
        """An attempt failed. Those of its sources that from now on have to wait, and had not."""
        reached = []
        for source in sources:
            recent = self._recent[source.kind]
            recent.record(source.key, now)
            if len(recent.within(source.key, now)) == self._failures_max(source.kind):
                reached.append(source)
        return reached

    def guessers(self, now: float, limit: int) -> list[Guesser]:
        """Those who have failed too often within the window: most refusals first, `limit` at most. Changes nothing.

        Looks at those of each kind who failed last, `LOOKED_AT_MAX` at most.
        """
        found = []
        for kind, recent in self._recent.items():
            for key in islice(recent.latest_first(now), LOOKED_AT_MAX):
                source, failures = Source(kind, key), len(recent.within(key, now))
                if failures >= self._failures_max(kind):
                    throttled = self._wait(source, now)
                    wait_s = None if throttled is None else throttled.wait_s
                    found.append(Guesser(source, failures, recent.refusals(key), wait_s))
        return nlargest(limit, found, key=lambda each: (each.refused, each.failures))

    def remembered(self) -> dict[str, int]:
        """How many of each kind have failed lately, as far as is known."""
        return {kind: len(recent) for kind, recent in self._recent.items()}

    def _wait(self, source: Source, now: float) -> Throttled | None:
        recent = self._recent[source.kind]
        times = recent.within(source.key, now)
        beyond = len(times) - self._failures_max(source.kind)
        if beyond < 0:
            return None
        left_s = times[-1] + min(WAIT_FIRST_S * 2**beyond, self._limits.login_wait_max_s) - now
        return Throttled(source, len(times), ceil(left_s)) if left_s > 0 else None

    def _failures_max(self, kind: Kind) -> int:
        limits = self._limits
        return limits.login_failures_per_user_max if kind == "user" else limits.login_failures_per_address_max

    def _times_max(self, kind: Kind) -> int:
        """As many as make a difference: each past the bound doubles the wait, until it is the longest."""
        return self._failures_max(kind) + ceil(log2(self._limits.login_wait_max_s / WAIT_FIRST_S))
