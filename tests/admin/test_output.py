"""Tables and documents on a pipe."""

import io
import json
import re
import sys
from collections.abc import Iterator

import pytest

from roost_admin import output
from roost_admin.columns import Column
from roost_admin.output import (
    byte_size,
    clock_time,
    local_time,
    show_document,
    show_facts,
    show_line,
    show_listing,
    show_rows,
    show_table,
    time_span,
)
from roost_protocol.admin.relations import Related


def test_columns_are_aligned_by_cells(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([Column("NAME"), Column("HEAD", right=True)], [["日本", "7"], ["bob", "12345"]], "nobody")
    assert capsys.readouterr().out.splitlines() == ["NAME   HEAD", "日本      7", "bob   12345"]


def test_names_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([Column("NAME")], [["\x1b[31mred\nforged"]], "nobody")
    assert capsys.readouterr().out.splitlines() == ["NAME", "\\x1b[31mred\\nforged"]


def test_no_rows_are_said_to_the_person_not_to_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([Column("NAME")], [], "nobody yet")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "roost: nobody yet\n")


def test_a_document_is_one_json_value(capsys: pytest.CaptureFixture[str]) -> None:
    show_document({"users": [1, 2]})
    assert json.loads(capsys.readouterr().out) == {"users": [1, 2]}


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 40, "1.0 TiB"), (5 << 50, "5120.0 TiB")]
)
def test_sizes(size: int, shown: str) -> None:
    assert byte_size(size) == shown


def test_times_are_those_of_here() -> None:
    assert local_time(0).endswith(clock_time(0))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("colour", [True, False])
def test_on_a_terminal_a_table_is_drawn(monkeypatch: pytest.MonkeyPatch, colour: bool) -> None:
    """Names are not markup, and NO_COLOR holds."""
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "" if colour else "1")
    show_table([Column("NAME"), Column("HEAD", right=True)], [["[red]bob[/red]", "7"]], "nobody")
    shown = terminal.getvalue()
    assert "[red]bob[/red]" in shown
    assert not re.search(r"\x1b\[3\dm", shown)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_rows_that_come_one_by_one_are_one_document(capsys: pytest.CaptureFixture[str], count: int) -> None:
    rows = [Related(user=f"user\n{number}", others=("a", "b")) for number in range(count)]
    show_rows("rows", iter(rows))
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"rows": [{"user": row.user, "others": ["a", "b"]} for row in rows]}
    assert shown.endswith("]\n}\n")


def test_a_document_is_written_while_rows_come(capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> Iterator[Related]:
        yield Related(user="first", others=())
        assert "first" in capsys.readouterr().out
        yield Related(user="second", others=())

    show_rows("rows", rows())


def test_a_long_table_is_printed_while_rows_come(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the columns of its first rows; a wider cell later stands out, and is whole."""
    monkeypatch.setattr(output, "FIRST_ROWS", 2)
    rows = iter([["a", "1"], ["bb", "22"], ["c", "333"], ["dddddd", "4"]])
    show_listing("rows", rows, [Column("NAME"), Column("N", right=True)], list, "none", as_json=False)
    assert capsys.readouterr().out.splitlines() == ["NAME   N", "a      1", "bb    22", "c     333", "dddddd   4"]


def test_facts_and_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show_facts({"User": "alice\x1b", "Inbox": ""})
    show_line(Related(user="alice", others=()))
    assert capsys.readouterr().out.splitlines() == ["User   alice\\x1b", "Inbox", '{"user":"alice","others":[]}']


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (-5, "0 s"), (999, "0 s"), (61_000, "1 min 1 s"), (60_000, "1 min"), (3_600_000, "1 h"),
        (3_661_000, "1 h 1 min"),
        (86_400_000 + 5_000, "1 d"), (90 * 86_400_000 + 3_600_000, "90 d 1 h"),
    ],
)  # fmt: skip
def test_spans_of_time(milliseconds: int, shown: str) -> None:
    assert time_span(milliseconds) == shown
