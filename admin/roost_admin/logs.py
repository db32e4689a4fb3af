"""The broker's log: lines for a person on a terminal, one JSON object a line on a pipe.

What peers send reaches the log as they sent it; here every line break and control character in it is escaped, so
that nobody can forge a line or steer a terminal (CVE-2019-11287 and its like).
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime

from roost_admin.cells import printable, printable_lines


class PersonFormatter(logging.Formatter):
    """`12:03:04.123 INFO    listening on …`, a traceback under it with an indent."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines, of a record."""
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        lines = [f"{at} {record.levelname:7} {printable(record.getMessage())}"]
        if record.exc_info:
            lines += [f"    {line}" for line in printable_lines(self.formatException(record.exc_info))]
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One object: `time` (RFC 3339, UTC), `level`, `logger`, `message`, and `exception` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def keep_standard_streams() -> None:
    """Open whichever of the descriptors 0 to 2 is closed, on nothing.

    The next file that is opened would get its number otherwise: the store's, and whatever is said to stderr would be
    written into it.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(opened)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for as long as the process lives
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # likewise


_STDERR = 2


def start_logging(level: str) -> None:
    """Log to stderr from `level` on, in the form that suits where it goes."""
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(PersonFormatter() if sys.stderr.isatty() else JsonFormatter())
    logging.basicConfig(level=level, handlers=[to_stderr], force=True)
    logging.captureWarnings(True)
