"""Groups and their members."""

from roost_protocol.admin.route import Asked, Page, Paging, Route, Told
from roost_protocol.frames import Name, Names


class GroupCreate(Asked, frozen=True, kw_only=True):
    """A new group; the owner is a member."""

    name: Name
    owner: Name
    members: Names = ()


class GroupChange(Asked, frozen=True, kw_only=True):
    """Change the members of a group, all or none."""

    add: Names = ()
    remove: Names = ()


class GroupRow(Told, frozen=True, kw_only=True):
    """A group with its members."""

    name: str
    owner: str
    members: tuple[str, ...]


class GroupList(Page, frozen=True, kw_only=True):
    """Groups by name."""

    groups: tuple[GroupRow, ...]


class UserGroups(Told, frozen=True, kw_only=True):
    """The groups a user is a member of, by name: at most `limits.groups_per_user_max`."""

    user: str
    groups: tuple[str, ...]


GROUPS_LIST = Route(method="GET", path="/v1/groups", summary="Groups by name", query=Paging, gives=GroupList)
GROUPS_CREATE = Route(
    method="POST", path="/v1/groups", summary="Create a group", takes=GroupCreate, gives=GroupRow, role="operate"
)
GROUPS_CHANGE = Route(
    method="POST",
    path="/v1/groups/{group}/members",
    summary="Add and remove members, all or none",
    takes=GroupChange,
    gives=GroupRow,
    role="operate",
)

GROUPS_SHOW = Route(method="GET", path="/v1/groups/{group}", summary="A group with its members", gives=GroupRow)
GROUPS_DELETE = Route(
    method="DELETE",
    path="/v1/groups/{group}",
    summary="Delete a group; what was written there stays in the inboxes",
    gives=GroupRow,
    role="operate",
)
GROUPS_OF = Route(
    method="GET", path="/v1/users/{user}/groups", summary="The groups that a user is a member of", gives=UserGroups
)

ROUTES = (GROUPS_LIST, GROUPS_CREATE, GROUPS_CHANGE, GROUPS_SHOW, GROUPS_DELETE, GROUPS_OF)
