"""The promises G1 to G7, each with one checker that reads the facts of a history and yields what broke it.

A checker says nothing where the history leaves it open: who was a member at the moment of commit, which of two
log-ins was first, whether a message that nobody saw was stored. Within that, it excuses as little as it can.
"""

import heapq
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

import msgspec

from roost.oracle.facts import END, Connection, Facts, Inbox, Message, Publish, Standing, read, rivals, value_over
from roost.oracle.history import (
    SUCCESS,
    TAKEN_OVER,
    Acknowledged,
    Delivered,
    ErasedTold,
    GapTold,
    History,
    Kicked,
    reason_word,
)


class Violation(msgspec.Struct, frozen=True):
    """A promise (`G1` to `G7`) that was broken, the event that shows it (its index), and for which device."""

    promise: str
    text: str
    index: int | None = None
    device: str | None = None


class Verdict(msgspec.Struct, frozen=True):
    """`passed` if nothing was broken; `figures` count what the history held, by name."""

    passed: bool
    violations: tuple[Violation, ...]
    figures: dict[str, int]


def judge(history: History) -> Verdict:
    """Check every promise. Raises ValueError if the history speaks of a device that was not enrolled."""
    facts = read(history)
    lacking = list(missing(facts))
    violations = (
        *stored(lacking),
        *complete_and_alike(facts, lacking),
        *dense(facts),
        *in_order(facts),
        *stored_once(facts),
        *one_session(facts),
        *losses_said(facts),
        *erasures_said(facts),
    )
    return Verdict(not violations, violations, figures(history, facts))


def figures(history: History, facts: Facts) -> dict[str, int]:
    """How much the history holds, in counts."""
    kinds = Counter(type(event).__name__ for event in history.events)
    gaps = [event for event in history.events if isinstance(event, GapTold)]
    return {
        "events": len(history.events),
        "users": len({device.user for device in facts.devices.values()}),
        "devices": len(facts.devices),
        "devices_caught_up": len({standing.device.name for standing in facts.standings}),
        "connections": kinds["Connected"],
        "publishes": len(facts.publishes),
        "retransmissions": sum(max(0, len(publish.sent) - 1) for publish in facts.publishes.values()),
        "messages": len(facts.messages),
        "messages_acknowledged": sum(message.acknowledged for message in facts.messages.values()),
        "deliveries": kinds["Delivered"],
        "gaps": len(gaps),
        "numbers_lost": sum(max(0, gap.last - gap.first + 1) for gap in gaps),
        "kicks": kinds["Kicked"],
        "restarts": kinds["BrokerRestarted"],
    }


# --- G1, G2: nobody lacks anything --------------------------------------------------------------------------------


def stored(lacking: Iterable[tuple[Standing, Message]]) -> Iterator[Violation]:
    """G1: what was acknowledged is in the inbox of its sender and of every recipient."""
    return (_never_got("G1", *lack) for lack in lacking if lack[1].acknowledged)


def complete_and_alike(facts: Facts, lacking: Iterable[tuple[Standing, Message]]) -> Iterator[Violation]:
    """G2: whoever has caught up holds exactly the messages of both sides, as sent, in the same order everywhere."""
    yield from (_never_got("G2", *lack) for lack in lacking if not lack[1].acknowledged)
    for message in facts.messages.values():
        yield from _origin(message)
        yield from _audience(facts, message)
        yield from (violation for told in message.told for violation in _as_sent(message, *told))
    for inbox in facts.inboxes.values():
        yield from _same_order(facts, inbox)


def missing(facts: Facts) -> Iterator[tuple[Standing, Message]]:
    """What devices lacked when they had caught up: stored for their user for certain, and not excused by a gap."""
    reported: set[tuple[str, str]] = set()
    for standing in facts.standings:
        for message in _absent(facts, standing):
            if (standing.device.name, message.id) not in reported:
                reported.add((standing.device.name, message.id))
                yield standing, message


def _absent(facts: Facts, standing: Standing) -> Iterator[Message]:
    held = set(standing.holding.ids.values())
    since = facts.reborn.before(standing.at)
    unplaced: list[Message] = []
    for message in facts.messages.values():
        due = message.sources and not message.second_copy and since < message.sent_at
        if message.id in held or not due or message.seen_at > standing.at:
            continue
        if not facts.takes_part(message, standing.device.user):
            continue
        places = standing.inbox.places.get(message.id)
        if places is None:
            unplaced.append(message)
        elif not any(lost.first <= seq <= lost.last for seq in places for lost in standing.holding.lost):
            yield message
    yield from _without_room(facts, standing, unplaced)


class _Window(NamedTuple):
    start: int
    """The first of the free slots that the message can have."""
    below: int
    """The number it must be below."""
    id: str
    message: Message


def _without_room(facts: Facts, standing: Standing, unplaced: list[Message]) -> list[Message]:
    """Of the messages whose number nobody knows, those that the gaps told to the device have no room for.

    A message can have a number that is lost to the device, that no other message has, that lies between those of
    its neighbours in the conversation, and that was told lost only after the message was sent. Each number goes to
    the message that must come lowest: if there is a way to place all, this one does (a convex bipartite matching).
    """
    inbox = standing.inbox
    taken = {seq for places in inbox.places.values() for seq in places}
    end = inbox.head.before(END) + len(facts.publishes)  # no number can be higher
    slots = [
        (seq, lost.at)
        for lost in standing.holding.lost
        for seq in range(lost.first, min(lost.last, end) + 1)
        if seq not in taken
    ]
    windows = sorted(_windows(facts, inbox, unplaced, slots), reverse=True)
    waiting: list[tuple[int, str, Message]] = []
    late: list[Message] = []
    for number, (seq, _) in enumerate(slots):
        while windows and windows[-1].start <= number:
            window = windows.pop()
            heapq.heappush(waiting, (window.below, window.id, window.message))
        while waiting and waiting[0][0] <= seq:
            late.append(heapq.heappop(waiting)[2])
        if waiting:
            heapq.heappop(waiting)
    return [*late, *(entry[2] for entry in waiting), *(window.message for window in windows)]


def _windows(facts: Facts, inbox: Inbox, unplaced: list[Message], slots: list[tuple[int, int]]) -> Iterator[_Window]:
    conversations: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for id_ in sorted(inbox.places):
        conversations[facts.messages[id_].conversation].append(id_)
    seqs, told_at = [seq for seq, _ in slots], [index for _, index in slots]
    for message in unplaced:
        ids = conversations[message.conversation]
        place = bisect_left(ids, message.id)
        above = max(inbox.places[ids[place - 1]]) if place else 0
        below = min(inbox.places[ids[place]]) if place < len(ids) else END
        start = max(bisect_right(seqs, above), bisect_right(told_at, message.sent_at))
        yield _Window(start, below, message.id, message)


def _never_got(promise: str, standing: Standing, message: Message) -> Violation:
    name = standing.device.name
    gaps = ", and no gap it was told has room for it" if standing.holding.lost else ""
    text = f"{name} never got {message}, though it caught up at {standing.holding.last}{gaps}"
    return Violation(promise, text, standing.at, name)


def _origin(message: Message) -> Iterator[Violation]:
    """Somebody sent it, before it was seen, and was not refused."""
    if not message.told:
        return
    index, event, connection = message.told[0]
    name = connection.device.name
    said = f"{name} was delivered message {message.id}, said to be from {event.sender}, {event.content!r}"
    if not message.sources:
        yield Violation("G2", f"{said}: nobody sent that, or it was refused", index, name)
    elif all(publish.refusal() for publish in message.sources):
        reason = message.sources[0].refusal()
        yield Violation("G2", f"{said}: {message.sources[0]} was refused ({reason})", index, name)
    elif not any(publish.words(before=message.seen_at) for publish in message.sources):
        yield Violation("G2", f"{said}: it was sent only later", index, name)


def _audience(facts: Facts, message: Message) -> Iterator[Violation]:
    """Only participants get it, and it was not stored against a block or by somebody outside the group."""
    for index, _, connection in message.told:
        device = connection.device
        if facts.takes_part(message, device.user) is False:
            yield Violation("G2", f"{device.name} got {message}, which is to {message.to}", index, device.name)
    kind, _, name = (message.to or "").partition("/")
    when = (message.sent_at, message.seen_at)
    if kind == "user" and value_over(facts.blocks[name, message.sender], *when):
        yield Violation("G2", f"{message} was stored though {name} blocks {message.sender}", message.seen_at)
    if kind == "group" and value_over(facts.members[name, message.sender], *when) is False:
        text = f"{message} was stored though {message.sender} is not in the group {name}"
        yield Violation("G2", text, message.seen_at)


def _as_sent(message: Message, index: int, event: Delivered, connection: Connection) -> Iterator[Violation]:
    """Sender, recipient and content of one delivery are those of the publish."""
    if not message.sources:
        return
    name = connection.device.name
    words = {words for publish in message.sources for words in publish.words(before=END)}
    if event.sender != message.sender:
        text = f"{name} was told that {message} is from {event.sender}"
        yield Violation("G2", text, index, name)
    if event.content is not None and (event.to, event.content) not in words:
        text = f"{name} got {message} as {event.content!r} to {event.to}, but sent was {sorted(words)}"
        yield Violation("G2", text, index, name)
    here = any(at in (connection, None) for publish in message.sources for _, _, at in publish.sent)
    if event.content is None and (event.own_device != name or not here):
        yield Violation("G2", f"{name} got {message} without body, and did not send it here", index, name)


def _same_order(facts: Facts, inbox: Inbox) -> Iterator[Violation]:
    """One message at each number, and each conversation in the order of commit."""
    conversations: dict[tuple[str, ...], list[tuple[int, str]]] = defaultdict(list)
    for seq, ids in sorted(inbox.delivered.items()):
        if len(ids) > 1:
            text = f"devices of {inbox.user} hold different messages at {seq}: {', '.join(sorted(ids))}"
            yield Violation("G2", text, max(ids.values()))
        for id_ in ids:
            conversations[facts.messages[id_].conversation].append((seq, id_))
    for conversation, entries in conversations.items():
        for (seq, id_), (next_seq, next_id) in pairwise(entries):
            if seq < next_seq and id_ > next_id:
                text = (
                    f"in the inbox of {inbox.user}, {id_} at {seq} comes before {next_id} at {next_seq}, against the "
                    f"order of commit in the conversation {' and '.join(conversation)}"
                )
                yield Violation("G2", text, inbox.delivered[next_seq][next_id])


# --- G3, G4: numbers ----------------------------------------------------------------------------------------------


def dense(facts: Facts) -> Iterator[Violation]:
    """G3: the numbers of an inbox are 1 to head without a hole, and head never goes back."""
    for connection in facts.connections:
        known, head = connection.inbox.head.before(connection.asked_at), connection.opened.head
        if head < known:
            name = connection.device.name
            text = f"{name} was told head {head}, though the inbox had reached {known} before it asked"
            yield Violation("G3", text, connection.at, name)
    for standing in facts.standings:
        head, floor = standing.inbox.head.before(standing.at), standing.inbox.floor.before(standing.at)
        lacks = [seq for seq in standing.holding.lacks(head) if seq >= floor]
        if lacks:
            name = standing.device.name
            text = f"{name} caught up, and of 1 to {head} neither holds nor was told lost {_ranges(lacks)}"
            yield Violation("G3", text, standing.at, name)
    for inbox in facts.inboxes.values():
        yield from _numbers_agree(inbox)


def _numbers_agree(inbox: Inbox) -> Iterator[Violation]:
    """PUBACK and DELIVER give a message the same number."""
    acknowledged: dict[int, str] = {}
    delivered: dict[str, set[int]] = defaultdict(set)
    for seq, ids in inbox.delivered.items():
        for id_ in ids:
            delivered[id_].add(seq)
    for index, device, seq, id_ in inbox.acknowledged:
        others = {*inbox.delivered.get(seq, ()), acknowledged.setdefault(seq, id_)} - {id_}
        if others or (id_ in delivered and seq not in delivered[id_]):
            instead = f"{sorted(others)} is there" if others else f"it was delivered as {sorted(delivered[id_])}"
            text = f"{device} was told that {id_} is number {seq} of {inbox.user}, but {instead}"
            yield Violation("G3", text, index, device)


def in_order(facts: Facts) -> Iterator[Violation]:
    """G4: on one connection every number after the device's last comes exactly once, in order, or inside a gap."""
    for index, event in facts.strays:
        text = f"{event.device} was told {type(event).__name__} without being connected"
        yield Violation("G4", text, index, event.device)
    for index, device in facts.needless:
        yield Violation("G4", f"{device.name} was told to start over in the same inbox", index, device.name)
    for connection in facts.connections:
        name, position = connection.device.name, connection.opened.position
        if connection.opened.asked is not None and position != connection.expected:
            text = f"{name} held everything up to {connection.expected}, but delivery starts after {position}"
            yield Violation("G4", text, connection.at, name)
        for index, event in connection.told:
            first, last = (event.first, event.last) if isinstance(event, GapTold) else (event.seq, event.seq)
            if first != position + 1:
                text = f"{name} was told {_span(first, last)} after {position}"
                yield Violation("G4", text, index, name)
            position = last


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def _ranges(numbers: list[int]) -> str:
    """Rising numbers in few words: `3, 7 to 9`."""
    starts = [seq for before, seq in pairwise([-1, *numbers]) if seq != before + 1]
    ends = [seq for seq, after in pairwise([*numbers, END]) if after != seq + 1]
    return ", ".join(_span(*span) for span in zip(starts, ends, strict=True))


# --- G5: once -----------------------------------------------------------------------------------------------------


def stored_once(facts: Facts) -> Iterator[Violation]:
    """G5: a publish (device, n) is stored at most once, for ever, and its outcome stays the same."""
    owners: dict[tuple[str, Inbox], list[tuple[str, int]]] = defaultdict(list)
    for (device, n, inbox), ids in facts.outcomes.items():
        if len(ids) > 1:
            text = f"n={n} of {device} was stored as {len(ids)} messages: {', '.join(ids)}"
            yield Violation("G5", text, max(ids.values()), device)
        for id_ in ids:
            owners[id_, inbox].append((device, n))
    for (id_, _), keys in owners.items():
        if len(keys) > 1:
            yield Violation("G5", f"message {id_} is the outcome of several publishes: {sorted(keys)}")
    for message in facts.messages.values():
        yield from _first_content(message)
    for inbox in facts.inboxes.values():
        yield from _twice_in(inbox)
    for publish in facts.publishes.values():
        yield from _answers(facts, publish)


def _first_content(message: Message) -> Iterator[Violation]:
    """It is not a copy, and what it says is what (device, n) said when it was stored."""
    if message.second_copy:
        index, _, connection = message.told[0]
        yield Violation("G5", f"{message} was stored once more", index, connection.device.name)
    early = {words for publish in message.sources for words in publish.words(before=message.seen_at)}
    ever = {words for publish in message.sources for words in publish.words(before=END)}
    for index, event, connection in message.told:
        words = (event.to, event.content)
        if early and words in ever - early:
            text = f"{message} says {event.content!r}, which was sent with the same n only after it was stored"
            yield Violation("G5", text, index, connection.device.name)


def _twice_in(inbox: Inbox) -> Iterator[Violation]:
    first: dict[str, int] = {}
    for seq, ids in sorted(inbox.delivered.items()):
        for id_, index in ids.items():
            if first.setdefault(id_, seq) != seq:
                text = f"message {id_} is in the inbox of {inbox.user} at {first[id_]} and again at {seq}"
                yield Violation("G5", text, index)


def _answers(facts: Facts, publish: Publish) -> Iterator[Violation]:
    """All answers to one (device, n) agree: with each other, and with how often it was sent."""
    if not publish.sent:
        text = f"{publish} was answered, but never sent"
        yield Violation("G5", text, publish.answers[0][0], publish.device)
        return
    successes = [told for told in publish.answers if reason_word(told[1].reason) == SUCCESS]
    for index, answer, _ in publish.answers:
        if answer.retransmission and sum(at < index for at, _, _ in publish.sent) < 2:
            text = f"{publish} was called a retransmission, but was sent only once"
            yield Violation("G5", text, index, publish.device)
    refused = publish.settled_refusal()
    if successes and refused:
        text = f"{publish} was answered with success, and with {refused}"
        yield Violation("G5", text, publish.answers[-1][0], publish.device)
    inboxes = {connection.inbox for _, _, connection in successes if connection}
    for inbox in inboxes:
        answers = [answer for _, answer, connection in successes if connection and connection.inbox is inbox]
        if len({answer.seq for answer in answers}) > 1:
            text = f"{publish} was said to have several numbers: {sorted(answer.seq or 0 for answer in answers)}"
            yield Violation("G5", text, successes[-1][0], publish.device)
        if sum(not answer.retransmission for answer in answers) > 1:
            text = f"{publish} was said to be stored just now, twice"
            yield Violation("G5", text, successes[-1][0], publish.device)
    yield from _conflicts(facts, publish, successes)


def _conflicts(
    facts: Facts, publish: Publish, successes: list[tuple[int, Acknowledged, Connection | None]]
) -> Iterator[Violation]:
    """On each connection, at most as many successes as the content that is stored was sent there."""
    for index, answer, connection in successes:
        words = publish.words(before=facts.messages[answer.id or ""].seen_at)
        sent = sum((sent.to, sent.content) in words for _, sent, at in publish.sent if at in (connection, None))
        if connection and sent < sum(at is connection for _, _, at in successes):
            text = f"{publish} was sent with other content than is stored, and got success"
            yield Violation("G5", text, index, publish.device)


# --- G6: one session ----------------------------------------------------------------------------------------------


def one_session(facts: Facts) -> Iterator[Violation]:
    """G6: one live session for each (user, terminal type); a fenced one stores nothing, and its device is told."""
    for on_terminal in facts.terminals.values():
        yield from _epochs_rise(on_terminal)
        for connection in on_terminal:
            yield from _no_way_back(connection, on_terminal)
            yield from _ended(connection)
    for message in facts.messages.values():
        yield from _nothing_after_the_fence(message)
        yield from _nothing_above_the_fence(facts, message)
    for index, event in facts.kicks:
        yield from _right_one_kicked(facts, index, event)


def _epochs_rise(on_terminal: list[Connection]) -> Iterator[Violation]:
    for before, after in combinations(on_terminal, 2):
        if before.life != after.life:
            continue
        first, second = before.opened.epoch, after.opened.epoch
        shared = first == second and before.device is not after.device
        if shared or (second < first and before.at < after.asked_at):
            text = f"{after.device.name} got epoch {second}, after {before.device.name} had {first}"
            yield Violation("G6", text, after.at, after.device.name)


def _no_way_back(connection: Connection, on_terminal: list[Connection]) -> Iterator[Violation]:
    """An automatic reconnect is refused once another device has taken over."""
    if connection.wanted:
        return
    name, epoch = connection.device.name, connection.opened.epoch
    if connection.kicked:
        text = f"{name} was told of a takeover, came back by itself, and was let in"
        yield Violation("G6", text, connection.at, name)
        return
    mine = [c for c in connection.device.connections if c.at < connection.at and c.life == connection.life]
    for rival in rivals(connection, on_terminal) if mine else ():
        later = rival.opened.epoch > mine[-1].opened.epoch
        if later and (rival.opened.epoch < epoch or rival.at < connection.asked_at):
            text = f"{name} came back by itself and was let in, though {rival.device.name} had taken over"
            yield Violation("G6", text, connection.at, name)
            return


def _ended(connection: Connection) -> Iterator[Violation]:
    if connection.fenced_at is not None and connection.closed_at is None:
        name = connection.device.name
        text = f"{name} was never told that another device has taken over, and is still connected"
        yield Violation("G6", text, connection.fenced_at, name)


def _nothing_after_the_fence(message: Message) -> Iterator[Violation]:
    """What was sent only after the fence is not stored; what was first sent after it is not delivered there."""
    sent = _sent_for(message)
    if sent and all(connection and connection.fenced(index) for index, connection in sent):
        device = message.sources[0].device
        text = f"{message} was stored, though another device had taken over from {device} before it was sent"
        yield Violation("G6", text, message.seen_at, device)
    for index, _, connection in message.told:
        if message.sources and connection.fenced(message.sent_at):
            name = connection.device.name
            yield Violation("G6", f"{name} got {message}, sent after another device took over", index, name)


def _nothing_above_the_fence(facts: Facts, message: Message) -> Iterator[Violation]:
    """What a session had sent before the fence may be stored, but not after it, to the number.

    CONNACK says how far the inbox had come at the very log-in that fenced the earlier session.
    """
    known = [connection for _, connection in _sent_for(message) if connection is not None]
    if len(known) < len(_sent_for(message)) or len({connection.device.name for connection in known}) != 1:
        return  # it may be another session, or another device's publish, that was stored
    newest = max(known, key=lambda connection: connection.opened.epoch)
    device = newest.device
    place = min(newest.inbox.places.get(message.id, ()), default=0)
    for rival in rivals(newest, facts.terminals[device.user, device.terminal]):
        later = rival.inbox is newest.inbox and rival.opened.epoch > newest.opened.epoch
        if later and place > rival.opened.head:
            text = f"{message} was stored as {place}, after {rival.device.name} had logged in at {rival.opened.head}"
            yield Violation("G6", text, message.seen_at, device.name)
            return


def _sent_for(message: Message) -> list[tuple[int, Connection | None]]:
    """The transmissions that may have brought it, each with the connection it went out on."""
    return [
        (index, connection)
        for publish in message.sources
        for index, _, connection in publish.sent
        if index < message.seen_at
    ]


def _right_one_kicked(facts: Facts, index: int, event: Kicked) -> Iterator[Violation]:
    """A takeover is by another device of the same user and terminal type, which has logged in."""
    if reason_word(event.reason) != TAKEN_OVER or event.by is None:
        return
    victim, by = facts.device(index, event.device), facts.devices.get(event.by)
    rival = by and by is not victim and (by.user, by.terminal) == (victim.user, victim.terminal)
    if by is None or not rival or not by.seen:
        text = f"{event.device} was told that {event.by} took over, which cannot be: it has not logged in there"
        yield Violation("G6", text, index, event.device)


# --- G7: losses ---------------------------------------------------------------------------------------------------


def losses_said(facts: Facts) -> Iterator[Violation]:
    """G7: what retention took is said, exactly, and nothing else is called lost."""
    for connection in facts.connections:
        name, inbox = connection.device.name, connection.inbox
        position, floor = connection.opened.position, inbox.floor.before(connection.asked_at)
        for index, event in connection.told:
            if isinstance(event, GapTold):
                yield from _true_gap(facts, index, event, position, inbox)
                position = event.last
                continue
            if event.seq < floor:
                text = f"{name} got number {event.seq}, though everything below {floor} was lost before it asked"
                yield Violation("G7", text, index, name)
            position = event.seq
    for standing in facts.standings:
        floor = standing.inbox.floor.before(standing.at)
        lacks = standing.holding.lacks(floor - 1)
        if lacks:
            name = standing.device.name
            text = f"{name} caught up, and was not told that it lost {_ranges(lacks)} (the floor is {floor})"
            yield Violation("G7", text, standing.at, name)


def _true_gap(facts: Facts, index: int, gap: GapTold, position: int, inbox: Inbox) -> Iterator[Violation]:
    said = f"{gap.device} was told that {_span(gap.first, gap.last)} is lost"
    if gap.first != position + 1 or gap.last < gap.first:
        yield Violation("G7", f"{said}, at position {position}", index, gap.device)
    if facts.trims_known and gap.last >= inbox.floor_allowed(index):
        text = f"{said}, but the floor was {inbox.floor_allowed(index) or 'never moved'}"
        yield Violation("G7", text, index, gap.device)
    for id_, places in inbox.places.items():
        message = facts.messages[id_]
        if message.sent_at > index and any(gap.first <= seq <= gap.last for seq in places):
            yield Violation("G7", f"{said}, but {message} got a number there and was sent later", index, gap.device)


def erasures_said(facts: Facts) -> Iterator[Violation]:
    """G7: a number is called erased only where something was, and what is erased is not given out any more."""
    for connection in facts.connections:
        name, inbox = connection.device.name, connection.inbox
        for index, event in connection.told:
            if isinstance(event, ErasedTold):
                yield from _true_tombstone(facts, index, event, inbox)
            elif isinstance(event, Delivered):
                message = facts.messages[event.id]
                asked, done = facts.erasing.get(message.sender, END), facts.erased.get(message.sender, END)
                if event.content is not None and message.sent_at < asked and done < connection.asked_at:
                    text = f"{name} got the body of {message}, which had been erased before it connected"
                    yield Violation("G7", text, index, name)


def _true_tombstone(facts: Facts, index: int, told: ErasedTold, inbox: Inbox) -> Iterator[Violation]:
    said = f"{told.device} was told that number {told.seq} is erased"
    if not any(asked < index for asked in facts.erasing.values()):
        yield Violation("G7", f"{said}, though nobody had asked for that", index, told.device)
    for id_, places in inbox.places.items():
        message = facts.messages[id_]
        if told.seq in places and facts.erasing.get(message.sender, END) > index:
            yield Violation("G7", f"{said}, but {message} is there, and its sender is not erased", index, told.device)
