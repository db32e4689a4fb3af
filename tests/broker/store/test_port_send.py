"""Messages that no device publishes: stored like any other, decided like any other, and nobody's publish."""

from broker.store.world import World, reason_of
from roost_broker.store.operations import (
    CreateGroup,
    CreateUser,
    OperationResult,
    PublishMessage,
    SendMessage,
    Sent,
    SetRelation,
    Trim,
)
from roost_broker.store.operations import Retention as Policy
from roost_protocol.codec import decode_entry
from roost_protocol.reasons import Reason


def message(world: World, name: str, to: str, text: str | None = "from afar", data: bytes | None = None) -> SendMessage:
    sender = world.numbers.get(name, 99)
    return SendMessage(sender=sender, sender_name=name, to=to, content_type="text/plain", text=text, data=data)


def send(world: World, name: str, to: str) -> Sent:
    result = world.one(message(world, name, to))
    assert isinstance(result, Sent), result
    return result


def test_it_is_in_every_inbox_under_the_next_number(world: World) -> None:
    world.users("alice", "bob", "carol")
    phone = world.login("alice")
    world.publish(phone, "user/bob")
    sent = send(world, "alice", "user/bob")
    assert (sent.seq, sent.entries, sent.time) == (2, ((1, 2), (2, 2)), world.now_ms)
    world.one(CreateGroup(name="team", owner=3, members=("alice", "bob")))
    assert send(world, "carol", "group/team").entries == ((3, 1), (1, 3), (2, 3))
    assert send(world, "bob", "user/bob").entries == ((2, 4),)
    entry = decode_entry(sent.encoded)
    assert (entry.id, entry.sender, entry.to, entry.time, entry.text) == (
        sent.id,
        "alice",
        "user/bob",
        sent.time,
        "from afar",
    )
    assert [stored.encoded for stored in world.store.read_inbox(2, 1, 1, 1).entries] == [sent.encoded]


def test_for_its_sender_it_is_his_own_and_of_no_device(world: World) -> None:
    world.users("alice", "bob")
    world.login("alice")
    send(world, "alice", "user/bob")
    (own,) = world.store.read_inbox(1, 0, 9, 9_999).entries
    assert (own.kind, own.device_id, own.n) == ("own", None, None)
    (theirs,) = world.store.read_inbox(2, 0, 9, 9_999).entries
    assert (theirs.kind, theirs.device_id, theirs.n) == ("message", None, None)


def test_it_settles_no_publish(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")
    send(world, "alice", "user/bob")
    assert world.store.devices(1)[0].settled_n == 0
    assert world.publish(phone, "user/bob", n=1).seq == 2


def test_why_it_is_not_sent(world: World) -> None:
    world.users("alice", "bob")
    world.one(SetRelation(user=2, kind="block", other="alice", present=True))
    world.one(CreateGroup(name="team", owner=2))

    def refusal(name: str, to: str) -> Reason:
        return reason_of(world.one(message(world, name, to)))

    assert refusal("nobody", "user/bob") == Reason.NOT_FOUND
    assert refusal("alice", "user/nobody") == Reason.UNKNOWN_RECIPIENT
    assert refusal("alice", "user/bob") == Reason.BLOCKED
    assert refusal("alice", "group/team") == Reason.NOT_A_MEMBER
    assert world.store.statistics().entries == 0


def test_a_recipient_who_comes_later_is_found(world: World) -> None:
    """A route that was remembered as a refusal is forgotten with the reason for it."""
    world.users("alice")
    assert reason_of(world.one(message(world, "alice", "user/bob"))) == Reason.UNKNOWN_RECIPIENT
    world.one(CreateUser(name="bob", password_hash="x"))
    assert send(world, "alice", "user/bob").entries == ((1, 1), (2, 1))


def test_in_one_batch_with_publishes_numbers_follow_one_another(world: World) -> None:
    world.users("alice", "bob")
    phone = world.login("alice")

    def numbers(results: list[OperationResult]) -> list[tuple[tuple[int, int], ...]]:
        return [getattr(result, "entries", ()) for result in results]

    publishes: list[PublishMessage] = [world.message(phone, "user/bob") for _ in range(2)]
    mixed = [publishes[0], message(world, "bob", "user/alice", None, b"\x00\xff"), publishes[1]]
    assert numbers(world.do(*mixed)) == [((1, 1), (2, 1)), ((2, 2), (1, 2)), ((1, 3), (2, 3))]


def test_it_is_trimmed_like_any_other(world: World) -> None:
    world.users("alice", "bob")
    send(world, "alice", "user/bob")
    world.one(Trim(retention=Policy(count=0), users_max=9, entries_max=9))
    sizes = world.store.statistics()
    assert (sizes.entries, sizes.messages) == (0, 0)
