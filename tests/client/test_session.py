"""The session as an application sees it: publishing, events, requests; against a scripted broker, in virtual time."""

from typing import Any

import pytest
import trio
from msgspec import structs

import roost
from client.scripted import GRANTED, NOW_MS, Network, Peer, all_of, connect, deliver, echo, id_of, next_of, puback
from roost_protocol import frames as f
from roost_protocol.reasons import Reason


async def test_publish_returns_what_the_broker_answers(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        publish = await peer.expect(f.Publish)
        assert (publish.n, publish.to, publish.text, publish.content_type) == (1, "user/bob", "hi", "text/plain")
        await peer.say(puback(1, publish))
        second = await peer.expect(f.Publish)
        assert (second.n, second.data, second.content_type) == (2, b"\x00", "application/octet-stream")
        await peer.say(puback(2, second, retransmission=True))

    async with connect(Network(nursery, script)) as session:
        receipt = await session.publish("user/bob", "hi")
        assert receipt == roost.Receipt(n=1, seq=1, id=id_of(1), time_ms=NOW_MS + 1)
        assert (await session.publish("user/bob", b"\x00")).retransmission
        assert session.unsettled == ()
        assert session.head == 2


async def test_a_refused_publish_raises_the_reason(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        publish = await peer.expect(f.Publish)
        await peer.say(f.Puback(n=publish.n, reason=Reason.BLOCKED, text="bob wants no messages"))

    async with connect(Network(nursery, script)) as session:
        with pytest.raises(roost.PublishRefused, match="bob wants no messages") as refused:
            await session.publish("user/bob", "hi")
        assert refused.value.reason is Reason.BLOCKED
        assert session.unsettled == ()


async def test_what_no_broker_would_take_is_refused_here(nursery: trio.Nursery, autojump_clock: object) -> None:
    async with connect(Network(nursery, Peer.accept)) as session:
        with pytest.raises(ValueError, match="an address is"):
            await session.publish("bob", "hi")
        with pytest.raises(ValueError, match="surrogates not allowed"):
            await session.publish("user/bob", "\ud800")
        with pytest.raises(roost.PublishRefused) as refused:
            await session.publish("user/bob", "x" * (GRANTED.body_bytes_max + 1))
        assert refused.value.reason is Reason.PACKET_TOO_LARGE
        with pytest.raises(ValueError, match="limit"):
            await session.fetch(limit=1_001)
        with pytest.raises(ValueError, match="a name has no"):
            await session.subscribe(["a/b"])
        with pytest.raises(ValueError, match="users"):
            await session.create_group("many", [f"user{i}" for i in range(257)])
        assert session.unsettled == ()
        assert session.statistics().requests_waiting == 0


async def test_an_own_entry_settles_its_publish_without_a_puback(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def script(peer: Peer) -> None:
        connect_frame = await peer.accept()
        publish = await peer.expect(f.Publish)
        await peer.say(echo(1, publish, connect_frame.device))

    async with connect(Network(nursery, script)) as session:
        receipt = await session.publish("user/bob", "hi")
        assert (receipt.seq, receipt.id, receipt.retransmission) == (1, id_of(1), False)
        message = await next_of(session, roost.Message)
        assert (message.own, message.body, message.n, message.conversation) == (True, "hi", 1, "user/bob")


async def test_an_own_entry_after_the_puback_still_has_its_body(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def script(peer: Peer) -> None:
        connect_frame = await peer.accept()
        publish = await peer.expect(f.Publish)
        await peer.say(puback(1, publish))
        await trio.sleep(1)
        await peer.say(echo(1, publish, connect_frame.device))

    async with connect(Network(nursery, script)) as session:
        await session.publish("user/bob", b"data")
        message = await next_of(session, roost.Message)
        assert (message.own, message.body) == (True, b"data")


async def test_a_body_that_was_not_kept_is_fetched(nursery: trio.Nursery, autojump_clock: object) -> None:
    own = f.Publish(n=3, to="user/bob", text="long ago")

    async def script(peer: Peer) -> None:
        connect_frame = await peer.accept()
        await peer.say(echo(1, own, connect_frame.device), deliver(2), echo(3, own, connect_frame.device))
        fetch = await peer.expect(f.Fetch)
        assert (fetch.after, fetch.before, fetch.conversation) == (0, None, None)
        entries = tuple(echo(seq, own, connect_frame.device, with_body=True) for seq in (1, 3))
        await peer.say(f.Page(request=fetch.request, entries=entries))

    async with connect(Network(nursery, script)) as session:
        messages = [await next_of(session, roost.Message) for _ in range(3)]
        assert [message.body for message in messages] == ["long ago", "…", "long ago"]


async def test_a_body_that_cannot_be_fetched_either_is_none(nursery: trio.Nursery, autojump_clock: object) -> None:
    own = f.Publish(n=3, to="user/bob", text="gone")

    async def script(peer: Peer) -> None:
        connect_frame = await peer.accept()
        await peer.say(echo(1, own, connect_frame.device))
        fetch = await peer.expect(f.Fetch)
        await peer.say(f.Page(request=fetch.request, reason=Reason.SERVER_BUSY))

    async with connect(Network(nursery, script)) as session:
        message = await next_of(session, roost.Message)
        assert (message.own, message.body, message.erased) == (True, None, False)


async def test_an_entry_is_acknowledged_when_the_next_event_is_asked_for(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    acks: list[tuple[float, int]] = []

    async def script(peer: Peer) -> None:
        await peer.accept(head=2)
        await peer.say(deliver(1), deliver(2))
        while True:
            ack = await peer.expect(f.Ack)
            acks.append((trio.current_time(), ack.seq))

    async with connect(Network(nursery, script)) as session:
        start = trio.current_time()
        assert isinstance(await anext(session), roost.Connected)
        for seq in (1, 2):
            message = await anext(session)
            assert isinstance(message, roost.Message)
            assert message.seq == seq
            assert session.last_seq == seq - 1
            await trio.sleep(10)
        with trio.move_on_after(10):
            await anext(session)
        assert session.last_seq == 2
    assert acks == [(start + 10, 1), (start + 20, 2)]


async def test_with_manual_acknowledgement_nothing_else_acknowledges(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    acks: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.accept(head=3)
        await peer.say(deliver(1), deliver(2), deliver(3))
        while True:
            acks.append((await peer.expect(f.Ack)).seq)

    async with connect(Network(nursery, script), auto_acknowledge=False) as session:
        for _ in range(2):
            await next_of(session, roost.Message)
        await trio.sleep(1)
        assert acks == []
        with pytest.raises(ValueError, match="the last number handed out is 2"):
            await session.acknowledge(3)
        await session.acknowledge(2)
        await session.acknowledge(1)
        await trio.sleep(1)
        assert acks == [2]
        assert session.last_seq == 2


async def test_a_gap_is_told_and_acknowledged(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(head=9)
        await peer.say(f.Gap(first=1, last=7, reason="age"), deliver(8))
        assert (await peer.expect(f.Ack)).seq >= 7

    async with connect(Network(nursery, script)) as session:
        await anext(session)
        assert await anext(session) == roost.Gap(first=1, last=7, reason="age")
        message = await anext(session)
        assert isinstance(message, roost.Message)
        assert message.seq == 8
        assert session.last_seq == 7


async def test_other_events_come_as_they_are(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(took_over=f.Origin(by="phone-0", at=5, address="10.0.0.1:1"), resumed=False, head=2)
        await peer.say(
            f.Presence(user="bob", terminal="pc", online=True, since=4),
            f.Ephemeral(to="user/alice", sender="bob", time=5, text="typing"),
            f.Deliver(seq=1, kind="erased"),
            deliver(2, to="group/team"),
        )

    async with connect(Network(nursery, script)) as session:
        connected = await anext(session)
        assert connected == roost.Connected(
            epoch=7,
            head=2,
            position=0,
            resumed=False,
            took_over=roost.Origin(by="phone-0", at=5, address="10.0.0.1:1"),
        )
        assert await anext(session) == roost.PresenceChanged(user="bob", terminal="pc", online=True, since_ms=4)
        signal = await anext(session)
        assert isinstance(signal, roost.EphemeralReceived)
        assert (signal.sender, signal.body, signal.conversation) == ("bob", "typing", "user/bob")
        erased = await anext(session)
        assert isinstance(erased, roost.Message)
        assert (erased.seq, erased.erased, erased.body, erased.id) == (1, True, None, "")
        message = await anext(session)
        assert isinstance(message, roost.Message)
        assert message.conversation == "group/team"


async def test_only_one_task_iterates(nursery: trio.Nursery, autojump_clock: object) -> None:
    async with connect(Network(nursery, Peer.accept)) as session:
        await anext(session)
        nursery.start_soon(anext, session, None)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await anext(session)


async def test_waiting_for_an_event_can_be_cancelled_without_losing_one(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await trio.sleep(5)
        await peer.say(deliver(1))

    async with connect(Network(nursery, script)) as session:
        await anext(session)
        with trio.move_on_after(4) as scope:
            await anext(session)
        assert scope.cancelled_caught
        message = await anext(session)
        assert isinstance(message, roost.Message)


# --- the outbox as seen from outside ------------------------------------------------------------------------------


async def test_publish_waits_while_as_many_are_unsettled_as_granted(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    most_in_flight = 0

    async def script(peer: Peer) -> None:
        nonlocal most_in_flight
        await peer.accept(granted=structs.replace(GRANTED, publish_max=3))
        waiting: list[f.Publish] = []
        for seq in range(1, 21):
            while not waiting:
                with trio.move_on_after(1):
                    while True:
                        waiting.append(await peer.expect(f.Publish))
            most_in_flight = max(most_in_flight, len(waiting))
            await peer.say(puback(seq, waiting.pop(0)))

    async with connect(Network(nursery, script)) as session:
        with pytest.raises(trio.WouldBlock):  # noqa: PT012 - the fourth must not be taken
            for _ in range(4):
                session.publish_nowait("user/bob", "hi")
        assert len(session.unsettled) == 3
        receipts: list[roost.Receipt] = []

        async def publish(text: str) -> None:
            receipts.append(await session.publish("user/bob", text))

        async with trio.open_nursery() as publishers:
            for i in range(17):
                publishers.start_soon(publish, f"{i}")
        assert sorted(receipt.n for receipt in receipts) == [*range(4, 21)]
    assert most_in_flight == 3


async def test_cancelling_publish_gives_it_up(nursery: trio.Nursery, autojump_clock: object) -> None:
    network = Network(nursery)

    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.expect(f.Publish)
        await trio.sleep(10)

    async def second(peer: Peer) -> None:
        connect_frame = await peer.accept()
        publish = await peer.expect(f.Publish)
        assert (publish.n, publish.text) == (2, "kept")
        await peer.say(echo(1, f.Publish(n=1, to="user/bob", text="x"), connect_frame.device, with_body=True))
        await peer.say(puback(2, publish))

    async def cut(peer: Peer) -> None:
        await first(peer)
        await peer.cut()

    network.scripts = [cut, second]
    async with connect(network) as session:
        with trio.move_on_after(1) as scope:
            await session.publish("user/bob", "given up")
        assert scope.cancelled_caught
        assert session.unsettled == ()
        receipt = await session.publish("user/bob", "kept")
        assert receipt.n == 2
        message = await next_of(session, roost.Message)
        assert (message.n, message.own) == (1, True)  # the stream tells that it was stored after all


async def test_giving_up_ends_the_waiting_for_it(nursery: trio.Nursery, autojump_clock: object) -> None:
    async with connect(Network(nursery, Peer.accept)) as session:
        publication = session.publish_nowait("user/bob", "hi")
        assert repr(publication) == "<Publication 1 to user/bob: unsettled>"
        publication.give_up()
        publication.give_up()
        with pytest.raises(roost.ConnectionFailed, match="given up"):
            await publication.settled()
        await trio.sleep(1)
    peer = session._core  # nothing went out: it was given up before the writing task woke
    assert peer.publisher.outbox.get(1) is None


async def test_a_refusal_that_asks_to_wait_is_tried_again_in_order(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    heard: list[tuple[float, int]] = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        publishes = [await peer.expect(f.Publish) for _ in range(3)]
        begin = trio.current_time()
        for publish in (publishes[2], publishes[0], publishes[1]):
            await peer.say(f.Puback(n=publish.n, reason=Reason.MESSAGE_RATE_TOO_HIGH, retry_after_s=8))
        for seq in range(1, 5):
            again = await peer.expect(f.Publish)
            heard.append((trio.current_time() - begin, again.n))
            await peer.say(puback(seq, again))

    async with connect(Network(nursery, script)) as session:
        publications = [session.publish_nowait("user/bob", f"{i}") for i in range(3)]
        await trio.sleep(1)
        late = session.publish_nowait("user/bob", "late")
        assert [(await publication.settled()).seq for publication in [*publications, late]] == [1, 2, 3, 4]
        assert session.statistics().retried == 3
    assert [n for _, n in heard] == [1, 2, 3, 4]
    assert all(8 <= at <= 10 for at, _ in heard)


async def test_the_count_goes_on_after_what_the_broker_has_settled(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(settled_n=41)
        publish = await peer.expect(f.Publish)
        await peer.say(puback(1, publish))

    async with connect(Network(nursery, script)) as session:
        assert (await session.publish("user/bob", "hi")).n == 42


# --- requests -----------------------------------------------------------------------------------------------------


async def test_requests_are_matched_by_their_numbers(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        requests = [await peer.next() for _ in range(3)]
        for request in reversed(requests):
            match request:
                case f.Group(action="list"):
                    await peer.say(f.Result(request=request.request, groups=("team",)))
                case f.Relation(kind="contact"):
                    await peer.say(f.Result(request=request.request, users=("bob",)))
                case f.Relation():
                    await peer.say(f.Result(request=request.request, users=("mallory",)))

    answers: dict[str, Any] = {}
    async with connect(Network(nursery, script)) as session:

        async def ask(name: str) -> None:
            answers[name] = await getattr(session, name)()

        async with trio.open_nursery() as asking:
            for name in ("groups", "contacts", "blocked"):
                asking.start_soon(ask, name)
    assert answers == {"groups": ("team",), "contacts": ("bob",), "blocked": ("mallory",)}


async def test_every_request_says_what_it_should(nursery: trio.Nursery, autojump_clock: object) -> None:
    heard: list[f.Frame] = []
    state = f.DeviceState(device="phone-1", terminal="phone", this=True)

    async def script(peer: Peer) -> None:
        await peer.accept()
        while True:
            request: Any = await peer.next()
            heard.append(request)
            if isinstance(request, f.Fetch):
                await peer.say(f.Page(request=request.request, entries=(deliver(4),), more=True, floor=2, head=9))
            elif not isinstance(request, f.Ephemeral):
                await peer.say(
                    f.Result(request=request.request, members=(f.Member(user="bob", owner=True),), devices=(state,))
                )

    async with connect(Network(nursery, script)) as session:
        page = await session.fetch("user/bob", before=8, limit=20)
        assert (page.more, page.floor, page.head, [entry.seq for entry in page.entries]) == (True, 2, 9, [4])
        await session.send_ephemeral("user/bob", "typing")
        await session.subscribe(["bob", "carol"])
        await session.unsubscribe(["bob"])
        await session.create_group("team", ["bob"])
        await session.add_members("team", ["carol"])
        await session.remove_members("team", ["bob"])
        await session.leave_group("team")
        assert await session.group_members("team") == (roost.Member(user="bob", owner=True),)
        assert await session.groups() == ()
        await session.add_contact("bob")
        await session.remove_contact("bob")
        await session.block("bob")
        await session.unblock("bob")
        assert await session.devices() == (state,)
        await session.log_out("pc-1")
        await session.set_password("old", "new")
    numbered = iter(range(1, 100))
    assert heard == [
        f.Fetch(request=next(numbered), conversation="user/bob", before=8, limit=20),
        f.Ephemeral(to="user/bob", text="typing"),
        f.Subscribe(request=next(numbered), users=("bob", "carol")),
        f.Subscribe(request=next(numbered), users=("bob",), stop=True),
        f.Group(request=next(numbered), action="create", group="team", users=("bob",)),
        f.Group(request=next(numbered), action="add", group="team", users=("carol",)),
        f.Group(request=next(numbered), action="remove", group="team", users=("bob",)),
        f.Group(request=next(numbered), action="leave", group="team"),
        f.Group(request=next(numbered), action="members", group="team"),
        f.Group(request=next(numbered), action="list"),
        f.Relation(request=next(numbered), action="add", kind="contact", user="bob"),
        f.Relation(request=next(numbered), action="remove", kind="contact", user="bob"),
        f.Relation(request=next(numbered), action="add", kind="block", user="bob"),
        f.Relation(request=next(numbered), action="remove", kind="block", user="bob"),
        f.Sessions(request=next(numbered), action="list"),
        f.Sessions(request=next(numbered), action="log_out", device="pc-1"),
        f.Sessions(request=next(numbered), action="set_password", password="old", new_password="new"),
    ]


async def test_a_refused_request_raises_the_reason(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        request = await peer.expect(f.Group)
        await peer.say(f.Result(request=request.request, reason=Reason.NOT_AUTHORIZED, text="only the owner"))

    async with connect(Network(nursery, script)) as session:
        with pytest.raises(roost.RequestRefused, match="only the owner") as refused:
            await session.add_members("team", ["carol"])
        assert refused.value.reason is Reason.NOT_AUTHORIZED


async def test_an_answer_that_nobody_waits_for_any_more_is_ignored(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        first = await peer.expect(f.Group)
        second = await peer.expect(f.Group)
        await peer.say(f.Result(request=first.request, groups=("old",)), f.Result(request=99))
        await peer.say(f.Result(request=second.request, groups=("new",)))

    async with connect(Network(nursery, script)) as session:
        with trio.move_on_after(1) as scope:
            await session.groups()
        assert scope.cancelled_caught
        assert await session.groups() == ("new",)


async def test_a_request_that_can_do_no_harm_is_asked_again_after_a_reconnect(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.next()
        await peer.next()
        await peer.cut()

    async def second(peer: Peer) -> None:
        await peer.accept()
        request = await peer.expect(f.Group)
        assert request.action == "list"
        await peer.say(f.Result(request=request.request, groups=("team",)))

    async with connect(Network(nursery, first, second)) as session:

        async def create() -> None:
            with pytest.raises(roost.ConnectionFailed, match="unknown"):
                await session.create_group("team")

        async with trio.open_nursery() as asking:
            asking.start_soon(create)
            assert await session.groups() == ("team",)


async def test_a_request_that_kills_every_connection_is_given_up(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.expect(f.Fetch)
        await peer.cut()

    network = Network(nursery, script)
    async with connect(network) as session:
        with pytest.raises(roost.ConnectionFailed):
            await session.fetch()
        assert len(network.peers) == 3


async def test_presence_is_followed_again_after_a_reconnect(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        for _ in range(2):
            request = await peer.expect(f.Subscribe)
            await peer.say(f.Result(request=request.request))
        await trio.sleep(1)
        await peer.cut()

    async def second(peer: Peer) -> None:
        await peer.accept()
        request = await peer.expect(f.Subscribe)
        assert request.users == ("bob",)
        await peer.say(f.Presence(user="bob", online=False), f.Result(request=request.request))

    async with connect(Network(nursery, first, second)) as session:
        await session.subscribe(["carol", "bob"])
        await session.unsubscribe(["carol"])
        assert (await next_of(session, roost.PresenceChanged)).terminal is None


async def test_an_ephemeral_message_waits_for_room_and_is_dropped_offline(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.cut()

    async with connect(Network(nursery, first, Peer.accept)) as session:
        await trio.testing.wait_all_tasks_blocked()
        assert not session.connected
        await session.send_ephemeral("user/bob", "typing")  # nobody will ever hear it
        await next_of(session, roost.Disconnected)
        await next_of(session, roost.Connected)
        for _ in range(200):
            await session.send_ephemeral("user/bob", b"typing")
        with pytest.raises(roost.PublishRefused):
            await session.send_ephemeral("user/bob", b"x" * (GRANTED.body_bytes_max + 1))


# --- the end ------------------------------------------------------------------------------------------------------


async def test_leaving_says_goodbye_and_ends_everything(nursery: trio.Nursery, autojump_clock: object) -> None:
    network = Network(nursery, Peer.accept)
    async with connect(network) as session:
        publication = session.publish_nowait("user/bob", "last words")
        other = session
    with pytest.raises(roost.SessionEnded, match="left"):
        await publication.settled()
    with pytest.raises(roost.SessionEnded):
        await other.publish("user/bob", "too late")
    with pytest.raises(roost.SessionEnded):
        await other.groups()
    assert await all_of(other) == []
    assert "ended" in repr(other)
    await trio.sleep(1)
    heard = network.peers[0].heard
    assert [type(frame) for frame in heard] == [f.Connect, f.Publish, f.Disconnect]


async def test_aclose_ends_the_iteration_of_another_task(nursery: trio.Nursery, autojump_clock: object) -> None:
    seen: list[roost.Event] = []
    async with connect(Network(nursery, Peer.accept)) as session:

        async def listen() -> None:
            seen.extend(await all_of(session))

        async with trio.open_nursery() as listening:
            listening.start_soon(listen)
            await trio.sleep(1)
            await session.aclose()
        await session.aclose()
    assert [type(event) for event in seen] == [roost.Connected]


async def test_an_exception_of_the_block_comes_out_as_it_is(nursery: trio.Nursery, autojump_clock: object) -> None:
    network = Network(nursery, Peer.accept)
    with pytest.raises(KeyError, match="mine"):
        async with connect(network):
            raise KeyError("mine")
    await trio.sleep(1)
    assert isinstance(network.peers[0].heard[-1], f.Disconnect)


async def test_a_cancelled_block_still_says_goodbye(nursery: trio.Nursery, autojump_clock: object) -> None:
    network = Network(nursery, Peer.accept)
    with trio.move_on_after(5) as scope:
        async with connect(network) as session:
            await all_of(session)
    assert scope.cancelled_caught
    await trio.sleep(1)
    assert isinstance(network.peers[0].heard[-1], f.Disconnect)


async def test_leaving_takes_no_longer_than_its_time_whatever_the_broker_does(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await trio.sleep_forever()

    async with connect(Network(nursery, script)):
        start = trio.current_time()
    assert trio.current_time() - start <= 2.5
    nursery.cancel_scope.cancel()
