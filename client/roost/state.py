"""What a device must not forget: the port `State`, and the state that lives in memory.

**Invariant:** a publish is in the state before its first byte goes out, so that it keeps its number and is neither lost
nor doubled when the process dies. **Invariant:** the last number is in the state before it is acknowledged, so that a
restart asks for everything that came after it.

A state belongs to one device: one user on one terminal type. Changes come in batches, each of which is one transaction.
"""

from typing import Protocol

from msgspec import Struct, structs

from roost.errors import StateUnusable
from roost.events import Body


class SavedPublish(Struct, frozen=True, kw_only=True):
    """A publish whose outcome is not known yet."""

    n: int
    to: str
    content_type: str
    body: Body


class Saved(Struct, frozen=True, kw_only=True):
    """All that a state holds. None: not known yet."""

    user: str
    terminal: str
    device: str | None = None
    last_seq: int | None = None
    """The last number acknowledged; None before the first log-in."""
    last_id: str | None = None
    """The id of the message with that number."""
    incarnation: str | None = None
    epoch: int | None = None
    token: str | None = None
    ended: str | None = None
    """The broker's word that the session is over for this device, in JSON; until the next log-in."""
    n: int = 0
    """The highest count given to a publish."""
    settled_n: int = 0
    """The highest count known to be settled."""
    unsettled: tuple[SavedPublish, ...] = ()
    """In order of their counts."""


class Changes(Struct, frozen=True, kw_only=True):
    """One batch of changes. None, and empty: as before."""

    device: str | None = None
    position: tuple[int, str | None] | None = None
    """`last_seq` and `last_id`."""
    incarnation: str | None = None
    epoch: int | None = None
    token: str | None = None
    """Empty: there is none any more."""
    ended: str | None = None
    """Likewise."""
    n: int | None = None
    settled_n: int | None = None
    added: tuple[SavedPublish, ...] = ()
    removed: tuple[int, ...] = ()
    """Counts of publishes that are settled or given up."""


class State(Protocol):
    """Where a device keeps what it must not forget. Opened by one session at a time."""

    @property
    def inline(self) -> bool:
        """Whether calls never wait for anything, so that they need no thread."""
        ...

    def open(self, user: str, terminal: str) -> Saved:
        """What is known, for this user on this terminal type. Raises StateUnusable."""
        ...

    def save(self, changes: Changes) -> None:
        """Apply the changes, all or none, and return when they are kept. Raises StateUnusable."""
        ...

    def close(self) -> None:
        """Let go of it; it can be opened again. Idempotent."""
        ...


class MemoryState:
    """Forgets everything when the process ends; until then, one session after the other can go on with it."""

    inline = True

    def __init__(self) -> None:
        self._saved: Saved | None = None
        self._unsettled: dict[int, SavedPublish] = {}
        self._in_use = False

    def open(self, user: str, terminal: str) -> Saved:
        """See `State.open`."""
        if self._in_use:
            raise StateUnusable("this state is in use by another session; each session has its own")
        saved = self._saved or Saved(user=user, terminal=terminal)
        check_owner(saved, user, terminal, "this state")
        self._in_use = True
        self._saved = saved
        return structs.replace(saved, unsettled=tuple(self._unsettled[n] for n in sorted(self._unsettled)))

    def save(self, changes: Changes) -> None:
        """See `State.save`."""
        if self._saved is None or not self._in_use:
            raise StateUnusable("this state is not open")
        self._saved = structs.replace(self._saved, **fields_changed(changes))
        for publish in changes.added:
            self._unsettled[publish.n] = publish
        for n in changes.removed:
            self._unsettled.pop(n, None)

    def close(self) -> None:
        """See `State.close`."""
        self._in_use = False


def check_owner(saved: Saved, user: str, terminal: str, what: str) -> None:
    """Raise StateUnusable if `saved` is not that of `user` on `terminal`; `what` names it in the error."""
    if (saved.user, saved.terminal) != (user, terminal):
        raise StateUnusable(
            f"{what} belongs to {saved.user} on {saved.terminal}, not to {user} on {terminal}; "
            "give each user and terminal type a state of its own"
        )


def fields_changed(changes: Changes) -> dict[str, int | str | None]:
    """The fields of `Saved` that change, but for the publishes."""
    fields: dict[str, int | str | None] = {
        name: value
        for name in ("device", "incarnation", "epoch", "n", "settled_n")
        if (value := getattr(changes, name)) is not None
    }
    if changes.token is not None:
        fields["token"] = changes.token or None
    if changes.ended is not None:
        fields["ended"] = changes.ended or None
    if changes.position is not None:
        fields["last_seq"], fields["last_id"] = changes.position
    return fields
