"""The journal's records of what operations did, for every filling of the port in the same words."""

from roost_broker.store.journal import GroupChanged, RelationChanged, SessionEnded, SessionOpened, UserChanged
from roost_broker.store.operations import EndSession, LoggedIn, LogIn, SetRelation


def session_opened(op: LogIn, logged_in: LoggedIn, now_ms: int) -> SessionOpened:
    """A log-in was done."""
    return SessionOpened(
        at=now_ms,
        user=op.user,
        device=logged_in.device,
        device_id=op.device_id,
        terminal=op.terminal,
        epoch=logged_in.epoch,
        last_seq=op.last_seq,
        newest=op.newest,
        position=logged_in.position,
        head=logged_in.head,
        floor=logged_in.floor,
        client=op.client,
        address=op.address,
        resumed=logged_in.resumed,
        start_over=logged_in.start_over,
        took_over=None if logged_in.took_over is None else logged_in.took_over.device_id,
    )


def session_ended(op: EndSession, terminal: str, device_id: str, epoch: int, now_ms: int) -> SessionEnded:
    """A session was ended for good."""
    return SessionEnded(
        at=now_ms,
        user=op.user,
        terminal=terminal,
        device_id=device_id,
        epoch=epoch,
        reason=op.reason,
        by=op.by,
        address=op.address,
        text=op.text,
    )


def user_disabled(user: int, name: str, *, disabled: bool, now_ms: int) -> UserChanged:
    """Log-ins are refused, or let in again."""
    return UserChanged(at=now_ms, user=user, name=name, what="disabled" if disabled else "enabled")


def user_removed(user: int, name: str, *, erased: bool, now_ms: int) -> UserChanged:
    """The account is gone."""
    return UserChanged(at=now_ms, user=user, name=name, what="erased" if erased else "removed")


def user_imported(user: int, name: str, by: str, *, done: bool, now_ms: int) -> UserChanged:
    """The account was created by an import, or that is done."""
    return UserChanged(at=now_ms, user=user, name=name, what="imported" if done else "being imported", by=by)


def relation_changed(op: SetRelation, other: int, now_ms: int) -> RelationChanged:
    """A relation is there, or gone."""
    return RelationChanged(
        at=now_ms, user=op.user, relation=op.kind, other=other, other_name=op.other, present=op.present
    )


def group_changed(
    group: int,
    name: str,
    by: int | None,
    before: "set[int] | frozenset[int]",
    after: "set[int] | frozenset[int]",
    now_ms: int,
) -> GroupChanged:
    """Members came or went."""
    return GroupChanged(
        at=now_ms,
        group=group,
        name=name,
        by=by,
        added=tuple(sorted(after - before)),
        removed=tuple(sorted(before - after)),
    )
