"""Contexts: names for brokers, kept in `contexts.toml` of whoever runs the command.

::

    [prod]
    url = "https://broker.example:7443"
    token_file = "/home/me/.config/roost/prod.token"
    ca = "/etc/ssl/our-ca.pem"

    [lab]
    socket = "/run/roost/admin.sock"

A token is never in it, nor an argument: only the file that holds it is named. A file that others may read or change
is refused: it says where a token is sent. A token is sent in the clear to this machine alone, unless the context says
`insecure = true`.
"""

import difflib
import json
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Struct

from roost_admin.endpoints import Endpoint, TcpEndpoint, UnixEndpoint
from roost_admin.failures import EX_CONFIG, EX_NOINPUT, Failure
from roost_protocol.hosts import is_loopback
from roost_protocol.limits import TOKEN_BYTES_MAX

FILE_NAME = "contexts.toml"
FILE_BYTES_MAX = 1024 * 1024
OTHERS = 0o077
"""What group and others may do with a file of ours: nothing."""

_PORTS = {"http": 80, "https": 443}


class Context(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One broker: either `url` and `token_file`, or `socket`. `ca`, a PEM file, is for https. Raises ValueError."""

    url: str = ""
    token_file: str = ""
    ca: str = ""
    socket: str = ""
    insecure: bool = False

    def __post_init__(self) -> None:
        """Check what types cannot say. Raises ValueError."""
        if bool(self.url) == bool(self.socket):
            raise ValueError("a context has either url or socket")
        if bool(self.url) != bool(self.token_file):
            raise ValueError("url and token_file go together")
        if any(not text.isprintable() for text in (self.url, self.token_file, self.ca, self.socket)):
            raise ValueError("url, token_file, ca and socket are printable text")
        scheme = split_url(self.url).scheme if self.url else ""
        if self.ca and scheme != "https":
            raise ValueError("ca goes with a url of https")


def split_url(url: str) -> SplitResult:
    """Take `http://host:port` or `https://host:port` apart. Raises ValueError."""
    split = urlsplit(url)
    more = split.path.strip("/") or split.query or split.fragment or split.username or split.password
    if split.scheme not in _PORTS or not split.hostname or more or split.port == 0:
        raise ValueError(f"url is http://host:port or https://host:port, not {url!r}")
    return split


def contexts_path() -> Path:
    """Where contexts are kept (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "roost" / FILE_NAME


def read_contexts() -> dict[str, Context]:
    """Every context by name; none if there is no file. Raises Failure."""
    path = contexts_path()
    try:
        text = _read_private(path)
    except FileNotFoundError:
        return {}
    try:
        return msgspec.convert(tomllib.loads(text), dict[str, Context])
    except (
        ValueError,
        RecursionError,
        msgspec.ValidationError,
    ) as error:  # not TOML, or numbers and nesting without end
        raise Failure(f"{path}: {error}", EX_CONFIG) from error


def write_contexts(contexts: Mapping[str, Context]) -> None:
    """Keep these contexts in place of those before, all or none. Raises Failure."""
    path = contexts_path()
    parts = []
    for name, context in sorted(contexts.items()):
        fields: dict[str, Any] = msgspec.to_builtins(context)
        # A JSON string of printable text is a basic string of TOML, and true is true.
        parts.append("\n".join([f"[{_quoted(name)}]", *(f"{key} = {_quoted(value)}" for key, value in fields.items())]))
    try:
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            os.fchmod(fd, 0o600)
            file.write("\n\n".join(parts) + "\n" * bool(parts))
            file.flush()
            os.fsync(fd)
        new.replace(path)
    except OSError as error:
        raise Failure(f"{path}: cannot be written: {error.strerror}", EX_CONFIG) from error


def endpoint_of(name: str) -> Endpoint:
    """Where the broker of a context is, with the token that it takes. Raises Failure."""
    contexts = read_contexts()
    context = contexts.get(name)
    if context is None:
        raise unknown_context(name, contexts)
    if context.socket:
        return UnixEndpoint(Path(context.socket))
    split = split_url(context.url)
    host = split.hostname or ""
    encrypted = split.scheme == "https"
    if not encrypted and not context.insecure and not is_loopback(host):
        raise Failure(
            f"context {name}: {context.url} is not on this machine, and nothing is encrypted; use https, "
            "or set insecure = true to send the token in the clear all the same",
            EX_CONFIG,
        )
    token = _token(name, Path(context.token_file))
    authorities = Path(context.ca) if context.ca else None
    return TcpEndpoint(host, split.port or _PORTS[split.scheme], token, encrypted, authorities)


def unknown_context(name: str, contexts: Mapping[str, Context]) -> Failure:
    """There is no such context; perhaps one is meant that is."""
    near = difflib.get_close_matches(name, contexts, 1)
    hint = f"; did you mean {near[0]}?" if near else "; `roost contexts list` shows those that are"
    return Failure(f"there is no context {name!r} in {contexts_path()}{hint}", EX_CONFIG)


def _token(name: str, path: Path) -> str:
    try:
        token = _read_private(path).strip()
    except FileNotFoundError as error:
        raise Failure(f"context {name}: there is no token file {path}", EX_NOINPUT) from error
    if not token or len(token) > TOKEN_BYTES_MAX or not token.isascii() or not token.isprintable():
        raise Failure(f"context {name}: {path} holds no token: one line is wanted", EX_CONFIG)
    return token


def _read_private(path: Path) -> str:
    """The text of a file that is its owner's alone. Raises Failure, and FileNotFoundError."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Failure(f"{path}: cannot be read: {error.strerror}", EX_NOINPUT) from error
    if mode & OTHERS:
        allowed = f"its mode is {stat.S_IMODE(mode):04o}, others may use it; run `chmod 600 {path}`"
        raise Failure(f"{path}: {allowed}", EX_CONFIG)
    if len(data) > FILE_BYTES_MAX:
        raise Failure(f"{path}: has more than {FILE_BYTES_MAX} bytes", EX_CONFIG)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Failure(f"{path}: is not UTF-8", EX_CONFIG) from error


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
