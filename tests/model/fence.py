"""One more look at G6: a session that was taken over stores nothing after the fence, to the number.

The oracle goes by time, and so must excuse what was sent before the takeover was seen. But CONNACK says how far the
inbox had come at the very log-in that fenced the earlier session: what that session published and got a higher number
was stored after the fence.
"""

from collections.abc import Iterator

from roost.oracle import History
from roost.oracle.facts import Connection, Facts, Message, read


def stored_after_the_fence(history: History) -> Iterator[str]:
    """Say which messages were stored for a session that was fenced already."""
    facts = read(history)
    for message in facts.messages.values():
        sent = [
            connection
            for publish in message.sources
            for index, _, connection in publish.sent
            if index < message.seen_at
        ]
        known = [connection for connection in sent if connection is not None]
        if known and len(known) == len(sent) and len({connection.device.name for connection in known}) == 1:
            yield from _after(facts, message, max(known, key=lambda connection: connection.opened.epoch))


def _after(facts: Facts, message: Message, newest: Connection) -> Iterator[str]:
    device = newest.device
    place = min(newest.inbox.places.get(message.id, ()), default=0)
    for rival in facts.terminals[device.user, device.terminal]:
        fences = rival.inbox is newest.inbox and rival.device is not device
        if fences and rival.opened.epoch > newest.opened.epoch and place > rival.opened.head:
            yield (
                f"G6: {message} was stored as {place} of {device.user}, after {rival.device.name} had logged in "
                f"at {rival.opened.head}"
            )
            return
