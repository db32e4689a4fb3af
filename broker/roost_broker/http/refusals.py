"""The log lines of requests that were refused: anybody who gets here can cause as many as he likes."""

import logging

import trio

LINES_MAX = 10
"""Lines in one window: enough to see who it is and what he tries."""

WINDOW_S = 60.0


class RefusalLog:
    """Writes warnings to `log`: `LINES_MAX` in `WINDOW_S`, and afterwards how many there were besides."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._began = -WINDOW_S
        self._lines = 0

    def warning(self, text: str, *args: object) -> None:
        """A request was refused; as `Logger.warning`."""
        now = trio.current_time()
        if now >= self._began + WINDOW_S:
            if self._lines > LINES_MAX:
                self._log.warning("%d more were refused and not logged", self._lines - LINES_MAX)
            self._began, self._lines = now, 0
        self._lines += 1
        if self._lines <= LINES_MAX:
            self._log.warning(text, *args)
        if self._lines == LINES_MAX:
            self._log.warning("whoever else is refused within %g s is counted, and not logged", WINDOW_S)
