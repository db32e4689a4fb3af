"""A roost in a thread, as small as can be, that keeps its promises, or breaks one when it has kept some."""

import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from threading import Thread

from roost_benchmarks.dialects.roost import RoostDialect
from roost_benchmarks.target import Target
from roost_protocol import codec
from roost_protocol.frames import Connack, Connect, Deliver, Entry, Frame, Puback, Publish
from roost_protocol.limits import MIB
from roost_protocol.reasons import Reason

AT = 5
"""The publish with which it goes wrong."""
KEPT_S = 20.0
"""Longer than any test waits for a peer."""


class Fault(Enum):
    """What it does wrong."""

    NONE = auto()
    NUMBER_SKIPPED = auto()
    NUMBER_DOUBLED = auto()
    MESSAGE_DOUBLED = auto()
    """With a number of its own."""
    MESSAGE_LOST = auto()
    """Its number goes to the next."""
    OWN_DOUBLED = auto()
    """Shown twice to who sent it, and to no other of its user's devices."""
    ACKNOWLEDGEMENT_LOST = auto()
    REFUSED = auto()
    SILENT = auto()
    """Nothing is delivered, though everything is acknowledged."""
    CLOSED = auto()


LASTING = frozenset({Fault.REFUSED, Fault.SILENT, Fault.CLOSED})
"""Not once, but from then on: otherwise the next message, on another connection, may be what shows it first."""


STEPS: dict[Fault, tuple[int, ...]] = {
    Fault.NUMBER_SKIPPED: (2,),
    Fault.NUMBER_DOUBLED: (1, 0),
    Fault.MESSAGE_DOUBLED: (1, 1),
    Fault.MESSAGE_LOST: (),
    Fault.SILENT: (),
}
"""How often a message is delivered, and by how much its number rises each time; otherwise once, by 1."""


class _Device:
    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.buffer = codec.ReceiveBuffer(MIB)
        self.user = ""
        self.device = ""
        self.head = 0
        """The number of the last entry that was delivered to it."""

    def say(self, *frames: Frame) -> None:
        """Send frames, so that they arrive together."""
        try:
            self.socket.sendall(b"".join(map(codec.encode, frames)))
        except OSError:
            pass  # it has gone, as devices do at the end of a run

    def close(self) -> None:
        """End the connection; what its other end may still say is not heard."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has gone already

    def deliver(self, entry: Entry, *steps: int, by: str | None = None, n: int | None = None) -> None:
        """An entry, once for each step, which says how many its number is after the one before; by one's own device."""
        frames: list[Frame] = []
        for step in steps:
            self.head += step
            frames.append(Deliver(seq=self.head, kind="own" if by else "message", device=by, n=n, entry=entry))
        self.say(*frames)


class _Broker:
    """Everybody who is there gets what is written to a group; to a user, all of the user's devices."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._published = 0
        self.devices: list[_Device] = []

    def take(self, device: _Device, frame: Frame) -> None:
        """Answer one frame."""
        match frame:
            case Connect():
                device.user, device.device = frame.user, frame.device
                self.devices.append(device)
                device.say(Connack(epoch=1))
            case Publish():
                self._published += 1
                is_wrong = self._published == AT or (self._published > AT and self._fault in LASTING)
                self._publish(device, frame, self._fault if is_wrong else Fault.NONE)

    def _publish(self, sender: _Device, frame: Publish, fault: Fault) -> None:
        if fault is Fault.REFUSED:
            sender.say(Puback(n=frame.n, reason=Reason.NOT_FOUND, text="no such user"))
            return
        if fault is Fault.CLOSED:
            sender.close()
            return
        entry = Entry(id="0" * 16, sender=sender.user, to=frame.to, time=1, data=frame.data)
        for device in self.devices:
            if device.user == sender.user:
                self._show_own(device, entry, sender, frame.n, fault)
            elif frame.to in {f"user/{device.user}", "group/everybody"}:
                device.deliver(entry, *STEPS.get(fault, (1,)))
        if fault is not Fault.ACKNOWLEDGEMENT_LOST:
            sender.say(Puback(n=frame.n, seq=sender.head, id=entry.id, time=1))

    @staticmethod
    def _show_own(device: _Device, entry: Entry, sender: _Device, n: int, fault: Fault) -> None:
        if device is not sender:
            device.deliver(entry, 1, by=sender.device, n=n)
            return
        bare = Entry(id=entry.id, sender=entry.sender, to=entry.to, time=1)  # its sender has the body
        device.deliver(bare, *([1, 1] if fault is Fault.OWN_DOUBLED else [1]), by=sender.device, n=n)


def _serve(listener: socket.socket, ending: socket.socket, broker: _Broker) -> None:
    """Until `ending` is closed at its other end."""
    with selectors.DefaultSelector() as ready:
        ready.register(listener, selectors.EVENT_READ)
        ready.register(ending, selectors.EVENT_READ)
        devices: dict[object, _Device] = {}
        is_over = False
        while not is_over:
            for key, _ in ready.select():
                if key.fileobj is listener:
                    opened, _ = listener.accept()
                    opened.settimeout(KEPT_S)
                    devices[opened] = _Device(opened)
                    ready.register(opened, selectors.EVENT_READ)
                elif key.fileobj is ending:
                    is_over = True
                elif not _read(devices[key.fileobj], broker):
                    ready.unregister(key.fileobj)
        for device in devices.values():
            device.socket.close()


def _read(device: _Device, broker: _Broker) -> bool:
    """Answer what has come; whether more may."""
    try:
        data = device.socket.recv(MIB)
    except OSError:
        return False
    for frame in device.buffer.cut(data):
        broker.take(device, frame)
    return bool(data)


@contextmanager
def faulty(fault: Fault, users: tuple[str, ...]) -> Iterator[Target]:
    """Such a broker, as a workload sees one."""
    ending, end = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener, ending:
        thread = Thread(target=_serve, args=(listener, ending, _Broker(fault)))
        thread.start()
        try:
            yield Target(
                name="roost", version="0", durability="none", dialect=RoostDialect(), address=listener.getsockname(),
                pids=(), users=users, password=lambda _: "secret",
            )  # fmt: skip
        finally:
            end.close()
            thread.join()
