"""A connection to a whole broker, from its first byte on: CONNECT, and whatever is said behind it.

The first byte says what the rest is: a stream as it is; the body of a CONNECT; a stream after a right log-in; such a
stream in two pieces. What the broker answers is right, in order, and comes to an end.
"""

from collections.abc import Iterator

from broker.house import PASSWORD, House
from fuzz import codec_binary
from fuzz.house_case import play, say_and_hear
from fuzz.target import Memory, Target
from fuzz.weighing import weighed
from roost_protocol import Connection, Role, codec
from roost_protocol.errors import RemoteProtocolError
from roost_protocol.frames import (
    Ack,
    Connect,
    Ephemeral,
    Fetch,
    Frame,
    FrameType,
    Group,
    Ping,
    Publish,
    Relation,
    Sessions,
    Subscribe,
)
from roost_protocol.limits import HEADER_BYTES

CONNECT = Connect(user="alice", terminal="phone", device="d1", password=PASSWORD, want_token=True)


def one(data: bytes) -> None:
    """Say it to a broker, and hear it out."""
    play(lambda house: _case(house, data))


async def _case(house: House, data: bytes) -> None:
    how, stream = (data[0] if data else 0) % 4, data[1:]
    dialled = await house.dial()
    parts = [stream]
    if how == 1:
        parts = [(len(stream) + 1).to_bytes(4, "big") + bytes([FrameType.CONNECT]) + stream]
    elif how >= 2:
        parts = [codec.encode(CONNECT), stream] if how == 2 else [codec.encode(CONNECT), stream[:9], stream[9:]]
    with weighed():
        heard = await say_and_hear(dialled.stream, *parts)
    ears = Connection(Role.DEVICE)
    ears.send(CONNECT)
    for event in ears.receive_data(heard):
        assert not isinstance(event, RemoteProtocolError), event
    assert ears.buffered_bytes == 0, "the answer ends inside a frame"


REQUESTS: tuple[Frame, ...] = (
    Publish(n=1, to="user/alice", text="to myself"),
    Publish(n=1, to="user/alice", text="another"),
    Publish(n=3, to="group/team", data=b"\0"),
    Subscribe(request=1, users=("bob", "nobody")),
    Subscribe(request=2, users=("bob",), stop=True),
    Fetch(request=3, limit=5),
    Fetch(request=4, conversation="user/bob", after=0),
    Group(request=5, action="create", group="team", users=("bob",)),
    Group(request=6, action="list"),
    Relation(request=7, action="add", kind="block", user="carol"),
    Sessions(request=8, action="list"),
    Sessions(request=9, action="set_password", password=PASSWORD, new_password="another secret"),
    Sessions(request=10, action="log_out", device="d1"),
    Ephemeral(to="user/bob", text="typing"),
    Ack(seq=1),
    Ping(),
)
"""What a device may say."""


def seeds() -> Iterator[bytes]:
    """Streams as of the codec; bodies of CONNECT; each request, and all of them."""
    yield from (b"\0" + stream for stream in codec_binary.seeds())
    yield b"\0" + codec.encode(CONNECT) + codec.encode(Ping())
    yield b"\1" + codec.encode(CONNECT)[HEADER_BYTES:]
    yield b"\1" + codec.encode(Connect(user="zoe", terminal="tv", device="x", password="y" * 256))[HEADER_BYTES:]
    yield b"\1" + codec.encode(Connect(user="bob", terminal="nope", device="x", token="t", epoch=3))[HEADER_BYTES:]
    resuming = Connect(
        user="alice", terminal="phone", device="d1", password=PASSWORD, last_seq=2**53 - 1, last_id="f" * 16, version=9
    )
    yield b"\1" + codec.encode(resuming)[HEADER_BYTES:]
    yield b"\1" + b"\x81\xa4user" + b"\x91" * 3_000
    yield b"\1" + b"\x91" * 4_000
    for request in REQUESTS:
        yield b"\2" + codec.encode(request)
    yield b"\3" + b"".join(codec.encode(request) for request in REQUESTS)
    yield b"\2" + codec.encode(CONNECT)
    yield b"\2" + codec.encode(Ack(seq=2**53 - 1))
    yield b"\2" + codec.encode(Publish(n=2**53 - 1, to="user/bob", text="x" * 1_000))


TARGET = Target(
    name="broker_connection",
    one=one,
    documented=(),
    # Beside what is read: the tasks, the session, and what is answered.
    memory=Memory(for_each_byte=16, beside=256 * 1024),
    seeds=seeds,
    tokens=(b"\xa8password", b"\xa5epoch", b"\xa8terminal", b"\xa6newest", b"\xa6action", *codec_binary.TARGET.tokens),
)
