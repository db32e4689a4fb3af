"""`connect`: its arguments, the state it opens and closes, and restarts with a state file."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import roost
from client.scripted import INCARNATION, Network, Peer, connect, deliver, echo, id_of, next_of, puback
from roost.connecting import _host_and_port
from roost.state import Changes
from roost_protocol import frames as f
from roost_protocol.reasons import Reason

# Tests with a state file run on the real clock: a virtual one would jump ahead while a thread is at the disk.


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("localhost:7300", ("localhost", 7300)),
        ("[::1]:7300", ("::1", 7300)),
        (("example.org", 1), ("example.org", 1)),
    ],
)
def test_addresses(address: str | tuple[str, int], parts: tuple[str, int]) -> None:
    assert _host_and_port(address) == parts


@pytest.mark.parametrize("address", ["localhost", "localhost:", "localhost:http", "localhost:0", "localhost:70000"])
def test_an_address_needs_a_port(address: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        roost.connect(address, user="alice", terminal="phone", password="x")


async def test_arguments_that_no_broker_would_take_are_refused(nursery: trio.Nursery, autojump_clock: object) -> None:
    network = Network(nursery, Peer.accept)
    for wrong in ({"user": "a/b"}, {"terminal": "My Phone"}, {"device": "a device"}):
        with pytest.raises(ValueError, match=r"found|no '/'"):
            connect(network, **wrong)
    for wrong_at_log_in in ({"receive_max": 0}, {"keepalive_s": 70_000}, {"client": "x" * 65}, {"newest": -1}):
        with pytest.raises(ValueError, match="CONNECT"):
            async with connect(network, **wrong_at_log_in):
                pass
    with pytest.raises(ValueError, match="give connect\\(\\) a password, a token"):
        async with roost.connect("a:1", user="alice", terminal="phone", dial=network.dial):
            pass
    assert network.peers == []


async def test_it_is_entered_once(nursery: trio.Nursery, autojump_clock: object) -> None:
    connecting = connect(Network(nursery, Peer.accept))
    async with connecting:
        pass
    with pytest.raises(RuntimeError, match="entered once"):
        async with connecting:
            pass


async def test_a_device_without_an_id_makes_one_up_and_keeps_it(nursery: trio.Nursery, autojump_clock: object) -> None:
    network = Network(nursery, Peer.accept)
    state = roost.MemoryState()
    devices: list[str] = []
    for _ in range(2):
        async with connect(network, device=None, state=state, password="x") as session:
            devices.append(session.device)
    async with connect(network, device=None, random=None) as session:
        devices.append(session.device)
    assert devices[0] == devices[1] != devices[2]
    assert devices[0].startswith("phone-")
    with pytest.raises(roost.StateUnusable, match="belongs to the device"):
        async with connect(network, device="another", state=state, password="x"):
            pass
    state.open("alice", "phone")  # it was closed again
    with pytest.raises(roost.StateUnusable, match="in use"):
        async with connect(network, device=None, state=state, password="x"):
            pass


async def test_connecting_over_tcp() -> None:
    """The only test here with sockets: that the default `dial` is TCP."""

    async def serve(stream: trio.SocketStream) -> None:
        peer = Peer(stream)
        await peer.accept()
        await peer.rest()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        async with roost.connect(f"127.0.0.1:{port}", user="alice", terminal="phone", password="x") as session:
            assert session.connected
        nursery.cancel_scope.cancel()
    with pytest.raises(roost.ConnectionFailed, match="no connection to the broker"):
        async with roost.connect(("127.0.0.1", port), user="alice", terminal="phone", password="x"):
            pass


async def test_a_restart_goes_on_where_the_last_process_stopped(nursery: trio.Nursery, tmp_path: Path) -> None:
    path = tmp_path / "state"
    lost: list[f.Publish] = []
    was_lost = trio.Event()

    async def first(peer: Peer) -> None:
        connect_frame = await peer.accept(token="t0ken", head=2)
        assert connect_frame.device == "phone-1"
        await peer.say(deliver(1), deliver(2))
        await peer.say(puback(3, await peer.expect(f.Publish)))
        lost.append(await peer.expect(f.Publish))  # stored, but its PUBACK is lost
        was_lost.set()

    async def second(peer: Peer) -> None:
        connect_frame = await peer.accept(head=4, settled_n=2)
        assert (connect_frame.device, connect_frame.token, connect_frame.password) == ("phone-1", "t0ken", None)
        assert (connect_frame.last_seq, connect_frame.last_id, connect_frame.incarnation) == (2, id_of(2), INCARNATION)
        assert connect_frame.newest is None
        again = await peer.expect(f.Publish)
        assert again == lost[0]
        await peer.say(puback(4, again, retransmission=True))
        await peer.say(deliver(3), echo(4, again, "phone-1", with_body=True))
        publish = await peer.expect(f.Publish)
        assert publish.n == 3
        await peer.say(puback(5, publish))

    network = Network(nursery, first, second)
    async with connect(network, state=path, password="secret", want_token=True) as session:
        for _ in range(2):
            await next_of(session, roost.Message)
        await session.acknowledge(2)
        await session.publish("user/bob", "settled")
        session.publish_nowait("user/bob", "in doubt")
        await was_lost.wait()
    async with connect(network, state=path, newest=5) as session:
        (publication,) = session.unsettled
        assert (publication.n, publication.body) == (2, "in doubt")
        assert (await publication.settled()).retransmission
        assert [(await next_of(session, roost.Message)).seq for _ in range(2)] == [3, 4]
        assert (await session.publish("user/bob", "next")).n == 3
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_publish_is_in_the_state_before_it_goes_out(nursery: trio.Nursery, autojump_clock: object) -> None:
    held: list[tuple[int, list[int]]] = []
    state = roost.MemoryState()

    async def script(peer: Peer) -> None:
        await peer.accept(head=1)
        await peer.say(deliver(1))
        while True:
            frame = await peer.next()
            saved = state._saved
            assert saved is not None
            if isinstance(frame, f.Publish):
                held.append((frame.n, sorted(state._unsettled)))
                assert frame.n in state._unsettled
                assert saved.n >= frame.n
            elif isinstance(frame, f.Ack):
                assert (saved.last_seq or 0) >= frame.seq
                held.append((0, []))

    async with connect(Network(nursery, script), state=state, password="x") as session:
        await next_of(session, roost.Message)
        for _ in range(3):
            session.publish_nowait("user/bob", "hi")
        await trio.sleep(1)
        with trio.move_on_after(1):
            await anext(session)  # which acknowledges the entry before
    assert len(held) == 4


class _FullDisk(roost.MemoryState):
    """A state that cannot be written any more once `full` is set."""

    full = False

    def save(self, changes: Changes) -> None:
        if self.full:
            raise roost.StateUnusable("state cannot be used: database or disk is full")
        super().save(changes)


async def test_a_state_that_cannot_be_written_ends_the_session(nursery: trio.Nursery, autojump_clock: object) -> None:
    state = _FullDisk()
    network = Network(nursery, Peer.accept)
    with pytest.raises(roost.StateUnusable, match="disk is full"):  # noqa: PT012 - what leaving raises is the test
        async with connect(network, state=state, password="x") as session:
            await anext(session)
            state.full = True
            with pytest.raises(roost.SessionEnded, match="disk is full"):
                await session.publish("user/bob", "hi")
            with pytest.raises(roost.StateUnusable):
                await anext(session)
    assert [type(frame) for frame in network.peers[0].heard] == [f.Connect]


async def test_a_state_that_cannot_be_written_ends_the_session_also_between_two_connections(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.cut()

    state = _FullDisk()
    network = Network(nursery, first)
    with pytest.raises(roost.StateUnusable, match="disk is full"):  # noqa: PT012 - what leaving raises is the test
        async with connect(network, state=state, password="x") as session:
            await next_of(session, roost.Disconnected)
            state.full = True
            with pytest.raises(roost.SessionEnded, match="disk is full"):
                await session.publish("user/bob", "hi")
            state.full = False
    assert len(network.peers) == 1


async def test_a_state_file_that_cannot_be_written_ends_the_session(nursery: trio.Nursery, tmp_path: Path) -> None:
    state = roost.FileState(tmp_path / "state")
    with pytest.raises(roost.StateUnusable, match="disk is full"):  # noqa: PT012 - what leaving raises is the test
        async with connect(Network(nursery, Peer.accept), state=state, password="x") as session:
            await session.acknowledge(0)
            assert state._database is not None
            state._database.execute("PRAGMA max_page_count=1")
            with pytest.raises(roost.SessionEnded, match="disk is full"):
                await session.publish("user/bob", "x" * 50_000)


@pytest.mark.parametrize("in_file", [False, True], ids=["memory", "file"])
@pytest.mark.parametrize("refused", [False, True], ids=["disconnect", "connack"])
async def test_who_was_told_to_stay_away_does_so_after_a_restart(
    nursery: trio.Nursery, tmp_path: Path, in_file: bool, refused: bool
) -> None:
    """Only a person's log-in ends it; see "What a device keeps on disk", 7."""
    said: dict[str, Any] = {"reason": Reason.LOGGED_OUT, "text": "", "origin": f.Origin(by="phone-9", at=5)}

    async def sent_away(peer: Peer) -> None:
        if refused:
            await peer.refuse(**said)
        else:
            await peer.accept()
            await peer.say(f.Disconnect(**said))

    network = Network(nursery, Peer.accept, sent_away, Peer.accept)
    state = roost.FileState(tmp_path / "state") if in_file else roost.MemoryState()

    async def resumed() -> roost.LoginRefused | roost.Ended:
        try:
            async with connect(network, state=state, password="x", resume=True) as session:
                return await next_of(session, roost.Ended)  # type: ignore[no-any-return]
        except roost.LoginRefused as refusal:
            return refusal

    async with connect(network, state=state, password="x"):
        pass
    for _ in range(2):
        told = await resumed()
        assert (told.reason, told.origin) == (Reason.LOGGED_OUT, f.Origin(by="phone-9", at=5))
    assert len(network.peers) == 2
    for resume in (False, True):
        async with connect(network, state=state, password="x", resume=resume):
            pass
    assert len(network.peers) == 4


async def test_a_refusal_that_ends_no_session_is_not_remembered(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def mistyped(peer: Peer) -> None:
        await peer.refuse(reason=Reason.BAD_USER_NAME_OR_PASSWORD)

    network = Network(nursery, mistyped, Peer.accept)
    state = roost.MemoryState()
    with pytest.raises(roost.LoginRefused):
        async with connect(network, state=state, password="x", resume=True):
            pass
    async with connect(network, state=state, password="y", resume=True):
        pass


# --- the package ---------------------------------------------------------------------------------------------------


def test_every_name_of_the_package_is_there() -> None:
    assert sorted(roost.__all__) == dir(roost)
    for name in roost.__all__:
        assert getattr(roost, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Brocker'"):
        roost.Brocker  # type: ignore[attr-defined]  # noqa: B018 - that it fails is the test


def test_a_client_never_loads_the_broker() -> None:
    program = (
        "import sys, roost; assert 'trio' not in sys.modules; roost.connect; roost.FileState;"
        "print([name for name in sys.modules if name.startswith(('lmdb', 'roost_broker', 'roost_admin', 'h11'))])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert roost.__version__ == version("roost")
