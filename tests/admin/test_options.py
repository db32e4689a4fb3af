"""Which broker a command talks to."""

from pathlib import Path

import click
import pytest

from admin.running import command
from roost_admin.failures import EX_USAGE
from roost_admin.options import NUMBER_MAX, Place, place, socket_path
from roost_protocol import limits

FOLDER, SOCKET = Path("folder"), Path("some.sock")


def found(given: Place, outer: Place | None = None) -> Path:
    context = click.Context(click.Command("any"), obj=outer)
    return socket_path(place(context, given))


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROOST_DATA", raising=False)
    monkeypatch.delenv("ROOST_SOCKET", raising=False)
    monkeypatch.delenv("ROOST_CONTEXT", raising=False)


def test_by_default_the_data_folder_here() -> None:
    assert found(Place()) == Path("roost-data/admin.sock")


def test_a_data_folder_or_a_socket() -> None:
    assert found(Place(data=FOLDER)) == FOLDER / "admin.sock"
    assert found(Place(socket=SOCKET)) == SOCKET
    assert found(Place(FOLDER, SOCKET)) == SOCKET


def test_at_the_command_goes_over_before_it_goes_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOST_SOCKET", "/env.sock")
    assert found(Place()) == Path("/env.sock")
    assert found(Place(), Place(data=Path("outer"))) == Path("outer/admin.sock")
    assert found(Place(data=FOLDER), Place(socket=Path("outer.sock"))) == FOLDER / "admin.sock"


def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOST_SOCKET", "")
    monkeypatch.setenv("ROOST_DATA", "/data")
    assert found(Place()) == Path("/data/admin.sock")


def test_numbers_are_those_of_the_admin_api() -> None:
    assert NUMBER_MAX == limits.NUMBER_MAX


@pytest.mark.parametrize(
    "args",
    [
        ("explain", "alice", "9007199254740992"),
        ("inbox", "show", "alice", "--from", "9007199254740992"),
        ("inbox", "tail", "alice", "--after", "9007199254740992"),
        ("sessions", "list", "--backlog", "9007199254740992"),
    ],
)
def test_what_is_out_of_range_is_told_what_is_allowed(args: tuple[str, ...]) -> None:
    result = command(*args)
    assert (result.exit_code, result.stdout) == (EX_USAGE, "")
    assert str(NUMBER_MAX) in result.stderr
