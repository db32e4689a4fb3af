"""Erasing a user with all that he sent."""

from typing import Literal

from roost_protocol.admin.route import Route, Told

Step = Literal["erasing", "telling", "clearing", "done", "stopped"]
"""What an erasure does: bodies go, conversations are told, the inbox goes; it is at its end; it goes on later."""


class ErasureStep(Told, frozen=True, kw_only=True):
    """How far an erasure is; the last of them, `done` or `stopped`, is the report.

    `messages` and their `bytes` are gone from the store; `conversations` were told, in `inboxes` of other users. With
    `stopped`, `text` says why; the broker goes on by itself, with the walk of retention.
    """

    user: str
    step: Step
    messages: int
    bytes: int
    conversations: int
    inboxes: int
    text: str = ""


ERASE = Route(
    method="POST",
    path="/v1/users/{user}/erase",
    summary="Remove an account and erase every message it sent; goes on to the end, whoever listens",
    gives=ErasureStep,
    role="admin",
    streams=True,
)

ROUTES = (ERASE,)
