"""One check of each target's code, taken away: each is found, by what is replayed or by cases out of a seed.

`python -m fuzz.defects` prints how many cases that takes, for the table in `docs/testing.md`.
"""

import struct
import sys
from collections.abc import Callable
from itertools import chain, islice
from time import perf_counter
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec
import pytest

import roost_admin.import_file
import roost_broker.http.admin
import roost_broker.outlet
import roost_broker.settings
import roost_broker.store.lmdb
from fuzz import records
from fuzz.cases import cases
from fuzz.table import TARGETS
from fuzz.target import Finding, Target, attempt
from roost import state_file
from roost_broker.http.server import Request
from roost_broker.link import Link
from roost_protocol import codec
from roost_protocol.frames import Frame

CASES_MAX = 3_000


class Defect(NamedTuple):
    """A check that is taken away: by what, and in a word."""

    title: str
    put_in: Callable[[pytest.MonkeyPatch], None]


def _codec_without(error: type[Exception]) -> Callable[[pytest.MonkeyPatch], None]:
    left = tuple(each for each in codec._UNREADABLE if each is not error)
    return lambda patch: patch.setattr(codec, "_UNREADABLE", left)


def _any_length(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(codec.ReceiveBuffer, "check_length", lambda self, length: None)


def _answer_after_the_end(patch: pytest.MonkeyPatch) -> None:
    def say(self: Link, frame: Frame) -> None:
        if not self.ended:
            self.outgoing.append(self.connection.send(frame))

    patch.setattr(Link, "say", say)


def _second_violation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(roost_broker.outlet, "RemoteProtocolError", ZeroDivisionError)


def _any_target(patch: pytest.MonkeyPatch) -> None:
    def read_target(request: Request) -> object:
        return urlsplit(request.target)

    patch.setattr(roost_broker.http.admin, "read_target", read_target)


def _any_name(patch: pytest.MonkeyPatch) -> None:
    def read_name(segment: str) -> str:
        return unquote(segment, errors="strict")

    patch.setattr(roost_broker.http.admin, "read_name", read_name)


DEFECTS: dict[str, Defect] = {
    "codec_binary": Defect("text that is no UTF-8 is not expected", _codec_without(UnicodeError)),
    "codec_json": Defect("JSON that is too deep is not expected", _codec_without(RecursionError)),
    "connection": Defect("the length of a frame is not looked at", _any_length),
    "broker_connection": Defect("something is answered after the connection's end", _answer_after_the_end),
    "web_socket": Defect("a second violation is not expected while the connection is closed", _second_violation),
    "http_request": Defect("a target that is no URL is not expected", _any_target),
    "admin_api": Defect("a name that is no UTF-8 is not expected", _any_name),
    "configuration": Defect(
        "a value is written out however long it is", lambda patch: patch.setattr(roost_broker.settings, "_shown", repr)
    ),
    "records": Defect(
        "a message that is no UTF-8 is not expected",
        lambda patch: patch.setattr(records, "decode_entry", codec._entry_decoder.decode),
    ),
    "store_rows": Defect(
        "a row that is too short is not expected",
        lambda patch: patch.setattr(roost_broker.store.lmdb, "DECODE_ERRORS", (msgspec.DecodeError, UnicodeError)),
    ),
    "import_file": Defect(
        "a line that is no UTF-8 is not expected",
        lambda patch: patch.setattr(roost_admin.import_file, "_UNREADABLE", (msgspec.MsgspecError, RecursionError)),
    ),
    "state_file": Defect(
        "the types of values are not looked at",
        lambda patch: patch.setattr(state_file, "_is_sound", lambda saved: True),
    ),
}


class Found(NamedTuple):
    """After how many cases, and what."""

    after: int
    finding: Finding


def found(target: Target) -> Found | None:
    """Look for a finding among what is replayed, and then among cases out of a seed."""
    corpus = target.corpus()
    tried = chain(corpus, cases(1, corpus, target.tokens, target.bytes_max))
    for count, data in enumerate(islice(tried, CASES_MAX), start=1):
        finding = attempt(target, data)
        if finding is not None:
            return Found(count, finding)
    return None


def rate(target: Target, seconds: float = 2.0) -> float:
    """Cases in a second, without coverage."""
    corpus = target.corpus()
    drawn = cases(1, corpus, target.tokens, target.bytes_max)
    began, count = perf_counter(), 0
    while perf_counter() - began < seconds:
        attempt(target, next(drawn))
        count += 1
    return count / (perf_counter() - began)


def _named(error: type[Exception]) -> str:
    return "`struct.error`" if error is struct.error else f"`{error.__name__}`"


def main() -> int:
    """Print the table; status 1 if a defect was not found."""
    lines = ["| target | may come out of it | cases/s | check taken away | found after |", "|---|---|---|---|---|"]
    for name, target in TARGETS.items():
        with pytest.MonkeyPatch.context() as patch:
            DEFECTS[name].put_in(patch)
            result = found(target)
        documented = ", ".join(map(_named, target.documented)) or "nothing"
        after = "not found" if result is None else f"{result.after:,} cases"
        lines.append(f"| `{name}` | {documented} | {rate(target):,.0f} | {DEFECTS[name].title} | {after} |")
    print("\n".join(lines))  # noqa: T201 - this is what it is for
    return 1 if "not found" in lines else 0


if __name__ == "__main__":
    sys.exit(main())
