"""What a chat shows of each event: lines for a person. Pure: events and times in, text out.

Everything that others wrote is made printable before a colour is put around it.
"""

from collections import Counter
from datetime import date, datetime
from typing import NamedTuple

from roost.events import (
    Connected,
    Disconnected,
    Ended,
    Event,
    Gap,
    Message,
    Page,
    PresenceChanged,
    StartedOver,
    TakenOver,
)
from roost_admin.cells import printable, printable_lines
from roost_admin.output import clock_time

STORED = "✓"


class Colours(NamedTuple):
    """Escape sequences around text, or none."""

    on: bool

    def name(self, text: str) -> str:
        """A person's name."""
        return f"\x1b[1;36m{text}\x1b[0m" if self.on else text

    def own(self, text: str) -> str:
        """Oneself."""
        return f"\x1b[1;32m{text}\x1b[0m" if self.on else text

    def aside(self, text: str) -> str:
        """What is not part of the conversation."""
        return f"\x1b[2m{text}\x1b[0m" if self.on else text

    def warning(self, text: str) -> str:
        """What a person should not miss."""
        return f"\x1b[1;33m{text}\x1b[0m" if self.on else text


class View:
    """One conversation, seen from one device; it remembers what was shown, so that nothing is said twice."""

    def __init__(self, user: str, device: str, conversation: str, colours: Colours) -> None:
        self.user = user
        self.device = device
        self.conversation = conversation
        self.online = False
        """Whether there is a connection, as of the last event."""
        self._colours = colours
        self._day: date | None = None
        self._connects = 0
        self._catch_up_to = 0
        self._elsewhere: Counter[str] = Counter()
        self._presence: dict[str | None, bool] = {}

    @property
    def title(self) -> str:
        """The other end: a user's name, or the group."""
        kind, _, name = self.conversation.partition("/")
        return printable(name if kind == "user" else f"group {name}")

    def lines_of(self, event: Event) -> list[str]:
        """The lines to show for an event; may be none."""
        match event:
            case Message():
                lines = self._message(event)
                return lines + self._caught_up(event.seq)
            case Gap(first=first, last=last, reason=reason):
                text = f"messages {first} to {last} of your inbox are gone: retention ({reason}) was faster than you"
                return [self._warning(text), *self._caught_up(last)]
            case Connected():
                return self._connected(event)
            case Disconnected():
                return self._disconnected(event)
            case PresenceChanged():
                return self._presence_changed(event)
            case StartedOver():
                return [
                    self._warning("the broker has another inbox than before (restored?): it follows from its start")
                ]
            case TakenOver():
                return [self._warning(taken_over(event))]
            case Ended():
                return [self._warning(ended(event))]
            case _:
                return []  # passing signals: nothing to keep on a screen

    def history(self, page: Page) -> list[str]:
        """The last messages of the conversation, as they were before this start."""
        lines = [self._aside("there are earlier messages")] if page.more else []
        return lines + [line for message in page.entries for line in self._in_conversation(message)]

    def waiting(self, text: str) -> list[str]:
        """A message of one's own that is not stored yet."""
        return [self._aside(f"waiting: {line}") for line in printable_lines(text)]

    def refused(self, text: str, why: str) -> list[str]:
        """A message of one's own that will never be."""
        return [self._warning(f"not sent ({printable(why)}): {line}") for line in printable_lines(text)]

    def aside(self, text: str) -> str:
        """Something about the conversation; `text` is made printable."""
        return self._aside(printable(text))

    # --- messages -------------------------------------------------------------------------------------------------

    def _message(self, message: Message) -> list[str]:
        if message.damaged:
            return [self._aside(f"message {message.seq} is lost: the broker's store is damaged there")]
        if message.conversation == self.conversation:
            return self._in_conversation(message)
        if message.erased or message.own:
            return []
        if message.seq <= self._catch_up_to:
            self._elsewhere[message.conversation] += 1
            return []
        text = " ".join(_body_lines(message))
        return [self._aside(f"{printable(message.sender)} in {_where(message.conversation)}: {text}")]

    def _caught_up(self, seq: int) -> list[str]:
        """What came meanwhile in other conversations is counted, and said once the device has caught up."""
        if seq < self._catch_up_to or not self._elsewhere:
            return []
        lines = [self._aside(f"{count} new in {_where(where)}") for where, count in self._elsewhere.items()]
        self._elsewhere.clear()
        return lines

    def _in_conversation(self, message: Message) -> list[str]:
        if message.erased:
            return [self._aside("a message was erased")]
        day = datetime.fromtimestamp(message.time_ms / 1000).astimezone().date()
        lines = [self._aside(day.strftime("%A, %d %B %Y"))] if message.time_ms and day != self._day else []
        self._day = day
        first, *more = _body_lines(message)
        stamp = self._colours.aside(clock_time(message.time_ms))
        mark = f" {STORED}" if message.own and message.device == self.device else ""
        lines.append(f"{stamp} {self._name(message)}: {first}{mark}")
        return lines + [f"         {line}" for line in more]

    def _name(self, message: Message) -> str:
        if not message.own:
            return self._colours.name(printable(message.sender))
        if message.device in (None, self.device):
            return self._colours.own("you")
        return self._colours.own(f"you ({printable(message.device or '')})")

    # --- the connection -------------------------------------------------------------------------------------------

    def _connected(self, event: Connected) -> list[str]:
        self.online = True
        self._connects += 1
        self._catch_up_to = event.head if event.position < event.head else 0
        lines = []
        if self._connects == 1:
            lines.append(self._aside(f"{self.user} on {self.device}, with {self.title}; Ctrl-D leaves"))
        if event.took_over:
            text = (
                f"the session of {printable(event.took_over.by)}, from {printable(event.took_over.address)}, was ended"
            )
            lines.append(self._aside(f"you are logged in here now; {text}"))
        if self._connects > 1:
            lines.append(self._aside("connected again"))
        return lines

    def _disconnected(self, event: Disconnected) -> list[str]:
        was_online, self.online = self.online, False
        self._presence.clear()
        if not was_online:
            return []  # said already; the prompt shows that it lasts
        return [
            self._aside(f"connection lost ({printable(event.text or event.reason.phrase)}); trying again by itself")
        ]

    def _presence_changed(self, event: PresenceChanged) -> list[str]:
        if self._presence.get(event.terminal, False) == event.online:
            return []
        self._presence[event.terminal] = event.online
        where = f" on {printable(event.terminal)}" if event.terminal else ""
        return [self._aside(f"{printable(event.user)} is {'online' if event.online else 'gone'}{where}")]

    def _aside(self, text: str) -> str:
        return self._colours.aside(f"· {text}")

    def _warning(self, text: str) -> str:
        return self._colours.warning(f"! {text}")


def taken_over(event: TakenOver) -> str:
    """Who did it, when and from where."""
    return (
        f"logged in elsewhere: {printable(event.by)} took over at {clock_time(event.at_ms)} from "
        f"{printable(event.address) or 'an unknown address'}; this one stays logged out"
    )


def ended(event: Ended) -> str:
    """Why a session is over for good, and by whom."""
    text = printable(event.text or event.reason.phrase)
    if event.origin is None:
        return f"the session is over: {text}"
    return f"the session was ended by {printable(event.origin.by)} at {clock_time(event.origin.at)}: {text}"


def _where(conversation: str) -> str:
    """A conversation in words, with what to type to see it."""
    if not conversation:
        return "a conversation that was erased"
    # Not checked again: the broker took these names, and another version of Unicode may judge otherwise here.
    kind, _, name = conversation.partition("/")
    return printable(f"group {name}" if kind == "group" else f"your talk with {name}")


def _body_lines(message: Message) -> list[str]:
    if message.body is None:
        return ["(no longer kept)"]
    if isinstance(message.body, bytes):
        return [f"({len(message.body)} bytes of {printable(message.content_type)})"]
    return printable_lines(message.body)
