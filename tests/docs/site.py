"""A small site for the pages: a broker in a process, users, devices that are really connected, and a shell to type in.

The pages speak of `/var/lib/roost`, `/etc/roost…`, `/var/backups` and the ports 7300 and 7443; here all of that is
somewhere below a folder of the test, and on ports that were free. What is typed and printed is translated.
"""

import os
import pwd
import re
import select
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import trio

import roost
from admin.running import COMMAND, PASSWORD, WAIT_S, environment
from roost_admin.api import AdminApi
from roost_admin.failures import Failure
from roost_protocol.admin.events import EVENTS_LIST, EventQuery
from roost_protocol.admin.sessions import SESSIONS_LIST
from roost_protocol.admin.users import USERS_CREATE, UserCreate

CONFIG = """data = "/var/lib/roost"
listen = "127.0.0.1:7300"
admin_listen = "127.0.0.1:7443"

[retention]
age_days = 365
count = 1000000
interval_s = 3600
"""
"""What the pages have in /etc/roost.toml."""


class Site:
    """The machine that the pages are about. `nursery` holds its devices."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self.folder = folder
        self.home = folder / "home"
        self._nursery = nursery
        self._devices: dict[str, tuple[trio.CancelScope, roost.Session]] = {}
        self._broker: subprocess.Popen[bytes] | None = None
        self.log = folder / "broker.log"
        """What the broker says."""
        self._ports = {"7300": _free_port(), "7443": _free_port()}
        self._places = {
            each: str(folder / each.strip("/").replace("/", "-")) for each in ("/var/lib", "/etc", "/var/backups")
        }
        for place in (*map(Path, self._places.values()), self.home, folder / "bin"):
            place.mkdir()
        command = folder / "bin" / "roost"
        command.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
        command.chmod(0o755)
        (Path(self._places["/etc"]) / "roost.toml").write_text(self.typed(CONFIG))
        self.write("/etc/roost/bob.password", PASSWORD)
        self.write("/etc/roost/monitor.password", PASSWORD)
        self.env = {
            **environment(folder), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "ROOST_PASSWORDS__MEMORY_KIB": "64", "ROOST_PASSWORDS__PASSES": "1",
        }  # fmt: skip
        self.env.pop("COLUMNS", None)

    def write(self, place: str, text: str) -> None:
        """Put a line into a file that the pages name."""
        path = Path(self.typed(place))
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}\n")

    def typed(self, text: str) -> str:
        """A text of a page, with what stands for it here."""
        for port, ours in self._ports.items():
            text = text.replace(port, ours)
        for place, ours in self._places.items():
            text = re.sub(rf"(?<![\w.-]){place}(?=/)", ours, text)
        return text

    def shown(self, text: str) -> str:
        """A text from here, as a page would have it."""
        for place, ours in self._places.items():
            text = text.replace(ours, place)
        text = text.replace(str(self.home), "/home/zoe")
        for port, ours in self._ports.items():
            text = re.sub(rf"\b{ours}\b", port, text)
        user = pwd.getpwuid(os.getuid()).pw_name
        return text if user == "root" else re.sub(rf"\b{re.escape(user)}\b", "root", text)

    @property
    def api(self) -> AdminApi:
        """The admin API of the broker that runs as a service."""
        return AdminApi(Path(self.typed("/var/lib/roost/admin.sock")))

    @property
    def address(self) -> str:
        """Where devices connect."""
        return self.typed("127.0.0.1:7300")

    # --- the broker as a service --------------------------------------------------------------------------------

    def start(self) -> None:
        """What `systemctl start roost` does: return when the broker is ready."""
        self.stop()
        reading, writing = os.pipe()
        words = [*COMMAND, "serve", "--config", self.typed("/etc/roost.toml"), "--ready-fd", str(writing)]
        with self.log.open("ab") as log:
            self._broker = subprocess.Popen(
                words, pass_fds=(writing,), stdout=subprocess.DEVNULL, stderr=log, env=self.env, cwd=self.home
            )
        os.close(writing)
        with os.fdopen(reading) as ready:
            assert select.select([ready], [], [], WAIT_S)[0], "the broker is not ready"
            assert ready.readline(), f"the broker did not start: {self.log.read_text()}"
        self.env["ROOST_DATA"] = self.typed("/var/lib/roost")  # as the page has it from here on

    def stop(self) -> None:
        """What `systemctl stop roost` does; a broker that has drained is ended already."""
        if self._broker is not None:
            with suppress(ProcessLookupError):
                self._broker.send_signal(signal.SIGTERM)
            assert self._broker.wait(WAIT_S) == 0, self.log.read_text()
            self._broker = None

    def kill(self) -> None:
        """At the end of a test that failed."""
        if self._broker is not None and self._broker.poll() is None:
            self._broker.kill()
            self._broker.wait(WAIT_S)

    # --- users and devices --------------------------------------------------------------------------------------

    async def create_users(self, *names: str) -> None:
        """Accounts, all with the same password."""
        for name in names:
            await trio.to_thread.run_sync(self._create_user, name)

    def _create_user(self, name: str) -> None:
        self.api.ask(USERS_CREATE, body=UserCreate(name=name, password=PASSWORD))

    async def connect(self, user: str, terminal: str, *, want_token: bool = False) -> None:
        """Let the device USER-TERMINAL come; it reads what it gets, and stays, also over a restart of the broker."""
        await self._nursery.start(self._device, user, terminal, want_token)

    async def _device(
        self, user: str, terminal: str, want_token: bool, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        name = f"{user}-{terminal}"
        with trio.CancelScope() as scope:
            async with roost.connect(
                self.address, user=user, terminal=terminal, device=name, password=PASSWORD, want_token=want_token,
                client="chat 1.0", backoff=roost.Backoff(most_s=1.0),
            ) as session:  # fmt: skip
                self._devices[name] = scope, session
                task_status.started()
                async with aclosing(aiter(session)) as events:
                    async for _ in events:
                        pass

    async def leave(self, user: str, terminal: str) -> None:
        """Let a device go, in all order, if it is there; return when that is in the journal."""
        scope, _ = self._devices.pop(f"{user}-{terminal}", (None, None))
        if scope is None:
            return
        scope.cancel()
        await self.wait_until(lambda: terminal not in self.online(user) and self._last_event(user) == "session closed")

    def _last_event(self, user: str) -> str | None:
        page = self.api.ask(EVENTS_LIST, query=EventQuery(user=user, newest=True, limit=1))
        return page.events[-1].kind if page.events else None

    async def publish(self, user: str, terminal: str, to: str, *bodies: str) -> None:
        """Messages from a device that is connected."""
        _, session = self._devices[f"{user}-{terminal}"]
        for body in bodies:
            await session.publish(to, body)

    def acknowledged(self, user: str, seq: int) -> bool:
        """Whether every device of the user that is connected has acknowledged that number, and there is one."""
        rows = [row for row in self.api.rows(SESSIONS_LIST, lambda page: page.sessions) if row.user == user]
        return bool(rows) and all(row.acknowledged >= seq for row in rows)

    async def wait_until(self, true: Callable[[], bool]) -> None:
        """Wait for something that the broker can be asked for."""
        with trio.fail_after(WAIT_S):
            while not await trio.to_thread.run_sync(true):  # noqa: ASYNC110 - the broker is another process
                await trio.sleep(0.05)

    def online(self, user: str) -> set[str]:
        """On which terminal types the user is connected."""
        with suppress(Failure):
            return {
                row.terminal for row in self.api.rows(SESSIONS_LIST, lambda page: page.sessions) if row.user == user
            }
        return set()


@asynccontextmanager
async def site_in(folder: Path) -> AsyncIterator[Site]:
    """A site below `folder`, with nothing running on it; at the end nothing is left of it."""
    async with trio.open_nursery() as nursery:
        site = Site(folder, nursery)
        try:
            yield site
        finally:
            nursery.cancel_scope.cancel()
            site.kill()


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])
