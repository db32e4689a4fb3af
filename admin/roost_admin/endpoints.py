"""The two ways to a broker's admin API: its Unix socket on this machine, or its address and a token."""

import errno
import http.client
import socket
import ssl
from pathlib import Path
from typing import NamedTuple, Protocol

from roost_admin.authorities import trusting
from roost_admin.failures import EX_CONFIG, EX_NOPERM, EX_UNAVAILABLE, Failure


class Endpoint(Protocol):
    """Where an admin API is. As text, what a person is told."""

    @property
    def headers(self) -> dict[str, str]:
        """What goes with every request."""
        ...

    def connection(self, timeout_s: float) -> http.client.HTTPConnection:
        """A connection that is opened by its first request."""
        ...

    def unreachable(self, error: OSError | http.client.HTTPException) -> Failure:
        """What it means that there was no answer, and what to do about it."""
        ...


class UnixEndpoint(NamedTuple):
    """The admin socket at `path`; whoever may open it needs nothing else."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def headers(self) -> dict[str, str]:
        """See `Endpoint`."""
        return {}

    def connection(self, timeout_s: float) -> http.client.HTTPConnection:
        """See `Endpoint`."""
        return _UnixConnection(self.path, timeout_s)

    def unreachable(self, error: OSError | http.client.HTTPException) -> Failure:
        """See `Endpoint`."""
        number = error.errno if isinstance(error, OSError) else None
        if number in (errno.ENOENT, errno.ENOTDIR):
            return Failure(
                f"no broker here: there is no admin socket {self.path}; start one with `roost serve`, "
                "or name another with --data DIR or --socket PATH",
                EX_UNAVAILABLE,
            )
        if number == errno.ECONNREFUSED:
            return Failure(
                f"no broker: nobody listens on the admin socket {self.path}; start one with `roost serve`",
                EX_UNAVAILABLE,
            )
        if number in (errno.EACCES, errno.EPERM):
            return Failure(
                f"no right to the admin socket {self.path}: only the user that runs the broker may use it, "
                "and members of its admin_group",
                EX_NOPERM,
            )
        if type(error) is OSError and number is None:
            # What Python says before it asks the system: the path is too long for a socket.
            return Failure(f"admin socket {self.path}: {error}", EX_CONFIG)
        return Failure(f"the broker at {self.path} did not answer: {_reason(error)}", EX_UNAVAILABLE)


class TcpEndpoint(NamedTuple):
    """A broker's `admin_listen`, or what stands before it, for an admin with a token."""

    host: str
    port: int
    token: str
    encrypted: bool = False
    authorities: Path | None = None
    """PEM file of those who are trusted to vouch for it; None: those of the system."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.encrypted else 'http'}://{host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """See `Endpoint`."""
        return {"authorization": f"Bearer {self.token}"}

    def connection(self, timeout_s: float) -> http.client.HTTPConnection:
        """See `Endpoint`."""
        if self.encrypted:
            context = trusting("ca", self.authorities)
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout_s, context=context)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)

    def unreachable(self, error: OSError | http.client.HTTPException) -> Failure:
        """See `Endpoint`."""
        if isinstance(error, ssl.SSLError):
            return Failure(f"{self}: not to be trusted, or not encrypted: {_reason(error)}", EX_CONFIG)
        return Failure(f"no broker answers at {self}: {_reason(error)}", EX_UNAVAILABLE)


def _reason(error: OSError | http.client.HTTPException) -> str:
    return str((error.strerror if isinstance(error, OSError) else None) or error)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Open the socket. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
