"""One device of the demo: a process of its own, with the client library, a state file and a journal.

    python -m roost_admin.demo.device NAME USER TERMINAL HOST:PORT FOLDER

Commands come on standard input, reports go to standard output; see `reports`.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import trio

import roost
from roost_admin.demo import journal
from roost_admin.demo.reports import (
    AnyCommand,
    CatchUp,
    GoDeaf,
    HasCaughtUp,
    Leave,
    LogIn,
    Publish,
    Report,
    decode_command,
    write_report,
)
from roost_admin.demo.tapped import Tap, TappedStream

BACKOFF = roost.Backoff(first_s=0.1, most_s=0.5, jitter=0.5)
"""Nobody watching a demo wants to wait a minute; the herd is small."""

READ_BYTES = 4096


class Place(NamedTuple):
    """Where the broker is, and where this device keeps its files."""

    host: str
    port: int
    folder: Path


class DeviceApp:
    """The application of a device: writes what it is handed into its journal, and does as it is told."""

    def __init__(self, name: str, user: str, terminal: str, place: Place) -> None:
        self.name = name
        self._user = user
        self._terminal = terminal
        self._place = place
        self._journal = journal.Journal(place.folder / f"{name}.journal")
        self._grown = trio.lowlevel.ParkingLot()
        self._tap = Tap(name, self.report)

    def report(self, report: Report) -> None:
        """Tell whoever runs the demo."""
        write_report(sys.stdout.fileno(), report)

    async def run(self) -> None:
        """Log in when told to, and go on until told to leave, or until the session is over."""
        keyboard = _Commands(sys.stdin.fileno())
        first = await keyboard.next()
        if not isinstance(first, LogIn):
            return
        self._tap.slow = first.slow_line
        try:
            async with self._session(first) as session, trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, keyboard, session, nursery)
                await self._keep(session)
                nursery.cancel_scope.cancel()
        except roost.LoginRefused as refused:
            if refused.reason is not roost.Reason.SESSION_TAKEN_OVER:
                raise

    @asynccontextmanager
    async def _session(self, log_in: LogIn) -> AsyncIterator[roost.Session]:
        async with roost.connect(
            (self._place.host, self._place.port),
            user=self._user,
            terminal=self._terminal,
            password=log_in.password,
            device=self.name,
            state=self._place.folder / f"{self.name}.db",
            want_token=True,
            resume=log_in.resume,
            backoff=BACKOFF,
            dial=self._dial,
            client="roost-demo",
        ) as session:
            yield session

    async def _dial(self) -> TappedStream:
        return TappedStream(await trio.open_tcp_stream(self._place.host, self._place.port), self._tap)

    async def _keep(self, session: roost.Session) -> None:
        """Write down what comes. Only then is the next event asked for, which acknowledges this one."""
        async for event in session:
            line = _line_of(event)
            if line is not None:
                self._journal.write(line)
            self._grown.unpark_all()

    async def _obey(self, commands: "_Commands", session: roost.Session, nursery: trio.Nursery) -> None:
        while True:
            match await commands.next():
                case Publish(to=to, body=body):
                    session.publish_nowait(to, body)
                case GoDeaf():
                    self._tap.deaf = True
                case CatchUp():
                    nursery.start_soon(self._catch_up, session)
                case Leave() | None:
                    nursery.cancel_scope.cancel()
                    return
                case LogIn():
                    pass  # it is logged in already

    async def _catch_up(self, session: roost.Session) -> None:
        page = await session.fetch(limit=1)
        while self._journal.last < page.head:
            await self._grown.park()
        self.report(HasCaughtUp(self.name, page.head))


class _Commands:
    """Commands from a blocking descriptor, one by one."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""

    async def next(self) -> AnyCommand | None:
        """The next command, None at the end. A checkpoint if it has to wait."""
        while b"\n" not in self._rest:
            await trio.lowlevel.wait_readable(self._fd)
            data = os.read(self._fd, READ_BYTES)
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return decode_command(line)


def _line_of(event: roost.Event) -> journal.Entry | journal.Gap | journal.Kick | journal.StartOver | None:
    match event:
        case roost.Message():
            return journal.Entry(event.seq, event.id, event.sender, event.to, event.own, str(event.body))
        case roost.Gap(first=first, last=last, reason=reason):
            return journal.Gap(first, last, reason)
        case roost.TakenOver(by=by, at_ms=at_ms, address=address, text=text):
            return journal.Kick(by, at_ms, address, text)
        case roost.StartedOver():
            return journal.StartOver()
        case _:
            return None


def main() -> None:
    """Run the device that the arguments name."""
    name, user, terminal, address, folder = sys.argv[1:]
    host, _, port = address.rpartition(":")
    trio.run(DeviceApp(name, user, terminal, Place(host, int(port), Path(folder))).run)


if __name__ == "__main__":
    main()
