"""What is at which path of the web listener."""

from collections.abc import Awaitable, Callable

from roost_broker.config import Config
from roost_broker.core import Core
from roost_broker.http.admin import METRICS_PATH, AdminApi
from roost_broker.http.reading import read_target
from roost_broker.http.server import Answered, Headers, Request, RequestFailed, Response
from roost_broker.web import reports
from roost_broker.web.pages import Page, Pages, is_known
from roost_broker.web.reports import REPORT_BYTES_MAX, Reports
from roost_protocol.admin.health import LIVE_PATH, READY_PATH

WEBSOCKET_PATH = "/ws"

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    f"report-uri {reports.PATH}"
)
"""A page of ours is its own files and what it asks of its own broker, and is shown in no other page."""

HEADERS: Headers = (("content-security-policy", CSP), ("referrer-policy", "no-referrer"))
"""These go with every answer, whatever it is."""

_REVALIDATE = "no-cache"
"""A file may be kept, and is asked for again each time: after an upgrade of the broker nobody has old pages."""

_ADMIN = "/v1/"
_HEALTH = (LIVE_PATH, READY_PATH, METRICS_PATH)

WebSocketRespond = Callable[[Request], Answered]


class Site:
    """Answers requests of browsers, and of whoever else comes.

    `admin` answers for health, metrics and, if the configuration says so, the admin API; None: there is none of it.
    """

    def __init__(
        self, core: Core, config: Config, pages: Pages, admin: AdminApi | None, websocket: WebSocketRespond
    ) -> None:
        self._core = core
        self._pages = pages
        self._admin = admin
        self._with_admin_api = admin is not None and config.web_admin
        self._admin_body_bytes_max = config.limits.http_body_bytes_max
        self._reports = Reports(core.metrics.web)
        self._others: dict[str, Callable[[Request], Awaitable[Answered]]] = {reports.PATH: self._report}
        self._websocket = websocket

    def body_bytes_max(self, path: str) -> int:
        """How long the body of a request may be: strangers have little to say, and it is kept in memory."""
        if path.startswith(_ADMIN) and self._with_admin_api:
            return self._admin_body_bytes_max
        return REPORT_BYTES_MAX if path == reports.PATH else 0

    async def respond(self, request: Request) -> Answered:
        """The answer to a request. Raises RequestFailed."""
        path = read_target(request).path
        if path == WEBSOCKET_PATH:
            return self._websocket(request)
        if self._admin is not None and (path in _HEALTH or (path.startswith(_ADMIN) and self._with_admin_api)):
            return await self._admin.respond(request)
        other = self._others.get(path)
        return await (other or self._page)(request)

    async def _report(self, request: Request) -> Response:
        _check_method(request, "POST")
        self._reports.take(request.body)
        return Response(status=204, body=b"")

    async def _page(self, request: Request) -> Response:
        # The path as it was sent: what is not plain is nowhere.
        path = request.target.partition("?")[0]
        page = await self._core.readers.run(self._pages.find, path)
        if page is None:
            raise RequestFailed(404, "Not Found", f"there is nothing at {path[:200]}")
        _check_method(request, "GET", "HEAD")
        return _response(page, request.headers.get("if-none-match"))


def _response(page: Page, if_none_match: str | None) -> Response:
    headers: Headers = (("etag", page.etag),)
    if if_none_match is not None and is_known(page.etag, if_none_match):
        return Response(status=304, body=b"", headers=headers, cache=_REVALIDATE)
    return Response(status=200, body=page.body, content_type=page.content_type, headers=headers, cache=_REVALIDATE)


def _check_method(request: Request, *allowed: str) -> None:
    if request.method not in allowed:
        may = ", ".join(allowed)
        detail = f"this takes {may}, not {request.method}"
        raise RequestFailed(405, "Method Not Allowed", detail, (("allow", may),))
