"""Coming back, and staying away: reconnects, what they carry, when they come, and after which endings none does."""

from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing
from msgspec import structs

import roost
from client.scripted import (
    GRANTED,
    INCARNATION,
    Network,
    Peer,
    all_of,
    connect,
    deliver,
    echo,
    id_of,
    next_of,
    puback,
)
from roost_protocol import frames as f
from roost_protocol.reasons import Reason


async def test_a_reconnect_carries_what_is_needed_to_go_on(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def first(peer: Peer) -> None:
        connect_frame = await peer.accept(head=3)
        assert (connect_frame.epoch, connect_frame.last_seq, connect_frame.last_id) == (None, 0, None)
        await peer.say(deliver(1), deliver(2), deliver(3))
        await trio.sleep(1)
        await peer.cut()

    async def second(peer: Peer) -> None:
        connect_frame = await peer.accept(epoch=8, head=4, resumed=True)
        assert network.peers[0].connect is not None
        assert connect_frame == structs.replace(
            network.peers[0].connect, epoch=7, last_seq=3, last_id=id_of(3), incarnation=INCARNATION
        )
        await peer.say(deliver(4))

    network = Network(nursery, first, second)
    async with connect(network) as session:
        events = [await anext(session) for _ in range(7)]
        assert [event.seq for event in events if isinstance(event, roost.Message)] == [1, 2, 3, 4]
        assert [type(event) for event in events if not isinstance(event, roost.Message)] == [
            roost.Connected,
            roost.Disconnected,
            roost.Connected,
        ]
        assert session.epoch == 8


async def test_last_number_after_a_gap_or_an_erased_entry_has_no_id(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept(head=3)
        await peer.say(deliver(1), f.Gap(first=2, last=3, reason="count"))
        await trio.sleep(1)
        await peer.cut()

    async def second(peer: Peer) -> None:
        connect_frame = await peer.accept(head=4)
        assert (connect_frame.last_seq, connect_frame.last_id) == (3, None)
        await peer.say(f.Deliver(seq=4, kind="erased"))
        await peer.cut()

    async def third(peer: Peer) -> None:
        connect_frame = await peer.accept()
        assert (connect_frame.last_seq, connect_frame.last_id) == (4, None)

    async with connect(Network(nursery, first, second, third)) as session:
        for _ in range(3):
            await next_of(session, roost.Connected)


async def test_unsettled_publishes_are_sent_again_in_order(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        publishes = [await peer.expect(f.Publish) for _ in range(3)]
        await peer.say(puback(2, publishes[1]))
        await peer.cut()

    async def second(peer: Peer) -> None:
        await peer.accept(settled_n=2)
        publishes = [await peer.expect(f.Publish) for _ in range(2)]
        assert [(publish.n, publish.text) for publish in publishes] == [(1, "0"), (3, "2")]
        await peer.say(puback(1, publishes[0], retransmission=True), puback(3, publishes[1]))

    async with connect(Network(nursery, first, second)) as session:
        publications = [session.publish_nowait("user/bob", f"{i}") for i in range(3)]
        receipts = [await publication.settled() for publication in publications]
        assert [(receipt.n, receipt.seq, receipt.retransmission) for receipt in receipts] == [
            (1, 1, True),
            (2, 2, False),
            (3, 3, False),
        ]


async def test_a_broker_that_has_forgotten_outcomes_is_not_sent_the_same_again(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """It went back to a backup: what it stored since it does not know, and would store once more."""

    async def first(peer: Peer) -> None:
        await peer.accept()
        for seq in range(1, 5):
            await peer.say(puback(seq, await peer.expect(f.Publish)))
        await peer.expect(f.Publish)
        await peer.cut()

    async def second(peer: Peer) -> None:
        await peer.accept(head=2, position=0, start_over=True, settled_n=2)
        publish = await peer.expect(f.Publish)
        assert (publish.n, publish.text) == (6, "never sent")
        await peer.say(puback(3, publish))

    async with connect(Network(nursery, first, second)) as session:
        for i in range(4):
            await session.publish("user/bob", f"{i}")
        in_doubt = session.publish_nowait("user/bob", "in doubt")
        await next_of(session, roost.Disconnected)
        never_sent = session.publish_nowait("user/bob", "never sent")
        assert (await never_sent.settled()).n == 6
        with pytest.raises(roost.PublishRefused, match="has forgotten") as refused:
            await in_doubt.settled()
        assert refused.value.reason is Reason.SETTLED_LONG_AGO


async def test_what_the_broker_will_not_take_any_more_is_not_sent_again(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.expect(f.Publish)
        await peer.cut()

    async def second(peer: Peer) -> None:
        await peer.accept(granted=structs.replace(GRANTED, body_bytes_max=10))
        publish = await peer.expect(f.Publish)
        assert publish.n == 2
        await peer.say(puback(1, publish))

    async with connect(Network(nursery, first, second)) as session:
        large = session.publish_nowait("user/bob", "more than ten bytes")
        small = session.publish_nowait("user/bob", "few")
        with pytest.raises(roost.PublishRefused, match="now takes at most 10") as refused:
            await large.settled()
        assert refused.value.reason is Reason.PACKET_TOO_LARGE
        assert (await small.settled()).n == 2


async def test_after_a_restart_everything_unsettled_counts_as_sent(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.say(puback(1, await peer.expect(f.Publish)))
        await peer.expect(f.Publish)

    async def second(peer: Peer) -> None:
        await peer.accept(settled_n=0)
        publish = await peer.expect(f.Publish)
        assert publish.n == 3
        await peer.say(puback(1, publish))

    state = roost.MemoryState()
    network = Network(nursery, first, second)
    async with connect(network, state=state, password="secret") as session:
        await session.publish("user/bob", "settled")
        session.publish_nowait("user/bob", "in doubt")
    async with connect(network, state=state, password="secret") as session:
        assert session.unsettled == ()
        await session.publish("user/bob", "new")


async def test_a_device_that_logs_itself_out_ends_its_session(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.expect(f.Sessions)
        await peer.say(f.Disconnect(reason=Reason.LOGGED_OUT))

    async with connect(Network(nursery, script)) as session:
        await session.log_out(session.device)
        last = (await all_of(session))[-1]
        assert isinstance(last, roost.Ended)
        assert last.reason is Reason.LOGGED_OUT
    async with connect(Network(nursery, script)) as session:
        with pytest.raises(roost.SessionEnded):
            await session.log_out("pc-1")


async def test_attempts_are_spread_and_further_and_further_apart(nursery: trio.Nursery, autojump_clock: object) -> None:
    network = Network(nursery, Peer.accept)
    attempts: list[float] = []

    async def dial() -> trio.abc.Stream:
        attempts.append(trio.current_time())
        if 1 < len(attempts) < 12:
            raise ConnectionRefusedError
        return await network.dial()

    async with connect(dial, backoff=roost.Backoff(first_s=1, factor=2, most_s=60, jitter=0.5)) as session:
        await trio.sleep(100)
        await network.peers[0].cut()
        told: list[float] = []
        async for event in session:
            if isinstance(event, roost.Disconnected):
                told.append(event.retry_in_s)
            if isinstance(event, roost.Connected) and told:
                break
    waits = [later - earlier for earlier, later in pairwise(attempts[1:])]
    full = [min(60, 2**attempt) for attempt in range(1, 11)]
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, full, strict=True)), waits
    assert len({round(wait / most, 3) for wait, most in zip(waits, full, strict=True)}) > 5
    assert len(told) == 11


async def test_the_back_off_begins_anew_only_after_a_steady_connection(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def accept_and_drop(peer: Peer) -> None:
        await peer.accept()
        await peer.cut()

    async def steady(peer: Peer) -> None:
        await peer.accept()
        await trio.sleep(61)
        await peer.cut()

    network = Network(nursery, *[accept_and_drop] * 5, steady, Peer.accept)
    backoff = roost.Backoff(first_s=1, jitter=0)
    async with connect(network, backoff=backoff) as session:
        told = [(await next_of(session, roost.Disconnected)).retry_in_s for _ in range(6)]
        assert told == [1, 2, 4, 8, 16, 1]


async def test_the_broker_says_when_to_come_back(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def shut_down(peer: Peer) -> None:
        await peer.accept()
        await peer.say(f.Disconnect(reason=Reason.SERVER_SHUTTING_DOWN, reconnect=True, reconnect_after_s=20))

    async def busy(peer: Peer) -> None:
        await peer.refuse(reason=Reason.SERVER_BUSY, retry_after_s=100)

    network = Network(nursery, shut_down, busy, Peer.accept)
    async with connect(network, backoff=roost.Backoff(first_s=1, jitter=0)) as session:
        first = await next_of(session, roost.Disconnected)
        second = await next_of(session, roost.Disconnected)
        assert (first.reason, first.retry_in_s) == (Reason.SERVER_SHUTTING_DOWN, 21)
        assert (second.reason, second.retry_in_s) == (Reason.SERVER_BUSY, 102)
        await next_of(session, roost.Connected)
    assert [later - network.dialled_at[0] for later in network.dialled_at[1:]] == [21, 123]


TAKEN = f.Origin(by="phone-2", at=1_234, address="10.0.0.9:4000")


async def test_a_takeover_ends_the_session_for_good(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(head=1)
        await peer.expect(f.Publish)
        await peer.say(
            deliver(1),
            # A broker that is wrong about `reconnect` here would make the two devices kick each other for ever.
            f.Disconnect(reason=Reason.SESSION_TAKEN_OVER, text="logged in elsewhere", origin=TAKEN, reconnect=True),
        )

    network = Network(nursery, script)
    async with connect(network) as session:
        publication = session.publish_nowait("user/bob", "hi")
        await trio.sleep(3_600)
        events = await all_of(session)
        assert [type(event) for event in events] == [roost.Connected, roost.Message, roost.TakenOver]
        assert events[-1] == roost.TakenOver(
            by="phone-2", at_ms=1_234, address="10.0.0.9:4000", text="logged in elsewhere"
        )
        assert await all_of(session) == []
        with pytest.raises(roost.SessionEnded) as ended:
            await publication.settled()
        assert ended.value.reason is Reason.SESSION_TAKEN_OVER
        assert [unsettled.n for unsettled in session.unsettled] == [1]
        with pytest.raises(roost.SessionEnded):
            session.publish_nowait("user/bob", "hi")
        with pytest.raises(roost.SessionEnded):
            await session.send_ephemeral("user/bob", "typing")
        assert not session.connected
    assert len(network.peers) == 1


async def test_a_device_that_was_offline_learns_of_the_takeover_and_does_not_kick_back(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.cut()

    async def second(peer: Peer) -> None:
        connect_frame = await peer.refuse(reason=Reason.SESSION_TAKEN_OVER, origin=TAKEN, retry_after_s=1)
        assert connect_frame.epoch == 7

    network = Network(nursery, first, second)
    async with connect(network) as session:
        events = await all_of(session)
        assert isinstance(events[-1], roost.TakenOver)
        await trio.sleep(3_600)
    assert len(network.peers) == 2


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (f.Disconnect(reason=Reason.ADMINISTRATIVE_ACTION, text="kicked", origin=TAKEN), Reason.ADMINISTRATIVE_ACTION),
        (f.Disconnect(reason=Reason.LOGGED_OUT), Reason.LOGGED_OUT),
        (f.Disconnect(reason=250), Reason.UNSPECIFIED_ERROR),
    ],
)
async def test_no_reconnect_when_the_broker_says_no(
    told: f.Disconnect, reason: Reason, nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.say(told)

    network = Network(nursery, script)
    async with connect(network) as session:
        events = await all_of(session)
        assert events[-1] == roost.Ended(reason=reason, text=told.text, origin=told.origin)
        await trio.sleep(3_600)
    assert len(network.peers) == 1


async def test_a_password_that_is_wrong_by_now_ends_the_session(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.cut()

    async def second(peer: Peer) -> None:
        await peer.refuse(reason=Reason.BAD_USER_NAME_OR_PASSWORD)

    network = Network(nursery, first, second)
    async with connect(network) as session:
        last = (await all_of(session))[-1]
        assert isinstance(last, roost.Ended)
        assert last.reason is Reason.BAD_USER_NAME_OR_PASSWORD
        with pytest.raises(roost.SessionEnded):
            await session.groups()
    assert len(network.peers) == 2


async def test_without_reconnect_a_lost_connection_ends_the_session(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.expect(f.Group)
        await peer.cut()

    async with connect(Network(nursery, script), reconnect=False) as session:
        with pytest.raises(roost.SessionEnded):
            await session.leave_group("team")
        assert [type(event) for event in await all_of(session)] == [roost.Connected, roost.Ended]


async def test_leaving_while_disconnected_does_not_wait(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.say(f.Disconnect(reason=Reason.SERVER_SHUTTING_DOWN, reconnect=True, reconnect_after_s=600))

    async with connect(Network(nursery, first)) as session:
        await next_of(session, roost.Disconnected)
        start = trio.current_time()
    assert trio.current_time() == start


async def test_requests_wait_for_the_connection_to_come_back(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.cut()

    async def second(peer: Peer) -> None:
        await peer.accept()
        publish = await peer.expect(f.Publish)
        await peer.say(puback(1, publish))
        request = await peer.expect(f.Relation)
        await peer.say(f.Result(request=request.request, users=("bob",)))

    async with connect(Network(nursery, first, second)) as session:
        await next_of(session, roost.Disconnected)
        await session.publish("user/bob", "written offline")
        assert await session.contacts() == ("bob",)


# --- the inbox that is another ------------------------------------------------------------------------------------


async def test_starting_over_drops_what_was_held(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept(head=6)
        await peer.say(*[deliver(seq, "before") for seq in range(1, 7)])
        await trio.sleep(1)
        await peer.cut()

    async def second(peer: Peer) -> None:
        await peer.accept(head=2, position=0, start_over=True, incarnation="00000000000000bb")
        await peer.say(deliver(1, "after"), deliver(2, "after"))
        assert (await peer.expect(f.Ack)).seq == 1

    state = roost.MemoryState()
    async with connect(Network(nursery, first, second), state=state, password="secret") as session:
        for _ in range(2):
            await next_of(session, roost.Message)
        await trio.sleep(10)  # the second connection is there; entries 3 to 6 still wait, and 2 is not acknowledged
        assert session.last_seq == 0
        events: list[Any] = [await anext(session) for _ in range(5)]
        assert [type(event) for event in events] == [
            roost.Disconnected,
            roost.Connected,
            roost.StartedOver,
            roost.Message,
            roost.Message,
        ]
        assert events[2].incarnation == "00000000000000bb"
        assert [(event.seq, event.body) for event in events[3:]] == [(1, "after"), (2, "after")]
        assert (session.last_seq, session.head) == (1, 2)
    saved = state.open("alice", "phone")
    assert (saved.last_seq, saved.incarnation) == (1, "00000000000000bb")


async def test_acknowledging_an_entry_of_the_inbox_before_does_nothing(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept(head=1)
        await peer.say(deliver(1))
        await trio.sleep(1)
        await peer.cut()

    async def second(peer: Peer) -> None:
        await peer.accept(head=1, position=0, start_over=True)
        await peer.say(deliver(1))

    async with connect(Network(nursery, first, second), auto_acknowledge=False) as session:
        message = await next_of(session, roost.Message)
        await trio.sleep(10)
        await session.acknowledge(message.seq)  # the application could not know yet
        assert session.last_seq == 0
        await next_of(session, roost.StartedOver)
        await next_of(session, roost.Message)
        await session.acknowledge(1)
        assert session.last_seq == 1


async def test_a_stream_that_does_not_fit_is_not_taken(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept(head=2)
        await peer.say(deliver(1), deliver(2))
        await trio.sleep(1)
        await peer.cut()

    async def skips(peer: Peer) -> None:
        await peer.accept(head=9, position=5)

    async def fits(peer: Peer) -> None:
        await peer.accept(head=9)
        await peer.say(deliver(3))

    async with connect(Network(nursery, first, skips, fits)) as session:
        await next_of(session, roost.Disconnected)
        lost = await next_of(session, roost.Disconnected)
        assert "starts after 5, but 2 was asked for" in lost.text
        assert (await next_of(session, roost.Message)).seq == 3


async def test_only_the_very_first_log_in_asks_for_the_newest(nursery: trio.Nursery, autojump_clock: object) -> None:
    asked: list[tuple[int | None, int]] = []

    async def script(peer: Peer) -> None:
        connect_frame = await peer.expect(f.Connect)
        asked.append((connect_frame.newest, connect_frame.last_seq))
        position = connect_frame.last_seq if connect_frame.newest is None else 990
        await peer.say(f.Connack(epoch=1, head=1_000, position=position, granted=GRANTED))
        await peer.cut()

    async with connect(Network(nursery, script), newest=10) as session:
        for _ in range(3):
            await next_of(session, roost.Connected)
        assert (session.last_seq, session.head) == (990, 1_000)
    assert asked[:3] == [(10, 0), (None, 990), (None, 990)]


async def test_a_device_that_began_with_an_empty_inbox_gets_all_of_it_later(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    asked: list[tuple[int | None, int]] = []

    async def script(peer: Peer) -> None:
        connect_frame = await peer.accept()
        asked.append((connect_frame.newest, connect_frame.last_seq))

    state = roost.MemoryState()
    for _ in range(2):
        async with connect(Network(nursery, script), state=state, password="secret", newest=10):
            pass
    assert asked == [(10, 0), (None, 0)]


# --- credentials --------------------------------------------------------------------------------------------------


async def test_an_issued_token_takes_the_place_of_the_password(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def first(peer: Peer) -> None:
        connect_frame = await peer.accept(token="t0ken")
        assert (connect_frame.password, connect_frame.token, connect_frame.want_token) == ("secret", None, True)
        await peer.cut()

    async def later(peer: Peer) -> None:
        connect_frame = await peer.accept()
        assert (connect_frame.password, connect_frame.token, connect_frame.want_token) == (None, "t0ken", False)

    state = roost.MemoryState()
    network = Network(nursery, first, later)
    async with connect(network, state=state, password="secret", want_token=True) as session:
        assert session.token == "t0ken"
        await next_of(session, roost.Disconnected)
        await next_of(session, roost.Connected)
    async with connect(network, state=state) as session:
        assert session.token == "t0ken"


async def test_a_jwt_is_asked_for_at_each_log_in_that_needs_one(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def log_in(peer: Peer) -> None:
        connect_frame = await peer.accept()
        said.append((connect_frame.password, connect_frame.token, connect_frame.jwt, connect_frame.want_token))
        await peer.cut()

    async def fresh() -> str:
        given.append(f"jwt.{len(given)}.x")
        return given[-1]

    said: list[tuple[str | None, str | None, str | None, bool]] = []
    given: list[str] = []
    async with connect(Network(nursery, log_in, log_in, Peer.accept), password=None, jwt=fresh) as session:
        for _ in range(2):
            await next_of(session, roost.Disconnected)
            await next_of(session, roost.Connected)
    assert said == [(None, None, "jwt.0.x", False), (None, None, "jwt.1.x", False)]
    assert len(given) == 3


async def test_a_token_issued_for_a_jwt_takes_its_place(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def first(peer: Peer) -> None:
        connect_frame = await peer.accept(token="t0ken")
        assert (connect_frame.jwt, connect_frame.token, connect_frame.want_token) == ("j.w.t", None, True)
        await peer.cut()

    async def later(peer: Peer) -> None:
        connect_frame = await peer.accept()
        assert (connect_frame.jwt, connect_frame.token, connect_frame.want_token) == (None, "t0ken", False)

    async with connect(Network(nursery, first, later), password=None, jwt="j.w.t", want_token=True) as session:
        await next_of(session, roost.Disconnected)
        await next_of(session, roost.Connected)


async def test_a_jwt_that_cannot_be_had_now_is_asked_for_later(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def fresh() -> str:
        answers.append(len(answers))
        if len(answers) == 2:
            raise roost.ConnectionFailed("the sign-on does not answer")
        return "j.w.t"

    async def cut(peer: Peer) -> None:
        await peer.accept()
        await peer.cut()

    answers: list[int] = []
    async with connect(Network(nursery, cut, Peer.accept), password=None, jwt=fresh) as session:
        await next_of(session, roost.Disconnected)
        again = await next_of(session, roost.Disconnected)
        assert again.text == "the sign-on does not answer"
        await next_of(session, roost.Connected)


async def test_by_certificate_nothing_else_is_shown(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept(token="t0ken")

    async def later(peer: Peer) -> None:
        connect_frame = await peer.accept()
        assert (connect_frame.password, connect_frame.token, connect_frame.jwt) == (None, None, None)

    state = roost.MemoryState()
    network = Network(nursery, first, later)
    async with connect(network, state=state, password="secret", want_token=True):
        pass
    async with connect(network, state=state, password=None, by_certificate=True):
        pass


@pytest.mark.parametrize(
    "credentials",
    [
        {"password": "p", "token": "t"},
        {"password": "p", "jwt": "j.w.t"},
        {"token": "t", "by_certificate": True},
        {"jwt": "j.w.t", "by_certificate": True},
    ],
)
def test_there_is_one_credential_at_most(credentials: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one of password, token, jwt and by_certificate"):
        roost.connect("localhost:1", user="alice", terminal="phone", **credentials)


async def test_a_token_that_is_refused_is_forgotten(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept(token="t0ken")
        await peer.cut()

    async def second(peer: Peer) -> None:
        await peer.refuse(reason=Reason.BAD_USER_NAME_OR_PASSWORD)

    state = roost.MemoryState()
    network = Network(nursery, first, second)
    async with connect(network, state=state, password="secret", want_token=True) as session:
        assert isinstance((await all_of(session))[-1], roost.Ended)
        assert session.token is None
    with pytest.raises(ValueError, match="give connect"):
        async with connect(network, state=state):
            pass


async def test_a_changed_password_is_used_from_then_on(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        request = await peer.expect(f.Sessions)
        await peer.say(f.Result(request=request.request))
        await trio.sleep(1)
        await peer.cut()

    async def second(peer: Peer) -> None:
        assert (await peer.accept()).password == "new"

    async with connect(Network(nursery, first, second)) as session:
        await session.set_password("secret", "new")
        await next_of(session, roost.Disconnected)
        await next_of(session, roost.Connected)


async def test_resume_logs_in_with_the_epoch_in_the_state(nursery: trio.Nursery, autojump_clock: object) -> None:
    epochs: list[int | None] = []

    async def script(peer: Peer) -> None:
        epochs.append((await peer.accept(epoch=len(epochs) + 20)).epoch)

    state = roost.MemoryState()
    network = Network(nursery, script)
    for resume in (True, True, False):
        async with connect(network, state=state, password="secret", resume=resume):
            pass
    assert epochs == [None, 20, None]


# --- windows ------------------------------------------------------------------------------------------------------


async def test_what_waits_for_a_slow_application_stays_within_two_windows(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    asked: list[int] = []

    async def script(peer: Peer) -> None:
        connect_frame = await peer.accept(head=1_000)
        asked.append(connect_frame.last_seq)
        first = connect_frame.last_seq + 1
        await peer.say(*[deliver(seq) for seq in range(first, first + 4)])
        await trio.sleep(1)
        await peer.cut()

    async with connect(Network(nursery, script), receive_max=4) as session:
        await trio.sleep(300)
        assert session.statistics().entries_waiting <= 8
        assert session.statistics().events_waiting <= 8 + 4
        assert asked[:4] == [0, 4, 4, 4]
        assert [(await next_of(session, roost.Message)).seq for _ in range(20)] == [*range(1, 21)]


async def test_bytes_that_wait_are_cut_back_too(nursery: trio.Nursery, autojump_clock: object) -> None:
    asked: list[int] = []

    async def script(peer: Peer) -> None:
        connect_frame = await peer.accept(head=1_000)
        asked.append(connect_frame.last_seq)
        first = connect_frame.last_seq + 1
        await peer.say(*[deliver(seq, "x" * 1_000) for seq in range(first, first + 3)])
        await trio.sleep(1)
        await peer.cut()

    async with connect(Network(nursery, script), receive_bytes_max=3_000) as session:
        await trio.sleep(100)
        assert session.statistics().entries_waiting <= 6
        assert max(asked) <= 3
        assert [(await next_of(session, roost.Message)).seq for _ in range(10)] == [*range(1, 11)]


async def test_an_own_entry_that_comes_on_the_next_connection_has_its_body(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    published: list[f.Publish] = []

    async def first(peer: Peer) -> None:
        await peer.accept()
        published.append(await peer.expect(f.Publish))
        await peer.say(puback(1, published[0]))
        await peer.cut()

    async def second(peer: Peer) -> None:
        connect_frame = await peer.accept(head=1)
        await peer.say(echo(1, published[0], connect_frame.device, with_body=True))

    async with connect(Network(nursery, first, second)) as session:
        await session.publish("user/bob", "hi")
        message = await next_of(session, roost.Message)
        assert (message.body, message.n) == ("hi", 1)
