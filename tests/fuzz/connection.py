"""The state of a connection, in either role: any bytes after any beginning.

The first byte says the role, and whether the connection is live already. Nothing may come out at all: what is wrong
is the last event.
"""

from collections.abc import Iterator

from fuzz import codec_binary
from fuzz.target import Memory, Target
from fuzz.weighing import weighed
from roost_protocol import Connection, Role, codec
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import Connack, Connect, Disconnect, Frame
from roost_protocol.limits import HEADER_BYTES, Limits

LIMITS = Limits()
_CONNECT = Connect(user="alice", terminal="phone", device="d1", password="open sesame")


def one(data: bytes) -> None:
    """Feed a connection, and end it."""
    how, stream = data[:1] or b"\0", data[1:]
    role = Role.BROKER if how[0] & 1 else Role.DEVICE
    with weighed():
        connection = Connection(role, LIMITS)
        if how[0] & 2:
            _make_live(connection)
        events = connection.receive_data(stream)
        buffered = connection.buffered_bytes
        most = LIMITS.frame_bytes_max if how[0] & 2 or role is Role.DEVICE else LIMITS.connect_bytes_max
        assert buffered <= min(len(stream), HEADER_BYTES + most)
        events += connection.receive_eof()
        assert connection.closed
        assert connection.buffered_bytes <= buffered
        wrong = [event for event in events if isinstance(event, RemoteProtocolError)]
        assert len(wrong) <= 1
        assert not wrong or events[-1] is wrong[0]
        assert connection.receive_data(stream) == []
        for violation in wrong:  # it can be told
            codec.encode(Disconnect(reason=violation.reason, text=violation.text))


def _make_live(connection: Connection) -> None:
    connack = Connack(position=0, head=9)
    said: tuple[Frame, ...] = (_CONNECT, connack)
    for frame in said:
        if (connection.role is Role.DEVICE) == isinstance(frame, Connect):
            connection.send(frame)
        else:
            connection.receive_data(codec.encode(frame))


def seeds() -> Iterator[bytes]:
    """Every stream of the codec, in each of the four ways; and acknowledgements of what was never delivered."""
    for stream in codec_binary.seeds():
        yield from (bytes([how]) + stream for how in range(4))
    too_long = LIMITS.connect_bytes_max + 3_000
    yield b"\1" + too_long.to_bytes(4, "big") + bytes(too_long - 1_000)
    yield b"\1" + codec.encode(_CONNECT) * 2


TARGET = Target(
    name="connection",
    one=one,
    documented=(),
    memory=Memory(for_each_byte=16, beside=16 * 1024),
    seeds=seeds,
    tokens=codec_binary.TARGET.tokens,
    bytes_max=codec_binary.TARGET.bytes_max,
)
