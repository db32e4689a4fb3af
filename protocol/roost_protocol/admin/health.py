"""Whether a broker is alive and ready: asked by whatever watches it, so without a token, and not under `/v1`."""

from typing import Literal

from roost_protocol.admin.route import Told

LIVE_PATH = "/livez"
"""Answered while the event loop is."""
READY_PATH = "/readyz"
"""Answered with status 200 or, with the reasons, 503."""


class Alive(Told, frozen=True, kw_only=True):
    """The broker answers."""

    alive: bool = True


class NotReady(Told, frozen=True, kw_only=True):
    """One reason why a broker is not ready: a word for a program, a text for a person."""

    reason: Literal["draining", "commit refused", "no room", "store", "audit log"]
    text: str


class Readiness(Told, frozen=True, kw_only=True):
    """Whether a broker is ready for work; every reason why not."""

    ready: bool
    reasons: tuple[NotReady, ...] = ()
