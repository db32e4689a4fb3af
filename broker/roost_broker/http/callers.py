"""Who asks: from the credentials of a Unix socket's peer to a `Caller`."""

import os
import pwd
from collections.abc import Callable

from roost_broker.http.server import Request, RequestFailed
from roost_protocol.admin.route import Caller

Callers = Callable[[Request], Caller]
"""Says who asks. Raises RequestFailed: nobody who may."""


def unix_caller(request: Request) -> Caller:
    """Root and the broker's own user may everything. Raises RequestFailed for anybody else."""
    peer = request.peer
    if peer is None:
        raise RequestFailed(401, "Unauthorized", "who asks cannot be told")
    if peer.uid not in (0, os.getuid()):
        raise RequestFailed(403, "Forbidden", f"user id {peer.uid} may not administer this broker")
    return Caller(name=_user_name(peer.uid), role="admin", address="admin socket")


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
