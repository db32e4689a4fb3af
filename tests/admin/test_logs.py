"""The log: nobody forges a line, and a machine reads every one."""

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_admin.logs import JsonFormatter, PersonFormatter


def record(message: str, *, failed: bool = False) -> logging.LogRecord:
    info = None
    if failed:
        try:
            raise ValueError("broken\x1b[2J")
        except ValueError:
            info = sys.exc_info()
    return logging.LogRecord("roost_broker.login", logging.WARNING, __file__, 1, "%s", (message,), info)


@given(st.text())
def test_a_line_for_a_person_is_one_line(message: str) -> None:
    line = PersonFormatter().format(record(message))
    assert len(line.splitlines()) == 1
    assert "WARNING" in line
    assert all(char.isprintable() or char == "\u200d" for char in line)


@given(st.text(st.characters(codec="utf-8")))
def test_a_line_for_a_machine_is_one_object(message: str) -> None:
    line = JsonFormatter().format(record(message))
    assert len(line.splitlines()) == 1
    fields = json.loads(line)
    assert fields["message"] == message
    assert (fields["level"], fields["logger"]) == ("warning", "roost_broker.login")
    assert fields["time"].endswith("+00:00")


def test_tracebacks_are_indented_and_printable() -> None:
    first, *more = PersonFormatter().format(record("failed", failed=True)).split("\n")
    assert first.endswith("failed")
    assert more[-1] == "    ValueError: broken\\x1b[2J"
    assert all(line.startswith("    ") for line in more)


def test_tracebacks_are_a_field() -> None:
    fields = json.loads(JsonFormatter().format(record("failed", failed=True)))
    assert fields["exception"].startswith("Traceback")


@pytest.mark.parametrize("formatter", [PersonFormatter(), JsonFormatter()])
def test_no_traceback_where_there_is_none(formatter: logging.Formatter) -> None:
    assert "Traceback" not in formatter.format(record("fine"))
