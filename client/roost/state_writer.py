"""Between a session and its state: gathers changes, and saves all that have gathered in one transaction.

Nobody who notes a change waits. Whoever must not go on before it is kept (the writing task, before a publish or an
acknowledgement goes out) calls `flush`. While one save is on its way to the disk the next changes gather, so the cost
of a sync is shared by whatever came in the meantime.
"""

import trio

from roost.bell import Bell
from roost.state import Changes, Saved, SavedPublish, State


class StateWriter:
    """The changes to one state that are not saved yet, and the saving."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = trio.Lock()
        self._threads = trio.CapacityLimiter(1)  # its own: a slow disk here takes no thread from anybody else
        self._bell = Bell()
        self._clear()

    def _clear(self) -> None:
        self._dirty = False
        self._device: str | None = None
        self._position: tuple[int, str | None] | None = None
        self._incarnation: str | None = None
        self._epoch: int | None = None
        self._token: str | None = None
        self._ended: str | None = None
        self._n: int | None = None
        self._settled_n: int | None = None
        self._added: dict[int, SavedPublish] = {}
        self._removed: list[int] = []

    @property
    def inline(self) -> bool:
        """Whether saving never waits for anything."""
        return self._state.inline

    async def open(self, user: str, terminal: str) -> Saved:
        """Open the state. Not always a checkpoint; safe to cancel. Raises StateUnusable."""
        if self._state.inline:
            return self._state.open(user, terminal)
        with trio.CancelScope(shield=True):  # or it might be open without anybody knowing
            saved = await trio.to_thread.run_sync(self._state.open, user, terminal, limiter=self._threads)
        return saved  # noqa: RET504 - a scope may swallow a cancellation, as far as a type checker knows

    def note_device(self, device: str) -> None:
        """The device's own id."""
        self._device = device
        self._changed()

    def note_login(self, epoch: int, incarnation: str | None, token: str | None) -> None:
        """What a log-in told."""
        self._epoch = epoch
        self._incarnation = incarnation or self._incarnation
        self._token = token or self._token
        self._ended = ""
        self._changed()

    def note_ended(self, ended: str) -> None:
        """The session is over for this device: it must not come back by itself, also after a restart."""
        self._ended = ended
        self._changed()

    def note_token_refused(self) -> None:
        """The token is good for nothing any more."""
        self._token = ""
        self._changed()

    def note_position(self, seq: int, id_: str | None) -> None:
        """The application holds everything up to `seq`; `id_` is the message there."""
        self._position = (seq, id_)
        self._changed()

    def note_counts(self, n: int, settled_n: int) -> None:
        """Counts up to `n` are used, and up to `settled_n` settled as far as is known."""
        self._n, self._settled_n = n, settled_n
        self._changed()

    def note_publish(self, publish: SavedPublish) -> None:
        """A publish that is to be sent."""
        self._added[publish.n] = publish
        self._n = publish.n
        self._changed()

    def note_settled(self, n: int, settled_n: int) -> None:
        """The outcome of the publish is known; `settled_n` is the highest count of which that is true."""
        self._settled_n = settled_n
        self.note_dropped(n)

    def note_dropped(self, n: int) -> None:
        """The publish is settled or given up: it is not to be sent any more."""
        if self._added.pop(n, None) is None:
            self._removed.append(n)
        self._changed()

    def _changed(self) -> None:
        self._dirty = True
        self._bell.ring()

    async def flush(self) -> None:
        """Return when everything noted so far is in the state. Raises StateUnusable.

        Not always a checkpoint. Cancelling is safe: a save that has begun is waited for, the rest stays noted.
        """
        if self._state.inline:
            if self._dirty:
                self._state.save(self._taken())
            return
        async with self._lock:
            if self._dirty:
                with trio.CancelScope(shield=True):  # the changes are taken, so they must reach the state
                    await trio.to_thread.run_sync(self._state.save, self._taken(), limiter=self._threads)

    async def run(self) -> None:
        """Save whatever is noted, as soon as it is: for what nobody waits for. Raises StateUnusable."""
        while True:
            await self._bell.wait()
            await self.flush()

    async def close(self) -> None:
        """Save what is left, and let go of the state, also when this is cancelled. Raises StateUnusable."""
        if self._state.inline:
            try:
                await self.flush()
            finally:
                self._state.close()
            return
        with trio.CancelScope(shield=True):  # or the file would stay locked; the time is the disk's
            try:
                await self.flush()
            finally:
                await trio.to_thread.run_sync(self._state.close, limiter=self._threads)

    def _taken(self) -> Changes:
        changes = Changes(
            device=self._device,
            position=self._position,
            incarnation=self._incarnation,
            epoch=self._epoch,
            token=self._token,
            ended=self._ended,
            n=self._n,
            settled_n=self._settled_n,
            added=tuple(self._added.values()),
            removed=tuple(self._removed),
        )
        self._clear()
        return changes
