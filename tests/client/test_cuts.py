"""Connections cut anywhere: each publish is stored once, in order, and its sender told; each entry is handed out once.

The other side is a small broker that keeps an inbox and de-duplicates by the device's count, as the wire says it must.
"""

from random import Random

import trio
import trio.testing
from hypothesis import example, given
from hypothesis import strategies as st

import roost
from client.scripted import GRANTED, Network, Peer, connect, echo, puback
from roost_protocol import frames as f


class CutStream(trio.abc.Stream):
    """A stream that breaks after so many bytes in either direction: the rest of a piece is lost."""

    def __init__(self, inner: trio.abc.Stream, up: int, down: int) -> None:
        self.inner = inner
        self.up = up
        self.down = down

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        part = bytes(data)[: self.up]
        await self.inner.send_all(part)
        self.up -= len(part)
        if len(part) < len(data):
            raise trio.BrokenResourceError("cut")

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self.inner.receive_some(max_bytes))
        part = data[: self.down]
        self.down -= len(part)
        if len(part) < len(data):
            raise trio.BrokenResourceError("cut")
        return part

    async def aclose(self) -> None:
        await self.inner.aclose()


class Inbox:
    """alice's inbox as a broker keeps it: entries in order, and the number that each of her publishes got."""

    def __init__(self) -> None:
        self.entries: list[f.Publish] = []
        self.seqs: dict[int, int] = {}

    async def serve(self, peer: Peer) -> None:
        """Answer every publish, then show its entry; the backlog first."""
        connect_frame = await peer.accept(head=len(self.entries), settled_n=max(self.seqs, default=0), granted=GRANTED)
        device = connect_frame.device
        for seq in range(connect_frame.last_seq + 1, len(self.entries) + 1):
            await peer.say(echo(seq, self.entries[seq - 1], device, with_body=True))
        while True:
            publish = await peer.expect(f.Publish)
            if publish.n in self.seqs:
                await peer.say(puback(self.seqs[publish.n], publish, retransmission=True))
                continue
            self.entries.append(publish)
            seq = self.seqs[publish.n] = len(self.entries)
            await peer.say(puback(seq, publish))
            await peer.say(echo(seq, publish, device))


CUTS = st.lists(st.tuples(st.integers(150, 700), st.integers(100, 1_500)), max_size=6)


async def _run(cuts: list[tuple[int, int]], count: int, one_by_one: bool, restart: bool) -> None:
    inbox = Inbox()
    state = roost.MemoryState()
    seen: list[tuple[int, object]] = []
    receipts: list[roost.Receipt] = []
    waiting = list(cuts)
    async with trio.open_nursery() as nursery:
        network = Network(nursery, inbox.serve)

        async def dial() -> trio.abc.Stream:
            stream = await network.dial()
            return CutStream(stream, *waiting.pop(0)) if waiting else stream

        async def one_session(texts: list[str], entries: int) -> None:
            async with connect(dial, state=state, password="secret", random=Random(3)) as session:  # noqa: S311
                async with trio.open_nursery() as tasks:
                    tasks.start_soon(_publish, session, texts, one_by_one, receipts)
                    async for event in session:
                        if isinstance(event, roost.Message):
                            seen.append((event.seq, event.body))
                            if event.seq == entries:
                                break
                await session.acknowledge(entries)
                assert session.unsettled == ()

        texts = [f"message {i}" for i in range(count)]
        half = count // 2 if restart else 0
        if half:
            await _until_logged_in(one_session, texts[:half], half)
        await _until_logged_in(one_session, texts[half:], count)
        nursery.cancel_scope.cancel()
    assert [publish.text for publish in inbox.entries] == texts
    assert seen == [(seq + 1, text) for seq, text in enumerate(texts)]
    assert sorted((receipt.n, receipt.seq) for receipt in receipts) == sorted(inbox.seqs.items())


async def _until_logged_in(one_session, texts: list[str], entries: int) -> None:  # type: ignore[no-untyped-def]
    """The first log-in is tried once by the library, so its cuts are the application's to deal with."""
    while True:
        try:
            await one_session(texts, entries)
            return
        except roost.ConnectionFailed:
            await trio.sleep(1)


async def _publish(session: roost.Session, texts: list[str], one_by_one: bool, receipts: list[roost.Receipt]) -> None:
    if one_by_one:
        for text in texts:
            receipts.append(await session.publish("user/bob", text))
        return
    publications: list[roost.Publication] = []
    for text in texts:
        while True:
            try:
                publications.append(session.publish_nowait("user/bob", text))
            except trio.WouldBlock:
                receipts.append(await publications.pop(0).settled())
            else:
                break
    receipts += [await publication.settled() for publication in publications]


@given(CUTS, st.integers(1, 14), st.booleans(), st.booleans())
@example(cuts=[(200, 120)] * 6, count=14, one_by_one=False, restart=True)
def test_each_publish_is_stored_once_and_each_entry_handed_out_once(
    cuts: list[tuple[int, int]], count: int, one_by_one: bool, restart: bool
) -> None:
    trio.run(_run, cuts, count, one_by_one, restart, clock=trio.testing.MockClock(autojump_threshold=0))


class Crash(Exception):
    """The process dies here."""


class DyingState(roost.MemoryState):
    """A state that says what it held at the `when`-th save, as a process that died right then would leave it."""

    def __init__(self, when: int) -> None:
        super().__init__()
        self.when = when
        self.left: roost.MemoryState | None = None

    def save(self, changes: object) -> None:
        super().save(changes)  # type: ignore[arg-type]
        self.when -= 1
        if self.when == 0:
            copy = roost.MemoryState()
            copy._saved = self._saved
            copy._unsettled = dict(self._unsettled)
            self.left = copy


@given(st.integers(2, 25), st.integers(0, 60))
def test_a_restart_from_any_moment_loses_and_doubles_nothing(when: int, cut: int) -> None:
    """The state as some save left it, and a broker that may have got more, or less, than the device knows of."""

    async def main() -> None:
        inbox = Inbox()
        state = DyingState(when)
        texts = [f"message {i}" for i in range(10)]
        told: list[str] = []  # stored, as far as the application knows
        promised: list[str] = []  # left to the state
        async with trio.open_nursery() as nursery:
            network = Network(nursery, inbox.serve)

            async def dial() -> trio.abc.Stream:
                return CutStream(await network.dial(), 10_000, 300 + 10 * cut)

            try:
                async with connect(dial, state=state, password="secret", reconnect=False) as session:
                    for text in texts:
                        await session.publish("user/bob", text)
                        told.append(text)
                        if state.left is not None:
                            raise Crash
            except (Crash, roost.SessionEnded, roost.ConnectionFailed):
                pass
            left = state.left or state
            if left is state:
                left.close()
            before = [publish.text for publish in inbox.entries]
            async with connect(network, state=left, password="secret") as session:
                promised += [str(publication.body) for publication in session.unsettled]
                for publication in session.unsettled:
                    await publication.settled()
                await session.publish("user/bob", "after the restart")
            nursery.cancel_scope.cancel()
        after = [publish.text for publish in inbox.entries]
        assert len(set(after)) == len(after)
        assert after[: len(before)] == before
        assert set(told) <= set(before)
        assert set(promised) <= set(after)
        assert after[-1] == "after the restart"

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_the_cut_is_at_every_byte_of_a_short_talk() -> None:
    """One publish, the first connection cut after every number of bytes in either direction."""
    for up in range(1, 330, 3):
        trio.run(_run, [(up, 10_000)], 1, True, False, clock=trio.testing.MockClock(autojump_threshold=0))
    for down in range(1, 420, 3):
        trio.run(_run, [(10_000, down)], 1, True, False, clock=trio.testing.MockClock(autojump_threshold=0))
