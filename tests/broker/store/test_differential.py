"""LMDB against the model: whatever is done to both, in whatever batches, both answer the same and hold the same.

The two are written independently and share nothing but how ids are made and the words of refusals; given the same
operations, times and randomness, every result and everything that can be read has to be equal. Between batches the
LMDB store may be closed and opened again, so that what its writer remembers is found out if it is not in the file.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.store import importing
from broker.store.tables import check_tables
from broker.store.world import START_MS, seeded
from roost_broker.store import Store
from roost_broker.store.account_operations import (
    Cleared,
    ClearRemoved,
    DeleteGroup,
    EraseMessages,
    ForgetDevice,
    RemoveUser,
    SetDisabled,
    TellErased,
    Told,
)
from roost_broker.store.import_operations import EndImport, OpenImport
from roost_broker.store.journal import (
    BROKER,
    BrokerStopped,
    Progress,
    first_number_at,
    group_subject,
    user_subject,
)
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.memory import MemoryStore
from roost_broker.store.operations import (
    AddAdmin,
    ChangeMembers,
    CreateGroup,
    CreateUser,
    Done,
    EndSession,
    ForgetDevices,
    Forgotten,
    Hold,
    LoggedIn,
    LogIn,
    MoveCursors,
    Operation,
    OperationResult,
    Published,
    PublishMessage,
    RemoveAdmin,
    Retention,
    SendMessage,
    SetPassword,
    SetRelation,
    Trim,
    TrimJournal,
    Trimmed,
    WriteJournal,
)
from roost_broker.store.readings import ConversationMark
from roost_protocol.codec import decode_entry
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason

LIMITS = Limits(
    publish_max=3,
    devices_per_user_max=3,
    group_members_max=3,
    groups_per_user_max=2,
    relations_per_user_max=3,
    admins_max=2,
)

USERS = ("a", "b", "c", "d")  # the numbers 1 to 4, of which the first three are there from the start
NUMBERS = st.integers(1, len(USERS))
FIRST = st.integers(1, 3)
NAMES = st.sampled_from([*USERS, "nobody"])
GROUPS = st.sampled_from(["g", "h", "a"])
TERMINALS = {"x": "phone", "y": "phone", "z": "pc"}
DEVICES = st.sampled_from([*TERMINALS, "w"])
TERMINAL_TYPES = st.sampled_from(["phone", "pc"])
ADDRESSES = st.builds("user/{}".format, NAMES) | st.builds("group/{}".format, GROUPS)
OFTEN = st.sampled_from(["user/a", "user/b", "group/g"])
SMALL = st.integers(0, 12)
RETENTION = st.builds(
    Retention,
    age_ms=st.none() | st.integers(0, 40),
    count=st.none() | st.integers(0, 6),
    bytes=st.none() | st.integers(0, 700),
)
HOLDS = st.builds(
    Hold,
    seen_since=st.integers(-60, 20).map(lambda ago: START_MS + ago),
    live=st.frozensets(st.integers(1, 6), max_size=2),
    bytes_max=st.sampled_from([0, 250, 700, 100_000]),
)


class Both:
    """The two stores under the same operations, and what a broker would know of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.random = seeded()
        self.model = MemoryStore(limits=LIMITS, random=seeded())
        self.lmdb = self._open()
        self.now_ms = START_MS
        self.sessions: dict[tuple[int, str], LoggedIn] = {}
        self.tokens = 0
        self.moved: dict[int, importing.Export] = {}

    def _open(self) -> LmdbStore:
        return LmdbStore(self.path, limits=LIMITS, random=self.random, sync=False)

    def reopen(self) -> None:
        self.lmdb.close()
        self.lmdb = self._open()

    def commit(self, operations: Sequence[Operation]) -> list[OperationResult]:
        expected = self.model.commit(operations, self.now_ms)
        found = self.lmdb.commit(operations, self.now_ms)
        assert found == expected
        for operation, result in zip(operations, expected, strict=True):
            event(f"{type(operation).__name__}: {_told(result)}")
            if isinstance(operation, LogIn) and isinstance(result, LoggedIn):
                self.sessions[operation.user, operation.device_id] = result
        return expected

    def clear(self, user: int, rows_max: int) -> None:
        """Clear away a removed user, to the end: in how many slices is for each store to say."""
        clear = ClearRemoved(user=user, rows_max=rows_max)
        commits = []
        stores: tuple[Store, ...] = (self.model, self.lmdb)
        for store in stores:
            result: OperationResult = Cleared(done=False)
            commits.append(0)
            while isinstance(result, Cleared) and not result.done:
                (result,) = store.commit([clear], self.now_ms)
                commits[-1] += 1
        for store, count in zip(stores, commits, strict=True):
            for _ in range(max(commits) - count):  # each commit takes some of the randomness
                store.commit([], self.now_ms)

    def tell(self, user: int, limit: int) -> None:
        """Tell every conversation that messages were erased in, as a broker does."""
        holders: list[tuple[int, int]] = []
        after: int | None = 0
        while after is not None:
            page = self.model.erased_group_holders(user, after, limit)
            assert page == self.lmdb.erased_group_holders(user, after, limit)
            holders += page.holders
            after = page.next_after
        for group in sorted({group for group, _ in holders}):
            who = tuple(each for other, each in holders if other == group)
            self.commit([TellErased(user=user, group=group, holders=who[:limit], last=len(who) <= limit)])
            if len(who) > limit:
                self.commit([TellErased(user=user, group=group, holders=who[limit:])])
        told: OperationResult = Told(notices=(), more=True)
        while isinstance(told, Told) and told.more:
            (told,) = self.commit([TellErased(user=user)])

    def number(self, user: int) -> int:
        """Of whoever has that one's name now."""
        account = self.model.account(USERS[user - 1])
        return user if account is None else account.user

    def removed(self, user: int) -> int:
        """One of those who were removed, if there are any."""
        removals = self.model.removals(0, 10)
        return removals[user % len(removals)].user if removals else user


def _told(result: OperationResult) -> str:
    if isinstance(result, Published) and result.retransmission:
        return "again"
    if isinstance(result, LoggedIn):
        facts = {"resumed": result.resumed, "took over": result.took_over, "starts over": result.start_over}
        return "success " + ", ".join(fact for fact, holds in facts.items() if holds)
    if isinstance(result, Done):
        return "success"
    if isinstance(result, Trimmed | Forgotten):
        return "something" if (result.floors if isinstance(result, Trimmed) else result.devices) else "nothing"
    reason: Reason = getattr(result, "reason", Reason.SUCCESS)
    return reason.phrase


Plan = tuple[Any, ...]
PLANS: st.SearchStrategy[Plan] = st.one_of(
    st.tuples(st.just("publish"), NUMBERS, DEVICES, SMALL, ADDRESSES, st.integers(0, 1), st.integers(0, 15)),
    st.tuples(st.just("publish"), FIRST, st.just("x"), SMALL, st.just("user/b"), st.just(1), st.just(1)),
    *[st.tuples(st.just("burst"), FIRST, ADDRESSES | OFTEN, st.integers(1, 5))] * 3,
    st.tuples(st.just("log in"), NUMBERS, DEVICES, st.integers(0, 7), SMALL, st.integers(0, 15)),
    *[st.tuples(st.just("log in"), FIRST, st.sampled_from("xy"), st.integers(0, 3), st.integers(0, 3), st.just(5))] * 2,
    st.tuples(st.just("cursors"), NUMBERS, DEVICES, SMALL),
    st.tuples(st.just("end"), NUMBERS, st.none() | TERMINAL_TYPES, st.none() | DEVICES, st.booleans()),
    st.tuples(st.just("forget"), SMALL, st.booleans(), st.integers(0, 5), st.integers(1, 3)),
    st.tuples(
        st.just("trim"), st.builds(Retention, count=st.integers(0, 3)), st.just(0), st.just(9), st.integers(1, 9)
    ),
    st.tuples(st.just("trim"), RETENTION, st.integers(0, 4), st.integers(1, 3), st.integers(1, 8)),
    st.tuples(st.just("trim"), RETENTION, st.just(0), st.just(9), st.integers(1, 8), HOLDS),
    st.tuples(st.just("send"), NUMBERS, ADDRESSES | OFTEN, st.booleans()),
    st.tuples(st.just("user"), NAMES),
    st.tuples(st.just("admin"), NAMES, st.sampled_from(["read", "operate", "admin"]), st.integers(0, 3)),
    st.tuples(st.just("no admin"), NAMES),
    st.tuples(st.just("password"), NUMBERS, st.none() | DEVICES),
    st.tuples(st.just("group"), GROUPS, NUMBERS, st.lists(NAMES, max_size=3)),
    st.tuples(
        st.just("members"), GROUPS, st.none() | NUMBERS, st.lists(NAMES, max_size=2), st.lists(NAMES, max_size=2)
    ),
    st.tuples(st.just("relation"), FIRST, st.just("block"), st.sampled_from(USERS[:3]), st.booleans()),
    st.tuples(st.just("relation"), NUMBERS, st.sampled_from(["contact", "block"]), NAMES, st.booleans()),
    st.tuples(st.just("journal"), st.lists(st.tuples(NUMBERS, SMALL), max_size=3)),
    st.tuples(st.just("trim journal"), st.integers(-20, 20), st.integers(0, 30), st.integers(1, 9)),
    st.tuples(st.just("disable"), NUMBERS, st.booleans()),
    st.tuples(st.just("forget one"), NUMBERS, DEVICES),
    st.tuples(st.just("delete group"), GROUPS),
    st.tuples(st.just("remove"), NUMBERS, st.booleans()),
    st.tuples(st.just("remove"), FIRST, st.just(True)),
    *[st.tuples(st.just("erase"), FIRST, st.integers(0, 1), st.integers(1, 9), st.integers(1, 9))] * 2,
    *importing.PLANS,
)

AFTERWARDS: st.SearchStrategy[Plan] = st.tuples(
    st.sampled_from(["clear", "tell", "erase", "import", "cut import", "import"]), FIRST, st.integers(1, 3)
)
"""What takes several commits."""


def operations_of(both: Both, plan: Plan) -> list[Operation]:
    """The operations that a plan stands for, with the numbers that a broker would know by now."""
    if plan[0] == "burst":
        _, user, to, count = plan
        return [publish(both, user, "x", -ahead, to, ahead % 2, chance=1) for ahead in range(count)]
    return [operation_of(both, plan)]


def operation_of(both: Both, plan: Plan) -> Operation:
    """The one operation that a plan stands for."""
    match plan:
        case ("publish", user, device, back, to, text, chance):
            return publish(both, user, device, back, to, text, chance)
        case ("log in", user, device, chance, last_seq, held):
            return log_in(both, user, device, chance, last_seq, held)
        case ("cursors", user, device, seq):
            return MoveCursors(cursors=((device_number(both, user, device), seq), (99, 1)))
        case ("end", user, terminal, device, revoke):
            return EndSession(
                user=user,
                terminal=terminal,
                device_id=device,
                reason=Reason.LOGGED_OUT,
                by="somebody",
                revoke=revoke and device is not None,
            )
        case ("forget", ago, keep, after, most):
            kept = frozenset(session.device for session in both.sessions.values()) if keep else frozenset()
            return ForgetDevices(seen_before=both.now_ms - ago * 3, keep=kept, after=after, devices_max=most)
        case ("trim", retention, after, users_max, entries_max):
            return Trim(retention=retention, after=after, users_max=users_max, entries_max=entries_max)
        case ("trim", retention, after, users_max, entries_max, hold):
            hold = replace(hold, seen_since=hold.seen_since + both.now_ms - START_MS)
            return Trim(retention=retention, hold=hold, after=after, users_max=users_max, entries_max=entries_max)
        case ("send", user, to, text):
            user = both.number(user)
            name = both.model.user_name(user) or USERS[user - 1]
            body = "from an admin" if text else None
            data = None if text else b"from an admin"
            return SendMessage(sender=user, sender_name=name, to=to, content_type="text/plain", text=body, data=data)
        case ("user", name):
            return CreateUser(name=name, password_hash=f"hash of {name}")
        case ("admin", name, role, token):
            return AddAdmin(name=name, role=role, token_digest=f"admin token {token}".encode())
        case ("no admin", name):
            return RemoveAdmin(name=name)
        case ("password", user, device):
            kept_device = None if device is None else device_number(both, user, device)
            return SetPassword(user=user, password_hash=f"hash at {both.now_ms}", keep_device=kept_device)
        case ("group", name, owner, members):
            return CreateGroup(name=name, owner=owner, members=tuple(members))
        case ("members", name, by, add, remove):
            return ChangeMembers(group=name, by=by, add=tuple(add), remove=tuple(remove))
        case ("disable", user, disabled):
            return SetDisabled(user=both.number(user), disabled=disabled)
        case ("forget one", user, device):
            return ForgetDevice(user=both.number(user), device_id=device)
        case ("delete group", name):
            return DeleteGroup(name=name)
        case ("remove", user, erase):
            return RemoveUser(user=both.number(user), erase=erase)
        case ("erase", user, skipped, looked_at_max, erased_max):
            user = both.removed(user)
            first = next((entry for entry in both.model.read_inbox(user, 0, 1, 1).entries if entry.encoded), None)
            after = int(_id_of(first.encoded), 16) if first and first.encoded and skipped else 0
            return EraseMessages(user=user, after=after, looked_at_max=looked_at_max, erased_max=erased_max)
        case ("relation", user, kind, other, present):
            return SetRelation(user=user, kind=kind, other=other, present=present)
        case ("journal", progress):
            events = [
                Progress(at=both.now_ms - 1, user=user, device=user, epoch=7, pushed=seq, acknowledged=seq - 1)
                for user, seq in progress
            ]
            return WriteJournal(events=(*events, BrokerStopped(at=both.now_ms)))
        case ("trim journal", ago_ms, count, records_max):
            before = first_number_at(both.now_ms - ago_ms)
            return TrimJournal(before=before, count=count, records_max=records_max)
        case ("begin import" | "give" | "open import" | "end import", *_):
            return importing.operation_of(both.model, both.number, both.now_ms, plan)
    raise AssertionError(plan)


def afterwards_do(both: Both, what: str, user: int, limit: int) -> None:
    """What takes several commits: clear away a removed user, tell what was erased of one, or erase one as a whole."""
    match what:
        case "import" | "cut import":
            come_back(both, user, limit, whole=what == "import")
        case "clear":
            both.clear(both.removed(user), limit)
        case "tell":
            both.tell(both.removed(user), limit)
        case "erase":
            number = both.number(user)
            both.commit([log_in(both, user, "x", 0, 0, 5)])
            for to in ("group/g", "user/a", "user/b", "group/g"):
                both.commit([publish(both, user, "x", 0, to, 1, 1)])
            both.commit([RemoveUser(user=number, erase=True)])
            for _ in range(9):
                both.commit([EraseMessages(user=number, looked_at_max=9, erased_max=limit)])
            both.tell(number, limit)


def move_away(both: Both, user: int) -> None:
    """Export a user, if there is one who has something, and remove him."""
    account = both.model.account(USERS[user - 1])
    if account is not None and not account.importing:
        both.moved[user] = importing.export(both.model, account)
        both.commit([RemoveUser(user=account.user)])
    for removal in both.model.removals(0, 10):
        both.clear(removal.user, 5)


def come_back(both: Both, user: int, limit: int, *, whole: bool) -> None:
    """Move a user away and import him again, or go on with an import; to its end, or not."""
    move_away(both, user)
    if user not in both.moved:
        return
    for operation in importing.way_back(both.model, USERS[user - 1], both.moved[user], limit):
        both.commit([operation])
    if whole:
        number = both.number(user)
        both.commit([OpenImport(user=number), EndImport(user=number, by="somebody")])


def device_number(both: Both, user: int, device: str) -> int:
    session = both.sessions.get((user, device))
    return 77 if session is None else session.device


def publish(both: Both, user: int, device: str, back: int, to: str, text: int, chance: int) -> PublishMessage:
    """A publish of the device's last session: the next n, or one `back`; now and then with something wrong."""
    name, user = USERS[user - 1], both.number(user)
    session = both.sessions.get((user, device))
    settled_n = 0
    for record in both.model.devices(user):
        if record.device_id == device:
            settled_n = record.settled_n
    return PublishMessage(
        sender=user,
        sender_name=name,
        device=77 if session is None else session.device,
        terminal=TERMINALS.get(device, "phone"),
        epoch=7 if session is None else session.epoch,
        n=max(settled_n + 1 - back, 1) if chance else settled_n + 3,
        to=to,
        content_type="text/plain",
        text="short" if text else "a somewhat longer text",
        digest=f"{to}{text}".encode().ljust(16, b".")[:16],
        refused=Reason.PACKET_TOO_LARGE if chance == 15 else None,
    )


def log_in(both: Both, user: int, device: str, chance: int, last_seq: int, held: int) -> LogIn:
    """A log-in with a credential, an epoch and a last number that mostly hold."""
    account = both.model.account(USERS[user - 1])
    user = both.number(user)
    session = both.sessions.get((user, device))
    entries = both.model.read_inbox(user, last_seq - 1, 1, 1).entries
    ids = [entry.encoded for entry in entries if entry.seq == last_seq and entry.encoded is not None]
    more: dict[str, Any] = {}
    if chance == 7:
        more["token_digest"] = f"token {both.tokens}".encode()
    elif chance == 8:
        more["vouched"] = True
    else:
        more["password_version"] = 0 if account is None or chance == 6 else account.password_version
    if chance in (1, 2) and session is not None:
        more["epoch"] = session.epoch
    if chance in (2, 3):
        both.tokens += 1
        more["new_token_digest"] = f"token {both.tokens}".encode()
    if held == 0:
        more["newest"] = last_seq
    else:
        more["last_seq"] = last_seq
    if held in (1, 2):
        more["last_id"] = "0" * 16 if not ids or held == 1 else _id_of(ids[0])
    if held in (3, 4) and account is not None:
        more["incarnation"] = account.incarnation if held == 3 else "f" * 16
    return LogIn(
        user=user,
        device_id=device,
        terminal=TERMINALS.get(device, "phone" if chance % 2 else "pc"),
        client=f"client {held}",
        address=f"address {chance}",
        **more,
    )


def _id_of(encoded: bytes) -> str:
    return decode_entry(encoded).id


def looks(store: Store, user: int, conversations: Sequence[str | None], now_ms: int) -> Iterator[object]:
    """What an admin can see of one inbox."""
    yield store.inbox_size(user)
    for size in (2, 100):
        mark: ConversationMark | None = ConversationMark()
        while mark is not None:
            counts = store.conversations(user, mark, size)
            yield counts
            mark = counts.next_after
    for conversation in conversations:
        yield store.first_of_newest(user, conversation, newest=2)
        yield store.first_of_newest(user, conversation, upto=4, newest=1)
    for retention in (Retention(count=1), Retention(bytes=300), Retention(age_ms=5, count=3, bytes=400), Retention()):
        yield store.would_trim(user, retention, now_ms)
        for hold in (
            Hold(seen_since=0, bytes_max=350),
            Hold(seen_since=now_ms - 3, live=frozenset({1}), bytes_max=999),
        ):
            yield store.would_trim(user, retention, now_ms, hold)


def everything(store: Store, now_ms: int) -> Iterator[object]:
    """All that can be read of the store, in one order."""
    sizes = store.statistics()
    yield (sizes.users, sizes.devices, sizes.groups, sizes.messages, sizes.entries, sizes.journal)
    yield store.read_journal(None, limit=1_000)
    yield store.read_journal(None, limit=3, newest=True)
    yield store.read_journal(BROKER, limit=2)
    yield store.read_journal(group_subject(1), limit=10)
    yield store.list_users("", 10)
    yield store.list_users("a", 1)
    yield store.list_groups("", 10)
    yield store.list_groups("g", 1)
    yield store.list_admins("", 10)
    yield store.list_admins("b", 1)
    # Two may have been given the same token; which of them it is then, nobody promised.
    yield [store.admin_by_digest(f"admin token {token}".encode()) is None for token in range(4)]
    yield [store.names_after(kind, "a", 3) for kind in ("user", "group")]
    yield store.list_tokens("", 2)
    yield store.removals(0, 10)
    yield store.removals(1, 1)
    yield [store.entry_origins(user, after, 9) for user in range(1, 9) for after in (0, 3)]
    addresses = [f"user/{name}" for name in USERS] + [f"group/{name}" for name in ("g", "h", "a")]
    live = {row.user for row in store.list_users("", 10)}
    for user in range(1, 7):
        yield store.devices(user)
        yield store.read_inbox(user, 0, 1_000, 1_000_000)
    for user, name in enumerate(USERS, 1):
        yield store.account(name)
        yield store.user_name(user)
        yield (journal := store.read_journal(user_subject(user), limit=3, newest=True))
        middle = journal.rows[0].number if journal.rows else 5
        yield store.read_journal(user_subject(user), after=middle, limit=2)
        yield store.read_journal(user_subject(user), before=middle, limit=2, newest=True)
        yield store.devices(user)
        yield store.groups_of(user)
        yield [store.relations(user, kind) for kind in ("contact", "block")]
        if user in live:  # of a removed one nobody asks, and LMDB has yet to find his relations
            yield [store.is_blocked(user, other) for other in range(1, 5)]
            yield [store.is_blocked(other, user) for other in sorted(live)]
            yield [store.route(user, address) for address in addresses]
        yield store.read_inbox(user, 0, 1_000, 1_000_000)
        yield store.read_inbox(user, 3, 3, 150)
        yield store.inbox_size(user)
        yield [store.time_of(user, seq) for seq in (1, 5)]
        yield store.erased_group_holders(user, 0, 2)
        yield from looks(store, user, (*addresses, None), now_ms)
        for conversation in (*addresses, None):
            yield store.read_conversation(user, conversation, limit=3, bytes_max=10_000)
            yield store.read_conversation(user, conversation, before=6, limit=2, bytes_max=150)
            yield store.read_conversation(user, conversation, after=2, limit=2, bytes_max=10_000)


def check_equal(both: Both) -> None:
    for found, expected in zip(everything(both.lmdb, both.now_ms), everything(both.model, both.now_ms), strict=True):
        assert found == expected
    ids = {_id_of(entry.encoded) for entry in both.model.read_inbox(1, 0, 100, 100_000).entries if entry.encoded}
    for message_id in [int(text, 16) for text in sorted(ids)[:6]] + [0, 2**60]:
        assert both.lmdb.find_message(message_id) == both.model.find_message(message_id)
        for user in (1, 2, 4):
            assert both.lmdb.find_entry(user, message_id) == both.model.find_entry(user, message_id)
    for device in range(1, 5):
        for n in range(1, 12):
            assert both.lmdb.publish_outcome(device, n) == both.model.publish_outcome(device, n)
    for user in range(1, 5):
        for rules in (Retention(count=3), Retention(age_ms=4, bytes=400), Retention(age_ms=9, count=5, bytes=300)):
            would = both.model.would_trim(user, rules, both.now_ms)
            assert both.lmdb.would_trim(user, rules, both.now_ms) == would
    for token in range(both.tokens + 1):
        digest = f"token {token}".encode()
        assert both.lmdb.token_owner(digest) == both.model.token_owner(digest)


STEPS = st.tuples(
    st.lists(PLANS, min_size=1, max_size=6),
    st.lists(AFTERWARDS, max_size=2),
    st.sampled_from([-30, 0, 1, 1, 1, 20]),
    st.integers(0, 9),
)


@settings(max_examples=settings().max_examples * 2)
@given(st.lists(STEPS, min_size=4, max_size=30))
def test_lmdb_does_what_the_model_does(steps: list[tuple[list[Plan], list[Plan], int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        both = Both(Path(folder) / "store")
        both.commit([CreateUser(name=name, password_hash=name) for name in USERS[:3]])
        both.commit([CreateGroup(name="g", owner=1, members=("b", "c"))])
        both.commit([log_in(both, user, "x", 0, 0, 5) for user in (1, 2, 3)])
        try:
            for plans, afterwards, passed_ms, chance in steps:
                both.now_ms += passed_ms
                both.commit([operation for plan in plans for operation in operations_of(both, plan)])
                for what, user, limit in afterwards:
                    afterwards_do(both, what, user, limit)
                if chance < 2:
                    both.reopen()
                if chance % 2:
                    check_equal(both)
            check_equal(both)
            both.reopen()
            check_equal(both)
        finally:
            both.lmdb.close()
        check_tables(both.path)
