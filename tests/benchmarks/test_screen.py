"""Progress: lines in a log, bars on a terminal, nothing where nobody looks."""

import io
import sys

import pytest

from roost_benchmarks.screen import Bars, shown


class Terminal(io.StringIO):
    """Where a person would look."""

    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_for_each_run(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars(2) as bars:
        for title in ("first", "second"):
            with bars.run(title) as one:
                one.update(0.5, "half")
                one.update(1.0, f"{title} figures")
        bars.say("a note")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split() for line in lines] == [
        ["[1/2]", "first", "first", "figures"], ["[2/2]", "second", "second", "figures"], ["a", "note"],
    ]  # fmt: skip


def test_one_run_says_nothing_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("pairs") as one:
        one.update(0.5, "p50 1 ms")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_terminal_shows_what_is_known_now(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Bars(1) as bars, bars.run("pairs [20]") as one:
        one.update(0.5, "p50 1.00 ms")
    assert "pairs [20]" in terminal.getvalue()
    assert "[1/1]" in terminal.getvalue()


def test_a_bar_goes_when_its_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())

    def fail() -> None:
        with shown("pairs") as one:
            one.update(0.1, "")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
