"""Messages that an admin sends in the name of a user."""

from typing import Any

from roost_broker.administration.acts import Act, Acts, NotDone
from roost_broker.batcher import Settlement
from roost_broker.store.operations import Operation, SendMessage, Sent
from roost_protocol.admin.messages import MESSAGES_SEND, MessageSend, MessageSent
from roost_protocol.admin.route import PROGRAM, Caller, Route
from roost_protocol.names import parse_address
from roost_protocol.reasons import Reason


class Messages(Acts):
    """Acts on messages."""

    def acts(self) -> dict[Route[Any], Act]:
        """By route."""
        return {MESSAGES_SEND: self.send}

    async def send(self, message: MessageSend, caller: Caller = PROGRAM) -> MessageSent:
        """Store a message in the inbox of its sender and of every recipient, and deliver it to whoever is here."""
        del caller
        size = _body_bytes(message)
        most = self._core.limits.body_bytes_max
        if size > most:
            raise NotDone(Reason.PACKET_TOO_LARGE, f"a body has at most {most} bytes, this one has {size}")
        if self._core.batcher.full:
            waiting = self._core.batcher.queued_operations
            raise NotDone(Reason.SERVER_BUSY, f"{waiting} operations wait to be written; try again in a few seconds")
        account = await self._account(message.sender)
        await self._check_recipient(message.to)
        operation = SendMessage(
            sender=account.user,
            sender_name=account.name,
            to=message.to,
            content_type=message.content_type,
            text=message.text,
            data=message.data,
            body_bytes=size,
        )
        sent = await self._run(operation, Sent, self._settled)
        return MessageSent(id=sent.id, seq=sent.seq, time=sent.time, inboxes=len(sent.entries))

    async def _check_recipient(self, to: str) -> None:
        """Raise NotDone if there is nobody there; the operation would only say that, and not who may be meant."""
        kind, name = parse_address(to)
        if kind == "user":
            await self._account(name)
        elif await self._core.readers.run(self._core.store.group, name) is None:
            raise await self._nobody("group", name)

    def _settled(self, _: Operation, result: Settlement) -> None:
        if isinstance(result, Sent):
            self._core.published += 1
            self._core.delivery.sent(result)


def _body_bytes(message: MessageSend) -> int:
    if message.data is not None:
        return len(message.data)
    try:
        return len((message.text or "").encode())
    except UnicodeEncodeError as error:
        raise NotDone(Reason.MALFORMED_PACKET, f"the text is not Unicode: {error.reason}") from error
