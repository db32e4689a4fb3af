"""What the client raises.

::

    RoostError
    ├── ConnectionFailed    the broker could not be reached, or the connection broke before an answer came
    ├── LoginRefused        the broker was reached and said no
    ├── PublishRefused      a message was not stored, and why
    ├── RequestRefused      a request (group, contact, fetch, …) was refused, and why
    ├── SessionEnded        the session is over: taken over, logged out, left
    └── StateUnusable       the state file is in use, damaged, somebody else's, or cannot be written

Beside these, ValueError for what no broker would take (a name with a slash, say), and `trio.WouldBlock` where it says.
"""

from roost_protocol.frames import Origin
from roost_protocol.reasons import Reason


class RoostError(Exception):
    """All that the client raises of its own."""


class ConnectionFailed(RoostError):
    """The broker could not be reached, or the connection broke before the answer came: the outcome is unknown."""


class _Refused(RoostError):
    """The broker said no: `reason` is the code, `text` its explanation.

    `retry_after_s` is when it may be tried again, None if that is of no use.
    """

    def __init__(self, reason: Reason, text: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(_explained(reason, text))
        self.reason = reason
        self.text = text
        self.retry_after_s = retry_after_s


class LoginRefused(_Refused):
    """The broker refused the log-in. `origin` says who has taken the session over or ended it, if that is why."""

    def __init__(
        self, reason: Reason, text: str = "", retry_after_s: float | None = None, origin: Origin | None = None
    ) -> None:
        super().__init__(reason, text, retry_after_s)
        self.origin = origin


class PublishRefused(_Refused):
    """The message was not stored in any inbox.

    But for the reason `settled long ago`: then its outcome is too old to be told again; it was stored at most once.
    """


class RequestRefused(_Refused):
    """The request was refused; nothing was changed."""


class SessionEnded(RoostError):
    """The session is over, for `reason`; publishes not settled by then have an unknown outcome.

    They stay in the state, and are sent again when a session is begun with it.
    """

    def __init__(self, reason: Reason, text: str = "") -> None:
        super().__init__(_explained(reason, text))
        self.reason = reason
        self.text = text


class StateUnusable(RoostError):
    """The state cannot be used: the text says which file, what is wrong, and what can be done."""


def _explained(reason: Reason, text: str) -> str:
    return f"{text} ({reason.phrase})" if text else reason.phrase
