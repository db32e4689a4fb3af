"""Contacts and blocked users."""

from roost_protocol.admin.route import Route, Told


class Related(Told, frozen=True, kw_only=True):
    """A user's contacts, or the users he has blocked, by name: at most `limits.relations_per_user_max`."""

    user: str
    others: tuple[str, ...]


CONTACTS_LIST = Route(method="GET", path="/v1/users/{user}/contacts", summary="Contacts of a user", gives=Related)
CONTACTS_ADD = Route(
    method="PUT",
    path="/v1/users/{user}/contacts/{other}",
    summary="Add a contact",
    gives=Related,
    role="operate",
)
CONTACTS_REMOVE = Route(
    method="DELETE",
    path="/v1/users/{user}/contacts/{other}",
    summary="Remove a contact",
    gives=Related,
    role="operate",
)
BLOCKS_LIST = Route(method="GET", path="/v1/users/{user}/blocks", summary="Whom a user has blocked", gives=Related)
BLOCKS_ADD = Route(
    method="PUT",
    path="/v1/users/{user}/blocks/{other}",
    summary="Block a user for another",
    gives=Related,
    role="operate",
)
BLOCKS_REMOVE = Route(
    method="DELETE",
    path="/v1/users/{user}/blocks/{other}",
    summary="Unblock a user for another",
    gives=Related,
    role="operate",
)

ROUTES = (CONTACTS_LIST, CONTACTS_ADD, CONTACTS_REMOVE, BLOCKS_LIST, BLOCKS_ADD, BLOCKS_REMOVE)
