"""The composition root: builds a broker from its configuration and surroundings, owns its tasks, starts and stops it.

Start: open the store (nothing else is touched if that fails), build the core, open listeners and the admin socket,
serve. Stop, in this order: accept no more; finish what is under way and tell every device, within the grace period;
cancel whatever is left; close the store.
"""

import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trio

from roost_broker.administration import Administration
from roost_broker.config import Config, ConfigurationError, load, parse_listen
from roost_broker.core import Core, Surroundings
from roost_broker.http.admin import AdminApi
from roost_broker.http.callers import unix_caller
from roost_broker.http.server import HttpServer
from roost_broker.http.unix import open_admin_socket
from roost_broker.offload import OwnThread, ThreadOffload
from roost_broker.server import Server
from roost_broker.store import Store
from roost_broker.transport import Listener
from roost_broker.transport.tcp import TcpListener
from roost_protocol.admin.users import UserCreate, UserRow

_log = logging.getLogger(__name__)


class ListenerUnusable(Exception):
    """The broker cannot listen where it should; the message says why."""


def real_surroundings() -> Surroundings:
    """The machine's own clock, randomness and threads."""
    return Surroundings(
        now_ms=lambda: time.time_ns() // 1_000_000,
        random=random.SystemRandom(),
        offload=ThreadOffload,
        writer=lambda: OwnThread("roost commit"),
    )


def open_store(config: Config, around: Surroundings) -> Store:
    """Open the LMDB store of this configuration, made anew if there is none. Raises StoreUnusable."""
    from roost_broker.store.lmdb import LmdbStore

    return LmdbStore(
        Path(config.data),
        map_bytes=config.store.map_bytes,
        reserve_bytes=config.store.reserve_bytes,
        limits=config.limits,
        random=around.random,
    )


def open_listener(config: Config) -> Listener:
    """Listen as configured. Raises ListenerUnusable."""
    host, port = parse_listen(config.listen)
    if not _is_loopback(host) and not config.listen_beyond_loopback:
        raise ListenerUnusable(
            f"listen = {config.listen}: others could reach it, and nothing is encrypted; "
            "to do so all the same, set listen_beyond_loopback = true"
        )
    try:
        return TcpListener.open(host, port)
    except OSError as error:
        raise ListenerUnusable(f"cannot listen on {config.listen}: {error.strerror or error}") from error
    except UnicodeError as error:  # what no name of a host can be
        raise ListenerUnusable(f"cannot listen on {config.listen}: {error}") from error


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Broker:
    """A whole broker in this process: `async with roost.Broker(data="…", listen="127.0.0.1:0") as broker: …`.

    `config` (or a few of its values by name: `data`, `listen`, …) says what it is; the other parameters put
    something else in the place of the machine's clock, disk and network. With `store` or `listeners` given, the
    configured ones are not opened; the caller's store is closed at the end all the same. With `admin_socket=False`
    there is no admin API.

    Entering raises StoreUnusable, ListenerUnusable, AdminSocketUnusable or ConfigurationError. Leaving drains for
    `config.drain_s` at most; leaving by cancellation stops at once, and loses nothing that was acknowledged. When the
    store cannot say what is durable (`OutcomeUnknown`), the block is cancelled and that is raised.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        store: Store | None = None,
        listeners: Sequence[Listener] | None = None,
        surroundings: Surroundings | None = None,
        admin_socket: bool = True,
        **values: Any,
    ) -> None:
        if config is not None and values:
            raise ConfigurationError(f"give either config or single values, not both: {', '.join(values)}")
        self.config = config if config is not None else load(None, **values)
        self._around = surroundings or real_surroundings()
        self._store = store
        self._given_listeners = listeners
        self._with_admin = admin_socket
        self._has_admin_socket = False
        self._listeners: list[Listener] = []
        self._running: AbstractAsyncContextManager[None] | None = None
        self._core: Core | None = None
        self._server: Server | None = None
        self._acts: Administration | None = None
        self.addresses: list[str] = []
        """Where it listens, once it runs."""

    async def __aenter__(self) -> Self:
        self._running = self._run()
        try:
            await self._running.__aenter__()
        except BaseExceptionGroup as group:
            only = _only(group)
            raise only from only.__cause__
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._running is None:
            raise AssertionError("left before it was entered")
        try:
            return await self._running.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            only = _only(group)
            raise only from only.__cause__

    @property
    def core(self) -> Core:
        """The parts inside, for tests and tools that look."""
        if self._core is None:
            raise RuntimeError("the broker does not run: enter it with `async with` first")
        return self._core

    @property
    def server(self) -> Server:
        """Its connections, for tests and tools that look."""
        if self._server is None:
            raise RuntimeError("the broker does not run: enter it with `async with` first")
        return self._server

    @property
    def admin(self) -> Administration:
        """What an admin may do, by noun: `broker.admin.users.create(…)`."""
        if self._acts is None:
            raise RuntimeError("the broker does not run: enter it with `async with` first")
        return self._acts

    async def create_user(self, name: str, password: str) -> UserRow:
        """Create an account. Raises NotDone."""
        return await self.admin.users.create(UserCreate(name=name, password=password))

    async def trim(self) -> int:
        """Trim every inbox to the configured retention now; how many entries went. Raises CommitRefused."""
        return (await self.core.retention.walk_now()).entries

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        store = self._store if self._store is not None else await self._open_store()
        try:
            async with trio.open_nursery() as nursery:
                try:
                    self._start(store, nursery)
                    yield
                    await self._drain()
                finally:
                    for listener in self._listeners:
                        listener.close()
                nursery.cancel_scope.cancel()
        finally:
            if self._has_admin_socket:
                # Before the store's lock is gone: after it, the socket may be that of the next broker already.
                with suppress(OSError):
                    self.config.admin_path.unlink()
            store.close()

    async def _open_store(self) -> Store:
        # A thread, since opening may recover, migrate, and wait for a slow disk.
        return await trio.to_thread.run_sync(open_store, self.config, self._around)

    def _start(self, store: Store, nursery: trio.Nursery) -> None:
        if self._given_listeners is not None:
            self._listeners += self._given_listeners
        else:
            self._listeners.append(open_listener(self.config))
        self.addresses = [listener.address for listener in self._listeners]
        core = self._core = Core(self.config, store, self._around, nursery)
        server = self._server = Server(core)
        self._acts = Administration(core, server, self.addresses)
        if self._with_admin:
            admin_socket = open_admin_socket(self.config.admin_path)
            self._has_admin_socket = True
            nursery.start_soon(
                HttpServer(AdminApi(self._acts, unix_caller).respond, self.config.limits).serve, admin_socket
            )
        nursery.start_soon(core.serve)
        nursery.start_soon(core.retention.serve)
        for listener in self._listeners:
            nursery.start_soon(server.serve, listener)
        _log.info("listening on %s, data in %s", ", ".join(self.addresses), self.config.data)

    async def _drain(self) -> None:
        for listener in self._listeners:
            listener.close()
        with trio.move_on_after(self.config.drain_s) as scope:
            await self.core.drain()
            await self.server.wait_no_connections()
        if scope.cancelled_caught:
            _log.warning("not everybody was gone within %s s", self.config.drain_s)


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception that matters, out of the nurseries' groups: the only one, or the group itself.

    A cancellation beside it does not matter: it may have come from outside at the same moment.
    """
    _, failures = group.split(trio.Cancelled)
    error: BaseException = failures or group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
