"""`python weakened.py DEFECT serve …`: the command `roost`, with one protection taken out of the broker.

What each of the `DEFECTS` takes out, and which test fails then, is in `find_defects`.
"""

import math
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import trio

from roost_broker import login, outlet
from roost_broker.core import Core
from roost_broker.http import server as http_server
from roost_broker.outlet import Outlet
from roost_broker.server import Server
from roost_broker.session import Session
from roost_broker.strangers import Strangers
from roost_broker.transport import framing, tls
from roost_protocol import codec, connection
from roost_protocol.limits import MIB, Limits


def no_login_deadline() -> None:
    """A stranger may take as long as he likes."""
    patient = SimpleNamespace(**vars(trio))
    patient.move_on_after = lambda _: trio.move_on_after(math.inf)
    vars(login)["trio"] = patient


def no_frame_length_bound() -> None:
    """A frame may be as long as it says."""
    patch(codec.ReceiveBuffer, "check_length", lambda *_: None)


def no_bound_before_login() -> None:
    """A stranger may say as much as a device."""
    begin = connection.Connection.__init__

    def begin_wide(self: connection.Connection, role: Any, limits: Limits | None = None) -> None:
        begin(self, role, limits)
        self._buffer.frame_bytes_max = (limits or Limits()).frame_bytes_max

    patch(connection.Connection, "__init__", begin_wide)


def no_write_deadline() -> None:
    """A peer that takes nothing is waited for."""
    patient = SimpleNamespace(**vars(trio))
    patient.move_on_after = lambda _: trio.move_on_after(math.inf)
    vars(outlet)["trio"] = patient


def no_write_buffer_bound() -> None:
    """However much is unsent, more is produced."""
    patch(Outlet, "full", property(lambda _: False))


def no_place_bound() -> None:
    """Everybody has a place."""
    patch(Server, "_is_full", lambda *_: None)


def no_read_pause() -> None:
    """A device that does not wait for its PUBACKs is read on."""

    async def go_on(_: Session) -> None:
        await trio.lowlevel.checkpoint()

    patch(Session, "_wait_turn", go_on)
    patch(Session, "_wait_outlet", go_on)


def no_keepalive() -> None:
    """Whoever is silent stays."""
    patch(Core, "_close_silent", lambda _: None)


def no_window() -> None:
    """What a device has not acknowledged has no bound, nor has what is unsent."""
    begin = Session.__init__

    def begin_wide(self: Session, *args: Any) -> None:
        begin(self, *args)
        self.receive_bytes_max = 1024 * MIB
        self._write_buffer_bytes_max = 1024 * MIB

    patch(Session, "__init__", begin_wide)
    no_write_buffer_bound()


def no_place_given_up() -> None:
    """A full door is a full door."""
    patch(Strangers, "make_place", lambda _: False)


def no_end_of_lingering() -> None:
    """Whoever was told the end is waited for until he closes."""
    vars(outlet)["LINGER_S"] = math.inf


def no_bound_on_log_lines() -> None:
    """Each stranger has his lines in the log."""
    patch(Strangers, "log", lambda _, say, text, *args: say(text, *args))


def no_http_deadline() -> None:
    """A request may take as long as it likes, and keep its place."""
    patient = SimpleNamespace(**vars(trio))
    patient.move_on_after = lambda _: trio.move_on_after(math.inf)
    vars(http_server)["trio"] = patient


def no_refusal_of_two_lengths() -> None:
    """A request may have two lengths."""
    read = http_server._Exchange._event

    async def without_length(self: Any) -> Any:
        event = await read(self)
        headers = getattr(event, "headers", ())
        if any(name == b"transfer-encoding" for name, _ in headers):
            kept = [(name, value) for name, value in headers if name != b"content-length"]
            object.__setattr__(event, "headers", kept)
        return event

    patch(http_server._Exchange, "_event", without_length)


def no_bound_on_messages() -> None:
    """A WebSocket message may be as long as it says."""
    begin = framing.FrameReader.__init__
    patch(framing.FrameReader, "__init__", lambda self, _: begin(self, 2**63))


def no_end_of_handshakes() -> None:
    """A peer that has not finished its handshake is waited for when its time is over."""
    patch(tls.TlsTransport, "explain_end", lambda *_: None)
    no_write_deadline()


def patch(owner: type, name: str, value: object) -> None:
    """Put something else in the place of an attribute."""
    setattr(owner, name, value)


DEFECTS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        no_login_deadline,
        no_frame_length_bound,
        no_bound_before_login,
        no_write_deadline,
        no_write_buffer_bound,
        no_place_bound,
        no_read_pause,
        no_keepalive,
        no_window,
        no_place_given_up,
        no_end_of_lingering,
        no_bound_on_log_lines,
        no_http_deadline,
        no_refusal_of_two_lengths,
        no_bound_on_messages,
        no_end_of_handshakes,
    )
}


def main() -> None:
    """See above."""
    from roost_admin.entry import main as command

    DEFECTS[sys.argv.pop(1)]()
    command()


if __name__ == "__main__":
    main()
