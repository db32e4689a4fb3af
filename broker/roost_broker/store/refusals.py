"""Refusals that every filling of the port gives in the same words."""

from roost_broker.store.operations import Refused
from roost_protocol.reasons import Reason


def no_such_user(user: int) -> Refused:
    """There is no user with this number."""
    return Refused(reason=Reason.NOT_FOUND, text=f"there is no user number {user}")


def unknown_user(name: str) -> Refused:
    """There is no user of this name."""
    return Refused(reason=Reason.NOT_FOUND, text=f"there is no user {name!r}")


def unknown_group(name: str) -> Refused:
    """There is no group of this name."""
    return Refused(reason=Reason.NOT_FOUND, text=f"there is no group {name!r}")


def not_sent(to: str, reason: Reason) -> Refused:
    """A message may not go to this address."""
    return Refused(reason=reason, text=f"not sent to {to}: {reason.phrase}")


def user_exists(name: str) -> Refused:
    """There is a user of this name already."""
    return Refused(reason=Reason.ALREADY_EXISTS, text=f"there is a user {name!r} already")


def group_exists(name: str) -> Refused:
    """There is a group of this name already."""
    return Refused(reason=Reason.ALREADY_EXISTS, text=f"there is a group {name!r} already")


def admin_exists(name: str) -> Refused:
    """There is an admin of this name already."""
    return Refused(reason=Reason.ALREADY_EXISTS, text=f"there is an admin {name!r} already")


def unknown_admin(name: str) -> Refused:
    """There is no admin of this name."""
    return Refused(reason=Reason.NOT_FOUND, text=f"there is no admin {name!r}")


def no_such_session() -> Refused:
    """There is no session or device to end."""
    return Refused(reason=Reason.NOT_FOUND, text="there is no such session or device")


def bad_credential() -> Refused:
    """The user is gone or disabled, or the credential does not hold; which of them is not said."""
    return Refused(reason=Reason.BAD_USER_NAME_OR_PASSWORD)


def other_terminal(device_id: str, terminal: str) -> Refused:
    """The device is one of another terminal type."""
    return Refused(
        reason=Reason.CLIENT_IDENTIFIER_NOT_VALID,
        text=f"the device {device_id!r} is known as a {terminal!r}; a device keeps its terminal type",
    )


def too_many(what: str, most: int) -> Refused:
    """A limit is reached. `what` is in the plural: `devices of one user`."""
    return Refused(reason=Reason.QUOTA_EXCEEDED, text=f"at most {most} {what} are allowed")


def no_room() -> Refused:
    """What is left of the store is kept for trims and deletions."""
    return Refused(reason=Reason.QUOTA_EXCEEDED, text="the store has no room")


def not_a_member(group: str) -> Refused:
    """Somebody who is no member asks to change a group."""
    return Refused(reason=Reason.NOT_A_MEMBER, text=f"only members may change the group {group!r}")


def not_the_owner(group: str) -> Refused:
    """A member asks for more than to leave."""
    return Refused(reason=Reason.NOT_AUTHORIZED, text=f"only its owner may change the group {group!r}")


def block_of_oneself() -> Refused:
    """A user asks to block himself."""
    return Refused(reason=Reason.NOT_AUTHORIZED, text="a user cannot block himself")


def still_erasing(name: str) -> Refused:
    """A removed user cannot be cleared away: it would be forgotten whose messages are to be erased."""
    return Refused(reason=Reason.NOT_AUTHORIZED, text=f"messages of {name!r} are still to be erased")
