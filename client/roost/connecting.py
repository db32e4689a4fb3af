"""`connect`: puts a session together, logs in, and takes everything down again in the right order."""

import os
import ssl
from random import Random, SystemRandom
from types import TracebackType

import trio

from roost.backoff import Backoff
from roost.core import SessionCore, Windows
from roost.errors import ConnectionFailed, StateUnusable
from roost.link import Dial
from roost.session import Session
from roost.state import MemoryState, Saved, State
from roost.state_writer import StateWriter
from roost.upkeep import GiveJwt, LoginTerms, Upkeep
from roost.version import __version__
from roost_protocol.limits import MIB
from roost_protocol.names import check_device_id, check_name, check_terminal

CLIENT = f"roost-python/{__version__}"


def connect(
    address: str | tuple[str, int],
    *,
    user: str,
    terminal: str,
    password: str | None = None,
    token: str | None = None,
    jwt: str | GiveJwt | None = None,
    by_certificate: bool = False,
    device: str | None = None,
    state: str | os.PathLike[str] | State | None = None,
    newest: int | None = None,
    receive_max: int = 4_096,
    receive_bytes_max: int = MIB,
    keepalive_s: int = 60,
    want_token: bool = False,
    client: str = CLIENT,
    reconnect: bool = True,
    auto_acknowledge: bool = True,
    resume: bool = False,
    tls: bool | ssl.SSLContext = False,
    dial: Dial | None = None,
    random: Random | None = None,
    backoff: Backoff | None = None,
) -> "Connecting":
    """Log `user` in on the terminal type `terminal`: `async with roost.connect(...) as session`.

    Where: `address` is `"host:port"`, `"[::1]:port"` or `(host, port)`, reached over TCP, and with `tls` over TLS: True
    trusts the authorities that the system trusts, a context of your own may trust others, or show a certificate of
    this device (`context.load_cert_chain`). The host's name has to be in the broker's certificate.
    Or `dial` opens the connection (any `trio.abc.Stream`), and `address` is for people only.

    Who: `password`, or a device `token`, or a `jwt` of the site's own sign-on (or an async function that gives one
    that holds at the moment, and may raise ConnectionFailed); with none of them, the token in the state. With
    `by_certificate` nothing of that is sent, and the certificate in the context `tls` says who this is. `want_token`
    asks for a token to be issued; it is kept in the state and used from then on. `device` is this installation's stable
    id; by default one is made up and kept in the state. Without a state or an id of its own each run is a new device,
    of which a user may have only so many.

    Memory: `state` is the path of a state file, a `State`, or None for a state that lives as long as the session. A
    device without a last number gets the whole inbox, or only its `newest` entries. `resume` logs in as an automatic
    reconnect with the epoch in the state: for a service that starts by itself, which must not take a session over
    that somebody began elsewhere meanwhile. By default it is a person who logs in, and takes over.

    Flow: at most `receive_max` entries and `receive_bytes_max` bytes come unacknowledged. With `auto_acknowledge`
    an entry is acknowledged when the next event is asked for. `keepalive_s` is the silence allowed, in seconds (a
    connection is lost after 1.5 times that). `reconnect` with `backoff`; `random` gives ids and jitter.

    Entering raises LoginRefused, ConnectionFailed (only the first log-in is tried just once), StateUnusable,
    ValueError. Leaving says goodbye, within a few seconds, also when cancelled; exceptions of the block come out as
    they are, not in a group.
    """
    check_name(user)
    check_terminal(terminal)
    if device is not None:
        check_device_id(device)
    if sum((password is not None, token is not None, jwt is not None, by_certificate)) > 1:
        raise ValueError("give connect() one of password, token, jwt and by_certificate")
    terms = LoginTerms(
        password=password,
        token=token,
        jwt=_giver(jwt),
        by_certificate=by_certificate,
        newest=newest,
        receive_max=receive_max,
        receive_bytes_max=receive_bytes_max,
        keepalive_s=keepalive_s,
        want_token=want_token,
        client=client,
    )
    return Connecting(
        user=user,
        terminal=terminal,
        device=device,
        state=_state_of(state),
        terms=terms,
        dial=dial or _dial(address, tls),
        random=random or SystemRandom(),
        backoff=backoff or Backoff(),
        reconnect=reconnect,
        auto_acknowledge=auto_acknowledge,
        resume=resume,
    )


class Connecting:
    """What `connect` returns: an asynchronous context manager, to be entered once."""

    def __init__(
        self,
        *,
        user: str,
        terminal: str,
        device: str | None,
        state: State,
        terms: LoginTerms,
        dial: Dial,
        random: Random,
        backoff: Backoff,
        reconnect: bool,
        auto_acknowledge: bool,
        resume: bool,
    ) -> None:
        self._user = user
        self._terminal = terminal
        self._device = device
        self._writer = StateWriter(state)
        self._terms = terms
        self._dial = dial
        self._random = random
        self._backoff = backoff
        self._reconnect = reconnect
        self._auto_acknowledge = auto_acknowledge
        self._resume = resume
        self._entered = False

    async def __aenter__(self) -> Session:
        """Log in. Raises what `connect` says; then nothing is left open."""
        if self._entered:
            raise RuntimeError("roost.connect(...) is entered once; call it again for another session")
        self._entered = True
        saved = await self._writer.open(self._user, self._terminal)
        try:
            self._core, self._upkeep = self._put_together(saved)
            await self._upkeep.log_in(resume=self._resume)
        except BaseException:
            await self._writer.close()
            raise
        self._nursery_manager = trio.open_nursery()
        self._nursery = await self._nursery_manager.__aenter__()
        self._nursery.start_soon(self._upkeep.run)
        if not self._writer.inline:
            self._nursery.start_soon(self._upkeep.save)
        return Session(self._core, self._upkeep)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Say goodbye, close the connection, save the state. Raises StateUnusable if that cannot be done."""
        try:
            await self._upkeep.leave()
        finally:
            self._nursery.cancel_scope.cancel()
            try:
                # Told of no exception: that of the block goes its own way, and is not wrapped in a group.
                await self._nursery_manager.__aexit__(None, None, None)
            finally:
                await self._writer.close()
        if error is None and self._core.failure is not None:
            raise self._core.failure

    def _put_together(self, saved: Saved) -> tuple[SessionCore, Upkeep]:
        terms = self._terms
        known = (terms.password, terms.jwt, terms.token, saved.token)
        if all(each is None for each in known) and not terms.by_certificate:
            raise ValueError("give connect() a password, a token, a jwt, or a state that has a token from before")
        core = SessionCore(
            saved,
            self._device_of(saved),
            self._writer,
            Windows(self._terms.receive_max, self._terms.receive_bytes_max),
            self._random,
            self._auto_acknowledge,
        )
        return core, Upkeep(core, self._dial, self._terms, self._backoff, self._random, self._reconnect)

    def _device_of(self, saved: Saved) -> str:
        if saved.device is None:
            device = self._device or f"{self._terminal}-{self._random.getrandbits(64):016x}"
            self._writer.note_device(device)
            return device
        if self._device not in (None, saved.device):
            raise StateUnusable(f"this state belongs to the device {saved.device}, not to {self._device}")
        return saved.device


def _giver(jwt: str | GiveJwt | None) -> GiveJwt | None:
    if not isinstance(jwt, str):
        return jwt

    async def same() -> str:
        return jwt

    return same


def _state_of(state: str | os.PathLike[str] | State | None) -> State:
    if state is None:
        return MemoryState()
    if isinstance(state, str | os.PathLike):
        from roost.state_file import FileState  # SQLite is not needed for a state in memory

        return FileState(state)
    return state


def _dial(address: str | tuple[str, int], tls: bool | ssl.SSLContext) -> Dial:
    host, port = _host_and_port(address)
    if not tls:

        async def dial() -> trio.abc.Stream:
            return await trio.open_tcp_stream(host, port)  # Trio sets TCP_NODELAY

        return dial
    context = ssl.create_default_context() if tls is True else tls

    async def dial_tls() -> trio.abc.Stream:
        stream = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=context)
        try:
            await stream.do_handshake()
        except BaseException as error:
            await trio.aclose_forcefully(stream)
            if isinstance(error, trio.BrokenResourceError):  # its cause is what a person needs to know
                raise ConnectionFailed(f"no TLS with the broker: {error.__cause__ or error}") from error
            raise
        return stream

    return dial_tls


def _host_and_port(address: str | tuple[str, int]) -> tuple[str, int]:
    if isinstance(address, tuple):
        return address
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"an address is HOST:PORT or [IPv6]:PORT, not {address!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)
