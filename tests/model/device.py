"""A small honest device, of its own making: it shares the wire's core with the product, and nothing of the client.

It keeps what `docs/protocol.md` tells a device to keep: its last number and the message id there, the incarnation,
the epoch, its count of publishes, and those that are not settled. It never comes back by itself after it was told that
its session is over. Everything it says and is told goes into the history; what no promise speaks of, but no broker
may do either, into `complaints`.
"""

from model.around import Around, Body
from model.device_link import Link
from model.plan import Installation, LogIn
from roost.oracle import Kicked, StartedOver
from roost_protocol import Reason
from roost_protocol.frames import Disconnect


class Device:
    """What outlives a connection, and the connection that the device has now, if any."""

    def __init__(self, around: Around, installation: Installation) -> None:
        self.around = around
        self.name, self.user, self.terminal = installation
        self.last_seq = 0
        self.held: dict[int, str] = {}
        """Message ids by number, of what it holds."""
        self.incarnation: str | None = None
        self.epoch: int | None = None
        self.may_return = False
        self.wish_stands_until_s = 0.0
        """A person logged in, and the connection ended before the answer came: the broker may still do it, and take
        the session from whoever has it by then. What the device does by itself meanwhile is for that person, too."""
        self.token: str | None = None
        self.n = 0
        self.unsettled: dict[int, Body] = {}
        self.link: Link | None = None
        self.ask = LogIn(device=self.name)

    @property
    def online(self) -> bool:
        """Whether it is logged in, as far as it knows."""
        return self.link is not None and self.link.logged_in

    def log_in(self, ask: LogIn, resume: bool = False) -> None:
        """Begin to log in: by a person's wish, or (`resume`) by itself, if it may."""
        if resume and (self.link is not None or not self.may_return or self.epoch is None):
            return
        self.leave()
        self.ask = ask
        if ask.back:
            self.last_seq = max(0, self.last_seq - ask.back)
            self.held = {seq: id_ for seq, id_ in self.held.items() if seq <= self.last_seq}
        self.link = Link(self, ask, resume)
        self.around.nursery.start_soon(self.link.run)

    def leave(self) -> None:
        """Say so, and go."""
        if self.link is not None:
            self.link.say(Disconnect())
            self.link.end()

    def cut(self) -> None:
        """The network fails: what is under way is lost."""
        if self.link is not None:
            self.link.cut()

    def vanish(self) -> None:
        """Fall silent: nothing is read any more, and the connection stays open."""
        if self.link is not None:
            self.link.vanished = True
            self.link.end()

    # --- publishing ---

    def publish(self, to: str, padding: int = 0, data: bool = False) -> None:
        """Publish, unless that would leave more than `publish_max` unsettled counts in a row."""
        n = self.n + 1
        if self.link is None or not self.link.logged_in:
            return
        if self.unsettled and n - min(self.unsettled) >= self.around.publish_max:
            return
        self.n = n
        self.unsettled[n] = body = Body(to, f"{self.name}#{n}", padding, data)
        self.link.transmit(n, body)

    def retransmit(self) -> None:
        """Send everything unsettled once more."""
        if self.link is not None and self.link.logged_in:
            for n, body in self.unsettled.items():
                self.link.transmit(n, body)

    def contradict(self, back: int, to: str) -> None:
        """Send one of the last counts with other content: no honest device does, so it must get a conflict."""
        n = self.n - back
        if n >= 1 and self.link is not None and self.link.logged_in:
            self.link.transmit(n, Body(to, f"{self.name}#{n} contradicted"))

    def settle(self, n: int) -> None:
        """The outcome of this count is known."""
        self.unsettled.pop(n, None)

    def holds(self, seq: int, id_: str | None) -> None:
        """The stream has come to `seq`."""
        self.last_seq = seq
        if id_ is not None:
            self.held[seq] = id_

    def start_over(self) -> None:
        """Drop everything."""
        self.last_seq = 0
        self.held.clear()
        self.around.record.record(StartedOver(self.name))

    def end_with(self, reason: int, by: str | None) -> None:
        """It was told that its session is over."""
        self.may_return = False
        self.around.record.record(Kicked(self.name, by, Reason.of(reason).phrase))
