"""Explain on a whole broker: what it says of every entry and device is what the test knows to be true."""

from random import Random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from broker.house import Device, House, in_house, open_house
from roost_broker.administration import NotDone
from roost_broker.store.memory import MemoryStore
from roost_broker.store.operations import Retention, SetRelation, Trim
from roost_protocol.admin.explain import DeviceExplained, ExplainEntry, ExplainMessage, Explanation
from roost_protocol.admin.groups import GroupChange, GroupCreate
from roost_protocol.admin.sessions import Kick
from roost_protocol.frames import Ack, Deliver, Disconnect, Gap
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason

NOTED_S = 2.5
"""By then whatever happened is in the journal."""


async def explain(house: House, user: str, seq: int, terminal: str | None = None) -> Explanation:
    await trio.sleep(NOTED_S)
    return await house.broker.admin.explain.entry(user, str(seq), ExplainEntry(terminal=terminal))


async def device_of(house: House, user: str, seq: int, terminal: str = "phone") -> DeviceExplained:
    """What is said of the one device on this terminal type."""
    (inbox,) = (await explain(house, user, seq, terminal)).inboxes
    (device,) = inbox.devices
    return device


def steps(device: DeviceExplained) -> list[str]:
    return [step.what for step in device.steps]


@in_house()
async def test_an_entry_that_was_pushed_and_acknowledged(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await trio.sleep(10)
    before = house.core.now_ms()
    await alice.publish(1, "user/bob")
    assert await bob.seqs() == [1]
    await bob.say(Ack(seq=1))
    found = await explain(house, "bob", 1)
    (inbox,) = found.inboxes
    assert (inbox.user, inbox.seq, inbox.state) == ("bob", 1, "kept")
    (device,) = inbox.devices
    assert (device.device, device.terminal, device.verdict) == ("bob-phone", "phone", "acknowledged")
    assert steps(device) == ["logged in", "pushed", "acknowledged"]
    logged_in, pushed, acknowledged = device.steps
    assert logged_in.at < before <= (pushed.since or 0) <= pushed.at <= before + 2_000
    assert pushed.at <= acknowledged.at <= before + 3_000
    assert {step.session for step in device.steps} == {bob.connack.epoch}


@in_house()
async def test_the_message_itself(house: House) -> None:
    alice = await house.log_in("alice", "pc")
    await alice.publish(1, "user/bob", "first")
    published = await alice.publish(2, "user/bob", "größer", content_type="text/markdown")
    found = (await explain(house, "bob", 2)).message
    assert found is not None
    assert (found.id, found.sender, found.to, found.time) == (published.id, "alice", "user/bob", published.time)
    assert (found.content_type, found.body_bytes, found.device, found.n) == ("text/markdown", 8, "alice-pc", 2)
    assert (found.inboxes, found.released, found.batch_place, found.batch_size) == (2, 0, 1, 1)


@in_house()
async def test_why_not_yet(house: House) -> None:
    alice = await house.log_in("alice")
    bob = await house.log_in("bob", receive_max=3)
    for n in range(1, 6):
        await alice.publish(n, "user/bob")
    assert await bob.seqs() == [1, 2, 3]
    await bob.say(Ack(seq=1))
    assert await bob.seqs() == [4]
    assert (await device_of(house, "bob", 1)).verdict == "acknowledged"
    assert (await device_of(house, "bob", 2)).verdict == "in window"
    assert (await device_of(house, "bob", 4)).verdict == "in window"
    waiting = await device_of(house, "bob", 5)
    assert (waiting.verdict, "0 entries come before it" in waiting.text) == ("waiting", True)
    assert steps(waiting) == ["logged in"]


@in_house()
async def test_a_device_that_is_away_and_why(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.broker.admin.sessions.kick(Kick(user="bob", text="go home"))
    await alice.publish(1, "user/bob")
    away = await device_of(house, "bob", 1)
    assert away.verdict == "offline"
    assert steps(away) == ["logged in", "closed"]
    assert "administrative action by admin (go home)" in away.steps[-1].text
    assert away.text.startswith("administrative action by admin (go home); ")
    assert away.since == away.steps[-1].at
    await house.broker.admin.users.disable("bob")
    found = await house.broker.admin.explain.entry("bob", "1")
    assert "disabled" in found.inboxes[0].text
    await house.broker.admin.users.enable("bob")
    await bob.expect_dismissal(Reason.ADMINISTRATIVE_ACTION)
    bob = await house.log_in("bob")
    assert await bob.seqs() == [1]
    await bob.say(Ack(seq=1))
    here = await device_of(house, "bob", 1)
    assert here.verdict == "acknowledged"
    assert steps(here) == ["logged in", "closed", "logged in", "pushed", "acknowledged"]


@in_house()
async def test_pushed_and_not_acknowledged_before_the_connection_was_lost(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await alice.publish(1, "user/bob")
    assert await bob.seqs() == [1]
    bob.stream.cut()
    away = await device_of(house, "bob", 1)
    assert away.verdict == "offline"
    assert steps(away) == ["logged in", "pushed", "closed"]
    assert away.steps[-1].text == "the session ended: the connection was lost"


@in_house()
async def test_a_device_that_says_it_has_it_or_wants_newer_ones(house: House) -> None:
    alice = await house.log_in("alice")
    for n in range(1, 4):
        await alice.publish(n, "user/bob")
    await house.log_in("bob", "phone", last_seq=2)
    await house.log_in("bob", "pc", newest=1)
    for terminal in ("phone", "pc"):
        assert (await device_of(house, "bob", 2, terminal)).verdict == "passed over"
        assert (await device_of(house, "bob", 3, terminal)).verdict == "in window"


@in_house()
async def test_lost_to_retention_told_or_not_yet(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    await house.log_in("bob", "pc")
    await bob.say(Disconnect())
    house.session("bob", "pc").disconnect(Disconnect())
    for n in range(1, 6):
        await alice.publish(n, "user/bob")
    house.store.commit([Trim(retention=Retention(count=2), users_max=9, entries_max=99)], house.core.now_ms())
    found = await explain(house, "bob", 2)
    assert found.message is None
    (inbox,) = found.inboxes
    assert (inbox.state, "by count" in inbox.text) == ("trimmed", True)
    assert [device.verdict for device in inbox.devices] == ["lost", "lost"]
    await house.log_in("bob")
    phone = await device_of(house, "bob", 2)
    assert (phone.verdict, phone.steps[-1].what) == ("lost", "gap told")
    assert "1 to 3 are gone" in phone.steps[-1].text


@in_house()
async def test_a_message_to_a_group(house: House) -> None:
    await house.broker.admin.groups.create(GroupCreate(name="team", owner="alice", members=("bob", "carol")))
    alice = await house.log_in("alice")
    await house.log_in("bob")
    published = await alice.publish(1, "group/team")
    await house.broker.admin.groups.change("team", GroupChange(remove=("carol",)))
    await house.broker.create_user("dave", "x")
    await house.broker.admin.groups.change("team", GroupChange(add=("dave",)))
    await trio.sleep(NOTED_S)
    found = await house.broker.admin.explain.message(published.id or "")
    assert [(inbox.user, inbox.seq) for inbox in found.inboxes] == [("alice", 1), ("bob", 1), ("carol", 1)]
    assert [len(inbox.devices) for inbox in found.inboxes] == [1, 1, 0]
    assert found.message is not None
    assert found.message.inboxes == 3
    only = await house.broker.admin.explain.message(published.id or "", ExplainMessage(user="bob"))
    assert [inbox.user for inbox in only.inboxes] == ["bob"]


@in_house()
async def test_a_direct_message_that_one_side_has_trimmed(house: House) -> None:
    alice = await house.log_in("alice")
    published = await alice.publish(1, "user/bob")
    trim = Trim(retention=Retention(count=0), after=house.number("alice") - 1, users_max=1, entries_max=9)
    house.store.commit([trim], house.core.now_ms())
    found = await house.broker.admin.explain.message(published.id or "")
    assert [(inbox.user, inbox.state) for inbox in found.inboxes] == [("alice", "trimmed"), ("bob", "kept")]
    assert found.message is not None
    assert found.message.released == 1


@pytest.mark.parametrize(
    ("user", "seq", "reason"),
    [
        ("nobody", "1", Reason.NOT_FOUND),
        ("alice", "1", Reason.NOT_FOUND),
        ("alice", "0", Reason.MALFORMED_PACKET),
        ("alice", "-1", Reason.MALFORMED_PACKET),
        ("alice", "x", Reason.MALFORMED_PACKET),
        ("alice", "٣", Reason.MALFORMED_PACKET),
        ("alice", "9" * 40, Reason.MALFORMED_PACKET),
    ],
)
@in_house()
async def test_what_cannot_be_explained(house: House, user: str, seq: str, reason: Reason) -> None:
    with pytest.raises(NotDone) as caught:
        await house.broker.admin.explain.entry(user, seq)
    assert caught.value.reason == reason


@pytest.mark.parametrize("message_id", ["", "x", "0" * 15, "G" * 16, "0" * 16])
@in_house()
async def test_a_message_that_is_none(house: House, message_id: str) -> None:
    with pytest.raises(NotDone):
        await house.broker.admin.explain.message(message_id)


def test_what_a_broker_that_stopped_without_a_word_leaves_unknown_is_said() -> None:
    store = MemoryStore(limits=Limits(), random=Random(1))  # noqa: S311

    async def main() -> None:
        with trio.CancelScope() as power:
            async with open_house(store=store) as house:
                alice, bob = await house.log_in("alice"), await house.log_in("bob")
                await alice.publish(1, "user/bob")
                assert await bob.seqs() == [1]
                await trio.sleep(NOTED_S)
                await alice.publish(2, "user/bob")
                await bob.expect(Deliver)
                last_heard = house.core.now_ms()
                power.cancel()
                await trio.sleep_forever()
        await trio.sleep(100)
        async with open_house(store=store, users=()) as house:
            device = await device_of(house, "bob", 2)
            assert device.verdict == "offline"
            assert device.steps[-1].what == "cut off"
            assert device.steps[-1].at <= last_heard
            assert "unknown" in device.steps[-1].text
            assert steps(await device_of(house, "bob", 1)) == ["logged in", "pushed", "cut off"]

    trio.run(main, clock=MockClock(autojump_threshold=0))


# --- against the truth --------------------------------------------------------------------------------------------

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 4)),
        st.tuples(st.just("log in"), st.sampled_from(["a", "b"]), st.integers(0, 3)),
        st.tuples(st.just("acknowledge"), st.integers(0, 3)),
        st.tuples(st.just("leave"), st.booleans()),
        st.tuples(st.just("trim"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.integers(0, 3)),
    ),
    min_size=4,
    max_size=20,
)


class Truth:
    """What a device of bob's went through, number by number."""

    def __init__(self) -> None:
        self.pushed: set[int] = set()
        self.acknowledged: set[int] = set()
        self.passed: set[int] = set()
        self.gaps: set[int] = set()
        self.position = 0
        self.held = 0


class Play:
    """Bob's devices on one terminal type, of which one is connected, and alice who writes to him."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.truths = {"a": Truth(), "b": Truth()}
        self.here: tuple[str, Device] | None = None
        self.n = 0

    async def do(self, alice: Device, action: tuple[str, *tuple[object, ...]]) -> None:
        match action:
            case ("publish", int(count)):
                for _ in range(count):
                    self.n += 1
                    await alice.publish(self.n, "user/bob")
            case ("log in", str(device), int(back)):
                await self.log_in(device, back)
            case ("acknowledge", int(back)) if self.here is not None:
                await self.hear()
                await self.acknowledge(back)
            case ("leave", bool(politely)) if self.here is not None:
                await self.hear()
                if politely:
                    await self.here[1].say(Disconnect())
                else:
                    self.here[1].stream.cut()
                self.here = None
                await trio.sleep(0.1)
            case ("trim", int(count)):
                await self.hear()
                trim = Trim(retention=Retention(count=count), users_max=9, entries_max=99)
                result = self.house.store.commit([trim], self.house.core.now_ms())
                self.house.core.trimmed(result[0])  # type: ignore[arg-type]
            case ("wait", int(seconds)):
                await trio.sleep(seconds)
        await self.hear()

    async def log_in(self, device: str, back: int) -> None:
        await self.hear()
        truth = self.truths[device]
        last_seq = max(0, truth.held - back)
        came = await self.house.log_in("bob", "phone", device, last_seq=last_seq)
        self.here = (device, came)
        truth.position = truth.held = last_seq
        head = came.connack.head
        truth.passed |= set(range(1, last_seq + 1)) - truth.acknowledged
        for numbers in (truth.passed, truth.gaps):
            numbers -= set(range(last_seq + 1, head + 1))

    async def acknowledge(self, back: int) -> None:
        assert self.here is not None
        truth = self.truths[self.here[0]]
        seq = max(truth.held, truth.position - back)
        await self.here[1].say(Ack(seq=seq))
        truth.acknowledged |= set(range(truth.held + 1, seq + 1)) - truth.gaps
        truth.held = seq

    async def hear(self) -> None:
        if self.here is None:
            return
        device, came = self.here
        truth = self.truths[device]
        for frame in await came.rest(0.2):
            if isinstance(frame, Deliver):
                truth.position = frame.seq
                truth.pushed.add(frame.seq)
            elif isinstance(frame, Gap):
                truth.position = frame.last
                truth.gaps |= set(range(frame.first, frame.last + 1))

    def expected(self, device: str, seq: int, floor: int) -> set[str]:
        """The verdicts that are true."""
        truth = self.truths[device]
        if seq in truth.acknowledged:
            return {"acknowledged"}
        if seq in truth.passed:
            return {"passed over"}
        if seq in truth.gaps:
            return {"lost", "acknowledged"}  # a cumulative ACK after a gap covers it
        if self.here is not None and self.here[0] == device:
            return {"in window"} if truth.position >= seq else {"waiting", "lost"}
        return {"lost"} if seq < floor else {"offline"}


@settings(max_examples=settings().max_examples, deadline=None)
@given(ACTIONS)
def test_every_verdict_is_true(actions: list[tuple[str, *tuple[object, ...]]]) -> None:
    async def main() -> None:
        async with open_house(limits={"takeovers_max": 1_000}) as house:
            play = Play(house)
            alice = await house.log_in("alice")
            await house.log_in("bob", "phone", "b")
            play.here = ("b", await house.log_in("bob", "phone", "b"))
            for action in actions:
                await play.do(alice, action)
            await trio.sleep(NOTED_S)
            await play.hear()
            await check_verdicts(house, play)

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def check_verdicts(house: House, play: Play) -> None:
    page = house.store.read_inbox(house.number("bob"), 0, 1, 1)
    for seq in range(1, page.head + 1):
        found = await house.broker.admin.explain.entry("bob", str(seq))
        for device in found.inboxes[0].devices:
            expected = play.expected(device.device, seq, page.floor)
            assert device.verdict in expected, (seq, device, expected)
            whats = steps(device)
            truth = play.truths[device.device]
            assert seq in truth.pushed or "pushed" not in whats, (seq, device)
            assert "acknowledged" not in whats or seq in truth.acknowledged, (seq, device)


@in_house()
async def test_a_publish_that_was_refused_is_explained(house: House) -> None:
    alice = await house.log_in("alice")
    block = SetRelation(user=house.number("bob"), kind="block", other="alice", present=True)
    await house.core.batcher.run(block)
    stored = await alice.publish(1, "user/carol")
    await alice.publish(2, "user/bob")
    explain = house.broker.admin.explain
    (device,) = (await house.broker.admin.devices.list("alice")).devices
    first, second, third = [await explain.publish("alice", device.device, str(n)) for n in (1, 2, 3)]
    assert (first.state, first.seq, first.reason) == ("stored", stored.seq, None)
    assert (second.state, second.seq, second.reason) == ("refused", None, "blocked")
    assert (third.state, third.settled_n) == ("not settled", 2)
    with pytest.raises(NotDone, match="there are: "):
        await explain.publish("alice", "none", "1")
    with pytest.raises(NotDone, match="a number is 1 to"):
        await explain.publish("alice", device.device, "0")
