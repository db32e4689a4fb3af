"""The broker as a whole."""

from roost_protocol.admin.route import Route, Told


class BrokerStatus(Told, frozen=True, kw_only=True):
    """The broker as a whole. Times are Unix time in ms."""

    version: str
    pid: int
    started: int
    listeners: tuple[str, ...]
    draining: bool
    connections: int
    sessions: int
    published: int
    users: int
    devices: int
    groups: int
    messages: int
    store_used_bytes: int
    store_map_bytes: int


STATUS = Route(method="GET", path="/v1/status", summary="The broker as a whole", gives=BrokerStatus)

ROUTES = (STATUS,)
