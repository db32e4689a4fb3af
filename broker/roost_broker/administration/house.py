"""All acts of one node, by noun and by route."""

from typing import TYPE_CHECKING, Any

from roost_broker.administration.acts import Act, Acts
from roost_broker.administration.admins import Admins
from roost_broker.administration.backup import Backups
from roost_broker.administration.config import Configuration
from roost_broker.administration.devices import Devices
from roost_broker.administration.drain import Drains
from roost_broker.administration.erase import Erase
from roost_broker.administration.events import Events
from roost_broker.administration.explain import Explain
from roost_broker.administration.export import Export
from roost_broker.administration.fsck import Fsck
from roost_broker.administration.groups import Groups
from roost_broker.administration.health import HealthActs
from roost_broker.administration.imports import Imports
from roost_broker.administration.inbox import Inboxes
from roost_broker.administration.messages import Messages
from roost_broker.administration.relations import Relations
from roost_broker.administration.retention import RetentionActs
from roost_broker.administration.sessions import Sessions
from roost_broker.administration.status import Status
from roost_broker.administration.top import TopActs
from roost_broker.administration.users import Users
from roost_protocol.admin.route import Route

if TYPE_CHECKING:
    from roost_broker.certificates import Certificates
    from roost_broker.core import Core
    from roost_broker.process import Process
    from roost_broker.server import Server
    from roost_broker.settings import Settings


class Administration:
    """Acts on one node. `listeners` are the addresses it listens on, for the status.

    `settings` is its configuration at the start; `process` what it runs in, if that can do something for admins.
    """

    def __init__(
        self,
        core: "Core",
        server: "Server",
        listeners: list[str],
        settings: "Settings",
        process: "Process | None",
        certificates: "Certificates | None" = None,
    ) -> None:
        self.core = core
        self.server = server
        self.status = Status(core, server, listeners)
        self.users = Users(core)
        self.sessions = Sessions(core)
        self.groups = Groups(core)
        self.devices = Devices(core)
        self.relations = Relations(core)
        self.erase = Erase(core)
        self.export = Export(core)
        self.imports = Imports(core)
        self.explain = Explain(core)
        self.events = Events(core)
        self.top = TopActs(core, server)
        self.admins = Admins(core)
        self.backups = Backups(core)
        self.configuration = Configuration(core, settings, process, certificates)
        self.drains = Drains(core, server, process)
        self.fsck = Fsck(core)
        self.inboxes = Inboxes(core)
        self.messages = Messages(core)
        self.retention = RetentionActs(core)
        self.health = HealthActs(core, certificates)
        nouns: tuple[Acts, ...] = (
            self.status,
            self.users,
            self.sessions,
            self.groups,
            self.devices,
            self.relations,
            self.erase,
            self.export,
            self.imports,
            self.explain,
            self.events,
            self.top,
            self.admins,
            self.backups,
            self.configuration,
            self.drains,
            self.fsck,
            self.inboxes,
            self.messages,
            self.retention,
            self.health,
        )
        self.acts: dict[Route[Any], Act] = {route: act for noun in nouns for route, act in noun.acts().items()}
        """The act that answers each route."""
