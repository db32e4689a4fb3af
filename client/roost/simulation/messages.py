"""What the messages of a run say: a short word of their own, and dots to make them longer."""

from roost_broker.store.account_operations import ERASED_TYPE
from roost_protocol.frames import Entry


def body_of(content: str, padding: int) -> str:
    """The text of a message that says `content`, made longer by `padding` bytes."""
    return content + "." * padding


def content_of(text: str | None, data: bytes | None) -> str | None:
    """What a body says, short, as the history has it: `a1:7+300`; None without body."""
    said = data.decode() if data is not None else text
    if said is None:
        return None
    content = said.rstrip(".")
    return f"{content}+{len(said) - len(content)}"


def is_notice(entry: Entry) -> bool:
    """Whether the broker says itself, in this entry, that messages were erased."""
    return entry.content_type == ERASED_TYPE
