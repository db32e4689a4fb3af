"""Names of users, groups and devices, and the addresses made of them.

An *address* says where a message goes: `user/NAME` or `group/NAME`. The tag keeps users and groups apart, so that
both may have the same name; a name has no `/`, so that an address reads in one way only. Two names that look the
same must be the same: only Unicode NFC is taken, and nothing invisible (control, format and separator characters).
"""

import re
import unicodedata
from functools import lru_cache
from typing import Literal, NamedTuple

from roost_protocol.limits import CONTENT_TYPE_BYTES_MAX, DEVICE_ID_BYTES_MAX, NAME_BYTES_MAX

AddressKind = Literal["user", "group"]


class Address(NamedTuple):
    """An address taken apart: its kind, and the name."""

    kind: AddressKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


_CACHED_MAX = 4096  # addresses a busy broker sees again and again; each is a short string

_DEVICE_ID = re.compile(rf"[A-Za-z0-9._:-]{{1,{DEVICE_ID_BYTES_MAX}}}")
_TERMINAL = re.compile(r"[a-z][a-z0-9_-]{0,15}")
# Letters and marks that show nothing, which isprintable() lets through: what is left of Default_Ignorable_Code_Point
# (Unicode, DerivedCoreProperties.txt) without the format characters and the unassigned.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")

_CONTENT_TYPE = re.compile(r"[!-~]+(?:[ -~]*[!-~])?")


@lru_cache(_CACHED_MAX)
def check_name(name: str) -> str:
    """Return `name` if it may name a user or a group; raise ValueError, saying what is wrong, if not."""
    size = len(name.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= NAME_BYTES_MAX:
        raise ValueError(f"a name has 1 to {NAME_BYTES_MAX} bytes of UTF-8, this one has {size}")
    if "/" in name:
        raise ValueError(f"a name has no '/': {name!r}")
    if not name.isprintable() or _INVISIBLE.search(name):
        raise ValueError(f"a name has no control, format, invisible or unassigned characters: {name!r}")
    if name != name.strip():
        raise ValueError(f"a name neither begins nor ends with a space: {name!r}")
    if not unicodedata.is_normalized("NFC", name):
        raise ValueError(f"a name is in Unicode normal form C: {name!r}")
    return name


@lru_cache(_CACHED_MAX)
def parse_address(address: str) -> Address:
    """Take `user/NAME` or `group/NAME` apart; raise ValueError, saying what is wrong, for anything else."""
    kind, slash, name = address.partition("/")
    if not slash or kind not in ("user", "group"):
        raise ValueError(f"an address is user/NAME or group/NAME, not {address!r}")
    return Address("user" if kind == "user" else "group", check_name(name))


def user_address(name: str) -> str:
    """The address of the user `name`."""
    return f"user/{name}"


def group_address(name: str) -> str:
    """The address of the group `name`."""
    return f"group/{name}"


def check_device_id(device: str) -> str:
    """Return `device` if it may be a device's id; raise ValueError if not."""
    if not _DEVICE_ID.fullmatch(device):
        raise ValueError(
            f"a device id has 1 to {DEVICE_ID_BYTES_MAX} of the characters A-Z a-z 0-9 . _ : -, found {device!r}"
        )
    return device


def check_terminal(terminal: str) -> str:
    """Return `terminal` if it may name a terminal type; raise ValueError if not."""
    if not _TERMINAL.fullmatch(terminal):
        raise ValueError(f"a terminal type is a lower-case word of at most 16 characters, found {terminal!r}")
    return terminal


@lru_cache(_CACHED_MAX)
def check_content_type(content_type: str) -> str:
    """Return `content_type` if it is printable ASCII within its bound; raise ValueError if not."""
    if len(content_type) > CONTENT_TYPE_BYTES_MAX or not _CONTENT_TYPE.fullmatch(content_type):
        raise ValueError(
            f"a content type is printable ASCII of at most {CONTENT_TYPE_BYTES_MAX} bytes, found {content_type!r}"
        )
    return content_type
