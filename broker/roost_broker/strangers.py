"""Who stands at the door: connections on which nobody has logged in yet.

They are bounded in number, and nobody knows who they are: many may be there only to take the places of others, from as
many addresses as they like. So a full door is no reason to turn somebody away. Whoever has stood there the longest
without having said who he is gives up his place: a device that logs in says its CONNECT at once. It has as long for
that as it takes others to fill every place once more: with 5,000 places and 5,000 connections a second, a second.
There is no shorter time that is safe from that, or so many would shut the door for that time, again and again.

What strangers have written into the log is bounded, too: each can cause a line or two, and there is no end of them.
"""

from collections.abc import Callable, Iterator

import trio

from roost_broker.link import Link
from roost_protocol.frames import Disconnect
from roost_protocol.reasons import Reason

LINES_MAX = 20
"""Lines of the log about strangers, in each `LINES_WINDOW_S`: enough to see what goes on."""
LINES_WINDOW_S = 1.0

_FAREWELL = Disconnect(
    reason=Reason.SERVER_BUSY,
    text="others wait for this place, and nobody has logged in here",
    reconnect=True,
    reconnect_after_s=5,
)


class Strangers:
    """Those at the door, in the order in which they came."""

    def __init__(self) -> None:
        self._all: set[Link] = set()
        self._silent: dict[Link, None] = {}
        """Those who have not said who they are, in that order."""
        self._window_from = -LINES_WINDOW_S
        self._lines = self._left_out = 0

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Link]:
        return iter(tuple(self._all))

    def add(self, link: Link) -> None:
        """Somebody has come."""
        self._all.add(link)
        self._silent[link] = None

    def introduced(self, link: Link) -> None:
        """He has said who he is, and keeps his place until that is looked at."""
        self._silent.pop(link, None)

    def discard(self, link: Link) -> None:
        """He has logged in, or has gone. Idempotent."""
        self._all.discard(link)
        self._silent.pop(link, None)

    def make_place(self) -> bool:
        """Take the place of whoever has not said for the longest who he is; False if everybody has."""
        link = next(iter(self._silent), None)
        if link is None:
            return False
        self.discard(link)
        link.dismiss(_FAREWELL)
        return True

    def log(self, say: Callable[..., None], text: str, *args: object) -> None:
        """Have something about strangers logged by `say`, a method of a logger, unless there is too much of it."""
        now = trio.current_time()
        if now - self._window_from >= LINES_WINDOW_S:
            if self._left_out:
                say("%d more lines about connections on which nobody had logged in were left out", self._left_out)
            self._window_from, self._lines, self._left_out = now, 0, 0
        if self._lines >= LINES_MAX:
            self._left_out += 1
            return
        self._lines += 1
        say(text, *args)
