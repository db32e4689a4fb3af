"""The presence directory: who is here on which terminal type, and who wants to know.

Keyed by user and terminal type, one live session for each. In memory: it says what is true now, and after a restart
everybody logs in anew. Plain data, no sockets: the sessions in it are told by the caller.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roost_broker.session import Session


class Directory:
    """Live sessions by (user, terminal type), and the sessions that follow a user's presence.

    **Invariant:** at most one session for each (user, terminal type).
    """

    def __init__(self) -> None:
        self._sessions: dict[int, dict[str, Session]] = {}
        self._watchers: dict[int, set[Session]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator["Session"]:
        """Every live session; a snapshot, so that sessions may come and go meanwhile."""
        return iter([session for terminals in self._sessions.values() for session in terminals.values()])

    def get(self, user: int, terminal: str) -> "Session | None":
        """The live session of this user on this terminal type."""
        return self._sessions.get(user, {}).get(terminal)

    def of(self, user: int) -> list["Session"]:
        """The live sessions of a user."""
        return list(self._sessions.get(user, {}).values())

    def add(self, session: "Session") -> None:
        """A session begins. The one before it on the same terminal type must be gone already."""
        terminals = self._sessions.setdefault(session.user, {})
        if session.terminal in terminals:
            raise AssertionError(f"a second live session of user {session.user} on {session.terminal}")
        terminals[session.terminal] = session
        self._count += 1

    def remove(self, session: "Session") -> bool:
        """A session ends; whether it was there."""
        terminals = self._sessions.get(session.user, {})
        if terminals.get(session.terminal) is not session:
            return False
        del terminals[session.terminal]
        if not terminals:
            del self._sessions[session.user]
        self._count -= 1
        return True

    def watch(self, watcher: "Session", user: int) -> None:
        """From now on `watcher` follows `user`."""
        self._watchers.setdefault(user, set()).add(watcher)
        watcher.watching |= {user}

    def unwatch(self, watcher: "Session", user: int) -> None:
        """`watcher` does not follow `user` any more."""
        watcher.watching -= {user}
        watchers = self._watchers.get(user)
        if watchers is not None:
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[user]

    def watchers(self, user: int) -> list["Session"]:
        """The sessions that follow `user`, in an order that does not depend on addresses of memory."""
        return sorted(self._watchers.get(user, ()), key=lambda session: session.epoch)
