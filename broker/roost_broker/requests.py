"""What a device may ask beside publishing: each request gets one answer before the next frame is read.

Changes go through the batcher, so they are decided in commit order with the publishes around them; reads see the
state after some whole commit.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio

from roost_broker.accounts import PasswordsBusy, PasswordUnfit
from roost_broker.delivery import UNREADABLE_RETRY_S
from roost_broker.guesses import of_login
from roost_broker.store import CommitRefused, ReadFailed
from roost_broker.store.operations import (
    ChangeMembers,
    CreateGroup,
    EndSession,
    Operation,
    Refused,
    SetPassword,
    SetRelation,
)
from roost_broker.store.readings import GroupRecord
from roost_protocol import codec
from roost_protocol.frames import (
    Deliver,
    DeviceState,
    Ephemeral,
    Fetch,
    Frame,
    Group,
    Member,
    Page,
    Ping,
    Pong,
    Relation,
    Result,
    Sessions,
    Subscribe,
)
from roost_protocol.limits import FRAME_OVERHEAD_BYTES
from roost_protocol.names import group_address
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.session import Session

_log = logging.getLogger(__name__)

RETRY_AFTER_S = 5
"""When to ask, or publish, again after "busy" or "no room": retention frees space in slices meanwhile."""

BASE64_GROWTH = 4 / 3
"""A page may be said in JSON, where bytes are a third longer (RFC 4648, section 4)."""

DELIVER_OVERHEAD_BYTES = 160
"""What a DELIVER inside a PAGE has around its entry, at its longest: number, kind, device and n, with their keys."""


async def answer(session: "Session", frame: Frame) -> Frame | None:
    """The answer to a frame that is neither PUBLISH, ACK nor DISCONNECT; None if it gets none.

    Safe to cancel: a change that was asked for is then done or not, but whole.
    """
    try:
        said = await _ANSWERS[type(frame)](session, frame)
    except ReadFailed as error:
        _log.error("%s/%s: %s: %s", session.user_name, session.device_id, type(frame).__name__, error)
        request = getattr(frame, "request", None)
        if request is None:
            raise
        text = "the store cannot read what it needs for this; the broker's log says more"
        return Result(request=request, reason=Reason.UNSPECIFIED_ERROR, text=text, retry_after_s=UNREADABLE_RETRY_S)
    if isinstance(said, Result) and (size := len(codec.encode(said))) > session.core.limits.frame_bytes_max:
        text = f"the list has {size} bytes; a frame has at most {session.core.limits.frame_bytes_max}"
        return Result(request=said.request, reason=Reason.PACKET_TOO_LARGE, text=text)
    return said


async def _ping(session: "Session", frame: Ping) -> Pong:
    return Pong()


async def _ephemeral(session: "Session", frame: Ephemeral) -> None:
    """Pass a signal on to whoever would get a message now. Nobody is told when it reaches no one."""
    core = session.core
    size = len(frame.text.encode()) if frame.text is not None else len(frame.data or b"")
    if size > core.limits.body_bytes_max:
        return
    recipients = await core.readers.run(core.store.route, session.user, frame.to)
    if isinstance(recipients, Reason):
        return
    signal = codec.encode(
        Ephemeral(
            to=frame.to,
            sender=session.user_name,
            time=core.now_ms(),
            content_type=frame.content_type,
            text=frame.text,
            data=frame.data,
        )
    )
    for user in recipients:
        for other in core.directory.of(user):
            if other is not session and not other.link.outlet.full:
                other.link.outgoing.append(signal)
                other.flush()


async def _subscribe(session: "Session", frame: Subscribe) -> Result:
    core = session.core
    users: list[int] = []
    for name in frame.users:
        account = await core.readers.run(core.store.account, name)
        if account is None:
            return Result(request=frame.request, reason=Reason.NOT_FOUND, text=f"there is no user {name!r}")
        users.append(account.user)
    if frame.stop:
        for user in users:
            core.unwatch(session, user)
        return Result(request=frame.request)
    if len(session.watching.union(users)) > core.limits.subscriptions_max:
        text = f"a session follows at most {core.limits.subscriptions_max} users"
        return Result(request=frame.request, reason=Reason.QUOTA_EXCEEDED, text=text)
    for user, name in zip(users, frame.users, strict=True):
        blocked = await core.readers.run(core.store.is_blocked, session.user, user)
        core.names[user] = name
        if not blocked and not session.closed:
            core.directory.watch(session, user)
            # Once more: a block that came between the first look and this entry was told to nobody.
            blocked = await core.readers.run(core.store.is_blocked, session.user, user)
        core.tell_presence(session, user, hidden=blocked)
        if blocked or session.closed:  # who has blocked this user looks the same as who is away
            core.unwatch(session, user)
    return Result(request=frame.request)


async def _fetch(session: "Session", frame: Fetch) -> Page:
    core = session.core
    limits = core.limits
    limit = min(frame.limit, limits.fetch_max)
    budget = int((limits.frame_bytes_max - FRAME_OVERHEAD_BYTES) / BASE64_GROWTH) - limit * DELIVER_OVERHEAD_BYTES
    found = await core.readers.run(
        lambda: core.store.read_conversation(
            session.user,
            frame.conversation,
            before=frame.before,
            after=frame.after,
            limit=limit,
            bytes_max=budget,
        )
    )
    entries = tuple(
        Deliver(
            seq=entry.seq,
            kind=entry.kind,
            device=entry.device_id,
            n=entry.n,
            entry=codec.decode_entry(entry.encoded) if entry.encoded is not None else None,
        )
        for entry in found.entries
    )
    return Page(request=frame.request, entries=entries, more=found.more, floor=found.floor, head=found.head)


async def _group(session: "Session", frame: Group) -> Result:
    core = session.core
    name = frame.group or ""
    match frame.action:
        case "create":
            return await _change(
                session, frame.request, CreateGroup(name=name, owner=session.user, members=frame.users)
            )
        case "add":
            return await _change(session, frame.request, ChangeMembers(group=name, by=session.user, add=frame.users))
        case "remove":
            return await _change(session, frame.request, ChangeMembers(group=name, by=session.user, remove=frame.users))
        case "leave":
            leave = ChangeMembers(group=name, by=session.user, remove=(session.user_name,))
            return await _change(session, frame.request, leave)
        case "members":
            found = await core.readers.run(core.store.group, name)
            return _members(session, frame.request, name, found)
        case "list":
            groups = await core.readers.run(core.store.groups_of, session.user)
            return Result(request=frame.request, groups=groups)


def _members(session: "Session", request: int, name: str, found: GroupRecord | None) -> Result:
    """The members of a group, for a member: to anybody else, it might as well not exist."""
    if found is None or session.user_name not in found.members:
        text = f"you are not a member of {group_address(name)}"
        return Result(request=request, reason=Reason.NOT_A_MEMBER, text=text)
    members = tuple(Member(user=member, owner=member == found.owner) for member in found.members)
    return Result(request=request, members=members)


async def _relation(session: "Session", frame: Relation) -> Result:
    core = session.core
    if frame.user is None:
        users = await core.readers.run(core.store.relations, session.user, frame.kind)
        return Result(request=frame.request, users=users)
    present = frame.action == "add"
    result = await _change(
        session,
        frame.request,
        SetRelation(user=session.user, kind=frame.kind, other=frame.user, present=present),
    )
    if frame.kind == "block" and present and result.reason == Reason.SUCCESS:
        core.hide_presence(session.user, frame.user)
    return result


async def _sessions(session: "Session", frame: Sessions) -> Result:
    core = session.core
    match frame.action:
        case "list":
            devices = await core.readers.run(core.store.devices, session.user)
            live = {other.device: other for other in core.directory.of(session.user)}
            states = tuple(
                DeviceState(
                    device=device.device_id,
                    terminal=device.terminal,
                    client=device.client,
                    acknowledged=live[device.device].acknowledged if device.device in live else device.cursor,
                    last_seen=device.last_seen,
                    online=device.device in live,
                    since=live[device.device].since_ms if device.device in live else None,
                    address=live[device.device].address if device.device in live else "",
                    this=device.device == session.device,
                )
                for device in devices
            )
            return Result(request=frame.request, devices=states)
        case "log_out":
            log_out = EndSession(
                user=session.user,
                device_id=frame.device,
                reason=Reason.LOGGED_OUT,
                by=session.device_id,
                address=session.address,
                revoke=True,
            )
            try:
                result = await core.end_session(log_out)
            except CommitRefused as refused:
                return _no_room(frame.request, refused)
            return _result(frame.request, result)
        case "set_password":
            return await _set_password(session, frame)


async def _set_password(session: "Session", frame: Sessions) -> Result:
    core = session.core
    account = await core.readers.run(core.store.account, session.user_name)
    # Who has an open session of somebody else must not find the password by trying: it counts as on this device.
    sources = of_login("", session.user_name, session.device_id)
    throttled = core.guesses.refuse(sources, trio.current_time())
    if throttled is not None:
        return Result(
            request=frame.request,
            reason=Reason.CONNECTION_RATE_EXCEEDED,
            text=throttled.text,
            retry_after_s=throttled.wait_s,
        )
    try:
        right = await core.accounts.check(account.password_hash if account else None, frame.password or "")
        if not right:
            core.guesses.failed(sources, trio.current_time())
            text = "the present password is another"
            return Result(request=frame.request, reason=Reason.BAD_USER_NAME_OR_PASSWORD, text=text)
        password_hash = await core.accounts.hash(frame.new_password or "")
    except PasswordsBusy as error:
        return Result(request=frame.request, reason=Reason.SERVER_BUSY, text=str(error), retry_after_s=RETRY_AFTER_S)
    except PasswordUnfit as error:
        return Result(request=frame.request, reason=Reason.NOT_AUTHORIZED, text=str(error))
    change = SetPassword(user=session.user, password_hash=password_hash, keep_device=session.device)
    return await _change(session, frame.request, change)


async def _change(session: "Session", request: int, operation: Operation) -> Result:
    """Do it in the next batch, and say what came of it."""
    try:
        result = await session.core.batcher.run(operation)
    except CommitRefused as refused:
        return _no_room(request, refused)
    return _result(request, result)


def _no_room(request: int, refused: CommitRefused) -> Result:
    return Result(request=request, reason=refused.reason, text=str(refused), retry_after_s=RETRY_AFTER_S)


def _result(request: int, result: object) -> Result:
    if isinstance(result, Refused):
        return Result(request=request, reason=result.reason, text=result.text)
    return Result(request=request)


_ANSWERS: dict[type[Frame], Callable[[Any, Any], Awaitable[Frame | None]]] = {
    Ping: _ping,
    Ephemeral: _ephemeral,
    Subscribe: _subscribe,
    Fetch: _fetch,
    Group: _group,
    Relation: _relation,
    Sessions: _sessions,
}
