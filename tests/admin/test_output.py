"""Tables and documents on a pipe."""

import io
import json
import re
import sys

import pytest

from roost_admin.output import Column, byte_size, clock_time, local_time, show_document, show_table


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
