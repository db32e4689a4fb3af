"""The processes of the demo: a broker and devices, each a real one of its own session, and all of them ended."""

import json
import os
import random
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import trio

from roost_admin.api import AdminApi
from roost_admin.demo.observer import WAIT_S, DemoFailed
from roost_admin.demo.reports import Command, Device, encode_line

END_S = 10.0
"""Seconds for a process that was killed to be gone."""

PORTS = range(10_240, 32_768)
"""Above the well-known ones and below those that Linux gives to outgoing connections (ip_local_port_range): while the
broker is down, none of the devices that try to reach it can be given its port, and then be connected to itself."""

PORT_TRIES = 50


class Processes:
    """Starts processes, and ends every one of them when it is left, however it is left."""

    def __init__(self, folder: Path, config: Path, reports_fd: int) -> None:
        self.folder = folder
        self.config = config
        self.address = f"127.0.0.1:{_free_port()}"
        self.api = AdminApi(folder / "data" / "admin.sock")
        self.broker: trio.Process | None = None
        self.devices: dict[str, trio.Process] = {}
        self._reports_fd = reports_fd
        self._all: list[trio.Process] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + END_S):
            for process in self._all:
                if process.returncode is None:
                    process.kill()
            for process in self._all:
                await process.wait()

    async def start_broker(self) -> None:
        """Start the broker, and wait until it is ready. Raises DemoFailed."""
        ready_fd, write_fd = os.pipe()
        command = [sys.executable, "-m", "roost_admin.main", "serve", "--config", str(self.config)]
        command += ["--data", str(self.folder / "data"), "--listen", self.address, "--ready-fd", str(write_fd)]
        async with trio.lowlevel.FdStream(ready_fd) as ready:
            try:
                self.broker = await self._start(command, "broker", pass_fds=(write_fd,))
            finally:
                os.close(write_fd)
            with trio.move_on_after(WAIT_S):
                with suppress(json.JSONDecodeError):
                    json.loads(await ready.receive_some())
                    return
        raise DemoFailed(f"the broker did not start: {self.last_words('broker')}")

    async def kill_broker(self) -> None:
        """End it as a power cut would: SIGKILL."""
        if self.broker is not None:
            self.broker.kill()
            await self.broker.wait()

    async def start_device(self, device: Device) -> None:
        """Start the process of a device; it does nothing until it is told to."""
        command = [sys.executable, "-m", "roost_admin.demo.device", *device, self.address, str(self.folder)]
        self.devices[device.name] = await self._start(
            command, device.name, stdin=subprocess.PIPE, stdout=self._reports_fd
        )

    async def tell(self, device: Device, command: Command) -> None:
        """Give a command to a device. Raises DemoFailed."""
        stdin = self.devices[device.name].stdin
        if stdin is None:
            raise AssertionError("devices are started with a pipe")
        try:
            await stdin.send_all(encode_line(command))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise DemoFailed(f"the process of {device.label} has ended: {self.last_words(device.name)}") from error

    async def kill_device(self, device: Device) -> None:
        """End the process of a device with SIGKILL."""
        process = self.devices.pop(device.name)
        process.kill()
        await process.wait()

    async def wait_gone(self, device: Device) -> None:
        """Wait until the process of a device has ended by itself. Raises DemoFailed."""
        process = self.devices.pop(device.name)
        with trio.move_on_after(WAIT_S) as scope:
            await process.wait()
        if scope.cancelled_caught:
            raise DemoFailed(f"the process of {device.label} does not end")
        if process.returncode:
            raise DemoFailed(
                f"the process of {device.label} ended with {process.returncode}: {self.last_words(device.name)}"
            )

    def last_words(self, name: str) -> str:
        """The last line that a process wrote to its log."""
        lines = (self.folder / f"{name}.log").read_text("utf-8", errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"

    async def _start(
        self,
        command: list[str],
        name: str,
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        pass_fds: tuple[int, ...] = (),
    ) -> trio.Process:
        # A session of its own: Ctrl-C on the terminal is for whoever runs the demo, who then ends them all.
        with (self.folder / f"{name}.log").open("ab") as log:
            process = await trio.lowlevel.open_process(
                command, stdin=stdin, stdout=stdout, stderr=log, start_new_session=True, pass_fds=pass_fds
            )
        self._all.append(process)
        return process


def _free_port() -> int:
    for _ in range(PORT_TRIES):
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue  # taken: another one is tried
            return port
    raise DemoFailed(f"no free port found in {PORT_TRIES} tries")
