"""The configuration of a running broker: what is in force, and reading it again."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import trio

from roost_broker.administration.acts import Act, Acts, NotDone
from roost_broker.config import ConfigurationError
from roost_broker.reload import RELOADABLE, changes, config_rows
from roost_broker.settings import combined
from roost_protocol.admin.config import CONFIG_RELOAD, CONFIG_SHOW, ConfigChange, ConfigShown, Reload, Reloaded
from roost_protocol.admin.route import PROGRAM, Caller, Route
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.certificates import Certificates
    from roost_broker.core import Core
    from roost_broker.process import Process
    from roost_broker.settings import Settings

_log = logging.getLogger(__name__)


class Configuration(Acts):
    """Acts on the configuration."""

    def __init__(
        self,
        core: "Core",
        settings: "Settings",
        process: "Process | None",
        certificates: "Certificates | None" = None,
    ) -> None:
        super().__init__(core)
        self._running = settings
        self._read = settings
        """What was read last; some of it may wait for a restart."""
        self._process = process
        self._certificates = certificates
        self._turn = trio.Lock()

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {CONFIG_SHOW: self.show, CONFIG_RELOAD: self.reload}

    async def show(self) -> ConfigShown:
        """Every value in force, where it comes from, and what was read since that waits for a restart."""
        return ConfigShown(values=tuple(config_rows(self._running, self._read)))

    async def reload(self, asked: Reload | None = None, caller: Caller = PROGRAM) -> Reloaded:
        """Read the configuration, the certificates and the keys of JWTs again, and apply what can change.

        If one of them cannot be used, nothing changes.
        """
        del asked
        if self._process is None:
            text = "this broker is part of another program, which has given it its configuration: there is no file"
            raise NotDone(Reason.UNSPECIFIED_ERROR, text)
        async with self._turn:
            try:
                read = await trio.to_thread.run_sync(self._process.reread)
                running = combined(self._running, read, RELOADABLE)
                files = [each for each in (self._certificates, self._core.sign_on) if each is not None]
                adopts = [await trio.to_thread.run_sync(each.read) for each in files]
            except ConfigurationError as error:
                _log.error("the configuration is as it was, asked for by %s: %s", caller.name, error)
                text = f"the configuration is as it was: {error}"
                raise NotDone(Reason.UNSPECIFIED_ERROR, text) from error
            applied = tuple(changes(self._running, running))
            self._running, self._read = running, read
            waiting = tuple(changes(running, read))
            for adopt in adopts:
                adopt()
            self._core.adopt(running.config)
            _log_changes(applied, waiting, caller)
            self._process.adopt(running.config)  # last: it may be that less is logged from here on
        return Reloaded(applied=applied, needs_restart=waiting)


def _log_changes(applied: Sequence[ConfigChange], waiting: Sequence[ConfigChange], caller: Caller) -> None:
    for change in applied:
        _log.info("reload by %s: %s = %r, was %r", caller.name, change.key, change.after, change.before)
    if waiting:
        _log.warning("a restart is needed for %s", ", ".join(change.key for change in waiting))
    _log.info("configuration reloaded, %d values changed", len(applied))
