"""Healthy clients, in a process of their own: what they feel of an attack is measured where nobody else is at work.

`python -m hostile.healthy ADDRESS [AUTHORITIES]` logs pairs of users in with the real client library and has them
talk; beside them somebody logs in anew all the time. Each line on standard input begins a phase of that name; when the
input ends, the process waits until every message has arrived, and says on standard output what came of each phase, as
JSON.
"""

import json
import os
import ssl
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec
import trio

import roost
from admin.running import PASSWORD
from roost_protocol.connection import Connection
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import Connack, Connect, Disconnect, Frame
from roost_protocol.reasons import Reason
from roost_protocol.states import Role

PAIRS = 5
USERS = tuple(f"healthy-{number}" for number in range(2 * PAIRS))
NEWCOMER = "healthy-newcomer"

PAUSE_S = 0.1
"""Between two messages of a user, and between two log-ins of the newcomer: a load that no broker feels."""

PATIENCE_S = 60.0
"""For what was sent to arrive: far more than anything takes."""


class PhaseTold(msgspec.Struct, frozen=True):
    """What healthy clients felt in one phase. Times are in ms."""

    messages: int = 0
    p50_ms: float = 0
    p99_ms: float = 0
    most_ms: float = 0
    """From publishing to the recipient."""
    log_ins: int = 0
    log_in_p99_ms: float = 0
    log_in_most_ms: float = 0
    turned_away: int = 0
    """Log-ins that were refused, or ended without a word."""


class Told(msgspec.Struct, frozen=True):
    """What came of it all."""

    phases: dict[str, PhaseTold]
    lost: int
    doubled: int
    refused: int
    """Messages that the broker did not take."""
    cut: int
    """Connections of the talking users that were lost."""


def quantile(amounts: Sequence[float], fraction: float) -> float:
    """What that fraction of the amounts does not exceed; 0 without any."""
    ordered = sorted(amounts)
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] if ordered else 0.0


class Healthy:
    """All of them."""

    def __init__(self, address: str, trusting: str | None = None) -> None:
        self._tls = ssl.create_default_context(cafile=trusting) if trusting else None
        host, _, port = address.rpartition(":")
        self._host, self._port = host, int(port)
        self._address = address
        self._phase = "before"
        self._sent: dict[str, tuple[str, float]] = {}
        self._arrived: Counter[str] = Counter()
        self._latencies: defaultdict[str, list[float]] = defaultdict(list)
        self._log_ins: defaultdict[str, list[float]] = defaultdict(list)
        self._turned_away: Counter[str] = Counter()
        self._refused = self._cut = 0
        self._talking = True
        self._grown = trio.lowlevel.ParkingLot()

    async def run(self) -> Told:
        """Talk until the input ends."""
        async with trio.open_nursery() as nursery:
            for user in USERS:
                await nursery.start(self._user, user)
            nursery.start_soon(self._newcomer)
            print("ready", flush=True)  # noqa: T201 - whoever has started it waits for this
            await self._follow_phases()
            self._talking = False
            with trio.move_on_after(PATIENCE_S):
                while any(not self._arrived[body] for body in self._sent):
                    await self._grown.park()
            nursery.cancel_scope.cancel()
        return self._told()

    async def _follow_phases(self) -> None:
        stdin = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
        async with stdin:
            async for line in stdin:
                self._phase = line.decode().split()[-1]
                print(self._phase, flush=True)  # noqa: T201 - likewise

    async def _user(self, name: str, task_status: trio.TaskStatus[None]) -> None:
        async with (
            roost.connect(
                self._address, user=name, terminal="phone", password=PASSWORD, device=name, tls=self._tls or False
            ) as session,
            trio.open_nursery() as nursery,
        ):
            task_status.started()
            nursery.start_soon(self._publish, name, session)
            async for event in session:
                if isinstance(event, roost.Message) and event.sender != name:
                    self._hears(str(event.body))
                elif isinstance(event, roost.Disconnected):
                    self._cut += 1

    def _hears(self, body: str) -> None:
        now = time.perf_counter()
        self._arrived[body] += 1
        if body in self._sent:
            phase, at = self._sent[body]
            self._latencies[phase].append(now - at)
        self._grown.unpark_all()

    async def _publish(self, name: str, session: roost.Session) -> None:
        other = USERS[USERS.index(name) ^ 1]
        number = 0
        while self._talking:
            number += 1
            body = f"{name} {number}"
            self._sent[body] = self._phase, time.perf_counter()
            try:
                await session.publish(f"user/{other}", body)
            except roost.PublishRefused:
                self._refused += 1
                del self._sent[body]
            await trio.sleep(PAUSE_S)

    async def _newcomer(self) -> None:
        while self._talking:
            phase, begun = self._phase, time.perf_counter()
            if await self._logs_in():
                self._log_ins[phase].append(time.perf_counter() - begun)
            else:
                self._turned_away[phase] += 1
            await trio.sleep(PAUSE_S)

    async def _logs_in(self) -> bool:
        connection = Connection(Role.DEVICE)
        asked = Connect(user=NEWCOMER, password=PASSWORD, terminal="pc", device=NEWCOMER)
        try:
            async with await self._dial() as stream:
                await stream.send_all(connection.send(asked))
                while data := await stream.receive_some():
                    if events := connection.receive_data(data):
                        return await self._leaves(stream, connection, events[0])
        except (OSError, trio.BrokenResourceError):
            pass
        return False

    async def _dial(self) -> trio.abc.Stream:
        opened = await trio.open_tcp_stream(self._host, self._port)
        if self._tls is None:
            return opened
        return trio.SSLStream(opened, self._tls, server_hostname=self._host, https_compatible=True)

    async def _leaves(
        self, stream: trio.abc.Stream, connection: Connection, answer: Frame | RemoteProtocolError
    ) -> bool:
        if not isinstance(answer, Connack) or answer.reason != Reason.SUCCESS:
            return False
        await stream.send_all(connection.send(Disconnect()))
        return True

    def _told(self) -> Told:
        phases = {}
        for phase in self._latencies.keys() | self._log_ins.keys() | self._turned_away.keys():
            latencies, log_ins = self._latencies[phase], self._log_ins[phase]
            phases[phase] = PhaseTold(
                messages=len(latencies),
                p50_ms=quantile(latencies, 0.5) * 1000,
                p99_ms=quantile(latencies, 0.99) * 1000,
                most_ms=max(latencies, default=0) * 1000,
                log_ins=len(log_ins),
                log_in_p99_ms=quantile(log_ins, 0.99) * 1000,
                log_in_most_ms=max(log_ins, default=0) * 1000,
                turned_away=self._turned_away[phase],
            )
        return Told(
            phases=phases,
            lost=sum(not self._arrived[body] for body in self._sent),
            doubled=sum(times > 1 for times in self._arrived.values()),
            refused=self._refused,
            cut=self._cut,
        )


def main() -> None:
    """See above."""
    told = trio.run(Healthy(*sys.argv[1:]).run)
    print(json.dumps(msgspec.to_builtins(told)), flush=True)  # noqa: T201 - this is what it is for


if __name__ == "__main__":
    main()
