"""What the processes of the demo say to each other, as JSON lines.

Commands go to each device process on its own standard input. Reports of all devices come back through one pipe, their
common standard output: a write to a pipe of at most PIPE_BUF bytes is never torn and never overtaken, and a device
reports what it says before it says it, and what it is told after it was told. So the order in which the reports are
read is one in which it can have happened, whoever ran when.
"""

import os
import select
from typing import NamedTuple

import msgspec
from msgspec import Struct

from roost_protocol import codec
from roost_protocol.frames import Frame

_IN_WORDS = {"pc": "PC", "pc-2": "second PC"}


class Device(NamedTuple):
    """A device of the story: its id, whose it is, and its terminal type."""

    name: str
    user: str
    terminal: str

    @property
    def label(self) -> str:
        """As in a sentence: `alice's phone`."""
        kind = self.name.partition("-")[2]
        return f"{self.user}'s {_IN_WORDS.get(kind, kind)}"


class Command(Struct, frozen=True, tag_field="do", tag=True):
    """What a device process is to do."""


class LogIn(Command, frozen=True):
    """Log in, the first command: with a password, or with the token in the state. `resume`: as by itself.

    `slow_line`: after the answer to the log-in, nothing comes in before something was published. Networks do that.
    """

    password: str | None = None
    resume: bool = False
    slow_line: bool = False


class Publish(Command, frozen=True):
    """Publish a message; nobody waits for the outcome here."""

    to: str
    body: str


class GoDeaf(Command, frozen=True):
    """From now on the network loses whatever the broker says to this device."""


class CatchUp(Command, frozen=True):
    """Ask the broker how far the inbox goes, and report when everything up to there is held."""


class Leave(Command, frozen=True):
    """Say goodbye, and end the process."""


AnyCommand = LogIn | Publish | GoDeaf | CatchUp | Leave


class Report(Struct, frozen=True, tag_field="report", tag=True):
    """What a device process saw."""

    device: str


class Said(Report, frozen=True):
    """A frame, about to go out (`by` is `device`) or just come in (`broker`); in its JSON form."""

    by: str
    frame: msgspec.Raw

    def decoded(self) -> Frame:
        """The frame itself."""
        return codec.decode_json(bytes(self.frame))


class LineLost(Report, frozen=True):
    """The connection is over, from whichever side."""


class HasCaughtUp(Report, frozen=True):
    """The device holds everything up to the head it asked for."""

    head: int


AnyReport = Said | LineLost | HasCaughtUp

_commands: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)
_reports: msgspec.json.Decoder[AnyReport] = msgspec.json.Decoder(AnyReport)


def encode_line(said: Command | Report) -> bytes:
    """A command or a report as one line."""
    return msgspec.json.encode(said) + b"\n"


def decode_command(line: bytes) -> AnyCommand:
    """The command in a line. Raises msgspec.DecodeError."""
    return _commands.decode(line)


def decode_report(line: bytes) -> AnyReport:
    """The report in a line. Raises msgspec.DecodeError."""
    return _reports.decode(line)


def said(device: str, by: str, frame: Frame) -> Said:
    """The report of a frame."""
    return Said(device=device, by=by, frame=msgspec.Raw(codec.encode_json(frame).encode()))


def write_report(fd: int, report: Report) -> None:
    """Put a report into the pipe, whole. Waits when the reader is slow. Raises OSError."""
    line = encode_line(report)
    if len(line) > select.PIPE_BUF:
        raise AssertionError(f"a report of {len(line)} bytes could be torn: {line[:80]!r}…")
    os.write(fd, line)
