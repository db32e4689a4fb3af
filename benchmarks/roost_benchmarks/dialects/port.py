"""The port between the workloads and a protocol: one device's side of a connection, sans-I/O.

A load generator has to cost much less than what it measures. So a wire does not decode what it receives: it finds the
ends of frames, reads the numbers that show that nothing is missing or doubled, and counts.
"""

from typing import NamedTuple, Protocol

WINDOW_ENTRIES = 4_096
WINDOW_BYTES = 1024 * 1024
"""How much a device takes before it has acknowledged any, if a workload says nothing else."""


class BrokenPromise(RuntimeError):
    """The broker skipped, doubled or refused something: the run does not count."""


class Login(NamedTuple):
    """Who logs in on a connection, and how."""

    user: str
    terminal: str = "phone"
    password: str = ""
    token: str | None = None
    """A device token, instead of the password, where the broker has such a thing."""
    want_token: bool = False
    backlog: bool = False
    """Take what is waiting from the first entry on; otherwise only what comes from now on."""
    groups: tuple[str, ...] = ()
    """Where membership is a matter of the connection (topics), the groups to join."""
    window_entries: int = WINDOW_ENTRIES
    window_bytes: int = WINDOW_BYTES

    @property
    def name(self) -> str:
        """For people: `alice/phone`."""
        return f"{self.user}/{self.terminal}"


class Wire(Protocol):
    """One device's side of one connection."""

    live: bool
    """Logged in, and ready for whatever comes."""
    delivered: int
    """Messages that came, each once and in order."""
    settled: int
    """Own messages that the broker has acknowledged (and has shown to their sender, where it does that)."""
    token: str | None
    """The device token that came with the log-in, if one was wanted."""
    keepalive_s: int
    """Once live: how long the broker hears nothing before it may end the connection; 0: for ever."""

    def opening(self) -> bytes:
        """What a device says first on a new connection."""
        ...

    def receive(self, data: bytes) -> bytes:
        """Take what has arrived; what is to be said at once: an acknowledgement, the next step of a log-in.

        Raises BrokenPromise.
        """
        ...

    def ping(self) -> bytes:
        """What a device says when it has nothing else to say, so that its connection is kept."""
        ...


class Publisher(Protocol):
    """Makes the messages of one device to one address, which differ in their count only."""

    n: int
    """Messages made so far."""

    def frames(self, count: int) -> bytes:
        """The next `count` messages, as bytes for the wire."""
        ...


class Dialect(Protocol):
    """A protocol as a device speaks it."""

    name: str

    def wire(self, login: Login) -> Wire:
        """A new connection's wire."""
        ...

    def publisher(self, login: Login, to: str, body_bytes: int) -> Publisher:
        """Messages of `body_bytes` bytes from a device of `login` to `to`: `user/NAME` or `group/NAME`."""
        ...
