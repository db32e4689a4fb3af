"""All acts of one node, by noun and by route."""

from typing import TYPE_CHECKING, Any

from roost_broker.administration.acts import Act
from roost_broker.administration.groups import Groups
from roost_broker.administration.health import HealthActs
from roost_broker.administration.inbox import Inboxes
from roost_broker.administration.messages import Messages
from roost_broker.administration.retention import RetentionActs
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
        self.inboxes = Inboxes(core)
        self.messages = Messages(core)
        self.retention = RetentionActs(core)
        self.health = HealthActs(core)
        nouns = (
            self.status, self.users, self.sessions, self.groups,
            self.inboxes, self.messages, self.retention, self.health,
        )  # fmt: skip
        self.acts: dict[Route[Any], Act] = {route: act for noun in nouns for route, act in noun.acts().items()}
        """The act that answers each route."""
