"""`roost serve`: a broker in this process."""

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from roost_admin.config import reader
from roost_admin.core_dumps import keep_memory_private
from roost_admin.failures import EX_CONFIG, EX_IOERR, EX_USAGE, Failure, only_exception
from roost_admin.options import Place, place_options

if TYPE_CHECKING:
    from roost import Broker

PRIVATE = 0o077
"""The umask: nobody else may read what the broker writes."""

SIGNALLED = 128
"""A shell's exit status for a process that a signal ended is this and the signal's number."""

COLLECT_AFTER = 50_000
"""Containers that are new before the cyclic garbage collector looks at them: some MB, and more than one batch makes."""


@click.command("serve")
@place_options
@click.option("--listen", metavar="HOST:PORT", help="Where devices connect; port 0 takes a free one. [127.0.0.1:7300]")
@click.option("--web", metavar="HOST:PORT", help="Where browsers find it: pages and WebSocket. [nowhere]")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file; the environment goes over it, options over both. [env: ROOST_CONFIG]",
)
@click.option(
    "--admin-socket", type=click.Path(path_type=Path), metavar="PATH", help="Where the admin API listens; as --socket."
)
@click.option(
    "--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False), help="[INFO]"
)
@click.option(
    "--ready-fd",
    type=click.IntRange(min=0),
    metavar="N",
    help="When ready, write the addresses to this file descriptor as one JSON line, and close it.",
)
@click.pass_context
def serve(
    context: click.Context,
    data: Path | None,
    socket: Path | None,
    listen: str | None,
    web: str | None,
    config: Path | None,
    admin_socket: Path | None,
    log_level: str | None,
    ready_fd: int | None,
) -> None:
    """Run a broker. It needs no configuration; see `roost config show`.

    SIGTERM and Ctrl-C let it drain: what is under way is finished, every device is told to come back later, and the
    exit status is 0. A second one stops it at once; nothing that was acknowledged is lost either way. The log goes
    to stderr, readable on a terminal, as JSON lines on a pipe. systemd is told when it is ready (Type=notify).

    \b
    Example:
        roost serve
        roost serve --data /var/lib/roost --config /etc/roost.toml
    """
    from roost_admin.logs import keep_standard_streams
    from roost_broker.app import Broker
    from roost_broker.config import ConfigurationError
    from roost_broker.descriptors import raise_allowed
    from roost_broker.process import Process

    keep_standard_streams()
    if ready_fd is not None:
        _check_open(ready_fd)
    where = Place(data, admin_socket or socket)
    level = log_level.upper() if log_level else None
    read = reader(context, where, config, listen=listen, web_listen=web, log_level=level)
    try:
        settings = read()
    except ConfigurationError as error:
        raise Failure(str(error), EX_CONFIG) from error
    os.umask(PRIVATE)
    raise_allowed(settings.config)
    if not settings.config.core_dumps:
        keep_memory_private()
    signals = _Signals()
    process = Process(reread=read, adopt=_adopt, end=signals.end)
    context.exit(_run(Broker(settings, process=process), signals, ready_fd))


def _check_open(fd: int) -> None:
    try:
        os.fstat(fd)
    except OSError as error:
        raise Failure(f"--ready-fd {fd}: {error.strerror}", EX_USAGE) from error


def _adopt(config: Any) -> None:
    """A reload has changed the configuration: what of it is not the broker's own."""
    import logging

    logging.getLogger().setLevel(config.log_level)


def _run(broker: "Broker", signals: "_Signals", ready_fd: int | None) -> int:
    """Run the broker to its end; the exit status. Raises Failure."""
    import trio

    from roost_admin.logs import start_logging
    from roost_broker.audit import AuditLogUnusable
    from roost_broker.config import ConfigurationError, ListenerUnusable
    from roost_broker.http.unix import AdminSocketUnusable
    from roost_broker.store import OutcomeUnknown, StoreUnusable

    start_logging(broker.config.log_level)
    _collect_seldom()
    try:
        return trio.run(_serve, broker, signals, ready_fd)
    except BaseExceptionGroup as group:
        error = only_exception(group)
        match error:
            case StoreUnusable():
                raise Failure(str(error), error.exit_status) from error
            case ListenerUnusable() | AdminSocketUnusable() | AuditLogUnusable() | ConfigurationError():
                raise Failure(str(error), EX_CONFIG) from error
            case OutcomeUnknown():
                raise Failure(f"stopped, for the store cannot say what is durable: {error}", EX_IOERR) from error
        raise


def _collect_seldom() -> None:
    """Let the cyclic garbage collector look seldom, and never at what was there before the first connection.

    A message makes some twenty containers that die with its batch and are in no cycle, which sets the collector off
    every thirty messages as Python has it (measured: 8 % of the time of a busy broker). What is in a cycle all the
    same (an ended connection is in none) is found a little later: at the most COLLECT_AFTER objects wait.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


async def _serve(broker: "Broker", signals: "_Signals", ready_fd: int | None) -> int:
    """Serve until a signal says to stop; the exit status."""
    import trio

    from roost_broker.heap import keep_giving_back

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(signals.watch, received, broker)
            nursery.start_soon(keep_giving_back)
            with signals.at_once:
                async with broker:
                    signals.may_drain()  # before anybody is told: whoever is may end it at once
                    await _say_ready(broker, ready_fd)
                    await signals.wait_first()
                    _say_stopping()
            nursery.cancel_scope.cancel()
    return signals.exit_status


class _Signals:
    """The first signal asks the broker to drain, the second to stop at once; before it is ready, the first does.

    SIGHUP is another thing: it has the configuration read again. But when the terminal that the broker was started on
    is closed, it comes too, and then it is the first signal.
    """

    def __init__(self) -> None:
        import trio

        self.at_once = trio.CancelScope()
        self._first = trio.Event()
        self._ready = False
        self._last = 0
        self._on_terminal = sys.stderr.isatty()

    @property
    def exit_status(self) -> int:
        """0 after a drain; else as a shell has it for the signal that cut it short."""
        return SIGNALLED + self._last if self.at_once.cancel_called else 0

    def end(self) -> None:
        """Ask the broker to drain, as the first signal does. Idempotent."""
        self._first.set()

    async def watch(self, received: AsyncIterator[int], broker: "Broker") -> None:
        """Take signals, until cancelled."""
        async for number in received:
            if number == signal.SIGHUP and not self._terminal_is_gone():
                await self._reload(broker)
                continue
            self._last = number
            if self._first.is_set() or not self._ready:
                self.at_once.cancel()
            self._first.set()

    def _terminal_is_gone(self) -> bool:
        return self._on_terminal and not sys.stderr.isatty()

    async def _reload(self, broker: "Broker") -> None:
        """Read the configuration again; what came of it, the broker logs."""
        from roost_broker.administration import NotDone
        from roost_protocol.admin.route import Caller

        if self._ready and not self._first.is_set():
            with suppress(NotDone):
                await broker.admin.configuration.reload(caller=Caller(name="SIGHUP", role="admin"))

    def may_drain(self) -> None:
        """The broker is ready: from now on, the first signal asks it to drain."""
        self._ready = True

    async def wait_first(self) -> None:
        """Wait for the first signal."""
        await self._first.wait()


async def _say_ready(broker: "Broker", ready_fd: int | None) -> None:
    from roost_admin.failures import say
    from roost_admin.notify import notify_systemd, tell_ready

    admin_socket = broker.config.admin_path
    with suppress(OSError):  # nobody reads it: that is no reason to stop
        also = f", admin API on {broker.http_scheme}://{broker.admin_address}" if broker.admin_address else ""
        also += f", web on {broker.http_scheme}://{broker.web_address}" if broker.web_address else ""
        click.echo(f"roost is ready, listening on {', '.join(broker.addresses)}, admin socket {admin_socket}{also}")
    if ready_fd is not None:
        with suppress(OSError):
            tell_ready(ready_fd, broker.addresses, admin_socket, broker.admin_address, broker.web_address)
    notify_systemd("READY=1")
    if sys.stderr.isatty() and not (await broker.admin.status.show()).users:
        with suppress(OSError):  # the terminal was closed meanwhile
            say("no users yet; create one with `roost users add NAME`")


def _say_stopping() -> None:
    import logging

    from roost_admin.notify import notify_systemd

    notify_systemd("STOPPING=1")
    logging.getLogger(__name__).info("stopping: no new connections, what is under way is finished")
