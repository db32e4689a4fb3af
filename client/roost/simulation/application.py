"""The application on a device: uses the client library as a person's program would, and checks what it is handed.

What the library promises its application: every number after the last one, in order, once in each life of the process
(after a restart, from the last that was acknowledged); its own messages with their bodies; receipts that are true.
"""

from roost.events import Connected, Disconnected, Ended, Event, Gap, Message, StartedOver
from roost.publication import Publication
from roost.simulation.messages import content_of


class Application:
    """What one device was handed, over all its restarts. `complaints` is where it says what is wrong."""

    def __init__(self, name: str, complaints: list[str]) -> None:
        self._name = name
        self._complaints = complaints
        self._last: int | None = None
        self._may_begin_anywhere = False
        self._said: dict[int, str] = {}
        self._publications: list[Publication] = []
        self.holds: dict[int, str] = {}
        """The message id at each number that it was handed."""

    @property
    def last(self) -> int:
        """The last number it was handed."""
        return self._last or 0

    def begins(self, last_seq: int | None) -> None:
        """A process begins, with this last number in its state; None: there is none yet."""
        self._last = last_seq
        self._may_begin_anywhere = last_seq is None

    def publishes(self, publication: Publication) -> None:
        """It has published."""
        said = content_of(publication.body, None) if isinstance(publication.body, str) else None
        self._said[publication.n] = said or ""
        self._publications.append(publication)

    def take(self, event: Event) -> None:
        """Take an event of the session, and compare it with what was promised."""
        match event:
            case Connected(position=position):
                if self._may_begin_anywhere:
                    self._last = position
                    self._may_begin_anywhere = False
                elif position != self._last:
                    self._complain(f"goes on after {position}, though it was handed everything up to {self._last}")
            case StartedOver():
                self._complain("was told to start over, though nobody has put the store back")
            case Message():
                self._take_message(event)
            case Gap(first=first, last=last):
                self._follows(first, last)
            case Disconnected(text=text) | Ended(text=text) if "broke the protocol" in text:
                self._complain(f"lost its connection: {text}")
            case _:
                pass

    def check_receipts(self) -> None:
        """Every receipt is of a message that was handed out under that number, if that number was."""
        for publication in self._publications:
            receipt = publication.receipt
            if receipt is not None and self.holds.get(receipt.seq, receipt.id) != receipt.id:
                self._complain(f"has a receipt for {receipt.id} as {receipt.seq}, but was handed another message there")

    def _take_message(self, message: Message) -> None:
        self._follows(message.seq, message.seq)
        if message.damaged:
            self._complain(f"was told that {message.seq} is damaged, and nothing damages the store here")
        if message.erased or message.damaged:
            return
        if self.holds.setdefault(message.seq, message.id) != message.id:
            self._complain(f"was handed {message.id} at {message.seq}, where {self.holds[message.seq]} was before")
        if message.own and message.device == self._name and isinstance(message.body, str) and message.n in self._said:
            said = self._said[message.n]
            if content_of(message.body, None) != said:
                self._complain(f"was handed its own {message.n} as {message.body[:40]!r}, and had said {said!r}")

    def _follows(self, first: int, last: int) -> None:
        if self._last is not None and first != self._last + 1:
            self._complain(f"was handed {first} after {self._last}")
        self._last = last

    def _complain(self, text: str) -> None:
        self._complaints.append(f"the application on {self._name} {text}")
