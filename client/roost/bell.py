"""A bell: wakes the one task that waits for it, and is not missed if it rings before the task waits."""

import trio


class Bell:
    """`ring` any number of times; the next `wait` returns once for all of them.

    Unlike a `trio.Event` it is used again and again: whoever waits looks at the state it is about after each ring.
    """

    __slots__ = ("_lot", "_rung")

    def __init__(self) -> None:
        self._rung = False
        self._lot = trio.lowlevel.ParkingLot()

    def ring(self) -> None:
        """Wake whoever waits, now or the next time."""
        if not self._rung:
            self._rung = True
            self._lot.unpark_all()

    async def wait(self) -> None:
        """Wait for a ring since the last `wait`. A checkpoint; safe to cancel: the ring is kept."""
        if self._rung:
            await trio.lowlevel.checkpoint()
        else:
            await self._lot.park()
        self._rung = False
