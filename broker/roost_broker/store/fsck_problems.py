"""Every kind of thing that a check of the store can find: a word for it, how bad it is, and what to do about it."""

from typing import NamedTuple

from roost_protocol.admin.fsck import Severity

_RESTORE = "restore a backup from before it happened (`roost fsck --backup DIR` says whether one is whole)"
_CAUSE = "the cause (a failing disk, or another program that wrote to the folder)"


class Problem(NamedTuple):
    """A kind of finding."""

    code: str
    severity: Severity
    advice: str


def _damage(code: str, effect: str) -> Problem:
    return Problem(code, "damage", f"{effect}; look for {_CAUSE} first, then {_RESTORE}")


def _warning(code: str, effect: str) -> Problem:
    return Problem(code, "warning", f"{effect}; it takes room and harms nothing else, but look for {_CAUSE}")


# --- rows of any table ---
TABLE_MISSING = _damage("table-missing", "A whole table is not there")
UNREADABLE = _damage("unreadable", "What this row held is lost")
ODD_KEY = _damage("odd-key", "No version of roost writes such a row")
CHECKSUM = _damage(
    "checksum", "What this row held has changed since it was written, and is lost: whoever asks for it is told so"
)
PAGE = _damage("page", "A page of the file is damaged, and with it rows of any table")
COUNTER = _damage("counter", "Numbers would be given a second time, so stop the broker now")
SCHEMA = _damage("schema", "The store does not say how it is laid out")

# --- users, groups, relations ---
NAME_LOST = _damage("name-lost", "Nobody can log in as, or write to, who had this name")
NAME_ASTRAY = _damage("name-astray", "Whoever uses this name gets an error, or somebody else")
GROUP_EMPTY = _damage("group-empty", "A group without members can neither be used nor changed")
OWNER_LEFT = _damage("owner-left", "Nobody may change this group; remove and add members as an admin")
MEMBER_ASTRAY = _damage("member-astray", "Messages to the group fail for all, or reach the wrong users")
MEMBER_HALF = _damage("member-half", "The group and the user disagree on whether he is a member")
REMOVAL_LOST = _damage("removal-lost", "What is left of a removed user stays for ever")
REMOVAL_ASTRAY = _damage("removal-astray", "The entries of a user who is there may be cleared away, so stop the broker")
AWAITED_ASTRAY = _damage("awaited-astray", "A user or group that comes may get the number of another")
RELATION_ASTRAY = _damage("relation-astray", "The user's list of contacts or blocked users cannot be read")

# --- devices, sessions, outcomes ---
DEVICE_ASTRAY = _damage("device-astray", "The device cannot log in, or counts as another's")
DEVICE_ID_LOST = _damage("device-id-lost", "The device is taken for a new one, and may publish messages twice")
DEVICE_ID_ASTRAY = _damage("device-id-astray", "A log-in of this device fails, or is taken for another's")
CURSOR_LOST = _damage("cursor-lost", "The device cannot log in")
CURSOR_LEFT = _warning("cursor-left", "The cursor of a device that is not there")
CURSOR_AHEAD = _damage("cursor-ahead", "The device has acknowledged what is not there: entries were lost")
CURSOR_INVALID = _damage("cursor-invalid", "The device may publish messages twice, or not at all")
TOKEN_LOST = _damage("token-lost", "The device's token is not known any more: it has to log in with the password")
TOKEN_ASTRAY = _damage("token-astray", "A token lets in a device that it was not made for, or fails")
SESSION_ASTRAY = _damage("session-astray", "The session is another's, or nobody's: log-ins there may be refused")
OUTCOME_LEFT = _warning("outcome-left", "An outcome of a device that is not there")
OUTCOME_LOST = _damage("outcome-lost", "A retransmission of this message would be stored a second time")
OUTCOME_INVALID = _damage("outcome-invalid", "A retransmission would get a wrong answer, or be stored a second time")
OUTCOME_ASTRAY = _damage("outcome-astray", "A retransmission would be told a number that is not its message's")

# --- inboxes ---
INBOX_ASTRAY = _damage("inbox-astray", "Nobody can read this inbox")
FLOOR_INVALID = _damage("floor-invalid", "Where the inbox begins is not known: devices may be told a wrong gap")
BELOW_FLOOR = _damage("below-floor", "These entries are never read, and never trimmed")
HOLE = _damage("hole", "These entries are lost; devices are told that they are damaged")
IDS_FALL = _damage("ids-fall", "The entry refers to a wrong message")
BYTES_WRONG = _damage("bytes-wrong", "Retention by bytes trims this inbox too early or too late")
ENTRY_INVALID = _damage("entry-invalid", "The entry is lost; devices are told that it is damaged")
OWN_ASTRAY = _damage("own-astray", "The user's devices take the message for another device's, or another publish")
SCROLL_LOST = _damage("scroll-lost", "Scrolling back in this conversation leaves the entry out")
SCROLL_ASTRAY = _damage("scroll-astray", "Scrolling back in this conversation fails, or shows a wrong entry")

# --- messages ---
MESSAGE_LOST = _damage("message-lost", "The message is lost; devices are told that this entry is damaged")
MESSAGE_DAMAGED = _damage("message-damaged", "The message is lost; devices are told that this entry is damaged")
MESSAGE_INVALID = _damage("message-invalid", "Devices cannot read this message, or read a wrong one")
SIZE_WRONG = _damage("size-wrong", "The message was changed, or the entry; retention by bytes is off")
SIDES_WRONG = _damage("sides-wrong", "The entry shows a message of another conversation")
INBOXES_DIFFER = _damage("inboxes-differ", "The message would be removed while somebody needs it, or never")
REFERENCES_WRONG = _damage("references-wrong", "Somebody has lost his entry of this message, or has it twice")
SIDE_MISSING = _damage("side-missing", "One side of the conversation has lost the message")
ORPHAN = _warning("orphan", "No inbox refers to this message")
RELEASED_LEFT = _warning("released-left", "How often a message was trimmed that is not there")
RELEASED_INVALID = _damage("released-invalid", "The message would be removed while somebody needs it, or never")

# --- the journal ---
RECORD_LOST = _damage("record-lost", "`explain` and `events` leave out something that happened")
RECORD_ASTRAY = _damage("record-astray", "`explain` and `events` fail for somebody, or tell of somebody else")
