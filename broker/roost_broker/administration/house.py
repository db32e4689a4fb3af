"""All acts of one node, by noun and by route."""

from typing import TYPE_CHECKING, Any

from roost_broker.administration.acts import Act
from roost_broker.administration.devices import Devices
from roost_broker.administration.erase import Erase
from roost_broker.administration.export import Export
from roost_broker.administration.groups import Groups
from roost_broker.administration.relations import Relations
from roost_broker.administration.sessions import Sessions
from roost_broker.administration.status import Status
from roost_broker.administration.users import Users
from roost_protocol.admin.route import Route

if TYPE_CHECKING:
    from roost_broker.core import Core
    from roost_broker.server import Server


class Administration:
    """Acts on one node. `listeners` are the addresses it listens on, for the status."""

    def __init__(self, core: "Core", server: "Server", listeners: list[str]) -> None:
        self.status = Status(core, server, listeners)
        self.users = Users(core)
        self.sessions = Sessions(core)
        self.groups = Groups(core)
        self.devices = Devices(core)
        self.relations = Relations(core)
        self.erase = Erase(core)
        self.export = Export(core)
        nouns = (
            self.status,
            self.users,
            self.sessions,
            self.groups,
            self.devices,
            self.relations,
            self.erase,
            self.export,
        )
        self.acts: dict[Route[Any], Act] = {route: act for noun in nouns for route, act in noun.acts().items()}
        """The act that answers each route."""
