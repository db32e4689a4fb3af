"""The composition root: builds a broker from its configuration and surroundings, owns its tasks, starts and stops it.

Start: open the store (nothing else is touched if that fails), build the core, open listeners and the admin socket,
serve. Stop, in this order: accept no more; finish what is under way and tell every device, within the grace period;
cancel whatever is left; close the store.
"""

import logging
import math
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trio

from roost_broker import descriptors
from roost_broker.administration import Administration
from roost_broker.audit import FILE_NAME as AUDIT_FILE_NAME
from roost_broker.audit import AuditLog
from roost_broker.certificates import Certificates
from roost_broker.config import Config, ConfigurationError, reachable_by_others
from roost_broker.core import Core, Surroundings
from roost_broker.http.admin import AdminApi
from roost_broker.http.callers import BearerCallers, Callers, UnixCallers, group_number
from roost_broker.http.server import IDLE_KEPT_S, HttpServer
from roost_broker.http.stream import StreamListener
from roost_broker.http.unix import open_admin_socket, path_unfit
from roost_broker.listening import open_network_listener
from roost_broker.offload import OwnThread, ThreadOffload
from roost_broker.process import Process
from roost_broker.readiness import ReadinessCheck
from roost_broker.server import Server
from roost_broker.settings import Settings, settings_of, settings_of_program
from roost_broker.sign_on import SignOn
from roost_broker.store import Store
from roost_broker.transport import Listener
from roost_broker.web.door import WebDoor, web_callers
from roost_protocol.admin.users import UserCreate, UserRow

_log = logging.getLogger(__name__)


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


def problems_of_use(config: Config) -> list[str]:
    """What can be told of a configuration without opening anything: why a broker would not start with it."""
    unfit = path_unfit(config.admin_path)
    return reachable_by_others(config) + ([] if unfit is None else [unfit])


class Broker:
    """A whole broker in this process: `async with roost.Broker(data="…", listen="127.0.0.1:0") as broker: …`.

    `config` (or a few of its values by name: `data`, `listen`, …) says what it is; the other parameters put
    something else in the place of the machine's clock, disk and network. With `store`, `listeners` or `web_listener`
    given, the configured ones are not opened; the caller's store is closed at the end all the same. With
    `admin_socket=False` there is no admin API, nor an audit log. `process` lets admins reload the configuration and end
    the broker.

    Entering raises StoreUnusable, ListenerUnusable, AdminSocketUnusable, AuditLogUnusable or ConfigurationError.
    Leaving drains for `config.drain_s` at most; leaving by cancellation stops at once, and loses nothing that was
    acknowledged. When the store cannot say what is durable (`OutcomeUnknown`), the block is cancelled and that is
    raised.
    """

    def __init__(
        self,
        config: Config | Settings | None = None,
        *,
        store: Store | None = None,
        listeners: Sequence[Listener] | None = None,
        web_listener: Listener | None = None,
        surroundings: Surroundings | None = None,
        admin_socket: bool = True,
        process: Process | None = None,
        **values: Any,
    ) -> None:
        if config is not None and values:
            raise ConfigurationError(f"give either config or single values, not both: {', '.join(values)}")
        if config is None:
            self._settings = settings_of_program(None, values)
        else:
            self._settings = settings_of(config) if isinstance(config, Config) else config
        self.config = self._settings.config
        """As it was at the start."""
        self._process = process
        self._around = surroundings or real_surroundings()
        self._store = store
        self._given_listeners = listeners
        self._web_listener = web_listener
        self._with_admin = admin_socket
        self._has_admin_socket = False
        self._listeners: list[Listener] = []
        self._close_admin: list[Callable[[], None]] = []
        self._running: AbstractAsyncContextManager[None] | None = None
        self._core: Core | None = None
        self._server: Server | None = None
        self._http: list[HttpServer] = []
        self._acts: Administration | None = None
        self._audit: AuditLog | None = None
        self._web_admin: AdminApi | None = None
        self.admin_address = ""
        """Where the admin API listens for admins with a token, once it runs; empty if it does not."""
        self.web_address = ""
        """Where browsers find it, once it runs; empty if they do not."""
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
    def http_scheme(self) -> str:
        """What stands before `admin_address` and `web_address`: http, or https where there is a certificate."""
        return "https" if self.config.tls.certificate else "http"

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
                    await self._start(store, nursery)
                    yield
                    await self._drain()
                finally:
                    for listener in self._listeners:
                        listener.close()
                    if self._web_listener is not None:
                        self._web_listener.close()
                    for close in self._close_admin:
                        close()
                nursery.cancel_scope.cancel()
        finally:
            if self._has_admin_socket:
                # Before the store's lock is gone: after it, the socket may be that of the next broker already.
                with suppress(OSError):
                    self.config.admin_path.unlink()
            if self._audit is not None:
                self._audit.close()
            store.close()

    async def _open_store(self) -> Store:
        # A thread, since opening may recover, migrate, and wait for a slow disk.
        return await trio.to_thread.run_sync(open_store, self.config, self._around)

    async def _start(self, store: Store, nursery: trio.Nursery) -> None:
        certificates = Certificates(self.config.tls) if self.config.tls.certificate else None
        if self._given_listeners is not None:
            self._listeners += self._given_listeners
        else:
            self._listeners.append(open_network_listener(self.config, "listen", certificates))
        self.addresses = [listener.address for listener in self._listeners]
        core = self._core = Core(self.config, store, self._around, nursery)
        places = self._places()
        if self.config.jwt.configured:
            core.sign_on = await trio.to_thread.run_sync(SignOn, self.config.jwt)
        server = self._server = Server(core, places)
        self._acts = Administration(core, server, self.addresses, self._settings, self._process, certificates)
        doors = self._open_admin(core, self._acts, certificates) if self._with_admin else []
        doors += self._open_web(core, server, certificates)
        await nursery.start(core.serve)
        for door in doors:
            nursery.start_soon(door)
        nursery.start_soon(core.retention.serve)
        for listener in self._listeners:
            nursery.start_soon(server.serve, listener)
        self._warn_of_few(places)
        _log.info("listening on %s, data in %s", ", ".join(self.addresses), self.config.data)

    def _places(self) -> int:
        """For how many connections there are file descriptors, if it is this process that they cost some."""
        return sys.maxsize if self._given_listeners is not None else descriptors.places(self.config)

    def _warn_of_few(self, places: int) -> None:
        if places < (wanted := self.config.limits.connections_max):
            _log.warning(
                "limits.connections_max = %d, and there are file descriptors for %d connections (LimitNOFILE, "
                "ulimit -n): no more will be taken", wanted, places,
            )  # fmt: skip

    def _open_admin(
        self, core: Core, acts: Administration, certificates: Certificates | None
    ) -> list[Callable[[], Awaitable[None]]]:
        """Open the audit log, and then both ways to the admin API, which is nothing without it; what serves them."""
        config = self.config
        audit = self._audit = AuditLog(Path(config.data) / AUDIT_FILE_NAME, self._around.offload(1), core.now_ms)
        readiness = ReadinessCheck(core, audit)
        self._web_admin = AdminApi(acts, web_callers(core), audit, readiness)

        def served(
            listener: trio.abc.Listener[Any], callers: Callers, idle_kept_s: float = math.inf
        ) -> Callable[[], Awaitable[None]]:
            respond = AdminApi(acts, callers, audit, readiness).respond
            server = HttpServer(respond, config.limits, idle_kept_s=idle_kept_s)
            self._http.append(server)
            return partial(server.serve, listener)

        group = group_number(config.admin_group)
        admin_socket = open_admin_socket(config.admin_path, group)
        self._has_admin_socket = True
        self._close_admin.append(admin_socket.socket.close)
        doors = [served(admin_socket, UnixCallers(group))]
        if config.admin_listen:
            listener = open_network_listener(config, "admin_listen", certificates)
            self._close_admin.append(listener.close)
            self.admin_address = listener.address
            doors.append(served(StreamListener(listener), BearerCallers(core), IDLE_KEPT_S))
            _log.info("admin API on %s://%s", self.http_scheme, self.admin_address)
        return doors

    def _open_web(
        self, core: Core, server: Server, certificates: Certificates | None
    ) -> list[Callable[[], Awaitable[None]]]:
        """Open the web listener, if there is to be one; what serves it."""
        if self._web_listener is None and self.config.web_listen:
            self._web_listener = open_network_listener(self.config, "web_listen", certificates)
        listener = self._web_listener
        if listener is None:
            return []
        door = WebDoor(core, server, self._web_admin)
        self._http.append(door.http)
        self.web_address = listener.address
        _log.info("web on %s://%s", self.http_scheme, self.web_address)
        return [partial(door.serve, listener)]

    async def _drain(self) -> None:
        for listener in self._listeners:
            listener.close()
        if self._web_listener is not None:
            self._web_listener.close()
        drain_s = self.core.config.drain_s
        with trio.move_on_after(drain_s) as scope:
            await self.core.drain()
            await self.server.wait_no_connections()
            for server in self._http:
                await server.wait_answered()
        if scope.cancelled_caught:
            _log.warning("not everybody was gone within %s s", drain_s)


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception that matters, out of the nurseries' groups: the only one, or the group itself.

    A cancellation beside it does not matter: it may have come from outside at the same moment.
    """
    _, failures = group.split(trio.Cancelled)
    error: BaseException = failures or group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
