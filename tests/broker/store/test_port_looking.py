"""What an admin can see of an inbox without reading it: its size, its conversations, where the newest begin."""

from broker.store.world import World
from roost_broker.store.operations import CreateGroup, Retention, Trim
from roost_broker.store.readings import ConversationCount, ConversationMark, InboxSize


def two_sided(world: World) -> int:
    """alice: 1 and 3 with bob, 2 and 5 in the team, 4 to herself. Returns the bytes of it all."""
    world.users("alice", "bob", "carol")
    world.one(CreateGroup(name="team", owner=1, members=("bob",)))
    alice, bob = world.login("alice"), world.login("bob")
    sizes = [world.publish(alice, "user/bob"), world.publish(bob, "group/team"), world.publish(bob, "user/alice")]
    sizes += [world.publish(alice, "user/alice"), world.publish(alice, "group/team")]
    return sum(len(published.encoded) for published in sizes)


def walk(world: World, entries_max: int) -> list[ConversationCount]:
    rows: list[ConversationCount] = []
    mark: ConversationMark | None = ConversationMark()
    while mark is not None:
        part = world.store.conversations(1, mark, entries_max)
        assert sum(row.entries for row in part.conversations) <= entries_max
        rows += part.conversations
        mark = part.next_after
    return rows


def test_conversations_are_counted(world: World) -> None:
    two_sided(world)
    assert walk(world, 100) == [
        ConversationCount(kind="user", peer=1, name="alice", entries=1, newest=4),
        ConversationCount(kind="user", peer=2, name="bob", entries=2, newest=3),
        ConversationCount(kind="group", peer=1, name="team", entries=2, newest=5),
    ]
    assert world.store.conversations(3, ConversationMark(), 9).conversations == ()


def test_conversations_are_counted_in_parts(world: World) -> None:
    two_sided(world)
    for entries_max in (1, 2, 3, 4, 5):
        rows = walk(world, entries_max)
        assert sum(row.entries for row in rows) == 5
        assert {row.name: row.newest for row in rows} == {"alice": 4, "bob": 3, "team": 5}
    assert world.store.conversations(1, ConversationMark(), 5).next_after is None
    assert world.store.conversations(1, ConversationMark("group", 99, 0), 5).conversations == ()


def test_the_size_of_an_inbox(world: World) -> None:
    total = two_sided(world)
    size = world.store.inbox_size(1)
    assert (size.head, size.floor, size.entries, size.bytes) == (5, 1, 5, total)
    assert size.oldest == world.now_ms - 4
    world.one(Trim(retention=Retention(count=2), users_max=9, entries_max=9))
    size = world.store.inbox_size(1)
    assert (size.head, size.floor, size.entries, size.oldest) == (5, 4, 2, world.now_ms - 2)
    world.one(Trim(retention=Retention(count=0), users_max=9, entries_max=9))
    assert world.store.inbox_size(1) == InboxSize(head=5, floor=6, entries=0, bytes=0, oldest=None)
    assert world.store.inbox_size(3) == InboxSize(head=0, floor=1, entries=0, bytes=0, oldest=None)


def test_where_the_newest_begin(world: World) -> None:
    two_sided(world)

    def first(user: int, conversation: str | None, newest: int, upto: int | None = None) -> int:
        return world.store.first_of_newest(user, conversation, upto=upto, newest=newest)

    assert [first(1, None, newest=n) for n in (1, 3, 5, 9)] == [5, 3, 1, 1]
    assert [first(1, "user/bob", newest=n) for n in (1, 2, 3)] == [3, 1, 1]
    assert [first(1, "group/team", upto=n, newest=1) for n in (1, 2, 4, 5, 99)] == [6, 2, 2, 5, 5]
    assert first(1, None, upto=3, newest=2) == 2
    assert first(1, "user/nobody", newest=1) == first(1, "user/carol", newest=1) == 6
    world.one(Trim(retention=Retention(count=3), users_max=9, entries_max=9))
    assert (first(1, None, newest=9), first(1, "user/bob", newest=9)) == (3, 3)
