"""The line that says how far something is: one line, gone at the end, and nothing on a pipe."""

import io
import sys

import pytest

from roost_admin import progress
from roost_admin.progress import ProgressLine

CLEAR = "\r\x1b[K"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error becomes a terminal. In the test itself: before each phase of one, pytest puts its own there."""
    monkeypatch.setattr(sys, "stderr", found := Terminal())
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(progress, "SAID_EVERY_S", 0.0)
    return found


def test_it_is_overwritten_and_gone_however_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)

    def interrupted() -> None:
        with ProgressLine() as line:
            line.show("1 of 2")
            line.show("2 of 2")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert terminal.getvalue() == f"{CLEAR}1 of 2{CLEAR}2 of 2{CLEAR}"


def test_it_never_fills_a_second_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with ProgressLine() as line:
        line.show("x" * 30 + "\n")
    assert terminal.getvalue() == f"{CLEAR}{'x' * 18}…{CLEAR}"


def test_it_is_shown_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(progress, "SAID_EVERY_S", 3600.0)
    with ProgressLine() as line:
        for number in range(9):
            line.show(str(number))
    assert terminal.getvalue() == f"{CLEAR}0{CLEAR}"


def test_on_a_pipe_there_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine() as line:
        line.show("1 of 2")
    assert capsys.readouterr().err == ""
