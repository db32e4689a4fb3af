"""Devices without manners: they speak the wire by themselves, and do what no client library would.

Their own streams are no part of the history, since an oracle cannot judge what a liar was promised; but what they do
to others is. What the broker says to them must keep to the protocol all the same.
"""

from random import Random

import trio

from roost.oracle import Enrolled, LoginAsked, Sent
from roost.simulation import plan as p
from roost.simulation.device import PASSWORD, Surroundings
from roost.simulation.messages import body_of, content_of
from roost_broker.transport.memory import MemoryStream
from roost_protocol import Connection, RemoteProtocolError, Role, codec
from roost_protocol.frames import Ack, Connack, Connect, Deliver, Disconnect, Entry, Frame, Ping, Publish

READ_BYTES = 512


class Intruder:
    """One device without manners, for as long as its incident lasts."""

    def __init__(self, incident: p.Intrude, around: Surroundings, random: Random) -> None:
        self._incident = incident
        self._around = around
        self._random = random
        self.name = f"{incident.user[0]}-{incident.how}-{incident.terminal}"

    def enrol(self) -> None:
        """Tell the oracle that there is such a device."""
        self._around.trace.record(Enrolled(self.name, self._incident.user, self._incident.terminal))

    async def run(self) -> None:
        """Do what it came for. Never raises."""
        incident = self._incident
        for _ in range(incident.count if incident.how == "hasty" else 1):
            try:
                stream = await self._around.dial(self.name)
            except OSError:
                self._around.trace.note(self.name, "finds nobody")
                return
            try:
                with trio.move_on_after(incident.for_s):
                    await self._intrude(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._around.trace.note(self.name, "is thrown out")
            stream.cut()

    async def _intrude(self, stream: MemoryStream) -> None:
        wire = _Wire(stream, self)
        match self._incident.how:
            case "babbler":
                await stream.send_all(self._babble())
                await wire.read_on(READ_BYTES)
                return
            case "liar":
                await self._log_in(wire, self._lies())
                await stream.send_all(codec.encode(Ack(seq=10**9)))
                await wire.read_on(READ_BYTES)
                return
            case _:
                await self._log_in(wire, self._truth())
        match self._incident.how:
            case "deaf":
                await trio.sleep(0.5)  # it does not know whether it was let in, and goes on as if it was
                while True:
                    await stream.send_all(codec.encode(Ping()) * 50)
                    await trio.sleep(0.5)
            case "forgetful":
                for n in range(1, self._incident.count + 1):
                    await self._publish(wire, n)
                await wire.read_on(READ_BYTES)
            case "mute":
                await wire.read_on(READ_BYTES)
            case _:
                await wire.answered()

    async def _log_in(self, wire: "_Wire", connect: Connect) -> None:
        self._around.trace.record(LoginAsked(self.name, connect.epoch is not None))
        await wire.say(connect)

    def _truth(self) -> Connect:
        incident = self._incident
        return Connect(user=incident.user, password=PASSWORD, terminal=incident.terminal, device=self.name)

    def _lies(self) -> Connect:
        incident, random = self._incident, self._random
        return Connect(
            user=incident.user,
            password=PASSWORD,
            terminal=incident.terminal,
            device=self.name,
            last_seq=random.choice((1, 3, 10**6)),
            last_id=random.choice((None, f"{random.getrandbits(64):016x}")),
            incarnation=random.choice((None, f"{random.getrandbits(64):016x}")),
            epoch=random.choice((None, 1, 2**52)),
            receive_max=random.choice((1, 65_535)),
        )

    def _babble(self) -> bytes:
        """What no broker can understand."""
        stray = codec.encode(
            Deliver(seq=1, kind="message", entry=Entry(id="0" * 16, sender="x", to="user/x", time=0, text=""))
        )
        return self._random.choice((b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", stray, codec.encode(Ping()), b"\0"))

    async def _publish(self, wire: "_Wire", n: int) -> None:
        await wire.answered()
        to = f"user/{self._incident.user}"
        text = body_of(f"{self.name}:{self._random.randrange(3)}", 0)
        self._around.trace.record(Sent(self.name, n, to, content_of(text, None) or ""))
        await wire.say(Publish(n=n, to=to, text=text))

    def heard(self, frame: Frame) -> None:
        """The broker said this."""
        if isinstance(frame, Connack | Disconnect):
            self._around.trace.note(self.name, f"is told {type(frame).__name__}, reason {frame.reason}")

    def complain(self, violation: RemoteProtocolError) -> None:
        """The broker broke the protocol."""
        self._around.complaints.append(f"the broker broke the protocol with {self.name}: {violation}")


class _Wire:
    """Frames in and out, looked at by the wire's own core."""

    def __init__(self, stream: MemoryStream, owner: Intruder) -> None:
        self._stream = stream
        self._owner = owner
        self._connection = Connection(Role.DEVICE)
        self._said = False
        self._logged_in = False

    async def say(self, *frames: Frame) -> None:
        self._said = True
        if self._connection.closed:
            raise trio.BrokenResourceError("it is over")
        await self._stream.send_all(b"".join(self._connection.send(frame) for frame in frames))

    async def answered(self) -> None:
        """Return when the log-in is answered."""
        while not self._logged_in:
            await self._read(READ_BYTES)

    async def read_on(self, size: int) -> None:
        """Read until the end."""
        while True:
            await self._read(size)

    async def _read(self, size: int) -> None:
        data = await self._stream.receive_some(size)
        if not data:
            raise trio.BrokenResourceError("the broker closed the connection")
        if not self._said:
            return
        for event in self._connection.receive_data(data):
            if isinstance(event, RemoteProtocolError):
                self._owner.complain(event)
                raise trio.BrokenResourceError("nothing more can be understood")
            self._logged_in = True
            self._owner.heard(event)
