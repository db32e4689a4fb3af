"""What the wires of MQTT and XMPP share: their state, and the check that each sender's messages come once, in order."""

from roost_benchmarks.dialects.port import BrokenPromise, Login


class CountingWire:
    """The state of a `Wire` whose messages each say who sent them and which of his they are, counted from 1."""

    __slots__ = ("_last", "_login", "_rest", "delivered", "keepalive_s", "live", "settled", "token")

    def __init__(self, login: Login) -> None:
        self._login = login
        self._rest = b""
        self._last: dict[int, int] = {}
        self.live = False
        self.delivered = 0
        self.settled = 0
        self.token: str | None = None
        self.keepalive_s = 0

    def _count(self, sender: int, number: int) -> None:
        """A message has come. Raises BrokenPromise for one that is missing, doubled or out of order."""
        due = self._last.get(sender, 0) + 1
        if number != due:
            raise BrokenPromise(f"{self._login.name}: number {number} of sender {sender:08x} where {due} was due")
        self._last[sender] = number
        self.delivered += 1
