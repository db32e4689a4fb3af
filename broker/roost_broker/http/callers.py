"""Who asks: from the credentials of a Unix socket's peer, or from a bearer token, to a `Caller`."""

import grp
import logging
import os
import pwd
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import lru_cache

import trio

from roost_broker.accounts import token_digest
from roost_broker.addresses import host_of
from roost_broker.core import Core
from roost_broker.guesses import of_admin
from roost_broker.http.refusals import RefusalLog
from roost_broker.http.server import Headers, Request, RequestFailed
from roost_broker.http.unix import AdminSocketUnusable, Credentials
from roost_protocol.admin.route import Caller, Role

_log = logging.getLogger(__name__)

Callers = Callable[[Request], Awaitable[Caller]]
"""Says who asks. Raises RequestFailed: nobody who may."""

_SCHEME = "bearer"

_TOKENS_REMEMBERED = 64
"""Tokens that were right lately: those of all admins at most sites (`Limits.admins_max`)."""

_NAMES_REMEMBERED = 64
"""Names of users of the system: root, the broker's own, and a few admins."""


class UnixCallers:
    """Root, the broker's own user and the members of a group may everything; nobody else may anything.

    `group` is the number of that group, None for none. Membership is looked up at every request, so that it ends when
    it is taken away.
    """

    def __init__(self, group: int | None = None) -> None:
        self._group = group
        self._refusals = RefusalLog(_log)

    async def __call__(self, request: Request) -> Caller:
        """Who asks. Raises RequestFailed. Safe to cancel."""
        peer = request.peer
        if peer is None:
            raise RequestFailed(401, "Unauthorized", "who asks cannot be told")
        if peer.uid not in (0, os.getuid()) and not await self._is_member(peer):
            self._refusals.warning("user id %s asked the admin socket for %s, and may not", peer.uid, request.method)
            raise RequestFailed(403, "Forbidden", f"user id {peer.uid} may not administer this broker")
        return Caller(name=await trio.to_thread.run_sync(_user_name, peer.uid), role="admin", address="admin socket")

    async def _is_member(self, peer: Credentials) -> bool:
        # In a thread: who is in a group may be known to a server far away.
        return self._group is not None and await trio.to_thread.run_sync(_is_member, peer, self._group)


def _is_member(peer: Credentials, group: int) -> bool:
    if peer.gid == group:
        return True
    try:
        user = pwd.getpwuid(peer.uid)
    except KeyError:
        return False
    return group in os.getgrouplist(user.pw_name, user.pw_gid)


@lru_cache(_NAMES_REMEMBERED)
def _user_name(uid: int) -> str:
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
    return name.encode(errors="replace").decode()


def group_number(name: str) -> int | None:
    """The number of the configured group; None if there is none configured. Raises AdminSocketUnusable."""
    if not name:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError) as error:
        raise AdminSocketUnusable(f"admin_group = {name!r}: there is no such group on this machine") from error


class BearerCallers:
    """Admins by their tokens (RFC 6750). Whatever is wrong with one, the answer is the same.

    Past so many wrong tokens from an address, further ones are refused at once (see `guesses`). Tokens that were right
    lately are looked at all the same: whoever tries some behind the same proxy does not shut out the admins there.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._right: OrderedDict[bytes, None] = OrderedDict()
        """Digests of tokens that were right when they were looked at last."""
        self._refusals = RefusalLog(_log)

    async def __call__(self, request: Request) -> Caller:
        """Who asks. Raises RequestFailed. Safe to cancel."""
        given = request.headers.get("authorization")
        if given is None:
            raise _unauthorized()
        scheme, _, token = given.partition(" ")
        core, digest = self._core, token_digest(token.strip(" "))
        sources = of_admin(host_of(request.address))
        throttled = None if digest in self._right else core.guesses.refuse(sources, trio.current_time())
        if throttled is not None:
            headers: Headers = (("retry-after", str(throttled.wait_s)),)
            raise RequestFailed(429, "Too Many Requests", throttled.text, headers)
        admin = None
        if scheme.lower() == _SCHEME:
            admin = await core.readers.run(core.store.admin_by_digest, digest)
        self._remember(digest, right=admin is not None)
        if admin is None:
            core.guesses.failed(sources, trio.current_time())
            self._refusals.warning("%s showed no token of an admin, and asked for %s", request.address, request.method)
            raise _unauthorized(', error="invalid_token"')
        return Caller(name=admin.name, role=admin.role, address=request.address)

    def _remember(self, digest: bytes, *, right: bool) -> None:
        self._right.pop(digest, None)
        if right:
            self._right[digest] = None
            if len(self._right) > _TOKENS_REMEMBERED:
                self._right.popitem(last=False)


def _unauthorized(error: str = "") -> RequestFailed:
    """RFC 6750, 3.1: who shows nothing at all is told no error."""
    headers: Headers = (("www-authenticate", f'Bearer realm="roost"{error}'),)
    detail = "the bearer token of an admin is needed, and none that counts was shown"
    return RequestFailed(401, "Unauthorized", detail, headers)


def role_needed(role: Role) -> Headers:
    """What goes with the answer to somebody who may less than this (RFC 6750, 3.1)."""
    return (("www-authenticate", f'Bearer realm="roost", error="insufficient_scope", scope="{role}"'),)
