"""Presence: the directory by itself against a plain model, and what devices are told of each other."""

from typing import Literal, NamedTuple, cast

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from broker.house import Device, House, in_house
from roost_broker.presence import Directory
from roost_broker.session import Session
from roost_protocol.frames import Deliver, Disconnect, Frame, Presence, Relation, Result, Subscribe
from roost_protocol.limits import KIB
from roost_protocol.reasons import Reason

USERS = (1, 2, 3)
TERMINALS = ("phone", "pc")


class Somebody:
    """What the directory looks at in a session."""

    def __init__(self, user: int, terminal: str, epoch: int) -> None:
        self.user = user
        self.terminal = terminal
        self.epoch = epoch
        self.watching: set[int] = set()


class Act(NamedTuple):
    """Come, go, watch or unwatch; `other` is whom."""

    what: str
    user: int
    terminal: str
    other: int


ACTS = st.lists(
    st.builds(
        Act,
        st.sampled_from(["come", "go", "watch", "unwatch"]),
        st.sampled_from(USERS),
        st.sampled_from(TERMINALS),
        st.sampled_from(USERS),
    ),
    max_size=50,
)


@given(acts=ACTS)
def test_the_directory_is_a_plain_table(acts: list[Act]) -> None:
    directory = Directory()
    here: dict[tuple[int, str], Session] = {}
    watching: set[tuple[int, int]] = set()  # (epoch of the watcher, user)
    for epoch, (what, user, terminal, other) in enumerate(acts):
        key = (user, terminal)
        session = here.get(key)
        if what == "come" and session is None:
            here[key] = session = cast("Session", Somebody(user, terminal, epoch))
            directory.add(session)
        elif what == "come" and session is not None:
            with pytest.raises(AssertionError, match="a second live session"):
                directory.add(cast("Session", Somebody(user, terminal, epoch)))
        elif session is not None and what == "go":
            assert directory.remove(here.pop(key))
            assert not directory.remove(session), "once"
            for followed in tuple(session.watching):
                directory.unwatch(session, followed)
            watching -= {pair for pair in watching if pair[0] == session.epoch}
        elif session is not None and what == "watch":
            directory.watch(session, other)
            watching.add((session.epoch, other))
        elif session is not None:
            directory.unwatch(session, other)
            watching.discard((session.epoch, other))

        assert len(directory) == len(here)
        assert set(directory) == set(here.values())
        for number in USERS:
            assert set(directory.of(number)) == {each for (whose, _), each in here.items() if whose == number}
            assert [each.epoch for each in directory.watchers(number)] == sorted(e for e, u in watching if u == number)
            for kind in TERMINALS:
                assert directory.get(number, kind) is here.get((number, kind))
    assert len(vars(directory)["_watchers"]) == len({user for _, user in watching}), "nothing is left behind"
    assert len(vars(directory)["_sessions"]) == len({user for user, _ in here})


# --- what devices are told ---------------------------------------------------------------------------------------


def told(frames: list[Frame]) -> list[tuple[str, str | None, bool]]:
    """User, terminal type and whether he is there, of every PRESENCE; nothing else came."""
    assert all(isinstance(frame, Presence) for frame in frames), frames
    return [(frame.user, frame.terminal, frame.online) for frame in frames if isinstance(frame, Presence)]


async def follow(device: Device, *users: str) -> list[tuple[str, str | None, bool]]:
    """Subscribe, with success; what was told of it at once."""
    await device.say(Subscribe(request=1, users=users))
    result = await device.pick(Result)
    assert result.reason == Reason.SUCCESS, result
    return told(await device.rest())


@in_house()
async def test_who_follows_is_told_what_is_and_what_changes(house: House) -> None:
    carol = await house.log_in("carol")
    await house.log_in("alice", "phone")
    await house.log_in("alice", "pc")
    assert await follow(carol, "alice", "bob") == [
        ("alice", "phone", True), ("alice", "pc", True), ("bob", None, False),
    ]  # fmt: skip
    bob = await house.log_in("bob", "pad")
    assert told(await carol.rest()) == [("bob", "pad", True)]
    await bob.say(Disconnect())
    assert told(await carol.rest()) == [("bob", "pad", False)]


@in_house()
async def test_since_is_when_it_began(house: House) -> None:
    carol = await house.log_in("carol")
    await trio.sleep(5)
    await house.log_in("alice")
    since = house.session("alice").since_ms
    await follow(carol, "bob")
    await carol.say(Subscribe(request=2, users=("alice",)))
    assert (await carol.pick(Presence)).since == since


@in_house()
async def test_a_takeover_is_told_as_it_is(house: House) -> None:
    carol = await house.log_in("carol")
    await house.log_in("alice", "pc", "a1")
    await follow(carol, "alice")
    await house.log_in("alice", "pc", "a2")
    changes = told(await carol.rest())
    assert changes[-1] == ("alice", "pc", True)


@in_house()
async def test_who_stops_following_or_leaves_is_told_no_more(house: House) -> None:
    carol, bob = await house.log_in("carol"), await house.log_in("bob")
    await follow(carol, "alice")
    await follow(bob, "alice")
    await carol.say(Subscribe(request=2, users=("alice",), stop=True))
    assert (await carol.expect(Result)).request == 2
    await bob.say(Disconnect())
    await bob.expect_end()
    await house.log_in("alice")
    await carol.expect_silence()
    assert not house.core.directory.watchers(house.number("alice"))


@in_house()
async def test_nothing_is_left_of_those_who_are_gone(house: House) -> None:
    carol = await house.log_in("carol")
    alice = await house.log_in("alice")
    await follow(carol, "alice", "bob")
    await carol.say(Subscribe(request=2, users=("bob",), stop=True))
    await carol.expect(Result)
    assert set(house.core.names.values()) == {"alice", "carol"}
    for device in (carol, alice):
        await device.say(Disconnect())
        await device.expect_end()
    assert house.core.names == {}
    assert len(house.core.directory) == 0


@in_house()
async def test_following_somebody_unknown_changes_nothing(house: House) -> None:
    carol = await house.log_in("carol")
    await carol.say(Subscribe(request=1, users=("alice", "nobody")))
    result = await carol.expect(Result)
    assert (result.reason, result.text) == (Reason.NOT_FOUND, "there is no user 'nobody'")
    await house.log_in("alice")
    await carol.expect_silence()


@in_house(limits={"subscriptions_max": 2})
async def test_a_session_follows_so_many(house: House) -> None:
    carol = await house.log_in("carol")
    await follow(carol, "alice", "bob")
    await follow(carol, "alice", "alice")
    await carol.say(Subscribe(request=3, users=("carol",)))
    assert (await carol.expect(Result)).reason == Reason.QUOTA_EXCEEDED
    await carol.say(Subscribe(request=4, users=("bob",), stop=True))
    assert (await carol.expect(Result)).reason == Reason.SUCCESS
    assert await follow(carol, "carol") == [("carol", "phone", True)]


async def block(blocker: Device, user: str, action: Literal["add", "remove"] = "add") -> None:
    await blocker.say(Relation(request=9, action=action, kind="block", user=user))
    assert (await blocker.pick(Result)).reason == Reason.SUCCESS


@in_house()
async def test_who_was_blocked_sees_somebody_who_is_offline(house: House) -> None:
    carol, alice = await house.log_in("carol"), await house.log_in("alice")
    await block(alice, "carol")
    assert await follow(carol, "alice") == [("alice", None, False)]
    await house.log_in("alice", "pc")
    await carol.expect_silence()


@in_house()
async def test_who_is_blocked_meanwhile_sees_somebody_go_offline(house: House) -> None:
    carol, alice = await house.log_in("carol"), await house.log_in("alice")
    bob = await house.log_in("bob")
    await follow(carol, "alice")
    await follow(bob, "alice")
    await block(alice, "carol")
    assert told(await carol.rest()) == [("alice", None, False)]
    await house.log_in("alice", "pc")
    assert told(await bob.rest()) == [("alice", "pc", True)], "others still see it"
    await carol.expect_silence()
    await block(alice, "carol", "remove")
    assert await follow(carol, "alice") == [("alice", "phone", True), ("alice", "pc", True)]


@in_house()
async def test_a_contact_changes_nothing_for_presence(house: House) -> None:
    carol, alice = await house.log_in("carol"), await house.log_in("alice")
    await follow(carol, "alice")
    await alice.say(Relation(request=1, action="add", kind="contact", user="carol"))
    await alice.expect(Result)
    await carol.expect_silence()


@in_house(offload_s=1.0, commit_s=0.1)
async def test_a_block_while_somebody_subscribes_is_not_missed(house: House) -> None:
    """However the block falls between the look at it and the entry among those who follow."""
    carol, alice = await house.log_in("carol"), await house.log_in("alice")
    for pause in range(0, 80, 4):
        await carol.say(Subscribe(request=1, users=("alice",)))
        await trio.sleep(pause / 10)
        await block(alice, "carol")
        await carol.pick(Result)
        await carol.rest(10)
        assert not house.core.directory.watchers(house.number("alice")), pause
        await block(alice, "carol", "remove")


@in_house(offload_s=1.0)
async def test_one_begins_to_follow_while_the_last_one_stops(house: House) -> None:
    """The name of the one who is followed is there for the one that comes, whatever the other does."""
    carol, bob = await house.log_in("carol"), await house.log_in("bob")
    for pause in range(0, 60, 4):
        assert await follow(bob, "alice") == [("alice", None, False)]
        await carol.say(Subscribe(request=1, users=("alice",)))
        await trio.sleep(pause / 10)
        await bob.say(Subscribe(request=2, users=("alice",), stop=True))
        assert told([frame for frame in await carol.rest(20) if isinstance(frame, Presence)]) == [
            ("alice", None, False)
        ]
        await carol.say(Subscribe(request=2, users=("alice",), stop=True))
        await carol.expect(Result)
        await bob.pick(Result)


@in_house(offload_s=1.0)
async def test_a_session_that_ends_while_it_subscribes_leaves_nothing(house: House) -> None:
    for pause in range(0, 60, 4):
        carol = await house.log_in("carol")
        await carol.say(Subscribe(request=1, users=("alice", "bob")))
        await trio.sleep(pause / 10)
        carol.stream.cut()
        await house.log_in("carol", device="carol-two")  # ends the other at once
        await trio.sleep(20)
        assert not house.core.directory.watchers(house.number("alice"))
        assert set(house.core.names.values()) == {"carol"}
        await (await house.log_in("carol")).say(Disconnect())


# --- a device that does not read ---------------------------------------------------------------------------------

SMALL = {"write_buffer_bytes_max": 64 * KIB}


async def stop_up(house: House, user: str, sender: str) -> None:
    """Fill the outlet of a session that does not read."""
    outlet = house.session(user).link.outlet
    writer = await house.log_in(sender)
    n = 0
    while not outlet.full:
        n += 1
        await writer.publish(n, f"user/{user}", "x" * 20_000)
    await writer.say(Disconnect())


@in_house(limits=SMALL)
async def test_a_device_that_does_not_read_is_told_the_outcome_of_many_changes(house: House) -> None:
    carol = await house.log_in("carol")
    await follow(carol, "alice")
    await stop_up(house, "carol", "bob")
    pending = house.session("carol").link.outlet.pending_bytes
    for _ in range(10):
        alice = await house.log_in("alice", "pad")
        await alice.say(Disconnect())
        await alice.expect_end()
    await house.log_in("alice", "pc")
    assert house.session("carol").link.outlet.pending_bytes == pending, "nothing was queued for it"
    frames = [frame for frame in await carol.rest() if not isinstance(frame, Deliver)]
    assert told(frames) == [("alice", "pad", False), ("alice", "pc", True)]


@in_house(limits=SMALL)
async def test_a_device_that_does_not_read_is_told_who_went_where_of_several_places(house: House) -> None:
    carol = await house.log_in("carol")
    pad = await house.log_in("alice", "pad")
    await house.log_in("alice", "pc")
    assert len(await follow(carol, "alice")) == 2
    await stop_up(house, "carol", "bob")
    await pad.say(Disconnect())
    await pad.expect_end()
    frames = [frame for frame in await carol.rest() if not isinstance(frame, Deliver)]
    assert told(frames) == [("alice", "pad", False)]


@in_house(limits=SMALL)
async def test_a_device_that_does_not_read_learns_nothing_of_who_has_blocked_it_since(house: House) -> None:
    carol = await house.log_in("carol")
    await follow(carol, "alice", "bob")
    await stop_up(house, "carol", "bob")
    alice = await house.log_in("alice", "pc")
    await block(alice, "carol")
    frames = [frame for frame in await carol.rest() if not isinstance(frame, Deliver)]
    assert ("alice", None, False) in told(frames)
    assert not [each for each in told(frames) if each[0] == "alice" and each[2]], "she is offline, for carol"


@in_house(limits=SMALL)
async def test_a_device_that_does_not_read_and_follows_no_more_is_told_nothing(house: House) -> None:
    """Its SUBSCRIBE was on the way before; the broker reads it as soon as it can write."""
    carol = await house.log_in("carol")
    await follow(carol, "alice")
    await stop_up(house, "carol", "bob")
    await house.log_in("alice", "pc")
    house.core.unwatch(house.session("carol"), house.number("alice"))
    assert not [frame for frame in await carol.rest() if isinstance(frame, Presence)]
