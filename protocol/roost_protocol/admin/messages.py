"""Messages that an admin sends in the name of a user."""

from msgspec import field

from roost_protocol import names
from roost_protocol.admin.route import Asked, Route, Told
from roost_protocol.frames import TEXT_TYPE, AddressText, ContentType, Name


class MessageSend(Asked, frozen=True, kw_only=True):
    """A message from `from`, to a user or a group that he may write to: either `text` or `data` (base64)."""

    sender: Name = field(name="from")
    to: AddressText
    content_type: ContentType = field(default=TEXT_TYPE, name="type")
    text: str | None = None
    data: bytes | None = None

    def __post_init__(self) -> None:
        """Check as for a PUBLISH. Raises ValueError."""
        names.parse_address(self.to)
        names.check_content_type(self.content_type)
        if (self.text is None) == (self.data is None):
            raise ValueError("a message has either text or data")


class MessageSent(Told, frozen=True, kw_only=True):
    """It is stored for good: its id, its number in the sender's inbox, its time, and how many inboxes it reached."""

    id: str
    seq: int
    time: int
    inboxes: int


MESSAGES_SEND = Route(
    method="POST",
    path="/v1/messages",
    summary="Send a message in the name of a user",
    takes=MessageSend,
    gives=MessageSent,
    role="admin",
)

ROUTES = (MESSAGES_SEND,)
