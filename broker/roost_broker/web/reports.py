"""What browsers report of a page of ours that tried what its Content-Security-Policy forbids (CSP 3, 5).

Anybody may send such a report, and put into it what he likes: it is counted by directive, and now and then logged.
"""

import logging
from typing import Any

import msgspec
import trio

from roost_broker.metrics import WebMetrics
from roost_protocol.limits import KIB

_log = logging.getLogger(__name__)

PATH = "/csp-report"

REPORT_BYTES_MAX = 16 * KIB
"""A report with the longest URLs that browsers send."""

LOGGED_EVERY_S = 60.0
LOGGED_CHARS = 400

DIRECTIVES = frozenset(
    {
        "base-uri", "connect-src", "default-src", "font-src", "form-action", "frame-ancestors", "frame-src", "img-src",
        "manifest-src", "media-src", "object-src", "script-src", "script-src-attr", "script-src-elem", "style-src",
        "style-src-attr", "style-src-elem", "worker-src",
    }
)  # fmt: skip
"""Those that are counted by themselves; whatever else a report names is `other`."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Reports:
    """Counts reports."""

    def __init__(self, metrics: WebMetrics) -> None:
        self._metrics = metrics
        self._log_from = -LOGGED_EVERY_S

    def take(self, body: bytes) -> None:
        """A report has come, or what was sent as one."""
        try:
            report = _decode(body).get("csp-report")
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            report = None
        named = report.get("effective-directive") or report.get("violated-directive") if isinstance(report, dict) else 0
        directive = named.partition(" ")[0] if isinstance(named, str) else ""
        self._metrics.csp_reports[directive if directive in DIRECTIVES else "other"] += 1
        if trio.current_time() - self._log_from >= LOGGED_EVERY_S:
            self._log_from = trio.current_time()
            _log.warning("a browser reports what a page may not do: %r", body[:LOGGED_CHARS])
