"""Publishing, apart from connections: taking messages in, offering them until they are settled, telling the outcome.

A publish is settled by its PUBACK or by its own entry in the stream, whichever comes first: a lost PUBACK costs
nothing.
"""

from random import Random

import trio

from roost.bell import Bell
from roost.bounds import RETRY_S_MIN, WRITE_BYTES
from roost.errors import PublishRefused, SessionEnded
from roost.events import Body, Message, Receipt
from roost.outbox import EchoBodies, Outbox
from roost.publication import Publication, body_bytes, check_body, publish_frame, saved_publish
from roost.state import Saved
from roost.state_writer import StateWriter
from roost_protocol.frames import Granted, Puback
from roost_protocol.reasons import Reason


class Publisher:
    """The publishes of one device. `bell` wakes whoever writes to the connection."""

    def __init__(self, saved: Saved, writer: StateWriter, bell: Bell, random: Random) -> None:
        self.outbox = Outbox(saved.n)
        self.settled_n = saved.settled_n
        """The highest count whose outcome is known."""
        self.settled = 0
        """Publishes that were stored, or refused for good."""
        self.retried = 0
        """Times that the broker asked to wait."""
        self._writer = writer
        self._bell = bell
        self._random = random
        self._echoes = EchoBodies()
        self._room = trio.lowlevel.ParkingLot()
        self._body_bytes_max: int | None = None
        for publish in saved.unsettled:
            frame = publish_frame(publish.n, publish.to, publish.body, publish.content_type)
            self.outbox.add(frame, self._given_up).sent = True  # for all that is known

    def publish_nowait(self, to: str, body: Body, content_type: str | None) -> Publication:
        """Take a publish in. Raises trio.WouldBlock, PublishRefused (too large), ValueError."""
        size = body_bytes(body)
        if self._body_bytes_max is not None:
            check_body(size, self._body_bytes_max)
        if not self.outbox.room:
            raise trio.WouldBlock
        frame = publish_frame(self.outbox.last_n + 1, to, body, content_type)
        publication = self.outbox.add(frame, self._given_up)
        self._writer.note_publish(saved_publish(frame))
        self._bell.ring()
        return publication

    async def wait_room(self) -> None:
        """Wait until another publish may be taken in, or the session has ended. A checkpoint; safe to cancel."""
        await self._room.park()

    def logged_in(self, settled_n: int, granted: Granted) -> None:
        """A connection is live, on which everything unsettled is sent again.

        `settled_n` is the highest count the broker has settled for this device. One without memory goes on from there.
        If more is known to be settled, the broker has forgotten outcomes (it went back to a backup, say): what was
        sent may be stored already, and would be stored once more. (`docs/protocol.md`, "When a publish is settled".)
        """
        self.outbox.publish_max = max(1, granted.publish_max)
        self._body_bytes_max = granted.body_bytes_max
        if settled_n < self.settled_n:
            for publication in [publication for publication in self.outbox if publication.sent]:
                text = "the broker has forgotten what this device published; whether this is stored is unknown"
                self._refuse(publication, PublishRefused(Reason.SETTLED_LONG_AGO, text))
        self.settled_n = settled_n
        self.outbox.last_n = max(self.outbox.last_n, settled_n)
        self._writer.note_counts(self.outbox.last_n, settled_n)
        for publication in self.outbox.too_large(granted.body_bytes_max):
            text = f"the broker now takes at most {granted.body_bytes_max} bytes"
            self._refuse(publication, PublishRefused(Reason.PACKET_TOO_LARGE, text))
        self._wake()

    def lost(self) -> None:
        """The connection is gone."""
        self.outbox.connection_lost()
        self._wake()

    def end(self, error: SessionEnded) -> None:
        """The session is over: nobody will know what became of those unsettled."""
        for publication in self.outbox:
            publication.failed(error)
        self._room.unpark_all()

    async def take(self) -> list[Publication]:
        """What to send now, in order, which is in the state by then.

        Not always a checkpoint. After cancelling, only `lost` puts right what counts as sent. Raises StateUnusable.
        """
        taken = self.outbox.take(trio.current_time(), WRITE_BYTES)
        if not taken:
            return taken
        await self._writer.flush()
        for publication in taken:
            if publication.given_up:
                self._forget(publication)
        return [publication for publication in taken if not publication.given_up]

    def answered(self, puback: Puback, held_seq: int) -> None:
        """A PUBACK came; `held_seq` is the last number received: past it the publish's own entry is still to come."""
        publication = self.outbox.get(puback.n)
        if publication is None:
            return  # settled by its entry in the stream, or given up before this connection
        reason = Reason.of(puback.reason)
        if not reason.failed or puback.retry_after_s is None:
            self.settled_n = max(self.settled_n, puback.n)
        if not reason.failed:
            receipt = Receipt(
                n=puback.n,
                seq=puback.seq or 0,
                id=puback.id or "",
                time_ms=puback.time or 0,
                retransmission=puback.retransmission,
            )
            if receipt.seq > held_seq:
                self._echoes.keep(puback.n, publication.body)
            self._store(publication, receipt)
        elif puback.retry_after_s is None or publication.given_up:
            self._refuse(publication, PublishRefused(reason, puback.text, puback.retry_after_s))
        else:
            self.retried += 1
            # Later by up to a quarter, so that those who were refused together do not come back together.
            wait_s = max(RETRY_S_MIN, puback.retry_after_s) * (1 + self._random.random() / 4)
            self.outbox.put_back(publication, trio.current_time() + wait_s)
            self._bell.ring()

    def echoed(self, message: Message, n: int) -> Body | None:
        """The entry of publish `n` came in the stream: that settles it. Returns its body, if it is known here."""
        publication = self.outbox.get(n)
        if publication is None:
            return self._echoes.take(n)
        self.settled_n = max(self.settled_n, n)
        self._store(publication, Receipt(n=n, seq=message.seq, id=message.id, time_ms=message.time_ms))
        return publication.body

    def _store(self, publication: Publication, receipt: Receipt) -> None:
        publication.stored(receipt)
        self._forget(publication)

    def _refuse(self, publication: Publication, failure: PublishRefused) -> None:
        publication.failed(failure)
        self._forget(publication)

    def _forget(self, publication: Publication) -> None:
        self.outbox.remove(publication.n)
        if not publication.given_up:
            self.settled += 1
            self._writer.note_settled(publication.n, self.settled_n)
        self._wake()
        self._bell.ring()  # one that waited for its turn on the wire may go now

    def _given_up(self, publication: Publication) -> None:
        self._writer.note_dropped(publication.n)
        if not publication.on_wire:
            self.outbox.remove(publication.n)
            self._wake()

    def _wake(self) -> None:
        if self._room and (room := self.outbox.room):
            self._room.unpark(count=room)
