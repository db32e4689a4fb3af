"""Reading an export: what is taken of it, and what each line that does not belong into one gets."""

import io
import json
from typing import Any

import pytest

from roost_admin import import_file
from roost_admin.failures import EX_DATAERR, Failure
from roost_admin.import_file import ExportReader, Line

ACCOUNT = {"name": "alice", "created": 1, "disabled": False, "incarnation": "0" * 16, "floor": 1, "head": 2}


def account(**more: Any) -> dict[str, Any]:
    return {"kind": "account", "account": {**ACCOUNT, **more}}


def entry(seq: int, **more: Any) -> dict[str, Any]:
    message = {"id": f"{seq:016x}", "from": "alice", "to": "user/bob", "time": 1, "text": "x"}
    return {"kind": "entry", "entry": {"seq": seq, "kind": "own", "entry": {**message, **more}}}


def erased(seq: int) -> dict[str, Any]:
    return {"kind": "entry", "entry": {"seq": seq, "kind": "erased", "erased": {"id": f"{seq:016x}", "bytes": 90}}}


def end(entries: int) -> dict[str, Any]:
    return {"kind": "end", "end": entries}


GROUP, CONTACT, BLOCK = ({"kind": kind, kind: "team"} for kind in ("group", "contact", "block"))
DEVICE = {"kind": "device", "device": {"device": "phone-1"}}


def reader(*lines: dict[str, Any] | bytes) -> ExportReader:
    """Of a file with these lines."""
    data = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    return ExportReader(io.BytesIO(data), "alice.ndjson")


def read(*lines: dict[str, Any] | bytes) -> list[Line]:
    """All records of a file with these lines."""
    return list(reader(*lines).records())


def test_all_kinds_in_their_order() -> None:
    lines = [account(), DEVICE, GROUP, CONTACT, BLOCK, entry(1), erased(2), end(2)]
    found = read(*lines)
    assert [(line.number, line.record.kind) for line in found] == [
        (1, "account"), (3, "group"), (4, "contact"), (5, "block"), (6, "entry"), (7, "entry"), (8, "end")
    ]  # fmt: skip


def test_what_a_later_version_adds_is_passed_over() -> None:
    later = {"kind": "picture", "picture": [1, 2]}
    export = reader(
        account(colour="red"), later, b"\n", {**DEVICE, "more": 1}, later, entry(1), entry(2), later, end(2)
    )
    assert [line.record.kind for line in export.records()] == ["account", "entry", "entry", "end"]
    assert (export.passed_over, export.devices, export.entries) == (3, 1, 2)


@pytest.mark.parametrize("head", [0, 7])
def test_an_empty_inbox(head: int) -> None:
    assert len(read(account(floor=head + 1, head=head), end(0))) == 2


def test_retention_may_have_been_there_before_the_first_entry() -> None:
    assert len(read(account(floor=1, head=9), entry(8), entry(9), end(2))) == 4
    assert len(read(account(floor=1, head=9), end(0))) == 2


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([], "alice.ndjson, line 1: an export begins with the account; found: nothing in it"),
        ([b"\n\n"], "line 3: an export begins with the account; found: nothing in it"),
        ([b"From alice to bob\n"], "line 1: not a record of an export: JSON is malformed"),
        ([b"\xff\xfe\x00\n"], "line 1: not a record of an export"),
        ([b"[" * 5_000 + b"\n"], "line 1: not a record of an export"),
        ([b"[]\n"], "line 1: not a record of an export: Expected `object`, got `array`; found: []"),
        ([b'{"users": []}\n'], "line 1: not a record of an export: Object missing required field `kind`"),
        ([account(), b'{"kind": "entry"'], "line 2: not a record of an export: Input data was truncated"),
        ([entry(1)], "line 1: an export begins with the account; found: a record `entry`"),
        ([account(), account()], "line 2: the order is account, device, group, contact, block, entry, end; found"),
        ([account(), entry(1), CONTACT], "line 3: the order is"),
        ([account(version=2)], "line 1: this roost reads exports of version 1; found: version 2"),
        ([account(floor=4)], "found: floor 4, head 2"),
        ([account(floor=0)], "found: floor 0, head 2"),
        ([account(name="a/b")], "line 1: a name has no '/'"),
        ([account(head="2")], "line 1: not a record of an export: Expected `int`, got `str` - at `$.account.head`"),
        ([account(), {"kind": "contact", "contact": ""}], "line 2: a name has 1 to 64 bytes"),
        ([account(), {"kind": "contact", "block": "bob"}], "line 2: what a record is about stands under `contact`"),
        ([account(), {"kind": "account"}], "line 2: the order is"),
        ([account(), entry(1), entry(1)], "line 3: numbers follow one another, the next is 2; found: entry 1"),
        ([account(floor=2), entry(1)], "line 2: numbers follow one another, the next is 2; found: entry 1"),
        ([account(head=5), entry(1), entry(4)], "the next is 2; 2 to 3 are missing, as retention had trimmed them"),
        ([account(), entry(1), entry(2), entry(3)], "line 4: the account's head is 2; found: entry 3"),
        ([account(), entry(1), entry(2, id="0" * 16)], "line 3: message ids rise, the one before is 0000000000000001"),
        ([account(), entry(1, id="not hex")], "line 2: not a record of an export"),
        ([account(), {"kind": "entry", "entry": {"seq": 1, "kind": "erased"}}], "or says what was erased"),
        ([account(), entry(1), entry(2), end(3)], "line 4: by its last line there are 3; found: 2 entries before it"),
        ([account(), entry(1), end(1)], "line 3: the account's head is 2; found: 1 as the last entry"),
        ([account(), entry(1), entry(2), end(2), end(2)], "line 5: after `end` there is nothing; found"),
        (
            [account(), entry(1), entry(2)],
            "alice.ndjson was cut short: it ends after 2 entries, without the line `end`",
        ),
        ([account(), CONTACT], "alice.ndjson was cut short: it ends before its entries"),
    ],
)
def test_what_does_not_belong_there(lines: list[dict[str, Any] | bytes], text: str) -> None:
    with pytest.raises(Failure) as caught:
        read(*lines)
    assert text in caught.value.message
    assert caught.value.exit_code == EX_DATAERR
    assert "\n" not in caught.value.message


def test_a_line_and_the_number_of_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_file, "EXPORT_LINE_BYTES_MAX", 1_000)
    monkeypatch.setattr(import_file, "EXPORT_NAMES_MAX", 3)
    with pytest.raises(Failure, match="line 2: a line has at most 1000 bytes"):
        read(account(), b" " * 2_000)
    with pytest.raises(Failure, match="line 5: at most 3 groups, contacts and blocks"):
        read(account(), GROUP, CONTACT, BLOCK, BLOCK)
