"""Who asks the admin API on the web listener: an admin with a token, or whoever is on this machine, if that is enough.

What anybody on this machine may is no right of pages that his browser shows: their requests have to come from a page
of ours, and have to call this machine by a loopback name.
"""

from collections.abc import Sequence

from roost_broker.http.callers import BearerCallers
from roost_broker.http.server import Request, RequestFailed
from roost_broker.web.origins import may_connect, names_loopback
from roost_protocol.admin.route import Caller, Role
from roost_protocol.hosts import is_loopback

_OF_PROXIES = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers with which a proxy says that the peer is not who asks."""

_SAFE = ("GET", "HEAD")


class WebCallers:
    """Admins by their tokens; without one, the role `loopback` for whoever comes from this machine, None for nobody."""

    def __init__(self, tokens: BearerCallers, origins: Sequence[str], loopback: Role | None) -> None:
        self._tokens = tokens
        self._origins = origins
        self._loopback = loopback

    async def __call__(self, request: Request) -> Caller:
        """Who asks. Raises RequestFailed. Safe to cancel."""
        headers = request.headers
        if request.method not in _SAFE and not may_connect(
            headers.get("origin"), headers.get("host", ""), self._origins
        ):
            text = f"a page of {headers.get('origin')} may not change anything here; see web_origins"
            raise RequestFailed(403, "Forbidden", text)
        if self._loopback is None or "authorization" in headers or not _is_direct(request):
            return await self._tokens(request)
        if not names_loopback(headers.get("host", "")):
            text = f"without a token this is asked by a loopback name, not by {headers.get('host', '')!r}"
            raise RequestFailed(403, "Forbidden", text)
        if headers.get("sec-fetch-site") == "cross-site":
            raise RequestFailed(403, "Forbidden", "a page elsewhere may not ask without a token")
        return Caller(name="loopback", role=self._loopback, address=request.address)


def _is_direct(request: Request) -> bool:
    """Whether the request comes from this machine, and no proxy says otherwise."""
    host = request.address.rpartition(":")[0].removeprefix("[").removesuffix("]")
    return is_loopback(host) and not any(name in request.headers for name in _OF_PROXIES)
